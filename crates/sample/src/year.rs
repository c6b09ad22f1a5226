//! A synthetic year of a hospital's conversations: no packet of it was ever sent, and every figure made from it is to be
//! called synthetic.
//!
//! [`Year::of`] makes devices from a [`Scenario`] and a seed; [`Year::week`] makes the conversations of any week by itself.
//! Who talks to whom is a table (`habits`): modalities to the archive, pumps to their server, monitors to the ward's central
//! station, results over HL7, desktops to the record and to printers, backups, patching, vendors from outside. It has what
//! makes such a network hard to foretell: monthly calibration and libraries, quarterly failovers and downtime drills,
//! devices that are new, replaced or moved, ports that RPC, FTP and telephony take for a while, habits that only some
//! devices have; and scans and infections, marked as what they are.

mod habits;
mod scenario;

use std::net::Ipv4Addr;

use domain::{Timestamp, Transport};

use crate::random::Random;

pub use scenario::{Scenario, ScenarioError};

use habits::{HABITS, Habit, KINDS, Ports, Rhythm, To};

/// A device of the year, or somebody outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YearDevice {
    /// Its identifier.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it truly is.
    pub kind: &'static str,
    /// What an inventory says it is; none: it does not know.
    pub known_kind: Option<&'static str>,
    /// Whether an inventory finds its evidence contradictory.
    pub contradictory: bool,
    /// Its ward or department at first.
    pub unit: String,
    /// Its network segment.
    pub segment: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The first week in which it is there.
    pub joins: u32,
    /// The first week in which it is not there any more.
    pub leaves: u32,
    /// Whether it is outside the hospital.
    pub outside: bool,
    /// The week in which it moves to another ward, and which.
    pub moves: Option<(u32, String)>,
    /// What tells servers of one kind apart.
    role: &'static str,
}

impl YearDevice {
    /// Its ward or department in a week.
    pub fn unit_in(&self, week: u32) -> &str {
        match &self.moves {
            Some((from, unit)) if *from <= week => unit,
            Some(_) | None => &self.unit,
        }
    }

    /// Whether it is there in a week.
    pub const fn there(&self, week: u32) -> bool {
        self.joins <= week && week < self.leaves
    }
}

/// One conversation of a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// Place of who opened it in [`Year::devices`].
    pub client: u32,
    /// Place of who was asked.
    pub server: u32,
    /// Transport.
    pub transport: Transport,
    /// The server's port.
    pub port: u16,
    /// Its first day in the week, 0 to 6.
    pub day: u8,
    /// On how many days of the week.
    pub days: u8,
    /// How often.
    pub flows: u32,
    /// Whether it serves the hospital; a scan and an infection do not.
    pub legitimate: bool,
}

/// A synthetic year.
#[derive(Clone, Debug)]
pub struct Year {
    scenario: Scenario,
    seed: u64,
    devices: Vec<YearDevice>,
    /// Places of devices by kind.
    by_kind: std::collections::BTreeMap<&'static str, Vec<u32>>,
    /// Places by kind and first ward.
    by_ward: std::collections::BTreeMap<(&'static str, String), Vec<u32>>,
}

/// 2025-01-06, a Monday.
const BEGIN: i64 = 1_736_121_600_000;
const DAY: i64 = 86_400_000;

impl Year {
    /// The year of a scenario: the same seed gives the same year.
    pub fn of(scenario: Scenario, seed: u64) -> Self {
        let devices = generate(&scenario, seed);
        let mut by_kind = std::collections::BTreeMap::<_, Vec<u32>>::new();
        let mut by_ward = std::collections::BTreeMap::<_, Vec<u32>>::new();
        for (n, device) in devices.iter().enumerate() {
            by_kind.entry(device.kind).or_default().push(n as u32);
            by_ward
                .entry((device.kind, device.unit.clone()))
                .or_default()
                .push(n as u32);
            if let Some((_, unit)) = &device.moves {
                by_ward
                    .entry((device.kind, unit.clone()))
                    .or_default()
                    .push(n as u32);
            }
        }
        Self {
            scenario,
            seed,
            devices,
            by_kind,
            by_ward,
        }
    }

    /// What it was made from.
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Every device that is there at any time.
    pub fn devices(&self) -> &[YearDevice] {
        &self.devices
    }

