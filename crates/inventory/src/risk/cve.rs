//! CVE records, format 5 (CVE JSON 5.x): the numbering authority's own words, before anybody enriched them.

use std::borrow::Cow;

use domain::Timestamp;
use serde::Deserialize;

use super::names::cpe;
use super::pieces::Piece;
use super::reader::{Fault, FeedKind, Out};
use super::row::{
    AFFECTED_MAX, Affected, NAME_MAX, Name, Part, RANGES_MAX, Row, TEXT_MAX, Vulnerability, moment,
    short,
};
use super::version::{Bound, VersionRange};

/// What is kept of a record until it ends.
#[derive(Default)]
pub(crate) struct Parts {
    place: (u64, u64),
    metadata: Option<String>,
    containers: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(borrow)]
    cve_id: Cow<'a, str>,
    #[serde(borrow, default)]
    state: Cow<'a, str>,
    #[serde(borrow, default)]
    date_published: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    date_updated: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Containers<'a> {
    #[serde(borrow)]
    cna: Container<'a>,
    #[serde(borrow, default)]
    adp: Vec<Container<'a>>,
}

#[derive(Deserialize)]
struct Container<'a> {
    #[serde(borrow, default)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    descriptions: Vec<Described<'a>>,
    #[serde(borrow, default)]
    affected: Vec<Product<'a>>,
    #[serde(borrow, default)]
    metrics: Vec<Metric<'a>>,
    #[serde(borrow, default)]
    solutions: Vec<Described<'a>>,
}

#[derive(Deserialize)]
struct Described<'a> {
    #[serde(borrow, default)]
    lang: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Product<'a> {
    #[serde(borrow, default)]
    vendor: Cow<'a, str>,
    #[serde(borrow, default)]
    product: Cow<'a, str>,
    #[serde(borrow, default)]
    package_name: Cow<'a, str>,
    #[serde(borrow, default)]
    default_status: Cow<'a, str>,
    #[serde(borrow, default)]
    versions: Vec<Version<'a>>,
    #[serde(borrow, default)]
    cpes: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version<'a> {
    #[serde(borrow, default)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    less_than: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    less_than_or_equal: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Metric<'a> {
    #[serde(default, rename = "cvssV4_0")]
    v4_0: Option<Cvss>,
    #[serde(default, rename = "cvssV3_1")]
    v3_1: Option<Cvss>,
    #[serde(default, rename = "cvssV3_0")]
    v3_0: Option<Cvss>,
    #[serde(borrow, default)]
    other: Option<Other<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cvss {
    base_score: f32,
}

#[derive(Deserialize)]
struct Other<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kev<'a> {
    #[serde(borrow, default)]
    date_added: Cow<'a, str>,
}

impl Parts {
    pub(crate) fn member(&mut self, piece: &Piece<'_>) {
        let text = String::from_utf8_lossy(piece.raw).into_owned();
        if piece.key == "cveMetadata" {
            self.place = (piece.line, piece.offset);
            self.metadata = Some(text);
        } else {
            self.containers = Some(text);
        }
    }

    pub(crate) fn finish(self, out: &mut Out) {
        out.is(FeedKind::Cve);
        let (line, offset) = self.place;
        let (Some(metadata), Some(containers)) = (&self.metadata, &self.containers) else {
            out.bad(
                line,
                offset,
                "a CVE record lacks `cveMetadata` or `containers`",
            );
            return;
        };
        let metadata: Metadata<'_> = match serde_json::from_str(metadata) {
            Ok(metadata) => metadata,
            Err(error) => return out.bad(line, offset, Fault(&error)),
        };
        if metadata.state == "REJECTED" {
            return out.pass();
        }
        match serde_json::from_str::<Containers<'_>>(containers) {
            Ok(containers) => take(&metadata, &containers, out),
            Err(error) => out.bad(line, offset, Fault(&error)),
        }
    }
}

