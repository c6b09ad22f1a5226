//! Who else reads captures, each as its manual says, quiet, one thread.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use xtask::packages::program;

use crate::cost::{self, Cost};
use crate::report::Side;

/// Packets that tshark reads: at its rate the whole capture takes minutes.
const TSHARK_PACKETS: u64 = 200_000;

/// One run over `file`, which has `packets`; answers how many of them were read.
pub(crate) fn run(side: Side, file: &Path, packets: u64, folder: &Path) -> Result<(Cost, u64)> {
    let name = side.program();
    let path = program(name)
        .with_context(|| format!("`{name}` is missing; hint: run `cargo xtask bench sense`"))?;
    let mut command = Command::new(path);
    match side {
        Side::Ours | Side::Suricata => {}
        Side::Ndpi => {
            command.arg("-i").arg(file).arg("-q");
        }
        Side::P0f => {
            command
                .arg("-r")
                .arg(file)
                .arg("-o")
                .arg(folder.join("p0f.log"));
        }
        Side::Tshark => {
            command.args(["-c", &TSHARK_PACKETS.to_string()]);
            command
                .args([
                    "-n",
                    "-q",
                    "-T",
                    "fields",
                    "-e",
                    "ip.src",
                    "-e",
                    "_ws.col.Protocol",
                ])
                .args(["-e", "dns.qry.name", "-r"])
                .arg(file);
        }
    }
    if side == Side::Suricata {
        // Single-threaded, without rules, checksums as they come; its own logs are what it extracts.
        command.args(["--runmode", "single", "-k", "none", "-S", "/dev/null", "-l"]);
        command.arg(folder).arg("-r").arg(file);
    }
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let (cost, _) = cost::of(name, command)?;
    let read = match side {
        Side::Tshark => packets.min(TSHARK_PACKETS),
        _ => packets,
    };
    Ok((cost, read))
}
