//! A tensor, norm or threshold that is wrong comes back as a status and a sentence, and nothing has been written then.

mod common;

use common::harm::{fails, gives_the_same, goes_well};
use common::{Arg, Call, Function, Size, for_each_argument, is_integer, message, small};
use contrib::groups::{CONTRIB_GROUP_LEAVE_OUT_ZEROS, CONTRIB_GROUP_SUM};
use contrib::queries_and_keys::contrib_queries_and_keys;
use contrib::status::*;
use contrib_testing::{Kind, Layout, Stored};
use std::ptr;

/// What can be wrong with any tensor, by itself.
type Defect = (&'static str, fn(&mut Arg), contrib_status, &'static str);

const REACHES_TOO_FAR: &str = "extents and strides reach further than memory can be addressed";
const NULL: &str = "expected data, got a null pointer";

const DEFECTS: &[Defect] = &[
    ("NULL data", |arg| arg.data = ptr::null_mut(), CONTRIB_ERROR_NULL_POINTER, NULL),
    (
        "NULL data and an offset",
        |arg| (arg.data, arg.byte_offset) = (ptr::null_mut(), 64),
        CONTRIB_ERROR_NULL_POINTER,
        NULL,
    ),
    ("NULL shape", |arg| arg.shape = None, CONTRIB_ERROR_NULL_POINTER, "expected a shape for its axes, got NULL"),
    ("-1 axes", |arg| arg.ndim = -1, CONTRIB_ERROR_NDIM, "expected 0 to 16 axes, got -1"),
    ("fewest axes", |arg| arg.ndim = i32::MIN, CONTRIB_ERROR_NDIM, "expected 0 to 16 axes, got -2147483648"),
    ("17 axes", |arg| arg.reshape(&[1; 17], None), CONTRIB_ERROR_NDIM, "expected 0 to 16 axes, got 17"),
    ("most axes", |arg| arg.ndim = i32::MAX, CONTRIB_ERROR_NDIM, "expected 0 to 16 axes, got 2147483647"),
    (
        "a negative extent",
        |arg| arg.shape()[0] = -1,
        CONTRIB_ERROR_NEGATIVE_EXTENT,
        "expected an extent of at least 0 on axis 0, got -1",
    ),
    (
        "the most negative extent",
        |arg| arg.shape()[0] = i64::MIN,
        CONTRIB_ERROR_NEGATIVE_EXTENT,
        "expected an extent of at least 0 on axis 0, got -9223372036854775808",
    ),
    (
        "a negative extent after 0",
        |arg| arg.reshape(&[0, -2], None),
        CONTRIB_ERROR_NEGATIVE_EXTENT,
        "expected an extent of at least 0 on axis 1, got -2",
    ),
    ("the largest extent", |arg| arg.shape()[0] = i64::MAX, CONTRIB_ERROR_SIZE_OVERFLOW, REACHES_TOO_FAR),
    (
        "the largest extent without strides",
        |arg| {
            arg.shape()[0] = i64::MAX;
            arg.strides = None;
        },
        CONTRIB_ERROR_SIZE_OVERFLOW,
        REACHES_TOO_FAR,
    ),
    (
        "more elements than can be counted, all the same one",
        |arg| arg.reshape(&[1 << 32, 1 << 32], Some(&[0, 0])),
        CONTRIB_ERROR_SIZE_OVERFLOW,
        REACHES_TOO_FAR,
    ),
    (
        "extents whose product is 0 when it overflows",
        |arg| arg.reshape(&[1 << 32; 16], None),
        CONTRIB_ERROR_SIZE_OVERFLOW,
        REACHES_TOO_FAR,
    ),
    (
        "extents whose product is small when it overflows",
        |arg| arg.reshape(&[(1 << 62) + 1, 4], Some(&[0, 0])),
        CONTRIB_ERROR_SIZE_OVERFLOW,
        REACHES_TOO_FAR,
    ),
    ("the largest stride", |arg| arg.strides()[0] = i64::MAX, CONTRIB_ERROR_SIZE_OVERFLOW, REACHES_TOO_FAR),
    ("the most negative stride", |arg| arg.strides()[0] = i64::MIN, CONTRIB_ERROR_SIZE_OVERFLOW, REACHES_TOO_FAR),
    (
        "strides that overflow in bytes",
        |arg| arg.strides()[0] = i64::MAX / 4,
        CONTRIB_ERROR_SIZE_OVERFLOW,
        REACHES_TOO_FAR,
    ),
    (
        "strides that reach too far together",
        |arg| arg.reshape(&[2, 2], Some(&[-(1 << 60), 1 << 60])),
        CONTRIB_ERROR_SIZE_OVERFLOW,
        REACHES_TOO_FAR,
    ),
    (
        "strides below address 0",
        |arg| arg.reshape(&[2], Some(&[-(1 << 60)])),
        CONTRIB_ERROR_SIZE_OVERFLOW,
        REACHES_TOO_FAR,
    ),
    ("the largest offset", |arg| arg.byte_offset = u64::MAX, CONTRIB_ERROR_SIZE_OVERFLOW, REACHES_TOO_FAR),
    ("an aligned offset too large", |arg| arg.byte_offset = u64::MAX - 7, CONTRIB_ERROR_SIZE_OVERFLOW, REACHES_TOO_FAR),
    (
        "an offset after which there is room for one element",
        |arg| arg.byte_offset = u64::MAX - 3 - arg.data.addr() as u64,
        CONTRIB_ERROR_SIZE_OVERFLOW,
        REACHES_TOO_FAR,
    ),
    (
        "data off by one byte",
        |arg| arg.data = arg.data.wrapping_byte_add(1),
        CONTRIB_ERROR_MISALIGNED,
        "expected a pointer aligned to 4 bytes, the size of its elements, got another",
    ),
    (
        "an offset off by two bytes",
        |arg| arg.byte_offset = 2,
        CONTRIB_ERROR_MISALIGNED,
        "expected a pointer aligned to 4 bytes, the size of its elements, got another",
    ),
];

