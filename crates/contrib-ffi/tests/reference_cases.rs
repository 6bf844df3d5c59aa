//! The reference cases, computed through the C functions, against the reference in `f64`.

mod common;

use common::{Arg, Call, Function, message};
use contrib::status::CONTRIB_OK;
use contrib_testing::cases::{self, RESULTS};
use contrib_testing::{Case, Kind, Layout, Operation, Stored};

/// The largest error that results may have, for inputs of this type.
fn tolerance(inputs: Kind) -> f64 {
    if inputs == Kind::F64 { 1e-12 } else { 1e-6 }
}

/// The type of results that do not add to the error.
fn result_kind(inputs: Kind) -> Kind {
    if inputs == Kind::F64 { Kind::F64 } else { Kind::F32 }
}

/// The call of a case by the operation's own name.
fn named_call(case: &Case, inputs: fn(&[usize]) -> Layout, outputs: fn(&[usize]) -> Layout) -> Call {
    let input = |&name: &&str| {
        let array = case.tensor(name);
        Stored::new(&array.numbers, inputs(&array.shape))
    };
    let mut tensors: Vec<Stored> = case.operation.inputs().iter().map(input).collect();
    let results = RESULTS.iter().filter_map(|names| case.get(names.expected));
    tensors.extend(results.map(|array| Stored::blank(result_kind(case.kind), outputs(&array.shape))));
    let mut call = Call::new(Function::of(case.operation), tensors);
    (call.norm, call.choices.threshold) = (case.norm, case.threshold);
    call
}

/// The same call as one of groups: the whole, the parts of each group, then their results.
fn group_call(case: &Case) -> Call {
    let mut call = named_call(case, Layout::row_major, Layout::row_major);
    if matches!(case.operation, Operation::AttentionFactored | Operation::MlpNeurons) {
        factored_group_call(&mut call);
        return call;
    }
    match case.operation {
        Operation::Contributions | Operation::OneOff => {}
        Operation::Attention => {
            call.arg("decomposed_attn").permute(&[2, 3, 0, 1, 4]);
            call.arg("out_attn").permute(&[2, 3, 0, 1]);
            call.reorder(&[1, 2, 0, 3, 4].map(Some));
        }
        Operation::Mlp | Operation::DecomposedMlp => call.reorder(&[1, 2, 0, 3, 4].map(Some)),
        Operation::AttentionFactored | Operation::MlpNeurons => unreachable!("these are factored"),
        Operation::Threshold => panic!("thresholds are no contributions"),
    }
    call.function = Function::Groups;
    call
}

/// As [`group_call`], with a group of factored parts. What all parts or all batch entries share has extents of 1.
fn factored_group_call(call: &mut Call) {
    /// The axis, which falls into one of this extent and a faster one.
    fn split(arg: &mut Arg, axis: usize, extent: usize) {
        let faster = arg.shape()[axis] / extent as i64;
        let stride = arg.strides()[axis];
        arg.shape().splice(axis..=axis, [extent as i64, faster]);
        arg.strides().splice(axis..=axis, [faster * stride, stride]);
        arg.ndim += 1;
    }
    /// A further axis of one element.
    fn insert(arg: &mut Arg, axis: usize) {
        arg.shape().insert(axis, 1);
        arg.strides().insert(axis, 0);
        arg.ndim += 1;
    }
    let order: [Option<usize>; 9] = if call.function == Function::AttentionFactored {
        let kv_heads = call.arg("values").shape()[2] as usize;
        // The parts are [kv_head, head of those, key_pos], the batch [batch, pos].
        let pattern = call.arg("pattern");
        split(pattern, 1, kv_heads);
        pattern.permute(&[1, 2, 4, 0, 3]);
        let values = call.arg("values");
        values.permute(&[2, 1, 0, 3]);
        insert(values, 1);
        insert(values, 4);
        let w_o = call.arg("w_o");
        split(w_o, 0, kv_heads);
        insert(w_o, 2);
        let out = call.arg("out_attn");
        split(out, 3, kv_heads);
        out.permute(&[3, 4, 2, 0, 1]);
        [Some(1), Some(2), Some(3), Some(4), None, Some(0), Some(5), None, Some(6)]
    } else {
        let axes = call.arg("activations").shape().len();
        let neurons_first: Vec<usize> = [axes - 1].into_iter().chain(0..axes - 1).collect();
        call.arg("activations").permute(&neurons_first);
        call.arg("out_neurons").permute(&neurons_first);
        (1..axes).for_each(|axis| insert(call.arg("w_out"), axis));
        [Some(1), Some(2), Some(3), None, None, Some(0), Some(4), None, Some(5)]
    };
    call.reorder(&order);
    call.function = Function::FactoredGroups;
}

