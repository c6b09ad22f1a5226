//! The road of a FHIR request, which is judged in two steps.
//!
//! First on the address, then on the content: each resource of a response is judged before it is released, and a write is
//! judged on the stored version it replaces and on the state it leads to, then sent with `If-Match` so that nothing
//! else is replaced. What does not exist is answered as a stranger's ordinary resource would be.

mod answer;
mod conditional;
mod disclose;
mod write;

use bytes::Bytes;
use clinical::fhir::{self as grammar, Classified, ResponseShape, Verdict};
use domain::request::{Body as MessageBody, Message};
use domain::resource::FhirResource;
use domain::{Action, PatientId, RecordId, Resource, Target};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use identity::Live;
use policy::{Concealed, Decision, Permit, ResponseCondition, Snapshot};
use smol_str::SmolStr;

use crate::answer::bare;
use crate::body::{Body, BodyFault, Outgoing, Reserved};
use crate::forward::{Own, Unforwardable, clean_response, request_of};
use crate::gateway::{Destination, Place};
use crate::record::Recorded;
use crate::road::{Obliged, Trip, oblige_of};
use crate::stages::Stage;
use crate::upstream::{Pool, UpstreamError};

/// Request headers that reach a FHIR upstream. Everything else could change what it answers in a way that was not
/// judged: conditions, ranges, method overrides, encodings.
const PASSED: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::USER_AGENT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_TYPE,
    HeaderName::from_static("prefer"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
];

/// Response headers that reach the client.
const RETURNED: [HeaderName; 5] = [
    header::ETAG,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::RETRY_AFTER,
    HeaderName::from_static("x-request-id"),
];

/// An upstream's answer, read whole.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Holds its share of the memory for whole bodies.
    _reserved: Option<Reserved>,
}

/// Why there is no answer to judge.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Body(BodyFault),
}

impl From<Unforwardable> for NoAnswer {
    fn from(error: Unforwardable) -> Self {
        Self::Upstream(error.into())
    }
}

/// What a FHIR request is about while it is served.
struct Errand<'t, 'a> {
    trip: &'t mut Trip<'a>,
    place: &'t Place,
    live: &'t Live,
    pool: &'t std::sync::Arc<Pool>,
    host: Option<&'t HeaderValue>,
}

/// Serves a FHIR request.
///
/// `HEAD` is served as the `GET` that it asks about, judged, recorded and forwarded as one, since an answer without content
/// cannot be judged; then the judged content is left out. Its length is that of what would have been released.
pub(crate) async fn serve(
    mut trip: Trip<'_>,
    place: &Place,
    service: &grammar::Service,
    live: Live,
) -> Response<Body> {
    let without_content = trip.head.method == Method::HEAD;
    if without_content {
        trip.head.method = Method::GET;
    }
    let response = serve_whole(trip, place, service, live).await;
    if without_content {
        answer::head_of(response)
    } else {
        response
    }
}

async fn serve_whole(
    mut trip: Trip<'_>,
    place: &Place,
    service: &grammar::Service,
    live: Live,
) -> Response<Body> {
    let Destination::Http { pool, host } = &place.target else {
        // FHIR inside the program would need no gateway; there is none.
        return bare(StatusCode::NOT_FOUND);
    };
    let body = match read_body(&mut trip, service).await {
        Ok(body) => body,
        Err(Unread::Fault(fault)) => return trip.body_failed(&fault, place).await,
        Err(Unread::Misplaced) => {
            return trip
                .malformed(StatusCode::BAD_REQUEST, "unexpected-body", Some(place))
                .await;
        }
    };
    let classified = grammar::classify(
        service,
        &trip.head.method,
        &trip.head.path,
        trip.head.query.as_deref(),
        &trip.head.headers,
        &body.bytes,
    );
    trip.lap.mark(Stage::Classify);
    let classified = match classified {
        Ok(classified) => classified,
        Err(malformed) => {
            let status = StatusCode::from_u16(malformed.status).unwrap_or(StatusCode::BAD_REQUEST);
            return trip.malformed(status, malformed.code, Some(place)).await;
        }
    };
    let message = Message {
        application: place.id.clone(),
        method: trip.head.method.clone(),
        path: trip.head.path.clone(),
        query: trip.head.query.clone(),
        headers: passed(&trip.head.headers),
        body: if body.bytes.is_empty() {
            MessageBody::Empty
        } else {
            MessageBody::Whole(body.bytes.clone())
        },
    };
    let question = trip.question(&live, classified.targets.clone(), message);
    let permit = match trip.judge(question) {
        Ok(permit) => permit,
        Err(decision) => {
            trip.lap.mark(Stage::Decide);
            let refused = trip.refuse(place, &live, &decision, None, None).await;
            // Whoever writes a client is told what is served instead.
            return match classified.unserved {
                Some(unserved) if is_unclassified(&decision) && !trip.wants_page => {
                    answer::unserved(refused, unserved)
                }
                Some(_) | None => refused,
            };
        }
    };
    trip.lap.mark(Stage::Decide);
    let errand = Errand {
        trip: &mut trip,
        place,
        live: &live,
        pool,
        host: host.as_ref(),
    };
    match &classified.write {
        None => errand.read(classified, permit).await,
        Some(_) => errand.write(service, classified, permit, body.bytes).await,
    }
}

