//! `asepsis segment`: propose rules, forecast what they would do, simulate an attack. Nothing here changes a network.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use segment::forecast::Forecast;
use segment::groups::Groups;
use segment::plan::{Plan, Rule};
use segment::propose::{self, Options};
use segment::simulate::{Attack, Simulation};
use segment::world::World;
use serde_json::json;

use crate::cli;
use crate::clock;
use crate::config::InventoryConfig;
use crate::estate::{self, Estate, Settings};
use crate::failure::{Blame, Failure};
use crate::output::{DIM, Output, STRONG};

/// Rules and groups that a summary shows.
const SHOWN: usize = 15;

pub(crate) fn run(command: cli::Segment, output: Output) -> Result<ExitCode, Failure> {
    match command {
        cli::Segment::Propose {
            from,
            output: path,
            before,
            coverage,
            at_most,
        } => propose(
            &from,
            &path,
            before.as_deref(),
            options(coverage, at_most),
            output,
        ),
        cli::Segment::Forecast { plan, from } => forecast(&plan, &from, output),
        cli::Segment::Simulate {
            attack,
            start,
            service,
            plan,
            svg,
            from,
        } => simulate(
            attack,
            &service,
            &start,
            plan.as_deref(),
            svg.as_deref(),
            &from,
            output,
        ),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn options(coverage: f64, at_most: f64) -> Options {
    Options {
        coverage: coverage / 100.0,
        over_permission_max: at_most,
        ..Options::default()
    }
}

/// The devices and conversations of a data folder or a flow file.
fn world(from: &cli::Observed) -> Result<World, Failure> {
    if let Some(path) = &from.flows {
        let file = std::fs::File::open(path).input(format!("cannot read `{}`", path.display()))?;
        let (world, reading) = segment::flows::world(std::io::BufReader::new(file))
            .input(format!("`{}`", path.display()))?;
        if let Some((line, why)) = reading.first_unread {
            tracing::warn!(
                rows = reading.unread,
                line,
                "rows of the flow file do not read: {why}"
            );
        }
        return Ok(world);
    }
    let data = &from.data;
    if !estate::path_in(data).exists() {
        return Err(Failure::input(format!(
            "`{}` holds no inventory (hint: `asepsis discover … --data {}` makes one, or give `--flows FILE`)",
            data.display(),
            data.display()
        )));
    }
    let estate = Estate::open(Some(data), Settings::new(&InventoryConfig::default())?)?;
    estate
        .with(|inventory| {
            let mut world = World::default();
            for device in inventory.devices() {
                world.put_device(&device)?;
            }
            for conversation in inventory.conversations() {
                world.put_conversation(&conversation)?;
            }
            Ok::<_, segment::world::TooLarge>(world)
        })
        .input("the inventory")
}

fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let text = std::fs::read_to_string(path).input(format!("cannot read `{}`", path.display()))?;
    Plan::read(&text).input(format!("`{}`", path.display()))
}

fn propose(
    from: &cli::Observed,
    path: &Path,
    before: Option<&Path>,
    options: Options,
    output: Output,
) -> Result<(), Failure> {
    let before = before.map(read_plan).transpose()?;
    let world = world(from)?;
    if world.talk_count() == 0 {
        return Err(Failure::input(
            "there are no conversations to propose from (hint: let a sensor watch for some weeks, or give `--flows FILE`)",
        ));
    }
    let groups = Groups::of(&world);
    let proposal = propose::propose(&world, &groups, &options);
    let plan = Plan::of(
        &world,
        &groups,
        &proposal,
        &options,
        before.as_ref(),
        clock::now(),
    );
    let matrix = plan.matrix().running("compiling the proposed policy")?;
    std::fs::write(path, plan.to_json()).input(format!("cannot write `{}`", path.display()))?;
    let difference = before.as_ref().map(|b| b.diff(&plan));
    if output.is_json() {
        return output.json(&json!({
            "plan": path, "snapshot": plan.snapshot, "devices": plan.devices.len(), "groups": plan.groups.len(),
            "rules": plan.rules.len(), "cells": matrix.cells.len(), "conversations": proposal.seen,
            "expected_coverage": plan.expected_coverage, "over_permission": plan.over_permission,
            "causes": plan.causes, "suspects": plan.suspects, "departing": plan.departing,
            "difference": difference,
        }));
    }
    show_groups(&plan, output)?;
    show_rules(&plan, output)?;
    for suspect in plan.suspects.iter().take(SHOWN) {
        output.line(&format!(
            "looks like a scan: {} asked {} devices for {} on {}{}",
            suspect.name,
            suspect.servers,
            suspect.service,
            suspect.day.to_string().get(..10).unwrap_or_default(),
            if suspect.kept {
                "; kept, since the device may be life-critical"
            } else {
                "; left out"
            }
        ))?;
    }
    for name in plan.departing.iter().take(SHOWN) {
        output.line(&format!("stands alone: {name}"))?;
    }
    if let Some(difference) = &difference {
        output.line(&format!(
            "{STRONG}Against the plan before{STRONG:#}\n{}",
            difference.text()
        ))?;
    }
    let expected = plan.expected_coverage.map_or_else(
        || "too little history to estimate what the next period would miss".to_owned(),
        |share| {
            format!(
                "expected to permit {:.2} % of the next period's conversations",
                share * 100.0
            )
        },
    );
    output.line(&format!(
        "{STRONG}{}{STRONG:#}: {} rules for {} devices; {expected}; permits {:.1} for each conversation seen\n\
         {DIM}Everything is observed until you enforce it. asepsis segment forecast {} says what it would do{DIM:#}",
        path.display(),
        plan.rules.len(),
        plan.devices.len(),
        plan.over_permission,
        path.display()
    ))
}

fn show_groups(plan: &Plan, output: Output) -> Result<(), Failure> {
    let mut groups: Vec<_> = plan
        .groups
        .iter()
        .filter(|g| g.parent.is_none() || g.parent.as_deref() == Some("everyone"))
        .collect();
    groups.sort_by_key(|g| (std::cmp::Reverse(g.devices), g.name.clone()));
    let more = groups.len().saturating_sub(SHOWN);
    output.table(
        &["group", "devices", "parts", "a cut harms"],
        groups.iter().take(SHOWN).map(|g| {
            let parts = plan
                .groups
                .iter()
                .filter(|p| p.parent.as_ref() == Some(&g.entity))
                .count();
            vec![
                g.name.clone(),
                g.devices.to_string(),
                parts.to_string(),
                harm(g.criticality).to_owned(),
            ]
        }),
    )?;
    if more > 0 {
        output.line(&format!("{DIM}and {more} more groups in the plan{DIM:#}"))?;
    }
    Ok(())
}

fn show_rules(plan: &Plan, output: Output) -> Result<(), Failure> {
    let mut rules: Vec<&Rule> = plan.rules.iter().collect();
    rules.sort_by_key(|r| (std::cmp::Reverse(r.evidence.conversations), r.id.clone()));
    output.table(
        &["rule", "", "conversations", "last seen", "who confirms"],
        rules.iter().take(SHOWN).map(|r| {
            vec![
                r.id.clone(),
                r.says.clone(),
                r.evidence.conversations.to_string(),
                r.evidence
                    .last
                    .to_string()
                    .get(..10)
                    .unwrap_or_default()
                    .to_owned(),
                r.confirm.clone(),
            ]
        }),
    )?;
    let more = rules.len().saturating_sub(SHOWN);
    if more > 0 {
        output.line(&format!("{DIM}and {more} more rules in the plan{DIM:#}"))?;
    }
    Ok(())
}

const fn harm(criticality: domain::Criticality) -> &'static str {
    match criticality {
        domain::Criticality::LifeCritical => "a life",
        domain::Criticality::Clinical => "care",
        domain::Criticality::Business => "business",
        domain::Criticality::Administrative => "administration",
    }
}

