//! The real endpoint behind `auth_request`: session cookie, expiry, role and path, then 204, 401 or 403.
//!
//! It is what a careful team would write: hyper on one thread, sessions in a hash table, nothing on disk. It keeps no
//! record of what it decided, which favours it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

/// The cookie that holds the session.
pub(crate) const COOKIE: &str = "__Host-session";

/// How many other people are signed in, so that the table is not a single entry.
const OTHERS: u32 = 2_000;

/// How long a session lives.
const LIFETIME: Duration = Duration::from_secs(12 * 3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Physician,
    Billing,
}

#[derive(Debug)]
struct Session {
    role: Role,
    expires: SystemTime,
}

/// Who may do what below a path.
#[derive(Debug)]
struct Rule {
    method: Option<Method>,
    prefix: &'static str,
    roles: &'static [Role],
}

/// The longest prefix comes first; what no rule names is refused.
const RULES: &[Rule] = &[
    Rule {
        method: None,
        prefix: "/billing/",
        roles: &[Role::Billing],
    },
    Rule {
        method: Some(Method::GET),
        prefix: "/",
        roles: &[Role::Physician, Role::Billing],
    },
];

/// Serves on `port` of the loopback address until the process is ended; `secret` is the session of the load.
pub(crate) fn serve(port: u16, secret: &str) -> Result<()> {
    let table: &'static HashMap<String, Session> = Box::leak(Box::new(table(secret)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("cannot listen on port {port}"))?;
        loop {
            let (stream, _) = listener.accept().await.context("cannot accept")?;
            stream
                .set_nodelay(true)
                .context("cannot set up a connection")?;
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| async move {
                    Ok::<_, Infallible>(answer(table, &request))
                });
                // A connection that breaks is the client's affair; the load generator counts it.
                let _ = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

fn table(secret: &str) -> HashMap<String, Session> {
    let expires = now() + LIFETIME;
    let others = (0..OTHERS).map(|number| {
        (
            format!("{number:043}"),
            Session {
                role: Role::Billing,
                expires,
            },
        )
    });
    others
        .chain([(
            secret.to_owned(),
            Session {
                role: Role::Physician,
                expires,
            },
        )])
        .collect()
}

fn answer<B>(table: &HashMap<String, Session>, request: &Request<B>) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    *response.status_mut() = judge(table, request.headers(), now());
    response
}

fn judge(table: &HashMap<String, Session>, headers: &HeaderMap, now: SystemTime) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let session = text(header::COOKIE.as_str())
        .and_then(|cookies| {
            cookies
                .split("; ")
                .find_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='))
        })
        .and_then(|secret| table.get(secret));
    let Some(session) = session.filter(|session| now < session.expires) else {
        return StatusCode::UNAUTHORIZED;
    };
    let (Some(method), Some(path)) = (text("x-original-method"), text("x-original-uri")) else {
        return StatusCode::FORBIDDEN;
    };
    let rule = RULES.iter().find(|rule| {
        rule.method
            .as_ref()
            .is_none_or(|wanted| wanted.as_str() == method)
            && path.starts_with(rule.prefix)
    });
    match rule {
        Some(rule) if rule.roles.contains(&session.role) => StatusCode::NO_CONTENT,
        Some(_) | None => StatusCode::FORBIDDEN,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program of its own, and this is its one place"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
