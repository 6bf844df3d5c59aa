//! What is refused, with which words, and that nothing has been written then.

mod common;

use common::{Job, Outputs, view, view_mut};
use contrib_core::{
    Cause, Context, DType, Error, Group, MAX_NDIM, Norm, Options, Tensor, TensorMut, attention, contributions,
    contributions_with_one_off, group_contributions, half, mlp, threshold_and_renormalise,
    threshold_and_renormalise_in_place,
};
use contrib_testing::{Axis, Kind, Layout, Operation, Random, Stored};
use std::ffi::c_void;
use std::ptr;

/// The name of a cause.
fn name(cause: &Cause) -> &'static str {
    match cause {
        Cause::NullPointer => "NullPointer",
        Cause::NdimOutOfRange { .. } => "NdimOutOfRange",
        Cause::StridesLength { .. } => "StridesLength",
        Cause::SizeOverflow => "SizeOverflow",
        Cause::OutOfBounds { .. } => "OutOfBounds",
        Cause::Misaligned { .. } => "Misaligned",
        Cause::Rank { .. } => "Rank",
        Cause::ShapeMismatch { .. } => "ShapeMismatch",
        Cause::Overlap { .. } => "Overlap",
        Cause::OverlapsItself => "OverlapsItself",
        Cause::InvalidNorm { .. } => "InvalidNorm",
        Cause::InvalidThreshold => "InvalidThreshold",
        Cause::TooManyThreads { .. } => "TooManyThreads",
        _ => "another",
    }
}

/// Sees that this is an error of this cause with this text.
#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, Error>, cause: &str, text: &str) {
    let error = result.expect_err(text);
    assert_eq!(error.to_string(), text);
    assert_eq!(name(error.cause()), cause, "{text}");
    assert!(text.starts_with(&format!("{}: ", error.argument())), "{text}");
}

