//! How well rules proposed from some weeks foretell the next, beside the exact allow-list and the role baseline; and what a
//! proposal costs in time and memory.
//!
//! Without `--flows` the conversations are those of a *synthetic* hospital year (`sample::year`); with it, of a file. The
//! last line with `--format json` holds `backtest.coverage`, `backtest.over_permission`, `backtest.life_critical_cut` and the
//! baselines.
//!
//! `cargo bench -p asepsis-segment --bench segment [-- --scenario FILE --seed N --flows FILE --scale --format json]`
#![allow(clippy::print_stdout, reason = "a benchmark's report is its output")]

mod flows;
mod hospital;
mod memory;

use std::process::ExitCode;

/// What was asked for.
struct Arguments {
    scenario: Option<String>,
    seed: u64,
    flows: Option<String>,
    scale: bool,
    json: bool,
}

fn arguments() -> Result<Arguments, String> {
    let mut out = Arguments {
        scenario: None,
        seed: 1,
        flows: None,
        scale: false,
        json: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("`{word}` needs a value"));
        match word.as_str() {
            "--scenario" => out.scenario = Some(value()?),
            "--seed" => {
                out.seed = value()?.parse().map_err(|_| "`--seed` is not a number")?;
            }
            "--flows" => out.flows = Some(value()?),
            "--scale" => out.scale = true,
            "--format" => out.json = value()? == "json",
            // What cargo adds.
            "--bench" => {}
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    Ok(out)
}

fn main() -> ExitCode {
    let done = arguments().and_then(|arguments| match &arguments.flows {
        Some(path) => flows::run(path).map(|json| (arguments.json, json)),
        None => {
            let scenario = match &arguments.scenario {
                Some(path) => {
                    let text = std::fs::read_to_string(path)
                        .map_err(|e| format!("cannot read `{path}`: {e}"))?;
                    sample::year::Scenario::parse(&text)
                        .map_err(|e| format!("the scenario `{path}` is wrong: {e}"))?
                }
                None => sample::year::Scenario::default(),
            };
            let json = if arguments.scale {
                hospital::scale(&scenario, arguments.seed)
            } else {
                hospital::run(scenario, arguments.seed)
            };
            json.map(|json| (arguments.json, json))
        }
    });
    match done {
        Ok((true, json)) => {
            println!("{json}");
            ExitCode::SUCCESS
        }
        Ok((false, _)) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error}");
            ExitCode::from(2)
        }
    }
}
