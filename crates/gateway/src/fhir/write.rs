//! Writes: judged on the stored version and on the state they lead to, sent only against that stored version.

use std::ops::Range;

use bytes::Bytes;
use clinical::fhir::{self as grammar, Classified, Malformed, Write};
use domain::request::{Body as MessageBody, Message};
use domain::resource::FhirResource;
use domain::{Action, CanonicalRequest, Resource, Target};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use policy::Permit;
use serde::Deserialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::conditional::{self, Found};
use super::{Answered, Errand, Jury, NoAnswer, answer};
use crate::answer::bare;
use crate::body::Body;
use crate::forward::{request_of, stored_version_of};
use crate::record::Recorded;
use crate::road::Obliged;
use crate::stages::Stage;

const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");

/// Writes of one bundle that need the stored version read first.
const STORED_MAX: usize = 100;

/// What the upstream has where a write will go.
enum Stored {
    Absent,
    Present {
        bytes: Bytes,
        /// The version as an entity tag, such as `W/"3"`.
        tag: String,
    },
}

/// A write whose stored version is known.
struct Known<'w> {
    write: &'w Write,
    stored: Option<Stored>,
    /// What the criteria of a conditional create led to.
    found: Option<Answered>,
}

/// Why a write goes no further.
enum Stop {
    Answer(Box<Response<Body>>),
    Malformed(Malformed),
    Status(StatusCode, &'static str),
}

impl From<Malformed> for Stop {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// What a write asks of policy, and under which conditions it goes out.
struct Plan {
    targets: Vec<Target>,
    /// `type/id` and entity tag of each stored version that was judged.
    matches: Vec<(String, String)>,
    /// `type/id` of each resource under an id of the client's choice that does not exist yet.
    creates: Vec<String>,
    /// The criteria under which the upstream shall not create after all.
    unless: Option<String>,
    /// Nothing is there to be written to; if policy would have let it, that is the answer.
    absent: bool,
}

impl Errand<'_, '_> {
    /// Serves a write.
    pub(super) async fn write(
        self,
        service: &grammar::Service,
        classified: Classified,
        permit: Permit,
        body: Bytes,
    ) -> Response<Body> {
        let mut writes = Vec::new();
        if let Some(write) = &classified.write {
            flatten(write, &mut writes);
        }
        if writes.iter().filter(|w| place_of(w).is_some()).count() > STORED_MAX {
            return self
                .trip
                .malformed(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "too-many-writes",
                    Some(self.place),
                )
                .await;
        }
        // The first permit is for looking: nothing is changed under it.
        let own = match self.own() {
            Ok(own) => own,
            Err(status) => return bare(status),
        };
        let submitted = self.trip.shared.recorder.submit(permit);
        let pool = self.pool;
        let known = submitted
            .forward(async |forward| {
                let mut known = Vec::with_capacity(writes.len());
                for write in &writes {
                    let look = async |path: &str, query: Option<&str>| {
                        let build = || stored_version_of(forward, path, query, &own);
                        self.exchange(pool, build, true).await
                    };
                    let stored = match place_of(write) {
                        None => None,
                        Some((resource_type, id)) => {
                            let path = format!("{}/{resource_type}/{id}", service.base);
                            Some(stored_in(&look(&path, None).await?)?)
                        }
                    };
                    let found = match criteria_of(write) {
                        None => None,
                        Some((resource_type, criteria)) => {
                            let path = format!("{}/{resource_type}", service.base);
                            Some(look(&path, Some(&conditional::query_for(criteria))).await?)
                        }
                    };
                    known.push(Known {
                        write,
                        stored,
                        found,
                    });
                }
                Ok::<_, NoAnswer>(known)
            })
            .await;
        let (looked, known) = match known {
            Err(error) => return self.trip.cannot_record(&error),
            Ok((recorded, Err(error))) => return self.no_answer(&recorded, &error).await,
            Ok((recorded, Ok(known))) => (recorded, known),
        };
        let mut plan = match self.plan(&known, &body) {
            Ok(plan) => plan,
            Err(stop) => return self.stopped(stop).await,
        };
        let mut found = None;
        if let [
            Known {
                write,
                found: Some(answered),
                ..
            },
        ] = known.as_slice()
        {
            found = match self.found(&looked, answered) {
                Some(found) => Some(found),
                None => return self.withhold_all(&looked, "criteria-unjudgeable").await,
            };
            if matches!(found, Some(Found::Nothing)) {
                plan.unless = criteria_of(write).map(|(_, criteria)| criteria.to_owned());
            }
        }
        let bundle = matches!(classified.write, Some(Write::Many(_)));
        let question = match self.final_question(&looked, &plan, bundle, &body) {
            Ok(question) => question,
            Err(stop) => return self.stopped(stop).await,
        };
        let permit = match self.trip.judge(question) {
            Ok(permit) => permit,
            Err(decision) => {
                let snapshot = self.trip.shared.world.load_full();
                return self.refuse_one(&snapshot, &decision, looked.id()).await;
            }
        };
        self.trip.lap.mark(Stage::Decide);
        match found {
            Some(Found::One(one)) => return self.exists(&looked, *one).await,
            Some(Found::Several) => return answer::several_match(),
            Some(Found::Nothing | Found::Hidden) | None => {}
        }
        if plan.absent {
            return answer::not_found();
        }
        if let Err(stop) = self.meets_if_match(&plan) {
            return self.stopped(stop).await;
        }
        self.carry_out(&classified, permit).await
    }

