//! Security advisories in the Common Security Advisory Framework (OASIS CSAF 2.0), and CSAF VEX documents.

use std::borrow::Cow;
use std::collections::BTreeMap;

use domain::Timestamp;
use serde::Deserialize;
use smol_str::SmolStr;

use super::names::{cpe, split_version};
use super::pieces::Piece;
use super::reader::{Fault, FeedKind, ITEM_MAX, Out};
use super::row::{
    AFFECTED_MAX, Affected, NAME_MAX, Name, RANGES_MAX, Row, TEXT_MAX, Vulnerability, moment, short,
};
use super::version::VersionRange;

/// Most products of one product tree.
const PRODUCTS_MAX: usize = 50_000;

/// What is kept of an advisory until it ends.
#[derive(Default)]
pub(crate) struct Parts {
    document: Option<Document>,
    tree: Option<String>,
    vulnerabilities: Vec<(u64, u64, String)>,
    held: usize,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    title: String,
    #[serde(default)]
    publisher: Publisher,
    #[serde(default)]
    tracking: Tracking,
    #[serde(default)]
    csaf_version: Option<String>,
}

#[derive(Default, Deserialize)]
struct Publisher {
    #[serde(default)]
    category: String,
    #[serde(default)]
    name: String,
}

#[derive(Default, Deserialize)]
struct Tracking {
    #[serde(default)]
    id: String,
    #[serde(default)]
    current_release_date: String,
    #[serde(default)]
    initial_release_date: String,
}

#[derive(Default, Deserialize)]
struct Tree<'a> {
    #[serde(borrow, default)]
    branches: Vec<Branch<'a>>,
    #[serde(borrow, default)]
    full_product_names: Vec<Full<'a>>,
    #[serde(borrow, default)]
    relationships: Vec<Relationship<'a>>,
}

#[derive(Deserialize)]
struct Branch<'a> {
    #[serde(borrow, default)]
    category: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    branches: Vec<Branch<'a>>,
    #[serde(borrow, default)]
    product: Option<Full<'a>>,
}

#[derive(Deserialize)]
struct Full<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    product_id: Cow<'a, str>,
    #[serde(borrow, default)]
    product_identification_helper: Option<Helper<'a>>,
}

#[derive(Deserialize)]
struct Helper<'a> {
    #[serde(borrow, default)]
    cpe: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Relationship<'a> {
    #[serde(borrow, default)]
    product_reference: Cow<'a, str>,
    #[serde(borrow, default)]
    relates_to_product_reference: Cow<'a, str>,
    #[serde(borrow)]
    full_product_name: Full<'a>,
}

#[derive(Deserialize)]
struct Flaw<'a> {
    #[serde(borrow, default)]
    cve: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    ids: Vec<Id<'a>>,
    #[serde(borrow, default)]
    notes: Vec<Note<'a>>,
    #[serde(borrow, default)]
    product_status: Status<'a>,
    #[serde(borrow, default)]
    remediations: Vec<Remediation<'a>>,
    #[serde(default)]
    scores: Vec<Score>,
    #[serde(borrow, default)]
    threats: Vec<Threat<'a>>,
}

#[derive(Deserialize)]
struct Id<'a> {
    #[serde(borrow, default)]
    text: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Note<'a> {
    #[serde(borrow, default)]
    category: Cow<'a, str>,
    #[serde(borrow, default)]
    text: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct Status<'a> {
    #[serde(borrow, default)]
    known_affected: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    first_affected: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    last_affected: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    known_not_affected: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    fixed: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    first_fixed: Vec<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Remediation<'a> {
    #[serde(borrow, default)]
    category: Cow<'a, str>,
    #[serde(borrow, default)]
    details: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Score {
    #[serde(default)]
    cvss_v3: Option<Cvss>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cvss {
    base_score: f32,
}

#[derive(Deserialize)]
struct Threat<'a> {
    #[serde(borrow, default)]
    category: Cow<'a, str>,
    #[serde(borrow, default)]
    details: Cow<'a, str>,
    #[serde(borrow, default)]
    date: Option<Cow<'a, str>>,
}

/// A product of the tree, as far as its branches and names tell.
#[derive(Clone, Debug, Default)]
struct Known {
    name: Name,
    ranges: Option<Vec<VersionRange>>,
    on: Vec<Name>,
}

impl Parts {
    /// Whether the document says of itself that it is an advisory.
    pub(crate) fn has_document(&self) -> bool {
        self.document
            .as_ref()
            .is_some_and(|d| d.csaf_version.is_some() || !d.tracking.id.is_empty())
    }

