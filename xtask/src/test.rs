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

/// What the tests in network namespaces drive. A RADIUS server is not among them, since its package starts a service: the
/// tests beside FreeRADIUS run where it is installed and print a line where it is not.
const NETWORK: &[Need] = &[
    Need {
        presence: Presence::Program("nft"),
        package: "nftables",
    },
    Need {
        presence: Presence::Program("ip"),
        package: "iproute2",
    },
];

/// The tests that need [`NETWORK`].
const NETWORK_TESTS: &str = "`crates/enforce/tests` and `crates/capture/tests/live.rs`";

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
    if let Err(why) = ready(NETWORK, !options.no_install) {
        skipped("in network namespaces", NETWORK_TESTS, &why, NETWORK);
    }
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
    let asked =
        std::env::var_os(SKIP_BROWSER).is_some_and(|value| !value.is_empty() && value != "0");
    let ready = if asked {
        Err(format!("`{SKIP_BROWSER}` is set"))
    } else {
        ready(BROWSER, install_allowed)
    };
    if let Err(why) = &ready {
        let tests = "every test of `crates/asepsis/tests/browser.rs`";
        skipped("with a browser", tests, why, BROWSER);
    }
    ready.is_ok()
}

/// Sees that `needs` are there, after installing them where that is allowed; or why they are not.
fn ready(needs: &[Need], install_allowed: bool) -> Result<(), String> {
    let absent = packages::missing(needs);
    if absent.is_empty() {
        return Ok(());
    }
    let why = if !install_allowed {
        "`--no-install` was given".to_owned()
    } else if !packages::may_install() {
        "only root on Debian may install them".to_owned()
    } else {
        match packages::require(needs, true) {
            Ok(()) => return Ok(()),
            Err(error) => format!("they could not be installed: {error:#}"),
        }
    };
    Err(format!("missing {}, and {why}", absent.join(", ")))
}

fn skipped(kind: &str, tests: &str, why: &str, needs: &[Need]) {
    say("");
    say(&format!(
        "==================== SKIPPED: the end-to-end tests {kind} ===================="
    ));
    say(&format!("  {why}"));
    say(&format!("  skipped: {tests}"));
    let absent = packages::missing(needs);
    if !absent.is_empty() {
        say(&format!(
            "  to run them: apt-get install {}",
            absent.join(" ")
        ));
    }
    say("===============================================================================");
    say("");
}
