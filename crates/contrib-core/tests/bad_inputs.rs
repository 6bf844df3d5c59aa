//! What is refused, with which words, and that nothing has been written then.

mod common;

use common::{Job, Outputs, view, view_indices, view_integers, view_mut};
use contrib_core::{
    AttentionResults, Cause, Coefficients, Context, DType, Directions, Error, FactoredAttention, FactoredParts, Group,
    Heads, IndexType, Indices, IndicesMut, MAX_NDIM, MlpNeurons, NeuronResults, Norm, OneOff, Options, Out, Parts,
    QueriesAndKeys, Sparse, Tensor, TensorMut, TopK, attention, attention_factored, contributions,
    contributions_with_one_off, group_contributions, half, mlp, mlp_neurons, threshold_and_renormalise,
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
        Cause::TooLarge { .. } => "TooLarge",
        Cause::OutOfBounds { .. } => "OutOfBounds",
        Cause::Misaligned { .. } => "Misaligned",
        Cause::Rank { .. } => "Rank",
        Cause::ShapeMismatch { .. } => "ShapeMismatch",
        Cause::Overlap { .. } => "Overlap",
        Cause::OverlapsItself => "OverlapsItself",
        Cause::InvalidNorm { .. } => "InvalidNorm",
        Cause::InvalidThreshold => "InvalidThreshold",
        Cause::TooManyThreads { .. } => "TooManyThreads",
        Cause::Heads { .. } => "Heads",
        Cause::TopK { .. } => "TopK",
        Cause::IndexType { .. } => "IndexType",
        Cause::InvalidNumber { .. } => "InvalidNumber",
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
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[5, 8], &[2, 4, 5, 3], &[2, 3, 2, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "Rank",
        "resid_mid: expected [batch, pos, d_model], got [5, 8]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 7], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 2, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "ShapeMismatch",
        "resid_pre: expected [2, 5, 8] to match resid_mid, got [2, 5, 7]",
    ),
    (
        Operation::AttentionFactored,
        &[&[5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 2, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "ShapeMismatch",
        "resid_pre: expected [2, 5, 8] to match resid_mid, got [5, 8]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5], &[2, 3, 2, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "Rank",
        "pattern: expected [batch, head, pos, key_pos], got [2, 4, 5]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 4, 3], &[2, 3, 2, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "ShapeMismatch",
        "pattern: expected [2, *, 5, *] to match resid_mid, got [2, 5, 4, 3]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[1, 4, 5, 3], &[2, 3, 2, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "ShapeMismatch",
        "pattern: expected [2, *, 5, *] to match resid_mid, got [1, 4, 5, 3]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "Rank",
        "values: expected [batch, key_pos, kv_head, d_head], got [2, 3, 6]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 5, 2, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "ShapeMismatch",
        "values: expected [2, 3, *, *] to match pattern, got [2, 5, 2, 6]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[1, 3, 2, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "ShapeMismatch",
        "values: expected [2, 3, *, *] to match pattern, got [1, 3, 2, 6]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 2, 6], &[24, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "Rank",
        "w_o: expected [head, d_head, d_model], got [24, 8]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 2, 6], &[2, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "ShapeMismatch",
        "w_o: expected [4, 6, 8] to match pattern, values and resid_mid, got [2, 6, 8]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 2, 6], &[4, 8, 6]],
        [&[2, 5, 3, 4], &[2, 5]],
        "ShapeMismatch",
        "w_o: expected [4, 6, 8] to match pattern, values and resid_mid, got [4, 8, 6]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 3, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "Heads",
        "values: expected a number of key-value heads that divides 4 heads, got 3",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 8, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "Heads",
        "values: expected a number of key-value heads that divides 4 heads, got 8",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 0, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5]],
        "Heads",
        "values: expected a number of key-value heads that divides 4 heads, got 0",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 2, 6], &[4, 6, 8]],
        [&[2, 5], &[2, 5]],
        "Rank",
        "out_attn: expected [batch, pos, key_pos, head], got [2, 5]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 2, 6], &[4, 6, 8]],
        [&[2, 4, 5, 3], &[2, 5]],
        "ShapeMismatch",
        "out_attn: expected [2, 5, 3, 4] to match pattern, got [2, 4, 5, 3]",
    ),
    (
        Operation::AttentionFactored,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 4, 5, 3], &[2, 3, 2, 6], &[4, 6, 8]],
        [&[2, 5, 3, 4], &[2, 5, 1]],
        "ShapeMismatch",
        "out_resid: expected [2, 5] to match resid_mid, got [2, 5, 1]",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 8], NONE, &[2, 5, 6], &[6, 8]],
        [&[2, 5, 6], &[2, 5]],
        "Rank",
        "resid_post: expected [.., d_model], got []",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 7], &[2, 5, 8], &[2, 5, 6], &[6, 8]],
        [&[2, 5, 6], &[2, 5]],
        "ShapeMismatch",
        "resid_mid: expected [2, 5, 8] to match resid_post, got [2, 5, 7]",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 6], &[6]],
        [&[2, 5, 6], &[2, 5]],
        "Rank",
        "w_out: expected [hidden, d_model], got [6]",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 6], &[2, 6, 8]],
        [&[2, 5, 6], &[2, 5]],
        "Rank",
        "w_out: expected [hidden, d_model], got [2, 6, 8]",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 6], &[8, 6]],
        [&[2, 5, 6], &[2, 5]],
        "ShapeMismatch",
        "w_out: expected [*, 8] to match resid_post, got [8, 6]",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 8], &[6, 8]],
        [&[2, 5, 6], &[2, 5]],
        "ShapeMismatch",
        "activations: expected [2, 5, 6] to match w_out, got [2, 5, 8]",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 8], &[2, 5, 8], &[6], &[6, 8]],
        [&[2, 5, 6], &[2, 5]],
        "ShapeMismatch",
        "activations: expected [2, 5, 6] to match w_out, got [6]",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 6], &[6, 8]],
        [&[6, 2, 5], &[2, 5]],
        "ShapeMismatch",
        "out_neurons: expected [2, 5, 6] to match activations, got [6, 2, 5]",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 6], &[6, 8]],
        [&[2, 5], &[2, 5]],
        "ShapeMismatch",
        "out_neurons: expected [2, 5, 6] to match activations, got [2, 5]",
    ),
    (
        Operation::MlpNeurons,
        &[&[2, 5, 8], &[2, 5, 8], &[2, 5, 6], &[6, 8]],
        [&[2, 5, 6], NONE],
        "ShapeMismatch",
        "out_resid: expected [2, 5] to match resid_post, got []",
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
        (
            Operation::AttentionFactored,
            &[&[1, 2, 4], &[1, 2, 4], &[1, 4, 2, 3], &[1, 3, 2, 5], &[4, 5, 4]],
            ["out_attn", "out_resid"],
        ),
        (Operation::MlpNeurons, &[&[2, 4], &[2, 4], &[2, 3], &[3, 4]], ["out_neurons", "out_resid"]),
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

/// Heads as factored attention takes them: the output of each for each token, or values and matrices.
#[derive(Clone, Copy)]
enum HeadsAt {
    ValueOutput(usize),
    Values(usize, usize),
}

fn top_k<'a>(contributions: TensorMut<'a>, indices: IndicesMut<'a>) -> Out<'a> {
    Out::TopK(TopK { contributions, indices, summed_axes: 0 })
}

/// A buffer whose elements are all 1, and pieces of it, each an index and a shape, which may overlap.
struct Memory {
    buffer: Vec<f32>,
    start: *mut f32,
}

impl Memory {
    fn new() -> Self {
        let mut buffer = vec![1.0_f32; 400];
        Memory { start: buffer.as_mut_ptr(), buffer }
    }

    fn at(&self, start: usize, shape: &[usize]) -> *mut c_void {
        assert!(start + shape.iter().product::<usize>() <= self.buffer.len());
        self.start.wrapping_add(start).cast()
    }

    fn input(&self, start: usize, shape: &[usize]) -> Tensor<'_> {
        // SAFETY: the piece lies inside the buffer, which outlives it and is only reached through `start` meanwhile.
        unsafe { Tensor::from_raw_parts(self.at(start, shape), DType::F32, shape, None) }.unwrap()
    }

    fn output(&self, start: usize, shape: &[usize]) -> TensorMut<'_> {
        // SAFETY: as above; pieces that overlap are what is tried here.
        unsafe { TensorMut::from_raw_parts(self.at(start, shape), DType::F32, shape, None) }.unwrap()
    }

    fn indices(&self, start: usize, shape: &[usize]) -> IndicesMut<'_> {
        // SAFETY: as above.
        unsafe { IndicesMut::from_raw_parts(self.at(start, shape), IndexType::I32, shape, None) }.unwrap()
    }

    /// Sees that a call was refused because one argument uses the memory of another, and that nothing was written.
    #[track_caller]
    fn assert_shared(&self, result: &Result<(), Error>, name: &str, with: &str) {
        let text = format!("{name}: expected memory of its own, got some that {with} uses");
        assert_refused(*result, "Overlap", &text);
        // SAFETY: the buffer is there, and no view of it any more.
        let is_one = |index| unsafe { self.start.add(index).read() == 1.0 };
        assert!((0..self.buffer.len()).all(is_one), "{text}: and yet something was written");
    }
}

