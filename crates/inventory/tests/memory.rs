//! How many octets an idle device takes, measured with an allocator that counts, and that a flood adds none.

#![expect(
    clippy::print_stderr,
    reason = "figures, and why a test was skipped, are for whoever runs it"
)]
#![allow(unsafe_code, reason = "an allocator that counts needs `GlobalAlloc`")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use domain::net::Mac;
use domain::observation::Fact;
use domain::{EvidenceKind, Sink};
use inventory::{Inventory, Knowledge, Options};
use support::{Said, about, flow, idle_device, party, says, sources, take, ten};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

/// What an allocation takes of the heap: the system's allocator rounds up to 16 and keeps 8 octets of its own.
fn taken(layout: &Layout) -> usize {
    (layout.size() + 8).next_multiple_of(16).max(32)
}

// SAFETY: every call goes to the system's allocator unchanged; only a number is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(taken(&layout), Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of `alloc`, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(taken(&layout), Ordering::Relaxed);
        // SAFETY: the caller upholds the contract of `dealloc`, which is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn live() -> usize {
    LIVE.load(Ordering::Relaxed)
}

fn empty(options: Options) -> Inventory {
    let mut inventory = Inventory::new(Knowledge::hospital(), options);
    sources(&mut inventory);
    inventory
}

// One test: the count is of the whole process.
#[test]
fn an_idle_device_takes_at_most_a_kilobyte_and_a_flood_takes_nothing() {
    idle_devices();
    flood();
}

fn idle_devices() {
    const DEVICES: u32 = 20_000;
    // Answers kept ready are bounded in number, not by device: they are left out of the figure.
    let mut inventory = empty(Options {
        answers_max: 0,
        ..Options::default()
    });
    // Knowledge compiles its patterns when they are first needed.
    let mut warm = empty(Options::default());
    for n in 0..40 {
        take(&mut warm, &idle_device(n));
    }
    warm.changed_since(0);
    drop(warm);
    let before = live();
    for n in 0..DEVICES {
        take(&mut inventory, &idle_device(n));
    }
    assert_eq!(inventory.device_count(), DEVICES as usize);
    let ledger = (live() - before) / DEVICES as usize;
    let before_telling = Instant::now();
    inventory.changed_since(0);
    let telling = before_telling.elapsed();
    let told = (live() - before) / DEVICES as usize;
    for n in 0..DEVICES {
        let device = party(
            Some(support::mac([0x00, 0x12, 0x21], n)),
            Some(match n.to_be_bytes() {
                [_, b, c, d] => ten(b.wrapping_add(16), c, d),
            }),
        );
        let server = party(None, Some(ten(1, 0, 1)));
        take(
            &mut inventory,
            &[flow(10_000, device, server, 4_000, Some("pump"))],
        );
    }
    assert_eq!(inventory.device_count(), DEVICES as usize + 1);
    inventory.changed_since(1);
    let talking = (live() - before) / DEVICES as usize;
    let counted = inventory.counters().octets as usize / DEVICES as usize;
    let before_asking = Instant::now();
    let questions = inventory.queue().len();
    eprintln!(
        "{DEVICES} devices: names published and all told in {telling:?}; {questions} questions in {:?}",
        before_asking.elapsed()
    );
    eprintln!(
        "octets per idle device with 18 rows of evidence, indexes and view: {ledger}; published and told: {told}; \
         with a conversation: {talking} (by its own count {counted})"
    );
    assert!(told <= 1_024, "{told} octets");
}

fn flood() {
    const BOUND: usize = 50_000;
    let mut inventory = empty(Options {
        nodes_max: BOUND,
        ..Options::default()
    });
    let before = live();
    let mut after_tenth = 0;
    let (from, to) = (100_000_u32, 1_000_000_u32);
    let mut peak = 0;
    for n in 0..to {
        let [_, b, c, d] = n.to_be_bytes();
        let spoofed = party(Some(Mac([2, 0x5a, 0x99, b, c, d])), None);
        for said in [
            about(i64::from(n / 1000), 0, spoofed, None, Fact::Seen),
            says(
                i64::from(n / 1000),
                0,
                spoofed,
                EvidenceKind::DhcpHostname,
                &format!("victim-{n:07}"),
            ),
        ] {
            if let Said::Observation(observation) = said {
                inventory.observe(observation);
            }
        }
        if n == from {
            after_tenth = live() - before;
        }
        if n % 1_000 == 0 && n > from {
            peak = peak.max(live() - before);
        }
    }
    let counters = inventory.counters();
    eprintln!(
        "a million spoofed MAC addresses: {after_tenth} octets after a tenth, at most {peak} after that; {} nodes kept, {} given up",
        counters.nodes, counters.nodes_evicted
    );
    assert!(counters.nodes as usize <= BOUND);
    assert_eq!(counters.nodes + counters.nodes_evicted, 1_000_000);
    assert!(peak <= after_tenth + after_tenth / 10, "it grew");
}
