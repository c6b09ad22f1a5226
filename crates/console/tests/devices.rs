//! The devices' pages, through the real gateway: what they show, to whom, and what a hostile device cannot do to them.

mod support;

use std::time::Duration;

use audit::Kind;
use support::estate::{HOSTILE, PUMPS, QUESTION, hostile, long_name, pump};
use support::{ADMIN, Answer, Browser, NURSE, PATIENT, PRIVACY, Stage, assert_sealed};
use tokio::io::AsyncReadExt;

const PAGES: [&str; 9] = [
    "/devices",
    "/devices?page=3",
    "/devices?state=at_risk&sort=confidence",
    "/devices/one?id=mac-020000000007",
    "/devices/one?id=mac-060000000000",
    "/devices/map",
    "/devices/queue",
    "/devices/queue?question=nowhere",
    "/devices/queue/preview?question=q-0000000000000001&kind=infusion_pump",
];

struct Desk {
    stage: Stage,
    browser: Browser,
    console: String,
}

impl Desk {
    async fn of(person: &str) -> Self {
        let stage = Stage::new().await;
        let mut browser = stage.signed_in(person).await;
        let console = stage.origin("console");
        browser.visit(&console).await;
        Self {
            stage,
            browser,
            console,
        }
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.browser.get(&format!("{}{path}", self.console)).await
    }

    /// A page that is there, sealed.
    async fn page(&mut self, path: &str) -> String {
        let page = self.get(path).await;
        assert_eq!(page.status, 200, "{path} {}", page.body);
        assert_sealed(&page);
        page.body
    }

    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let address = format!("{}{path}", self.console);
        self.browser.post(&address, fields).await
    }
}

/// The texts of the first cells of the rows.
fn names(page: &str) -> Vec<String> {
    page.split("<th scope=\"row\">")
        .skip(1)
        .filter_map(|cell| {
            Some(
                cell.split_once("<bdi>")?
                    .1
                    .split_once("</bdi>")?
                    .0
                    .to_owned(),
            )
        })
        .collect()
}

#[tokio::test]
async fn every_page_of_the_devices_is_drawn_and_sealed() {
    let mut desk = Desk::of(ADMIN).await;
    for path in PAGES {
        let page = desk.page(path).await;
        assert!(
            page.contains("lang=\"en\"") && page.contains("<h1"),
            "{path}"
        );
        let files = support::host("access");
        for part in ["href=\"http", "src=\"http"] {
            let outside = page.split(part).skip(1);
            assert!(
                outside
                    .into_iter()
                    .all(|p| p.starts_with(&format!("://{files}:"))),
                "{path} leads outside"
            );
        }
        // Tables are told to those who hear them.
        assert_eq!(
            page.matches("<table").count(),
            page.matches("<caption").count(),
            "{path}"
        );
        for head in page
            .split("<th")
            .skip(1)
            .filter(|h| h.starts_with([' ', '>']))
        {
            let tag = head.split('>').next().unwrap_or_default();
            assert!(tag.contains("scope="), "{path}: <th{tag}>");
        }
    }
    for path in [
        "/devices/one",
        "/devices/one?id=mac-ffffffffffff",
        "/devices/none",
        "/devices/queue/none",
        "/devices/queue/rule",
        "/devices/queue/rule?id=local-9",
        "/devices/queue/rule/file?id=local-9",
    ] {
        assert_eq!(desk.get(path).await.status, 404, "{path}");
    }
    let preview = "/devices/queue/preview?question=gone&kind=infusion_pump";
    assert_eq!(desk.get(preview).await.status, 409);
}