/// An operation, the shapes of its inputs and outputs, and the cause and text of the error.
type Row = (Operation, &'static [&'static [usize]], [&'static [usize]; 2], &'static str, &'static str);

const NONE: &[usize] = &[];
const POS: &[usize] = &[2, 5];

const DISAGREEING_SHAPES: &[Row] = &[
    (Operation::Contributions, &[NONE, &[3, 4]], [&[3], NONE], "Rank", "whole: expected [.., d], got []"),
    (
        Operation::Contributions,
        &[&[4], NONE],
        [&[3], NONE],
        "ShapeMismatch",
        "parts: expected [4] to match whole, got []",
    ),
    (
        Operation::Contributions,
        &[&[2, 4], &[3, 2, 5]],
        [&[3, 2], NONE],
        "ShapeMismatch",
        "parts: expected [*, 2, 4] to match whole, got [3, 2, 5]",
    ),
    (
        Operation::Contributions,
        &[&[2, 4], &[3, 1, 4]],
        [&[3, 1], NONE],
        "ShapeMismatch",
        "parts: expected [*, 2, 4] to match whole, got [3, 1, 4]",
    ),
    (
        Operation::Contributions,
        &[&[2, 4], &[4]],
        [NONE, NONE],
        "ShapeMismatch",
        "parts: expected [2, 4] to match whole, got [4]",
    ),
    (
        Operation::Contributions,
        &[&[2, 4], &[3, 2, 4]],
        [&[2, 3], NONE],
        "ShapeMismatch",
        "out: expected [3, 2] to match parts, got [2, 3]",
    ),
    (
        Operation::Contributions,
        &[&[2, 4], &[3, 2, 4]],
        [&[6], NONE],
        "ShapeMismatch",
        "out: expected [3, 2] to match parts, got [6]",
    ),
    (
        Operation::OneOff,
        &[&[2, 4], &[3, 2, 4], &[1, 2, 4]],
        [&[3, 2], &[1, 2]],
        "ShapeMismatch",
        "one_off: expected [2, 4] to match whole, got [1, 2, 4]",
    ),
    (
        Operation::OneOff,
        &[&[2, 4], &[3, 2, 3], &[2, 4]],
        [&[3, 2], &[2]],
        "ShapeMismatch",
        "parts: expected [*, 2, 4] to match whole, got [3, 2, 3]",
    ),
    (
        Operation::OneOff,
        &[&[2, 4], &[3, 2, 4], &[2, 4]],
        [&[3], &[2]],
        "ShapeMismatch",
        "out_parts: expected [3, 2] to match parts, got [3]",
    ),
    (
        Operation::OneOff,
        &[&[2, 4], &[3, 2, 4], &[2, 4]],
        [&[3, 2], &[3]],
        "ShapeMismatch",
        "out_one_off: expected [2] to match one_off, got [3]",
    ),
    (
        Operation::Attention,
        &[&[2, 5, 63], &[2, 5, 64], &[2, 5, 5, 3, 64]],
        [&[2, 5, 5, 3], POS],
        "ShapeMismatch",
        "resid_pre: expected [2, 5, 64] to match resid_mid, got [2, 5, 63]",
    ),
    (
        Operation::Attention,
        &[&[5, 64], &[5, 64], &[2, 5, 5, 3, 64]],
        [&[2, 5, 5, 3], POS],
        "Rank",
        "resid_mid: expected [batch, pos, d_model], got [5, 64]",
    ),
    (
        Operation::Attention,
        &[&[2, 5, 64], &[2, 5, 64], &[2, 5, 3, 64]],
        [&[2, 5, 3], POS],
        "Rank",
        "decomposed_attn: expected [batch, pos, key_pos, head, d_model], got [2, 5, 3, 64]",
    ),
    (
        Operation::Attention,
        &[&[2, 5, 64], &[2, 5, 64], &[2, 4, 5, 3, 64]],
        [&[2, 4, 5, 3], POS],
        "ShapeMismatch",
        "decomposed_attn: expected [2, 5, *, *, 64] to match resid_mid, got [2, 4, 5, 3, 64]",
    ),
    (
        Operation::Attention,
        &[&[2, 5, 64], &[2, 5, 64], &[2, 5, 5, 3, 64]],
        [&[2, 5, 3, 5], POS],
        "ShapeMismatch",
        "out_attn: expected [2, 5, 5, 3] to match decomposed_attn, got [2, 5, 3, 5]",
    ),
    (
        Operation::Attention,
        &[&[2, 5, 64], &[2, 5, 64], &[2, 5, 5, 3, 64]],
        [&[2, 5, 5, 3], &[2, 5, 1]],
        "ShapeMismatch",
        "out_resid: expected [2, 5] to match resid_mid, got [2, 5, 1]",
    ),
    (
        Operation::Mlp,
        &[&[2, 5, 8], &[10, 8], &[2, 5, 8]],
        [POS, POS],
        "Rank",
        "resid_post: expected [batch, pos, d_model], got [10, 8]",
    ),
    (
        Operation::Mlp,
        &[&[2, 5, 9], &[2, 5, 8], &[2, 5, 8]],
        [POS, POS],
        "ShapeMismatch",
        "resid_mid: expected [2, 5, 8] to match resid_post, got [2, 5, 9]",
    ),
    (
        Operation::Mlp,
        &[&[2, 5, 8], &[2, 5, 8], &[1, 2, 5, 8]],
        [POS, POS],
        "ShapeMismatch",
        "mlp_out: expected [2, 5, 8] to match resid_post, got [1, 2, 5, 8]",
    ),
    (
        Operation::Mlp,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 8]],
        [&[2], POS],
        "ShapeMismatch",
        "out_mlp: expected [2, 5] to match mlp_out, got [2]",
    ),
    (
        Operation::Mlp,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 8]],
        [POS, &[2, 5, 8]],
        "ShapeMismatch",
        "out_resid: expected [2, 5] to match resid_mid, got [2, 5, 8]",
    ),
    (
        Operation::DecomposedMlp,
        &[NONE, NONE, &[3, 8]],
        [&[3], NONE],
        "Rank",
        "resid_post: expected [.., d_model], got []",
    ),
    (
        Operation::DecomposedMlp,
        &[&[7], &[8], &[3, 8]],
        [&[3], NONE],
        "ShapeMismatch",
        "resid_mid: expected [8] to match resid_post, got [7]",
    ),
    (
        Operation::DecomposedMlp,
        &[&[2, 8], &[2, 8], &[3, 2, 8]],
        [&[3, 2], &[2]],
        "ShapeMismatch",
        "decomposed_mlp_out: expected [2, *, 8] to match resid_post, got [3, 2, 8]",
    ),
    (
        Operation::DecomposedMlp,
        &[&[8], &[8], &[3, 8]],
        [&[4], NONE],
        "ShapeMismatch",
        "out_neurons: expected [3] to match decomposed_mlp_out, got [4]",
    ),
    (
        Operation::DecomposedMlp,
        &[&[8], &[8], &[3, 8]],
        [&[3], &[1]],
        "ShapeMismatch",
        "out_resid: expected [] to match resid_mid, got [1]",
    ),
    (
        Operation::Threshold,
        &[&[2, 4, 3], &[2, 5]],
        [&[2, 4, 3], POS],
        "ShapeMismatch",
        "c_blocks: expected [2, 5, *] to match c_residual, got [2, 4, 3]",
    ),
    (
        Operation::Threshold,
        &[&[2], &[2, 5]],
        [&[2], POS],
        "ShapeMismatch",
        "c_blocks: expected [2, 5] to match c_residual, got [2]",
    ),
    (
        Operation::Threshold,
        &[&[2, 5, 3], &[2, 5]],
        [&[2, 3, 5], POS],
        "ShapeMismatch",
        "out_blocks: expected [2, 5, 3] to match c_blocks, got [2, 3, 5]",
    ),
    (
        Operation::Threshold,
        &[&[2, 5, 3], &[2, 5]],
        [&[2, 5, 3], &[5, 2]],
        "ShapeMismatch",
        "out_residual: expected [2, 5] to match c_residual, got [5, 2]",
    ),
];

