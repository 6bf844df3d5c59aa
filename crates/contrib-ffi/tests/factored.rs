//! What factored parts can do beyond the reference: the strongest, sums, what is left out, further parts, thresholds.

mod common;

use common::harm::{fails, gives_the_same, goes_well};
use common::{Arg, Call, Function, Size, dense_group, is_integer, message, plain_options, small};
use contrib::attention::{CONTRIB_ATTENTION_LEAVE_OUT_MASKED, CONTRIB_ATTENTION_SUM_HEADS};
use contrib::groups::{CONTRIB_GROUP_LEAVE_OUT_ZEROS, CONTRIB_GROUP_SUM, contrib_group};
use contrib::operations::contrib_group_contributions;
use contrib::status::{CONTRIB_ERROR_OUT_OF_MEMORY, CONTRIB_ERROR_SHAPE, CONTRIB_OK};
use contrib_testing::{Kind, Layout, Stored};

/// The functions that take factored parts.
const FACTORED: [Function; 8] = [
    Function::FactoredGroups,
    Function::AttentionFactored,
    Function::AttentionExtras,
    Function::AttentionFromScores,
    Function::SparseAttention,
    Function::MlpNeurons,
    Function::StrongestNeurons,
    Function::SparseNeurons,
];

/// Takes a tensor away.
fn remove(call: &mut Call, name: &str) {
    let number = call.number(name);
    call.args[number] = None;
}

/// Another output in the place of one.
fn replace(call: &mut Call, name: &str, kind: Kind, shape: &[usize]) {
    let number = call.number(name);
    call.place(number, Stored::blank(kind, Layout::padded(shape)));
}

fn assert_near(found: &[f64], expected: &[f64], error: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= error, "{what}[{index}]: {found}, not {expected}");
    }
}

#[test]
fn all_results_of_a_whole_sum_to_1() {
    for (function, wholes) in [
        (Function::AttentionFactored, 4),
        (Function::AttentionExtras, 9),
        (Function::AttentionFromScores, 4),
        (Function::SparseAttention, 4),
        (Function::MlpNeurons, 3),
        (Function::SparseNeurons, 3),
    ] {
        for flags in [0, 1] {
            let mut call = Call::random(function, Kind::F64, Size::Small);
            call.choices.flags = flags;
            goes_well("sum", &mut call);
            let mut sums = vec![0.0; wholes];
            for output in call.contributions() {
                // The axes of the batch come first.
                let results = output.to_f64();
                let of_one = results.len() / wholes;
                for (index, result) in results.into_iter().enumerate() {
                    sums[index / of_one] += result;
                }
            }
            assert_near(&sums, &vec![1.0; wholes], 1e-12, "sum");
        }
    }
}

/// What all neurons contribute, and the calls for the `k` strongest of each token, in both types of indices.
fn check_strongest(all: &[f64], tokens: usize, k: usize, mut strongest: impl FnMut(Kind) -> (Vec<f64>, Vec<i64>)) {
    let neurons = all.len() / tokens;
    for kind in [Kind::F32, Kind::F64] {
        let (found, indices) = strongest(kind);
        for token in 0..tokens {
            let all = &all[token * neurons..][..neurons];
            let mut order: Vec<usize> = (0..neurons).collect();
            order.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
            let expected: Vec<i64> = order[..k].iter().map(|&index| index as i64).collect();
            assert_eq!(indices[token * k..][..k], expected, "token {token}, indices in place of {kind:?}");
            for (found, &index) in found[token * k..][..k].iter().zip(&order) {
                assert_eq!(found.to_bits(), all[index].to_bits(), "neuron {index} of token {token}");
            }
        }
    }
}

