//! What people answer, and the local rules that come of it.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use smol_str::{SmolStr, format_smolstr};

use domain::{DeviceId, EvidenceKind, PersonId, Timestamp};

use super::{Confirmation, Inventory, Standing};
use crate::evidence::Evidence;
use crate::queue;
use crate::taxonomy;

/// An answer that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// There is no such question.
    #[error("no question `{0}` is open: the queue may have changed since it was read")]
    NoQuestion(SmolStr),
    /// There is no such device.
    #[error("no device `{0}` is known")]
    NoDevice(SmolStr),
    /// There is no such rule.
    #[error("no local rule `{0}` is in force")]
    NoRule(SmolStr),
    /// The text cannot name a type.
    #[error("`{0}` cannot name a type: use letters, digits and `_`, such as `infusion_pump`")]
    NotAType(SmolStr),
    /// The knowledge does not take the rule.
    #[error("the local rule does not read: {0}")]
    Rule(String),
}

/// A person's answer as a rule: it holds for the devices it was given for, and what they share names others like them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRule {
    /// Its name: `local-7`.
    pub id: SmolStr,
    /// The type.
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// Who answered.
    pub person: PersonId,
    /// When.
    pub at: Timestamp,
    /// The devices it was given for.
    pub devices: Vec<DeviceId>,
    /// What they share and no device of another type has: each is a fingerprint of the pack.
    pub shared: Vec<Evidence>,
    /// The fingerprint pack, in the format of [`crate::fingerprint`]; absent: nothing tells these devices from others. It
    /// names neither the person nor the devices, so that it can be shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack: Option<String>,
}

/// What an answer would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The type.
    pub kind: SmolStr,
    /// The devices it would be given for.
    pub devices: Vec<DeviceId>,
    /// What they share and no device of another type has.
    pub shared: Vec<Evidence>,
    /// Devices of no known type that are not asked about and have some of it, at most [`queue::DEVICES_MAX`].
    pub also: Vec<DeviceId>,
}

impl Inventory {
    /// What [`Inventory::answer`] would change, found without changing anything.
    ///
    /// # Errors
    /// When the question is gone or the text cannot name a type.
    pub fn preview(&self, question: &str, kind: &str) -> Result<Preview, AnswerError> {
        let open = self.queue().into_iter().find(|q| q.id == question);
        let question = open.ok_or_else(|| AnswerError::NoQuestion(question.into()))?;
        let kind = type_name(kind)?;
        let groups: Vec<u32> = question
            .devices
            .iter()
            .filter_map(|id| self.group_of_id(id))
            .collect();
        let shared = self.telling(&question.shared, &kind, &groups);
        let mut also = Vec::new();
        for group in self.present() {
            if shared.is_empty() || also.len() == queue::DEVICES_MAX {
                break;
            }
            if groups.contains(&group) {
                continue;
            }
            let assembled = self.assemble(group, &self.macs_of(group));
            let shows_some = || assembled.told.iter().any(|t| shared.contains(&t.evidence));
            if assembled.shown.kind.is_none() && shows_some() {
                also.push(self.id_of(group));
            }
        }
        Ok(Preview {
            kind,
            devices: question.devices,
            shared,
            also,
        })
    }

    /// Questions for people, the most pressing first.
    pub fn queue(&self) -> Vec<queue::Question> {
        queue::questions(self)
    }

    /// Takes a person's answer to a question of the queue: its devices are of this type, and so are others that have what
    /// these share. The same inventory and answer give the same rule.
    ///
    /// # Errors
    /// When the question is gone, the text cannot name a type, or the knowledge does not take the rule; then nothing changed.
    pub fn answer(
        &mut self,
        question: &str,
        kind: &str,
        person: PersonId,
        at: Timestamp,
    ) -> Result<LocalRule, AnswerError> {
        let open = self.queue();
        let question = open
            .into_iter()
            .find(|q| q.id == question)
            .ok_or_else(|| AnswerError::NoQuestion(question.into()))?;
        self.confirm_all(question.devices, &question.shared, kind, person, at)
    }

