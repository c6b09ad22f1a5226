//! Our side: the demo with one more application in front of the upstream of the benchmark, and a sample person signed in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use http::StatusCode;
use serde_json::Value;
use xtask::process::Process;
use xtask::workspace::{cargo, say};

use crate::https::Visitor;
use crate::page::form;
use crate::running::output;

/// The name of the benchmark's application and the first label of its host.
pub(crate) const APPLICATION: &str = "bench";

/// Where the person signs in.
const ACCESS_HOST: &str = "access.asepsis.localhost";

/// Where the form of the sample sign-in goes.
const SIGN_IN: &str = "/sample/sign-in";

/// Builds the program with the bench profile and returns where it is.
pub(crate) async fn build() -> Result<PathBuf> {
    say("building asepsis with the bench profile");
    let mut command = cargo();
    command
        .args([
            "build",
            "--profile",
            "bench",
            "--package",
            "asepsis",
            "--bin",
            "asepsis",
        ])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit());
    let (status, printed) = output("the build of asepsis", &mut command).await?;
    ensure!(status.success(), "asepsis does not build");
    executable(&printed).context("cargo did not name the program that it built")
}

fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "asepsis")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// The demo, running.
#[derive(Debug)]
pub(crate) struct Demo {
    pub(crate) process: Process,
    program: PathBuf,
    data: PathBuf,
    pub(crate) log: PathBuf,
    https: u16,
}

impl Demo {
    /// Starts the demo in `folder`, with one worker, in front of the upstream at `upstream`.
    pub(crate) fn start(
        program: &Path,
        folder: &Path,
        (http, https): (u16, u16),
        upstream: u16,
    ) -> Result<Self> {
        let data = folder.join("asepsis");
        fs::create_dir_all(&data).context("cannot make the folder of the demo")?;
        let log = folder.join("asepsis.log");
        let output = fs::File::create(&log).context("cannot write the log of the demo")?;
        let errors = output
            .try_clone()
            .context("cannot write the log of the demo")?;
        let process = Process::start(
            "asepsis",
            Command::new(program)
                .arg("demo")
                .args([
                    "--http-port",
                    &http.to_string(),
                    "--https-port",
                    &https.to_string(),
                ])
                .args(["--workers", "1"])
                .args([
                    "--application",
                    &format!("{APPLICATION}=http://127.0.0.1:{upstream}"),
                ])
                .arg("--data")
                .arg(&data)
                .stdin(Stdio::null())
                .stdout(output)
                .stderr(errors),
        )?;
        Ok(Self {
            process,
            program: program.to_owned(),
            data,
            log,
            https,
        })
    }

    /// The authority that signed the demo's certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.data.join("ca.pem")
    }

    /// Signs a sample person in and opens the benchmark's application; returns its cookies as a `Cookie` header.
    pub(crate) async fn sign_in(&self, host: &str) -> Result<String> {
        let mut visitor = Visitor::new(self.https, &self.authority())?;
        let (at, page) = visitor.open(host, "/page").await?;
        ensure!(
            at == ACCESS_HOST && page.status == StatusCode::OK,
            "no sign-in page but {} from {at}",
            page.status
        );
        let fields = form(&String::from_utf8_lossy(&page.body), SIGN_IN)
            .context("the page offers no sample sign-in")?;
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let (at, answer) = visitor.submit(ACCESS_HOST, SIGN_IN, &fields).await?;
        ensure!(
            at == host && answer.status == StatusCode::OK,
            "the sign-in ended with {} from {at}",
            answer.status
        );
        Ok(visitor.cookies(host))
    }

    /// Ends the demo and returns the microseconds of each stage, when it wrote them.
    pub(crate) fn stop(&mut self) -> Option<Vec<(String, f64)>> {
        self.process.stop();
        let stages: Value = serde_json::from_str(&read(&self.data.join("stages.json"))).ok()?;
        let stage = |stage: &Value| {
            Some((
                stage["stage"].as_str()?.to_owned(),
                stage["mean_us"].as_f64()?,
            ))
        };
        stages.as_array()?.iter().map(stage).collect()
    }

    /// Verifies the log that the demo left and returns how many records it holds.
    pub(crate) async fn verify(&self) -> Result<u64> {
        let mut command = Command::new(&self.program);
        command
            .args(["audit", "verify"])
            .arg(self.data.join("audit"))
            .args(["--format", "json"])
            .stderr(Stdio::inherit());
        let (status, printed) = output("`asepsis audit verify`", &mut command).await?;
        ensure!(
            status.success(),
            "the audit log does not verify: {}",
            printed.trim()
        );
        let value: Value = printed
            .lines()
            .last()
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_default();
        value["size"]
            .as_u64()
            .context("`asepsis audit verify` told no size")
    }
}

/// The text of `file`, or nothing when it cannot be read.
pub(crate) fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}
