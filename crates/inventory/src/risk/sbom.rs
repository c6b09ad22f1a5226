//! Bills of materials as JSON: CycloneDX 1.x and SPDX 2.x.

use std::borrow::Cow;
use std::collections::BTreeSet;

use domain::Timestamp;
use serde::Deserialize;
use smol_str::SmolStr;

use super::names::cpe;
use super::pieces::Piece;
use super::reader::{Fault, FeedKind, Out};
use super::row::{Bill, COMPONENTS_MAX, Component, NAME_MAX, Name, Part, Row, moment, short};

#[derive(Deserialize)]
struct CycloneMetadata<'a> {
    #[serde(borrow, default)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, default)]
    component: Option<CycloneComponent<'a>>,
    #[serde(borrow, default)]
    supplier: Option<Entity<'a>>,
    #[serde(borrow, default)]
    manufacture: Option<Entity<'a>>,
    #[serde(borrow, default)]
    manufacturer: Option<Entity<'a>>,
}

#[derive(Deserialize)]
struct Entity<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct CycloneComponent<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    group: Cow<'a, str>,
    #[serde(borrow, default)]
    version: Cow<'a, str>,
    #[serde(borrow, default)]
    publisher: Cow<'a, str>,
    #[serde(borrow, default)]
    supplier: Option<Entity<'a>>,
    #[serde(borrow, default)]
    manufacturer: Option<Entity<'a>>,
    #[serde(borrow, default)]
    cpe: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    purl: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    components: Vec<CycloneComponent<'a>>,
}

#[derive(Deserialize)]
struct Vex<'a> {
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    analysis: Option<Analysis<'a>>,
}

#[derive(Deserialize)]
struct Analysis<'a> {
    #[serde(borrow, default)]
    state: Cow<'a, str>,
}

/// What is kept of a CycloneDX document until it ends.
#[derive(Default)]
pub(crate) struct CycloneParts {
    about: Option<(Component, Option<Timestamp>)>,
    components: Vec<Component>,
    not_affected: BTreeSet<SmolStr>,
}

impl CycloneParts {
    pub(crate) fn metadata(&mut self, piece: &Piece<'_>, out: &mut Out) {
        // Other documents have a `metadata` too; whether it was needed shows at the end.
        let Ok(metadata) = serde_json::from_slice::<CycloneMetadata<'_>>(piece.raw) else {
            return;
        };
        let Some(about) = metadata.component else {
            return;
        };
        let mut product = component(&about);
        if product.name.vendor.is_empty() {
            let named = [
                metadata.manufacturer,
                metadata.manufacture,
                metadata.supplier,
            ];
            if let Some(entity) = named.into_iter().flatten().next() {
                product.name.vendor = short(&entity.name, NAME_MAX);
            }
        }
        let made = moment(&metadata.timestamp);
        out.published(made);
        self.about = Some((product, made));
        for inner in &about.components {
            self.add(inner, 0);
        }
    }

    pub(crate) fn component(&mut self, piece: &Piece<'_>, out: &mut Out) {
        match serde_json::from_slice::<CycloneComponent<'_>>(piece.raw) {
            Ok(found) => self.add(&found, 0),
            Err(error) => out.bad(piece.line, piece.offset, Fault(&error)),
        }
    }

    fn add(&mut self, found: &CycloneComponent<'_>, depth: u32) {
        if self.components.len() < COMPONENTS_MAX && !found.name.is_empty() {
            self.components.push(component(found));
        }
        if depth < 16 {
            for inner in &found.components {
                self.add(inner, depth + 1);
            }
        }
    }

    pub(crate) fn vulnerability(&mut self, piece: &Piece<'_>) {
        if let Ok(vex) = serde_json::from_slice::<Vex<'_>>(piece.raw)
            && let Some(analysis) = vex.analysis
            && matches!(
                analysis.state.as_ref(),
                "not_affected" | "false_positive" | "resolved" | "resolved_with_pedigree"
            )
            && self.not_affected.len() < COMPONENTS_MAX
        {
            self.not_affected.insert(short(&vex.id, 32));
        }
    }

    pub(crate) fn finish(self, out: &mut Out) {
        out.is(FeedKind::CycloneDx);
        let Some((about, made)) = self.about else {
            out.bad(
                1,
                0,
                "a bill of materials does not say which product it is about (`metadata.component`)",
            );
            return;
        };
        bill(about, made, self.components, self.not_affected, out);
    }
}

