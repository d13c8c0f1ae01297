//! Looking at things as the daemon sees them: root may read what the daemon's user may not.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Command;

use super::{Failure, Outcome, print};
use crate::config::Config;

/// Runs this very command again as the user who owns `data_path`, if we are root and that is somebody
/// else: the daemon runs as that user.
pub(super) fn instead(config: &Config, path: &Path, words: &[&str]) -> Option<Outcome> {
    let us = std::fs::metadata("/proc/self").ok()?.uid();
    let owner = std::fs::metadata(&config.data_path).ok()?;
    if us != 0 || owner.uid() == 0 {
        return None;
    }
    // With all groups of the user, as systemd starts the daemon.
    let done = Command::new("setpriv")
        .arg(format!("--reuid={}", owner.uid()))
        .arg(format!("--regid={}", owner.gid()))
        .arg("--init-groups")
        .arg(std::env::current_exe().ok()?)
        .arg("--config")
        .arg(path)
        .args(words)
        .status();
    let who = format!(
        "{}, the owner of {}",
        owner.uid(),
        config.data_path.display()
    );
    Some(match done {
        Ok(status) if status.success() => print(&format!("(looked at as user {who})")),
        Ok(status) => {
            let code = status.code().unwrap_or(128 + status.signal().unwrap_or(0));
            let _ = print(&format!("(looked at as user {who})"));
            Err(Failure::Silent(u8::try_from(code).unwrap_or(1)))
        }
        Err(error) => Err(Failure::Failed(format!(
            "root may read what the daemon's user, {who}, may not, and setpriv cannot be run ({error}): run this \
             command as that user"
        ))),
    })
}