#[test]
fn shapes_that_disagree_are_refused_by_every_operation() {
    for (operation, inputs, outputs, cause, text) in DISAGREEING_SHAPES {
        for kind in Kind::ALL {
            let job = Job::random(*operation, kind, inputs, &mut Random::new(1));
            let mut outputs: Outputs = outputs.map(|shape| Stored::blank(kind, Layout::row_major(shape)));
            assert_refused(job.run(&mut outputs, None), cause, text);
            assert!(outputs.iter().all(Stored::is_blank), "{text}: and yet something was written");
        }
    }
}

#[test]
fn groups_are_named_by_their_index() {
    let (whole, parts) = ([1.0_f32; 4], [1.0_f32; 12]);
    let whole = Tensor::new(&whole, &[4]).unwrap();
    let mut outs: [Stored; 3] = std::array::from_fn(|_| Stored::blank(Kind::F64, Layout::row_major(&[3])));
    let mut run = |shapes: [&[usize]; 3]| {
        let groups = shapes.iter().zip(&mut outs);
        let group = |(&shape, out)| Group::dense(Tensor::new(&parts, shape).unwrap(), view_mut(out));
        let result = group_contributions(&whole, &mut groups.map(group).collect::<Vec<_>>(), &Options::default());
        assert!(result.is_ok() || outs.iter().all(Stored::is_blank));
        result
    };
    let text = "groups[1].parts: expected [*, 4] to match whole, got [4, 3]";
    assert_refused(run([&[3, 4], &[4, 3], &[3, 4]]), "ShapeMismatch", text);
    let text = "groups[2].out: expected [2] to match groups[2].parts, got [3]";
    assert_refused(run([&[3, 4], &[3, 4], &[2, 4]]), "ShapeMismatch", text);
    assert_eq!(run([&[3, 4], &[3, 4], &[3, 4]]), Ok(()));
}

