//! What the kernel has: tables, chains, sets, elements, rules and counters as they are read back.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use super::expression::Expression;
use super::object::{Match, comment_of};
use crate::netlink::attribute::{Attributes, Writer};
use crate::netlink::message::{Answer, Answers};

/// A table that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSeen {
    /// Family number.
    pub family: u8,
    /// Name.
    pub name: SmolStr,
    /// Netlink port of the socket that owns it, if one does.
    pub owner: Option<u32>,
}

/// An element that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementSeen {
    /// What it matches.
    pub matches: Match,
    /// Its value, if it leads to one.
    pub value: Option<Vec<u8>>,
    /// Milliseconds it was given, if it ends by itself.
    pub timeout_ms: Option<u64>,
    /// Milliseconds it still has.
    pub expires_ms: Option<u64>,
    /// Packets it matched, if it counts.
    pub packets: Option<u64>,
}

/// A rule that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSeen {
    /// Its chain.
    pub chain: SmolStr,
    /// Its comment.
    pub comment: SmolStr,
    /// Its steps: name and attributes, without what counts up.
    pub steps: Vec<StepSeen>,
}

/// A step of a rule: its name and its attributes with octets, nests flattened (`[3, 1]` is attribute 1 in attribute 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepSeen {
    /// `meta`, `lookup` …
    pub name: SmolStr,
    values: BTreeMap<Vec<u16>, Vec<u8>>,
}

impl StepSeen {
    fn read(attributes: Attributes<'_>) -> Self {
        let name = SmolStr::new(attributes.text(1).unwrap_or_default());
        let mut values = BTreeMap::new();
        if let Some(data) = attributes.inside(2) {
            match name.as_str() {
                "counter" => {}
                "cmp" => collect(data, &[3], &mut values),
                "bitwise" => collect(data, &[4, 5], &mut values),
                "immediate" => {
                    for (kind, value) in data {
                        if kind == 2 {
                            // A value, or a verdict with its code and chain.
                            let inside = Attributes(value);
                            if let Some(value) = inside.find(1) {
                                values.insert(vec![2, 1], value.to_vec());
                            }
                            for (kind, value) in inside.inside(2).into_iter().flatten() {
                                values.insert(vec![2, 2, kind], value.to_vec());
                            }
                        } else {
                            values.insert(vec![kind], value.to_vec());
                        }
                    }
                }
                _ => collect(data, &[], &mut values),
            }
        }
        Self { name, values }
    }

    /// Whether the kernel has what was sent: every attribute sent is there with the same octets. The kernel adds
    /// attributes of its own.
    pub fn is(&self, sent: &Expression) -> bool {
        let mut writer = Writer::new();
        sent.write_inside(&mut writer);
        let sent = Self::read(Attributes(writer.as_slice()));
        self.name == sent.name
            && sent.values.iter().all(|(path, value)| {
                self.values
                    .get(path)
                    .map_or(value.iter().all(|b| *b == 0), |v| v == value)
            })
    }

    /// The set that a lookup asks.
    pub fn set(&self) -> Option<&str> {
        if self.name != "lookup" {
            return None;
        }
        let raw = self.values.get(&vec![1])?;
        std::str::from_utf8(raw.strip_suffix(&[0]).unwrap_or(raw)).ok()
    }
}

/// Attributes as octets; those of `nests` hold a value in attribute 1.
fn collect(data: Attributes<'_>, nests: &[u16], values: &mut BTreeMap<Vec<u16>, Vec<u8>>) {
    for (kind, value) in data {
        if nests.contains(&kind) {
            let inside = Attributes(value).find(1).unwrap_or_default();
            values.insert(vec![kind, 1], inside.to_vec());
        } else {
            values.insert(vec![kind], value.to_vec());
        }
    }
}

/// `NFTA_TABLE_*`.
pub(crate) fn table(family: u8, attributes: Attributes<'_>) -> Option<TableSeen> {
    Some(TableSeen {
        family,
        name: attributes.text(1)?.into(),
        owner: attributes.u32(7),
    })
}

/// The elements of one message (`NFTA_SET_ELEM_LIST_*`). The end of an interval of one field comes as an element of its
/// own and is joined by [`joined`].
pub(crate) fn elements(attributes: Attributes<'_>, out: &mut Vec<(ElementSeen, bool)>) {
    for (_, raw) in attributes.inside(3).into_iter().flatten() {
        let element = Attributes(raw);
        let value_of = |kind: u16| {
            element
                .inside(kind)
                .and_then(|inside| inside.find(1))
                .map(<[u8]>::to_vec)
        };
        let flags = element.u32(3).unwrap_or(0);
        let matches = match (value_of(1), value_of(10)) {
            (Some(from), Some(to)) => Match::Fields(from, to),
            (Some(key), None) => Match::Key(key),
            (None, _) if flags & 2 != 0 => Match::Rest,
            (None, _) => continue,
        };
        let packets = element
            .inside(7)
            .or_else(|| element.inside(11).and_then(|list| list.inside(1)))
            .and_then(|counter| counter.inside(2))
            .and_then(|data| data.u64(2));
        let seen = ElementSeen {
            matches,
            value: value_of(2),
            timeout_ms: element.u64(4),
            expires_ms: element.u64(5),
            packets,
        };
        out.push((seen, flags & 1 != 0));
    }
}

