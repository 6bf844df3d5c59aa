//! What only looks wrong works: nothing where nothing is read, and any address for the structs.

mod common;

use common::harm::{gives_the_same, goes_well, results_where_said};
use common::{Function, dense_group, for_each_argument, message, plain_options, small};
use contrib::operations::contrib_group_contributions;
use contrib::status::*;
use contrib::tensor::contrib_tensor;
use std::ptr;

#[test]
fn memory_that_the_host_shares_with_a_device_is_as_good_as_its_own() {
    for_each_argument(|function, name| {
        for (device_type, device_id) in [(1, 0), (3, 0), (11, 1), (13, -7), (1, i32::MAX)] {
            let mut call = small(function);
            (call.arg(name).device_type, call.arg(name).device_id) = (device_type, device_id);
            gives_the_same(&format!("{name} on device {device_type}"), &mut call, &mut small(function));
        }
    });
}

#[test]
fn data_may_be_null_where_an_extent_is_zero() {
    type Shapes = &'static [&'static [i64]];
    #[rustfmt::skip]
    let rows: &[(Function, Shapes)] = &[
        (Function::Contributions, &[&[0, 4], &[2, 0, 4], &[2, 0]]),
        (Function::Contributions, &[&[3, 4], &[0, 3, 4], &[0, 3]]),
        (Function::Contributions, &[&[3, 0], &[2, 3, 0], &[2, 3]]),
        (Function::Contributions, &[&[0], &[0], &[]]),
        (Function::Groups, &[&[3, 4], &[0, 3, 4], &[3, 4], &[0, 3], &[3]]),
        (Function::Groups, &[&[0, 4], &[2, 0, 4], &[0, 4], &[2, 0], &[0]]),
        (Function::OneOff, &[&[3, 4], &[0, 3, 4], &[3, 4], &[0, 3], &[3]]),
        (Function::OneOff, &[&[0, 4], &[2, 0, 4], &[0, 4], &[2, 0], &[0]]),
        (Function::Attention, &[&[2, 3, 4], &[2, 3, 4], &[2, 3, 0, 2, 4], &[2, 3, 0, 2], &[2, 3]]),
        (Function::Attention, &[&[2, 3, 4], &[2, 3, 4], &[2, 3, 2, 0, 4], &[2, 3, 2, 0], &[2, 3]]),
        (Function::Attention, &[&[0, 3, 4], &[0, 3, 4], &[0, 3, 2, 2, 4], &[0, 3, 2, 2], &[0, 3]]),
        (Function::Attention, &[&[2, 3, 0], &[2, 3, 0], &[2, 3, 2, 2, 0], &[2, 3, 2, 2], &[2, 3]]),
        (Function::Mlp, &[&[2, 0, 4], &[2, 0, 4], &[2, 0, 4], &[2, 0], &[2, 0]]),
        (Function::Mlp, &[&[2, 3, 0], &[2, 3, 0], &[2, 3, 0], &[2, 3], &[2, 3]]),
        (Function::DecomposedMlp, &[&[3, 4], &[3, 4], &[3, 0, 4], &[3, 0], &[3]]),
        (Function::DecomposedMlp, &[&[0, 4], &[0, 4], &[0, 5, 4], &[0, 5], &[0]]),
        (Function::FactoredGroups, &[&[3, 4], &[0, 3], &[0, 3, 3], &[0, 3, 4], &[3, 4], &[2, 3, 4], &[3, 0], &[3, 0],
            &[2, 3]]),
        (Function::FactoredGroups, &[&[3, 4], &[5, 3], &[5, 3, 0], &[5, 0, 4], &[3, 4], &[2, 3, 4], &[3, 2], &[3, 2],
            &[2, 3]]),
        (Function::FactoredGroups, &[&[3, 0], &[5, 3], &[5, 3, 3], &[5, 3, 0], &[3, 0], &[2, 3, 0], &[3, 2], &[3, 2],
            &[2, 3]]),
        (Function::AttentionFactored, &[&[2, 2, 4], &[2, 2, 4], &[2, 4, 2, 0], &[2, 0, 2, 3], &[4, 3, 4],
            &[2, 2, 0, 4], &[2, 2]]),
        (Function::AttentionFactored, &[&[2, 2, 4], &[2, 2, 4], &[2, 0, 2, 3], &[2, 3, 0, 3], &[0, 3, 4],
            &[2, 2, 3, 0], &[2, 2]]),
        (Function::AttentionFactored, &[&[2, 2, 4], &[2, 2, 4], &[2, 4, 2, 3], &[2, 3, 2, 0], &[4, 0, 4],
            &[2, 2, 3, 4], &[2, 2]]),
        (Function::AttentionFactored, &[&[2, 0, 4], &[2, 0, 4], &[2, 4, 0, 3], &[2, 3, 2, 3], &[4, 3, 4],
            &[2, 0, 3, 4], &[2, 0]]),
        (Function::AttentionFactored, &[&[2, 2, 0], &[2, 2, 0], &[2, 4, 2, 3], &[2, 3, 2, 3], &[4, 3, 0],
            &[2, 2, 3, 4], &[2, 2]]),
        (Function::AttentionExtras, &[&[3, 3, 4], &[3, 3, 4], &[3, 0, 3, 2], &[3, 2, 0, 4], &[3, 3, 4], &[3, 3, 4],
            &[3, 3, 4], &[3, 3, 2], &[3, 3], &[3, 3], &[3, 3]]),
        (Function::AttentionFromScores, &[&[2, 2, 4], &[2, 2, 4], &[2, 2, 4, 0], &[2, 4, 2, 0], &[4], &[4],
            &[2, 4, 2, 4], &[2, 2], &[2, 4], &[2, 4, 2, 2], &[4, 2, 4], &[2, 2, 4, 4], &[2, 2]]),
        (Function::AttentionFromScores, &[&[2, 2, 4], &[2, 2, 4], &[2, 2, 4, 3], &[2, 0, 2, 3], &[4], &[4],
            &[2, 4, 2, 0], &[2, 2], &[2, 0], &[2, 0, 2, 2], &[4, 2, 4], &[2, 2, 0, 4], &[2, 2]]),
        (Function::AttentionFromScores, &[&[2, 0, 4], &[2, 0, 4], &[2, 0, 4, 3], &[2, 4, 2, 3], &[4], &[4],
            &[2, 4, 0, 4], &[2, 0], &[2, 4], &[2, 4, 2, 2], &[4, 2, 4], &[2, 0, 4, 4], &[2, 0]]),
        (Function::SparseAttention, &[&[2, 2, 4], &[2, 2, 4], &[2, 4, 2, 3], &[2, 3, 2, 3], &[4, 3, 4], &[2, 2, 0],
            &[2, 2, 0], &[2, 2], &[2, 2], &[2, 2]]),
        (Function::SparseAttention, &[&[2, 2, 4], &[2, 2, 4], &[2, 4, 2, 0], &[2, 0, 2, 3], &[4, 3, 4], &[2, 2, 0],
            &[2, 2, 0], &[2, 2], &[2, 2], &[2, 2]]),
        (Function::SparseNeurons, &[&[3, 4], &[3, 4], &[3, 0], &[0, 4], &[3, 0], &[3, 0], &[3], &[3], &[3]]),
        (Function::SparseNeurons, &[&[0, 4], &[0, 4], &[0, 5], &[5, 4], &[0, 2], &[0, 2], &[0], &[0], &[0]]),
        (Function::MlpNeurons, &[&[3, 4], &[3, 4], &[3, 0], &[0, 4], &[3, 0], &[3]]),
        (Function::MlpNeurons, &[&[0, 4], &[0, 4], &[0, 5], &[5, 4], &[0, 5], &[0]]),
        (Function::StrongestNeurons, &[&[3, 4], &[3, 4], &[3, 5], &[5, 4], &[3, 0], &[3, 0], &[3]]),
        (Function::StrongestNeurons, &[&[3, 4], &[3, 4], &[3, 0], &[0, 4], &[3, 0], &[3, 0], &[3]]),
        (Function::Threshold, &[&[3, 0], &[3], &[3, 0], &[3]]),
        (Function::Threshold, &[&[0, 4], &[0], &[0, 4], &[0]]),
    ];
    for (function, shapes) in rows {
        for offset in [0, 1, u64::MAX] {
            let mut call = small(*function);
            for (arg, shape) in call.args.iter_mut().flatten().zip(*shapes) {
                arg.reshape(shape, None);
                if shape.contains(&0) {
                    (arg.data, arg.byte_offset) = (ptr::null_mut(), offset);
                }
            }
            let name = format!("{shapes:?}");
            goes_well(&name, &mut call);
            // Whatever there is to write is a contribution, each part alike.
            let outputs: Vec<f32> =
                results_where_said(&call).concat().into_iter().map(|bits| f32::from_bits(bits as u32)).collect();
            assert!(*function == Function::Threshold || outputs.iter().all(|c| (0.0..=1.0).contains(c)), "{name}");
        }
    }
}