#[test]
fn results_that_share_memory_with_anything_are_refused() {
    // Everything is a piece of one buffer, whose elements are all 1; each view is an index and a shape.
    type Piece<'a> = (usize, &'a [usize]);
    let mut buffer = [1.0_f32; 200];
    let memory: *mut f32 = buffer.as_mut_ptr();
    let input = |(start, shape): Piece<'_>| {
        // SAFETY: all pieces lie inside the buffer, which outlives them and is only reached through `memory`.
        unsafe { Tensor::from_raw_parts(memory.wrapping_add(start).cast(), DType::F32, shape, None) }.unwrap()
    };
    let output = |(start, shape): Piece<'_>| {
        // SAFETY: as above; pieces that overlap are what is tried here.
        unsafe { TensorMut::from_raw_parts(memory.wrapping_add(start).cast(), DType::F32, shape, None) }.unwrap()
    };
    let options = Options::default();
    let refuse = |result, text: &str| assert_refused(result, "Overlap", text);
    let one = |whole, parts, out| contributions(&input(whole), &input(parts), &mut output(out), &options);
    let uses = |name| format!("expected memory of its own, got some that {name} uses");
    refuse(one((0, &[4]), (10, &[3, 4]), (1, &[3])), &format!("out: {}", uses("whole")));
    refuse(one((0, &[4]), (10, &[3, 4]), (21, &[3])), &format!("out: {}", uses("parts")));
    refuse(one((0, &[4]), (10, &[3, 4]), (8, &[3])), &format!("out: {}", uses("parts")));

    let one_off = |out, residual| {
        let (whole, parts, one_off) = (input((0, &[4])), input((10, &[3, 4])), input((30, &[4])));
        contributions_with_one_off(&whole, &parts, &one_off, &mut output(out), &mut output(residual), &options)
    };
    refuse(one_off((40, &[3]), (42, &[])), &format!("out_one_off: {}", uses("out_parts")));
    refuse(one_off((40, &[3]), (33, &[])), &format!("out_one_off: {}", uses("one_off")));
    refuse(one_off((28, &[3]), (50, &[])), &format!("out_parts: {}", uses("one_off")));

    let heads = |out, residual| {
        let (pre, mid, attn) = (input((0, &[1, 2, 4])), input((10, &[1, 2, 4])), input((20, &[1, 2, 2, 3, 4])));
        attention(&pre, &mid, &attn, &mut output(out), &mut output(residual), &options)
    };
    refuse(heads((60, &[1, 2, 2, 3]), (80, &[1, 2])), &format!("out_attn: {}", uses("decomposed_attn")));
    refuse(heads((80, &[1, 2, 2, 3]), (7, &[1, 2])), &format!("out_resid: {}", uses("resid_pre")));
    refuse(heads((80, &[1, 2, 2, 3]), (90, &[1, 2])), &format!("out_resid: {}", uses("out_attn")));

    let whole_mlp = |out, residual| {
        let (mid, post, mlp_out) = (input((0, &[1, 2, 4])), input((10, &[1, 2, 4])), input((20, &[1, 2, 4])));
        mlp(&mid, &post, &mlp_out, &mut output(out), &mut output(residual), &options)
    };
    refuse(whole_mlp((16, &[1, 2]), (30, &[1, 2])), &format!("out_mlp: {}", uses("resid_post")));

    let threshold = |blocks, residual, out, out_residual| {
        let (mut out, mut out_residual) = (output(out), output(out_residual));
        threshold_and_renormalise(&input(blocks), &input(residual), 0.1, &mut out, &mut out_residual, &options)
    };
    let (blocks, residual): (Piece<'_>, Piece<'_>) = ((0, &[2, 3]), (10, &[2]));
    refuse(threshold(blocks, residual, (1, &[2, 3]), (20, &[2])), &format!("out_blocks: {}", uses("c_blocks")));
    refuse(threshold(blocks, residual, (8, &[2, 3]), (20, &[2])), &format!("out_blocks: {}", uses("c_residual")));
    refuse(threshold(blocks, residual, (20, &[2, 3]), (5, &[2])), &format!("out_residual: {}", uses("c_blocks")));
    refuse(threshold(blocks, residual, (20, &[2, 3]), (9, &[2])), &format!("out_residual: {}", uses("c_residual")));
    refuse(threshold(blocks, residual, (20, &[2, 3]), (22, &[2])), &format!("out_residual: {}", uses("out_blocks")));
    assert!(buffer.iter().all(|&number| number == 1.0), "something was written");
}

