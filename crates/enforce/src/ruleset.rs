//! The policy in nftables: built beside the one in force, then put in force in one small change.
//!
//! A large map is loaded in pieces that the kernel takes in a few milliseconds each, because it makes one change of a
//! namespace at a time: the kill switch never waits for more than a piece. Until the last, small change, packets are
//! judged by the old policy alone; after it, by the new one alone. Killed at any moment, one of the two is in force, and
//! what was half built is removed at the next opportunity. What was written is read back, and goes back to the old policy
//! when it is not what was meant.

pub mod compiled;
mod program;
pub mod trial;

use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use serde::Serialize;
use smol_str::{SmolStr, format_smolstr};

use segment::matrix::Matrix;

use crate::netlink::message::Batch;
use crate::nft::dump::ElementSeen;
use crate::nft::kernel::Kernel;
use crate::nft::object::{Element, Lifetime, Match, Set, Table};
use crate::refusal::Refusal;

pub use compiled::Compiled;
pub use program::{GENERATION_BITS, GENERATION_MAX, Standing, TRIAL_BIT};

use program::{BASE, Identity, Program};

/// Elements of one piece. The kernel takes about two microseconds for each.
const PIECE: usize = 500;
/// Elements of a set that is read back before its policy takes over. The kernel walks a set from its beginning for each
/// of the datagrams that it reads back, so that a large one takes long; it is read back right after, and on a difference
/// the old policy takes over again.
const READ_BEFORE_MAX: usize = 20_000;
/// Differences that are made in place, in one change.
const DELTA_MAX: usize = 2_000;
/// Times that a change is tried again because somebody else changed the ruleset meanwhile.
const ATTEMPTS: u32 = 32;

/// The policy of the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Gateway {
    kernel: Kernel,
    /// What is in force, if this value put it there.
    in_force: Option<(u16, Compiled)>,
}

/// How a policy was put in force, for the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Applied {
    /// Generation in force.
    pub generation: u16,
    /// How it came.
    pub how: How,
    /// Elements written.
    pub elements: usize,
    /// Microseconds for building it beside the old one.
    pub built_us: u64,
    /// Microseconds for reading it back: small maps before it took over, large ones right after.
    pub read_back_us: u64,
    /// Microseconds for the change that put it in force.
    pub switched_us: u64,
    /// Microseconds from the call until it was in force.
    pub in_force_us: u64,
}

/// How a policy came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It was in force already.
    Unchanged,
    /// Its differences were made in place.
    Delta,
    /// It was built beside the old one.
    Built,
}

/// What was counted for a clinical service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The clinical service; [`compiled::UNNAMED`] where none is known.
    pub clinical: SmolStr,
    /// Packets dropped.
    pub dropped: u64,
    /// Connections that would have been dropped, once in each generation.
    pub would_drop: u64,
}

impl Gateway {
    /// Connects to the kernel.
    ///
    /// # Errors
    /// When the kernel has no netfilter over netlink.
    pub fn open() -> Result<Self, Refusal> {
        Ok(Self {
            kernel: Kernel::open()?,
            in_force: None,
        })
    }

