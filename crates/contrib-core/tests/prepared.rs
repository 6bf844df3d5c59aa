//! Calls that are given what was prepared of their projection: the results are those of calls that are not.

mod common;

use common::{Form, Job, view, view_mut};
use contrib_core::{
    AttentionResults, Cause, Coefficients, Context, Directions, FactoredAttention, FactoredParts, Group, Heads,
    InstructionSet, Norm, Options, Out, Parts, PreparedProjection, QueriesAndKeys, Tensor, TensorMut,
    attention_factored, group_contributions,
};
use contrib_testing::{Arrangement, Kind, Layout, Operation, Random, Stored};

/// Norms that matrices are packed for, and others.
const NORMS: [f64; 4] = [1.0, 2.0, 3.0, f64::INFINITY];

const LAYOUTS: [(&str, Arrangement); 6] = {
    let [a, b, c, d, e] = Layout::OTHERS;
    [("row-major", Layout::row_major), a, b, c, d, e]
};

/// Contexts of one thread for each instruction set of this machine.
fn contexts() -> Vec<Context> {
    let sets = InstructionSet::ALL.into_iter().filter(|&set| set <= InstructionSet::best());
    sets.map(|set| Context::new(1).unwrap().at_most(set)).collect()
}

fn options(norm: f64, context: &Context) -> Options<'_> {
    Options::default().norm(Norm::new(norm).unwrap()).context(context)
}

/// A call of attention whose parts are from small to larger than their whole, some of them 0.
fn attention(shape: [usize; 4], queries: usize, kind: Kind, random: &mut Random) -> Job {
    attention_to_keys(shape, [queries, 19], kind, random)
}

fn attention_to_keys(
    [heads, kv_heads, d_head, d_model]: [usize; 4],
    [queries, keys]: [usize; 2],
    kind: Kind,
    random: &mut Random,
) -> Job {
    let resid = [2, queries, d_model];
    let shapes: [&[usize]; 5] =
        [&resid, &resid, &[2, heads, queries, keys], &[2, keys, kv_heads, d_head], &[heads, d_head, d_model]];
    let mut job = Job::random(Operation::AttentionFactored, kind, &shapes, random);
    // Directions near the first whole's, so that contributions to it are not all calculated again in `f64`.
    let whole = job.input("resid_mid").to_f64();
    let w_o = job.input_mut("w_o");
    for (number, index) in w_o.layout.indices().into_iter().enumerate() {
        w_o.numbers.set(index, w_o.numbers.get(index) + whole[number % d_model]);
    }
    let pattern = job.input_mut("pattern");
    for index in pattern.layout.indices() {
        let number = 4.0 * pattern.numbers.get(index);
        pattern.numbers.set(index, if number < -0.8 { 0.0 } else { number.abs() });
    }
    job
}

/// Which coefficients attention has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pattern {
    Given,
    /// Made of values as queries and keys.
    Softmax,
}

/// The bits of the results of attention.
fn bits(
    job: &Job,
    w_o: &Stored,
    pattern: Pattern,
    prepared: Option<&PreparedProjection>,
    options: &Options<'_>,
) -> [Vec<u64>; 2] {
    let [mut out, mut residual] = job.outputs(Kind::F64, Layout::row_major);
    let (values, resid) = (view(job.input("values")), view(job.input("resid_mid")));
    let queries = resid.shape()[1];
    let [heads, d_head] = [0, 1].map(|axis| w_o.layout.shape[axis]);
    let numbers: Vec<f32> = (0..2 * queries * heads * d_head).map(|number| (number % 7) as f32 - 3.0).collect();
    let given = QueriesAndKeys::new(Tensor::new(&numbers, &[2, queries, heads, d_head]).unwrap(), values);
    let inputs = FactoredAttention {
        resid_pre: view(job.input("resid_pre")),
        resid_mid: resid,
        pattern: match pattern {
            Pattern::Given => view(job.input("pattern")).into(),
            Pattern::Softmax => Coefficients::Softmax(&given),
        },
        heads: Heads::Values { values, w_o: view(w_o), prepared },
        scale: None,
        leave_out_masked: false,
    };
    let results = AttentionResults { attn: job.form.out(&mut out), resid: view_mut(&mut residual), one_offs: &mut [] };
    attention_factored(&inputs, results, options).unwrap();
    [out, residual].map(|output| output.bits())
}

