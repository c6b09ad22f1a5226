//! What the packet filter does under traffic, in namespaces: quarantine timed from outside, a policy of 100,000 cells
//! replaced under a stream, and throughput with the full ruleset beside none and beside 1,000 linear rules.
//!
//! "Last packet passed" is taken from outside: the probe writes down when each of its sends *returned*, which is after the
//! packet went through the filter, and the other side says which was the last to arrive.
//!
//! Started by `cargo xtask bench enforce`.

#[path = "../tests/support/mod.rs"]
#[allow(unreachable_pub, reason = "shared with the tests")]
mod support;

use std::io::Write as _;
use std::net::UdpSocket;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use domain::Criticality;
use domain::net::Transport;
use enforce::netlink::message::Batch;
use enforce::nft::expression::{Comparison, Expression, Header, Register};
use enforce::nft::kernel::Kernel;
use enforce::nft::object::{Family, Hook, Lifetime, Table};
use enforce::quarantine::KillSwitch;
use enforce::ruleset::Gateway;
use segment::matrix::{Cell, Group, GroupId, Matrix, Mode, Service};
use segment::quarantine::Containment;

use support::{Middle, NOW, Site};

/// Groups; with their pairs and services they make the cells.
const GROUPS: u16 = 101;
/// Services of each pair of groups.
const SERVICES: u16 = 10;
/// Packets that the probe can number.
const PACKETS: usize = 1 << 23;
/// The probe's pace: one packet in this time.
const PACE: Duration = Duration::from_micros(20);

#[derive(Debug, Parser)]
#[command(
    name = "enforce",
    about = "Quarantine, policy replacement and throughput of the packet filter"
)]
struct Arguments {
    /// Quarantines timed, idle and as many busy
    #[arg(long, default_value_t = 300)]
    trials: usize,

    /// Replacements under traffic
    #[arg(long, default_value_t = 20)]
    replaces: usize,

    /// Rounds of throughput; each ruleset has its turn in every round, and the median counts
    #[arg(long, default_value_t = 5)]
    rounds: usize,

