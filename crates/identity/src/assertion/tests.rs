use domain::{Aal, Authentication, Purpose};

use super::*;
use crate::{Audience, Limits, Sessions};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const ISSUER: &str = "https://access.hospital.example";

fn signer() -> Signer {
    Signer::from_pkcs8(&Signer::generate_pkcs8(), ISSUER).expect("its own key")
}

fn chart() -> ApplicationId {
    ApplicationId::new("chart")
}

fn authentication(level: Aal) -> Authentication {
    Authentication {
        level,
        phishing_resistant: true,
        at: NOW,
        last_active: NOW,
    }
}

fn sign_in(sessions: &Sessions, person: &str) -> (SessionId, Live) {
    let (id, secret) = sessions.start(
        PersonId::new(person),
        None,
        authentication(Aal::Aal3),
        Purpose::Treat,
        NOW,
    );
    let live = sessions
        .resolve(&secret.reveal(), &Audience::Access, NOW)
        .expect("just begun");
    (id, live)
}

fn live() -> Live {
    sign_in(&Sessions::new(Limits::default()), "n-1").1
}

fn nurse() -> Vec<Role> {
    vec![Role::new("nurse")]
}

#[test]
fn an_upstream_reads_who_asks() {
    let signer = signer();
    let live = live();
    let token = signer.assertion(&live, &chart(), &nurse(), NOW);
    let claims = verify(&token, &signer.jwks(), ISSUER, &chart(), NOW).expect("genuine");
    assert_eq!(claims.sub.as_str(), "n-1");
    assert_eq!(&claims.sid, live.id());
    assert_eq!(
        (claims.iat, claims.exp),
        (NOW.as_secs(), NOW.as_secs() + 300)
    );
    assert_eq!((claims.acr.as_str(), claims.roles), ("aal3", nurse()));
    assert_eq!(claims.amr, ["hwk", "user", "mfa"]);
}

#[test]
fn a_key_survives_as_bytes_and_keeps_its_id() {
    let key = Signer::generate_pkcs8();
    let (a, b) = (
        Signer::from_pkcs8(&key, ISSUER).expect("its own key"),
        Signer::from_pkcs8(&key, ISSUER).expect("its own key"),
    );
    assert_eq!(a.kid(), b.kid());
    assert_ne!(a.kid(), signer().kid());
    let token = a.assertion(&live(), &chart(), &nurse(), NOW);
    assert!(verify(&token, &b.jwks(), ISSUER, &chart(), NOW).is_ok());
    assert!(Signer::from_pkcs8(b"not a key", ISSUER).is_err());
    let shown = format!("{a:?}");
    assert!(shown.contains(a.kid()) && shown.len() < 200, "{shown}");
}

#[test]
fn forged_and_misdirected_assertions_do_not_hold() {
    let signer = signer();
    let token = signer
        .assertion(&live(), &chart(), &nurse(), NOW)
        .to_string();
    let check = |token: &str, audience: &ApplicationId, at: Timestamp| {
        verify(token, &signer.jwks(), ISSUER, audience, at).err()
    };
    assert_eq!(check(&token, &chart(), NOW), None);
    assert_eq!(
        check(&token, &ApplicationId::new("billing"), NOW),
        Some(BadAssertion::Audience)
    );
    let late = NOW.plus(ASSERTION_LIFETIME + Duration::from_secs(60));
    assert_eq!(check(&token, &chart(), late), Some(BadAssertion::Time));
    let early = NOW.minus(Duration::from_secs(61));
    assert_eq!(check(&token, &chart(), early), Some(BadAssertion::Time));
    assert_eq!(
        verify(
            &token,
            &signer.jwks(),
            "https://evil.example",
            &chart(),
            NOW
        ),
        Err(BadAssertion::Issuer)
    );
    let other = self::signer();
    assert_eq!(
        verify(&token, &other.jwks(), ISSUER, &chart(), NOW),
        Err(BadAssertion::UnknownKey)
    );

    let parts: Vec<&str> = token.split('.').collect();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = |value: Value| format!("{}.{}.{}", encode(value), parts[1], parts[2]);
    for alg in ["none", "None", "HS256", "RS256", "ES384"] {
        let forged = header(json!({ "alg": alg, "kid": signer.kid(), "typ": "JWT" }));
        assert_eq!(
            check(&forged, &chart(), NOW),
            Some(BadAssertion::Algorithm),
            "{alg}"
        );
    }
    // A header that brings its own key, or says where to fetch one, is not even read.
    for extra in ["jwk", "jku", "x5u", "x5c", "crit"] {
        let forged =
            header(json!({ "alg": "ES256", "kid": signer.kid(), "typ": "JWT", extra: "x" }));
        assert_eq!(
            check(&forged, &chart(), NOW),
            Some(BadAssertion::Malformed),
            "{extra}"
        );
    }
    let unsigned = format!("{}.{}.", parts[0], parts[1]);
    assert_eq!(
        check(&unsigned, &chart(), NOW),
        Some(BadAssertion::Signature)
    );
    for text in ["", ".", "..", "a.b", "a.b.c", &token[1..]] {
        assert_eq!(
            check(text, &chart(), NOW),
            Some(BadAssertion::Malformed),
            "{text}"
        );
    }
    // Every byte of the claims is signed.
    let mut claims = URL_SAFE_NO_PAD.decode(parts[1]).expect("base64url");
    for place in 0..claims.len() {
        claims[place] ^= 1;
        let forged = format!(
            "{}.{}.{}",
            parts[0],
            URL_SAFE_NO_PAD.encode(&claims),
            parts[2]
        );
        assert_eq!(check(&forged, &chart(), NOW), Some(BadAssertion::Signature));
        claims[place] ^= 1;
    }
    // An instant of the wrong JSON type is no instant (CVE-2026-25537).
    let mut wrong: Value = serde_json::from_slice(&claims).expect("claims");
    wrong["exp"] = json!("9999999999");
    let signed = format!("{}.{}", parts[0], encode(wrong));
    let signature = signer
        .key
        .sign(&SystemRandom::new(), signed.as_bytes())
        .expect("signs");
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(check(&token, &chart(), NOW), Some(BadAssertion::Malformed));
}

