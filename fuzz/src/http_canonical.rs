//! The canonical form of a request: total, and a fixed point. What was judged is what is forwarded.

use super::request::request;
use clinical::http::{RESERVED, Received, canonicalize};
use http::Uri;

/// The body of the target.
pub fn run(data: &[u8]) {
    let Some(request) = request(data) else { return };
    let received = Received {
        method: &request.method,
        uri: &request.uri,
        version: request.version,
        headers: &request.headers,
        sni: request.sni,
        secure: request.secure,
    };
    let Ok(head) = canonicalize(&received) else {
        return;
    };
    assert!(head.path.starts_with('/'));
    assert!(
        !head.path.split('/').any(|s| s == "." || s == ".."),
        "{}",
        head.path
    );
    assert!(
        !head.path.contains("//") && !head.path.contains('\\'),
        "{}",
        head.path
    );
    assert_eq!(head.host, head.host.to_ascii_lowercase());
    for reserved in RESERVED.iter().filter(|name| !name.ends_with('*')) {
        assert!(
            !head.headers.contains_key(*reserved),
            "{reserved} was passed on"
        );
    }
    // Asked once more in its canonical form, it has the same meaning.
    let target = match &head.query {
        None => head.path.clone(),
        Some(query) => format!("{}?{query}", head.path),
    };
    let uri: Uri = target.parse().expect("a canonical target is one");
    let mut headers = head.headers.clone();
    let host = match head.port {
        None => head.host.clone(),
        Some(port) => format!("{}:{port}", head.host),
    };
    headers.insert("host", host.parse().expect("a host is a header value"));
    let again = canonicalize(&Received {
        uri: &uri,
        headers: &headers,
        version: http::Version::HTTP_11,
        ..received
    })
    .expect("the canonical form is not ambiguous");
    assert_eq!(
        (&again.path, &again.query, &again.host),
        (&head.path, &head.query, &head.host)
    );
}
