//! Expressions of a rule and their octets (`NFTA_EXPR_*`, one nest each).
//!
//! Registers are the sixteen of 32 bits (`NFT_REG32_00` to `_15`); a value of 128 bits takes four in a row.

use smol_str::SmolStr;

use crate::netlink::attribute::Writer;

/// One of the 32-bit registers, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(pub u32);

impl Register {
    /// Its number on the wire. The kernel reads `NFT_REG32_00` and following (from 8) and writes every fourth back as
    /// one of the old 128-bit registers (from 1); we write as it does, so that what is read compares with what was sent.
    fn wire(self) -> u32 {
        if self.0.is_multiple_of(4) {
            self.0 / 4 + 1
        } else {
            self.0 + 8
        }
    }
}

/// Where a rule sends a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may pass, as far as this base chain is concerned.
    Accept,
    /// It ends here.
    Drop,
    /// Back to the chain that jumped here.
    Return,
    /// To a chain, and back.
    Jump(SmolStr),
    /// To a chain, for good.
    Goto(SmolStr),
}

impl Verdict {
    /// `NFTA_VERDICT_*`.
    pub(crate) fn write(&self, out: &mut Writer) {
        let code: i32 = match self {
            Self::Drop => 0,
            Self::Accept => 1,
            Self::Jump(_) => -3,
            Self::Goto(_) => -4,
            Self::Return => -5,
        };
        out.bytes(1, &code.to_be_bytes());
        if let Self::Jump(chain) | Self::Goto(chain) = self {
            out.text(2, chain);
        }
    }
}

/// Which header an offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Ethernet.
    Link,
    /// IPv4, IPv6 or ARP.
    Network,
    /// TCP, UDP, SCTP, ICMP.
    Transport,
}

/// A fact about a packet that is not in its octets (`nft_meta_keys`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta {
    /// EtherType, 2 octets, network order.
    Protocol,
    /// Packet mark, 4 octets, host order.
    Mark,
    /// Netfilter's family, 1 octet.
    NfProto,
    /// Transport protocol, 1 octet.
    L4Proto,
    /// Hardware type of the interface it came in by (`ARPHRD_*`), 2 octets, host order.
    InterfaceKind,
}

/// A fact about a packet's connection (`nft_ct_keys`), of the direction of its opener where there are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// State as a bit mask, 4 octets, host order.
    State,
    /// Mark, 4 octets, host order.
    Mark,
    /// Transport protocol, 1 octet.
    Protocol,
    /// Server's port; for ICMP type and code; 2 octets.
    ServerPort,
    /// Client's IPv4 address.
    Client4,
    /// Server's IPv4 address.
    Server4,
    /// Client's IPv6 address.
    Client6,
    /// Server's IPv6 address.
    Server6,
}

impl Connection {
    const fn key(self) -> (u32, bool) {
        match self {
            Self::State => (0, false),
            Self::Mark => (3, false),
            Self::Protocol => (10, true),
            Self::ServerPort => (12, true),
            Self::Client4 => (19, true),
            Self::Server4 => (20, true),
            Self::Client6 => (21, true),
            Self::Server6 => (22, true),
        }
    }
}

/// How two values compare (`nft_cmp_ops`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Loads a fact about the packet.
    Meta(Meta, Register),
    /// Sets the packet's mark.
    SetMark(Register),
    /// Loads octets of the packet.
    Payload {
        /// Header.
        header: Header,
        /// First octet.
        offset: u32,
        /// Number of octets.
        length: u32,
        /// Where to.
        to: Register,
    },
    /// Loads octets of an IPv6 extension header.
    Extension {
        /// Its number (IANA "IPv6 Extension Header Types").
        kind: u8,
        /// First octet.
        offset: u32,
        /// Number of octets.
        length: u32,
        /// Where to.
        to: Register,
    },
    /// Loads a fact about the connection.
    Connection(Connection, Register),
    /// Sets the connection's mark.
    SetConnectionMark(Register),
    /// Goes on only if a register compares so with a value.
    Compare(Register, Comparison, Vec<u8>),
    /// `(register & mask) ^ xor`, in place.
    Bitwise {
        /// Register.
        register: Register,
        /// Octets to keep.
        mask: Vec<u8>,
        /// Octets to flip.
        xor: Vec<u8>,
    },
    /// Loads a value.
    Load(Register, Vec<u8>),
    /// Goes on only if a register is in a set.
    Contained {
        /// Set.
        set: SmolStr,
        /// First register of the key.
        key: Register,
        /// Goes on only if it is *not* in the set.
        inverted: bool,
    },
    /// Loads what a map holds for a register; goes on only if it holds something.
    Mapped {
        /// Map.
        map: SmolStr,
        /// First register of the key.
        key: Register,
        /// Where to.
        to: Register,
    },
    /// Takes the verdict that a map holds for a register, if it holds one.
    VerdictOf {
        /// Verdict map.
        map: SmolStr,
        /// First register of the key.
        key: Register,
    },
    /// Adds a register to a set, with a timeout in milliseconds.
    Remember {
        /// Set.
        set: SmolStr,
        /// First register of the key.
        key: Register,
        /// Milliseconds.
        timeout_ms: u64,
    },
    /// Counts packets and octets in the rule.
    Count,
    /// Counts them in a named counter of the table.
    CountIn(SmolStr),
    /// Ends the rule.
    Verdict(Verdict),
}

