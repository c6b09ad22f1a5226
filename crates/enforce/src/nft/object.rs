//! Tables, chains, sets, elements and counters as changes of a [`Batch`].

use smol_str::{SmolStr, format_smolstr};

use super::expression::{Expression, Verdict, write_value};
use crate::netlink::attribute::Writer;
use crate::netlink::message::{APPEND, Batch, CREATE, EXCLUSIVE};

const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const DELETE_CHAIN: u16 = 5;
const NEW_RULE: u16 = 6;
const DELETE_RULE: u16 = 8;
const NEW_SET: u16 = 9;
const DELETE_SET: u16 = 11;
const NEW_ELEMENT: u16 = 12;
const DELETE_ELEMENT: u16 = 14;
const NEW_OBJECT: u16 = 18;
const DELETE_OBJECT: u16 = 20;

/// Octets of elements in one message: its nest has a 16-bit length.
const ELEMENTS_OCTETS_MAX: usize = 60_000;

/// Whose packets a table sees (`NFPROTO_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// Frames on bridges.
    Bridge,
}

impl Family {
    /// Its number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Bridge => 7,
        }
    }

    /// Its name, as `nft` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Bridge => "bridge",
        }
    }
}

/// A table: its family and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Table {
    /// Family.
    pub family: Family,
    /// Name.
    pub name: SmolStr,
}

/// Where packets enter a base chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// As they come in.
    Prerouting,
    /// On their way through.
    Forward,
    /// Made on this machine.
    Output,
}

/// Types of the values in keys; the kernel only keeps the number, `nft` shows values by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Netfilter's family.
    NfProto,
    /// IPv4 address.
    Ipv4,
    /// IPv6 address.
    Ipv6,
    /// MAC address.
    Ether,
    /// Transport protocol.
    Protocol,
    /// Port.
    Service,
    /// Type of an ICMPv6 message.
    Icmp6,
    /// 32 bits in host order.
    Mark,
}

impl Kind {
    /// `nft`'s number and the octets.
    const fn wire(self) -> (u32, u32) {
        match self {
            Self::NfProto => (2, 1),
            Self::Ipv4 => (7, 4),
            Self::Ipv6 => (8, 16),
            Self::Ether => (9, 6),
            Self::Protocol => (12, 1),
            Self::Service => (13, 2),
            Self::Icmp6 => (29, 1),
            Self::Mark => (19, 4),
        }
    }
}

/// What a set's elements lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Nothing: a set.
    Nothing,
    /// A value: a map.
    Value(Kind),
    /// A verdict: a verdict map.
    Verdicts,
}

/// A set, map or verdict map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Name.
    pub name: SmolStr,
    /// Fields of the key.
    pub key: Vec<Kind>,
    /// What elements lead to.
    pub holds: Holds,
    /// Whether elements are intervals.
    pub intervals: bool,
    /// Whether elements may end by themselves.
    pub timeouts: bool,
    /// Whether each element counts the packets it matches.
    pub counted: bool,
    /// Whether rules may add elements.
    pub dynamic: bool,
    /// Most elements; the kernel refuses more.
    pub size: Option<u32>,
}

impl Set {
    /// A plain set.
    pub fn new(name: impl Into<SmolStr>, key: &[Kind]) -> Self {
        Self {
            name: name.into(),
            key: key.to_vec(),
            holds: Holds::Nothing,
            intervals: false,
            timeouts: false,
            counted: false,
            dynamic: false,
            size: None,
        }
    }

    /// A map to values.
    pub fn map(name: impl Into<SmolStr>, key: &[Kind], to: Kind) -> Self {
        Self {
            holds: Holds::Value(to),
            ..Self::new(name, key)
        }
    }

    /// A map to verdicts.
    pub fn verdicts(name: impl Into<SmolStr>, key: &[Kind]) -> Self {
        Self {
            holds: Holds::Verdicts,
            ..Self::new(name, key)
        }
    }
}

/// The key of an element: its fields, each padded to 4 octets, one after the other.
pub fn key(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.len() * 4);
    for (place, field) in fields.iter().enumerate() {
        out.extend_from_slice(field);
        if place + 1 < fields.len() || fields.len() > 1 {
            out.resize(out.len().next_multiple_of(4), 0);
        }
    }
    out
}

