//! The compiled form of the one policy: who may open which service to whom.
//!
//! Target-neutral, and never a second truth: [`crate::cedar::compile`] makes it from Cedar policies only, and
//! [`crate::check`] proves that both say the same. A cell says who may *open* a conversation; replies belong to it. A
//! target without connection state has to say what it lets through beyond that.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::net::{Mac, Transport};
use domain::{Criticality, Timestamp};

pub use crate::address::Prefix;

/// A group's number: its place in [`Matrix::groups`]. 0 holds whoever is in no other group.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct GroupId(pub u16);

impl GroupId {
    /// Whoever is in no other group: life-critical until known.
    pub const UNKNOWN: Self = Self(0);
}

/// Devices that are treated alike. Groups do not overlap: an address belongs to the group that lists it, else to the
/// group with its longest prefix, else to [`GroupId::UNKNOWN`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its number.
    pub id: GroupId,
    /// Its name in hospital words: `Infusion pumps, ICU 3`.
    pub name: String,
    /// Its name in Cedar: `NetworkGroup::"infusion_pump/icu-3"`.
    pub entity: SmolStr,
    /// How much harm a cut does, at worst, to one of its devices.
    pub criticality: Criticality,
    /// Prefixes that belong to it but for single addresses of other groups.
    #[serde(default)]
    pub prefixes: Vec<Prefix>,
    /// Addresses that belong to it.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// MAC addresses of its devices.
    #[serde(default)]
    pub macs: Vec<Mac>,
}

/// Whether what a cell does not name is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// What would be dropped is counted and let through.
    Observe,
    /// It is dropped.
    Enforce,
}

/// A service that a cell permits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Service {
    /// Transport.
    pub transport: Transport,
    /// Ports of the server. For a transport without ports all of them.
    pub ports: RangeInclusive<u16>,
    /// Its name: `DICOM`; a port without a name is called `tcp/8123`.
    pub name: SmolStr,
    /// The clinical service that stops if this stops, for counting: `Imaging`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clinical: Option<SmolStr>,
}

/// What one group may open to another. A pair of groups without a cell permits nothing, in [`Matrix::default_mode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Who opens.
    pub from: GroupId,
    /// Who is asked.
    pub to: GroupId,
    /// What is permitted: sorted by transport and port, without overlap within a transport.
    pub services: Vec<Service>,
    /// What happens to the rest.
    pub mode: Mode,
}

/// Who may open which service to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matrix {
    /// Groups in order of their numbers; the first is [`GroupId::UNKNOWN`].
    pub groups: Vec<Group>,
    /// Cells, sorted by `from` and `to`, at most one for a pair.
    pub cells: Vec<Cell>,
    /// What happens between groups without a cell.
    pub default_mode: Mode,
    /// SHA-256 of the policy and the snapshot it was compiled from.
    pub digest: [u8; 32],
}

/// A conversation that somebody might open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Probe {
    /// Who opens it.
    pub client: IpAddr,
    /// Who is asked.
    pub server: IpAddr,
    /// Transport.
    pub transport: Transport,
    /// The server's port.
    pub port: u16,
}

/// What becomes of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A rule permits it.
    Permit,
    /// No rule permits it; it is dropped.
    Drop,
    /// No rule permits it; it is let through and counted.
    WouldDrop,
}

/// The matrix's judgement of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// What becomes of it.
    pub outcome: Outcome,
    /// The client's group.
    pub from: GroupId,
    /// The server's group.
    pub to: GroupId,
    /// The cell that says so; absent: there is none for the two groups.
    pub cell: Option<&'a Cell>,
    /// The service that permits it.
    pub service: Option<&'a Service>,
}

impl Verdict<'_> {
    /// The clinical service concerned, if the permitted service has one.
    pub fn clinical(&self) -> Option<&str> {
        self.service.and_then(|s| s.clinical.as_deref())
    }
}

/// What is wrong with a matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixError {
    /// Numbers are not places.
    #[error("group {0} is not at the place of its number: number groups from 0 in order")]
    Number(u16),
    /// An address in two groups.
    #[error("`{0}` is in two groups, `{1}` and `{2}`: a device belongs to one")]
    Overlap(String, String, String),
    /// Cells out of order or twice.
    #[error(
        "the cell from group {0} to group {1} is out of order, twice, or of a group that is not there"
    )]
    Cell(u16, u16),
    /// Services out of order or overlapping.
    #[error("the services of the cell from group {0} to group {1} overlap or are out of order")]
    Services(u16, u16),
}

