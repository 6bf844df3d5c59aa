//! Coefficients from queries and keys, against the pattern that the formula gives.

mod common;

use common::calls::{cases as cases_of_proptest, storage};
use common::heads::Elements;
use common::{Form, Job, Scoring, heads, result_kind, view, view_indices, view_integers, view_mut};
use contrib_core::{
    Coefficients, Directions, FactoredParts, Group, Norm, Options, Out, Parts, QueriesAndKeys, Sparse, TopK,
    group_contributions,
};
use contrib_testing::{Kind, Layout, Operation, Random, Stored, cases, naive};
use proptest::prelude::*;
use proptest::sample::select;

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
        let mid =
            add("resid_mid", &[batch, pos, d_model], &mut |number| base[number % d_model] + 0.3 * random.normal());
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
                window: [None, None, Some(1), Some(3), Some(17), Some(0), Some(1000), Some(usize::MAX)]
                    [random.below(8)],
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
                let (error, allowed) =
                    (cases::max_error(found, expected), if kind == Kind::F64 { 1e-14 } else { 1e-8 });
                assert!(error <= allowed, "{kind:?}, cap {cap:e}: off by {error:e}");
            }
        }
    }
}

fn kinds() -> impl Strategy<Value = [Kind; NAMES.len()]> {
    let any_of = prop::collection::vec(select(&Kind::ALL[..]), NAMES.len());
    prop_oneof![
        1 => select(&Kind::ALL[..]).prop_map(|kind| [kind; NAMES.len()]),
        1 => any_of.prop_map(|kinds| std::array::from_fn(|place| kinds[place])),
    ]
}

proptest! {
    #![proptest_config(cases_of_proptest(1500))]

    #[test]
    fn any_call_from_tensors_of_any_types_and_strides_gives_what_the_oracle_gives(
        kinds in kinds(),
        seed in any::<u64>(),
        storages in prop::collection::vec(storage(Just(Kind::F32)), NAMES.len()),
    ) {
        let call = Call::random(&mut Random::new(seed), kinds);
        let job = call.job(|place, shape| storages[place].layout(shape, true));
        let (error, [_, allowed]) = error_of(&job);
        prop_assert!(error <= allowed, "off by {:e}, allowed {:e}: {:#?}", error, allowed, call);
    }
}

/// A group whose coefficients come from queries and keys, with the part axes `p..` and batch axes `v..`.
#[derive(Debug)]
struct SoftmaxGroup {
    /// The extents of the part axes, of which the last are keys.
    parts: Vec<usize>,
    scoring: Scoring,
    queries: Stored,
    keys: Stored,
    slopes: Option<Stored>,
    sinks: Option<Stored>,
    mask: Option<Stored>,
    query_positions: Option<Stored>,
    key_positions: Option<Stored>,
    /// Directions, or values and a projection.
    directions: Stored,
    projection: Option<Stored>,
    leave_out_zeros: bool,
}

