//! From how well evidence fits to a probability, measured on what was held out of learning.

use super::model::Fit;

/// Number of figures in a [`Shape`].
pub(super) const FIGURES: usize = 7;

/// Where in a [`Shape`] the explained share stands, and the number of conflicts.
const EXPLAINED: usize = 2;
const CONFLICTS: usize = 5;

/// Highest probability of a label that explains too little, or whose model the device contradicts.
const UNNAMED: f64 = 0.45;

/// Which way each figure may only speak: more of it makes an answer surer, or less sure.
const SIGNS: [f64; FIGURES] = [1.0, 1.0, 1.0, 1.0, 1.0, -1.0, -1.0];

/// Rounds of the fit.
const ROUNDS: usize = 200;
/// Weight of the ridge that keeps the fit finite where the classes separate.
const RIDGE: f64 = 0.02;

/// What decides whether the best fit is right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape(pub(super) [f64; FIGURES]);

impl Shape {
    /// Of fits, the best first; `None` without any.
    pub(super) fn of(fits: &[Fit]) -> Option<Self> {
        let best = fits.first()?;
        let second = fits.get(1).map_or(0.0, |fit| fit.bits.max(0.0));
        Some(Self([
            best.bits.clamp(-20.0, 20.0) / 10.0,
            (best.bits - second).clamp(-8.0, 8.0) / 4.0,
            best.explained,
            best.fulfilled,
            (best.explained * best.seen).min(12.0) / 6.0,
            f64::from(best.conflicts.min(2)),
            f64::from(u8::from(best.unconfirmed)),
        ]))
    }
}

/// A logistic model of [`Shape`], bounded by how often it was wrong when surest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Calibration {
    /// Constant, then one factor a figure.
    pub(super) factors: [f64; FIGURES + 1],
    /// Highest probability that its examples support.
    pub(super) highest: f64,
    /// Probability from which a label is named.
    pub(super) name_from: f64,
    /// Share of what is seen that a label must explain to be named.
    pub(super) explain_from: f64,
}

impl Default for Calibration {
    /// Where too little was held out to measure: cautious figures, and nothing is called sure.
    fn default() -> Self {
        Self {
            factors: [-9.0, 1.0, 0.5, 4.0, 5.0, 1.0, -4.0, -1.0],
            highest: 0.9,
            name_from: 0.6,
            explain_from: 0.4,
        }
    }
}

/// One held-out device: how well it fits, and whether the best fit was right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trial {
    pub(super) shape: Shape,
    pub(super) right: bool,
    /// Whether its type was learnt at all.
    pub(super) known: bool,
    /// How much it counts.
    pub(super) weight: f64,
}

impl Calibration {
    /// Probability that the best fit is right, in steps of 1/10,000 so that it is the same everywhere.
    pub(super) fn probability(&self, shape: &Shape) -> f64 {
        let mut raw = logistic(self.score(shape)).min(self.highest);
        if shape.0[EXPLAINED] < self.explain_from || shape.0[CONFLICTS] > 0.0 {
            raw = raw.min(UNNAMED);
        }
        (raw * 10_000.0).round() / 10_000.0
    }

    /// Whether a label of this probability is named.
    pub(super) fn names(&self, probability: f64) -> bool {
        probability >= self.name_from
    }

    fn score(&self, shape: &Shape) -> f64 {
        let [constant, factors @ ..] = &self.factors;
        constant
            + factors
                .iter()
                .zip(shape.0)
                .map(|(factor, figure)| factor * figure)
                .sum::<f64>()
    }

    /// Fits to trials.
    pub(super) fn fit(trials: &[Trial]) -> Self {
        let right = trials.iter().filter(|trial| trial.right).count();
        if right < 10 || trials.len() - right < 10 {
            return Self::default();
        }
        let mut calibration = Self {
            factors: [0.0; FIGURES + 1],
            highest: 1.0,
            name_from: 0.5,
            explain_from: 0.0,
        };
        for _ in 0..ROUNDS {
            if !calibration.step(trials) {
                break;
            }
        }
        // Rounded as it is written, so that a pack read back answers as the one learnt.
        for factor in &mut calibration.factors {
            *factor = (*factor * 1e4).round() / 1e4;
        }
        calibration.bound(trials);
        calibration
    }

