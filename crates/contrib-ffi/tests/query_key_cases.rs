//! The reference cases of attention from queries and keys, computed through the C functions, against the reference in `f64`.

mod common;

use common::{Arg, Call, Choices, Function, NO_QUERIES_AND_KEYS, Size, message};
use contrib::queries_and_keys::{CONTRIB_CAUSAL, contrib_queries_and_keys};
use contrib::status::CONTRIB_OK;
use contrib_testing::cases::{QueryKeyCase, of_queries_and_keys};
use contrib_testing::{Arrangement, Kind, Layout, Stored};

/// The results of attention, as cases and arguments name them.
const RESULTS: [(&str, &str); 2] = [("expected", "out_attn"), ("expected_residual", "out_resid")];

/// How far results may be off. Scores are rounded in proportion to themselves, and so is the pattern.
fn tolerance(case: &QueryKeyCase) -> f64 {
    let (queries, keys) = (case.case.tensor("queries"), case.case.tensor("keys"));
    let &[batch, pos, heads, d] = &queries.shape[..] else { panic!("queries have four axes") };
    let (key_pos, kv_heads) = (keys.shape[1], keys.shape[2]);
    let score = |index: usize| {
        let (row, key) = (index / key_pos, index % key_pos);
        let (item, head) = (row / heads / pos, row % heads);
        let key = (item * key_pos + key) * kv_heads + head / (heads / kv_heads);
        let product: f64 = (0..d).map(|i| queries.numbers.get(row * d + i) * keys.numbers.get(key * d + i)).sum();
        (case.scale * product).abs()
    };
    let largest = (0..batch * pos * heads * key_pos).map(score).fold(0.0, f64::max);
    f64::max(1e-6, 1e-7 * largest)
}

/// The call of a case. What it is not given is NULL.
fn call_of(case: &QueryKeyCase, layout: Arrangement) -> Call {
    let mut call = Call::random(Function::AttentionFromScores, Kind::F32, Size::Small);
    for (number, name) in Function::AttentionFromScores.arguments().iter().enumerate() {
        let result = RESULTS.iter().find(|(_, argument)| argument == name);
        let stored = if let Some((expected, _)) = result {
            let kind = if case.case.kind == Kind::F64 { Kind::F64 } else { Kind::F32 };
            Some(Stored::blank(kind, layout(&case.case.tensor(expected).shape)))
        } else {
            // Positions have the bits of int64, and stand where float64 would.
            case.case.get(name).map(|array| Stored::new(&array.numbers, layout(&array.shape)))
        };
        match stored {
            Some(stored) => call.place(number, stored),
            None => call.args[number] = None,
        }
    }
    let numbers = contrib_queries_and_keys {
        score_scale: case.scale,
        soft_cap: case.soft_cap.unwrap_or(0.0),
        first_query: case.first_query,
        window: case.window.unwrap_or(0) as u64,
        flags: if case.causal { CONTRIB_CAUSAL } else { 0 },
        ..NO_QUERIES_AND_KEYS
    };
    call.choices = Choices { queries_and_keys: numbers, ..call.choices };
    call.norm = case.case.norm;
    call
}

fn check(case: &QueryKeyCase, call: &mut Call) {
    let (tolerance, case) = (tolerance(case), &case.case);
    assert_eq!(call.run(), CONTRIB_OK, "{}: {}", case.name, message());
    for ((expected, name), output) in RESULTS.into_iter().zip(call.outputs()) {
        let array = case.tensor(expected);
        assert!(output.is_untouched_around(), "{} {name}", case.name);
        assert_eq!(output.layout.shape, array.shape, "{} {name}", case.name);
        for (index, (found, expected)) in output.to_f64().iter().zip(array.numbers.to_f64()).enumerate() {
            let error = (found - expected).abs();
            assert!(error <= tolerance, "{} {name}[{index}]: {found}, not {expected}, off by {error:e}", case.name);
        }
    }
}

#[test]
fn every_case_of_queries_and_keys_is_met() {
    for case in of_queries_and_keys() {
        check(&case, &mut call_of(&case, Layout::row_major));
    }
}

#[test]
fn every_case_is_met_by_a_group() {
    for case in of_queries_and_keys() {
        check(&case, &mut group_call(&case));
    }
}

#[test]
fn strides_do_not_change_a_bit() {
    for case in of_queries_and_keys() {
        let expected = call_of(&case, Layout::row_major).results_of_run();
        for (name, layout) in Layout::OTHERS {
            assert_eq!(call_of(&case, layout).results_of_run(), expected, "{} with {name} tensors", case.case.name);
        }
    }
}

