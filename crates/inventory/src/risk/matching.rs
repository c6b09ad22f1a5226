//! Which rows of which feeds concern a device, how surely, and in which words.
//!
//! # Confidence
//!
//! | what agrees | figure |
//! |---|---|
//! | maker and model (or system) the same, version inside the stated range | 0.95 |
//! | the row names the family the model belongs to | 0.85 |
//! | the row names one of several products the device may be | 0.5 |
//! | the maker is not stated on one side, the product's name is the same and telling | times 0.6 |
//! | the row says "all versions" | times 0.95 |
//! | the row does not say which versions, or the device's version is not known | times 0.45 for a model; for a system or a program: undecided, not reported |
//! | it must run on something that is not known to be here | times 0.7 |
//! | a program's banner (distributions mend without changing the version) | at most 0.5 |
//! | a component of a bill of materials | at most 0.8, and only with its version in range |
//!
//! Nothing is surer than the inventory is of what the device is. Below [`CONFIDENCE_MIN`] nothing is reported. A maker's
//! statement that a product is not affected takes back what other lists say of it, and a list whose range leaves the
//! device's version out takes back what a list without ranges says.

mod index;
mod sentence;
mod support;
mod verdict;

use std::collections::BTreeMap;

use domain::{DeviceProfile, RiskFact, Timestamp};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::reader::{FeedKind, Import};
use super::row::{Codes, Name, Recall, Row, Vulnerability};
use super::subject::{Subject, Thing};
use index::Index;
use verdict::{Ground, Verdict, judge};

/// The least confidence that is reported.
pub const CONFIDENCE_MIN: f32 = 0.3;
/// Most risk facts kept of one device; the surest and the exploited come first.
pub const RISKS_MAX: usize = 400;

/// An import with the moment at which it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feed {
    /// What was read.
    #[serde(flatten)]
    pub import: Import,
    /// When it was imported.
    pub imported: Timestamp,
}

/// How a feed stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedStatus {
    /// The file's name.
    pub name: SmolStr,
    /// What it is.
    pub kind: FeedKind,
    /// When its content was made; absent: it does not say.
    pub published: Option<Timestamp>,
    /// When it was imported.
    pub imported: Timestamp,
    /// Its age in whole days, from `published` where known.
    pub age_days: u64,
    /// Whether it is older than a feed of its kind may be.
    pub stale: bool,
    /// Rows in use.
    pub rows: u64,
    /// Rows that could not be read.
    pub bad: u64,
}

/// The feeds that are in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Feeds {
    feeds: Vec<Feed>,
}

/// A document about a device's model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// A bill of materials or a security disclosure.
    pub kind: FeedKind,
    /// The product it is about, as it says.
    pub product: SmolStr,
    /// The version it is about; empty: it does not say.
    pub version: SmolStr,
    /// Whether that is the version that runs here; absent: not known.
    pub version_agrees: Option<bool>,
    /// The file it came from.
    pub feed: SmolStr,
    /// Questions of a disclosure answered with no.
    pub answered_no: u32,
}

/// Rows that name something of the device but do not say, or of which we do not know, which version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undecided {
    /// How many vulnerabilities.
    pub rows: u32,
    /// How many of them are known to be exploited.
    pub exploited: u32,
    /// One of them, the exploited first.
    pub example: Option<SmolStr>,
}

/// What the feeds say of one device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// Known risks: exploited first, then the surest; at most [`RISKS_MAX`].
    pub risks: Vec<RiskFact>,
    /// Risks left out for lack of room.
    pub more: u32,
    /// Documents about its model.
    pub documents: Vec<Document>,
    /// What could not be told.
    pub undecided: Undecided,
}

impl Feeds {
    /// No feeds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only the table of end-of-support dates that ships.
    pub fn shipped() -> Self {
        let import = super::support::shipped();
        let mut feeds = Self::new();
        // The shipped table's age is the age of the newest date check, stated in the table.
        let checked = Timestamp::parse("2026-11-22").unwrap_or(Timestamp::from_millis(0));
        feeds.add(
            Import {
                published: Some(checked),
                ..import
            },
            checked,
        );
        feeds
    }

    /// Adds an import; one of the same kind and name is replaced.
    pub fn add(&mut self, import: Import, imported: Timestamp) {
        self.feeds
            .retain(|f| f.import.kind != import.kind || f.import.name != import.name);
        self.feeds.push(Feed { import, imported });
        self.feeds
            .sort_by(|a, b| (a.import.kind, &a.import.name).cmp(&(b.import.kind, &b.import.name)));
    }

