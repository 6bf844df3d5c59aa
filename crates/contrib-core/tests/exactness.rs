//! What must not change a bit of the results: threads, the rest of the batch, strides, other callers, the place.

mod common;

use common::{Form, Job, Outputs, Scoring, view, view_mut};
use contrib_core::{
    Context, Group, Norm, Options, Tensor, TensorMut, contributions, group_contributions, threshold_and_renormalise,
    threshold_and_renormalise_in_place,
};
use contrib_testing::{Axis, Kind, Layout, Numbers, Operation, Random, Stored};
use std::ops::Range;
use std::thread;

/// Norms of every way to measure.
const NORMS: [f64; 5] = [1.0, 2.0, 3.0, f64::INFINITY, 2.7];

/// A call of every operation, each large enough that threads share its work, in each way that they can.
fn large_jobs(kind: Kind) -> Vec<(&'static str, Job)> {
    let mut random = Random::new(1);
    let mut job = |operation, shapes: &[&[usize]]| Job::random(operation, kind, shapes, &mut random);
    let mut jobs = vec![
        ("many entries", job(Operation::Contributions, &[&[400, 70], &[10, 400, 70]])),
        ("one entry of thousands of parts", job(Operation::Contributions, &[&[270], &[11, 91, 270]])),
        ("a few entries of many parts", job(Operation::Contributions, &[&[2, 3, 300], &[150, 2, 3, 300]])),
        ("many entries", job(Operation::OneOff, &[&[20, 30, 60], &[2, 4, 20, 30, 60], &[20, 30, 60]])),
        ("one entry of thousands of parts", job(Operation::OneOff, &[&[64], &[4500, 64], &[64]])),
        ("many entries", job(Operation::Attention, &[&[2, 25, 64], &[2, 25, 64], &[2, 25, 25, 4, 64]])),
        ("a few entries of many parts", job(Operation::Attention, &[&[1, 2, 300], &[1, 2, 300], &[1, 2, 70, 8, 300]])),
        ("many entries", job(Operation::Mlp, &[&[4, 250, 270], &[4, 250, 270], &[4, 250, 270]])),
        ("one token of thousands of neurons", job(Operation::DecomposedMlp, &[&[260], &[260], &[1100, 260]])),
        ("a few tokens of many neurons", job(Operation::DecomposedMlp, &[&[2, 3, 64], &[2, 3, 64], &[2, 3, 700, 64]])),
        ("many representations", job(Operation::Threshold, &[&[10, 300, 90], &[10, 300]])),
    ];
    let heads = job(Operation::AttentionFactored, &shapes(&shapes_of_heads([2, 65, 90], 100, [6, 3, 20])));
    let one_query = job(Operation::AttentionFactored, &shapes(&shapes_of_heads([1, 1, 160], 300, [6, 1, 33])));
    let neurons = job(Operation::MlpNeurons, &[&[3, 31, 64], &[3, 31, 64], &[3, 31, 900], &[900, 64]]);
    let one_token = job(Operation::MlpNeurons, &[&[260], &[260], &[1100], &[1100, 260]]);
    jobs.extend([
        ("many queries, by the heads' output", heads.with_value_output()),
        ("many queries, summed over heads", heads.clone().with_form(Form::Sums)),
        ("many queries, the sparse", heads.clone().with_form(Form::Sparse(2e-3, 40))),
        ("many queries", heads),
        ("one query, summed over heads", one_query.clone().with_form(Form::Sums)),
        ("one query, the sparse", one_query.clone().with_form(Form::Sparse(2e-3, 300))),
        ("one query", one_query),
        ("many tokens, the strongest neurons", neurons.clone().with_form(Form::TopK(17))),
        ("many tokens", neurons),
        ("one token of thousands of neurons, the strongest", one_token.clone().with_form(Form::TopK(1100))),
        ("one token of thousands of neurons", one_token),
    ]);
    let causal = Scoring { causal: true, ..Scoring::default() };
    let mut from_queries_and_keys = |[batch, queries, keys]: [usize; 3], d_model, of_heads, d, scoring| {
        Job::random(
            Operation::AttentionFactored,
            kind,
            &shapes(&shapes_of_heads([batch, queries, keys], d_model, of_heads)),
            &mut random,
        )
        .with_queries_and_keys(d, scoring, &mut random)
    };
    let many = from_queries_and_keys([2, 65, 90], 100, [6, 3, 20], 24, causal);
    let windows = from_queries_and_keys([1, 150, 150], 33, [4, 1, 9], 16, Scoring { window: Some(20), ..causal });
    let one_query = from_queries_and_keys([1, 1, 400], 300, [6, 1, 33], 40, causal);
    jobs.extend([
        ("many queries with keys, by the heads' output", many.with_value_output()),
        ("many queries with keys, summed over heads", many.clone().with_form(Form::Sums)),
        ("many queries with keys, the sparse", many.clone().with_form(Form::Sparse(2e-3, 40))),
        ("many queries with keys", many),
        ("many queries with a window", windows),
        ("one query with keys, the strongest", one_query.clone().with_form(Form::TopK(30))),
        ("one query with keys", one_query),
    ]);
    jobs
}