/// Joins the beginnings and ends of the intervals of a set of one field; the kernel gives them in descending or
/// ascending order.
pub(crate) fn joined(mut raw: Vec<(ElementSeen, bool)>) -> Vec<ElementSeen> {
    let key = |element: &ElementSeen| match &element.matches {
        Match::Key(key) => Some(key.clone()),
        Match::Fields(..) | Match::Range(..) | Match::Rest => None,
    };
    // An end stands before a beginning at the same key.
    raw.sort_by_key(|(element, end)| (key(element), !*end));
    let mut out: Vec<ElementSeen> = Vec::with_capacity(raw.len());
    for (mut element, end) in raw {
        match (key(&element), end) {
            (Some(at), true) => {
                if let Some(Match::Range(_, open @ None)) = out.last_mut().map(|e| &mut e.matches) {
                    *open = Some(at);
                }
            }
            (Some(from), false) => {
                element.matches = Match::Range(from, None);
                out.push(element);
            }
            (None, _) => out.push(element),
        }
    }
    out
}

/// `NFTA_RULE_*`.
pub(crate) fn rule(attributes: Attributes<'_>) -> Option<RuleSeen> {
    Some(RuleSeen {
        chain: attributes.text(2)?.into(),
        comment: attributes
            .find(7)
            .and_then(comment_of)
            .unwrap_or_default()
            .into(),
        steps: attributes
            .inside(4)
            .into_iter()
            .flatten()
            .map(|(_, step)| StepSeen::read(Attributes(step)))
            .collect(),
    })
}

/// A named counter: name, packets, octets.
pub(crate) fn counter(attributes: Attributes<'_>) -> Option<(SmolStr, u64, u64)> {
    let data = attributes.inside(4)?;
    Some((attributes.text(2)?.into(), data.u64(2)?, data.u64(1)?))
}

/// Reads what the kernel might have answered as every kind of object; for fuzzing, and bounded by the octets given.
pub fn read_all(raw: &[u8]) {
    for answer in Answers(raw) {
        let Answer::Object {
            family, attributes, ..
        } = answer
        else {
            continue;
        };
        let mut all = Vec::new();
        elements(attributes, &mut all);
        let count = all.len();
        assert!(joined(all).len() <= count);
        let _ = (table(family, attributes), counter(attributes));
        let _ = rule(attributes).map(|rule| rule.steps.iter().filter_map(StepSeen::set).count());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nft::expression::{Comparison, Register, Verdict};

    fn sent(expression: &Expression) -> StepSeen {
        let mut writer = Writer::new();
        expression.write_inside(&mut writer);
        StepSeen::read(Attributes(writer.as_slice()))
    }

    #[test]
    fn a_step_is_itself_and_not_its_neighbour() {
        let one = Expression::Compare(Register(0), Comparison::Equal, vec![6]);
        let other = Expression::Compare(Register(0), Comparison::Equal, vec![17]);
        let jump = Expression::Verdict(Verdict::Jump("a".into()));
        let elsewhere = Expression::Verdict(Verdict::Jump("b".into()));
        assert!(sent(&one).is(&one));
        assert!(!sent(&one).is(&other));
        assert!(sent(&jump).is(&jump));
        assert!(!sent(&jump).is(&elsewhere));
        assert!(!sent(&jump).is(&one));
    }

    #[test]
    fn intervals_join_whatever_order_they_come_in() {
        let at = |n: u8| ElementSeen {
            matches: Match::Key(vec![n]),
            value: None,
            timeout_ms: None,
            expires_ms: None,
            packets: None,
        };
        let raw = vec![
            (at(9), false),
            (at(5), true),
            (at(5), false),
            (at(1), false),
            (at(7), true),
        ];
        let ranges: Vec<Match> = joined(raw).into_iter().map(|e| e.matches).collect();
        assert_eq!(
            ranges,
            [
                Match::Range(vec![1], Some(vec![5])),
                Match::Range(vec![5], Some(vec![7])),
                Match::Range(vec![9], None),
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn any_octets_read_without_a_panic(raw in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut out = Vec::new();
            elements(Attributes(&raw), &mut out);
            let count = out.len();
            proptest::prop_assert!(joined(out).len() <= count);
            let _ = (rule(Attributes(&raw)), counter(Attributes(&raw)), table(1, Attributes(&raw)));
        }
    }
}
