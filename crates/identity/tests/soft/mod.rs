//! A software authenticator with a browser around it: ES256, attestation `none`, just enough CBOR by hand, and a knob for
//! every lie that a test wants told.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

pub(crate) struct Authenticator {
    key: EcdsaKeyPair,
    credential: Vec<u8>,
    user_handle: Option<String>,
    pub(crate) origin: String,
    pub(crate) rp_id: String,
    pub(crate) counter: u32,
    pub(crate) user_verified: bool,
    pub(crate) user_present: bool,
    pub(crate) backup_eligible: bool,
    pub(crate) backed_up: bool,
    pub(crate) cross_origin: bool,
    /// What the browser says of the key's discoverability.
    pub(crate) discoverable: Option<bool>,
}

impl Authenticator {
    pub(crate) fn new(origin: &str, rp_id: &str) -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random)
            .expect("random bytes");
        let mut credential = vec![0; 32];
        aws_lc_rs::rand::fill(&mut credential).expect("random bytes");
        Self {
            key: EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.as_ref())
                .expect("its own key"),
            credential,
            user_handle: None,
            origin: origin.to_owned(),
            rp_id: rp_id.to_owned(),
            counter: 0,
            user_verified: true,
            user_present: true,
            backup_eligible: false,
            backed_up: false,
            cross_origin: false,
            discoverable: Some(true),
        }
    }

    /// `navigator.credentials.create`.
    pub(crate) fn create(&mut self, options: &Value) -> Vec<u8> {
        let options = &options["publicKey"];
        self.user_handle = options["user"]["id"].as_str().map(str::to_owned);
        let client = self.client_data("webauthn.create", &options["challenge"]);
        let mut data = self.authenticator_data(0x40);
        data.extend([0; 16]); // AAGUID
        data.extend((self.credential.len() as u16).to_be_bytes());
        data.extend(&self.credential);
        data.extend(self.cose_key());
        let mut attestation = vec![0xa3, 0x63];
        attestation.extend(b"fmt");
        attestation.push(0x64);
        attestation.extend(b"none");
        attestation.push(0x67);
        attestation.extend(b"attStmt");
        attestation.extend([0xa0, 0x68]);
        attestation.extend(b"authData");
        attestation.push(0x59);
        attestation.extend((data.len() as u16).to_be_bytes());
        attestation.extend(data);
        let id = URL_SAFE_NO_PAD.encode(&self.credential);
        let mut extensions = json!({});
        if let Some(rk) = self.discoverable {
            extensions["credProps"] = json!({ "rk": rk });
        }
        json!({
            "id": id, "rawId": id, "type": "public-key", "authenticatorAttachment": "platform",
            "clientExtensionResults": extensions,
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                "attestationObject": URL_SAFE_NO_PAD.encode(attestation),
                "transports": ["internal"],
            },
        })
        .to_string()
        .into_bytes()
    }

    /// `navigator.credentials.get`.
    pub(crate) fn get(&mut self, options: &Value) -> Vec<u8> {
        self.counter += u32::from(self.counter > 0);
        self.assert(options).to_string().into_bytes()
    }

    pub(crate) fn assert(&self, options: &Value) -> Value {
        let client = self.client_data("webauthn.get", &options["publicKey"]["challenge"]);
        let data = self.authenticator_data(0);
        let mut signed = data.clone();
        signed.extend(digest(&SHA256, &client).as_ref());
        let signature = self.key.sign(&SystemRandom::new(), &signed).expect("signs");
        let id = URL_SAFE_NO_PAD.encode(&self.credential);
        json!({
            "id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {},
            "response": {
                "clientDataJSON": URL_SAFE_NO_PAD.encode(client),
                "authenticatorData": URL_SAFE_NO_PAD.encode(data),
                "signature": URL_SAFE_NO_PAD.encode(signature),
                "userHandle": self.user_handle,
            },
        })
    }

    pub(crate) fn id(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.credential)
    }

    /// Another authenticator that holds the same key.
    pub(crate) fn answers_as(&mut self, other: &Self) {
        self.credential.clone_from(&other.credential);
        self.user_handle.clone_from(&other.user_handle);
    }

    fn client_data(&self, kind: &str, challenge: &Value) -> Vec<u8> {
        json!({
            "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin,
        })
        .to_string()
        .into_bytes()
    }

    fn authenticator_data(&self, more_flags: u8) -> Vec<u8> {
        let flag = |set: bool, bit: u8| u8::from(set) << bit;
        let flags = more_flags
            | flag(self.user_present, 0)
            | flag(self.user_verified, 2)
            | flag(self.backup_eligible, 3)
            | flag(self.backed_up, 4);
        let mut data = digest(&SHA256, self.rp_id.as_bytes()).as_ref().to_vec();
        data.push(flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// `{1: 2, 3: -7, -1: 1, -2: x, -3: y}`
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let mut key = vec![0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20];
        key.extend(&point[1..33]);
        key.extend([0x22, 0x58, 0x20]);
        key.extend(&point[33..65]);
        key
    }
}
