//! `cargo xtask lab`: a small hospital network of real programs in network namespaces, with Asepsis on its mirror port.
//!
//! A bridge that floods (no learnt addresses, so the mirror sees every frame) joins hosts that each live in a namespace of
//! their own: a CT scanner (dcmtk) sends to an archive (Orthanc), a pump reports to an interface engine (python3-hl7), two
//! different DHCP clients ask one server, a printer announces itself (CUPS, Avahi), a workstation resolves a name and browses
//! (Chromium), a building controller, a monitor that speaks SDC, a sensor over MQTT, a switch that answers SNMP, and an
//! intruder (nmap). Nothing leaves the namespaces. What Asepsis makes of it is compared with what is true.
//!
//! However the lab ends, also by Ctrl-C or by force, a guard clears away; with `--keep` it stays until `--remove`.

mod guard;
mod hosts;
mod network;
mod verdict;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::packages::{self, Need, Presence, program};
use crate::workspace::{cargo, root, say};

use hosts::Lab;
use verdict::Answers;

/// Options of `cargo xtask lab`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How to print the findings.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Leave network and programs standing, and the folder with every program's words and Asepsis's answer.
    #[arg(long)]
    pub keep: bool,
    /// Clear away a lab that was kept; its name is what its namespaces' names begin with.
    #[arg(long, value_name = "LAB", conflicts_with = "keep")]
    pub remove: Option<String>,
    /// Use this asepsis instead of building it.
    #[arg(long, value_name = "FILE")]
    pub program: Option<PathBuf>,
    /// Do not install packages.
    #[arg(long)]
    pub no_install: bool,
    /// What the lab starts itself with, to clear away when it ends.
    #[arg(long, hide = true, num_args = 2, value_names = ["LAB", "FOLDER"])]
    pub guard: Vec<String>,
}

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables, for people.
    Text,
    /// One JSON object.
    Json,
}

/// What the names of every lab's namespaces begin with.
const PREFIX: &str = "asepsis-lab";

const NEEDS: &[Need] = &[
    need("ip", "iproute2"),
    need("storescu", "dcmtk"),
    need("Orthanc", "orthanc"),
    need("dnsmasq", "dnsmasq-base"),
    need("dhclient", "isc-dhcp-client"),
    need("udhcpc", "udhcpc"),
    need("snmpd", "snmpd"),
    need("snmpget", "snmp"),
    need("ippeveprinter", "cups-ipp-utils"),
    need("avahi-daemon", "avahi-daemon"),
    need("dbus-daemon", "dbus"),
    need("mosquitto", "mosquitto"),
    need("mosquitto_pub", "mosquitto-clients"),
    need("nmap", "nmap"),
    need("chromium", "chromium"),
    Need {
        presence: Presence::PythonModule("hl7"),
        package: "python3-hl7",
    },
    Need {
        presence: Presence::PythonModule("ensurepip"),
        package: "python3-venv",
    },
];

/// What Debian does not have, from Python's package index. Versions that were tried.
const PYTHON_PACKAGES: &[(&str, &str)] = &[("bacpypes3", "0.0.110"), ("sdc11073", "3.0.0")];

const fn need(name: &'static str, package: &'static str) -> Need {
    Need {
        presence: Presence::Program(name),
        package,
    }
}

