//! The sample hospital's network: machines with addresses, what they say to each other, and the packets of it.
//!
//! [`Network::packets`] makes the Ethernet frames that a mirror port of the core switch would show, for any stretch of
//! time: addresses are leased, scanners send images to the archive, pump stations report to the interface engine,
//! people work by day. The frames are whole (checksums, handshakes, retransmission-free), so that whatever reads a
//! real capture reads these. Like everywhere in the sample, the clinical traffic carries invented patients: what reads it
//! must not let them out.
//!
//! It is a flat network on purpose: workstations, pumps, monitors and scanners share one broadcast domain.

mod frame;
mod machine;
mod speech;
mod talk;

use std::net::Ipv4Addr;
use std::time::Duration;

use domain::{Mac, Timestamp};

use crate::Hospital;
use crate::random::Random;

pub use machine::{Machine, Register};

use frame::{Packets, Party};
use talk::Talk;

/// One frame as the mirror port shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it passed.
    pub at: Timestamp,
    /// The Ethernet frame without its check sequence.
    pub bytes: Vec<u8>,
}

/// The machines of the sample hospital and their habits.
#[derive(Clone, Debug)]
pub struct Network {
    seed: u64,
    machines: Vec<Machine>,
    talks: Vec<Talk>,
    names: Vec<String>,
}

/// The core switch's own address in each segment.
const GATEWAY_MAC: Mac = Mac([0xf4, 0xbd, 0x9e, 0x10, 0x00, 0x01]);

impl Network {
    /// The network of `hospital`: the same hospital gives the same network.
    pub fn of(hospital: &Hospital) -> Self {
        let machines = machine::generate(hospital);
        let talks = talk::between(&machines);
        let names = hospital.patients().iter().map(|p| p.name.clone()).collect();
        Self {
            seed: hospital.seed(),
            machines,
            talks,
            names,
        }
    }

    /// Every machine, and what it truly is.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// The register that this hospital's technicians keep, as CSV: nearly right, as registers are.
    pub fn register(&self) -> Register {
        machine::register(self.seed, &self.machines)
    }

    /// The frames of `from..until` in order of time. An event that begins in the stretch is there whole.
    pub fn packets(&self, from: Timestamp, until: Timestamp) -> Vec<Packet> {
        let mut packets = Packets::default();
        for (number, talk) in self.talks.iter().enumerate() {
            for &client in &talk.clients {
                for at in self.times(number, client, talk, from, until) {
                    self.speak(talk, client, at, &mut packets);
                }
            }
        }
        for machine in &self.machines {
            for at in self.wakes(machine, from, until) {
                speech::presence(machine, self, at, &mut packets);
            }
        }
        packets.in_order()
    }

    /// When a client has this talk: about every `talk.every`, less at night if it is day work.
    fn times(
        &self,
        number: usize,
        client: usize,
        talk: &Talk,
        from: Timestamp,
        until: Timestamp,
    ) -> Vec<Timestamp> {
        let every = i64::try_from(talk.every.as_millis())
            .unwrap_or(i64::MAX)
            .max(1);
        let mut own = Random::new(self.seed, "talk phase");
        let phase = (own.next() ^ (number as u64) << 32 ^ client as u64)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let phase = (phase >> 16) as i64 % every;
        let mut times = Vec::new();
        let mut n = (from.as_millis() - phase).div_euclid(every);
        loop {
            let mut random = Random::new(
                self.seed
                    ^ (n as u64).rotate_left(20)
                    ^ (number as u64) << 48
                    ^ (client as u64) << 1,
                "talk",
            );
            let jitter = (random.unit() * talk.jitter * every as f64) as i64;
            let at = Timestamp::from_millis(n * every + phase + jitter);
            n += 1;
            if at < from {
                continue;
            }
            if at >= until {
                break;
            }
            if talk.hours.contains(at) || random.chance(talk.hours.at_night()) {
                times.push(at);
            }
        }
        times
    }

    /// When a machine takes its address anew: twice a day, at an hour of its own.
    fn wakes(&self, machine: &Machine, from: Timestamp, until: Timestamp) -> Vec<Timestamp> {
        let half_day = 12 * 3_600_000;
        let phase =
            (machine.mac.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as i64 % half_day;
        let first = (from.as_millis() - phase).div_euclid(half_day) + 1;
        (first..)
            .map(|n| Timestamp::from_millis(n * half_day + phase))
            .take_while(|at| *at < until)
            .collect()
    }

    fn speak(&self, talk: &Talk, client: usize, at: Timestamp, packets: &mut Packets) {
        let mut random = Random::new(self.seed ^ at.as_millis() as u64, "speech");
        let (Some(from), Some(to)) = (self.machines.get(client), self.server(talk, client)) else {
            return;
        };
        let patient = self
            .names
            .get(random.below(self.names.len()))
            .map_or("Doe", String::as_str);
        let scene = speech::Scene {
            at,
            from,
            to,
            client_port: 49_152 + u16::try_from(random.below(16_000)).unwrap_or(0),
            patient,
            network: self,
        };
        speech::say(talk.words, &scene, &mut random, packets);
    }

    fn server(&self, talk: &Talk, client: usize) -> Option<&Machine> {
        let servers = &talk.servers;
        self.machines
            .get(*servers.get(client % servers.len().max(1))?)
    }

    fn machine(&self, name: &str) -> Option<&Machine> {
        self.machines.iter().find(|m| m.name == name)
    }
}

/// How `from` reaches `to`: over the gateway if they are in different segments.
fn route(from: &Machine, to: &Machine) -> (Party, Party) {
    let same = from.vlan == to.vlan;
    let next = |end: &Machine| if same { end.mac } else { GATEWAY_MAC };
    (
        Party {
            mac: from.mac,
            next_hop: next(to),
            addr: from.addr,
            vlan: from.vlan,
            ttl: from.ttl,
        },
        Party {
            mac: to.mac,
            next_hop: next(from),
            addr: to.addr,
            vlan: to.vlan,
            ttl: to.ttl,
        },
    )
}

/// The last hours of a working day in which people are at work (UTC).
const DAY: std::ops::Range<i64> = 6..19;

/// When a talk takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hours {
    /// Around the clock.
    Always,
    /// On working days by day, and now and then at night.
    Day,
    /// Between one and three at night.
    Night,
}

impl Hours {
    fn contains(self, at: Timestamp) -> bool {
        let hour = at.as_secs().div_euclid(3600).rem_euclid(24);
        // 1970-01-01 was a Thursday.
        let weekday = (at.as_secs().div_euclid(86_400) + 3).rem_euclid(7);
        match self {
            Self::Always => true,
            Self::Day => DAY.contains(&hour) && weekday < 5,
            Self::Night => (1..3).contains(&hour),
        }
    }

    /// Percentage of occasions outside its hours.
    const fn at_night(self) -> u32 {
        match self {
            Self::Always => 100,
            Self::Day => 10,
            Self::Night => 0,
        }
    }
}

/// The address that ends in `host` in segment `vlan`.
const fn address(vlan: u16, host: u16) -> Ipv4Addr {
    let [high, low] = host.to_be_bytes();
    Ipv4Addr::new(10, 20, vlan as u8 + high, low)
}

/// Ten minutes, an hour, a day: rhythms in the table of talks.
const fn minutes(n: u64) -> Duration {
    Duration::from_secs(60 * n)
}

#[cfg(test)]
mod tests;
