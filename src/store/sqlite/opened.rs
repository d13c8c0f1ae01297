//! The three files of an open database (the database, its log, the index of the log in shared memory),
//! and whether they are what they were: somebody may have removed them, put others in their place, or
//! written over them without going through `SQLite`. Whatever is written after that is lost.
//!
//! What the bytes mean: "Database File Format" and "WAL-mode File Format" of `SQLite`.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::file::{beside, sync_folder_of};

/// The header of the log, and that of each page in it.
const LOG_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// How often it is looked again while others write.
const LOOKS: usize = 100;

/// The files, by inode and content.
///
/// To be dropped after every connection to them: closing any descriptor of a file drops the locks that
/// this process has on it (fcntl(2)), also those that `SQLite` took.
#[derive(Debug)]
pub(super) struct OpenedFiles {
    database: Known,
    log: Known,
    index: Known,
    seen: Mutex<Seen>,
}

/// What the last look found.
#[derive(Debug, Default)]
struct Seen {
    head: Head,
    log: Option<Index>,
}

#[derive(Debug)]
struct Known {
    path: PathBuf,
    file: File,
    device: u64,
    inode: u64,
}

/// What the first page of a database says of its state. None of it gets less, but for the sizes when a
/// later change makes the database smaller.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    changes: u32,
    tables_changed: u32,
    pages: u32,
    length: u64,
}

impl Head {
    fn is_older_than(self, other: Self) -> bool {
        self.changes < other.changes
            || self.tables_changed < other.tables_changed
            || (self.changes == other.changes
                && (self.pages < other.pages || self.length < other.length))
    }
}

/// What the index says of the log: its newest commit.
#[derive(Debug, PartialEq)]
struct Index {
    page_size: u64,
    /// Pages in the log, up to the newest commit.
    frames: u64,
    /// Pages of the database after that commit.
    pages: u32,
    checksum: [u32; 2],
    salts: [u8; 8],
}

impl Known {
    fn open(path: PathBuf, write: bool) -> Result<Self, String> {
        let named = |e: io::Error| format!("{}: {e}", path.display());
        let file = File::options().read(true).write(write).open(&path);
        let file = file.map_err(named)?;
        let meta = file.metadata().map_err(named)?;
        let (device, inode) = (meta.dev(), meta.ino());
        Ok(Self {
            path,
            file,
            device,
            inode,
        })
    }

    /// The file is where it was.
    fn stands(&self) -> Result<Metadata, String> {
        let path = self.path.display();
        match std::fs::metadata(&self.path) {
            Ok(meta) if (meta.dev(), meta.ino()) == (self.device, self.inode) => Ok(meta),
            Ok(_) => Err(format!("{path} was replaced while it was open")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                Err(format!("{path} was removed while it was open"))
            }
            Err(e) => Err(format!("{path}: {e}")),
        }
    }

    fn bytes<const N: usize>(&self, at: u64) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        match self.file.read_exact_at(&mut bytes, at) {
            Ok(()) => Ok(bytes),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(format!(
                "{} was cut short while it was open",
                self.path.display()
            )),
            Err(e) => Err(format!("{}: {e}", self.path.display())),
        }
    }

    fn overwritten(&self) -> String {
        format!("{} was written over while it was open", self.path.display())
    }
}

impl OpenedFiles {
    /// The files of a database to which there is a connection in the mode `wal`.
    pub(super) fn look(path: &Path) -> Result<Self, String> {
        let files = Self {
            database: Known::open(path.to_owned(), false)?,
            log: Known::open(beside(path, "-wal"), true)?,
            index: Known::open(beside(path, "-shm"), true)?,
            seen: Mutex::default(),
        };
        files.check()?;
        Ok(files)
    }

    pub(super) fn path(&self) -> &Path {
        &self.database.path
    }

    /// What is written to the log is on the disk when this returns.
    pub(super) fn sync_log(&self) -> Result<(), String> {
        // After a failure nobody knows what is on the disk, not even a second call (fsync(2)).
        self.log
            .file
            .sync_data()
            .map_err(|e| format!("{} could not be made durable: {e}", self.log.path.display()))
    }

    /// The files and their names are on the disk when this returns. An operator may have copied them here a
    /// moment ago.
    pub(super) fn sync(&self) -> Result<(), String> {
        for known in [&self.log, &self.database] {
            let synced = known.file.sync_all();
            synced
                .map_err(|e| format!("{} could not be made durable: {e}", known.path.display()))?;
        }
        sync_folder_of(&self.database.path).map_err(|e| e.to_string())
    }

    /// All are where they were. Cheaper than [`OpenedFiles::check`].
    pub(super) fn stand(&self) -> Result<(), String> {
        for known in [&self.database, &self.log, &self.index] {
            known.stands()?;
        }
        Ok(())
    }

    /// All are where they were, and as far as can be seen nobody else wrote into them.
    pub(super) fn check(&self) -> Result<(), String> {
        let length = self.database.stands()?.len();
        self.log.stands()?;
        self.index.stands()?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_log(&mut seen)?;
        let head = self.head(length)?;
        if head.is_older_than(seen.head) {
            return Err(self.database.overwritten());
        }
        seen.head = head;
        Ok(())
    }

