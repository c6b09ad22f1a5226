//! `asepsis decide`: one AuthZEN request, judged.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use policy::{PolicyPack, Snapshot, authzen};

use crate::cli::Decide;
use crate::failure::{Blame, Failure};
use crate::output::Output;
use crate::{assembly, clock, config, pack};

/// A request larger than this is no AuthZEN request.
const REQUEST_BYTES_MAX: u64 = 16 << 20;

pub(crate) fn run(args: &Decide, output: Output) -> Result<ExitCode, Failure> {
    let text = read(&args.file)?;
    let name = name_of(&args.file);
    let body = authzen::parse(&text).input(format!("in {name}"))?;
    let mut snapshot = match &args.config {
        None => Snapshot::new(PolicyPack::hospital()),
        Some(path) => {
            let config = config::Config::load(path).map_err(Failure::Input)?;
            assembly::world_at_rest(&config)?
        }
    };
    if let Some(dir) = &args.pack {
        snapshot.set_pack(Arc::new(pack::load(dir).map_err(Failure::Input)?));
    }
    let now = args.at.unwrap_or_else(clock::now);
    let answer = authzen::evaluate(&snapshot, &body, now).input(format!("in {name}"))?;
    if output.is_json() {
        output.json(&answer)?;
    } else {
        let pretty = serde_json::to_string_pretty(&answer).running("writing JSON")?;
        output.line(&pretty)?;
    }
    // Those that could be understood are answered; the request as a whole was not right.
    let mistakes: Vec<&str> = authzen::mistakes(&answer).collect();
    match mistakes.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        [one] => Err(Failure::input(format!("in {name}: {one}"))),
        [first, rest @ ..] => Err(Failure::input(format!(
            "in {name}: {first} (and {} more questions that are not well-formed)",
            rest.len()
        ))),
    }
}

/// How a person would name where the request came from.
fn name_of(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        format!("`{}`", path.display())
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(REQUEST_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .input("reading standard input")?;
    } else {
        let file = std::fs::File::open(path)
            .input(format!("cannot read the request `{}`", path.display()))?;
        file.take(REQUEST_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .input(format!("cannot read the request `{}`", path.display()))?;
    }
    if bytes.len() as u64 > REQUEST_BYTES_MAX {
        return Err(Failure::input(format!(
            "{} is larger than 16 MiB; put the questions into several requests",
            name_of(path)
        )));
    }
    Ok(bytes)
}