fn forecast(path: &Path, from: &cli::Observed, output: Output) -> Result<(), Failure> {
    let plan = read_plan(path)?;
    let world = world(from)?;
    plan.made_for(&world.digest())
        .input(format!("`{}`", path.display()))?;
    let forecast = Forecast::of(&plan, &world).input(format!("`{}`", path.display()))?;
    if output.is_json() {
        return output.json(&forecast);
    }
    match &forecast.held_out {
        Some(held_out) => {
            let score = &held_out.score;
            output.line(&format!(
                "{STRONG}Had it been made before {}{STRONG:#}: {} of {} conversations since then would have been permitted ({:.2} %)",
                held_out.cut.to_string().get(..10).unwrap_or_default(),
                score.permitted,
                score.conversations,
                score.coverage.unwrap_or(0.0) * 100.0
            ))?;
            output.table(
                &[
                    "clinical service",
                    "conversations",
                    "not permitted",
                    "share",
                ],
                score.services.iter().map(|(service, tally)| {
                    vec![
                        service.to_string(),
                        tally.conversations.to_string(),
                        tally.blocked.to_string(),
                        format!(
                            "{:.3} %",
                            100.0 * tally.blocked as f64 / tally.conversations.max(1) as f64
                        ),
                    ]
                }),
            )?;
            for miss in score.misses.iter().take(SHOWN) {
                output.line(&format!(
                    "would not have been permitted: {} → {}, {}{}",
                    miss.client,
                    miss.server,
                    miss.service,
                    if miss.life_critical {
                        " (life-critical: stays observed)"
                    } else {
                        ""
                    }
                ))?;
            }
        }
        None => output.line("There is too little history to hold any of it out.")?,
    }
    let cut = &forecast.cut;
    output.line(&format!(
        "{STRONG}Of what was seen{STRONG:#}: {} of {} conversations are not permitted, {} of them of life-critical devices, of which {} \
         would be dropped; the plan permits {:.1} for each conversation seen",
        cut.not_permitted, cut.conversations, cut.life_critical, cut.life_critical_dropped, forecast.over_permission
    ))?;
    output.table(
        &[
            "a compromised device of",
            "devices",
            "reaches now",
            "with the plan",
            "in 2 hops",
            "in 3 hops",
        ],
        forecast.blast.iter().map(|b| {
            vec![
                b.class.clone(),
                b.devices.to_string(),
                format!("{:.0}", b.direct_before),
                format!("{:.1}", b.direct_after),
                format!("{:.1}", b.two_hops_after),
                format!("{:.1}", b.three_hops_after),
            ]
        }),
    )?;
    output.table(
        &[
            "rare conversations",
            "service",
            "seen",
            "permitted",
            "life-critical",
            "such as",
        ],
        forecast.rare.iter().map(|r| {
            vec![
                format!("{:?}", r.rhythm).to_lowercase(),
                r.service.to_string(),
                r.conversations.to_string(),
                r.permitted.to_string(),
                r.life_critical.to_string(),
                r.example.clone(),
            ]
        }),
    )?;
    output.table(
        &["enforcement point", "sees", "of", "not known", ""],
        forecast.enforceability.iter().map(|p| {
            vec![
                p.point.to_owned(),
                p.sees.to_string(),
                p.of.to_string(),
                p.unknown.to_string(),
                p.says.to_owned(),
            ]
        }),
    )?;
    for change in &forecast.changes {
        output.line(&format!(
            "segment {}: {} conversations stay within it; {}",
            change.segment, change.conversations, change.advice
        ))?;
    }
    let new: u32 = forecast.too_little_history.values().sum();
    if new > 0 {
        output.line(&format!(
            "{new} devices were seen for too short a time to judge"
        ))?;
    }
    Ok(())
}

