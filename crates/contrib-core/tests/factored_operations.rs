//! The operations with factored parts beside those that are given the vectors themselves, and what can be chosen of their
//! results.

mod common;

use common::{Form, Job, Scoring, view, view_indices, view_mut};
use contrib_core::{
    AttentionResults, Directions, FactoredAttention, FactoredParts, Group, Heads, MlpNeurons, NeuronResults, Norm,
    OneOff, Options, Out, Parts, Tensor, TopK, attention, attention_factored, decomposed_mlp, group_contributions,
    mlp_neurons, threshold_and_renormalise,
};
use contrib_testing::{Kind, Layout, Operation, Random, Stored, cases::max_error, naive};

/// Norms of every way to measure.
const NORMS: [f64; 5] = [1.0, 2.0, 3.0, f64::INFINITY, 2.7];

/// How far results may be off: in `f64` by roundings, and otherwise by those of `f32`, of which contributions between 0 and
/// 1 have few.
fn tolerance(kind: Kind) -> f64 {
    if kind == Kind::F64 { 1e-12 } else { 1e-6 }
}

fn options<'a>(norm: f64) -> Options<'a> {
    Options::default().norm(Norm::new(norm).unwrap())
}

fn blank(shape: &[usize]) -> Stored {
    Stored::blank(Kind::F64, Layout::row_major(shape))
}

/// Makes an input half of another, so that it is a part which contributes much: proximities that are all near the least are
/// in part roundings.
fn make_half(job: &mut Job, part: &str, whole: &str) {
    let whole = job.input(whole).to_f64();
    let stored = job.input_mut(part);
    *stored = Stored::from_fn(stored.kind(), stored.layout.clone(), |number| 0.5 * whole[number]);
}

/// A call of factored attention: so many batch entries, queries and keys, and heads, key-value heads and elements of a value.
/// Each query sees the keys up to its own place from the end, and half of those have a pattern of 0.
fn heads(
    kind: Kind,
    [batch, queries, keys]: [usize; 3],
    d_model: usize,
    [heads, kv_heads, d_head]: [usize; 3],
    random: &mut Random,
) -> Job {
    let resid = &[batch, queries, d_model][..];
    let (pattern, values) = (&[batch, heads, queries, keys][..], &[batch, keys, kv_heads, d_head][..]);
    let shapes = [resid, resid, pattern, values, &[heads, d_head, d_model]];
    let mut job = Job::random(Operation::AttentionFactored, kind, &shapes, random);
    make_half(&mut job, "resid_pre", "resid_mid");
    let stored = job.input_mut("pattern");
    *stored = Stored::from_fn(kind, stored.layout.clone(), |number| {
        let (query, key) = (number / keys % queries, number % keys);
        let is_masked = key + queries > query + keys || random.below(2) == 0;
        if is_masked { 0.0 } else { random.unit() }
    });
    job
}

/// Queries, keys, heads: many heads, grouped queries, one key-value head; `head * d_head` is `d_model`, less and more.
fn all_heads(kind: Kind, random: &mut Random) -> Vec<Job> {
    [
        ([2, 7, 7], 48, [4, 4, 12]),
        ([1, 5, 5], 300, [6, 2, 16]),
        ([2, 3, 17], 33, [6, 1, 21]),
        ([3, 1, 20], 64, [2, 2, 33]),
        ([1, 6, 9], 16, [3, 3, 1]),
        ([1, 4, 4], 1, [8, 4, 70]),
    ]
    .into_iter()
    .map(|(extents, d_model, of_heads)| heads(kind, extents, d_model, of_heads, random))
    .collect()
}

/// The vectors that pattern and values make, `[batch, pos, key_pos, head, d_model]`, in `f64`.
fn decomposed(job: &Job) -> Stored {
    let (pattern, values, w_o) = (job.input("pattern"), job.input("values"), job.input("w_o"));
    let [batch, heads, queries, keys] = pattern.layout.shape[..] else { panic!("four axes") };
    let [_, _, kv_heads, d_head] = values.layout.shape[..] else { panic!("four axes") };
    let d_model = w_o.layout.shape[2];
    let (pattern, values, w_o) = (pattern.to_f64(), values.to_f64(), w_o.to_f64());
    let mut vectors = Vec::new();
    for b in 0..batch {
        for query in 0..queries {
            for key in 0..keys {
                for head in 0..heads {
                    let kv_head = head / (heads / kv_heads);
                    let value = &values[((b * keys + key) * kv_heads + kv_head) * d_head..][..d_head];
                    let matrix = &w_o[head * d_head * d_model..][..d_head * d_model];
                    let direction = naive::projected(value, matrix, d_model);
                    let coefficient = pattern[((b * heads + head) * queries + query) * keys + key];
                    vectors.extend(naive::factored_part(coefficient, &direction, &vec![1.0; d_model]));
                }
            }
        }
    }
    Stored::from_fn(Kind::F64, Layout::row_major(&[batch, queries, keys, heads, d_model]), |i| vectors[i])
}

