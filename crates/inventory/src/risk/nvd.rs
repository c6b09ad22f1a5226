//! NVD's records, CVE API 2.0: `{"vulnerabilities":[{"cve":{…}}]}`, and community feeds that list the inner objects.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::names::cpe;
use super::pieces::Piece;
use super::reader::{Fault, FeedKind, Out};
use super::row::{
    AFFECTED_MAX, Affected, Name, RANGES_MAX, Row, TEXT_MAX, Vulnerability, moment, short,
};
use super::version::{Bound, VersionRange};

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    cve: Record<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    vuln_status: Cow<'a, str>,
    #[serde(borrow, default)]
    published: Cow<'a, str>,
    #[serde(borrow, default)]
    last_modified: Cow<'a, str>,
    #[serde(borrow, default)]
    descriptions: Vec<Described<'a>>,
    #[serde(default)]
    metrics: Metrics,
    #[serde(borrow, default)]
    configurations: Vec<Configuration<'a>>,
    #[serde(borrow, default)]
    cisa_exploit_add: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    cisa_required_action: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    cisa_vulnerability_name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Described<'a> {
    #[serde(borrow, default)]
    lang: Cow<'a, str>,
    #[serde(borrow, default)]
    value: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metrics {
    cvss_metric_v40: Vec<Metric>,
    cvss_metric_v31: Vec<Metric>,
    cvss_metric_v30: Vec<Metric>,
    cvss_metric_v2: Vec<Metric>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    cvss_data: Cvss,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cvss {
    base_score: f32,
}

#[derive(Deserialize)]
struct Configuration<'a> {
    #[serde(borrow, default)]
    operator: Cow<'a, str>,
    #[serde(default)]
    negate: bool,
    #[serde(borrow, default)]
    nodes: Vec<Node<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    #[serde(borrow, default)]
    operator: Cow<'a, str>,
    #[serde(default)]
    negate: bool,
    #[serde(borrow, default)]
    cpe_match: Vec<Match<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Match<'a> {
    #[serde(default)]
    vulnerable: bool,
    #[serde(borrow)]
    criteria: Cow<'a, str>,
    #[serde(borrow, default)]
    version_start_including: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    version_start_excluding: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    version_end_including: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    version_end_excluding: Option<Cow<'a, str>>,
}

pub(crate) fn element(piece: &Piece<'_>, out: &mut Out) {
    out.is(FeedKind::Nvd);
    // The wrapped form first: its errors name what is wrong, those of an untagged choice do not.
    let record = match serde_json::from_slice::<Wrapped<'_>>(piece.raw) {
        Ok(wrapped) => wrapped.cve,
        Err(error) => match serde_json::from_slice::<Record<'_>>(piece.raw) {
            Ok(record) => record,
            Err(_) => {
                out.bad(piece.line, piece.offset, Fault(&error));
                return;
            }
        },
    };
    take(&record, piece, out);
}

fn take(record: &Record<'_>, piece: &Piece<'_>, out: &mut Out) {
    if !record.id.starts_with("CVE-") {
        out.bad(
            piece.line,
            piece.offset,
            format_args!("`{}` is not a CVE identifier", record.id),
        );
        return;
    }
    let exploited = record.cisa_exploit_add.as_deref().and_then(moment);
    let mut products: BTreeMap<(Name, Vec<Name>), Affected> = BTreeMap::new();
    let mut cut = false;
    for configuration in &record.configurations {
        // A negated configuration says where a vulnerability is *not*; nothing is concluded from it.
        if configuration.negate || configuration.nodes.iter().any(|n| n.negate) {
            continue;
        }
        let joined = configuration.operator.eq_ignore_ascii_case("AND");
        let on = platforms(configuration, joined);
        for node in &configuration.nodes {
            let within = if joined || node.operator.eq_ignore_ascii_case("AND") {
                on.as_slice()
            } else {
                &[]
            };
            for m in node.cpe_match.iter().filter(|m| m.vulnerable) {
                cut |= !add(m, within, &mut products);
            }
        }
    }
    if record.vuln_status.eq_ignore_ascii_case("rejected")
        || (products.is_empty() && exploited.is_none())
    {
        out.pass();
        return;
    }
    let title = record
        .cisa_vulnerability_name
        .as_deref()
        .or_else(|| {
            record
                .descriptions
                .iter()
                .find(|d| d.lang.starts_with("en"))
                .map(|d| &*d.value)
        })
        .unwrap_or_default();
    let severity = [
        &record.metrics.cvss_metric_v40,
        &record.metrics.cvss_metric_v31,
        &record.metrics.cvss_metric_v30,
        &record.metrics.cvss_metric_v2,
    ]
    .into_iter()
    .find_map(|list| list.first())
    .map(|m| m.cvss_data.base_score);
    out.keep(
        Row::Vulnerability(Vulnerability {
            id: short(&record.id, 32),
            title: short(title, TEXT_MAX),
            exploited,
            severity,
            published: moment(&record.published),
            remedy: short(
                record.cisa_required_action.as_deref().unwrap_or_default(),
                TEXT_MAX,
            ),
            affects: products.into_values().collect(),
            cut,
        }),
        moment(&record.last_modified),
    );
}

/// What the vulnerable products of a configuration have to run on.
fn platforms(configuration: &Configuration<'_>, joined: bool) -> Vec<Name> {
    let mut on: Vec<Name> = Vec::new();
    for node in &configuration.nodes {
        if !joined && !node.operator.eq_ignore_ascii_case("AND") {
            continue;
        }
        for m in node.cpe_match.iter().filter(|m| !m.vulnerable) {
            if let Some(found) = cpe(&m.criteria) {
                let name = Name {
                    part: found.part,
                    vendor: found.vendor,
                    product: found.product,
                };
                if !on.contains(&name) && on.len() < 64 {
                    on.push(name);
                }
            }
        }
    }
    on.sort();
    on
}

/// Adds one match criterion; `false`: there was no more room.
fn add(m: &Match<'_>, on: &[Name], products: &mut BTreeMap<(Name, Vec<Name>), Affected>) -> bool {
    let Some(found) = cpe(&m.criteria) else {
        return true;
    };
    let name = Name {
        part: found.part,
        vendor: found.vendor,
        product: found.product,
    };
    let bound = |including: &Option<Cow<'_, str>>, excluding: &Option<Cow<'_, str>>| {
        including
            .as_deref()
            .map(|v| (v, true))
            .or_else(|| excluding.as_deref().map(|v| (v, false)))
            .map(|(version, included)| Bound {
                version: short(version, 64),
                included,
            })
    };
    let from = bound(&m.version_start_including, &m.version_start_excluding);
    let to = bound(&m.version_end_including, &m.version_end_excluding);
    let range = if from.is_some() || to.is_some() {
        VersionRange { from, to }
    } else if found.version.is_empty() {
        // `*` without bounds and `-` both mean: whatever the version.
        VersionRange::ALL
    } else {
        VersionRange::exactly(&found.version)
    };
    let key = (name.clone(), on.to_vec());
    let room = products.len() < AFFECTED_MAX;
    let affected = match products.entry(key) {
        std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
        std::collections::btree_map::Entry::Vacant(_) if !room => return false,
        std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Affected {
            name,
            versions_stated: true,
            on: on.to_vec(),
            ..Affected::default()
        }),
    };
    if affected.ranges.contains(&range) {
        return true;
    }
    if affected.ranges.len() >= RANGES_MAX {
        return false;
    }
    affected.ranges.push(range);
    true
}
