//! Registers kept by people and by other systems: CMDB, CMMS and endpoint protection, as CSV with any columns.
//!
//! A [`Mapping`] says what each column holds. It is guessed from the header and the first rows, and can be kept in a
//! file, corrected by hand and given the next time:
//!
//! ```toml
//! dates = "day_first"
//!
//! [columns]
//! "MAC-Adresse" = "mac"
//! "Inventarnummer" = "register.id"
//! "Hersteller" = "register.vendor"
//! "Bemerkung" = "ignore"
//! ```
//!
//! A row becomes evidence about its MAC and IP addresses, tied together by an [`Asset`]: the row's identifier, else its
//! serial number with maker and model in front. A register proves no presence: rows never say [`Fact::Seen`].
//!
//! INVARIANT: only mapped columns are read, and no column is guessed whose header speaks of a person or a patient.
//!
//! [`Fact::Seen`]: domain::observation::Fact::Seen

mod guess;

use std::collections::BTreeMap;
use std::net::IpAddr;

use domain::Timestamp;
use domain::net::{Mac, Party};
use domain::observation::{About, AddressSource, Asset, EvidenceKind};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::emit::Emit;
pub use super::moment::Dates;
use super::party::{address, is_host, mac_column};
use super::{Problem, moment, shorten};

/// Most addresses that one row may name; the rest is counted as cut.
const ADDRESSES_MAX: usize = 16;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// MAC addresses: `mac`.
    Mac,
    /// IP addresses: `address`.
    Address,
    /// The VLAN: `vlan`.
    Vlan,
    /// When the register last saw it: `last_seen`.
    LastSeen,
    /// A piece of evidence, by its kind: `register.serial`.
    Evidence(EvidenceKind),
    /// Nothing that is wanted: `ignore`.
    Ignore,
}

impl Column {
    /// Reads its text form.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "mac" => Self::Mac,
            "address" => Self::Address,
            "vlan" => Self::Vlan,
            "last_seen" => Self::LastSeen,
            "ignore" => Self::Ignore,
            kind => Self::Evidence(EvidenceKind::parse(kind)?),
        })
    }

    /// Its text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mac => "mac",
            Self::Address => "address",
            Self::Vlan => "vlan",
            Self::LastSeen => "last_seen",
            Self::Evidence(kind) => kind.as_str(),
            Self::Ignore => "ignore",
        }
    }

    /// Whether a column of this kind tells one device from another.
    const fn names_a_device(self) -> bool {
        matches!(
            self,
            Self::Mac
                | Self::Address
                | Self::Evidence(
                    EvidenceKind::RegisterId
                        | EvidenceKind::RegisterSerial
                        | EvidenceKind::RegisterName
                        | EvidenceKind::RegisterUdi
                        | EvidenceKind::DhcpHostname
                )
        )
    }
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "unknown column kind `{text}`: one of `mac`, `address`, `vlan`, `last_seen`, `ignore`, or a kind of evidence such as `register.id`, `register.name`, `register.type`, `register.vendor`, `register.model`, `register.serial`, `register.os`, `register.place`, `register.udi`, `register.state`"
            ))
        })
    }
}

/// What the columns of a register hold, to be kept as a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What separates values; by default as the header shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// In which order dates are written; by default as the values show, else month first, or day first with dots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dates: Option<Dates>,
    /// What each column holds, by its header. Columns that are not named are not read.
    pub columns: BTreeMap<String, Column>,
}

impl Mapping {
    /// A mapping guessed from the headers, and from rows where there are some.
    pub fn guess(headers: &[String], rows: &[&[String]]) -> Self {
        Self {
            separator: None,
            dates: None,
            columns: headers
                .iter()
                .zip(guess::columns(headers, rows))
                .map(|(header, column)| (header.trim().to_owned(), column))
                .collect(),
        }
    }

    /// Whether this mapping is meant for a file with these headers: it has every column that the mapping names.
    pub fn fits(&self, headers: &[String]) -> bool {
        self.columns
            .keys()
            .all(|name| headers.iter().any(|header| same(header, name)))
    }

    fn column(&self, header: &str) -> Option<Column> {
        self.columns
            .iter()
            .find(|(name, _)| same(header, name))
            .map(|(_, column)| *column)
    }
}

fn same(a: &str, b: &str) -> bool {
    a.trim().to_lowercase() == b.trim().to_lowercase()
}

/// Reads the rows of one register.
#[derive(Debug)]
pub(crate) struct Register {
    headers: Vec<String>,
    mapping: Mapping,
    given: bool,
    /// What each column holds, in their order.
    columns: Vec<Column>,
    order: Option<Dates>,
    usable: bool,
}