fn is_unclassified(decision: &Decision) -> bool {
    decision.ruling().reason().code == "unclassified-request"
}

struct ReadBody {
    bytes: Bytes,
    _reserved: Option<Reserved>,
}

enum Unread {
    Fault(BodyFault),
    Misplaced,
}

async fn read_body(trip: &mut Trip<'_>, service: &grammar::Service) -> Result<ReadBody, Unread> {
    let empty = ReadBody {
        bytes: Bytes::new(),
        _reserved: None,
    };
    let Some(body) = trip.body.take() else {
        return Ok(empty);
    };
    if !grammar::needs_body(service, &trip.head) {
        return Err(Unread::Misplaced);
    }
    let (bytes, reserved) = body
        .read_whole(trip.shared.limits.fhir_request_max, &trip.shared.budget)
        .await
        .map_err(Unread::Fault)?;
    Ok(ReadBody {
        bytes,
        _reserved: reserved,
    })
}

/// The headers that go to the upstream: those of the list, and what makes the answer judgeable.
fn passed(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(16);
    for name in PASSED {
        for value in headers.get_all(&name) {
            kept.append(name.clone(), value.clone());
        }
    }
    kept.insert(
        header::ACCEPT,
        HeaderValue::from_static("application/fhir+json"),
    );
    kept.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    kept
}

impl Errand<'_, '_> {
    fn own(&self) -> Result<Own, StatusCode> {
        self.trip.own(self.place, self.host, self.live)
    }

