//! A maker's disclosure for medical device security (MDS2, ANSI/NEMA HN 1-2019), its sheet saved as CSV.
//!
//! The form has a question's identifier (`MLDP-1`), its text, the answer and a note in one row. Sheets differ in empty
//! columns, so the identifier and the answer are looked for, not counted.

use smol_str::SmolStr;

use super::reader::{FeedKind, Out};
use super::row::{Disclosure, NAME_MAX, Part, Row, moment, short};

/// Most answers kept; the form has some 240 questions.
const ANSWERS_MAX: usize = 1000;

/// The section names of the form's questions.
const SECTIONS: &[&str] = &[
    "DOC", "MPII", "ALOF", "AUDT", "AUTH", "CSUP", "DTBK", "EMRG", "IGAU", "MLDP", "NAUT", "CONN",
    "PAUT", "PLOK", "RDMP", "SBOM", "SAHD", "SGUD", "STCF", "TXCF", "TXIG", "RMOT", "OTHR", "MSAC",
    "MGMT", "NOTE",
];

/// Which cell of a row holds a question's identifier.
pub(crate) fn question(cells: &[String]) -> Option<(usize, SmolStr)> {
    cells.iter().enumerate().take(6).find_map(|(n, cell)| {
        let cell = cell.trim();
        let (section, number) = cell.split_once('-')?;
        let section = section.trim().to_ascii_uppercase();
        let number = number.trim();
        let plain = !number.is_empty()
            && number.len() <= 10
            && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && number.starts_with(|c: char| c.is_ascii_digit());
        (plain && SECTIONS.contains(&section.as_str()))
            .then(|| (n, SmolStr::new(format!("{section}-{number}"))))
    })
}

/// The form as read so far.
#[derive(Default)]
pub(crate) struct Form {
    row: Disclosure,
}

impl Form {
    pub(crate) fn take(&mut self, cells: &[String]) {
        let (after, id) = match question(cells) {
            Some((n, id)) => (n + 1, id),
            None => (0, SmolStr::default()),
        };
        let mut rest = cells
            .iter()
            .skip(after)
            .map(|c| c.trim())
            .filter(|c| !c.is_empty());
        let Some(text) = rest.next() else {
            return;
        };
        let label = text.trim_end_matches([':', '?']).to_ascii_lowercase();
        let value = rest.next().unwrap_or_default();
        if value.is_empty() {
            return;
        }
        match label.as_str() {
            "manufacturer name" | "manufacturer" => {
                set(&mut self.row.name.vendor, value);
            }
            "device model" | "device model(s)" | "model" => {
                set(&mut self.row.name.product, value);
            }
            "software revision"
            | "software version"
            | "software/firmware version"
            | "software release" => {
                set(&mut self.row.version, value);
            }
            "document release date" | "release date" | "software release date" => {
                self.row.released = self.row.released.or_else(|| moment(value));
            }
            _ if id.is_empty() || id.starts_with("DOC-") => {}
            _ => {
                if self.row.answers.len() < ANSWERS_MAX {
                    let answer = match value.to_ascii_lowercase().as_str() {
                        "yes" | "y" => "yes",
                        "no" | "n" => "no",
                        "n/a" | "na" | "not applicable" => "n/a",
                        _ => "see note",
                    };
                    self.row.answers.push((id, SmolStr::new_static(answer)));
                }
            }
        }
    }

    pub(crate) fn finish(mut self, out: &mut Out) {
        out.is(FeedKind::Mds2);
        if self.row.name.product.is_empty() {
            out.bad(
                1,
                0,
                "the form does not say which device it is about (`Device Model`)",
            );
            return;
        }
        if self.row.answers.is_empty() {
            out.bad(1, 0, "the form holds no answer");
            return;
        }
        self.row.name.part = Part::Hardware;
        self.row.answers.sort();
        let at = self.row.released;
        out.published(at);
        out.keep(Row::Disclosure(self.row), at);
    }
}

/// The first that is said counts.
fn set(into: &mut SmolStr, value: &str) {
    if into.is_empty() {
        *into = short(value, NAME_MAX);
    }
}
