//! The formulas, term by term, in `f64`. Nothing here is clever: it is meant to be right at a glance.
//!
//! Powers are not scaled, so that they overflow for large numbers and a large norm, and vanish for small ones; tests
//! keep away from both.

const DIFFERENCE_EPSILON: f64 = 1e-6;
const LEAST_PROXIMITY: f64 = 1e-5;

/// The p-norm of a vector; of an empty one 0. An infinite `p` is the maximum norm.
#[must_use]
pub fn norm(vector: &[f64], p: f64) -> f64 {
    if p.is_infinite() {
        let mut largest = 0.0;
        for &number in vector {
            if number.is_nan() {
                return f64::NAN;
            }
            if number.abs() > largest {
                largest = number.abs();
            }
        }
        return largest;
    }
    let mut sum = 0.0;
    for &number in vector {
        sum += number.abs().powf(p);
    }
    sum.powf(1.0 / p)
}

/// `|| part - whole + 1e-6 ||`; both are equally long.
#[must_use]
pub fn distance(part: &[f64], whole: &[f64], p: f64) -> f64 {
    let mut differences = Vec::new();
    for i in 0..whole.len() {
        differences.push(part[i] - whole[i] + DIFFERENCE_EPSILON);
    }
    norm(&differences, p)
}

/// `max(|| whole || - distance, 1e-5)`, which is NaN where the difference is.
#[must_use]
pub fn proximity(part: &[f64], whole: &[f64], p: f64) -> f64 {
    let surplus = norm(whole, p) - distance(part, whole, p);
    if surplus.is_nan() {
        return f64::NAN;
    }
    surplus.max(LEAST_PROXIMITY)
}

/// The proximities of all parts of all groups to one whole.
#[must_use]
pub fn proximities(whole: &[f64], groups: &[Vec<Vec<f64>>], p: f64) -> Vec<Vec<f64>> {
    let mut proximities = Vec::new();
    for group in groups {
        proximities.push(group.iter().map(|part| proximity(part, whole, p)).collect());
    }
    proximities
}

/// The contributions of all parts of all groups to one whole.
#[must_use]
pub fn contributions(whole: &[f64], groups: &[Vec<Vec<f64>>], p: f64) -> Vec<Vec<f64>> {
    normalised(proximities(whole, groups, p))
}

/// The contributions of parts with these proximities. That of a part that is left out is 0.
#[must_use]
pub fn normalised(proximities: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut contributions = proximities;
    let mut sum = 0.0;
    for group in &contributions {
        for proximity in group {
            sum += proximity;
        }
    }
    for group in &mut contributions {
        for contribution in group {
            *contribution /= sum;
        }
    }
    contributions
}

/// A coefficient times a direction, and times a scale for each element. Where the coefficient is 0 it is the zero vector.
#[must_use]
pub fn factored_part(coefficient: f64, direction: &[f64], scale: &[f64]) -> Vec<f64> {
    let mut part = Vec::new();
    for i in 0..direction.len() {
        part.push(if coefficient == 0.0 { 0.0 } else { coefficient * direction[i] * scale[i] });
    }
    part
}

/// A value times the rows of a matrix, each with `len` elements.
#[must_use]
pub fn projected(value: &[f64], matrix: &[f64], len: usize) -> Vec<f64> {
    let mut direction = vec![0.0; len];
    for row in 0..value.len() {
        for i in 0..len {
            direction[i] += value[row] * matrix[row * len + i];
        }
    }
    direction
}

/// A key: its vector, its position, and what is added to its score.
#[derive(Clone, Debug)]
pub struct Key {
    /// The vector.
    pub vector: Vec<f64>,
    /// The position. A negative one is an empty cell.
    pub position: i64,
    /// What is added to the score. Minus infinity: not allowed.
    pub mask: f64,
}

/// By what the scores of a query are made.
#[derive(Clone, Copy, Debug)]
pub struct Scoring {
    /// By what inner products are multiplied.
    pub scale: f64,
    /// What no score exceeds.
    pub soft_cap: Option<f64>,
    /// What a score gains for each position that its key is after the query.
    pub slope: Option<f64>,
    /// The score of a key without a part.
    pub sink: Option<f64>,
    /// Whether keys after the query are not allowed.
    pub causal: bool,
    /// How many positions before the query, its own included, are allowed.
    pub window: Option<usize>,
}

