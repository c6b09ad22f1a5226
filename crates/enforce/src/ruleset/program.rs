//! Chains, rules and maps of the compiled policy in nftables.
//!
//! ```text
//! forward   decided by a trial? through      (a trial: lease over? leave it to the confirmed policy)
//!           connection judged in this generation? through
//!           what discovery, neighbours and addresses need? through
//!           -> judge4, judge6
//! judge     opener's and server's address -> groups, protocol and port -> class
//!           (group, group, class) in cells -> permit
//!           (group, group) -> mode -> enforce or observe
//! enforce   (server's group, class) -> clinical service -> drop_N: count, drop
//! observe   the same                                    -> pass_N: count, permit
//! permit    write the generation into the connection's mark, let through
//! ```
//!
//! Packets are judged by their connection's *original* direction, so that replies, ICMP errors and packets of a
//! connection that is older than the policy are judged as the conversation they belong to. The generation in the mark
//! makes each connection be judged once in each generation: what a new policy forbids ends with its next packet, and
//! nothing has to search the table of connections.
//!
//! Every map, and every chain but `forward`, carries the number of its build in its name. A new policy is built beside the old
//! one, in pieces, and takes over when `forward` is rewritten in one small change.

use smol_str::{SmolStr, format_smolstr};

use segment::matrix::Mode;

use super::compiled::{Compiled, Span};
use crate::netlink::message::Batch;
use crate::nft::expression::{
    Comparison, Connection, Expression as E, Header, Meta, Register, Verdict,
};
use crate::nft::object::{Data, Element, Family, Hook, Kind, Match, Set, Table, key};

/// Bit of the packet mark that a trial sets on what it judged.
pub const TRIAL_BIT: u32 = 1 << 30;
/// Bits of the connection mark that hold the generation; the others are left to other programs.
pub const GENERATION_BITS: u32 = 0xffff_0000;
/// Generations of confirmed policies count from 1 to this; those of trials have the bit above.
pub const GENERATION_MAX: u16 = 0x7fff;

/// The base chain.
pub(super) const BASE: &str = "forward";
/// Milliseconds in which a device may be answered that asked a multicast group.
const ANSWER_MS: u64 = 10_000;
/// Most devices that wait for such an answer.
const ASKED_MAX: u32 = 65_536;

/// Confirmed, or on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In force until replaced.
    Confirmed,
    /// In force while its lease is renewed and its program lives.
    Trial,
}

/// A compiled policy as it will be in the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Program<'a> {
    pub(super) policy: &'a Compiled,
    pub(super) standing: Standing,
    /// What connections are marked with.
    pub(super) generation: u16,
    /// What its maps and chains carry in their names: drawn for each build, so that two programs that build at the same
    /// time never write into each other's maps. A change in place leaves it.
    pub(super) built: u32,
}

/// Which policy is in force, as the comment of the first rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) digest: [u8; 32],
    pub(super) generation: u16,
    pub(super) built: u32,
}

/// The table of a standing.
pub(super) fn table(standing: Standing) -> Table {
    Table {
        family: Family::Inet,
        name: match standing {
            Standing::Confirmed => "asepsis".into(),
            Standing::Trial => "asepsis_trial".into(),
        },
    }
}

impl Identity {
    /// The comment.
    fn comment(&self) -> String {
        let mut out = String::from("policy ");
        for octet in &self.digest {
            out.push_str(&format!("{octet:02x}"));
        }
        out.push_str(&format!(
            " generation {} built {}",
            self.generation, self.built
        ));
        out
    }

    /// Reads such a comment.
    pub(super) fn of(comment: &str) -> Option<Self> {
        let (hex, rest) = comment
            .strip_prefix("policy ")?
            .split_once(" generation ")?;
        let (generation, built) = rest.split_once(" built ")?;
        if hex.len() != 64 {
            return None;
        }
        let mut digest = [0; 32];
        for (octet, place) in digest.iter_mut().zip((0..).step_by(2)) {
            *octet = u8::from_str_radix(hex.get(place..place + 2)?, 16).ok()?;
        }
        Some(Self {
            digest,
            generation: generation.parse().ok()?,
            built: built.parse().ok()?,
        })
    }
}

