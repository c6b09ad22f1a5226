//! One upstream: the FHIR server and the chart page at one address, over HTTP/1.1.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::{FhirServer, chart};

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1_024;
/// How long a client may take over a request's head.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// How long a client may take over a request's body.
const BODY_TIME: Duration = Duration::from_secs(30);
/// How long open connections get to finish after `shutdown`.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// Serves FHIR below the server's base and the chart page elsewhere until `shutdown` is done, then lets open
/// requests finish.
pub async fn serve(
    server: Arc<FhirServer>,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stop, stopped) = watch::channel(());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let permit = tokio::select! {
            () = &mut shutdown => break,
            permit = Arc::clone(&permits).acquire_owned() => permit,
        };
        // INVARIANT: the semaphore is never closed.
        let Ok(permit) = permit else { break };
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely: waiting is better than spinning.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Small answers go out at once; failing to say so costs only time.
        let _ = stream.set_nodelay(true);
        let server = Arc::clone(&server);
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&server), request));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            // A connection that breaks is the client's matter.
            tokio::select! {
                _ = connection.as_mut() => {}
                _ = stopped.changed() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = tokio::time::timeout(DRAIN_TIME, connection).await;
                }
            }
            drop(permit);
        });
    }
    drop(listener);
    drop(stopped);
    let _ = stop.send(());
    // Every connection holds a permit: having them all means that none is left.
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(DRAIN_TIME, permits.acquire_many(all)).await;
}

async fn answer(
    server: Arc<FhirServer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let limited = Limited::new(body, server.options().body_max).collect();
    let body = match tokio::time::timeout(BODY_TIME, limited).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Ok(bare(StatusCode::PAYLOAD_TOO_LARGE));
        }
        Ok(Err(_)) => return Ok(bare(StatusCode::BAD_REQUEST)),
        Err(_) => return Ok(bare(StatusCode::REQUEST_TIMEOUT)),
    };
    let response = if server.serves(head.uri.path()) {
        server.handle(&Request::from_parts(head, body))
    } else if server.admits(&head.headers) {
        chart::serve(&head.method, head.uri.path(), &head.headers)
    } else {
        return Ok(bare(StatusCode::UNAUTHORIZED));
    };
    Ok(response.map(Full::new))
}

fn bare(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
