//! The console, through the real gateway.

mod support;

use std::time::Duration;

use audit::Kind;
use domain::PersonId;
use support::{ADMIN, Browser, NURSE, PATIENT, PRIVACY, REASON, Stage, assert_sealed};
use tokio::io::AsyncReadExt;

const PAGES: [&str; 7] = [
    "/",
    "/decisions",
    "/decisions?outcome=deny&application=*&unit=ward-3",
    "/applications",
    "/people",
    "/sessions",
    "/audit",
];

/// Leaves records about a patient behind: refused requests, with the patient in address and path.
async fn plant(stage: &Stage) -> Browser {
    let mut nurse = stage.signed_in(NURSE).await;
    nurse.visit(&stage.origin("chart")).await;
    for path in [
        format!("/fhir/Patient/{PATIENT}"),
        format!("/fhir/Observation?patient={PATIENT}"),
        format!("/chart/{PATIENT}/notes"),
    ] {
        let url = format!("{}{path}", stage.origin("chart"));
        let headers = [
            ("accept", "application/fhir+json"),
            ("sec-fetch-site", "same-origin"),
        ];
        nurse.send("GET", &url, &headers, "").await;
    }
    let refused = {
        let url = format!("{}/fhir/Patient/{PATIENT}", stage.origin("chart"));
        nurse
            .send("GET", &url, &[("accept", "application/json")], "")
            .await
    };
    let ceremony = refused.json()["continue"]
        .as_str()
        .expect("an offer")
        .to_owned();
    let mut page = nurse.get(&ceremony).await;
    if page.body.contains("/sample/step-up") {
        let token = page.token();
        let handle = ceremony.rsplit('/').next().expect("a handle");
        let fields = [("token", token.as_str()), ("handle", handle)];
        nurse
            .post(
                &format!("{}/sample/step-up", stage.origin("access")),
                &fields,
            )
            .await;
        page = nurse.get(&ceremony).await;
    }
    let token = page.token();
    let fields = [
        ("token", token.as_str()),
        ("kind", "emergency_treatment"),
        ("reason", REASON),
    ];
    assert_eq!(nurse.post(&ceremony, &fields).await.status, 303);
    nurse.visit(&stage.origin("chart")).await;
    let url = format!("{}/fhir/Patient/{PATIENT}", stage.origin("chart"));
    nurse
        .send("GET", &url, &[("accept", "application/json")], "")
        .await;
    nurse
}

