//! The map: places on a ring, devices in them, and who talks across.

use std::collections::{BTreeMap, HashMap};
use std::f64::consts::TAU;

use domain::conversation::Protection;
use domain::{Conversation, DeviceId};

use crate::estate::{Listed, Picture};

/// Places drawn; the rest is one place.
const PLACES_MAX: usize = 16;
/// Lines drawn, the heaviest first.
const LINES_MAX: usize = 60;
/// Services named for a line.
const SERVICES_MAX: usize = 6;
/// Where what is not a device of the hospital is drawn.
pub(super) const OUTSIDE: &str = "outside";
/// Where devices are drawn that nothing places.
const NOWHERE: &str = "no known place";
/// Places beyond [`PLACES_MAX`], the smallest.
const ELSEWHERE: &str = "everywhere else";

/// The map.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    pub(super) places: Vec<Place>,
    pub(super) lines: Vec<Line>,
}

/// A ward, department or segment.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) name: String,
    /// Whether it is a ward or department, rather than a segment of the network.
    pub(super) is_unit: bool,
    pub(super) devices: usize,
    /// Types with their numbers, the most frequent first.
    pub(super) kinds: Vec<(String, usize)>,
    pub(super) unknown: usize,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) radius: f64,
}

/// What two places say to each other.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) conversations: usize,
    pub(super) cleartext: usize,
    pub(super) services: Vec<String>,
}

pub(super) fn draw(picture: &Picture, conversations: &[Conversation]) -> Drawn {
    let devices = picture.devices();
    let home = |device: &Listed| -> (String, bool) {
        match (&device.profile.unit, &device.profile.segment) {
            (Some(unit), _) => (unit.as_str().to_owned(), true),
            (None, Some(segment)) => (segment.to_string(), false),
            (None, None) => (NOWHERE.to_owned(), false),
        }
    };
    let mut places: BTreeMap<String, (bool, Vec<&Listed>)> = BTreeMap::new();
    for device in devices {
        let (name, is_unit) = home(device);
        let place = places.entry(name).or_default();
        place.0 |= is_unit;
        place.1.push(device);
    }
    let mut sized: Vec<(String, bool, Vec<&Listed>)> = places
        .into_iter()
        .map(|(name, (unit, list))| (name, unit, list))
        .collect();
    sized.sort_by(|a, b| b.2.len().cmp(&a.2.len()).then_with(|| a.0.cmp(&b.0)));
    let rest: Vec<&Listed> = sized
        .split_off(sized.len().min(PLACES_MAX))
        .into_iter()
        .flat_map(|(_, _, list)| list)
        .collect();
    // Neighbours on the ring are in the order of their names, so that the picture stays the same from day to day.
    sized.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    if !rest.is_empty() {
        sized.push((ELSEWHERE.to_owned(), false, rest));
    }
    let shown = sized.len() + 1;
    let at = |n: usize| {
        let angle = TAU * n as f64 / shown as f64 - TAU / 4.0;
        (500.0 + 400.0 * angle.cos(), 330.0 + 250.0 * angle.sin())
    };
    let mut index: HashMap<&DeviceId, usize> = HashMap::with_capacity(devices.len());
    for (n, (_, _, list)) in sized.iter().enumerate() {
        index.extend(list.iter().map(|d| (&d.profile.id, n)));
    }
    let mut drawn: Vec<Place> = sized
        .iter()
        .enumerate()
        .map(|(n, (name, is_unit, list))| {
            let (x, y) = at(n);
            place(name, *is_unit, list, x, y)
        })
        .collect();
    let outside = sized.len();
    let (x, y) = at(outside);
    drawn.push(place(OUTSIDE, false, &[], x, y));
    let whose = |id: &DeviceId| index.get(id).copied().unwrap_or(outside);
    Drawn {
        lines: lines(conversations, &whose),
        places: drawn,
    }
}

fn place(name: &str, is_unit: bool, list: &[&Listed], x: f64, y: f64) -> Place {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in list.iter().filter_map(|d| d.profile.kind.as_deref()) {
        *kinds.entry(kind).or_default() += 1;
    }
    let mut kinds: Vec<(String, usize)> =
        kinds.into_iter().map(|(k, n)| (k.to_owned(), n)).collect();
    kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Place {
        name: name.to_owned(),
        is_unit,
        devices: list.len(),
        kinds,
        unknown: list.iter().filter(|d| d.profile.kind.is_none()).count(),
        x,
        y,
        radius: 12.0 + 3.0 * (list.len() as f64).sqrt().min(12.0),
    }
}

fn lines(conversations: &[Conversation], whose: &dyn Fn(&DeviceId) -> usize) -> Vec<Line> {
    let mut lines: BTreeMap<(usize, usize), Line> = BTreeMap::new();
    for conversation in conversations {
        let (from, to) = (whose(&conversation.client), whose(&conversation.server));
        if from == to {
            continue;
        }
        let line = lines.entry((from, to)).or_insert_with(|| Line {
            from,
            to,
            conversations: 0,
            cleartext: 0,
            services: Vec::new(),
        });
        line.conversations += 1;
        line.cleartext += usize::from(conversation.protection == Protection::Cleartext);
        if line.services.len() < SERVICES_MAX {
            let service = conversation.service.as_ref().map_or_else(
                || format!("{}/{}", conversation.transport, conversation.port),
                ToString::to_string,
            );
            if !line.services.contains(&service) {
                line.services.push(service);
            }
        }
    }
    let mut lines: Vec<Line> = lines.into_values().collect();
    lines.sort_by(|a, b| {
        b.conversations
            .cmp(&a.conversations)
            .then_with(|| (a.from, a.to).cmp(&(b.from, b.to)))
    });
    lines.truncate(LINES_MAX);
    lines
}
