//! A policy on trial: in force over the confirmed one until it is confirmed, ended, or falls silent.
//!
//! Its table belongs to the socket that made it: when the program dies, by whatever cause, the kernel deletes it. Each
//! rule of it first asks whether the lease lasts (an element that ends by itself): when the program hangs, the confirmed
//! policy judges again. Either way nobody has to do anything for things to go back.

use std::time::{Duration, Instant};

use serde::Serialize;
use smol_str::SmolStr;

use segment::matrix::Matrix;

use super::program::{self, Program, Standing};
use super::{
    Applied, Compiled, Counted, How, Size, build, counted, fresh, next, switch, us, verify_rules,
    verify_sets,
};
use crate::netlink::message::Batch;
use crate::nft::kernel::Kernel;
use crate::nft::object::{Element, Kind, Lifetime, Set, Table};
use crate::refusal::Refusal;

/// Shortest lease: renewing it has to be possible on a busy machine.
pub const LEASE_MIN: Duration = Duration::from_secs(1);
/// Longest lease: how long a program may hang before things go back.
pub const LEASE_MAX: Duration = Duration::from_secs(600);

const ALIVE: &str = "alive";

/// A policy on trial. It ends with this value.
#[derive(Debug)]
pub struct Trial {
    kernel: Kernel,
    policy: Compiled,
    lease: Duration,
}

/// What a plan promised: the most that may be dropped of each clinical service, in packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// Bounds of clinical services.
    pub bounds: Vec<(SmolStr, u64)>,
    /// Bound of each service without one of its own.
    pub others: u64,
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Harm {
    /// The clinical service.
    pub clinical: SmolStr,
    /// Packets dropped.
    pub dropped: u64,
    /// Packets that were promised at most.
    pub promised: u64,
}

impl Promise {
    /// The services whose drops pass their bound.
    pub fn broken_by(&self, counted: &[Counted]) -> Vec<Harm> {
        counted
            .iter()
            .filter_map(|count| {
                let own = self.bounds.iter().find(|(name, _)| *name == count.clinical);
                let promised = own.map_or(self.others, |(_, bound)| *bound);
                (count.dropped > promised).then(|| Harm {
                    clinical: count.clinical.clone(),
                    dropped: count.dropped,
                    promised,
                })
            })
            .collect()
    }
}

impl Trial {
    /// Puts a policy on trial in the network namespace of the thread that calls. The lease has to be renewed before it
    /// is over.
    ///
    /// # Errors
    /// When the lease is too short or too long, the matrix is wrong, another trial lasts, or the kernel refuses; the
    /// confirmed policy stays in force then.
    pub fn begin(matrix: &Matrix, lease: Duration) -> Result<(Self, Applied), Refusal> {
        if !(LEASE_MIN..=LEASE_MAX).contains(&lease) {
            return Err(Refusal::new(
                "begin the trial",
                format!(
                    "a lease lasts from {} to {} seconds",
                    LEASE_MIN.as_secs(),
                    LEASE_MAX.as_secs()
                ),
            ));
        }
        let began = Instant::now();
        let policy = Compiled::of(matrix)?;
        let mut kernel = Kernel::open()?;
        let table = program::table(Standing::Trial);
        if kernel.has(&table)? {
            return Err(another());
        }
        let generation = next(&mut kernel, None)?;
        let mut trial = Self {
            kernel,
            policy,
            lease,
        };
        let mut batch = Batch::new();
        batch.table(&table, Lifetime::Owned);
        program::base_chain(&mut batch, Standing::Trial);
        let mut alive = Set::new(ALIVE, &[Kind::NfProto]);
        (alive.timeouts, alive.size) = (true, Some(16));
        batch.set(&table, &alive);
        trial.kernel.commit(batch).map_err(|refusal| {
            if refusal.is_present() {
                another()
            } else {
                refusal
            }
        })?;
        let program = Program {
            policy: &trial.policy,
            standing: Standing::Trial,
            generation,
            built: fresh(None),
        };
        let mut applied = Applied::new(generation, How::Built);
        // On an error the socket closes, and the half-built table with it.
        let all = program.elements();
        build(&mut trial.kernel, &program, &all, &mut applied)?;
        let mut batch = Batch::new();
        batch.elements(&table, ALIVE, &alive_for(lease));
        trial.kernel.commit(batch)?;
        switch(&mut trial.kernel, &program, None, &mut applied)?;
        applied.in_force_us = us(began.elapsed());
        verify_rules(&mut trial.kernel, &program)?;
        verify_sets(&mut trial.kernel, &program, &all, Size::Large, &mut applied)?;
        Ok((trial, applied))
    }