/// A rule to be: its chain, comment and steps.
pub(super) struct Rule {
    pub(super) chain: SmolStr,
    pub(super) comment: String,
    pub(super) steps: Vec<E>,
}

const MARK: [Kind; 1] = [Kind::Mark];

fn equal(register: u32, value: impl Into<Vec<u8>>) -> E {
    E::Compare(Register(register), Comparison::Equal, value.into())
}

fn go(chain: SmolStr) -> E {
    E::Verdict(Verdict::Goto(chain))
}

fn number(value: u32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

impl Program<'_> {
    pub(super) fn table(&self) -> Table {
        table(self.standing)
    }

    /// A name of what was built together.
    pub(super) fn name(&self, what: &str) -> SmolStr {
        format_smolstr!("{what}_g{}", self.built)
    }

    /// The generation as the connection's mark has it.
    fn epoch(&self) -> u32 {
        let trial = match self.standing {
            Standing::Confirmed => 0,
            Standing::Trial => 0x8000,
        };
        (u32::from(self.generation) | trial) << 16
    }

    /// Sets and maps, empty.
    pub(super) fn sets(&self) -> Vec<Set> {
        let intervals = |mut set: Set| {
            set.intervals = true;
            set
        };
        let mut cells = Set::new(self.name("cells"), &[Kind::Mark, Kind::Mark, Kind::Mark]);
        // The kernel makes the table for this size at once, and walks all of it for every piece that is read back. Changes
        // in place find room; when there is none left, the policy is built anew.
        let room = self.policy.cells.len() + 2 * super::DELTA_MAX;
        cells.size = u32::try_from(room).ok();
        vec![
            intervals(Set::map(self.name("groups4"), &[Kind::Ipv4], Kind::Mark)),
            intervals(Set::map(self.name("groups6"), &[Kind::Ipv6], Kind::Mark)),
            intervals(Set::map(
                self.name("services"),
                &[Kind::Protocol, Kind::Service],
                Kind::Mark,
            )),
            cells,
            Set::map(self.name("modes"), &[Kind::Mark, Kind::Mark], Kind::Mark),
            Set::map(self.name("clinical"), &[Kind::Mark, Kind::Mark], Kind::Mark),
            Set::map(self.name("clinical_of_class"), &MARK, Kind::Mark),
        ]
    }

    /// Elements of those sets, each with its set.
    pub(super) fn elements(&self) -> Vec<(SmolStr, Vec<Element>)> {
        let policy = self.policy;
        let value = |matches: Match, value: u32| Element {
            matches,
            data: Data::Value(number(value)),
            timeout_ms: None,
        };
        let rest = |to: u32| value(Match::Rest, to);
        let pair = |a: u32, b: u32| key(&[&number(a), &number(b)]);
        let spans = |spans: &[Span], octets: usize| {
            let tail = |n: u128| n.to_be_bytes()[16 - octets..].to_vec();
            let last = u128::MAX >> (128 - 8 * octets as u32);
            let mut out: Vec<Element> = spans
                .iter()
                .map(|span| {
                    let end = (span.to < last).then(|| tail(span.to + 1));
                    value(Match::Range(tail(span.from), end), u32::from(span.group.0))
                })
                .collect();
            out.push(rest(0));
            out
        };
        let mut services: Vec<Element> = policy
            .services
            .iter()
            .map(|s| {
                let at = |port: u16| key(&[&[s.protocol], &port.to_be_bytes()]);
                value(Match::Fields(at(s.from), at(s.to)), s.class)
            })
            .collect();
        services.push(rest(0));
        let cells = policy
            .cells
            .iter()
            .map(|&(from, to, class)| {
                let (from, to) = (u32::from(from), u32::from(to));
                let fields = [from, to, class].map(u32::to_ne_bytes);
                Element::of(fields.as_flattened().to_vec())
            })
            .collect();
        let mut modes: Vec<Element> = policy
            .modes
            .iter()
            .map(|(&(from, to), mode)| {
                value(Match::Key(pair(from.into(), to.into())), mode_number(*mode))
            })
            .collect();
        modes.push(rest(mode_number(policy.default_mode)));
        let clinical = policy
            .clinical_of_server
            .iter()
            .map(|(&(to, class), &name)| value(Match::Key(pair(to.into(), class)), name))
            .collect();
        let mut of_class: Vec<Element> = policy
            .clinical_of_class
            .iter()
            .map(|(class, name)| value(Match::Key(number(*class)), *name))
            .collect();
        of_class.push(rest(0));
        vec![
            (self.name("groups4"), spans(&policy.addresses4, 4)),
            (self.name("groups6"), spans(&policy.addresses6, 16)),
            (self.name("services"), services),
            (self.name("cells"), cells),
            (self.name("modes"), modes),
            (self.name("clinical"), clinical),
            (self.name("clinical_of_class"), of_class),
        ]
    }

    /// Sets that no generation changes, with their elements.
    pub(super) fn lasting_sets() -> Vec<(Set, Vec<Element>)> {
        let ports = |list: &[(u8, u16, u16)]| {
            list.iter()
                .map(|(p, a, b)| Element::of(key(&[&[*p], &a.to_be_bytes(), &b.to_be_bytes()])))
                .collect::<Vec<_>>()
        };
        let asked = |name: &str, kind| {
            let mut set = Set::new(name, &[kind, Kind::Service]);
            (set.dynamic, set.timeouts, set.size) = (true, true, Some(ASKED_MAX));
            (set, Vec::new())
        };
        let groups4 = [([224, 0, 0, 251], 5353_u16), ([239, 255, 255, 250], 3702)];
        let groups6 = [(0xfb_u16, 5353_u16), (0xc, 3702)];
        vec![
            (
                Set::new("upkeep", &[Kind::Protocol, Kind::Service, Kind::Service]),
                ports(&[(17, 68, 67), (17, 67, 68), (17, 546, 547), (17, 547, 546)]),
            ),
            (
                Set::new("neighbours", &[Kind::Icmp6]),
                // Multicast listeners (RFC 2710, RFC 3810), routers, neighbours and redirects (RFC 4861).
                [130, 131, 132, 133, 134, 135, 136, 137, 143]
                    .map(|kind| Element::of(vec![kind]))
                    .to_vec(),
            ),
            (
                Set::new("discovery4", &[Kind::Ipv4, Kind::Service]),
                groups4
                    .map(|(group, port)| Element::of(key(&[&group, &port.to_be_bytes()])))
                    .to_vec(),
            ),
            (
                Set::new("discovery6", &[Kind::Ipv6, Kind::Service]),
                groups6
                    .map(|(low, port)| {
                        let mut group = [0; 16];
                        group[..2].copy_from_slice(&[0xff, 0x02]);
                        group[14..].copy_from_slice(&low.to_be_bytes());
                        Element::of(key(&[&group, &port.to_be_bytes()]))
                    })
                    .to_vec(),
            ),
            asked("asked4", Kind::Ipv4),
            asked("asked6", Kind::Ipv6),
        ]
    }

    /// Chains of this generation.
    pub(super) fn chains(&self) -> Vec<SmolStr> {
        let mut out: Vec<SmolStr> = [
            "judge4", "judge6", "enforce4", "enforce6", "observe4", "observe6", "permit",
        ]
        .iter()
        .map(|name| self.name(name))
        .collect();
        for place in 0..self.policy.clinical.len() {
            out.push(self.name(&format!("drop{place}")));
            out.push(self.name(&format!("pass{place}")));
        }
        out
    }

    /// Verdict maps of this generation with their elements: they lead to chains, so they come with them.
    pub(super) fn verdict_maps(&self) -> Vec<(Set, Vec<Element>)> {
        let to = |value: u32, chain: SmolStr| Element {
            matches: Match::Key(number(value)),
            data: Data::Verdict(Verdict::Goto(chain)),
            timeout_ms: None,
        };
        let mut out = Vec::new();
        for digit in ["4", "6"] {
            let set = Set::verdicts(self.name(&format!("by_mode{digit}")), &MARK);
            let elements = vec![
                to(
                    mode_number(Mode::Enforce),
                    self.name(&format!("enforce{digit}")),
                ),
                to(
                    mode_number(Mode::Observe),
                    self.name(&format!("observe{digit}")),
                ),
            ];
            out.push((set, elements));
        }
        for (verb, map) in [("drop", "drops"), ("pass", "passes")] {
            let set = Set::verdicts(self.name(map), &MARK);
            let elements = (0_u32..)
                .take(self.policy.clinical.len())
                .map(|place| to(place, self.name(&format!("{verb}{place}"))))
                .collect();
            out.push((set, elements));
        }
        out
    }

    /// Named counters: drops and would-be drops of each clinical service, by place.
    pub(super) fn counters(&self) -> Vec<(SmolStr, SmolStr)> {
        counter_names(&self.policy.clinical)
    }

    /// Rules, in order.
    pub(super) fn rules(&self) -> Vec<Rule> {
        let mut out = Vec::new();
        self.base(&mut out);
        for (digit, client, server) in [
            ("4", Connection::Client4, Connection::Server4),
            ("6", Connection::Client6, Connection::Server6),
        ] {
            self.judge(&mut out, digit, client, server);
        }
        let mut add = |chain: SmolStr, comment: String, steps: Vec<E>| {
            out.push(Rule {
                chain,
                comment,
                steps,
            });
        };
        for (place, (drop, pass)) in self.counters().into_iter().enumerate() {
            let clinical = &self.policy.clinical[place];
            add(
                self.name(&format!("drop{place}")),
                format!("{clinical}: dropped"),
                vec![E::CountIn(drop), E::Verdict(Verdict::Drop)],
            );
            add(
                self.name(&format!("pass{place}")),
                format!("{clinical}: would be dropped"),
                vec![E::CountIn(pass), go(self.name("permit"))],
            );
        }
        let mut permit = vec![
            E::Connection(Connection::Mark, Register(0)),
            E::Bitwise {
                register: Register(0),
                mask: number(!GENERATION_BITS),
                xor: number(self.epoch()),
            },
            E::SetConnectionMark(Register(0)),
        ];
        permit.extend(self.through());
        add(self.name("permit"), "judged".to_owned(), permit);
        out
    }

    /// Lets a packet through; a trial says so to the confirmed policy behind it.
    fn through(&self) -> Vec<E> {
        let mut out = Vec::new();
        if self.standing == Standing::Trial {
            out.push(E::Meta(Meta::Mark, Register(0)));
            out.push(E::Bitwise {
                register: Register(0),
                mask: number(!TRIAL_BIT),
                xor: number(TRIAL_BIT),
            });
            out.push(E::SetMark(Register(0)));
        }
        out.push(E::Verdict(Verdict::Accept));
        out
    }

    fn base(&self, out: &mut Vec<Rule>) {
        let mut add = |comment: String, steps: Vec<E>| {
            out.push(Rule {
                chain: BASE.into(),
                comment,
                steps,
            });
        };
        // The first rule carries the policy's identity.
        let first = match self.standing {
            Standing::Confirmed => vec![
                E::Meta(Meta::Mark, Register(0)),
                E::Bitwise {
                    register: Register(0),
                    mask: number(TRIAL_BIT),
                    xor: number(0),
                },
                equal(0, number(TRIAL_BIT)),
                E::Verdict(Verdict::Accept),
            ],
            Standing::Trial => vec![
                E::Meta(Meta::NfProto, Register(0)),
                E::Contained {
                    set: "alive".into(),
                    key: Register(0),
                    inverted: true,
                },
                E::Verdict(Verdict::Accept),
            ],
        };
        let identity = Identity {
            digest: self.policy.digest,
            generation: self.generation,
            built: self.built,
        };
        add(identity.comment(), first);
        let mut steps = vec![
            E::Connection(Connection::Mark, Register(0)),
            E::Bitwise {
                register: Register(0),
                mask: number(GENERATION_BITS),
                xor: number(0),
            },
            equal(0, number(self.epoch())),
        ];
        steps.extend(self.through());
        add("judged in this generation".to_owned(), steps);
        let mut steps = vec![
            E::Meta(Meta::L4Proto, Register(0)),
            equal(0, vec![58]),
            E::Payload {
                header: Header::Transport,
                offset: 0,
                length: 1,
                to: Register(0),
            },
            contained("neighbours", 0),
        ];
        steps.extend(self.through());
        add("neighbours and listeners".to_owned(), steps);
        let mut steps = vec![
            E::Meta(Meta::L4Proto, Register(0)),
            port(0, 1),
            port(2, 2),
            contained("upkeep", 0),
        ];
        steps.extend(self.through());
        add("addresses by DHCP".to_owned(), steps);
        for (digit, family, from, to, length) in [("4", 2_u8, 12, 16, 4_u32), ("6", 10, 8, 24, 16)]
        {
            let words = length / 4;
            let only = || {
                vec![
                    E::Meta(Meta::NfProto, Register(0)),
                    equal(0, vec![family]),
                    E::Meta(Meta::L4Proto, Register(0)),
                    equal(0, vec![17]),
                ]
            };
            let address = |offset| E::Payload {
                header: Header::Network,
                offset,
                length,
                to: Register(0),
            };
            let mut steps = only();
            steps.extend([
                address(to),
                port(2, words),
                contained(&format!("discovery{digit}"), 0),
                address(from),
                port(0, words),
                E::Remember {
                    set: format_smolstr!("asked{digit}"),
                    key: Register(0),
                    timeout_ms: ANSWER_MS,
                },
            ]);
            steps.extend(self.through());
            add("discovery by multicast".to_owned(), steps);
            let mut steps = only();
            steps.extend([
                address(to),
                port(2, words),
                contained(&format!("asked{digit}"), 0),
            ]);
            steps.extend(self.through());
            add("answer to discovery".to_owned(), steps);
        }
        for (digit, family) in [("4", 2_u8), ("6", 10)] {
            add(
                format!("IPv{digit}"),
                vec![
                    E::Meta(Meta::NfProto, Register(0)),
                    equal(0, vec![family]),
                    go(self.name(&format!("judge{digit}"))),
                ],
            );
        }
    }

    fn judge(&self, out: &mut Vec<Rule>, digit: &str, client: Connection, server: Connection) {
        let looked_up = |map: &str, key: u32, to: u32| {
            let mut out = vec![E::Mapped {
                map: self.name(map),
                key: Register(key),
                to: Register(to),
            }];
            out.extend(by_way_of_mark(to));
            out
        };
        let group = |end: Connection, to: u32| {
            let mut out = vec![E::Connection(end, Register(4))];
            out.extend(looked_up(&format!("groups{digit}"), 4, to));
            out
        };
        let class = |to: u32| {
            let mut out = vec![
                E::Connection(Connection::Protocol, Register(4)),
                E::Connection(Connection::ServerPort, Register(5)),
            ];
            out.extend(looked_up("services", 4, to));
            out
        };
        let taken = |map: &str, key: u32| E::VerdictOf {
            map: self.name(map),
            key: Register(key),
        };
        let mut add = |chain: &str, comment: &str, steps: Vec<Vec<E>>| {
            out.push(Rule {
                chain: self.name(chain),
                comment: comment.to_owned(),
                steps: steps.concat(),
            });
        };
        let judge = format!("judge{digit}");
        let permitted = vec![
            E::Contained {
                set: self.name("cells"),
                key: Register(0),
                inverted: false,
            },
            go(self.name("permit")),
        ];
        add(
            &judge,
            "permitted",
            vec![
                keep_mark(),
                group(client, 0),
                group(server, 1),
                class(2),
                restore_mark(),
                permitted,
            ],
        );
        add(
            &judge,
            "mode of the two groups",
            vec![
                keep_mark(),
                group(client, 0),
                group(server, 1),
                looked_up("modes", 0, 2),
                restore_mark(),
                vec![taken(&format!("by_mode{digit}"), 2)],
            ],
        );
        // Without connection tracking (invalid, untracked) there is nobody to name.
        let (chain, comment) = match self.policy.default_mode {
            Mode::Enforce => ("drop0", "belongs to no connection"),
            Mode::Observe => ("pass0", "belongs to no connection: observed"),
        };
        add(&judge, comment, vec![vec![go(self.name(chain))]]);
        for (verb, map, fallback) in [
            ("enforce", "drops", "drop0"),
            ("observe", "passes", "pass0"),
        ] {
            let chain = format!("{verb}{digit}");
            add(
                &chain,
                "clinical service of the server",
                vec![
                    keep_mark(),
                    group(server, 0),
                    class(1),
                    // This map may hold nothing, and the rule ends there.
                    restore_mark(),
                    looked_up("clinical", 0, 2),
                    restore_mark(),
                    vec![taken(map, 2)],
                ],
            );
            add(
                &chain,
                "clinical service of the port",
                vec![
                    keep_mark(),
                    class(0),
                    looked_up("clinical_of_class", 0, 1),
                    restore_mark(),
                    vec![taken(map, 1)],
                ],
            );
            add(
                &chain,
                "no clinical service",
                vec![vec![go(self.name(fallback))]],
            );
        }
    }
}