impl SoftmaxGroup {
    fn random(random: &mut Random, batch: &[usize], base: &[f64], kind: Option<Kind>) -> Self {
        let kind = |random: &mut Random| kind.unwrap_or(Kind::ALL[random.below(4)]);
        let layout = |random: &mut Random, shape: &[usize]| match Layout::OTHERS.get(random.below(10)) {
            Some((_, arrangement)) => arrangement(shape),
            None => Layout::row_major(shape),
        };
        let axes = 1 + random.below(3);
        let mut parts: Vec<usize> = (1..axes).map(|_| 1 + random.below(3)).collect();
        parts.push([1, 2, 7, 16, 19, 33][random.below(6)]);
        let all = [&parts[..], batch].concat();
        let rows = &parts[..axes - 1];
        // Some extents become 1.
        let sharing = |random: &mut Random, shape: &[usize]| -> Vec<usize> {
            let can = random.below(2) == 0;
            shape.iter().map(|&extent| if can && random.below(2) == 0 { 1 } else { extent }).collect()
        };
        let normal = |random: &mut Random, shape: &[usize], size: f64| {
            let (kind, layout) = (kind(random), layout(random, shape));
            Stored::from_fn(kind, layout, |_| size * random.normal())
        };
        let d = 1 + random.below(20);
        let size = [0.3, 1.0, 3.0][random.below(3)];
        let mut of_keys = sharing(random, &all);
        of_keys[axes - 1] = parts[axes - 1];
        let mut of_queries = sharing(random, &all);
        of_queries[axes - 1] = 1;
        // An axis of parts that both share is not one.
        for axis in 0..axes - 1 {
            if of_keys[axis] == 1 {
                of_queries[axis] = parts[axis];
            }
        }
        let maybe = |random: &mut Random, shape: &[usize], size: f64| {
            (random.below(3) == 0).then(|| {
                let shape = sharing(random, shape);
                normal(random, &shape, size)
            })
        };
        let mut mask = maybe(random, &all, 2.0);
        if let Some(mask) = &mut mask {
            for index in mask.layout.indices() {
                if random.below(3) == 0 {
                    mask.numbers.set(index, f64::NEG_INFINITY);
                }
            }
        }
        let count = parts[axes - 1];
        let positions = |random: &mut Random, shape: &[usize]| {
            (random.below(4) == 0).then(|| {
                let shape = sharing(random, shape);
                let (kind, layout) = ([Kind::F32, Kind::F64][random.below(2)], layout(random, &shape));
                Stored::of_integers(kind, layout, |_| random.below(count + 4) as i64 - 2)
            })
        };
        let size_of_parts = [1e-3, 0.1, 0.5][random.below(3)];
        let r = (random.below(2) == 0).then(|| 1 + random.below(20));
        let mut directions = sharing(random, &all);
        directions.push(r.unwrap_or(base.len()));
        let directions = normal(random, &directions, if r.is_some() { 1.0 } else { size_of_parts });
        let projection = r.map(|r| {
            let mut shape = sharing(random, &parts);
            shape[axes - 1] = 1;
            shape.extend([r, base.len()]);
            let (kind, layout) = (kind(random), layout(random, &shape));
            Stored::from_fn(kind, layout, |i| size_of_parts * (random.normal() + base[i % base.len()]))
        });
        SoftmaxGroup {
            scoring: Scoring {
                score_scale: [None, Some(0.5)][random.below(2)],
                soft_cap: [None, None, Some(2.0)][random.below(3)],
                causal: random.below(2) == 0,
                window: [None, None, Some(1), Some(4)][random.below(4)],
                first_query: [None, Some(random.below(count + 2) as i64)][random.below(2)],
            },
            queries: normal(random, &[&of_queries[..], &[d]].concat(), size),
            keys: normal(random, &[&of_keys[..], &[d]].concat(), size),
            slopes: maybe(random, rows, 0.3),
            sinks: maybe(random, rows, 1.0),
            mask,
            query_positions: positions(random, batch),
            key_positions: positions(random, &[&[count], batch].concat()),
            directions,
            projection,
            leave_out_zeros: random.below(2) == 0,
            parts,
        }
    }

