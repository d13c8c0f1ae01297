//! Who else has the database open, for those who wait.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::file::beside;

/// The bytes of the index that `SQLite` locks: for writing 120, for bringing the log into the database 121, for
/// the mending of the index 122, for reading from 123 ("WAL-mode File Format" 2.3).
const LOCKS: std::ops::RangeInclusive<u64> = 120..=127;

/// `sqlite3 (process 4711)`, or several of these, or "another process" where Linux does not say.
pub(super) fn holders(path: &Path) -> String {
    let inode = std::fs::metadata(beside(path, "-shm")).map(|meta| meta.ino());
    let locks = std::fs::read_to_string("/proc/locks");
    let (Ok(inode), Ok(locks)) = (inode, locks) else {
        return "another process".into();
    };
    let mut processes: Vec<_> = locks
        .lines()
        .filter_map(|line| holder(line, inode))
        .collect();
    processes.sort_unstable();
    processes.dedup();
    processes.retain(|process| *process != std::process::id());
    let named: Vec<_> = processes.into_iter().map(name).collect();
    if named.is_empty() {
        return "another process".into();
    }
    named.join(", ")
}

/// `3: POSIX  ADVISORY  READ 4711 fe:00:1234 124 124` (proc(5)); a blocked one has `->` after its number.
fn holder(line: &str, inode: u64) -> Option<u32> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, "POSIX", _, _, process, file, from, to] = words[..] else {
        return None;
    };
    let of_file = file.rsplit(':').next()?.parse() == Ok(inode);
    let from: u64 = from.parse().ok()?;
    let to: u64 = to.parse().unwrap_or(u64::MAX);
    (of_file && from <= *LOCKS.end() && to >= *LOCKS.start()).then(|| process.parse().ok())?
}

fn name(process: u32) -> String {
    match std::fs::read_to_string(format!("/proc/{process}/comm")) {
        Ok(program) => format!("{} (process {process})", program.trim_end()),
        Err(_) => format!("process {process}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_on_the_index_names_its_holder() {
        for (line, process) in [
            (
                "1: POSIX  ADVISORY  READ 4711 fe:00:1234 124 124",
                Some(4711),
            ),
            ("2: POSIX  ADVISORY  WRITE 12 fe:00:1234 120 EOF", Some(12)),
            ("2: -> POSIX  ADVISORY  WRITE 12 fe:00:1234 120 120", None),
            ("3: POSIX  ADVISORY  READ 4711 fe:00:1234 128 128", None),
            ("4: POSIX  ADVISORY  READ 4711 fe:00:1235 124 124", None),
            ("5: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF", None),
            ("", None),
        ] {
            assert_eq!(holder(line, 1234), process, "{line}");
        }
    }
}
