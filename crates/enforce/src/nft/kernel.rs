//! The kernel's nftables in the network namespace of the thread that opened the connection.

use std::io;

use smol_str::{SmolStr, ToSmolStr as _};

use super::dump::{self, ElementSeen, RuleSeen, TableSeen};
use super::object::{Element, Table};
use crate::netlink::attribute::Writer;
use crate::netlink::message::{Answer, Answers, Batch, DUMP, NFTABLES, request};
use crate::netlink::socket::Socket;
use crate::refusal::Refusal;

const GET_TABLE: u16 = 1;
const GET_CHAIN: u16 = 4;
const GET_RULE: u16 = 7;
const GET_SET: u16 = 10;
const GET_ELEMENT: u16 = 13;
const GET_GENERATION: u16 = 16;
const GET_OBJECT: u16 = 19;

/// Times that a dump begins again because the ruleset changed under it.
const DUMP_ATTEMPTS: u32 = 16;

/// A connection. Tables made with [`super::object::Lifetime::Owned`] live as long as it does.
#[derive(Debug)]
pub struct Kernel {
    socket: Socket,
    sequence: u32,
}

impl Kernel {
    /// Connects.
    ///
    /// # Errors
    /// When the kernel has no netfilter over netlink.
    pub fn open() -> Result<Self, Refusal> {
        let socket = Socket::open().map_err(|error| Refusal::of_io("open netlink", &error))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Makes changes that take effect together or not at all.
    ///
    /// # Errors
    /// The first change that the kernel refused, in words; nothing has changed then.
    pub fn commit(&mut self, batch: Batch) -> Result<(), Refusal> {
        if batch.is_empty() {
            return Ok(());
        }
        let finished = batch
            .finish()
            .map_err(|error| Refusal::new("write the changes", error.to_smolstr()))?;
        let lost = |error: io::Error| Refusal::of_io("send the changes", &error);
        // What an earlier request left behind must not be taken for an answer.
        while self.socket.receive_now().map_err(lost)?.is_some() {}
        self.socket.send(&finished.bytes).map_err(lost)?;
        let mut answered = false;
        let mut first: Option<Refusal> = None;
        while let Some(raw) = self.socket.receive_now().map_err(lost)? {
            for answer in Answers(raw) {
                match answer {
                    Answer::Taken { sequence } => answered |= sequence == finished.last(),
                    Answer::Refused {
                        sequence,
                        errno,
                        words,
                    } => {
                        answered = true;
                        let step = finished.step(sequence).unwrap_or("commit the changes");
                        first.get_or_insert_with(|| Refusal::of_errno(step, errno, words));
                    }
                    Answer::Object { .. } | Answer::Done { .. } => {}
                }
            }
        }
        match first {
            Some(refusal) => Err(refusal),
            None if answered => Ok(()),
            None => Err(Refusal::new(
                "make the changes",
                "the kernel gave no answer; read the ruleset back before going on",
            )),
        }
    }

    /// Number that every change of the ruleset of this namespace raises, by whomever.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn generation(&mut self) -> Result<u32, Refusal> {
        let mut generation = None;
        self.ask(
            "generation",
            GET_GENERATION,
            0,
            0,
            |_| {},
            |_, _, attributes| {
                generation = attributes.u32(1);
            },
        )?;
        generation.ok_or_else(|| Refusal::new("read the generation", "the kernel did not say"))
    }