#[test]
fn any_defect_of_any_tensor_is_found_and_named() {
    for_each_argument(|function, name| {
        for (defect, make, status, sentence) in DEFECTS {
            let mut call = small(function);
            make(call.arg(name));
            fails(&format!("{name}: {defect}"), &mut call, *status, Some(&format!("{name}: {sentence}")));
        }
    });
}

/// Of a tensor that need not be given, the field or flag beside or without which it must.
const NEEDED: &[(&str, &str)] = &[
    ("pattern", "without queries_and_keys"),
    ("values", "without value_output"),
    ("w_o", "without value_output"),
    // Of sparse results.
    ("indices", "with counts"),
    ("counts", "with left_out"),
    ("left_out", "with counts"),
];

#[test]
fn a_null_in_place_of_any_tensor_is_found_and_named() {
    for_each_argument(|function, name| {
        let mut call = small(function);
        let number = call.number(name);
        call.args[number] = None;
        if function.may_be_null(name) {
            return;
        }
        let needed = NEEDED.iter().find(|(end, _)| name.rsplit('.').next() == Some(end));
        // Without a pattern, values can only be the products.
        let given = function == Function::AttentionExtras && name == "value_output";
        let (name, needed) = if given { ("values", NEEDED.get(1)) } else { (name, needed) };
        let because = needed.map_or(String::new(), |(_, needed)| format!(", as there must be {needed}"));
        let sentence = format!("{name}: expected a pointer{because}, got NULL");
        fails(&format!("NULL {name}"), &mut call, CONTRIB_ERROR_NULL_POINTER, Some(&sentence));
    });
}

#[test]
fn a_null_that_changes_what_other_tensors_are_is_found_by_their_shapes() {
    #[rustfmt::skip]
    let rows = [
        (Function::StrongestNeurons, "indices", CONTRIB_ERROR_SHAPE,
            "out_neurons: expected [3, 5] to match activations, got [3, 2]"),
        (Function::FactoredGroups, "groups[0].projection", CONTRIB_ERROR_SHAPE,
            "groups[0].parts: expected [5, 3, 4] to match groups[0].coefficients, got [5, 3, 3]"),
        (Function::FactoredGroups, "groups[0].indices", CONTRIB_ERROR_SHAPE,
            "groups[0].out: expected [5, 3] to match groups[0].coefficients, got [3, 2]"),
        (Function::FactoredGroups, "groups[0].coefficients", CONTRIB_ERROR_NULL_POINTER,
            "groups[0].coefficients: expected a pointer, as there must be with projection, got NULL"),
        (Function::GroupsFromScores, "groups[0].projection", CONTRIB_ERROR_SHAPE,
            "groups[0].parts: expected [4, 5, 3, 4] to match groups[0].keys, got [4, 5, 1, 3]"),
    ];
    for (function, name, status, sentence) in rows {
        let mut call = small(function);
        let number = call.number(name);
        call.args[number] = None;
        fails(&format!("NULL {name}"), &mut call, status, Some(sentence));
    }
}

#[test]
fn what_only_coefficients_can_have_is_found_without_them() {
    for (given, with) in [
        (Some("groups[0].projection"), "projection"),
        (Some("groups[0].scale"), "scale"),
        (None, "CONTRIB_GROUP_LEAVE_OUT_ZEROS"),
    ] {
        let mut call = small(Function::FactoredGroups);
        for name in ["groups[0].coefficients", "groups[0].projection", "groups[0].scale", "groups[0].indices"] {
            let number = call.number(name);
            if given != Some(name) {
                call.args[number] = None;
            }
        }
        if given.is_none() {
            call.choices.flags = CONTRIB_GROUP_LEAVE_OUT_ZEROS;
        }
        let sentence = format!("groups[0].coefficients: expected a pointer, as there must be with {with}, got NULL");
        fails(with, &mut call, CONTRIB_ERROR_NULL_POINTER, Some(&sentence));
    }
    let mut call = small(Function::Groups);
    call.choices.flags = CONTRIB_GROUP_LEAVE_OUT_ZEROS;
    fails("dense parts", &mut call, CONTRIB_ERROR_NULL_POINTER, None);
}

#[test]
fn flags_that_are_not_known_or_ruled_out_are_found_and_named() {
    type Flags = fn(&mut Call) -> &mut u64;
    let rows: [(Function, &str, u64, Flags); 4] = [
        (Function::FactoredGroups, "groups[0].flags", 3, |call| &mut call.choices.flags),
        (Function::AttentionExtras, "inputs.flags", 1, |call| &mut call.choices.flags),
        (Function::AttentionExtras, "results.flags", 1, |call| &mut call.choices.result_flags),
        (Function::AttentionFromScores, "queries_and_keys.flags", 1, |call| &mut call.choices.queries_and_keys.flags),
    ];
    for bit in 0..64 {
        for (function, name, known, flags) in rows {
            if known & (1_u64 << bit) != 0 {
                continue;
            }
            let mut call = small(function);
            let got = known | 1 << bit;
            *flags(&mut call) = got;
            let sentence =
                format!("{name}: expected none but the flags {known:#x} that this version knows, got {got:#x}");
            fails(&format!("bit {bit}"), &mut call, CONTRIB_ERROR_FLAGS, Some(&sentence));
        }
    }
    let mut call = small(Function::FactoredGroups);
    call.choices.flags = CONTRIB_GROUP_SUM;
    let sentence = "groups[0].flags: expected no CONTRIB_GROUP_SUM where there is groups[0].indices, got both";
    fails("a sum of the strongest", &mut call, CONTRIB_ERROR_FLAGS, Some(sentence));
}

