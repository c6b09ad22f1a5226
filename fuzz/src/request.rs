//! A request as text, so that a corpus can be read and written by hand.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

/// A request as an HTTP library would hand it over.
///
/// The text is `[2][s][i] METHOD TARGET`, then `name: value` lines, an empty line and the body. The letters before the method, if any,
/// stand for HTTP/2, for TLS and for a TLS handshake that named the host `chart.example`.
#[derive(Debug)]
pub struct Request<'a> {
    /// Method.
    pub method: Method,
    /// Target.
    pub uri: Uri,
    /// Version.
    pub version: Version,
    /// Header fields.
    pub headers: HeaderMap,
    /// Body.
    pub body: &'a [u8],
    /// Whether it came over TLS.
    pub secure: bool,
    /// The name in the handshake.
    pub sni: Option<&'static str>,
}

/// Reads a request; `None` if no HTTP library would have let it through.
pub fn request(data: &[u8]) -> Option<Request<'_>> {
    let (head, body) = match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (&data[..end], &data[end + 2..]),
        None => (data, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let words: Vec<&[u8]> = lines.next()?.splitn(3, |byte| *byte == b' ').collect();
    let (flags, method, target) = match words.as_slice() {
        [method, target] => (&b""[..], *method, *target),
        [flags, method, target] => (*flags, *method, *target),
        _ => return None,
    };
    let mut headers = HeaderMap::new();
    for line in lines.take(200) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let value = line[colon + 1..].trim_ascii();
        headers.append(
            HeaderName::from_bytes(&line[..colon]).ok()?,
            HeaderValue::from_bytes(value).ok()?,
        );
    }
    Some(Request {
        method: Method::from_bytes(method).ok()?,
        uri: Uri::try_from(target).ok()?,
        version: if flags.contains(&b'2') {
            Version::HTTP_2
        } else {
            Version::HTTP_11
        },
        headers,
        body,
        secure: flags.contains(&b's'),
        sni: flags.contains(&b'i').then_some("chart.example"),
    })
}