impl Register {
    pub(crate) fn new(
        given: Option<Mapping>,
        headers: &[String],
        separator: Option<char>,
    ) -> Result<Self, Problem> {
        let headers: Vec<String> = headers
            .iter()
            .map(|header| header.trim().to_owned())
            .collect();
        if let Some(mapping) = &given {
            let missing = mapping.columns.iter().find(|(name, column)| {
                !matches!(column, Column::Ignore)
                    && !headers.iter().any(|header| same(header, name))
            });
            if let Some((missing, _)) = missing {
                return Err(Problem::new(
                    format!("the mapping names a column that the file does not have; it has {}", listed(&headers)),
                    "correct the name in the mapping file, or leave the mapping away to have it guessed",
                )
                .in_column(missing));
            }
        }
        let mut mapping = given.clone().unwrap_or_default();
        mapping.separator = mapping.separator.or(separator);
        Ok(Self {
            headers,
            mapping,
            given: given.is_some(),
            columns: Vec::new(),
            order: None,
            usable: false,
        })
    }

    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Decides what the columns hold.
    pub(crate) fn settle(&mut self, rows: &[&[String]]) -> Result<(), Problem> {
        if !self.given {
            self.mapping.columns = Mapping::guess(&self.headers, rows).columns;
        }
        self.columns = self
            .headers
            .iter()
            .map(|header| self.mapping.column(header).unwrap_or(Column::Ignore))
            .collect();
        let last_seen = self
            .columns
            .iter()
            .position(|column| *column == Column::LastSeen);
        self.order = self.mapping.dates.or_else(|| {
            let place = last_seen?;
            rows.iter()
                .find_map(|row| moment::order_shown(row.get(place)?))
        });
        self.usable = self.columns.iter().any(|column| column.names_a_device());
        if self.usable {
            Ok(())
        } else {
            Err(Problem::new(
                format!(
                    "no column is known to name a device; the file has {}",
                    listed(&self.headers)
                ),
                "write a mapping file: `[columns]`, then one line for each column, such as `\"Asset Tag\" = \"register.id\"` or `\"Ethernet\" = \"mac\"`",
            ))
        }
    }

    /// Tells one row; says whether there was anything to tell.
    pub(crate) fn row(&mut self, fields: &[String], emit: &mut Emit<'_>) -> Result<bool, Problem> {
        if !self.usable {
            return Ok(false);
        }
        let cells = || {
            self.columns
                .iter()
                .zip(fields)
                .enumerate()
                .map(|(place, (column, cell))| (place, *column, cell.trim()))
                .filter(|(_, column, cell)| *column != Column::Ignore && !is_empty(cell))
        };
        let (mut macs, mut addrs): (Vec<Mac>, Vec<IpAddr>) = (Vec::new(), Vec::new());
        let mut vlan = None;
        let mut at = emit.at();
        let mut wrong = None;
        for (place, column, cell) in cells() {
            match column {
                Column::Mac => {
                    let before = macs.len();
                    macs.extend(parts(cell).filter_map(mac_column).take(ADDRESSES_MAX));
                    // A lone MAC that uses blanks between its octets.
                    if macs.len() == before {
                        macs.extend(
                            mac_column(&cell.replace(' ', ":"))
                                .or_else(|| mac_column(&cell.replace(' ', ""))),
                        );
                    }
                    if macs.len() == before {
                        wrong.get_or_insert((
                            place,
                            "not a MAC address",
                            "it is written like `00:1a:2b:3c:4d:5e`",
                        ));
                    }
                }
                Column::Address => {
                    let before = addrs.len();
                    addrs.extend(
                        parts(cell)
                            .filter_map(address)
                            .filter(|addr| is_host(*addr))
                            .take(ADDRESSES_MAX),
                    );
                    if addrs.len() == before && !cell.eq_ignore_ascii_case("dhcp") {
                        wrong.get_or_insert((
                            place,
                            "not an IP address",
                            "it is written like `10.0.0.5` or `fd00::5`",
                        ));
                    }
                }
                Column::Vlan => {
                    let digits = cell.trim_start_matches(|c: char| !c.is_ascii_digit());
                    vlan = digits
                        .parse::<u16>()
                        .ok()
                        .filter(|id| (1..=4094).contains(id));
                }
                Column::LastSeen => match moment::local(cell, self.order) {
                    Some(seen) => at = seen,
                    None => {
                        wrong.get_or_insert((
                            place,
                            "not a date",
                            "it is written like `2026-11-22 08:30:05`",
                        ));
                    }
                },
                Column::Evidence(_) | Column::Ignore => {}
            }
        }
        macs.dedup();
        addrs.dedup();
        let asset = self.asset(fields, macs.is_empty() && addrs.is_empty());
        let parties = join(&macs, &addrs, vlan);
        let about: Vec<About> = parties
            .into_iter()
            .map(|party| About {
                party,
                asset: asset.clone(),
            })
            .collect();
        let Some(first) = about.first() else {
            return Ok(false);
        };
        let mut told = false;
        for about in about
            .iter()
            .filter(|about| about.party.addr.is_some() && about.party.mac.is_some())
        {
            emit.address(at, about.clone(), AddressSource::Register, None);
            told = true;
        }
        let identified = first.asset.is_some() || first.party != Party::default();
        if identified {
            told |= self.evidence(fields, at, first, emit);
            // What else the device holds is tied to it by a name of its own.
            for other in about.iter().skip(1) {
                if let Some(Asset::Register(id) | Asset::Serial(id)) = &other.asset {
                    emit.evidence(at, other.clone(), EvidenceKind::RegisterId, id.as_str());
                }
            }
        }
        match wrong {
            Some((place, what, remedy)) => {
                let column = self
                    .headers
                    .get(place)
                    .map(String::as_str)
                    .unwrap_or_default();
                Err(Problem::new(what, remedy).in_column(column))
            }
            None => Ok(told),
        }
    }