#[test]
fn numbers_that_scores_cannot_have_are_found_and_named() {
    type Number = fn(&mut contrib_queries_and_keys, f64);
    const FINITE: &str = "a finite number";
    const POSITIVE: &str = "a finite number greater than 0";
    #[rustfmt::skip]
    let rows: [(&str, Number, &str, &[f64]); 3] = [
        ("score_scale", |given, number| given.score_scale = number, FINITE, &[f64::NAN, f64::INFINITY, -f64::INFINITY]),
        ("soft_cap", |given, number| given.soft_cap = number, POSITIVE, &[-1.0, f64::NAN, f64::INFINITY]),
        ("first_query", |given, number| given.first_query = number as i64, "a position, or -1", &[-2.0, -1e9]),
    ];
    for (function, list) in [(Function::AttentionFromScores, ""), (Function::GroupsFromScores, "groups[0].")] {
        for (name, set, expected, numbers) in rows {
            for &number in numbers {
                let mut call = small(function);
                let positions = call.number(&format!("{list}query_positions"));
                call.args[positions] = None;
                set(&mut call.choices.queries_and_keys, number);
                let sentence = format!("{list}{name}: expected {expected}, got {number}");
                fails(name, &mut call, CONTRIB_ERROR_NUMBER, Some(&sentence));
            }
        }
    }
}

#[test]
fn what_sparse_results_are_above_is_a_number_and_not_said_of_others() {
    for (function, list) in
        [(Function::SparseAttention, ""), (Function::SparseNeurons, ""), (Function::GroupsFromScores, "groups[0].")]
    {
        let mut call = small(function);
        call.choices.above = f64::NAN;
        let sentence = format!("{list}above: expected a number, got NaN");
        fails("NaN", &mut call, CONTRIB_ERROR_THRESHOLD, Some(&sentence));
    }
    for function in [Function::AttentionFactored, Function::StrongestNeurons] {
        for threshold in [0.1, -1.0, f64::NAN] {
            let mut call = small(function);
            call.choices.above = threshold;
            let sentence = "counts: expected a pointer, as there must be with above, got NULL";
            fails("a threshold", &mut call, CONTRIB_ERROR_NULL_POINTER, Some(sentence));
        }
    }
    for axes in [2, usize::MAX] {
        let mut call = small(Function::FactoredGroups);
        call.choices.summed_axes = axes;
        let sentence = format!("groups[0].summed_axes: expected at most all part axes, got {}", axes as f64);
        fails("axes", &mut call, CONTRIB_ERROR_NUMBER, Some(&sentence));
    }
    let mut call = small(Function::FactoredGroups);
    call.choices.summed_axes = 1;
    let number = call.number("groups[0].indices");
    call.args[number] = None;
    let sentence = "groups[0].indices: expected a pointer, as there must be with summed_axes, got NULL";
    fails("axes", &mut call, CONTRIB_ERROR_NULL_POINTER, Some(sentence));
}

#[test]
fn key_value_heads_that_do_not_divide_the_heads_are_found() {
    for kv_heads in [0, 3, 5] {
        let mut call = small(Function::AttentionFactored);
        call.arg("values").shape()[2] = kv_heads;
        call.arg("values").strides()[2] = 0;
        let sentence = format!("values: expected a number of key-value heads that divides 4 heads, got {kv_heads}");
        fails("key-value heads", &mut call, CONTRIB_ERROR_HEADS, Some(&sentence));
    }
}

#[test]
fn more_strongest_parts_than_there_are_or_can_be_counted_are_found() {
    for (function, out, indices, before) in [
        (Function::StrongestNeurons, "out_neurons", "indices", &[3][..]),
        (Function::FactoredGroups, "groups[0].out", "groups[0].indices", &[3]),
    ] {
        let with = |k: usize| {
            let mut call = small(function);
            for (name, kind) in [(out, Kind::F32), (indices, Kind::F32)] {
                let number = call.number(name);
                call.place(number, Stored::blank(kind, Layout::row_major(&[before, &[k]].concat())));
            }
            call
        };
        goes_well("all five", &mut with(5));
        let sentence = format!("{out}: expected room for at most all 5 parts, and indices that can count them, got 6");
        fails("six of five", &mut with(6), CONTRIB_ERROR_TOP_K, Some(&sentence));
    }
    // More neurons than an int32 can count, all of them the same, of vectors without elements.
    let mut call = small(Function::StrongestNeurons);
    call.arg("activations").reshape(&[3, 1 << 31], Some(&[1, 0]));
    call.arg("w_out").reshape(&[1 << 31, 4], Some(&[0, 1]));
    let sentence =
        "out_neurons: expected room for at most all 2147483648 parts, and indices that can count them, got 2";
    fails("int32", &mut call, CONTRIB_ERROR_TOP_K, Some(sentence));
}

#[test]
fn unknown_dtypes_of_any_tensor_are_found_and_named() {
    #[rustfmt::skip]
    let unknown = [
        (0, 32, 1), (1, 32, 1), (3, 32, 1), (5, 64, 1), (5, 128, 1), (6, 8, 1), (7, 8, 1), (10, 8, 1), (17, 4, 1),
        (255, 255, u16::MAX), (255, 32, 1), (2, 0, 1), (2, 8, 1), (2, 31, 1), (2, 128, 1), (2, 255, 1),
        (2, 32, 0), (2, 32, 2), (2, 16, 2), (2, 64, 4), (2, 32, u16::MAX), (4, 32, 1), (4, 8, 1), (4, 16, 0), (4, 16, 2),
    ];
    #[rustfmt::skip]
    let unknown_of_indices = [
        (2, 32, 1), (2, 64, 1), (4, 16, 1), (1, 32, 1), (1, 64, 1), (0, 8, 1), (0, 16, 1), (0, 128, 1), (0, 31, 1),
        (0, 0, 1), (0, 32, 0), (0, 64, 2), (0, 32, u16::MAX), (255, 255, u16::MAX),
    ];
    for_each_argument(|function, name| {
        let (unknown, expected) = if is_integer(name) {
            (&unknown_of_indices[..], "int32 or int64")
        } else {
            (&unknown[..], "float32, float64, float16 or bfloat16")
        };
        for &(code, bits, lanes) in unknown {
            let mut call = small(function);
            call.arg(name).dtype = (code, bits, lanes);
            let sentence =
                format!("{name}: expected {expected} with one lane, got code {code}, {bits} bits, {lanes} lanes");
            fails(&format!("dtype of {name}"), &mut call, CONTRIB_ERROR_DTYPE, Some(&sentence));
        }
    });
}

