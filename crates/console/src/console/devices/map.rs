//! The map: places on a ring, devices in them, and who talks across.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use domain::conversation::Protection;
use domain::{Conversation, DeviceId, DeviceProfile};

/// Places drawn; the rest is one place.
const PLACES_MAX: usize = 16;
/// Lines drawn, the heaviest first.
const LINES_MAX: usize = 60;
/// Where what is not a device of the hospital is drawn.
const OUTSIDE: &str = "outside";
/// Where devices are drawn that nothing places.
const NOWHERE: &str = "no known place";

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

pub(super) fn draw(devices: &[DeviceProfile], conversations: &[Conversation]) -> Drawn {
    let mut places: BTreeMap<String, (bool, Vec<&DeviceProfile>)> = BTreeMap::new();
    let mut home: BTreeMap<&DeviceId, String> = BTreeMap::new();
    for device in devices {
        let (name, is_unit) = match (&device.unit, &device.segment) {
            (Some(unit), _) => (unit.as_str().to_owned(), true),
            (None, Some(segment)) => (segment.to_string(), false),
            (None, None) => (NOWHERE.to_owned(), false),
        };
        home.insert(&device.id, name.clone());
        let place = places.entry(name).or_default();
        place.0 |= is_unit;
        place.1.push(device);
    }
    let mut sized: Vec<(String, bool, Vec<&DeviceProfile>)> = places
        .into_iter()
        .map(|(name, (unit, list))| (name, unit, list))
        .collect();
    sized.sort_by(|a, b| b.2.len().cmp(&a.2.len()).then_with(|| a.0.cmp(&b.0)));
    let rest: Vec<&DeviceProfile> = sized
        .split_off(sized.len().min(PLACES_MAX))
        .into_iter()
        .flat_map(|(_, _, list)| list)
        .collect();
    if !rest.is_empty() {
        sized.push(("everywhere else".to_owned(), false, rest));
    }
    // Neighbours on the ring are in the order of their names, so that the picture stays the same from day to day.
    sized.sort_by(|a, b| (b.1, &a.0).cmp(&(a.1, &b.0)));
    let shown = sized.len() + 1;
    let at = |n: usize| {
        let angle = TAU * n as f64 / shown as f64 - TAU / 4.0;
        (500.0 + 400.0 * angle.cos(), 330.0 + 250.0 * angle.sin())
    };
    let mut drawn: Vec<Place> = sized
        .iter()
        .enumerate()
        .map(|(n, (name, is_unit, list))| {
            let (x, y) = at(n);
            place(name, *is_unit, list, x, y)
        })
        .collect();
    let (x, y) = at(sized.len());
    drawn.push(Place {
        devices: 0,
        ..place(OUTSIDE, false, &[], x, y)
    });
    let index: BTreeMap<&str, usize> = sized
        .iter()
        .enumerate()
        .map(|(n, p)| (p.0.as_str(), n))
        .collect();
    let rest = index.get("everywhere else").copied();
    let outside = sized.len();
    let whose = |id: &DeviceId| match home.get(id) {
        Some(name) => index.get(name.as_str()).copied().or(rest),
        None => Some(outside),
    };
    let lines = lines(conversations, &whose);
    Drawn {
        lines,
        places: drawn,
    }
}

fn place(name: &str, is_unit: bool, list: &[&DeviceProfile], x: f64, y: f64) -> Place {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in list.iter().filter_map(|d| d.kind.as_deref()) {
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
        unknown: list.iter().filter(|d| d.kind.is_none()).count(),
        x,
        y,
        radius: 12.0 + 3.0 * (list.len() as f64).sqrt().min(12.0),
    }
}

fn lines(conversations: &[Conversation], whose: &dyn Fn(&DeviceId) -> Option<usize>) -> Vec<Line> {
    let mut lines: BTreeMap<(usize, usize), Line> = BTreeMap::new();
    for conversation in conversations {
        let (Some(from), Some(to)) = (whose(&conversation.client), whose(&conversation.server))
        else {
            continue;
        };
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
        let service = conversation.service.as_ref().map_or_else(
            || format!("{}/{}", conversation.transport, conversation.port),
            ToString::to_string,
        );
        if line.services.len() < 6 && !line.services.contains(&service) {
            line.services.push(service);
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