#[test]
fn the_strongest_neurons_are_the_largest_of_all_with_indices_of_either_type() {
    for size in [Size::Small, Size::Large] {
        let mut call = Call::random(Function::StrongestNeurons, Kind::F32, size);
        let shape = call.output("out_neurons").layout.shape.clone();
        let (tokens, neurons) = (shape[0], call.arg("activations").shape()[1] as usize);
        let mut all = Call::random(Function::StrongestNeurons, Kind::F32, size);
        remove(&mut all, "indices");
        replace(&mut all, "out_neurons", Kind::F64, &[tokens, neurons]);
        goes_well("all", &mut all);
        let contributions = all.output("out_neurons").to_f64();
        for k in [0, 1, 2, shape[1], neurons] {
            check_strongest(&contributions, tokens, k, |kind| {
                replace(&mut call, "out_neurons", Kind::F64, &[tokens, k]);
                replace(&mut call, "indices", kind, &[tokens, k]);
                goes_well("strongest", &mut call);
                assert_eq!(call.output("out_resid").bits(), all.output("out_resid").bits());
                (call.output("out_neurons").to_f64(), call.output("indices").integers())
            });
        }
    }
}

#[test]
fn the_strongest_parts_of_a_group_with_two_part_axes_have_row_major_indices() {
    let make = || Call::random(Function::FactoredGroups, Kind::F32, Size::Large);
    let mut all = make();
    remove(&mut all, "groups[0].indices");
    replace(&mut all, "groups[0].out", Kind::F64, &[120, 12, 5]);
    goes_well("all", &mut all);
    // Parts first; here they come last.
    let parts_first = all.output("groups[0].out").to_f64();
    let contributions: Vec<f64> =
        (0..5).flat_map(|whole| parts_first.iter().skip(whole).step_by(5).copied().collect::<Vec<_>>()).collect();
    let mut call = make();
    check_strongest(&contributions, 5, 7, |kind| {
        replace(&mut call, "groups[0].out", Kind::F64, &[5, 7]);
        replace(&mut call, "groups[0].indices", kind, &[5, 7]);
        goes_well("strongest", &mut call);
        (call.output("groups[0].out").to_f64(), call.output("groups[0].indices").integers())
    });
}

/// What is sparse, in rows of so much room: for each the row's contributions, indices, count, and what is left out.
type Rows = Vec<(Vec<f64>, Vec<i64>, i64, f64)>;

fn rows(call: &Call, out: &str, list: &str, room: usize) -> Rows {
    let name = |field: &str| format!("{list}{field}");
    let contributions = call.output(out).to_f64();
    let indices = call.output(&name("indices")).integers();
    let counts = call.output(&name("counts")).integers();
    let left_out = call.output(&name("left_out")).to_f64();
    let row = |index: usize| {
        let range = index * room..(index + 1) * room;
        (contributions[range.clone()].to_vec(), indices[range].to_vec(), counts[index], left_out[index])
    };
    (0..counts.len()).map(row).collect()
}

/// Compares rows with all contributions, those of each row one after the other.
fn check_rows(rows: &Rows, all: &[f64], above: f64, room: usize, what: &str) {
    let parts = all.len() / rows.len();
    for (row, (contributions, indices, count, left_out)) in rows.iter().enumerate() {
        let all = &all[row * parts..][..parts];
        let mut greater: Vec<usize> = (0..parts).filter(|&part| all[part] > above).collect();
        assert_eq!(*count, greater.len() as i64, "{what}, row {row}");
        greater.sort_by(|&a, &b| all[b].total_cmp(&all[a]));
        greater.truncate(room);
        greater.sort_unstable();
        let mut expected: Vec<i64> = greater.iter().map(|&part| part as i64).collect();
        expected.resize(room, -1);
        assert_eq!(*indices, expected, "{what}, row {row}");
        for (found, index) in contributions.iter().zip(indices) {
            let expected = usize::try_from(*index).map_or(0.0, |part| all[part]);
            assert_eq!(found.to_bits(), expected.to_bits(), "{what}, row {row}");
        }
        let others: f64 = (0..parts).filter(|part| !greater.contains(part)).map(|part| all[part]).sum();
        assert!((left_out - others).abs() <= 1e-6, "{what}, row {row}: {left_out} are left out, not {others}");
    }
}

