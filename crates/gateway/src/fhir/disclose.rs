//! The record of what a response released and withheld, durable before the response goes out.

use audit::{Kind, Unavailable};
use clinical::fhir::Disclosed;
use domain::RecordId;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Errand, NoAnswer, Verdicts};
use crate::body::{Body, BodyFault};
use crate::record::Recorded;

impl Errand<'_, '_> {
    /// Records a disclosure and waits until it is durable.
    pub(super) async fn disclose(
        &self,
        recorded: &Recorded,
        released: &[Disclosed],
        withheld: &[Disclosed],
        verdicts: &Verdicts,
    ) -> Result<RecordId, Unavailable> {
        let mut header = self.disclosure_header(recorded, released.len(), withheld.len());
        for (name, codes) in [
            ("reasons", &verdicts.reasons),
            ("obligations", &verdicts.obligations),
        ] {
            if !codes.is_empty() {
                let codes = codes.iter().map(|c| Value::from(c.as_str())).collect();
                header.insert(name.to_owned(), Value::Array(codes));
            }
        }
        let payload = json!({
            "person": self.live.person(),
            "purpose": recorded.permit().request().context.purpose,
            "released": released.iter().map(listed).collect::<Vec<_>>(),
            "withheld": withheld.iter().map(listed).collect::<Vec<_>>(),
        });
        self.trip
            .shared
            .recorder
            .append(
                self.trip.now,
                Kind::Disclosure,
                header,
                serde_json::to_vec(&payload).unwrap_or_default(),
            )
            .await
    }

    fn disclosure_header(
        &self,
        recorded: &Recorded,
        released: usize,
        withheld: usize,
    ) -> Map<String, Value> {
        let mut header = Map::new();
        header.insert("application".to_owned(), self.place.id.as_str().into());
        header.insert("decision".to_owned(), recorded.id().0.into());
        header.insert("session".to_owned(), self.live.id().as_str().into());
        header.insert("released".to_owned(), released.into());
        header.insert("withheld".to_owned(), withheld.into());
        header
    }

    /// Releases nothing of a response, on record.
    pub(super) async fn withhold_all(&self, recorded: &Recorded, code: &str) -> Response<Body> {
        let mut header = self.disclosure_header(recorded, 0, 0);
        header.insert("code".to_owned(), code.into());
        let record = self
            .trip
            .shared
            .recorder
            .append(self.trip.now, Kind::Disclosure, header, Vec::new())
            .await;
        if let Err(error) = record {
            return self.trip.cannot_record(&error);
        }
        let (status, sentence) = match code {
            "no-download" => (
                StatusCode::FORBIDDEN,
                "On this device documents may not be opened or kept; please use a hospital device.",
            ),
            _ => (
                StatusCode::BAD_GATEWAY,
                "The application's answer could not be checked, so it was not passed on.",
            ),
        };
        self.trip.own_fault(status, code, sentence)
    }

    /// Answers for an upstream whose answer never came, or is too large to be judged.
    pub(super) async fn no_answer(&self, recorded: &Recorded, error: &NoAnswer) -> Response<Body> {
        match error {
            NoAnswer::Upstream(error) => self.trip.upstream_failed(self.place, error),
            NoAnswer::Body(BodyFault::TooLarge(_)) => {
                self.withhold_all(recorded, "response-too-large").await
            }
            NoAnswer::Body(BodyFault::Crowded) => self.trip.own_fault(
                StatusCode::SERVICE_UNAVAILABLE,
                "too-many-large-bodies",
                "Too many large answers are being checked at the moment. Please try again.",
            ),
            NoAnswer::Body(
                BodyFault::Idle
                | BodyFault::Framing(_)
                | BodyFault::Broken(_)
                | BodyFault::Upstream(_),
            ) => {
                tracing::warn!(application = %self.place.id, %error, "an upstream's answer broke off");
                self.trip.own_fault(
                    StatusCode::BAD_GATEWAY,
                    "upstream-broke-off",
                    "The application's answer broke off.",
                )
            }
        }
    }
}

fn listed(disclosed: &Disclosed) -> Value {
    let mut entry = Map::new();
    entry.insert("type".to_owned(), disclosed.resource_type.as_str().into());
    if let Some(id) = &disclosed.id {
        entry.insert("id".to_owned(), id.as_str().into());
    }
    if let Some(version) = &disclosed.version {
        entry.insert("version".to_owned(), version.as_str().into());
    }
    if !disclosed.patients.is_empty() {
        let patients = disclosed.patients.iter().map(|p| p.as_str().into());
        entry.insert("patients".to_owned(), Value::Array(patients.collect()));
    }
    Value::Object(entry)
}