/// Shapes, as a job takes them.
fn shapes(shapes: &[Vec<usize>; 5]) -> [&[usize]; 5] {
    shapes.each_ref().map(Vec::as_slice)
}

/// The shapes of the inputs of factored attention: of so many batch entries, queries and keys, and of heads, key-value heads
/// and elements of a value.
fn shapes_of_heads(
    [batch, queries, keys]: [usize; 3],
    d_model: usize,
    [heads, kv_heads, d_head]: [usize; 3],
) -> [Vec<usize>; 5] {
    let resid = vec![batch, queries, d_model];
    let pattern = vec![batch, heads, queries, keys];
    [resid.clone(), resid, pattern, vec![batch, keys, kv_heads, d_head], vec![heads, d_head, d_model]]
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let contexts = [1, 2, 3, 8].map(|threads| Context::new(threads).unwrap());
    assert_eq!(contexts.each_ref().map(Context::threads), [1, 2, 3, 8]);
    for kind in [Kind::F32, Kind::Bf16, Kind::F64] {
        for (shape, job) in large_jobs(kind) {
            let norms = if job.operation == Operation::Threshold { &NORMS[..1] } else { &NORMS };
            for &norm in norms {
                let job = job.with_norm(norm);
                let alone = job.bits(Some(&contexts[0]));
                for context in contexts[1..].iter().map(Some).chain([None]) {
                    let threads = context.map(Context::threads);
                    assert_eq!(job.bits(context), alone, "{:?}, {shape}, norm {norm}, {threads:?}", job.operation);
                }
            }
        }
    }
}

#[test]
fn many_callers_can_use_one_context_at_once() {
    let context = &Context::new(2).unwrap();
    let jobs = &large_jobs(Kind::F32);
    let expected: &Vec<_> = &jobs.iter().map(|(_, job)| job.bits(None)).collect();
    thread::scope(|scope| {
        for caller in 0..8 {
            scope.spawn(move || {
                for turn in 0..2 * jobs.len() {
                    let number = (turn + caller) % jobs.len();
                    assert_eq!(jobs[number].1.bits(Some(context)), expected[number], "caller {caller}, {number}");
                }
            });
        }
    });
}

/// The input that has the axes of the batch, and after them only those of a vector.
fn whole(job: &Job) -> &Stored {
    match job.operation {
        Operation::Contributions | Operation::OneOff => job.input("whole"),
        Operation::Threshold => job.input("c_residual"),
        _ => job.input("resid_mid"),
    }
}

/// How many batch axes a call has.
fn batch_axes(job: &Job) -> usize {
    whole(job).layout.shape.len() - usize::from(job.operation != Operation::Threshold)
}

/// The extents of a call's batch axes.
fn batch_shape(job: &Job) -> &[usize] {
    &whole(job).layout.shape[..batch_axes(job)]
}

/// How many entries the batch of a call has.
fn entries(job: &Job) -> usize {
    batch_shape(job).iter().product()
}

/// Which axis of an input is which of the batch; nothing where all along that axis share the same.
fn axes_of_batch(job: &Job, name: &str) -> Vec<Option<usize>> {
    let first = if name == "parts" { job.input("parts").layout.shape.len() - 1 - batch_axes(job) } else { 0 };
    match name {
        "w_o" | "w_out" => vec![None; batch_axes(job)],
        "keys" | "key_positions" | "values" | "value_output" => vec![Some(0), None],
        "pattern" | "mask" => vec![Some(0), Some(2)],
        "slopes" | "sinks" => vec![None, None],
        _ => (first..first + batch_axes(job)).map(Some).collect(),
    }
}

/// Which axis of each output is which of the batch.
fn axes_of_outputs(job: &Job) -> [Vec<Option<usize>>; 2] {
    let all: Vec<Option<usize>> = (0..batch_axes(job)).map(Some).collect();
    match job.operation {
        Operation::Contributions => [axes_of_batch(job, "parts"), vec![]],
        Operation::OneOff => [axes_of_batch(job, "parts"), all],
        _ => [all.clone(), all],
    }
}