    pub(crate) fn member(&mut self, piece: &Piece<'_>, out: &mut Out) {
        if piece.key == "document" {
            match serde_json::from_slice::<Document>(piece.raw) {
                Ok(document) => self.document = Some(document),
                // Other documents have a member of this name; only an advisory's absence is reported, at its end.
                Err(_) => self.document = None,
            }
        } else if self.room(piece.raw.len()) {
            self.tree = Some(String::from_utf8_lossy(piece.raw).into_owned());
        } else {
            out.bad(
                piece.line,
                piece.offset,
                "the advisory is longer than is read",
            );
        }
    }

    pub(crate) fn vulnerability(&mut self, piece: &Piece<'_>, out: &mut Out) {
        if self.room(piece.raw.len()) {
            let text = String::from_utf8_lossy(piece.raw).into_owned();
            self.vulnerabilities.push((piece.line, piece.offset, text));
        } else {
            out.bad(
                piece.line,
                piece.offset,
                "the advisory is longer than is read",
            );
        }
    }

    fn room(&mut self, more: usize) -> bool {
        // An advisory is put together at its end; one may hold twice what a single piece may.
        let room = self.held + more <= 2 * ITEM_MAX;
        if room {
            self.held += more;
        }
        room
    }

    pub(crate) fn finish(self, out: &mut Out) {
        out.is(FeedKind::Csaf);
        let Some(document) = self.document else {
            out.bad(1, 0, "an advisory lacks its `document`");
            return;
        };
        let maker = if document.publisher.category == "vendor" {
            document.publisher.name.as_str()
        } else {
            ""
        };
        let at = moment(&document.tracking.initial_release_date);
        out.published(moment(&document.tracking.current_release_date).or(at));
        let tree = self.tree.unwrap_or_else(|| "{}".to_owned());
        let products = match serde_json::from_str::<Tree<'_>>(&tree) {
            Ok(tree) => products(&tree, maker),
            Err(error) => {
                out.bad(1, 0, Fault(&error));
                return;
            }
        };
        for (n, (line, offset, text)) in self.vulnerabilities.iter().enumerate() {
            match serde_json::from_str::<Flaw<'_>>(text) {
                Ok(flaw) => take(&flaw, n, &document, at, &products, out),
                Err(error) => out.bad(*line, *offset, Fault(&error)),
            }
        }
    }
}

fn products(tree: &Tree<'_>, maker: &str) -> BTreeMap<SmolStr, Known> {
    let mut known = BTreeMap::new();
    let above = Known {
        name: Name {
            vendor: short(maker, NAME_MAX),
            ..Name::default()
        },
        ..Known::default()
    };
    for branch in &tree.branches {
        descend(branch, &above, &mut known);
    }
    for full in &tree.full_product_names {
        insert(full, &above, &mut known);
    }
    for relation in &tree.relationships {
        if known.len() >= PRODUCTS_MAX {
            break;
        }
        let Some(mut product) = known.get(relation.product_reference.as_ref()).cloned() else {
            continue;
        };
        if let Some(base) = known.get(relation.relates_to_product_reference.as_ref()) {
            product.on.push(base.name.clone());
        }
        known.insert(
            short(&relation.full_product_name.product_id, NAME_MAX),
            product,
        );
    }
    known
}

fn descend(branch: &Branch<'_>, above: &Known, known: &mut BTreeMap<SmolStr, Known>) {
    let mut here = above.clone();
    match branch.category.as_ref() {
        "vendor" => here.name.vendor = short(&branch.name, NAME_MAX),
        // A family is what its products are called where they give only a suffix; a product's own name replaces it.
        "product_family" | "product_name" => here.name.product = short(&branch.name, NAME_MAX),
        "product_version" => {
            here.ranges = VersionRange::parse(&branch.name);
        }
        "product_version_range" => {
            here.ranges = VersionRange::from_words(&branch.name);
        }
        _ => {}
    }
    if let Some(full) = &branch.product {
        insert(full, &here, known);
    }
    for below in &branch.branches {
        descend(below, &here, known);
    }
}