    /// Takes a person's answer about certain devices. It names no others.
    ///
    /// # Errors
    /// When a device is not known or the text cannot name a type; then nothing changed.
    pub fn confirm(
        &mut self,
        devices: &[DeviceId],
        kind: &str,
        person: PersonId,
        at: Timestamp,
    ) -> Result<LocalRule, AnswerError> {
        self.confirm_all(devices.to_vec(), &[], kind, person, at)
    }

    fn confirm_all(
        &mut self,
        devices: Vec<DeviceId>,
        shared: &[Evidence],
        kind: &str,
        person: PersonId,
        at: Timestamp,
    ) -> Result<LocalRule, AnswerError> {
        let kind = type_name(kind)?;
        let mut groups = Vec::with_capacity(devices.len());
        for id in &devices {
            let group = self.group_of_id(id);
            groups.push(group.ok_or_else(|| AnswerError::NoDevice(id.as_str().into()))?);
        }
        let shared = self.telling(shared, &kind, &groups);
        let id = format_smolstr!("local-{}", self.next_rule);
        let rule = LocalRule {
            pack: pack(&id, &kind, &shared, at),
            id,
            kind,
            person,
            at,
            devices,
            shared,
        };
        self.rules.push(rule.clone());
        if let Err(why) = self.relearn() {
            self.rules.pop();
            self.relearn()?;
            return Err(why);
        }
        self.next_rule += 1;
        self.rules_changed = self.round;
        for group in groups {
            let Some(at_key) = self.view().group(group).map(|g| g.key_node()) else {
                continue;
            };
            let place = self.standing_place(group).unwrap_or(at_key);
            let standing: &mut Standing = self.standing.entry(place).or_default();
            standing.confirmed = Some(Box::new(Confirmation {
                kind: rule.kind.clone(),
                person: rule.person.clone(),
                at,
                rule: rule.id.clone(),
            }));
            self.mark_changed(place.0);
        }
        Ok(rule)
    }

    /// Takes a local rule back: its devices are what the evidence says again.
    ///
    /// # Errors
    /// When there is no such rule.
    pub fn undo(&mut self, rule: &str) -> Result<LocalRule, AnswerError> {
        let place = self
            .rules
            .iter()
            .position(|r| r.id == rule)
            .ok_or_else(|| AnswerError::NoRule(rule.into()))?;
        let gone = self.rules.remove(place);
        if let Err(why) = self.relearn() {
            self.rules.insert(place, gone);
            return Err(why);
        }
        self.rules_changed = self.round;
        let mut changed = Vec::new();
        for (place, standing) in &mut self.standing {
            if standing
                .confirmed
                .as_ref()
                .is_some_and(|c| c.rule == gone.id)
            {
                standing.confirmed = None;
                changed.push(place.0);
            }
        }
        changed.into_iter().for_each(|node| self.mark_changed(node));
        Ok(gone)
    }

    /// The local rules in force, oldest first.
    pub fn rules(&self) -> &[LocalRule] {
        &self.rules
    }

    pub(super) fn restore_rules(
        &mut self,
        rules: impl IntoIterator<Item = LocalRule>,
    ) -> Result<(), AnswerError> {
        self.rules.extend(rules);
        let numbers = self
            .rules
            .iter()
            .filter_map(|rule| rule.id.strip_prefix("local-"));
        let highest = numbers.filter_map(|n| n.parse::<u32>().ok()).max();
        self.next_rule = self.next_rule.max(highest.unwrap_or(0).saturating_add(1));
        if self.rules.is_empty() {
            Ok(())
        } else {
            self.relearn()
        }
    }

    /// Other knowledge from now on, such as with a pack added. Local rules stay.
    ///
    /// # Errors
    /// When it does not take a local rule; then the old knowledge stays.
    pub fn set_knowledge(
        &mut self,
        knowledge: Arc<impl crate::Identify + 'static>,
    ) -> Result<(), AnswerError> {
        let knowledge: Arc<dyn crate::Identify> = knowledge;
        let old = std::mem::replace(&mut self.base, knowledge);
        self.relearn().inspect_err(|_| self.base = old)
    }

