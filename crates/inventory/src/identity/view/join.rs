//! Joining what shares a key that stays when addresses change.

use domain::Mac;

use super::{Build, NONE};
use crate::identity::address::hypervisor;
use crate::identity::key::bare;
use crate::identity::marks::JoinKey;
use crate::identity::node::NodeKey;
use crate::identity::strong::{key_of, key_of_asset, may_hold_key};
use domain::EvidenceKind;
use domain::observation::Asset;

/// More devices with one serial number, endpoint or UDI than this: makers repeat it, or somebody lies.
const SAME_KEY_MAX: usize = 4;
/// More MAC addresses in turn than this are not followed.
const IN_TURN_MAX: usize = 1024;

/// What a root is, for joining.
#[derive(Clone, Copy, Debug)]
struct Part {
    root: u32,
    first: i64,
    last: i64,
    mac: Option<Mac>,
    seen: bool,
    by_address: bool,
}

impl Part {
    /// Whether its MAC address may be a randomised one.
    fn is_local(&self) -> bool {
        self.mac
            .is_some_and(|m| m.is_local() && hypervisor(m).is_none())
    }
}

impl Build<'_> {
    /// Joins what shares keys.
    pub(super) fn join(&mut self) {
        let spans = self.spans();
        let mut parts: Vec<Option<Part>> = vec![None; self.elements.len()];
        for index in 0..self.elements.len() {
            let number = u32::try_from(index).unwrap_or(NONE);
            let root = self.root(number);
            let element = self.elements[index];
            let key = &self.node(element.node).key;
            let mac = if element.by_address { None } else { key.mac() };
            let (first, last, seen_by) = spans[root as usize];
            let part = parts[root as usize].get_or_insert(Part {
                root,
                first,
                last,
                mac: None,
                seen: seen_by & !super::REGISTER != 0,
                by_address: true,
            });
            part.mac = part.mac.or(mac);
            part.by_address &= element.by_address || matches!(key, NodeKey::Address(_));
        }
        let mut keys = self.keys();
        // Keys of registers first, so that their rows are where they belong before names are looked at.
        keys.sort_unstable();
        keys.dedup();
        let mut rest = keys.as_slice();
        while let Some((kind, text, _)) = rest.first() {
            let len = rest.partition_point(|(k, t, _)| (k, t) <= (kind, text));
            let (now, after) = rest.split_at(len);
            rest = after;
            if len < 2 {
                continue;
            }
            let mut same: Vec<Part> = now
                .iter()
                .filter_map(|(_, _, root)| parts[*root as usize])
                .collect();
            same.sort_by_key(|part| (part.first, part.mac, part.root));
            for (one, other) in pairs(*kind, &same) {
                self.note(one, other, *kind, text);
                self.union(one, other);
            }
        }
    }

    /// Every key with the root it is about.
    fn keys(&mut self) -> Vec<(JoinKey, String, u32)> {
        let mut keys = Vec::new();
        for position in 0..self.order.len() {
            let number = self.order[position];
            let node = self.node(number);
            if let NodeKey::Asset(asset) = &node.key {
                let element = self.element_of[number as usize];
                if element == NONE {
                    continue;
                }
                let root = self.root(element);
                if let Some((kind, text)) = key_of_asset(&asset.0) {
                    keys.push((kind, text, root));
                }
                if let (false, Asset::Register(id) | Asset::Serial(id)) =
                    (node.was_seen(), &asset.0)
                {
                    keys.push((JoinKey::Register, bare(id).to_owned(), root));
                }
            }
            for row in node.ledger.rows() {
                let register = row.kind == EvidenceKind::RegisterId;
                if !register && !may_hold_key(row.kind) {
                    continue;
                }
                let text = self.texts.get(row.value);
                let key = if register {
                    Some((JoinKey::Register, text.to_owned()))
                } else {
                    key_of(row.kind, text)
                };
                if let (Some((kind, text)), Some(element)) =
                    (key, self.element_at(number, row.first().as_millis()))
                {
                    let root = self.root(element);
                    keys.push((kind, text, root));
                }
            }
        }
        keys
    }
}

/// Which of those that share a key are one device.
fn pairs(kind: JoinKey, same: &[Part]) -> Vec<(u32, u32)> {
    match kind {
        JoinKey::EmbeddedMac => Vec::new(),
        JoinKey::Register => star(same, 64),
        JoinKey::Endpoint | JoinKey::Serial | JoinKey::BacnetInstance | JoinKey::Udi => {
            star(same, SAME_KEY_MAX)
        }
        JoinKey::Duid | JoinKey::ClientId => in_turn(same, |_, _| true),
        JoinKey::Name => by_name(same),
    }
}

fn star(same: &[Part], most: usize) -> Vec<(u32, u32)> {
    match same {
        [first, others @ ..] if same.len() <= most => others
            .iter()
            .map(|other| (first.root, other.root))
            .collect(),
        _ => Vec::new(),
    }
}

/// One after another: a client that is there under two MAC addresses at once is two clients made from one image.
fn in_turn(same: &[Part], may: impl Fn(&Part, &Part) -> bool) -> Vec<(u32, u32)> {
    let seen: Vec<&Part> = same.iter().filter(|part| part.seen).collect();
    if seen.len() > IN_TURN_MAX {
        return Vec::new();
    }
    seen.windows(2)
        .filter(|pair| pair[0].last <= pair[1].first && may(pair[0], pair[1]))
        .map(|pair| (pair[0].root, pair[1].root))
        .collect()
}

/// Names say least. They join a register's row to the one device of that name, randomised MAC addresses that come one
/// after another, addresses beyond a router that do, and the interfaces of one maker.
fn by_name(same: &[Part]) -> Vec<(u32, u32)> {
    let (seen, told): (Vec<&Part>, Vec<&Part>) = same.iter().partition(|part| part.seen);
    let mut pairs = in_turn(same, |one, other| {
        one.is_local() || other.is_local() || (one.by_address && other.by_address)
    });
    if let ([one], [row]) = (seen.as_slice(), told.as_slice()) {
        pairs.push((one.root, row.root));
    }
    let block = |part: &Part| {
        part.mac
            .filter(|m| !m.is_local())
            .map(|mac| [mac.0[0], mac.0[1], mac.0[2]])
    };
    let mut placed: Vec<([u8; 3], u32)> = seen
        .iter()
        .filter_map(|part| Some((block(part)?, part.root)))
        .collect();
    if placed.len() <= SAME_KEY_MAX {
        placed.sort_unstable();
        for pair in placed.windows(2) {
            if pair[0].0 == pair[1].0 {
                pairs.push((pair[0].1, pair[1].1));
            }
        }
    }
    pairs
}