#[test]
fn results_of_factored_attention_that_share_memory_with_anything_are_refused() {
    let memory = Memory::new();
    let input = |start, shape: &[usize]| memory.input(start, shape);
    let output = |start, shape: &[usize]| memory.output(start, shape);
    let refuse = |result, name: &str, with: &str| memory.assert_shared(&result, name, with);
    let options = Options::default();
    // Results that overlap nothing lie from 200 on.
    let heads = |of_heads, out, residual, one_off| {
        let inputs = FactoredAttention {
            resid_pre: input(300, &[1, 2, 4]),
            resid_mid: input(10, &[1, 2, 4]),
            pattern: input(20, &[1, 2, 2, 3]).into(),
            heads: match of_heads {
                HeadsAt::ValueOutput(at) => Heads::ValueOutput(input(at, &[1, 3, 2, 4])),
                HeadsAt::Values(values, w_o) => {
                    Heads::Values { values: input(values, &[1, 3, 1, 5]), w_o: input(w_o, &[2, 5, 4]), prepared: None }
                }
            },
            scale: Some(input(150, &[1, 2, 4])),
            leave_out_masked: false,
        };
        let mut one_offs = [OneOff { part: input(160, &[1, 2, 4]), out: output(one_off, &[1, 2]) }];
        let (attn, resid) = (Out::Each(output(out, &[1, 2, 3, 2])), output(residual, &[1, 2]));
        attention_factored(&inputs, AttentionResults { attn, resid, one_offs: &mut one_offs }, &options)
    };
    let (values, value_output) = (HeadsAt::Values(40, 60), HeadsAt::ValueOutput(100));
    refuse(heads(values, 307, 220, 230), "out_attn", "resid_pre");
    refuse(heads(values, 31, 220, 230), "out_attn", "pattern");
    refuse(heads(values, 54, 220, 230), "out_attn", "values");
    refuse(heads(values, 99, 220, 230), "out_attn", "w_o");
    refuse(heads(value_output, 123, 220, 230), "out_attn", "value_output");
    refuse(heads(values, 140, 220, 230), "out_attn", "scale");
    refuse(heads(values, 167, 220, 230), "out_attn", "one_offs[0].part");
    refuse(heads(values, 200, 17, 230), "out_resid", "resid_mid");
    refuse(heads(values, 200, 26, 230), "out_resid", "pattern");
    refuse(heads(values, 200, 211, 230), "out_resid", "out_attn");
    refuse(heads(values, 200, 220, 47), "one_offs[0].out", "values");
    refuse(heads(values, 200, 220, 161), "one_offs[0].out", "one_offs[0].part");
    refuse(heads(values, 200, 220, 202), "one_offs[0].out", "out_attn");
    refuse(heads(values, 200, 220, 221), "one_offs[0].out", "out_resid");
}

#[test]
fn results_of_neurons_that_share_memory_with_anything_are_refused() {
    let memory = Memory::new();
    let input = |start, shape: &[usize]| memory.input(start, shape);
    let refuse = |result, name: &str, with: &str| memory.assert_shared(&result, name, with);
    let neurons = |out, at: Option<usize>, residual| {
        let inputs = MlpNeurons {
            resid_mid: input(0, &[2, 4]),
            resid_post: input(10, &[2, 4]),
            activations: input(20, &[2, 5]),
            w_out: input(40, &[5, 4]),
        };
        let neurons = match at {
            None => Out::Each(memory.output(out, &[2, 5])),
            Some(at) => top_k(memory.output(out, &[2, 3]), memory.indices(at, &[2, 3])),
        };
        mlp_neurons(&inputs, NeuronResults { neurons, resid: memory.output(residual, &[2]) }, &Options::default())
    };
    refuse(neurons(29, None, 230), "out_neurons", "activations");
    refuse(neurons(59, None, 230), "out_neurons", "w_out");
    refuse(neurons(200, None, 209), "out_resid", "out_neurons");
    refuse(neurons(200, None, 1), "out_resid", "resid_mid");
    refuse(neurons(29, Some(300), 230), "out_neurons", "activations");
    refuse(neurons(200, Some(35), 230), "indices", "w_out");
    refuse(neurons(200, Some(12), 230), "indices", "resid_post");
    refuse(neurons(200, Some(205), 230), "indices", "out_neurons");
    refuse(neurons(200, Some(300), 305), "out_resid", "indices");
}

#[test]
fn results_of_factored_groups_that_share_memory_with_anything_are_refused() {
    let memory = Memory::new();
    let input = |start, shape: &[usize]| memory.input(start, shape);
    let refuse = |result, name: &str, with: &str| memory.assert_shared(&result, name, with);
    let primitive = |projected, out: usize, indices_at| {
        let directions = if projected {
            Directions::Projected { values: input(40, &[3, 1, 2]), projection: input(60, &[1, 2, 4]), prepared: None }
        } else {
            Directions::Vectors(input(40, &[3, 1, 4]))
        };
        let factored = FactoredParts {
            coefficients: input(20, &[3, 2]).into(),
            directions,
            scale: Some(input(80, &[1, 4])),
            leave_out_zeros: false,
        };
        let out = top_k(memory.output(out, &[2, 3]), memory.indices(indices_at, &[2, 3]));
        let group = Group { parts: Parts::Factored(factored), out };
        let dense = Group::dense(input(100, &[2, 4]), memory.output(250, &[2]));
        group_contributions(&input(0, &[2, 4]), &mut [dense, group], &Options::default())
    };
    for (at, name) in [
        (7, "whole"),
        (25, "groups[1].coefficients"),
        (45, "groups[1].values"),
        (67, "groups[1].projection"),
        (83, "groups[1].scale"),
        (107, "groups[0].parts"),
        (251, "groups[0].out"),
    ] {
        refuse(primitive(true, at, 300), "groups[1].out", name);
        refuse(primitive(true, 200, at), "groups[1].indices", name);
    }
    refuse(primitive(false, 51, 300), "groups[1].out", "groups[1].directions");
    refuse(primitive(false, 200, 51), "groups[1].indices", "groups[1].directions");
    refuse(primitive(true, 200, 205), "groups[1].indices", "groups[1].out");
}

#[test]
fn sparse_results_that_share_memory_with_anything_are_refused() {
    let memory = Memory::new();
    let input = |start, shape: &[usize]| memory.input(start, shape);
    let refuse = |result, name: &str, with: &str| memory.assert_shared(&result, name, with);
    let sparse = |[contributions, indices, counts, left_out]: [usize; 4]| {
        Out::Sparse(Sparse {
            above: 0.01,
            contributions: memory.output(contributions, &[2, 3]),
            indices: memory.indices(indices, &[2, 3]),
            counts: memory.indices(counts, &[2]),
            left_out: memory.output(left_out, &[2]),
            summed_axes: 0,
        })
    };
    let primitive = |at| {
        let group = Group { parts: Parts::Dense(input(20, &[5, 2, 4])), out: sparse(at) };
        group_contributions(&input(0, &[2, 4]), &mut [group], &Options::default())
    };
    let neurons = |at| {
        let inputs = MlpNeurons {
            resid_mid: input(0, &[2, 4]),
            resid_post: input(10, &[2, 4]),
            activations: input(20, &[2, 5]),
            w_out: input(40, &[5, 4]),
        };
        let results = NeuronResults { neurons: sparse(at), resid: memory.output(300, &[2]) };
        mlp_neurons(&inputs, results, &Options::default())
    };
    // Results at these overlap nothing.
    let apart = [200, 210, 220, 230];
    for (number, [of_group, of_neurons]) in [
        ["groups[0].out", "out_neurons"],
        ["groups[0].indices", "indices"],
        ["groups[0].counts", "counts"],
        ["groups[0].left_out", "left_out"],
    ]
    .into_iter()
    .enumerate()
    {
        let at = |place: usize| {
            let mut all = apart;
            all[number] = place;
            all
        };
        refuse(primitive(at(7)), of_group, "whole");
        refuse(primitive(at(59)), of_group, "groups[0].parts");
        refuse(neurons(at(29)), of_neurons, "activations");
        refuse(neurons(at(15)), of_neurons, "resid_post");
        for (earlier, with) in ["out_neurons", "indices", "counts", "left_out"].into_iter().enumerate().take(number) {
            refuse(neurons(at(apart[earlier] + 1)), of_neurons, with);
        }
    }
}