    /// Knowledge is what ships with the local rules on top. Every name is looked at again.
    fn relearn(&mut self) -> Result<(), AnswerError> {
        let packs: Vec<(&str, &str)> = self
            .rules
            .iter()
            .filter_map(|rule| Some((rule.id.as_str(), rule.pack.as_deref()?)))
            .collect();
        self.knowledge = if packs.is_empty() {
            Arc::clone(&self.base)
        } else {
            self.base.with_local(&packs).map_err(AnswerError::Rule)?
        };
        if let Ok(mut ready) = self.ready.lock() {
            ready.clear();
        }
        self.settled = 0;
        let every: Vec<u32> = self.nodes.iter().map(|(number, _)| number).collect();
        for number in every {
            self.mark_changed(number);
        }
        Ok(())
    }

    /// What of `shared` no device of another type has, so that it can be a rule.
    fn telling(&self, shared: &[Evidence], kind: &str, groups: &[u32]) -> Vec<Evidence> {
        let mut left: Vec<Evidence> = shared
            .iter()
            .filter(|e| queue::certainty(e.kind).is_some())
            .cloned()
            .collect();
        for group in self.present() {
            if left.is_empty() {
                break;
            }
            if groups.contains(&group) {
                continue;
            }
            let macs = self.macs_of(group);
            let assembled = self.assemble(group, &macs);
            if assembled
                .shown
                .kind
                .as_deref()
                .is_none_or(|other| other == kind)
            {
                continue;
            }
            left.retain(|e| !assembled.told.iter().any(|told| told.evidence == *e));
        }
        left
    }
}

/// The stable name of the type that `text` names; a type of somebody's own keeps its name.
fn type_name(text: &str) -> Result<SmolStr, AnswerError> {
    if let Some(known) = taxonomy::from_text(text) {
        return Ok(SmolStr::new_static(known.id));
    }
    let name: String = text
        .trim()
        .chars()
        .map(|c| {
            if matches!(c, ' ' | '-') {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
        return Err(AnswerError::NotAType(text.chars().take(64).collect()));
    }
    Ok(name.into())
}

/// The fingerprint pack of a rule.
fn pack(id: &str, kind: &str, shared: &[Evidence], at: Timestamp) -> Option<String> {
    let mut text = String::new();
    for evidence in shared {
        let Some(certainty) = queue::certainty(evidence.kind) else {
            continue;
        };
        let value = &evidence.value;
        let _ = write!(
            text,
            "  <fingerprints matches=\"{}\">\n    \
             <fingerprint pattern=\"^{}$\" certainty=\"{certainty}\">\n      \
             <description>{} {}</description>\n      \
             <example>{}</example>\n      \
             <param pos=\"0\" name=\"hw.device\" value=\"{}\"/>\n    \
             </fingerprint>\n  </fingerprints>\n",
            evidence.kind,
            escape(&literal(value)),
            escape(kind),
            escape(&described(evidence.kind, value)),
            escape(value),
            escape(kind),
        );
    }
    (!text.is_empty()).then(|| {
        format!(
            "<pack name=\"{}\" source=\"answered in the queue on {at}\" verified=\"true\">\n{text}</pack>\n",
            escape(id)
        )
    })
}

fn described(kind: EvidenceKind, value: &str) -> String {
    format!("by {kind} {value}")
}

/// A pattern that matches `text` and nothing else.
fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if c.is_ascii_punctuation()
            && !matches!(
                c,
                '_' | '"' | '\'' | '<' | '>' | '=' | ',' | ';' | ':' | '%' | '@' | '!' | '`'
            )
        {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Text in XML.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_in_any_common_way() {
        for (text, expected) in [
            ("infusion_pump", Some("infusion_pump")),
            ("Infusion pump", Some("infusion_pump")),
            ("Bed sensor-2", Some("bed_sensor_2")),
            ("", None),
            ("<script>", None),
        ] {
            assert_eq!(type_name(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_literal_pattern_hides_nothing_of_what_it_matches() {
        assert_eq!(literal("Plum A+ (v1.2) [x]"), r"Plum A\+ \(v1\.2\) \[x\]");
        assert_eq!(escape("a<b & \"c\""), "a&lt;b &amp; &quot;c&quot;");
    }
}