async fn settled(stage: &Stage) {
    let want = stage.log.size();
    for _ in 0..200 {
        let (seen, reader) = (stage.live.tally(), stage.records().len() as u64);
        drop(seen);
        if reader >= want {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn every_page_is_drawn_sealed_and_free_of_outside_addresses() {
    let stage = Stage::new().await;
    plant(&stage).await;
    settled(&stage).await;
    let mut admin = stage.signed_in(ADMIN).await;
    for path in PAGES {
        let page = admin
            .visit(&format!("{}{path}", stage.origin("console")))
            .await;
        assert_eq!(page.status, 200, "{path} {}", page.body);
        assert_sealed(&page);
        assert!(page.body.contains("Skip to the content"), "{path}");
        assert!(page.body.contains("lang=\"en\""));
        for attribute in ["href=\"http", "src=\"http"] {
            for part in page.body.split(attribute).skip(1) {
                let host = format!("://{}:", support::host("access"));
                assert!(
                    part.starts_with(&host),
                    "{path} leads to http{}",
                    &part[..40.min(part.len())]
                );
            }
        }
    }
    let policy = admin
        .get(&format!("{}/people", stage.origin("console")))
        .await
        .header("content-security-policy")
        .expect("a policy")
        .to_owned();
    let files = format!("{}/.asepsis/asset/", stage.origin("access"));
    assert!(policy.contains(&format!("script-src {files};")), "{policy}");
    assert!(policy.contains(&format!("style-src {files};")), "{policy}");
    assert!(policy.contains("connect-src 'self'") && policy.contains("base-uri 'none'"));
    for path in [
        "/nowhere",
        "/decisions/x",
        "/decisions/99999999",
        "/audit/x",
        "/decisions/1/2",
    ] {
        let page = admin
            .get(&format!("{}{path}", stage.origin("console")))
            .await;
        assert!(
            page.status == 404 || page.status == 403,
            "{path} {}",
            page.status
        );
        assert!(page.header("content-security-policy").is_some(), "{path}");
    }
}

#[tokio::test]
async fn who_may_not_know_the_patients_never_reads_one() {
    let stage = Stage::new().await;
    plant(&stage).await;
    settled(&stage).await;
    let console = stage.origin("console");
    let mut admin = stage.signed_in(ADMIN).await;
    let mut privacy = stage.signed_in(PRIVACY).await;
    admin.visit(&console).await;
    privacy.visit(&console).await;
    let mut officer_read = String::new();
    let records = stage.records().len();
    let mut addresses: Vec<String> = PAGES.iter().map(|p| (*p).to_owned()).collect();
    for record in 0..records {
        addresses.push(format!("/decisions/{record}"));
        addresses.push(format!("/audit/proof/{record}"));
    }
    addresses.push("/decisions?application=*".to_owned());
    for path in &addresses {
        let page = admin.get(&format!("{console}{path}")).await;
        assert!(
            page.status == 200 || page.status == 404,
            "{path} {}",
            page.status
        );
        for secret in [PATIENT, "Qqname", "zzownchartzz"] {
            assert!(!page.body.contains(secret), "{path} tells {secret}");
        }
        officer_read.push_str(&privacy.get(&format!("{console}{path}")).await.body);
    }
    assert!(
        officer_read.contains(PATIENT),
        "the privacy officer has to know"
    );
    assert!(officer_read.contains("Qqname"));
    assert!(
        officer_read.contains("the same answer, bit for bit"),
        "decisions are judged again"
    );
    let stream = read_stream(
        &mut admin,
        &format!("{console}/decisions/stream?application=*&after=0"),
    )
    .await;
    assert!(stream.contains("data-outcome"), "{stream}");
    assert!(
        !stream.contains(PATIENT) && !stream.contains("Qqname"),
        "{stream}"
    );
}

/// Reads an event stream for a moment.
async fn read_stream(browser: &mut Browser, url: &str) -> String {
    let headers = [
        ("accept", "text/event-stream"),
        ("sec-fetch-site", "same-origin"),
    ];
    let mut stream = browser.open("GET", url, &headers, "").await;
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_millis(900), async {
        let mut buffer = [0; 4096];
        while let Ok(n) = stream.read(&mut buffer).await {
            if n == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..n]);
        }
    })
    .await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn new_decisions_arrive_on_the_stream_and_its_end_is_the_sessions_end() {
    let stage = Stage::new().await;
    let console = stage.origin("console");
    let mut admin = stage.signed_in(ADMIN).await;
    let first = admin
        .visit(&format!("{console}/decisions?outcome=break_glass"))
        .await;
    let address = first
        .body
        .split_once("data-stream=\"")
        .and_then(|(_, rest)| rest.split('"').next())
        .expect("the stream's address")
        .replace("&amp;", "&");
    let headers = [
        ("accept", "text/event-stream"),
        ("sec-fetch-site", "same-origin"),
    ];
    let mut stream = admin
        .open("GET", &format!("{console}{address}"), &headers, "")
        .await;
    let mut nurse = stage.signed_in(NURSE).await;
    nurse.visit(&stage.origin("chart")).await;
    let url = format!("{}/fhir/Patient/{PATIENT}", stage.origin("chart"));
    nurse
        .send("GET", &url, &[("accept", "application/json")], "")
        .await;
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    let arrived = async {
        while !seen.contains("event: rows") || !seen.contains("</li>") {
            let n = stream.read(&mut buffer).await.expect("open");
            assert!(n > 0, "closed early: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
        }
    };
    tokio::time::timeout(Duration::from_secs(10), arrived)
        .await
        .expect("the decision arrives");
    assert!(
        seen.to_ascii_lowercase()
            .contains("content-type: text/event-stream"),
        "{seen}"
    );
    assert!(seen.contains("data-outcome=\"break_glass\""), "{seen}");
    assert!(
        !seen.contains("data-outcome=\"permit\""),
        "filtered: {seen}"
    );
    assert!(seen.contains("&lt;script&gt;"), "names are escaped");
    for session in stage.sessions.list(stage.now()) {
        if session.person == PersonId::from(ADMIN) {
            stage.sessions.end(&session.id);
        }
    }
    let closed = async {
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), closed)
        .await
        .expect("the stream ends with the session");
}

#[tokio::test]
async fn ending_a_session_takes_a_token_and_works_at_once() {
    let stage = Stage::new().await;
    let console = stage.origin("console");
    let chart = stage.origin("chart");
    let mut nurse = stage.signed_in(NURSE).await;
    nurse.visit(&chart).await;
    let mut admin = stage.signed_in(ADMIN).await;
    let page = admin.visit(&format!("{console}/sessions")).await;
    assert!(page.body.contains("Nora Nurse"));
    let id = stage
        .sessions
        .list(stage.now())
        .into_iter()
        .find(|s| s.person == PersonId::from(NURSE))
        .expect("signed in")
        .id;
    let token = page.token();
    let end = format!("{console}/sessions/end");
    let fields = [("token", token.as_str()), ("session", id.as_str())];
    let evil = [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    assert_eq!(admin.post_as(&end, &fields, &evil).await.status, 403);
    assert_eq!(
        admin.post(&end, &[("session", id.as_str())]).await.status,
        403
    );
    let forged = [("token", "AAAA"), ("session", id.as_str())];
    assert_eq!(admin.post(&end, &forged).await.status, 403);
    assert!(!stage.sessions.ended(&id));

    let done = admin.post(&end, &fields).await;
    assert_eq!(
        (done.status, done.location()),
        (303, "/sessions?told=ended"),
        "{}",
        done.body
    );
    assert!(stage.sessions.ended(&id));
    assert_eq!(
        nurse.get(&chart).await.status,
        303,
        "the next request already signs in again"
    );
    let ended = stage.records_of(Kind::SessionEnded);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].header["cause"], "administrator");
    let again = admin.post(&end, &fields).await;
    assert_eq!(again.location(), "/sessions?told=over");
}

