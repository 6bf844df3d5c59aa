//! Outputs have memory of their own, element by element: what shares some is found, what only lies between is written.

mod common;

use common::harm::{fails, gives_the_same, goes_well, results_where_said};
use common::{Arg, Function, ROOM, dense_group, dtype, for_each_argument, message, plain_options, small};
use contrib::operations::contrib_group_contributions;
use contrib::status::*;
use contrib_testing::{Kind, Layout, Stored};

#[test]
fn an_output_that_shares_memory_with_another_tensor_is_found_and_named() {
    for_each_argument(|function, other| {
        for &output in &function.arguments()[function.inputs()..] {
            let in_place = [("c_blocks", "out_blocks"), ("c_residual", "out_residual")].contains(&(other, output));
            if other == output {
                continue;
            }
            let numbers = [output, other].map(|name| small(function).number(name));
            // Of two outputs the later one is found out.
            let (blamed, with) = if numbers[0] < numbers[1] && numbers[1] >= function.inputs() {
                (other, output)
            } else {
                (output, other)
            };
            let sentence = format!("{blamed}: expected memory of its own, got some that {with} uses");
            let place = |what: &str, from_end: bool, elements: i64, overlaps: bool| {
                let mut call = small(function);
                let (there, own) = (call.arg(other).addresses(), call.arg(output).addresses());
                let start = if from_end { there[there.len() - 1] } else { there[0] - own.len() * 4 };
                let data = call.arg(other).data;
                call.arg(output).data = data.with_addr(start).wrapping_byte_offset(4 * elements as isize);
                let what = format!("{output} {what} {other}");
                if overlaps {
                    fails(&what, &mut call, CONTRIB_ERROR_OVERLAP, Some(&sentence));
                } else {
                    gives_the_same(&what, &mut call, &mut small(function));
                }
            };
            place("on the last element of", true, 0, true);
            place("on the first element of", false, 1, true);
            place("right after", true, 1, false);
            place("right before", false, 0, false);
            if !in_place {
                let own = small(function).arg(output).addresses().len() as i64;
                place("at the beginning of", false, own, true);
            }
        }
    });
}

#[test]
fn outputs_in_bytes_between_elements_of_another_type_are_found() {
    for (bytes, overlaps) in [(-14, false), (-12, false), (-10, true), (44, true), (46, true), (48, false)] {
        let make = || {
            let mut call = small(Function::Contributions);
            call.arg("out").dtype = dtype(Kind::F16);
            call
        };
        let mut call = make();
        // 48 bytes of the whole, 12 of results.
        call.arg("out").data = call.arg("whole").data.wrapping_byte_offset(bytes);
        if overlaps {
            let sentence = Some("out: expected memory of its own, got some that whole uses");
            fails(&format!("at byte {bytes}"), &mut call, CONTRIB_ERROR_OVERLAP, sentence);
        } else {
            let mut plain = make();
            goes_well("plain", &mut plain);
            goes_well(&format!("at byte {bytes}"), &mut call);
            assert_eq!(results_where_said(&call), results_where_said(&plain));
        }
    }
}

#[test]
fn an_output_whose_elements_share_memory_is_found_and_others_are_written() {
    let sentence = |name| format!("{name}: expected an element each for all results, got strides that share them");
    for_each_argument(|function, name| {
        let mut call = small(function);
        if call.number(name) >= function.inputs() {
            for (axis, stride) in [(0, 0), (call.arg(name).shape().len() - 1, 0)] {
                let mut call = small(function);
                call.arg(name).strides()[axis] = stride;
                fails("a stride of 0", &mut call, CONTRIB_ERROR_SELF_OVERLAP, Some(&sentence(name)));
            }
        }
    });
    // `out` is [2, 3].
    for strides in [[0, 0], [1, 1], [2, 1], [-1, 1], [1, -1], [-2, 1], [2, 2], [4, 2], [2, -2], [1, 0], [0, 1]] {
        let mut call = small(Function::Contributions);
        *call.arg("out").strides() = strides.to_vec();
        let sentence = Some(sentence("out"));
        fails(&format!("{strides:?}"), &mut call, CONTRIB_ERROR_SELF_OVERLAP, sentence.as_deref());
    }
    for strides in [[3, 1], [1, 2], [-3, -1], [-3, 1], [2, 3], [3, 2], [5, 2], [1, -2], [7, 7 * 2], [4, 3], [-5, 4]] {
        let mut call = small(Function::Contributions);
        *call.arg("out").strides() = strides.to_vec();
        gives_the_same(&format!("{strides:?}"), &mut call, &mut small(Function::Contributions));
    }
}