    /// Lets the trial last for another lease.
    ///
    /// # Errors
    /// When the lease was over: the confirmed policy has judged meanwhile, and the trial is best ended.
    pub fn renew(&mut self) -> Result<(), Refusal> {
        let table = program::table(Standing::Trial);
        let alive = alive_for(self.lease);
        let keys: Vec<Element> = FAMILIES.map(|family| Element::of(vec![family])).to_vec();
        let mut batch = Batch::new();
        batch.delete_elements(&table, ALIVE, &keys);
        batch.elements(&table, ALIVE, &alive);
        self.kernel.commit(batch).map_err(|refusal| {
            if refusal.is_absent() {
                Refusal::new("renew the trial", "its lease was over").hint(
                    "the confirmed policy is in force; begin the trial again, with a longer lease if this machine is busy",
                )
            } else {
                refusal
            }
        })
    }

    /// What the trial counted for each clinical service.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn counted(&mut self) -> Result<Vec<Counted>, Refusal> {
        counted(
            &mut self.kernel,
            &program::table(Standing::Trial),
            &self.policy,
        )
    }

    /// Ends the trial: the confirmed policy judges again.
    ///
    /// # Errors
    /// When the kernel refuses. The trial ends all the same, when this value goes.
    pub fn end(mut self) -> Result<(), Refusal> {
        let table: Table = program::table(Standing::Trial);
        let mut batch = Batch::new();
        batch.delete_table(&table);
        self.kernel.commit(batch)
    }
}

/// Netfilter's numbers of IPv4 and IPv6.
const FAMILIES: [u8; 2] = [2, 10];

fn alive_for(lease: Duration) -> Vec<Element> {
    let timeout_ms = u64::try_from(lease.as_millis()).ok();
    FAMILIES
        .map(|family| Element {
            timeout_ms,
            ..Element::of(vec![family])
        })
        .to_vec()
}

fn another() -> Refusal {
    Refusal::new("begin the trial", "another trial lasts")
        .hint("end the other, or wait until its window is over")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_broken_by_one_packet_more_than_it_says() {
        let promise = Promise {
            bounds: vec![("Imaging".into(), 3)],
            others: 0,
        };
        let count = |clinical: &str, dropped| Counted {
            clinical: clinical.into(),
            dropped,
            would_drop: 9,
        };
        assert_eq!(
            promise.broken_by(&[count("Imaging", 3), count("Lab", 0)]),
            []
        );
        let harm = promise.broken_by(&[count("Imaging", 4), count("Lab", 1)]);
        let names: Vec<&str> = harm.iter().map(|h| h.clinical.as_str()).collect();
        assert_eq!(names, ["Imaging", "Lab"]);
    }

    #[test]
    fn a_lease_that_nobody_could_renew_is_refused() {
        let matrix = Matrix {
            groups: Vec::new(),
            cells: Vec::new(),
            default_mode: segment::matrix::Mode::Observe,
            digest: [0; 32],
        };
        let refusal = Trial::begin(&matrix, Duration::from_millis(1)).expect_err("too short");
        assert!(refusal.to_string().contains("lease"), "{refusal}");
    }
}
