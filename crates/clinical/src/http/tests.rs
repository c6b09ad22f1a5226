//! Each case names the number of the attack in the survey of access gateways where it has one.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use proptest::prelude::*;

use super::*;

struct Case {
    method: Method,
    target: &'static str,
    version: Version,
    headers: Vec<(&'static str, &'static str)>,
    sni: Option<&'static str>,
    secure: bool,
}

fn get(target: &'static str) -> Case {
    Case {
        method: Method::GET,
        target,
        version: Version::HTTP_11,
        headers: vec![("host", "chart.example")],
        sni: None,
        secure: false,
    }
}

fn post(headers: &[(&'static str, &'static str)]) -> Case {
    with(
        Case {
            method: Method::POST,
            ..get("/")
        },
        headers,
    )
}

fn with(mut case: Case, headers: &[(&'static str, &'static str)]) -> Case {
    case.headers.extend_from_slice(headers);
    case
}

fn run(case: &Case) -> Result<Head, Ambiguous> {
    let uri: Uri = case
        .target
        .parse()
        .expect("a target that the HTTP library takes");
    let mut headers = HeaderMap::new();
    for (name, value) in &case.headers {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).expect("name"),
            HeaderValue::from_bytes(value.as_bytes()).expect("value"),
        );
    }
    canonicalize(&Received {
        method: &case.method,
        uri: &uri,
        version: case.version,
        headers: &headers,
        sni: case.sni,
        secure: case.secure,
    })
}

#[track_caller]
fn refused(case: Case, status: u16, code: &str, close: bool) {
    let refusal = run(&case).expect_err(case.target);
    assert_eq!(
        (refusal.status, refusal.code, refusal.close),
        (status, code, close),
        "{}",
        case.target
    );
}

#[track_caller]
fn taken(case: Case) -> Head {
    run(&case).unwrap_or_else(|e| panic!("{}: {e}", case.target))
}

#[track_caller]
fn path(target: &'static str, expected: &str) {
    assert_eq!(taken(get(target)).path, expected);
}

#[test]
fn attacks_1_and_2_length_beside_transfer_encoding() {
    refused(
        post(&[("content-length", "5"), ("transfer-encoding", "chunked")]),
        400,
        "length-and-transfer-encoding",
        true,
    );
    refused(
        post(&[("transfer-encoding", "chunked"), ("content-length", "0")]),
        400,
        "length-and-transfer-encoding",
        true,
    );
}

#[test]
fn attack_3_two_lengths() {
    refused(
        post(&[("content-length", "5"), ("content-length", "6")]),
        400,
        "header-repeated",
        true,
    );
    refused(
        post(&[("content-length", "5"), ("content-length", "5")]),
        400,
        "header-repeated",
        true,
    );
    refused(
        post(&[("content-length", "5, 5")]),
        400,
        "content-length",
        true,
    );
}

#[test]
fn attack_4_lengths_that_are_no_digits() {
    for length in [
        "+5",
        "0x5",
        "5_0",
        "",
        "-1",
        "5.0",
        "99999999999999999999",
        "\u{665}",
    ] {
        refused(
            post(&[("content-length", length)]),
            400,
            "content-length",
            true,
        );
    }
    assert_eq!(
        taken(post(&[("content-length", "5")])).content_length,
        Some(5)
    );
}

#[test]
fn attack_5_transfer_encodings_that_some_read_as_chunked() {
    for coding in [
        ",chunked",
        "xchunked",
        "chunked, chunked",
        "identity",
        "gzip, chunked",
        "chunked;a=b",
        "\"chunked\"",
    ] {
        refused(
            post(&[("transfer-encoding", coding)]),
            400,
            "transfer-encoding",
            true,
        );
    }
    refused(
        post(&[
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked"),
        ]),
        400,
        "header-repeated",
        true,
    );
    assert!(taken(post(&[("transfer-encoding", "Chunked")])).has_body);
}

#[test]
fn attack_6_transfer_encoding_in_http_1_0() {
    let case = post(&[("transfer-encoding", "chunked")]);
    refused(
        Case {
            version: Version::HTTP_10,
            ..case
        },
        400,
        "transfer-encoding-version",
        true,
    );
    let case = post(&[("transfer-encoding", "chunked")]);
    refused(
        Case {
            version: Version::HTTP_2,
            target: "http://chart.example/",
            ..case
        },
        400,
        "transfer-encoding-version",
        true,
    );
    refused(
        Case {
            version: Version::HTTP_09,
            ..get("/")
        },
        505,
        "http-version",
        true,
    );
}

