//! The checkout, the `cargo` that started us, and the line we say to a person.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use anyhow::{Context as _, Result};

/// The root of the checkout.
///
/// `cargo run` names the package folder at run time; the path known when compiling would be wrong for a binary that two
/// checkouts share through one target folder.
#[must_use]
pub fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    package.parent().map_or(package.clone(), Path::to_path_buf)
}

/// `cargo`, the same toolchain that runs this chore, in the root of the checkout.
#[must_use]
pub fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root());
    // What cargo told us about our own package must not reach the packages that it builds next.
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if ours {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `command` to its end and returns its status, with an error only when it cannot be started.
///
/// # Errors
/// When the program is missing or may not be executed.
pub fn finish(command: &mut Command) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .status()
        .with_context(|| format!("cannot start `{program}`"))
}

/// The exit code that passes `status` on to whoever started us.
#[must_use]
pub fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match code {
        Some(code) => ExitCode::from(code),
        None => ExitCode::FAILURE,
    }
}

/// Says one line to the person at the terminal; the results of a chore go to standard output instead.
pub fn say(line: &str) {
    // A closed terminal is no reason to fail a chore.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