#[test]
fn indices_and_counts_of_a_type_that_cannot_count_all_parts_are_refused() {
    const PARTS: usize = 1 << 31;
    let whole = Tensor::new::<f32>(&[], &[0, 4]).unwrap();
    let run = |[of_indices, of_counts]: [IndexType; 2], shape: &[usize], summed_axes| {
        // SAFETY: there are no elements.
        let integers = |index_type, shape: &[usize]| unsafe {
            IndicesMut::from_raw_parts(ptr::null_mut(), index_type, shape, None).unwrap()
        };
        let (mut contributions, mut left_out) = ([0.0_f32; 0], [0.0_f32; 0]);
        let out = Out::Sparse(Sparse {
            above: 0.01,
            contributions: TensorMut::new(&mut contributions, &[0, 3]).unwrap(),
            indices: integers(of_indices, &[0, 3]),
            counts: integers(of_counts, &[0]),
            left_out: TensorMut::new(&mut left_out, &[0]).unwrap(),
            summed_axes,
        });
        let group = Group { parts: Parts::Dense(Tensor::new::<f32>(&[], shape).unwrap()), out };
        group_contributions(&whole, &mut [group], &Options::default())
    };
    let text = |name: &str| {
        format!("groups[0].{name}: expected integers that can count all 2147483648 parts, got ones up to 2147483647")
    };
    let (small, large) = (IndexType::I32, IndexType::I64);
    assert_refused(run([small, large], &[PARTS, 0, 4], 0), "IndexType", &text("indices"));
    assert_refused(run([large, small], &[2, PARTS / 2, 0, 4], 0), "IndexType", &text("counts"));
    assert_eq!(run([large, large], &[PARTS, 0, 4], 0), Ok(()));
    assert_eq!(run([small, small], &[PARTS - 1, 0, 4], 0), Ok(()));
    // Sums over the first axis are half as many.
    assert_eq!(run([small, small], &[2, PARTS / 2, 0, 4], 1), Ok(()));
}

#[test]
fn sums_over_other_axes_than_heads_are_refused_by_attention_and_any_by_neurons() {
    let of = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| 0.5);
    let run = |operation, shapes: &[&[usize]], sparse: bool, summed_axes| {
        let job = Job::random(operation, Kind::F32, shapes, &mut Random::new(1));
        let mut outs = [&[1, 2, 1][..], &[1, 2, 1], &[1, 2], &[1, 2], &[1, 2]].map(of);
        let [out, indices, counts, left_out, resid] = &mut outs;
        let (contributions, indices) = (view_mut(out), view_indices(indices));
        let to = if sparse {
            let (counts, left_out) = (view_indices(counts), view_mut(left_out));
            Out::Sparse(Sparse { above: 0.0, contributions, indices, counts, left_out, summed_axes })
        } else {
            Out::TopK(TopK { contributions, indices, summed_axes })
        };
        let result = job.run_factored(to, view_mut(resid), &Options::default());
        assert!(result.is_ok() || outs.iter().all(|out| out.to_f64().iter().all(|&number| number == 0.5)));
        result
    };
    for sparse in [false, true] {
        let heads: &[&[usize]] = &[&[1, 2, 4], &[1, 2, 4], &[1, 4, 2, 3], &[1, 3, 2, 5], &[4, 5, 4]];
        let attention = |summed_axes| run(Operation::AttentionFactored, heads, sparse, summed_axes);
        assert_eq!([attention(0), attention(1)], [Ok(()), Ok(())]);
        let text = "summed_axes: expected 0, or 1 for sums over heads, got 2";
        assert_refused(attention(2), "InvalidNumber", text);
        let shapes: &[&[usize]] = &[&[1, 2, 4], &[1, 2, 4], &[1, 2, 3], &[3, 4]];
        let neurons = |summed_axes| run(Operation::MlpNeurons, shapes, sparse, summed_axes);
        assert_eq!(neurons(0), Ok(()));
        assert_refused(neurons(1), "InvalidNumber", "summed_axes: expected 0, got 1");
    }
}

#[test]
fn sums_over_heads_of_other_shapes_are_refused() {
    let shapes: &[&[usize]] = &[&[1, 2, 4], &[1, 2, 4], &[1, 4, 2, 3], &[1, 3, 2, 5], &[4, 5, 4]];
    let job = Job::random(Operation::AttentionFactored, Kind::F32, shapes, &mut Random::new(1));
    let run = |shape: &[usize]| {
        let [mut out, mut resid] = [shape, &[1, 2]].map(|shape| Stored::blank(Kind::F32, Layout::row_major(shape)));
        let result = job.run_factored(Out::Sums(view_mut(&mut out)), view_mut(&mut resid), &Options::default());
        assert!(result.is_ok() || (out.is_blank() && resid.is_blank()));
        result
    };
    assert_eq!(run(&[1, 2, 3]), Ok(()));
    assert_refused(run(&[1, 2, 4]), "ShapeMismatch", "out_attn: expected [1, 2, 3] to match pattern, got [1, 2, 4]");
    assert_refused(run(&[1, 2]), "Rank", "out_attn: expected [batch, pos, key_pos], got [1, 2]");
}

/// Which tensor of a factored group has which shape.
#[derive(Clone, Copy)]
struct Shapes<'a> {
    coefficients: &'a [usize],
    directions: &'a [usize],
    projection: Option<&'a [usize]>,
    scale: Option<&'a [usize]>,
    out: OutOf<'a>,
}

#[derive(Clone, Copy)]
enum OutOf<'a> {
    Each(&'a [usize]),
    Sums(&'a [usize]),
    TopK(&'a [usize], &'a [usize]),
    /// Over so many axes.
    TopKOfSums(&'a [usize], usize),
    Sparse(OutOfSparse<'a>),
}

#[derive(Clone, Copy)]
struct OutOfSparse<'a> {
    above: f64,
    contributions: &'a [usize],
    indices: &'a [usize],
    counts: &'a [usize],
    left_out: &'a [usize],
    summed_axes: usize,
}

/// The usual ones of [`FACTORED`].
const SPARSE: OutOfSparse<'_> = OutOfSparse {
    above: 0.01,
    contributions: &[2, 5, 3],
    indices: &[2, 5, 3],
    counts: &[2, 5],
    left_out: &[2, 5],
    summed_axes: 0,
};

/// The usual shapes: parts `[3, 4]` of wholes `[2, 5]` with 6 elements.
const FACTORED: Shapes<'_> = Shapes {
    coefficients: &[3, 4, 2, 5],
    directions: &[3, 4, 1, 1, 6],
    projection: None,
    scale: None,
    out: OutOf::Each(&[3, 4, 2, 5]),
};
const PROJECTED: Shapes<'_> = Shapes { directions: &[3, 4, 2, 1, 7], projection: Some(&[3, 1, 7, 6]), ..FACTORED };