    async fn stopped(&self, stop: Stop) -> Response<Body> {
        match stop {
            Stop::Answer(response) => *response,
            Stop::Malformed(malformed) => {
                let status =
                    StatusCode::from_u16(malformed.status).unwrap_or(StatusCode::BAD_REQUEST);
                self.trip
                    .malformed(status, malformed.code, Some(self.place))
                    .await
            }
            Stop::Status(status, code) => self.trip.malformed(status, code, Some(self.place)).await,
        }
    }

    /// What policy must be asked: about each stored version and each new state.
    fn plan(&self, known: &[Known<'_>], body: &Bytes) -> Result<Plan, Stop> {
        let mut plan = Plan {
            targets: Vec::new(),
            matches: Vec::new(),
            creates: Vec::new(),
            unless: None,
            absent: false,
        };
        for Known { write, stored, .. } in known {
            match (write, stored) {
                (Write::Create { resource, .. }, _) => {
                    plan.ask(Action::FhirCreate, (**resource).clone());
                }
                (
                    Write::Update {
                        resource_type,
                        id,
                        resource,
                        content,
                    },
                    Some(Stored::Present { bytes, tag }),
                ) => {
                    let old = self.facts(bytes)?;
                    let mut new = (**resource).clone();
                    new.change = Some(grammar::change(bytes, slice(body, content)?)?);
                    plan.ask(Action::FhirUpdate, old);
                    plan.ask(Action::FhirUpdate, new);
                    plan.only_if(resource_type, id, tag);
                }
                (
                    Write::Update {
                        resource_type,
                        id,
                        resource,
                        ..
                    },
                    _,
                ) => {
                    // Whether the id is taken must not show: it is asked for as a stranger's, too.
                    plan.ask(Action::FhirUpdate, self.stranger(resource_type, id));
                    plan.ask(Action::FhirCreate, (**resource).clone());
                    plan.creates.push(format!("{resource_type}/{id}"));
                }
                (
                    Write::Patch {
                        resource_type,
                        id,
                        format,
                        content,
                    },
                    Some(Stored::Present { bytes, tag }),
                ) => {
                    let old = self.facts(bytes)?;
                    let patched = grammar::apply_patch(bytes, slice(body, content)?, format)?;
                    let mut new = self.facts(&patched)?;
                    if new.resource_type != *resource_type || new.id.as_ref() != Some(id) {
                        return Err(Stop::Status(
                            StatusCode::UNPROCESSABLE_ENTITY,
                            "patch-changes-identity",
                        ));
                    }
                    new.change = Some(grammar::change(bytes, &patched)?);
                    plan.ask(Action::FhirPatch, old);
                    plan.ask(Action::FhirPatch, new);
                    plan.only_if(resource_type, id, tag);
                }
                (Write::Delete { resource_type, id }, Some(Stored::Present { bytes, tag })) => {
                    plan.ask(Action::FhirDelete, self.facts(bytes)?);
                    plan.only_if(resource_type, id, tag);
                }
                (
                    Write::Patch {
                        resource_type, id, ..
                    },
                    _,
                ) => {
                    plan.ask(Action::FhirPatch, self.stranger(resource_type, id));
                    plan.absent = true;
                }
                (Write::Delete { resource_type, id }, _) => {
                    plan.ask(Action::FhirDelete, self.stranger(resource_type, id));
                    plan.absent = true;
                }
                (Write::Many(_), _) => {
                    return Err(Stop::Status(StatusCode::BAD_REQUEST, "nested-bundle"));
                }
            }
        }
        Ok(plan)
    }

    fn facts(&self, resource: &[u8]) -> Result<FhirResource, Stop> {
        grammar::facts(&self.place.id, resource).map_err(|malformed| {
            tracing::warn!(application = %self.place.id, code = malformed.code, "a stored resource could not be judged");
            Stop::Answer(Box::new(self.trip.own_fault(
                StatusCode::BAD_GATEWAY,
                malformed.code,
                "The stored version could not be checked, so nothing was changed.",
            )))
        })
    }

    /// The question whose permit the write goes out under: all targets, and the message with its conditions.
    fn final_question(
        &self,
        looked: &Recorded,
        plan: &Plan,
        bundle: bool,
        body: &Bytes,
    ) -> Result<CanonicalRequest, Stop> {
        let first = looked.permit().request();
        let mut message = first.message.clone().unwrap_or_else(|| Message {
            application: self.place.id.clone(),
            method: self.trip.head.method.clone(),
            path: self.trip.head.path.clone(),
            query: None,
            headers: Default::default(),
            body: MessageBody::Empty,
        });
        if let Some(criteria) = &plan.unless {
            let criteria = HeaderValue::try_from(criteria.as_str())
                .map_err(|_| Stop::Status(StatusCode::BAD_REQUEST, "header-value"))?;
            message.headers.insert(IF_NONE_EXIST, criteria);
        }
        if bundle {
            if !plan.matches.is_empty() || !plan.creates.is_empty() {
                let body = with_conditions(body, &plan.matches, &plan.creates)?;
                message.body = MessageBody::Whole(body);
            }
        } else if !plan.creates.is_empty() {
            message
                .headers
                .insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        } else if let [(_, tag)] = plan.matches.as_slice() {
            let tag = HeaderValue::try_from(tag.as_str())
                .map_err(|_| Stop::Status(StatusCode::BAD_GATEWAY, "unusable-version"))?;
            message.headers.insert(header::IF_MATCH, tag);
        }
        Ok(CanonicalRequest {
            subject: first.subject.clone(),
            targets: plan.targets.clone(),
            context: first.context.clone(),
            message: Some(message),
        })
    }

    /// Keeps the client's own `If-Match`: what was judged must be the version that the client meant.
    fn meets_if_match(&self, plan: &Plan) -> Result<(), Stop> {
        let mut wanted = self
            .trip
            .head
            .headers
            .get_all(header::IF_MATCH)
            .iter()
            .peekable();
        if wanted.peek().is_none() {
            return Ok(());
        }
        let met = match plan.matches.as_slice() {
            [(_, tag)] => wanted.all(|w| {
                w.to_str()
                    .is_ok_and(|w| w.trim() == "*" || version_of(w) == version_of(tag))
            }),
            _ => false,
        };
        if met {
            Ok(())
        } else {
            Err(Stop::Answer(Box::new(answer::changed_meanwhile())))
        }
    }

    /// Sends the write and judges what comes back.
    async fn carry_out(self, classified: &Classified, permit: Permit) -> Response<Body> {
        let own = match self.own() {
            Ok(own) => own,
            Err(status) => return bare(status),
        };
        let submitted = self.trip.shared.recorder.submit(permit);
        let pool = self.pool;
        let forwarded = submitted
            .forward(async |forward| {
                self.exchange(pool, || request_of(forward, &own, None), false)
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
        let conditional = recorded
            .permit()
            .request()
            .message
            .as_ref()
            .is_some_and(|message| message.headers.contains_key(IF_NONE_EXIST));
        let response = if conditional && answered.status == StatusCode::PRECONDITION_FAILED {
            // Its words are about what it found.
            answer::several_match()
        } else if conditional
            && answered.status.is_success()
            && answered.status != StatusCode::CREATED
        {
            // Somebody else was quicker, and what there is now was judged by nobody.
            answer::created_meanwhile()
        } else if !answered.status.is_success() {
            answer::write_refused(answered.status, &answered.body)
        } else if answered.body.is_empty() {
            answer::written(
                answered.status,
                &answered.headers,
                Bytes::new(),
                Obliged::default(),
            )
        } else {
            self.confirm(classified, &recorded, answered).await
        };
        crate::answer::numbered(response, record)
    }

    async fn confirm(
        self,
        classified: &Classified,
        recorded: &Recorded,
        answered: Answered,
    ) -> Response<Body> {
        let snapshot = self.trip.shared.world.load_full();
        let mut jury = Jury::new(&self, &snapshot, recorded.permit());
        let judged = grammar::judge_response(
            &self.place.id,
            &classified.response,
            &answered.body,
            &mut |resource| jury.judge(resource),
        );
        let verdicts = jury.into_verdicts();
        let judged = match judged {
            Ok(judged) => judged,
            Err(_malformed) => {
                // The write is done; what cannot be judged of its echo stays here.
                return answer::written(
                    answered.status,
                    &answered.headers,
                    Bytes::new(),
                    Obliged::default(),
                );
            }
        };
        if !judged.released.is_empty() || !judged.withheld.is_empty() {
            let disclosed = self
                .disclose(recorded, &judged.released, &judged.withheld, &verdicts)
                .await;
            if let Err(error) = disclosed {
                return self.trip.cannot_record(&error);
            }
        }
        answer::written(
            answered.status,
            &answered.headers,
            judged.body,
            verdicts.obliged,
        )
    }
}

impl Plan {
    fn ask(&mut self, action: Action, resource: FhirResource) {
        self.targets.push(Target {
            action,
            resource: Resource::FhirResource(Box::new(resource)),
        });
    }

    fn only_if(&mut self, resource_type: &SmolStr, id: &SmolStr, tag: &str) {
        self.matches
            .push((format!("{resource_type}/{id}"), tag.to_owned()));
    }
}

fn flatten<'w>(write: &'w Write, into: &mut Vec<&'w Write>) {
    match write {
        Write::Many(writes) => writes.iter().for_each(|w| flatten(w, into)),
        Write::Create { .. }
        | Write::Update { .. }
        | Write::Patch { .. }
        | Write::Delete { .. } => into.push(write),
    }
}

/// Type and id of what a write replaces; a creation replaces nothing.
fn place_of(write: &Write) -> Option<(&SmolStr, &SmolStr)> {
    match write {
        Write::Update {
            resource_type, id, ..
        }
        | Write::Patch {
            resource_type, id, ..
        }
        | Write::Delete { resource_type, id } => Some((resource_type, id)),
        Write::Create { .. } | Write::Many(_) => None,
    }
}

/// Type and criteria of a conditional create.
fn criteria_of(write: &Write) -> Option<(&SmolStr, &str)> {
    match write {
        Write::Create {
            resource,
            if_none_exist: Some(criteria),
            ..
        } => Some((&resource.resource_type, criteria)),
        Write::Create { .. }
        | Write::Update { .. }
        | Write::Patch { .. }
        | Write::Delete { .. }
        | Write::Many(_) => None,
    }
}

fn slice<'b>(body: &'b Bytes, range: &Range<usize>) -> Result<&'b [u8], Stop> {
    body.get(range.clone()).ok_or(Stop::Status(
        StatusCode::BAD_REQUEST,
        "content-out-of-range",
    ))
}

/// What the answer to the read of a stored version says.
fn stored_in(answered: &Answered) -> Result<Stored, NoAnswer> {
    match answered.status {
        StatusCode::OK => Ok(Stored::Present {
            tag: tag_of(answered),
            bytes: answered.body.clone(),
        }),
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Stored::Absent),
        _ => Err(crate::upstream::UpstreamError::Unusable(answered.status).into()),
    }
}

/// The version as an entity tag, from the `ETag` or else from `meta.versionId`. A server without versions gets one that
/// matches nothing: a write that cannot be conditional is not sent blindly.
fn tag_of(answered: &Answered) -> String {
    #[derive(Deserialize)]
    struct Versioned {
        meta: Option<Meta>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        version_id: Option<String>,
    }
    let etag = answered
        .headers
        .get(header::ETAG)
        .and_then(|t| t.to_str().ok())
        .filter(|t| version_of(t).is_some());
    if let Some(etag) = etag {
        return etag.to_owned();
    }
    let version = serde_json::from_slice::<Versioned>(&answered.body)
        .ok()
        .and_then(|v| v.meta?.version_id)
        .filter(|v| {
            v.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        });
    match version {
        Some(version) => format!("W/\"{version}\""),
        None => "W/\"~none\"".to_owned(),
    }
}

/// The version within an entity tag, weak or strong.
fn version_of(tag: &str) -> Option<&str> {
    let tag = tag.trim();
    tag.strip_prefix("W/")
        .unwrap_or(tag)
        .strip_prefix('"')?
        .strip_suffix('"')
}

/// The bundle with `ifMatch` in each entry that replaces a stored version, with `ifNoneMatch` in each that creates under an
/// id of the client's choice, and every other byte as it was.
fn with_conditions(
    body: &Bytes,
    matches: &[(String, String)],
    creates: &[String],
) -> Result<Bytes, Stop> {
    #[derive(Deserialize)]
    struct Bundle<'a> {
        #[serde(borrow, default)]
        entry: Vec<Entry<'a>>,
    }
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        request: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct EntryRequest {
        method: String,
        url: String,
        if_match: Option<String>,
    }
    let text = std::str::from_utf8(body).map_err(|_| unusable())?;
    let bundle: Bundle<'_> = serde_json::from_str(text).map_err(|_| unusable())?;
    let mut insertions: Vec<(usize, String)> = Vec::new();
    for entry in &bundle.entry {
        let Some(raw) = entry.request else { continue };
        let request: EntryRequest = serde_json::from_str(raw.get()).map_err(|_| unusable())?;
        if !matches!(request.method.as_str(), "PUT" | "PATCH" | "DELETE") {
            continue;
        }
        let url = request.url.trim_start_matches('/');
        if creates.iter().any(|place| place == url) {
            // Nothing is there that a client could mean by a version.
            if request.if_match.is_some() {
                return Err(Stop::Answer(Box::new(answer::changed_meanwhile())));
            }
            insertions.push((after_brace(text, raw)?, "\"ifNoneMatch\":\"*\",".to_owned()));
            continue;
        }
        // A write that was judged against a stored version and is not found here must not go out without it.
        let (_, tag) = matches
            .iter()
            .find(|(place, _)| place == url)
            .ok_or_else(unusable)?;
        match &request.if_match {
            Some(theirs) if version_of(theirs) == version_of(tag) => {}
            Some(_) => return Err(Stop::Answer(Box::new(answer::changed_meanwhile()))),
            None => {
                let tag = serde_json::to_string(tag).map_err(|_| unusable())?;
                insertions.push((after_brace(text, raw)?, format!("\"ifMatch\":{tag},")));
            }
        }
    }
    let mut out = String::with_capacity(text.len() + insertions.len() * 32);
    let mut from = 0;
    for (at, insertion) in insertions {
        out.push_str(text.get(from..at).ok_or_else(unusable)?);
        out.push_str(&insertion);
        from = at;
    }
    out.push_str(text.get(from..).ok_or_else(unusable)?);
    Ok(Bytes::from(out))
}