#[test]
fn sparse_neurons_are_those_of_all_that_are_above_a_number() {
    for size in [Size::Small, Size::Large] {
        let mut all = Call::random(Function::MlpNeurons, Kind::F32, size);
        let mut call = Call::random(Function::SparseNeurons, Kind::F32, size);
        for name in ["resid_mid", "resid_post", "activations", "w_out"] {
            let number = all.number(name);
            all.place(number, call.output(name).clone());
        }
        let shape = call.output("activations").layout.shape.clone();
        replace(&mut all, "out_neurons", Kind::F64, &shape);
        replace(&mut all, "out_resid", Kind::F32, &shape[..1]);
        goes_well("all", &mut all);
        let contributions = all.output("out_neurons").to_f64();
        for above in [-1.0, 0.0, 0.001, 0.02, 0.2, 2.0] {
            for (room, integers) in [(0, Kind::F32), (2, Kind::F64), (7, Kind::F32)] {
                replace(&mut call, "out_neurons", Kind::F64, &[shape[0], room]);
                replace(&mut call, "indices", integers, &[shape[0], room]);
                replace(&mut call, "counts", integers, &shape[..1]);
                replace(&mut call, "left_out", Kind::F64, &shape[..1]);
                call.choices.above = above;
                goes_well("sparse", &mut call);
                assert_eq!(call.output("out_resid").bits(), all.output("out_resid").bits());
                let rows = rows(&call, "out_neurons", "", room);
                check_rows(&rows, &contributions, above, room, &format!("above {above}"));
            }
        }
    }
}

#[test]
fn sparse_attention_has_indices_of_keys_and_heads_or_of_keys() {
    for size in [Size::Small, Size::Large] {
        for summed in [false, true] {
            let flags = if summed { CONTRIB_ATTENTION_SUM_HEADS } else { 0 };
            let mut all = Call::random(Function::AttentionFactored, Kind::F32, size);
            let pattern = all.arg("pattern").shape().clone();
            let [batch, heads, pos, keys] = [0, 1, 2, 3].map(|axis| pattern[axis] as usize);
            replace(&mut all, "out_attn", Kind::F64, &[batch, pos, keys, heads][..if summed { 3 } else { 4 }]);
            all.choices.result_flags = flags;
            goes_well("all", &mut all);
            let contributions = all.output("out_attn").to_f64();
            let mut call = Call::random(Function::SparseAttention, Kind::F32, size);
            call.choices.result_flags = flags;
            for (above, room) in [(-1.0, 3), (0.01, 5), (0.05, 2), (0.5, 1)] {
                replace(&mut call, "out_attn", Kind::F64, &[batch, pos, room]);
                replace(&mut call, "indices", Kind::F64, &[batch, pos, room]);
                replace(&mut call, "left_out", Kind::F64, &[batch, pos]);
                call.choices.above = above;
                goes_well("sparse", &mut call);
                assert_eq!(call.output("out_resid").bits(), all.output("out_resid").bits());
                let rows = rows(&call, "out_attn", "", room);
                check_rows(&rows, &contributions, above, room, &format!("above {above}"));
            }
            // The largest, in the same places: of those the row has room for, ordered by size.
            remove(&mut call, "counts");
            remove(&mut call, "left_out");
            call.choices.above = 0.0;
            check_strongest(&contributions, batch * pos, 2, |kind| {
                replace(&mut call, "out_attn", Kind::F64, &[batch, pos, 2]);
                replace(&mut call, "indices", kind, &[batch, pos, 2]);
                goes_well("strongest", &mut call);
                (call.output("out_attn").to_f64(), call.output("indices").integers())
            });
        }
    }
}

