//! What `asepsis assess` counts, with the real program on small files.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const REGISTER: &str = "Asset Tag,Serial Number,MAC Address,Hostname,Device Type,Manufacturer,Model\n\
                        A1,S1,00:00:5e:00:53:01,pump-1,infusion pump,Acme,One\n\
                        A2,S2,00:00:5e:00:53:02,pump-2,infusion pump,Acme,One\n\
                        A3,S3,00:00:5e:00:53:03,pump-3,infusion pump,Acme,One\n";

/// Leases of the first device and of one that no register has.
const LEASES: &str = "1795341600 00:00:5e:00:53:01 10.20.23.4 pump-1 *\n\
                      1795341600 00:00:5e:00:53:09 10.20.23.9 stranger *\n";

fn asepsis(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_asepsis"))
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[track_caller]
fn done(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// Numerator and denominator of each measure that could be read.
fn figures(report: &str) -> Vec<(String, u64, u64)> {
    let report: Value = serde_json::from_str(report).expect("JSON");
    let rows = report["rows"].as_array().expect("rows");
    let readings = rows.iter().flat_map(|row| {
        let readings = row["readings"].as_array();
        readings.into_iter().flatten()
    });
    let mut all: Vec<(String, u64, u64)> = readings
        .map(|reading| {
            (
                reading["measure"].as_str().unwrap_or_default().to_owned(),
                reading["numerator"].as_u64().unwrap_or_default(),
                reading["denominator"].as_u64().unwrap_or_default(),
            )
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

fn figure(all: &[(String, u64, u64)], measure: &str) -> Option<(u64, u64)> {
    all.iter()
        .find(|(name, _, _)| name == measure)
        .map(|(_, good, of)| (*good, *of))
}

#[test]
fn a_register_alone_proves_no_device_and_beside_leases_each_share_has_its_own_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    fs::write(path.join("register.csv"), REGISTER).expect("written");
    fs::write(path.join("dnsmasq.leases"), LEASES).expect("written");
    let assess = ["--format", "json", "assess", "--data", "data"];

    done(asepsis(
        path,
        &["discover", "register.csv", "--data", "data"],
    ));
    let told = figures(&done(asepsis(path, &assess)));
    assert!(
        told.iter()
            .all(|(name, _, _)| !name.starts_with("devices.")),
        "{told:?}"
    );

    done(asepsis(
        path,
        &["discover", "dnsmasq.leases", "--data", "data"],
    ));
    let against = [&assess[..], &["--against", "register.csv"]].concat();
    let told = figures(&done(asepsis(path, &against)));
    let devices = figure(&told, "devices.identified").expect("devices were seen");
    assert_eq!(devices.1, 2, "{told:?}");
    assert_eq!(figure(&told, "register.seen"), Some((1, 3)));
    assert_eq!(figure(&told, "register.listed"), Some((1, 2)));
}

#[test]
fn applications_are_a_share_of_the_list_that_people_keep() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    fs::create_dir(path.join("data")).expect("a folder");
    fs::write(
        path.join("applications.csv"),
        "name,criticality,logged\nehr,clinical,yes\nlab,clinical,\nbilling,business,no\n",
    )
    .expect("written");
    let assess = ["--format", "json", "assess", "--data", "data"];
    let told = figures(&done(asepsis(path, &assess)));
    assert_eq!(figure(&told, "applications.brokered"), None);
    let listed = [&assess[..], &["--applications", "applications.csv"]].concat();
    let told = figures(&done(asepsis(path, &listed)));
    assert_eq!(figure(&told, "applications.brokered"), Some((0, 3)));
    assert_eq!(figure(&told, "applications.logged"), Some((1, 3)));
    fs::write(path.join("applications.csv"), "name\nehr\n").expect("written");
    let refused = asepsis(path, &listed);
    assert_eq!(refused.status.code(), Some(2));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("no column `criticality`"), "{words}");
}