impl Matrix {
    /// Checks what every reader relies on: groups in order and apart, cells sorted and single, services apart.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), MatrixError> {
        let name = |id: GroupId| {
            self.groups
                .get(usize::from(id.0))
                .map_or_else(String::new, |g| g.name.clone())
        };
        let mut addresses: HashMap<String, GroupId> = HashMap::new();
        for (place, group) in self.groups.iter().enumerate() {
            if usize::from(group.id.0) != place {
                return Err(MatrixError::Number(group.id.0));
            }
            let all = group
                .addresses
                .iter()
                .map(ToString::to_string)
                .chain(group.prefixes.iter().map(ToString::to_string))
                .chain(group.macs.iter().map(ToString::to_string));
            for text in all {
                if let Some(other) = addresses.insert(text.clone(), group.id) {
                    return Err(MatrixError::Overlap(text, name(other), group.name.clone()));
                }
            }
        }
        let mut before: Option<(GroupId, GroupId)> = None;
        for cell in &self.cells {
            let (from, to) = (cell.from, cell.to);
            let there = |id: GroupId| usize::from(id.0) < self.groups.len();
            if before.is_some_and(|b| b >= (from, to)) || !there(from) || !there(to) {
                return Err(MatrixError::Cell(from.0, to.0));
            }
            before = Some((from, to));
            let apart = cell.services.windows(2).all(|pair| {
                let [one, two] = pair else { return true };
                (one.transport, *one.ports.end()) < (two.transport, *two.ports.start())
            });
            if !apart || cell.services.iter().any(|s| s.ports.is_empty()) {
                return Err(MatrixError::Services(from.0, to.0));
            }
        }
        Ok(())
    }

    /// The cell of two groups.
    pub fn cell(&self, from: GroupId, to: GroupId) -> Option<&Cell> {
        self.cells
            .binary_search_by_key(&(from, to), |cell| (cell.from, cell.to))
            .ok()
            .and_then(|place| self.cells.get(place))
    }

    /// The group of an address, by a scan of all groups; for many questions make a [`Directory`].
    pub fn group_of(&self, address: IpAddr) -> GroupId {
        if let Some(group) = self.groups.iter().find(|g| g.addresses.contains(&address)) {
            return group.id;
        }
        self.groups
            .iter()
            .flat_map(|g| g.prefixes.iter().map(move |p| (p, g.id)))
            .filter(|(prefix, _)| prefix.contains(address))
            .max_by_key(|(prefix, _)| prefix.length())
            .map_or(GroupId::UNKNOWN, |(_, id)| id)
    }

    /// What becomes of a conversation.
    pub fn judges(&self, probe: &Probe) -> Verdict<'_> {
        self.judges_between(
            self.group_of(probe.client),
            self.group_of(probe.server),
            probe.transport,
            probe.port,
        )
    }

    /// What becomes of a conversation between two groups.
    pub fn judges_between(
        &self,
        from: GroupId,
        to: GroupId,
        transport: Transport,
        port: u16,
    ) -> Verdict<'_> {
        let cell = self.cell(from, to);
        let service = cell.and_then(|cell| {
            let after = cell
                .services
                .partition_point(|s| (s.transport, *s.ports.start()) <= (transport, port));
            let service = cell.services.get(after.checked_sub(1)?)?;
            (service.transport == transport && service.ports.contains(&port)).then_some(service)
        });
        let mode = cell.map_or(self.default_mode, |cell| cell.mode);
        let outcome = match (service.is_some(), mode) {
            (true, Mode::Observe | Mode::Enforce) => Outcome::Permit,
            (false, Mode::Observe) => Outcome::WouldDrop,
            (false, Mode::Enforce) => Outcome::Drop,
        };
        Verdict {
            outcome,
            from,
            to,
            cell,
            service,
        }
    }

    /// An index of addresses.
    pub fn directory(&self) -> Directory {
        let mut directory = Directory::default();
        for group in &self.groups {
            for address in &group.addresses {
                directory.exact.insert(*address, group.id);
            }
            for prefix in &group.prefixes {
                directory.prefixes.push((*prefix, group.id));
            }
        }
        directory
            .prefixes
            .sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.length()));
        directory
    }
}

/// Which group an address belongs to.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    exact: HashMap<IpAddr, GroupId>,
    /// The longest first.
    prefixes: Vec<(Prefix, GroupId)>,
}

impl Directory {
    /// The group of an address.
    pub fn group_of(&self, address: IpAddr) -> GroupId {
        if let Some(group) = self.exact.get(&address) {
            return *group;
        }
        self.prefixes
            .iter()
            .find(|(prefix, _)| prefix.contains(address))
            .map_or(GroupId::UNKNOWN, |(_, id)| *id)
    }
}

/// A trial on top of a confirmed matrix: cells whose mode changes until the lease ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlay {
    /// Digest of the matrix it lies on; it is refused on another.
    pub base: [u8; 32],
    /// Pairs of groups and the mode they are tried in.
    pub cells: Vec<(GroupId, GroupId, Mode)>,
    /// When everything goes back by itself.
    pub until: Timestamp,
}

impl Overlay {
    /// The matrix while the trial lasts: pairs without a cell get one that permits nothing.
    ///
    /// # Errors
    /// When the trial was made for another matrix or names a group that is not there.
    pub fn over(&self, base: &Matrix) -> Result<Matrix, OverlayError> {
        if self.base != base.digest {
            return Err(OverlayError::OtherBase);
        }
        let mut matrix = base.clone();
        for &(from, to, mode) in &self.cells {
            for id in [from, to] {
                if usize::from(id.0) >= matrix.groups.len() {
                    return Err(OverlayError::NoSuchGroup(id.0));
                }
            }
            match matrix
                .cells
                .binary_search_by_key(&(from, to), |cell| (cell.from, cell.to))
            {
                Ok(place) => {
                    if let Some(cell) = matrix.cells.get_mut(place) {
                        cell.mode = mode;
                    }
                }
                Err(place) => matrix.cells.insert(
                    place,
                    Cell {
                        from,
                        to,
                        services: Vec::new(),
                        mode,
                    },
                ),
            }
        }
        Ok(matrix)
    }
}

/// Why a trial cannot lie on a matrix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// It was made for another.
    #[error("the trial was made for another matrix: make it again from the plan in force")]
    OtherBase,
    /// It names a group that is not there.
    #[error("the trial names group {0}, which the matrix does not have")]
    NoSuchGroup(u16),
}

#[cfg(test)]
mod tests;
