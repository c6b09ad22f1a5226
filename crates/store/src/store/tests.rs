use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use domain::{Aal, Authentication, Purpose, Role};
use identity::{Audience, InvitationKind, Invitations, Limits, Sessions};
use tempfile::TempDir;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path().join("asepsis.db")).expect("opens");
    (folder, store)
}

fn reopen(store: Store) -> Store {
    let path = store.path();
    drop(store);
    Store::open(path).expect("opens")
}

fn person(id: &str) -> Person {
    Person {
        id: id.into(),
        name: "Ada".into(),
        kind: domain::subject::SubjectKind::Workforce,
        roles: vec![Role::new("nurse")],
        units: vec!["ward-3".into()],
        active: true,
        patient: None,
        device: None,
    }
}

fn passkey(id: &str, person: &str) -> Arc<PasskeyRecord> {
    // The library's own example of a stored credential, as `identity` keeps it.
    let point = "oLoFRk8RZ7s2RlUzSk0LLgfPsXFmRXIIAcXa4xqRxLg";
    let text = serde_json::json!({
        "id": id, "person": person, "user_handle": "6b9a6f0e-3c0a-4ee0-9f7b-0a4b1d1f2a3c", "name": "key",
        "created": "2026-11-22T08:00:00Z", "backup_eligible": false,
        "credential": { "cred": {
            "cred_id": id, "counter": 3, "transports": null, "user_verified": true, "backup_eligible": false,
            "backup_state": false, "registration_policy": "required", "extensions": {},
            "attestation": { "data": "None", "metadata": "None" }, "attestation_format": "none",
            "cred": { "type_": "ES256", "key": { "EC_EC2": { "curve": "SECP256R1", "x": point, "y": point } } },
        } },
    });
    Arc::new(serde_json::from_value(text).expect("a stored passkey"))
}

fn authentication() -> Authentication {
    Authentication {
        level: Aal::Aal2,
        phishing_resistant: true,
        at: NOW,
        last_active: NOW,
    }
}

fn relations(people: &[&str], generation: &str) -> Relations {
    Relations {
        people: people
            .iter()
            .map(|id| Person {
                name: generation.into(),
                ..person(id)
            })
            .collect(),
        ..Relations::default()
    }
}

