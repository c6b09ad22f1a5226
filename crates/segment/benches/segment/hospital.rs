//! The synthetic hospital year: learn on weeks 1 to n, score on week n + 1.

use std::time::{Duration, Instant};

use domain::{Criticality, DeviceId};
use sample::year::{Said, Scenario, Year, YearDevice};
use segment::backtest::{self, Roles, Score};
use segment::groups::Groups;
use segment::plan::Plan;
use segment::ports::Seen;
use segment::propose::{self, Options};
use segment::world::{Host, Talk, TalkKey, World};
use serde_json::{Value, json};

use crate::memory;

/// Weeks after which a proposal is made and scored on the next.
const AFTER: [u32; 5] = [8, 12, 24, 36, 51];

/// The host that an inventory would know in a week.
fn host(device: &YearDevice, week: u32) -> Host {
    Host {
        id: DeviceId::new(device.id.as_str()),
        name: device.name.as_str().into(),
        kind: device.known_kind.map(Into::into),
        unit: Some(device.unit_in(week).into()),
        segment: Some(device.segment.as_str().into()),
        addresses: vec![device.address.into()],
        macs: Vec::new(),
        criticality: criticality(device),
        contradictory: device.contradictory,
        outside: device.outside,
    }
}

/// How much harm a cut does, as the inventory's table of types has it.
fn criticality(device: &YearDevice) -> Criticality {
    if device.contradictory {
        return Criticality::LifeCritical;
    }
    match device.known_kind {
        None
        | Some(
            "infusion_pump" | "patient_monitor" | "central_monitor" | "ventilator" | "nurse_call"
            | "medical_gateway",
        ) => Criticality::LifeCritical,
        Some("laptop" | "video_conferencing") => Criticality::Administrative,
        Some(
            "workstation"
            | "thin_client"
            | "printer"
            | "voip_phone"
            | "camera"
            | "badge_reader"
            | "building_controller"
            | "server"
            | "storage"
            | "print_server"
            | "database_server"
            | "voip_gateway"
            | "video_recorder",
        ) => Criticality::Business,
        Some(_) => Criticality::Clinical,
    }
}

/// Adds the devices that are there, and what they say in a week.
fn learn(world: &mut World, year: &Year, week: u32, said: &[Said]) -> Result<(), String> {
    let error = |e: segment::world::TooLarge| e.to_string();
    let mut numbers = vec![u32::MAX; year.devices().len()];
    for (place, device) in year.devices().iter().enumerate() {
        if device.joins <= week {
            numbers[place] = world.put_host(host(device, week)).map_err(error)?;
        }
    }
    for s in said {
        let (key, talk) = talk(s, week, &numbers);
        world.put_talk(key, talk).map_err(error)?;
    }
    Ok(())
}

fn talk(s: &Said, week: u32, numbers: &[u32]) -> (TalkKey, Talk) {
    let key = TalkKey {
        client: numbers[s.client as usize],
        server: numbers[s.server as usize],
        transport: s.transport,
        port: s.port,
    };
    let talk = Talk {
        first: Year::time(week, s.day).plus(Duration::from_secs(3_600)),
        last: Year::time(week, s.day + s.days - 1).plus(Duration::from_secs(7_200)),
        flows: s.flows,
        days: u16::from(s.days),
        folded: false,
    };
    (key, talk)
}

/// All hosts of a week, and the legitimate conversations of it.
fn later(year: &Year, week: u32, said: &[Said]) -> Result<(World, Vec<TalkKey>), String> {
    let mut world = World::default();
    learn(&mut world, year, week, &[])?;
    let mut numbers = vec![u32::MAX; year.devices().len()];
    for (place, device) in year.devices().iter().enumerate() {
        if let Some(number) = world.find(&DeviceId::new(device.id.as_str())) {
            numbers[place] = number;
        }
    }
    let keys = said
        .iter()
        .filter(|s| s.legitimate)
        .map(|s| talk(s, week, &numbers).0)
        .collect();
    Ok((world, keys))
}

