//! Finding devices: search, filter, order, one page at a time.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use domain::DeviceProfile;

use super::called;
use crate::form::Fields;

/// Rows on a page.
pub(super) const ROWS: usize = 100;

/// What somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Words that name, address, maker, model, type or place hold, all of them.
    pub(super) query: String,
    /// A category.
    pub(super) category: String,
    /// A ward or department.
    pub(super) unit: String,
    /// A state: `unknown`, `contradictory`, `at_risk`.
    pub(super) state: String,
    /// Column to order by.
    pub(super) sort: String,
    /// Page, from 1.
    pub(super) page: usize,
}

/// States to choose from.
pub(super) const STATES: [(&str, &str); 4] = [
    ("", "All"),
    ("unknown", "Not known"),
    ("contradictory", "Contradictory"),
    ("at_risk", "With known risks"),
];

/// Orders to choose from.
pub(super) const ORDERS: [(&str, &str); 6] = [
    ("", "Name"),
    ("type", "Type"),
    ("unit", "Place"),
    ("confidence", "Least certain"),
    ("first", "Newest"),
    ("last", "Last seen"),
];

/// What was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// The rows of this page.
    pub(super) rows: Vec<&'a DeviceProfile>,
    /// How many match.
    pub(super) matching: usize,
    /// How many there are.
    pub(super) all: usize,
    /// Pages.
    pub(super) pages: usize,
    /// Categories with their numbers.
    pub(super) categories: BTreeMap<String, usize>,
    /// Places.
    pub(super) units: Vec<String>,
    /// How many are not known, contradictory, at risk.
    pub(super) unknown: usize,
    pub(super) contradictory: usize,
    pub(super) at_risk: usize,
}

impl Wish {
    pub(super) fn of(fields: &Fields) -> Self {
        let text = |name: &str| {
            fields
                .get(name)
                .unwrap_or_default()
                .chars()
                .take(80)
                .collect::<String>()
        };
        let known = |value: String, list: &[(&str, &str)]| {
            if list.iter().any(|(v, _)| *v == value) {
                value
            } else {
                String::new()
            }
        };
        Self {
            query: text("q").trim().to_owned(),
            category: text("category"),
            unit: text("unit"),
            state: known(text("state"), &STATES),
            sort: known(text("sort"), &ORDERS),
            page: text("page").parse().unwrap_or(1).max(1),
        }
    }

    /// The address of the same wish on another page.
    pub(super) fn address(&self, page: usize) -> String {
        let mut text = form_urlencoded::Serializer::new(String::from("/devices?"));
        for (name, value) in [
            ("q", &self.query),
            ("category", &self.category),
            ("unit", &self.unit),
            ("state", &self.state),
            ("sort", &self.sort),
        ] {
            if !value.is_empty() {
                text.append_pair(name, value);
            }
        }
        text.append_pair("page", &page.to_string());
        text.finish()
    }
}

/// What a device's category is called where it has none.
pub(super) const NO_CATEGORY: &str = "unknown";

pub(super) fn find<'a>(devices: &'a [DeviceProfile], wish: &Wish) -> Found<'a> {
    let words: Vec<String> = wish
        .query
        .split_whitespace()
        .map(str::to_lowercase)
        .collect();
    let mut categories: BTreeMap<String, usize> = BTreeMap::new();
    let mut units: Vec<&str> = Vec::new();
    let (mut unknown, mut contradictory, mut at_risk) = (0, 0, 0);
    let mut rows: Vec<(String, &DeviceProfile)> = Vec::new();
    for device in devices {
        let category = device.category.as_deref().unwrap_or(NO_CATEGORY);
        *categories.entry(category.to_owned()).or_default() += 1;
        units.extend(device.unit.as_ref().map(domain::UnitId::as_str));
        unknown += usize::from(device.kind.is_none());
        contradictory += usize::from(device.contradictory);
        at_risk += usize::from(!device.risks.is_empty());
        let state = match wish.state.as_str() {
            "unknown" => device.kind.is_none(),
            "contradictory" => device.contradictory,
            "at_risk" => !device.risks.is_empty(),
            _ => true,
        };
        let unit = wish.unit.is_empty()
            || device
                .unit
                .as_ref()
                .is_some_and(|u| u.as_str() == wish.unit);
        if state
            && unit
            && (wish.category.is_empty() || category == wish.category)
            && holds(device, &words)
        {
            rows.push((called(device).to_lowercase(), device));
        }
    }
    units.sort_unstable();
    units.dedup();
    rows.sort_by(|a, b| {
        order(&wish.sort, a.1, b.1)
            .then_with(|| a.0.cmp(&b.0))
            .then_with(|| a.1.id.cmp(&b.1.id))
    });
    let matching = rows.len();
    let pages = matching.div_ceil(ROWS).max(1);
    let first = (wish.page.min(pages) - 1) * ROWS;
    Found {
        rows: rows
            .into_iter()
            .skip(first)
            .take(ROWS)
            .map(|(_, d)| d)
            .collect(),
        matching,
        all: devices.len(),
        pages,
        categories,
        units: units.into_iter().map(str::to_owned).collect(),
        unknown,
        contradictory,
        at_risk,
    }
}