#[test]
fn the_largest_sums_of_a_group_are_taken_over_its_leading_part_axes() {
    let make = || Call::random(Function::FactoredGroups, Kind::F32, Size::Large);
    for (summed_axes, shape) in [(1, &[12, 5][..]), (2, &[5])] {
        let mut all = make();
        remove(&mut all, "groups[0].indices");
        replace(&mut all, "groups[0].out", Kind::F64, shape);
        all.choices.flags = CONTRIB_GROUP_SUM;
        goes_well("sums", &mut all);
        let parts_first = all.output("groups[0].out").to_f64();
        let sums: Vec<f64> =
            (0..5).flat_map(|whole| parts_first.iter().skip(whole).step_by(5).copied().collect::<Vec<_>>()).collect();
        let mut call = make();
        call.choices.summed_axes = summed_axes;
        check_strongest(&sums, 5, 1, |kind| {
            replace(&mut call, "groups[0].out", Kind::F64, &[5, 1]);
            replace(&mut call, "groups[0].indices", kind, &[5, 1]);
            goes_well("largest", &mut call);
            (call.output("groups[0].out").to_f64(), call.output("groups[0].indices").integers())
        });
    }
}

#[test]
fn a_sum_over_heads_is_the_sum_of_what_each_head_contributes() {
    for function in [Function::AttentionFactored, Function::AttentionExtras] {
        for size in [Size::Small, Size::Large] {
            let results = |per_head: bool| {
                let mut call = Call::random(function, Kind::F32, size);
                let pattern = call.arg("pattern").shape().clone();
                let [batch, heads, pos, keys] = [0, 1, 2, 3].map(|axis| pattern[axis] as usize);
                let shape = [batch, pos, keys, heads];
                replace(&mut call, "out_attn", Kind::F64, &shape[..if per_head { 4 } else { 3 }]);
                call.choices.result_flags = if per_head { 0 } else { CONTRIB_ATTENTION_SUM_HEADS };
                goes_well("heads", &mut call);
                (call.output("out_attn").to_f64(), call.output("out_resid").bits(), heads)
            };
            let ((each, resid, heads), (sums, same_resid, _)) = (results(true), results(false));
            let expected: Vec<f64> = each.chunks(heads).map(|heads| heads.iter().sum()).collect();
            assert_near(&sums, &expected, 1e-14, "sums");
            assert_eq!(resid, same_resid);
        }
    }
}

#[test]
fn a_group_can_be_summed_over_any_of_its_leading_part_axes() {
    let with_out = |shape: &[usize], flags| {
        let mut call = Call::random(Function::FactoredGroups, Kind::F32, Size::Large);
        remove(&mut call, "groups[0].indices");
        replace(&mut call, "groups[0].out", Kind::F64, shape);
        call.choices.flags = flags;
        call
    };
    let results = |shape: &[usize], flags| {
        let mut call = with_out(shape, flags);
        goes_well(&format!("{shape:?}"), &mut call);
        call.output("groups[0].out").to_f64()
    };
    let each = results(&[120, 12, 5], 0);
    let sums_of =
        |count: usize| -> Vec<f64> { (0..count).map(|index| each.iter().skip(index).step_by(count).sum()).collect() };
    assert_near(&results(&[12, 5], CONTRIB_GROUP_SUM), &sums_of(60), 1e-14, "over the first");
    assert_near(&results(&[5], CONTRIB_GROUP_SUM), &sums_of(5), 1e-14, "over both");
    for (shape, flags) in [(&[12, 5][..], 0), (&[5], 0), (&[120, 5], CONTRIB_GROUP_SUM), (&[], CONTRIB_GROUP_SUM)] {
        fails(&format!("{shape:?}"), &mut with_out(shape, flags), CONTRIB_ERROR_SHAPE, None);
    }
}

