//! What answers amount to.

use serde_json::{Value, json};
use smol_str::SmolStr;

/// One answer beside the truth.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// The type that it is.
    pub(crate) truth: SmolStr,
    /// The type that was named, if any.
    pub(crate) named: Option<SmolStr>,
    /// How surely.
    pub(crate) confidence: f64,
}

impl Answered {
    pub(crate) fn right(&self) -> bool {
        self.named.as_ref() == Some(&self.truth)
    }

    fn sure(&self) -> bool {
        self.named.is_some() && self.confidence > 0.9
    }
}

/// What answers amount to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Score {
    /// Answers.
    pub(crate) count: usize,
    /// Share that was named at all.
    pub(crate) coverage: f64,
    /// Share right of those named.
    pub(crate) right: f64,
    /// Share wrong of those named with a confidence above 0.9.
    pub(crate) surely_wrong: f64,
    /// Expected calibration error over ten bins of confidence, of those named.
    pub(crate) calibration_error: f64,
}

impl Score {
    pub(crate) fn of(answers: &[Answered]) -> Self {
        let named: Vec<&Answered> = answers.iter().filter(|a| a.named.is_some()).collect();
        let sure: Vec<&Answered> = answers.iter().filter(|a| a.sure()).collect();
        let mut bins = [(0.0_f64, 0.0_f64); 10];
        for answer in &named {
            let bin = &mut bins[((answer.confidence * 10.0) as usize).min(9)];
            bin.0 += answer.confidence;
            bin.1 += f64::from(u8::from(answer.right()));
        }
        let gap: f64 = bins.iter().map(|(sure, right)| (sure - right).abs()).sum();
        Self {
            count: answers.len(),
            coverage: share(named.len(), answers.len()),
            right: share(named.iter().filter(|a| a.right()).count(), named.len()),
            surely_wrong: share(sure.iter().filter(|a| !a.right()).count(), sure.len()),
            calibration_error: gap / (named.len().max(1) as f64),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "captures": self.count,
            "coverage": rounded(self.coverage),
            "accuracy": rounded(self.right),
            "wrong_above_0.9": rounded(self.surely_wrong),
            "calibration_error": rounded(self.calibration_error),
        })
    }
}

/// Share of `part` in `whole`; of nothing: nothing.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    part as f64 / whole as f64
}

pub(crate) fn rounded(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}