    /// Serves a read or a search.
    async fn read(self, classified: Classified, permit: Permit) -> Response<Body> {
        if let Some(code) = self.undownloadable(&classified, &permit) {
            let recorded = match self.trip.shared.recorder.submit(permit).durable().await {
                Ok(recorded) => recorded,
                Err(error) => return self.trip.cannot_record(&error),
            };
            return self.withhold_all(&recorded, code).await;
        }
        let own = match self.own() {
            Ok(own) => own,
            Err(status) => return bare(status),
        };
        let submitted = self.trip.shared.recorder.submit(permit);
        let pool = self.pool;
        let forwarded = submitted
            .forward(async |forward| {
                self.exchange(pool, || request_of(forward, &own, None), true)
                    .await
            })
            .await;
        self.trip.lap.mark(Stage::Upstream);
        let (recorded, answered) = match forwarded {
            Err(error) => return self.trip.cannot_record(&error),
            Ok((recorded, Err(error))) => return self.no_answer(&recorded, &error).await,
            Ok((recorded, Ok(answered))) => (recorded, answered),
        };
        let record = recorded.id();
        let response = match answered.status {
            StatusCode::OK => self.release(classified, &recorded, answered).await,
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                self.absent(&classified, &recorded, Action::FhirRead).await
            }
            status => answer::upstream_status(status),
        };
        crate::answer::numbered(response, record)
    }

    async fn exchange(
        &self,
        pool: &std::sync::Arc<Pool>,
        build: impl FnMut() -> Result<Request<Outgoing>, Unforwardable>,
        may_repeat: bool,
    ) -> Result<Answered, NoAnswer> {
        let response = pool.exchange(build, may_repeat).await?;
        let (mut head, body) = response.into_parts();
        let limits = &self.trip.shared.limits;
        let (body, reserved) = body
            .read_whole(limits.fhir_response_max, &self.trip.shared.budget)
            .await
            .map_err(NoAnswer::Body)?;
        clean_response(&mut head.headers);
        Ok(Answered {
            status: head.status,
            headers: head.headers,
            body,
            _reserved: Some(reserved),
        })
    }

    /// Why nothing at this address may be read by whoever may not download, if that is so.
    fn undownloadable(&self, classified: &Classified, permit: &Permit) -> Option<&'static str> {
        let binary = classified.targets.iter().any(|t| match &t.resource {
            Resource::FhirEndpoint(endpoint) => endpoint.resource_type == "Binary",
            _ => false,
        });
        (binary && oblige_of(permit.ruling()).no_download).then_some("no-download")
    }

    /// Judges what came back and releases what may be.
    async fn release(
        self,
        classified: Classified,
        recorded: &Recorded,
        answered: Answered,
    ) -> Response<Body> {
        let snapshot = self.trip.shared.world.load_full();
        let permit = recorded.permit();
        let as_is = permit.response() == ResponseCondition::AsIs
            && matches!(
                classified.response,
                ResponseShape::Capabilities | ResponseShape::Outcome
            );
        if !is_json(&answered.headers) {
            return self.withhold_all(recorded, "not-json").await;
        }
        // `accept-encoding: identity` was sent; what is packed all the same is not unpacked here.
        let packed = answered
            .headers
            .get(header::CONTENT_ENCODING)
            .is_some_and(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity"));
        if packed {
            return self.withhold_all(recorded, "encoded-response").await;
        }
        if as_is {
            return answer::resource(&answered.headers, answered.body, Obliged::default());
        }
        let mut jury = Jury::new(&self, &snapshot, permit);
        let judged = grammar::judge_response(
            &self.place.id,
            &classified.response,
            &answered.body,
            &mut |resource| jury.judge(resource),
        );
        let mut verdicts = jury.into_verdicts();
        self.trip.lap.mark(Stage::Filter);
        let judged = match judged {
            Ok(judged) => judged,
            Err(malformed) => {
                tracing::warn!(application = %self.place.id, code = malformed.code, "a response could not be judged");
                return self.withhold_all(recorded, malformed.code).await;
            }
        };
        // A single resource, or the history of one: withheld whole it must look as if it did not exist.
        let of_one =
            matches!(classified.response, ResponseShape::Single { .. }) || names_one(&classified);
        if of_one && judged.released.is_empty() {
            match verdicts.refusal.take() {
                Some(refusal) => {
                    return self.refuse_one(&snapshot, &refusal, recorded.id()).await;
                }
                // Not refused, but kept back: a document on a private device, or something that is no resource.
                None if !judged.withheld.is_empty() => {
                    let code = verdicts
                        .reasons
                        .first()
                        .map_or("unjudgeable", SmolStr::as_str);
                    return self.withhold_all(recorded, code).await;
                }
                None => {}
            }
        }
        if !judged.released.is_empty() || !judged.withheld.is_empty() {
            let disclosed = self
                .disclose(recorded, &judged.released, &judged.withheld, &verdicts)
                .await;
            if let Err(error) = disclosed {
                return self.trip.cannot_record(&error);
            }
        }
        let obliged = verdicts.obliged;
        let body = if obliged.no_download {
            answer::without_attachments(&judged.body)
        } else {
            Some(judged.body)
        };
        match body {
            Some(body) => answer::resource(&answered.headers, body, obliged),
            None => self.withhold_all(recorded, "not-json").await,
        }
    }

    /// Refuses one resource on its content; whoever has no relation to it is told what an absent one gets.
    async fn refuse_one(
        &self,
        snapshot: &Snapshot,
        refusal: &Decision,
        about: RecordId,
    ) -> Response<Body> {
        match policy::conceal(snapshot, refusal) {
            None => {
                self.trip
                    .refuse(self.place, self.live, refusal, None, Some(about))
                    .await
            }
            Some(Concealed::Answer(told)) => {
                self.trip
                    .refuse(self.place, self.live, refusal, Some(&told), Some(about))
                    .await
            }
            Some(Concealed::NotFound) => {
                match self
                    .trip
                    .shared
                    .recorder
                    .refused(refusal, Some(about))
                    .await
                {
                    Ok(_) => answer::not_found(),
                    Err(error) => self.trip.cannot_record(&error),
                }
            }
        }
    }

    /// Answers for what the upstream does not have: as for a stranger's ordinary resource of that type.
    async fn absent(
        &self,
        classified: &Classified,
        recorded: &Recorded,
        action: Action,
    ) -> Response<Body> {
        let Some(resource) = self.nobodys(classified) else {
            return answer::not_found();
        };
        match self.judge_one(recorded.permit(), action, resource) {
            Ok(_) => answer::not_found(),
            // The same way out as for a resource that exists, so that nothing tells them apart.
            Err(decision) => {
                let snapshot = self.trip.shared.world.load_full();
                self.refuse_one(&snapshot, &decision, recorded.id()).await
            }
        }
    }

    /// The stranger's ordinary resource that stands for one which is not there.
    fn nobodys(&self, classified: &Classified) -> Option<FhirResource> {
        classified.targets.iter().find_map(|target| {
            let Resource::FhirEndpoint(endpoint) = &target.resource else {
                return None;
            };
            let id = endpoint.id.as_ref()?;
            Some(self.stranger(&endpoint.resource_type, id))
        })
    }

    fn stranger(&self, resource_type: &SmolStr, id: &SmolStr) -> FhirResource {
        let patients = if resource_type == "Patient" {
            vec![PatientId::new(id.clone())]
        } else if grammar::is_patient_compartment(resource_type) {
            vec![PatientId::new(grammar::UNKNOWN_PATIENT)]
        } else {
            Vec::new()
        };
        FhirResource {
            application: self.place.id.clone(),
            resource_type: resource_type.clone(),
            id: Some(id.clone()),
            patients,
            confidentiality: Default::default(),
            labels: Default::default(),
            authors: Vec::new(),
            device: None,
            unit: None,
            categories: Vec::new(),
            controlled: false,
            deidentified: false,
            change: None,
        }
    }

    fn judge_one(
        &self,
        permit: &Permit,
        action: Action,
        resource: FhirResource,
    ) -> Result<Permit, Box<Decision>> {
        self.trip.judge(permit.about(Target {
            action,
            resource: Resource::FhirResource(Box::new(resource)),
        }))
    }
}