/// The place of an entry along each axis of the batch.
fn places(batch: &[usize], entry: usize) -> Vec<usize> {
    let mut rest = entry;
    let mut places: Vec<usize> = batch
        .iter()
        .rev()
        .map(|extent| {
            let place = rest % extent;
            rest /= extent;
            place
        })
        .collect();
    places.reverse();
    places
}

/// Of an axis only the elements of this range.
fn narrowed(stored: &Stored, axis: usize, range: Range<usize>) -> Stored {
    let mut layout = stored.layout.clone();
    layout.offset = layout.offset.wrapping_add_signed(range.start as isize * layout.strides[axis]);
    layout.shape[axis] = range.len();
    Stored { numbers: stored.numbers.clone(), layout }
}

/// Of the batch only the entry at these places.
fn element_of(stored: &Stored, axes: &[Option<usize>], places: &[usize]) -> Stored {
    let mut element = stored.clone();
    for (&axis, &place) in axes.iter().zip(places) {
        if let Some(axis) = axis {
            element = narrowed(&element, axis, place..place + 1);
        }
    }
    element.laid_out(Layout::row_major)
}

/// The scoring of a call for the queries from this one on.
fn from_query(job: &Job, first: usize) -> Scoring {
    if job.get("queries").is_none() {
        return job.scoring;
    }
    let [_, _, queries, keys] = job.extents_of_heads();
    let first_query = job.scoring.first_query.unwrap_or(keys as i64 - queries as i64) + first as i64;
    Scoring { first_query: Some(first_query), ..job.scoring }
}

/// The same call for one entry of the batch.
fn entry_alone(job: &Job, entry: usize) -> Job {
    let mut alone = job.clone();
    let places = places(batch_shape(job), entry);
    alone.scoring = from_query(job, places.get(1).copied().unwrap_or(0));
    for (name, stored) in &mut alone.inputs {
        *stored = element_of(stored, &axes_of_batch(job, name), &places);
    }
    alone
}

/// The bits of the results for one entry of the batch.
fn bits_of_entry(job: &Job, [out, out_residual]: &Outputs, entry: usize) -> [Vec<u64>; 2] {
    let places = places(batch_shape(job), entry);
    let [axes, axes_of_residual] = axes_of_outputs(job);
    [element_of(out, &axes, &places).bits(), element_of(out_residual, &axes_of_residual, &places).bits()]
}

/// Calls of every operation with a few entries in the batch.
fn batches(kind: Kind) -> Vec<Job> {
    let mut random = Random::new(2);
    let mut job = |operation, shapes: &[&[usize]]| Job::random(operation, kind, shapes, &mut random);
    let mut jobs = vec![
        job(Operation::Contributions, &[&[2, 3, 37], &[2, 5, 2, 3, 37]]),
        job(Operation::Contributions, &[&[2, 3, 600], &[7, 2, 3, 600]]),
        job(Operation::Contributions, &[&[5, 300], &[333, 5, 300]]),
        job(Operation::Contributions, &[&[2, 2100], &[3, 2, 2100]]),
        job(Operation::OneOff, &[&[2, 3, 270], &[40, 2, 3, 270], &[2, 3, 270]]),
        job(Operation::Attention, &[&[2, 3, 270], &[2, 3, 270], &[2, 3, 3, 4, 270]]),
        job(Operation::Mlp, &[&[2, 3, 270], &[2, 3, 270], &[2, 3, 270]]),
        job(Operation::DecomposedMlp, &[&[2, 3, 65], &[2, 3, 65], &[2, 3, 7, 65]]),
        job(Operation::DecomposedMlp, &[&[4, 256], &[4, 256], &[4, 300, 256]]),
        job(Operation::Threshold, &[&[2, 3, 4, 5], &[2, 3]]),
        job(Operation::Threshold, &[&[6], &[6]]),
    ];
    let heads = job(Operation::AttentionFactored, &shapes(&shapes_of_heads([2, 3, 7], 70, [4, 2, 9])));
    let neurons = job(Operation::MlpNeurons, &[&[2, 3, 65], &[2, 3, 65], &[2, 3, 37], &[37, 65]]);
    jobs.extend([
        job(Operation::AttentionFactored, &shapes(&shapes_of_heads([2, 5, 6], 270, [3, 1, 65]))),
        job(Operation::MlpNeurons, &[&[6, 257], &[6, 257], &[6, 18], &[18, 257]]),
        heads.with_value_output(),
        heads.with_value_output().with_form(Form::Sums),
        heads.clone().with_form(Form::Sums),
        heads,
        neurons.clone().with_form(Form::TopK(5)),
        neurons,
    ]);
    let [queries_and_keys, ..] = batches_of_queries_and_keys(kind);
    jobs.extend([queries_and_keys.clone().with_form(Form::Sums), queries_and_keys]);
    jobs
}