    fn evidence(
        &self,
        fields: &[String],
        at: Timestamp,
        about: &About,
        emit: &mut Emit<'_>,
    ) -> bool {
        let mut told = false;
        // Name and version of an operating system stand in columns of their own.
        let mut os = String::new();
        for (column, cell) in self.columns.iter().zip(fields) {
            let cell = cell.trim();
            match column {
                _ if is_empty(cell) => {}
                Column::Evidence(EvidenceKind::RegisterOs) => {
                    if !os.is_empty() {
                        os.push(' ');
                    }
                    os.push_str(cell);
                }
                Column::Evidence(kind) => {
                    emit.evidence(at, about.clone(), *kind, cell);
                    told = true;
                }
                Column::Mac
                | Column::Address
                | Column::Vlan
                | Column::LastSeen
                | Column::Ignore => {}
            }
        }
        if !os.is_empty() {
            emit.evidence(at, about.clone(), EvidenceKind::RegisterOs, os.as_str());
            told = true;
        }
        told
    }

    /// What ties the addresses of a row together.
    fn asset(&self, fields: &[String], lone: bool) -> Option<Asset> {
        let cell = |wanted: EvidenceKind| {
            self.columns
                .iter()
                .zip(fields)
                .find(|(column, cell)| {
                    **column == Column::Evidence(wanted) && !is_empty(cell.trim())
                })
                .map(|(_, cell)| cut(cell.trim()))
        };
        if let Some(id) = cell(EvidenceKind::RegisterId) {
            return Some(Asset::Register(SmolStr::new(id)));
        }
        if let Some(serial) = cell(EvidenceKind::RegisterSerial) {
            let maker = cell(EvidenceKind::RegisterVendor)
                .or_else(|| cell(EvidenceKind::RegisterModel))
                .unwrap_or_default();
            return Some(Asset::Serial(SmolStr::new(
                format!("{maker} {serial}").trim(),
            )));
        }
        let name = cell(EvidenceKind::RegisterUdi)
            .or_else(|| cell(EvidenceKind::RegisterName).filter(|_| lone));
        name.map(|name| Asset::Register(SmolStr::new(name)))
    }
}

/// Which MAC goes with which address: one with one in their order when there are as many, all addresses with a lone
/// MAC; otherwise nobody knows, and each stands alone.
fn join(macs: &[Mac], addrs: &[IpAddr], vlan: Option<u16>) -> Vec<Party> {
    let party = |mac, addr| Party { mac, addr, vlan };
    match (macs, addrs) {
        ([], []) => vec![party(None, None)],
        ([mac], []) => vec![party(Some(*mac), None)],
        ([mac], addrs) => addrs
            .iter()
            .map(|addr| party(Some(*mac), Some(*addr)))
            .collect(),
        (macs, addrs) if macs.len() == addrs.len() => macs
            .iter()
            .zip(addrs)
            .map(|(mac, addr)| party(Some(*mac), Some(*addr)))
            .collect(),
        (macs, addrs) => macs
            .iter()
            .map(|mac| party(Some(*mac), None))
            .chain(addrs.iter().map(|addr| party(None, Some(*addr))))
            .collect(),
    }
}

/// The several values of one cell.
fn parts(cell: &str) -> impl Iterator<Item = &str> {
    cell.split(|c: char| {
        c.is_whitespace() || matches!(c, ',' | ';' | '|' | '[' | ']' | '{' | '}' | '\'' | '"')
    })
    .filter(|part| !part.is_empty())
}

/// Whether a cell says that there is nothing.
fn is_empty(cell: &str) -> bool {
    let plain =
        cell.trim_matches(|c: char| matches!(c, '-' | '.' | '?' | '"' | '\'') || c.is_whitespace());
    plain.is_empty()
        || [
            "n/a",
            "na",
            "none",
            "null",
            "nil",
            "unknown",
            "not set",
            "tbd",
            "unbekannt",
            "inconnu",
            "0.0.0.0",
            "00:00:00:00:00:00",
        ]
        .iter()
        .any(|word| plain.eq_ignore_ascii_case(word))
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(128);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn listed(headers: &[String]) -> String {
    let shown: Vec<String> = headers
        .iter()
        .take(20)
        .map(|header| format!("`{}`", shorten(header)))
        .collect();
    let more = headers.len().saturating_sub(shown.len());
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests;