    /// The feeds, by kind and name.
    pub fn iter(&self) -> impl Iterator<Item = &Feed> {
        self.feeds.iter()
    }

    /// Removes a feed; `false`: there was none.
    pub fn remove(&mut self, kind: FeedKind, name: &str) -> bool {
        let before = self.feeds.len();
        self.feeds
            .retain(|f| f.import.kind != kind || f.import.name != name);
        before != self.feeds.len()
    }

    /// How each feed stands at `now`.
    pub fn status(&self, now: Timestamp) -> Vec<FeedStatus> {
        self.feeds
            .iter()
            .map(|f| {
                let made = f.import.published.unwrap_or(f.imported);
                let age_days = now.since(made).as_secs() / 86_400;
                FeedStatus {
                    name: f.import.name.clone(),
                    kind: f.import.kind,
                    published: f.import.published,
                    imported: f.imported,
                    age_days,
                    stale: f
                        .import
                        .kind
                        .stale_days()
                        .is_some_and(|days| age_days > u64::from(days)),
                    rows: f.import.counts.kept,
                    bad: f.import.counts.bad,
                }
            })
            .collect()
    }

    /// Prepares to match devices: an index over all rows, made once.
    pub fn matcher(&self) -> Matcher<'_> {
        Matcher::new(self)
    }
}

/// Matches devices against the feeds.
#[derive(Debug)]
pub struct Matcher<'a> {
    index: Index<'a>,
    /// Since when each vulnerability is known to be exploited.
    exploited: BTreeMap<&'a str, Timestamp>,
    recalls: Vec<(&'a Recall, &'a str, index::RecallNames)>,
    by_serial: BTreeMap<&'a str, Vec<usize>>,
    by_identifier: BTreeMap<&'a str, Vec<usize>>,
    by_firm: BTreeMap<SmolStr, Vec<usize>>,
    bills: Vec<Billed<'a>>,
    papers: Vec<Paper<'a>>,
    ends: support::Ends<'a>,
}

/// A bill of materials with what is known of its components.
#[derive(Debug)]
struct Billed<'a> {
    thing: Thing,
    not_affected: &'a [SmolStr],
    found: Vec<(&'a Vulnerability, &'static str, f32, SmolStr)>,
}

/// A document by the product it is about.
#[derive(Debug)]
struct Paper<'a> {
    thing: Thing,
    kind: FeedKind,
    name: &'a Name,
    version: &'a SmolStr,
    feed: &'a SmolStr,
    answered_no: u32,
}

impl<'a> Matcher<'a> {
    fn new(feeds: &'a Feeds) -> Self {
        let mut matcher = Self {
            index: Index::default(),
            exploited: BTreeMap::new(),
            recalls: Vec::new(),
            by_serial: BTreeMap::new(),
            by_identifier: BTreeMap::new(),
            by_firm: BTreeMap::new(),
            bills: Vec::new(),
            papers: Vec::new(),
            ends: support::Ends::default(),
        };
        for feed in &feeds.feeds {
            let kind = feed.import.kind;
            for row in &feed.import.rows {
                match row {
                    Row::Vulnerability(v) => {
                        matcher.index.add(v, kind);
                        if let Some(since) = v.exploited {
                            let at = matcher.exploited.entry(&v.id).or_insert(since);
                            *at = (*at).min(since);
                        }
                    }
                    Row::Recall(r) => matcher.add_recall(r, &feed.import.name),
                    Row::EndOfSupport(e) => matcher.ends.add(e, &feed.import.name),
                    Row::Bill(b) => {
                        matcher.papers.push(Paper {
                            thing: index::thing(&b.name, Some(&b.version)),
                            kind,
                            name: &b.name,
                            version: &b.version,
                            feed: &feed.import.name,
                            answered_no: 0,
                        });
                        matcher.bills.push(Billed {
                            thing: index::thing(&b.name, Some(&b.version)),
                            not_affected: &b.not_affected,
                            found: Vec::new(),
                        });
                    }
                    Row::Disclosure(d) => matcher.papers.push(Paper {
                        thing: index::thing(&d.name, Some(&d.version)),
                        kind,
                        name: &d.name,
                        version: &d.version,
                        feed: &feed.import.name,
                        answered_no: u32::try_from(
                            d.answers.iter().filter(|(_, a)| a == "no").count(),
                        )
                        .unwrap_or(u32::MAX),
                    }),
                }
            }
        }
        // Components are compared once for each bill, not once for each device.
        let mut n = 0;
        for feed in &feeds.feeds {
            for row in &feed.import.rows {
                if let Row::Bill(bill) = row {
                    matcher.bills[n].found = matcher.components(bill);
                    n += 1;
                }
            }
        }
        matcher
    }

