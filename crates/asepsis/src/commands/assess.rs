//! `asepsis assess`: how far are we, measured.

mod access;
mod applications;
mod seen;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ::assess::{Assessment, Attestations, Criteria, Facts, report};
use std::io::IsTerminal;

use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::failure::{Blame, Failure};
use crate::output::{DIM, Output, STRONG};

/// Columns where standard output is no terminal.
const WIDTH: usize = 120;

pub(crate) fn run(args: &cli::Assess, output: Output) -> Result<ExitCode, Failure> {
    let config = args
        .config
        .as_deref()
        .map(Config::load)
        .transpose()
        .map_err(Failure::Input)?;
    let data = match (&config, &args.data) {
        (Some(config), _) => config.data.clone(),
        (None, Some(data)) => data.clone(),
        (None, None) => {
            return Err(Failure::input(
                "name the configuration with --config, or a data folder with --data",
            ));
        }
    };
    if !data.is_dir() {
        return Err(Failure::input(format!(
            "the data folder `{}` does not exist (hint: `asepsis discover … --data {}` or `asepsis up` makes one)",
            data.display(),
            data.display()
        )));
    }
    let criteria = criteria(args)?;
    let attestations = attestations(args, &criteria)?;
    let facts = facts(args, config.as_ref(), &data)?;
    let assessment = ::assess::assess(&criteria, &facts, &attestations);
    if let Some(path) = &args.html {
        std::fs::write(path, report::html(&assessment))
            .input(format!("cannot write `{}`", path.display()))?;
    }
    show(&assessment, args.html.as_deref(), output)?;
    Ok(ExitCode::SUCCESS)
}

fn criteria(args: &cli::Assess) -> Result<Criteria, Failure> {
    let criteria = Criteria::shipped();
    match &args.framework {
        Some(name) => criteria.only(&[name]).map_err(Failure::input),
        None => Ok(criteria),
    }
}

/// Reads what people attest. A file that was named must be right; what is wrong in it is told with its line.
fn attestations(args: &cli::Assess, criteria: &Criteria) -> Result<Attestations, Failure> {
    let beside = args
        .config
        .as_ref()
        .map(|config| config.with_file_name("attestations.toml"))
        .filter(|path| path.exists());
    let Some(path) = args.attestations.clone().or(beside) else {
        return Ok(Attestations::default());
    };
    let text = std::fs::read_to_string(&path)
        .input(format!("cannot read the attestations `{}`", path.display()))?;
    let attestations = Attestations::parse(&text, criteria);
    match attestations.problems.as_slice() {
        [] => Ok(attestations),
        problems => {
            let lines: Vec<String> = problems
                .iter()
                .map(|p| {
                    format!(
                        "`{}`, line {}: {} (hint: {})",
                        path.display(),
                        p.line,
                        p.what,
                        p.hint
                    )
                })
                .collect();
            Err(Failure::input(lines.join("\n")))
        }
    }
}

/// Everything that this data, the access road and the configuration tell.
fn facts(args: &cli::Assess, config: Option<&Config>, data: &Path) -> Result<Facts, Failure> {
    let now = clock::now();
    let hospital = config.map_or("this hospital", |c| c.hospital.as_str());
    let mut facts = Facts::new(hospital, now);
    facts.window_days = args.days.max(1);
    seen::fill(&mut facts, args, config, data)?;
    access::fill(&mut facts, config, data)?;
    let list = config.and_then(|c| c.assess.applications.clone());
    if let Some(path) = args.applications.clone().or(list) {
        applications::add(&mut facts, &path)?;
    }
    Ok(facts)
}

fn show(assessment: &Assessment, html: Option<&Path>, output: Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(assessment);
    }
    let width = if std::io::stdout().is_terminal() {
        rustix::termios::tcgetwinsize(std::io::stdout()).map_or(WIDTH, |size| size.ws_col.into())
    } else {
        WIDTH
    };
    output.line(report::text(assessment, width).trim_end())?;
    output.line(&format!("\n{STRONG}Next steps{STRONG:#}"))?;
    output.line(report::text_steps(assessment, width).trim_end())?;
    let page = html.map_or_else(
        || "--html FILE writes every row with its figures".to_owned(),
        |path| {
            format!(
                "every row with its figures: {}",
                PathBuf::from(path).display()
            )
        },
    );
    output.line(&format!("\n{DIM}{page}{DIM:#}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use clap::error::ErrorKind;

    use super::*;

    #[test]
    fn every_command_that_a_step_names_is_one_of_ours() {
        let steps = include_str!("../../../../packs/frameworks/steps.toml");
        let mut seen = 0;
        for line in steps.lines() {
            for command in line.split('`').skip(1).step_by(2) {
                if !command.starts_with("asepsis ") {
                    continue;
                }
                seen += 1;
                let kind = cli::Cli::try_parse_from(command.split_whitespace())
                    .err()
                    .map(|error| error.kind());
                // A step need not give every argument.
                assert!(
                    matches!(kind, None | Some(ErrorKind::MissingRequiredArgument)),
                    "`{command}`: {kind:?}"
                );
            }
        }
        assert!(seen > 5, "{seen} commands");
    }
}
