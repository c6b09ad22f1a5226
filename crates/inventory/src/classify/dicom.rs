//! What the DICOM services of an application say together: one that stores images of one modality and serves none is
//! that modality; one that takes images in and answers queries for them is an archive.
//!
//! Service classes and their roles: DICOM PS3.4; SOP class UIDs: PS3.6 annex A.

use domain::EvidenceKind;
use smol_str::SmolStr;

use crate::evidence::Evidence;
use crate::fingerprint::Claim;

/// Storage SOP classes that one modality makes. UIDs that begin with an entry are of its type.
const STORAGE: &[(&str, &str)] = &[
    ("1.2.840.10008.5.1.4.1.1.1.1", "xray_system"),
    ("1.2.840.10008.5.1.4.1.1.1.2", "mammography_system"),
    ("1.2.840.10008.5.1.4.1.1.1.3", "dental_imaging"),
    ("1.2.840.10008.5.1.4.1.1.1", "xray_system"),
    ("1.2.840.10008.5.1.4.1.1.2", "ct_scanner"),
    ("1.2.840.10008.5.1.4.1.1.3", "ultrasound_system"),
    ("1.2.840.10008.5.1.4.1.1.4", "mri_scanner"),
    ("1.2.840.10008.5.1.4.1.1.6", "ultrasound_system"),
    ("1.2.840.10008.5.1.4.1.1.9.1", "ecg_recorder"),
    ("1.2.840.10008.5.1.4.1.1.12.1", "angiography_system"),
    ("1.2.840.10008.5.1.4.1.1.12.2", "fluoroscopy_system"),
    ("1.2.840.10008.5.1.4.1.1.13.1.3", "mammography_system"),
    ("1.2.840.10008.5.1.4.1.1.14", "intravascular_imaging"),
    ("1.2.840.10008.5.1.4.1.1.20", "gamma_camera"),
    ("1.2.840.10008.5.1.4.1.1.77.1.1", "endoscopy_system"),
    ("1.2.840.10008.5.1.4.1.1.77.1.5", "ophthalmic_imaging"),
    ("1.2.840.10008.5.1.4.1.1.77.1.6", "slide_scanner"),
    ("1.2.840.10008.5.1.4.1.1.128", "pet_scanner"),
    ("1.2.840.10008.5.1.4.1.1.130", "pet_scanner"),
    ("1.2.840.10008.5.1.4.1.1.481", "radiotherapy_system"),
];

const ANY_STORAGE: &str = "1.2.840.10008.5.1.4.1.1.";
const QUERY: &str = "1.2.840.10008.5.1.4.1.2.";
const WORKLIST: &str = "1.2.840.10008.5.1.4.31";
const PROCEDURE_STEP: &str = "1.2.840.10008.3.1.2.3.";
const PRINT: &[&str] = &[
    "1.2.840.10008.5.1.1.9",
    "1.2.840.10008.5.1.1.18",
    "1.2.840.10008.5.1.1.1",
    "1.2.840.10008.5.1.1.2",
    "1.2.840.10008.5.1.1.16",
];

