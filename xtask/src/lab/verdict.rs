//! What is true of the lab, against what Asepsis says.

mod truth;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::hosts::HOSTS;
use truth::{EXPECTED, Expected, INTRUDER, PATIENT, TALKS, Talk};

/// What Asepsis said.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Devices, one JSON object a line.
    pub(super) devices: String,
    /// Conversations, one JSON object a line.
    pub(super) conversations: String,
    /// What it said on standard error.
    pub(super) words: String,
    /// Packets that went out of the mirror port's interface.
    pub(super) sent: u64,
}

/// How Asepsis did.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// For people.
    tables: Vec<Table>,
    checks: Vec<Check>,
}

#[derive(Debug)]
struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Check {
    about: String,
    what: String,
    good: bool,
}

/// Judges the answers.
pub(super) fn judge(answers: &Answers) -> Result<Verdict> {
    let devices = objects(&answers.devices).context("Asepsis's devices")?;
    let conversations = objects(&answers.conversations).context("Asepsis's conversations")?;
    let mut verdict = Verdict::default();
    verdict.judge_devices(&devices);
    verdict.judge_conversations(&devices, &conversations);
    for word in PATIENT {
        let told = [&answers.devices, &answers.conversations, &answers.words];
        verdict.check(
            "patient",
            format!("`{word}` is nowhere in the answer"),
            !told.iter().any(|text| text.contains(word)),
        );
    }
    verdict.check(
        "mirror",
        format!("no packet sent ({})", answers.sent),
        answers.sent == 0,
    );
    verdict.check(
        "mirror",
        "no packet lost".to_owned(),
        !answers.words.contains("lost"),
    );
    Ok(verdict)
}

fn objects(text: &str) -> Result<Vec<Value>> {
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(line).context("not JSON, one object a line"))
        .collect()
}

fn has_mac(device: &Value, mac: &str) -> bool {
    let macs = device["macs"].as_array();
    macs.is_some_and(|macs| macs.iter().any(|m| m.as_str() == Some(mac)))
}

fn mac_of(host: &str) -> &'static str {
    HOSTS
        .iter()
        .find(|(name, _, _)| *name == host)
        .map_or("", |(_, mac, _)| mac)
}

