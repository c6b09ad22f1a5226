//! What evidence makes of a device: claims of fingerprints, added up.
//!
//! # The model
//!
//! A fingerprint that matches claims a type (or a category, maker, model, system) with a certainty *c*: the probability
//! that it is right where nothing else is known. It counts `log2(c / (1 - c))` bits for its type. Bits for one type add
//! up; what comes from the same protocol goes together and counts half for the second, a third for the third piece. The
//! probability of a type is its odds over those of its rivals *and of something not in any pack*, whose odds grow with
//! the share of the evidence that no pack explains. So an answer needs evidence for itself, not merely more than others.
//!
//! A type that runs on another (a PACS on a server, a scanner's console on a workstation) is not contradicted by it.
//! Claims without a verified source add up to at most [`crate::fingerprint::UNVERIFIED_MAX`]. It abstains below one half, where the runner-up
//! comes within a bit, and where strong evidence of different protocols names types that cannot be one device.
//!
//! A learnt pack is one more claimant, with its own calibrated certainty. One whose labels are not all types of the
//! [`crate::taxonomy`] speaks a language of its own: then it alone names types, and the other packs say maker, model,
//! system and category.
//!
//! Bits are whole thousandths and are added in the order of the evidence's kind and value, so that an answer is the same
//! bit for bit in whatever order the evidence comes.

mod dicom;
mod fuse;
mod settle;
mod shipped;
mod told;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use domain::{EvidenceKind, Mac};
use smol_str::SmolStr;

use crate::evidence::Evidence;
use crate::fingerprint::{Claim, Database, Pack};
use crate::identification::{Identification, Identify};
use crate::registry::Registry;
use crate::taxonomy;

/// What the program knows of devices: packs of fingerprints and the registry of address blocks.
#[derive(Clone, Debug)]
pub struct Knowledge {
    registry: Arc<Registry>,
    packs: Vec<Pack>,
    by_kind: BTreeMap<EvidenceKind, Vec<Arc<Database>>>,
    /// Whether a learnt pack's own labels are the only names of types.
    own_words: bool,
    said: Said,
}

/// What was said of values lately: many devices share them. Holds at most [`SAID_MAX`] values.
#[derive(Debug, Default)]
struct Said(Mutex<HashMap<Evidence, Arc<[Claim]>>>);

/// Most values whose claims are kept.
const SAID_MAX: usize = 8_192;

impl Clone for Said {
    /// Another set of packs says other things.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Knowledge {
    /// What ships with the program: the hospital pack and the built-in makers.
    pub fn hospital() -> Arc<Self> {
        static SHARED: OnceLock<Arc<Knowledge>> = OnceLock::new();
        let shared = SHARED.get_or_init(|| {
            let mut knowledge = Self::empty();
            knowledge.registry = Arc::new(Registry::built_in());
            for (name, text) in shipped::PACKS {
                let pack = Pack::parse(name, text.as_bytes())
                    .expect("a test parses every pack that ships");
                knowledge.add(pack);
            }
            Arc::new(knowledge)
        });
        Arc::clone(shared)
    }

    /// Nothing: no pack and no registry.
    pub fn empty() -> Self {
        Self {
            registry: Arc::new(Registry::default()),
            packs: Vec::new(),
            by_kind: BTreeMap::new(),
            own_words: false,
            said: Said::default(),
        }
    }

    /// The same with one more pack.
    #[must_use]
    pub fn with_pack(&self, pack: Pack) -> Self {
        let mut knowledge = self.clone();
        knowledge.add(pack);
        knowledge
    }

    /// The same with another registry of address blocks.
    #[must_use]
    pub fn with_registry(&self, registry: Registry) -> Self {
        Self {
            registry: Arc::new(registry),
            ..self.clone()
        }
    }

    /// The registry of address blocks.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The packs.
    pub fn packs(&self) -> &[Pack] {
        &self.packs
    }