/// What an element matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Match {
    /// One key.
    Key(Vec<u8>),
    /// A key from one to another, both included, field by field; for sets of several fields.
    Fields(Vec<u8>, Vec<u8>),
    /// A key from one up to but without another, or to the last when absent; for sets of one field.
    Range(Vec<u8>, Option<Vec<u8>>),
    /// Whatever no other element matches.
    Rest,
}

/// An element of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// What it matches.
    pub matches: Match,
    /// What it leads to.
    pub data: Data,
    /// Milliseconds until it ends by itself.
    pub timeout_ms: Option<u64>,
}

/// What an element leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing.
    None,
    /// A value.
    Value(Vec<u8>),
    /// A verdict.
    Verdict(Verdict),
}

impl Data {
    /// The value, if it is one.
    pub fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Value(value) => Some(value),
            Self::None | Self::Verdict(_) => None,
        }
    }
}

impl Element {
    /// An element that matches one key.
    pub fn of(key: Vec<u8>) -> Self {
        Self {
            matches: Match::Key(key),
            data: Data::None,
            timeout_ms: None,
        }
    }

    pub(crate) fn write(&self, out: &mut Writer) {
        const KEY: u16 = 1;
        const DATA: u16 = 2;
        const FLAGS: u16 = 3;
        const TIMEOUT: u16 = 4;
        const KEY_END: u16 = 10;
        const INTERVAL_END: u32 = 1;
        const CATCHALL: u32 = 2;
        out.nest(1, |out| {
            match &self.matches {
                Match::Key(key) | Match::Range(key, _) => write_value(out, KEY, key),
                Match::Fields(from, to) => {
                    write_value(out, KEY, from);
                    write_value(out, KEY_END, to);
                }
                Match::Rest => {
                    out.u32(FLAGS, CATCHALL);
                }
            }
            match &self.data {
                Data::None => {}
                Data::Value(value) => write_value(out, DATA, value),
                Data::Verdict(verdict) => {
                    out.nest(DATA, |out| {
                        out.nest(2, |out| verdict.write(out));
                    });
                }
            }
            if let Some(timeout) = self.timeout_ms {
                out.u64(TIMEOUT, timeout);
            }
        });
        if let Match::Range(_, Some(end)) = &self.matches {
            out.nest(1, |out| {
                write_value(out, KEY, end);
                out.u32(FLAGS, INTERVAL_END);
            });
        }
    }
}

/// Whether a table vanishes with the socket that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It stays until it is deleted.
    Lasting,
    /// It belongs to the socket that makes it, nobody else may change it, and the kernel deletes it when the socket
    /// closes, however the program ends (`NFT_TABLE_F_OWNER`).
    Owned,
}

impl Batch {
    /// Makes a table; no harm if it is there.
    pub fn table(&mut self, table: &Table, lifetime: Lifetime) {
        let (flags, number) = match lifetime {
            Lifetime::Lasting => (CREATE, 0),
            Lifetime::Owned => (CREATE | EXCLUSIVE, 2_u32),
        };
        let step = format_smolstr!("make table `{}`", table.name);
        self.push(NEW_TABLE, table.family.number(), flags, step, |out| {
            out.text(1, &table.name).u32(2, number);
        });
    }

    /// Deletes a table with all that is in it.
    pub fn delete_table(&mut self, table: &Table) {
        let step = format_smolstr!("delete table `{}`", table.name);
        self.push(DELETE_TABLE, table.family.number(), 0, step, |out| {
            out.text(1, &table.name);
        });
    }

    /// Makes a base chain of type `filter` that lets through what it does not judge; no harm if it is there.
    pub fn base_chain(&mut self, table: &Table, name: &str, hook: Hook, priority: i32) {
        let hook_number = match hook {
            Hook::Prerouting => 0,
            Hook::Forward => 2,
            Hook::Output => 3,
        };
        let step = format_smolstr!("make chain `{name}`");
        self.push(NEW_CHAIN, table.family.number(), CREATE, step, |out| {
            out.text(1, &table.name).text(3, name);
            out.nest(4, |out| {
                out.u32(1, hook_number).bytes(2, &priority.to_be_bytes());
            });
            // Policy: accept.
            out.u32(5, 1).text(7, "filter");
        });
    }

    /// Makes a chain that others lead to; no harm if it is there.
    pub fn chain(&mut self, table: &Table, name: &str) {
        let step = format_smolstr!("make chain `{name}`");
        self.push(NEW_CHAIN, table.family.number(), CREATE, step, |out| {
            out.text(1, &table.name).text(3, name);
        });
    }

