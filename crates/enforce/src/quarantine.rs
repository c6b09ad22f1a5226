//! The kill switch: a contained device is cut off at once, live connections included.
//!
//! It has tables of its own that are evaluated before everything else, and shares no set with the policy, so that a
//! policy update neither delays nor undoes it. Elements lie in ordinary tables: they outlive the program, and a release in
//! due time is the kernel's own (element timeout). A restart of the machine empties the kernel; whoever keeps the
//! containments puts them back with [`KillSwitch::contain`].
//!
//! The one thing that a change has to wait for is another change of the same namespace's ruleset, since the kernel makes
//! one at a time. That is why [`crate::ruleset`] loads large maps in small pieces.

mod layout;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::Serialize;
use smol_str::format_smolstr;

use domain::Timestamp;
use domain::net::{Mac, Transport};
use segment::quarantine::Containment;

use crate::netlink::message::Batch;
use crate::nft::kernel::Kernel;
use crate::nft::object::{Element, Family, Match, Table, key};
use crate::refusal::Refusal;

use layout::Version;

/// Most addresses, MAC addresses and lifelines of one containment.
const PARTS_MAX: usize = 1024;

/// The kill switch of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct KillSwitch {
    kernel: Kernel,
    tables: Vec<Table>,
}

/// How a change took effect, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// Where: `nftables`.
    pub target: &'static str,
    /// Families it holds in: `inet`, `bridge`.
    pub families: Vec<&'static str>,
    /// Microseconds from the call to the kernel's acknowledgement; no packet passes after it.
    pub acknowledged_us: u64,
    /// Microseconds from the call until it was read back.
    pub read_back_us: u64,
}

/// A contained address, as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contained {
    /// The address.
    pub who: Who,
    /// Until it is released by the kernel; absent: until somebody does.
    pub remaining_ms: Option<u64>,
    /// Packets from or to it since, lifeline included.
    pub packets: u64,
}

/// A contained address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// An IP address.
    Address(IpAddr),
    /// A MAC address.
    Mac(Mac),
}

impl KillSwitch {
    /// Connects to the kernel and sees that tables and rules are in place. Containments that are there stay.
    ///
    /// # Errors
    /// When privileges are missing or the kernel lacks nftables; nothing has changed then. A kernel without the bridge
    /// family gets the routed part only, which [`KillSwitch::families`] tells.
    pub fn open() -> Result<Self, Refusal> {
        let mut kernel = Kernel::open()?;
        let mut families = vec![Family::Inet, Family::Bridge];
        let make = |families: &[Family]| {
            let mut batch = Batch::new();
            for family in families {
                layout::install(&mut batch, *family);
            }
            batch
        };
        match kernel.commit(make(&families)) {
            Ok(()) => {}
            Err(refusal) if refusal.is_unsupported() => {
                families = vec![Family::Inet];
                kernel.commit(make(&families))?;
            }
            Err(refusal) => return Err(refusal),
        }
        Ok(Self {
            kernel,
            tables: families.into_iter().map(layout::table).collect(),
        })
    }