/// The results of attention on the vectors themselves.
fn attention_on_vectors(job: &Job) -> [Vec<f64>; 2] {
    let vectors = decomposed(job);
    let [mut out, mut residual] = job.outputs(Kind::F64, Layout::row_major);
    let (pre, mid) = (view(job.input("resid_pre")), view(job.input("resid_mid")));
    let (out_view, residual_view) = (&mut view_mut(&mut out), &mut view_mut(&mut residual));
    attention(&pre, &mid, &view(&vectors), out_view, residual_view, &options(job.norm)).unwrap();
    [out.to_f64(), residual.to_f64()]
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], tolerance: f64, name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    assert!(found.iter().chain(expected).all(|number| number.is_finite()), "{name}: {found:?}, expected {expected:?}");
    let error = max_error(found, expected);
    assert!(error <= tolerance, "{name}: off by {error:e}, allowed {tolerance:e}");
}

#[test]
fn attention_from_pattern_and_values_is_attention_on_the_vectors_that_they_make() {
    let random = &mut Random::new(21);
    for kind in Kind::ALL {
        for job in all_heads(kind, random) {
            for norm in NORMS {
                let job = job.with_norm(norm);
                let expected = attention_on_vectors(&job);
                let found = job.results(None);
                let name = format!("{kind:?} {:?}, norm {norm}", job.input("pattern").layout.shape);
                for (found, expected) in found.iter().zip(&expected) {
                    assert_near(&found.to_f64(), expected, tolerance(kind), &name);
                }
                let sums: Vec<f64> =
                    expected[0].chunks(job.input("pattern").layout.shape[1]).map(|heads| heads.iter().sum()).collect();
                let summed = job.clone().with_form(Form::Sums).results(None);
                assert_near(&summed[0].to_f64(), &sums, tolerance(kind), &name);
                assert_near(&summed[1].to_f64(), &expected[1], tolerance(kind), &name);
            }
        }
    }
}

#[test]
fn what_heads_write_for_each_token_gives_what_values_and_matrices_give() {
    let random = &mut Random::new(22);
    // Products are rounded to the type: not to a half one here, which would be another input.
    for kind in [Kind::F32, Kind::F64] {
        for job in all_heads(kind, random) {
            for form in [Form::Each, Form::Sums] {
                for norm in NORMS {
                    let job = job.with_norm(norm).with_form(form);
                    let (found, expected) = (job.with_value_output().results(None), job.results(None));
                    for (found, expected) in found.iter().zip(&expected) {
                        let name = format!("{kind:?} {:?}, norm {norm}, {form:?}", job.input("pattern").layout.shape);
                        assert_near(&found.to_f64(), &expected.to_f64(), tolerance(kind), &name);
                    }
                }
            }
        }
    }
}

/// The parts of queries of their own, as where a prompt grows by a token at a time.
#[test]
fn queries_may_be_some_of_the_tokens() {
    let random = &mut Random::new(23);
    let all = heads(Kind::F32, [2, 9, 9], 50, [4, 2, 10], random);
    let expected = all.results(None);
    let queries = [8, 2, 3];
    let mut some = all.clone();
    for (name, axis) in [("resid_pre", 1), ("resid_mid", 1), ("pattern", 2)] {
        *some.input_mut(name) = of_axis(all.input(name), axis, &queries);
    }
    let found = some.results(None);
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.bits(), of_axis(expected, 1, &queries).bits());
    }
}

/// Of an axis only these, in this order.
fn of_axis(stored: &Stored, axis: usize, places: &[usize]) -> Stored {
    let shape = &stored.layout.shape;
    let values = stored.to_f64();
    let inner: usize = shape[axis + 1..].iter().product();
    let mut chosen = shape.clone();
    chosen[axis] = places.len();
    let value = |number: usize| {
        let (outer, place) = (number / inner / places.len(), places[number / inner % places.len()]);
        values[(outer * shape[axis] + place) * inner + number % inner]
    };
    Stored::from_fn(stored.kind(), Layout::row_major(&chosen), value)
}

