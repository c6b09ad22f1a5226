//! The chart page: a plain web application that reads and writes FHIR under the same origin.
//!
//! It is static: one page, its styles and its scripts, all from here. Where somebody is in it stands in the fragment
//! of the address, which browsers do not send.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

/// What the page may load and do: only what comes from its own origin, nothing inline, in nobody's frame.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; object-src 'none'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'";

struct Asset {
    path: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

macro_rules! assets {
    ($($path:literal $file:literal $kind:literal;)*) => {
        &[$(Asset {
            path: $path,
            kind: $kind,
            content: include_bytes!(concat!("chart/", $file)),
        }),*]
    };
}

const ASSETS: &[Asset] = assets! {
    "/" "index.html" "text/html; charset=utf-8";
    "/chart.css" "chart.css" "text/css; charset=utf-8";
    "/chart.js" "chart.js" "text/javascript; charset=utf-8";
    "/api.js" "api.js" "text/javascript; charset=utf-8";
    "/dom.js" "dom.js" "text/javascript; charset=utf-8";
    "/patient.js" "patient.js" "text/javascript; charset=utf-8";
    "/list.js" "list.js" "text/javascript; charset=utf-8";
    "/write.js" "write.js" "text/javascript; charset=utf-8";
    "/icon.svg" "icon.svg" "image/svg+xml";
    "/favicon.ico" "icon.svg" "image/svg+xml";
};

/// Paths of everything that the page is made of, for whoever writes rules for it.
pub fn paths() -> impl Iterator<Item = &'static str> {
    ASSETS.iter().map(|asset| asset.path)
}

/// Answers a request for the page or one of its parts.
pub fn serve(method: &Method, path: &str, headers: &HeaderMap) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let fields = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        fields.insert(name, HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    );
    set(
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=()",
    );
    let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        set(header::ALLOW, "GET, HEAD");
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return response;
    }
    set(header::CONTENT_TYPE, asset.kind);
    // The parts change only with the program; asking again is cheap and never shows an old page.
    set(header::CACHE_CONTROL, "private, no-cache");
    let tag = entity_tag(asset.content);
    let known = headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|given| given.trim() == tag));
    if let Ok(tag) = HeaderValue::try_from(tag) {
        fields.insert(header::ETAG, tag);
    }
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = Bytes::from_static(asset.content);
    }
    response
}

/// FNV-1a of the content: it only has to differ when the program does.
fn entity_tag(content: &[u8]) -> String {
    let hash = content
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!("\"{hash:016x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Response<Bytes> {
        serve(&Method::GET, path, &HeaderMap::new())
    }

    #[test]
    fn the_policy_admits_nothing_inline_and_nothing_from_elsewhere() {
        for path in paths() {
            let response = get(path);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            let policy = &response.headers()[header::CONTENT_SECURITY_POLICY];
            let policy = policy.to_str().expect("text");
            assert!(policy.starts_with("default-src 'self';"));
            for weak in [
                "unsafe",
                "data:",
                "blob:",
                "http:",
                "https:",
                "*",
                "nonce",
                "script-src",
                "style-src",
            ] {
                assert!(!policy.contains(weak), "{weak}");
            }
        }
    }

    #[test]
    fn pages_hold_no_inline_script_or_style_and_name_no_other_host() {
        for asset in ASSETS {
            let text = std::str::from_utf8(asset.content).expect("text");
            for forbidden in [
                "javascript:",
                "eval(",
                "new Function",
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "localStorage",
                "http://",
                "https://",
            ] {
                // The namespace of SVG and the systems of FHIR codes are names, not addresses.
                let named = text
                    .replace("http://www.w3.org/2000/svg", "")
                    .replace("http://terminology.hl7.org/", "")
                    .replace("http://loinc.org", "")
                    .replace("http://unitsofmeasure.org", "")
                    .replace("http://www.nlm.nih.gov/research/umls/rxnorm", "")
                    .replace("https://asepsis.health/fhir/", "");
                assert!(
                    !named.contains(forbidden),
                    "`{forbidden}` in {}",
                    asset.path
                );
            }
            if asset.kind.starts_with("text/html") {
                for inline in [
                    "<style",
                    " style=",
                    " onclick=",
                    " onload=",
                    " onerror=",
                    " onsubmit=",
                ] {
                    assert!(!text.contains(inline), "`{inline}` in {}", asset.path);
                }
                for script in text.match_indices("<script") {
                    let tag = &text[script.0..];
                    let tag = &tag[..tag.find("</script>").expect("closed")];
                    assert!(tag.contains("src=\"/") && tag.ends_with('>'), "{tag}");
                }
            }
        }
    }

    #[test]
    fn everything_a_page_loads_is_served() {
        for asset in ASSETS {
            let text = std::str::from_utf8(asset.content).expect("text");
            for quote in ["src=\"/", "href=\"/", "from \"./"] {
                for (at, _) in text.match_indices(quote) {
                    let name = &text[at + quote.len()..];
                    let name = &name[..name.find('"').expect("closed")];
                    // Links to places of this page and to the gateway are not parts.
                    if name.starts_with('#') || name.starts_with(".asepsis") {
                        continue;
                    }
                    let path = format!("/{name}");
                    assert!(paths().any(|p| p == path), "{path} of {}", asset.path);
                }
            }
        }
    }

    #[test]
    fn known_parts_are_not_sent_again_and_other_methods_are_refused() {
        let tag = get("/chart.js").headers()[header::ETAG].clone();
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, tag);
        let again = serve(&Method::GET, "/chart.js", &headers);
        assert_eq!(
            (again.status(), again.body().len()),
            (StatusCode::NOT_MODIFIED, 0)
        );
        let posted = serve(&Method::POST, "/", &HeaderMap::new());
        assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(get("/other").status(), StatusCode::NOT_FOUND);
        assert_eq!(get("/../Cargo.toml").status(), StatusCode::NOT_FOUND);
    }
}