#[test]
fn dense_parts_can_be_summed_and_the_strongest_taken() {
    let expected = {
        let mut call = small(Function::Groups);
        goes_well("each", &mut call);
        call.output("groups[0].out").to_f64()
    };
    // As the group of factored parts without coefficients.
    let dense = |flags| {
        let mut call = small(Function::FactoredGroups);
        for name in ["groups[0].coefficients", "groups[0].projection", "groups[0].scale"] {
            remove(&mut call, name);
        }
        let plain = small(Function::Groups);
        for (name, of_plain) in [("whole", 0), ("groups[0].parts", 1), ("groups[1].parts", 2)] {
            let number = call.number(name);
            call.place(number, plain.stored[of_plain].clone());
        }
        replace(&mut call, "groups[1].out", Kind::F32, &[3]);
        call.choices.flags = flags;
        call
    };
    let mut sums = dense(CONTRIB_GROUP_SUM);
    remove(&mut sums, "groups[0].indices");
    replace(&mut sums, "groups[0].out", Kind::F64, &[3]);
    goes_well("sums", &mut sums);
    let sum = |whole| expected[whole] + expected[3 + whole];
    assert_near(&sums.output("groups[0].out").to_f64(), &[sum(0), sum(1), sum(2)], 1e-6, "sums");

    let mut strongest = dense(0);
    replace(&mut strongest, "groups[0].out", Kind::F32, &[3, 1]);
    replace(&mut strongest, "groups[0].indices", Kind::F64, &[3, 1]);
    goes_well("strongest", &mut strongest);
    let largest = |whole| f64::max(expected[whole], expected[3 + whole]);
    let found = strongest.output("groups[0].out").to_f64();
    assert_eq!(found, [largest(0), largest(1), largest(2)]);
    for (whole, index) in strongest.output("groups[0].indices").integers().into_iter().enumerate() {
        assert_eq!(expected[index as usize * 3 + whole], found[whole]);
    }
}

#[test]
fn what_is_masked_counts_unless_it_is_left_out() {
    for (function, flag, coefficients, out) in [
        (Function::AttentionExtras, CONTRIB_ATTENTION_LEAVE_OUT_MASKED, "pattern", "out_attn"),
        (Function::FactoredGroups, CONTRIB_GROUP_LEAVE_OUT_ZEROS, "groups[0].coefficients", "groups[0].out"),
    ] {
        let results = |flags| {
            let mut call = small(function);
            let number = call.number(coefficients);
            let (zeros, elements) = (call.stored[number].to_f64(), call.stored[number].elements());
            assert!(zeros.contains(&0.0) && zeros.iter().any(|&coefficient| coefficient > 0.0), "{elements:?}");
            call.choices.flags = flags;
            if function == Function::FactoredGroups {
                remove(&mut call, "groups[0].indices");
                replace(&mut call, out, Kind::F64, &[5, 3]);
            } else {
                replace(&mut call, out, Kind::F64, &[3, 3, 2, 2]);
                call.choices.result_flags = 0;
            }
            goes_well("masked", &mut call);
            let mut contributions = call.output(out).to_f64();
            if function == Function::AttentionExtras {
                // [batch, pos, key_pos, head] as the pattern's [batch, head, pos, key_pos].
                let of = |i: usize| (i / 12 * 12) + i / 2 % 3 * 4 + i % 2 * 2 + i / 6 % 2;
                contributions = (0..36).map(|index| contributions[of(index)]).collect();
            }
            (zeros, contributions)
        };
        let ((coefficients, counted), (_, left_out)) = (results(0), results(flag));
        for (index, coefficient) in coefficients.iter().enumerate() {
            assert!(counted[index] > 0.0, "{function:?}[{index}]");
            assert_eq!(left_out[index] == 0.0, *coefficient == 0.0, "{function:?}[{index}]");
        }
    }
}

#[test]
fn extras_of_nothing_change_nothing_and_scales_of_1_no_more_than_a_rounding() {
    for size in [Size::Small, Size::Large] {
        let mut plain = Call::random(Function::AttentionExtras, Kind::F32, size);
        remove(&mut plain, "scale");
        goes_well("no scale", &mut plain);
        for shape in
            [[1, 1, 1].to_vec(), plain.arg("resid_mid").shape().iter().map(|&extent| extent as usize).collect()]
        {
            let mut call = Call::random(Function::AttentionExtras, Kind::F32, size);
            let number = call.number("scale");
            call.place(number, Stored::from_fn(Kind::F32, Layout::row_major(&shape), |_| 1.0));
            goes_well("a scale of 1", &mut call);
            for (found, expected) in call.outputs().into_iter().zip(plain.outputs()) {
                assert_near(&found.to_f64(), &expected.to_f64(), 1e-6, "a scale of 1");
            }
        }
    }
}