#[test]
fn devices_that_the_host_cannot_read_are_found_and_named() {
    for_each_argument(|function, name| {
        for device in [2, 0, -1, 4, 5, 6, 7, 8, 9, 10, 12, 14, 15, 16, i32::MAX, i32::MIN] {
            let mut call = small(function);
            call.arg(name).device_type = device;
            let sentence =
                format!("{name}: expected memory that the host can read (device_type 1, 3, 11 or 13), got {device}");
            fails(&format!("device of {name}"), &mut call, CONTRIB_ERROR_DEVICE, Some(&sentence));
        }
    });
}

#[test]
fn data_of_any_type_must_be_aligned_to_its_elements_and_no_more() {
    for kind in Kind::ALL {
        for_each_argument(|function, name| {
            let call = Call::random(function, kind, Size::Small);
            // Indices are not of the kind of the others.
            let kind = call.stored[call.number(name)].kind();
            let sentence = format!(
                "{name}: expected a pointer aligned to {} bytes, the size of its elements, got another",
                kind.size()
            );
            let sentence = Some(sentence.as_str());
            for bytes in 1..kind.size() {
                let mut call = Call::random(function, kind, Size::Small);
                call.arg(name).data = call.arg(name).data.wrapping_byte_add(bytes);
                fails("misaligned data", &mut call, CONTRIB_ERROR_MISALIGNED, sentence);
                let mut call = Call::random(function, kind, Size::Small);
                call.arg(name).byte_offset = bytes as u64;
                fails("misaligned offset", &mut call, CONTRIB_ERROR_MISALIGNED, sentence);
            }
            // Misaligned data and an offset that makes up for it.
            let mut call = Call::random(function, kind, Size::Small);
            call.arg(name).data = call.arg(name).data.wrapping_byte_sub(1 + 3 * kind.size());
            call.arg(name).byte_offset = 1 + 3 * kind.size() as u64;
            gives_the_same("an offset", &mut call, &mut Call::random(function, kind, Size::Small));
        });
    }
}

#[test]
fn an_extent_that_disagrees_is_found_on_any_axis_of_any_tensor() {
    for_each_argument(|function, name| {
        let axes = small(function).arg(name).shape().len();
        // Some numbers of heads and key-value heads are as good as others, and wholes may share keys and values or not.
        let is_free = |axis| match function {
            Function::AttentionFactored | Function::SparseAttention => {
                [("pattern", 1), ("values", 2)].contains(&(name, axis))
            }
            Function::AttentionFromScores => [("queries", 2), ("values", 2)].contains(&(name, axis)),
            Function::GroupsFromScores => [("groups[0].keys", 2), ("groups[0].parts", 2)].contains(&(name, axis)),
            _ => false,
        };
        // One is the same for all.
        let may_be_one =
            function == Function::AttentionFromScores && ["mask", "query_positions", "key_positions"].contains(&name);
        for axis in (0..axes).filter(|&axis| !is_free(axis)) {
            for change in [-1, 1, 2] {
                let mut call = small(function);
                call.arg(name).shape()[axis] += change;
                if may_be_one && call.arg(name).shape()[axis] == 1 {
                    continue;
                }
                fails(&format!("axis {axis} of {name} changed by {change}"), &mut call, CONTRIB_ERROR_SHAPE, None);
                let blamed = message().split(": ").next().map(str::to_owned);
                assert!(function.arguments().contains(&blamed.unwrap().as_str()), "{}", message());
            }
            let mut call = small(function);
            call.arg(name).shape()[axis] = 0;
            // Of no parts none is the strongest, whatever the shape of the others.
            let no_parts = (name, axis) == ("groups[0].coefficients", 0);
            let status = if no_parts { CONTRIB_ERROR_TOP_K } else { CONTRIB_ERROR_SHAPE };
            fails(&format!("no axis {axis} of {name}"), &mut call, status, None);
        }
    });
}