    /// How to print the results
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// What `cargo bench` says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    // `cargo test --benches` starts benchmarks too; a measurement of minutes is not what it wants.
    if !arguments.bench {
        let _ = writeln!(out, "this is a benchmark: run `cargo xtask bench enforce`");
        return ExitCode::SUCCESS;
    }
    let Some(site) = Site::new(Middle::Router) else {
        let _ = writeln!(
            out,
            "error: no privileges to make network namespaces; hint: run as root"
        );
        return ExitCode::FAILURE;
    };
    let [one, other] = [policy(1), policy(2)];
    let cells = one
        .cells
        .iter()
        .map(|cell| cell.services.len())
        .sum::<usize>();
    let probe = Probe::new();
    let (mut idle, mut busy) = (Times::default(), Times::default());
    let mut replace = Replace::default();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| probe.send(&site));
        let receiver = scope.spawn(|| probe.receive(&site));
        site.inside("gate", || {
            let mut gateway = Gateway::open().expect("netlink");
            gateway.confirm(&one).expect("in force");
            let mut switch = KillSwitch::open().expect("a kill switch");
            probe.wait_for_flow();
            replace = replaces(&mut gateway, [&one, &other], arguments.replaces, &probe);
            idle = quarantines(&mut switch, arguments.trials, &probe);
            let stop = AtomicBool::new(false);
            std::thread::scope(|inner| {
                let replacing = inner.spawn(|| {
                    site.enter("gate");
                    let mut count = 0_usize;
                    while !stop.load(Ordering::Relaxed) {
                        gateway.confirm(&other).expect("in force");
                        gateway.confirm(&one).expect("in force");
                        count += 2;
                    }
                    count
                });
                busy = quarantines(&mut switch, arguments.trials, &probe);
                stop.store(true, Ordering::Relaxed);
                busy.replaces = replacing.join().expect("replacing");
            });
        });
        probe.stop.store(true, Ordering::Relaxed);
        sender.join().expect("sender");
        receiver.join().expect("receiver");
    });
    let rates = throughput(&site, &one, arguments.rounds);
    let ms = |us: f64| us / 1000.0;
    let share = rates[1] / rates[0];
    let _ = writeln!(
        out,
        "policy: {cells} permitted triples of two groups and a service; probe: one packet in {} µs\n\n\
         quarantine           p50 ms   p99 ms   max ms   acknowledged p99 ms\n\
         idle                 {:>6.3}   {:>6.3}   {:>6.3}   {:>6.3}\n\
         during replacements  {:>6.3}   {:>6.3}   {:>6.3}   {:>6.3}   ({} replacements meanwhile)\n\
         packets that passed after the acknowledgement: {}\n\n\
         replacement          in force after p50 ms {:.1}, max ms {:.1}: of these building {:.1}, reading back {:.1}, the change itself {:.2}\n\
         packets lost meanwhile: {} of {}\n\n\
         throughput, 64-octet UDP, kpps: none {:.1}, full ruleset {:.1} ({:.0} %), 1,000 linear rules {:.1} ({:.0} %)",
        PACE.as_micros(),
        ms(idle.at(50)),
        ms(idle.at(99)),
        ms(idle.at(100)),
        ms(idle.acknowledged_at(99)),
        ms(busy.at(50)),
        ms(busy.at(99)),
        ms(busy.at(100)),
        ms(busy.acknowledged_at(99)),
        busy.replaces,
        idle.late + busy.late,
        ms(percentile(&replace.us, 50)),
        ms(percentile(&replace.us, 100)),
        ms(percentile(&replace.built_us, 50)),
        ms(percentile(&replace.read_back_us, 50)),
        ms(percentile(&replace.switched_us, 50)),
        replace.lost,
        replace.sent,
        rates[0],
        rates[1],
        share * 100.0,
        rates[2],
        rates[2] / rates[0] * 100.0,
    );
    if arguments.format == Format::Json {
        let json = serde_json::json!({
            "quarantine": {
                "idle_p99_ms": ms(idle.at(99)),
                "busy_p99_ms": ms(busy.at(99)),
                "idle_max_ms": ms(idle.at(100)),
                "busy_max_ms": ms(busy.at(100)),
                "trials": arguments.trials,
            },
            "replace": {
                "packets_lost": replace.lost,
                "packets": replace.sent,
                "p50_ms": ms(percentile(&replace.us, 50)),
                "build_p50_ms": ms(percentile(&replace.built_us, 50)),
                "read_back_p50_ms": ms(percentile(&replace.read_back_us, 50)),
                "switch_p50_ms": ms(percentile(&replace.switched_us, 50)),
                "cells": cells,
            },
            "throughput": {
                "none_kpps": rates[0],
                "full_kpps": rates[1],
                "full_share": share,
                "linear_1000_kpps": rates[2],
            },
        });
        let _ = writeln!(out, "{json}");
    }
    ExitCode::SUCCESS
}

/// A policy of about 100,000 cells that permits the probe; two seeds share hardly a service.
fn policy(seed: u16) -> Matrix {
    let mut groups = vec![Group {
        id: GroupId(0),
        name: "Unknown".to_owned(),
        entity: "unknown".into(),
        criticality: Criticality::LifeCritical,
        prefixes: Vec::new(),
        addresses: Vec::new(),
        macs: Vec::new(),
    }];
    for id in 1..GROUPS {
        let prefix = match id {
            1 => "10.1.0.0/24".to_owned(),
            2 => "10.2.0.0/24".to_owned(),
            other => format!("10.3.{other}.0/24"),
        };
        groups.push(Group {
            id: GroupId(id),
            name: format!("Group {id}"),
            entity: format!("group-{id}").into(),
            criticality: Criticality::Clinical,
            prefixes: vec![prefix.parse().expect("a prefix")],
            addresses: Vec::new(),
            macs: Vec::new(),
        });
    }
    let mut cells = Vec::new();
    for from in 1..GROUPS {
        for to in 1..GROUPS {
            let mut services: Vec<Service> = (0..SERVICES)
                .map(|n| {
                    let port = 10_000 + seed * 20_000 + (from * 13 + to * 7 + n * 31) % 5_000;
                    (Transport::Tcp, port)
                })
                .chain([(Transport::Udp, 4000)])
                .map(|(transport, port)| Service {
                    transport,
                    ports: port..=port,
                    name: format!("{transport}/{port}").into(),
                    clinical: None,
                })
                .collect();
            services.sort_by_key(|s| (s.transport, *s.ports.start()));
            cells.push(Cell {
                from: GroupId(from),
                to: GroupId(to),
                services,
                mode: Mode::Enforce,
            });
        }
    }
    Matrix {
        groups,
        cells,
        default_mode: Mode::Enforce,
        digest: [seed as u8; 32],
    }
}