#[test]
fn shape_may_be_null_where_there_are_no_axes() {
    for (function, shapes, scalar) in [
        (Function::Contributions, &[&[4][..], &[4], &[]][..], "out"),
        (Function::DecomposedMlp, &[&[4], &[4], &[5, 4], &[5], &[]], "out_resid"),
        (Function::MlpNeurons, &[&[4], &[4], &[5], &[5, 4], &[5], &[]], "out_resid"),
        (Function::StrongestNeurons, &[&[4], &[4], &[5], &[5, 4], &[3], &[3], &[]], "out_resid"),
        (Function::OneOff, &[&[4], &[3, 4], &[4], &[3], &[]], "out_one_off"),
        (Function::Threshold, &[&[4], &[], &[4], &[]], "c_residual"),
        (Function::Threshold, &[&[4], &[], &[4], &[]], "out_residual"),
    ] {
        let make = || {
            let mut call = small(function);
            call.args.iter_mut().flatten().zip(shapes).for_each(|(arg, shape)| arg.reshape(shape, None));
            call
        };
        let mut plain = make();
        goes_well("shape of no axes", &mut plain);
        for strides in [None, Some(vec![])] {
            let mut call = make();
            (call.arg(scalar).shape, call.arg(scalar).strides) = (None, strides);
            goes_well(&format!("NULL shape of {scalar}"), &mut call);
            assert_eq!(results_where_said(&call), results_where_said(&plain), "{function:?}");
        }
    }
}