    /// Deletes a chain that nothing leads to.
    pub fn delete_chain(&mut self, table: &Table, name: &str) {
        let step = format_smolstr!("delete chain `{name}`");
        self.push(DELETE_CHAIN, table.family.number(), 0, step, |out| {
            out.text(1, &table.name).text(3, name);
        });
    }

    /// Deletes the rules of a chain.
    pub fn flush_chain(&mut self, table: &Table, name: &str) {
        let step = format_smolstr!("empty chain `{name}`");
        self.push(DELETE_RULE, table.family.number(), 0, step, |out| {
            out.text(1, &table.name).text(2, name);
        });
    }

    /// Appends a rule. The comment is shown by `nft` (at most 128 octets).
    pub fn rule(&mut self, table: &Table, chain: &str, comment: &str, steps: &[Expression]) {
        let step = format_smolstr!("add rule `{comment}` of chain `{chain}`");
        self.push(
            NEW_RULE,
            table.family.number(),
            CREATE | APPEND,
            step,
            |out| {
                out.text(1, &table.name).text(2, chain);
                out.nest(4, |out| {
                    for expression in steps {
                        expression.write(out);
                    }
                });
                out.bytes(7, &comment_data(comment));
            },
        );
    }

    /// Makes a set; refused if it is there with other properties.
    pub fn set(&mut self, table: &Table, set: &Set) {
        const INTERVAL: u32 = 0x4;
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const EVALUATED: u32 = 0x20;
        const CONCATENATION: u32 = 0x80;
        let mut flags = 0;
        let (mut kind, mut length) = (0_u32, 0_u32);
        for field in &set.key {
            let (number, octets) = field.wire();
            kind = kind << 6 | number;
            length += if set.key.len() > 1 {
                octets.next_multiple_of(4)
            } else {
                octets
            };
        }
        for (wanted, flag) in [
            (set.intervals, INTERVAL),
            (set.holds != Holds::Nothing, MAP),
            (set.timeouts, TIMEOUT),
            (set.dynamic, EVALUATED),
            (set.key.len() > 1, CONCATENATION),
        ] {
            flags |= if wanted { flag } else { 0 };
        }
        let step = format_smolstr!("make set `{}`", set.name);
        let number = u32::try_from(self.len()).unwrap_or(u32::MAX);
        self.push(NEW_SET, table.family.number(), CREATE, step, |out| {
            out.text(1, &table.name).text(2, &set.name);
            out.u32(3, flags).u32(4, kind).u32(5, length);
            match set.holds {
                Holds::Nothing => {}
                Holds::Value(kind) => {
                    let (number, octets) = kind.wire();
                    out.u32(6, number).u32(7, octets);
                }
                Holds::Verdicts => {
                    out.u32(6, 0xffff_ff00).u32(7, 16);
                }
            }
            if set.size.is_some() || set.key.len() > 1 {
                out.nest(9, |out| {
                    if let Some(size) = set.size {
                        out.u32(1, size);
                    }
                    if set.key.len() > 1 {
                        out.nest(2, |out| {
                            for field in &set.key {
                                out.nest(1, |out| {
                                    out.u32(1, field.wire().1);
                                });
                            }
                        });
                    }
                });
            }
            out.u32(10, number);
            if set.counted {
                out.nest(17, |out| Expression::Count.write_inside(out));
            }
        });
    }

    /// Deletes a set that no rule uses.
    pub fn delete_set(&mut self, table: &Table, name: &str) {
        let step = format_smolstr!("delete set `{name}`");
        self.push(DELETE_SET, table.family.number(), 0, step, |out| {
            out.text(1, &table.name).text(2, name);
        });
    }

