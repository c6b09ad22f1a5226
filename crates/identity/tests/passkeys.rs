//! Registration, sign-in and step-up with a software authenticator, and each way to cheat.

mod soft;

use domain::{Aal, Person, PersonId, Timestamp};
use identity::{BrowserHash, PasskeyError, PasskeyRecord, Passkeys, Proven, RelyingParty, Secret};
use serde_json::{Value, json};
use soft::Authenticator;

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const RP_ID: &str = "asepsis.localhost";
const ORIGIN: &str = "http://access.asepsis.localhost:8080";

fn passkeys() -> Passkeys {
    Passkeys::new(&RelyingParty {
        id: RP_ID.to_owned(),
        name: "Asepsis".to_owned(),
        origins: vec![
            ORIGIN.to_owned(),
            "https://access.asepsis.localhost:8443".to_owned(),
        ],
    })
    .expect("a relying party")
}

fn browser() -> BrowserHash {
    BrowserHash::of_secret(&Secret::generate())
}

fn person(id: &str) -> Person {
    serde_json::from_value(json!({ "id": id, "name": "Ada" })).expect("a person")
}

fn authenticator() -> Authenticator {
    Authenticator::new(ORIGIN, RP_ID)
}

fn register(
    passkeys: &Passkeys,
    who: &str,
    with: &mut Authenticator,
) -> Result<std::sync::Arc<PasskeyRecord>, PasskeyError> {
    let browser = browser();
    let who = person(who);
    let options = passkeys.start_registration(&browser, &who, NOW)?;
    let answer = with.create(&options);
    passkeys.finish_registration(&browser, &who.id, "ward key", &answer, NOW)
}

fn sign_in(passkeys: &Passkeys, with: &mut Authenticator) -> Result<Proven, PasskeyError> {
    let browser = browser();
    let options = passkeys.start_sign_in(&browser, NOW)?;
    passkeys.finish_sign_in(&browser, &with.get(&options), NOW)
}

fn step_up(
    passkeys: &Passkeys,
    who: &str,
    with: &mut Authenticator,
) -> Result<Proven, PasskeyError> {
    let browser = browser();
    let who = PersonId::new(who);
    let options = passkeys.start_step_up(&browser, &who, NOW)?;
    passkeys.finish_step_up(&browser, &who, &with.get(&options), NOW)
}

macro_rules! refused {
    ($result:expr, $why:pat) => {
        match $result {
            Err($why) => {}
            Err(other) => panic!("refused for another reason: {other}"),
            Ok(_) => panic!("not refused"),
        }
    };
}

#[test]
fn a_person_registers_signs_in_and_steps_up() {
    let passkeys = passkeys();
    let mut key = authenticator();
    let record = register(&passkeys, "n-1", &mut key).expect("registers");
    assert_eq!(
        (record.person.as_str(), record.name.as_str()),
        ("n-1", "ward key")
    );
    assert_eq!(record.id, key.id());
    let proven = sign_in(&passkeys, &mut key).expect("signs in");
    assert_eq!(proven.person.as_str(), "n-1");
    assert_eq!(proven.authentication.level, Aal::Aal3);
    assert!(proven.authentication.phishing_resistant);
    assert_eq!(proven.authentication.at, NOW);
    assert_eq!(proven.passkey.last_used, Some(NOW));
    let proven = step_up(&passkeys, "n-1", &mut key).expect("steps up");
    assert_eq!(proven.person.as_str(), "n-1");
}

#[test]
fn options_ask_for_a_discoverable_key_that_verifies_its_user() {
    let passkeys = passkeys();
    let options = passkeys
        .start_registration(&browser(), &person("n-1"), NOW)
        .expect("options");
    let selection = &options["publicKey"]["authenticatorSelection"];
    assert_eq!(selection["residentKey"], "required");
    assert_eq!(selection["requireResidentKey"], true);
    assert_eq!(selection["userVerification"], "required");
    assert_eq!(options["publicKey"]["rp"]["id"], RP_ID);
    let handle = options["publicKey"]["user"]["id"]
        .as_str()
        .expect("a handle");
    assert!(
        handle.len() == 22 && !handle.contains("n-1"),
        "opaque: {handle}"
    );
    let options = passkeys.start_sign_in(&browser(), NOW).expect("options");
    assert_eq!(options["publicKey"]["userVerification"], "required");
    assert_eq!(options["publicKey"]["rpId"], RP_ID);
    assert_eq!(
        options["publicKey"]["allowCredentials"],
        json!([]),
        "tells no names"
    );
    assert_eq!(options.get("mediation"), None);
}