#[test]
fn a_scale_and_a_first_query_that_are_the_default_need_not_be_said() {
    let mut met = 0;
    for case in of_queries_and_keys() {
        let (queries, keys) = (&case.case.tensor("queries").shape, &case.case.tensor("keys").shape);
        let is_default = (case.scale * (queries[3] as f64).sqrt() - 1.0).abs() < 1e-15
            && case.first_query == keys[1] as i64 - queries[1] as i64
            && case.case.get("query_positions").is_none();
        if !is_default {
            continue;
        }
        let mut call = call_of(&case, Layout::row_major);
        let said = &mut call.choices.queries_and_keys;
        (said.score_scale, said.first_query) = (0.0, -1);
        check(&case, &mut call);
        met += 1;
    }
    assert!(met >= 10, "{met}");
}

#[test]
fn the_pattern_of_a_case_gives_what_its_queries_and_keys_give() {
    for case in of_queries_and_keys() {
        let mut call = call_of(&case, Layout::row_major);
        assert_eq!(call.run(), CONTRIB_OK, "{}: {}", case.case.name, message());
        let pattern = case.case.tensor("pattern");
        let names = ["resid_pre", "resid_mid", "pattern", "values", "w_o", "out_attn", "out_resid"];
        let stored = names.map(|name| match name {
            "pattern" => Stored::new(&pattern.numbers, Layout::row_major(&pattern.shape)),
            name => call.output(name).clone(),
        });
        let mut given = Call::new(Function::AttentionFactored, stored.to_vec());
        given.norm = case.case.norm;
        assert_eq!(given.run(), CONTRIB_OK, "{}: {}", case.case.name, message());
        let tolerance = tolerance(&case);
        for (found, expected) in call.outputs().into_iter().zip(given.outputs()) {
            for (found, expected) in found.to_f64().into_iter().zip(expected.to_f64()) {
                assert!((found - expected).abs() <= tolerance, "{}: {found}, not {expected}", case.case.name);
            }
        }
    }
}

/// The same call as one of groups, whose parts are `[kv_head, head of those, key_pos]` and whose batch is `[batch, pos]`. Its
/// results are those of [`call_of`], seen with other axes.
fn group_call(case: &QueryKeyCase) -> Call {
    /// The axis, which falls into one of this extent and a faster one.
    fn split(arg: &mut Arg, axis: usize, extent: usize) {
        let (whole, stride) = (arg.shape()[axis], arg.strides()[axis]);
        // One for all stays so.
        let slower = if whole == 1 { 1 } else { extent as i64 };
        arg.shape().splice(axis..=axis, [slower, whole / slower]);
        arg.strides().splice(axis..=axis, [whole / slower * stride, stride]);
        arg.ndim += 1;
    }
    /// A further axis of one element.
    fn insert(arg: &mut Arg, axis: usize) {
        arg.shape().insert(axis, 1);
        arg.strides().insert(axis, 0);
        arg.ndim += 1;
    }
    let mut call = call_of(case, Layout::row_major);
    let kv_heads = case.case.tensor("keys").shape[2];
    // In the order of the arguments of attention.
    let [_, _, queries, keys, slopes, sinks, mask, _, key_positions, values, w_o, out, _] = &mut call.args[..] else {
        unreachable!("attention from queries and keys has 13 tensors")
    };
    if let Some(queries) = queries {
        split(queries, 2, kv_heads);
        queries.permute(&[2, 3, 0, 1, 4]);
        insert(queries, 2);
    }
    for of_keys in [keys, values].into_iter().flatten() {
        of_keys.permute(&[2, 1, 0, 3]);
        insert(of_keys, 1);
        insert(of_keys, 4);
    }
    for of_heads in [slopes, sinks].into_iter().flatten() {
        split(of_heads, 0, kv_heads);
    }
    if let Some(mask) = mask {
        split(mask, 1, kv_heads);
        mask.permute(&[1, 2, 4, 0, 3]);
    }
    if let Some(positions) = key_positions {
        positions.permute(&[1, 0]);
        insert(positions, 2);
    }
    if let Some(w_o) = w_o {
        split(w_o, 0, kv_heads);
        insert(w_o, 2);
    }
    if let Some(out) = out {
        split(out, 3, kv_heads);
        out.permute(&[3, 4, 2, 0, 1]);
    }
    let none = None;
    #[rustfmt::skip]
    call.reorder(&[
        Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), Some(7), Some(8), Some(9), Some(10), Some(0), Some(11),
        none, none, none, Some(12),
    ]);
    call.function = Function::GroupsFromScores;
    call
}
