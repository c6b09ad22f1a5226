//! Namespaces, and the bridge that joins them.

use std::process::Command;

use anyhow::Result;

use super::{path_of, quiet};

/// A bridge in a namespace of its own, with a mirror port, and one namespace for each host. All of it goes with this value.
#[derive(Debug)]
pub(super) struct Network {
    prefix: String,
    made: Vec<String>,
    ports: usize,
}

/// The interface of the mirror port, in the bridge's namespace.
pub(super) const MIRROR: &str = "mirror0";
/// Name of the bridge's namespace.
pub(super) const CORE: &str = "core";

impl Network {
    /// The bridge and its mirror port.
    pub(super) fn open() -> Result<Self> {
        let mut network = Self {
            prefix: format!("lab{}-", std::process::id()),
            made: Vec::new(),
            ports: 0,
        };
        network.namespace(CORE)?;
        for line in [
            // Without learnt addresses a bridge floods, and the mirror sees every frame.
            "link add br0 type bridge ageing_time 0",
            "link set br0 up",
            "link add mirror0 type veth peer name mirrorp",
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

    fn namespace(&mut self, name: &str) -> Result<()> {
        let full = self.full(name);
        quiet(Command::new(path_of("ip")).args(["netns", "add", &full]))?;
        self.made.push(full);
        self.ip(name, "link set lo up")
    }

    fn ip(&self, name: &str, words: &str) -> Result<()> {
        quiet(
            Command::new(path_of("ip"))
                .args(["-n", &self.full(name)])
                .args(words.split(' ')),
        )
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.made {
            // One that is gone already needs no removing.
            let _ = quiet(Command::new(path_of("ip")).args(["netns", "del", name]));
        }
    }
}
