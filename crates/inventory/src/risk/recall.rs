//! Recalls of medical devices as openFDA gives them: device recall and device enforcement, JSON and CSV.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use smol_str::SmolStr;

use super::pieces::Piece;
use super::reader::{Fault, FeedKind, Out};
use super::row::{CODES_MAX, Codes, NAME_MAX, Recall, Row, TEXT_MAX, moment, short};
use super::table::Record;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Notice<'a> {
    #[serde(borrow)]
    product_res_number: Cow<'a, str>,
    #[serde(borrow)]
    recall_number: Cow<'a, str>,
    #[serde(borrow)]
    recalling_firm: Cow<'a, str>,
    #[serde(borrow)]
    product_description: Cow<'a, str>,
    #[serde(borrow)]
    reason_for_recall: Cow<'a, str>,
    #[serde(borrow)]
    code_info: Cow<'a, str>,
    #[serde(borrow)]
    more_code_info: Cow<'a, str>,
    #[serde(borrow)]
    classification: Cow<'a, str>,
    #[serde(borrow)]
    recall_status: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    product_type: Cow<'a, str>,
    #[serde(borrow)]
    event_date_initiated: Cow<'a, str>,
    #[serde(borrow)]
    recall_initiation_date: Cow<'a, str>,
    #[serde(borrow)]
    event_date_terminated: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default)]
    last_updated: Cow<'a, str>,
}

/// openFDA's `meta` says when the list was made.
pub(crate) fn meta(raw: &[u8], out: &mut Out) {
    if let Ok(meta) = serde_json::from_slice::<Meta<'_>>(raw) {
        out.published(moment(&meta.last_updated));
    }
}

pub(crate) fn element(piece: &Piece<'_>, out: &mut Out) {
    out.is(FeedKind::Recalls);
    match serde_json::from_slice::<Notice<'_>>(piece.raw) {
        Ok(notice) => keep(&notice, piece.line, piece.offset, out),
        Err(error) => out.bad(piece.line, piece.offset, Fault(&error)),
    }
}

fn keep(notice: &Notice<'_>, line: u64, offset: u64, out: &mut Out) {
    let number = [&notice.product_res_number, &notice.recall_number]
        .into_iter()
        .find(|n| !n.is_empty());
    let Some(number) = number else {
        out.bad(line, offset, "a recall has no number");
        return;
    };
    let other = !notice.product_type.is_empty()
        && !notice.product_type.to_ascii_lowercase().contains("device");
    if notice.product_description.is_empty() || other {
        out.pass();
        return;
    }
    let text = if notice.more_code_info.is_empty() {
        notice.code_info.clone()
    } else {
        Cow::Owned(format!("{} {}", notice.code_info, notice.more_code_info))
    };
    let (codes, serials, device_identifiers) = codes(&text);
    let status = if notice.recall_status.is_empty() {
        &notice.status
    } else {
        &notice.recall_status
    };
    let status = status.to_ascii_lowercase();
    let over = !notice.event_date_terminated.is_empty()
        || status.contains("terminated")
        || status.contains("completed");
    let began =
        moment(&notice.event_date_initiated).or_else(|| moment(&notice.recall_initiation_date));
    out.keep(
        Row::Recall(Recall {
            number: short(number, 32),
            firm: short(&notice.recalling_firm, NAME_MAX),
            product: short(&notice.product_description, 2 * TEXT_MAX),
            reason: short(&notice.reason_for_recall, TEXT_MAX),
            class: short(&notice.classification, 16),
            over,
            began,
            codes,
            serials,
            device_identifiers,
        }),
        began,
    );
}

/// A serial number as it compares: letters and digits in upper case.
pub(crate) fn serial(text: &str) -> SmolStr {
    text.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_uppercase())
        .take(64)
        .collect::<String>()
        .into()
}