/// Calls with queries and keys, of a few queries in each of two batch items. Of the first all queries see all keys.
fn batches_of_queries_and_keys(kind: Kind) -> [Job; 5] {
    let mut random = Random::new(14);
    let shapes = shapes_of_heads([2, 3, 21], 70, [4, 2, 9]);
    let heads = Job::random(Operation::AttentionFactored, kind, &self::shapes(&shapes), &mut random);
    let mut of = |scoring| heads.with_queries_and_keys(18, scoring, &mut random);
    let causal = Scoring { causal: true, ..Scoring::default() };
    let [plain, cells] = [of(Scoring::default()), of(causal)];
    let jobs = [
        of(causal).with_value_output(),
        of(Scoring { window: Some(3), soft_cap: Some(2.0), first_query: Some(17), ..causal }),
        of(Scoring { score_scale: Some(0.7), first_query: Some(5), ..causal }),
    ];
    let mut stored = |shape: &[usize]| Stored::from_fn(kind, Layout::row_major(shape), |_| random.normal());
    let plain = plain.with("mask", stored(&[2, 4, 3, 21])).with("slopes", stored(&[4])).with("sinks", stored(&[4]));
    let integers =
        |kind, shape: &[usize], value: fn(usize) -> i64| Stored::of_integers(kind, Layout::row_major(shape), value);
    let cells = cells
        .with("query_positions", integers(Kind::F32, &[2, 3], |number| 9 + number as i64))
        .with("key_positions", integers(Kind::F64, &[2, 21], |number| (5 * number % 19) as i64 - 2));
    let [first, second, third] = jobs;
    [plain, cells, first, second, third]
}

/// Calls of every operation with a few entries in the batch, and those of queries and keys.
fn all_batches(kind: Kind) -> Vec<Job> {
    let mut jobs = batches(kind);
    jobs.extend(batches_of_queries_and_keys(kind));
    jobs
}

/// Calls `check` with each of these calls for each norm that it takes.
fn for_each_norm(jobs: Vec<Job>, mut check: impl FnMut(&Job, &str)) {
    for job in jobs {
        let norms = if job.operation == Operation::Threshold { &NORMS[..1] } else { &NORMS };
        for &norm in norms {
            let job = job.with_norm(norm);
            let shapes: Vec<_> = job.inputs.iter().map(|(_, input)| &input.layout.shape).collect();
            let name = format!("{:?} of {:?} {shapes:?}, norm {norm}", job.operation, job.inputs[0].1.kind());
            check(&job, &name);
        }
    }
}

#[test]
fn an_entry_alone_and_in_a_batch_has_the_same_bits() {
    for kind in Kind::ALL {
        for_each_norm(all_batches(kind), |job, name| {
            let outputs = job.results(None);
            for entry in 0..entries(job) {
                let alone = entry_alone(job, entry).bits(None);
                assert_eq!(bits_of_entry(job, &outputs, entry), alone, "{name}, entry {entry}");
            }
        });
    }
}

#[test]
fn an_entry_alone_and_in_a_batch_that_threads_share_has_the_same_bits() {
    let context = Context::new(7).unwrap();
    for (shape, job) in large_jobs(Kind::F32) {
        let outputs = job.results(Some(&context));
        let entries = entries(&job);
        for entry in (0..entries).step_by(entries.div_ceil(20)) {
            let alone = entry_alone(&job, entry).bits(None);
            assert_eq!(bits_of_entry(&job, &outputs, entry), alone, "{:?}, {shape}, entry {entry}", job.operation);
        }
    }
}

/// The same call for some of the entries along an axis of the batch.
fn part_of_batch(job: &Job, axis: usize, range: &Range<usize>) -> Job {
    let mut part = job.clone();
    if axis == 1 {
        part.scoring = from_query(job, range.start);
    }
    for (name, stored) in &mut part.inputs {
        if let Some(axis) = axes_of_batch(job, name)[axis] {
            *stored = narrowed(stored, axis, range.clone());
        }
    }
    part
}

