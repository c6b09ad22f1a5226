//! The sign-in origin, through the real gateway.

mod support;

use std::sync::atomic::Ordering;

use audit::Kind;
use domain::PersonId;
use identity::{Audience, InvitationKind};
use serde_json::{Value, json};
use std::time::Duration;
use support::soft::Authenticator;
use support::{ADMIN, Browser, GONE, NURSE, PATIENT, REASON, RP_ID, Stage, assert_sealed};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_browser_without_a_session_signs_in_and_comes_back_to_where_it_was() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    let asked = format!("{}/people", stage.origin("console"));
    let to_access = browser.get(&asked).await;
    assert_eq!(to_access.status, 303);
    let page = browser.get(to_access.location()).await;
    assert_eq!(page.status, 200);
    assert_sealed(&page);
    let first_button = page.body.find("<button").expect("a button");
    let sample = page
        .body
        .find("Sample sign-in")
        .expect("the sample sign-in");
    let passkey = page
        .body
        .find("Sign in with a passkey")
        .expect("the passkey button");
    assert!(
        first_button < sample && sample < passkey,
        "the sample sign-in comes first"
    );
    assert!(page.body.contains("Demo only."));
    assert!(page.body.contains("&lt;script&gt;"), "names are escaped");

    let back = page
        .body
        .split_once("name=\"return\" value=\"")
        .and_then(|(_, rest)| rest.split('"').next())
        .expect("the way back")
        .replace("&amp;", "&");
    let address = format!("{}/sample/sign-in", stage.origin("access"));
    let token = page.token();
    let fields = [
        ("token", token.as_str()),
        ("person", ADMIN),
        ("device", "ws-1"),
        ("return", back.as_str()),
    ];
    let answer = browser.post(&address, &fields).await;
    assert_eq!(answer.status, 303, "{}", answer.body);
    assert!(answer.location().starts_with("/enter?application=console"));
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(
        policy.contains(&stage.origin("console")),
        "the form may lead on: {policy}"
    );
    let arrived = browser
        .visit(&support::absolute(&address, answer.location()))
        .await;
    assert_eq!(arrived.status, 200, "{}", arrived.body);
    assert!(arrived.body.contains("<h1>People</h1>"), "{}", arrived.body);

    let signed_in = stage.records_of(Kind::SignIn);
    assert_eq!(signed_in.len(), 1);
    assert_eq!(signed_in[0].header["method"], "sample");
    assert_eq!(signed_in[0].header["aal"], 1);
    assert!(
        !serde_json::to_string(&signed_in[0].header)
            .expect("json")
            .contains(ADMIN)
    );
}