/// Whether the request is about one resource by its id.
fn names_one(classified: &Classified) -> bool {
    classified.targets.iter().any(|t| match &t.resource {
        Resource::FhirEndpoint(endpoint) => {
            endpoint.id.is_some()
                && matches!(
                    t.action,
                    Action::FhirRead | Action::FhirVread | Action::FhirHistory
                )
        }
        _ => false,
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|t| t.to_str().ok())
        .and_then(|t| t.split(';').next())
        .map(str::trim)
        .is_some_and(|t| {
            t.eq_ignore_ascii_case("application/fhir+json")
                || t.eq_ignore_ascii_case("application/json")
        })
}

/// Judges the resources of one response.
struct Jury<'j> {
    snapshot: &'j Snapshot,
    permit: &'j Permit,
    now: domain::Timestamp,
    verdicts: Verdicts,
}

/// What a [`Jury`] found.
struct Verdicts {
    obliged: Obliged,
    /// The first resource's refusal.
    refusal: Option<Decision>,
    /// Codes of why resources were withheld, each once.
    reasons: Vec<SmolStr>,
    /// Obligations of those released, each once.
    obligations: Vec<SmolStr>,
}

/// Reasons, and obligations, listed in one record; a response has few, however many resources it has.
const LISTED_MAX: usize = 16;

impl<'j> Jury<'j> {
    fn new(errand: &Errand<'_, '_>, snapshot: &'j Snapshot, permit: &'j Permit) -> Self {
        Self {
            snapshot,
            permit,
            now: errand.trip.now,
            verdicts: Verdicts {
                obliged: oblige_of(permit.ruling()),
                refusal: None,
                reasons: Vec::new(),
                obligations: Vec::new(),
            },
        }
    }

    fn judge(&mut self, resource: &FhirResource) -> Verdict {
        let question = self.permit.about(Target {
            action: Action::FhirRead,
            resource: Resource::FhirResource(Box::new(resource.clone())),
        });
        let decision = match policy::decide(self.snapshot, question, self.now) {
            Decision::Permit(permit) => Ok(permit),
            refused => policy::shadow(self.snapshot, refused),
        };
        match decision {
            Ok(permit) => {
                let obliged = oblige_of(permit.ruling());
                let kept = obliged.no_download || self.verdicts.obliged.no_download;
                if kept && matches!(resource.resource_type.as_str(), "Binary" | "Media") {
                    list(&mut self.verdicts.reasons, "no-download");
                    return Verdict::Withhold;
                }
                self.verdicts.obliged = self.verdicts.obliged.and(obliged);
                for obligation in permit.ruling().obligations() {
                    list(&mut self.verdicts.obligations, &obligation.name);
                }
                Verdict::Release
            }
            Err(refused) => {
                list(&mut self.verdicts.reasons, &refused.ruling().reason().code);
                self.verdicts.refusal.get_or_insert(refused);
                Verdict::Withhold
            }
        }
    }

    fn into_verdicts(self) -> Verdicts {
        self.verdicts
    }
}

fn list(codes: &mut Vec<SmolStr>, code: &str) {
    if codes.len() < LISTED_MAX && !codes.iter().any(|c| c == code) {
        codes.push(code.into());
    }
}