fn take(metadata: &Metadata<'_>, containers: &Containers<'_>, out: &mut Out) {
    let mut affects: Vec<Affected> = Vec::new();
    let mut cut = false;
    let mut exploited: Option<Timestamp> = None;
    let mut severity = None;
    for container in std::iter::once(&containers.cna).chain(&containers.adp) {
        for product in &container.affected {
            if affects.len() >= AFFECTED_MAX {
                cut = true;
                break;
            }
            if let Some(affected) = affected(product, &mut cut) {
                affects.push(affected);
            }
        }
        for metric in &container.metrics {
            let score = [&metric.v4_0, &metric.v3_1, &metric.v3_0]
                .into_iter()
                .find_map(|s| s.as_ref().map(|c| c.base_score));
            severity = severity.or(score);
            if let Some(other) = &metric.other
                && other.kind == "kev"
                && let Some(content) = other.content
                && let Ok(kev) = serde_json::from_str::<Kev<'_>>(content.get())
            {
                exploited = exploited.or_else(|| moment(&kev.date_added));
            }
        }
    }
    if affects.is_empty() && exploited.is_none() {
        return out.pass();
    }
    let english = |list: &[Described<'_>]| {
        list.iter()
            .find(|d| d.lang.starts_with("en"))
            .map(|d| short(&d.value, TEXT_MAX))
            .unwrap_or_default()
    };
    let cna = &containers.cna;
    let title = match &cna.title {
        Some(title) => short(title, TEXT_MAX),
        None => english(&cna.descriptions),
    };
    let at = metadata.date_published.as_deref().and_then(moment);
    out.keep(
        Row::Vulnerability(Vulnerability {
            id: short(&metadata.cve_id, 32),
            title,
            exploited,
            severity,
            published: at,
            remedy: english(&cna.solutions),
            affects,
            cut,
        }),
        metadata.date_updated.as_deref().and_then(moment).or(at),
    );
}

fn affected(product: &Product<'_>, cut: &mut bool) -> Option<Affected> {
    let nobody = |text: &str| matches!(text, "" | "n/a" | "N/A" | "*" | "-");
    let called = if nobody(&product.product) {
        &product.package_name
    } else {
        &product.product
    };
    let from_cpe = product.cpes.iter().find_map(|c| cpe(c));
    let name = if nobody(called) {
        let cpe = from_cpe?;
        Name {
            part: cpe.part,
            vendor: cpe.vendor,
            product: cpe.product,
        }
    } else {
        Name {
            part: from_cpe.map_or(Part::Unknown, |c| c.part),
            vendor: if nobody(&product.vendor) {
                "".into()
            } else {
                short(&product.vendor, NAME_MAX)
            },
            product: short(called, NAME_MAX),
        }
    };
    let mut affected = Affected {
        name,
        ..Affected::default()
    };
    let default_affected = product.default_status == "affected";
    let mut unread = false;
    for version in &product.versions {
        if affected.ranges.len() + affected.unaffected.len() >= RANGES_MAX {
            *cut = true;
            break;
        }
        let ranges = range(version);
        match (version.status.as_ref(), ranges) {
            ("affected", Some(ranges)) => affected.ranges.extend(ranges),
            ("unaffected", Some(ranges)) => affected.unaffected.extend(ranges),
            ("unknown", _) => {}
            _ => unread = true,
        }
    }
    if default_affected && affected.ranges.is_empty() && !unread {
        affected.ranges.push(VersionRange::ALL);
    }
    affected.versions_stated = !affected.ranges.is_empty() && !unread;
    // A product listed only to say that it is not affected names no vulnerability in it.
    (!affected.ranges.is_empty() || unread || product.versions.is_empty()).then_some(affected)
}

fn range(version: &Version<'_>) -> Option<Vec<VersionRange>> {
    let bounded =
        |end: &str, included: bool| {
            let start = version.version.trim();
            let from = (!matches!(start, "" | "0" | "*" | "-" | "unspecified" | "n/a" | "N/A"))
                .then(|| Bound {
                    version: short(start, 64),
                    included: true,
                });
            let to = (end != "*").then(|| Bound {
                version: short(end, 64),
                included,
            });
            Some(vec![VersionRange { from, to }])
        };
    if let Some(end) = version.less_than.as_deref() {
        return bounded(end.trim(), false);
    }
    if let Some(end) = version.less_than_or_equal.as_deref() {
        return bounded(end.trim(), true);
    }
    VersionRange::from_words(&version.version)
}
