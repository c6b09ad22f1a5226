//! CISA's catalogue of known exploited vulnerabilities: JSON and CSV.
//!
//! A row names a vendor and a product and no version. It says by itself only that the vulnerability is exploited
//! somewhere; which versions have it, NVD's or the maker's row tells.

use serde::Deserialize;
use std::borrow::Cow;

use super::pieces::Piece;
use super::reader::{Fault, FeedKind, Out};
use super::row::{Affected, NAME_MAX, Name, Row, TEXT_MAX, Vulnerability, moment, short};
use super::table::Record;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(rename = "cveID", borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    vendor_project: Cow<'a, str>,
    #[serde(borrow, default)]
    product: Cow<'a, str>,
    #[serde(borrow, default)]
    vulnerability_name: Cow<'a, str>,
    #[serde(borrow, default)]
    date_added: Cow<'a, str>,
    #[serde(borrow, default)]
    required_action: Cow<'a, str>,
}

pub(crate) fn element(piece: &Piece<'_>, out: &mut Out) {
    out.is(FeedKind::Kev);
    match serde_json::from_slice::<Entry<'_>>(piece.raw) {
        Ok(entry) => keep(&entry, piece.line, piece.offset, out),
        Err(error) => out.bad(piece.line, piece.offset, Fault(&error)),
    }
}

fn keep(entry: &Entry<'_>, line: u64, offset: u64, out: &mut Out) {
    if !entry.id.starts_with("CVE-") {
        out.bad(
            line,
            offset,
            format_args!("`{}` is not a CVE identifier", entry.id),
        );
        return;
    }
    let Some(added) = moment(&entry.date_added) else {
        out.bad(
            line,
            offset,
            format_args!("`{}` is not a date", entry.date_added),
        );
        return;
    };
    // `Multiple Products` is no product: such a row marks its CVE as exploited and matches nothing by itself.
    let product = short(&entry.product, NAME_MAX);
    let affects = if product.is_empty() || product.to_ascii_lowercase().starts_with("multiple ") {
        Vec::new()
    } else {
        vec![Affected {
            name: Name {
                vendor: short(&entry.vendor_project, NAME_MAX),
                product,
                ..Name::default()
            },
            ..Affected::default()
        }]
    };
    out.keep(
        Row::Vulnerability(Vulnerability {
            id: short(&entry.id, 32),
            title: short(&entry.vulnerability_name, TEXT_MAX),
            exploited: Some(added),
            published: Some(added),
            remedy: short(&entry.required_action, TEXT_MAX),
            affects,
            ..Vulnerability::default()
        }),
        Some(added),
    );
}

/// Where the columns of the CSV form stand.
pub(crate) struct Columns {
    id: usize,
    vendor: Option<usize>,
    product: Option<usize>,
    title: Option<usize>,
    added: usize,
    action: Option<usize>,
}

impl Columns {
    pub(crate) fn find(header: &[String]) -> Option<Self> {
        let at = |name: &str| header.iter().position(|h| h.eq_ignore_ascii_case(name));
        Some(Self {
            id: at("cveID")?,
            added: at("dateAdded")?,
            vendor: at("vendorProject"),
            product: at("product"),
            title: at("vulnerabilityName"),
            action: at("requiredAction"),
        })
    }

    pub(crate) fn take(&self, record: &Record, out: &mut Out) {
        let entry = Entry {
            id: record.cell(Some(self.id)).into(),
            vendor_project: record.cell(self.vendor).into(),
            product: record.cell(self.product).into(),
            vulnerability_name: record.cell(self.title).into(),
            date_added: record.cell(Some(self.added)).into(),
            required_action: record.cell(self.action).into(),
        };
        if record.cells.iter().all(String::is_empty) {
            return;
        }
        keep(&entry, record.line, record.offset, out);
    }
}