#[test]
fn results_between_the_elements_of_others_are_fine() {
    // A matrix of 5 columns: 2 for each part of the input, and 1 for its result.
    let mut buffer = [0.0_f32, 1.0, 0.0, 2.0, 0.5, 0.0, 0.0, 1.0, 9.0, 9.0];
    let memory: *mut f32 = buffer.as_mut_ptr();
    let whole = [2.0_f32, 1.0];
    // SAFETY: the elements lie inside the buffer, which is only reached through `memory` while the views live.
    let (parts, mut out) = unsafe {
        (
            Tensor::from_raw_parts(memory.cast(), DType::F32, &[2, 2], Some(&[5, 3])).unwrap(),
            TensorMut::from_raw_parts(memory.wrapping_add(4).cast(), DType::F32, &[2], Some(&[5])).unwrap(),
        )
    };
    contributions(&Tensor::new(&whole, &[2]).unwrap(), &parts, &mut out, &Options::default()).unwrap();
    assert!((buffer[4] + buffer[9] - 1.0).abs() < 1e-6);
    assert_eq!(buffer[5..9], [0.0, 0.0, 1.0, 9.0]);
}

#[test]
fn results_that_share_an_element_are_refused() {
    let broadcast = Axis { broadcast: true, ..Axis::default() };
    let text = |name| format!("{name}: expected an element each for all results, got strides that share them");
    for (operation, shapes, names) in [
        (Operation::Contributions, &[&[2, 4][..], &[3, 2, 4]][..], ["out", ""]),
        (Operation::OneOff, &[&[2, 4], &[3, 2, 4], &[2, 4]], ["out_parts", "out_one_off"]),
        (Operation::Attention, &[&[1, 2, 4], &[1, 2, 4], &[1, 2, 2, 3, 4]], ["out_attn", "out_resid"]),
        (Operation::Mlp, &[&[1, 2, 4], &[1, 2, 4], &[1, 2, 4]], ["out_mlp", "out_resid"]),
        (Operation::DecomposedMlp, &[&[2, 4], &[2, 4], &[2, 3, 4]], ["out_neurons", "out_resid"]),
        (Operation::Threshold, &[&[2, 3], &[2]], ["out_blocks", "out_residual"]),
    ] {
        for (number, name) in names.into_iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let job = Job::random(operation, Kind::F32, shapes, &mut Random::new(1));
            let mut outputs = job.outputs(Kind::F32, Layout::row_major);
            let shape = outputs[number].layout.shape.clone();
            let order: Vec<usize> = (0..shape.len()).collect();
            // The last axis of this output has one element for all its indices.
            let axes: Vec<Axis> =
                order.iter().map(|axis| if axis + 1 == shape.len() { broadcast } else { Axis::default() }).collect();
            outputs[number] = Stored::blank(Kind::F32, Layout::arranged(&shape, &order, &axes));
            assert_refused(job.run(&mut outputs, None), "OverlapsItself", &text(name));
            assert!(outputs.iter().all(Stored::is_blank), "{name}: and yet something was written");
        }
    }

    let mut blocks = Stored::from_fn(Kind::F32, Layout::row_major(&[4]), |_| 0.25);
    let mut residual = [0.0_f32; 1];
    blocks.layout.strides = vec![0];
    let before = blocks.buffer_bits();
    let mut view_of_residual = TensorMut::new(&mut residual, &[]).unwrap();
    let result =
        threshold_and_renormalise_in_place(&mut view_mut(&mut blocks), &mut view_of_residual, 0.1, &Options::default());
    assert_refused(result, "OverlapsItself", &text("out_blocks"));
    assert_eq!(blocks.buffer_bits(), before);
}