impl Scoring {
    /// Inner products times a scale, with nothing else given.
    #[must_use]
    pub const fn new(scale: f64) -> Self {
        Scoring { scale, soft_cap: None, slope: None, sink: None, causal: false, window: None }
    }
}

/// The score of each key to a query at this position. `None`: not allowed.
#[must_use]
pub fn scores(query: &[f64], position: i64, keys: &[Key], scoring: &Scoring) -> Vec<Option<f64>> {
    let mut scores = Vec::new();
    for key in keys {
        let mut product = 0.0;
        for i in 0..query.len() {
            product += query[i] * key.vector[i];
        }
        let mut score = scoring.scale * product;
        if let Some(cap) = scoring.soft_cap {
            score = cap * (score / cap).tanh();
        }
        if let Some(slope) = scoring.slope {
            score += slope * (key.position as f64 - position as f64);
        }
        let is_empty = key.position < 0;
        let is_after = scoring.causal && key.position > position;
        let is_before =
            scoring.window.is_some_and(|window| i128::from(key.position) <= i128::from(position) - window as i128);
        let is_masked = key.mask == f64::NEG_INFINITY;
        score += key.mask;
        if is_empty || is_after || is_before || is_masked || score == f64::NEG_INFINITY {
            scores.push(None);
        } else {
            scores.push(Some(score));
        }
    }
    scores
}

/// The pattern of one query: the softmax of these scores, and of that of a sink. `None`: not allowed, so that it is 0.
#[must_use]
pub fn softmax(scores: &[Option<f64>], sink: Option<f64>) -> Vec<Option<f64>> {
    let mut largest = f64::NEG_INFINITY;
    for score in scores.iter().copied().chain([sink]).flatten() {
        if score > largest {
            largest = score;
        }
    }
    let mut sum = 0.0;
    for score in scores.iter().copied().chain([sink]).flatten() {
        sum += (score - largest).exp();
    }
    let mut pattern = Vec::new();
    for score in scores {
        pattern.push(score.map(|score| (score - largest).exp() / sum));
    }
    pattern
}

