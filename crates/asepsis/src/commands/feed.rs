//! `asepsis feed`: lists of known risks, from files.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use inventory::risk::{Feed, Feeds, Reader};
use serde_json::json;
use store::{Change, InventoryStore, Rows, Table};

use crate::cli;
use crate::clock;
use crate::estate;
use crate::failure::{Blame, Failure};
use crate::output::{Output, STRONG, aside};

/// Octets read at a time.
const PIECE: usize = 1 << 18;

pub(crate) fn run(command: &cli::Feed, output: Output) -> Result<ExitCode, Failure> {
    match command {
        cli::Feed::Import { files, data } => {
            std::fs::create_dir_all(data)
                .input(format!("cannot use the data folder `{}`", data.display()))?;
            let store =
                InventoryStore::open(estate::path_in(data)).input("opening the inventory")?;
            for file in files {
                import(file, &store, output)?;
            }
        }
        cli::Feed::Status { data } => status(data, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn import(path: &Path, store: &InventoryStore, output: Output) -> Result<(), Failure> {
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
    let mut change = Change::default();
    change
        .put(Table::Feeds, format!("{kind} {name}"), &feed)
        .running("writing the feed")?;
    store.write(change).wait().running("writing the feed")?;
    if output.is_json() {
        return output.json(&json!({ "file": path, "kind": kind, "counts": counts }));
    }
    output.line(&format!(
        "{STRONG}{shown}{STRONG:#}: {kind}, {} rows kept, {} say nothing usable, {} could not be read{}",
        counts.kept,
        counts.passed_over,
        counts.bad,
        if counts.cut > 0 { format!(", {} beyond what is kept", counts.cut) } else { String::new() }
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
