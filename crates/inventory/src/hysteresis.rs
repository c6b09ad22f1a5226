//! Whether a better answer replaces a name that people know a device by.
//!
//! While a device is young its name follows the evidence. After that a different answer must beat the old one by a margin, and
//! for a while, or be a person's. Until then the old name is shown with the confidence that the evidence leaves it, and
//! the contradiction with it. Times are those of the evidence, so that a replay decides alike.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use domain::{Criticality, PersonId, Timestamp};

use crate::identification::Identification;
use crate::ledger::{Interner, Text};
use crate::options::Options;
use crate::taxonomy;

/// What a device is shown as.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Shown {
    pub(crate) category: Option<SmolStr>,
    pub(crate) kind: Option<SmolStr>,
    pub(crate) vendor: Option<SmolStr>,
    pub(crate) model: Option<SmolStr>,
    pub(crate) os: Option<SmolStr>,
    pub(crate) confidence: f32,
    pub(crate) abstained: bool,
    pub(crate) contradictory: bool,
    pub(crate) criticality: Criticality,
    /// The answer that the evidence gives now, where another name is still shown.
    pub(crate) instead_of: Option<SmolStr>,
}

/// A person's answer about a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The type.
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// Who gave it.
    pub person: PersonId,
    /// When.
    pub at: Timestamp,
    /// The local rule it came with.
    pub rule: SmolStr,
}

/// The name that a device has, and the one that wants its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Published {
    category: Option<Text>,
    kind: Option<Text>,
    vendor: Option<Text>,
    model: Option<Text>,
    os: Option<Text>,
    confidence: f32,
    criticality: Criticality,
    /// When it first had a name, in milliseconds.
    since: i64,
    /// The name that wants its place and since when.
    challenger: Option<(Text, i64)>,
}

/// The same as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedName {
    category: Option<SmolStr>,
    #[serde(rename = "type")]
    kind: Option<SmolStr>,
    vendor: Option<SmolStr>,
    model: Option<SmolStr>,
    os: Option<SmolStr>,
    confidence: f32,
    criticality: Criticality,
    since: i64,
    challenger: Option<(SmolStr, i64)>,
}

impl Published {
    fn texts(&self) -> impl Iterator<Item = Text> {
        let challenger = self.challenger.map(|(text, _)| text);
        [
            self.category,
            self.kind,
            self.vendor,
            self.model,
            self.os,
            challenger,
        ]
        .into_iter()
        .flatten()
    }

    pub(crate) fn release(self, texts: &mut Interner) {
        self.texts().for_each(|text| texts.release(text));
    }

    /// Its name: the type, else the category.
    fn name<'a>(&self, texts: &'a Interner) -> Option<&'a str> {
        self.kind.or(self.category).map(|text| texts.get(text))
    }

    pub(crate) fn is_challenged(&self) -> bool {
        self.challenger.is_some()
    }

    pub(crate) fn save(&self, texts: &Interner) -> SavedName {
        let read = |text: Option<Text>| text.map(|text| SmolStr::new(texts.get(text)));
        SavedName {
            category: read(self.category),
            kind: read(self.kind),
            vendor: read(self.vendor),
            model: read(self.model),
            os: read(self.os),
            confidence: self.confidence,
            criticality: self.criticality,
            since: self.since,
            challenger: self
                .challenger
                .map(|(text, since)| (SmolStr::new(texts.get(text)), since)),
        }
    }
}

impl SavedName {
    pub(crate) fn restore(&self, texts: &mut Interner) -> Published {
        let mut hold = |text: &Option<SmolStr>| text.as_deref().map(|text| texts.hold(text));
        let (category, kind) = (hold(&self.category), hold(&self.kind));
        let (vendor, model, os) = (hold(&self.vendor), hold(&self.model), hold(&self.os));
        let challenger = self
            .challenger
            .as_ref()
            .map(|(text, since)| (texts.hold(text), *since));
        Published {
            category,
            kind,
            vendor,
            model,
            os,
            confidence: self.confidence,
            criticality: self.criticality,
            since: self.since,
            challenger,
        }
    }
}

/// The name of an answer: its type, else its category.
fn name_of(answer: &Identification) -> Option<&str> {
    answer.kind.as_deref().or(answer.category.as_deref())
}

/// What the evidence alone shows.
fn of_answer(answer: &Identification) -> Shown {
    let contradictory = !answer.contradictions.is_empty();
    let told = answer.criticality.filter(|_| !contradictory);
    Shown {
        category: answer.category.clone(),
        kind: answer.kind.clone(),
        vendor: answer.vendor.clone(),
        model: answer.model.clone(),
        os: answer.os.clone(),
        confidence: answer.confidence,
        abstained: answer.abstained,
        contradictory,
        criticality: told.unwrap_or(Criticality::LifeCritical),
        instead_of: None,
    }
}