    /// Digest of the confirmed policy in force.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn digest(&mut self) -> Result<Option<[u8; 32]>, Refusal> {
        let table = program::table(Standing::Confirmed);
        Ok(identity(&mut self.kernel, &table)?.map(|identity| identity.digest))
    }

    /// Puts a policy in force for good, replacing the one before.
    ///
    /// # Errors
    /// When the matrix contradicts itself, exceeds a bound, or the kernel refuses; the old policy is in force then.
    pub fn confirm(&mut self, matrix: &Matrix) -> Result<Applied, Refusal> {
        let began = Instant::now();
        let policy = Compiled::of(matrix)?;
        let table = program::table(Standing::Confirmed);
        let before = identity(&mut self.kernel, &table)?;
        if let (Some(before), Some((known, old))) = (before, self.in_force.take())
            && known == before.generation
            && old.digest == before.digest
        {
            if old == policy {
                self.in_force = Some((known, old));
                return Ok(Applied::new(before.generation, How::Unchanged));
            }
            if let Some(mut applied) = self.in_place(&old, &policy, before)? {
                applied.in_force_us = us(began.elapsed());
                self.in_force = Some((applied.generation, policy));
                return Ok(applied);
            }
        }
        let generation = next(&mut self.kernel, before)?;
        let program = Program {
            policy: &policy,
            standing: Standing::Confirmed,
            generation,
            built: fresh(before),
        };
        let mut batch = Batch::new();
        batch.table(&table, Lifetime::Lasting);
        program::base_chain(&mut batch, Standing::Confirmed);
        self.kernel.commit(batch)?;
        sweep(&mut self.kernel, &table)?;
        let mut applied = Applied::new(generation, How::Built);
        let all = program.elements();
        let done = build(&mut self.kernel, &program, &all, &mut applied)
            .and_then(|()| switch(&mut self.kernel, &program, before, &mut applied));
        if let Err(refusal) = done {
            // The old policy is in force; what was built beside it goes now or before the next one.
            let _ = sweep(&mut self.kernel, &table);
            // Another program that applies a policy has swept what was being built.
            return Err(if refusal.is_absent() {
                changed_by_others()
            } else {
                refusal
            });
        }
        applied.in_force_us = us(began.elapsed());
        let sound = verify_rules(&mut self.kernel, &program).and_then(|()| {
            verify_sets(&mut self.kernel, &program, &all, Size::Large, &mut applied)
        });
        if let Err(refusal) = sound {
            back(&mut self.kernel, &policy, before)?;
            return Err(refusal);
        }
        sweep(&mut self.kernel, &table)?;
        self.in_force = Some((generation, policy));
        Ok(applied)
    }

    /// What was counted for each clinical service of a policy, by the confirmed policy's counters.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn counted(&mut self, matrix: &Matrix) -> Result<Vec<Counted>, Refusal> {
        let policy = Compiled::of(matrix)?;
        counted(
            &mut self.kernel,
            &program::table(Standing::Confirmed),
            &policy,
        )
    }

    /// Takes the policy away; quarantines stay.
    ///
    /// # Errors
    /// When the kernel refuses; the policy is in force then.
    pub fn remove(&mut self) -> Result<(), Refusal> {
        let table = program::table(Standing::Confirmed);
        if self.kernel.has(&table)? {
            let mut batch = Batch::new();
            batch.delete_table(&table);
            self.kernel.commit(batch)?;
        }
        self.in_force = None;
        Ok(())
    }

    /// Makes the differences of two policies in place, in one change, if they are few and numbers mean the same.
    fn in_place(
        &mut self,
        old: &Compiled,
        new: &Compiled,
        before: Identity,
    ) -> Result<Option<Applied>, Refusal> {
        // Chains, verdict maps and counters depend on these.
        if old.default_mode != new.default_mode || old.clinical != new.clinical {
            return Ok(None);
        }
        // Most large changes are told here, before a list of elements is made.
        let gone = |one: &Compiled, other: &Compiled| {
            let missing = |cell: &&_| other.cells.binary_search(cell).is_err();
            one.cells.iter().filter(missing).take(DELTA_MAX + 1).count()
        };
        if gone(old, new) + gone(new, old) > DELTA_MAX {
            return Ok(None);
        }
        let began = Instant::now();
        let generation = next(&mut self.kernel, Some(before))?;
        let of = |policy| Program {
            policy,
            standing: Standing::Confirmed,
            generation,
            built: before.built,
        };
        let (program, table) = (of(new), of(new).table());
        let (was, will) = (of(old).elements(), program.elements());
        let mut applied = Applied::new(generation, How::Delta);
        let mut changes = Vec::new();
        for ((set, old), (_, new)) in was.iter().zip(&will) {
            let (gone, come) = differences(old, new);
            applied.elements += gone.len() + come.len();
            if applied.elements > DELTA_MAX {
                return Ok(None);
            }
            changes.push((set, gone, come));
        }
        for _ in 0..ATTEMPTS {
            let seen = self.kernel.generation()?;
            if identity(&mut self.kernel, &table)? != Some(before) {
                return Err(changed_by_others());
            }
            let mut batch = Batch::if_generation(seen);
            for (set, gone, come) in &changes {
                batch.delete_elements(&table, set, gone.iter().copied());
                batch.elements(&table, set, come.iter().copied());
            }
            let permit = program.name("permit");
            for chain in [BASE, &permit] {
                batch.flush_chain(&table, chain);
            }
            for rule in program.rules() {
                if rule.chain == BASE || rule.chain == permit {
                    batch.rule(&table, &rule.chain, &rule.comment, &rule.steps);
                }
            }
            applied.built_us = us(began.elapsed());
            let switching = Instant::now();
            match self.kernel.commit(batch) {
                Ok(()) => {
                    applied.switched_us = us(switching.elapsed());
                    verify_rules(&mut self.kernel, &program)?;
                    return Ok(Some(applied));
                }
                Err(refusal) if refusal.is_outrun() => {}
                Err(refusal) if refusal.is_full() => return Ok(None),
                Err(refusal) => return Err(refusal),
            }
        }
        Err(changed_by_others())
    }
}

