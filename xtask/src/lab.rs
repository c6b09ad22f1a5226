//! `cargo xtask lab`: a small hospital network of real programs in network namespaces, with Asepsis on its mirror port.
//!
//! A bridge that floods (no learnt addresses, so the mirror sees every frame) joins hosts that each live in a namespace of
//! their own: a CT scanner (dcmtk) sends to an archive (Orthanc), a pump reports to an interface engine (python3-hl7), two
//! different DHCP clients ask one server, a printer announces itself (CUPS, Avahi), a workstation browses (Chromium), a
//! building controller, a monitor that speaks SDC, a sensor over MQTT, a switch that answers SNMP, and an intruder (nmap).
//! Nothing leaves the namespaces. What Asepsis makes of it is compared with what is true.

mod hosts;
mod network;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::packages::{self, Need, Presence, program};
use crate::workspace::{root, say};

use hosts::Lab;

/// Options of `cargo xtask lab`.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Keep the folder with every program's words and Asepsis's answer.
    #[arg(long)]
    pub keep: bool,
    /// How long Asepsis listens, in seconds; the programs need about 25.
    #[arg(long, default_value_t = 40)]
    pub seconds: u64,
    /// Do not install packages.
    #[arg(long)]
    pub no_install: bool,
}

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
        presence: Presence::FileBelow("/usr/lib/python3/dist-packages/hl7", "py"),
        package: "python3-hl7",
    },
    Need {
        presence: Presence::FileBelow("/usr/lib/python3.11/venv", "py"),
        package: "python3-venv",
    },
];

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
    if !rustix::process::geteuid().is_root() {
        bail!("the lab makes network namespaces; hint: run it as root");
    }
    packages::require(NEEDS, !options.no_install)?;
    let asepsis = build()?;
    let python = python_with(&["bacpypes3", "sdc11073"])?;
    let folder = folder()?;
    say("the lab comes up");
    let lab = Lab::open(&folder, &python)?;
    let listening = Duration::from_secs(options.seconds);
    let discover = lab.listen(&asepsis, listening)?;
    lab.live()?;
    let output = discover.finish(listening + Duration::from_secs(30))?;
    drop(lab);
    let verdict = verdict::judge(&output)?;
    for line in &verdict.lines {
        say(line);
    }
    if options.keep {
        say(&format!("everything is kept in {}", folder.display()));
    } else {
        std::fs::remove_dir_all(&folder).context("removing the lab's folder")?;
    }
    Ok(if verdict.passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn build() -> Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--package", "asepsis"])
        .current_dir(root())
        .status()
        .context("cannot start cargo")?;
    anyhow::ensure!(status.success(), "asepsis does not build");
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    Ok(target.join("debug/asepsis"))
}

/// A Python of its own with these packages, kept for the next time.
fn python_with(modules: &[&str]) -> Result<PathBuf> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let venv = target.join("lab-python");
    let python = venv.join("bin/python");
    let present = |module: &&str| {
        quiet(Command::new(&python).args(["-c", &format!("import {module}")])).is_ok()
    };
    if modules.iter().all(present) {
        return Ok(python);
    }
    say(&format!("installing {} for Python", modules.join(", ")));
    quiet(
        Command::new("/usr/bin/python3")
            .args(["-m", "venv"])
            .arg(&venv),
    )?;
    quiet(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(modules),
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

fn folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("asepsis-lab-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create `{}`", folder.display()))?;
    Ok(folder)
}

/// Where the lab's scripts are.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("lab")
}

/// A program's full path, which `require` has seen.
fn path_of(name: &str) -> PathBuf {
    program(name).unwrap_or_else(|| PathBuf::from(name))
}