    /// When a day of a week begins.
    pub fn time(week: u32, day: u8) -> Timestamp {
        Timestamp::from_millis(BEGIN + (i64::from(week) * 7 + i64::from(day)) * DAY)
    }

    /// The conversations of a week, each once.
    pub fn week(&self, week: u32) -> Vec<Said> {
        let mut said = Vec::new();
        for (number, habit) in HABITS.iter().enumerate() {
            for &client in self.by_kind.get(habit.from).into_iter().flatten() {
                self.speak(number, habit, client, week, &mut said);
            }
        }
        self.attacks(week, &mut said);
        said.sort_unstable_by_key(|s| (s.client, s.server, s.transport, s.port, !s.legitimate));
        said.dedup_by_key(|s| (s.client, s.server, s.transport, s.port));
        said
    }

    fn random(&self, parts: [u64; 3], purpose: &str) -> Random {
        let mixed = parts.iter().fold(self.seed, |state, part| {
            (state.rotate_left(23) ^ part).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        Random::new(mixed, purpose)
    }

    fn device(&self, place: u32) -> Option<&YearDevice> {
        self.devices.get(place as usize)
    }

    fn speak(&self, number: usize, habit: &Habit, client: u32, week: u32, said: &mut Vec<Said>) {
        let Some(device) = self.device(client) else {
            return;
        };
        if !device.there(week) || (!habit.role.is_empty() && device.role != habit.role) {
            return;
        }
        let mut own = self.random([number as u64, u64::from(client), 0], "habit");
        // Whether this device has the habit at all.
        if own.unit() * 100.0 >= habit.share {
            return;
        }
        let phase = own.below(1 << 16) as u32;
        let mut now = self.random(
            [number as u64, u64::from(client), u64::from(week) + 1],
            "week",
        );
        let due = match habit.rhythm {
            Rhythm::Daily => true,
            Rhythm::Weekly(percent) => now.unit() * 100.0 < percent,
            Rhythm::Every(weeks) => week % weeks == phase % weeks,
            // Together, in the same weeks: failovers, drills, libraries.
            Rhythm::Together(weeks, at) => week % weeks == at,
        };
        if !due {
            return;
        }
        for (server, chance) in self.servers(habit, device, client, week, &mut own) {
            let there = self.device(server).is_some_and(|s| s.there(week));
            if server == client || !there || now.unit() * 100.0 >= chance {
                continue;
            }
            let daily = habit.rhythm == Rhythm::Daily;
            let days = if daily { 5 + now.below(3) as u8 } else { 1 };
            let day = now.below(8 - usize::from(days)) as u8;
            let mut say = |port: u16, flows: u32, days: u8| {
                said.push(Said {
                    client,
                    server,
                    transport: habit.transport,
                    port,
                    day,
                    days,
                    flows,
                    legitimate: true,
                });
            };
            match habit.ports {
                Ports::One(port) => say(port, 1 + now.below(40) as u32, days),
                Ports::Until(low, width, weeks) => {
                    // The service keeps its port until it restarts.
                    let since = u64::from((week + server % weeks) / weeks);
                    let mut of_server =
                        self.random([number as u64, u64::from(server) << 20, since], "port");
                    say(low + of_server.below(usize::from(width)) as u16, 9, days);
                }
                Ports::Moving(low, width, times) => {
                    for _ in 0..=now.below(usize::from(times)) {
                        say(low + now.below(usize::from(width)) as u16, 1, 1);
                    }
                }
            }
        }
    }

    /// Whom a device speaks to by a habit, and with what chance in a week that the habit is due.
    fn servers(
        &self,
        habit: &Habit,
        device: &YearDevice,
        client: u32,
        week: u32,
        own: &mut Random,
    ) -> Vec<(u32, f64)> {
        let fits = |places: &[u32]| -> Vec<u32> {
            places
                .iter()
                .copied()
                .filter(|p| {
                    self.device(*p)
                        .is_some_and(|d| habit.to_role.is_empty() || d.role == habit.to_role)
                })
                .collect()
        };
        let all = || {
            self.by_kind
                .get(habit.to)
                .map_or_else(Vec::new, |places| fits(places))
        };
        let ward = || {
            let unit = device.unit_in(week).to_owned();
            let mut places = self
                .by_ward
                .get(&(habit.to, unit.clone()))
                .map_or_else(Vec::new, |places| fits(places));
            places.retain(|p| self.device(*p).is_some_and(|d| d.unit_in(week) == unit));
            places
        };
        match habit.whom {
            To::All => all().into_iter().map(|p| (p, 100.0)).collect(),
            To::Any(percent) => all().into_iter().map(|p| (p, percent)).collect(),
            To::Ward => ward().into_iter().map(|p| (p, 100.0)).collect(),
            To::WardSome(count) => {
                let mut places = ward();
                own.shuffle(&mut places);
                places.truncate(count);
                places.into_iter().map(|p| (p, 90.0)).collect()
            }
            To::Some(count) => {
                let mut places = all();
                own.shuffle(&mut places);
                places.truncate(count);
                places.into_iter().map(|p| (p, 95.0)).collect()
            }
            To::First => {
                // The first of a cluster, or the second while it has failed over.
                let places = all();
                let over = self.scenario.failover_every > 0
                    && week % self.scenario.failover_every == self.scenario.failover_every - 1;
                places
                    .get(usize::from(over && places.len() > 1))
                    .map(|p| (*p, 100.0))
                    .into_iter()
                    .collect()
            }
            To::Own => {
                let places = all();
                let n = places.len().max(1);
                places
                    .get(client as usize % n)
                    .map(|p| (*p, 100.0))
                    .into_iter()
                    .collect()
            }
        }
    }

    fn attacks(&self, week: u32, said: &mut Vec<Said>) {
        let laptops = self.by_kind.get("laptop").map_or(&[][..], Vec::as_slice);
        for n in 0..self.scenario.scans {
            let mut random = self.random([u64::from(n), 0, 77], "scan");
            let at = random.below(self.scenario.weeks as usize) as u32;
            if at != week || laptops.is_empty() {
                continue;
            }
            let client = *random.pick(laptops);
            let port = *random.pick(&[22, 445, 3389, 80, 23]);
            self.sweep(client, port, 400, week, &mut random, said);
        }
        for n in 0..self.scenario.infections {
            let mut random = self.random([u64::from(n), 1, 77], "worm");
            let at = random.below(self.scenario.weeks as usize) as u32;
            if at != week || laptops.is_empty() {
                continue;
            }
            for _ in 0..6 {
                let client = random.below(self.devices.len()) as u32;
                self.sweep(client, 445, 150, week, &mut random, said);
            }
        }
    }

    fn sweep(
        &self,
        client: u32,
        port: u16,
        count: usize,
        week: u32,
        random: &mut Random,
        said: &mut Vec<Said>,
    ) {
        let day = random.below(7) as u8;
        for _ in 0..count {
            let server = random.below(self.devices.len()) as u32;
            let there = |p: u32| self.device(p).is_some_and(|d| d.there(week) && !d.outside);
            if server != client && there(server) && there(client) {
                said.push(Said {
                    client,
                    server,
                    transport: Transport::Tcp,
                    port,
                    day,
                    days: 1,
                    flows: 1,
                    legitimate: false,
                });
            }
        }
    }
}

/// The devices of a scenario.
fn generate(scenario: &Scenario, seed: u64) -> Vec<YearDevice> {
    let mut random = Random::new(seed, "year devices");
    let mut devices = Vec::new();
    let wards: Vec<String> = (1..=scenario.wards.max(1))
        .map(|n| match n % 8 {
            1 => format!("ICU {}", n.div_ceil(8)),
            2 => format!("Theatre {}", n.div_ceil(8)),
            _ => format!("Ward {n}"),
        })
        .collect();
    let total: f64 = KINDS.iter().map(|k| k.per_mille).sum();
    for kind in KINDS {
        let count = if kind.fixed > 0 {
            kind.fixed
        } else {
            ((f64::from(scenario.devices) * kind.per_mille / total).round() as usize).max(1)
        };
        let count = if kind.per_ward { wards.len() } else { count };
        for n in 0..count {
            let unit = match kind.unit {
                "" => wards[n % wards.len()].clone(),
                unit => unit.to_owned(),
            };
            let mut device = make(kind, n, unit, &mut random, scenario);
            if kind.fixed == 0 && !kind.per_ward {
                life(&mut device, &wards, &mut random, scenario);
            }
            let replaced = device.leaves < scenario.weeks;
            let leaves = device.leaves;
            devices.push(device.clone());
            if replaced {
                let mut next = make(
                    kind,
                    count + devices.len(),
                    device.unit_in(leaves).to_owned(),
                    &mut random,
                    scenario,
                );
                next.joins = leaves;
                devices.push(next);
            }
        }
    }
    for (n, device) in devices.iter_mut().enumerate() {
        // 10.0.0.0/9, twenty to a page so that it looks as if people had given them out.
        let n = n as u32 + 257;
        if device.outside {
            device.address = Ipv4Addr::new(198, 51, 100, (n % 250) as u8 + 1);
        } else {
            device.address = Ipv4Addr::from_bits(0x0a00_0000 + n);
        }
    }
    devices
}

fn make(
    kind: &habits::Kind,
    n: usize,
    unit: String,
    random: &mut Random,
    scenario: &Scenario,
) -> YearDevice {
    let name = if kind.role.is_empty() {
        format!("{}-{n}", kind.id.replace('_', "-"))
    } else {
        format!("{}-{n}", kind.role)
    };
    let infrastructure = kind.fixed > 0;
    let unknown = !infrastructure && random.unit() * 100.0 < scenario.unknown_percent;
    let contradictory = !infrastructure && random.unit() * 100.0 < scenario.contradictory_percent;
    YearDevice {
        id: format!("d-{name}"),
        segment: if infrastructure {
            "servers".to_owned()
        } else {
            format!("vlan-{}", kind.segment)
        },
        name,
        kind: kind.id,
        known_kind: (!unknown && !kind.outside).then_some(kind.id),
        contradictory,
        unit,
        address: Ipv4Addr::UNSPECIFIED,
        joins: 0,
        leaves: u32::MAX,
        outside: kind.outside,
        moves: None,
        role: kind.role,
    }
}

/// When a device comes, goes and moves.
fn life(device: &mut YearDevice, wards: &[String], random: &mut Random, scenario: &Scenario) {
    let weeks = scenario.weeks.max(1);
    let over_the_year = |percent: f64| percent * f64::from(weeks);
    if random.unit() * 100.0 < over_the_year(scenario.new_percent_per_week) {
        device.joins = 1 + random.below(weeks as usize) as u32;
    }
    if random.unit() * 100.0 < over_the_year(scenario.replaced_percent_per_week) {
        let at = 1 + random.below(weeks as usize) as u32;
        if at > device.joins {
            device.leaves = at;
        }
    }
    let ward = wards.contains(&device.unit);
    if ward && random.unit() * 100.0 < over_the_year(scenario.moved_percent_per_week) {
        device.moves = Some((
            1 + random.below(weeks as usize) as u32,
            random.pick(wards).clone(),
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Year {
        Year::of(
            Scenario {
                devices: 400,
                wards: 8,
                ..Scenario::default()
            },
            7,
        )
    }

    #[test]
    fn a_week_is_the_same_each_time_and_differs_with_the_seed() {
        let year = small();
        assert_eq!(year.week(5), small().week(5));
        assert_ne!(year.week(5), year.week(6));
        let other = Year::of(year.scenario().clone(), 8);
        assert_ne!(year.week(5), other.week(5));
    }

    #[test]
    fn nobody_speaks_before_coming_or_after_going() {
        let year = small();
        for week in [0, 9, 30, 51] {
            let said = year.week(week);
            assert!(said.len() > 1_000, "week {week}: {}", said.len());
            for s in said {
                for place in [s.client, s.server] {
                    let device = &year.devices()[place as usize];
                    assert!(device.there(week), "{} in week {week}", device.name);
                }
            }
        }
    }

    #[test]
    fn scans_and_infections_are_marked() {
        let year = small();
        let bad: usize = (0..52)
            .map(|w| year.week(w).iter().filter(|s| !s.legitimate).count())
            .sum();
        assert!(bad > 200, "{bad}");
    }

    #[test]
    fn every_habit_names_kinds_that_there_are() {
        for habit in HABITS {
            for (kind, role) in [(habit.from, habit.role), (habit.to, habit.to_role)] {
                assert!(
                    KINDS
                        .iter()
                        .any(|k| k.id == kind && (role.is_empty() || k.role == role)),
                    "{kind} {role}"
                );
            }
        }
    }
}