    fn add_recall(&mut self, recall: &'a Recall, feed: &'a str) {
        let at = self.recalls.len();
        for serial in &recall.serials {
            self.by_serial.entry(serial).or_default().push(at);
        }
        for identifier in &recall.device_identifiers {
            self.by_identifier.entry(identifier).or_default().push(at);
        }
        let names = index::RecallNames::of(recall);
        self.by_firm.entry(names.firm.clone()).or_default().push(at);
        self.recalls.push((recall, feed, names));
    }

    fn components(
        &self,
        bill: &'a super::row::Bill,
    ) -> Vec<(&'a Vulnerability, &'static str, f32, SmolStr)> {
        let mut out = Vec::new();
        for component in &bill.components {
            if component.version.is_empty() {
                continue;
            }
            let thing = index::thing(&component.name, Some(&component.version));
            let mut seen: BTreeMap<&str, (Verdict<'a>, &'static str)> = BTreeMap::new();
            for (row, kind, verdict) in
                self.judgements(&thing, Ground::Component, &Subject::default())
            {
                merge(&mut seen, row, kind, verdict);
            }
            for (_, (verdict, kind)) in seen {
                if let Verdict::Yes {
                    row, confidence, ..
                } = verdict
                {
                    out.push((
                        row,
                        kind,
                        confidence,
                        sentence::component(&component.name, &component.version),
                    ));
                }
            }
        }
        out
    }