/// What is left of one representation's contributions above the threshold, made to sum to 1 again.
#[must_use]
pub fn threshold_and_renormalise(blocks: &[f64], residual: f64, threshold: f64) -> (Vec<f64>, f64) {
    let kept = |contribution: f64| {
        if contribution.is_nan() || contribution > threshold { contribution } else { 0.0 }
    };
    let mut sum = kept(residual);
    for &block in blocks {
        sum += kept(block);
    }
    (blocks.iter().map(|&block| kept(block) / sum).collect(), kept(residual) / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_of_a_vector_that_one_can_check_by_hand() {
        let vector = [3.0, -4.0, 0.0];
        assert_eq!(norm(&vector, 1.0), 7.0);
        assert_eq!(norm(&vector, 2.0), 5.0);
        assert!((norm(&vector, 3.0) - 91.0_f64.cbrt()).abs() < 1e-14);
        assert_eq!(norm(&vector, f64::INFINITY), 4.0);
        assert_eq!(norm(&[], 2.0), 0.0);
        for p in [1.0, 2.0, 2.5, f64::INFINITY] {
            assert!(norm(&[1.0, f64::NAN, 7.0], p).is_nan());
        }
    }

    #[test]
    fn contributions_that_one_can_check_by_hand() {
        // Distances: |1 - 3| + |1 - 1| and |2 - 3| + |0 - 1|, but for the epsilons; the norm of the whole is 4.
        let groups = [vec![vec![1.0, 1.0]], vec![vec![2.0, 0.0], vec![9.0, 9.0]]];
        let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
        let found = contributions(&[3.0, 1.0], &groups, 1.0);
        assert!(near(found[0][0], 0.5) && near(found[1][0], 0.5) && near(found[1][1], 2.5e-6));
        assert!((found.iter().flatten().sum::<f64>() - 1.0).abs() < 1e-15);
        assert_eq!(contributions(&[], &[vec![vec![], vec![]]], 2.0), [[0.5, 0.5]]);
        assert!(contributions(&[f64::INFINITY], &[vec![vec![1.0]]], 1.0)[0][0].is_nan());
    }

    #[test]
    fn factored_parts_that_one_can_check_by_hand() {
        assert_eq!(projected(&[2.0, -1.0], &[1.0, 2.0, 3.0, 10.0, 20.0, 30.0], 3), [-8.0, -16.0, -24.0]);
        assert_eq!(projected(&[], &[], 2), [0.0, 0.0]);
        assert_eq!(factored_part(3.0, &[1.0, 2.0], &[1.0, 0.5]), [3.0, 3.0]);
        assert_eq!(factored_part(-0.0, &[f64::NAN, f64::INFINITY], &[f64::NAN, 1.0]), [0.0, 0.0]);
        assert_eq!(normalised(vec![vec![1.0, 0.0], vec![3.0]]), [vec![0.25, 0.0], vec![0.75]]);
    }

    #[test]
    fn patterns_that_one_can_check_by_hand() {
        let key = |x: f64, position| Key { vector: vec![x, 1.0], position, mask: 0.0 };
        let keys: Vec<Key> = (0..4).map(|position| key(position as f64, position)).collect();
        // The scores are 2 * position, and 1 for the second element.
        let plain = Scoring::new(0.5);
        let of = |scoring: &Scoring| scores(&[4.0, 2.0], 2, &keys, scoring);
        assert_eq!(of(&plain), [Some(1.0), Some(3.0), Some(5.0), Some(7.0)]);
        assert_eq!(of(&Scoring { causal: true, ..plain }), [Some(1.0), Some(3.0), Some(5.0), None]);
        assert_eq!(of(&Scoring { window: Some(2), ..plain }), [None, Some(3.0), Some(5.0), Some(7.0)]);
        assert_eq!(of(&Scoring { causal: true, window: Some(1), ..plain }), [None, None, Some(5.0), None]);
        assert_eq!(of(&Scoring { causal: true, window: Some(0), ..plain }), [None; 4]);
        assert_eq!(of(&Scoring { slope: Some(10.0), ..plain }), [Some(-19.0), Some(-7.0), Some(5.0), Some(17.0)]);
        let capped = of(&Scoring { soft_cap: Some(7.0), ..plain })[3].unwrap();
        assert!((capped - 7.0 * 1.0_f64.tanh()).abs() < 1e-15);
        let mut odd = vec![key(0.0, -1), key(0.0, 0), key(f64::NEG_INFINITY, 0)];
        odd[1].mask = f64::NEG_INFINITY;
        assert_eq!(scores(&[1.0, 0.0], 0, &odd, &plain), [None; 3]);

        let logarithm = |number: f64| Some(number.ln());
        let near = |found: &[Option<f64>], expected: &[Option<f64>]| {
            found.iter().zip(expected).all(|(found, expected)| match (found, expected) {
                (Some(found), Some(expected)) => (found - expected).abs() < 1e-15,
                _ => found == expected,
            })
        };
        let three = [logarithm(1.0), None, logarithm(3.0)];
        assert!(near(&softmax(&three, None), &[Some(0.25), None, Some(0.75)]));
        assert!(near(&softmax(&three, logarithm(4.0)), &[Some(0.125), None, Some(0.375)]));
        assert_eq!(softmax(&[Some(1e4), Some(0.0)], None), [Some(1.0), Some(0.0)]);
        assert_eq!(softmax(&[None, None], None), [None, None]);
        assert!(softmax(&[Some(f64::NAN), Some(0.0)], None).iter().flatten().all(|number| number.is_nan()));
    }

    #[test]
    fn thresholds_that_one_can_check_by_hand() {
        assert_eq!(threshold_and_renormalise(&[0.5, 0.25, 0.0], 0.25, 0.25), (vec![1.0, 0.0, 0.0], 0.0));
        assert_eq!(threshold_and_renormalise(&[0.5, 0.0], 0.5, 0.1), (vec![0.5, 0.0], 0.5));
        assert!(threshold_and_renormalise(&[f64::NAN, 0.5], 0.5, 0.1).1.is_nan());
        assert!(threshold_and_renormalise(&[0.1], 0.1, 0.5).1.is_nan());
    }
}