impl Verdict {
    pub(super) fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.good)
    }

    fn check(&mut self, about: &str, what: String, good: bool) {
        self.checks.push(Check {
            about: about.to_owned(),
            what,
            good,
        });
    }

    fn judge_devices(&mut self, devices: &[Value]) {
        let mut rows = Vec::new();
        for expected in EXPECTED {
            let row = self.judge_device(expected, devices);
            rows.push(row);
        }
        self.tables.push(Table {
            header: vec!["host", "what it is", "Asepsis says", "sure", ""],
            rows,
        });
        let strangers: Vec<&str> = devices
            .iter()
            .filter(|device| !HOSTS.iter().any(|(_, mac, _)| has_mac(device, mac)))
            .map(|device| device["id"].as_str().unwrap_or("?"))
            .collect();
        self.check(
            "network",
            format!(
                "{} hosts, {} devices, strangers: {}",
                HOSTS.len(),
                devices.len(),
                if strangers.is_empty() {
                    "none".to_owned()
                } else {
                    strangers.join(", ")
                }
            ),
            strangers.is_empty(),
        );
    }

    fn judge_device(&mut self, expected: &Expected, devices: &[Value]) -> Vec<String> {
        let mac = mac_of(expected.host);
        let found: Vec<&Value> = devices.iter().filter(|d| has_mac(d, mac)).collect();
        let before = self.checks.len();
        let (mut says, mut sure) = ("–".to_owned(), "–".to_owned());
        if let [device] = found.as_slice() {
            let kind = device["type"].as_str();
            let confidence = device["confidence"].as_f64().unwrap_or(0.0);
            says = kind.unwrap_or("not known").to_owned();
            sure = format!("{:.0} %", confidence * 100.0);
            let right = match kind {
                Some(kind) => expected.kinds.contains(&kind),
                None => expected.may_abstain,
            };
            self.check(
                expected.host,
                format!("is {}, called {says} ({confidence:.2})", expected.truth),
                right,
            );
            for (kind, piece) in expected.evidence {
                let rows = device["evidence"].as_array();
                let seen = rows.is_some_and(|rows| {
                    rows.iter().any(|row| {
                        row["kind"].as_str() == Some(kind)
                            && row["value"].as_str().is_some_and(|v| v.contains(piece))
                    })
                });
                self.check(expected.host, format!("{kind} with `{piece}`"), seen);
            }
        } else {
            self.check(
                expected.host,
                format!("listed {} times, not once", found.len()),
                false,
            );
        }
        let good = self.checks[before..].iter().all(|check| check.good);
        vec![
            expected.host.to_owned(),
            expected.truth.to_owned(),
            says,
            sure,
            mark(good),
        ]
    }

    fn judge_conversations(&mut self, devices: &[Value], conversations: &[Value]) {
        let names: BTreeMap<&str, &str> = devices
            .iter()
            .filter_map(|device| {
                let host = HOSTS.iter().find(|(_, mac, _)| has_mac(device, mac))?;
                Some((device["id"].as_str()?, host.0))
            })
            .collect();
        let name = |id: &Value| {
            let id = id.as_str().unwrap_or_default();
            names.get(id).copied().unwrap_or(id).to_owned()
        };
        let mut rows = Vec::new();
        for talk in TALKS {
            let found: Vec<&Value> = conversations
                .iter()
                .filter(|c| name(&c["client"]) == talk.from && name(&c["server"]) == talk.to)
                .filter(|c| talk.is_at(c))
                .collect();
            let wrong = match found.as_slice() {
                [one] => talk.differs(one),
                several => Some(format!("listed {} times", several.len())),
            };
            rows.push(vec![
                talk.from.to_owned(),
                talk.to.to_owned(),
                talk.port.to_owned(),
                talk.service.to_owned(),
                talk.meanings.join(", "),
                mark(wrong.is_none()),
            ]);
            self.check(
                talk.from,
                format!(
                    "speaks {} to {} at {}{}",
                    talk.service,
                    talk.to,
                    talk.port,
                    wrong
                        .as_ref()
                        .map_or_else(String::new, |w| format!(": {w}"))
                ),
                wrong.is_none(),
            );
        }
        self.tables.push(Table {
            header: vec!["from", "to", "at", "speaks", "means", ""],
            rows,
        });
        let (peers, ports) = INTRUDER;
        for peer in peers {
            let tried: Vec<u64> = conversations
                .iter()
                .filter(|c| name(&c["client"]) == "intruder" && name(&c["server"]) == *peer)
                .filter_map(|c| c["port"].as_u64())
                .collect();
            self.check(
                "intruder",
                format!("tries {} ports of {peer}, seen: {tried:?}", ports.len()),
                ports.iter().all(|port| tried.contains(port)),
            );
        }
    }

    /// Tables, and what is wrong, for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            table.print(&mut text);
            text.push('\n');
        }
        let wrong: Vec<&Check> = self.checks.iter().filter(|check| !check.good).collect();
        for check in &wrong {
            // Writing into a string does not fail.
            let _ = writeln!(text, "wrong  {}: {}", check.about, check.what);
        }
        let _ = writeln!(
            text,
            "{} of {} checks hold",
            self.checks.len() - wrong.len(),
            self.checks.len()
        );
        text
    }

    /// Every check, for programs.
    pub(super) fn json(&self) -> Value {
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| json!({ "about": check.about, "what": check.what, "good": check.good }))
            .collect();
        let good = self.checks.iter().filter(|check| check.good).count();
        json!({ "passed": self.passed(), "good": good, "of": checks.len(), "checks": checks })
    }
}

impl Talk {
    fn is_at(&self, conversation: &Value) -> bool {
        let transport = conversation["transport"].as_str().unwrap_or_default();
        format!("{transport}/{}", conversation["port"]) == self.port
    }