    /// Adds elements to a set, in as many messages as they take; refused if one is there.
    pub fn new_elements<'e>(
        &mut self,
        table: &Table,
        set: &str,
        elements: impl IntoIterator<Item = &'e Element>,
    ) {
        let flags = CREATE | EXCLUSIVE;
        self.each_message("add elements to", NEW_ELEMENT, flags, table, set, elements);
    }

    /// Adds elements to a set, in as many messages as they take; no harm if one is there with the same data.
    pub fn elements<'e>(
        &mut self,
        table: &Table,
        set: &str,
        elements: impl IntoIterator<Item = &'e Element>,
    ) {
        self.each_message("add elements to", NEW_ELEMENT, CREATE, table, set, elements);
    }

    /// Deletes elements of a set; refused if one is not there.
    pub fn delete_elements<'e>(
        &mut self,
        table: &Table,
        set: &str,
        elements: impl IntoIterator<Item = &'e Element>,
    ) {
        self.each_message(
            "delete elements of",
            DELETE_ELEMENT,
            0,
            table,
            set,
            elements,
        );
    }

    /// Deletes all elements of a set.
    pub fn flush_set(&mut self, table: &Table, set: &str) {
        let step = format_smolstr!("empty set `{set}`");
        self.push(DELETE_ELEMENT, table.family.number(), 0, step, |out| {
            out.text(1, &table.name).text(2, set);
        });
    }

    fn each_message<'e>(
        &mut self,
        verb: &str,
        kind: u16,
        flags: u16,
        table: &Table,
        set: &str,
        elements: impl IntoIterator<Item = &'e Element>,
    ) {
        let mut rest = elements.into_iter().peekable();
        while rest.peek().is_some() {
            let step = format_smolstr!("{verb} `{set}`");
            self.push(kind, table.family.number(), flags, step, |out| {
                out.text(1, &table.name).text(2, set);
                out.nest(3, |out| {
                    let start = out.len();
                    while out.len() - start < ELEMENTS_OCTETS_MAX {
                        let Some(element) = rest.next() else { break };
                        element.write(out);
                    }
                });
            });
        }
    }

    /// Makes a named counter; no harm if it is there, and then it keeps its counts.
    pub fn counter(&mut self, table: &Table, name: &str) {
        let step = format_smolstr!("make counter `{name}`");
        self.push(NEW_OBJECT, table.family.number(), CREATE, step, |out| {
            out.text(1, &table.name).text(2, name).u32(3, 1);
            out.nest(4, |_| {});
        });
    }

    /// Deletes a named counter that no rule uses.
    pub fn delete_counter(&mut self, table: &Table, name: &str) {
        let step = format_smolstr!("delete counter `{name}`");
        self.push(DELETE_OBJECT, table.family.number(), 0, step, |out| {
            out.text(1, &table.name).text(2, name).u32(3, 1);
        });
    }
}

/// A comment in the form that `nft` keeps in a rule's user data: type 0, length, text with its zero octet.
fn comment_data(comment: &str) -> Vec<u8> {
    let mut end = comment.len().min(127);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    let text = &comment.as_bytes()[..end];
    let mut out = vec![0, u8::try_from(text.len() + 1).unwrap_or(u8::MAX)];
    out.extend_from_slice(text);
    out.push(0);
    out
}

/// The comment in a rule's user data.
pub(crate) fn comment_of(data: &[u8]) -> Option<&str> {
    let mut rest = data;
    while let [kind, length, ..] = *rest {
        let value = rest.get(2..2 + usize::from(length))?;
        if kind == 0 {
            let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
            return std::str::from_utf8(&value[..end]).ok();
        }
        rest = &rest[2 + usize::from(length)..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_elements_take_many_messages_and_none_is_too_long() {
        let table = Table {
            family: Family::Inet,
            name: "t".into(),
        };
        let elements: Vec<Element> = (0..10_000_u32)
            .map(|n| Element::of(n.to_be_bytes().to_vec()))
            .collect();
        let mut batch = Batch::new();
        batch.elements(&table, "s", &elements);
        assert!(batch.len() > 2, "{}", batch.len());
        assert!(batch.finish().is_ok());
    }

    #[test]
    fn fields_of_a_key_are_padded_and_a_lone_field_is_not() {
        assert_eq!(key(&[&[1, 2]]), [1, 2]);
        assert_eq!(key(&[&[1], &[2, 3]]), [1, 0, 0, 0, 2, 3, 0, 0]);
    }

    #[test]
    fn a_comment_reads_back_and_is_cut_between_letters() {
        assert_eq!(
            comment_of(&comment_data("kill switch")),
            Some("kill switch")
        );
        let long = "ä".repeat(100);
        let data = comment_data(&long);
        assert_eq!(comment_of(&data).map(str::len), Some(126));
        assert_eq!(comment_of(&[0]), None);
        assert_eq!(comment_of(&[0, 9, 1]), None);
    }
}