/// Runs the backtest and the measurement.
pub(crate) fn run(scenario: Scenario, seed: u64) -> Result<Value, String> {
    let options = Options::default();
    let year = Year::of(scenario, seed);
    let weeks = year.scenario().weeks;
    println!(
        "SYNTHETIC hospital: {} devices in a year, {} weeks, seed {seed}. No figure below is of a real network.\n",
        year.devices().len(),
        weeks
    );
    println!(
        "{:>5} {:>9} {:>9} │ {:>9} {:>7} {:>6} {:>6} {:>5} │ {:>8} │ {:>8} {:>7} │ {:>8} {:>7} │ {:>6}",
        "weeks",
        "seen",
        "next week",
        "coverage",
        "over",
        "rules",
        "l-c ob",
        "l-c ✂",
        "exact",
        "roles",
        "over",
        "+ports",
        "over",
        "secs"
    );
    let after: Vec<u32> = AFTER.iter().copied().filter(|n| *n < weeks).collect();
    let last = after
        .last()
        .copied()
        .ok_or("give the scenario at least 9 weeks")?;
    let mut world = World::default();
    let mut rows = Vec::new();
    let (mut all, mut permitted, mut cut, mut observed) = (0_u64, 0_u64, 0_u64, 0_u64);
    let mut over_worst = 0.0_f64;
    let mut causes = std::collections::BTreeMap::<String, u64>::new();
    let mut baselines = [(0.0, 0.0, 0.0); 3];
    let mut timing = Value::Null;
    for week in 0..=last {
        let said = year.week(week);
        if after.contains(&week) {
            let began = Instant::now();
            let groups = Groups::of(&world);
            let proposal = propose::propose(&world, &groups, &options);
            let proposed = began.elapsed();
            let (full, keys) = later(&year, week, &said)?;
            let seen = Seen::of(
                world
                    .talks()
                    .map(|(k, _)| (k.transport, k.port))
                    .chain(keys.iter().map(|k| (k.transport, k.port))),
            );
            let mut score = backtest::score(&proposal.allow, &world, &groups, &full, keys.iter());
            let denominator = proposal.seen.max(1) as f64;
            score.over_permission = proposal.allow.tuples(&groups, &seen) as f64 / denominator;
            let exact = backtest::score(
                &backtest::exact(&world),
                &world,
                &groups,
                &full,
                keys.iter(),
            );
            let roles = Roles::of(&world, false).score(&full, &seen, keys.iter());
            let collapsed = Roles::of(&world, true).score(&full, &seen, keys.iter());
            let row = [
                (
                    exact.coverage.unwrap_or(0.0),
                    world.talk_count() as f64 / denominator,
                ),
                (roles.0, roles.1 as f64 / denominator),
                (collapsed.0, collapsed.1 as f64 / denominator),
            ];
            print_row(week, &world, &proposal, &score, &row, proposed);
            for (sum, (coverage, over)) in baselines.iter_mut().zip(row) {
                let n = score.conversations as f64;
                *sum = (sum.0 + coverage * n, f64::max(sum.1, over), sum.2 + n);
            }
            all += score.conversations;
            permitted += score.permitted;
            cut += score.life_critical_cut;
            observed += score.life_critical_observed;
            over_worst = over_worst.max(score.over_permission);
            for (cause, count) in &score.causes {
                *causes.entry(format!("{cause:?}")).or_default() += count;
            }
            rows.push(json!({
                "weeks": week, "coverage": score.coverage, "over_permission": score.over_permission,
                "expected_coverage": proposal.expected_coverage, "seen": proposal.seen,
                "conversations": score.conversations, "rules": proposal.allow.len(),
                "wider_rules": proposal.choices.len(), "suspects": proposal.suspects.len(),
            }));
            if week == last {
                show_misses(&score);
                timing = cost(&mut world, &year, week, &options, proposed)?;
            }
        }
        learn(&mut world, &year, week, &said)?;
    }
    let coverage = permitted as f64 / all.max(1) as f64;
    let baseline = |n: usize| {
        let (sum, over, count) = baselines[n];
        json!({"coverage": sum / f64::max(count, 1.0), "over_permission": over})
    };
    println!(
        "\nall {} scored weeks together: coverage {:.4} %, over-permission at worst {over_worst:.2}, life-critical conversations cut \
         without a yes {cut} (no rule permits {observed}: observed, let through)\nmisses by cause: {causes:?}",
        after.len(),
        coverage * 100.0
    );
    Ok(json!({
        "synthetic": true,
        "seed": seed,
        "backtest": {
            "coverage": coverage, "over_permission": over_worst, "life_critical_cut": cut,
            "life_critical_observed": observed, "conversations": all, "misses": causes, "weeks": rows,
        },
        "baselines": {"exact": baseline(0), "roles": baseline(1), "roles_any_port": baseline(2)},
        "cost": timing,
    }))
}