#[test]
fn calls_for_some_queries_or_tokens_each_give_the_bits_of_one_call_for_all() {
    for kind in [Kind::F32, Kind::Bf16, Kind::F64] {
        let mut random = Random::new(12);
        let mut job = |operation, shapes: &[&[usize]]| Job::random(operation, kind, shapes, &mut random);
        let heads = job(Operation::AttentionFactored, &shapes(&shapes_of_heads([2, 11, 13], 40, [4, 2, 9])));
        let neurons = job(Operation::MlpNeurons, &[&[2, 11, 65], &[2, 11, 65], &[2, 11, 37], &[37, 65]]);
        let heads_again = heads.clone();
        let jobs = vec![
            heads.with_value_output(),
            heads.clone().with_form(Form::Sums),
            heads.clone().with_form(Form::TopK(7)),
            heads.clone().with_form(Form::Sparse(0.02, 7)),
            heads,
            neurons.clone().with_form(Form::TopK(5)),
            neurons.clone().with_form(Form::Sparse(0.03, 4)),
            neurons,
        ];
        let causal = Scoring { causal: true, ..Scoring::default() };
        let from_queries_and_keys = [causal, Scoring { window: Some(4), first_query: Some(1), ..causal }]
            .map(|scoring| heads_again.with_queries_and_keys(20, scoring, &mut random));
        let [first, second] = from_queries_and_keys;
        let jobs: Vec<Job> = jobs
            .into_iter()
            .chain([
                first.with_value_output(),
                first.clone().with_form(Form::TopK(7)),
                first.clone().with_form(Form::Sparse(0.02, 7)),
                first,
                second,
            ])
            .collect();
        for_each_norm(jobs, |job, name| {
            let outputs = job.results(None);
            for ranges in [&[0..1, 1..11][..], &[0..5, 5..6, 6..11], &[0..4, 4..8, 8..11]] {
                for range in ranges {
                    let found = part_of_batch(job, 1, range).bits(None);
                    let expected = outputs.each_ref().map(|output| narrowed(output, 1, range.clone()).bits());
                    assert_eq!(found, expected, "{name}, {range:?}");
                }
            }
        });
    }
}

/// Proximities of wholes with factored parts are kept for so many wholes at a time as a bounded memory a thread has room for.
#[test]
fn more_wholes_than_are_kept_at_a_time_give_the_same_bits_on_any_threads() {
    let contexts = [1, 2].map(|threads| Context::new(threads).unwrap());
    let mut random = Random::new(13);
    let mut job = |operation, shapes: &[&[usize]]| Job::random(operation, Kind::F32, shapes, &mut random);
    let heads = job(Operation::AttentionFactored, &shapes(&shapes_of_heads([2, 43, 5000], 4, [4, 2, 3])));
    let neurons = job(Operation::MlpNeurons, &[&[2, 43, 5], &[2, 43, 5], &[2, 43, 20_000], &[20_000, 5]]);
    for (job, norms) in [
        (heads.clone().with_form(Form::Sums), &NORMS[..1]),
        (heads, &NORMS[1..2]),
        (neurons.clone().with_form(Form::TopK(9)), &NORMS[..1]),
        (neurons.with_form(Form::Sparse(6e-5, 100)), &NORMS[..1]),
    ] {
        for &norm in norms {
            let job = job.with_norm(norm);
            let name = format!("{:?} {:?}, norm {norm}", job.operation, job.form);
            let outputs = job.results_as(Kind::F32, Layout::row_major, Some(&contexts[0]));
            let expected = outputs.each_ref().map(Stored::bits);
            for context in &contexts[1..] {
                let results = job.results_as(Kind::F32, Layout::row_major, Some(context));
                assert!(results.map(|output| output.bits()) == expected, "{name}, {} threads", context.threads());
            }
            for entry in (0..entries(&job)).step_by(19) {
                let alone = entry_alone(&job, entry).results_as(Kind::F32, Layout::row_major, None);
                let expected = bits_of_entry(&job, &outputs, entry);
                assert!(alone.map(|output| output.bits()) == expected, "{name}, entry {entry}");
            }
        }
    }
}

#[test]
fn wherever_inputs_and_results_lie_the_bits_are_the_same() {
    for kind in Kind::ALL {
        for_each_norm(all_batches(kind), |job, name| {
            let expected = job.bits(None);
            for (arrangement, layout) in Layout::OTHERS {
                assert_eq!(job.laid_out(layout).bits(None), expected, "{name}, {arrangement} inputs");
                let results = job.results_as(Kind::F64, layout, None).map(|output| output.bits());
                assert_eq!(results, expected, "{name}, {arrangement} results");
            }
        });
    }
}

#[test]
fn large_calls_on_strided_tensors_give_the_same_bits() {
    let context = Context::new(2).unwrap();
    for (shape, job) in large_jobs(Kind::F32) {
        let expected = job.bits(None);
        for (arrangement, layout) in Layout::OTHERS {
            let results = job.laid_out(layout).results_as(Kind::F64, layout, Some(&context));
            assert_eq!(results.map(|output| output.bits()), expected, "{:?}, {shape}, {arrangement}", job.operation);
        }
    }
}

