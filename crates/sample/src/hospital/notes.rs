//! Text documents: what somebody would have written about a patient.

use super::patient::{Model, Visit};
use super::staff::Member;

/// A text document that is about to be filed.
pub(super) struct Note {
    /// LOINC code of the document type.
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) text: String,
}

fn heading(title: &str, patient: &Model, author: &Member) -> String {
    format!(
        "{title}\n{}\n\nPatient: {}, record number {}\nWritten by: {}, {}\n\n",
        "=".repeat(title.chars().count()),
        patient.name(),
        patient.record_number,
        author.person.name,
        author.specialty,
    )
}

const FOOT: &str = "\n\nThis record is synthetic. The person it tells of does not exist.\n";

/// The note of an admission or a day on the ward.
pub(super) fn progress(patient: &Model, visit: &Visit, author: &Member, day: usize) -> Note {
    let title = if day == 0 {
        "Admission note"
    } else {
        "Progress note"
    };
    let reason = visit.reason.map_or("observation", |r| r.text);
    let background: Vec<&str> = patient
        .problems
        .iter()
        .filter(|l| l.problem.label.is_none() && Some(l.problem) != visit.reason)
        .map(|l| l.problem.text)
        .collect();
    let background = if background.is_empty() {
        "No other problems are known.".to_owned()
    } else {
        format!("Known besides: {}.", background.join(", ").to_lowercase())
    };
    let course = match day {
        0 => "Alert and oriented on arrival. Bloods taken, treatment begun, family informed.",
        1 => "A settled night. Eating and drinking, pain well controlled, walks with help.",
        _ => "Continues to improve. Discharge is being planned with the family.",
    };
    Note {
        code: if day == 0 { "34117-2" } else { "11506-3" },
        title,
        text: format!(
            "{}Reason for the stay: {}.\n{background}\n\n{course}\n\nPlan: go on as ordered, vital signs every six \
             hours, review tomorrow.{FOOT}",
            heading(title, patient, author),
            reason.to_lowercase(),
        ),
    }
}

/// The letter after an appointment or a stay.
pub(super) fn letter(patient: &Model, author: &Member, inpatient: bool) -> Note {
    let title = if inpatient {
        "Discharge summary"
    } else {
        "Clinic letter"
    };
    let problems: Vec<&str> = patient
        .problems
        .iter()
        .filter(|l| l.problem.label.is_none())
        .map(|l| l.problem.text)
        .collect();
    let problems = if problems.is_empty() {
        "a routine check".to_owned()
    } else {
        problems.join(", ").to_lowercase()
    };
    Note {
        code: if inpatient { "18842-5" } else { "11488-4" },
        title,
        text: format!(
            "{}Thank you for letting us see this patient about {problems}.\n\nThe examination was reassuring and the \
             medicines were reviewed.\n\nWe suggest a blood pressure check in four weeks and would be glad to see \
             the patient again in six months.{FOOT}",
            heading(title, patient, author),
        ),
    }
}

/// A letter about one sensitive problem.
pub(super) fn sensitive(patient: &Model, author: &Member, problem: &str) -> Note {
    let title = "Specialist letter";
    Note {
        code: "11488-4",
        title,
        text: format!(
            "{}Seen today for {}.\n\nTreatment goes on unchanged and is well tolerated. The next appointment has been \
             agreed with the patient, who asks that this letter be shown only to those who treat them.{FOOT}",
            heading(title, patient, author),
            problem.to_lowercase(),
        ),
    }
}

/// Notes of a psychotherapy session, which their author keeps apart (45 CFR 164.501).
pub(super) fn psychotherapy(patient: &Model, author: &Member) -> Note {
    let title = "Psychotherapy note";
    Note {
        code: "28653-4",
        title,
        text: format!(
            "{}Session of fifty minutes.\n\nThe conversation returned to the theme of last week. Themes, impressions \
             and working hypotheses are written here for the therapist alone.{FOOT}",
            heading(title, patient, author),
        ),
    }
}