#[test]
fn attack_7_body_with_an_upgrade() {
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    refused(
        with(post(&[("content-length", "9")]), &upgrade),
        400,
        "upgrade-with-body",
        true,
    );
    refused(
        with(post(&[("transfer-encoding", "chunked")]), &upgrade),
        400,
        "upgrade-with-body",
        true,
    );
    let head = taken(with(get("/live"), &upgrade));
    assert_eq!(head.upgrade.as_deref(), Some("websocket"));
    assert!(head.headers.get("upgrade").is_none() && head.headers.get("connection").is_none());
}

#[test]
fn an_upgrade_that_is_not_meant_is_ignored() {
    for case in [
        with(
            get("/"),
            &[
                ("connection", "upgrade, http2-settings"),
                ("upgrade", "h2c"),
                ("http2-settings", "AAMAAABkAAQAAP__"),
            ],
        ),
        with(get("/"), &[("upgrade", "websocket")]),
        with(
            post(&[]),
            &[("connection", "upgrade"), ("upgrade", "websocket")],
        ),
        Case {
            version: Version::HTTP_10,
            ..with(
                get("/"),
                &[("connection", "upgrade"), ("upgrade", "websocket")],
            )
        },
    ] {
        let head = taken(case);
        assert_eq!(head.upgrade, None);
        assert!(
            head.headers.get("upgrade").is_none() && head.headers.get("http2-settings").is_none()
        );
    }
    let twice = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
    ];
    refused(with(get("/"), &twice), 400, "header-repeated", true);
}

#[test]
fn attacks_8_and_9_connect() {
    refused(
        Case {
            method: Method::CONNECT,
            target: "chart.example:443",
            ..get("/")
        },
        405,
        "method-connect",
        true,
    );
    refused(
        Case {
            method: Method::CONNECT,
            version: Version::HTTP_2,
            target: "chart.example:443",
            ..get("/")
        },
        405,
        "method-connect",
        true,
    );
    refused(
        Case {
            method: Method::TRACE,
            ..get("/")
        },
        405,
        "method-trace",
        false,
    );
    refused(
        Case {
            method: Method::from_bytes(b"get").expect("token"),
            ..get("/")
        },
        501,
        "method-unknown",
        false,
    );
    refused(
        Case {
            method: Method::OPTIONS,
            target: "*",
            ..get("/")
        },
        400,
        "request-target",
        false,
    );
}

#[test]
fn attack_13_remnants_of_folded_lines() {
    refused(
        with(get("/"), &[("x-note", " folded")]),
        400,
        "header-blank-around-value",
        true,
    );
    refused(
        with(get("/"), &[("x-note", "folded\t")]),
        400,
        "header-blank-around-value",
        true,
    );
    assert!(
        HeaderValue::from_bytes(b"a\r\n b").is_err(),
        "the library takes no line ends"
    );
}

#[test]
fn attacks_14_15_and_20_odd_names_and_values() {
    assert!(
        HeaderName::from_bytes(b"content-length ").is_err() && HeaderName::from_bytes(b"").is_err()
    );
    assert!(HeaderValue::from_bytes(b"a\0b").is_err() && HeaderValue::from_bytes(b"a\rb").is_err());
    for name in ["x.note", "x!note", "x|note", "x~note", "x'note", "x*note"] {
        refused(with(get("/"), &[(name, "1")]), 400, "header-name", false);
    }
}

#[test]
fn attack_16_and_19_trailers_and_expectations() {
    let head = taken(with(
        post(&[("transfer-encoding", "chunked")]),
        &[
            ("trailer", "authorization"),
            ("te", "trailers"),
            ("expect", "100-continue"),
        ],
    ));
    for name in ["trailer", "te", "expect", "transfer-encoding"] {
        assert!(head.headers.get(name).is_none(), "{name}");
    }
    refused(post(&[("expect", "200-ok")]), 417, "expectation", true);
    refused(
        with(get("/"), &[("content-length", "5")]),
        400,
        "body-on-safe-method",
        true,
    );
    refused(
        with(get("/"), &[("transfer-encoding", "chunked")]),
        400,
        "body-on-safe-method",
        true,
    );
    assert!(!taken(with(get("/"), &[("content-length", "0")])).has_body);
}