/// What a person's answer shows: the type is theirs, the rest the evidence's where it fits.
fn of_confirmation(confirmed: &Confirmation, answer: &Identification) -> Shown {
    let kind = confirmed.kind.as_str();
    let agrees = answer.kind.as_deref() == Some(kind);
    let category = taxonomy::device_type(kind).map(|t| SmolStr::new_static(t.category));
    let same_category = agrees || answer.category == category;
    Shown {
        category: category.or_else(|| answer.category.clone().filter(|_| agrees)),
        kind: Some(confirmed.kind.clone()),
        vendor: answer.vendor.clone(),
        model: answer.model.clone().filter(|_| same_category),
        os: answer.os.clone(),
        confidence: if agrees {
            answer.confidence.max(0.99)
        } else {
            0.99
        },
        abstained: false,
        contradictory: false,
        criticality: taxonomy::criticality(Some(kind), None, false),
        instead_of: None,
    }
}

/// What is wanted of a name by the evidence at hand.
enum Verdict {
    /// The answer is shown.
    Follow,
    /// The old name is shown; this one wants its place, or none does.
    Hold { challenger: bool },
}

fn judge(
    old: &Published,
    answer: &Identification,
    texts: &Interner,
    now: i64,
    options: &Options,
) -> Verdict {
    let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    let young = now.saturating_sub(old.since) < ms(options.settling);
    let (Some(name), Some(old_name)) = (name_of(answer), old.name(texts)) else {
        // Nothing was named yet, or nothing is named now: a name does not go for want of evidence alone.
        let keeps = old.name(texts).is_some() && !young;
        return if keeps {
            Verdict::Hold { challenger: false }
        } else {
            Verdict::Follow
        };
    };
    let category_only = old.kind.is_none() && answer.category.as_deref() == Some(old_name);
    if young || name == old_name || category_only {
        return Verdict::Follow;
    }
    let left = old.confidence.min(1.0 - answer.confidence).max(0.0);
    let beats = !answer.abstained && answer.confidence >= left + options.margin;
    let since = old
        .challenger
        .filter(|(text, _)| texts.get(*text) == name)
        .map(|(_, since)| since);
    let sustained = since.is_some_and(|since| now.saturating_sub(since) >= ms(options.sustained));
    if beats && sustained {
        Verdict::Follow
    } else {
        Verdict::Hold { challenger: beats }
    }
}

/// What a device is shown as. `now` is the time of the newest evidence, in milliseconds.
pub(crate) fn shown(
    old: Option<&Published>,
    confirmed: Option<&Confirmation>,
    answer: &Identification,
    texts: &Interner,
    now: i64,
    options: &Options,
) -> Shown {
    if let Some(confirmed) = confirmed {
        return of_confirmation(confirmed, answer);
    }
    let Some(old) = old else {
        return of_answer(answer);
    };
    match judge(old, answer, texts, now, options) {
        Verdict::Follow => of_answer(answer),
        Verdict::Hold { .. } => {
            let read = |text: Option<Text>| text.map(|text| SmolStr::new(texts.get(text)));
            let other = name_of(answer).map(SmolStr::new);
            let left = if other.is_some() {
                1.0 - answer.confidence
            } else {
                1.0
            };
            Shown {
                category: read(old.category),
                kind: read(old.kind),
                vendor: read(old.vendor),
                model: read(old.model),
                os: read(old.os),
                confidence: old.confidence.min(left).max(0.0),
                abstained: false,
                contradictory: other.is_some() || !answer.contradictions.is_empty(),
                criticality: if other.is_some() || !answer.contradictions.is_empty() {
                    Criticality::LifeCritical
                } else {
                    old.criticality
                },
                instead_of: other,
            }
        }
    }
}

