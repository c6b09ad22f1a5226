//! Waiting for processes without holding up the end: whoever is interrupted drops its guards, and they end the rest.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::net::TcpStream;
use tokio::time::sleep;
use xtask::process::Process;

/// How long a server may take until it accepts connections.
const READY_AFTER_MAX: Duration = Duration::from_secs(30);

/// How often we look.
const POLL: Duration = Duration::from_millis(20);

/// Runs `command` to its end; returns how it ended and what it printed, standard output first.
pub(crate) async fn output(name: &str, command: &mut Command) -> Result<(ExitStatus, String)> {
    let mut process = Process::start(name, command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
    // Threads of their own, so that a full pipe cannot stop the process.
    let printed = process.child().stdout.take().map(drain);
    let complained = process.child().stderr.take().map(drain);
    let status = loop {
        if let Some(status) = process.ended()? {
            break status;
        }
        sleep(POLL).await;
    };
    let mut text = String::new();
    for thread in [printed, complained].into_iter().flatten() {
        text += &thread.join().unwrap_or_default();
    }
    Ok((status, text))
}

fn drain<R: Read + Send + 'static>(mut pipe: R) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What arrived before a broken pipe is still worth telling.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits until `process` accepts connections on `port` and has written what `complete` looks for; `log` tells what it
/// said when it ends instead.
pub(crate) async fn ready(
    process: &mut Process,
    port: u16,
    complete: impl Fn() -> bool,
    log: impl Fn() -> String,
) -> Result<()> {
    let deadline = Instant::now() + READY_AFTER_MAX;
    loop {
        if let Some(status) = process.ended()? {
            bail!(
                "{} ended at once, {status}, and said:\n{}",
                process.name(),
                log().trim()
            );
        }
        if complete()
            && TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .is_ok()
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!(
                "{} does not answer on port {port} after {} s and said:\n{}",
                process.name(),
                READY_AFTER_MAX.as_secs(),
                log().trim()
            );
        }
        sleep(POLL).await;
    }
}

/// `N` different ports of the loopback address that nobody uses now.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until all are known, so that none comes twice.
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
        *port = listener
            .local_addr()
            .context("a port without a number")?
            .port();
        held.push(listener);
    }
    Ok(ports)
}
