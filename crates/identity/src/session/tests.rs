use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use domain::{
    Aal, ApplicationId, Authentication, BreakGlassGrant, DeviceId, GrantId, PatientId, PersonId,
    Purpose, SessionId, Timestamp,
};
use parking_lot::Mutex;

use super::*;
use crate::{Audience, Secret};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn after(minutes: u32) -> Timestamp {
    NOW.plus(MINUTE * minutes)
}

fn authentication(level: Aal, at: Timestamp) -> Authentication {
    Authentication {
        level,
        phishing_resistant: level > Aal::Aal1,
        at,
        last_active: at,
    }
}

fn limits() -> Limits {
    Limits::new(MINUTE * 15, MINUTE * 120)
}

fn start(sessions: &Sessions, person: &str, now: Timestamp) -> (SessionId, String) {
    let (id, secret) = sessions.start(
        PersonId::new(person),
        Some(DeviceId::new("ws-1")),
        authentication(Aal::Aal1, now),
        Purpose::Treat,
        now,
    );
    (id, secret.reveal())
}

fn chart() -> Audience {
    Audience::Application(ApplicationId::new("chart"))
}

fn open(sessions: &Sessions, id: &SessionId, now: Timestamp) -> String {
    sessions
        .open_application(id, &chart(), now)
        .expect("alive")
        .reveal()
}

fn grant(person: &str, expires: Timestamp) -> BreakGlassGrant {
    BreakGlassGrant {
        id: GrantId::new("g-1"),
        person: PersonId::new(person),
        device: Some(DeviceId::new("ws-1")),
        patient: PatientId::new("p-17"),
        reason: "found unconscious".into(),
        issued: NOW,
        expires,
    }
}

#[track_caller]
fn refused(sessions: &Sessions, cookie: &str, audience: &Audience, now: Timestamp, why: NoSession) {
    assert_eq!(sessions.resolve(cookie, audience, now).err(), Some(why));
}

#[test]
fn a_cookie_opens_its_session_at_its_own_origin() {
    let sessions = Sessions::new(limits());
    let (id, access) = start(&sessions, "n-1", NOW);
    let application = open(&sessions, &id, NOW);
    let live = sessions
        .resolve(&access, &Audience::Access, after(1))
        .expect("alive");
    assert_eq!(live.id(), &id);
    assert_eq!(live.subject().session_ends, after(120));
    assert_eq!(live.context(after(1)).purpose, Purpose::Treat);
    let live = sessions
        .resolve(&application, &chart(), after(2))
        .expect("alive");
    assert_eq!(
        live.authentication().last_active,
        after(1),
        "before this request"
    );
    let other = Audience::Application(ApplicationId::new("billing"));
    refused(
        &sessions,
        &application,
        &other,
        after(2),
        NoSession::ForeignAudience,
    );
    refused(
        &sessions,
        &application,
        &Audience::Access,
        after(2),
        NoSession::ForeignAudience,
    );
    refused(
        &sessions,
        &access,
        &chart(),
        after(2),
        NoSession::ForeignAudience,
    );
}

#[test]
fn malformed_and_invented_cookies_open_nothing() {
    let sessions = Sessions::new(limits());
    let (id, cookie) = start(&sessions, "n-1", NOW);
    for text in [
        "",
        " ",
        "null",
        id.as_str(),
        &cookie[1..],
        &format!("{cookie} "),
        &format!("{cookie};"),
        &format!("{cookie}{cookie}"),
        &"A".repeat(1 << 20),
        "%00",
        "🍪",
    ] {
        refused(
            &sessions,
            text,
            &Audience::Access,
            NOW,
            NoSession::Malformed,
        );
    }
    refused(
        &sessions,
        &Secret::generate().reveal(),
        &Audience::Access,
        NOW,
        NoSession::Unknown,
    );
    // The hash that a thief may have read from the store is no cookie.
    let hash = Secret::parse(&cookie).expect("a secret").hash().to_text();
    refused(&sessions, &hash, &Audience::Access, NOW, NoSession::Unknown);
}