fn insert(full: &Full<'_>, here: &Known, known: &mut BTreeMap<SmolStr, Known>) {
    if known.len() >= PRODUCTS_MAX {
        return;
    }
    let mut product = here.clone();
    let identified = full
        .product_identification_helper
        .as_ref()
        .and_then(|h| h.cpe.as_deref())
        .and_then(cpe);
    if let Some(cpe) = identified {
        product.name.part = cpe.part;
        if product.name.vendor.is_empty() {
            product.name.vendor = cpe.vendor;
        }
        if product.name.product.is_empty() {
            product.name.product = cpe.product;
        }
        if product.ranges.is_none() && !cpe.version.is_empty() {
            product.ranges = Some(vec![VersionRange::exactly(&cpe.version)]);
        }
    }
    if product.name.product.is_empty() {
        // Only a sentence names it: `Maker Product <= 1.2`.
        let text = full.name.trim();
        let operator = text.find(['<', '>', '≤', '≥']);
        let (head, ranges) = match operator {
            Some(at) => (text[..at].trim_end(), VersionRange::parse(&text[at..])),
            None => match split_version(text) {
                (head, Some(version)) => (head, VersionRange::parse(version)),
                (head, None) => (head, None),
            },
        };
        product.name.product = short(head, NAME_MAX);
        product.ranges = product.ranges.or(ranges);
    }
    known.insert(short(&full.product_id, NAME_MAX), product);
}

fn take(
    flaw: &Flaw<'_>,
    number: usize,
    document: &Document,
    at: Option<Timestamp>,
    products: &BTreeMap<SmolStr, Known>,
    out: &mut Out,
) {
    let id = match (&flaw.cve, flaw.ids.first()) {
        (Some(cve), _) => short(cve, 32),
        (None, Some(id)) => short(&id.text, 64),
        (None, None) if number == 0 => short(&document.tracking.id, 64),
        (None, None) => short(&format!("{}#{}", document.tracking.id, number + 1), 64),
    };
    let mut affects: BTreeMap<(Name, Vec<Name>), Affected> = BTreeMap::new();
    let mut cut = false;
    let status = &flaw.product_status;
    let lists = [
        (true, &status.known_affected),
        (true, &status.first_affected),
        (true, &status.last_affected),
        (false, &status.known_not_affected),
        (false, &status.fixed),
        (false, &status.first_fixed),
    ];
    for (affected, list) in lists {
        for id in list {
            let Some(product) = products.get(id.as_ref()) else {
                continue;
            };
            let key = (product.name.clone(), product.on.clone());
            if !affects.contains_key(&key) && affects.len() >= AFFECTED_MAX {
                cut = true;
                continue;
            }
            // `fixed` names only what is mended: without an affected entry beside it, it says nothing of other versions.
            let entry = affects.entry(key).or_insert_with(|| Affected {
                name: product.name.clone(),
                versions_stated: true,
                on: product.on.clone(),
                ..Affected::default()
            });
            let into = if affected {
                &mut entry.ranges
            } else {
                &mut entry.unaffected
            };
            match &product.ranges {
                Some(ranges) if into.len() + ranges.len() <= RANGES_MAX => {
                    into.extend(ranges.iter().cloned());
                }
                Some(_) => cut = true,
                // The product as a whole: all versions not affected, or affected in versions nobody states.
                None if affected => entry.versions_stated = false,
                None => into.push(VersionRange::ALL),
            }
        }
    }
    let mut affects: Vec<Affected> = affects.into_values().collect();
    // What is only exonerated stays, so that it can take back what another list says.
    affects.retain(|a| !a.ranges.is_empty() || !a.versions_stated || !a.unaffected.is_empty());
    if affects.is_empty() {
        out.pass();
        return;
    }
    let exploited = flaw
        .threats
        .iter()
        .filter(|t| t.category == "exploit_status")
        .filter(|t| {
            let details = t.details.to_ascii_lowercase();
            details.contains("exploited in the wild") || details.contains("actively exploited")
        })
        .find_map(|t| t.date.as_deref().and_then(moment).or(at));
    let title = match &flaw.title {
        Some(title) => short(title, TEXT_MAX),
        None => flaw
            .notes
            .iter()
            .find(|n| matches!(n.category.as_ref(), "summary" | "description"))
            .map_or_else(
                || short(&document.title, TEXT_MAX),
                |n| short(&n.text, TEXT_MAX),
            ),
    };
    let remedy = ["vendor_fix", "mitigation", "workaround"]
        .iter()
        .find_map(|wanted| flaw.remediations.iter().find(|r| r.category == *wanted))
        .map(|r| short(&r.details, TEXT_MAX))
        .unwrap_or_default();
    out.keep(
        Row::Vulnerability(Vulnerability {
            id,
            title,
            exploited,
            severity: flaw
                .scores
                .iter()
                .find_map(|s| s.cvss_v3.as_ref().map(|c| c.base_score)),
            published: at,
            remedy,
            affects,
            cut,
        }),
        at,
    );
}