impl Expression {
    fn name(&self) -> &'static str {
        match self {
            Self::Meta(..) | Self::SetMark(_) => "meta",
            Self::Payload { .. } => "payload",
            Self::Extension { .. } => "exthdr",
            Self::Connection(..) | Self::SetConnectionMark(_) => "ct",
            Self::Compare(..) => "cmp",
            Self::Bitwise { .. } => "bitwise",
            Self::Load(..) | Self::Verdict(_) => "immediate",
            Self::Contained { .. } | Self::Mapped { .. } | Self::VerdictOf { .. } => "lookup",
            Self::Remember { .. } => "dynset",
            Self::Count => "counter",
            Self::CountIn(_) => "objref",
        }
    }

    /// One `NFTA_LIST_ELEM` of a rule's expressions.
    pub(crate) fn write(&self, out: &mut Writer) {
        out.nest(1, |out| {
            self.write_inside(out);
        });
    }

    /// `NFTA_EXPR_*`.
    pub(crate) fn write_inside(&self, out: &mut Writer) {
        out.text(1, self.name());
        out.nest(2, |out| self.write_data(out));
    }

    fn write_data(&self, out: &mut Writer) {
        match self {
            Self::Meta(key, to) => {
                let key = match key {
                    Meta::Protocol => 1,
                    Meta::Mark => 3,
                    Meta::NfProto => 15,
                    Meta::L4Proto => 16,
                    Meta::InterfaceKind => 8,
                };
                out.u32(2, key).u32(1, to.wire());
            }
            Self::SetMark(from) => {
                out.u32(2, 3).u32(3, from.wire());
            }
            Self::Payload {
                header,
                offset,
                length,
                to,
            } => {
                let base = match header {
                    Header::Link => 0,
                    Header::Network => 1,
                    Header::Transport => 2,
                };
                out.u32(1, to.wire())
                    .u32(2, base)
                    .u32(3, *offset)
                    .u32(4, *length);
            }
            Self::Extension {
                kind,
                offset,
                length,
                to,
            } => {
                out.u32(1, to.wire())
                    .u8(2, *kind)
                    .u32(3, *offset)
                    .u32(4, *length)
                    .u32(5, 0)
                    .u32(6, 0);
            }
            Self::Connection(key, to) => {
                let (number, directional) = key.key();
                out.u32(1, to.wire()).u32(2, number);
                if directional {
                    out.u8(3, 0);
                }
            }
            Self::SetConnectionMark(from) => {
                out.u32(2, 3).u32(4, from.wire());
            }
            Self::Compare(register, comparison, value) => {
                let comparison = match comparison {
                    Comparison::Equal => 0,
                    Comparison::NotEqual => 1,
                };
                out.u32(1, register.wire()).u32(2, comparison);
                write_value(out, 3, value);
            }
            Self::Bitwise {
                register,
                mask,
                xor,
            } => {
                out.u32(1, register.wire()).u32(2, register.wire());
                out.u32(3, u32::try_from(mask.len()).unwrap_or(u32::MAX));
                out.u32(6, 0);
                write_value(out, 4, mask);
                write_value(out, 5, xor);
            }
            Self::Load(to, value) => {
                out.u32(1, to.wire());
                write_value(out, 2, value);
            }
            Self::Contained { set, key, inverted } => {
                out.text(1, set).u32(2, key.wire());
                out.u32(5, u32::from(*inverted));
            }
            Self::Mapped { map, key, to } => {
                out.text(1, map).u32(2, key.wire()).u32(3, to.wire());
            }
            Self::VerdictOf { map, key } => {
                // Register 0 takes verdicts (`NFT_REG_VERDICT`).
                out.text(1, map).u32(2, key.wire()).u32(3, 0);
            }
            Self::Remember {
                set,
                key,
                timeout_ms,
            } => {
                out.text(1, set).u32(3, 0).u32(4, key.wire());
                out.u64(6, *timeout_ms);
            }
            Self::Count => {}
            Self::CountIn(counter) => {
                // `NFT_OBJECT_COUNTER`.
                out.u32(1, 1).text(2, counter);
            }
            Self::Verdict(verdict) => {
                out.u32(1, 0);
                out.nest(2, |out| {
                    out.nest(2, |out| verdict.write(out));
                });
            }
        }
    }
}

/// `NFTA_DATA_VALUE` in a nest.
pub(crate) fn write_value(out: &mut Writer, kind: u16, value: &[u8]) {
    out.nest(kind, |out| {
        out.bytes(1, value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_written_as_the_kernel_writes_them() {
        let wire: Vec<u32> = (0..9).map(|n| Register(n).wire()).collect();
        assert_eq!(wire, [1, 9, 10, 11, 2, 13, 14, 15, 3]);
    }

    #[test]
    fn a_comparison_has_the_octets_that_the_kernel_expects() {
        let mut out = Writer::new();
        Expression::Compare(Register(0), Comparison::NotEqual, vec![6]).write(&mut out);
        let expected: &[u8] = &[
            0x2c, 0, 1, 0x80, // NFTA_LIST_ELEM
            8, 0, 1, 0, b'c', b'm', b'p', 0, // name
            0x20, 0, 2, 0x80, // data
            8, 0, 1, 0, 0, 0, 0, 1, // register 1
            8, 0, 2, 0, 0, 0, 0, 1, // not equal
            12, 0, 3, 0x80, 5, 0, 1, 0, 6, 0, 0, 0, // value
        ];
        if cfg!(target_endian = "little") {
            assert_eq!(out.as_slice(), expected);
        }
    }
}