    /// Every vulnerability row that names `thing`, with what it says of it.
    fn judgements<'s>(
        &'s self,
        thing: &'s Thing,
        ground: Ground,
        subject: &'s Subject,
    ) -> impl Iterator<Item = (&'a Vulnerability, FeedKind, Verdict<'a>)> + 's {
        self.index
            .named(thing)
            .into_iter()
            .flat_map(move |(name, likeness)| {
                self.index.rows_of(name).map(move |(row, kind, affected)| {
                    let verdict = judge(row, affected, thing, name, likeness, ground, subject);
                    (row, kind, verdict)
                })
            })
    }

    /// What the feeds say of a device at `now`.
    pub fn of(&self, profile: &DeviceProfile, now: Timestamp) -> Matched {
        let subject = Subject::of(profile);
        let mut seen: BTreeMap<&str, (Verdict<'a>, &'static str)> = BTreeMap::new();
        let mut also: BTreeMap<&str, Vec<FeedKind>> = BTreeMap::new();
        let groups = [
            (&subject.models, Ground::Model),
            (&subject.systems, Ground::System),
            (&subject.programs, Ground::Program),
        ];
        for (things, ground) in groups {
            for versions in one_name(things) {
                let mut about: BTreeMap<&str, (Verdict<'a>, &'static str)> = BTreeMap::new();
                for (n, thing) in versions.iter().enumerate() {
                    let mut here: BTreeMap<&str, (Verdict<'a>, &'static str)> = BTreeMap::new();
                    for (row, kind, verdict) in self.judgements(thing, ground, &subject) {
                        also.entry(&row.id).or_default().push(kind);
                        merge(&mut here, row, kind, verdict);
                    }
                    if n == 0 {
                        about = here;
                        continue;
                    }
                    // Several versions are reported of one thing: what holds for one and not for another is not known.
                    for (id, (verdict, kind)) in here {
                        let both = match about.remove(id) {
                            Some((earlier, _)) => earlier.and(verdict),
                            None => verdict,
                        };
                        about.insert(id, (both, kind));
                    }
                }
                for (id, (verdict, kind)) in about {
                    let entry = seen.entry(id);
                    match entry {
                        std::collections::btree_map::Entry::Vacant(e) => {
                            e.insert((verdict, kind));
                        }
                        std::collections::btree_map::Entry::Occupied(mut e) => {
                            let merged = e.get().0.clone().or(verdict);
                            e.get_mut().0 = merged;
                        }
                    }
                }
            }
        }

        let mut risks: BTreeMap<SmolStr, RiskFact> = BTreeMap::new();
        let mut undecided = Undecided::default();
        for (id, (verdict, _)) in &seen {
            let since = self.exploited.get(id).copied();
            match verdict {
                Verdict::Yes {
                    row,
                    confidence,
                    says,
                } => {
                    let feeds = feeds_of(also.get(id));
                    let fact = RiskFact {
                        id: row.id.clone(),
                        feed: feeds,
                        says: sentence::vulnerability(says, row, since),
                        exploited: since.is_some(),
                        confidence: *confidence,
                        published: since.or(row.published),
                    };
                    put(&mut risks, fact);
                }
                Verdict::Unknown => {
                    undecided.rows += 1;
                    undecided.exploited += u32::from(since.is_some());
                    let better = since.is_some() && undecided.exploited == 1;
                    if undecided.example.is_none() || better {
                        undecided.example = Some(SmolStr::new(id));
                    }
                }
                Verdict::No | Verdict::Exonerated => {}
            }
        }
        self.bills_of(&subject, &seen, &mut risks);
        self.recalls_of(&subject, &mut risks);
        if let Some(fact) = self.ends.of(&subject, now) {
            put(&mut risks, fact);
        }

        let mut risks: Vec<RiskFact> = risks
            .into_values()
            .filter(|r| r.confidence >= CONFIDENCE_MIN)
            .collect();
        risks.sort_by(|a, b| {
            b.exploited
                .cmp(&a.exploited)
                .then_with(|| b.confidence.total_cmp(&a.confidence))
                .then_with(|| a.id.cmp(&b.id))
        });
        let more = u32::try_from(risks.len().saturating_sub(RISKS_MAX)).unwrap_or(u32::MAX);
        risks.truncate(RISKS_MAX);
        Matched {
            risks,
            more,
            documents: self.documents(&subject),
            undecided,
        }
    }

    fn bills_of(
        &self,
        subject: &Subject,
        seen: &BTreeMap<&str, (Verdict<'a>, &'static str)>,
        risks: &mut BTreeMap<SmolStr, RiskFact>,
    ) {
        for bill in &self.bills {
            let Some(certainty) = about(&bill.thing, subject) else {
                continue;
            };
            for (row, kind, confidence, component) in &bill.found {
                let taken_back = bill.not_affected.binary_search(&row.id).is_ok()
                    || seen
                        .get(row.id.as_str())
                        .is_some_and(|(v, _)| matches!(v, Verdict::Exonerated));
                if taken_back {
                    continue;
                }
                let since = self.exploited.get(row.id.as_str()).copied();
                put(
                    risks,
                    RiskFact {
                        id: row.id.clone(),
                        feed: SmolStr::new_static(kind),
                        says: sentence::vulnerability(
                            &format!(
                                "its bill of materials ({}) lists {component}, a version that is affected",
                                bill.thing.shown
                            ),
                            row,
                            since,
                        ),
                        exploited: since.is_some(),
                        confidence: confidence.min(certainty),
                        published: since.or(row.published),
                    },
                );
            }
        }
    }

    fn recalls_of(&self, subject: &Subject, risks: &mut BTreeMap<SmolStr, RiskFact>) {
        let ours: Vec<&Thing> = subject.models.iter().collect();
        let maker_agrees = |firm: &str| {
            ours.iter().all(|m| {
                m.vendor.is_empty()
                    || firm.is_empty()
                    || m.vendor == *firm
                    || firm.starts_with(m.vendor.as_str())
            })
        };
        let mut candidates: BTreeMap<usize, (f32, &'static str)> = BTreeMap::new();
        let mut offer = |at: usize, confidence: f32, how: &'static str| {
            let best = candidates.entry(at).or_insert((confidence, how));
            if confidence > best.0 {
                *best = (confidence, how);
            }
        };
        for serial in &subject.serials {
            for at in self.by_serial.get(serial.as_str()).into_iter().flatten() {
                if maker_agrees(&self.recalls[*at].2.firm) {
                    offer(*at, 0.95, "lists its serial number");
                }
            }
        }
        let unit_listed = |recall: &Recall| {
            recall.serials.is_empty()
                || subject.serials.is_empty()
                || recall.codes != Codes::Listed
                || subject
                    .serials
                    .iter()
                    .any(|s| recall.serials.binary_search(s).is_ok())
        };
        for identifier in &subject.identifiers {
            for at in self
                .by_identifier
                .get(identifier.as_str())
                .into_iter()
                .flatten()
            {
                let recall = self.recalls[*at].0;
                if unit_listed(recall) && !recall.over {
                    let sure = if recall.serials.is_empty() { 0.9 } else { 0.6 };
                    offer(*at, sure, "lists its device identifier (UDI)");
                }
            }
        }
        for model in &ours {
            if model.vendor.is_empty() {
                continue;
            }
            for (firm, list) in self.by_firm.range(model.vendor.clone()..) {
                if !firm.starts_with(model.vendor.as_str()) {
                    break;
                }
                for at in list {
                    let (recall, _, names) = &self.recalls[*at];
                    if recall.over || !unit_listed(recall) || !names.describes(&model.words) {
                        continue;
                    }
                    let (confidence, how) = match recall.codes {
                        Codes::All => (0.85, "names its model, all units"),
                        Codes::Listed | Codes::Open => (
                            0.5,
                            "names its model; whether this unit is among the codes has to be looked up",
                        ),
                    };
                    offer(*at, confidence, how);
                }
            }
        }
        for (at, (confidence, how)) in candidates {
            let (recall, _, _) = &self.recalls[at];
            let halved = if recall.over {
                confidence * 0.5
            } else {
                confidence
            };
            // A serial number or UDI names the unit, whatever the inventory takes it for.
            let cap = if confidence >= 0.9 {
                1.0
            } else {
                subject.confidence
            };
            put(
                risks,
                RiskFact {
                    id: recall.number.clone(),
                    feed: SmolStr::new_static(FeedKind::Recalls.as_str()),
                    says: sentence::recall(recall, how),
                    exploited: false,
                    confidence: halved.min(cap),
                    published: recall.began,
                },
            );
        }
    }

    fn documents(&self, subject: &Subject) -> Vec<Document> {
        let mut out: Vec<Document> = Vec::new();
        for paper in &self.papers {
            if about(&paper.thing, subject).is_none_or(|c| c < 0.5 * subject.confidence.max(0.01)) {
                continue;
            }
            let ours: Vec<&SmolStr> = subject
                .models
                .iter()
                .filter_map(|m| m.version.as_ref())
                .collect();
            let version_agrees = (!ours.is_empty() && !paper.version.is_empty()).then(|| {
                ours.iter().any(|v| {
                    super::version::compare(v, paper.version) == Some(std::cmp::Ordering::Equal)
                })
            });
            out.push(Document {
                kind: paper.kind,
                product: paper.name.product.clone(),
                version: paper.version.clone(),
                version_agrees,
                feed: paper.feed.clone(),
                answered_no: paper.answered_no,
            });
        }
        out
    }
}