#[tokio::test]
async fn the_log_is_verified_in_the_background_and_damage_is_told() {
    let stage = Stage::new().await;
    let console = stage.origin("console");
    let mut admin = stage.signed_in(ADMIN).await;
    let page = admin.visit(&format!("{console}/audit")).await;
    assert!(page.body.contains("Verify the log"));
    let token = page.token();
    assert_eq!(
        admin.get(&format!("{console}/audit/verify")).await.status,
        403,
        "only our own page"
    );
    let verify = format!("{console}/audit/verify?token={token}");
    assert_eq!(admin.get(&verify).await.location(), "/audit");
    let sound = wait_for(&mut admin, &console, "The log is sound").await;
    assert!(sound.contains("records checked"));
    let checkpoint = admin.get(&format!("{console}/audit/checkpoint")).await;
    assert_eq!(checkpoint.status, 200);
    assert!(
        checkpoint
            .header("content-disposition")
            .expect("a file")
            .contains("attachment")
    );
    assert!(
        checkpoint.body.contains("\u{2014} "),
        "a signed note: {}",
        checkpoint.body
    );
    stage.log.publish().expect("a checkpoint");
    let proof = admin.get(&format!("{console}/audit/proof?record=0")).await;
    assert_eq!(proof.status, 200, "{}", proof.body);
    assert!(proof.body.contains("tlog-proof"), "{}", proof.body);
    let text = admin.get(&format!("{console}/audit/proof/0/text")).await;
    assert_eq!(
        text.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let none = admin.get(&format!("{console}/audit/proof/99999")).await;
    assert_eq!(none.status, 404);
    assert_eq!(
        admin
            .get(&format!("{console}/audit/proof?record=x"))
            .await
            .status,
        400
    );

    // Somebody changes a byte of a tile.
    let tile = find_tile(&stage.folder.path().join("audit"));
    let mut bytes = std::fs::read(&tile).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&tile, bytes).expect("writable");
    assert_eq!(admin.get(&verify).await.location(), "/audit");
    let broken = wait_for(&mut admin, &console, "The log is not sound").await;
    assert!(broken.contains("Place:"));
}

async fn wait_for(browser: &mut Browser, console: &str, words: &str) -> String {
    let mut last = String::new();
    for _ in 0..200 {
        last = browser
            .get(&format!("{console}/audit/verification"))
            .await
            .body;
        if last.contains(words) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {last}");
}

fn find_tile(dir: &std::path::Path) -> std::path::PathBuf {
    let mut folders = vec![dir.to_owned()];
    let mut found: Vec<(u64, std::path::PathBuf)> = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().contains("tile") {
                let size = entry.metadata().map_or(0, |m| m.len());
                found.push((size, path));
            }
        }
    }
    found.sort();
    found.pop().expect("a tile").1
}

#[tokio::test]
async fn people_without_the_right_role_see_a_plain_refusal() {
    let stage = Stage::new().await;
    let mut nurse = stage.signed_in(NURSE).await;
    let refused = nurse
        .visit(&format!("{}/decisions", stage.origin("console")))
        .await;
    assert_eq!(refused.status, 403, "{}", refused.body);
    assert!(refused.body.contains("This is not open to you"));
    assert!(refused.body.contains("Record <strong"));
    assert!(refused.body.contains("<code>"));
    assert_sealed(&refused);
    let down = nurse.visit(&stage.origin("chart")).await;
    assert!(down.status >= 500, "{}", down.status);
    assert!(down.body.contains("does not answer"), "{}", down.body);
}