/// A stream of numbered packets from the ward to the server room.
struct Probe {
    epoch: Instant,
    /// Nanoseconds since the epoch when each send began.
    began: Vec<AtomicU64>,
    /// Nanoseconds since the epoch when it returned.
    returned: Vec<AtomicU64>,
    sent: AtomicU64,
    received: AtomicU64,
    /// The highest number that arrived, plus one.
    last: AtomicU64,
    stop: AtomicBool,
}

impl Probe {
    fn new() -> Self {
        Self {
            epoch: Instant::now(),
            began: (0..PACKETS).map(|_| AtomicU64::new(0)).collect(),
            returned: (0..PACKETS).map(|_| AtomicU64::new(0)).collect(),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            last: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn send(&self, site: &Site) {
        site.enter("ward");
        let socket = UdpSocket::bind("10.1.0.7:4000").expect("an own address");
        socket.connect("10.2.0.7:4000").expect("a route");
        let mut due = Instant::now();
        for (number, (began, returned)) in self.began.iter().zip(&self.returned).enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let mut packet = [0; 22];
            packet[..8].copy_from_slice(&(number as u64).to_be_bytes());
            began.store(self.now(), Ordering::Release);
            let _ = socket.send(&packet);
            returned.store(self.now(), Ordering::Release);
            self.sent.fetch_add(1, Ordering::Release);
            due = (due + PACE).max(Instant::now());
            while Instant::now() < due {
                std::hint::spin_loop();
            }
        }
    }

    fn receive(&self, site: &Site) {
        site.enter("room");
        let socket = UdpSocket::bind("10.2.0.7:4000").expect("an own address");
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 64 << 20)
            .expect("privileges");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a timeout");
        let mut buffer = [0; 64];
        while !self.stop.load(Ordering::Relaxed) {
            if socket.recv(&mut buffer).is_ok_and(|count| count >= 8) {
                let number = u64::from_be_bytes(buffer[..8].try_into().expect("eight octets"));
                self.received.fetch_add(1, Ordering::Release);
                self.last.fetch_max(number + 1, Ordering::Release);
            }
        }
    }