#[test]
fn outputs_may_be_columns_of_one_matrix() {
    // For each function the strides of its two outputs, and the first column of the second: rows of 9 numbers.
    #[rustfmt::skip]
    let rows: &[(Function, [&[i64]; 2], usize)] = &[
        (Function::Groups, [&[1, 9], &[9]], 2),
        (Function::OneOff, [&[3, 9], &[9]], 1),
        (Function::Attention, [&[27, 9, 2, 1], &[27, 9]], 4),
        (Function::Mlp, [&[27, 9], &[27, 9]], 8),
        (Function::DecomposedMlp, [&[9, 1], &[9]], 7),
        (Function::MlpNeurons, [&[9, 1], &[9]], 7),
        (Function::Threshold, [&[9, 2], &[9]], 3),
    ];
    for &(function, strides, column) in rows {
        let mut call = small(function);
        let mut matrix = Layout::row_major(&[6, 9]);
        matrix.offset += ROOM;
        matrix.len += 2 * ROOM;
        let data = Arg::of(call.spare.insert(Stored::blank(Kind::F32, matrix))).data;
        let inputs = function.inputs();
        for (arg, (strides, column)) in
            call.args[inputs..].iter_mut().flatten().zip([(strides[0], 0), (strides[1], column)])
        {
            arg.data = data.wrapping_byte_add(4 * column);
            arg.strides = Some(strides.to_vec());
        }
        gives_the_same("columns", &mut call, &mut small(function));

        let out = call.args[inputs + 1].as_mut().unwrap();
        out.data = data;
        fails("the same column", &mut call, CONTRIB_ERROR_OVERLAP, None);
    }
}

#[test]
fn an_output_may_lie_between_the_rows_of_an_input() {
    for (column, overlaps) in [(0, true), (3, true), (4, false), (8, false)] {
        let mut call = small(Function::Contributions);
        let mut wide = Stored::new(&call.stored[0].elements(), Layout::rows_apart(&[3, 4]));
        call.args[0] = Some(Arg::of(&mut wide));
        call.stored[0] = wide;
        // Rows of 4 numbers and 5 of nobody.
        let row = call.arg("whole").strides()[0];
        assert_eq!(row, 9);
        call.arg("parts").shape()[0] = 1;
        call.arg("out").shape()[0] = 1;
        call.arg("out").data = call.arg("whole").data.wrapping_byte_add(4 * column);
        *call.arg("out").strides() = vec![0, row];
        if overlaps {
            fails("between", &mut call, CONTRIB_ERROR_OVERLAP, None);
        } else {
            goes_well("between", &mut call);
            assert_eq!(results_where_said(&call), [[u64::from(1.0_f32.to_bits()); 3]]);
        }
    }
}

#[test]
fn thousands_of_outputs_may_be_columns_of_one_matrix() {
    const GROUPS: usize = 2000;
    let numbers = |shape: &[usize]| {
        let layout = Layout::row_major(shape);
        Stored::from_fn(Kind::F32, layout, |index| (1 + index % 7) as f64)
    };
    let (mut whole, mut parts) = (numbers(&[3, 2]), numbers(&[GROUPS, 3, 2]));
    // The status of a call whose outputs begin at the index `first` of their group, and the bits of all results.
    let mut run = |stride: i64, first: fn(usize) -> usize| {
        let mut matrix = Stored::blank(Kind::F32, Layout::row_major(&[3, GROUPS]));
        let (mut whole, parts, results) = (Arg::of(&mut whole), Arg::of(&mut parts), Arg::of(&mut matrix));
        let of = |all: &Arg, index: usize, shape: &[i64], strides: &[i64]| {
            let mut arg = all.clone();
            arg.data = all.data.wrapping_byte_add(4 * index);
            arg.reshape(shape, Some(strides));
            arg
        };
        let mut parts: Vec<Arg> = (0..GROUPS).map(|group| of(&parts, 6 * group, &[3, 2], &[2, 1])).collect();
        let mut outs: Vec<Arg> = (0..GROUPS).map(|group| of(&results, first(group), &[3], &[stride])).collect();
        let whole = whole.tensor();
        let parts: Vec<_> = parts.iter_mut().map(Arg::tensor).collect();
        let tensors: Vec<_> = outs.iter_mut().map(Arg::tensor).collect();
        let groups: Vec<_> = parts.iter().zip(&tensors).map(|(parts, out)| dense_group(parts, out)).collect();
        // SAFETY: the structs live, and their elements lie inside the buffers, which nothing else uses meanwhile.
        let status =
            unsafe { contrib_group_contributions(&raw const whole, groups.as_ptr(), GROUPS, &plain_options()) };
        if status != CONTRIB_OK {
            assert!(matrix.is_blank(), "something was written");
        }
        (status, matrix.bits())
    };
    let (status, columns) = run(GROUPS as i64, |group| group);
    assert_eq!(status, CONTRIB_OK, "{}", message());
    let (status, rows) = run(1, |group| 3 * group);
    assert_eq!(status, CONTRIB_OK, "{}", message());
    for (index, bits) in columns.into_iter().enumerate() {
        assert_eq!(bits, rows[3 * (index % GROUPS) + index / GROUPS], "{index}");
    }

    let (status, _) = run(GROUPS as i64, |group| if group == 1500 { 700 } else { group });
    assert_eq!(status, CONTRIB_ERROR_OVERLAP);
    assert_eq!(message(), "groups[1500].out: expected memory of its own, got some that groups[700].out uses");
}