#[test]
fn strides_of_one_element_or_of_none_may_be_anything() {
    for stride in [0, 1, -1, 1 << 40, i64::MAX, i64::MIN] {
        for function in Function::ALL {
            // One batch entry, one part, and vectors of one number.
            let make = |shape: &dyn Fn(usize) -> i64| {
                let mut call = small(function);
                for arg in call.args.iter_mut().flatten() {
                    let axes = arg.shape().len();
                    *arg.shape() = (0..axes).map(shape).collect();
                }
                call
            };
            let mut plain = make(&|_| 1);
            goes_well("ones", &mut plain);
            let mut call = make(&|_| 1);
            call.args.iter_mut().flatten().for_each(|arg| arg.strides().fill(stride));
            goes_well(&format!("stride {stride}"), &mut call);
            assert_eq!(results_where_said(&call), results_where_said(&plain), "{function:?}, stride {stride}");

            let mut call = make(&|_| 0);
            if function == Function::GroupsFromScores {
                // Of one query, and of all keys, there is one.
                for name in ["groups[0].queries", "groups[0].projection"] {
                    call.arg(name).shape()[1] = 1;
                }
            }
            call.args.iter_mut().flatten().for_each(|arg| arg.strides().fill(stride));
            goes_well(&format!("stride {stride} of nothing"), &mut call);
        }
    }
}

#[test]
fn strides_of_nothing_may_be_anything_on_axes_that_have_elements() {
    // Tensors of each function without keys or neurons, and the axis of those.
    for (function, emptied) in [
        (Function::DecomposedMlp, &[("decomposed_mlp_out", 1), ("out_neurons", 1)][..]),
        (Function::MlpNeurons, &[("activations", 1), ("w_out", 0), ("out_neurons", 1)]),
        (Function::AttentionFactored, &[("pattern", 3), ("values", 1), ("out_attn", 2)]),
    ] {
        for stride in [1 << 40, i64::MAX, i64::MIN] {
            let mut call = small(function);
            for &(name, axis) in emptied {
                call.arg(name).shape()[axis] = 0;
                call.arg(name).strides().fill(stride);
            }
            goes_well(&format!("stride {stride}"), &mut call);
        }
    }
}

