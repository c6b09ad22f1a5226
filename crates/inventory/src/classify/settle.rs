//! What would settle an open question, in the reader's words.

use std::collections::BTreeMap;

use domain::EvidenceKind;
use smol_str::{SmolStr, format_smolstr};

use crate::identification::Contradiction;
use crate::taxonomy;

/// Most suggestions.
const SUGGESTIONS_MAX: usize = 3;

/// Probability from which nothing needs settling.
const SETTLED: f32 = 0.9;

/// What is open about a device.
pub(super) struct Open<'a> {
    pub(super) seen: &'a BTreeMap<usize, EvidenceKind>,
    pub(super) kind: Option<&'a str>,
    pub(super) category: Option<&'a str>,
    pub(super) confidence: f32,
    /// Whether claims without a verified source hold the answer down.
    pub(super) unverified: bool,
    /// The type that comes too near.
    pub(super) rival: Option<SmolStr>,
    /// The type it is like, while naming another model.
    pub(super) near: Option<SmolStr>,
    pub(super) contradictions: &'a [Contradiction],
}

/// What would settle it, the most helpful first.
pub(super) fn settle(open: &Open<'_>) -> Vec<SmolStr> {
    let mut out = Vec::new();
    for contradiction in open.contradictions.iter().take(2) {
        out.push(format_smolstr!(
            "somebody to look at it: some evidence says {}, some says {}",
            name(&contradiction.one),
            name(&contradiction.other)
        ));
    }
    if let Some(near) = &open.near {
        out.push(format_smolstr!(
            "a name for its type: it behaves like {}, but names another model",
            name(near)
        ));
    }
    if open.kind.is_some() && open.confidence >= SETTLED && out.is_empty() {
        return out;
    }
    if let Some(rival) = &open.rival {
        out.push(match open.kind {
            Some(kind) => format_smolstr!("whether it is {} or {}", name(kind), name(rival)),
            None => format_smolstr!("whether it is {}", name(rival)),
        });
    }
    if open.unverified {
        out.push(SmolStr::new_static(
            "a verified source for the fingerprint that names it",
        ));
    }
    let has = |kinds: &[EvidenceKind]| open.seen.values().any(|kind| kinds.contains(kind));
    use EvidenceKind as E;
    if !has(&[E::DhcpParameters, E::DhcpVendorClass, E::DhcpHostname]) {
        out.push(SmolStr::new_static(
            "its next DHCP request: restart it, or unplug and plug it in",
        ));
    }
    if open.category != Some("network")
        && !has(&[
            E::HttpUserAgent,
            E::HttpServer,
            E::TlsJa4,
            E::DicomImplementationClass,
            E::Hl7Application,
            E::SnmpSysDescr,
            E::MdnsService,
            E::SsdpServer,
        ])
    {
        out.push(SmolStr::new_static(
            "traffic while it works: only its address management was seen",
        ));
    }
    if !has(&[E::RegisterType, E::RegisterModel, E::Confirmed]) {
        out.push(SmolStr::new_static(
            "its row in the equipment register, or somebody's answer in the queue",
        ));
    }
    out.truncate(SUGGESTIONS_MAX);
    out
}

fn name(id: &str) -> String {
    match taxonomy::category(id) {
        Some(category) => format!("a {}", category.words),
        None => taxonomy::words(id),
    }
}
