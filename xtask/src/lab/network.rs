//! Namespaces, and the bridge that joins them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::guard::Guard;
use super::{path_of, quiet};

/// A bridge in a namespace of its own, with a mirror port, and one namespace for each host. All of it goes with this value,
/// and with this process, unless it shall stay.
#[derive(Debug)]
pub(super) struct Network {
    prefix: String,
    ports: usize,
    guard: Guard,
}

/// The interface of the mirror port, in the bridge's namespace.
pub(super) const MIRROR: &str = "mirror0";
/// Name of the bridge's namespace.
pub(super) const CORE: &str = "core";

impl Network {
    /// The bridge and its mirror port.
    pub(super) fn open(prefix: &str, folder: &Path) -> Result<Self> {
        let mut network = Self {
            prefix: prefix.to_owned(),
            ports: 0,
            guard: Guard::start(prefix, folder)?,
        };
        network.namespace(CORE)?;
        // The kernel itself would speak for bridge and ports, with addresses of nobody: neighbours, multicast listeners.
        quiet(network.command(CORE, "sh").args([
            "-c",
            "for which in all default; do echo 1 > /proc/sys/net/ipv6/conf/$which/disable_ipv6 || exit; done",
        ]))?;
        for line in [
            // Without learnt addresses a bridge floods, and the mirror sees every frame.
            "link add br0 type bridge ageing_time 0",
            "link set br0 up",
            "link add mirror0 type veth peer name mirrorp",
            "link set mirror0 arp off multicast off",
            "link set mirrorp master br0 up",
            "link set mirror0 up",
        ] {
            network.ip(CORE, line)?;
        }
        Ok(network)
    }

    /// A host on the bridge. It has no address unless one is given.
    pub(super) fn host(&mut self, name: &str, mac: &str, address: Option<&str>) -> Result<()> {
        self.namespace(name)?;
        self.ports += 1;
        let port = format!("p{}", self.ports);
        let there = self.full(name);
        self.ip(
            CORE,
            &format!("link add {port} type veth peer name eth0 netns {there}"),
        )?;
        self.ip(CORE, &format!("link set {port} master br0 up"))?;
        self.ip(name, &format!("link set eth0 address {mac} up"))?;
        if let Some(address) = address {
            self.address(name, address)?;
        }
        self.ip(name, "route add 224.0.0.0/4 dev eth0")
    }

    /// Gives a host an address.
    pub(super) fn address(&self, name: &str, address: &str) -> Result<()> {
        self.ip(name, &format!("addr add {address}/24 dev eth0 brd +"))
    }

    /// A command that runs in a namespace.
    pub(super) fn command(&self, name: &str, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(path_of("ip"));
        command
            .args(["netns", "exec", &self.full(name)])
            .arg(program);
        command
    }

    /// Packets that went out of the mirror port's interface.
    pub(super) fn sent_by_mirror(&self) -> Result<u64> {
        let output = Command::new(path_of("ip"))
            .args(["-n", &self.full(CORE)])
            .args(["-j", "-s", "link", "show", MIRROR])
            .output()
            .context("cannot start `ip`")?;
        let links: Value = serde_json::from_slice(&output.stdout)
            .context("`ip -j` said nothing of the mirror port")?;
        links
            .pointer("/0/stats64/tx/packets")
            .and_then(Value::as_u64)
            .context("`ip -j -s` does not count the mirror port's packets")
    }

    /// Whether anybody in a namespace has a socket for raw packets.
    pub(super) fn has_packet_socket(&self, name: &str) -> bool {
        let output = self.command(name, "cat").arg("/proc/net/packet").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).lines().count() > 1)
    }

    /// Whether anybody in a namespace listens on a TCP port.
    pub(super) fn listens(&self, name: &str, port: u16) -> bool {
        let output = self
            .command(name, path_of("ss"))
            .args(["-H", "-l", "-t", "-n", &format!("sport = :{port}")])
            .output();
        output.is_ok_and(|output| !output.stdout.is_empty())
    }

    /// The network stays when this value goes.
    pub(super) fn let_stay(&mut self) -> Result<()> {
        self.guard.let_stay()
    }

    fn namespace(&mut self, name: &str) -> Result<()> {
        let full = self.full(name);
        quiet(Command::new(path_of("ip")).args(["netns", "add", &full]))?;
        self.ip(name, "link set lo up")
    }

    fn ip(&self, name: &str, words: &str) -> Result<()> {
        quiet(
            Command::new(path_of("ip"))
                .args(["-n", &self.full(name)])
                .args(words.split(' ')),
        )
        .with_context(|| format!("`ip {words}` for {name}"))
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
