//! The text of an inclusion proof (C2SP tlog-proof, a draft when this was written).
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! index 73894
//! BASE64 of a hash, the leaf's sibling first
//! …
//!
//! the checkpoint, verbatim
//! ```

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::tree::Hash;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// A tree of 2^63 leaves has audit paths of 63 hashes.
const HASHES_MAX: usize = 64;

/// A proof taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofText {
    /// The index of the leaf.
    pub index: u64,
    /// The audit path, from the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The signed checkpoint.
    pub checkpoint: String,
}

impl ProofText {
    /// The proof's text.
    pub fn encode(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nindex {}\n", self.index);
        for hash in &self.path {
            text.push_str(&STANDARD.encode(hash));
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Reads a proof; `None` if the text is not one. An `extra` line is skipped: nothing authenticates it.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, checkpoint) = text.split_once("\n\n")?;
        let mut lines = head.split('\n').peekable();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        if lines.peek()?.starts_with("extra ") {
            lines.next();
        }
        let number = lines.next()?.strip_prefix("index ")?;
        let index: u64 = number.parse().ok()?;
        if index.to_string() != number {
            return None;
        }
        let mut path = Vec::new();
        for line in lines {
            path.push(STANDARD.decode(line).ok()?.try_into().ok()?);
            if path.len() > HASHES_MAX {
                return None;
            }
        }
        Some(Self {
            index,
            path,
            checkpoint: checkpoint.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn proofs_read_back_with_and_without_extra() {
        for path in [vec![], vec![[1; 32], [2; 32]]] {
            let proof = ProofText {
                index: 5,
                path,
                checkpoint: "a\n6\nroot\n\n— a sig\n".into(),
            };
            let text = proof.encode();
            assert_eq!(ProofText::parse(&text), Some(proof.clone()));
            let extra = text.replacen("index", "extra YWJj\nindex", 1);
            assert_eq!(ProofText::parse(&extra), Some(proof));
            assert_eq!(ProofText::parse(&text.replacen("@v1", "@v2", 1)), None);
            assert_eq!(
                ProofText::parse(&text.replacen("index 5", "index 05", 1)),
                None
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "(c2sp.org/tlog-proof@v1\nindex [0-9]{0,30}\n)?(?s).{0,200}") {
            let _ = ProofText::parse(&text);
        }
    }
}
