//! Coefficients from queries and keys, against the pattern that the formula gives.

mod common;

use common::{Form, Job, Scoring, heads, result_kind};
use contrib_testing::cases;
use contrib_testing::{Kind, Layout, Operation, Random, Stored};

#[test]
fn every_case_of_queries_and_keys_is_met() {
    let cases = cases::of_queries_and_keys();
    assert_eq!(cases.len(), 25);
    for case in cases {
        let job = Job::of_query_key_case(&case);
        let name = &case.case.name;
        let largest_score = heads::attention(&job).largest_score;
        let allowed = if case.case.kind == Kind::F64 { 1e-12 } else { (1e-7 * largest_score).max(1e-6) };
        let results = job.results_as(result_kind(case.case.kind), Layout::row_major, None);
        for (names, result) in cases::RESULTS.iter().zip(results) {
            let expected = case.case.tensor(names.expected);
            assert_eq!(result.layout.shape, expected.shape, "{name}");
            let error = cases::max_error(&result.to_f64(), &expected.numbers.to_f64());
            assert!(error <= allowed, "{name}: off by {error:e}, allowed {allowed:e}");
        }
    }
}

#[test]
fn the_oracle_gives_what_is_expected_of_every_case() {
    for case in cases::of_queries_and_keys() {
        let found = heads::attention(&Job::of_query_key_case(&case));
        let expected = cases::RESULTS.map(|names| case.case.tensor(names.expected).numbers.to_f64());
        let error = found.error(&expected);
        assert!(error <= 1e-12, "{}: off by {error:e}", case.case.name);
    }
}

/// A tensor's place in [`Call::kinds`] and in the layouts of a call.
const NAMES: [&str; 11] = [
    "resid_pre",
    "resid_mid",
    "queries",
    "keys",
    "values",
    "w_o",
    "slopes",
    "sinks",
    "mask",
    "query_positions",
    "key_positions",
];

/// A call of attention from queries and keys.
#[derive(Clone, Debug)]
struct Call {
    norm: f64,
    batch: usize,
    pos: usize,
    key_pos: usize,
    kv_heads: usize,
    heads_of_kv: usize,
    d: usize,
    d_head: usize,
    d_model: usize,
    scoring: Scoring,
    /// The typical magnitude of a score.
    score_size: f64,
    /// The typical magnitude of a slope, of a sink, and of what a mask adds.
    slopes: Option<f64>,
    sinks: Option<f64>,
    mask: Option<f64>,
    has_query_positions: bool,
    has_key_positions: bool,
    /// A bit for each axis along which slopes, sinks, mask and positions are the same.
    shared: u32,
    has_value_output: bool,
    leave_out_masked: bool,
    form: Form,
    /// The typical size of what a head adds beside the whole.
    size: f64,
    /// Whether the whole is much like the stream before attention.
    is_near: bool,
    /// The types of [`NAMES`]; of positions the integers that are as large.
    kinds: [Kind; NAMES.len()],
    seed: u64,
}

impl Call {
    /// The extents, with 1 where a bit of `shared` says so.
    fn sharing(&self, extents: &[usize], first_bit: u32) -> Vec<usize> {
        let is_shared = |axis: usize| self.shared >> first_bit >> axis & 1 == 1;
        extents.iter().enumerate().map(|(axis, &extent)| if is_shared(axis) { 1 } else { extent }).collect()
    }