#[test]
fn broadcast_inputs_give_the_same_bits_as_copies() {
    let broadcast =
        |axes: &[bool]| -> Vec<Axis> { axes.iter().map(|&broadcast| Axis { broadcast, ..Axis::default() }).collect() };
    for kind in Kind::ALL {
        let mut random = Random::new(3);
        let mut stored = |shape: &[usize], axes: &[bool]| {
            let order: Vec<usize> = (0..shape.len()).collect();
            Stored::from_fn(kind, Layout::arranged(shape, &order, &broadcast(axes)), |_| random.normal())
        };
        for (whole_axes, parts_axes) in [
            ([true, false], [false, true, false]),
            ([false, true], [true, false, false]),
            ([true, true], [false, false, true]),
            ([false, false], [true, true, true]),
        ] {
            for norm in NORMS {
                let shared = Job {
                    operation: Operation::Contributions,
                    form: Form::Each,
                    norm,
                    threshold: 0.0,
                    inputs: vec![
                        ("whole", stored(&[3, 600], &whole_axes)),
                        ("parts", stored(&[40, 3, 600], &parts_axes)),
                    ],
                    scoring: Scoring::default(),
                    leave_out_masked: false,
                };
                let copied = shared.laid_out(Layout::row_major);
                assert_eq!(shared.bits(None), copied.bits(None), "{kind:?}, {norm}, {whole_axes:?}, {parts_axes:?}");
            }
        }
    }
}

#[test]
fn the_type_of_the_results_only_rounds_them() {
    for kind in Kind::ALL {
        for_each_norm(all_batches(kind), |job, name| {
            if matches!(job.form, Form::TopK(_)) {
                return;
            }
            let exact = job.results(None);
            for to in Kind::ALL {
                let rounded = job.results_as(to, Layout::row_major, None);
                for (rounded, exact) in rounded.iter().zip(&exact) {
                    if exact.is_blank() {
                        continue;
                    }
                    let expected = Numbers::of_f64(to, &exact.to_f64());
                    for (index, found) in rounded.bits().into_iter().enumerate() {
                        let both_nan = expected.get(index).is_nan() && rounded.elements().get(index).is_nan();
                        assert!(both_nan || found == expected.bits(index), "{name} to {to:?}, {index}");
                    }
                }
            }
        });
    }
}

#[test]
fn results_little_more_than_halfway_between_two_halves_are_the_greater_one() {
    // The distance to halfway is less than what is left of an `f64` without its last 32 bits.
    let number = 0.125_061_122_892_283_1;
    let greater = 0.125 + 1.0 / 8192.0;
    let row = |numbers: &[f64]| Stored::from_fn(Kind::F64, Layout::row_major(&[numbers.len()]), |i| numbers[i]);
    let blank = |shape: &[usize]| Stored::blank(Kind::F16, Layout::row_major(shape));

    // The proximity of `x` to 1 is `x` and the epsilon.
    let part = number * (1.0 + 2e-6) - 1e-6;
    let parts = Stored::from_fn(Kind::F64, Layout::row_major(&[2, 1]), |i| [part, 1.0 - part][i]);
    let mut out = blank(&[2]);
    contributions(&view(&row(&[1.0])), &view(&parts), &mut view_mut(&mut out), &Options::default()).unwrap();
    assert_eq!(out.to_f64()[0], greater);

    let (blocks, residual) = (row(&[number]), Stored::from_fn(Kind::F64, Layout::row_major(&[]), |_| 1.0 - number));
    let (mut out, mut out_residual) = (blank(&[1]), blank(&[]));
    let (to, to_residual) = (&mut view_mut(&mut out), &mut view_mut(&mut out_residual));
    threshold_and_renormalise(&view(&blocks), &view(&residual), 0.0, to, to_residual, &Options::default()).unwrap();
    assert_eq!(out.to_f64()[0], greater);
}

#[test]
fn results_do_not_depend_on_what_the_outputs_held() {
    let job = &batches(Kind::F32)[0];
    let mut outputs = job.results(None);
    let expected = outputs.clone().map(|output| output.bits());
    job.run(&mut outputs, None).unwrap();
    assert_eq!(outputs.map(|output| output.bits()), expected);
}