/// Whether a document's product is the device's model, and how surely.
fn about(thing: &Thing, subject: &Subject) -> Option<f32> {
    subject
        .models
        .iter()
        .filter_map(|model| verdict::likely(thing, model))
        .map(|c| c.min(subject.confidence))
        .reduce(f32::max)
}

/// Groups things that differ only in version.
fn one_name(things: &[Thing]) -> impl Iterator<Item = &[Thing]> {
    things.chunk_by(|a, b| a.vendor == b.vendor && a.words == b.words)
}

fn merge<'a>(
    into: &mut BTreeMap<&'a str, (Verdict<'a>, &'static str)>,
    row: &'a Vulnerability,
    kind: FeedKind,
    verdict: Verdict<'a>,
) {
    match into.entry(&row.id) {
        std::collections::btree_map::Entry::Vacant(e) => {
            e.insert((verdict, kind.as_str()));
        }
        std::collections::btree_map::Entry::Occupied(mut e) => {
            let merged = e.get().0.clone().or(verdict);
            e.get_mut().0 = merged;
        }
    }
}

/// The feeds that name a vulnerability, in order, each once.
fn feeds_of(kinds: Option<&Vec<FeedKind>>) -> SmolStr {
    let mut kinds: Vec<FeedKind> = kinds.cloned().unwrap_or_default();
    kinds.sort();
    kinds.dedup();
    let names: Vec<&str> = kinds.iter().map(|k| k.as_str()).collect();
    names.join(", ").into()
}

/// Duplicates become one: the surest words, exploited if any says so, the earliest date.
fn put(risks: &mut BTreeMap<SmolStr, RiskFact>, fact: RiskFact) {
    match risks.entry(fact.id.clone()) {
        std::collections::btree_map::Entry::Vacant(e) => {
            e.insert(fact);
        }
        std::collections::btree_map::Entry::Occupied(mut e) => {
            let kept = e.get_mut();
            kept.exploited |= fact.exploited;
            kept.published = match (kept.published, fact.published) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            if !kept.feed.split(", ").any(|f| f == fact.feed) {
                kept.feed = format!("{}, {}", kept.feed, fact.feed).into();
            }
            if fact.confidence > kept.confidence {
                kept.confidence = fact.confidence;
                kept.says = fact.says;
            }
        }
    }
}
