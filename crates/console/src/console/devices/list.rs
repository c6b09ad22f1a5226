//! Finding devices: search, filter, order, one page at a time.

use std::cmp::Ordering;

use crate::estate::{Listed, Picture};
use crate::form::{Fields, with_query};

/// Rows on a page.
pub(super) const ROWS: usize = 100;
/// Longest text of a search, in characters.
pub(super) const QUERY_MAX: usize = 80;
/// Longest name of a category or place, in characters.
const CHOICE_MAX: usize = 4096;

/// What somebody wants to see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Words that name, address, maker, model, type or place hold, all of them.
    pub(super) query: String,
    /// A category.
    pub(super) category: String,
    /// A ward or department.
    pub(super) unit: String,
    /// One of [`STATES`].
    pub(super) state: String,
    /// One of [`ORDERS`].
    pub(super) sort: String,
    /// Page, from 1.
    pub(super) page: usize,
}

/// States to choose from.
pub(super) const STATES: [(&str, &str); 5] = [
    ("", "All"),
    ("unknown", "Not known"),
    ("contradictory", "Contradictory"),
    ("at_risk", "At risk"),
    ("exploited", "At risk, exploited"),
];

/// Orders to choose from: the column's heading leads there.
pub(super) const ORDERS: [(&str, &str); 8] = [
    ("", "Name"),
    ("type", "Type"),
    ("vendor", "Maker"),
    ("address", "Address"),
    ("unit", "Place"),
    ("confidence", "Least certain"),
    ("first", "Newest"),
    ("last", "Last seen"),
];

/// What was found.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// The rows of this page.
    pub(super) rows: Vec<&'a Listed>,
    /// How many match.
    pub(super) matching: usize,
    /// Pages.
    pub(super) pages: usize,
    /// This page, from 1.
    pub(super) page: usize,
}

impl Wish {
    pub(super) fn of(fields: &Fields) -> Self {
        let text = |name: &str, most: usize| {
            fields
                .get(name)
                .unwrap_or_default()
                .chars()
                .take(most)
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
            query: text("q", QUERY_MAX).trim().to_owned(),
            category: text("category", CHOICE_MAX),
            unit: text("unit", CHOICE_MAX),
            state: known(text("state", QUERY_MAX), &STATES),
            sort: known(text("sort", QUERY_MAX), &ORDERS),
            page: text("page", QUERY_MAX).parse().unwrap_or(1).max(1),
        }
    }

    /// The address of this wish.
    pub(super) fn address(&self) -> String {
        let page = self.page.to_string();
        let fields = [
            ("q", self.query.as_str()),
            ("category", self.category.as_str()),
            ("unit", self.unit.as_str()),
            ("state", self.state.as_str()),
            ("sort", self.sort.as_str()),
            ("page", if self.page > 1 { page.as_str() } else { "" }),
        ];
        with_query(
            "/devices",
            fields.into_iter().filter(|(_, v)| !v.is_empty()),
        )
    }

    /// The same wish on another page.
    pub(super) fn on_page(&self, page: usize) -> Self {
        Self {
            page,
            ..self.clone()
        }
    }

    /// The same wish in another order, from its beginning.
    pub(super) fn sorted_by(&self, sort: &str) -> Self {
        Self {
            sort: sort.to_owned(),
            page: 1,
            ..self.clone()
        }
    }

    /// Only devices in this state.
    pub(super) fn in_state(state: &str) -> Self {
        Self {
            state: state.to_owned(),
            ..Self::default()
        }
    }
}

/// Finds the rows. Nothing of a device is copied, and no text is made.
pub(super) fn find<'a>(picture: &'a Picture, wish: &Wish) -> Found<'a> {
    let words: Vec<String> = wish
        .query
        .split_whitespace()
        .map(str::to_lowercase)
        .collect();
    let fits = |device: &&Listed| {
        let state = match wish.state.as_str() {
            "unknown" => device.profile.kind.is_none(),
            "contradictory" => device.profile.contradictory,
            "at_risk" => device.at_risk(),
            "exploited" => device.exploited(),
            _ => true,
        };
        let unit = device.profile.unit.as_ref().map(domain::UnitId::as_str);
        state
            && (wish.unit.is_empty() || unit == Some(wish.unit.as_str()))
            && (wish.category.is_empty() || device.category() == wish.category)
            && words.iter().all(|word| device.holds(word))
    };
    let mut rows: Vec<&Listed> = picture.by_name().map(|d| &**d).filter(fits).collect();
    if !wish.sort.is_empty() {
        // The sort is stable: what is equal stays in the order of names.
        rows.sort_by(|a, b| order(&wish.sort, a, b));
    }
    let matching = rows.len();
    let pages = matching.div_ceil(ROWS).max(1);
    let page = wish.page.min(pages);
    Found {
        rows: rows
            .into_iter()
            .skip((page - 1) * ROWS)
            .take(ROWS)
            .collect(),
        matching,
        pages,
        page,
    }
}