    fn factored(&self) -> FactoredParts<'_> {
        let Scoring { score_scale, soft_cap, causal, window, first_query } = self.scoring;
        FactoredParts {
            coefficients: Coefficients::Softmax(QueriesAndKeys {
                score_scale,
                soft_cap,
                causal,
                window,
                first_query,
                slopes: self.slopes.as_ref().map(view),
                sinks: self.sinks.as_ref().map(view),
                mask: self.mask.as_ref().map(view),
                query_positions: self.query_positions.as_ref().map(view_integers),
                key_positions: self.key_positions.as_ref().map(view_integers),
                ..QueriesAndKeys::new(view(&self.queries), view(&self.keys))
            }),
            directions: match &self.projection {
                None => Directions::Vectors(view(&self.directions)),
                Some(projection) => Directions::Projected {
                    values: view(&self.directions),
                    projection: view(projection),
                    prepared: None,
                },
            },
            scale: None,
            leave_out_zeros: self.leave_out_zeros,
        }
    }

    /// The parts of one batch item, whether each is left out, and the largest magnitude of a score.
    fn parts_of(&self, batch: &[usize], item: &[usize], len: usize) -> (Vec<Vec<f64>>, Vec<bool>, f64) {
        let elements = |stored: &Option<Stored>| stored.as_ref().map(Elements::new);
        let integers = |stored: &Option<Stored>| stored.as_ref().map(Elements::of_integers);
        let (queries, keys) = (Elements::new(&self.queries), Elements::new(&self.keys));
        let (slopes, sinks, mask) = (elements(&self.slopes), elements(&self.sinks), elements(&self.mask));
        let (query_positions, key_positions) = (integers(&self.query_positions), integers(&self.key_positions));
        let (directions, projection) = (Elements::new(&self.directions), elements(&self.projection));
        let (&count, rows) = self.parts.split_last().unwrap();
        let last = (batch.last().copied().unwrap_or(1), item.last().copied().unwrap_or(0));
        let position = match &query_positions {
            Some(positions) => positions.get(item) as i64,
            None => self.scoring.first_query.unwrap_or(count as i64 - last.0 as i64) + last.1 as i64,
        };
        let (mut parts, mut are_left_out, mut largest) = (vec![], vec![], 0.0_f64);
        for row in places(rows) {
            let at = |key: usize| [&row[..], &[key], item].concat();
            let query = queries.vector(&at(0));
            let scoring = naive::Scoring {
                scale: self.scoring.score_scale.unwrap_or(1.0 / (query.len() as f64).sqrt()),
                soft_cap: self.scoring.soft_cap,
                slope: slopes.as_ref().map(|slopes| slopes.get(&row)),
                sink: sinks.as_ref().map(|sinks| sinks.get(&row)),
                causal: self.scoring.causal,
                window: self.scoring.window,
            };
            let key = |key: usize| naive::Key {
                vector: keys.vector(&at(key)).to_vec(),
                position: key_positions
                    .as_ref()
                    .map_or(key as i64, |positions| positions.get(&[&[key], item].concat()) as i64),
                mask: mask.as_ref().map_or(0.0, |mask| mask.get(&at(key))),
            };
            let scores = naive::scores(query, position, &(0..count).map(key).collect::<Vec<_>>(), &scoring);
            for score in scores.iter().copied().chain([scoring.sink]).flatten() {
                largest = largest.max(score.abs());
            }
            for (key, coefficient) in naive::softmax(&scores, scoring.sink).into_iter().enumerate() {
                let direction = match &projection {
                    None => directions.vector(&at(key)).to_vec(),
                    Some(projection) => {
                        let value = directions.vector(&at(key));
                        let rows = (0..value.len())
                            .flat_map(|of_value| projection.vector(&[&row[..], &[0, of_value]].concat()).to_vec());
                        naive::projected(value, &rows.collect::<Vec<_>>(), len)
                    }
                };
                parts.push(naive::factored_part(coefficient.unwrap_or(0.0), &direction, &vec![1.0; len]));
                are_left_out.push(self.leave_out_zeros && coefficient.is_none());
            }
        }
        (parts, are_left_out, largest)
    }

    fn is_f64(&self) -> bool {
        let all = [Some(&self.queries), Some(&self.keys), Some(&self.directions), self.projection.as_ref()];
        all.into_iter().flatten().all(|stored| stored.kind() == Kind::F64)
    }
}

/// All places along these axes, in row-major order.
fn places(extents: &[usize]) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for &extent in extents {
        all = all.into_iter().flat_map(|place| (0..extent).map(move |own| [&place[..], &[own]].concat())).collect();
    }
    all
}

/// How the results of the first group are wanted.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Sums(usize),
    TopK(usize),
    Sparse(f64, usize),
}