#[test]
fn a_synchronised_key_never_reaches_aal3() {
    let passkeys = passkeys();
    let mut key = authenticator();
    (key.backup_eligible, key.backed_up) = (true, true);
    assert!(
        register(&passkeys, "n-1", &mut key)
            .expect("registers")
            .backup_eligible
    );
    let proven = sign_in(&passkeys, &mut key).expect("signs in");
    assert_eq!(proven.authentication.level, Aal::Aal2);
    assert!(proven.authentication.phishing_resistant);
}

#[test]
fn a_key_that_turns_synchronisable_is_refused() {
    let passkeys = passkeys();
    let mut key = authenticator();
    register(&passkeys, "n-1", &mut key).expect("registers");
    key.backup_eligible = true;
    refused!(sign_in(&passkeys, &mut key), PasskeyError::Rejected(_));
}

#[test]
fn other_origins_are_refused() {
    for origin in [
        "https://access.asepsis.localhost:8080",
        "http://access.asepsis.localhost",
        "http://access.asepsis.localhost:8081",
        "http://evil.asepsis.localhost:8080",
        "http://asepsis.localhost:8080",
        "http://evilaccess.asepsis.localhost:8080",
        "http://x.access.asepsis.localhost:8080",
        "http://access.asepsis.localhost:8080.evil.example",
        "http://user@access.asepsis.localhost:8080",
        "http://access.asepsis.localhost:8080/",
        "HTTP://ACCESS.asepsis.localhost:8080",
        "null",
        "",
    ] {
        let passkeys = passkeys();
        let mut key = authenticator();
        key.origin = origin.to_owned();
        refused!(
            register(&passkeys, "n-1", &mut key),
            PasskeyError::WrongOrigin
        );
        key.origin = ORIGIN.to_owned();
        register(&passkeys, "n-1", &mut key).expect("registers");
        key.origin = origin.to_owned();
        refused!(sign_in(&passkeys, &mut key), PasskeyError::WrongOrigin);
        refused!(
            step_up(&passkeys, "n-1", &mut key),
            PasskeyError::WrongOrigin
        );
    }
}

#[test]
fn a_frame_of_another_origin_is_refused() {
    let passkeys = passkeys();
    let mut key = authenticator();
    register(&passkeys, "n-1", &mut key).expect("registers");
    key.cross_origin = true;
    refused!(sign_in(&passkeys, &mut key), PasskeyError::WrongOrigin);
    refused!(
        register(&passkeys, "n-2", &mut authenticator_in_a_frame()),
        PasskeyError::WrongOrigin
    );
}

fn authenticator_in_a_frame() -> Authenticator {
    let mut key = authenticator();
    key.cross_origin = true;
    key
}

#[test]
fn another_relying_party_is_refused() {
    for rp_id in ["localhost", "access.asepsis.localhost", "evil.example", ""] {
        let passkeys = passkeys();
        let mut key = Authenticator::new(ORIGIN, rp_id);
        refused!(
            register(&passkeys, "n-1", &mut key),
            PasskeyError::WrongRelyingParty
        );
        key.rp_id = RP_ID.to_owned();
        register(&passkeys, "n-1", &mut key).expect("registers");
        key.rp_id = rp_id.to_owned();
        refused!(
            sign_in(&passkeys, &mut key),
            PasskeyError::WrongRelyingParty
        );
    }
}

#[test]
fn an_answer_counts_once() {
    let passkeys = passkeys();
    let mut key = authenticator();
    let browser = browser();
    let who = person("n-1");
    let options = passkeys
        .start_registration(&browser, &who, NOW)
        .expect("options");
    let answer = key.create(&options);
    passkeys
        .finish_registration(&browser, &who.id, "a", &answer, NOW)
        .expect("registers");
    refused!(
        passkeys.finish_registration(&browser, &who.id, "a", &answer, NOW),
        PasskeyError::UnknownChallenge
    );
    let options = passkeys.start_sign_in(&browser, NOW).expect("options");
    let answer = key.get(&options);
    passkeys
        .finish_sign_in(&browser, &answer, NOW)
        .expect("signs in");
    refused!(
        passkeys.finish_sign_in(&browser, &answer, NOW),
        PasskeyError::UnknownChallenge
    );
}