#[test]
fn tensors_that_cannot_be_are_refused() {
    let data = [0.0_f32; 12];
    let refuse = assert_refused::<Tensor<'_>>;
    let many = [1_usize; MAX_NDIM + 1];
    refuse(Tensor::new(&data, &many), "NdimOutOfRange", "tensor: expected 0 to 16 axes, got 17");
    refuse(Tensor::strided(&data, 0, &many, &[1; 17]), "NdimOutOfRange", "tensor: expected 0 to 16 axes, got 17");
    assert!(Tensor::new(&data, &many[1..]).is_ok());
    let strides = "tensor: expected a stride for each of 2 axes, got 1";
    refuse(Tensor::strided(&data, 0, &[3, 4], &[1]), "StridesLength", strides);
    let outside = |min, max| format!("tensor: expected indices inside a slice of 12 elements, got {min} to {max}");
    refuse(Tensor::new(&data, &[13]), "OutOfBounds", &outside(0, 12));
    refuse(Tensor::new(&data, &[3, 5]), "OutOfBounds", &outside(0, 14));
    refuse(Tensor::strided(&data, 1, &[3, 4], &[4, 1]), "OutOfBounds", &outside(1, 12));
    refuse(Tensor::strided(&data, 1, &[3], &[-1]), "OutOfBounds", &outside(-1, 1));
    refuse(Tensor::strided(&data, 12, &[], &[]), "OutOfBounds", &outside(12, 12));
    refuse(Tensor::strided(&data, usize::MAX, &[], &[]), "OutOfBounds", &outside(-1, -1));
    assert!(Tensor::strided(&data, 11, &[3, 4], &[-4, -1]).is_ok());
    assert!(Tensor::strided(&data, usize::MAX, &[0], &[1]).is_ok());

    let far = "tensor: extents and strides reach further than memory can be addressed";
    refuse(Tensor::new(&data, &[usize::MAX, 2]), "SizeOverflow", far);
    refuse(Tensor::new(&data, &[1 << 62, 1 << 62]), "SizeOverflow", far);
    refuse(Tensor::strided(&data, 0, &[1 << 62], &[0]), "SizeOverflow", far);
    refuse(Tensor::strided(&data, 0, &[2], &[isize::MAX]), "SizeOverflow", far);
    refuse(Tensor::strided(&data, 0, &[2], &[isize::MIN]), "SizeOverflow", far);

    // What is given as an address. None of these views is read.
    let raw = |address: *const c_void, dtype, shape: &[usize], strides: &[isize]| {
        // SAFETY: the view is dropped unread.
        unsafe { Tensor::from_raw_parts(address, dtype, shape, Some(strides)) }.map(|_| ())
    };
    let start: *const c_void = data.as_ptr().cast();
    let null = "tensor: expected data, got a null pointer";
    assert_refused(raw(ptr::null(), DType::F32, &[1], &[1]), "NullPointer", null);
    assert_refused(raw(ptr::null(), DType::F32, &[], &[]), "NullPointer", null);
    assert_eq!(raw(ptr::null(), DType::F32, &[3, 0], &[1, 1]), Ok(()));
    for (dtype, offset, text) in [
        (DType::F32, 2, "tensor: expected a pointer aligned to 4 bytes for float32, got another"),
        (DType::F16, 1, "tensor: expected a pointer aligned to 2 bytes for float16, got another"),
        (DType::Bf16, 3, "tensor: expected a pointer aligned to 2 bytes for bfloat16, got another"),
    ] {
        assert_refused(raw(start.wrapping_byte_add(offset), dtype, &[1], &[1]), "Misaligned", text);
        assert_eq!(raw(start.wrapping_byte_add(offset), dtype, &[0], &[1]), Ok(()));
    }
    let last = ptr::without_provenance(usize::MAX - 3);
    assert_refused(raw(last, DType::F32, &[2], &[1]), "SizeOverflow", far);
    assert_refused(
        raw(start, DType::F32, &[many.len(); MAX_NDIM + 1], &[1; 17]),
        "NdimOutOfRange",
        "tensor: expected 0 to 16 axes, got 17",
    );
}

