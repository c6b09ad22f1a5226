//! Signed notes and checkpoints (C2SP signed-note and tlog-checkpoint), with Ed25519 keys.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::{Hash, sha256};

/// The signature type of plain Ed25519.
const ED25519_TYPE: u8 = 1;
/// The longest note that is looked at, in bytes.
pub const NOTE_BYTES_MAX: usize = 64 << 10;

/// Why a note, a key or a checkpoint is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text does not have the form of a signed note.
    #[error("it is not a signed note")]
    Malformed,
    /// No signature of the trusted key is in the note.
    #[error("it is not signed by the log's key")]
    Unsigned,
    /// The signature of the trusted key is wrong.
    #[error("its signature is wrong")]
    BadSignature,
    /// The signed text is not a checkpoint.
    #[error("it is not a checkpoint")]
    NotACheckpoint,
    /// The checkpoint belongs to another log.
    #[error("it is a checkpoint of another log")]
    OtherLog,
    /// The text is not a key.
    #[error("it is not a key in signed-note form")]
    NotAKey,
    /// A name of a key or log holds spaces, control characters or `+`, or is empty.
    #[error("a log's name must not be empty nor hold spaces, control characters or `+`")]
    BadName,
}

/// Whether `name` can name a key and a log.
pub fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// The public key that signatures are checked with: `NAME+HASH+KEY`.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: u32,
    public: [u8; 32],
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id, typed(&self.public))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifierKey({self})")
    }
}

/// A key's bytes after its type, in base64.
fn typed(key: &[u8; 32]) -> String {
    let mut bytes = [ED25519_TYPE; 33];
    bytes[1..].copy_from_slice(key);
    STANDARD.encode(bytes)
}

fn untyped(text: &str) -> Option<[u8; 32]> {
    let bytes = STANDARD.decode(text).ok()?;
    let (kind, key) = bytes.split_first()?;
    (*kind == ED25519_TYPE)
        .then(|| key.try_into().ok())
        .flatten()
}

impl VerifierKey {
    fn new(name: &str, public: [u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::BadName);
        }
        let mut hashed = Vec::with_capacity(name.len() + 34);
        hashed.extend_from_slice(name.as_bytes());
        hashed.extend_from_slice(&[b'\n', ED25519_TYPE]);
        hashed.extend_from_slice(&public);
        let hash = sha256(&hashed);
        let id = u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]);
        Ok(Self {
            name: name.to_owned(),
            id,
            public,
        })
    }

    /// Reads the signed-note form of a verifier key.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::NotAKey);
        };
        let key = Self::new(name, untyped(key).ok_or(NoteError::NotAKey)?)?;
        // Written again it must be the same text: that checks the hash, its case and the base64 at once.
        if key.to_string() == text {
            Ok(key)
        } else {
            Err(NoteError::NotAKey)
        }
    }

    /// The name of the key, which is the log's origin.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Checks an Ed25519 signature over `message`.
    pub fn check(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.public)
            .verify(message, signature)
            .is_ok()
    }

    /// The signed text of `note`, if this key signed it.
    pub fn open<'a>(&self, note: &'a str) -> Result<&'a str, NoteError> {
        if note.len() > NOTE_BYTES_MAX || note.chars().any(|c| c < ' ' && c != '\n') {
            return Err(NoteError::Malformed);
        }
        let cut = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
        let (text, signatures) = (&note[..=cut], &note[cut + 2..]);
        let signatures = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
        let mut signed = false;
        for line in signatures.split('\n') {
            let rest = line.strip_prefix("— ").ok_or(NoteError::Malformed)?;
            let (name, signature) = rest.split_once(' ').ok_or(NoteError::Malformed)?;
            let bytes = STANDARD
                .decode(signature)
                .map_err(|_| NoteError::Malformed)?;
            let (id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
            if !is_name(name) {
                return Err(NoteError::Malformed);
            }
            if name == self.name && u32::from_be_bytes(*id) == self.id {
                if !self.check(text.as_bytes(), signature) {
                    return Err(NoteError::BadSignature);
                }
                signed = true;
            }
        }
        if signed {
            Ok(text)
        } else {
            Err(NoteError::Unsigned)
        }
    }

    /// The checkpoint in `note`, if this key signed it and it is one of the log that the key is named after.
    pub fn open_checkpoint(&self, note: &str) -> Result<Checkpoint, NoteError> {
        let checkpoint = Checkpoint::parse(self.open(note)?)?;
        if checkpoint.origin == self.name {
            Ok(checkpoint)
        } else {
            Err(NoteError::OtherLog)
        }
    }
}

/// The key that checkpoints are signed with.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, …)", self.verifier)
    }
}

