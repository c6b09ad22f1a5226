//! `cargo xtask test`: every test of the workspace, with the Debian packages that the end-to-end tests need.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::packages::{self, Need, Presence};
use crate::workspace::{cargo, code, finish, say};

/// What the browser tests drive: Chromium through its driver, with the demo's authority in Chromium's own certificate
/// store, and one font so that the text of a page has a size that can be clicked.
const BROWSER: &[Need] = &[
    Need {
        presence: Presence::Program("chromium"),
        package: "chromium",
    },
    Need {
        presence: Presence::Program("chromedriver"),
        package: "chromium-driver",
    },
    Need {
        presence: Presence::Program("certutil"),
        package: "libnss3-tools",
    },
    Need {
        presence: Presence::FileBelow("/usr/share/fonts", "ttf"),
        package: "fonts-dejavu-core",
    },
];

/// Tells the tests that the browser tests are skipped on purpose; they print a line and pass.
const SKIP_BROWSER: &str = "ASEPSIS_SKIP_BROWSER";

/// Tells the harness that kills the audit log's writer how many rounds to do.
const KILL_ROUNDS: &str = "ASEPSIS_KILL_ROUNDS";

/// How to run the tests.
#[derive(Debug, Args)]
pub struct Options {
    /// Install no package; skip the tests whose packages are missing
    #[arg(long)]
    no_install: bool,

    /// Kill the writer of the audit log at this many random moments instead of the few of a quick run
    #[arg(long, value_name = "N")]
    kill_rounds: Option<u32>,

    /// Arguments for the test runner, such as a part of a test's name
    #[arg(last = true)]
    runner: Vec<String>,
}

/// Runs the tests and returns the runner's exit code; its summary is the last thing on the screen.
///
/// # Errors
/// When cargo cannot be started.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut environment: Vec<(&str, String)> = Vec::new();
    if !browser_ready(!options.no_install) {
        environment.push((SKIP_BROWSER, "1".into()));
    }
    if let Some(rounds) = options.kill_rounds {
        environment.push((KILL_ROUNDS, rounds.to_string()));
    }
    let with = |arguments: &[&str]| {
        let mut command = cargo();
        command
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)));
        command
    };

    if packages::program("cargo-nextest").is_none() {
        let mut tests = with(&["test", "--workspace"]);
        if !options.runner.is_empty() {
            tests.arg("--").args(&options.runner);
        }
        return Ok(code(finish(&mut tests)?));
    }

    // nextest does not know documentation tests, and its summary has to come last; yet a failing example must not hide
    // what the other tests have to say. A person who names a test wants that test alone.
    let documentation = if options.runner.is_empty() {
        Some(finish(&mut with(&[
            "test",
            "--workspace",
            "--doc",
            "--quiet",
        ]))?)
    } else {
        None
    };
    let tests = finish(with(&["nextest", "run", "--workspace"]).args(&options.runner))?;
    if let Some(failed) = documentation.filter(|status| tests.success() && !status.success()) {
        say("error: a documentation test failed, see above");
        return Ok(code(failed));
    }
    Ok(code(tests))
}

/// Whether the browser tests can run, after installing what they need where that is allowed.
fn browser_ready(install_allowed: bool) -> bool {
    if std::env::var_os(SKIP_BROWSER).is_some_and(|value| !value.is_empty() && value != "0") {
        skipped(&format!("`{SKIP_BROWSER}` is set"), None);
        return false;
    }
    let absent = packages::missing(BROWSER);
    if absent.is_empty() {
        return true;
    }
    let why = if !install_allowed {
        "`--no-install` was given".to_owned()
    } else if !packages::may_install() {
        "only root on Debian may install them".to_owned()
    } else {
        match packages::require(BROWSER, true) {
            Ok(()) => return true,
            Err(error) => format!("they could not be installed: {error:#}"),
        }
    };
    skipped(
        &format!("missing {}, and {why}", absent.join(", ")),
        Some(&absent),
    );
    false
}

fn skipped(why: &str, remedy: Option<&[&str]>) {
    say("");
    say("==================== SKIPPED: the browser end-to-end tests ====================");
    say(&format!("  {why}"));
    say("  skipped: every test of `crates/asepsis/tests/browser.rs`");
    if let Some(packages) = remedy {
        say(&format!(
            "  to run them: apt-get install {}",
            packages.join(" ")
        ));
    }
    say("===============================================================================");
    say("");
}