    /// Families in which it holds.
    pub fn families(&self) -> Vec<&'static str> {
        self.tables.iter().map(|t| t.family.name()).collect()
    }

    /// Cuts a device off. If it is contained already, its lifeline and end become those given.
    ///
    /// # Errors
    /// When the containment names no device or something that is none, ended already, or the kernel refuses; nothing has
    /// changed then.
    pub fn contain(
        &mut self,
        containment: &Containment,
        now: Timestamp,
    ) -> Result<Effect, Refusal> {
        let began = Instant::now();
        let parts = Parts::of(containment, now)?;
        let mut batch = Batch::new();
        for table in &self.tables {
            for (set, element) in &parts.elements {
                batch.new_elements(table, set, [element]);
            }
        }
        match self.kernel.commit(batch) {
            Ok(()) => {}
            Err(refusal) if refusal.is_present() => {
                // Contained already: what is there goes and what is wanted comes in one change. Somebody else may
                // release in between, so that what is to go is gone: then it is read again.
                let mut attempts = 0;
                loop {
                    let mut batch = Batch::new();
                    self.forget(&mut batch, containment)?;
                    for table in &self.tables {
                        for (set, element) in &parts.elements {
                            batch.elements(table, set, [element]);
                        }
                    }
                    match self.kernel.commit(batch) {
                        Err(refusal) if refusal.is_absent() && attempts < 8 => attempts += 1,
                        other => break other?,
                    }
                }
            }
            Err(refusal) => return Err(refusal),
        }
        let acknowledged = began.elapsed();
        for table in &self.tables {
            for (set, element) in &parts.elements {
                let Match::Key(key) = &element.matches else {
                    continue;
                };
                let there = self.kernel.element(table, set, key)?;
                let same = there.is_some_and(|seen| seen.timeout_ms == element.timeout_ms);
                if !same {
                    return Err(Refusal::new(
                        format_smolstr!("read back set `{set}` of the quarantine"),
                        "it does not hold what the kernel acknowledged",
                    )
                    .hint("another program may be changing the table `asepsis_quarantine`; quarantine again and look at `nft list ruleset`"));
                }
            }
        }
        Ok(self.effect(acknowledged, began))
    }

    /// Lets a device back.
    ///
    /// # Errors
    /// When the kernel refuses; nothing has changed then. A device that is not contained is no error.
    pub fn release(&mut self, containment: &Containment) -> Result<Effect, Refusal> {
        let began = Instant::now();
        let mut attempts = 0;
        loop {
            let mut batch = Batch::new();
            self.forget(&mut batch, containment)?;
            match self.kernel.commit(batch) {
                Err(refusal) if refusal.is_absent() && attempts < 8 => attempts += 1,
                other => break other?,
            }
        }
        let acknowledged = began.elapsed();
        for who in self.contained()? {
            let (addresses, macs) = (&containment.addresses, &containment.macs);
            let still = match who.who {
                Who::Address(address) => addresses.contains(&address),
                Who::Mac(mac) => macs.contains(&mac),
            };
            if still {
                return Err(
                    Refusal::new("read back the release", "the device is still contained")
                        .hint("another program may have contained it again; release again"),
                );
            }
        }
        Ok(self.effect(acknowledged, began))
    }

    /// Who is contained, as the kernel has it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn contained(&mut self) -> Result<Vec<Contained>, Refusal> {
        let mut out: Vec<Contained> = Vec::new();
        for table in &self.tables {
            for set in ["devices4", "devices6", "macs"] {
                for seen in self.kernel.elements(table, set, false)? {
                    let Match::Key(key) = &seen.matches else {
                        continue;
                    };
                    let Some(who) = who(key) else { continue };
                    let packets = seen.packets.unwrap_or(0);
                    match out.iter_mut().find(|c| c.who == who) {
                        Some(known) => known.packets += packets,
                        None => out.push(Contained {
                            who,
                            remaining_ms: seen.expires_ms,
                            packets,
                        }),
                    }
                }
            }
        }
        out.sort_by_key(|c| c.who);
        Ok(out)
    }

    /// Deletes what the kernel has of a device: its addresses, and the lifelines in which it is the device.
    fn forget(&mut self, batch: &mut Batch, containment: &Containment) -> Result<(), Refusal> {
        for table in &self.tables {
            for (set, own) in Parts::own(containment) {
                if self.kernel.element(table, &set, &own)?.is_some() {
                    batch.delete_elements(table, &set, [&Element::of(own)]);
                }
            }
            for version in Version::BOTH {
                let devices: BTreeSet<Vec<u8>> = containment
                    .addresses
                    .iter()
                    .filter(|a| version_of(**a) == version)
                    .map(|a| octets(*a))
                    .collect();
                if devices.is_empty() {
                    continue;
                }
                for name in ["peers", "opens", "answers"] {
                    let set = format!("{name}{}", version.digit());
                    for seen in self.kernel.elements(table, &set, false)? {
                        if let Match::Key(key) = seen.matches
                            && devices.iter().any(|device| key.starts_with(device))
                        {
                            batch.delete_elements(table, &set, [&Element::of(key)]);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn effect(&self, acknowledged: Duration, began: Instant) -> Effect {
        let us = |d: Duration| u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        Effect {
            target: "nftables",
            families: self.families(),
            acknowledged_us: us(acknowledged),
            read_back_us: us(began.elapsed()),
        }
    }
}

/// The elements that make a containment, each with its set.
struct Parts {
    elements: Vec<(String, Element)>,
}

impl Parts {
    fn of(containment: &Containment, now: Timestamp) -> Result<Self, Refusal> {
        let refused = |what: String| Refusal::new("quarantine the device", what);
        let count =
            containment.addresses.len() + containment.macs.len() + containment.lifeline.len();
        if containment.addresses.is_empty() && containment.macs.is_empty() {
            return Err(refused("it has neither an IP nor a MAC address".to_owned())
                .hint("name an address, or wait until the inventory has seen one"));
        }
        if count > PARTS_MAX {
            return Err(refused(format!(
                "it has {count} addresses and lifelines; at most {PARTS_MAX} are taken"
            )));
        }
        if let Some(address) = containment.addresses.iter().find(|a| !names_a_device(**a)) {
            return Err(
                refused(format!("`{address}` is not the address of one device"))
                    .hint("give its unicast address"),
            );
        }
        if let Some(mac) = containment.macs.iter().find(|m| !m.is_unicast()) {
            return Err(
                refused(format!("`{mac}` is not the MAC address of one interface"))
                    .hint("give its unicast address"),
            );
        }
        let timeout_ms = match containment.until {
            None => None,
            Some(until) if until <= now => {
                return Err(refused("its end has passed already".to_owned())
                    .hint("give a duration such as `2h`, or none"));
            }
            Some(until) => u64::try_from(until.since(now).as_millis()).ok(),
        };
        let mut elements: BTreeSet<(String, Vec<u8>)> =
            Self::own_devices(containment).into_iter().collect();
        for lifeline in &containment.lifeline {
            let Some(protocol) = protocol(lifeline.transport) else {
                return Err(refused(format!(
                    "a lifeline over `{}` has no port to keep it narrow",
                    lifeline.transport
                ))
                .hint("name lifelines over tcp, udp or sctp"));
            };
            let version = version_of(lifeline.peer);
            let digit = version.digit();
            let name = if lifeline.peer_opens {
                "answers"
            } else {
                "opens"
            };
            for device in &containment.addresses {
                if version_of(*device) != version {
                    continue;
                }
                let (device, peer) = (octets(*device), octets(lifeline.peer));
                elements.insert((
                    format!("{name}{digit}"),
                    key(&[&device, &peer, &[protocol], &lifeline.port.to_be_bytes()]),
                ));
                elements.insert((format!("peers{digit}"), key(&[&device, &peer])));
                elements.insert((format!("kept{digit}"), device));
            }
        }
        if !containment.lifeline.is_empty() {
            for mac in &containment.macs {
                elements.insert(("kept_macs".to_owned(), mac.0.to_vec()));
            }
        }
        Ok(Self {
            elements: elements
                .into_iter()
                .map(|(set, key)| {
                    let mut element = Element::of(key);
                    element.timeout_ms = timeout_ms;
                    (set, element)
                })
                .collect(),
        })
    }

    fn own_devices(containment: &Containment) -> Vec<(String, Vec<u8>)> {
        let addresses = containment
            .addresses
            .iter()
            .map(|a| (format!("devices{}", version_of(*a).digit()), octets(*a)));
        let macs = containment
            .macs
            .iter()
            .map(|m| ("macs".to_owned(), m.0.to_vec()));
        addresses.chain(macs).collect()
    }

    /// The elements whose key is the device alone.
    fn own(containment: &Containment) -> BTreeSet<(String, Vec<u8>)> {
        let kept = Self::own_devices(containment)
            .into_iter()
            .map(|(set, key)| match set.as_str() {
                "macs" => ("kept_macs".to_owned(), key),
                other => (other.replace("devices", "kept"), key),
            });
        Self::own_devices(containment)
            .into_iter()
            .chain(kept)
            .collect()
    }
}

fn names_a_device(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(a) if a.is_broadcast());
    !(broadcast || address.is_multicast() || address.is_unspecified() || address.is_loopback())
}

fn version_of(address: IpAddr) -> Version {
    match address {
        IpAddr::V4(_) => Version::V4,
        IpAddr::V6(_) => Version::V6,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

fn who(key: &[u8]) -> Option<Who> {
    if let Ok(four) = <[u8; 4]>::try_from(key) {
        return Some(Who::Address(IpAddr::from(four)));
    }
    if let Ok(mac) = <[u8; 6]>::try_from(key) {
        return Some(Who::Mac(Mac(mac)));
    }
    let six = <[u8; 16]>::try_from(key).ok()?;
    Some(Who::Address(IpAddr::from(six)))
}

/// Number of a transport that has ports.
fn protocol(transport: Transport) -> Option<u8> {
    match transport {
        Transport::Tcp => Some(6),
        Transport::Udp => Some(17),
        Transport::Sctp => Some(132),
        Transport::Icmp | Transport::Other(_) => None,
    }
}

#[cfg(test)]
mod tests;