fn order(by: &str, a: &Listed, b: &Listed) -> Ordering {
    // What is not known comes last.
    fn known_first<T: Ord>(a: &Option<T>, b: &Option<T>) -> Ordering {
        (a.is_none(), a).cmp(&(b.is_none(), b))
    }
    let (a, b) = (&a.profile, &b.profile);
    match by {
        "type" => known_first(&a.kind, &b.kind),
        "vendor" => known_first(&a.vendor, &b.vendor).then_with(|| known_first(&a.model, &b.model)),
        "address" => known_first(&a.addresses.first(), &b.addresses.first()),
        "unit" => known_first(&a.unit, &b.unit),
        "confidence" => a.confidence.total_cmp(&b.confidence),
        "first" => b.first_seen.cmp(&a.first_seen),
        "last" => b.last_seen.cmp(&a.last_seen),
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use domain::{Criticality, DeviceId, DeviceProfile, Timestamp};

    use super::*;
    use crate::estate::RiskSummary;

    fn device(n: usize) -> Arc<Listed> {
        let profile = DeviceProfile {
            id: DeviceId::new(format!("d{n:05}")),
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
        };
        let risk = RiskSummary {
            known: u32::from(n.is_multiple_of(50)),
            exploited: u32::from(n == 100),
        };
        Arc::new(Listed::new(profile, Some(risk), None))
    }

    fn wish(query: &str) -> Wish {
        Wish::of(&Fields::parse(query.as_bytes()).expect("a query"))
    }

    #[test]
    fn search_filter_order_and_pages_work_together() {
        let picture = Picture::of((0..250).map(device));
        let all = find(&picture, &wish(""));
        assert_eq!((all.rows.len(), all.matching, all.pages), (ROWS, 250, 3));
        assert_eq!(picture.totals().contradictory, 1);
        let last = find(&picture, &wish("page=9"));
        assert_eq!((last.rows.len(), last.page), (50, 3), "the last page");
        let pumps = find(
            &picture,
            &wish("q=infusion+PUMP+braun&unit=maple&sort=first"),
        );
        assert_eq!(pumps.matching, 6);
        assert_eq!(pumps.rows[0].profile.id.as_str(), "d00008");
        assert_eq!(find(&picture, &wish("q=10.0.0.7")).matching, 1 + 10);
        assert_eq!(find(&picture, &wish("state=contradictory")).matching, 1);
        assert_eq!(find(&picture, &wish("category=unknown")).matching, 84);
        assert_eq!(
            find(&picture, &wish("sort=confidence")).rows[0].name(),
            "host-0"
        );
        assert_eq!(wish("sort=confidence&state=no-such").state, "");
    }

    #[test]
    fn devices_at_risk_are_found_and_the_exploited_among_them() {
        let picture = Picture::of((0..250).map(device));
        assert_eq!(find(&picture, &wish("state=at_risk")).matching, 5);
        let worst = find(&picture, &wish("state=exploited"));
        assert_eq!(worst.matching, 1);
        assert_eq!(worst.rows[0].name(), "host-100");
        assert_eq!(picture.totals().at_risk, 5);
    }

    #[test]
    fn a_wish_comes_back_from_its_address() {
        let wanted = wish("q=a+%26b&unit=ward+3&state=at_risk&sort=vendor&page=2");
        let address = wanted.address();
        let (path, query) = address.split_once('?').expect("a query");
        assert_eq!(path, "/devices");
        assert_eq!(wish(query), wanted);
        assert_eq!(wish("").address(), "/devices");
    }

    #[test]
    fn what_is_of_no_known_place_comes_after_what_is() {
        let picture = Picture::of((0..250).map(device));
        let found = find(&picture, &wish("sort=unit"));
        assert!(found.rows[..10].iter().all(|d| d.profile.unit.is_some()));
        assert!(found.rows[10..].iter().all(|d| d.profile.unit.is_none()));
    }
}
