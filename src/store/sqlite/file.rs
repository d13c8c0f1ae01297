//! The file: made and opened.

use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::wire::classify;
use crate::store::Error;

/// How long a statement waits for another process's lock, such as a backup's.
pub(in crate::store) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes an empty file that only its owner reads. An existing one is left as it is.
///
/// To be called before this process has a connection to it (fcntl(2): closing drops locks).
pub(super) fn create_private(path: &Path) -> Result<(), Error> {
    std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|e| {
            let hint = match e.kind() {
                std::io::ErrorKind::PermissionDenied => "; run this as the user who owns it",
                _ => "",
            };
            Error::Unavailable(format!("{}: {e}{hint}", path.display()).into())
        })
}

/// Makes a file that only its owner reads; an error if there is one already.
pub(in crate::store) fn create_new_private(path: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

/// The file of this name with more at its end.
pub(super) fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}

/// The name of a file is on the disk when this returns, or that it is gone.
pub(crate) fn sync_folder_of(path: &Path) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|e| {
        let text = format!("{} could not be made durable: {e}", folder.display());
        std::io::Error::new(e.kind(), text)
    })
}

/// The one place where a connection is opened and set up.
pub(super) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, Error> {
    let setup = || {
        let connection =
            Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
            connection.pragma_update(None, "journal_mode", "wal")?;
        }
        // With `normal` an acknowledged commit may vanish at a power cut.
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    };
    setup().map_err(|e| named(path, classify(e)))
}

pub(super) fn named(path: &Path, error: Error) -> Error {
    match error {
        Error::Unavailable(cause) => {
            Error::Unavailable(format!("{}: {cause}", path.display()).into())
        }
        other => other,
    }
}
