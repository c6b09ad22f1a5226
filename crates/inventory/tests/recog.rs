//! Rapid7's own fingerprints load unchanged, and every example of theirs passes.

#![expect(
    clippy::print_stderr,
    reason = "figures, and why a test was skipped, are for whoever runs it"
)]

use std::path::PathBuf;
use std::time::Instant;

use inventory::{Evidence, Knowledge, Pack};

fn folder() -> Option<PathBuf> {
    let data = std::env::var_os("ASEPSIS_DATA").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        PathBuf::from,
    );
    let folder = data.join("devices/recog");
    if folder.is_dir() {
        Some(folder)
    } else {
        eprintln!("skipped: {} is absent", folder.display());
        None
    }
}

fn packs() -> Option<Vec<Pack>> {
    let mut files: Vec<_> = std::fs::read_dir(folder()?)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "xml"))
        .collect();
    files.sort();
    let packs: Vec<Pack> = files
        .iter()
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            Pack::parse(&name, &std::fs::read(path).expect("readable")).expect("a pack")
        })
        .collect();
    Some(packs)
}

#[test]
fn every_example_of_recog_passes() {
    let Some(packs) = packs() else { return };
    assert!(packs.len() >= 50, "{} files", packs.len());
    let mut examples = 0;
    let mut failures = Vec::new();
    for pack in &packs {
        for result in pack.test() {
            examples += 1;
            if let Some(failure) = result.failure {
                failures.push(format!(
                    "{} line {}: `{}` {failure}",
                    pack.name(),
                    result.line,
                    result.example
                ));
            }
        }
    }
    let fingerprints: usize = packs.iter().map(Pack::len).sum();
    eprintln!("{fingerprints} fingerprints, {examples} examples");
    assert!(fingerprints >= 4_600, "{fingerprints} fingerprints");
    assert!(examples >= 7_500, "{examples} examples");
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn the_knowledge_answers_with_recog_loaded() {
    let Some(packs) = packs() else { return };
    let started = Instant::now();
    let mut knowledge = (*Knowledge::hospital()).clone();
    for pack in packs {
        knowledge = knowledge.with_pack(pack);
    }
    use domain::EvidenceKind as E;
    let answer = knowledge.identify(&[Evidence::new(
        E::TelnetBanner,
        "220 VxWorks (VxWorks5.4.2) FTP server ready",
    )]);
    eprintln!("{answer:?} after {:?}", started.elapsed());
    let answer = knowledge.identify(&[Evidence::new(E::SshServer, "SSH-2.0-mpSSH_0.0.1")]);
    assert_eq!(answer.kind.as_deref(), Some("management_controller"));
    assert_eq!(answer.vendor.as_deref(), Some("HP"));
    assert!(
        answer.confidence <= 0.6,
        "without a verified source: {}",
        answer.confidence
    );
}