#[test]
fn a_sign_in_never_takes_over_an_older_secret() {
    let sessions = Sessions::new(limits());
    let (planted, planted_cookie) = start(&sessions, "attacker", NOW);
    let (own, own_cookie) = start(&sessions, "n-1", NOW);
    assert_ne!(planted, own);
    assert_ne!(planted_cookie, own_cookie);
    let live = sessions
        .resolve(&planted_cookie, &Audience::Access, NOW)
        .expect("alive");
    assert_eq!(
        live.person().as_str(),
        "attacker",
        "the planted cookie never becomes the victim's"
    );
}

#[test]
fn a_step_up_kills_every_older_cookie() {
    let sessions = Sessions::new(limits());
    let (id, access) = start(&sessions, "n-1", NOW);
    let application = open(&sessions, &id, NOW);
    let before = sessions
        .resolve(&application, &chart(), NOW)
        .expect("alive");
    let renewed = sessions
        .step_up(&id, authentication(Aal::Aal2, after(1)), after(1))
        .expect("alive")
        .reveal();
    refused(
        &sessions,
        &access,
        &Audience::Access,
        after(1),
        NoSession::Unknown,
    );
    refused(
        &sessions,
        &application,
        &chart(),
        after(1),
        NoSession::Unknown,
    );
    assert!(!before.is_live(after(1)) && !before.is_current(after(1)));
    assert_eq!(
        before.authentication().level,
        Aal::Aal1,
        "an old view gains nothing"
    );
    let live = sessions
        .resolve(&renewed, &Audience::Access, after(2))
        .expect("alive");
    assert_eq!(live.authentication().level, Aal::Aal2);
    assert!(live.authentication().phishing_resistant);
    assert_eq!(live.authentication().at, after(1));
    assert_eq!(live.id(), &id);
    assert_eq!(
        live.expires(),
        after(120),
        "a step-up does not extend the session"
    );
    let reopened = open(&sessions, &id, after(2));
    let live = sessions
        .resolve(&reopened, &chart(), after(2))
        .expect("alive");
    assert_eq!(live.authentication().level, Aal::Aal2);
}

#[test]
fn a_session_idles_out_and_stays_out() {
    let sessions = Sessions::new(limits());
    let (id, cookie) = start(&sessions, "n-1", NOW);
    assert!(
        sessions
            .resolve(&cookie, &Audience::Access, after(15))
            .is_ok(),
        "to the minute"
    );
    assert!(
        sessions
            .resolve(&cookie, &Audience::Access, after(30))
            .is_ok(),
        "use renews it"
    );
    refused(
        &sessions,
        &cookie,
        &Audience::Access,
        after(46),
        NoSession::Idle,
    );
    refused(&sessions, &cookie, &Audience::Access, NOW, NoSession::Idle);
    assert!(sessions.ended(&id));
    assert!(sessions.open_application(&id, &chart(), NOW).is_err());
    assert!(
        sessions
            .step_up(&id, authentication(Aal::Aal2, NOW), NOW)
            .is_err()
    );
}

#[test]
fn a_session_ends_at_its_absolute_limit_however_busy() {
    let sessions = Sessions::new(limits());
    let (_, cookie) = start(&sessions, "n-1", NOW);
    for minute in (0..120).step_by(10) {
        assert!(
            sessions
                .resolve(&cookie, &Audience::Access, after(minute))
                .is_ok()
        );
    }
    refused(
        &sessions,
        &cookie,
        &Audience::Access,
        after(120),
        NoSession::Expired,
    );
}

#[test]
fn signing_out_closes_every_application_and_tells() {
    let sessions = Sessions::new(limits());
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    sessions.on_end(move |ended| hear.lock().push((ended.session.clone(), ended.cause)));
    let (id, access) = start(&sessions, "n-1", NOW);
    let application = open(&sessions, &id, NOW);
    let live = sessions
        .resolve(&application, &chart(), NOW)
        .expect("alive");
    let (other, other_cookie) = start(&sessions, "n-1", NOW);
    assert!(sessions.end(&id));
    assert!(!sessions.end(&id), "only once");
    assert!(!live.is_live(NOW), "a stream that holds a view sees it");
    assert_eq!(live.end_cause(), Some(EndCause::SignOut));
    refused(
        &sessions,
        &access,
        &Audience::Access,
        NOW,
        NoSession::Unknown,
    );
    refused(&sessions, &application, &chart(), NOW, NoSession::Unknown);
    assert!(sessions.ended(&id) && !sessions.ended(&other));
    assert!(
        sessions
            .resolve(&other_cookie, &Audience::Access, NOW)
            .is_ok()
    );
    assert_eq!(*told.lock(), [(id, EndCause::SignOut)]);
}

