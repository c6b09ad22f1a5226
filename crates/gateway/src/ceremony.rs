//! The gateway's own few addresses on every application's host, and the way to the sign-in origin.
//!
//! `/.asepsis/callback` takes the code with which a person comes back from signing in, `/.asepsis/whoami` tells a page
//! who is signed in, `/.asepsis/sign-out` ends the session everywhere. Nothing below `/.asepsis` ever reaches an upstream.
//!
//! Where the person wanted to go may name a patient, so it is never put into a URL of ours: it waits in a cookie of the
//! application's own host.

use std::sync::Arc;

use audit::Kind;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderValue, Method, Response, StatusCode, header};
use identity::{BrowserHash, Live, ReturnPath, Secret};
use serde_json::Map;

use crate::answer::{Answer, bare, see_other};
use crate::body::{Body, full};
use crate::gateway::{Place, Shared, Site};
use crate::pages::NoticeKind;
use crate::road::{SESSION_COOKIE, TRANSACTION, Trip};

const OURS: &str = "/.asepsis";
const TX_COOKIE: &str = "__Host-asepsis-tx";
const BACK_COOKIE: &str = "__Host-asepsis-back";

/// The longest address kept in a cookie; browsers drop cookies above 4 KiB.
const BACK_LEN_MAX: usize = 2800;

/// Whether a canonical path is one of the gateway's own.
pub(crate) fn is_ours(path: &str) -> bool {
    path.get(..OURS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OURS))
        && path[OURS.len()..]
            .chars()
            .next()
            .is_none_or(|next| next == '/')
}

/// Answers a request to one of the gateway's own addresses.
pub(crate) async fn serve(trip: Trip<'_>, site: &Site) -> Response<Body> {
    match trip.head.path.as_str() {
        "/.asepsis/callback" if trip.head.method == Method::GET => callback(&trip, site).await,
        "/.asepsis/sign-out" if trip.head.method == Method::POST => sign_out(&trip, site).await,
        "/.asepsis/whoami" if trip.head.method == Method::GET => whoami(&trip, site),
        "/.asepsis/callback" | "/.asepsis/sign-out" | "/.asepsis/whoami" => {
            trip.malformed(StatusCode::METHOD_NOT_ALLOWED, "method-not-served", None)
                .await
        }
        _ => {
            trip.malformed(StatusCode::NOT_FOUND, "unknown-place", None)
                .await
        }
    }
}

/// Sends a browser to sign in; tells anybody else that it must.
pub(crate) async fn sign_in_first(trip: Trip<'_>, site: &Site, place: &Place) -> Response<Body> {
    if trip.wants_page && trip.head.method == Method::GET && trip.head.upgrade.is_none() {
        return enter(&trip, site);
    }
    let recorded = trip
        .shared
        .recorder
        .turned_away(trip.now, Kind::Decision, || {
            let mut header = Map::new();
            header.insert("outcome".to_owned(), "deny".into());
            header.insert("code".to_owned(), "no-session".into());
            header.insert("application".to_owned(), place.id.as_str().into());
            header
        })
        .await;
    let mut answer = Answer::new(
        NoticeKind::SignInNeeded,
        StatusCode::UNAUTHORIZED,
        "no-session",
        "Please sign in first.",
    );
    answer.application = Some((&place.id, place.name.as_str()));
    match recorded {
        Ok(record) => answer.record = record,
        Err(error) => return trip.cannot_record(&error),
    }
    answer.continue_url = Some(format!("{}/", trip.origin));
    answer.draw(trip.pages(), &trip.access_url())
}

fn enter(trip: &Trip<'_>, site: &Site) -> Response<Body> {
    // Several tabs may be on their way at once: they share the browser's one transaction.
    let known = trip.cookie(TX_COOKIE).and_then(Secret::parse);
    let transaction = known.unwrap_or_else(Secret::generate);
    let tx = BrowserHash::of_secret(&transaction).to_text();
    let location = format!(
        "{}/enter?application={}&return=%2F&tx={tx}",
        trip.access_url(),
        form_urlencoded::byte_serialize(site.id.as_str().as_bytes()).collect::<String>(),
    );
    let mut response = see_other(&location);
    let age = TRANSACTION.as_secs();
    set_cookie(&mut response, TX_COOKIE, &transaction.reveal(), Some(age));
    let back = trip.return_path();
    if back.as_str() == "/" || back.as_str().len() > BACK_LEN_MAX {
        set_cookie(&mut response, BACK_COOKIE, "", Some(0));
    } else {
        let back = URL_SAFE_NO_PAD.encode(back.as_str());
        set_cookie(&mut response, BACK_COOKIE, &back, Some(age));
    }
    response
}