    fn add(&mut self, pack: Pack) {
        self.said = Said::default();
        for database in pack.databases() {
            let mut kinds: Vec<_> = database.kinds().collect();
            kinds.sort_unstable();
            kinds.dedup();
            for kind in kinds {
                self.by_kind
                    .entry(kind)
                    .or_default()
                    .push(Arc::clone(database));
            }
        }
        if let Some(learned) = pack.learnt() {
            self.own_words |= learned
                .labels()
                .any(|(label, _)| taxonomy::device_type(label).is_none());
        }
        self.packs.push(pack);
    }

    /// What every pack says of one piece of evidence.
    fn claims(&self, evidence: &Evidence) -> Arc<[Claim]> {
        // A panic while it was held left at worst a value less in it.
        let lock = || self.said.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = lock().get(evidence) {
            return Arc::clone(claims);
        }
        let claims: Arc<[Claim]> = self.work_out(evidence).into();
        let mut said = lock();
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.insert(evidence.clone(), Arc::clone(&claims));
        claims
    }

    fn work_out(&self, evidence: &Evidence) -> Vec<Claim> {
        let mut claims: Vec<Claim> = told::claims(evidence);
        let mut find = |kind: EvidenceKind, value: &str| {
            for database in self.by_kind.get(&kind).into_iter().flatten() {
                if let Some(found) = database.find(kind, value) {
                    let claim = Claim::of(&found);
                    if !claim.is_empty() {
                        claims.push(claim);
                    }
                }
            }
        };
        find(evidence.kind, &evidence.value);
        if evidence.kind == EvidenceKind::Hl7Eui64
            && let Some(eui) = told::eui64(&evidence.value)
            && let Some(organisation) = self.registry.organisation_of_eui64(eui)
        {
            find(EvidenceKind::MacVendor, organisation);
        }
        if claims.is_empty() && evidence.kind == EvidenceKind::MacVendor {
            claims.push(told::unknown_maker(&evidence.value));
        }
        claims
    }

    /// What `evidence` makes of a device. Pure: the same evidence in any order gives the same answer bit for bit.
    pub fn identify(&self, evidence: &[Evidence]) -> Identification {
        let mut order: Vec<usize> = (0..evidence.len()).collect();
        order.sort_by(|a, b| evidence[*a].cmp(&evidence[*b]).then(a.cmp(b)));
        order.dedup_by(|a, b| evidence[*a] == evidence[*b]);
        let mut fusion = fuse::Fusion::default();
        let relays = told::relays(order.iter().map(|at| &evidence[*at]));
        for at in &order {
            let one = &evidence[*at];
            fusion.seen(*at, one.kind);
            if relays && told::is_about_a_sender(one.kind) {
                continue;
            }
            for claim in self.claims(one).iter() {
                fusion.add(*at, one.kind, claim.clone());
            }
        }
        for (at, claim) in dicom::roles(evidence, &order) {
            fusion.add(at, EvidenceKind::DicomSopClass, claim);
        }
        let learnt: Vec<_> = self.packs.iter().filter_map(Pack::learnt).collect();
        if !learnt.is_empty() {
            let sorted: Vec<Evidence> = order.iter().map(|at| evidence[*at].clone()).collect();
            for learned in learnt {
                if let Some(answer) = learned.answer(&sorted) {
                    fusion.learnt(answer, &order);
                }
            }
        }
        fusion.answer(self.own_words)
    }
}

impl Identify for Knowledge {
    fn identify(&self, evidence: &[Evidence]) -> Identification {
        Self::identify(self, evidence)
    }

    fn mac_vendor(&self, mac: Mac) -> Option<SmolStr> {
        self.registry.organisation(mac).cloned()
    }

    fn with_local(&self, packs: &[(&str, &str)]) -> Result<Arc<dyn Identify>, String> {
        let mut knowledge = self.clone();
        for (name, text) in packs {
            let pack = Pack::parse(name, text.as_bytes()).map_err(|why| why.to_string())?;
            if let Some(broken) = pack.test().into_iter().find(|r| r.failure.is_some()) {
                return Err(format!(
                    "`{name}` line {}: {}",
                    broken.line,
                    broken.failure.unwrap_or_default()
                ));
            }
            knowledge.add(pack);
        }
        Ok(Arc::new(knowledge))
    }
}

#[cfg(test)]
mod tests;