    /// The log has the newest commit that the index names, and the one that was the newest before: what was
    /// written in between lies between them.
    fn check_log(&self, seen: &mut Seen) -> Result<(), String> {
        let mut before = self.index()?;
        for _ in 0..LOOKS {
            let Some(index) = before else {
                // Somebody is about to write it.
                std::thread::yield_now();
                before = self.index()?;
                continue;
            };
            let fits = match &seen.log {
                Some(last) if last.salts == index.salts => {
                    self.has(last) && last.frames <= index.frames
                }
                _ => true,
            };
            if fits && self.has(&index) {
                seen.log = Some(index);
                return Ok(());
            }
            let now = self.index()?;
            if now.as_ref() == Some(&index) {
                return Err(self.log.overwritten());
            }
            before = now;
        }
        Ok(())
    }

    /// Whether the log has the commit.
    fn has(&self, commit: &Index) -> bool {
        let Some(last) = commit.frames.checked_sub(1) else {
            return true;
        };
        let at = LOG_HEADER + last * (FRAME_HEADER + commit.page_size);
        let header = self.log.bytes::<32>(0);
        let frame = self.log.bytes::<24>(at);
        let (Ok(header), Ok(frame)) = (header, frame) else {
            return false;
        };
        header[16..24] == commit.salts
            && frame[8..16] == commit.salts
            && [number(&frame, 16), number(&frame, 20)] == commit.checksum
    }

    /// Nothing while it is being written.
    fn index(&self) -> Result<Option<Index>, String> {
        let bytes: [u8; 96] = self.index.bytes(0)?;
        let (first, second) = bytes.split_at(48);
        let is_initialised = first[12] == 1;
        if first != second || !is_initialised {
            return Ok(None);
        }
        // The numbers here are the machine's, and 1 stands for 65536.
        let native = |at: usize| {
            u32::from_ne_bytes([first[at], first[at + 1], first[at + 2], first[at + 3]])
        };
        let size = u64::from(u16::from_ne_bytes([first[14], first[15]]));
        let mut salts = [0; 8];
        salts.copy_from_slice(&first[32..40]);
        Ok(Some(Index {
            page_size: (size & 0xfe00) + ((size & 1) << 16),
            frames: native(16).into(),
            pages: native(20),
            checksum: [native(24), native(28)],
            salts,
        }))
    }

    fn head(&self, length: u64) -> Result<Head, String> {
        let header: [u8; 100] = self.database.bytes(0)?;
        if !header.starts_with(b"SQLite format 3\0") {
            return Err(self.database.overwritten());
        }
        Ok(Head {
            changes: number(&header, 24),
            tables_changed: number(&header, 40),
            pages: number(&header, 28),
            length,
        })
    }

    /// Whether the log goes on from this very database. After a backup was copied over it, the log beside it
    /// is another's, and `SQLite` would mix the two.
    ///
    /// To be called while nobody writes.
    pub(super) fn check_kinship(&self) -> Result<(), String> {
        let Some(index) = self.index()? else {
            return Ok(());
        };
        let head = self.head(0)?;
        let (mut first, mut last) = (None, None);
        for frame in 0..index.frames {
            let at = LOG_HEADER + frame * (FRAME_HEADER + index.page_size);
            if number(&self.log.bytes::<4>(at)?, 0) == 1 {
                let changes = number(&self.log.bytes::<4>(at + FRAME_HEADER + 24)?, 0);
                first = first.or(Some(changes));
                last = Some(changes);
            }
        }
        let kin = match (first, last) {
            // Whoever writes the first page counts on from what it was.
            (Some(first), Some(last)) => (first.saturating_sub(1)..=last).contains(&head.changes),
            // The first page says how many there are.
            _ => index.frames == 0 || index.pages == head.pages,
        };
        if kin {
            return Ok(());
        }
        let (log, database) = (self.log.path.display(), self.database.path.display());
        let index = self.index.path.display();
        Err(format!(
            "{log} belongs to another state of {database}, and the two must not be mixed. If you restored a backup, \
             remove {log} and {index}, which are of the time before, and start again"
        ))
    }

    /// Writes again what the log has. After a sync that failed some of it may be in memory only, and called
    /// written: it can be read, but no sync brings it to the disk.
    ///
    /// To be called while nobody writes.
    pub(super) fn rewrite_log(&self) -> Result<(), String> {
        let rewrite = || {
            let log = &self.log.file;
            let mut bytes = vec![0; 1 << 18];
            let mut at = 0;
            loop {
                let length = log.read_at(&mut bytes, at)?;
                if length == 0 {
                    return Ok(());
                }
                log.write_all_at(&bytes[..length], at)?;
                at += length as u64;
            }
        };
        rewrite()
            .map_err(|e: io::Error| format!("{} cannot be written: {e}", self.log.path.display()))
    }

    /// Has `SQLite` make the index anew out of the log, as after a crash. It notes which pages are in the
    /// database already, and as long as anybody has the database open that is what somebody believed whose
    /// sync has failed since.
    ///
    /// To be called while nobody writes.
    pub(super) fn distrust_index(&self) -> Result<(), String> {
        let [.., a, b, c, d] = self.index.bytes::<100>(0)?;
        if u32::from_ne_bytes([a, b, c, d]) == 0 {
            return Ok(());
        }
        // A header that is not initialised, twice: whoever comes next reads the log.
        let written = self.index.file.write_all_at(&[0; 96], 0);
        written.map_err(|e| format!("{} cannot be written: {e}", self.index.path.display()))
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