#[tokio::test]
async fn what_a_device_calls_itself_is_only_ever_text() {
    let mut desk = Desk::of(ADMIN).await;
    let mut pages: Vec<String> = PAGES.iter().map(|p| (*p).to_owned()).collect();
    pages.extend((0..=HOSTILE.len()).map(|n| format!("/devices/one?id={}", hostile(n).as_str())));
    pages.push("/devices?q=%3Cscript%3Ealert(1)%3C/script%3E".to_owned());
    pages.push("/devices?unit=%3Cscript%3Ealert(1)%3C%2Fscript%3E".to_owned());
    pages.push("/devices?q=mac-0600".to_owned());
    for path in pages {
        let page = desk.page(&path).await;
        assert!(
            !page.contains("<script>") && !page.contains("<img"),
            "{path}"
        );
        for hidden in ['\u{202e}', '\u{200b}', '\u{2028}', '\0'] {
            assert!(!page.contains(hidden), "{path} holds {hidden:?}");
        }
        assert!(!page.contains("href=\"javascript"), "{path}");
        assert!(
            !page.contains("END-OF-LONG-NAME"),
            "{path} shows a name without end"
        );
        assert!(page.len() < 400_000, "{path} has {} bytes", page.len());
    }
    let listed = desk.page("/devices?q=mac-0600").await;
    assert!(listed.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert_eq!(names(&listed).len(), HOSTILE.len() + 1);
    assert!(
        listed.contains(&long_name()[..150]),
        "the long name's beginning is there"
    );
}

#[tokio::test]
async fn the_list_filters_sorts_and_turns_pages() {
    let mut desk = Desk::of(ADMIN).await;
    let all = PUMPS + HOSTILE.len() + 1;
    let first = desk.page("/devices").await;
    assert_eq!(names(&first).len(), 100);
    assert!(first.contains(&format!("{all} of {all}")), "{first}");
    assert!(first.contains("Page 1 of 3") && first.contains("rel=\"next\""));
    assert!(!first.contains("rel=\"prev\""));
    assert!(first.contains("aria-sort=\"ascending\""));
    let last = desk.page("/devices?q=pump-&page=3").await;
    let told = names(&last);
    assert_eq!((told.len(), told[0].as_str()), (PUMPS - 200, "pump-200"));
    assert!(
        last.contains("q=pump-&amp;page=2"),
        "the way back keeps the search"
    );
    let one = desk.page("/devices?q=PUMP-007+works&unit=ward-4").await;
    assert_eq!(names(&one), ["pump-007"]);
    assert_eq!(
        names(&desk.page("/devices?q=pump-007&unit=ward-3").await).len(),
        0
    );
    let newest = desk.page("/devices?q=pump-&sort=address").await;
    assert_eq!(names(&newest)[0], "pump-000");
    let at_risk = desk.page("/devices?state=at_risk").await;
    assert_eq!(names(&at_risk), ["pump-007"]);
    assert!(at_risk.contains("1 known") && at_risk.contains("1 exploited"));
    let none = desk.page("/devices?q=no-such-thing").await;
    assert!(none.contains("No device matches."));
}

#[tokio::test]
async fn one_device_is_shown_with_evidence_risks_and_conversations() {
    let mut desk = Desk::of(ADMIN).await;
    let page = desk
        .page(&format!("/devices/one?id={}", pump(7).as_str()))
        .await;
    for words in [
        "pump-007",
        "says nothing of itself",
        "dhcp.hostname",
        "register.csv",
        "CVE-2026-0001",
        "90\u{a0}% sure that it applies",
        "all versions are affected",
        "Attackers use this now",
        "known exploited vulnerabilities (CISA KEV)",
        "2026-01-02",
        "out of date",
        "ORU^R01",
        "tcp/2575",
        "cleartext",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(
        !page.contains("secret-folder"),
        "a source is named without its folder"
    );
    assert!(
        !page.contains("href=\"/devices/one?id=internet\""),
        "the internet is no device"
    );
    let quiet = desk
        .page(&format!("/devices/one?id={}", pump(8).as_str()))
        .await;
    assert!(quiet.contains("No list in use names this device."));
    // A busy server's page is bounded, and says so.
    let server = desk
        .page(&format!("/devices/one?id={}", hostile(0).as_str()))
        .await;
    assert!(
        server.contains(&format!("The last 200 of {PUMPS}")),
        "{server}"
    );
}

#[tokio::test]
async fn the_map_names_places_and_what_is_readable_between_them() {
    let mut desk = Desk::of(ADMIN).await;
    let page = desk.page("/devices/map").await;
    for words in [
        "ward-3",
        "ward-4",
        "outside",
        "class=\"clear\"",
        "hl7",
        "role=\"img\"",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(page.contains("href=\"/devices?unit=ward-3\""));
}

#[tokio::test]
async fn an_answer_is_shown_before_recorded_and_can_be_taken_back() {
    let mut desk = Desk::of(ADMIN).await;
    let none = format!("/devices/queue/preview?question={QUESTION}");
    let none = desk.get(&none).await.location().to_owned();
    assert!(
        desk.page(&none)
            .await
            .contains("Choose what they are first")
    );
    let queue = desk.page("/devices/queue").await;
    assert!(queue.contains("an infusion pump") && queue.contains("autofocus"));
    let preview = desk
        .browser
        .get(&format!(
            "{}/devices/queue/preview?question={QUESTION}&kind=infusion_pump&other=bed_sensor",
            desk.console
        ))
        .await;
    assert!(preview.body.contains("40 devices"), "{}", preview.body);
    assert!(preview.body.contains("Nothing is changed yet."));
    assert!(
        preview.body.contains("value=\"bed_sensor\""),
        "what is written wins over what is chosen"
    );
    assert!(preview.body.contains("1 further device"));
    assert!(
        desk.stage.network_rules().is_empty(),
        "a look changes nothing"
    );
    assert!(desk.stage.records_of(Kind::Administration).is_empty());

    let token = preview.token();
    let answer = "/devices/queue/answer";
    let fields = [
        ("token", token.as_str()),
        ("question", QUESTION),
        ("kind", "bed_sensor"),
    ];
    let done = desk.post(answer, &fields).await;
    assert_eq!(done.status, 303, "{}", done.body);
    assert_eq!(done.location(), "/devices/queue?told=answered&rule=local-1");
    let after = desk.page(done.location()).await;
    assert!(after.contains("40 devices are each bed_sensor"));
    assert!(after.contains("No question is open."));
    let rule = desk.page("/devices/queue/rule?id=local-1").await;
    assert!(rule.contains("&lt;pack name=") && rule.contains(ADMIN));
    let file = desk.get("/devices/queue/rule/file?id=local-1").await;
    assert_eq!(file.status, 200);
    assert_eq!(
        file.header("content-disposition"),
        Some("attachment; filename=\"local-1.xml\"")
    );
    assert!(file.body.starts_with("<pack name=\"local-1\">"));

    let undo = [("token", token.as_str()), ("rule", "local-1")];
    let undone = desk.post("/devices/queue/undo", &undo).await;
    assert_eq!(undone.location(), "/devices/queue?told=undone");
    assert!(desk.page(undone.location()).await.contains("taken back"));
    assert!(desk.stage.network_rules().is_empty());
    assert_eq!(desk.post("/devices/queue/undo", &undo).await.status, 409);
    // Also what came to nothing was somebody's wish, and is on record.
    let records = desk.stage.records_of(Kind::Administration);
    let codes: Vec<&str> = records
        .iter()
        .filter_map(|r| r.header["code"].as_str())
        .collect();
    assert_eq!(
        codes,
        ["devices-named", "device-rule-undone", "device-rule-undone"]
    );
    assert_eq!(records[0].header["type"], "bed_sensor");
}

#[tokio::test]
async fn only_a_form_of_this_session_changes_anything() {
    let mut desk = Desk::of(ADMIN).await;
    let queue = format!(
        "{}/devices/queue/preview?question={QUESTION}&kind=x",
        desk.console
    );
    let token = desk.browser.get(&queue).await.token();
    let address = format!("{}/devices/queue/answer", desk.console);
    let with = |token: &'static str| [("token", token), ("question", QUESTION), ("kind", "x")];
    let good = [
        ("token", token.as_str()),
        ("question", QUESTION),
        ("kind", "x"),
    ];
    let evil = [
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
    ];
    assert_eq!(
        desk.browser.post_as(&address, &good, &evil).await.status,
        403
    );
    assert_eq!(desk.browser.post_as(&address, &good, &[]).await.status, 403);
    assert_eq!(desk.browser.post(&address, &with("AAAA")).await.status, 403);
    assert_eq!(desk.browser.post(&address, &good[1..]).await.status, 403);
    // Another session's token is no good here.
    let mut other = desk.stage.signed_in(ADMIN).await;
    other.visit(&desk.console).await;
    assert_eq!(other.post(&address, &good).await.status, 403);
    // What is too long, missing or twice there is refused before anything is recorded.
    let long = "x".repeat(81);
    for fields in [
        vec![
            ("token", token.as_str()),
            ("question", QUESTION),
            ("kind", long.as_str()),
        ],
        vec![("token", token.as_str()), ("question", QUESTION)],
        vec![
            ("token", token.as_str()),
            ("question", QUESTION),
            ("kind", "a"),
            ("kind", "b"),
        ],
    ] {
        let status = desk.browser.post(&address, &fields).await.status;
        assert!(status == 400 || status == 413, "{status}");
    }
    assert_eq!(desk.post("/devices/queue", &good).await.status, 405);
    assert!(desk.stage.network_rules().is_empty());
    assert!(desk.stage.records_of(Kind::Administration).is_empty());
}

#[tokio::test]
async fn policy_says_who_sees_devices_and_who_names_them() {
    let mut nurse = Desk::of(NURSE).await;
    for path in PAGES.iter().chain(&["/devices/stream"]) {
        let refused = nurse.get(path).await;
        assert_eq!(refused.status, 403, "{path} {}", refused.body);
        assert!(!refused.body.contains("pump-"), "{path}");
        assert_sealed(&refused);
    }
    let fields = [("token", "x"), ("question", QUESTION), ("kind", "x")];
    assert_eq!(
        nurse.post("/devices/queue/answer", &fields).await.status,
        403
    );
    assert!(nurse.stage.network_rules().is_empty());

    // The privacy officer looks and changes nothing.
    let mut officer = Desk::of(PRIVACY).await;
    let preview = format!("/devices/queue/preview?question={QUESTION}&kind=x");
    let token = officer.get(&preview).await.token();
    let fields = [
        ("token", token.as_str()),
        ("question", QUESTION),
        ("kind", "x"),
    ];
    assert_eq!(
        officer.post("/devices/queue/answer", &fields).await.status,
        403
    );
    assert!(officer.stage.network_rules().is_empty());

    // Nothing of a patient is on a page of devices, whoever looks.
    let mut admin = Desk::of(ADMIN).await;
    for path in PAGES {
        for page in [admin.page(path).await, officer.page(path).await] {
            assert!(!page.contains(PATIENT), "{path}");
        }
        let page = admin.page(path).await;
        assert!(
            page.contains("Your role sees no identifiers of patients"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn new_devices_are_announced_on_the_stream_which_ends_with_the_session() {
    let mut desk = Desk::of(ADMIN).await;
    let page = desk.page("/devices").await;
    let address = page
        .split_once("data-stream=\"")
        .and_then(|(_, rest)| rest.split('"').next())
        .expect("the stream's address")
        .to_owned();
    let headers = [
        ("accept", "text/event-stream"),
        ("sec-fetch-site", "same-origin"),
    ];
    let url = format!("{}{address}", desk.console);
    let mut stream = desk.browser.open("GET", &url, &headers, "").await;
    let mut seen = String::new();
    let mut buffer = [0; 4096];
    let all = (PUMPS + HOSTILE.len() + 1).to_string();
    let mut plugged = false;
    let arrived = async {
        loop {
            let n = stream.read(&mut buffer).await.expect("open");
            assert!(n > 0, "closed early: {seen}");
            seen.push_str(&String::from_utf8_lossy(&buffer[..n]));
            if !plugged && seen.contains(&format!("\"all\":\"{all}\"")) {
                assert!(seen.contains("\"appeared\":0"), "{seen}");
                plugged = true;
                let later = desk.stage.now().plus(Duration::from_secs(1));
                desk.stage.network.plug_in("fresh", later);
            }
            if seen.contains("\"appeared\":1") {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), arrived)
        .await
        .expect("the new device is announced");
    assert!(seen.contains("event: figures"), "{seen}");
    for session in desk.stage.sessions.list(desk.stage.now()) {
        desk.stage.sessions.end(&session.id);
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