#[test]
fn attack_21_empty_segments() {
    for target in ["//admin", "/a//b", "/a//", "///"] {
        refused(get(target), 400, "path-empty-segment", false);
    }
    path("/", "/");
    path("/app/", "/app/");
}

#[test]
fn attack_22_encoded_slashes_and_path_parameters() {
    for (target, code) in [
        ("/a%2Fb", "path-encoded-slash"),
        ("/a%2fb", "path-encoded-slash"),
        ("/a%5Cb", "path-backslash"),
        ("/a\\b", "path-backslash"),
        ("/public/..;/admin", "path-parameter"),
        ("/admin;x=1", "path-parameter"),
        ("/admin%3bx", "path-parameter"),
        ("/a/..", "path-dot-segment"),
        ("/a/../b", "path-dot-segment"),
        ("/./a", "path-dot-segment"),
        ("/a/%2e%2E/b", "path-dot-segment"),
        ("/a/.%2e", "path-dot-segment"),
        ("/a%00.html", "path-nul"),
        ("/a%0d%0ab", "path-control-character"),
        ("/a%7f", "path-control-character"),
        ("/a%c0%ae%c0%ae/b", "path-not-utf-8"),
        ("/a%ff", "path-not-utf-8"),
        ("/a%ef%bc%8fb", "path-lookalike"),
        ("/%zz", "path-encoding"),
        ("/a%", "path-encoding"),
        ("/a%2", "path-encoding"),
    ] {
        refused(get(target), 400, code, false);
    }
}

#[test]
fn attack_23_a_fragment_never_reaches_anybody() {
    // The HTTP library cuts it off; what is judged and forwarded has none.
    let head = taken(get("/public#/../admin"));
    assert_eq!((head.path.as_str(), head.query), ("/public", None));
    let head = taken(get("/public?a=1#/../admin"));
    assert_eq!(head.query.as_deref(), Some("a=1"));
    path("/a%23b", "/a%23b");
}

#[test]
fn attack_24_what_a_query_holds_is_no_path() {
    let head = taken(get("/admin?next=/public/../x//y;z"));
    assert_eq!(
        (head.path.as_str(), head.query.as_deref()),
        ("/admin", Some("next=/public/../x//y;z"))
    );
    assert_eq!(taken(get("/admin?")).query, None);
    for (target, code) in [
        ("/?a=%zz", "query-encoding"),
        ("/?a=%0", "query-encoding"),
        ("/?a=%00", "query-nul"),
    ] {
        refused(get(target), 400, code, false);
    }
}

#[test]
fn attacks_25_and_26_one_form_that_decoding_again_does_not_change() {
    for (target, code) in [
        ("/%252e%252e/admin", "path-double-encoding"),
        ("/a%252Fb", "path-double-encoding"),
        ("/a%25%32%46b", "path-double-encoding"),
    ] {
        refused(get(target), 400, code, false);
    }
    path("/%61dmin", "/admin");
    path("/%24export", "/$export");
    path("/a%20b%2Cc%3a%C3%a9", "/a%20b,c:%C3%A9");
    path("/100%25", "/100%25");
    path("/a+b%2Bc", "/a+b%2Bc");
    path("/what%3F", "/what%3F");
}

#[test]
fn attack_27_hosts_in_other_spellings() {
    for (host, expected) in [
        ("CHART.Example", "chart.example"),
        ("chart.example:8443", "chart.example"),
        ("[::1]:80", "[::1]"),
    ] {
        assert_eq!(
            taken(Case {
                headers: vec![("host", host)],
                ..get("/")
            })
            .host,
            expected
        );
    }
    for host in [
        "chart.example.",
        "",
        "chart.example:",
        "chart.example:0",
        "chart.example:99999",
        "chart.example:+80",
        "user@chart.example",
        "chart.example/x",
        "chart..example",
        "cha\u{155}t.example",
        "chart.example,evil.example",
        "chart_example",
        "-chart.example",
        "[::1",
        "[::1]x",
        "::1",
        "chart.example:80:80",
        "%63hart.example",
    ] {
        refused(
            Case {
                headers: vec![("host", host)],
                ..get("/")
            },
            400,
            "host",
            false,
        );
    }
    refused(
        Case {
            headers: vec![],
            ..get("/")
        },
        400,
        "host-missing",
        true,
    );
    refused(
        with(get("/"), &[("host", "evil.example")]),
        400,
        "header-repeated",
        true,
    );
}