impl Applied {
    fn new(generation: u16, how: How) -> Self {
        Self {
            generation,
            how,
            elements: 0,
            built_us: 0,
            read_back_us: 0,
            switched_us: 0,
            in_force_us: 0,
        }
    }
}

/// The identity of the policy in a table.
fn identity(kernel: &mut Kernel, table: &Table) -> Result<Option<Identity>, Refusal> {
    if !kernel.has(table)? {
        return Ok(None);
    }
    let rules = kernel.rules(table)?;
    Ok(rules
        .iter()
        .filter(|rule| rule.chain == BASE)
        .find_map(|rule| Identity::of(&rule.comment)))
}

/// The generation after one; without one, a number that connections of an earlier policy are not marked with: the
/// kernel's own count of changes, which only rises.
fn next(kernel: &mut Kernel, before: Option<Identity>) -> Result<u16, Refusal> {
    match before {
        Some(before) => Ok(before.generation % GENERATION_MAX + 1),
        None => {
            let changes = kernel.generation()? % u32::from(GENERATION_MAX);
            Ok(u16::try_from(changes).unwrap_or(0) + 1)
        }
    }
}

/// A number for a build, other than that of the one in force.
fn fresh(before: Option<Identity>) -> u32 {
    loop {
        // The standard library's seed of hash maps is random.
        let drawn = RandomState::new().build_hasher().finish() as u32;
        if before.is_none_or(|before| before.built != drawn) {
            return drawn;
        }
    }
}

/// Builds maps beside those in force, in pieces, and reads them back.
fn build(
    kernel: &mut Kernel,
    program: &Program<'_>,
    all: &[(SmolStr, Vec<Element>)],
    applied: &mut Applied,
) -> Result<(), Refusal> {
    let began = Instant::now();
    let table = program.table();
    let mut batch = Batch::new();
    for (set, _) in Program::lasting_sets() {
        batch.set(&table, &set);
    }
    for (set, elements) in Program::lasting_sets() {
        batch.elements(&table, &set.name, &elements);
    }
    for (drop, pass) in program.counters() {
        batch.counter(&table, &drop);
        batch.counter(&table, &pass);
    }
    for set in program.sets() {
        batch.set(&table, &set);
    }
    kernel.commit(batch)?;
    for (set, elements) in all {
        for piece in elements.chunks(PIECE) {
            let mut batch = Batch::new();
            batch.elements(&table, set, piece);
            kernel.commit(batch)?;
        }
        applied.elements += elements.len();
    }
    applied.built_us = us(began.elapsed());
    verify_sets(kernel, program, all, Size::Small, applied)
}

/// Which sets are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// Of at most [`READ_BEFORE_MAX`] elements.
    Small,
    /// Of more.
    Large,
}

