//! `asepsis feed`: lists of known risks, from files.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use inventory::risk::{Feed, Feeds, Reader};
use serde_json::json;
use store::{Change, ErrorKind, InventoryStore, Rows, Table};

use crate::cli;
use crate::clock;
use crate::estate::{self, letterbox};
use crate::failure::{Blame, Failure};
use crate::output::{Output, STRONG, aside};

/// Octets read at a time.
const PIECE: usize = 1 << 18;

pub(crate) fn run(command: &cli::Feed, output: Output) -> Result<ExitCode, Failure> {
    match command {
        cli::Feed::Import { files, data } => {
            std::fs::create_dir_all(data)
                .input(format!("cannot use the data folder `{}`", data.display()))?;
            let keeper = Keeper::of(data)?;
            let mut refused = Vec::new();
            for file in files {
                match import(file, &keeper, output) {
                    Ok(()) => {}
                    // The others are no worse for it.
                    Err(failure @ Failure::Input(_)) => refused.push(failure.sentence()),
                    Err(other) => return Err(other),
                }
            }
            match refused.as_slice() {
                [] => {}
                all if all.len() == files.len() => return Err(Failure::input(all.join("\n"))),
                some => some.iter().for_each(|words| {
                    aside(&format!("not imported: {words}"));
                }),
            }
        }
        cli::Feed::Status { data } => status(data, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Who keeps the lists of a data folder.
enum Keeper<'a> {
    /// This program.
    Here(InventoryStore),
    /// The one that holds the file: lists are left for it.
    Elsewhere(&'a Path),
}

impl<'a> Keeper<'a> {
    fn of(data: &'a Path) -> Result<Self, Failure> {
        match InventoryStore::open(estate::path_in(data)) {
            Ok(store) => Ok(Self::Here(store)),
            Err(error) if matches!(error.kind, ErrorKind::Locked) => Ok(Self::Elsewhere(data)),
            Err(error) => Err(error).input("opening the inventory"),
        }
    }

    fn keep(&self, feed: &Feed) -> anyhow::Result<()> {
        match self {
            Self::Here(store) => {
                let mut change = Change::default();
                change.put(Table::Feeds, letterbox::key(feed), feed)?;
                Ok(store.write(change).wait()?)
            }
            Self::Elsewhere(data) => letterbox::put(data, feed),
        }
    }
}

fn import(path: &Path, keeper: &Keeper<'_>, output: Output) -> Result<(), Failure> {
    let shown = path.display();
    let mut file = std::fs::File::open(path).input(format!("cannot read `{shown}`"))?;
    let length = file.metadata().map_or(0, |m| m.len());
    let bar = ProgressBar::new(length).with_style(
        ProgressStyle::with_template("{bar:30} {bytes}/{total_bytes}, {eta} left  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_message(shown.to_string());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut reader = Reader::new(&name);
    let mut piece = vec![0; PIECE];
    loop {
        let n = file.read(&mut piece).input(format!("reading `{shown}`"))?;
        if n == 0 {
            break;
        }
        reader.push(piece.get(..n).unwrap_or_default());
        bar.inc(n as u64);
    }
    bar.finish_and_clear();
    let import = reader.finish().map_err(|e| Failure::Input(e.into()))?;
    for problem in &import.problems {
        aside(&format!("{shown}: {problem}"));
    }
    let (kind, counts) = (import.kind, import.counts);
    let feed = Feed {
        import,
        imported: clock::now(),
    };
    keeper.keep(&feed).running("writing the feed")?;
    let later = matches!(keeper, Keeper::Elsewhere(_));
    if output.is_json() {
        return output.json(
            &json!({ "file": path, "kind": kind, "counts": counts, "taken_by_running_program": later }),
        );
    }
    output.line(&format!(
        "{STRONG}{shown}{STRONG:#}: {kind}, {} rows kept, {} say nothing usable, {} could not be read{}{}",
        counts.kept,
        counts.passed_over,
        counts.bad,
        if counts.cut > 0 { format!(", {} beyond what is kept", counts.cut) } else { String::new() },
        if later { "; the running program takes it within seconds" } else { "" }
    ))
}

/// The feeds in a data folder with the one that ships.
pub(crate) fn feeds_in(data: &Path) -> Result<Feeds, Failure> {
    let mut feeds = Feeds::shipped();
    let path = estate::path_in(data);
    if path.exists() {
        let rows: Rows<Feed> =
            store::read_inventory(&path, Table::Feeds).input("reading the feeds")?;
        for (_, feed) in rows {
            feeds.add(feed.import, feed.imported);
        }
    }
    Ok(feeds)
}

fn status(data: &Path, output: Output) -> Result<(), Failure> {
    let all = feeds_in(data)?.status(clock::now());
    if output.is_json() {
        return all.iter().try_for_each(|status| output.json(status));
    }
    output.table(
        &["feed", "kind", "made", "age", "rows", "not readable"],
        all.iter().map(|s| {
            vec![
                s.name.to_string(),
                s.kind.to_string(),
                s.published.map_or_else(
                    || "does not say".to_owned(),
                    |at| at.to_string().chars().take(10).collect(),
                ),
                format!(
                    "{} days{}",
                    s.age_days,
                    if s.stale { ", stale" } else { "" }
                ),
                s.rows.to_string(),
                s.bad.to_string(),
            ]
        }),
    )
}
