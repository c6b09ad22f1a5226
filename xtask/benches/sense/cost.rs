//! What a process costs from its start to its end.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use xtask::process::Process;

/// How often we look.
const POLL: Duration = Duration::from_millis(5);

/// The cost of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// From start to end.
    pub(crate) wall_seconds: f64,
    /// User and system time.
    pub(crate) cpu_seconds: f64,
    /// Most memory resident at once.
    pub(crate) peak_bytes: u64,
}

/// Runs `command` to its end; answers its cost and its standard output, if that is a pipe.
pub(crate) fn of(name: &str, command: &mut Command) -> Result<(Cost, String)> {
    let start = Instant::now();
    let mut process = Process::start(name, command.stdin(Stdio::null()))?;
    // A thread of its own, so that a full pipe cannot stop the process.
    let printed = process.child().stdout.take().map(|mut pipe| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        })
    });
    let mut peak_bytes = 0;
    // Until somebody waits for it, a process that has ended keeps its times.
    let (wall_seconds, cpu_seconds) = loop {
        if let Some(peak) = peak(process.id()) {
            peak_bytes = peak;
        }
        if has_ended(process.id())? {
            break (start.elapsed().as_secs_f64(), process.cpu_seconds()?);
        }
        std::thread::sleep(POLL);
    };
    let status = process.child().wait().context("cannot wait")?;
    ensure!(status.success(), "{name} ended with {status}");
    let printed = printed
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default();
    let cost = Cost {
        wall_seconds,
        cpu_seconds,
        peak_bytes,
    };
    Ok((cost, printed))
}

/// `VmHWM`; absent once the process has ended.
fn peak(id: u32) -> Option<u64> {
    field(
        &std::fs::read_to_string(format!("/proc/{id}/status")).ok()?,
        "VmHWM:",
    )
}

/// Octets resident now in this process.
pub(crate) fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("cannot read `/proc`")?;
    field(&status, "VmRSS:").context("no `VmRSS`")
}

fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

fn has_ended(id: u32) -> Result<bool> {
    let stat =
        std::fs::read_to_string(format!("/proc/{id}/stat")).context("cannot read `/proc`")?;
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    Ok(fields.trim_start().starts_with(['Z', 'X']))
}
