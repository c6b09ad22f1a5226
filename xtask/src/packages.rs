//! Programs that a chore needs and the Debian packages that bring them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::workspace::say;

/// A program or file that a chore needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// How to see whether it is there.
    pub presence: Presence,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// How to see whether something is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// A program of this name in a folder where programs are.
    Program(&'static str),
    /// Any file with this ending below this folder.
    FileBelow(&'static str, &'static str),
    /// A module of Debian's own Python.
    PythonModule(&'static str),
}

/// Folders searched besides `PATH`: Debian keeps servers where an ordinary user's `PATH` does not look.
const SYSTEM_FOLDERS: &[&str] = &["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// The program `name`, when it is installed.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
}

/// The packages of `needs` that are missing, each once, in the order of `needs`.
#[must_use]
pub fn missing(needs: &[Need]) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for need in needs {
        let present = match need.presence {
            Presence::Program(name) => program(name).is_some(),
            Presence::FileBelow(folder, ending) => has_file_below(Path::new(folder), ending, 4),
            Presence::PythonModule(name) => has_module(name),
        };
        if !present && !packages.contains(&need.package) {
            packages.push(need.package);
        }
    }
    packages
}

/// Whether this process may install packages: it is root and `apt-get` is there.
#[must_use]
pub fn may_install() -> bool {
    rustix::process::geteuid().is_root() && program("apt-get").is_some()
}

/// Installs `packages` with `apt-get`, without their recommendations and without a question.
///
/// # Errors
/// When `apt-get` fails; the error ends with what it said last.
pub fn install(packages: &[&str]) -> Result<()> {
    say(&format!("installing {} with apt-get", packages.join(", ")));
    // An index that cannot be refreshed may still know the packages, so only the installation decides.
    let refreshed = apt_get(&["update"]);
    match (
        apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat()),
        refreshed,
    ) {
        (Ok(()), _) => {
            say(&format!("installed {}", packages.join(", ")));
            Ok(())
        }
        (Err(error), Ok(())) => Err(error),
        (Err(error), Err(refresh)) => Err(error.context(refresh)),
    }
}

/// Sees that `needs` are met for a chore that cannot go on without them.
///
/// # Errors
/// Names the packages to install when they are missing and may not be installed.
pub fn require(needs: &[Need], install_allowed: bool) -> Result<()> {
    let absent = missing(needs);
    if absent.is_empty() {
        return Ok(());
    }
    if !install_allowed || !may_install() {
        bail!(
            "missing packages; hint: run `apt-get install {}` as root, then try again",
            absent.join(" ")
        );
    }
    install(&absent)?;
    let absent = missing(needs);
    if !absent.is_empty() {
        bail!(
            "`apt-get` reported success, yet {} did not bring what is needed",
            absent.join(", ")
        );
    }
    Ok(())
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["-q", "-o", "DPkg::Lock::Timeout=120"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("cannot start `apt-get`")?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let last = lines.len().saturating_sub(10);
    bail!(
        "`apt-get {}` failed:\n{}",
        arguments.join(" "),
        lines[last..].join("\n")
    );
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn has_module(name: &str) -> bool {
    Command::new("/usr/bin/python3")
        .args(["-c", &format!("import {name}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn has_file_below(folder: &Path, ending: &str, depth: u8) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let path = entry.path();
        let matches = path.extension().is_some_and(|found| found == ending);
        matches || (depth > 0 && path.is_dir() && has_file_below(&path, ending, depth - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_programs_are() {
        assert!(program("sh").is_some());
        assert_eq!(program("asepsis-no-such-program"), None);
    }

    #[test]
    fn each_missing_package_is_named_once() {
        let absent = Presence::Program("asepsis-no-such-program");
        let needs = [
            Need {
                presence: absent,
                package: "one",
            },
            Need {
                presence: absent,
                package: "one",
            },
            Need {
                presence: Presence::Program("sh"),
                package: "dash",
            },
            Need {
                presence: Presence::FileBelow("/asepsis-no-such-folder", "ttf"),
                package: "two",
            },
        ];
        assert_eq!(missing(&needs), ["one", "two"]);
    }

    #[test]
    fn a_chore_without_its_packages_names_the_remedy() {
        let needs = [Need {
            presence: Presence::Program("asepsis-no-such-program"),
            package: "no-such-package",
        }];
        let error = require(&needs, false).expect_err("the package cannot be there");
        assert!(
            error
                .to_string()
                .contains("apt-get install no-such-package"),
            "{error}"
        );
    }

    #[test]
    fn files_are_found_below_a_folder_by_their_ending() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir_all(folder.path().join("a/b")).expect("folders");
        assert!(!has_file_below(folder.path(), "ttf", 4));
        std::fs::write(folder.path().join("a/b/plain.ttf"), b"").expect("a file");
        assert!(has_file_below(folder.path(), "ttf", 4));
    }
}