async fn callback(trip: &Trip<'_>, site: &Site) -> Response<Body> {
    let code = trip.head.query.as_deref().and_then(|query| {
        let mut codes = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "code");
        // Of two codes nobody could say which was meant.
        codes.next().filter(|_| codes.next().is_none())
    });
    let browser = trip.cookie(TX_COOKIE).and_then(BrowserHash::of_cookie);
    let opened = match (code, browser) {
        (Some((_, code)), Some(browser)) => trip
            .shared
            .codes
            .redeem(&code, &site.id, &browser, trip.now)
            .ok()
            .and_then(|(session, path)| {
                let secret = trip
                    .shared
                    .sessions
                    .open_application(&session, &site.audience, trip.now)
                    .ok()?;
                Some((secret, path))
            }),
        (None, _) | (_, None) => None,
    };
    let Some((secret, path)) = opened else {
        return callback_failed(trip, site).await;
    };
    let path = ReturnPath::or_root(&path);
    let path = if path.as_str() == "/" {
        back_path(trip).unwrap_or(path)
    } else {
        path
    };
    let mut response = see_other(path.as_str());
    set_cookie(&mut response, SESSION_COOKIE, &secret.reveal(), None);
    set_cookie(&mut response, TX_COOKIE, "", Some(0));
    set_cookie(&mut response, BACK_COOKIE, "", Some(0));
    response
}

fn back_path(trip: &Trip<'_>) -> Option<ReturnPath> {
    let text = URL_SAFE_NO_PAD.decode(trip.cookie(BACK_COOKIE)?).ok()?;
    ReturnPath::parse(std::str::from_utf8(&text).ok()?).ok()
}

async fn callback_failed(trip: &Trip<'_>, site: &Site) -> Response<Body> {
    let recorded = trip
        .shared
        .recorder
        .turned_away(trip.now, Kind::SignInFailed, || {
            let mut header = Map::new();
            header.insert("code".to_owned(), "bad-sign-in-code".into());
            header.insert("application".to_owned(), site.id.as_str().into());
            header
        })
        .await;
    let mut answer = Answer::new(
        NoticeKind::SignInNeeded,
        StatusCode::BAD_REQUEST,
        "bad-sign-in-code",
        "Signing in took too long or was started in another browser. Please try again.",
    );
    answer.application = Some((&site.id, site.name.as_str()));
    match recorded {
        Ok(record) => answer.record = record,
        Err(error) => return trip.cannot_record(&error),
    }
    answer.continue_url = Some(format!("{}/", trip.origin));
    answer.draw(trip.pages(), &trip.access_url())
}

/// Tells an application's page who is signed in: the subject's own name, roles, device and session, and nothing else.
fn whoami(trip: &Trip<'_>, site: &Site) -> Response<Body> {
    let Some(live) = trip.session(&site.audience) else {
        return bare(StatusCode::UNAUTHORIZED);
    };
    let snapshot = trip.shared.world.load();
    let person = snapshot.person(live.person());
    let device = live.device().and_then(|id| snapshot.device(id));
    let body = serde_json::json!({
        "person": live.person(),
        "name": person.map(|p| p.name.as_str()),
        "roles": person.map(|p| p.roles.as_slice()),
        "units": person.map(|p| p.units.as_slice()),
        "device": device.map(|d| serde_json::json!({ "name": d.name, "unit": d.unit })),
        "purpose": live.purpose(),
        "session_expires": live.expires(),
    });
    let mut response = bare(StatusCode::OK);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    *response.body_mut() = full(body.to_string());
    response
}

async fn sign_out(trip: &Trip<'_>, site: &Site) -> Response<Body> {
    if !trip.same_origin() {
        return trip
            .malformed(StatusCode::FORBIDDEN, "cross-site", None)
            .await;
    }
    let live = trip.cookie(SESSION_COOKIE).and_then(|cookie| {
        trip.shared
            .sessions
            .resolve(cookie, &site.audience, trip.now)
            .ok()
    });
    if let Some(live) = live {
        end_session(trip.shared, site, &live, trip).await;
    }
    let mut response = if trip.wants_page {
        see_other(&format!("{}/signed-out", trip.access_url()))
    } else {
        bare(StatusCode::NO_CONTENT)
    };
    set_cookie(&mut response, SESSION_COOKIE, "", Some(0));
    response
}

async fn end_session(shared: &Arc<Shared>, site: &Site, live: &Live, trip: &Trip<'_>) {
    let mut header = Map::new();
    header.insert("session".to_owned(), live.id().as_str().into());
    header.insert("application".to_owned(), site.id.as_str().into());
    let payload = serde_json::json!({ "person": live.person() });
    let pending = shared.recorder.append(
        trip.now,
        Kind::SignOut,
        header,
        serde_json::to_vec(&payload).unwrap_or_default(),
    );
    // A session that should end, ends, whether or not the log can say so.
    shared.sessions.end(live.id());
    shared.ceremonies.forget(live.id(), trip.now);
    shared.signer.forget(live.id());
    if let Err(error) = pending.await {
        tracing::error!(%error, "a sign-out could not be recorded");
    }
}

fn set_cookie(response: &mut Response<Body>, name: &str, value: &str, max_age: Option<u64>) {
    let age = match max_age {
        Some(age) => format!("; Max-Age={age}"),
        None => String::new(),
    };
    let text = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{age}");
    // Names are ours and values base64url.
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_addresses_are_known_in_any_case() {
        for path in [
            "/.asepsis",
            "/.asepsis/",
            "/.asepsis/callback",
            "/.ASEPSIS/x",
        ] {
            assert!(is_ours(path), "{path}");
        }
        for path in ["/", "/.asepsisx", "/x/.asepsis", "/.asepsi"] {
            assert!(!is_ours(path), "{path}");
        }
    }
}
