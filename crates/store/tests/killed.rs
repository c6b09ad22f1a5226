//! A program that is killed at any moment: what was acknowledged is there, and every import is there whole or not at all.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use domain::Person;
use identity::relations::Relations;
use store::{ImportMode, Store};

const CHILD: &str = "ASEPSIS_STORE_TEST_KILLED_IN";
const PEOPLE: usize = 400;

fn generation(number: u64) -> Relations {
    let people = (0..PEOPLE)
        .map(|n| {
            let text = format!(r#"{{"id": "n-{n}", "name": "{number}"}}"#);
            serde_json::from_str::<Person>(&text).expect("a person")
        })
        .collect();
    Relations {
        people,
        ..Relations::default()
    }
}

/// Writes one generation after the other and says so once each is acknowledged.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return; // run by the test below only
    };
    let store = Store::open(path).expect("opens");
    let kept = store.people().wait().expect("reads");
    let mut number: u64 = kept
        .first()
        .map_or(0, |p| p.name.parse().expect("a number"));
    loop {
        number += 1;
        let mode = if number.is_multiple_of(2) {
            ImportMode::Replace
        } else {
            ImportMode::Merge
        };
        store
            .import(generation(number), mode)
            .wait()
            .expect("writes");
        let mut out = std::io::stdout().lock();
        writeln!(out, "ack {number}").expect("the parent listens");
        out.flush().expect("the parent listens");
    }
}

#[test]
fn a_killed_program_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("asepsis.db");
    let rounds = if std::env::var_os("ASEPSIS_KILL_ROUNDS").is_some() {
        200
    } else {
        6
    };
    let mut acknowledged = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let reader = std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .filter_map(|line| {
                    line.strip_prefix("ack ")
                        .and_then(|n| n.parse::<u64>().ok())
                })
                .last()
        });
        std::thread::sleep(Duration::from_millis(60 + round * 37 % 200));
        child.kill().expect("kills");
        child.wait().expect("ends");
        acknowledged = reader.join().expect("reads").unwrap_or(acknowledged);

        let store = Store::open(&path).expect("opens again at once");
        let people = store.people().wait().expect("reads");
        let mut names: Vec<u64> = people
            .iter()
            .map(|p| p.name.parse().expect("a number"))
            .collect();
        names.dedup();
        match names.as_slice() {
            [] => assert_eq!(acknowledged, 0),
            [one] => {
                assert_eq!(people.len(), PEOPLE, "whole");
                assert!(
                    (acknowledged..=acknowledged + 1).contains(one),
                    "{one} {acknowledged}"
                );
                acknowledged = *one;
            }
            mixed => panic!("two imports are mixed: {mixed:?}"),
        }
    }
    assert!(acknowledged > 0, "no round came as far as one import");
}