#[test]
fn attack_28_absolute_target_beside_another_host() {
    refused(get("http://evil.example/"), 400, "host-mismatch", false);
    refused(get("http://chart.example:81/"), 400, "host-mismatch", false);
    refused(get("https://chart.example/"), 400, "scheme-mismatch", false);
    assert_eq!(taken(get("http://chart.example/a")).path, "/a");
    refused(
        Case {
            headers: vec![],
            ..get("http://chart.example/")
        },
        400,
        "host-missing",
        true,
    );
    let h2 = |headers| Case {
        version: Version::HTTP_2,
        headers,
        ..get("http://chart.example/a")
    };
    assert_eq!(taken(h2(vec![])).host, "chart.example");
    refused(
        h2(vec![("host", "evil.example")]),
        400,
        "host-mismatch",
        false,
    );
    refused(
        Case {
            version: Version::HTTP_2,
            headers: vec![],
            ..get("/a")
        },
        400,
        "host-missing",
        false,
    );
}

#[test]
fn attack_30_a_connection_opened_for_another_name() {
    let tls = |sni| Case {
        sni,
        secure: true,
        ..get("/")
    };
    refused(tls(Some("access.example")), 421, "tls-name-mismatch", false);
    assert_eq!(taken(tls(Some("Chart.Example"))).host, "chart.example");
    assert_eq!(taken(tls(None)).host, "chart.example");
}