#[test]
fn a_request_that_raced_with_the_end_is_refused() {
    let sessions = Sessions::new(limits());
    let (id, cookie) = start(&sessions, "n-1", NOW);
    let live = sessions
        .resolve(&cookie, &Audience::Access, NOW)
        .expect("alive");
    // As in the instant between the flag and the removal of the cookies' entries.
    assert!(live.session.finish(EndCause::Administrator));
    refused(&sessions, &cookie, &Audience::Access, NOW, NoSession::Ended);
    assert_eq!(sessions.sweep(NOW), [id]);
}

#[test]
fn ending_a_person_ends_all_sessions_of_that_person_only() {
    let sessions = Sessions::new(limits());
    let (a, _) = start(&sessions, "n-1", NOW);
    let (b, _) = start(&sessions, "n-1", NOW);
    let (_, other) = start(&sessions, "n-2", NOW);
    let mut ended = sessions.end_person(&PersonId::new("n-1"));
    ended.sort();
    let mut expected = vec![a, b];
    expected.sort();
    assert_eq!(ended, expected);
    assert!(sessions.resolve(&other, &Audience::Access, NOW).is_ok());
    assert!(sessions.end_person(&PersonId::new("n-1")).is_empty());
}

#[test]
fn the_sweep_ends_what_is_over_and_tells_the_cause() {
    let sessions = Sessions::new(limits());
    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    sessions.on_end(move |ended| hear.lock().push(ended.cause));
    let (idle, _) = start(&sessions, "n-1", NOW);
    let (_, busy) = start(&sessions, "n-2", NOW);
    assert!(
        sessions
            .resolve(&busy, &Audience::Access, after(10))
            .is_ok()
    );
    assert_eq!(sessions.sweep(after(16)), [idle]);
    assert_eq!(sessions.sweep(after(16)), []);
    assert_eq!(sessions.sweep(after(200)).len(), 1);
    assert_eq!(*told.lock(), [EndCause::Idle, EndCause::Expired]);
    assert!(sessions.is_empty());
    let index_is_empty = sessions.list(after(200)).is_empty();
    assert!(index_is_empty);
}

#[test]
fn the_numbers_of_sessions_are_bounded() {
    let sessions = Sessions::new(Limits {
        per_person_max: 3,
        sessions_max: 5,
        ..limits()
    });
    let displaced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&displaced);
    sessions.on_end(move |ended| {
        assert_eq!(ended.cause, EndCause::Displaced);
        count.fetch_add(1, Ordering::Relaxed);
    });
    let (_, first) = start(&sessions, "n-1", NOW);
    let (_, second) = start(&sessions, "n-1", after(1));
    start(&sessions, "n-1", after(2));
    assert!(
        sessions
            .resolve(&first, &Audience::Access, after(3))
            .is_ok()
    );
    start(&sessions, "n-1", after(4));
    refused(
        &sessions,
        &second,
        &Audience::Access,
        after(4),
        NoSession::Unknown,
    );
    assert!(
        sessions
            .resolve(&first, &Audience::Access, after(4))
            .is_ok(),
        "used last, kept"
    );
    for n in 0..50 {
        start(&sessions, &format!("m-{n}"), after(5));
        assert!(sessions.len() <= 5);
    }
    assert_eq!(displaced.load(Ordering::Relaxed), 49);
}