#[tokio::test]
async fn the_home_page_lists_what_is_open_and_signing_out_ends_everything() {
    let stage = Stage::new().await;
    let access = stage.origin("access");
    let mut nurse = stage.signed_in(NURSE).await;
    let home = nurse.get(&access).await;
    assert_sealed(&home);
    assert!(home.body.contains("Open Application chart"));
    assert!(!home.body.contains("Application fhir"), "data is no page");
    assert!(
        !home.body.contains("Application console"),
        "policy refuses a nurse the console"
    );
    let mut admin = stage.signed_in(ADMIN).await;
    let other_device = stage.signed_in(ADMIN).await;
    let home = admin.get(&access).await;
    assert!(home.body.contains("Open Application console"));

    let console = format!("{}/people", stage.origin("console"));
    assert_eq!(admin.visit(&console).await.status, 200);
    assert_eq!(stage.sessions.list(stage.now()).len(), 3);
    let fields = [("token", home.token()), ("everywhere", "yes".to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let out = admin.post(&format!("{access}/sign-out"), &fields).await;
    assert_eq!(out.location(), "/signed-out");
    let left = stage.sessions.list(stage.now());
    assert_eq!(left.len(), 1, "only the nurse is left");
    assert_eq!(left[0].person, PersonId::from(NURSE));
    assert_eq!(
        admin.get(&console).await.status,
        303,
        "the application is closed as well"
    );
    drop(other_device);
    let page = admin.visit(&format!("{access}/signed-out")).await;
    assert!(page.body.contains("You are signed out"));
    assert_eq!(stage.records_of(Kind::SignOut).len(), 1);
}

#[tokio::test]
async fn requests_from_elsewhere_change_nothing() {
    let stage = Stage::new().await;
    let access = stage.origin("access");
    let mut browser = stage.browser();
    let page = browser.get(&format!("{access}/sign-in")).await;
    let token = page.token();
    let fields = [
        ("token", token.as_str()),
        ("person", NURSE),
        ("device", "ws-1"),
    ];
    let address = format!("{access}/sample/sign-in");
    let chart = stage.origin("chart");
    for headers in [
        vec![],
        vec![("origin", "null")],
        vec![("origin", "https://evil.example")],
        vec![("origin", chart.as_str())],
        vec![
            ("origin", access.as_str()),
            ("sec-fetch-site", "cross-site"),
        ],
        vec![("origin", access.as_str()), ("sec-fetch-site", "same-site")],
    ] {
        let answer = browser.post_as(&address, &fields, &headers).await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert_sealed(&answer);
    }
    // A token of another browser.
    let mut other = stage.browser();
    other.get(&format!("{access}/sign-in")).await;
    assert_eq!(other.post(&address, &fields).await.status, 403);
    assert!(stage.sessions.is_empty());
    // A cross-site sign-out does nothing either.
    let mut nurse = stage.signed_in(NURSE).await;
    let token = nurse.get(&access).await.token();
    let out = format!("{access}/sign-out");
    let evil = [("origin", "https://evil.example")];
    assert_eq!(
        nurse
            .post_as(&out, &[("token", &token)], &evil)
            .await
            .status,
        403
    );
    assert_eq!(nurse.post(&out, &[("token", "wrong")]).await.status, 403);
    assert_eq!(nurse.post(&out, &[]).await.status, 403);
    assert_eq!(stage.sessions.list(stage.now()).len(), 1);
    assert_eq!(nurse.get(&out).await.status, 405);
    assert_eq!(nurse.post(&out, &[("token", &token)]).await.status, 303);
}

#[tokio::test]
async fn nobody_is_led_to_another_site() {
    let stage = Stage::new().await;
    let access = stage.origin("access");
    for bad in [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "\\\\evil.example",
    ] {
        let mut browser = stage.browser();
        let answer = stage.sample(&mut browser, NURSE, bad).await;
        assert_eq!((answer.status, answer.location()), (303, "/"), "{bad:?}");
        let encoded: String = form_urlencoded::byte_serialize(bad.as_bytes()).collect();
        let again = browser
            .get(&format!("{access}/sign-in?return={encoded}"))
            .await;
        assert_eq!((again.status, again.location()), (303, "/"), "{bad:?}");
        let tx = identity::BrowserHash::of_secret(&identity::Secret::generate()).to_text();
        let enter = browser
            .get(&format!(
                "{access}/enter?application=chart&return={encoded}&tx={tx}"
            ))
            .await;
        assert!(enter.location().starts_with(&format!(
            "{}/.asepsis/callback?code=",
            stage.origin("chart")
        )));
    }
    let mut browser = stage.signed_in(NURSE).await;
    for bad in [
        "/enter?application=evil&return=/&tx=AAAA",
        "/enter?application=chart&return=/",
        "/enter?application=chart&application=console&return=/&tx=x",
        "/enter?application=chart&return=/&tx=short",
    ] {
        let answer = browser.get(&format!("{access}{bad}")).await;
        assert!(answer.status == 404 || answer.status == 400, "{bad}");
        assert_sealed(&answer);
    }
}

#[tokio::test]
async fn without_a_sample_there_is_no_sample_sign_in() {
    let stage = Stage::with(false).await;
    let access = stage.origin("access");
    let mut browser = stage.browser();
    let page = browser.get(&format!("{access}/sign-in")).await;
    assert!(!page.body.contains("Sample") && !page.body.contains("Demo"));
    assert!(!page.body.contains("/sample/"));
    let token = page.token();
    let fields = [
        ("token", token.as_str()),
        ("person", NURSE),
        ("device", "ws-1"),
    ];
    for path in ["/sample/sign-in", "/sample/step-up"] {
        let answer = browser.post(&format!("{access}{path}"), &fields).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    assert!(stage.sessions.is_empty());
}

#[tokio::test]
async fn the_sample_offers_only_its_own_people_and_devices() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    assert_eq!(
        stage.sample(&mut browser, "somebody", "/").await.status,
        400
    );
    let refused = stage.sample(&mut browser, GONE, "/").await;
    assert_eq!(refused.status, 403);
    assert!(refused.body.contains("may not sign in any more"));
    let page = browser
        .get(&format!("{}/sign-in", stage.origin("access")))
        .await;
    let token = page.token();
    let fields = [
        ("token", token.as_str()),
        ("person", NURSE),
        ("device", "pump-9"),
    ];
    let address = format!("{}/sample/sign-in", stage.origin("access"));
    assert_eq!(browser.post(&address, &fields).await.status, 400);
    assert!(stage.sessions.is_empty());
    assert_eq!(stage.records_of(Kind::SignInFailed).len(), 1);
}

#[tokio::test]
async fn tries_are_limited_by_browser() {
    let stage = Stage::new().await;
    let mut browser = stage.browser();
    let address = format!("{}/sign-in/options", stage.origin("access"));
    let page = browser
        .get(&format!("{}/sign-in", stage.origin("access")))
        .await;
    let body = json!({ "token": page.token() });
    let mut refused = None;
    for _ in 0..40 {
        let answer = browser.post_json(&address, &body).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit");
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").is_some());
    assert!(refused.json()["error"].is_string());
    // Somebody else, from the same address, still can.
    let mut other = stage.browser();
    let page = other
        .get(&format!("{}/sign-in", stage.origin("access")))
        .await;
    let body = json!({ "token": page.token() });
    assert_eq!(other.post_json(&address, &body).await.status, 200);
    // And it passes.
    stage.ahead.fetch_add(10_000, Ordering::SeqCst);
    let page = browser
        .get(&format!("{}/sign-in", stage.origin("access")))
        .await;
    let body = json!({ "token": page.token() });
    assert_eq!(browser.post_json(&address, &body).await.status, 200);
}

fn authenticator(stage: &Stage) -> Authenticator {
    Authenticator::new(&stage.origin("access"), RP_ID)
}

fn credential(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("JSON")
}

/// Uses an invitation link; returns the last answer.
async fn enrol(
    stage: &Stage,
    browser: &mut Browser,
    link: &str,
    key: &mut Authenticator,
) -> support::Answer {
    let access = stage.origin("access");
    let page = browser.get(&format!("{access}/invitation/{link}")).await;
    if page.status != 200 {
        return page;
    }
    let mut body = json!({ "token": page.token(), "invitation": link });
    let options = browser
        .post_json(&format!("{access}/invitation/options"), &body)
        .await;
    assert_eq!(options.status, 200, "{}", options.body);
    body["credential"] = credential(&key.create(&options.json()));
    body["name"] = json!("Blue key");
    browser
        .post_json(&format!("{access}/invitation/finish"), &body)
        .await
}

async fn invite(stage: &Stage, kind: InvitationKind, person: &str) -> String {
    let (secret, row) = stage
        .invitations
        .issue(kind, person.into(), DAY, stage.now());
    stage.store.put_invitation(row).await.expect("stored");
    secret.reveal()
}

#[tokio::test]
async fn an_invitation_makes_one_passkey_and_then_the_passkey_signs_in() {
    let stage = Stage::with(false).await;
    let access = stage.origin("access");
    let link = invite(&stage, InvitationKind::Enrolment, NURSE).await;
    // A mail program that looks at the link does not spend it.
    for _ in 0..3 {
        let page = stage
            .browser()
            .get(&format!("{access}/invitation/{link}"))
            .await;
        assert_eq!(page.status, 200);
        assert_sealed(&page);
    }
    let mut key = authenticator(&stage);
    let mut browser = stage.browser();
    let done = enrol(&stage, &mut browser, &link, &mut key).await;
    assert_eq!(
        (done.status, done.json()["continue"].as_str()),
        (200, Some("/"))
    );
    let home = browser.get(&access).await;
    assert!(home.body.contains("Nora Nurse"), "{}", home.body);
    let stored = stage.store.passkeys().await.expect("readable");
    assert_eq!(stored.len(), 1);
    assert!(
        stage
            .store
            .invitations()
            .await
            .expect("readable")
            .is_empty()
    );

    let mut thief = stage.browser();
    let again = enrol(&stage, &mut thief, &link, &mut authenticator(&stage)).await;
    assert_eq!(again.status, 404, "used");
    assert!(again.body.contains("not good any more"));

    // Another browser signs in with the key alone.
    let mut browser = stage.browser();
    let page = browser
        .get(&format!("{access}/sign-in?return=/passkeys"))
        .await;
    let mut body = json!({ "token": page.token(), "return": "/passkeys" });
    let options = browser
        .post_json(&format!("{access}/sign-in/options"), &body)
        .await;
    body["credential"] = credential(&key.get(&options.json()));
    let done = browser
        .post_json(&format!("{access}/sign-in/passkey"), &body)
        .await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert_eq!(done.json()["continue"], "/passkeys");
    let page = browser.get(&format!("{access}/passkeys")).await;
    assert_sealed(&page);
    assert!(page.body.contains("Blue key"));
    let signed_in = stage.records_of(Kind::SignIn);
    assert_eq!(
        signed_in.last().expect("recorded").header["method"],
        "passkey"
    );
    assert_eq!(signed_in.last().expect("recorded").header["aal"], 3);

    // The same answer once more: its challenge is spent, and the failure is on record.
    let mut body = body.clone();
    let page = stage.browser().get(&format!("{access}/sign-in")).await;
    body["token"] = json!(page.token());
    let mut replayer = stage.browser();
    let page = replayer.get(&format!("{access}/sign-in")).await;
    body["token"] = json!(page.token());
    let refused = replayer
        .post_json(&format!("{access}/sign-in/passkey"), &body)
        .await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    let failed = stage.records_of(Kind::SignInFailed);
    assert_eq!(
        failed.last().expect("recorded").header["code"],
        "unknown-challenge"
    );
}

#[tokio::test]
async fn the_first_administrator_comes_by_invitation_and_there_is_only_one() {
    let stage = Stage::with(false).await;
    let first = invite(&stage, InvitationKind::FirstAdministrator, ADMIN).await;
    let second = invite(&stage, InvitationKind::FirstAdministrator, NURSE).await;
    let page = stage
        .browser()
        .get(&format!("{}/invitation/{first}", stage.origin("access")))
        .await;
    assert!(page.body.contains("first administrator"));
    let mut browser = stage.browser();
    let done = enrol(&stage, &mut browser, &first, &mut authenticator(&stage)).await;
    assert_eq!(done.status, 200, "{}", done.body);
    let administrators = stage.store.administrators().await.expect("readable");
    assert_eq!(administrators.len(), 1);
    assert_eq!(administrators[0].0, PersonId::from(ADMIN));
    let mut other = stage.browser();
    let late = enrol(&stage, &mut other, &second, &mut authenticator(&stage)).await;
    assert_eq!(late.status, 404);
    assert_eq!(stage.passkeys.len(), 1);
    assert!(
        stage
            .store
            .invitations()
            .await
            .expect("readable")
            .is_empty()
    );
}

#[tokio::test]
async fn passkeys_are_added_named_and_removed_and_the_last_one_stays() {
    let stage = Stage::with(false).await;
    let access = stage.origin("access");
    let link = invite(&stage, InvitationKind::Enrolment, NURSE).await;
    let mut browser = stage.browser();
    let mut first = authenticator(&stage);
    enrol(&stage, &mut browser, &link, &mut first).await;

    let page = browser.get(&format!("{access}/passkeys")).await;
    let token = page.token();
    let mut second = authenticator(&stage);
    let mut body = json!({ "token": token });
    let options = browser
        .post_json(&format!("{access}/passkeys/options"), &body)
        .await;
    assert_eq!(options.status, 200, "{}", options.body);
    body["credential"] = credential(&second.create(&options.json()));
    body["name"] = json!("Red <key>");
    let added = browser
        .post_json(&format!("{access}/passkeys/add"), &body)
        .await;
    assert_eq!(added.status, 200, "{}", added.body);
    let page = browser.get(&format!("{access}/passkeys")).await;
    assert!(page.body.contains("Red &lt;key&gt;"));

    let renamed = [
        ("token", token.as_str()),
        ("passkey", &second.id()),
        ("name", "Green key"),
    ]
    .map(|(n, v)| (n, v.to_owned()));
    let renamed: Vec<(&str, &str)> = renamed.iter().map(|(n, v)| (*n, v.as_str())).collect();
    browser
        .post(&format!("{access}/passkeys/rename"), &renamed)
        .await;
    assert!(
        browser
            .get(&format!("{access}/passkeys"))
            .await
            .body
            .contains("Green key")
    );

    let (one, two) = (first.id(), second.id());
    let remove = |id: &str| {
        [
            ("token".to_owned(), token.clone()),
            ("passkey".to_owned(), id.to_owned()),
        ]
    };
    let fields = remove(&two);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(
        browser
            .post(&format!("{access}/passkeys/remove"), &fields)
            .await
            .status,
        303
    );
    let fields = remove(&one);
    let fields: Vec<(&str, &str)> = fields
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    let last = browser
        .post(&format!("{access}/passkeys/remove"), &fields)
        .await;
    assert_eq!(last.status, 409);
    assert!(last.body.contains("only passkey"));
    assert_eq!(stage.store.passkeys().await.expect("readable").len(), 1);

    // A session that was left open is not enough to plant another key.
    stage.ahead.fetch_add(11 * 60 * 1000, Ordering::SeqCst);
    let page = browser.get(&format!("{access}/passkeys")).await;
    assert!(page.body.contains("Confirm with a passkey first"));
    let body = json!({ "token": token });
    let refused = browser
        .post_json(&format!("{access}/passkeys/options"), &body)
        .await;
    assert_eq!(refused.status, 403);
    // Confirming makes it fresh again, with new secrets.
    let page = browser.visit(&format!("{access}/passkeys/confirm")).await;
    assert!(
        page.body.contains("Confirm that it is you"),
        "{}",
        page.body
    );
    let handle = page
        .body
        .replace("&quot;", "\"")
        .split_once("\"ceremony\":\"")
        .and_then(|(_, rest)| rest.split('"').next().map(str::to_owned))
        .expect("the handle");
    let before = browser.jars.clone();
    let mut body = json!({ "token": page.token(), "ceremony": handle });
    let options = browser
        .post_json(&format!("{access}/step-up/options"), &body)
        .await;
    assert_eq!(options.status, 200, "{}", options.body);
    body["credential"] = credential(&first.get(&options.json()));
    let done = browser
        .post_json(&format!("{access}/step-up/passkey"), &body)
        .await;
    assert_eq!(done.json()["continue"], "/passkeys", "{}", done.body);
    let mut old = stage.browser();
    old.jars = before;
    assert_eq!(
        old.get(&access).await.location(),
        "/sign-in",
        "the old cookie is dead"
    );
    let page = browser.get(&format!("{access}/passkeys")).await;
    assert!(page.body.contains("Add a passkey"));
}

/// Asks for the patient's chart as a program does and returns the answer.
async fn ask_for_chart(stage: &Stage, browser: &mut Browser) -> support::Answer {
    let url = format!("{}/fhir/Patient/{PATIENT}", stage.origin("chart"));
    let headers = [
        ("accept", "application/fhir+json"),
        ("sec-fetch-site", "same-origin"),
    ];
    browser.send("GET", &url, &headers, "").await
}

#[tokio::test]
async fn an_emergency_is_declared_recorded_and_opens_the_chart() {
    let stage = Stage::new().await;
    let mut browser = stage.signed_in(NURSE).await;
    browser.visit(&stage.origin("chart")).await;
    let refused = ask_for_chart(&stage, &mut browser).await;
    assert_eq!(refused.json()["outcome"], "break_glass", "{}", refused.body);
    let ceremony = refused.json()["continue"]
        .as_str()
        .expect("a way on")
        .to_owned();
    assert!(!ceremony.contains(PATIENT));

    let mut page = browser.get(&ceremony).await;
    assert_eq!(page.status, 200);
    if page.body.contains("/sample/step-up") {
        let handle = ceremony.rsplit('/').next().expect("a handle").to_owned();
        let token = page.token();
        let fields = [("token", token.as_str()), ("handle", handle.as_str())];
        let done = browser
            .post(
                &format!("{}/sample/step-up", stage.origin("access")),
                &fields,
            )
            .await;
        assert_eq!(done.status, 303, "{}", done.body);
        page = browser.get(&ceremony).await;
    }
    assert_sealed(&page);
    assert!(page.body.contains("60 minutes"), "{}", page.body);
    assert!(page.body.contains("privacy officer is told"));
    assert!(
        page.body.contains("this patient&#39;s chart")
            || page.body.contains("this patient's chart")
    );
    assert!(!page.body.contains(PATIENT));
    // Whoever thinks better of it is led back to the application, not away from it.
    let back = format!("href=\"{}/\">Do not", stage.origin("chart"));
    assert!(page.body.contains(&back), "{}", page.body);
    let token = page.token();
    for (kind, reason) in [
        ("", REASON),
        ("nonsense", REASON),
        ("emergency_treatment", "short"),
        ("emergency_treatment", ".........."),
        ("emergency_treatment", "         x"),
    ] {
        let fields = [
            ("token", token.as_str()),
            ("kind", kind),
            ("reason", reason),
        ];
        let again = browser.post(&ceremony, &fields).await;
        assert_eq!(again.status, 422, "{kind} {reason}");
        assert_sealed(&again);
    }
    assert!(stage.records_of(Kind::BreakGlass).is_empty());
    // Somebody else's session cannot use the handle.
    let mut other = stage.signed_in(ADMIN).await;
    let foreign = other.get(&ceremony).await;
    assert_eq!(foreign.status, 410);

    let fields = [
        ("token", token.as_str()),
        ("kind", "emergency_treatment"),
        ("reason", REASON),
    ];
    let done = browser.post(&ceremony, &fields).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(done.location(), format!("{}/", stage.origin("chart")));
    let declared = stage.records_of(Kind::BreakGlass);
    assert_eq!(declared.len(), 1);
    let header = serde_json::to_string(&declared[0].header).expect("json");
    assert!(
        !header.contains(PATIENT) && !header.contains("Qqname"),
        "{header}"
    );
    let payload =
        String::from_utf8_lossy(declared[0].payload.as_deref().expect("kept")).into_owned();
    assert!(payload.contains(PATIENT) && payload.contains("Qqname"));
    browser.visit(&stage.origin("chart")).await;
    let opened = ask_for_chart(&stage, &mut browser).await;
    // Permitted; that nothing listens behind the gateway is another matter.
    assert!(opened.status >= 500, "{} {}", opened.status, opened.body);
    let once_more = browser.post(&ceremony, &fields).await;
    assert_eq!(once_more.status, 410, "declared once");
}

#[tokio::test]
async fn keys_and_files_are_public_and_the_rest_is_not_found() {
    let stage = Stage::new().await;
    let access = stage.origin("access");
    let mut browser = stage.browser();
    let jwks = browser
        .get(&format!("{access}/.well-known/asepsis/jwks.json"))
        .await;
    assert_eq!(jwks.status, 200);
    assert_eq!(jwks.json()["keys"][0]["crv"], "P-256");
    let page = browser.get(&format!("{access}/sign-in")).await;
    for part in page
        .body
        .split("href=\"/")
        .skip(1)
        .chain(page.body.split("src=\"/").skip(1))
    {
        let path = part.split('"').next().expect("ends");
        if path.starts_with(".asepsis") {
            let file = browser.get(&format!("{access}/{path}")).await;
            assert_eq!(file.status, 200, "{path}");
            assert!(file.header("etag").is_some());
            assert_eq!(file.header("set-cookie"), None);
        }
    }
    // What a browser asks for by itself, signed in or not, is no reason for a refusal on record.
    for origin in [access.clone(), stage.origin("console")] {
        let mut icon = browser.get(&format!("{origin}/favicon.ico")).await;
        if icon.status == 303 {
            let there = icon.header("location").expect("a place").to_owned();
            assert_eq!(there, format!("{access}/favicon.ico"));
            icon = browser.get(&there).await;
        }
        assert_eq!(icon.status, 200, "{origin}");
        assert_eq!(icon.header("content-type"), Some("image/svg+xml"));
    }
    for path in [
        "/x",
        "/ceremony",
        "/invitation/short",
        "/.asepsis/asset/x.js",
        "/enter/x",
    ] {
        let answer = browser.get(&format!("{access}{path}")).await;
        assert!(
            (400..500).contains(&answer.status),
            "{path} {}",
            answer.status
        );
        assert_sealed(&answer);
    }
    let put = browser
        .send("PUT", &access, &[("origin", access.as_str())], "")
        .await;
    assert_eq!(put.status, 405);
}

#[tokio::test]
async fn a_new_sign_in_never_takes_over_an_old_session() {
    let stage = Stage::new().await;
    let mut browser = stage.signed_in(NURSE).await;
    let old = browser.jars.clone();
    let page = browser.get(&stage.origin("access")).await;
    // The next person at the same browser, without the first having signed out.
    let token = page.token();
    let fields = [
        ("token", token.as_str()),
        ("person", ADMIN),
        ("device", "ws-1"),
    ];
    let answer = browser
        .post(
            &format!("{}/sample/sign-in", stage.origin("access")),
            &fields,
        )
        .await;
    assert_eq!(answer.status, 303);
    let sessions = stage.sessions.list(stage.now());
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].person, PersonId::from(ADMIN));
    assert_eq!(sessions[0].audiences, [Audience::Access]);
    let mut before = stage.browser();
    before.jars = old;
    assert_eq!(
        before.get(&stage.origin("access")).await.location(),
        "/sign-in"
    );
}