fn order(by: &str, a: &DeviceProfile, b: &DeviceProfile) -> Ordering {
    match by {
        // What is not known comes last.
        "type" => (a.kind.is_none(), &a.kind).cmp(&(b.kind.is_none(), &b.kind)),
        "unit" => (a.unit.is_none(), &a.unit).cmp(&(b.unit.is_none(), &b.unit)),
        "confidence" => a.confidence.total_cmp(&b.confidence),
        "first" => b.first_seen.cmp(&a.first_seen),
        "last" => b.last_seen.cmp(&a.last_seen),
        _ => Ordering::Equal,
    }
}

fn holds(device: &DeviceProfile, words: &[String]) -> bool {
    words.iter().all(|word| {
        let in_text = |text: &str| text.to_lowercase().contains(word.as_str());
        let in_option = |text: &Option<smol_str::SmolStr>| text.as_deref().is_some_and(in_text);
        device.names.iter().any(|n| in_text(n))
            || in_option(&device.kind)
            || device
                .kind
                .as_deref()
                .is_some_and(|k| in_text(&k.replace('_', " ")))
            || in_option(&device.vendor)
            || in_option(&device.model)
            || in_option(&device.os)
            || in_option(&device.segment)
            || device.unit.as_ref().is_some_and(|u| in_text(u.as_str()))
            || device
                .addresses
                .iter()
                .any(|a| a.to_string().starts_with(word.as_str()))
            || device
                .macs
                .iter()
                .any(|m| m.to_string().starts_with(word.as_str()))
            || in_text(device.id.as_str())
    })
}

#[cfg(test)]
mod tests {
    use domain::{Criticality, DeviceId, Timestamp};

    use super::*;

    fn device(n: usize) -> DeviceProfile {
        DeviceProfile {
            id: DeviceId::new(format!("d{n:04}")),
            macs: Vec::new(),
            addresses: vec![std::net::IpAddr::from([
                10,
                0,
                (n / 256) as u8,
                (n % 256) as u8,
            ])],
            names: vec![format!("host-{n}").into()],
            category: (!n.is_multiple_of(3)).then(|| "medical".into()),
            kind: (!n.is_multiple_of(3)).then(|| "infusion_pump".into()),
            vendor: Some("B. Braun".into()),
            model: None,
            os: None,
            confidence: n as f32 / 1000.0,
            abstained: n.is_multiple_of(3),
            contradictory: n == 7,
            criticality: Criticality::LifeCritical,
            evidence: Vec::new(),
            first_seen: Timestamp::from_millis(n as i64),
            last_seen: Timestamp::from_millis(0),
            unit: (n < 10).then(|| "maple".into()),
            segment: None,
            behind: None,
            assets: Vec::new(),
            risks: Vec::new(),
        }
    }

    fn wish(query: &str) -> Wish {
        Wish::of(&Fields::parse(query.as_bytes()).expect("a query"))
    }

    #[test]
    fn search_filter_order_and_pages_work_together() {
        let devices: Vec<DeviceProfile> = (0..250).map(device).collect();
        let all = find(&devices, &wish(""));
        assert_eq!(
            (all.rows.len(), all.matching, all.pages, all.contradictory),
            (ROWS, 250, 3, 1)
        );
        let last = find(&devices, &wish("page=9"));
        assert_eq!(last.rows.len(), 50, "a page beyond the last is the last");
        let pumps = find(
            &devices,
            &wish("q=infusion+pump+braun&unit=maple&sort=first"),
        );
        assert_eq!(pumps.matching, 6);
        assert_eq!(pumps.rows[0].id.as_str(), "d0008");
        assert_eq!(find(&devices, &wish("q=10.0.0.7")).matching, 1 + 10);
        assert_eq!(find(&devices, &wish("state=contradictory")).matching, 1);
        assert_eq!(
            find(&devices, &wish("sort=confidence")).rows[0].id.as_str(),
            "d0000"
        );
        assert_eq!(wish("sort=confidence&state=no-such").state, "");
    }

    #[test]
    fn thousands_of_devices_are_searched_in_memory_without_a_copy_of_each() {
        let devices: Vec<DeviceProfile> = (0..20_000).map(device).collect();
        let found = find(&devices, &wish("q=host-1999&sort=type"));
        assert_eq!(found.matching, 11);
    }
}