    /// What is wrong with a conversation that should be this one.
    fn differs(&self, conversation: &Value) -> Option<String> {
        let service = conversation["service"].as_str().unwrap_or_default();
        if service != self.service {
            return Some(format!("the service is called `{service}`"));
        }
        let readable = conversation["protection"].as_str().unwrap_or_default();
        if readable != "cleartext" {
            return Some(format!("it is said to be {readable}, and is readable"));
        }
        let named: Vec<&str> = conversation["meanings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let missing: Vec<&str> = self
            .meanings
            .iter()
            .copied()
            .filter(|meaning| !named.contains(meaning))
            .collect();
        (!missing.is_empty()).then(|| format!("{} is not named, {named:?} is", missing.join(", ")))
    }
}

fn mark(good: bool) -> String {
    if good { "ok" } else { "wrong" }.to_owned()
}

impl Table {
    fn print(&self, text: &mut String) {
        let width = |n: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(n));
            let head = self.header.get(n).map_or(0, |head| head.chars().count());
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(head)
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let header = self.header.iter().copied();
        print_line(text, &widths, header);
        for row in &self.rows {
            print_line(text, &widths, row.iter().map(String::as_str));
        }
    }
}

fn print_line<'a>(text: &mut String, widths: &[usize], cells: impl Iterator<Item = &'a str>) {
    let padded: Vec<String> = cells
        .zip(widths)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    text.push_str(padded.join("  ").trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(answers: &Answers) -> Vec<String> {
        let verdict = judge(answers).expect("answers");
        assert!(!verdict.passed());
        let wrong = verdict.checks.iter().filter(|check| !check.good);
        wrong
            .map(|check| format!("{}: {}", check.about, check.what))
            .collect()
    }

    #[test]
    fn missing_hosts_and_conversations_each_fail() {
        let wrong = wrong(&Answers::default());
        assert!(wrong.contains(&"ct: listed 0 times, not once".to_owned()));
        assert!(
            wrong
                .iter()
                .any(|w| w.starts_with("ct: speaks dicom to pacs at tcp/104: listed 0 times")),
            "{wrong:?}"
        );
        assert!(wrong.iter().any(|w| w.starts_with("intruder: tries")));
    }

    #[test]
    fn a_wrong_type_a_stranger_a_lost_and_a_sent_packet_and_a_patients_name_each_fail() {
        let wrong = wrong(&Answers {
            devices: concat!(
                r#"{"id":"a","macs":["00:18:65:10:00:01"],"type":"printer","confidence":0.9,"evidence":[]}"#,
                "\n",
                r#"{"id":"who","macs":["02:00:00:00:00:01"],"names":["Labrador"]}"#,
            )
            .to_owned(),
            conversations: String::new(),
            words: "7 packets were lost".to_owned(),
            sent: 1,
        });
        for expected in [
            "ct: is a CT scanner, called printer (0.90)",
            "patient: `Labrador` is nowhere in the answer",
            "mirror: no packet sent (1)",
            "mirror: no packet lost",
        ] {
            assert!(
                wrong.contains(&expected.to_owned()),
                "{expected}: {wrong:?}"
            );
        }
        assert!(wrong.iter().any(|w| w.ends_with("strangers: who")));
    }

    #[test]
    fn a_conversation_that_was_misunderstood_fails() {
        let talk = Talk {
            from: "ct",
            to: "pacs",
            port: "tcp/104",
            service: "dicom",
            meanings: &["C-STORE"],
        };
        let seen = |service: &str, meanings: &[&str], protection: &str| {
            talk.differs(&json!({
                "service": service, "meanings": meanings, "protection": protection,
            }))
        };
        assert_eq!(seen("dicom", &["C-ECHO", "C-STORE"], "cleartext"), None);
        assert!(seen("http", &["C-STORE"], "cleartext").is_some());
        assert!(seen("dicom", &["C-ECHO"], "cleartext").is_some());
        assert!(seen("dicom", &["C-STORE"], "encrypted").is_some());
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        let answers = Answers {
            devices: "not JSON".to_owned(),
            ..Answers::default()
        };
        assert!(judge(&answers).is_err());
    }

    #[test]
    fn truth_speaks_of_every_host_and_of_no_other() {
        for (name, _, _) in HOSTS {
            assert!(EXPECTED.iter().any(|e| e.host == *name), "{name}");
        }
        for expected in EXPECTED {
            assert!(!mac_of(expected.host).is_empty(), "{}", expected.host);
        }
        for talk in TALKS {
            assert!(!mac_of(talk.from).is_empty(), "{}", talk.from);
        }
    }
}