#[test]
fn everything_written_is_there_after_reopening() {
    let (_folder, store) = store();
    let device: Device =
        serde_json::from_str(r#"{"id": "ws-1", "managed": true, "compliant": true}"#)
            .expect("a device");
    let facts: PatientFacts =
        serde_json::from_str(r#"{"vip": true, "care_team": ["n-1"]}"#).expect("facts");
    let window: VendorWindow = serde_json::from_str(
        r#"{"person": "v-1", "device": "ct-1", "ticket": "T-9",
            "starts": "2026-11-22T08:00:00Z", "ends": "2026-11-22T12:00:00Z"}"#,
    )
    .expect("a window");
    let feed = Feed {
        name: "care_team".into(),
        as_of: NOW,
        max_age_secs: 3600,
    };
    let import = Relations {
        people: vec![person("n-1")],
        devices: vec![device.clone()],
        patients: vec![("p-1".into(), facts.clone())],
        vendor_windows: vec![window.clone()],
    };
    let counts = store
        .import(import, ImportMode::Merge)
        .wait()
        .expect("writes");
    assert_eq!(
        (
            counts.people,
            counts.devices,
            counts.patients,
            counts.vendor_windows
        ),
        (1, 1, 1, 1)
    );
    let changed = vec![("p-2".into(), PatientFacts::default())];
    store
        .put_feed(feed.clone(), changed)
        .wait()
        .expect("writes");
    store
        .put_passkey(passkey("AAAA", "n-1"))
        .wait()
        .expect("writes");
    store
        .add_administrator("n-1".into(), NOW)
        .wait()
        .expect("writes");
    store
        .fix_setting(Setting::LogOrigin, "hospital.example/log")
        .wait()
        .expect("writes");
    let (_, invitation) = Invitations::new().issue(
        InvitationKind::Enrolment,
        "n-1".into(),
        Duration::from_secs(60),
        NOW,
    );
    store
        .put_invitation(invitation.clone())
        .wait()
        .expect("writes");

    let store = reopen(store);
    let world = store.load().wait().expect("reads");
    assert_eq!(world.people, [person("n-1")]);
    assert_eq!(world.devices, [device]);
    assert_eq!(
        world.patients,
        [
            ("p-1".into(), facts),
            ("p-2".into(), PatientFacts::default())
        ]
    );
    assert_eq!(world.vendor_windows, [window]);
    assert_eq!(world.feeds, [feed]);
    assert_eq!(world.passkeys.len(), 1);
    assert_eq!(world.invitations, [invitation]);
    assert_eq!(world.administrators, [("n-1".into(), NOW)]);
    let origin = store.setting(Setting::LogOrigin).wait().expect("reads");
    assert_eq!(origin.as_deref(), Some("hospital.example/log"));
    assert_eq!(
        store
            .setting(Setting::RelyingPartyId)
            .wait()
            .expect("reads"),
        None
    );
}

#[test]
fn an_import_merges_or_replaces_by_kind() {
    let (_folder, store) = store();
    let ids = |store: &Store| -> Vec<String> {
        let people = store.people().wait().expect("reads");
        people.iter().map(|p| p.id.as_str().to_owned()).collect()
    };
    store
        .put_device(serde_json::from_str(r#"{"id": "ws-1"}"#).expect("a device"))
        .wait()
        .expect("writes");
    store
        .import(relations(&["a", "b"], "1"), ImportMode::Merge)
        .wait()
        .expect("writes");
    store
        .import(relations(&["b", "c"], "2"), ImportMode::Merge)
        .wait()
        .expect("writes");
    assert_eq!(ids(&store), ["a", "b", "c"]);
    store
        .import(relations(&["d"], "3"), ImportMode::Replace)
        .wait()
        .expect("writes");
    assert_eq!(ids(&store), ["d"]);
    assert_eq!(
        store.devices().wait().expect("reads").len(),
        1,
        "no devices were brought"
    );
}

#[test]
fn a_failed_transaction_changes_nothing() {
    let (_folder, store) = store();
    store.put_person(person("a")).wait().expect("writes");
    let failed = store.worker().call(|tx| -> Result<(), ErrorKind> {
        tables::clear(tx, "people")?;
        tables::put(tx, "people", "b", &person("b"))?;
        Err(ErrorKind::Full)
    });
    assert!(matches!(
        failed.wait().expect_err("fails").kind,
        ErrorKind::Full
    ));
    let panicked = store.worker().call(|tx| -> Result<(), ErrorKind> {
        tables::clear(tx, "people")?;
        panic!("on purpose");
    });
    let error = panicked.wait().expect_err("fails");
    assert!(error.to_string().contains("nothing was changed"), "{error}");
    assert_eq!(store.people().wait().expect("still works"), [person("a")]);
}

#[test]
fn a_process_that_aborts_in_the_middle_of_a_transaction_leaves_what_was_there() {
    const CHILD: &str = "ASEPSIS_STORE_TEST_ABORTS_IN";
    if let Some(path) = std::env::var_os(CHILD) {
        let store = Store::open(path).expect("opens");
        store
            .import(relations(&["a", "b"], "kept"), ImportMode::Replace)
            .wait()
            .expect("writes");
        let _ = store
            .worker()
            .call(|tx| -> Result<(), ErrorKind> {
                import(tx, &relations(&["a", "c"], "lost"), ImportMode::Replace)?;
                // Large enough that pages have left SQLite's cache for the log.
                for n in 0..20_000 {
                    tables::put(tx, "people", &format!("x-{n}"), &person("x"))?;
                }
                std::process::abort();
            })
            .wait();
        unreachable!("the process is gone");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("asepsis.db");
    let program = std::env::current_exe().expect("this test");
    let status = std::process::Command::new(program)
        .args(["--exact", "store::tests::a_process_that_aborts_in_the_middle_of_a_transaction_leaves_what_was_there"])
        .env(CHILD, &path)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .expect("runs");
    assert!(!status.success(), "it was to abort");
    let people = Store::open(&path)
        .expect("opens")
        .people()
        .wait()
        .expect("reads");
    assert_eq!(people, relations(&["a", "b"], "kept").people);
}

#[test]
fn sessions_come_back_unless_they_ended() {
    let (_folder, store) = store();
    let sessions = Arc::new(Sessions::new(Limits::default()));
    let (kept, listener_store) = (Arc::clone(&sessions), store.clone());
    sessions.on_end(move |_| listener_store.keep_sessions(&kept).forget());
    let start = |person: &str| {
        let (id, secret) =
            sessions.start(person.into(), None, authentication(), Purpose::Treat, NOW);
        (id, secret.reveal())
    };
    let (_, cookie) = start("n-1");
    let (ended, ended_cookie) = start("n-2");
    store.keep_sessions(&sessions).wait().expect("writes");
    sessions.end(&ended);

    let rows = store.sessions().wait().expect("reads");
    assert_eq!(rows.len(), 1);
    let again = Sessions::new(Limits::default());
    again.import(rows, NOW);
    assert!(again.resolve(&cookie, &Audience::Access, NOW).is_ok());
    assert!(
        again
            .resolve(&ended_cookie, &Audience::Access, NOW)
            .is_err()
    );
    store.keep_all_sessions(&again).wait().expect("writes");
    assert_eq!(store.sessions().wait().expect("reads").len(), 1);
}

#[test]
fn changes_of_sessions_that_were_not_written_are_written_next_time() {
    let (_folder, store) = store();
    let sessions = Sessions::new(Limits::default());
    let start = |person: &str| {
        sessions
            .start(person.into(), None, authentication(), Purpose::Treat, NOW)
            .0
    };
    let gone = start("n-1");
    store.keep_sessions(&sessions).wait().expect("writes");
    store
        .worker()
        .call(|tx| Ok(tx.execute_batch("ALTER TABLE sessions RENAME TO hidden")?))
        .wait()
        .expect("breaks the store");
    sessions.end(&gone);
    start("n-2");
    assert!(store.keep_sessions(&sessions).wait().is_err());
    store
        .worker()
        .call(|tx| Ok(tx.execute_batch("ALTER TABLE hidden RENAME TO sessions")?))
        .wait()
        .expect("mends it");
    store.keep_sessions(&sessions).wait().expect("writes");
    let people: Vec<String> = store
        .sessions()
        .wait()
        .expect("reads")
        .iter()
        .map(|row| row.person.as_str().to_owned())
        .collect();
    assert_eq!(people, ["n-2"]);
}

#[test]
fn there_is_one_first_administrator_and_always_one_left() {
    let (_folder, store) = store();
    let invitations = Invitations::new();
    let (_, invitation) = invitations.issue(
        InvitationKind::FirstAdministrator,
        "a".into(),
        Duration::from_secs(60),
        NOW,
    );
    store.put_invitation(invitation).wait().expect("writes");
    let first = |id: &str| {
        store
            .first_administrator(person(id), passkey(id, id), NOW)
            .wait()
            .expect("writes")
    };
    assert!(first("AAAA"));
    assert!(!first("BBBB"));
    let world = store.load().wait().expect("reads");
    assert_eq!(world.people.len(), 1);
    assert_eq!(world.passkeys.len(), 1);
    assert!(world.invitations.is_empty());
    let remove = |id: &str| {
        store
            .remove_administrator(id.into())
            .wait()
            .expect("writes")
    };
    assert!(!remove("AAAA"), "the last one stays");
    store
        .add_administrator("CCCC".into(), NOW.plus(Duration::from_secs(1)))
        .wait()
        .expect("writes");
    assert!(remove("AAAA"));
    assert_eq!(store.administrators().wait().expect("reads").len(), 1);
}

#[test]
fn a_person_goes_with_passkeys_and_sessions() {
    let (_folder, store) = store();
    store.put_person(person("n-1")).wait().expect("writes");
    store
        .put_passkey(passkey("AAAA", "n-1"))
        .wait()
        .expect("writes");
    store
        .put_passkey(passkey("BBBB", "n-2"))
        .wait()
        .expect("writes");
    let sessions = Sessions::new(Limits::default());
    sessions.start("n-1".into(), None, authentication(), Purpose::Treat, NOW);
    store.keep_sessions(&sessions).wait().expect("writes");
    assert!(store.remove_person("n-1".into()).wait().expect("writes"));
    assert!(!store.remove_person("n-1".into()).wait().expect("writes"));
    let world = store.load().wait().expect("reads");
    assert_eq!(
        world.passkeys.iter().map(|p| &*p.id).collect::<Vec<_>>(),
        ["BBBB"]
    );
    assert!(store.sessions().wait().expect("reads").is_empty());
}

#[test]
fn a_setting_is_fixed_for_ever() {
    let (_folder, store) = store();
    let fix = |value: &str| store.fix_setting(Setting::RelyingPartyId, value).wait();
    assert_eq!(fix("hospital.example").expect("writes"), Fixed::Now);
    assert_eq!(fix("hospital.example").expect("the same"), Fixed::Before);
    let text = fix("clinic.example").expect_err("refused").to_string();
    assert!(
        text.contains("`rp_id` is `hospital.example`") && text.contains("`clinic.example`"),
        "{text}"
    );
}

#[test]
fn a_call_can_be_awaited_without_a_runtime() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Release);
        }
    }
    let (_folder, store) = store();
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let mut call = pin!(store.worker().call(move |_| {
        let _ = hold.recv();
        Ok(7)
    }));
    let woken = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    assert!(call.as_mut().poll(&mut context).is_pending());
    release.send(()).expect("the job waits");
    while woken.0.load(Ordering::Acquire) == 0 {
        std::thread::yield_now();
    }
    assert!(matches!(
        call.as_mut().poll(&mut context),
        Poll::Ready(Ok(7))
    ));
}