#[test]
fn nan_in_one_row_leaves_the_others_alone() {
    for kind in Kind::ALL {
        for_each_norm(batches(kind), |job, name| {
            let clean = job.results(None);
            for input in 0..job.inputs.len() {
                let bad = places(batch_shape(job), (input + 1) % entries(job));
                let mut dirty = job.clone();
                let axes = axes_of_batch(job, job.inputs[input].0);
                let stored = &mut dirty.inputs[input].1;
                // The last element of the entry: the last of its last part.
                let mut index = stored.layout.offset;
                for axis in 0..stored.layout.shape.len() {
                    let of_batch = axes.iter().position(|&own| own == Some(axis));
                    let at = of_batch.map_or(stored.layout.shape[axis] - 1, |axis| bad[axis]);
                    index = index.wrapping_add_signed(at as isize * stored.layout.strides[axis]);
                }
                stored.numbers.set(index, f64::NAN);

                let results = dirty.results(None);
                for entry in 0..entries(job) {
                    let found = bits_of_entry(job, &results, entry);
                    let own = places(batch_shape(job), entry);
                    let has_nan =
                        axes.iter().zip(own.iter().zip(&bad)).all(|(axis, (own, bad))| axis.is_none() || own == bad);
                    if has_nan {
                        let nan = f64::NAN.to_bits();
                        let rows = if job.operation == Operation::Contributions { 1 } else { 2 };
                        let [out, residual] = &found;
                        let (out, indices) = match job.form {
                            Form::TopK(k) => out.split_at(k),
                            _ => (&out[..], &[][..]),
                        };
                        let mut contributions =
                            out.iter().chain(residual).take(out.len() + (rows - 1) * residual.len());
                        assert!(contributions.all(|&bits| bits == nan), "{name}, NaN in input {input}");
                        assert!(indices.iter().copied().eq(0..indices.len() as u64), "{name}, NaN in input {input}");
                    } else {
                        assert_eq!(found, bits_of_entry(job, &clean, entry), "{name}, NaN in input {input}");
                    }
                }
            }
        });
    }
}

#[test]
fn nan_is_seen_at_every_index_of_a_vector() {
    let mut random = Random::new(4);
    for len in (1..70).chain([255, 256, 257, 300, 1025, 2049]) {
        for kind in [Kind::F32, Kind::F64, Kind::Bf16] {
            let job = Job::random(Operation::Contributions, kind, &[&[len], &[2, len]], &mut random);
            let indices = [0, 1, len / 2, len.saturating_sub(2), len - 1];
            for (index, norm) in indices.into_iter().filter(|&index| index < len).zip(NORMS) {
                for input in 0..2 {
                    let mut job = job.with_norm(norm);
                    let stored = &mut job.inputs[input].1;
                    let index = stored.layout.offset + index;
                    stored.numbers.set(index, f64::NAN);
                    let results = job.results(None)[0].to_f64();
                    assert!(results.iter().all(|result| result.is_nan()), "{kind:?}, norm {norm}, {index} of {len}");
                }
            }
        }
    }
}

#[test]
fn thresholding_in_place_gives_the_same_bits() {
    let mut random = Random::new(5);
    let contexts = [1, 2].map(|threads| Context::new(threads).unwrap());
    for kind in Kind::ALL {
        for shapes in [[&[2, 5, 13][..], &[2, 5]], [&[6], &[6]], [&[7], &[]], [&[1500, 200], &[1500]]] {
            let job = Job::random(Operation::Threshold, kind, &shapes, &mut random);
            let expected = job.results_as(kind, Layout::row_major, None).map(|output| output.bits());
            for (_, layout) in Layout::OTHERS {
                for context in &contexts {
                    let job = job.laid_out(layout);
                    let (mut blocks, mut residual) = (job.inputs[0].1.clone(), job.inputs[1].1.clone());
                    threshold_and_renormalise_in_place(
                        &mut view_mut(&mut blocks),
                        &mut view_mut(&mut residual),
                        job.threshold,
                        &Options::default().context(context),
                    )
                    .unwrap();
                    assert!(blocks.is_untouched_around() && residual.is_untouched_around());
                    assert_eq!([blocks.bits(), residual.bits()], expected, "{kind:?} {shapes:?}");
                }
            }
        }
    }
}