/// A call of two groups from queries and keys and a dense one, against the oracle and in another form.
fn check_groups(seed: u64, kind: Option<Kind>) -> Result<(), TestCaseError> {
    let random = &mut Random::new(seed);
    let axes = random.below(4).min(2);
    let batch: Vec<usize> = (0..axes).map(|_| 1 + random.below(4)).collect();
    let items: usize = batch.iter().product();
    let len = 1 + random.below(40);
    let norm = [1.0, 1.0, 2.0, 2.0, 3.0, f64::INFINITY][random.below(6)];
    let base: Vec<f64> = (0..len).map(|_| random.normal()).collect();
    let shape = [&batch[..], &[len]].concat();
    let kind_of_whole = kind.unwrap_or(Kind::ALL[random.below(4)]);
    let whole = Stored::from_fn(kind_of_whole, Layout::row_major(&shape), |i| base[i % len] + 0.3 * random.normal());
    let of_whole = whole.to_f64();
    let dense = Stored::from_fn(kind_of_whole, Layout::row_major(&shape), |i| 0.6 * of_whole[i]);
    let groups = [0, 1].map(|_| SoftmaxGroup::random(random, &batch, &base, kind));
    let options = Options::default().norm(Norm::new(norm).unwrap());
    let blank = |shape: &[usize]| Stored::blank(Kind::F64, Layout::row_major(shape));
    let shapes = groups.each_ref().map(|group| [&group.parts[..], &batch].concat());
    let mut outs = shapes.each_ref().map(|shape| blank(shape));
    let mut out_dense = blank(&batch);
    {
        let [first, second] = outs.each_mut().map(view_mut);
        let group = |index: usize, out| Group { parts: Parts::Factored(groups[index].factored()), out };
        let mut all = [
            group(0, Out::Each(first)),
            Group::dense(view(&dense), view_mut(&mut out_dense)),
            group(1, Out::Each(second)),
        ];
        group_contributions(&view(&whole), &mut all, &options).unwrap();
    }
    prop_assert!(outs.iter().chain([&out_dense]).all(Stored::is_untouched_around));
    let is_f64 = kind == Some(Kind::F64) && groups.iter().all(SoftmaxGroup::is_f64);
    let found = outs.each_ref().map(Stored::to_f64);
    for (number, item) in places(&batch).iter().enumerate() {
        let own = &of_whole[number * len..][..len];
        let of_groups = groups.each_ref().map(|group| group.parts_of(&batch, item, len));
        let largest_score = of_groups[0].2.max(of_groups[1].2);
        let [first, second] = of_groups.each_ref().map(|(parts, ..)| parts.clone());
        let all = [first, second, vec![dense.to_f64()[number * len..][..len].to_vec()]];
        let mut proximities = naive::proximities(own, &all, norm);
        for (proximities, (_, are_left_out, _)) in proximities.iter_mut().zip(&of_groups) {
            for (proximity, &is_left_out) in proximities.iter_mut().zip(are_left_out) {
                if is_left_out {
                    *proximity = 0.0;
                }
            }
        }
        let norm_of_whole = naive::norm(own, norm);
        let largest_part = all.iter().flatten().map(|part| naive::norm(part, norm)).fold(norm_of_whole, f64::max);
        let sum = proximities.iter().flatten().sum::<f64>();
        let allowed = if is_f64 { 1e-11 } else { (1e-7 * largest_score).max(1e-6) };
        let allowed = allowed * largest_part / sum.min(norm_of_whole);
        let expected = naive::normalised(proximities);
        for group in 0..2 {
            for (part, expected) in expected[group].iter().enumerate() {
                let found = found[group][part * items + number];
                let error = (found - expected).abs();
                prop_assert!(
                    error <= allowed,
                    "norm {norm}, group {group}, part {part}, item {item:?}: {found}, expected {expected}, allowed \
                     {allowed:e}: {:#?}",
                    groups[group]
                );
            }
        }
        let error = (out_dense.to_f64()[number] - expected[2][0]).abs();
        prop_assert!(error <= allowed, "the dense part, item {item:?}: off by {error:e}");
    }

    // In another form the first group has the same numbers.
    let parts: usize = groups[0].parts.iter().product();
    let wanted = match random.below(3) {
        0 => Wanted::Sums(1 + random.below(groups[0].parts.len())),
        1 => Wanted::TopK(random.below(parts + 1)),
        _ => Wanted::Sparse([0.0, 0.001, 0.01, 0.05][random.below(4)], random.below(parts + 3)),
    };
    let run_shape = |count: usize| [&batch[..], &[count]].concat();
    let (mut out, mut indices) = match wanted {
        Wanted::Sums(summed) => (blank(&shapes[0][summed..]), blank(&[])),
        Wanted::TopK(room) | Wanted::Sparse(_, room) => (blank(&run_shape(room)), blank(&run_shape(room))),
    };
    let (mut counts, mut left_out) = (blank(&batch), blank(&batch));
    let [mut dense_again, mut second] = [blank(&batch), blank(&shapes[1])];
    {
        let to = match wanted {
            Wanted::Sums(_) => Out::Sums(view_mut(&mut out)),
            Wanted::TopK(_) => Out::TopK(TopK {
                contributions: view_mut(&mut out),
                indices: view_indices(&mut indices),
                summed_axes: 0,
            }),
            Wanted::Sparse(above, _) => Out::Sparse(Sparse {
                above,
                contributions: view_mut(&mut out),
                indices: view_indices(&mut indices),
                counts: view_indices(&mut counts),
                left_out: view_mut(&mut left_out),
                summed_axes: 0,
            }),
        };
        let mut all = [
            Group { parts: Parts::Factored(groups[0].factored()), out: to },
            Group::dense(view(&dense), view_mut(&mut dense_again)),
            Group { parts: Parts::Factored(groups[1].factored()), out: Out::Each(view_mut(&mut second)) },
        ];
        group_contributions(&view(&whole), &mut all, &options).unwrap();
    }
    prop_assert_eq!(dense_again.bits(), out_dense.bits());
    prop_assert_eq!(second.bits(), outs[1].bits());
    for item in 0..items {
        let each: Vec<f64> = (0..parts).map(|part| found[0][part * items + item]).collect();
        match wanted {
            Wanted::Sums(summed) => {
                let kept: usize = groups[0].parts[summed..].iter().product();
                for number in 0..kept {
                    let sum: f64 = each.iter().skip(number).step_by(kept).sum();
                    prop_assert!((out.to_f64()[number * items + item] - sum).abs() < 1e-12);
                }
            }
            Wanted::TopK(room) | Wanted::Sparse(_, room) => {
                let above = if let Wanted::Sparse(above, _) = wanted { above } else { f64::NEG_INFINITY };
                let mut order: Vec<usize> = (0..parts).filter(|&part| each[part] > above).collect();
                let count = order.len();
                order.sort_by(|&a, &b| each[b].total_cmp(&each[a]));
                order.truncate(room);
                let run = item * room..item * room + order.len();
                if let Wanted::Sparse(..) = wanted {
                    order.sort_unstable();
                    prop_assert_eq!(counts.integers()[item], count as i64);
                    let rest = each.iter().sum::<f64>() - order.iter().map(|&part| each[part]).sum::<f64>();
                    prop_assert!((left_out.to_f64()[item] - rest).abs() < 1e-12);
                }
                let expected: Vec<i64> = order.iter().map(|&part| part as i64).collect();
                prop_assert_eq!(&indices.integers()[run.clone()], &expected[..]);
                let expected: Vec<f64> = order.iter().map(|&part| each[part]).collect();
                prop_assert_eq!(&out.to_f64()[run], &expected[..]);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases_of_proptest(1500))]

    #[test]
    fn any_groups_from_queries_and_keys_give_what_the_oracle_gives_in_any_form(
        seed in any::<u64>(),
        kind in prop_oneof![2 => Just(None), 1 => select(&Kind::ALL[..]).prop_map(Some)],
    ) {
        check_groups(seed, kind)?;
    }
}

/// The results of a job, in `f64`.
fn results(job: &Job) -> [Vec<f64>; 2] {
    job.results(None).map(|result| result.to_f64())
}

#[track_caller]
fn assert_as_the_oracle(job: &Job, name: &str) {
    let (error, [_, allowed]) = error_of(job);
    assert!(error <= allowed, "{name}: off by {error:e}, allowed {allowed:e}");
}

/// A tensor of these numbers.
fn stored(kind: Kind, shape: &[usize], value: impl FnMut(usize) -> f64) -> Stored {
    Stored::from_fn(kind, Layout::row_major(shape), value)
}

/// A tensor of these integers, of `i64`.
fn integers(shape: &[usize], value: impl FnMut(usize) -> i64) -> Stored {
    Stored::of_integers(Kind::F64, Layout::row_major(shape), value)
}

/// Norms of every way to measure.
const NORMS: [f64; 5] = [1.0, 2.0, 3.0, f64::INFINITY, 2.7];

/// Calls with nothing allowed for any query: their names, and inputs and scoring that see to it.
fn with_nothing_allowed(job: &Job) -> Vec<(&'static str, Job)> {
    let scoring = |change: fn(&mut Scoring)| {
        let mut job = job.clone();
        change(&mut job.scoring);
        job
    };
    vec![
        ("a mask", job.with("mask", stored(Kind::F32, &[1, 1, 1, 1], |_| f64::NEG_INFINITY))),
        ("a mask of float16", job.with("mask", stored(Kind::F16, &[1, 1, 3, 21], |_| f64::NEG_INFINITY))),
        ("a window of no position", scoring(|scoring| (scoring.causal, scoring.window) = (true, Some(0)))),
        ("queries before all keys", scoring(|scoring| (scoring.causal, scoring.first_query) = (true, Some(-3)))),
        (
            "queries long after all keys",
            scoring(|scoring| {
                (scoring.window, scoring.first_query) = (Some(4), Some(1 << 40));
            }),
        ),
        ("empty cells", job.with("key_positions", integers(&[1, 1], |_| -1))),
    ]
}

#[test]
fn a_query_with_nothing_allowed_has_zero_vectors_as_parts() {
    let random = &mut Random::new(51);
    for kind in Kind::ALL {
        let plain = some_heads(kind, Scoring::default(), random);
        let with_sinks = plain.with("sinks", stored(Kind::F32, &[4], |number| number as f64 - 2.0));
        for (name, job) in with_nothing_allowed(&plain).into_iter().chain(with_nothing_allowed(&with_sinks)) {
            for norm in NORMS {
                let job = job.with_norm(norm);
                assert_as_the_oracle(&job, name);
                let [attn, resid] = results(&job);
                for (item, resid) in resid.iter().enumerate() {
                    let own = &attn[item * 84..][..84];
                    assert!(own.iter().all(|&number| number > 0.0 && number == own[0]), "{name}: {own:?}");
                    assert!((resid + own.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{name}");
                }
                let left_out = Job { leave_out_masked: true, ..job };
                assert_as_the_oracle(&left_out, name);
                let [attn, resid] = results(&left_out);
                assert!(attn.iter().all(|&number| number == 0.0), "{name}");
                assert!(resid.iter().all(|&number| (number - 1.0).abs() < 1e-15), "{name}: {resid:?}");
            }
        }
    }
}

#[test]
fn no_key_and_one_key_and_one_of_everything_are_fine() {
    let random = &mut Random::new(52);
    for kind in Kind::ALL {
        for [batch, pos, keys, heads, d_head, d_model] in [
            [2, 3, 0, 2, 3, 5],
            [2, 3, 1, 2, 3, 5],
            [1, 1, 1, 1, 1, 1],
            [2, 0, 3, 2, 3, 5],
            [0, 2, 3, 2, 3, 5],
            [2, 3, 4, 2, 0, 5],
            [2, 3, 4, 2, 3, 0],
            [2, 3, 4, 0, 3, 5],
        ] {
            let resid = &[batch, pos, d_model][..];
            let shapes =
                [resid, resid, &[batch, heads, pos, keys], &[batch, keys, heads, d_head], &[heads, d_head, d_model]];
            let job = Job::random(Operation::AttentionFactored, kind, &shapes, random);
            for d in [0, 1, 5] {
                for causal in [false, true] {
                    let job = job.with_queries_and_keys(d, Scoring { causal, ..Scoring::default() }, random);
                    for norm in NORMS {
                        let job = job.with_norm(norm);
                        let [attn, resid] = results(&job);
                        for (item, resid) in resid.iter().enumerate() {
                            let sum: f64 = attn[item * keys * heads..][..keys * heads].iter().sum();
                            assert!((sum + resid - 1.0).abs() < 1e-12, "{kind:?} {shapes:?} {d} {norm}: {sum} {resid}");
                        }
                        if d > 0 && heads > 0 && d_model > 0 {
                            assert_as_the_oracle(&job, &format!("{kind:?} {shapes:?}"));
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_query_that_sees_one_key_has_its_value() {
    let random = &mut Random::new(53);
    for kind in Kind::ALL {
        let job = some_heads(kind, Scoring { causal: true, window: Some(1), ..Scoring::default() }, random);
        let given = Job {
            scoring: Scoring::default(),
            inputs: job.inputs.iter().filter(|(name, _)| !["queries", "keys"].contains(name)).cloned().collect(),
            ..job.clone()
        };
        // The queries are at the positions of the last keys.
        let pattern = stored(kind, &[2, 4, 3, 21], |number| f64::from(number / 21 % 3 + 18 == number % 21));
        let given = given.with("pattern", pattern);
        for norm in NORMS {
            for leave_out_masked in [false, true] {
                let with = |job: &Job| Job { leave_out_masked, ..job.with_norm(norm) };
                assert!(results(&with(&job)) == results(&with(&given)), "{kind:?}, norm {norm}");
                assert_as_the_oracle(&with(&job), "a window of 1");
            }
        }
    }
}

/// Which batch items and queries have results that are NaN: all of their results.
fn are_nan(job: &Job, name: &str) -> Vec<bool> {
    let [attn, resid] = results(job);
    let own = attn.len() / resid.len();
    let of_item = |(item, resid): (usize, &f64)| {
        let attn = &attn[item * own..][..own];
        assert!(attn.iter().all(|number| number.is_nan() == resid.is_nan()), "{name}, item {item}: {resid}, {attn:?}");
        resid.is_nan()
    };
    resid.iter().enumerate().map(of_item).collect()
}

/// Sets the element of an input at these indices.
fn set(job: &mut Job, name: &str, indices: &[usize], number: f64) {
    let stored = job.input_mut(name);
    let place = stored.layout.shape.iter().zip(indices).fold(0, |place, (extent, own)| place * extent + own);
    let index = stored.layout.indices()[place];
    stored.numbers.set(index, number);
}

#[test]
fn nan_in_a_query_or_key_or_mask_or_sink_makes_those_nan_that_see_it_and_leaves_the_others_alone() {
    let random = &mut Random::new(54);
    for kind in Kind::ALL {
        // Queries at the positions 5, 6 and 7: they see two keys each.
        let scoring = Scoring { causal: true, window: Some(2), first_query: Some(5), ..Scoring::default() };
        let plain = some_heads(kind, scoring, random)
            .with("mask", stored(kind, &[2, 4, 3, 21], |number| f64::from(number as u32 % 3)))
            .with("sinks", stored(kind, &[4], |_| 0.5))
            .with("slopes", stored(kind, &[4], |_| 0.25));
        for norm in NORMS {
            let plain = plain.with_norm(norm);
            let expected = results(&plain);
            let odd: [(&str, &[usize], [bool; 6]); 9] = [
                ("queries", &[1, 2, 3, 7], [false, false, false, false, false, true]),
                ("keys", &[0, 5, 1, 0], [true, true, false, false, false, false]),
                ("keys", &[1, 6, 0, 3], [false, false, false, false, true, true]),
                ("keys", &[1, 8, 0, 3], [false; 6]),
                ("keys", &[1, 20, 0, 3], [false; 6]),
                ("mask", &[0, 3, 1, 6], [false, true, false, false, false, false]),
                ("mask", &[0, 3, 1, 7], [false; 6]),
                ("sinks", &[2], [true; 6]),
                ("slopes", &[0], [true; 6]),
            ];
            for (name, indices, nan) in odd {
                let mut job = plain.clone();
                set(&mut job, name, indices, f64::NAN);
                let what = format!("{kind:?}, norm {norm}, NaN in {name} {indices:?}");
                assert_eq!(are_nan(&job, &what), nan, "{what}");
                for (found, expected) in results(&job).iter().zip(&expected) {
                    let same = found.iter().zip(expected).all(|(found, expected)| found.is_nan() || found == expected);
                    assert!(same, "{what}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_allowed_has_a_pattern_of_zero_whatever_its_query_and_key() {
    let random = &mut Random::new(55);
    let plain = some_heads(Kind::F32, Scoring::default(), random);
    let job = plain
        .with("mask", stored(Kind::F32, &[1, 1, 1, 21], |key| if key > 3 { f64::NEG_INFINITY } else { 0.0 }))
        .with("key_positions", integers(&[1, 21], |key| if key == 2 { -1 } else { key as i64 }));
    for leave_out_masked in [false, true] {
        let job = Job { leave_out_masked, ..job.clone() };
        let expected = results(&job);
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3e38] {
            for key in [2, 4, 17, 20] {
                let mut job = job.clone();
                for name in ["keys", "values"] {
                    for d in 0..6 {
                        set(&mut job, name, &[1, key, 0, d], number);
                    }
                }
                assert!(results(&job) == expected, "{number} in key {key}");
            }
        }
    }
}

#[test]
fn infinite_scores_are_what_the_formula_makes_of_them() {
    let random = &mut Random::new(56);
    for kind in [Kind::F32, Kind::F64] {
        let mut job = some_heads(kind, Scoring { causal: true, first_query: Some(2), ..Scoring::default() }, random);
        // All products with the first element of the key are of one sign.
        for query in 0..3 {
            for head in 0..4 {
                set(&mut job, "queries", &[0, query, head, 0], 1.0);
            }
        }
        let mut least = job.clone();
        set(&mut least, "keys", &[0, 3, 0, 0], f64::NEG_INFINITY);
        assert_as_the_oracle(&least, "a score of minus infinity");
        assert_eq!(are_nan(&least, "a score of minus infinity"), [false; 6]);
        let mut largest = job.clone();
        set(&mut largest, "keys", &[0, 3, 0, 0], f64::INFINITY);
        assert_eq!(are_nan(&largest, "an infinite score"), [false, true, true, false, false, false]);
        let capped = Job { scoring: Scoring { soft_cap: Some(3.0), ..job.scoring }, ..largest };
        assert_eq!(are_nan(&capped, "an infinite score with a cap"), [false; 6]);
        assert_as_the_oracle(&job.with("sinks", stored(kind, &[4], |_| f64::NEG_INFINITY)), "sinks of minus infinity");
        let no_sinks = results(&job.with("sinks", stored(kind, &[1], |_| f64::NEG_INFINITY)));
        assert_eq!(no_sinks, results(&job), "a sink of minus infinity is none");
    }
}

#[test]
fn scores_that_differ_by_ten_thousand_leave_one_key() {
    let random = &mut Random::new(57);
    for kind in [Kind::F32, Kind::F64, Kind::Bf16] {
        for scale in [1e4, -1e4, 1e30] {
            let job =
                some_heads(kind, Scoring { score_scale: Some(scale), causal: true, ..Scoring::default() }, random);
            for leave_out_masked in [false, true] {
                for norm in NORMS {
                    assert_as_the_oracle(&Job { leave_out_masked, ..job.with_norm(norm) }, "scores of 1e4 and more");
                }
            }
        }
        let sinks = stored(kind, &[4], |head| [1e4, -1e4, 90.0, -90.0][head]);
        assert_as_the_oracle(&some_heads(kind, Scoring::default(), random).with("sinks", sinks), "sinks of 1e4");
        // A key that is allowed is a part, however small its pattern.
        let mask = stored(Kind::F32, &[1, 1, 1, 21], |key| if key == 7 { 0.0 } else { -3e4 });
        let job = Job { leave_out_masked: true, ..some_heads(kind, Scoring::default(), random).with("mask", mask) };
        assert!(results(&job)[0].iter().all(|&number| number > 0.0));
        assert_as_the_oracle(&job, "a mask of -3e4");
    }
}

#[test]
fn windows_of_any_width_are_those_of_a_mask() {
    let random = &mut Random::new(58);
    for kind in [Kind::F32, Kind::F64] {
        for first_query in [0, 3, 18, 30] {
            for window in [1, 2, 15, 16, 17, 21, 1000, usize::MAX] {
                let scoring = Scoring { window: Some(window), first_query: Some(first_query), ..Scoring::default() };
                for causal in [false, true] {
                    let job = some_heads(kind, Scoring { causal, ..scoring }, random);
                    assert_as_the_oracle(&job, &format!("window {window}, first query {first_query}, {causal}"));
                }
            }
        }
    }
}

#[test]
fn without_a_scale_it_is_one_over_the_root_of_the_length_and_without_a_position_queries_are_last() {
    let random = &mut Random::new(59);
    let job = some_heads(Kind::F32, Scoring { causal: true, ..Scoring::default() }, random);
    let with = |scoring| results(&Job { scoring, ..job.clone() });
    let plain = Scoring { score_scale: None, ..job.scoring };
    let expected = with(Scoring { score_scale: Some(1.0 / 8.0_f64.sqrt()), first_query: Some(18), ..plain });
    assert_eq!(with(plain), expected);
    assert_ne!(with(Scoring { first_query: Some(17), ..plain }), expected);
    let positions = integers(&[1, 3], |query| 18 + query as i64);
    let positioned =
        Job { scoring: Scoring { first_query: Some(0), ..plain }, ..job.with("query_positions", positions) };
    assert_eq!(results(&positioned), expected);
}