#[test]
fn a_failed_answer_spends_its_challenge_too() {
    let passkeys = passkeys();
    let mut key = authenticator();
    register(&passkeys, "n-1", &mut key).expect("registers");
    let browser = browser();
    let options = passkeys.start_sign_in(&browser, NOW).expect("options");
    key.user_verified = false;
    let bad = key.get(&options);
    refused!(
        passkeys.finish_sign_in(&browser, &bad, NOW),
        PasskeyError::NotVerified
    );
    key.user_verified = true;
    let good = key.get(&options);
    refused!(
        passkeys.finish_sign_in(&browser, &good, NOW),
        PasskeyError::UnknownChallenge
    );
}

#[test]
fn an_answer_from_another_browser_is_refused() {
    let passkeys = passkeys();
    let mut key = authenticator();
    register(&passkeys, "n-1", &mut key).expect("registers");
    let options = passkeys.start_sign_in(&browser(), NOW).expect("options");
    let answer = key.get(&options);
    refused!(
        passkeys.finish_sign_in(&browser(), &answer, NOW),
        PasskeyError::OtherBrowser
    );
}

#[test]
fn an_answer_that_comes_late_is_refused() {
    let passkeys = passkeys();
    let mut key = authenticator();
    register(&passkeys, "n-1", &mut key).expect("registers");
    let browser = browser();
    let options = passkeys.start_sign_in(&browser, NOW).expect("options");
    let answer = key.get(&options);
    let late = NOW.plus(std::time::Duration::from_secs(300));
    refused!(
        passkeys.finish_sign_in(&browser, &answer, late),
        PasskeyError::Expired
    );
}

#[test]
fn a_challenge_serves_one_kind_of_ceremony_and_one_person() {
    let passkeys = passkeys();
    let (mut key, mut other) = (authenticator(), authenticator());
    register(&passkeys, "n-1", &mut key).expect("registers");
    register(&passkeys, "n-2", &mut other).expect("registers");
    let browser = browser();
    let (one, two) = (PersonId::new("n-1"), PersonId::new("n-2"));

    let options = passkeys.start_sign_in(&browser, NOW).expect("options");
    refused!(
        passkeys.finish_step_up(&browser, &one, &key.get(&options), NOW),
        PasskeyError::OtherCeremony
    );
    let options = passkeys
        .start_step_up(&browser, &one, NOW)
        .expect("options");
    refused!(
        passkeys.finish_sign_in(&browser, &key.get(&options), NOW),
        PasskeyError::OtherCeremony
    );
    let options = passkeys
        .start_step_up(&browser, &one, NOW)
        .expect("options");
    refused!(
        passkeys.finish_step_up(&browser, &two, &other.get(&options), NOW),
        PasskeyError::OtherCeremony
    );
    // Somebody else's key cannot step up this session, even by a challenge that this session asked for.
    let options = passkeys
        .start_step_up(&browser, &one, NOW)
        .expect("options");
    refused!(
        passkeys.finish_step_up(&browser, &one, &other.get(&options), NOW),
        PasskeyError::OtherPerson
    );
    let options = passkeys
        .start_registration(&browser, &person("n-1"), NOW)
        .expect("options");
    let answer = authenticator().create(&options);
    refused!(
        passkeys.finish_registration(&browser, &two, "x", &answer, NOW),
        PasskeyError::OtherCeremony
    );
}

#[test]
fn an_unverified_or_absent_user_is_refused() {
    let passkeys = passkeys();
    let mut key = authenticator();
    key.user_verified = false;
    refused!(
        register(&passkeys, "n-1", &mut key),
        PasskeyError::NotVerified
    );
    key.user_verified = true;
    register(&passkeys, "n-1", &mut key).expect("registers");
    key.user_verified = false;
    refused!(sign_in(&passkeys, &mut key), PasskeyError::NotVerified);
    refused!(
        step_up(&passkeys, "n-1", &mut key),
        PasskeyError::NotVerified
    );
    (key.user_verified, key.user_present) = (true, false);
    refused!(sign_in(&passkeys, &mut key), PasskeyError::NotVerified);
}

#[test]
fn a_counter_that_goes_back_suspends_the_key() {
    let passkeys = passkeys();
    let mut key = authenticator();
    key.counter = 10;
    register(&passkeys, "n-1", &mut key).expect("registers");
    sign_in(&passkeys, &mut key).expect("counter 11");
    key.counter = 5; // the copy, made earlier, counts 6
    match sign_in(&passkeys, &mut key) {
        Err(PasskeyError::CloneSuspected(record)) => {
            assert_eq!(
                (record.person.as_str(), record.suspended),
                ("n-1", Some(NOW))
            );
        }
        other => panic!("{other:?}"),
    }
    key.counter = 100;
    refused!(sign_in(&passkeys, &mut key), PasskeyError::Suspended);
    refused!(step_up(&passkeys, "n-1", &mut key), PasskeyError::NoPasskey);
}