impl SigningKey {
    /// Makes the key called `name` from 32 secret bytes.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::NotAKey)?;
        let public = pair
            .public_key()
            .as_ref()
            .try_into()
            .map_err(|_| NoteError::NotAKey)?;
        Ok(Self {
            pair,
            verifier: VerifierKey::new(name, public)?,
        })
    }

    /// The text in which a signing key is kept: `PRIVATE+KEY+NAME+HASH+SEED`.
    pub fn encode(name: &str, seed: &[u8; 32]) -> Result<String, NoteError> {
        let key = Self::from_seed(name, seed)?;
        Ok(format!(
            "PRIVATE+KEY+{name}+{:08x}+{}",
            key.verifier.id,
            typed(seed)
        ))
    }

    /// Reads what [`SigningKey::encode`] wrote.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let rest = text
            .strip_prefix("PRIVATE+KEY+")
            .ok_or(NoteError::NotAKey)?;
        let mut parts = rest.splitn(3, '+');
        let (Some(name), Some(_), Some(seed)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::NotAKey);
        };
        let seed = untyped(seed).ok_or(NoteError::NotAKey)?;
        if Self::encode(name, &seed)? == text {
            Self::from_seed(name, &seed)
        } else {
            Err(NoteError::NotAKey)
        }
    }

    /// The public half.
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs bytes that are not a note.
    pub fn sign_bytes(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }

    /// The signed note over `text`, which ends in a newline.
    pub fn sign(&self, text: &str) -> String {
        let mut bytes = self.verifier.id.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.sign_bytes(text.as_bytes()));
        format!(
            "{text}\n— {} {}\n",
            self.verifier.name,
            STANDARD.encode(bytes)
        )
    }
}

/// What a log says of itself: so many records, this root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// Records.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\n{}\n{}\n",
            self.origin,
            self.size,
            STANDARD.encode(self.root)
        )
    }
}

impl Checkpoint {
    /// Reads the text of a checkpoint. Extension lines are refused: this log signs none.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.split('\n');
        let mut line = || {
            lines
                .next()
                .filter(|l| !l.is_empty())
                .ok_or(NoteError::NotACheckpoint)
        };
        let origin = line()?.to_owned();
        let size = line()?.parse().map_err(|_| NoteError::NotACheckpoint)?;
        let root = STANDARD
            .decode(line()?)
            .map_err(|_| NoteError::NotACheckpoint)?;
        let root = root.try_into().map_err(|_| NoteError::NotACheckpoint)?;
        let checkpoint = Self { origin, size, root };
        if checkpoint.to_string() == text {
            Ok(checkpoint)
        } else {
            Err(NoteError::NotACheckpoint)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed("example.org/log", &[9; 32]).expect("good name")
    }

    #[test]
    fn the_published_example_key_and_note_are_understood() {
        // The example of the Go package `golang.org/x/mod/sumdb/note`.
        let verifier = VerifierKey::parse(
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        )
        .expect("key");
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let text = verifier.open(note).expect("signed");
        assert!(text.ends_with("your problem is.\n"));
        let signer = SigningKey::parse(
            "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz",
        )
        .expect("key");
        assert_eq!(signer.sign(text), note);
    }

    #[test]
    fn every_flipped_byte_of_a_note_and_of_a_key_is_found() {
        let checkpoint = Checkpoint {
            origin: "example.org/log".into(),
            size: 7,
            root: [3; 32],
        };
        let note = key().sign(&checkpoint.to_string());
        let verifier = key().verifier().clone();
        assert_eq!(verifier.open_checkpoint(&note), Ok(checkpoint));
        for i in 0..note.len() {
            for bit in 0..8 {
                let mut bytes = note.clone().into_bytes();
                bytes[i] ^= 1 << bit;
                if let Ok(text) = String::from_utf8(bytes) {
                    assert!(
                        verifier.open_checkpoint(&text).is_err(),
                        "byte {i} bit {bit}"
                    );
                }
            }
            assert!(
                note.get(..i)
                    .is_none_or(|short| verifier.open_checkpoint(short).is_err())
            );
        }
        let text = verifier.to_string();
        for i in 0..text.len() {
            for bit in 0..8 {
                let mut bytes = text.clone().into_bytes();
                bytes[i] ^= 1 << bit;
                let bent = String::from_utf8(bytes)
                    .ok()
                    .and_then(|t| VerifierKey::parse(&t).ok());
                assert!(bent.is_none_or(|k| k != verifier), "byte {i} bit {bit}");
            }
        }
    }

    #[test]
    fn foreign_signatures_are_ignored_but_wrong_ones_of_the_key_are_not() {
        let other = SigningKey::from_seed("example.org/witness", &[8; 32]).expect("good name");
        let note = key().sign("example.org/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
        let foreign = other.sign("x\n");
        let foreign = foreign.split_once("\n\n").expect("note").1;
        assert!(
            key()
                .verifier()
                .open_checkpoint(&format!("{note}{foreign}"))
                .is_ok()
        );
        assert_eq!(other.verifier().open(&note), Err(NoteError::Unsigned));
        assert_eq!(VerifierKey::new("a b", [0; 32]), Err(NoteError::BadName));
        assert_eq!(
            Checkpoint::parse("a\n01\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"),
            Err(NoteError::NotACheckpoint)
        );
        let stranger =
            other.sign("example.org/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
        assert_eq!(
            other.verifier().open_checkpoint(&stranger),
            Err(NoteError::OtherLog)
        );
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
            prop_assert!(key().verifier().open(&text).is_err());
            let _ = Checkpoint::parse(&text);
            let _ = VerifierKey::parse(&text);
            let _ = SigningKey::parse(&text);
        }
    }
}