/// A call of such a group after a dense one; whether anything was written.
fn factored_group(shapes: Shapes<'_>, options: &Options<'_>) -> (Result<(), Error>, bool) {
    let of = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| 0.5);
    let blank = |shape: &[usize]| Stored::blank(Kind::F32, Layout::row_major(shape));
    let (whole, coefficients, directions) = (of(&[2, 5, 6]), of(shapes.coefficients), of(shapes.directions));
    let (projection, scale) = (shapes.projection.map(of), shapes.scale.map(of));
    let shapes_of_out = match shapes.out {
        OutOf::Each(shape) | OutOf::Sums(shape) => [shape, NONE, NONE, NONE],
        OutOf::TopK(shape, indices) => [shape, indices, NONE, NONE],
        OutOf::TopKOfSums(shape, _) => [shape, shape, NONE, NONE],
        OutOf::Sparse(to) => [to.contributions, to.indices, to.counts, to.left_out],
    };
    let (mut first, [mut out, mut indices, mut counts, mut left_out]) = (blank(&[2, 5]), shapes_of_out.map(blank));
    let factored = FactoredParts {
        coefficients: view(&coefficients).into(),
        directions: match &projection {
            None => Directions::Vectors(view(&directions)),
            Some(projection) => {
                Directions::Projected { values: view(&directions), projection: view(projection), prepared: None }
            }
        },
        scale: scale.as_ref().map(view),
        leave_out_zeros: false,
    };
    let contributions = view_mut(&mut out);
    let to = match shapes.out {
        OutOf::Each(_) => Out::Each(contributions),
        OutOf::Sums(_) => Out::Sums(contributions),
        OutOf::TopK(..) => top_k(contributions, view_indices(&mut indices)),
        OutOf::TopKOfSums(_, summed_axes) => {
            Out::TopK(TopK { contributions, indices: view_indices(&mut indices), summed_axes })
        }
        OutOf::Sparse(to) => Out::Sparse(Sparse {
            above: to.above,
            contributions,
            indices: view_indices(&mut indices),
            counts: view_indices(&mut counts),
            left_out: view_mut(&mut left_out),
            summed_axes: to.summed_axes,
        }),
    };
    let dense = Group::dense(view(&whole), view_mut(&mut first));
    let result =
        group_contributions(&view(&whole), &mut [dense, Group { parts: Parts::Factored(factored), out: to }], options);
    (result, ![first, out, indices, counts, left_out].iter().all(Stored::is_blank))
}

const MANY: [usize; MAX_NDIM] = [1; MAX_NDIM];

