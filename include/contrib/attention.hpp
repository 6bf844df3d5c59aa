/// \file
/// What attention contributes to the residual stream.

#ifndef CONTRIB_ATTENTION_HPP
#define CONTRIB_ATTENTION_HPP

#include <contrib.h>

#include <contrib/error.hpp>
#include <contrib/options.hpp>
#include <contrib/queries_and_keys.hpp>
#include <contrib/tensor.hpp>

#include <cstddef>
#include <optional>
#include <vector>

namespace contrib {

/// What contrib::attention() is given.
struct Attention {
    /// `[batch, pos, d_model]`: the residual stream before attention.
    TensorView resid_pre;
    /// `[batch, pos, d_model]`: the residual stream after it.
    TensorView resid_mid;
    /// `[batch, pos, key_pos, head, d_model]`.
    TensorView decomposed_attn;
    /// `[batch, pos, key_pos, head]`. Written.
    MutableTensorView out_attn;
    /// `[batch, pos]`. Written.
    MutableTensorView out_resid;
};

/// `contrib_attention`: what each attended token through each head, and the residual stream before attention, contribute to
/// the residual stream after attention.
inline void attention(const Attention &arguments, const Options &options = {}) {
    detail::Tensors<5> tensor;
    const contrib_options c_options = options.c_options();
    detail::check(contrib_attention(tensor(arguments.resid_pre), tensor(arguments.resid_mid),
                                    tensor(arguments.decomposed_attn), tensor(arguments.out_attn),
                                    tensor(arguments.out_resid), &c_options));
}

/// What contrib::attention_factored() is given; as `contrib_attention_inputs`.
struct AttentionInputs {
    /// `[batch, pos, d_model]`: the residual stream before attention, at any queries.
    TensorView resid_pre;
    /// `[batch, pos, d_model]`: the residual stream after it.
    TensorView resid_mid;
    /// `[batch, head, pos, key_pos]`: how much each head attends to which token.
    TensorView pattern;
    /// What the pattern is made of, instead.
    std::optional<QueriesAndKeys> queries_and_keys;
    /// `[batch, key_pos, kv_head, d_head]`.
    TensorView values;
    /// `[head, d_head, d_model]`: the matrix by which each head writes its values into the stream.
    TensorView w_o;
    /// `[batch, key_pos, head, d_model]`, instead of both: what each head would write for each token.
    TensorView value_output;
    /// `[batch, pos, d_model]`, or none: by what each channel of what a query's heads add is multiplied.
    TensorView scale;
    /// Parts whose pattern is 0 (masked keys) contribute 0, and are not counted.
    bool leave_out_masked = false;
    /// What was prepared of this very `w_o`, or NULL.
    const PreparedProjection *prepared = nullptr;
};

/// One more part of the stream after attention, such as the output bias.
struct OneOff {
    /// `[batch, pos, d_model]`; any extent may be 1.
    TensorView part;
    /// `[batch, pos]`. Written.
    MutableTensorView out;
};

/// What is wanted of contrib::attention_factored(); as `contrib_attention_results`, where shapes stand.
struct AttentionResults {
    /// What each token through each head contributes. Written.
    MutableTensorView out_attn;
    /// Which those are, or none: all. Written.
    MutableTensorView indices;
    /// How many are greater than `above`, or none. Written.
    MutableTensorView counts;
    /// The sum of all contributions of attention that are not in `out_attn`, or none. Written.
    MutableTensorView left_out;
    /// What contributions must be greater than, where there are `counts`.
    double above = 0.0;
    /// What the residual stream before attention contributes, `[batch, pos]`. Written.
    MutableTensorView out_resid;
    /// Further parts.
    std::vector<OneOff> one_offs;
    /// Contributions are summed over heads, before any are chosen by `indices`.
    bool sum_heads = false;
};

/// `contrib_attention_factored`: as contrib::attention(), from the pattern or from queries and keys, and from values.
inline void attention_factored(const AttentionInputs &inputs, const AttentionResults &results,
                               const Options &options = {}) {
    detail::Tensors<12> tensor;
    detail::CQueriesAndKeys queries_and_keys;

    contrib_attention_inputs c_inputs = CONTRIB_ATTENTION_INPUTS_INIT;
    c_inputs.resid_pre = tensor(inputs.resid_pre);
    c_inputs.resid_mid = tensor(inputs.resid_mid);
    c_inputs.pattern = tensor(inputs.pattern);
    c_inputs.queries_and_keys = queries_and_keys(inputs.queries_and_keys);
    c_inputs.values = tensor(inputs.values);
    c_inputs.w_o = tensor(inputs.w_o);
    c_inputs.value_output = tensor(inputs.value_output);
    c_inputs.scale = tensor(inputs.scale);
    c_inputs.flags = inputs.leave_out_masked ? CONTRIB_ATTENTION_LEAVE_OUT_MASKED : 0;
    c_inputs.prepared = detail::c_prepared(inputs.prepared);

    std::vector<detail::Tensors<2>> one_off_tensors(results.one_offs.size());
    std::vector<contrib_one_off> one_offs;
    one_offs.reserve(one_off_tensors.size());
    for (std::size_t index = 0; index < one_off_tensors.size(); index++) {
        const OneOff &one_off = results.one_offs[index];
        const contrib_tensor *part = one_off_tensors[index](one_off.part);
        one_offs.push_back({part, one_off_tensors[index](one_off.out)});
    }

    contrib_attention_results c_results = CONTRIB_ATTENTION_RESULTS_INIT;
    c_results.out_attn = tensor(results.out_attn);
    c_results.indices = tensor(results.indices);
    c_results.counts = tensor(results.counts);
    c_results.left_out = tensor(results.left_out);
    c_results.above = results.above;
    c_results.out_resid = tensor(results.out_resid);
    c_results.one_offs = one_offs.data();
    c_results.n_one_offs = one_offs.size();
    c_results.flags = results.sum_heads ? CONTRIB_ATTENTION_SUM_HEADS : 0;

    const contrib_options c_options = options.c_options();
    detail::check(contrib_attention_factored(&c_inputs, &c_results, &c_options));
}

} // namespace contrib

#endif // CONTRIB_ATTENTION_HPP
