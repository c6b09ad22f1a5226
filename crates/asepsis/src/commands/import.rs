//! `asepsis import`: people, devices and relations from files a hospital already has.

use std::path::PathBuf;
use std::process::ExitCode;

use identity::relations::{self, Format, Kind, Source};
use serde_json::json;

use crate::assembly;
use crate::cli::Import;
use crate::config::Config;
use crate::failure::{Blame, Failure};
use crate::inbox::Letter;
use crate::output::Output;

pub(crate) fn run(args: &Import, output: Output) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config.config).map_err(Failure::Input)?;
    let given = [
        (&args.people, Kind::People),
        (&args.devices, Kind::Devices),
        (&args.relations, Kind::Patients),
        (&args.windows, Kind::VendorWindows),
    ];
    let mut files = Vec::new();
    for (path, kind) in given {
        if let Some(path) = path {
            files.push(read(path.clone(), kind)?);
        }
    }
    if files.is_empty() {
        return Err(Failure::input(
            "nothing to import (hint: name files with --people, --devices, --relations or --windows)",
        ));
    }
    let sources: Vec<Source<'_>> = files
        .iter()
        .map(|file| Source {
            name: &file.name,
            kind: file.kind,
            format: file.format,
            bytes: &file.bytes,
        })
        .collect();
    let relations = relations::import(&sources).input("nothing was imported")?;
    let counts = json!({
        "people": relations.people.len(), "devices": relations.devices.len(),
        "patients": relations.patients.len(), "vendor_windows": relations.vendor_windows.len(),
    });
    let letter = Letter::Relations(relations);
    let what = letter.to_string();
    let later = assembly::deliver(&config, letter)?;
    if output.is_json() {
        output.json(&json!({ "imported": counts, "by_the_running_program": later }))?;
    } else {
        let how = if later {
            "; the running Asepsis takes them over now"
        } else {
            ""
        };
        output.line(&format!("Imported {what}{how}."))?;
    }
    Ok(ExitCode::SUCCESS)
}

struct File {
    name: String,
    kind: Kind,
    format: Format,
    bytes: Vec<u8>,
}

fn read(path: PathBuf, kind: Kind) -> Result<File, Failure> {
    let name = path.display().to_string();
    let format = Format::of_file_name(&name)
        .ok_or_else(|| Failure::input(format!("`{name}` must end in .csv or .json")))?;
    let length = std::fs::metadata(&path)
        .input(format!("cannot read `{name}`"))?
        .len();
    if length > relations::FILE_LEN_MAX as u64 {
        return Err(Failure::input(format!("`{name}` is larger than 256 MiB")));
    }
    let bytes = std::fs::read(&path).input(format!("cannot read `{name}`"))?;
    Ok(File {
        name,
        kind,
        format,
        bytes,
    })
}