#[test]
fn extents_of_1_are_the_same_as_copies_along_the_axis() {
    // For each tensor the shape with ones; strides of 0 say the same with the whole shape.
    for (function, name, shape) in [
        (Function::FactoredGroups, "groups[0].parts", &[1, 1, 3][..]),
        (Function::FactoredGroups, "groups[0].parts", &[5, 1, 3]),
        (Function::FactoredGroups, "groups[0].parts", &[1, 3, 3]),
        (Function::FactoredGroups, "groups[0].projection", &[1, 3, 4]),
        (Function::FactoredGroups, "groups[0].scale", &[1, 4]),
        (Function::FactoredGroups, "groups[0].scale", &[3, 1]),
        (Function::AttentionExtras, "scale", &[1, 1, 4]),
        (Function::AttentionExtras, "one_offs[0].part", &[1, 1, 4]),
        (Function::AttentionExtras, "one_offs[1].part", &[3, 1, 4]),
    ] {
        let (mut with_ones, mut with_strides) = (small(function), small(function));
        for (axis, &extent) in shape.iter().enumerate() {
            if extent == 1 {
                with_strides.arg(name).strides()[axis] = 0;
            }
        }
        *with_ones.arg(name).shape() = shape.to_vec();
        gives_the_same(&format!("{name} {shape:?}"), &mut with_ones, &mut with_strides);
    }
}

#[test]
fn a_threshold_in_the_call_gives_what_thresholding_afterwards_gives() {
    // Of each function the results as `c_blocks` [r, b] and `c_residual` [r].
    for (function, representations, blocks, order) in [
        (Function::Attention, 6, 4, [3, 4]),
        (Function::AttentionFactored, 4, 12, [5, 6]),
        (Function::DecomposedMlp, 3, 5, [3, 4]),
        (Function::MlpNeurons, 3, 5, [4, 5]),
        (Function::Mlp, 6, 1, [3, 4]),
    ] {
        for cut in [-1.0, 0.0, 1e-5, 0.04, 0.2, 0.6, 1.0] {
            let results = |threshold| {
                let mut call = Call::random(function, Kind::F64, Size::Small);
                call.options_threshold = threshold;
                goes_well("threshold", &mut call);
                order.map(|number| call.stored[number].to_f64())
            };
            let mut after = small(Function::Threshold);
            let of = |values: &[f64], shape: &[usize]| {
                Stored::from_fn(Kind::F64, Layout::row_major(shape), |index| values[index])
            };
            let plain = results(0.0);
            let shapes = [&[representations, blocks][..], &[representations]];
            for (number, values) in plain.iter().enumerate() {
                after.place(number, of(values, shapes[number]));
                after.place(2 + number, Stored::blank(Kind::F64, Layout::row_major(shapes[number])));
            }
            after.choices.threshold = cut;
            goes_well("afterwards", &mut after);
            // With 0 in the options there is no threshold.
            let found = results(cut);
            for (found, expected) in found.iter().zip(after.outputs()) {
                for (found, expected) in found.iter().zip(expected.to_f64()) {
                    let what = format!("{function:?}, {cut}: {found}, not {expected}");
                    assert!(found.is_nan() == expected.is_nan(), "{what}");
                    let error = (found - expected).abs();
                    assert!(error.is_nan() || error <= 1e-14, "{what}");
                }
            }
        }
    }
}

#[test]
fn a_threshold_is_taken_before_sums_and_before_the_strongest() {
    let cut = 0.1;
    let results = |function, out: &str, shape: &[usize]| {
        let mut call = Call::random(function, Kind::F64, Size::Small);
        replace(&mut call, out, Kind::F64, shape);
        if out == "out_attn" {
            call.choices.result_flags = if shape.len() == 4 { 0 } else { CONTRIB_ATTENTION_SUM_HEADS };
        }
        call.options_threshold = cut;
        goes_well("threshold", &mut call);
        call.output(out).to_f64()
    };
    let each = results(Function::AttentionExtras, "out_attn", &[3, 3, 2, 2]);
    let sums = results(Function::AttentionExtras, "out_attn", &[3, 3, 2]);
    let expected: Vec<f64> = each.chunks(2).map(|heads| heads.iter().sum()).collect();
    assert!(each.contains(&0.0));
    assert_near(&sums, &expected, 1e-14, "sums");

    let each = results(Function::MlpNeurons, "out_neurons", &[3, 5]);
    let strongest = results(Function::StrongestNeurons, "out_neurons", &[3, 2]);
    for (strongest, each) in strongest.chunks(2).zip(each.chunks(5)) {
        let mut sorted = each.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        assert_eq!(strongest, &sorted[..2]);
    }
}