/// What `code_info` says of which units: the words are free text, so only plain lists are taken at their word.
fn codes(text: &str) -> (Codes, Vec<SmolStr>, Vec<SmolStr>) {
    let lower = text.to_ascii_lowercase();
    let mut serials: BTreeSet<SmolStr> = BTreeSet::new();
    let mut identifiers: BTreeSet<SmolStr> = BTreeSet::new();
    let mut open = lower.contains("lot")
        || lower.contains(" through ")
        || lower.contains(" thru ")
        || lower.contains(" to ")
        || lower.contains("range")
        || lower.contains("manufactured")
        || lower.contains("version");
    let all = [
        "all serial",
        "all units",
        "all devices",
        "all lots",
        "all products",
        "all codes",
        "all models",
    ]
    .iter()
    .any(|w| lower.contains(w))
        || lower.trim() == "all";
    let mut in_serials = false;
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':')) {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '(');
        if bare.is_empty() {
            continue;
        }
        let digits: String = bare
            .strip_prefix("(01)")
            .unwrap_or(bare)
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        if digits.len() == 14 {
            if identifiers.len() < CODES_MAX {
                identifiers.insert(digits.into());
            }
            continue;
        }
        let folded = bare.to_ascii_lowercase();
        let begins = matches!(
            folded.as_str(),
            "serial" | "serials" | "s/n" | "sn" | "s/ns" | "sns"
        );
        if begins {
            in_serials = true;
            continue;
        }
        let number = bare.bytes().any(|b| b.is_ascii_digit()) && bare.len() >= 4;
        if in_serials && number {
            let code = serial(bare);
            if serials.len() < CODES_MAX {
                serials.insert(code);
            } else {
                open = true;
            }
        } else if !matches!(
            folded.as_str(),
            "number" | "numbers" | "no" | "nos" | "number(s" | "and" | "&" | "or"
        ) {
            in_serials = false;
        }
    }
    let codes = if all {
        Codes::All
    } else if !open && (!serials.is_empty() || !identifiers.is_empty()) {
        Codes::Listed
    } else {
        Codes::Open
    };
    (
        codes,
        serials.into_iter().collect(),
        identifiers.into_iter().collect(),
    )
}

/// Where the columns of the CSV form stand.
pub(crate) struct Columns {
    number: usize,
    firm: Option<usize>,
    product: usize,
    reason: Option<usize>,
    codes: Option<usize>,
    class: Option<usize>,
    status: Option<usize>,
    began: Option<usize>,
    terminated: Option<usize>,
}

impl Columns {
    /// Knows openFDA's names and the titles of FDA's own enforcement report export.
    pub(crate) fn find(header: &[String]) -> Option<Self> {
        let at = |names: &[&str]| {
            header.iter().position(|h| {
                let h = h.to_ascii_lowercase().replace(['_', '-'], " ");
                names.contains(&h.trim())
            })
        };
        Some(Self {
            number: at(&["product res number", "recall number", "recall no"])?,
            product: at(&["product description", "product"])?,
            firm: at(&[
                "recalling firm",
                "firm",
                "recalling firm name",
                "firm legal name",
            ]),
            reason: at(&["reason for recall", "reason"]),
            codes: at(&["code info", "code information", "codes"]),
            class: at(&[
                "classification",
                "product classification",
                "class",
                "center classification type",
            ]),
            status: at(&["recall status", "status"]),
            began: at(&[
                "event date initiated",
                "recall initiation date",
                "date initiated",
                "center classification date",
            ]),
            terminated: at(&["event date terminated", "termination date", "terminated"]),
        })
    }

    pub(crate) fn take(&self, record: &Record, out: &mut Out) {
        if record.cells.iter().all(String::is_empty) {
            return;
        }
        let notice = Notice {
            product_res_number: record.cell(Some(self.number)).into(),
            recalling_firm: record.cell(self.firm).into(),
            product_description: record.cell(Some(self.product)).into(),
            reason_for_recall: record.cell(self.reason).into(),
            code_info: record.cell(self.codes).into(),
            classification: record.cell(self.class).into(),
            status: record.cell(self.status).into(),
            event_date_initiated: record.cell(self.began).into(),
            event_date_terminated: record.cell(self.terminated).into(),
            ..Notice::default()
        };
        keep(&notice, record.line, record.offset, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_lists_of_codes_are_taken_at_their_word() {
        let (kind, serials, ids) =
            codes("UDI-DI: 10886704042648; Serial Numbers: 1234567, A-998877 and 1234569");
        assert_eq!(kind, Codes::Listed);
        assert_eq!(serials, ["1234567", "1234569", "A998877"]);
        assert_eq!(ids, ["10886704042648"]);
        assert_eq!(codes("All serial numbers").0, Codes::All);
        assert_eq!(
            codes("Serial numbers 1000001 through 1009999").0,
            Codes::Open
        );
        assert_eq!(codes("Software version 9.1").0, Codes::Open);
        assert_eq!(codes("").0, Codes::Open);
    }
}