    fn wait_for_flow(&self) {
        let seen = self.last.load(Ordering::Acquire);
        let began = Instant::now();
        while self.last.load(Ordering::Acquire) < seen + 20 {
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "the probe is not getting through"
            );
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Waits until what was sent has arrived, if it ever will.
    fn settle(&self) {
        let mut before = u64::MAX;
        loop {
            let received = self.received.load(Ordering::Acquire);
            if received == before {
                return;
            }
            before = received;
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Microseconds of quarantines.
#[derive(Default)]
struct Times {
    /// From the call until the last packet had passed.
    last_us: Vec<f64>,
    /// From the call to the acknowledgement.
    acknowledged_us: Vec<f64>,
    /// Packets that were sent after the acknowledgement and passed.
    late: usize,
    replaces: usize,
}

impl Times {
    fn at(&self, percent: usize) -> f64 {
        percentile(&self.last_us, percent)
    }

    fn acknowledged_at(&self, percent: usize) -> f64 {
        percentile(&self.acknowledged_us, percent)
    }
}

fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).copied().unwrap_or(f64::NAN)
}

fn quarantines(switch: &mut KillSwitch, trials: usize, probe: &Probe) -> Times {
    let containment = Containment {
        device: "probe".into(),
        addresses: vec!["10.1.0.7".parse().expect("an address")],
        macs: Vec::new(),
        lifeline: Vec::new(),
        until: None,
    };
    let mut times = Times::default();
    for _ in 0..trials {
        probe.wait_for_flow();
        let called = probe.now();
        let effect = switch.contain(&containment, NOW).expect("contained");
        let acknowledged = called + effect.acknowledged_us * 1000;
        probe.settle();
        let last = probe.last.load(Ordering::Acquire);
        let at = |times: &[AtomicU64]| {
            usize::try_from(last.saturating_sub(1))
                .ok()
                .and_then(|number| times.get(number))
                .map_or(0, |at| at.load(Ordering::Acquire))
        };
        let passed = at(&probe.returned).saturating_sub(called);
        times.last_us.push(passed as f64 / 1000.0);
        times.acknowledged_us.push(effect.acknowledged_us as f64);
        times.late += usize::from(at(&probe.began) > acknowledged);
        switch.release(&containment).expect("released");
    }
    times
}

/// Microseconds of replacements.
#[derive(Default)]
struct Replace {
    /// From the call until the new policy was in force.
    us: Vec<f64>,
    built_us: Vec<f64>,
    read_back_us: Vec<f64>,
    switched_us: Vec<f64>,
    sent: u64,
    lost: u64,
}

fn replaces(gateway: &mut Gateway, policies: [&Matrix; 2], count: usize, probe: &Probe) -> Replace {
    let mut replace = Replace::default();
    probe.settle_between();
    let (sent, received) = probe.counts();
    for round in 0..count {
        let applied = gateway
            .confirm(policies[(round + 1) % 2])
            .expect("in force");
        replace.us.push(applied.in_force_us as f64);
        replace.built_us.push(applied.built_us as f64);
        replace.read_back_us.push(applied.read_back_us as f64);
        replace.switched_us.push(applied.switched_us as f64);
    }
    probe.settle_between();
    let (sent_after, received_after) = probe.counts();
    replace.sent = sent_after - sent;
    replace.lost = replace.sent.saturating_sub(received_after - received);
    replace
}

impl Probe {
    /// Packets sent and received, as far as both are known to belong together: every number below the highest that
    /// arrived was sent, and arrived or is lost.
    fn counts(&self) -> (u64, u64) {
        (
            self.last.load(Ordering::Acquire),
            self.received.load(Ordering::Acquire),
        )
    }

    /// Lets the receiver catch up with the sender.
    fn settle_between(&self) {
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Packets in a thousand for each second: without a ruleset, with the full one, with 1,000 linear rules.
fn throughput(site: &Site, policy: &Matrix, rounds: usize) -> [f64; 3] {
    let mut rates: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        for (place, rates) in rates.iter_mut().enumerate() {
            site.inside("gate", || {
                let mut gateway = Gateway::open().expect("netlink");
                let mut kernel = Kernel::open().expect("netlink");
                let linear = Table {
                    family: Family::Inet,
                    name: "enf_linear".into(),
                };
                gateway.remove().expect("removed");
                let mut batch = Batch::new();
                batch.table(&linear, Lifetime::Lasting);
                batch.delete_table(&linear);
                // The kill switch is part of the full ruleset.
                for family in [Family::Inet, Family::Bridge] {
                    let table = Table {
                        family,
                        name: "asepsis_quarantine".into(),
                    };
                    batch.table(&table, Lifetime::Lasting);
                    batch.delete_table(&table);
                }
                kernel.commit(batch).expect("removed");
                match place {
                    1 => {
                        KillSwitch::open().expect("a kill switch");
                        gateway.confirm(policy).expect("in force");
                    }
                    2 => linear_rules(&mut kernel, &linear),
                    _ => {}
                }
            });
            rates.push(flood(site, Duration::from_secs(1)));
        }
    }
    rates.map(|rates| percentile(&rates, 50))
}

/// A chain of 1,000 rules that each compare one address.
fn linear_rules(kernel: &mut Kernel, table: &Table) {
    let mut batch = Batch::new();
    batch.table(table, Lifetime::Lasting);
    batch.base_chain(table, "forward", Hook::Forward, 0);
    for n in 0..1_000_u32 {
        let address = (0x0a09_0000 + n).to_be_bytes().to_vec();
        let steps = [
            Expression::Payload {
                header: Header::Network,
                offset: 16,
                length: 4,
                to: Register(0),
            },
            Expression::Compare(Register(0), Comparison::Equal, address),
            Expression::Count,
        ];
        batch.rule(table, "forward", "linear", &steps);
    }
    kernel.commit(batch).expect("in force");
}

/// Thousands of packets that arrive in a second when as many are sent as go.
fn flood(site: &Site, duration: Duration) -> f64 {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            site.enter("room");
            let socket = UdpSocket::bind("10.2.0.7:4000").expect("an own address");
            socket
                .set_read_timeout(Some(Duration::from_millis(50)))
                .expect("a timeout");
            let (mut count, mut buffer) = (0_u64, [0; 64]);
            while !stop.load(Ordering::Relaxed) {
                count += u64::from(socket.recv(&mut buffer).is_ok());
            }
            count
        });
        site.inside("ward", || {
            let socket = UdpSocket::bind("10.1.0.7:4000").expect("an own address");
            socket.connect("10.2.0.7:4000").expect("a route");
            let began = Instant::now();
            while began.elapsed() < duration {
                for _ in 0..64 {
                    let _ = socket.send(&[0; 22]);
                }
            }
        });
        stop.store(true, Ordering::Relaxed);
        let count = receiver.join().expect("receiver");
        count as f64 / duration.as_secs_f64() / 1000.0
    })
}