#[test]
fn tensors_to_write_are_checked_like_those_to_read() {
    let mut data = [half::f16::ZERO; 4];
    let outside = "tensor: expected indices inside a slice of 4 elements, got 0 to 4";
    assert_refused(TensorMut::new(&mut data, &[5]), "OutOfBounds", outside);
    assert_refused(
        TensorMut::strided(&mut data, 0, &[2], &[1, 1]),
        "StridesLength",
        "tensor: expected a stride for each of 1 axes, got 2",
    );
    assert_refused(TensorMut::new(&mut data, &[1; 17]), "NdimOutOfRange", "tensor: expected 0 to 16 axes, got 17");
    // SAFETY: there is no view.
    let null = unsafe { TensorMut::from_raw_parts(ptr::null_mut(), DType::F16, &[2], Some(&[1])) };
    assert_refused(null, "NullPointer", "tensor: expected data, got a null pointer");
}

#[test]
fn norms_that_are_none_are_refused() {
    for (p, text) in [(0.5, "0.5"), (0.0, "0"), (-2.0, "-2"), (f64::NAN, "NaN"), (f64::NEG_INFINITY, "-inf")] {
        let text = format!("norm: expected a number >= 1 or infinity, got {text}");
        assert_refused(Norm::new(p), "InvalidNorm", &text);
    }
    assert_eq!(Norm::new(1.0).map(Norm::p), Ok(1.0));
    assert_eq!(Norm::new(f64::INFINITY), Ok(Norm::INFINITY));
    assert_eq!(Norm::default(), Norm::ONE);
}

#[test]
fn a_threshold_of_nan_is_refused() {
    let mut job = Job::random(Operation::Threshold, Kind::F32, &[&[2, 3], &[2]], &mut Random::new(1));
    job.threshold = f64::NAN;
    let mut outputs = job.outputs(Kind::F32, Layout::row_major);
    assert_refused(job.run(&mut outputs, None), "InvalidThreshold", "threshold: expected a number, got NaN");
    assert!(outputs.iter().all(Stored::is_blank));

    let mut inputs = job.inputs.clone();
    let before = [inputs[0].1.bits(), inputs[1].1.bits()];
    let [(_, blocks), (_, residual)] = &mut inputs[..] else { unreachable!("two inputs") };
    let result = threshold_and_renormalise_in_place(
        &mut view_mut(blocks),
        &mut view_mut(residual),
        f64::NAN,
        &Options::default(),
    );
    assert_refused(result, "InvalidThreshold", "threshold: expected a number, got NaN");
    assert_eq!([inputs[0].1.bits(), inputs[1].1.bits()], before);
}

#[test]
fn too_many_threads_are_refused() {
    let text = "n_threads: expected at most 1024 threads, got 1025";
    assert_refused(Context::new(1025), "TooManyThreads", text);
    assert!(Context::new(0).unwrap().threads() >= 1);
}

#[test]
#[should_panic(expected = "is no order of 2 axes")]
fn an_order_that_names_an_axis_twice_panics() {
    let _ = Tensor::new(&[0.0_f64; 6], &[2, 3]).unwrap().permuted(&[1, 1]);
}