/// The register that keeps the packet's mark while a rule works.
const KEPT: Register = Register(8);

fn keep_mark() -> Vec<E> {
    vec![E::Meta(Meta::Mark, KEPT)]
}

fn restore_mark() -> Vec<E> {
    vec![E::SetMark(KEPT)]
}

/// Takes a looked-up value through the packet's mark and back. It changes nothing; but `nft` 1.0.6 (Debian 12) aborts
/// while listing a ruleset in which a looked-up value is the key of another lookup, since it does not know its length, and
/// whoever runs a gateway has to be able to list its ruleset.
fn by_way_of_mark(register: u32) -> [E; 2] {
    [
        E::SetMark(Register(register)),
        E::Meta(Meta::Mark, Register(register)),
    ]
}

const fn mode_number(mode: Mode) -> u32 {
    match mode {
        Mode::Enforce => 1,
        Mode::Observe => 2,
    }
}

fn contained(set: &str, key: u32) -> E {
    E::Contained {
        set: set.into(),
        key: Register(key),
        inverted: false,
    }
}

fn port(offset: u32, to: u32) -> E {
    E::Payload {
        header: Header::Transport,
        offset,
        length: 2,
        to: Register(to),
    }
}

/// Names of the counters of clinical services: of drops and of would-be drops.
pub(super) fn counter_names(clinical: &[SmolStr]) -> Vec<(SmolStr, SmolStr)> {
    let mut seen = std::collections::BTreeSet::new();
    clinical
        .iter()
        .map(|name| {
            let mut slug: String = name
                .chars()
                .map(|c| {
                    if c.is_ascii_alphanumeric() {
                        c.to_ascii_lowercase()
                    } else {
                        '_'
                    }
                })
                .take(64)
                .collect();
            while !seen.insert(slug.clone()) {
                slug.push('_');
            }
            (
                format_smolstr!("drop_{slug}"),
                format_smolstr!("would_{slug}"),
            )
        })
        .collect()
}

/// Base chain of a standing.
pub(super) fn base_chain(batch: &mut Batch, standing: Standing) {
    // Behind the quarantine; a trial judges before the confirmed policy.
    let priority = match standing {
        Standing::Confirmed => 0,
        Standing::Trial => -1,
    };
    batch.base_chain(&table(standing), BASE, Hook::Forward, priority);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_reads_back_and_another_comment_is_none() {
        let identity = Identity {
            digest: [0xa7; 32],
            generation: GENERATION_MAX,
            built: u32::MAX,
        };
        let comment = identity.comment();
        assert!(comment.len() < 127, "{}", comment.len());
        assert_eq!(Identity::of(&comment), Some(identity));
        for other in ["", "policy", "policy aa generation 1 built 1", "judged"] {
            assert_eq!(Identity::of(other), None, "{other}");
        }
        let wide = format!("policy {} generation 1 built 1", "ä".repeat(32));
        assert_eq!(Identity::of(&wide), None);
    }

    #[test]
    fn counters_of_services_that_look_alike_stay_apart() {
        let names = counter_names(&["other".into(), "Lab A".into(), "Lab-A".into()]);
        assert_eq!(names[1].0, "drop_lab_a");
        assert_eq!(names[2].1, "would_lab_a_");
    }
}
