//! What fuzzing knows is replayed on each change, and every fuzz target has something to replay.

#[path = "../../../fuzz/src/flow_records.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod flow_records;
#[path = "../../../fuzz/src/parsers.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod parsers;
#[path = "../../../fuzz/src/records.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod records;
#[path = "../../../fuzz/src/replay.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod replay;
#[path = "../../../fuzz/src/sensor.rs"]
#[allow(unreachable_pub, reason = "shared with the fuzz targets")]
mod sensor;

use std::path::{Path, PathBuf};

#[test]
fn packets_that_fuzzing_knows_do_no_harm() {
    for (name, body) in parsers::ALL {
        replay::corpus(name, body);
    }
}

#[test]
fn records_that_fuzzing_knows_do_no_harm() {
    replay::corpus("records", records::run);
    replay::corpus("flow_records", flow_records::run);
}

/// Names of what is in a folder, without their endings.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn every_fuzz_target_has_a_corpus_and_a_test_that_replays_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let targets = names(&root.join("fuzz/fuzz_targets"));
    assert!(targets.len() >= 40, "{targets:?}");
    assert_eq!(targets, names(&root.join("fuzz/corpus")));
    let manifest = read(root.join("fuzz/Cargo.toml"));
    let table = read(root.join("fuzz/README.md"));
    let crates = std::fs::read_dir(root.join("crates")).expect("a readable folder");
    let tests: String = crates
        .map(|entry| {
            read(
                entry
                    .expect("a readable folder")
                    .path()
                    .join("tests/corpus.rs"),
            )
        })
        .collect();
    for target in &targets {
        assert!(
            manifest.contains(&format!("name = \"{target}\"")),
            "{target}"
        );
        assert!(table.contains(&format!("| `{target}` |")), "{target}");
        let listed = parsers::ALL.iter().any(|(name, _)| name == target);
        let replayed = tests.contains(&format!("replay::corpus(\"{target}\","));
        assert!(
            listed || replayed,
            "no test replays the corpus of `{target}`"
        );
    }
}