/// What a call of factored attention is given beside a job's inputs.
#[derive(Clone, Copy, Default)]
struct Extras<'a> {
    scale: Option<&'a Stored>,
    leave_out_masked: bool,
    bias: Option<&'a Stored>,
}

/// The results of factored attention, and of its further part.
fn attention_with(job: &Job, extras: Extras<'_>, options: &Options<'_>) -> [Vec<f64>; 3] {
    let [mut out, mut residual] = job.outputs(Kind::F64, Layout::row_major);
    let resid = job.input("resid_mid");
    let mut out_bias = blank(&resid.layout.shape[..2]);
    let mut one_offs = Vec::new();
    if let Some(bias) = extras.bias {
        one_offs.push(OneOff { part: view(bias), out: view_mut(&mut out_bias) });
    }
    let inputs = FactoredAttention {
        resid_pre: view(job.input("resid_pre")),
        resid_mid: view(resid),
        pattern: view(job.input("pattern")).into(),
        heads: Heads::Values { values: view(job.input("values")), w_o: view(job.input("w_o")), prepared: None },
        scale: extras.scale.map(view),
        leave_out_masked: extras.leave_out_masked,
    };
    let attn = job.form.out(&mut out);
    let results = AttentionResults { attn, resid: view_mut(&mut residual), one_offs: &mut one_offs };
    attention_factored(&inputs, results, options).unwrap();
    [out.to_f64(), residual.to_f64(), out_bias.to_f64()]
}

/// The same by the oracle, whose groups are the heads, the residual, and the further part.
fn attention_by_the_oracle(job: &Job, extras: Extras<'_>) -> [Vec<f64>; 3] {
    let vectors = decomposed(job);
    let [batch, queries, keys, heads, d_model] = vectors.layout.shape[..] else { panic!("five axes") };
    let values = |name: &str| job.input(name).to_f64();
    let (pre, mid, pattern) = (values("resid_pre"), values("resid_mid"), values("pattern"));
    // `[batch or 1, pos or 1, d_model or 1]`
    let shared = |stored: &Stored, b: usize, query: usize| -> Vec<f64> {
        let [of_batch, of_queries, of_d] = stored.layout.shape[..] else { panic!("three axes") };
        let own = (b % of_batch * of_queries + query % of_queries) * of_d;
        let numbers = stored.to_f64();
        (0..d_model).map(|i| numbers[own + i % of_d]).collect()
    };
    let mut results = [vec![], vec![], vec![]];
    for b in 0..batch {
        for query in 0..queries {
            let entry = b * queries + query;
            let row = |numbers: &[f64], row: usize| numbers[row * d_model..][..d_model].to_vec();
            let scale = extras.scale.map_or(vec![1.0; d_model], |scale| shared(scale, b, query));
            let (mut parts, mut is_masked) = (vec![], vec![]);
            for part in 0..keys * heads {
                let (key, head) = (part / heads, part % heads);
                let vector = row(&vectors.to_f64(), entry * keys * heads + part);
                parts.push(naive::factored_part(1.0, &vector, &scale));
                is_masked.push(pattern[((b * heads + head) * queries + query) * keys + key] == 0.0);
            }
            let bias = extras.bias.map(|bias| shared(bias, b, query)).into_iter().collect();
            let mut proximities =
                naive::proximities(&row(&mid, entry), &[parts, vec![row(&pre, entry)], bias], job.norm);
            for (proximity, is_masked) in proximities[0].iter_mut().zip(is_masked) {
                if extras.leave_out_masked && is_masked {
                    *proximity = 0.0;
                }
            }
            for (results, own) in results.iter_mut().zip(naive::normalised(proximities)) {
                results.extend(own);
            }
        }
    }
    results
}

