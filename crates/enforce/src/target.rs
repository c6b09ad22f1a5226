//! Targets that take text: one file each behind one small interface.

use serde::Serialize;

use segment::matrix::Matrix;

use crate::access_list::Gap;
use crate::refusal::Refusal;

/// Something that takes a policy as text.
pub trait Target {
    /// Its name, as an operator says it.
    fn name(&self) -> &'static str;

    /// The policy in its words, after proving that it fits.
    ///
    /// # Errors
    /// When the policy does not fit the target's budget; nothing is emitted then, rather than a part.
    fn emit(&self, matrix: &Matrix) -> Result<Emitted, Refusal>;
}

/// What a target is to be given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Emitted {
    /// The target's name.
    pub target: &'static str,
    /// The text.
    pub text: String,
    /// What of its budget the text takes.
    pub budget: Vec<Usage>,
    /// What it says otherwise than the policy; empty: nothing.
    pub gaps: Vec<Gap>,
}

/// How much of a bound is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Of what: `entries of the longest list`.
    pub what: &'static str,
    /// Used.
    pub used: usize,
    /// There is.
    pub most: usize,
}

impl Usage {
    /// Whether it fits.
    ///
    /// # Errors
    /// When it does not; the message has both numbers.
    pub fn check(&self, target: &str) -> Result<(), Refusal> {
        if self.used <= self.most {
            return Ok(());
        }
        Err(Refusal::new(
            format!("compile the policy for {target}"),
            format!("{}: {} are needed, {} fit", self.what, self.used, self.most),
        )
        .hint("merge groups or services, give groups contiguous addresses, or enforce part of it on a gateway"))
    }
}