#[test]
fn a_forged_answer_cannot_suspend_a_key() {
    let passkeys = passkeys();
    let mut key = authenticator();
    key.counter = 10;
    register(&passkeys, "n-1", &mut key).expect("registers");
    let mut forger = authenticator();
    forger.answers_as(&key);
    forger.counter = 1;
    refused!(sign_in(&passkeys, &mut forger), PasskeyError::Rejected(_));
    sign_in(&passkeys, &mut key).expect("untouched");
}

#[test]
fn a_forged_signature_or_altered_answer_is_refused() {
    let passkeys = passkeys();
    let mut key = authenticator();
    register(&passkeys, "n-1", &mut key).expect("registers");
    let browser = browser();
    for part in ["signature", "authenticatorData"] {
        let options = passkeys.start_sign_in(&browser, NOW).expect("options");
        let mut answer = key.assert(&options);
        let text = answer["response"][part].as_str().expect("text").to_owned();
        let flipped = if text.ends_with('A') { "E" } else { "A" };
        answer["response"][part] = json!(format!("{}{flipped}", &text[..text.len() - 1]));
        let result = passkeys.finish_sign_in(&browser, answer.to_string().as_bytes(), NOW);
        assert!(result.is_err(), "{part}");
    }
}

#[test]
fn an_account_handle_that_is_not_the_keys_is_refused() {
    let passkeys = passkeys();
    let (mut key, mut other) = (authenticator(), authenticator());
    register(&passkeys, "n-1", &mut key).expect("registers");
    register(&passkeys, "n-2", &mut other).expect("registers");
    let browser = browser();
    let handles = [
        other.assert(&json!({}))["response"]["userHandle"].clone(),
        Value::Null,
    ];
    for handle in handles {
        let options = passkeys.start_sign_in(&browser, NOW).expect("options");
        let mut answer = key.assert(&options);
        answer["response"]["userHandle"] = handle;
        refused!(
            passkeys.finish_sign_in(&browser, answer.to_string().as_bytes(), NOW),
            PasskeyError::UnknownPasskey
        );
    }
    let who = PersonId::new("n-1");
    let options = passkeys
        .start_step_up(&browser, &who, NOW)
        .expect("options");
    let mut answer = key.assert(&options);
    if let Some(response) = answer["response"].as_object_mut() {
        response.remove("userHandle");
    }
    let answer = answer.to_string();
    passkeys
        .finish_step_up(&browser, &who, answer.as_bytes(), NOW)
        .expect("a step-up names its keys, so that an authenticator may leave the handle out");
}

#[test]
fn unknown_and_removed_keys_are_refused() {
    let passkeys = passkeys();
    let mut key = authenticator();
    refused!(sign_in(&passkeys, &mut key), PasskeyError::UnknownPasskey);
    refused!(step_up(&passkeys, "n-1", &mut key), PasskeyError::NoPasskey);
    register(&passkeys, "n-1", &mut key).expect("registers");
    let (own, foreign) = (PersonId::new("n-1"), PersonId::new("n-2"));
    assert!(!passkeys.remove(&foreign, &key.id()), "not hers");
    assert!(passkeys.remove(&own, &key.id()));
    assert!(!passkeys.remove(&own, &key.id()));
    refused!(sign_in(&passkeys, &mut key), PasskeyError::UnknownPasskey);
}