fn simulate(
    attack: cli::AttackKind,
    service: &str,
    start: &str,
    plan: Option<&Path>,
    svg: Option<&Path>,
    from: &cli::Observed,
    output: Output,
) -> Result<(), Failure> {
    let world = world(from)?;
    let plan = match plan {
        Some(path) => {
            let plan = read_plan(path)?;
            plan.made_for(&world.digest())
                .input(format!("`{}`", path.display()))?;
            plan
        }
        None => {
            let options = Options::default();
            let groups = Groups::of(&world);
            let proposal = propose::propose(&world, &groups, &options);
            Plan::of(&world, &groups, &proposal, &options, None, clock::now())
        }
    };
    let attack = match attack {
        cli::AttackKind::Ransomware => Attack::Ransomware,
        cli::AttackKind::StolenLaptop => Attack::StolenLaptop,
        cli::AttackKind::Worm => {
            let read = service
                .split_once('/')
                .and_then(|(t, p)| Some((segment::service::read_transport(t)?, p.parse().ok()?)));
            let (transport, port) = read.ok_or_else(|| {
                Failure::input(format!(
                    "`{service}` is no service (hint: write it like `tcp/445`)"
                ))
            })?;
            Attack::Worm { transport, port }
        }
    };
    let simulation = Simulation::of(&plan, &world, attack, start).input("the simulation")?;
    let picture: Option<PathBuf> = svg.map(Path::to_path_buf);
    if let Some(path) = &picture {
        std::fs::write(path, simulation.svg())
            .input(format!("cannot write `{}`", path.display()))?;
    }
    if output.is_json() {
        return output.json(&simulation);
    }
    let line = |name: &str, r: &segment::simulate::Reached| {
        let hops: Vec<String> = r
            .by_hop
            .iter()
            .map(|(hop, n)| format!("{n} at hop {hop}"))
            .collect();
        vec![
            name.to_owned(),
            r.devices.to_string(),
            r.life_critical.to_string(),
            hops.join(", "),
        ]
    };
    output.table(
        &[
            &format!("{} from {}", simulation.attack, simulation.from),
            "devices that fall",
            "life-critical",
            "how",
        ],
        [
            line("flat network", &simulation.before),
            line("plan as it stands", &simulation.as_it_stands),
            line("plan enforced", &simulation.after),
        ],
    )?;
    output.line(&format!(
        "{DIM}{} devices could be harmed at all. Whatever the attack reaches over a service it uses counts as fallen.{DIM:#}",
        simulation.exposed
    ))?;
    if let Some(path) = picture {
        output.line(&format!(
            "the picture is in {STRONG}{}{STRONG:#}",
            path.display()
        ))?;
    }
    Ok(())
}