/// Shapes that disagree, and the cause and text of the error.
const REFUSED_GROUPS: &[(Shapes<'_>, &str, &str)] = &[
    (
        Shapes { coefficients: &[3, 4, 5, 2], ..FACTORED },
        "ShapeMismatch",
        "groups[1].coefficients: expected [*, *, 2, 5] to match whole, got [3, 4, 5, 2]",
    ),
    (
        Shapes { coefficients: &[5], ..FACTORED },
        "ShapeMismatch",
        "groups[1].coefficients: expected [2, 5] to match whole, got [5]",
    ),
    (
        Shapes { directions: &[3, 4, 1, 1, 7], ..FACTORED },
        "ShapeMismatch",
        "groups[1].directions: expected [3, 4, 2, 5, 6] to match groups[1].coefficients, got [3, 4, 1, 1, 7]",
    ),
    (
        Shapes { directions: &[3, 2, 1, 1, 6], ..FACTORED },
        "ShapeMismatch",
        "groups[1].directions: expected [3, 4, 2, 5, 6] to match groups[1].coefficients, got [3, 2, 1, 1, 6]",
    ),
    (
        Shapes { directions: &[3, 4, 6], ..FACTORED },
        "ShapeMismatch",
        "groups[1].directions: expected [3, 4, 2, 5, 6] to match groups[1].coefficients, got [3, 4, 6]",
    ),
    (
        Shapes { directions: &[3, 4, 1, 1, 8], ..PROJECTED },
        "ShapeMismatch",
        "groups[1].values: expected [3, 4, 2, 5, 7] to match groups[1].projection, got [3, 4, 1, 1, 8]",
    ),
    (
        Shapes { directions: &[3, 4, 7], ..PROJECTED },
        "ShapeMismatch",
        "groups[1].values: expected [3, 4, 2, 5, 7] to match groups[1].projection, got [3, 4, 7]",
    ),
    (
        Shapes { projection: Some(&[7, 6]), ..PROJECTED },
        "Rank",
        "groups[1].projection: expected [p.., r, d], got [7, 6]",
    ),
    (
        Shapes { projection: Some(&[3, 2, 7, 6]), ..PROJECTED },
        "ShapeMismatch",
        "groups[1].projection: expected [3, 4, 7, 6] to match groups[1].coefficients, got [3, 2, 7, 6]",
    ),
    (
        Shapes { projection: Some(&[3, 4, 7, 5]), ..PROJECTED },
        "ShapeMismatch",
        "groups[1].projection: expected [3, 4, 7, 6] to match groups[1].coefficients, got [3, 4, 7, 5]",
    ),
    (
        Shapes { scale: Some(&[2, 5, 5]), ..FACTORED },
        "ShapeMismatch",
        "groups[1].scale: expected [2, 5, 6] to match groups[1].coefficients, got [2, 5, 5]",
    ),
    (
        Shapes { scale: Some(&[6]), ..FACTORED },
        "ShapeMismatch",
        "groups[1].scale: expected [2, 5, 6] to match groups[1].coefficients, got [6]",
    ),
    (
        Shapes { out: OutOf::Each(&[4, 2, 5]), ..FACTORED },
        "ShapeMismatch",
        "groups[1].out: expected [3, 4, 2, 5] to match groups[1].coefficients, got [4, 2, 5]",
    ),
    (
        Shapes { out: OutOf::Sums(&[3, 2, 5]), ..FACTORED },
        "ShapeMismatch",
        "groups[1].out: expected [4, 2, 5] to match groups[1].coefficients, got [3, 2, 5]",
    ),
    (
        Shapes { out: OutOf::Sums(&[2]), ..FACTORED },
        "ShapeMismatch",
        "groups[1].out: expected [2, 5] to match groups[1].coefficients, got [2]",
    ),
    (
        Shapes { out: OutOf::Sums(&[1, 3, 4, 2, 5]), ..FACTORED },
        "ShapeMismatch",
        "groups[1].out: expected [3, 4, 2, 5] to match groups[1].coefficients, got [1, 3, 4, 2, 5]",
    ),
    (
        Shapes { out: OutOf::TopK(&[5, 2, 3], &[5, 2, 3]), ..FACTORED },
        "ShapeMismatch",
        "groups[1].out: expected [2, 5, *] to match groups[1].coefficients, got [5, 2, 3]",
    ),
    (
        Shapes { out: OutOf::TopK(&[2, 5, 3], &[2, 5, 4]), ..FACTORED },
        "ShapeMismatch",
        "groups[1].indices: expected [2, 5, 3] to match groups[1].out, got [2, 5, 4]",
    ),
    (
        Shapes { out: OutOf::TopK(&[2, 5, 3], &[2, 5]), ..FACTORED },
        "ShapeMismatch",
        "groups[1].indices: expected [2, 5, 3] to match groups[1].out, got [2, 5]",
    ),
    (
        Shapes { out: OutOf::TopK(&[2, 5, 13], &[2, 5, 13]), ..FACTORED },
        "TopK",
        "groups[1].out: expected room for at most all 12 parts, and indices that can count them, got 13",
    ),
    (
        Shapes { out: OutOf::TopKOfSums(&[2, 5, 5], 1), ..FACTORED },
        "TopK",
        "groups[1].out: expected room for at most all 4 parts, and indices that can count them, got 5",
    ),
    (
        Shapes { out: OutOf::TopKOfSums(&[2, 5, 1], 3), ..FACTORED },
        "InvalidNumber",
        "groups[1].summed_axes: expected at most all part axes, got 3",
    ),
    (
        Shapes { out: OutOf::Sparse(OutOfSparse { contributions: &[5, 2, 3], ..SPARSE }), ..FACTORED },
        "ShapeMismatch",
        "groups[1].out: expected [2, 5, *] to match groups[1].coefficients, got [5, 2, 3]",
    ),
    (
        Shapes { out: OutOf::Sparse(OutOfSparse { indices: &[2, 5, 4], ..SPARSE }), ..FACTORED },
        "ShapeMismatch",
        "groups[1].indices: expected [2, 5, 3] to match groups[1].out, got [2, 5, 4]",
    ),
    (
        Shapes { out: OutOf::Sparse(OutOfSparse { counts: &[2, 5, 1], ..SPARSE }), ..FACTORED },
        "ShapeMismatch",
        "groups[1].counts: expected [2, 5] to match groups[1].coefficients, got [2, 5, 1]",
    ),
    (
        Shapes { out: OutOf::Sparse(OutOfSparse { left_out: &[2], ..SPARSE }), ..FACTORED },
        "ShapeMismatch",
        "groups[1].left_out: expected [2, 5] to match groups[1].coefficients, got [2]",
    ),
    (
        Shapes { out: OutOf::Sparse(OutOfSparse { above: f64::NAN, ..SPARSE }), ..FACTORED },
        "InvalidThreshold",
        "groups[1].above: expected a number, got NaN",
    ),
    (
        Shapes { out: OutOf::Sparse(OutOfSparse { summed_axes: 3, ..SPARSE }), ..FACTORED },
        "InvalidNumber",
        "groups[1].summed_axes: expected at most all part axes, got 3",
    ),
    (
        Shapes { coefficients: &MANY, directions: &MANY, out: OutOf::Each(&MANY), ..FACTORED },
        "ShapeMismatch",
        "groups[1].coefficients: expected [*, *, *, *, *, *, *, *, *, *, *, *, *, *, 2, 5] to match whole, got [1, 1, 1, \
             1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]",
    ),
];

#[test]
fn each_tensor_of_a_factored_group_is_refused_by_its_name() {
    for (shapes, cause, text) in REFUSED_GROUPS {
        let (result, has_written) = factored_group(*shapes, &Options::default());
        assert_refused(result, cause, text);
        assert!(!has_written, "{text}: and yet something was written");
    }
    for shapes in [FACTORED, PROJECTED, Shapes { scale: Some(&[1, 5, 1]), ..PROJECTED }] {
        for out in [
            OutOf::Sums(&[3, 4, 2, 5]),
            OutOf::Sums(&[4, 2, 5]),
            OutOf::Sums(&[2, 5]),
            OutOf::TopK(&[2, 5, 12], &[2, 5, 12]),
            OutOf::TopK(&[2, 5, 0], &[2, 5, 0]),
            OutOf::TopKOfSums(&[2, 5, 4], 1),
            OutOf::TopKOfSums(&[2, 5, 1], 2),
            OutOf::Sparse(SPARSE),
            OutOf::Sparse(OutOfSparse { above: f64::NEG_INFINITY, summed_axes: 2, ..SPARSE }),
            OutOf::Sparse(OutOfSparse { contributions: &[2, 5, 0], indices: &[2, 5, 0], ..SPARSE }),
            OutOf::Sparse(OutOfSparse { contributions: &[2, 5, 90], indices: &[2, 5, 90], ..SPARSE }),
        ] {
            assert_eq!(factored_group(Shapes { out, ..shapes }, &Options::default()), (Ok(()), true));
        }
        let (result, has_written) = factored_group(shapes, &Options::default().threshold(f64::NAN));
        assert_refused(result, "InvalidThreshold", "threshold: expected a number, got NaN");
        assert!(!has_written);
    }
}

#[test]
fn as_many_axes_of_factored_parts_as_a_tensor_of_vectors_could_have_work_and_one_more_is_refused() {
    let ones = [1_usize; MAX_NDIM];
    let run = |axes: usize| {
        let (coefficient, direction) = ([0.5_f32], [1.0_f32]);
        let mut out = [f32::NAN];
        let factored = FactoredParts {
            coefficients: Tensor::new(&coefficient, &ones[..axes]).unwrap().into(),
            directions: Directions::Vectors(Tensor::new(&direction, &ones[..(axes + 1).min(MAX_NDIM)]).unwrap()),
            scale: None,
            leave_out_zeros: false,
        };
        let result = {
            let out = Out::Each(TensorMut::new(&mut out, &ones[..axes]).unwrap());
            let group = Group { parts: Parts::Factored(factored), out };
            group_contributions(&Tensor::new(&direction, &[1]).unwrap(), &mut [group], &Options::default())
        };
        (result, out[0])
    };
    assert_eq!(run(MAX_NDIM - 1), (Ok(()), 1.0));
    let (result, out) = run(MAX_NDIM);
    let error = result.unwrap_err();
    assert_eq!((error.argument().to_string(), name(error.cause())), ("groups[0].coefficients".to_string(), "Rank"));
    assert!(out.is_nan());
}

/// What else the named operations with factored parts take.
#[test]
fn further_arguments_of_factored_operations_are_refused_by_their_names() {
    let of = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| 0.5);
    let blank = |shape: &[usize]| Stored::blank(Kind::F32, Layout::row_major(shape));
    let (resid, pattern) = (of(&[2, 5, 8]), of(&[2, 4, 5, 3]));
    let attention = |value_output: &[usize], scale: &[usize], part: &[usize], out: &[usize], options: &Options<'_>| {
        let (value_output, scale, first, part) = (of(value_output), of(scale), of(&[1, 1, 8]), of(part));
        let mut outs = [blank(&[2, 5, 3]), blank(&[2, 5]), blank(&[2, 5]), blank(out)];
        let result = {
            let [attn, residual, of_first, of_part] = outs.each_mut().map(view_mut);
            let inputs = FactoredAttention {
                resid_pre: view(&resid),
                resid_mid: view(&resid),
                pattern: view(&pattern).into(),
                heads: Heads::ValueOutput(view(&value_output)),
                scale: Some(view(&scale)),
                leave_out_masked: false,
            };
            let mut one_offs =
                [OneOff { part: view(&first), out: of_first }, OneOff { part: view(&part), out: of_part }];
            let results = AttentionResults { attn: Out::Sums(attn), resid: residual, one_offs: &mut one_offs };
            attention_factored(&inputs, results, options)
        };
        assert!(result.is_ok() || outs.iter().all(Stored::is_blank), "something was written");
        result
    };
    let usual = Options::default();
    let (value_output, whole, queries) = (&[2, 3, 4, 8][..], &[2, 5, 8][..], &[2, 5][..]);
    assert_eq!(attention(value_output, &[1, 5, 1], &[2, 1, 8], queries, &usual), Ok(()));
    assert_refused(
        attention(&[3, 4, 8], whole, whole, queries, &usual),
        "Rank",
        "value_output: expected [batch, key_pos, head, d_model], got [3, 4, 8]",
    );
    assert_refused(
        attention(&[2, 4, 3, 8], whole, whole, queries, &usual),
        "ShapeMismatch",
        "value_output: expected [2, 3, 4, 8] to match pattern, got [2, 4, 3, 8]",
    );
    assert_refused(
        attention(value_output, &[2, 4, 8], whole, queries, &usual),
        "ShapeMismatch",
        "scale: expected [2, 5, 8] to match pattern, got [2, 4, 8]",
    );
    assert_refused(
        attention(value_output, whole, &[8], queries, &usual),
        "ShapeMismatch",
        "one_offs[1].part: expected [2, 5, 8] to match resid_mid, got [8]",
    );
    assert_refused(
        attention(value_output, whole, whole, &[2], &usual),
        "ShapeMismatch",
        "one_offs[1].out: expected [2, 5] to match one_offs[1].part, got [2]",
    );
    let nan = usual.threshold(f64::NAN);
    let text = "threshold: expected a number, got NaN";
    assert_refused(attention(value_output, whole, whole, queries, &nan), "InvalidThreshold", text);

    let (activations, w_out) = (of(&[2, 5, 6]), of(&[6, 8]));
    let neurons = |out: &[usize], indices: &[usize], options: &Options<'_>| {
        let mut outs = [blank(out), blank(indices), blank(&[2, 5])];
        let result = {
            let [out, indices, residual] = &mut outs;
            let inputs = MlpNeurons {
                resid_mid: view(&resid),
                resid_post: view(&resid),
                activations: view(&activations),
                w_out: view(&w_out),
            };
            let neurons = top_k(view_mut(out), view_indices(indices));
            mlp_neurons(&inputs, NeuronResults { neurons, resid: view_mut(residual) }, options)
        };
        assert!(result.is_ok() || outs.iter().all(Stored::is_blank), "something was written");
        result
    };
    assert_eq!(neurons(&[2, 5, 6], &[2, 5, 6], &usual), Ok(()));
    assert_refused(
        neurons(&[2, 5, 7], &[2, 5, 7], &usual),
        "TopK",
        "out_neurons: expected room for at most all 6 parts, and indices that can count them, got 7",
    );
    assert_refused(
        neurons(&[5, 2, 3], &[5, 2, 3], &usual),
        "ShapeMismatch",
        "out_neurons: expected [2, 5, *] to match activations, got [5, 2, 3]",
    );
    assert_refused(
        neurons(&[2, 5, 3], &[2, 5, 2], &usual),
        "ShapeMismatch",
        "indices: expected [2, 5, 3] to match out_neurons, got [2, 5, 2]",
    );
    assert_refused(neurons(&[2, 5, 3], &[2, 5, 3], &nan), "InvalidThreshold", text);
}

