//! Who clears away what the lab made, however the lab ends.
//!
//! Namespaces outlive the process that made them. So the lab starts a second process that reads from a pipe which only
//! the lab holds: when the pipe ends, because the lab is done, was interrupted or was killed, that process ends every
//! program in the lab's namespaces, removes these, and removes the lab's folder.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{path_of, quiet};

/// What the lab writes into the pipe when it shall stay.
const STAY: &[u8] = b"stay";
/// How long programs may take to end by themselves.
const GRACE: Duration = Duration::from_secs(5);

/// The second process. When this value goes, it has cleared away.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
}

impl Guard {
    /// Starts it for the namespaces whose names begin with `prefix`, and a folder.
    pub(super) fn start(prefix: &str, folder: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let child = Command::new(program)
            .args(["lab", "--guard", prefix])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // A Ctrl-C at the terminal reaches the lab and must not reach this.
            .process_group(0)
            .spawn()
            .context("cannot start the process that clears away")?;
        Ok(Self { child })
    }

    /// The lab stays as it is when this value goes.
    pub(super) fn let_stay(&mut self) -> Result<()> {
        let pipe = self.child.stdin.as_mut().context("the pipe is gone")?;
        pipe.write_all(STAY)
            .context("cannot reach the process that clears away")
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // Nothing is left to do if it cannot be waited for.
        let _ = self.child.wait();
    }
}

/// What the second process does.
pub(super) fn stand(prefix: &str, folder: &Path) -> Result<()> {
    let mut told = Vec::new();
    // A pipe that breaks has ended.
    let _ = std::io::stdin().lock().read_to_end(&mut told);
    if told == STAY {
        return Ok(());
    }
    clear(prefix, Some(folder))
}

/// Ends every program in the namespaces whose names begin with `prefix`, and removes these and the folder.
pub(super) fn clear(prefix: &str, folder: Option<&Path>) -> Result<()> {
    ensure!(
        prefix.starts_with(super::PREFIX) && prefix.ends_with('-'),
        "`{prefix}` is no lab (hint: its namespaces begin with `{}`; `ip netns list` shows them)",
        super::PREFIX
    );
    let names = namespaces(prefix)?;
    let deadline = Instant::now() + GRACE;
    for signal in [Signal::TERM, Signal::KILL] {
        loop {
            let left = inhabitants(&names);
            for pid in &left {
                // Failure means that it has ended.
                let _ = kill_process(*pid, signal);
            }
            if left.is_empty() || Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    for name in &names {
        quiet(Command::new(path_of("ip")).args(["netns", "del", name]))?;
    }
    if let Some(folder) = folder.filter(|folder| folder.exists()) {
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    Ok(())
}

/// The namespaces whose names begin with `prefix`.
pub(super) fn namespaces(prefix: &str) -> Result<Vec<String>> {
    let output = Command::new(path_of("ip"))
        .args(["netns", "list"])
        .stdin(Stdio::null())
        .output()
        .context("cannot start `ip`")?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .collect())
}

/// Processes in these namespaces.
fn inhabitants(names: &[String]) -> Vec<Pid> {
    let mut all = Vec::new();
    for name in names {
        let listed = Command::new(path_of("ip"))
            .args(["netns", "pids", name])
            .stdin(Stdio::null())
            .output();
        if let Ok(listed) = listed {
            let pids = String::from_utf8_lossy(&listed.stdout)
                .lines()
                .filter_map(|line| Pid::from_raw(line.trim().parse().ok()?))
                .collect::<Vec<_>>();
            all.extend(pids);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_of_others_are_never_cleared_away() {
        let error = clear("", None).expect_err("refused");
        assert!(error.to_string().contains("no lab"), "{error}");
        clear("production-", None).expect_err("refused");
        clear("asepsis-lab1", None).expect_err("refused: it would also mean number 12");
    }
}