fn print_row(
    week: u32,
    world: &World,
    proposal: &propose::Proposal,
    score: &Score,
    row: &[(f64, f64); 3],
    proposed: Duration,
) {
    println!(
        "{:>5} {:>9} {:>9} │ {:>7.3} % {:>7.2} {:>6} {:>6} {:>5} │ {:>6.2} % │ {:>6.2} % {:>7.1} │ {:>6.2} % {:>7.1} │ {:>6.2}",
        week,
        world.talk_count(),
        score.conversations,
        score.coverage.unwrap_or(0.0) * 100.0,
        score.over_permission,
        proposal.allow.len(),
        score.life_critical_observed,
        score.life_critical_cut,
        row[0].0 * 100.0,
        row[1].0 * 100.0,
        row[1].1,
        row[2].0 * 100.0,
        row[2].1,
        proposed.as_secs_f64()
    );
}

fn show_misses(score: &Score) {
    println!("\nwhat no rule permitted in the last scored week, by clinical service:");
    for (service, tally) in &score.services {
        println!(
            "  {service:<22} {:>7} of {:>8}  {:.3} %",
            tally.blocked,
            tally.conversations,
            100.0 * tally.blocked as f64 / tally.conversations.max(1) as f64
        );
    }
    println!("some of it:");
    for miss in score.misses.iter().take(12) {
        println!(
            "  {} → {}, {} ({:?})",
            miss.client, miss.server, miss.service, miss.cause
        );
    }
}

/// Time and memory of a whole proposal, with its plan written, and of a day's increment.
fn cost(
    world: &mut World,
    year: &Year,
    week: u32,
    options: &Options,
    proposed: Duration,
) -> Result<Value, String> {
    let began = Instant::now();
    let mut groups = Groups::of(world);
    let proposal = propose::propose(world, &groups, options);
    let now = Year::time(week, 0);
    let plan = Plan::of(world, &groups, &proposal, options, None, now);
    let whole = began.elapsed();
    let began = Instant::now();
    let matrix = plan.matrix().map_err(|e| e.to_string())?;
    let compiled = began.elapsed();
    // One day of the next week.
    let said: Vec<Said> = year.week(week).into_iter().filter(|s| s.day <= 1).collect();
    let began = Instant::now();
    learn(world, year, week, &said)?;
    groups.update(world);
    let next = propose::propose(world, &groups, options);
    let increment = began.elapsed();
    println!(
        "\n{} hosts, {} distinct conversations: proposal {:.2} s, with its plan {:.2} s, compiled in {:.2} s to {} groups and {} cells; \
         a day's increment of {} conversations {:.2} s ({} rules); peak {} MiB",
        world.hosts().len(),
        world.talk_count(),
        proposed.as_secs_f64(),
        whole.as_secs_f64(),
        compiled.as_secs_f64(),
        matrix.groups.len(),
        matrix.cells.len(),
        said.len(),
        increment.as_secs_f64(),
        next.allow.len(),
        memory::peak().unwrap_or(0) / (1 << 20)
    );
    Ok(json!({
        "hosts": world.hosts().len(), "conversations": world.talk_count(),
        "proposal_s": proposed.as_secs_f64(), "plan_s": whole.as_secs_f64(), "compile_s": compiled.as_secs_f64(),
        "increment_s": increment.as_secs_f64(), "peak_bytes": memory::peak(),
        "groups": matrix.groups.len(), "cells": matrix.cells.len(),
    }))
}

/// Proposals for a tenth, a third and the whole of a larger hospital: how cost grows.
pub(crate) fn scale(scenario: &Scenario, seed: u64) -> Result<Value, String> {
    println!("SYNTHETIC hospitals of growing size, 6 weeks each");
    println!(
        "{:>9} {:>13} {:>9} {:>14} {:>9}",
        "hosts", "conversations", "secs", "µs each", "peak MiB"
    );
    let mut rows = Vec::new();
    for devices in [10_000_u32, 30_000, 100_000] {
        let year = Year::of(
            Scenario {
                devices,
                wards: devices / 250,
                weeks: 52,
                ..scenario.clone()
            },
            seed,
        );
        let mut world = World::default();
        for week in 0..6 {
            learn(&mut world, &year, week, &year.week(week))?;
        }
        let began = Instant::now();
        let groups = Groups::of(&world);
        let proposal = propose::propose(&world, &groups, &Options::default());
        let secs = began.elapsed().as_secs_f64();
        let each = secs * 1e6 / world.talk_count().max(1) as f64;
        let peak = memory::peak().unwrap_or(0);
        println!(
            "{:>9} {:>13} {secs:>9.2} {each:>14.2} {:>9}",
            world.hosts().len(),
            world.talk_count(),
            peak / (1 << 20)
        );
        rows.push(json!({
            "hosts": world.hosts().len(), "conversations": world.talk_count(), "proposal_s": secs,
            "us_per_conversation": each, "peak_bytes": peak, "rules": proposal.allow.len(),
        }));
    }
    Ok(json!({"synthetic": true, "scale": rows}))
}