#[test]
fn indices_that_share_an_element_are_refused() {
    let of = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| 0.5);
    let (resid, activations, w_out) = (of(&[2, 8]), of(&[2, 6]), of(&[6, 8]));
    let inputs = MlpNeurons {
        resid_mid: view(&resid),
        resid_post: view(&resid),
        activations: view(&activations),
        w_out: view(&w_out),
    };
    let mut outs = [&[2, 3][..], &[2, 3], &[2]].map(|shape| Stored::blank(Kind::F32, Layout::row_major(shape)));
    outs[1].layout.strides = vec![0, 1];
    let [out, indices, residual] = &mut outs;
    let neurons = top_k(view_mut(out), view_indices(indices));
    let result = mlp_neurons(&inputs, NeuronResults { neurons, resid: view_mut(residual) }, &Options::default());
    let text = "indices: expected an element each for all results, got strides that share them";
    assert_refused(result, "OverlapsItself", text);
    assert!(outs.iter().all(Stored::is_blank));
}

#[test]
fn indices_that_cannot_be_are_refused() {
    let mut data = [0_i32; 12];
    let outside = "tensor: expected indices inside a slice of 12 elements, got 0 to 12";
    assert_refused(IndicesMut::new(&mut data, &[13]), "OutOfBounds", outside);
    assert!(IndicesMut::new(&mut data, &[3, 4]).is_ok());
    let start: *mut c_void = data.as_mut_ptr().cast();
    // SAFETY: the view is dropped untouched.
    let odd = unsafe { IndicesMut::from_raw_parts(start.wrapping_byte_add(2), IndexType::I32, &[2], None) };
    assert_eq!(name(odd.unwrap_err().cause()), "Misaligned");
    // SAFETY: there is no view.
    let null = unsafe { IndicesMut::from_raw_parts(ptr::null_mut(), IndexType::I64, &[2], None) };
    assert_refused(null, "NullPointer", "tensor: expected data, got a null pointer");
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
        (DType::F32, 2, "tensor: expected a pointer aligned to 4 bytes, the size of its elements, got another"),
        (DType::F16, 1, "tensor: expected a pointer aligned to 2 bytes, the size of its elements, got another"),
        (DType::Bf16, 3, "tensor: expected a pointer aligned to 2 bytes, the size of its elements, got another"),
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
    assert_refused(Context::with_parallel_for(1025, |_, _| ()), "TooManyThreads", text);
    let text = format!("n_threads: expected at most 1024 threads, got {}", usize::MAX);
    assert_refused(Context::with_parallel_for(usize::MAX, |_, _| ()), "TooManyThreads", &text);
}

#[test]
fn no_threads_of_a_host_are_refused() {
    let text = "n_threads: expected how many threads the host has, got 0";
    assert_refused(Context::with_parallel_for(0, |_, _| ()), "InvalidNumber", text);
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

/// Runs contributions of parts of `len` elements to wholes of shape `whole`. All elements of an axis are the same one.
fn run_with_one_element(whole: &[usize], len: usize) -> (Result<(), Error>, [f32; 3]) {
    let mut out = [f32::NAN; 3];
    let parts: Vec<usize> = [&[3], &whole[..whole.len() - 1], &[len]].concat();
    let of_one_element = |shape: &[usize]| Tensor::strided(&[1.0_f32], 0, shape, &vec![0; shape.len()]).unwrap();
    let shape = &parts[..parts.len() - 1];
    let count = shape.iter().product();
    let result = contributions(
        &of_one_element(whole),
        &of_one_element(&parts),
        &mut TensorMut::new(&mut out[..count], shape).unwrap(),
        &Options::default(),
    );
    (result, out)
}

#[test]
fn vectors_of_more_elements_than_a_u32_counts_are_refused() {
    const MOST: usize = u32::MAX as usize;
    for whole in [&[MOST + 1][..], &[1, MOST + 1], &[1, 1 << 40]] {
        let len = whole[whole.len() - 1];
        let text = format!("whole: expected at most 4294967295 elements, got {len}");
        for len_of_parts in [len, MOST, 4] {
            let (result, out) = run_with_one_element(whole, len_of_parts);
            assert_refused(result, "TooLarge", &text);
            assert!(out.iter().all(|number| number.is_nan()));
        }
    }
    // As many as it counts pass, so that the parts are found to disagree.
    let disagree = "parts: expected [*, 4294967295] to match whole, got [3, 4]";
    assert_refused(run_with_one_element(&[MOST], 4).0, "ShapeMismatch", disagree);
    // Vectors that are not there may have any length.
    assert_eq!(run_with_one_element(&[0, MOST + 1], MOST + 1).0, Ok(()));
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

/// What queries and keys are given as: the shapes of their tensors, and numbers.
#[derive(Clone, Copy)]
struct QueryKeyShapes<'a> {
    queries: &'a [usize],
    keys: &'a [usize],
    slopes: Option<&'a [usize]>,
    sinks: Option<&'a [usize]>,
    mask: Option<&'a [usize]>,
    query_positions: Option<&'a [usize]>,
    key_positions: Option<&'a [usize]>,
    score_scale: Option<f64>,
    soft_cap: Option<f64>,
}

/// The tensors of [`QueryKeyShapes`].
struct QueryKeyTensors {
    queries: Stored,
    keys: Stored,
    others: [Option<Stored>; 5],
    numbers: [Option<f64>; 2],
}

impl QueryKeyShapes<'_> {
    fn tensors(&self) -> QueryKeyTensors {
        let of = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| 0.5);
        let integers = |shape: &[usize]| Stored::of_integers(Kind::F32, Layout::row_major(shape), |_| 1);
        QueryKeyTensors {
            queries: of(self.queries),
            keys: of(self.keys),
            others: [
                self.slopes.map(of),
                self.sinks.map(of),
                self.mask.map(of),
                self.query_positions.map(integers),
                self.key_positions.map(integers),
            ],
            numbers: [self.score_scale, self.soft_cap],
        }
    }
}

impl QueryKeyTensors {
    fn given(&self) -> QueriesAndKeys<'_> {
        let [slopes, sinks, mask, query_positions, key_positions] = &self.others;
        QueriesAndKeys {
            slopes: slopes.as_ref().map(view),
            sinks: sinks.as_ref().map(view),
            mask: mask.as_ref().map(view),
            query_positions: query_positions.as_ref().map(view_integers),
            key_positions: key_positions.as_ref().map(view_integers),
            score_scale: self.numbers[0],
            soft_cap: self.numbers[1],
            ..QueriesAndKeys::new(view(&self.queries), view(&self.keys))
        }
    }
}

/// Four heads, two of which share keys, of two batch items with five queries and three keys.
const HEADS: QueryKeyShapes<'_> = QueryKeyShapes {
    queries: &[2, 5, 4, 6],
    keys: &[2, 3, 2, 6],
    slopes: None,
    sinks: None,
    mask: None,
    query_positions: None,
    key_positions: None,
    score_scale: None,
    soft_cap: None,
};

/// A call of attention from queries and keys, with values and matrices of these shapes or what heads write.
fn attention_from(shapes: QueryKeyShapes<'_>, values: &[usize], w_o: Option<&[usize]>) -> Result<(), Error> {
    let of = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| 0.5);
    let (resid, values, w_o, tensors) = (of(&[2, 5, 8]), of(values), w_o.map(of), shapes.tensors());
    let [mut out, mut residual] =
        [&[2, 5, 3, 4][..], &[2, 5]].map(|shape| Stored::blank(Kind::F32, Layout::row_major(shape)));
    let given = tensors.given();
    let inputs = FactoredAttention {
        resid_pre: view(&resid),
        resid_mid: view(&resid),
        pattern: Coefficients::Softmax(&given),
        heads: match &w_o {
            None => Heads::ValueOutput(view(&values)),
            Some(w_o) => Heads::Values { values: view(&values), w_o: view(w_o), prepared: None },
        },
        scale: None,
        leave_out_masked: false,
    };
    let (attn, resid) = (Out::Each(view_mut(&mut out)), view_mut(&mut residual));
    let results = AttentionResults { attn, resid, one_offs: &mut [] };
    let result = attention_factored(&inputs, results, &Options::default());
    assert_eq!(result.is_err(), out.is_blank() && residual.is_blank());
    result
}