    /// One step of Newton's method on the penalised likelihood; whether it moved.
    fn step(&mut self, trials: &[Trial]) -> bool {
        const N: usize = FIGURES + 1;
        let mut gradient = [0.0; N];
        let mut curvature = [[0.0; N]; N];
        for trial in trials {
            let p = logistic(self.score(&trial.shape));
            let target = f64::from(u8::from(trial.right));
            let mut x = [1.0; N];
            x[1..].copy_from_slice(&trial.shape.0);
            for i in 0..N {
                gradient[i] += trial.weight * (target - p) * x[i];
                for (cell, other) in curvature[i].iter_mut().zip(x) {
                    *cell += trial.weight * p * (1.0 - p) * x[i] * other;
                }
            }
        }
        for (i, sign) in (1..N).zip(SIGNS) {
            // At its bound and pushed beyond it, a factor stays where it is.
            if self.factors[i] == 0.0 && (gradient[i] * sign) < 0.0 {
                gradient[i] = 0.0;
                curvature[i] = [0.0; N];
                for row in &mut curvature {
                    row[i] = 0.0;
                }
                curvature[i][i] = 1.0;
            }
        }
        for i in 0..N {
            let ridge = if i == 0 { 1e-6 } else { RIDGE };
            gradient[i] -= ridge * self.factors[i];
            curvature[i][i] += ridge + 1e-9;
        }
        let Some(step) = solve(curvature, gradient) else {
            return false;
        };
        let largest = step.iter().fold(0.0_f64, |most, part| most.max(part.abs()));
        // Far from the answer Newton's method overshoots: no step is longer than this.
        let scale = if largest > 2.0 { 2.0 / largest } else { 1.0 };
        let mut moved = 0.0_f64;
        for (i, part) in step.iter().enumerate() {
            let old = self.factors[i];
            let mut new = old + scale * part;
            if i > 0 && new * SIGNS[i - 1] < 0.0 {
                new = 0.0;
            }
            self.factors[i] = new;
            moved = moved.max((new - old).abs());
        }
        moved > 1e-8
    }

    /// Sets the highest probability and the one from which a label is named.
    fn bound(&mut self, trials: &[Trial]) {
        let mut sure = 0.0;
        let mut wrong = 0.0;
        for trial in trials {
            if logistic(self.score(&trial.shape)) > 0.9 {
                sure += trial.weight;
                wrong += trial.weight * f64::from(u8::from(!trial.right));
            }
        }
        // What the answers that came out right explain, but for the least one in fifty, and some less, for other
        // places are not this one.
        let mut explained: Vec<f64> = trials
            .iter()
            .filter(|trial| trial.right && trial.weight >= 1.0)
            .map(|trial| trial.shape.0[EXPLAINED])
            .collect();
        explained.sort_unstable_by(f64::total_cmp);
        let least = explained.get(explained.len() / 50).copied().unwrap_or(0.5);
        self.explain_from = ((0.6 * least).clamp(0.2, 0.4) * 1e4).floor() / 1e4;
        // Laplace's rule of succession: never surer than so many trials allow.
        self.highest = ((1.0 - (wrong + 1.0) / (sure + 2.0)).max(0.5) * 1e4).floor() / 1e4;
        let weigh = |of: &dyn Fn(&Trial) -> bool| -> f64 {
            let counted = trials.iter().filter(|trial| of(trial));
            counted.map(|trial| trial.weight).sum()
        };
        let strangers = weigh(&|trial| !trial.known);
        let mut from = 0.5_f64;
        while from < 0.9 {
            let named = weigh(&|trial| !trial.known && self.probability(&trial.shape) >= from);
            if named <= 0.03 * strangers {
                break;
            }
            from += 0.02;
        }
        self.name_from = (from.min(self.highest) * 1e4).floor() / 1e4;
    }
}

fn logistic(score: f64) -> f64 {
    1.0 / (1.0 + (-score.clamp(-40.0, 40.0)).exp())
}

/// Solves a small system of linear equations by elimination; `None` where it has no single answer.
fn solve<const N: usize>(mut a: [[f64; N]; N], mut b: [f64; N]) -> Option<[f64; N]> {
    for column in 0..N {
        let pivot =
            (column..N).max_by(|i, j| a[*i][column].abs().total_cmp(&a[*j][column].abs()))?;
        if a[pivot][column].abs() < 1e-12 {
            return None;
        }
        a.swap(column, pivot);
        b.swap(column, pivot);
        let head = a[column];
        for row in column + 1..N {
            let factor = a[row][column] / head[column];
            for (cell, above) in a[row].iter_mut().zip(head).skip(column) {
                *cell -= factor * above;
            }
            b[row] -= factor * b[column];
        }
    }
    for row in (0..N).rev() {
        let mut sum = b[row];
        for column in row + 1..N {
            sum -= a[row][column] * b[column];
        }
        b[row] = sum / a[row][row];
    }
    Some(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_solved() {
        let solution = solve([[2.0, 1.0], [1.0, 3.0]], [3.0, 5.0]).expect("one solution");
        assert!((solution[0] - 0.8).abs() < 1e-12);
        assert!((solution[1] - 1.4).abs() < 1e-12);
        assert_eq!(solve([[1.0, 1.0], [1.0, 1.0]], [1.0, 2.0]), None);
    }

    #[test]
    fn a_better_fit_is_never_less_probable_after_fitting() {
        let trials: Vec<Trial> = (0..100)
            .map(|at| {
                let quality = f64::from(at) / 100.0;
                Trial {
                    shape: Shape([quality, quality, quality, quality, 1.0, 0.0, 0.0]),
                    right: at >= 50,
                    known: at >= 50,
                    weight: 1.0,
                }
            })
            .collect();
        let calibration = Calibration::fit(&trials);
        let p = |quality: f64| {
            calibration.probability(&Shape([quality, quality, quality, quality, 1.0, 0.0, 0.0]))
        };
        assert!(p(0.1) < 0.1);
        assert!(p(0.9) > 0.9);
        assert!(p(0.9) < 1.0, "no number of trials makes sure");
    }
}