/// The name that a device has from now on.
pub(crate) fn publish(
    old: Option<Published>,
    answer: &Identification,
    texts: &mut Interner,
    now: i64,
    options: &Options,
) -> Option<Published> {
    let verdict = match &old {
        Some(old) => judge(old, answer, texts, now, options),
        None => Verdict::Follow,
    };
    match (verdict, old) {
        (Verdict::Follow, old) => {
            let since = old.as_ref().map_or(now, |old| old.since);
            // Held before the old ones are given back, so that the same text keeps its number.
            let name = name_of(answer).is_some().then(|| {
                let mut hold = |text: &Option<SmolStr>| text.as_deref().map(|t| texts.hold(t));
                Published {
                    category: hold(&answer.category),
                    kind: hold(&answer.kind),
                    vendor: hold(&answer.vendor),
                    model: hold(&answer.model),
                    os: hold(&answer.os),
                    confidence: answer.confidence,
                    criticality: answer.criticality.unwrap_or(Criticality::LifeCritical),
                    since,
                    challenger: None,
                }
            });
            if let Some(old) = old {
                old.release(texts);
            }
            name
        }
        (Verdict::Hold { challenger }, Some(mut old)) => {
            let wanted = name_of(answer).filter(|_| challenger);
            let same = old
                .challenger
                .filter(|(text, _)| Some(texts.get(*text)) == wanted);
            if same.is_none() {
                if let Some((text, _)) = old.challenger.take() {
                    texts.release(text);
                }
                old.challenger = wanted.map(|name| (texts.hold(name), now));
            }
            Some(old)
        }
        (Verdict::Hold { .. }, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: &str, confidence: f32) -> Identification {
        Identification {
            category: Some("computer".into()),
            kind: (!kind.is_empty()).then(|| kind.into()),
            confidence,
            criticality: Some(Criticality::Business),
            ..Identification::default()
        }
    }

    struct Bench {
        texts: Interner,
        options: Options,
        name: Option<Published>,
    }

    impl Bench {
        /// The name of a device that was called a workstation long ago.
        fn settled() -> Self {
            let mut bench = Self {
                texts: Interner::default(),
                options: Options::default(),
                name: None,
            };
            bench.tell("workstation", 0.8, 0);
            bench
        }

        /// The evidence gives this answer at this minute. What is shown then?
        fn tell(&mut self, kind: &str, confidence: f32, minute: i64) -> Shown {
            let (answer, now) = (answer(kind, confidence), minute * 60_000);
            let shown = shown(
                self.name.as_ref(),
                None,
                &answer,
                &self.texts,
                now,
                &self.options,
            );
            self.name = publish(
                self.name.take(),
                &answer,
                &mut self.texts,
                now,
                &self.options,
            );
            shown
        }
    }

    #[test]
    fn a_young_device_follows_its_evidence() {
        let mut bench = Bench::settled();
        assert_eq!(
            bench.tell("games_console", 0.7, 5).kind.as_deref(),
            Some("games_console")
        );
    }

    #[test]
    fn a_settled_name_does_not_flip_back_and_forth() {
        let mut bench = Bench::settled();
        for minute in (60..600).step_by(10) {
            let kind = if minute % 20 == 0 {
                "games_console"
            } else {
                "workstation"
            };
            let shown = bench.tell(kind, 0.98, minute);
            assert_eq!(
                shown.kind.as_deref(),
                Some("workstation"),
                "minute {minute}"
            );
            assert_eq!(shown.contradictory, kind == "games_console");
            assert!(kind == "workstation" || shown.confidence < 0.03);
        }
    }

    #[test]
    fn a_better_answer_that_lasts_replaces_a_settled_name() {
        let mut bench = Bench::settled();
        let first = bench.tell("server", 0.9, 60);
        assert_eq!(first.kind.as_deref(), Some("workstation"));
        assert_eq!(first.instead_of.as_deref(), Some("server"));
        assert_eq!(first.criticality, Criticality::LifeCritical);
        assert_eq!(
            bench.tell("server", 0.9, 119).kind.as_deref(),
            Some("workstation")
        );
        assert_eq!(
            bench.tell("server", 0.9, 120).kind.as_deref(),
            Some("server")
        );
        assert_eq!(bench.tell("server", 0.9, 121).instead_of, None);
    }

    #[test]
    fn an_answer_that_is_no_better_never_replaces_a_settled_name() {
        let mut bench = Bench::settled();
        for minute in 60..600 {
            assert_eq!(
                bench.tell("server", 0.45, minute).kind.as_deref(),
                Some("workstation")
            );
        }
    }

    #[test]
    fn a_name_stays_when_the_evidence_falls_silent() {
        let mut bench = Bench::settled();
        let silent = Identification {
            abstained: true,
            ..Identification::default()
        };
        let now = 90 * 60_000;
        let shown = shown(
            bench.name.as_ref(),
            None,
            &silent,
            &bench.texts,
            now,
            &bench.options,
        );
        assert_eq!(
            (shown.kind.as_deref(), shown.contradictory),
            (Some("workstation"), false)
        );
        bench.name = publish(
            bench.name.take(),
            &silent,
            &mut bench.texts,
            now,
            &bench.options,
        );
        assert!(bench.name.is_some());
    }

    #[test]
    fn a_person_decides_at_once() {
        let mut bench = Bench::settled();
        let confirmed = Confirmation {
            kind: "infusion_pump".into(),
            person: PersonId::new("s-1"),
            at: Timestamp::from_millis(0),
            rule: "r".into(),
        };
        let answer = answer("server", 0.9);
        let shown = shown(
            bench.name.as_ref(),
            Some(&confirmed),
            &answer,
            &bench.texts,
            1,
            &bench.options,
        );
        assert_eq!(shown.kind.as_deref(), Some("infusion_pump"));
        assert_eq!(shown.category.as_deref(), Some("medical"));
        bench.tell("workstation", 0.8, 1);
    }

    #[test]
    fn no_text_is_left_behind() {
        let mut bench = Bench::settled();
        bench.tell("server", 0.9, 60);
        let saved = bench.name.as_ref().map(|name| name.save(&bench.texts));
        let restored = saved.as_ref().map(|saved| saved.restore(&mut bench.texts));
        assert_eq!(restored, bench.name);
        for name in [restored, bench.name.take()].into_iter().flatten() {
            name.release(&mut bench.texts);
        }
        assert_eq!(bench.texts.len(), 0);
    }
}