/// Compares sets of a size with what they should hold.
fn verify_sets(
    kernel: &mut Kernel,
    program: &Program<'_>,
    all: &[(SmolStr, Vec<Element>)],
    size: Size,
    applied: &mut Applied,
) -> Result<(), Refusal> {
    let began = Instant::now();
    let table = program.table();
    for (set, (name, elements)) in program.sets().iter().zip(all) {
        let own = if elements.len() > READ_BEFORE_MAX {
            Size::Large
        } else {
            Size::Small
        };
        if own == size {
            verify_elements(kernel, &table, set, name, elements)?;
        }
    }
    applied.read_back_us += us(began.elapsed());
    Ok(())
}

/// Puts the policy before in force again, while its maps and chains are still there.
fn back(kernel: &mut Kernel, policy: &Compiled, before: Option<Identity>) -> Result<(), Refusal> {
    let table = program::table(Standing::Confirmed);
    let mut batch = Batch::new();
    batch.flush_chain(&table, BASE);
    if let Some(before) = before {
        // The base chain depends on nothing else of a policy.
        let policy = Compiled {
            digest: before.digest,
            ..policy.clone()
        };
        let program = Program {
            policy: &policy,
            standing: Standing::Confirmed,
            generation: before.generation,
            built: before.built,
        };
        for rule in program.rules() {
            if rule.chain == BASE {
                batch.rule(&table, &rule.chain, &rule.comment, &rule.steps);
            }
        }
    }
    kernel.commit(batch)
}