#[test]
fn attention_has_the_same_bits_with_a_prepared_w_o_and_without_it() {
    let mut random = Random::new(1);
    let contexts = contexts();
    for kind in Kind::ALL {
        for shape in [[4, 4, 5, 20], [4, 2, 16, 33], [6, 1, 17, 16], [1, 1, 33, 260]] {
            let mut job = attention(shape, 1, Kind::F32, &mut random);
            let stored = job.input("w_o");
            let numbers = stored.to_f64();
            let layout = Layout::row_major(&stored.layout.shape);
            *job.input_mut("w_o") = Stored::from_fn(kind, layout, |number| numbers[number]);
            check_attention(&job, &contexts);
        }
    }
    // Many queries, and results that are sums.
    check_attention(&attention([4, 2, 20, 40], 35, Kind::F32, &mut random).with_form(Form::Sums), &contexts);
    // All is calculated in f64.
    check_attention(&attention([4, 2, 20, 40], 2, Kind::F64, &mut random), &contexts);
}

fn check_attention(job: &Job, contexts: &[Context]) {
    for (name, layout) in LAYOUTS {
        let w_o = job.input("w_o").laid_out(layout);
        let objects: Vec<_> = contexts
            .iter()
            .map(|context| PreparedProjection::new(&view(&w_o), &options(1.0, context)).unwrap())
            .collect();
        for pattern in [Pattern::Given, Pattern::Softmax] {
            for norm in NORMS {
                let expected = bits(job, &w_o, pattern, None, &options(norm, &contexts[0]));
                for context in contexts {
                    for prepared in &objects {
                        let found = bits(job, &w_o, pattern, Some(prepared), &options(norm, context));
                        let (kind, shape) = (w_o.kind().name(), &w_o.layout.shape);
                        assert_eq!(found, expected, "{kind} {shape:?} {name}, norm {norm}, {pattern:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn parts_that_are_calculated_again_in_f64_read_the_tensor_itself() {
    let mut random = Random::new(2);
    let mut job = attention([2, 1, 4, 16], 3, Kind::F32, &mut random);
    // Sums that are small beside the whole, and elements that f32 cannot hold.
    for (name, factor) in [("values", 1e20), ("w_o", 1e19)] {
        let stored = job.input_mut(name);
        for index in stored.layout.indices().into_iter().step_by(5) {
            stored.numbers.set(index, factor * stored.numbers.get(index));
        }
    }
    check_attention(&job, &contexts());
}

/// A whole `[2, 24]`, and coefficients and values of a group whose parts are `[2, 3, 5]`.
fn tensors_of_group(random: &mut Random) -> [Stored; 3] {
    let shapes: [&[usize]; 3] = [&[2, 24], &[2, 3, 5, 2], &[2, 3, 5, 2, 7]];
    let mut number = 0;
    shapes.map(|shape| {
        number += 1;
        let own = |_| if number == 1 { random.normal() } else { random.unit() };
        Stored::from_fn(Kind::F32, Layout::row_major(shape), own)
    })
}

/// Bits of the results of a group whose parts are `[2, 3, 5]` and whose batch is `[2]`.
fn bits_of_group(
    tensors: &[Stored; 3],
    projection: &Tensor<'_>,
    prepared: Option<&PreparedProjection>,
    options: &Options<'_>,
) -> Vec<u64> {
    let [whole, coefficients, values] = tensors;
    let factored = FactoredParts {
        coefficients: view(coefficients).into(),
        directions: Directions::Projected { values: view(values), projection: *projection, prepared },
        scale: None,
        leave_out_zeros: false,
    };
    let mut out = [0.0_f64; 60];
    let each = Out::Each(TensorMut::new(&mut out, &[2, 3, 5, 2]).unwrap());
    group_contributions(&view(whole), &mut [Group { parts: Parts::Factored(factored), out: each }], options).unwrap();
    out.map(f64::to_bits).to_vec()
}

#[test]
fn groups_with_several_part_axes_have_the_same_bits_with_prepared_matrices() {
    let mut random = Random::new(3);
    let contexts = contexts();
    let tensors = tensors_of_group(&mut random);
    let whole = tensors[0].to_f64();
    for extents in [[1, 1, 1], [2, 1, 1], [1, 3, 1], [1, 1, 5], [2, 3, 1], [2, 1, 5], [2, 3, 5]] {
        let shape = [&extents[..], &[7, 24]].concat();
        let near_whole = |number: usize| whole[number % 24] + 0.5 * random.normal();
        let projection = Stored::from_fn(Kind::F32, Layout::row_major(&shape), near_whole);
        for (name, layout) in LAYOUTS {
            let projection = projection.laid_out(layout);
            let projection = view(&projection);
            let prepared = PreparedProjection::new(&projection, &Options::default()).unwrap();
            for norm in NORMS {
                for context in &contexts {
                    let options = options(norm, context);
                    let expected = bits_of_group(&tensors, &projection, None, &options);
                    let found = bits_of_group(&tensors, &projection, Some(&prepared), &options);
                    assert_eq!(found, expected, "{extents:?} {name}, norm {norm}");
                }
            }
        }
    }
}

#[test]
fn matrices_that_repeat_or_overlap_are_prepared_once() {
    let mut random = Random::new(4);
    let tensors = tensors_of_group(&mut random);
    let numbers: Vec<f32> = (0..400).map(|_| random.normal() as f32).collect();
    // Of the second, some part axes have the same matrix 24 elements on.
    for strides in [[0, 24, 0, 24, 1], [24, 24, 0, 24, 1], [0; 5]] {
        let projection = Tensor::strided(&numbers, 0, &[2, 3, 5, 7, 24], &strides).unwrap();
        let prepared = PreparedProjection::new(&projection, &Options::default()).unwrap();
        for norm in [1.0, 2.0] {
            let options = Options::default().norm(Norm::new(norm).unwrap());
            let expected = bits_of_group(&tensors, &projection, None, &options);
            let found = bits_of_group(&tensors, &projection, Some(&prepared), &options);
            assert_eq!(found, expected, "{strides:?}, norm {norm}");
        }
    }
    // A matrix for more parts than memory could hold matrices for.
    let all = Tensor::strided(&numbers, 0, &[1 << 50, 7, 24], &[0, 24, 1]).unwrap();
    PreparedProjection::new(&all, &Options::default()).unwrap();
}

#[test]
fn a_call_calculates_with_what_was_prepared() {
    let mut random = Random::new(7);
    let job = attention([2, 1, 8, 32], 2, Kind::F32, &mut random);
    let mut w_o = job.input("w_o").clone();
    let prepared = PreparedProjection::new(&view(&w_o), &Options::default()).unwrap();
    let results = |w_o: &Stored, prepared: Option<&PreparedProjection>, norm| {
        bits(&job, w_o, Pattern::Given, prepared, &Options::default().norm(Norm::new(norm).unwrap()))
    };
    let before = [1.0, 2.0].map(|norm| results(&w_o, None, norm));
    // Other numbers at the same address, which a call cannot see.
    for index in w_o.layout.indices() {
        w_o.numbers.set(index, 1.5 * w_o.numbers.get(index));
    }
    for (norm, before) in [1.0, 2.0].into_iter().zip(before) {
        assert_ne!(results(&w_o, None, norm), before);
        assert_ne!(results(&w_o, Some(&prepared), norm), results(&w_o, None, norm));
    }
}

#[test]
fn few_queries_of_many_keys_have_the_same_bits_on_any_threads() {
    let mut random = Random::new(8);
    for queries in [1, 4, 5] {
        let job = attention_to_keys([6, 2, 20, 200], [queries, 333], Kind::F32, &mut random);
        let w_o = job.input("w_o");
        let threads = [1, 3].map(|threads| Context::new(threads).unwrap());
        let prepared = PreparedProjection::new(&view(w_o), &options(1.0, &threads[0])).unwrap();
        for pattern in [Pattern::Given, Pattern::Softmax] {
            for norm in [1.0, 2.0] {
                let expected = bits(&job, w_o, pattern, None, &options(norm, &threads[0]));
                for context in &threads {
                    let found = bits(&job, w_o, pattern, Some(&prepared), &options(norm, context));
                    assert_eq!(found, expected, "{queries} queries, {pattern:?}, norm {norm}");
                }
            }
        }
    }
}

#[test]
fn threads_use_one_object_at_the_same_time() {
    let mut random = Random::new(5);
    let job = attention([8, 2, 32, 64], 3, Kind::F32, &mut random);
    let w_o = job.input("w_o");
    let pool = Context::new(3).unwrap();
    let prepared = PreparedProjection::new(&view(w_o), &Options::default().context(&pool)).unwrap();
    let expected = NORMS.map(|norm| bits(&job, w_o, Pattern::Given, None, &options(norm, &pool)));
    std::thread::scope(|scope| {
        for thread in 0..6 {
            let (job, prepared, expected, pool) = (&job, &prepared, &expected, &pool);
            scope.spawn(move || {
                for round in 0..20 {
                    let number = (thread + round) % NORMS.len();
                    let found = bits(job, w_o, Pattern::Given, Some(prepared), &options(NORMS[number], pool));
                    assert_eq!(found, expected[number]);
                }
            });
        }
    });
}

#[test]
fn many_threads_prepare_the_same_bits_as_one() {
    let mut random = Random::new(6);
    // So large that threads share the work.
    let job = attention([12, 12, 64, 96], 1, Kind::F16, &mut random);
    let w_o = job.input("w_o");
    let contexts = [1, 2, 5].map(|threads| Context::new(threads).unwrap());
    for norm in [1.0, 2.0] {
        let expected = bits(&job, w_o, Pattern::Given, None, &options(norm, &contexts[0]));
        for context in &contexts {
            let prepared = PreparedProjection::new(&view(w_o), &options(norm, context)).unwrap();
            assert_eq!(bits(&job, w_o, Pattern::Given, Some(&prepared), &options(norm, context)), expected);
        }
    }
}

#[test]
fn an_object_of_another_tensor_is_refused() {
    let numbers = vec![0.5_f32; 200];
    let halves = vec![half::f16::ONE; 200];
    let own = Tensor::strided(&numbers, 40, &[2, 3, 4], &[12, 4, 1]).unwrap();
    let others = [
        ("moved", Tensor::strided(&numbers, 41, &[2, 3, 4], &[12, 4, 1]).unwrap()),
        ("other strides", Tensor::strided(&numbers, 40, &[2, 3, 4], &[13, 4, 1]).unwrap()),
        ("other strides of rows", Tensor::strided(&numbers, 40, &[2, 3, 4], &[12, 5, 1]).unwrap()),
        ("transposed", Tensor::strided(&numbers, 40, &[2, 3, 4], &[12, 1, 3]).unwrap()),
        ("reversed", Tensor::strided(&numbers, 40, &[2, 3, 4], &[-12, 4, 1]).unwrap()),
        ("fewer matrices", Tensor::strided(&numbers, 40, &[1, 3, 4], &[12, 4, 1]).unwrap()),
        ("more matrices", Tensor::strided(&numbers, 40, &[3, 3, 4], &[12, 4, 1]).unwrap()),
        ("fewer rows", Tensor::strided(&numbers, 40, &[2, 2, 4], &[12, 4, 1]).unwrap()),
        ("fewer columns", Tensor::strided(&numbers, 40, &[2, 3, 3], &[12, 4, 1]).unwrap()),
        ("another type", Tensor::strided(&halves, 40, &[2, 3, 4], &[12, 4, 1]).unwrap()),
        ("no matrices", Tensor::strided(&numbers, 40, &[0, 3, 4], &[12, 4, 1]).unwrap()),
    ];
    let resid = Tensor::strided(&numbers, 0, &[1, 1, 4], &[4, 4, 1]).unwrap();
    let call = |prepared: &PreparedProjection, norm: f64| {
        let mut out = [7.0_f32; 6];
        let (attn, resid_out) = out.split_at_mut(4);
        let inputs = FactoredAttention {
            resid_pre: resid,
            resid_mid: resid,
            pattern: Tensor::new(&numbers, &[1, 2, 1, 2]).unwrap().into(),
            heads: Heads::Values {
                values: Tensor::new(&numbers, &[1, 2, 1, 3]).unwrap(),
                w_o: own,
                prepared: Some(prepared),
            },
            scale: None,
            leave_out_masked: false,
        };
        let results = AttentionResults {
            attn: Out::Each(TensorMut::new(attn, &[1, 1, 2, 2]).unwrap()),
            resid: TensorMut::new(resid_out, &[1, 1]).unwrap(),
            one_offs: &mut [],
        };
        let result = attention_factored(&inputs, results, &Options::default().norm(Norm::new(norm).unwrap()));
        (result, out)
    };
    for norm in NORMS {
        assert_eq!(call(&PreparedProjection::new(&own, &Options::default()).unwrap(), norm).0, Ok(()));
        for (name, other) in &others {
            let (result, out) = call(&PreparedProjection::new(other, &Options::default()).unwrap(), norm);
            let error = result.expect_err(name);
            assert_eq!(*error.cause(), Cause::PreparedOfAnother { like: "w_o".into() }, "{name}");
            assert!(error.to_string().starts_with("prepared: expected what was prepared of w_o, "), "{error}");
            assert_eq!(out, [7.0; 6], "{name}");
        }
    }
    // Of a group, which also tells the argument's place.
    let prepared = PreparedProjection::new(&others[0].1, &Options::default()).unwrap();
    let mut out = [7.0_f32; 2];
    let factored = FactoredParts {
        coefficients: Tensor::new(&numbers, &[2]).unwrap().into(),
        directions: Directions::Projected {
            values: Tensor::new(&numbers, &[2, 3]).unwrap(),
            projection: own,
            prepared: Some(&prepared),
        },
        scale: None,
        leave_out_zeros: false,
    };
    let out_of_group = Out::Each(TensorMut::new(&mut out, &[2]).unwrap());
    let mut groups = [Group { parts: Parts::Factored(factored), out: out_of_group }];
    let whole = Tensor::new(&numbers, &[4]).unwrap();
    let error = group_contributions(&whole, &mut groups, &Options::default()).unwrap_err();
    assert!(error.to_string().starts_with("groups[0].prepared: expected what was prepared of groups[0].projection, "));
}

#[test]
fn a_column_that_repeats_is_not_the_tensor_that_was_prepared() {
    let numbers = [0.5_f32; 24];
    let column = Tensor::new(&numbers, &[2, 3, 1]).unwrap();
    let prepared = PreparedProjection::new(&column, &Options::default()).unwrap();
    let mut out = [7.0_f32; 2];
    let factored = FactoredParts {
        coefficients: Tensor::new(&numbers, &[2]).unwrap().into(),
        directions: Directions::Projected {
            values: Tensor::new(&numbers, &[2, 3]).unwrap(),
            projection: column,
            prepared: Some(&prepared),
        },
        scale: None,
        leave_out_zeros: false,
    };
    let out = Out::Each(TensorMut::new(&mut out, &[2]).unwrap());
    let mut groups = [Group { parts: Parts::Factored(factored), out }];
    let whole = Tensor::new(&numbers, &[4]).unwrap();
    let error = group_contributions(&whole, &mut groups, &Options::default()).unwrap_err();
    assert!(matches!(error.cause(), Cause::PreparedOfAnother { .. }), "{error}");
}

#[test]
fn projections_without_elements_are_prepared() {
    for shape in [[0, 3, 4], [2, 0, 4], [2, 3, 0], [0, usize::MAX, 0], [2, 1 << 40, 0]] {
        let projection = Tensor::new::<f32>(&[], &shape).unwrap();
        PreparedProjection::new(&projection, &Options::default()).unwrap();
    }
    // Values without elements: all parts are the zero vector.
    let numbers = [0.5_f32; 8];
    let tensors = [
        Stored::from_fn(Kind::F32, Layout::row_major(&[2, 4]), |number| number as f64),
        Stored::from_fn(Kind::F32, Layout::row_major(&[2, 3, 5, 2]), |_| 1.0),
        Stored::from_fn(Kind::F32, Layout::row_major(&[2, 3, 5, 2, 0]), |_| 1.0),
    ];
    let projection = Tensor::new(&numbers, &[2, 3, 1, 0, 4]).unwrap();
    let prepared = PreparedProjection::new(&projection, &Options::default()).unwrap();
    let expected = bits_of_group(&tensors, &projection, None, &Options::default());
    assert_eq!(bits_of_group(&tensors, &projection, Some(&prepared), &Options::default()), expected);
}

#[test]
fn a_projection_that_is_no_matrix_or_takes_too_much_memory_is_refused() {
    let one = [1.0_f32];
    let error = PreparedProjection::new(&Tensor::new(&one, &[1]).unwrap(), &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "projection: expected [p.., r, d], got [1]");
    for shape in [[1 << 23, 1 << 23], [1 << 46, 1], [1, 1 << 46]] {
        let projection = Tensor::strided(&one, 0, &shape, &[0, 0]).unwrap();
        let error = PreparedProjection::new(&projection, &Options::default()).unwrap_err();
        assert_eq!(error.argument(), "prepared".into(), "{shape:?}");
        assert!(matches!(error.cause(), Cause::OutOfMemory { .. }), "{shape:?}: {error}");
    }
}
