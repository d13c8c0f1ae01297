//! The file: made, opened, and watched for being replaced.

use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::wire::classify;
use crate::store::Error;

/// How long a statement waits for another process's lock, such as a backup's.
pub(in crate::store) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Which file was opened, to notice when another one stands in its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OpenedFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OpenedFile {
    pub(super) fn look(path: &Path) -> Result<Self, Error> {
        let meta = std::fs::metadata(path)
            .map_err(|e| Error::Unavailable(format!("{}: {e}", path.display()).into()))?;
        Ok(Self {
            path: path.to_owned(),
            device: meta.dev(),
            inode: meta.ino(),
        })
    }

    /// A file that was deleted or replaced would take every write with it, so no write is
    /// accepted any more.
    pub(super) fn check(&self) -> Result<(), Error> {
        if Self::look(&self.path)? == *self {
            return Ok(());
        }
        Err(Error::Unavailable(
            format!(
                "{} was replaced while it was open; restart invited",
                self.path.display()
            )
            .into(),
        ))
    }
}

/// Makes an empty file that only its owner reads. An existing one is left as it is.
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
