//! Copies of the database, taken while others write (`SQLite`'s online backup).

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{Error, Store};

/// Pages between two reports of progress.
const STEP: std::ffi::c_int = 512;

impl Store {
    /// Copies the `SQLite` file at `source` to `target`, which must not exist, as it is at this
    /// moment; writers are not held up. `progress` hears how many pages are done, of how many.
    ///
    /// The copy is on the disk when this returns. A copy that fails leaves no file behind.
    pub fn back_up_sqlite(
        source: &Path,
        target: &Path,
        progress: impl FnMut(u64, u64),
    ) -> Result<(), Error> {
        let named =
            |e: std::io::Error| Error::Unavailable(format!("{}: {e}", target.display()).into());
        super::sqlite::create_new_private(target).map_err(named)?;
        let copied = copy(source, target, progress).and_then(|()| {
            std::fs::File::open(target)
                .and_then(|file| file.sync_all())
                .and_then(|()| super::sqlite::sync_folder_of(target))
                .map_err(named)
        });
        if copied.is_err() {
            // The first error is the one to tell.
            let _ = std::fs::remove_file(target);
        }
        copied
    }
}

fn copy(source: &Path, target: &Path, mut progress: impl FnMut(u64, u64)) -> Result<(), Error> {
    let failed = |e: rusqlite::Error| Error::Unavailable(Box::new(e));
    let source = Connection::open_with_flags(source, OpenFlags::SQLITE_OPEN_READ_ONLY)
        .map_err(|e| Error::Unavailable(format!("{}: {e}", source.display()).into()))?;
    // Within a transaction the connection sees one moment; without it, each write of others would
    // make the copy begin again.
    source
        .execute_batch("begin; select count(*) from schema_migrations")
        .map_err(failed)?;
    let mut target = Connection::open(target).map_err(failed)?;
    {
        let backup = Backup::new(&source, &mut target).map_err(failed)?;
        while backup.step(STEP).map_err(failed)? == StepResult::More {
            let told = backup.progress();
            let total = u64::try_from(told.pagecount).unwrap_or(0);
            let left = u64::try_from(told.remaining).unwrap_or(0);
            progress(total.saturating_sub(left), total);
        }
    }
    let sound: String = target
        .query_row("pragma quick_check(1)", [], |row| row.get(0))
        .map_err(failed)?;
    if sound == "ok" {
        Ok(())
    } else {
        Err(Error::Unavailable(
            format!("the copy is damaged: {sound}").into(),
        ))
    }
}