/// Makes the row, unless there is nothing to it.
pub(crate) fn bill(
    about: Component,
    made: Option<Timestamp>,
    mut components: Vec<Component>,
    not_affected: BTreeSet<SmolStr>,
    out: &mut Out,
) {
    components.sort();
    components.dedup();
    if about.name.product.is_empty() || components.is_empty() && not_affected.is_empty() {
        out.pass();
        return;
    }
    out.keep(
        Row::Bill(Bill {
            name: about.name,
            version: about.version,
            made,
            components,
            not_affected: not_affected.into_iter().collect(),
        }),
        made,
    );
}

fn component(found: &CycloneComponent<'_>) -> Component {
    let vendor = [&found.manufacturer, &found.supplier]
        .into_iter()
        .flatten()
        .map(|e| e.name.as_ref())
        .chain([found.publisher.as_ref(), found.group.as_ref()])
        .find(|v| !v.is_empty())
        .unwrap_or_default();
    let part = match found.kind.as_ref() {
        "device" => Part::Hardware,
        "firmware" | "operating-system" => Part::System,
        "application" | "framework" | "library" | "container" => Part::Program,
        _ => Part::Unknown,
    };
    named(
        &found.name,
        vendor,
        &found.version,
        part,
        found.cpe.as_deref(),
        found.purl.as_deref(),
    )
}

/// A component by whatever names it has; a CPE is the most exact.
pub(crate) fn named(
    name: &str,
    vendor: &str,
    version: &str,
    part: Part,
    cpe_text: Option<&str>,
    purl: Option<&str>,
) -> Component {
    let mut out = Component {
        name: Name {
            part,
            vendor: short(vendor, NAME_MAX),
            product: short(name, NAME_MAX),
        },
        version: short(version, 64),
    };
    if let Some(found) = cpe_text.and_then(cpe) {
        out.name.part = found.part;
        out.name.vendor = found.vendor;
        out.name.product = found.product;
        if out.version.is_empty() {
            out.version = found.version;
        }
    } else if let Some(at) = purl
        .filter(|_| out.version.is_empty())
        .and_then(|p| p.rsplit_once('@'))
    {
        // Package URL: `pkg:type/namespace/name@version?qualifiers#subpath`.
        let version = at.1.split(['?', '#']).next().unwrap_or_default();
        out.version = short(version, 64);
    }
    out
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage<'a> {
    #[serde(rename = "SPDXID", borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    version_info: Cow<'a, str>,
    #[serde(borrow, default)]
    supplier: Cow<'a, str>,
    #[serde(borrow, default)]
    originator: Cow<'a, str>,
    #[serde(borrow, default)]
    primary_package_purpose: Cow<'a, str>,
    #[serde(borrow, default)]
    external_refs: Vec<Reference<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference<'a> {
    #[serde(borrow, default)]
    reference_type: Cow<'a, str>,
    #[serde(borrow, default)]
    reference_locator: Cow<'a, str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Relationship<'a> {
    #[serde(borrow, default)]
    spdx_element_id: Cow<'a, str>,
    #[serde(borrow, default)]
    relationship_type: Cow<'a, str>,
    #[serde(borrow, default)]
    related_spdx_element: Cow<'a, str>,
}

#[derive(Default, Deserialize)]
struct Creation<'a> {
    #[serde(borrow, default)]
    created: Cow<'a, str>,
}

/// What is kept of an SPDX document until it ends.
#[derive(Default)]
pub(crate) struct SpdxParts {
    name: SmolStr,
    made: Option<Timestamp>,
    described: BTreeSet<SmolStr>,
    packages: Vec<(SmolStr, Component)>,
}