/// What disagrees in a call of attention from queries and keys, and the cause and text of the error.
const REFUSED_HEADS: &[(QueryKeyShapes<'_>, &str, &str)] = &[
    (QueryKeyShapes { queries: &[2, 5, 6], ..HEADS }, "Rank", "queries: expected [batch, pos, head, d], got [2, 5, 6]"),
    (
        QueryKeyShapes { queries: &[2, 4, 4, 6], ..HEADS },
        "ShapeMismatch",
        "queries: expected [2, 5, *, *] to match resid_mid, got [2, 4, 4, 6]",
    ),
    (
        QueryKeyShapes { queries: &[1, 5, 4, 6], ..HEADS },
        "ShapeMismatch",
        "queries: expected [2, 5, *, *] to match resid_mid, got [1, 5, 4, 6]",
    ),
    (
        QueryKeyShapes { keys: &[2, 3, 6], ..HEADS },
        "Rank",
        "keys: expected [batch, key_pos, kv_head, d], got [2, 3, 6]",
    ),
    (
        QueryKeyShapes { keys: &[2, 3, 2, 7], ..HEADS },
        "ShapeMismatch",
        "keys: expected [2, *, *, 6] to match queries, got [2, 3, 2, 7]",
    ),
    (
        QueryKeyShapes { keys: &[1, 3, 2, 6], ..HEADS },
        "ShapeMismatch",
        "keys: expected [2, *, *, 6] to match queries, got [1, 3, 2, 6]",
    ),
    (
        QueryKeyShapes { keys: &[2, 4, 2, 6], ..HEADS },
        "ShapeMismatch",
        "values: expected [2, 4, *, *] to match keys, got [2, 3, 2, 7]",
    ),
    (
        QueryKeyShapes { keys: &[2, 3, 1, 6], ..HEADS },
        "ShapeMismatch",
        "keys: expected [2, 3, 2, 6] to match values and queries, got [2, 3, 1, 6]",
    ),
    (
        QueryKeyShapes { queries: &[2, 5, 6, 6], ..HEADS },
        "ShapeMismatch",
        "w_o: expected [6, 7, 8] to match queries, values and resid_mid, got [4, 7, 8]",
    ),
    (
        QueryKeyShapes { queries: &[2, 5, 3, 6], ..HEADS },
        "Heads",
        "values: expected a number of key-value heads that divides 3 heads, got 2",
    ),
    (QueryKeyShapes { slopes: Some(&[2]), ..HEADS }, "ShapeMismatch", "slopes: expected [4] to match queries, got [2]"),
    (
        QueryKeyShapes { slopes: Some(&[4, 1]), ..HEADS },
        "ShapeMismatch",
        "slopes: expected [4] to match queries, got [4, 1]",
    ),
    (QueryKeyShapes { sinks: Some(&[5]), ..HEADS }, "ShapeMismatch", "sinks: expected [4] to match queries, got [5]"),
    (QueryKeyShapes { sinks: Some(NONE), ..HEADS }, "ShapeMismatch", "sinks: expected [4] to match queries, got []"),
    (
        QueryKeyShapes { mask: Some(&[5, 3]), ..HEADS },
        "ShapeMismatch",
        "mask: expected [2, 4, 5, 3] to match queries and keys, got [5, 3]",
    ),
    (
        QueryKeyShapes { mask: Some(&[2, 2, 5, 3]), ..HEADS },
        "ShapeMismatch",
        "mask: expected [2, 4, 5, 3] to match queries and keys, got [2, 2, 5, 3]",
    ),
    (
        QueryKeyShapes { mask: Some(&[1, 1, 3, 5]), ..HEADS },
        "ShapeMismatch",
        "mask: expected [2, 4, 5, 3] to match queries and keys, got [1, 1, 3, 5]",
    ),
    (
        QueryKeyShapes { query_positions: Some(&[2, 3]), ..HEADS },
        "ShapeMismatch",
        "query_positions: expected [2, 5] to match keys, got [2, 3]",
    ),
    (
        QueryKeyShapes { query_positions: Some(&[5]), ..HEADS },
        "ShapeMismatch",
        "query_positions: expected [2, 5] to match keys, got [5]",
    ),
    (
        QueryKeyShapes { key_positions: Some(&[2, 5]), ..HEADS },
        "ShapeMismatch",
        "key_positions: expected [2, 3] to match keys, got [2, 5]",
    ),
    (
        QueryKeyShapes { key_positions: Some(&[3]), ..HEADS },
        "ShapeMismatch",
        "key_positions: expected [2, 3] to match keys, got [3]",
    ),
    (
        QueryKeyShapes { score_scale: Some(f64::NAN), ..HEADS },
        "InvalidNumber",
        "score_scale: expected a finite number, got NaN",
    ),
    (
        QueryKeyShapes { score_scale: Some(f64::INFINITY), ..HEADS },
        "InvalidNumber",
        "score_scale: expected a finite number, got inf",
    ),
    (
        QueryKeyShapes { score_scale: Some(f64::NEG_INFINITY), ..HEADS },
        "InvalidNumber",
        "score_scale: expected a finite number, got -inf",
    ),
    (
        QueryKeyShapes { soft_cap: Some(0.0), ..HEADS },
        "InvalidNumber",
        "soft_cap: expected a finite number greater than 0, got 0",
    ),
    (
        QueryKeyShapes { soft_cap: Some(-0.0), ..HEADS },
        "InvalidNumber",
        "soft_cap: expected a finite number greater than 0, got -0",
    ),
    (
        QueryKeyShapes { soft_cap: Some(-1.0), ..HEADS },
        "InvalidNumber",
        "soft_cap: expected a finite number greater than 0, got -1",
    ),
    (
        QueryKeyShapes { soft_cap: Some(f64::NAN), ..HEADS },
        "InvalidNumber",
        "soft_cap: expected a finite number greater than 0, got NaN",
    ),
    (
        QueryKeyShapes { soft_cap: Some(f64::INFINITY), ..HEADS },
        "InvalidNumber",
        "soft_cap: expected a finite number greater than 0, got inf",
    ),
];

#[test]
fn each_argument_of_attention_from_queries_and_keys_is_refused_by_its_name() {
    let (values, w_o, value_output) = (&[2, 3, 2, 7][..], Some(&[4, 7, 8][..]), &[2, 3, 4, 8][..]);
    for &(shapes, cause, text) in REFUSED_HEADS {
        assert_refused(attention_from(shapes, values, w_o), cause, text);
    }
    // What heads write for each token does not tell how many of them share keys, so that the keys do.
    let three = QueryKeyShapes { keys: &[2, 3, 3, 6], ..HEADS };
    let text = "keys: expected a number of key-value heads that divides 4 heads, got 3";
    assert_refused(attention_from(three, value_output, None), "Heads", text);
    assert_refused(
        attention_from(HEADS, &[2, 4, 4, 8], None),
        "ShapeMismatch",
        "value_output: expected [2, 3, 4, 8] to match keys, got [2, 4, 4, 8]",
    );
    let all = QueryKeyShapes {
        slopes: Some(&[4]),
        sinks: Some(&[1]),
        mask: Some(&[1, 4, 1, 3]),
        query_positions: Some(&[1, 5]),
        key_positions: Some(&[2, 1]),
        score_scale: Some(-0.0),
        soft_cap: Some(f64::MIN_POSITIVE),
        ..HEADS
    };
    for shapes in [HEADS, all] {
        assert_eq!(attention_from(shapes, values, w_o), Ok(()));
        assert_eq!(attention_from(shapes, value_output, None), Ok(()));
    }
}

/// Queries and keys of parts `[3, 4]`, of which four are keys, and wholes `[2, 5]` with 6 elements.
const GROUP: QueryKeyShapes<'_> = QueryKeyShapes { queries: &[3, 1, 2, 5, 9], keys: &[3, 4, 2, 1, 9], ..HEADS };

/// A call of a group from queries and keys after a dense one, with directions or values and a projection.
fn group_from(shapes: QueryKeyShapes<'_>, directions: &[usize], projection: Option<&[usize]>) -> Result<(), Error> {
    let of = |shape: &[usize]| Stored::from_fn(Kind::F32, Layout::row_major(shape), |_| 0.5);
    let blank = |shape: &[usize]| Stored::blank(Kind::F32, Layout::row_major(shape));
    let (whole, directions, projection, tensors) =
        (of(&[2, 5, 6]), of(directions), projection.map(of), shapes.tensors());
    let (mut first, mut out) = (blank(&[2, 5]), blank(&[3, 4, 2, 5]));
    let given = tensors.given();
    let factored = FactoredParts {
        coefficients: Coefficients::Softmax(&given),
        directions: match &projection {
            None => Directions::Vectors(view(&directions)),
            Some(projection) => {
                Directions::Projected { values: view(&directions), projection: view(projection), prepared: None }
            }
        },
        scale: None,
        leave_out_zeros: false,
    };
    let dense = Group::dense(view(&whole), view_mut(&mut first));
    let group = Group { parts: Parts::Factored(factored), out: Out::Each(view_mut(&mut out)) };
    let result = group_contributions(&view(&whole), &mut [dense, group], &Options::default());
    assert_eq!(result.is_err(), first.is_blank() && out.is_blank());
    result
}

/// What disagrees in a group from queries and keys, and the cause and text of the error.
const REFUSED_SOFTMAX_GROUPS: &[(QueryKeyShapes<'_>, &str, &str)] = &[
    (
        QueryKeyShapes { keys: &[2, 5, 9], ..GROUP },
        "Rank",
        "groups[1].keys: expected [p.., v.., d], with one part axis or more, got [2, 5, 9]",
    ),
    (
        QueryKeyShapes { keys: &[3, 4, 2, 4, 9], ..GROUP },
        "ShapeMismatch",
        "groups[1].keys: expected [3, 4, 2, 5, 9] to match groups[1].queries, got [3, 4, 2, 4, 9]",
    ),
    (
        QueryKeyShapes { queries: &[3, 4, 2, 5, 9], ..GROUP },
        "ShapeMismatch",
        "groups[1].queries: expected [3, 1, 2, 5, 9] to match groups[1].keys, got [3, 4, 2, 5, 9]",
    ),
    (
        QueryKeyShapes { queries: &[2, 1, 2, 5, 9], ..GROUP },
        "ShapeMismatch",
        "groups[1].queries: expected [3, 1, 2, 5, 9] to match groups[1].keys, got [2, 1, 2, 5, 9]",
    ),
    (
        QueryKeyShapes { queries: &[3, 1, 2, 5, 8], ..GROUP },
        "ShapeMismatch",
        "groups[1].queries: expected [3, 1, 2, 5, 9] to match groups[1].keys, got [3, 1, 2, 5, 8]",
    ),
    (
        QueryKeyShapes { queries: &[3, 2, 5, 9], ..GROUP },
        "ShapeMismatch",
        "groups[1].queries: expected [3, 1, 2, 5, 9] to match groups[1].keys, got [3, 2, 5, 9]",
    ),
    (
        QueryKeyShapes { slopes: Some(&[3, 4]), ..GROUP },
        "ShapeMismatch",
        "groups[1].slopes: expected [3] to match groups[1].queries, got [3, 4]",
    ),
    (
        QueryKeyShapes { sinks: Some(&[4]), ..GROUP },
        "ShapeMismatch",
        "groups[1].sinks: expected [3] to match groups[1].queries, got [4]",
    ),
    (
        QueryKeyShapes { mask: Some(&[4, 2, 5]), ..GROUP },
        "ShapeMismatch",
        "groups[1].mask: expected [3, 4, 2, 5] to match groups[1].keys, got [4, 2, 5]",
    ),
    (
        QueryKeyShapes { mask: Some(&[1, 3, 1, 1]), ..GROUP },
        "ShapeMismatch",
        "groups[1].mask: expected [3, 4, 2, 5] to match groups[1].keys, got [1, 3, 1, 1]",
    ),
    (
        QueryKeyShapes { query_positions: Some(&[5, 2]), ..GROUP },
        "ShapeMismatch",
        "groups[1].query_positions: expected [2, 5] to match groups[1].keys, got [5, 2]",
    ),
    (
        QueryKeyShapes { key_positions: Some(&[4]), ..GROUP },
        "ShapeMismatch",
        "groups[1].key_positions: expected [4, 2, 5] to match groups[1].keys, got [4]",
    ),
    (
        QueryKeyShapes { key_positions: Some(&[2, 5, 4]), ..GROUP },
        "ShapeMismatch",
        "groups[1].key_positions: expected [4, 2, 5] to match groups[1].keys, got [2, 5, 4]",
    ),
    (
        QueryKeyShapes { score_scale: Some(f64::INFINITY), ..GROUP },
        "InvalidNumber",
        "groups[1].score_scale: expected a finite number, got inf",
    ),
    (
        QueryKeyShapes { soft_cap: Some(0.0), ..GROUP },
        "InvalidNumber",
        "groups[1].soft_cap: expected a finite number greater than 0, got 0",
    ),
];

#[test]
fn each_tensor_of_a_group_from_queries_and_keys_is_refused_by_its_name() {
    let directions = &[3, 4, 1, 1, 6][..];
    for &(shapes, cause, text) in REFUSED_SOFTMAX_GROUPS {
        assert_refused(group_from(shapes, directions, None), cause, text);
    }
    // All keys of a query have one matrix.
    let values = &[3, 4, 2, 1, 7][..];
    assert_refused(
        group_from(GROUP, values, Some(&[3, 4, 7, 6])),
        "ShapeMismatch",
        "groups[1].projection: expected [*, 1, *, *] to match groups[1].queries, got [3, 4, 7, 6]",
    );
    assert_refused(
        group_from(GROUP, values, Some(&[7, 6])),
        "Rank",
        "groups[1].projection: expected [p.., r, d], got [7, 6]",
    );
    assert_refused(
        group_from(GROUP, &[3, 3, 1, 1, 6], None),
        "ShapeMismatch",
        "groups[1].directions: expected [3, 4, 2, 5, 6] to match groups[1].keys, got [3, 3, 1, 1, 6]",
    );
    let shared = QueryKeyShapes { queries: &[3, 1, 1, 1, 9], keys: &[1, 4, 1, 1, 9], ..GROUP };
    for shapes in [GROUP, shared, QueryKeyShapes { key_positions: Some(&[4, 1, 5]), slopes: Some(&[1]), ..shared }] {
        assert_eq!(group_from(shapes, directions, None), Ok(()));
        assert_eq!(group_from(shapes, values, Some(&[3, 1, 7, 6])), Ok(()));
    }
}

#[test]
fn results_that_share_memory_with_queries_or_keys_or_what_goes_with_them_are_refused() {
    let memory = Memory::new();
    let input = |start, shape: &[usize]| memory.input(start, shape);
    let integers = |start, shape: &[usize]| {
        // SAFETY: the piece lies inside the buffer, which outlives it.
        unsafe { Indices::from_raw_parts(memory.at(start, shape), IndexType::I32, shape, None) }.unwrap()
    };
    let run = |out, residual| {
        let given = QueriesAndKeys {
            slopes: Some(input(110, &[2])),
            sinks: Some(input(120, &[2])),
            mask: Some(input(130, &[1, 2, 2, 3])),
            query_positions: Some(integers(150, &[1, 2])),
            key_positions: Some(integers(160, &[1, 3])),
            ..QueriesAndKeys::new(input(70, &[1, 2, 2, 4]), input(90, &[1, 3, 1, 4]))
        };
        let inputs = FactoredAttention {
            resid_pre: input(0, &[1, 2, 4]),
            resid_mid: input(10, &[1, 2, 4]),
            pattern: Coefficients::Softmax(&given),
            heads: Heads::Values { values: input(20, &[1, 3, 1, 3]), w_o: input(40, &[2, 3, 4]), prepared: None },
            scale: None,
            leave_out_masked: false,
        };
        let results = AttentionResults {
            attn: Out::Each(memory.output(out, &[1, 2, 3, 2])),
            resid: memory.output(residual, &[1, 2]),
            one_offs: &mut [],
        };
        attention_factored(&inputs, results, &Options::default())
    };
    // Results that overlap nothing lie from 200 on.
    for (start, len, name) in [
        (70, 16, "queries"),
        (90, 12, "keys"),
        (110, 2, "slopes"),
        (120, 2, "sinks"),
        (130, 12, "mask"),
        (150, 2, "query_positions"),
        (160, 3, "key_positions"),
    ] {
        memory.assert_shared(&run(200, start + len - 1), "out_resid", name);
        memory.assert_shared(&run(200, start - 1), "out_resid", name);
        memory.assert_shared(&run(start + len - 1, 220), "out_attn", name);
    }
    assert_eq!(run(200, 220), Ok(()));
}