#[test]
fn a_threshold_in_the_options_of_thresholding_itself_is_not_used() {
    let mut call = small(Function::Threshold);
    call.options_threshold = 0.9;
    gives_the_same("0.9", &mut call, &mut small(Function::Threshold));
}

#[test]
fn every_function_of_factored_parts_takes_tensors_of_different_types() {
    for function in FACTORED {
        let mut plain = Call::random(function, Kind::F16, Size::Small);
        assert_eq!(plain.run(), CONTRIB_OK);
        for odd in 0..function.inputs() {
            let mut call = Call::random(function, Kind::F16, Size::Small);
            let are_numbers = |number: usize| !is_integer(function.arguments()[number]);
            for number in (0..function.inputs()).filter(|&number| number != odd && are_numbers(number)) {
                let wider = Stored::from_fn(
                    if number % 2 == 0 { Kind::F32 } else { Kind::F64 },
                    Layout::padded(&call.stored[number].layout.shape),
                    {
                        let values = call.stored[number].to_f64();
                        move |index| values[index]
                    },
                );
                call.place(number, wider);
            }
            goes_well("types", &mut call);
            for (found, expected) in call.contributions().into_iter().zip(plain.contributions()) {
                assert_near(&found.to_f64(), &expected.to_f64(), 1e-3, &format!("{function:?}"));
            }
        }
    }
}

#[test]
fn more_parts_than_can_be_counted_are_more_than_memory_can_hold() {
    let ones = |shape: &[usize], kind| Stored::from_fn(kind, Layout::row_major(shape), |_| 1.0);
    let (mut whole, mut direction, mut coefficient) =
        (ones(&[4], Kind::F32), ones(&[1, 4], Kind::F32), ones(&[1], Kind::F16));
    let (mut whole, mut direction) = (Arg::of(&mut whole), Arg::of(&mut direction));
    let (whole, direction) = (whole.tensor(), direction.tensor());
    // Nearly 2^62 parts that are all the same, in four groups, and as many as make 2^64 or nearly so.
    let mut many = Arg::of(&mut coefficient);
    many.reshape(&[(1 << 62) - 1], Some(&[0]));
    for few in [3, 4, 5] {
        let mut few_parts = many.clone();
        few_parts.reshape(&[few], Some(&[0]));
        let mut coefficients = [many.clone(), many.clone(), many.clone(), many.clone(), few_parts];
        let blank = |kind| [(); 5].map(|()| Stored::blank(kind, Layout::row_major(&[1])));
        let (mut outs, mut indices) = (blank(Kind::F32), blank(Kind::F64));
        let (mut outs_of, mut indices_of) = (outs.each_mut().map(Arg::of), indices.each_mut().map(Arg::of_integers));
        let tensors = [&mut coefficients, &mut outs_of, &mut indices_of].map(|args| args.each_mut().map(Arg::tensor));
        let groups = [0, 1, 2, 3, 4].map(|index| {
            let [coefficients, out, indices] = tensors.each_ref().map(|tensors| &raw const tensors[index]);
            contrib_group { coefficients, indices, ..dense_group(&raw const direction, out) }
        });
        // SAFETY: all that the groups point to is alive.
        let status =
            unsafe { contrib_group_contributions(&raw const whole, groups.as_ptr(), groups.len(), &plain_options()) };
        assert_eq!(status, CONTRIB_ERROR_OUT_OF_MEMORY, "{}", message());
        assert!(outs.iter().chain(&indices).all(Stored::is_blank));
    }
}