    /// All tables.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn tables(&mut self) -> Result<Vec<TableSeen>, Refusal> {
        let mut out = Vec::new();
        self.ask(
            "tables",
            GET_TABLE,
            0,
            DUMP,
            |_| {},
            |first, family, attributes| {
                if first {
                    out.clear();
                }
                out.extend(dump::table(family, attributes));
            },
        )?;
        Ok(out)
    }

    /// Whether a table is there.
    ///
    /// # Errors
    /// When tables cannot be read.
    pub fn has(&mut self, table: &Table) -> Result<bool, Refusal> {
        let all = self.tables()?;
        Ok(all
            .iter()
            .any(|t| t.family == table.family.number() && t.name == table.name))
    }

    /// Names of the sets of a table.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn sets(&mut self, table: &Table) -> Result<Vec<SmolStr>, Refusal> {
        let mut out = Vec::new();
        self.ask(
            "sets",
            GET_SET,
            table.family.number(),
            DUMP,
            |out| {
                out.text(1, &table.name);
            },
            |first, _, attributes| {
                if first {
                    out.clear();
                }
                let own = attributes.text(1) == Some(&*table.name);
                out.extend(attributes.text(2).filter(|_| own).map(SmolStr::new));
            },
        )?;
        Ok(out)
    }

    /// Names of the chains of a table.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn chains(&mut self, table: &Table) -> Result<Vec<SmolStr>, Refusal> {
        let mut out = Vec::new();
        self.ask(
            "chains",
            GET_CHAIN,
            table.family.number(),
            DUMP,
            |_| {},
            |first, _, attributes| {
                if first {
                    out.clear();
                }
                let own = attributes.text(1) == Some(&*table.name);
                out.extend(attributes.text(3).filter(|_| own).map(SmolStr::new));
            },
        )?;
        Ok(out)
    }

    /// Rules of a table, in order, chain by chain.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rules(&mut self, table: &Table) -> Result<Vec<RuleSeen>, Refusal> {
        let mut out = Vec::new();
        self.ask(
            "rules",
            GET_RULE,
            table.family.number(),
            DUMP,
            |out| {
                out.text(1, &table.name);
            },
            |first, _, attributes| {
                if first {
                    out.clear();
                }
                if attributes.text(1) == Some(&*table.name) {
                    out.extend(dump::rule(attributes));
                }
            },
        )?;
        Ok(out)
    }

    /// Elements of a set; `intervals` says whether it holds intervals of one field.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn elements(
        &mut self,
        table: &Table,
        set: &str,
        intervals: bool,
    ) -> Result<Vec<ElementSeen>, Refusal> {
        let mut out = Vec::new();
        self.ask(
            set,
            GET_ELEMENT,
            table.family.number(),
            DUMP,
            |out| {
                out.text(1, &table.name).text(2, set);
            },
            |first, _, attributes| {
                if first {
                    out.clear();
                }
                dump::elements(attributes, &mut out);
            },
        )?;
        Ok(if intervals {
            dump::joined(out)
        } else {
            out.into_iter().map(|(element, _)| element).collect()
        })
    }

    /// One element of a set by its key; `None` when it is not there.
    ///
    /// # Errors
    /// When the kernel refuses for another reason than that.
    pub fn element(
        &mut self,
        table: &Table,
        set: &str,
        key: &[u8],
    ) -> Result<Option<ElementSeen>, Refusal> {
        let mut out = Vec::new();
        let wanted = Element::of(key.to_vec());
        let asked = self.ask(
            set,
            GET_ELEMENT,
            table.family.number(),
            0,
            |out| {
                out.text(1, &table.name).text(2, set);
                out.nest(3, |out| wanted.write(out));
            },
            |_, _, attributes| dump::elements(attributes, &mut out),
        );
        match asked {
            Ok(()) => Ok(out.pop().map(|(element, _)| element)),
            Err(refusal) if refusal.is_absent() => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Named counters of a table: name, packets, octets.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn counters(&mut self, table: &Table) -> Result<Vec<(SmolStr, u64, u64)>, Refusal> {
        let mut out = Vec::new();
        self.ask(
            "counters",
            GET_OBJECT,
            table.family.number(),
            DUMP,
            |out| {
                // Type: counter.
                out.text(1, &table.name).u32(3, 1);
            },
            |first, _, attributes| {
                if first {
                    out.clear();
                }
                out.extend(dump::counter(attributes));
            },
        )?;
        Ok(out)
    }

    /// Asks and hands over each object; `true` says that it is the first of a dump, which may begin again.
    fn ask(
        &mut self,
        what: &str,
        kind: u16,
        family: u8,
        flags: u16,
        attributes: impl Fn(&mut Writer),
        mut take: impl FnMut(bool, u8, crate::netlink::attribute::Attributes<'_>),
    ) -> Result<(), Refusal> {
        let step = format!("read {what}");
        let lost = |error: io::Error| Refusal::of_io(&step, &error);
        for _ in 0..DUMP_ATTEMPTS {
            while self.socket.receive_now().map_err(lost)?.is_some() {}
            self.sequence = self.sequence.wrapping_add(1);
            let ask = request(
                NFTABLES << 8 | kind,
                family,
                flags,
                self.sequence,
                &attributes,
            );
            self.socket.send(&ask).map_err(lost)?;
            let (mut first, mut changed, mut done) = (true, false, false);
            while !done {
                let raw = self.socket.receive().map_err(lost)?;
                if raw.is_empty() {
                    break;
                }
                for answer in Answers(raw) {
                    match answer {
                        Answer::Object {
                            family,
                            attributes,
                            interrupted,
                            ..
                        } => {
                            changed |= interrupted;
                            take(std::mem::take(&mut first), family, attributes);
                            done |= flags & DUMP == 0;
                        }
                        Answer::Done { interrupted } => {
                            changed |= interrupted;
                            done = true;
                        }
                        Answer::Taken { .. } => done = true,
                        Answer::Refused { errno, words, .. } => {
                            // EINTR: the ruleset changed under the dump.
                            if errno != libc::EINTR {
                                return Err(Refusal::of_errno(&step, errno, words));
                            }
                            (changed, done) = (true, true);
                        }
                    }
                }
            }
            if !changed {
                return Ok(());
            }
        }
        Err(Refusal::new(
            step,
            "the ruleset kept changing while it was read; try again",
        ))
    }
}