    /// The call with its tensors in these layouts.
    fn job(&self, layout: impl Fn(usize, &[usize]) -> Layout) -> Job {
        let &Call { batch, pos, key_pos, kv_heads, heads_of_kv, d, d_head, d_model, .. } = self;
        let heads = kv_heads * heads_of_kv;
        let random = &mut Random::new(self.seed);
        let mut inputs = Vec::new();
        let mut add = |name: &'static str, shape: &[usize], value: &mut dyn FnMut(usize) -> f64| {
            let place = NAMES.iter().position(|own| *own == name).unwrap();
            let stored = Stored::from_fn(self.kinds[place], layout(place, shape), value);
            let values = stored.to_f64();
            inputs.push((name, stored));
            values
        };
        let base: Vec<f64> = (0..d_model).map(|_| random.normal()).collect();
        let mid = add("resid_mid", &[batch, pos, d_model], &mut |number| base[number % d_model] + 0.3 * random.normal());
        let near = if self.is_near { 0.7 } else { 0.0 };
        add("resid_pre", &[batch, pos, d_model], &mut |number| near * mid[number] + 0.3 * random.normal());
        let root = self.score_size.sqrt();
        add("queries", &[batch, pos, heads, d], &mut |_| root * random.normal());
        add("keys", &[batch, key_pos, kv_heads, d], &mut |_| root * random.normal());
        add("values", &[batch, key_pos, kv_heads, d_head], &mut |_| 0.5 + random.normal());
        let size = self.size / (d_head.max(1) as f64).sqrt();
        add("w_o", &[heads, d_head, d_model], &mut |number| size * (0.7 * base[number % d_model] + random.normal()));
        if let Some(size) = self.slopes {
            add("slopes", &self.sharing(&[heads], 0), &mut |_| size * random.normal());
        }
        if let Some(size) = self.sinks {
            add("sinks", &self.sharing(&[heads], 1), &mut |_| size * random.normal());
        }
        if let Some(size) = self.mask {
            let mut value = |_| match random.below(4) {
                0 => f64::NEG_INFINITY,
                1 => 0.0,
                _ => size * random.normal(),
            };
            add("mask", &self.sharing(&[batch, heads, pos, key_pos], 2), &mut value);
        }
        let mut add_positions = |name: &'static str, shape: &[usize]| {
            let place = NAMES.iter().position(|own| *own == name).unwrap();
            let kind = if self.kinds[place].size() == 8 { Kind::F64 } else { Kind::F32 };
            // One in six or so is an empty cell.
            let mut value = |_| random.below(key_pos + key_pos / 5 + 2) as i64 - (key_pos / 5 + 1) as i64;
            inputs.push((name, Stored::of_integers(kind, layout(place, shape), &mut value)));
        };
        if self.has_query_positions {
            add_positions("query_positions", &self.sharing(&[batch, pos], 6));
        }
        if self.has_key_positions {
            add_positions("key_positions", &self.sharing(&[batch, key_pos], 8));
        }
        let job = Job {
            operation: Operation::AttentionFactored,
            form: self.form,
            norm: self.norm,
            threshold: 0.0,
            inputs,
            scoring: self.scoring,
            leave_out_masked: self.leave_out_masked,
        };
        if self.has_value_output { job.with_value_output() } else { job }
    }

    /// Any call with extents below these, in row-major tensors of these types.
    fn random(random: &mut Random, kinds: [Kind; NAMES.len()]) -> Self {
        let one_in = |random: &mut Random, count: usize| random.below(count) == 0;
        let maybe = |random: &mut Random, sizes: &[f64]| {
            let size = sizes[random.below(sizes.len())];
            (random.below(3) == 0).then_some(size)
        };
        let key_pos = if one_in(random, 8) { random.below(60) } else { 1 + random.below(20) };
        Call {
            norm: [1.0, 1.0, 2.0, 2.0, f64::INFINITY, 3.0][random.below(6)],
            batch: 1 + random.below(2),
            pos: 1 + random.below(4),
            key_pos,
            kv_heads: 1 + random.below(2),
            heads_of_kv: 1 + random.below(3),
            d: [1, 3, 8, 16, 17, 40][random.below(6)],
            d_head: [1, 3, 8, 16, 17, 40][random.below(6)],
            d_model: 1 + random.below(50),
            scoring: Scoring {
                score_scale: maybe(random, &[0.0, 0.125, -0.5, 1.0]),
                soft_cap: maybe(random, &[0.5, 3.0, 50.0, 1e12]),
                causal: one_in(random, 2),
                window: [None, None, Some(1), Some(3), Some(17), Some(0), Some(1000), Some(usize::MAX)][random.below(8)],
                first_query: one_in(random, 3).then(|| random.below(key_pos + 4) as i64 - 2),
            },
            score_size: [0.01, 1.0, 1.0, 5.0, 40.0, 1000.0][random.below(6)],
            slopes: maybe(random, &[0.05, 1.0]),
            sinks: maybe(random, &[1.0, 20.0]),
            mask: maybe(random, &[0.0, 3.0]),
            has_query_positions: one_in(random, 4),
            has_key_positions: one_in(random, 4),
            shared: if one_in(random, 2) { 0 } else { random.bits() as u32 },
            has_value_output: one_in(random, 3),
            leave_out_masked: one_in(random, 2),
            form: [Form::Each, Form::Each, Form::Sums][random.below(3)],
            size: [1e-6, 1e-3, 0.1, 1.0, 10.0][random.below(5)],
            is_near: one_in(random, 2),
            kinds,
            seed: random.bits(),
        }
    }
}