#[test]
fn an_assertion_is_reused_for_a_minute_and_only_for_the_same() {
    let signer = signer();
    let sessions = Sessions::new(Limits::default());
    let (id, live) = sign_in(&sessions, "n-1");
    let first = signer.assertion(&live, &chart(), &nurse(), NOW);
    let same = |live: &Live, audience: &ApplicationId, roles: &[Role], at: Timestamp| {
        *signer.assertion(live, audience, roles, at) == *first
    };
    assert!(same(
        &live,
        &chart(),
        &nurse(),
        NOW.plus(Duration::from_secs(59))
    ));
    assert!(!same(&live, &ApplicationId::new("billing"), &nurse(), NOW));
    assert!(
        !same(&sign_in(&sessions, "n-2").1, &chart(), &nurse(), NOW),
        "another person"
    );
    assert!(!same(&live, &chart(), &[], NOW), "roles have changed");
    let first = signer.assertion(&live, &chart(), &nurse(), NOW);
    let later = signer.assertion(&live, &chart(), &nurse(), NOW.plus(ASSERTION_REUSE));
    assert_ne!(*first, *later);
    let secret = sessions
        .step_up(&id, authentication(Aal::Aal2), NOW)
        .expect("alive");
    let stepped = sessions
        .resolve(&secret.reveal(), &Audience::Access, NOW)
        .expect("alive");
    let token = signer.assertion(&stepped, &chart(), &nurse(), NOW.plus(ASSERTION_REUSE));
    assert_ne!(*token, *later, "a step-up changes what is said");
    assert!(token.contains('.'));
    sessions.raise_person_epoch(live.person());
    signer.forget(&id);
    assert_eq!(signer.cache.len(), 1, "the other person's");
}

#[test]
fn an_assertion_never_outlives_its_session() {
    let sessions = Sessions::new(Limits::new(
        Duration::from_secs(60),
        Duration::from_secs(100),
    ));
    let (_, live) = sign_in(&sessions, "n-1");
    let signer = signer();
    let token = signer.assertion(&live, &chart(), &nurse(), NOW);
    let claims = verify(&token, &signer.jwks(), ISSUER, &chart(), NOW).expect("genuine");
    assert_eq!(claims.exp, NOW.as_secs() + 100);
}

#[test]
fn the_cache_is_bounded() {
    let signer = signer();
    let sessions = Sessions::new(Limits::default());
    let (_, live) = sign_in(&sessions, "n-1");
    for n in 0..200 {
        signer.assertion(&live, &ApplicationId::new(format!("a-{n}")), &[], NOW);
    }
    assert_eq!(signer.cache.len(), 1);
    let shard = cache::Cache::new();
    let about = || cache::About {
        person: PersonId::new("n-1"),
        level: Aal::Aal1,
        phishing_resistant: false,
        at: NOW,
        epoch: (0, 0),
        roles: Vec::new(),
    };
    for n in 0..100_000 {
        let id = SessionId::new(format!("s-{n}"));
        shard.get_or_make(&id, &chart(), about(), NOW, |_| "t".into());
    }
    assert!(shard.len() <= 16 * 4096, "{}", shard.len());
}