/// Runs the lab.
///
/// # Errors
/// When it cannot run here; what Asepsis got wrong is no error but exit code 1.
pub fn run(options: &Options) -> Result<ExitCode> {
    if let [prefix, folder] = options.guard.as_slice() {
        guard::stand(prefix, Path::new(folder))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !rustix::process::geteuid().is_root() {
        bail!("the lab makes network namespaces; hint: run it as root");
    }
    if let Some(name) = &options.remove {
        return remove(name);
    }
    packages::require(NEEDS, !options.no_install)?;
    let asepsis = match &options.program {
        Some(program) => std::fs::canonicalize(program)
            .with_context(|| format!("cannot use `{}`", program.display()))?,
        None => build()?,
    };
    let python = python_with_packages(!options.no_install)?;
    let name = format!("{PREFIX}{}-", std::process::id());
    let folder = folder(&name);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create `{}`", folder.display()))?;
    say("the network comes up");
    let mut lab = Lab::open(&name, &folder, &python)?;
    let answers = live(&lab, &asepsis).inspect_err(|_| {
        for line in lab.last_words() {
            say(&format!("  {line}"));
        }
    })?;
    let verdict = verdict::judge(&answers)?;
    let printed = match options.format {
        Format::Text => verdict.text(),
        Format::Json => format!("{}\n", verdict.json()),
    };
    std::io::stdout()
        .write_all(printed.as_bytes())
        .context("cannot print the findings")?;
    if options.keep {
        lab.let_stay()?;
        say(&format!(
            "the lab stands: {}\n  a host's shell   ip netns exec {name}ws bash\n  clear away       cargo xtask lab --remove {name}",
            folder.display()
        ));
    }
    Ok(if verdict.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The hospital's day, with Asepsis at the mirror.
fn live(lab: &Lab, asepsis: &Path) -> Result<Answers> {
    let listening = lab.listen(asepsis)?;
    say("the servers start");
    lab.serve()?;
    say("the clients work");
    lab.live()?;
    let devices = listening.finish()?;
    Ok(Answers {
        devices,
        conversations: lab.conversations(asepsis)?,
        words: lab.words()?,
        sent: lab.sent_by_mirror()?,
    })
}

fn remove(name: &str) -> Result<ExitCode> {
    let name = &format!("{}-", name.trim_end_matches('-'));
    let names = guard::namespaces(name)?;
    let folder = folder(name);
    if names.is_empty() && !folder.exists() {
        bail!("no lab is called `{name}` (hint: `ip netns list` shows what stands)");
    }
    guard::clear(name, Some(&folder))?;
    say(&format!("{} namespaces are gone", names.len()));
    Ok(ExitCode::SUCCESS)
}

/// The folder of the lab of this name.
fn folder(name: &str) -> PathBuf {
    std::env::temp_dir().join(name.trim_end_matches('-'))
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

fn build() -> Result<PathBuf> {
    let status = cargo()
        .args(["build", "--locked", "--package", "asepsis"])
        .status()
        .context("cannot start cargo")?;
    anyhow::ensure!(status.success(), "asepsis does not build");
    Ok(target().join("debug/asepsis"))
}

/// A Python that has the packages which Debian has not, kept for the next time.
fn python_with_packages(install: bool) -> Result<PathBuf> {
    let venv = target().join("lab-python");
    let python = venv.join("bin/python");
    let has_all = |python: &Path| {
        PYTHON_PACKAGES.iter().all(|(module, _)| {
            quiet(Command::new(python).args(["-c", &format!("import {module}")])).is_ok()
        })
    };
    let system = PathBuf::from("/usr/bin/python3");
    for there in [&python, &system] {
        if has_all(there) {
            return Ok(there.clone());
        }
    }
    let wanted: Vec<String> = PYTHON_PACKAGES
        .iter()
        .map(|(name, version)| format!("{name}=={version}"))
        .collect();
    anyhow::ensure!(
        install,
        "Python lacks {}; hint: leave out --no-install",
        wanted.join(" and ")
    );
    say(&format!(
        "installing {} with pip into {}",
        wanted.join(", "),
        venv.display()
    ));
    quiet(Command::new(&system).args(["-m", "venv"]).arg(&venv))?;
    quiet(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--no-input"])
            .args(&wanted),
    )
    .context(
        "the controller and the monitor need packages of Python's index; hint: is it reachable?",
    )?;
    Ok(python)
}

/// Runs a command that has nothing to say unless it fails.
fn quiet(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{}`", command.get_program().display()))?;
    anyhow::ensure!(
        output.status.success(),
        "`{}` failed: {}",
        command.get_program().display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Where the lab's scripts are.
fn scripts() -> PathBuf {
    root().join("xtask/lab")
}

/// A program's full path, which `require` has seen.
fn path_of(name: &str) -> PathBuf {
    program(name).unwrap_or_else(|| PathBuf::from(name))
}
