//! A flow file of hosts without classes: learn on all but the last period, score on that.

use std::time::{Duration, Instant};

use segment::backtest::{self, Roles};
use segment::flows;
use segment::groups::Groups;
use segment::propose::{self, Options};
use segment::world::TalkKey;
use serde_json::{Value, json};

use crate::memory;

/// What a proposal may permit for each seen tuple, from little to much; the table shows what each buys.
const BUDGETS: [f64; 7] = [1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0];

/// Runs the backtest on a file.
pub(crate) fn run(path: &str) -> Result<Value, String> {
    let file = std::fs::File::open(path).map_err(|e| format!("cannot read `{path}`: {e}"))?;
    let (world, reading) =
        flows::world(std::io::BufReader::new(file)).map_err(|e| format!("`{path}`: {e}"))?;
    let (first, last) = world.span().ok_or("the file holds no conversation")?;
    let span = last.since(first);
    let day = Duration::from_secs(86_400);
    let horizon = if span >= 28 * day { 7 * day } else { day };
    let base = Options {
        coverage: 1.0,
        horizon,
        ..Options::default()
    };
    let cut = backtest::cut(&world, &base).ok_or("the file holds no conversation")?;
    println!(
        "{}: {} rows ({} unread), {} hosts, {} distinct conversations, {first} to {last}; learned before {cut}, scored after\n",
        path,
        reading.rows,
        reading.unread,
        world.hosts().len(),
        world.talk_count()
    );
    let known = world.before(cut);
    if known.talk_count() == 0 {
        return Err(
            "nothing lies before the cut: the file must span more than one period".to_owned(),
        );
    }
    let mut keys: Vec<TalkKey> = world
        .talks()
        .filter(|(_, t)| t.last >= cut)
        .map(|(k, _)| *k)
        .collect();
    keys.sort_unstable();
    let seen = backtest::seen_in(&world);
    let count = known.talk_count() as f64;
    let groups = Groups::of(&known);
    let exact = backtest::score(
        &backtest::exact(&known),
        &known,
        &groups,
        &world,
        keys.iter(),
    );
    let roles = Roles::of(&known, false).score(&world, &seen, keys.iter());
    let collapsed = Roles::of(&known, true).score(&world, &seen, keys.iter());
    let baselines = [
        ("exact", exact.coverage.unwrap_or(0.0), 1.0),
        ("roles", roles.0, roles.1 as f64 / count),
        ("roles, any port", collapsed.0, collapsed.1 as f64 / count),
    ];
    println!("{:<34} {:>9} {:>9} {:>9}", "", "coverage", "over", "rules");
    for (name, coverage, over) in baselines {
        println!("{name:<34} {:>7.2} % {over:>9.2}", coverage * 100.0);
    }
    // The point of the curve is chosen by holding out the last period of what was known, before the scored one is looked at.
    let inner_cut = backtest::cut(&known, &base).ok_or("nothing lies before the cut")?;
    let inner = known.before(inner_cut);
    let inner_keys: Vec<TalkKey> = {
        let mut keys: Vec<TalkKey> = known
            .talks()
            .filter(|(_, t)| t.last >= inner_cut)
            .map(|(k, _)| *k)
            .collect();
        keys.sort_unstable();
        keys
    };
    let inner_groups = Groups::of(&inner);
    let inner_roles = Roles::of(&inner, false)
        .score(&known, &seen, inner_keys.iter())
        .0;
    let mut curve = Vec::new();
    let mut rows: Vec<(f64, f64, Value)> = Vec::new();
    for budget in BUDGETS {
        let began = Instant::now();
        let options = Options {
            over_permission_max: budget,
            ..base
        };
        let proposal = propose::propose(&known, &groups, &options);
        let secs = began.elapsed().as_secs_f64();
        let score = backtest::score(&proposal.allow, &known, &groups, &world, keys.iter());
        let over = proposal.allow.tuples(&groups, &seen) as f64 / count;
        let coverage = score.coverage.unwrap_or(0.0);
        let inside = propose::propose(&inner, &inner_groups, &options);
        let held_out = backtest::score(
            &inside.allow,
            &inner,
            &inner_groups,
            &known,
            inner_keys.iter(),
        )
        .coverage
        .unwrap_or(0.0);
        println!(
            "{:<34} {:>7.2} % {over:>9.2} {:>9}   held out before {:.2} %, {secs:.1} s, misses {:?}",
            format!("ours, at most {budget} times"),
            coverage * 100.0,
            proposal.allow.len(),
            held_out * 100.0,
            score.causes
        );
        let row = json!({
            "budget": budget, "coverage": coverage, "over_permission": over, "held_out_before": held_out,
            "life_critical_cut": score.life_critical_cut, "misses": score.causes,
        });
        curve.push(row.clone());
        rows.push((held_out, over, row));
    }
    let chosen = choose(&rows, inner_roles);
    println!(
        "\nchosen by what was held out before (roles had {:.2} % there): {chosen}; peak {} MiB",
        inner_roles * 100.0,
        memory::peak().unwrap_or(0) / (1 << 20)
    );
    let baseline =
        |n: usize| json!({"coverage": baselines[n].1, "over_permission": baselines[n].2});
    Ok(json!({
        "synthetic": false,
        "backtest": chosen,
        "baselines": {"exact": baseline(0), "roles": baseline(1), "roles_any_port": baseline(2)},
        "curve": curve,
        "peak_bytes": memory::peak(),
    }))
}

/// The smallest budget within five times from which on more buys less than a tenth of a percent; if roles did better than that
/// on what was held out, the smallest that does better than they.
fn choose(rows: &[(f64, f64, Value)], roles: f64) -> Value {
    let mut best: Option<&(f64, f64, Value)> = None;
    for row in rows {
        let enough = best.is_some_and(|b| b.0 > roles);
        let within = row
            .2
            .get("budget")
            .and_then(Value::as_f64)
            .is_some_and(|b| b <= 5.0);
        let gains = best.is_none_or(|b| row.0 > b.0 + 0.001);
        if gains && (within || !enough) {
            best = Some(row);
        }
    }
    best.map(|b| b.2.clone()).unwrap_or_default()
}