impl SpdxParts {
    pub(crate) fn member(&mut self, piece: &Piece<'_>) {
        match piece.key {
            "name" => {
                if let Ok(name) = serde_json::from_slice::<String>(piece.raw) {
                    self.name = short(&name, NAME_MAX);
                }
            }
            "creationInfo" => {
                if let Ok(creation) = serde_json::from_slice::<Creation<'_>>(piece.raw) {
                    self.made = moment(&creation.created);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn describes(&mut self, piece: &Piece<'_>) {
        if piece.key == "documentDescribes" {
            if let Ok(id) = serde_json::from_slice::<String>(piece.raw) {
                self.describe(&id);
            }
        } else if let Ok(relation) = serde_json::from_slice::<Relationship<'_>>(piece.raw) {
            match relation.relationship_type.as_ref() {
                "DESCRIBES" => self.describe(&relation.related_spdx_element),
                "DESCRIBED_BY" => self.describe(&relation.spdx_element_id),
                _ => {}
            }
        }
    }

    /// The document describes this package.
    pub(crate) fn describe(&mut self, id: &str) {
        if self.described.len() < 64 {
            self.described.insert(short(id, NAME_MAX));
        }
    }

    pub(crate) fn package(&mut self, piece: &Piece<'_>, out: &mut Out) {
        match serde_json::from_slice::<SpdxPackage<'_>>(piece.raw) {
            Ok(found) => {
                let reference = |wanted: &[&str]| {
                    found
                        .external_refs
                        .iter()
                        .find(|r| wanted.contains(&r.reference_type.as_ref()))
                        .map(|r| r.reference_locator.as_ref())
                };
                let part = match found.primary_package_purpose.as_ref() {
                    "DEVICE" => Part::Hardware,
                    "FIRMWARE" | "OPERATING-SYSTEM" => Part::System,
                    "" => Part::Unknown,
                    _ => Part::Program,
                };
                let component = named(
                    &found.name,
                    maker(&found.supplier, &found.originator),
                    &found.version_info,
                    part,
                    reference(&["cpe23Type", "cpe22Type"]),
                    reference(&["purl"]),
                );
                self.add(&found.id, component);
            }
            Err(error) => out.bad(piece.line, piece.offset, Fault(&error)),
        }
    }

    /// Adds a package.
    pub(crate) fn add(&mut self, id: &str, component: Component) {
        if self.packages.len() < COMPONENTS_MAX && !component.name.product.is_empty() {
            self.packages.push((short(id, NAME_MAX), component));
        }
    }

    pub(crate) fn named(&mut self, name: &str, made: Option<Timestamp>) {
        if !name.is_empty() {
            self.name = short(name, NAME_MAX);
        }
        self.made = made.or(self.made);
    }

    pub(crate) fn finish(self, out: &mut Out) {
        out.is(FeedKind::Spdx);
        out.published(self.made);
        let main = self
            .packages
            .iter()
            .position(|(id, _)| self.described.contains(id));
        let about = match main {
            Some(n) => self.packages[n].1.clone(),
            None => {
                let (name, version) = super::names::split_version(&self.name);
                named(
                    name,
                    "",
                    version.unwrap_or_default(),
                    Part::Unknown,
                    None,
                    None,
                )
            }
        };
        let components = self
            .packages
            .into_iter()
            .enumerate()
            .filter(|(n, _)| Some(*n) != main)
            .map(|(_, (_, c))| c)
            .collect();
        bill(about, self.made, components, BTreeSet::new(), out);
    }
}

/// `Organization: Maker (mail)` as SPDX writes it; persons are not makers.
pub(crate) fn maker<'a>(supplier: &'a str, originator: &'a str) -> &'a str {
    [supplier, originator]
        .into_iter()
        .find_map(|t| t.strip_prefix("Organization:"))
        .map(|t| t.split('(').next().unwrap_or(t).trim())
        .unwrap_or_default()
}