#[test]
fn as_many_empty_entries_or_empty_parts_as_can_be_said_are_soon_done() {
    const HUGE: i64 = 1 << 40;
    for shapes in [
        [&[HUGE, 0][..], &[0, HUGE, 0], &[0, HUGE]],
        [&[HUGE, HUGE, 0], &[0, HUGE, HUGE, 0], &[0, HUGE, HUGE]],
        [&[0, 4], &[HUGE, 0, 4], &[HUGE, 0]],
        [&[0, 4], &[HUGE, HUGE, 0, 4], &[HUGE, HUGE, 0]],
        [&[HUGE, HUGE, 0, 4], &[HUGE, HUGE, 0, 4], &[HUGE, HUGE, 0]],
        [&[i64::MAX, i64::MAX, 0, 4], &[3, i64::MAX, i64::MAX, 0, 4], &[3, i64::MAX, i64::MAX, 0]],
    ] {
        let mut call = small(Function::Contributions);
        call.args.iter_mut().flatten().zip(shapes).for_each(|(arg, shape)| arg.reshape(shape, None));
        assert_eq!(call.run(), CONTRIB_OK, "{shapes:?}: {}", message());
    }
    for shapes in [[&[HUGE, HUGE, 0, 4][..], &[HUGE, HUGE, 0]], [&[0, HUGE, HUGE], &[0]]] {
        let mut call = small(Function::Threshold);
        let args = call.args.iter_mut().flatten().zip(shapes.into_iter().cycle());
        args.for_each(|(arg, shape)| arg.reshape(shape, None));
        assert_eq!(call.run(), CONTRIB_OK, "{shapes:?}: {}", message());
    }
}

#[test]
fn structs_and_their_arrays_may_lie_at_odd_addresses() {
    /// The bytes of these values from an odd address on.
    fn at_odd_address<T: Copy>(values: &[T]) -> (Vec<u8>, usize) {
        let len = size_of_val(values);
        let mut bytes = vec![0; len + 2];
        let start = usize::from(bytes.as_ptr().addr().is_multiple_of(2));
        // SAFETY: as many bytes as the values have, to where there is room for them.
        unsafe { bytes[start..].as_mut_ptr().copy_from_nonoverlapping(values.as_ptr().cast(), len) };
        (bytes, start)
    }
    fn pointer<T>((bytes, start): &(Vec<u8>, usize)) -> *mut T {
        bytes[*start..].as_ptr().cast_mut().cast()
    }
    for function in Function::ALL {
        let mut call = small(function);
        let mut arrays = Vec::new();
        let mut structs = Vec::new();
        for arg in call.args.iter_mut().flatten() {
            let mut tensor = arg.tensor();
            for (array, numbers) in
                [(&mut tensor.shape, arg.shape.as_ref()), (&mut tensor.strides, arg.strides.as_ref())]
            {
                arrays.push(at_odd_address(numbers.unwrap()));
                *array = pointer(&arrays[arrays.len() - 1]);
            }
            structs.push(at_odd_address(&[tensor]));
        }
        let tensors: Vec<*const contrib_tensor> =
            structs.iter().map(|bytes| pointer::<contrib_tensor>(bytes).cast_const()).collect();
        let options = at_odd_address(&[plain_options()]);
        let status = if function == Function::Groups {
            let group = |index: usize| dense_group(tensors[1 + index], tensors[3 + index]);
            let groups = at_odd_address(&[group(0), group(1)]);
            // SAFETY: everything is alive, and pointers to it need no alignment.
            unsafe { contrib_group_contributions(tensors[0], pointer(&groups), 2, pointer(&options)) }
        } else {
            let groups = function.groups(&tensors, &call.choices);
            // SAFETY: as above.
            unsafe { function.call(&tensors, &groups.groups, &call.choices, pointer(&options)) }
        };
        assert_eq!(status, CONTRIB_OK, "{function:?}: {}", message());
        assert_eq!(call.results(), small(function).results_of_run(), "{function:?}");
    }
}