#[test]
fn attacks_31_32_and_34_our_own_headers_and_all_their_aliases() {
    let head = taken(with(
        get("/"),
        &[
            ("X-Asepsis-Identity", "root"),
            ("x_asepsis_identity", "root"),
            ("x-asepsis_identity", "root"),
            ("asepsis-anything", "1"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x_forwarded_uri", "/public"),
            ("X-Forwarded-Prefix", "/x"),
            ("forwarded", "for=127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-original-url", "/admin"),
            ("x-rewrite-url", "/admin"),
            ("x-http-method-override", "DELETE"),
            ("x-http-method", "DELETE"),
            ("x_method_override", "DELETE"),
            ("remote-user", "root"),
            ("remote_user", "root"),
            ("x-remote-groups", "root"),
            ("content_length", "5"),
            ("transfer_encoding", "chunked"),
            ("if_match", "*"),
            ("proxy", "http://evil.example"),
            ("proxy-authorization", "Basic x"),
            ("early-data", "1"),
            ("accept", "application/json"),
            ("some_header", "stays"),
        ],
    ));
    let left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(left, ["accept", "some_header"]);
}

#[test]
fn attack_33_connection_that_names_a_header_of_weight() {
    for named in [
        "x-asepsis-identity",
        "X-Forwarded-For",
        "authorization",
        "close, Cookie",
        "content-type",
        "if_match",
        "host",
        "content-length",
        "sec-fetch-site",
    ] {
        refused(
            with(get("/"), &[("connection", named)]),
            400,
            "connection-names-header",
            true,
        );
    }
    refused(
        with(get("/"), &[("connection", "a b")]),
        400,
        "connection",
        true,
    );
    let head = taken(with(
        get("/"),
        &[
            ("connection", "keep-alive, X-Hop"),
            ("x-hop", "1"),
            ("keep-alive", "5"),
            ("x-end", "1"),
        ],
    ));
    assert_eq!(head.headers.len(), 1);
    let h2 = Case {
        version: Version::HTTP_2,
        target: "http://chart.example/",
        ..with(get("/"), &[("connection", "close")])
    };
    refused(h2, 400, "connection-in-http2", false);
}

#[test]
fn attack_36_second_values_of_headers_that_have_one() {
    for name in [
        "authorization",
        "content-type",
        "origin",
        "cookie",
        "if-none-exist",
        "sec-fetch-site",
        "range",
        "user-agent",
    ] {
        refused(
            with(get("/"), &[(name, "a"), (name, "b")]),
            400,
            "header-repeated",
            false,
        );
    }
    assert_eq!(
        taken(with(get("/"), &[("accept", "a"), ("accept", "b")]))
            .headers
            .get_all("accept")
            .iter()
            .count(),
        2
    );
}

#[test]
fn attack_41_cookies_that_are_no_cookies() {
    let head = taken(with(
        get("/"),
        &[(
            "cookie",
            "a=1; =__Host-asepsis=x; b; c d=2; e=\"q;$Version=1; f=g=h",
        )],
    ));
    let found: Vec<_> = head
        .cookies
        .iter()
        .map(|(n, v)| format!("{n}:{v}"))
        .collect();
    assert_eq!(found, ["a:1", "e:\"q", "$Version:1", "f:g=h"]);
    refused(
        with(
            get("/"),
            &[("cookie", "__Host-asepsis=1; __Host-asepsis=2")],
        ),
        400,
        "cookie-repeated",
        false,
    );
    let mut headers = head.headers;
    strip_cookies(&mut headers, |name| name == "a");
    assert_eq!(
        headers.get("cookie").map(HeaderValue::as_bytes),
        Some(&b"e=\"q; f=g=h"[..])
    );
    strip_cookies(&mut headers, |_| true);
    assert!(headers.get("cookie").is_none());
}

#[test]
fn attack_43_many_cookies_and_headers_of_any_size() {
    let many: String = (0..65).map(|i| format!("c{i}=1; ")).collect();
    let many: &'static str = many.trim_end().to_owned().leak();
    refused(
        with(get("/"), &[("cookie", many)]),
        431,
        "too-many-cookies",
        false,
    );
    let big: &'static str = "x".repeat(65 << 10).leak();
    refused(
        with(get("/"), &[("x-big", big)]),
        431,
        "headers-too-large",
        true,
    );
    let mut case = get("/");
    case.headers
        .extend(std::iter::repeat_n(("x-many", "1"), 100));
    refused(case, 431, "headers-too-large", true);
    refused(
        get(format!("/{}", "a".repeat(8 << 10)).leak()),
        414,
        "path-too-long",
        false,
    );
    refused(
        get(format!("/?{}", "a".repeat(17 << 10)).leak()),
        414,
        "query-too-long",
        false,
    );
}

#[test]
fn cookies_split_by_http2_are_one_field() {
    let case = Case {
        version: Version::HTTP_2,
        target: "http://chart.example/",
        ..with(get("/"), &[("cookie", "a=1"), ("cookie", "b=2")])
    };
    let head = taken(case);
    assert_eq!(head.cookies.len(), 2);
    assert_eq!(head.headers.get_all("cookie").iter().count(), 1);
    assert_eq!(
        head.headers.get("cookie").map(HeaderValue::as_bytes),
        Some(&b"a=1; b=2"[..])
    );
}

proptest! {
    /// A canonical path is its own canonical form, and holds nothing that a server could read otherwise.
    #[test]
    fn the_canonical_path_is_a_fixed_point(path in "(/[a-zA-Z0-9%./;\\\\ ~$&+,:@#?-]{0,12}){1,5}") {
        if let Ok(canonical) = path::canonical(&path) {
            prop_assert_eq!(path::canonical(&canonical), Ok(canonical.clone()));
            prop_assert!(canonical.starts_with('/') && !canonical.contains("//"));
            prop_assert!(!canonical.split('/').any(|s| s == "." || s == ".."));
            prop_assert!(!canonical.contains([';', '\\', '#', '?', ' ']));
        }
    }

    #[test]
    fn arbitrary_requests_never_panic(
        target in "/[ -~]{0,60}",
        headers in proptest::collection::vec(("[a-zA-Z_.-]{1,20}", proptest::collection::vec(any::<u8>(), 0..30)), 0..12),
        host in "[ -~]{0,20}",
        version in 0..4usize,
        method in "[A-Za-z]{1,8}",
    ) {
        let Ok(uri) = target.parse::<Uri>() else { return Ok(()); };
        let mut map = HeaderMap::new();
        for (name, value) in headers.iter().map(|(n, v)| (n.as_bytes(), v.as_slice())).chain([(&b"host"[..], host.as_bytes())]) {
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                map.append(name, value);
            }
        }
        let version = [Version::HTTP_09, Version::HTTP_10, Version::HTTP_11, Version::HTTP_2][version];
        let Ok(method) = Method::from_bytes(method.as_bytes()) else { return Ok(()); };
        let result = canonicalize(&Received { method: &method, uri: &uri, version, headers: &map, sni: None, secure: false });
        if let Ok(head) = result {
            let kept = |n: &str| head.headers.contains_key(n);
            prop_assert!(!kept("connection") && !kept("host") && !kept("transfer-encoding") && !kept("content-length"));
        }
    }
}
