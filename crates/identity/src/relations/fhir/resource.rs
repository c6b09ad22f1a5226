//! The parts of FHIR R4 resources that say who is related to whom. Everything else in them is not even read.

use std::time::Duration;

use domain::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct Reference {
    #[serde(default)]
    pub(super) reference: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Period {
    #[serde(default)]
    pub(super) start: Option<String>,
    #[serde(default)]
    pub(super) end: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct CareTeam {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) subject: Option<Reference>,
    #[serde(default)]
    pub(super) period: Option<Period>,
    #[serde(default)]
    pub(super) participant: Vec<CareTeamParticipant>,
}

#[derive(Deserialize)]
pub(super) struct CareTeamParticipant {
    #[serde(default)]
    pub(super) member: Option<Reference>,
    #[serde(default)]
    pub(super) period: Option<Period>,
}

#[derive(Deserialize)]
pub(super) struct Encounter {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) subject: Option<Reference>,
    #[serde(default)]
    pub(super) period: Option<Period>,
    #[serde(default)]
    pub(super) participant: Vec<EncounterParticipant>,
    #[serde(default)]
    pub(super) location: Vec<EncounterLocation>,
}

#[derive(Deserialize)]
pub(super) struct EncounterParticipant {
    #[serde(default)]
    pub(super) individual: Option<Reference>,
    #[serde(default)]
    pub(super) period: Option<Period>,
}

#[derive(Deserialize)]
pub(super) struct EncounterLocation {
    pub(super) location: Reference,
    #[serde(default)]
    pub(super) status: String,
}

#[derive(Deserialize)]
pub(super) struct Patient {
    pub(super) id: String,
    #[serde(default)]
    pub(super) meta: Meta,
    #[serde(default, rename = "birthDate")]
    pub(super) birth_date: Option<String>,
}

#[derive(Default, Deserialize)]
pub(super) struct Meta {
    #[serde(default)]
    pub(super) security: Vec<Coding>,
}

#[derive(Deserialize)]
pub(super) struct Coding {
    #[serde(default)]
    pub(super) code: String,
}

#[derive(Deserialize)]
pub(super) struct Practitioner {
    pub(super) id: String,
    #[serde(default)]
    pub(super) identifier: Vec<Identifier>,
}

#[derive(Deserialize)]
pub(super) struct Identifier {
    #[serde(default)]
    pub(super) system: String,
    #[serde(default)]
    pub(super) value: String,
}

#[derive(Deserialize)]
pub(super) struct PractitionerRole {
    pub(super) id: String,
    #[serde(default)]
    pub(super) active: Option<bool>,
    #[serde(default)]
    pub(super) period: Option<Period>,
    #[serde(default)]
    pub(super) practitioner: Option<Reference>,
}

/// Whether a period holds `now`; no period always holds. `None`: a bound is not an instant, and nobody can tell.
pub(super) fn holds(period: Option<&Period>, now: Timestamp) -> Option<bool> {
    let Some(period) = period else {
        return Some(true);
    };
    Some(
        begin(period)?.is_none_or(|begin| begin <= now) && end(period)?.is_none_or(|end| now < end),
    )
}

/// The first instant, if there is one; outer `None`: it is not an instant.
pub(super) fn begin(period: &Period) -> Option<Option<Timestamp>> {
    period
        .start
        .as_deref()
        .map_or(Some(None), |text| Timestamp::parse(text).map(Some))
}

/// The last instant, if there is one; outer `None`: it is not an instant. A date, month or year includes its whole
/// length.
pub(super) fn end(period: &Period) -> Option<Option<Timestamp>> {
    let Some(text) = period.end.as_deref() else {
        return Some(None);
    };
    let first = Timestamp::parse(text)?;
    let next = match (text.len(), date(&first.to_string())?) {
        (4, (year, _, _)) => format!("{:04}", year + 1),
        (7, (year, 12, _)) => format!("{:04}-01", year + 1),
        (7, (year, month, _)) => format!("{year:04}-{:02}", month + 1),
        (10, _) => return Some(Some(first.plus(Duration::from_secs(86_400)))),
        _ => return Some(Some(first)),
    };
    Timestamp::parse(&next).map(Some)
}

/// Completed years between a FHIR date (`2009`, `2009-05`, `2009-05-17`) and `now`. Missing parts count as the first.
pub(super) fn age(birth_date: &str, now: Timestamp) -> Option<i32> {
    let born = date(&Timestamp::parse(birth_date)?.to_string())?;
    let today = date(&now.to_string())?;
    let had_birthday = (today.1, today.2) >= (born.1, born.2);
    Some(today.0 - born.0 - i32::from(!had_birthday))
}

fn date(rfc3339: &str) -> Option<(i32, u32, u32)> {
    let (date, _) = rfc3339.split_once('T')?;
    let mut parts = date.splitn(3, '-');
    Some((
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
        parts.next()?.parse().ok()?,
    ))
}