#[test]
fn cookies_of_one_application_are_bounded_and_the_oldest_goes() {
    let sessions = Sessions::new(limits());
    let (id, access) = start(&sessions, "n-1", NOW);
    let cookies: Vec<String> = (0..10).map(|_| open(&sessions, &id, NOW)).collect();
    for cookie in &cookies[..6] {
        refused(&sessions, cookie, &chart(), NOW, NoSession::Unknown);
    }
    for cookie in &cookies[6..] {
        assert!(sessions.resolve(cookie, &chart(), NOW).is_ok());
    }
    assert!(sessions.resolve(&access, &Audience::Access, NOW).is_ok());
}

#[test]
fn a_grant_is_held_until_it_expires() {
    let sessions = Sessions::new(limits());
    let (id, cookie) = start(&sessions, "n-1", NOW);
    sessions
        .attach_grant(&id, grant("n-1", after(5)), NOW)
        .expect("its own");
    let live = sessions
        .resolve(&cookie, &Audience::Access, after(5))
        .expect("alive");
    assert_eq!(live.grants(after(5)).len(), 1);
    assert_eq!(live.context(after(5)).grants.as_slice().len(), 1);
    assert!(live.grants(after(6)).is_empty());
    assert!(live.context(after(6)).grants.as_slice().is_empty());
}

#[test]
fn foreign_expired_and_too_many_grants_are_refused() {
    let sessions = Sessions::new(limits());
    let (id, _) = start(&sessions, "n-1", NOW);
    let attach = |grant| sessions.attach_grant(&id, grant, NOW);
    assert_eq!(attach(grant("n-2", after(5))), Err(GrantRefused::Foreign));
    let elsewhere = BreakGlassGrant {
        device: Some(DeviceId::new("ws-2")),
        ..grant("n-1", after(5))
    };
    assert_eq!(attach(elsewhere), Err(GrantRefused::Foreign));
    assert_eq!(attach(grant("n-1", NOW)), Err(GrantRefused::Expired));
    for n in 0..64 {
        let id = GrantId::new(format!("g-{n}"));
        attach(BreakGlassGrant {
            id,
            ..grant("n-1", after(5))
        })
        .expect("room");
    }
    let one_more = BreakGlassGrant {
        id: GrantId::new("g-64"),
        ..grant("n-1", after(5))
    };
    assert_eq!(attach(one_more), Err(GrantRefused::TooMany));
    sessions.end(&id);
    assert_eq!(
        attach(grant("n-1", after(5))),
        Err(GrantRefused::NoSession(NoSession::Unknown))
    );
}

#[test]
fn an_epoch_that_moves_makes_views_stale_and_spares_the_session() {
    let sessions = Sessions::new(limits());
    let (id, cookie) = start(&sessions, "n-1", NOW);
    let (_, other) = start(&sessions, "n-1", NOW);
    let see = |cookie: &str| {
        sessions
            .resolve(cookie, &Audience::Access, NOW)
            .expect("alive")
    };
    let (mine, others) = (see(&cookie), see(&other));
    sessions.raise_epoch(&id);
    assert!(!mine.is_current(NOW) && mine.is_live(NOW) && others.is_current(NOW));
    let mine = see(&cookie);
    sessions.raise_person_epoch(&PersonId::new("n-1"));
    assert!(!mine.is_current(NOW) && !others.is_current(NOW));
    assert!(see(&cookie).is_current(NOW));
}