/// Runs contributions of parts of shape `parts` to wholes of shape `whole`, where there is no result.
fn run_without_results(whole: &[usize], parts: &[usize]) -> Result<(), Error> {
    let mut nothing = [0.0_f32; 0];
    contributions(
        &Tensor::new::<f32>(&[], whole)?,
        &Tensor::new::<f32>(&[], parts)?,
        &mut TensorMut::new(&mut nothing, &parts[..parts.len() - 1])?,
        &Options::default(),
    )
}

#[test]
fn tensors_without_elements_may_have_any_other_extents() {
    const HUGE: usize = 1 << 40;
    assert_eq!(run_without_results(&[0, 4], &[3, 0, 4]), Ok(()));
    assert_eq!(run_without_results(&[0, 4], &[HUGE, HUGE, 0, 4]), Ok(()));
    assert_eq!(run_without_results(&[HUGE, HUGE, 0], &[0, HUGE, HUGE, 0]), Ok(()));

    let (mut blocks, mut residual) = ([0.0_f32; 0], [0.0_f32; 0]);
    let result = threshold_and_renormalise_in_place(
        &mut TensorMut::new(&mut blocks, &[HUGE, HUGE, 0, 2]).unwrap(),
        &mut TensorMut::new(&mut residual, &[HUGE, HUGE, 0]).unwrap(),
        0.1,
        &Options::default(),
    );
    assert_eq!(result, Ok(()));
}

#[test]
fn an_operation_with_as_many_axes_as_there_can_be_works_and_one_more_is_refused() {
    let ones = [1_usize; MAX_NDIM];
    let job = Job::random(Operation::DecomposedMlp, Kind::F32, &[&ones[1..], &ones[1..], &ones], &mut Random::new(1));
    let sum = job.results(None).iter().map(|output| output.to_f64()[0]).sum::<f64>();
    assert!((sum - 1.0).abs() < 1e-12);

    let job = Job::random(Operation::DecomposedMlp, Kind::F32, &[&ones, &ones, &ones], &mut Random::new(1));
    let mut outputs = [&ones[..], &ones[1..]].map(|shape| Stored::blank(Kind::F32, Layout::row_major(shape)));
    let error = job.run(&mut outputs, None).unwrap_err();
    assert_eq!(error.argument().to_string(), "decomposed_mlp_out");
    assert!(outputs.iter().all(Stored::is_blank));
}

#[test]
fn inputs_are_only_read() {
    for (_, operation) in Operation::ALL {
        let shapes: &[&[usize]] = match operation {
            Operation::Contributions => &[&[2, 70], &[3, 2, 70]],
            Operation::OneOff => &[&[2, 70], &[3, 2, 70], &[2, 70]],
            Operation::Attention => &[&[1, 2, 70], &[1, 2, 70], &[1, 2, 2, 3, 70]],
            Operation::Mlp => &[&[1, 2, 70], &[1, 2, 70], &[1, 2, 70]],
            Operation::DecomposedMlp => &[&[70], &[70], &[5, 70]],
            Operation::Threshold => &[&[2, 3], &[2]],
            Operation::AttentionFactored => &[&[1, 2, 70], &[1, 2, 70], &[1, 4, 2, 3], &[1, 3, 2, 5], &[4, 5, 70]],
            Operation::MlpNeurons => &[&[2, 70], &[2, 70], &[2, 9], &[9, 70]],
        };
        let job = Job::random(operation, Kind::F32, shapes, &mut Random::new(1)).laid_out(Layout::scrambled);
        let before: Vec<_> = job.inputs.iter().map(|(_, input)| input.buffer_bits()).collect();
        let _ = job.results(None);
        let after: Vec<_> = job.inputs.iter().map(|(_, input)| input.buffer_bits()).collect();
        assert_eq!(before, after, "{operation:?}");
        assert!(job.inputs.iter().all(|(_, input)| view(input).shape() == input.layout.shape));
    }
}
