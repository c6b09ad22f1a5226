//! What is true of the lab, against what Asepsis says.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// What Asepsis must say of a host.
struct Expected {
    host: &'static str,
    mac: &'static str,
    /// Types that are right; empty: any answer but a wrong one, abstention included.
    kinds: &'static [&'static str],
    /// Kinds of evidence with a piece of the value that must have been seen.
    evidence: &'static [(&'static str, &'static str)],
}

const EXPECTED: &[Expected] = &[
    Expected {
        host: "CT scanner",
        mac: "00:18:65:10:00:01",
        kinds: &["ct_scanner"],
        evidence: &[
            ("dicom.ae_title", "CTLAB1"),
            ("dicom.device", "SOMATOM go.Top"),
            ("dicom.operation", "C-STORE"),
        ],
    },
    Expected {
        host: "archive",
        mac: "c8:f7:50:10:00:02",
        kinds: &["pacs"],
        evidence: &[("dicom.ae_title", "PACSLAB"), ("service.serves", "tcp/104")],
    },
    Expected {
        host: "infusion pump",
        mac: "00:12:21:0c:0d:0e",
        kinds: &["infusion_pump"],
        evidence: &[("hl7.application", "PAT_DEVICE_BBRAUN")],
    },
    Expected {
        host: "printer",
        mac: "9c:7b:ef:10:00:08",
        kinds: &["printer"],
        evidence: &[
            ("mdns.service", "_ipp._tcp"),
            ("ipp.printer", "LaserJet M507"),
        ],
    },
    Expected {
        host: "switch",
        mac: "f4:bd:9e:10:00:09",
        kinds: &["switch", "router"],
        evidence: &[("snmp.sys_descr", "Cisco IOS Software")],
    },
    Expected {
        host: "building controller",
        mac: "38:4b:24:10:00:0c",
        kinds: &["building_controller"],
        evidence: &[("bacnet.device", "PXC4")],
    },
    Expected {
        host: "patient monitor",
        mac: "00:09:5c:10:00:0e",
        kinds: &["patient_monitor", "medical_device"],
        evidence: &[("wsd.type", "MedicalDevice")],
    },
    Expected {
        host: "workstation",
        mac: "98:e7:43:10:00:06",
        kinds: &[],
        evidence: &[
            ("http.user_agent", "HeadlessChrome"),
            ("dhcp.parameters", "1,28,2"),
        ],
    },
    Expected {
        host: "tablet",
        mac: "60:8b:0e:10:00:07",
        kinds: &[],
        evidence: &[
            ("dhcp.hostname", "ward-tablet"),
            ("dhcp.vendor_class", "udhcp"),
        ],
    },
    Expected {
        host: "sensor",
        mac: "dc:a6:32:10:00:0b",
        kinds: &[],
        evidence: &[("mqtt.client_id", "sensor-4711")],
    },
];

/// What must be nowhere in the answer: the lab's one patient.
const PATIENT: &[&str] = &["Labrador", "Ludmilla", "MRN55501", "19550417"];

/// How Asepsis did.
pub(super) struct Verdict {
    pub(super) passed: bool,
    pub(super) lines: Vec<String>,
}

/// Judges the answer: one JSON object a device.
pub(super) fn judge(answer: &str) -> Result<Verdict> {
    let devices: Vec<Value> = answer
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("Asepsis's answer is not JSON, one object a line")?;
    let mut verdict = Verdict {
        passed: true,
        lines: Vec::new(),
    };
    for expected in EXPECTED {
        verdict.judge_one(expected, &devices);
    }
    for word in PATIENT {
        verdict.say(
            !answer.contains(word),
            &format!("nothing of the patient: `{word}`"),
        );
    }
    Ok(verdict)
}

impl Verdict {
    fn judge_one(&mut self, expected: &Expected, devices: &[Value]) {
        let host = expected.host;
        let mine = |device: &&Value| {
            let macs = device["macs"].as_array();
            macs.is_some_and(|macs| macs.iter().any(|m| m.as_str() == Some(expected.mac)))
        };
        let found: Vec<&Value> = devices.iter().filter(mine).collect();
        let [device] = found.as_slice() else {
            self.say(false, &format!("{host}: listed {} times", found.len()));
            return;
        };
        let kind = device["type"].as_str();
        let right = match (expected.kinds, kind) {
            ([], _) => true,
            (kinds, Some(kind)) => kinds.contains(&kind),
            (_, None) => false,
        };
        let confidence = device["confidence"].as_f64().unwrap_or(0.0);
        self.say(
            right,
            &format!(
                "{host}: {} ({confidence:.2})",
                kind.unwrap_or("no type named")
            ),
        );
        for (kind, piece) in expected.evidence {
            let rows = device["evidence"].as_array();
            let seen = rows.is_some_and(|rows| {
                rows.iter().any(|row| {
                    row["kind"].as_str() == Some(kind)
                        && row["value"].as_str().is_some_and(|v| v.contains(piece))
                })
            });
            self.say(seen, &format!("{host}: {kind} with `{piece}`"));
        }
    }

    fn say(&mut self, good: bool, what: &str) {
        self.passed &= good;
        self.lines
            .push(format!("{} {what}", if good { "ok  " } else { "FAIL" }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_type_a_missing_host_and_a_patients_name_each_fail() {
        let all_missing = judge("").expect("an answer");
        assert!(!all_missing.passed);
        let wrong =
            r#"{"macs":["00:18:65:10:00:01"],"type":"printer","confidence":0.9,"evidence":[]}"#;
        let verdict = judge(wrong).expect("an answer");
        assert!(
            verdict
                .lines
                .contains(&"FAIL CT scanner: printer (0.90)".to_owned()),
            "{:?}",
            verdict.lines
        );
        let told = r#"{"macs":[],"names":["Labrador"]}"#;
        let verdict = judge(told).expect("an answer");
        assert!(
            verdict
                .lines
                .contains(&"FAIL nothing of the patient: `Labrador`".to_owned())
        );
        assert!(judge("not JSON").is_err());
    }
}