#[test]
fn sessions_survive_a_restart_as_hashes() {
    let sessions = Sessions::new(limits());
    let (id, access) = start(&sessions, "n-1", NOW);
    let application = open(&sessions, &id, NOW);
    sessions
        .attach_grant(&id, grant("n-1", after(60)), NOW)
        .expect("its own");
    sessions
        .set_ticket(&id, Some("T-9".into()), NOW)
        .expect("alive");
    let (ended, ended_cookie) = start(&sessions, "n-2", NOW);
    sessions.end(&ended);
    let rows = sessions.export();
    let text = serde_json::to_string(&rows).expect("plain data");
    assert!(!text.contains(&access) && !text.contains(&application));

    let rows: Vec<SessionRow> = serde_json::from_str(&text).expect("its own form");
    let again = Sessions::new(limits());
    assert_eq!(again.import(rows.clone(), after(10)), 1);
    assert_eq!(again.import(rows.clone(), after(10)), 0, "only once");
    let live = again
        .resolve(&application, &chart(), after(11))
        .expect("alive");
    assert_eq!((live.id(), live.grants(after(11)).len()), (&id, 1));
    assert_eq!(live.context(after(11)).ticket.as_deref(), Some("T-9"));
    assert!(again.resolve(&access, &Audience::Access, after(11)).is_ok());
    refused(
        &again,
        &application,
        &Audience::Access,
        after(11),
        NoSession::ForeignAudience,
    );
    refused(
        &again,
        &ended_cookie,
        &Audience::Access,
        after(11),
        NoSession::Unknown,
    );

    let stale = Sessions::new(limits());
    assert_eq!(
        stale.import(rows.clone(), after(16)),
        0,
        "idled out meanwhile"
    );
    assert_eq!(stale.take_changes().ended, [id]);
    let strict = Sessions::new(Limits::new(MINUTE * 15, MINUTE * 5));
    assert_eq!(
        strict.import(rows.clone(), after(6)),
        0,
        "a shorter limit holds for old sessions"
    );
    let clock_went_back = Sessions::new(limits());
    assert_eq!(clock_went_back.import(rows, NOW.minus(MINUTE * 5)), 0);
}

#[test]
fn changes_are_taken_once_in_order_and_whole_after_a_loss() {
    let sessions = Sessions::new(limits());
    assert!(sessions.take_changes().is_empty());
    let (a, _) = start(&sessions, "n-1", NOW);
    let (b, _) = start(&sessions, "n-2", NOW);
    sessions.end(&b);
    let changes = sessions.take_changes();
    assert_eq!(
        changes.saved.iter().map(|r| &r.id).collect::<Vec<_>>(),
        [&a]
    );
    assert_eq!((changes.full, changes.ended), (false, vec![b]));
    assert!(sessions.take_changes().is_empty());
    sessions.loss_flag().raise();
    let changes = sessions.take_changes();
    assert_eq!((changes.full, changes.saved.len()), (true, 1));
    assert!(sessions.take_changes().is_empty());
}

#[test]
fn the_console_sees_every_session() {
    let sessions = Sessions::new(limits());
    let (a, _) = start(&sessions, "n-1", NOW);
    open(&sessions, &a, NOW);
    open(&sessions, &a, NOW);
    let (b, _) = start(&sessions, "n-2", after(1));
    let list = sessions.list(after(1));
    assert_eq!(list.iter().map(|v| &v.id).collect::<Vec<_>>(), [&b, &a]);
    assert_eq!(list[1].audiences, [Audience::Access, chart()]);
    assert_eq!(list[1].ends, after(15));
    assert_eq!(sessions.list(after(16)).len(), 1);
    assert!(sessions.view(&a, after(16)).is_none());
    let shown = format!("{list:?}");
    assert!(!shown.contains("n-1") && !shown.contains("ws-1"), "{shown}");
}

#[test]
fn threads_that_open_use_and_end_leave_nothing_behind() {
    let sessions = Arc::new(Sessions::new(Limits {
        per_person_max: 4,
        sessions_max: 64,
        ..limits()
    }));
    let threads: Vec<_> = (0..4)
        .map(|t| {
            let sessions = Arc::clone(&sessions);
            std::thread::spawn(move || {
                for n in 0..300 {
                    let (id, cookie) = start(&sessions, &format!("n-{}", (t + n) % 5), NOW);
                    if let Ok(secret) = sessions.open_application(&id, &chart(), NOW) {
                        let _ = sessions.resolve(&secret.reveal(), &chart(), NOW);
                    }
                    if n % 3 == 0 {
                        let _ = sessions.step_up(&id, authentication(Aal::Aal2, NOW), NOW);
                        refused(
                            &sessions,
                            &cookie,
                            &Audience::Access,
                            NOW,
                            NoSession::Unknown,
                        );
                    }
                    sessions.end(&id);
                    assert!(sessions.resolve(&cookie, &Audience::Access, NOW).is_err());
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    assert!(sessions.is_empty());
    assert!(sessions.export().is_empty());
}