fn unusable() -> Stop {
    Stop::Status(StatusCode::BAD_REQUEST, "unusable-bundle")
}

/// Where in `text` the first member of the object `raw` begins. It has a method at least, so that a comma can follow.
fn after_brace(text: &str, raw: &RawValue) -> Result<usize, Stop> {
    let start = raw.get().as_ptr().addr() - text.as_ptr().addr();
    let brace = raw.get().find('{').ok_or_else(unusable)?;
    Ok(start + brace + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_gains_its_conditions_and_keeps_every_other_byte() {
        let body = Bytes::from_static(
            br#"{"resourceType":"Bundle", "entry":[{"resource":{"v":1.50},"request":{ "method":"PUT","url":"Observation/1"}},{"request":{"method":"POST","url":"Observation"}}]}"#,
        );
        let matches = [("Observation/1".to_owned(), "W/\"3\"".to_owned())];
        let Ok(out) = with_conditions(&body, &matches, &[]) else {
            panic!("the bundle is usable");
        };
        assert_eq!(
            std::str::from_utf8(&out).expect("text"),
            r#"{"resourceType":"Bundle", "entry":[{"resource":{"v":1.50},"request":{"ifMatch":"W/\"3\"", "method":"PUT","url":"Observation/1"}},{"request":{"method":"POST","url":"Observation"}}]}"#
        );
    }

    #[test]
    fn an_entry_that_creates_under_its_own_id_does_so_only_if_nothing_is_there() {
        let body =
            Bytes::from_static(br#"{"entry":[{"request":{"method":"PUT","url":"Patient/new"}}]}"#);
        let creates = ["Patient/new".to_owned()];
        let Ok(out) = with_conditions(&body, &[], &creates) else {
            panic!("the bundle is usable");
        };
        assert_eq!(
            std::str::from_utf8(&out).expect("text"),
            r#"{"entry":[{"request":{"ifNoneMatch":"*","method":"PUT","url":"Patient/new"}}]}"#
        );
        let meant = Bytes::from_static(
            br#"{"entry":[{"request":{"method":"PUT","url":"Patient/new","ifMatch":"W/\"1\""}}]}"#,
        );
        assert!(with_conditions(&meant, &[], &creates).is_err());
    }

    #[test]
    fn a_bundle_entry_that_was_not_judged_stops_the_bundle() {
        let body = Bytes::from_static(
            br#"{"entry":[{"request":{"method":"DELETE","url":"Observation/2"}}]}"#,
        );
        let matches = [("Observation/1".to_owned(), "W/\"3\"".to_owned())];
        assert!(with_conditions(&body, &matches, &[]).is_err());
        let other = Bytes::from_static(
            br#"{"entry":[{"request":{"method":"PUT","url":"Observation/1","ifMatch":"W/\"2\""}}]}"#,
        );
        assert!(with_conditions(&other, &matches, &[]).is_err());
    }

    #[test]
    fn versions_are_read_from_weak_and_strong_tags() {
        assert_eq!(version_of("W/\"3\""), Some("3"));
        assert_eq!(version_of(" \"3\" "), Some("3"));
        assert_eq!(version_of("3"), None);
    }
}