/// How far the results of a job are off, and by how much they may: for a condition of 1, and for its own.
fn error_of(job: &Job) -> (f64, [f64; 2]) {
    let expected = heads::attention(job);
    let each = job.clone().with_form(Form::Each);
    let found = each.results(None).map(|result| result.to_f64());
    let mut error = expected.error(&found);
    if job.form == Form::Sums {
        let [_, heads, ..] = job.extents_of_heads();
        let attn = expected.attn.chunks(heads).map(|heads| heads.iter().sum()).collect();
        let summed = job.results(None).map(|result| result.to_f64());
        error = error.max(heads::Expected { attn, ..expected.clone() }.error(&summed));
    }
    let in_f64 = job.inputs.iter().all(|(name, stored)| stored.kind() == Kind::F64 || name.ends_with("positions"));
    let allowed = if in_f64 { 1e-12 * expected.largest_score.max(10.0) } else { expected.tolerance() };
    (error, [allowed, allowed * expected.condition])
}

/// Tests so many random calls, and prints the largest errors.
fn test_random_calls(calls: usize, seed: u64) {
    let mut random = Random::new(seed);
    // In `f32` and in `f64`: as shares of what is allowed, and where the condition is less than 4.
    let (mut worst, mut of_well_conditioned) = ([0.0_f64; 2], [0.0_f64; 2]);
    for number in 0..calls {
        let all_one = random.below(3) > 0;
        let first = Kind::ALL[random.below(4)];
        let kinds = std::array::from_fn(|_| if all_one { first } else { Kind::ALL[random.below(4)] });
        let call = Call::random(&mut random, kinds);
        let job = call.job(|_, shape| Layout::row_major(shape));
        let (error, allowed) = error_of(&job);
        let [plain, allowed] = allowed;
        assert!(error <= allowed, "call {number}: off by {error:e}, allowed {allowed:e}: {call:#?}");
        let is_f64 = usize::from(kinds == [Kind::F64; NAMES.len()]);
        worst[is_f64] = worst[is_f64].max(error / allowed);
        if allowed < 4.0 * plain {
            of_well_conditioned[is_f64] = of_well_conditioned[is_f64].max(error / plain);
        }
    }
    println!("errors as shares of what is allowed: {worst:?}; of well-conditioned calls: {of_well_conditioned:?}");
}

#[test]
fn thousands_of_random_calls_give_what_the_oracle_gives() {
    test_random_calls(20_000, 31);
}

#[test]
#[ignore = "takes minutes"]
fn hundreds_of_thousands_of_random_calls_give_what_the_oracle_gives() {
    test_random_calls(150_000, 32);
}

/// A call of three queries and 21 keys in four heads, which make scores of about 2.
fn some_heads(kind: Kind, scoring: Scoring, random: &mut Random) -> Job {
    let resid = &[2, 3, 20][..];
    let shapes = [resid, resid, &[2, 4, 3, 21], &[2, 21, 2, 6], &[4, 6, 20]];
    let mut job = Job::random(Operation::AttentionFactored, kind, &shapes, random);
    let mid = job.input("resid_mid").to_f64();
    let pre = job.input_mut("resid_pre");
    *pre = Stored::from_fn(kind, Layout::row_major(resid), |number| 0.5 * mid[number]);
    job.with_queries_and_keys(8, Scoring { score_scale: Some(0.7), ..scoring }, random)
}

#[test]
fn soft_caps_that_no_score_comes_near_change_nothing() {
    let mut random = Random::new(41);
    for kind in [Kind::F32, Kind::F64] {
        let job = some_heads(kind, Scoring::default(), &mut random);
        let expected = job.results(None).map(|result| result.to_f64());
        for cap in [1e8, 1e12, 1e18, 1e300] {
            let scoring = Scoring { soft_cap: Some(cap), ..job.scoring };
            let found = Job { scoring, ..job.clone() }.results(None).map(|result| result.to_f64());
            for (found, expected) in found.iter().zip(&expected) {
                let (error, allowed) = (cases::max_error(found, expected), if kind == Kind::F64 { 1e-14 } else { 1e-8 });
                assert!(error <= allowed, "{kind:?}, cap {cap:e}: off by {error:e}");
            }
        }
    }
}