fn check(case: &Case, call: &mut Call) {
    assert_eq!(call.run(), CONTRIB_OK, "{}: {}", case.name, message());
    for (names, output) in RESULTS.iter().zip(call.outputs()) {
        let expected = case.tensor(names.expected);
        let tensor = format!("{} {}", case.name, names.expected);
        assert_eq!(output.layout.shape, expected.shape, "{tensor}");
        assert!(output.is_untouched_around(), "{tensor}");
        for (index, (found, expected)) in output.to_f64().iter().zip(expected.numbers.to_f64()).enumerate() {
            let error = (found - expected).abs();
            assert_eq!(found.is_nan(), expected.is_nan(), "{tensor}[{index}]: {found}, expected {expected}");
            assert!(error.is_nan() || error <= tolerance(case.kind), "{tensor}[{index}]: off by {error:e}");
        }
    }
}

#[test]
fn every_reference_case_is_met_by_its_named_operation() {
    let cases = cases::all();
    assert!(cases.len() >= 78);
    for case in cases {
        check(&case, &mut named_call(&case, Layout::row_major, Layout::row_major));
    }
}

#[test]
fn every_reference_case_is_met_without_strides() {
    for case in cases::all() {
        let mut call = named_call(&case, Layout::row_major, Layout::row_major);
        call.args.iter_mut().flatten().for_each(|arg| arg.strides = None);
        check(&case, &mut call);
    }
}

#[test]
fn an_array_of_groups_gives_the_bits_of_the_named_operation() {
    for case in cases::all().iter().filter(|case| case.operation != Operation::Threshold) {
        let expected = named_call(case, Layout::row_major, Layout::row_major).results_of_run();
        assert_eq!(group_call(case).results_of_run(), expected, "{}", case.name);
    }
}

#[test]
fn negative_strides_gaps_and_other_orders_of_axes_do_not_change_a_bit() {
    for case in cases::all() {
        let expected = named_call(&case, Layout::row_major, Layout::row_major).results_of_run();
        for (name, layout) in Layout::OTHERS {
            let mut inputs = named_call(&case, layout, Layout::row_major);
            assert_eq!(inputs.results_of_run(), expected, "{} with {name} inputs", case.name);
            let mut outputs = named_call(&case, Layout::row_major, layout);
            assert_eq!(outputs.results_of_run(), expected, "{} with {name} results", case.name);
            assert!(
                outputs.outputs().into_iter().all(Stored::is_untouched_around),
                "{} with {name} results",
                case.name
            );
        }
    }
}

#[test]
fn thresholds_in_place_give_the_bits_of_thresholds_elsewhere() {
    for case in cases::all().iter().filter(|case| case.operation == Operation::Threshold) {
        for (blocks_in_place, residual_in_place) in [(true, true), (true, false), (false, true)] {
            let mut call = named_call(case, Layout::padded, Layout::padded);
            let expected = call.results_of_run();
            for (in_place, input, output) in [(blocks_in_place, 0, 2), (residual_in_place, 1, 3)] {
                if in_place {
                    call.args[output] = call.args[input].clone();
                    call.stored.swap(input, output);
                }
            }
            assert_eq!(call.results_of_run(), expected, "{}", case.name);
            assert!(call.outputs().into_iter().all(Stored::is_untouched_around), "{}", case.name);
        }
    }
}