#[test]
fn the_named_operations_are_the_primitive() {
    for_each_norm(batches(Kind::F32), |job, name| {
        // Which input is the whole, which are the groups, and where the part axes of the first group come from.
        let (whole, groups): (_, &[&str]) = match job.operation {
            Operation::Contributions => ("whole", &["parts"]),
            Operation::OneOff => ("whole", &["parts", "one_off"]),
            Operation::Attention => ("resid_mid", &["decomposed_attn", "resid_pre"]),
            Operation::Mlp => ("resid_post", &["mlp_out", "resid_mid"]),
            Operation::DecomposedMlp => ("resid_post", &["decomposed_mlp_out", "resid_mid"]),
            Operation::Threshold | Operation::AttentionFactored | Operation::MlpNeurons => return,
        };
        let mut outputs = job.outputs(Kind::F64, Layout::row_major);
        // The primitive wants the part axes first.
        let batch = batch_axes(job);
        let parts_first = |stored: &Stored, has_vectors: bool| -> Layout {
            let axes = &stored.layout;
            let parts_end = axes.shape.len() - usize::from(has_vectors);
            let part_axes = if matches!(job.operation, Operation::Contributions | Operation::OneOff) {
                0..0
            } else {
                batch..parts_end
            };
            let order: Vec<usize> =
                part_axes.clone().chain((0..axes.shape.len()).filter(|axis| !part_axes.contains(axis))).collect();
            Layout {
                shape: order.iter().map(|&axis| axes.shape[axis]).collect(),
                strides: order.iter().map(|&axis| axes.strides[axis]).collect(),
                ..axes.clone()
            }
        };
        let whole = job.input(whole);
        let inputs: Vec<Stored> = groups
            .iter()
            .map(|group| Stored {
                numbers: job.input(group).numbers.clone(),
                layout: parts_first(job.input(group), true),
            })
            .collect();
        for output in &mut outputs {
            output.layout = parts_first(output, false);
        }
        let mut dense: Vec<Group<'_>> =
            inputs.iter().zip(&mut outputs).map(|(parts, out)| Group::dense(view(parts), view_mut(out))).collect();
        let options = Options::default().norm(Norm::new(job.norm).unwrap());
        group_contributions(&view(whole), &mut dense, &options).unwrap();
        let named = job.results(None);
        for (primitive, named) in outputs.iter().zip(&named) {
            assert_eq!(primitive.buffer_bits(), named.buffer_bits(), "{name}");
        }
    });
}

#[test]
fn vectors_without_elements_are_all_alike_wherever_they_would_lie() {
    let mut out = [f64::NAN; 5];
    contributions(
        &Tensor::new::<f32>(&[], &[0]).unwrap(),
        &Tensor::strided::<f32>(&[], 0, &[5, 0], &[1, 5]).unwrap(),
        &mut TensorMut::new(&mut out, &[5]).unwrap(),
        &Options::default(),
    )
    .unwrap();
    assert_eq!(out, [0.2; 5]);
}

/// What is the same however it is said: that a query sees no key after it, and where queries and keys are.
#[test]
fn positions_and_masks_that_allow_the_same_keys_give_the_same_bits() {
    for kind in [Kind::F32, Kind::F64, Kind::Bf16] {
        let mut random = Random::new(15);
        let heads = shapes_of_heads([2, 19, 37], 70, [4, 2, 9]);
        let heads = Job::random(Operation::AttentionFactored, kind, &shapes(&heads), &mut random);
        for (window, leave_out_masked) in [(None, false), (None, true), (Some(5), false), (Some(18), true)] {
            let scoring = Scoring { causal: true, window, first_query: Some(11), ..Scoring::default() };
            let job = heads.with_queries_and_keys(18, scoring, &mut random);
            let job = Job { leave_out_masked, ..job };
            let sees_all = Job { scoring: Scoring::default(), ..job.clone() };
            let mask = Stored::from_fn(Kind::F16, Layout::row_major(&[1, 1, 19, 37]), |number| {
                let (query, key) = (11 + number / 37, number % 37);
                let is_allowed = key <= query && window.is_none_or(|window| key + window > query);
                if is_allowed { 0.0 } else { f64::NEG_INFINITY }
            });
            let key_positions = Stored::of_integers(Kind::F32, Layout::row_major(&[1, 37]), |key| key as i64);
            let query_positions =
                Stored::of_integers(Kind::F64, Layout::row_major(&[2, 19]), |number| 11 + (number % 19) as i64);
            let others = [
                ("a mask", sees_all.with("mask", mask.clone())),
                ("a mask as well", job.with("mask", mask)),
                ("positions of keys", job.with("key_positions", key_positions.clone())),
                ("positions of queries", job.with("query_positions", query_positions.clone())),
                (
                    "positions of both",
                    Job { scoring: Scoring { first_query: None, ..scoring }, ..job.clone() }
                        .with("query_positions", query_positions)
                        .with("key_positions", key_positions),
                ),
                ("slopes of 0", job.with("slopes", Stored::from_fn(kind, Layout::row_major(&[1]), |_| 0.0))),
            ];
            for norm in NORMS {
                let expected = job.with_norm(norm).bits(None);
                for (name, job) in &others {
                    let found = job.with_norm(norm).bits(None);
                    assert!(found == expected, "{kind:?}, norm {norm}, window {window:?}, {name}");
                }
            }
        }
    }
}