/// A shape that disagrees, of which tensor of which function, and what is said then.
type BadShape = (Function, &'static str, &'static [i64], contrib_status, &'static str);

const SHAPE: contrib_status = CONTRIB_ERROR_SHAPE;
const RANK: contrib_status = CONTRIB_ERROR_RANK;

#[rustfmt::skip]
const BAD_SHAPES: &[BadShape] = &[
    (Function::Contributions, "whole", &[], RANK, "whole: expected [.., d], got []"),
    (Function::Contributions, "whole", &[2, 4], SHAPE, "parts: expected [*, 2, 4] to match whole, got [2, 3, 4]"),
    (Function::Contributions, "whole", &[3, 5], SHAPE, "parts: expected [*, 3, 5] to match whole, got [2, 3, 4]"),
    (Function::Contributions, "whole", &[1, 2, 3, 4], SHAPE,
        "parts: expected [1, 2, 3, 4] to match whole, got [2, 3, 4]"),
    (Function::Contributions, "parts", &[2, 3, 5], SHAPE, "parts: expected [*, 3, 4] to match whole, got [2, 3, 5]"),
    (Function::Contributions, "parts", &[], SHAPE, "parts: expected [3, 4] to match whole, got []"),
    (Function::Contributions, "parts", &[4], SHAPE, "parts: expected [3, 4] to match whole, got [4]"),
    (Function::Contributions, "parts", &[3, 4], SHAPE, "out: expected [3] to match parts, got [2, 3]"),
    (Function::Contributions, "parts", &[1, 2, 3, 4], SHAPE, "out: expected [1, 2, 3] to match parts, got [2, 3]"),
    (Function::Contributions, "out", &[3, 2], SHAPE, "out: expected [2, 3] to match parts, got [3, 2]"),
    (Function::Contributions, "out", &[6], SHAPE, "out: expected [2, 3] to match parts, got [6]"),
    (Function::Contributions, "out", &[2, 3, 1], SHAPE, "out: expected [2, 3] to match parts, got [2, 3, 1]"),
    (Function::Contributions, "out", &[], SHAPE, "out: expected [2, 3] to match parts, got []"),
    (Function::Groups, "whole", &[], RANK, "whole: expected [.., d], got []"),
    (Function::Groups, "groups[0].parts", &[2, 3, 3], SHAPE,
        "groups[0].parts: expected [*, 3, 4] to match whole, got [2, 3, 3]"),
    (Function::Groups, "groups[1].parts", &[5, 4], SHAPE,
        "groups[1].parts: expected [3, 4] to match whole, got [5, 4]"),
    (Function::Groups, "groups[0].out", &[2], SHAPE,
        "groups[0].out: expected [2, 3] to match groups[0].parts, got [2]"),
    (Function::Groups, "groups[1].out", &[], SHAPE, "groups[1].out: expected [3] to match groups[1].parts, got []"),
    (Function::OneOff, "whole", &[], SHAPE, "one_off: expected [] to match whole, got [3, 4]"),
    (Function::OneOff, "one_off", &[4], SHAPE, "one_off: expected [3, 4] to match whole, got [4]"),
    (Function::OneOff, "one_off", &[1, 3, 4], SHAPE, "one_off: expected [3, 4] to match whole, got [1, 3, 4]"),
    (Function::OneOff, "parts", &[2, 4, 4], SHAPE, "parts: expected [*, 3, 4] to match whole, got [2, 4, 4]"),
    (Function::OneOff, "out_parts", &[3, 3], SHAPE, "out_parts: expected [2, 3] to match parts, got [3, 3]"),
    (Function::OneOff, "out_one_off", &[1, 3], SHAPE, "out_one_off: expected [3] to match one_off, got [1, 3]"),
    (Function::Attention, "resid_mid", &[3, 4], RANK, "resid_mid: expected [batch, pos, d_model], got [3, 4]"),
    (Function::Attention, "resid_pre", &[2, 3, 3], SHAPE,
        "resid_pre: expected [2, 3, 4] to match resid_mid, got [2, 3, 3]"),
    (Function::Attention, "resid_pre", &[3, 4], SHAPE,
        "resid_pre: expected [2, 3, 4] to match resid_mid, got [3, 4]"),
    (Function::Attention, "decomposed_attn", &[2, 3, 2, 4], RANK,
        "decomposed_attn: expected [batch, pos, key_pos, head, d_model], got [2, 3, 2, 4]"),
    (Function::Attention, "decomposed_attn", &[3, 2, 2, 2, 4], SHAPE,
        "decomposed_attn: expected [2, 3, *, *, 4] to match resid_mid, got [3, 2, 2, 2, 4]"),
    (Function::Attention, "out_attn", &[2, 3, 4], SHAPE,
        "out_attn: expected [2, 3, 2, 2] to match decomposed_attn, got [2, 3, 4]"),
    (Function::Attention, "out_attn", &[2, 2, 2, 3], SHAPE,
        "out_attn: expected [2, 3, 2, 2] to match decomposed_attn, got [2, 2, 2, 3]"),
    (Function::Attention, "out_resid", &[3, 2], SHAPE, "out_resid: expected [2, 3] to match resid_mid, got [3, 2]"),
    (Function::Attention, "out_resid", &[2, 3, 1], SHAPE,
        "out_resid: expected [2, 3] to match resid_mid, got [2, 3, 1]"),
    (Function::Mlp, "resid_post", &[4], RANK, "resid_post: expected [batch, pos, d_model], got [4]"),
    (Function::Mlp, "resid_mid", &[3, 4], SHAPE, "resid_mid: expected [2, 3, 4] to match resid_post, got [3, 4]"),
    (Function::Mlp, "mlp_out", &[2, 3, 5], SHAPE, "mlp_out: expected [2, 3, 4] to match resid_post, got [2, 3, 5]"),
    (Function::Mlp, "mlp_out", &[1, 2, 3, 4], SHAPE,
        "mlp_out: expected [2, 3, 4] to match resid_post, got [1, 2, 3, 4]"),
    (Function::Mlp, "out_mlp", &[2], SHAPE, "out_mlp: expected [2, 3] to match mlp_out, got [2]"),
    (Function::Mlp, "out_resid", &[3, 2], SHAPE, "out_resid: expected [2, 3] to match resid_mid, got [3, 2]"),
    (Function::DecomposedMlp, "resid_post", &[], RANK, "resid_post: expected [.., d_model], got []"),
    (Function::DecomposedMlp, "resid_mid", &[4], SHAPE, "resid_mid: expected [3, 4] to match resid_post, got [4]"),
    (Function::DecomposedMlp, "decomposed_mlp_out", &[5, 4], SHAPE,
        "decomposed_mlp_out: expected [3, *, 4] to match resid_post, got [5, 4]"),
    (Function::DecomposedMlp, "decomposed_mlp_out", &[5, 3, 4], SHAPE,
        "decomposed_mlp_out: expected [3, *, 4] to match resid_post, got [5, 3, 4]"),
    (Function::DecomposedMlp, "out_neurons", &[5, 3], SHAPE,
        "out_neurons: expected [3, 5] to match decomposed_mlp_out, got [5, 3]"),
    (Function::DecomposedMlp, "out_resid", &[], SHAPE, "out_resid: expected [3] to match resid_mid, got []"),
    (Function::Threshold, "c_blocks", &[], SHAPE, "c_blocks: expected [3] to match c_residual, got []"),
    (Function::Threshold, "c_blocks", &[4, 3], SHAPE, "c_blocks: expected [3, *] to match c_residual, got [4, 3]"),
    (Function::Threshold, "c_residual", &[3, 4, 1], SHAPE,
        "c_blocks: expected [3, 4, 1] to match c_residual, got [3, 4]"),
    (Function::Threshold, "out_blocks", &[3], SHAPE, "out_blocks: expected [3, 4] to match c_blocks, got [3]"),
    (Function::Threshold, "out_residual", &[3, 1], SHAPE,
        "out_residual: expected [3] to match c_residual, got [3, 1]"),
];

#[rustfmt::skip]
const BAD_SHAPES_OF_FACTORS: &[BadShape] = &[
    (Function::FactoredGroups, "whole", &[], RANK, "whole: expected [.., d], got []"),
    (Function::FactoredGroups, "groups[0].coefficients", &[5], SHAPE,
        "groups[0].coefficients: expected [3] to match whole, got [5]"),
    (Function::FactoredGroups, "groups[0].coefficients", &[5, 4], SHAPE,
        "groups[0].coefficients: expected [*, 3] to match whole, got [5, 4]"),
    (Function::FactoredGroups, "groups[0].parts", &[3, 3], SHAPE,
        "groups[0].parts: expected [5, 3, 3] to match groups[0].projection, got [3, 3]"),
    (Function::FactoredGroups, "groups[0].parts", &[5, 2, 3], SHAPE,
        "groups[0].parts: expected [5, 3, 3] to match groups[0].projection, got [5, 2, 3]"),
    (Function::FactoredGroups, "groups[0].projection", &[3, 4], RANK,
        "groups[0].projection: expected [p.., r, d], got [3, 4]"),
    (Function::FactoredGroups, "groups[0].projection", &[2, 3, 4], SHAPE,
        "groups[0].projection: expected [5, 3, 4] to match groups[0].coefficients, got [2, 3, 4]"),
    (Function::FactoredGroups, "groups[0].scale", &[4], SHAPE,
        "groups[0].scale: expected [3, 4] to match groups[0].coefficients, got [4]"),
    (Function::FactoredGroups, "groups[0].out", &[2], SHAPE,
        "groups[0].out: expected [3, *] to match groups[0].coefficients, got [2]"),
    (Function::FactoredGroups, "groups[0].indices", &[3], SHAPE,
        "groups[0].indices: expected [3, 2] to match groups[0].out, got [3]"),
    (Function::AttentionFactored, "resid_mid", &[2, 4], RANK,
        "resid_mid: expected [batch, pos, d_model], got [2, 4]"),
    (Function::AttentionFactored, "resid_pre", &[2, 4], SHAPE,
        "resid_pre: expected [2, 2, 4] to match resid_mid, got [2, 4]"),
    (Function::AttentionFactored, "pattern", &[4, 2, 3], RANK,
        "pattern: expected [batch, head, pos, key_pos], got [4, 2, 3]"),
    (Function::AttentionFactored, "pattern", &[2, 4, 3, 2], SHAPE,
        "pattern: expected [2, *, 2, *] to match resid_mid, got [2, 4, 3, 2]"),
    (Function::AttentionFactored, "values", &[2, 3, 6], RANK,
        "values: expected [batch, key_pos, kv_head, d_head], got [2, 3, 6]"),
    (Function::AttentionFactored, "values", &[2, 2, 2, 3], SHAPE,
        "values: expected [2, 3, *, *] to match pattern, got [2, 2, 2, 3]"),
    (Function::AttentionFactored, "w_o", &[12, 4], RANK, "w_o: expected [head, d_head, d_model], got [12, 4]"),
    (Function::AttentionFactored, "w_o", &[2, 3, 4], SHAPE,
        "w_o: expected [4, 3, 4] to match pattern, values and resid_mid, got [2, 3, 4]"),
    (Function::AttentionFactored, "out_attn", &[2, 2, 3], RANK,
        "out_attn: expected [batch, pos, key_pos, head], got [2, 2, 3]"),
    (Function::AttentionExtras, "out_attn", &[3, 3, 2, 2], RANK,
        "out_attn: expected [batch, pos, key_pos], got [3, 3, 2, 2]"),
    (Function::AttentionExtras, "out_attn", &[3, 3, 4], SHAPE,
        "out_attn: expected [3, 3, 2] to match pattern, got [3, 3, 4]"),
    (Function::AttentionFactored, "out_attn", &[2, 2, 4, 3], SHAPE,
        "out_attn: expected [2, 2, 3, 4] to match pattern, got [2, 2, 4, 3]"),
    (Function::AttentionFactored, "out_resid", &[4], SHAPE,
        "out_resid: expected [2, 2] to match resid_mid, got [4]"),
    (Function::AttentionExtras, "value_output", &[3, 2, 2], RANK,
        "value_output: expected [batch, key_pos, head, d_model], got [3, 2, 2]"),
    (Function::AttentionExtras, "value_output", &[3, 2, 1, 4], SHAPE,
        "value_output: expected [3, 2, 2, 4] to match pattern, got [3, 2, 1, 4]"),
    (Function::AttentionExtras, "scale", &[3, 4], SHAPE,
        "scale: expected [3, 3, 4] to match pattern, got [3, 4]"),
    (Function::AttentionExtras, "one_offs[0].part", &[4], SHAPE,
        "one_offs[0].part: expected [3, 3, 4] to match resid_mid, got [4]"),
    (Function::AttentionExtras, "one_offs[1].part", &[2, 3, 4], SHAPE,
        "one_offs[1].part: expected [3, 3, 4] to match resid_mid, got [2, 3, 4]"),
    (Function::AttentionExtras, "one_offs[1].out", &[3], SHAPE,
        "one_offs[1].out: expected [3, 3] to match one_offs[1].part, got [3]"),
    (Function::MlpNeurons, "resid_post", &[], RANK, "resid_post: expected [.., d_model], got []"),
    (Function::MlpNeurons, "resid_mid", &[4], SHAPE, "resid_mid: expected [3, 4] to match resid_post, got [4]"),
    (Function::MlpNeurons, "activations", &[5, 3], SHAPE,
        "activations: expected [3, 5] to match w_out, got [5, 3]"),
    (Function::MlpNeurons, "w_out", &[20], RANK, "w_out: expected [hidden, d_model], got [20]"),
    (Function::MlpNeurons, "w_out", &[4, 5], SHAPE, "w_out: expected [*, 4] to match resid_post, got [4, 5]"),
    (Function::MlpNeurons, "out_neurons", &[5, 3], SHAPE,
        "out_neurons: expected [3, 5] to match activations, got [5, 3]"),
    (Function::MlpNeurons, "out_resid", &[], SHAPE, "out_resid: expected [3] to match resid_post, got []"),
    (Function::StrongestNeurons, "out_neurons", &[2, 3], SHAPE,
        "out_neurons: expected [3, *] to match activations, got [2, 3]"),
    (Function::StrongestNeurons, "indices", &[2], SHAPE,
        "indices: expected [3, 2] to match out_neurons, got [2]"),
];

#[rustfmt::skip]
const BAD_SHAPES_OF_SCORES: &[BadShape] = &[
    (Function::AttentionFromScores, "queries", &[2, 4, 3], RANK, "queries: expected [batch, pos, head, d], got [2, 4, 3]"),
    (Function::AttentionFromScores, "queries", &[2, 3, 4, 3], SHAPE,
        "queries: expected [2, 2, *, *] to match resid_mid, got [2, 3, 4, 3]"),
    (Function::AttentionFromScores, "keys", &[4, 2, 3], RANK,
        "keys: expected [batch, key_pos, kv_head, d], got [4, 2, 3]"),
    (Function::AttentionFromScores, "keys", &[2, 4, 2, 4], SHAPE,
        "keys: expected [2, *, *, 3] to match queries, got [2, 4, 2, 4]"),
    (Function::AttentionFromScores, "keys", &[2, 4, 1, 3], SHAPE,
        "keys: expected [2, 4, 2, 3] to match values and queries, got [2, 4, 1, 3]"),
    (Function::AttentionFromScores, "slopes", &[2], SHAPE, "slopes: expected [4] to match queries, got [2]"),
    (Function::AttentionFromScores, "sinks", &[1, 4], SHAPE, "sinks: expected [4] to match queries, got [1, 4]"),
    (Function::AttentionFromScores, "mask", &[2, 4], SHAPE,
        "mask: expected [2, 4, 2, 4] to match queries and keys, got [2, 4]"),
    (Function::AttentionFromScores, "key_positions", &[4], SHAPE,
        "key_positions: expected [2, 4] to match keys, got [4]"),
    (Function::GroupsFromScores, "groups[0].keys", &[3, 3], RANK,
        "groups[0].keys: expected [p.., v.., d], with one part axis or more, got [3, 3]"),
    (Function::GroupsFromScores, "groups[0].slopes", &[4, 5], SHAPE,
        "groups[0].slopes: expected [4] to match groups[0].queries, got [4, 5]"),
    (Function::GroupsFromScores, "groups[0].mask", &[4, 5], SHAPE,
        "groups[0].mask: expected [4, 5, 3] to match groups[0].keys, got [4, 5]"),
    (Function::GroupsFromScores, "groups[0].query_positions", &[2], SHAPE,
        "groups[0].query_positions: expected [3] to match groups[0].keys, got [2]"),
    (Function::GroupsFromScores, "groups[0].key_positions", &[5], SHAPE,
        "groups[0].key_positions: expected [5, 3] to match groups[0].keys, got [5]"),
    (Function::GroupsFromScores, "groups[0].projection", &[4, 5, 3, 4], SHAPE,
        "groups[0].projection: expected [*, 1, *, *] to match groups[0].queries, got [4, 5, 3, 4]"),
    (Function::GroupsFromScores, "groups[0].counts", &[5], SHAPE,
        "groups[0].counts: expected [3] to match groups[0].keys, got [5]"),
    (Function::SparseAttention, "indices", &[2, 2, 4], SHAPE,
        "indices: expected [2, 2, 3] to match out_attn, got [2, 2, 4]"),
    (Function::SparseAttention, "counts", &[2, 2, 3], SHAPE,
        "counts: expected [2, 2] to match pattern, got [2, 2, 3]"),
    (Function::SparseNeurons, "left_out", &[], SHAPE, "left_out: expected [3] to match activations, got []"),
];

#[test]
fn shapes_and_ranks_that_disagree_are_said_in_a_sentence() {
    let rows = [BAD_SHAPES, BAD_SHAPES_OF_FACTORS, BAD_SHAPES_OF_SCORES];
    for &(function, name, shape, status, sentence) in rows.into_iter().flatten() {
        let mut call = small(function);
        call.arg(name).reshape(shape, None);
        fails(&format!("{name} {shape:?}"), &mut call, status, Some(sentence));
    }
}

#[test]
fn vectors_of_more_elements_than_a_u32_counts_are_too_large() {
    // The tensors whose last axis is that of vectors, of which the first is the whole.
    for (function, names) in [
        (Function::Contributions, &["whole", "parts"][..]),
        (Function::Groups, &["whole", "groups[0].parts", "groups[1].parts"]),
        (Function::OneOff, &["whole", "parts", "one_off"]),
        (Function::Attention, &["resid_mid", "resid_pre", "decomposed_attn"]),
        (Function::Mlp, &["resid_post", "resid_mid", "mlp_out"]),
        (Function::DecomposedMlp, &["resid_post", "resid_mid", "decomposed_mlp_out"]),
        (Function::AttentionFactored, &["resid_mid", "resid_pre", "w_o"]),
        (Function::MlpNeurons, &["resid_post", "resid_mid", "w_out"]),
    ] {
        for len in [1_i64 << 32, 1 << 40] {
            let mut call = small(function);
            for name in names {
                let arg = call.arg(name);
                *arg.shape().last_mut().unwrap() = len;
                // All elements of a vector are the same one.
                *arg.strides().last_mut().unwrap() = 0;
            }
            let sentence = format!("{}: expected at most 4294967295 elements, got {len}", names[0]);
            fails("long vectors", &mut call, CONTRIB_ERROR_TOO_LARGE, Some(&sentence));
        }
    }
}

#[test]
fn the_most_axes_that_a_tensor_can_have_are_not_enough_for_neurons_of_as_many_batch_axes() {
    let mut call = small(Function::DecomposedMlp);
    for name in ["resid_mid", "resid_post", "decomposed_mlp_out"] {
        call.arg(name).reshape(&[1; 16], None);
    }
    let sentence = format!("decomposed_mlp_out: expected [.., hidden, d_model], got [{}1]", "1, ".repeat(15));
    fails("16 axes", &mut call, CONTRIB_ERROR_RANK, Some(&sentence));
}

#[test]
fn the_most_axes_that_a_tensor_can_have_are_not_enough_for_factored_parts_of_as_many_batch_axes() {
    let ones = format!("[{}1]", "1, ".repeat(15));
    let mut call = small(Function::MlpNeurons);
    for name in ["resid_mid", "resid_post", "activations", "out_neurons"] {
        call.arg(name).reshape(&[1; 16], None);
    }
    call.arg("w_out").reshape(&[1, 1], None);
    fails("16 axes", &mut call, CONTRIB_ERROR_RANK, Some(&format!("resid_post: expected [.., d_model], got {ones}")));

    let mut call = small(Function::FactoredGroups);
    call.arg("whole").reshape(&[1; 2], None);
    call.arg("groups[0].coefficients").reshape(&[1; 16], None);
    let sentence = format!("groups[0].coefficients: expected [p.., v..], got {ones}");
    fails("16 axes", &mut call, CONTRIB_ERROR_RANK, Some(&sentence));
}

#[test]
fn norms_that_are_none_are_found() {
    for function in Function::ALL {
        for (norm, said) in [
            (f64::NAN, "NaN"),
            (0.0, "0"),
            (-0.0, "-0"),
            (0.5, "0.5"),
            (1.0_f64.next_down(), "0.9999999999999999"),
            (-1.0, "-1"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut call = small(function);
            call.norm = norm;
            let sentence = format!("norm: expected a number >= 1 or infinity, got {said}");
            fails("norm", &mut call, CONTRIB_ERROR_NORM, Some(&sentence));
        }
        for norm in [1.0, 1.0_f64.next_up(), 1.5, 2.0, 3.0, 100.0, f64::INFINITY] {
            let mut call = small(function);
            call.norm = norm;
            goes_well(&format!("norm {norm}"), &mut call);
            for output in call.contributions() {
                let contributions = output.to_f64();
                assert!(
                    contributions.iter().all(|c| (0.0..=1.0).contains(c)),
                    "{function:?} {norm}: {contributions:?}"
                );
            }
        }
    }
}

#[test]
fn a_very_large_norm_is_nearly_the_largest_difference() {
    // Of contributions that differ by less, others may be in the results.
    for function in Function::ALL.into_iter().filter(|function| !function.is_sparse()) {
        let mut largest = small(function);
        largest.norm = f64::INFINITY;
        largest.results_of_run();
        for norm in [2e3, 1e4, 1e6, 1e12, 1e18, 1e300, f64::MAX] {
            let mut call = small(function);
            call.norm = norm;
            goes_well("a large norm", &mut call);
            for (found, expected) in call.outputs().iter().zip(largest.outputs()) {
                for (found, expected) in found.to_f64().into_iter().zip(expected.to_f64()) {
                    // A sum of at most four equal powers has a root larger by ln 4 / norm of itself.
                    let error = (found - expected).abs();
                    assert!(error <= 1e-6 + 10.0 / norm, "{function:?}, norm {norm:e}: {found}, not {expected}");
                }
            }
        }
    }
}

#[test]
fn a_threshold_of_nan_in_the_options_is_found_by_every_function() {
    for function in Function::ALL {
        let mut call = small(function);
        call.options_threshold = f64::NAN;
        fails("NaN", &mut call, CONTRIB_ERROR_THRESHOLD, Some("threshold: expected a number, got NaN"));
    }
}

#[test]
fn a_threshold_is_any_number() {
    let mut call = small(Function::Threshold);
    call.choices.threshold = f64::NAN;
    fails("NaN", &mut call, CONTRIB_ERROR_THRESHOLD, Some("threshold: expected a number, got NaN"));
    for threshold in [f64::NEG_INFINITY, -1.0, 0.0, f64::INFINITY] {
        let mut call = small(Function::Threshold);
        call.choices.threshold = threshold;
        goes_well("threshold", &mut call);
        // Above all of them nothing is left.
        let nothing_left = call.outputs().iter().all(|output| output.to_f64().iter().all(|c| c.is_nan()));
        assert_eq!(nothing_left, threshold == f64::INFINITY);
    }
}