/// What the roles seen say together, each with the piece of evidence it stands at. `order` lists the evidence, sorted.
pub(super) fn roles(evidence: &[Evidence], order: &[usize]) -> Vec<(usize, Claim)> {
    let mut stores: Vec<(&'static str, usize)> = Vec::new();
    let mut stores_any = None;
    let (mut takes, mut takes_count) = (None, 0);
    let (mut answers, mut asks) = (None, None);
    let (mut worklist_server, mut worklist_client) = (None, None);
    let mut prints = None;
    for at in order {
        let one = &evidence[*at];
        if one.kind != EvidenceKind::DicomSopClass {
            continue;
        }
        let Some((role, uid)) = one.value.split_once(' ') else {
            continue;
        };
        let (client, server) = (role == "scu", role == "scp");
        if uid.starts_with(ANY_STORAGE) {
            if server {
                takes = takes.or(Some(*at));
                takes_count += 1;
            } else if client {
                stores_any = stores_any.or(Some(*at));
                if let Some(kind) = modality(uid)
                    && !stores.iter().any(|(known, _)| *known == kind)
                {
                    stores.push((kind, *at));
                }
            }
        } else if uid.starts_with(QUERY) {
            let slot = if server { &mut answers } else { &mut asks };
            *slot = slot.or(Some(*at));
        } else if uid == WORKLIST {
            let slot = if server {
                &mut worklist_server
            } else {
                &mut worklist_client
            };
            *slot = slot.or(Some(*at));
        } else if uid.starts_with(PROCEDURE_STEP) && client {
            worklist_client = worklist_client.or(Some(*at));
        } else if server && PRINT.contains(&uid) {
            prints = prints.or(Some(*at));
        }
    }
    let mut out = Vec::new();
    let mut say = |at: usize, kind: &'static str, certainty: f32| {
        out.push((
            at,
            Claim {
                kind: Some(SmolStr::new_static(kind)),
                certainty,
                category_certainty: certainty,
                verified: true,
                ..Claim::default()
            },
        ));
    };
    match (takes, answers) {
        (Some(at), Some(_)) => say(at, "pacs", 0.93),
        // Archives and workstations both take images in; one that asks for them is a workstation.
        (Some(at), None) if asks.is_some() && stores_any.is_none() => {
            say(at, "imaging_workstation", 0.8);
        }
        (Some(at), None) if takes_count >= 5 => say(at, "pacs", 0.7),
        (Some(at), None) => say(at, "pacs", 0.55),
        (None, Some(at)) => say(at, "pacs", 0.75),
        (None, None) => {}
    }
    if takes.is_none() && answers.is_none() {
        match (stores.as_slice(), worklist_client) {
            ([(kind, at)], Some(_)) => say(*at, kind, 0.93),
            ([(kind, at)], None) => say(*at, kind, 0.85),
            ([(_, at), _, ..], Some(_)) => say(*at, "imaging_modality", 0.85),
            ([(_, at), _, ..], None) if stores.len() >= 4 => say(*at, "dicom_router", 0.6),
            ([(_, at), _, ..], None) => say(*at, "imaging_modality", 0.6),
            ([], Some(at)) => say(at, "imaging_modality", 0.75),
            ([], None) => {
                if let Some(at) = asks {
                    say(at, "imaging_workstation", 0.75);
                } else if let Some(at) = stores_any {
                    say(at, "imaging_modality", 0.6);
                }
            }
        }
    }
    if let Some(at) = worklist_server {
        say(at, "worklist_server", 0.88);
    }
    if let Some(at) = prints {
        say(at, "dicom_printer", 0.93);
    }
    out
}

fn modality(uid: &str) -> Option<&'static str> {
    STORAGE
        .iter()
        .filter(|(prefix, _)| {
            uid.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
        .max_by_key(|(prefix, _)| prefix.len())
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(roles_seen: &[&str], expected: &[&str]) {
        let evidence: Vec<_> = roles_seen
            .iter()
            .map(|value| Evidence::new(EvidenceKind::DicomSopClass, *value))
            .collect();
        let order: Vec<usize> = (0..evidence.len()).collect();
        let found: Vec<_> = roles(&evidence, &order)
            .into_iter()
            .filter_map(|(_, claim)| claim.kind)
            .collect();
        assert_eq!(found, expected, "{roles_seen:?}");
    }

    #[test]
    fn roles_say_together_what_an_application_is() {
        let ct = "scu 1.2.840.10008.5.1.4.1.1.2";
        let enhanced_ct = "scu 1.2.840.10008.5.1.4.1.1.2.1";
        let dose = "scu 1.2.840.10008.5.1.4.1.1.88.67";
        let mr = "scu 1.2.840.10008.5.1.4.1.1.4";
        let worklist = "scu 1.2.840.10008.5.1.4.31";
        check(&[ct, enhanced_ct, dose], &["ct_scanner"]);
        check(&[ct, mr, worklist], &["imaging_modality"]);
        check(&["scu 1.2.840.10008.5.1.4.1.1.20"], &["gamma_camera"]);
        check(
            &[
                "scp 1.2.840.10008.5.1.4.1.1.2",
                "scp 1.2.840.10008.5.1.4.1.2.2.1",
            ],
            &["pacs"],
        );
        check(
            &[
                "scp 1.2.840.10008.5.1.4.1.1.2",
                "scu 1.2.840.10008.5.1.4.1.2.2.1",
            ],
            &["imaging_workstation"],
        );
        check(&["scp 1.2.840.10008.5.1.4.31"], &["worklist_server"]);
        check(&["scp 1.2.840.10008.5.1.1.9"], &["dicom_printer"]);
        check(&["scu 1.2.840.10008.1.1"], &[]);
        check(&["nonsense"], &[]);
    }
}
