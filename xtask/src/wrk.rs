//! `wrk`, the load generator, and what it saw.
//!
//! `wrk` gets a script that does two things: it connects to 127.0.0.1 whatever the address says, because the resolver of
//! Debian does not know `*.localhost` while the name has to be in the TLS greeting and in `Host`; and it prints the
//! figures as exact numbers at the end. The script touches no single request, so that it costs nothing while measuring.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Marks the line with the figures among what `wrk` prints for people.
const MARK: &str = "figures:";

/// One load on one address.
#[derive(Debug, Clone)]
pub struct Load {
    /// The address, with the name that goes into the TLS greeting and `Host`.
    pub url: String,
    /// The method of every request.
    pub method: &'static str,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
    /// Connections at the same time.
    pub connections: u32,
    /// How long.
    pub duration: Duration,
}

/// What `wrk` saw of a load.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Responses that arrived whole.
    pub requests: f64,
    /// How long it took.
    pub seconds: f64,
    /// Bytes received, headers included.
    pub bytes: f64,
    /// Responses with a status of 400 and above.
    pub refused: f64,
    /// Connections that failed, broke or timed out.
    pub broken: f64,
    /// Median latency.
    pub p50_us: f64,
    /// Latency that one request in a hundred exceeds.
    pub p99_us: f64,
}

impl Figures {
    /// Whether every response was the one we asked for: `body_bytes` of content and no failure.
    ///
    /// `wrk` takes a redirection for a success, hence the look at the bytes.
    ///
    /// # Errors
    /// Says what was wrong.
    pub fn check(&self, body_bytes: u32) -> Result<()> {
        ensure!(self.requests > 0.0, "no request was answered");
        ensure!(
            self.refused == 0.0,
            "{} of {} requests were refused",
            self.refused,
            self.requests
        );
        ensure!(
            self.broken == 0.0,
            "{} connections broke or timed out",
            self.broken
        );
        let each = self.bytes / self.requests;
        ensure!(
            each > f64::from(body_bytes),
            "responses were {each:.0} bytes, less than their {body_bytes} of content"
        );
        Ok(())
    }
}

/// `wrk`, found, and its script, written.
#[derive(Debug, Clone)]
pub struct Wrk {
    program: PathBuf,
    script: PathBuf,
}

impl Wrk {
    /// Writes the script into `folder`.
    ///
    /// # Errors
    /// When `wrk` is missing or the folder cannot be written.
    pub fn new(program: PathBuf, folder: &Path) -> Result<Self> {
        let script = folder.join("wrk.lua");
        std::fs::write(&script, SCRIPT)
            .with_context(|| format!("cannot write `{}`", script.display()))?;
        Ok(Self { program, script })
    }

    /// The command that puts `load` on its address; its standard output goes to [`read`].
    #[must_use]
    pub fn command(&self, load: &Load) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["--threads", "1", "--latency", "--timeout", "10s"])
            .args(["--connections", &load.connections.to_string()])
            .args([
                "--duration",
                &format!("{}s", load.duration.as_secs().max(1)),
            ])
            .arg("--script")
            .arg(&self.script);
        for (name, value) in &load.headers {
            command.args(["--header", &format!("{name}: {value}")]);
        }
        command.arg(&load.url).arg("--").arg(load.method);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// Reads the figures from what `wrk` printed.
///
/// # Errors
/// When it printed none, as when it could not connect.
pub fn read(printed: &str) -> Result<Figures> {
    let line = printed
        .lines()
        .find_map(|line| line.strip_prefix(MARK))
        .with_context(|| format!("`wrk` gave no figures, it said: {}", printed.trim()))?;
    let value: Value = serde_json::from_str(line)
        .with_context(|| format!("`wrk` gave figures that are no JSON: `{line}`"))?;
    let number = |name: &str| {
        value[name]
            .as_f64()
            .with_context(|| format!("`wrk` gave no `{name}`"))
    };
    Ok(Figures {
        requests: number("requests")?,
        seconds: number("duration_us")? / 1e6,
        bytes: number("bytes")?,
        refused: number("refused")?,
        broken: number("broken")?,
        p50_us: number("p50_us")?,
        p99_us: number("p99_us")?,
    })
}

const SCRIPT: &str = r#"
function wrk.resolve(host, service)
  wrk.addrs = wrk.lookup("127.0.0.1", service)
end

function init(arguments)
  wrk.method = arguments[1]
  if wrk.method == "POST" then
    wrk.body = "{}"
    wrk.headers["Content-Type"] = "application/json"
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    'figures:{"requests":%d,"duration_us":%d,"bytes":%.0f,"refused":%d,"broken":%d,"p50_us":%.0f,"p99_us":%.0f}\n',
    summary.requests, summary.duration, summary.bytes, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_among_what_is_printed_for_people() {
        let printed = "Running 1s test\nRequests/sec: 10\n\
            figures:{\"requests\":10,\"duration_us\":1000000,\"bytes\":12000,\"refused\":0,\"broken\":0,\"p50_us\":90,\"p99_us\":400}\n";
        let figures = read(printed).expect("figures");
        assert_eq!(figures.requests, 10.0);
        assert_eq!(figures.seconds, 1.0);
        figures.check(1024).expect("a clean load");
    }

    #[test]
    fn a_failed_connection_is_told_with_the_words_of_wrk() {
        let error =
            read("unable to connect to bench:1 Connection refused\n").expect_err("no figures");
        assert!(error.to_string().contains("unable to connect"), "{error}");
    }

    #[test]
    fn refusals_redirections_and_broken_connections_fail_the_load() {
        let clean = Figures {
            requests: 10.0,
            seconds: 1.0,
            bytes: 12_000.0,
            refused: 0.0,
            broken: 0.0,
            p50_us: 1.0,
            p99_us: 1.0,
        };
        clean.check(1024).expect("a clean load");
        for broken in [
            Figures {
                requests: 0.0,
                ..clean.clone()
            },
            Figures {
                refused: 1.0,
                ..clean.clone()
            },
            Figures {
                broken: 1.0,
                ..clean.clone()
            },
            // A redirection has headers only.
            Figures {
                bytes: 5_000.0,
                ..clean.clone()
            },
        ] {
            broken.check(1024).expect_err("not a clean load");
        }
    }
}