#[test]
fn a_person_has_several_keys_with_names() {
    let passkeys = passkeys();
    let (mut key, mut spare) = (authenticator(), authenticator());
    let first = register(&passkeys, "n-1", &mut key).expect("registers");
    let second = register(&passkeys, "n-1", &mut spare).expect("registers");
    assert_eq!(
        first.user_handle, second.user_handle,
        "one account for the authenticator"
    );
    let own = PersonId::new("n-1");
    assert_eq!(passkeys.of(&own).len(), 2);
    for key in [&mut key, &mut spare] {
        assert_eq!(
            step_up(&passkeys, "n-1", key).expect("steps up").person,
            own
        );
    }
    let options = passkeys
        .start_step_up(&browser(), &own, NOW)
        .expect("options");
    assert_eq!(
        options["publicKey"]["allowCredentials"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let renamed = passkeys
        .rename(&own, &key.id(), "  badge reader  ")
        .expect("hers");
    assert_eq!(renamed.name, "badge reader");
    refused!(
        passkeys.rename(&PersonId::new("n-2"), &key.id(), "x"),
        PasskeyError::UnknownPasskey
    );
    for name in ["", "   ", "a\nb", &"x".repeat(65)] {
        refused!(
            passkeys.rename(&own, &key.id(), name),
            PasskeyError::BadName
        );
    }
}

#[test]
fn a_key_is_registered_once_and_never_taken_over() {
    let passkeys = passkeys();
    let mut key = authenticator();
    register(&passkeys, "n-1", &mut key).expect("registers");
    let mut thief = authenticator();
    thief.answers_as(&key);
    refused!(
        register(&passkeys, "n-2", &mut thief),
        PasskeyError::AlreadyRegistered
    );
    let proven = sign_in(&passkeys, &mut key).expect("still hers");
    assert_eq!((proven.person.as_str(), passkeys.len()), ("n-1", 1));
}

#[test]
fn a_key_that_was_not_stored_and_one_too_many_are_refused() {
    let passkeys = passkeys();
    let mut key = authenticator();
    key.discoverable = Some(false);
    refused!(
        register(&passkeys, "n-1", &mut key),
        PasskeyError::NotDiscoverable
    );
    for _ in 0..16 {
        register(&passkeys, "n-1", &mut authenticator()).expect("room");
    }
    refused!(
        register(&passkeys, "n-1", &mut authenticator()),
        PasskeyError::TooMany
    );
}

#[test]
fn malformed_answers_are_refused() {
    let passkeys = passkeys();
    let browser = browser();
    let options = passkeys.start_sign_in(&browser, NOW).expect("options");
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let huge = vec![b' '; 65 * 1024];
    for answer in [&b""[..], b"{}", b"null", b"\xff", deep.as_bytes(), &huge] {
        refused!(
            passkeys.finish_sign_in(&browser, answer, NOW),
            PasskeyError::Malformed(_)
        );
        refused!(
            passkeys.finish_registration(&browser, &PersonId::new("n-1"), "x", answer, NOW),
            PasskeyError::Malformed(_)
        );
    }
    let mut answer = authenticator().assert(&options);
    for client in ["", "!", "bm90IGpzb24", "e30"] {
        answer["response"]["clientDataJSON"] = json!(client);
        refused!(
            passkeys.finish_sign_in(&browser, answer.to_string().as_bytes(), NOW),
            PasskeyError::Malformed(_)
        );
    }
}

#[test]
fn hostile_attestations_do_not_panic() {
    let passkeys = passkeys();
    let who = person("n-1");
    let browser = browser();
    let mut seed = 7_u64;
    for round in 0..300 {
        let options = passkeys
            .start_registration(&browser, &who, NOW)
            .expect("options");
        let mut answer: Value =
            serde_json::from_slice(&authenticator().create(&options)).expect("its own form");
        let mut bytes = decode(&answer["response"]["attestationObject"]);
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let place = (seed >> 33) as usize % bytes.len();
        match round % 3 {
            0 => bytes.truncate(place),
            1 => bytes[place] ^= 1 << (seed % 8),
            _ => bytes.insert(place, 0x9b), // an array of a length yet to come
        }
        answer["response"]["attestationObject"] = json!(encode(&bytes));
        // A flip in the key id or key may still make a well-formed credential; it must only never panic.
        let _ = passkeys.finish_registration(
            &browser,
            &who.id,
            "x",
            answer.to_string().as_bytes(),
            NOW,
        );
        for own in passkeys.of(&who.id) {
            passkeys.remove(&who.id, &own.id);
        }
    }
}

#[test]
fn keys_survive_a_restart() {
    let before = passkeys();
    let mut key = authenticator();
    key.counter = 3;
    register(&before, "n-1", &mut key).expect("registers");
    let stored = sign_in(&before, &mut key).expect("signs in").passkey;
    let text = serde_json::to_string(&*stored).expect("plain data");
    let after = passkeys();
    after.load([serde_json::from_str::<PasskeyRecord>(&text).expect("its own form")]);
    assert_eq!(
        sign_in(&after, &mut key).expect("signs in").person.as_str(),
        "n-1"
    );
    key.counter = 3;
    refused!(sign_in(&after, &mut key), PasskeyError::CloneSuspected(_));
    let shown = format!("{stored:?} {after:?}");
    assert!(
        !shown.contains("n-1") && !shown.contains(&key.id()),
        "{shown}"
    );
}

fn decode(text: &Value) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text.as_str().expect("text"))
        .expect("base64url")
}

fn encode(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