/// Puts what was built in force, in one change, if the policy before is still the one that was seen.
fn switch(
    kernel: &mut Kernel,
    program: &Program<'_>,
    before: Option<Identity>,
    applied: &mut Applied,
) -> Result<(), Refusal> {
    let table = program.table();
    for _ in 0..ATTEMPTS {
        let seen = kernel.generation()?;
        if identity(kernel, &table)? != before {
            return Err(changed_by_others());
        }
        let mut batch = Batch::if_generation(seen);
        for chain in program.chains() {
            batch.chain(&table, &chain);
        }
        for (set, elements) in program.verdict_maps() {
            batch.set(&table, &set);
            batch.elements(&table, &set.name, &elements);
        }
        batch.flush_chain(&table, BASE);
        for rule in program.rules() {
            batch.rule(&table, &rule.chain, &rule.comment, &rule.steps);
        }
        let began = Instant::now();
        match kernel.commit(batch) {
            Ok(()) => {
                applied.switched_us = us(began.elapsed());
                return Ok(());
            }
            Err(refusal) if refusal.is_outrun() => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Err(changed_by_others())
}

fn changed_by_others() -> Refusal {
    Refusal::new(
        "put the policy in force",
        "another program changes the ruleset at the same time",
    )
    .hint("see who else runs `asepsis segment apply`, or reloads a firewall, and try again")
}

/// Deletes chains and sets of every build but the one in force.
fn sweep(kernel: &mut Kernel, table: &Table) -> Result<(), Refusal> {
    for _ in 0..ATTEMPTS {
        let seen = kernel.generation()?;
        let keep = identity(kernel, table)?.map(|identity| identity.built);
        let old = |name: &SmolStr| {
            name.rsplit_once("_g")
                .and_then(|(_, built)| built.parse::<u32>().ok())
                .is_some_and(|built| Some(built) != keep)
        };
        let mut chains = kernel.chains(table)?;
        chains.retain(old);
        let mut sets = kernel.sets(table)?;
        sets.retain(old);
        if chains.is_empty() && sets.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::if_generation(seen);
        // Rules hold sets, verdict maps hold chains: first the rules, then the maps, then the chains.
        for chain in &chains {
            batch.flush_chain(table, chain);
        }
        for set in &sets {
            batch.delete_set(table, set);
        }
        for chain in &chains {
            batch.delete_chain(table, chain);
        }
        match kernel.commit(batch) {
            Err(refusal) if refusal.is_outrun() => {}
            other => return other,
        }
    }
    Err(changed_by_others())
}

/// Compares a set in the kernel with what it should hold.
fn verify_elements(
    kernel: &mut Kernel,
    table: &Table,
    set: &Set,
    name: &str,
    wanted: &[Element],
) -> Result<(), Refusal> {
    let lone = set.intervals && set.key.len() == 1;
    let mut seen = kernel.elements(table, name, lone)?;
    if set.intervals && !lone {
        // The kernel may tell an interval of one value as that value.
        for ElementSeen { matches, .. } in &mut seen {
            if let Match::Key(key) = matches {
                *matches = Match::Fields(key.clone(), key.clone());
            }
        }
    }
    let mut missing: HashSet<(&Match, Option<&[u8]>)> = wanted
        .iter()
        .map(|element| (&element.matches, element.data.value()))
        .collect();
    // Each of the kernel's elements is one of ours, and none comes twice.
    let ours = seen
        .iter()
        .all(|element| missing.remove(&(&element.matches, element.value.as_deref())));
    if ours && missing.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(
        format_smolstr!("read back set `{name}`"),
        format!(
            "it holds {} elements where {} were written, or others",
            seen.len(),
            wanted.len()
        ),
    )
    .hint("another program may be changing the table `asepsis`; apply again"))
}

/// Compares the rules in the kernel with what they should be.
fn verify_rules(kernel: &mut Kernel, program: &Program<'_>) -> Result<(), Refusal> {
    let table = program.table();
    let seen = kernel.rules(&table)?;
    let chains: BTreeSet<SmolStr> = program
        .chains()
        .into_iter()
        .chain([SmolStr::new_static(BASE)])
        .collect();
    let wanted = program.rules();
    for chain in &chains {
        let there: Vec<_> = seen.iter().filter(|rule| rule.chain == *chain).collect();
        let wanted: Vec<_> = wanted.iter().filter(|rule| rule.chain == *chain).collect();
        let same = there.len() == wanted.len()
            && there.iter().zip(&wanted).all(|(there, wanted)| {
                there.steps.len() == wanted.steps.len()
                    && there
                        .steps
                        .iter()
                        .zip(&wanted.steps)
                        .all(|(there, wanted)| there.is(wanted))
            });
        if !same {
            return Err(Refusal::new(
                format_smolstr!("read back chain `{chain}`"),
                "its rules are not those that were written",
            )
            .hint("another program may be changing the table `asepsis`; apply again"));
        }
    }
    Ok(())
}

fn counted(kernel: &mut Kernel, table: &Table, policy: &Compiled) -> Result<Vec<Counted>, Refusal> {
    let all = kernel.counters(table)?;
    let packets = |name: &str| {
        all.iter()
            .find(|(known, _, _)| known == name)
            .map_or(0, |(_, packets, _)| *packets)
    };
    Ok(program::counter_names(&policy.clinical)
        .iter()
        .zip(&policy.clinical)
        .map(|((drop, pass), clinical)| Counted {
            clinical: clinical.clone(),
            dropped: packets(drop),
            would_drop: packets(pass),
        })
        .collect())
}

/// What is only in one, and what is only in the other.
fn differences<'e>(old: &'e [Element], new: &'e [Element]) -> (Vec<&'e Element>, Vec<&'e Element>) {
    fn order(e: &Element) -> (&Match, Option<&[u8]>) {
        (&e.matches, e.data.value())
    }
    let sorted = |list: &'e [Element]| {
        let mut out: Vec<&Element> = list.iter().collect();
        out.sort_unstable_by(|a, b| order(a).cmp(&order(b)));
        out
    };
    let (old, new) = (sorted(old), sorted(new));
    let missing = |from: &[&'e Element], other: &[&'e Element]| {
        from.iter()
            .copied()
            .filter(|e| other.binary_search_by(|o| order(o).cmp(&order(e))).is_err())
            .collect::<Vec<_>>()
    };
    (missing(&old, &new), missing(&new, &old))
}

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