#[test]
fn a_scale_and_further_parts_and_leaving_out_what_is_masked_are_as_the_oracle_has_them() {
    let random = &mut Random::new(24);
    for kind in [Kind::F32, Kind::F64] {
        let job = heads(kind, [2, 3, 5], 20, [4, 2, 6], random);
        let mut stored = |shape: &[usize]| Stored::from_fn(kind, Layout::row_major(shape), |_| 0.5 + random.unit());
        let scales = [&[2, 3, 20][..], &[1, 1, 20], &[2, 3, 1], &[1, 3, 20], &[1, 1, 1]].map(&mut stored);
        let biases = [&[2, 3, 20][..], &[1, 1, 20], &[2, 1, 20], &[1, 1, 1]].map(&mut stored);
        for norm in NORMS {
            let job = job.with_norm(norm);
            for leave_out_masked in [false, true] {
                for scale in scales.iter().map(Some).chain([None]) {
                    for bias in biases.iter().map(Some).chain([None]) {
                        let extras = Extras { scale, leave_out_masked, bias };
                        let found = attention_with(&job, extras, &options(norm));
                        let mut expected = attention_by_the_oracle(&job, extras);
                        if bias.is_none() {
                            expected[2].clone_from(&found[2]);
                            assert!(found[2].iter().all(|number| number.is_nan()), "there is no further part to write");
                        }
                        let name = format!(
                            "{kind:?}, norm {norm}, scale {:?}, bias {:?}, {leave_out_masked}",
                            scale.map(|scale| &scale.layout.shape),
                            bias.map(|bias| &bias.layout.shape)
                        );
                        for (found, expected) in found.iter().zip(&expected).take(2 + usize::from(bias.is_some())) {
                            assert_near(found, expected, tolerance(kind), &name);
                        }
                        let masked = job.input("pattern").to_f64().iter().filter(|number| **number == 0.0).count();
                        let nothing = found[0].iter().filter(|number| **number == 0.0).count();
                        assert_eq!(nothing, if leave_out_masked { masked } else { 0 }, "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn many_further_parts_each_have_their_own_result() {
    let random = &mut Random::new(25);
    let job = heads(Kind::F32, [1, 2, 3], 10, [2, 1, 4], random);
    let parts: Vec<Stored> =
        (0..5).map(|_| Stored::from_fn(Kind::F32, Layout::row_major(&[1, 2, 10]), |_| random.normal())).collect();
    let [mut out, mut residual] = job.outputs(Kind::F64, Layout::row_major);
    let mut outs: Vec<Stored> = parts.iter().map(|_| blank(&[1, 2])).collect();
    let mut one_offs: Vec<OneOff<'_>> =
        parts.iter().zip(&mut outs).map(|(part, out)| OneOff { part: view(part), out: view_mut(out) }).collect();
    let inputs = FactoredAttention {
        resid_pre: view(job.input("resid_pre")),
        resid_mid: view(job.input("resid_mid")),
        pattern: view(job.input("pattern")).into(),
        heads: Heads::Values { values: view(job.input("values")), w_o: view(job.input("w_o")), prepared: None },
        scale: None,
        leave_out_masked: false,
    };
    let attn = Out::Each(view_mut(&mut out));
    let results = AttentionResults { attn, resid: view_mut(&mut residual), one_offs: &mut one_offs };
    attention_factored(&inputs, results, &options(1.0)).unwrap();

    // The same parts as one dense group.
    let vectors = decomposed(&job);
    for query in 0..2 {
        let row = |stored: &Stored, row: usize| stored.to_f64()[row * 10..][..10].to_vec();
        let groups = [
            (0..6).map(|part| row(&vectors, query * 6 + part)).collect(),
            vec![row(job.input("resid_pre"), query)],
            parts.iter().map(|part| row(part, query)).collect(),
        ];
        let expected = naive::contributions(&row(job.input("resid_mid"), query), &groups, 1.0);
        let found: Vec<f64> = outs.iter().map(|out| out.to_f64()[query]).collect();
        assert_near(&found, &expected[2], 1e-6, "further parts");
        assert_near(&out.to_f64()[query * 6..][..6], &expected[0], 1e-6, "heads");
        assert_near(&residual.to_f64()[query..=query], &expected[1], 1e-6, "residual");
    }
}

/// Calls for the neurons of some tokens: so many axes of tokens.
fn all_neurons(kind: Kind, random: &mut Random) -> Vec<Job> {
    let mut job = |batch: &[usize], hidden: usize, d_model: usize| {
        let resid = [batch, &[d_model]].concat();
        let shapes = [&resid, &resid, &[batch, &[hidden]].concat(), &[hidden, d_model][..]];
        let mut job = Job::random(Operation::MlpNeurons, kind, &shapes, random);
        make_half(&mut job, "resid_mid", "resid_post");
        // Half of all neurons are silent, as with ReLU, or nearly so.
        let stored = job.input_mut("activations");
        for (number, index) in stored.layout.indices().into_iter().enumerate() {
            if number % 2 == 0 {
                stored.numbers.set(index, if number % 4 == 0 { 0.0 } else { 1e-4 });
            }
        }
        job
    };
    vec![job(&[], 50, 40), job(&[7], 33, 257), job(&[2, 3], 100, 16), job(&[1, 2, 2], 5, 3), job(&[2], 1, 20)]
}

#[test]
fn neurons_from_activations_are_those_of_the_vectors_that_they_add() {
    let random = &mut Random::new(26);
    for kind in Kind::ALL {
        for job in all_neurons(kind, random) {
            let (activations, w_out) = (job.input("activations"), job.input("w_out"));
            let (coefficients, directions) = (activations.to_f64(), w_out.to_f64());
            let [hidden, d_model] = w_out.layout.shape[..] else { panic!("two axes") };
            let shape = [&activations.layout.shape[..], &[d_model]].concat();
            let vectors = Stored::from_fn(Kind::F64, Layout::row_major(&shape), |number| {
                let (neuron, column) = (number / d_model, number % d_model);
                coefficients[neuron] * directions[neuron % hidden * d_model + column]
            });
            for norm in NORMS {
                let job = job.with_norm(norm);
                let [mut out, mut residual] = job.outputs(Kind::F64, Layout::row_major);
                decomposed_mlp(
                    &view(job.input("resid_mid")),
                    &view(job.input("resid_post")),
                    &view(&vectors),
                    &mut view_mut(&mut out),
                    &mut view_mut(&mut residual),
                    &options(norm),
                )
                .unwrap();
                let name = format!("{kind:?} {:?}, norm {norm}", activations.layout.shape);
                for (found, expected) in job.results(None).iter().zip([out, residual]) {
                    assert_near(&found.to_f64(), &expected.to_f64(), tolerance(kind), &name);
                }
            }
        }
    }
}

/// Sees that contributions and indices of the strongest are the first of all, sorted: the largest first, and of equal ones
/// the first.
#[track_caller]
fn assert_strongest(all: &[u64], strongest: &[u64], k: usize, name: &str) {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|&a, &b| f64::from_bits(all[b]).total_cmp(&f64::from_bits(all[a])));
    let (contributions, indices) = strongest.split_at(k);
    assert!(indices.iter().copied().eq(order[..k].iter().map(|&index| index as u64)), "{name}: {indices:?}");
    assert!(contributions.iter().copied().eq(order[..k].iter().map(|&index| all[index])), "{name}: {contributions:?}");
}

#[test]
fn the_strongest_are_the_first_of_all_in_order() {
    let random = &mut Random::new(27);
    for kind in Kind::ALL {
        for job in all_neurons(kind, random) {
            let hidden = job.input("w_out").layout.shape[0];
            for norm in NORMS {
                let job = job.with_norm(norm);
                let [all, residual] = job.results(None);
                for k in [0, 1, 2, hidden / 2, hidden - 1, hidden] {
                    let k = k.min(hidden);
                    let [strongest, same] = job.clone().with_form(Form::TopK(k)).results(None);
                    assert_eq!(same.bits(), residual.bits());
                    for entry in 0..residual.layout.count() {
                        let name = format!("{kind:?} {hidden}, norm {norm}, {k} of entry {entry}");
                        let all = &all.bits()[entry * hidden..][..hidden];
                        assert_strongest(all, &strongest.bits()[entry * 2 * k..][..2 * k], k, &name);
                    }
                }
            }
        }
    }
}

#[test]
fn of_equal_neurons_the_first_are_the_strongest() {
    // Three kinds of neurons in turn, of which the second is the strongest.
    let (hidden, d_model) = (40, 20);
    let whole = Stored::from_fn(Kind::F32, Layout::row_major(&[d_model]), |i| 1.0 + i as f64);
    let resid = Stored::from_fn(Kind::F32, Layout::row_major(&[d_model]), |_| 0.0);
    let activations = Stored::from_fn(Kind::F32, Layout::row_major(&[hidden]), |n| [0.0, 0.5, 0.25][n % 3]);
    let w_out = Stored::from_fn(Kind::F32, Layout::row_major(&[hidden, d_model]), |n| 1.0 + (n % d_model) as f64);
    for norm in NORMS {
        for k in [1, 5, 13, 14, 20, 27, 30, 40] {
            let (mut out, mut indices, mut residual) = (blank(&[k]), blank(&[k]), blank(&[]));
            let inputs = MlpNeurons {
                resid_mid: view(&resid),
                resid_post: view(&whole),
                activations: view(&activations),
                w_out: view(&w_out),
            };
            let (contributions, indices_view) = (view_mut(&mut out), view_indices(&mut indices));
            let neurons = Out::TopK(TopK { contributions, indices: indices_view, summed_axes: 0 });
            let results = NeuronResults { neurons, resid: view_mut(&mut residual) };
            mlp_neurons(&inputs, results, &options(norm)).unwrap();
            let in_order = [1, 2, 0].into_iter().flat_map(|first| (first..hidden).step_by(3));
            let expected: Vec<u64> = in_order.take(k).map(|index| index as u64).collect();
            assert_eq!(indices.bits(), expected, "norm {norm}, {k}");
        }
    }
}

#[test]
fn the_strongest_of_parts_in_several_axes_have_row_major_indices_of_either_type() {
    let random = &mut Random::new(28);
    let mut stored = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::scrambled(shape), |_| random.normal());
    let (whole, coefficients, directions) = (stored(&[3, 10]), stored(&[2, 5, 4, 3]), stored(&[2, 5, 4, 1, 10]));
    let dense = stored(&[5, 6, 3, 10]);
    let factored = Parts::Factored(FactoredParts {
        coefficients: view(&coefficients).into(),
        directions: Directions::Vectors(view(&directions)),
        scale: None,
        leave_out_zeros: false,
    });
    let groups = [(factored, vec![2, 5, 4, 3], 40), (Parts::Dense(view(&dense)), vec![5, 6, 3], 30)];
    for norm in NORMS {
        for kind in [Kind::F32, Kind::F64] {
            let k = 7;
            let mut each = groups.each_ref().map(|(_, shape, _)| blank(shape));
            let mut strongest = [blank(&[3, k]), blank(&[3, k])];
            let mut indices = [(); 2].map(|()| Stored::blank(kind, Layout::scrambled(&[3, k])));
            let mut to_each: Vec<Group<'_>> = groups
                .iter()
                .zip(&mut each)
                .map(|((parts, ..), out)| Group { parts: *parts, out: Out::Each(view_mut(out)) })
                .collect();
            group_contributions(&view(&whole), &mut to_each, &options(norm)).unwrap();
            drop(to_each);
            let outs = strongest.iter_mut().zip(&mut indices);
            let mut to_strongest: Vec<Group<'_>> = groups
                .iter()
                .zip(outs)
                .map(|((parts, ..), (out, indices))| {
                    let (contributions, indices) = (view_mut(out), view_indices(indices));
                    let out = Out::TopK(TopK { contributions, indices, summed_axes: 0 });
                    Group { parts: *parts, out }
                })
                .collect();
            group_contributions(&view(&whole), &mut to_strongest, &options(norm)).unwrap();
            drop(to_strongest);
            assert!(indices.iter().all(Stored::is_untouched_around));
            for (number, (_, _, count)) in groups.iter().enumerate() {
                for entry in 0..3 {
                    let all: Vec<u64> = (0..*count).map(|part| each[number].bits()[part * 3 + entry]).collect();
                    let of = |stored: &Stored| stored.bits()[entry * k..][..k].to_vec();
                    let found = [of(&strongest[number]), of(&indices[number])].concat();
                    assert_strongest(&all, &found, k, &format!("norm {norm}, group {number}, entry {entry}"));
                }
            }
        }
    }
}

#[test]
fn where_contributions_are_nan_the_strongest_are_the_first() {
    let random = &mut Random::new(29);
    for kind in Kind::ALL {
        for input in ["activations", "w_out", "resid_mid", "resid_post"] {
            let mut job = all_neurons(kind, random).swap_remove(1);
            let stored = job.input_mut(input);
            // Of the last token, or of the last neuron.
            let index = *stored.layout.indices().last().unwrap();
            stored.numbers.set(index, f64::NAN);
            for norm in NORMS {
                let [strongest, residual] = job.with_norm(norm).with_form(Form::TopK(4)).results(None);
                let name = format!("{kind:?}, norm {norm}, NaN in {input}");
                assert!(residual.to_f64()[6].is_nan(), "{name}");
                let last = &strongest.bits()[6 * 8..];
                assert!(last[..4].iter().all(|&bits| f64::from_bits(bits).is_nan()), "{name}");
                assert_eq!(last[4..], [0, 1, 2, 3], "{name}");
            }
        }
    }
}

#[test]
fn a_threshold_in_the_call_is_one_afterwards() {
    let random = &mut Random::new(30);
    for kind in [Kind::F32, Kind::F64] {
        let job = heads(kind, [2, 6, 8], 30, [4, 2, 6], random);
        for norm in NORMS {
            for leave_out_masked in [false, true] {
                let extras = Extras { leave_out_masked, ..Extras::default() };
                let [all, residual, _] = attention_with(&job, extras, &options(norm));
                let blocks = Stored::from_fn(Kind::F64, Layout::row_major(&[2, 6, 8, 4]), |i| all[i]);
                let c_residual = Stored::from_fn(Kind::F64, Layout::row_major(&[2, 6]), |i| residual[i]);
                // Some keep nothing, some all, and one is a contribution itself, which does not stay.
                for threshold in [-1.0, 0.0, 1e-3, 0.02, all[17], residual[3], 0.5, 1.0, f64::INFINITY] {
                    let found = attention_with(&job, extras, &options(norm).threshold(threshold));
                    let (mut out, mut out_residual) = (blank(&[2, 6, 8, 4]), blank(&[2, 6]));
                    threshold_and_renormalise(
                        &view(&blocks),
                        &view(&c_residual),
                        threshold,
                        &mut view_mut(&mut out),
                        &mut view_mut(&mut out_residual),
                        &Options::default(),
                    )
                    .unwrap();
                    let name = format!("{kind:?}, norm {norm}, threshold {threshold}");
                    for (found, expected) in found.iter().zip([out.to_f64(), out_residual.to_f64()]) {
                        for (&found, expected) in found.iter().zip(expected) {
                            assert_eq!(found.is_nan(), expected.is_nan(), "{name}");
                            assert_eq!(found == 0.0, expected == 0.0, "{name}");
                            assert!(found.is_nan() || (found - expected).abs() <= 1e-14, "{name}: {found}, {expected}");
                        }
                    }
                    if threshold == 1.0 {
                        assert!(found[0].iter().all(|number| number.is_nan()), "{name}");
                    }
                }
            }
        }
    }
}

#[test]
fn sums_with_a_threshold_are_sums_of_what_is_left() {
    let random = &mut Random::new(31);
    let job = heads(Kind::F32, [2, 6, 8], 30, [4, 2, 6], random);
    for threshold in [0.004, 0.02, 0.1] {
        let options = options(1.0).threshold(threshold);
        let [each, residual, _] = attention_with(&job, Extras::default(), &options);
        let [sums, same, _] = attention_with(&job.clone().with_form(Form::Sums), Extras::default(), &options);
        assert_eq!(residual, same);
        assert!(each.contains(&0.0));
        let expected: Vec<f64> = each.chunks(4).map(|heads| heads.iter().sum()).collect();
        assert_near(&sums, &expected, 1e-15, "sums");
    }
}

/// The largest error of one call for neurons of this size beside a residual of half the whole.
fn error_of_neurons(kind: Kind, norm: f64, hidden: usize, d_model: usize, size: f64) -> f64 {
    let random = &mut Random::new(32);
    let resid = &[d_model][..];
    let mut job = Job::random(Operation::MlpNeurons, kind, &[resid, resid, &[hidden], &[hidden, d_model]], random)
        .with_norm(norm);
    let whole = job.input("resid_post").to_f64();
    make_half(&mut job, "resid_mid", "resid_post");
    // The direction of the whole, and as much of another.
    let w_out = job.input_mut("w_out");
    for (number, index) in w_out.layout.indices().into_iter().enumerate() {
        w_out.numbers.set(index, whole[number % d_model] + random.normal());
    }
    let activations = job.input_mut("activations");
    for index in activations.layout.indices() {
        activations.numbers.set(index, size * random.unit());
    }
    let (activations, w_out) = (job.input("activations").to_f64(), job.input("w_out").to_f64());
    let parts = activations.iter().zip(w_out.chunks(d_model));
    let parts =
        parts.map(|(&coefficient, direction)| naive::factored_part(coefficient, direction, &vec![1.0; d_model]));
    let groups = [parts.collect(), vec![job.input("resid_mid").to_f64()]];
    let expected = naive::contributions(&whole, &groups, norm);
    let found = job.results(None).map(|output| output.to_f64());
    found.iter().zip(&expected).map(|(found, expected)| max_error(found, expected)).fold(0.0, f64::max)
}

/// In the worst case errors are some dozens of roundings, which is what random calls are allowed; but those of usual numbers
/// cancel.
#[test]
fn the_roundings_of_thousands_of_factored_parts_do_not_add_up() {
    for kind in [Kind::F32, Kind::Bf16] {
        for norm in [1.0, 2.0] {
            for (hidden, d_model) in [(10, 768), (1000, 768), (30, 4096), (3000, 64)] {
                for size in [0.0, 1e-4, 0.1, 3.0] {
                    let error = error_of_neurons(kind, norm, hidden, d_model, size);
                    let allowed = if size == 0.0 { 1e-9 } else { 1e-7 };
                    let name = format!("{hidden} parts of {d_model} {kind:?}, size {size}, norm {norm}");
                    assert!(error <= allowed, "{name}: off by {error:e}");
                }
            }
        }
    }
}

#[test]
fn wholes_that_are_too_large_for_gains_in_f32_are_measured_as_exactly() {
    for magnitude in [1e30, 1e35, 1e37] {
        let whole = Stored::from_fn(Kind::F32, Layout::row_major(&[20]), |i| magnitude * (1.0 + i as f64 / 10.0));
        let coefficients = Stored::from_fn(Kind::F32, Layout::row_major(&[18]), |part| part as f64 / 16.0);
        let w_out = Stored::from_fn(Kind::F32, Layout::row_major(&[1, 20]), |i| magnitude * (2.0 - i as f64 / 20.0));
        let parts: Vec<Vec<f64>> = coefficients
            .to_f64()
            .iter()
            .map(|&coefficient| naive::factored_part(coefficient, &w_out.to_f64(), &[1.0; 20]))
            .collect();
        for norm in [1.0, 2.0] {
            let mut out = blank(&[18]);
            let factored = FactoredParts {
                coefficients: view(&coefficients).into(),
                directions: Directions::Vectors(view(&w_out)),
                scale: None,
                leave_out_zeros: false,
            };
            let group = Group { parts: Parts::Factored(factored), out: Out::Each(view_mut(&mut out)) };
            group_contributions(&view(&whole), &mut [group], &options(norm)).unwrap();
            let expected = naive::contributions(&whole.to_f64(), std::slice::from_ref(&parts), norm);
            assert_near(&out.to_f64(), &expected[0], 1e-7, &format!("{magnitude}, norm {norm}"));
        }
    }
}

#[test]
fn calls_of_nothing_and_vectors_of_nothing_are_fine() {
    let empty = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| 0.5);
    for (extents, d_model, of_heads) in [
        ([2, 3, 4], 0, [2, 1, 3]),
        ([2, 3, 4], 5, [2, 1, 0]),
        ([2, 3, 0], 5, [2, 1, 3]),
        ([2, 0, 4], 5, [2, 1, 3]),
        ([0, 3, 4], 5, [2, 1, 3]),
        ([2, 3, 4], 5, [0, 0, 3]),
        ([2, 3, 4], 0, [2, 1, 0]),
    ] {
        for norm in NORMS {
            for form in [Form::Each, Form::Sums] {
                let ([batch, queries, keys], [heads, kv_heads, d_head]) = (extents, of_heads);
                let resid = || empty(&[batch, queries, d_model]);
                let job = Job {
                    operation: Operation::AttentionFactored,
                    form,
                    norm,
                    threshold: 0.0,
                    inputs: vec![
                        ("resid_pre", resid()),
                        ("resid_mid", resid()),
                        ("pattern", empty(&[batch, heads, queries, keys])),
                        ("values", empty(&[batch, keys, kv_heads, d_head])),
                        ("w_o", empty(&[heads, d_head, d_model])),
                    ],
                    scoring: Scoring::default(),
                    leave_out_masked: false,
                };
                let [out, residual] = job.results(None);
                for (entry, of_residual) in residual.to_f64().into_iter().enumerate() {
                    let own = out.layout.count() / residual.layout.count();
                    let sum: f64 = out.to_f64()[entry * own..][..own].iter().sum();
                    let name = format!("{extents:?}, {d_model}, {of_heads:?}, norm {norm}, {form:?}");
                    assert!((sum + of_residual - 1.0).abs() < 1e-12, "{name}: {sum} and {of_residual}");
                }
            }
        }
    }
}

#[test]
fn sums_over_no_parts_are_zero_even_where_there_is_no_part_at_all() {
    let whole = Stored::from_fn(Kind::F32, Layout::row_major(&[2, 3]), |_| 1.0);
    let coefficients = Tensor::new::<f32>(&[], &[0, 4, 2]).unwrap();
    let directions = Tensor::new::<f32>(&[], &[0, 4, 1, 3]).unwrap();
    let factored = FactoredParts {
        coefficients: coefficients.into(),
        directions: Directions::Vectors(directions),
        scale: None,
        leave_out_zeros: false,
    };
    for with_another in [true, false] {
        let (mut out, mut other) = (blank(&[4, 2]), blank(&[2]));
        let mut groups = vec![Group { parts: Parts::Factored(factored), out: Out::Sums(view_mut(&mut out)) }];
        if with_another {
            groups.push(Group::dense(view(&whole), view_mut(&mut other)));
        }
        group_contributions(&view(&whole), &mut groups, &Options::default()).unwrap();
        drop(groups);
        assert_eq!(out.to_f64(), [0.0; 8], "with another group: {with_another}");
    }
}
