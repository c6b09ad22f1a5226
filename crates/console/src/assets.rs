//! Static files of the pages: one style sheet, small scripts, the mark.
//!
//! They are part of the program. Each has a strong `ETag` (SHA-256 of its bytes); a request that names the version
//! in its query, as every page of ours does, may be kept by the browser for good. Nothing in them is secret, so
//! they are answered without a session and the same on every host: `/.asepsis/asset/NAME`.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

/// Where the files live on every host; the gateway never sends `/.asepsis/` to an upstream.
pub(crate) const PREFIX: &str = "/.asepsis/asset/";

/// Where the mark is, which is also the icon of every page.
pub(crate) const ICON: &str = "/.asepsis/asset/mark.svg";

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
    version: String,
}

static ASSETS: LazyLock<Vec<Asset>> = LazyLock::new(|| {
    const CSS: &str = "text/css; charset=utf-8";
    const JS: &str = "text/javascript; charset=utf-8";
    [
        ("asepsis.css", CSS, include_str!("../assets/asepsis.css")),
        ("devices.js", JS, include_str!("../assets/devices.js")),
        ("forms.js", JS, include_str!("../assets/forms.js")),
        ("live.js", JS, include_str!("../assets/live.js")),
        (
            "mark.svg",
            "image/svg+xml",
            include_str!("../assets/mark.svg"),
        ),
        ("passkey.js", JS, include_str!("../assets/passkey.js")),
        ("progress.js", JS, include_str!("../assets/progress.js")),
    ]
    .into_iter()
    .map(|(name, content_type, content)| {
        let hash = digest(&SHA256, content.as_bytes());
        let version = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]);
        Asset {
            name,
            content_type,
            content,
            version,
        }
    })
    .collect()
});

/// The address of a file, with its version, for use in a page.
///
/// # Panics
/// If `name` is not one of the files; each caller names a literal, and a test renders every page.
pub(crate) fn address(name: &str) -> String {
    let asset = ASSETS
        .iter()
        .find(|a| a.name == name)
        .expect("pages name files that exist");
    format!("{PREFIX}{}?v={}", asset.name, asset.version)
}

/// The file at `path`, if `path` lies under [`PREFIX`]: the file, `304` or `404`.
pub(crate) fn serve(
    path: &str,
    query: Option<&str>,
    headers: &HeaderMap,
) -> Option<Response<Bytes>> {
    let name = path.strip_prefix(PREFIX)?;
    let Some(asset) = ASSETS.iter().find(|a| a.name == name) else {
        let mut answer = Response::new(Bytes::from_static(b"not found\n"));
        *answer.status_mut() = StatusCode::NOT_FOUND;
        fixed(&mut answer, CONTENT_TYPE, "text/plain; charset=utf-8");
        return Some(seal(answer));
    };
    let tag = format!("\"{}\"", asset.version);
    let known = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
        .any(|t| t.trim().trim_start_matches("W/") == tag || t.trim() == "*");
    let mut answer = if known {
        let mut unchanged = Response::new(Bytes::new());
        *unchanged.status_mut() = StatusCode::NOT_MODIFIED;
        unchanged
    } else {
        Response::new(Bytes::from_static(asset.content.as_bytes()))
    };
    fixed(&mut answer, CONTENT_TYPE, asset.content_type);
    let versioned = query
        .and_then(|q| q.strip_prefix("v="))
        .is_some_and(|v| v == asset.version);
    fixed(
        &mut answer,
        CACHE_CONTROL,
        if versioned {
            "public, max-age=31536000, immutable"
        } else {
            "public, no-cache"
        },
    );
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(ETAG, tag);
    }
    Some(seal(answer))
}

fn fixed(answer: &mut Response<Bytes>, name: http::HeaderName, value: &'static str) {
    answer
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
}

fn seal(mut answer: Response<Bytes>) -> Response<Bytes> {
    fixed(&mut answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer.headers_mut().insert(
        http::header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_sent_once_and_then_recognised() {
        let address = address("asepsis.css");
        let (path, query) = address.split_once('?').expect("versioned");
        let first = serve(path, Some(query), &HeaderMap::new()).expect("ours");
        assert_eq!(first.status(), StatusCode::OK);
        assert!(first.body().len() > 1000);
        let cache = first.headers()[CACHE_CONTROL].to_str().expect("ascii");
        assert!(cache.contains("immutable"), "{cache}");

        let mut again = HeaderMap::new();
        again.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        let second = serve(path, Some(query), &again).expect("ours");
        assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
        assert!(second.body().is_empty());

        let unversioned = serve(path, None, &HeaderMap::new()).expect("ours");
        assert_eq!(unversioned.headers()[CACHE_CONTROL], "public, no-cache");
    }

    #[test]
    fn only_known_names_are_answered() {
        let missing = serve("/.asepsis/asset/../lib.rs", None, &HeaderMap::new()).expect("ours");
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
        assert!(serve("/asepsis.css", None, &HeaderMap::new()).is_none());
    }

    #[test]
    fn files_name_no_other_host_and_build_no_code() {
        for asset in ASSETS.iter() {
            let text = asset.content.replace("http://www.w3.org/2000/svg", "");
            for forbidden in [
                "http://",
                "https://",
                "eval(",
                "new Function",
                "//cdn",
                "@import",
            ] {
                assert!(
                    !text.contains(forbidden),
                    "{} holds {forbidden}",
                    asset.name
                );
            }
        }
    }
}