#[test]
fn what_was_called_is_done_before_the_store_closes() {
    let (_folder, store) = store();
    for n in 0..500 {
        store.put_person(person(&format!("n-{n:03}"))).forget();
    }
    let store = reopen(store);
    assert_eq!(store.people().wait().expect("reads").len(), 500);
}

#[test]
fn a_full_queue_is_an_answer_not_a_wait() {
    let (_folder, store) = store();
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let first = store.worker().call(move |_| {
        let _ = hold.recv();
        Ok(())
    });
    let mut busy = 0;
    let mut calls = Vec::new();
    for _ in 0..4200 {
        calls.push(store.people());
    }
    release.send(()).expect("the job waits");
    first.wait().expect("done");
    for call in calls {
        match call.wait() {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error.kind, ErrorKind::Busy), "{error}");
                busy += 1;
            }
        }
    }
    assert!((100..=110).contains(&busy), "{busy}");
}

#[test]
fn a_full_disk_is_told_apart() {
    let (_folder, store) = store();
    store.worker().call(|_| Ok(())).wait().expect("works");
    store.put_person(person("a")).wait().expect("writes");
    // SQLite reports the bound on pages as it reports a full disk.
    let cap = store
        .worker()
        .call(|tx| Ok(tx.pragma_update(None, "max_page_count", 20)?));
    cap.wait().expect("sets");
    let many: Vec<String> = (0..5000).map(|n| format!("n-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let error = store
        .import(relations(&many, "1"), ImportMode::Replace)
        .wait()
        .expect_err("no room");
    assert!(matches!(error.kind, ErrorKind::Full), "{error}");
    assert_eq!(store.people().wait().expect("reads"), [person("a")]);
}
