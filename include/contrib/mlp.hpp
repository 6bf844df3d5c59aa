/// \file
/// What an MLP and its neurons contribute to the residual stream.

#ifndef CONTRIB_MLP_HPP
#define CONTRIB_MLP_HPP

#include <contrib.h>

#include <contrib/error.hpp>
#include <contrib/options.hpp>
#include <contrib/tensor.hpp>

namespace contrib {

/// What contrib::mlp() is given.
struct Mlp {
    /// `[batch, pos, d_model]`: the residual stream before the MLP.
    TensorView resid_mid;
    /// `[batch, pos, d_model]`: the residual stream after it.
    TensorView resid_post;
    /// `[batch, pos, d_model]`: what the MLP adds.
    TensorView mlp_out;
    /// `[batch, pos]`. Written.
    MutableTensorView out_mlp;
    /// `[batch, pos]`. Written.
    MutableTensorView out_resid;
};

/// `contrib_mlp`: what the MLP, and the residual stream before it, contribute to the residual stream after it.
inline void mlp(const Mlp &arguments, const Options &options = {}) {
    detail::Tensors<5> tensor;
    const contrib_options c_options = options.c_options();
    detail::check(contrib_mlp(tensor(arguments.resid_mid), tensor(arguments.resid_post), tensor(arguments.mlp_out),
                              tensor(arguments.out_mlp), tensor(arguments.out_resid), &c_options));
}

/// What contrib::decomposed_mlp() is given.
struct DecomposedMlp {
    /// `[v.., d_model]`: the residual stream before the MLP.
    TensorView resid_mid;
    /// `[v.., d_model]`: the residual stream after it.
    TensorView resid_post;
    /// `[v.., hidden, d_model]`: what each neuron adds.
    TensorView decomposed_mlp_out;
    /// `[v.., hidden]`. Written.
    MutableTensorView out_neurons;
    /// `v..`. Written.
    MutableTensorView out_resid;
};

/// `contrib_decomposed_mlp`: what each neuron of an MLP, and the residual stream before it, contribute to the residual stream
/// after it.
inline void decomposed_mlp(const DecomposedMlp &arguments, const Options &options = {}) {
    detail::Tensors<5> tensor;
    const contrib_options c_options = options.c_options();
    detail::check(contrib_decomposed_mlp(tensor(arguments.resid_mid), tensor(arguments.resid_post),
                                         tensor(arguments.decomposed_mlp_out), tensor(arguments.out_neurons),
                                         tensor(arguments.out_resid), &c_options));
}

/// What contrib::mlp_neurons() is given; as `contrib_neurons_inputs`.
struct NeuronsInputs {
    /// `[v.., d_model]`: the residual stream before the MLP.
    TensorView resid_mid;
    /// `[v.., d_model]`: the residual stream after it.
    TensorView resid_post;
    /// `[v.., hidden]`: what each neuron's output vector is multiplied by.
    TensorView activations;
    /// `[hidden, d_model]`: those vectors.
    TensorView w_out;
};

/// What is wanted of contrib::mlp_neurons(); as `contrib_neurons_results`, where shapes stand.
struct NeuronsResults {
    /// What each neuron contributes. Written.
    MutableTensorView out_neurons;
    /// Which neurons those are, or none: all. Written.
    MutableTensorView indices;
    /// How many are greater than `above`, or none. Written.
    MutableTensorView counts;
    /// The sum of all contributions of neurons that are not in `out_neurons`, or none. Written.
    MutableTensorView left_out;
    /// What contributions must be greater than, where there are `counts`.
    double above = 0.0;
    /// What the residual stream before the MLP contributes, `v..`. Written.
    MutableTensorView out_resid;
};

/// `contrib_mlp_neurons`: as contrib::decomposed_mlp(), from the activations and the output vectors of the neurons.
inline void mlp_neurons(const NeuronsInputs &inputs, const NeuronsResults &results, const Options &options = {}) {
    detail::Tensors<9> tensor;

    contrib_neurons_inputs c_inputs = CONTRIB_NEURONS_INPUTS_INIT;
    c_inputs.resid_mid = tensor(inputs.resid_mid);
    c_inputs.resid_post = tensor(inputs.resid_post);
    c_inputs.activations = tensor(inputs.activations);
    c_inputs.w_out = tensor(inputs.w_out);

    contrib_neurons_results c_results = CONTRIB_NEURONS_RESULTS_INIT;
    c_results.out_neurons = tensor(results.out_neurons);
    c_results.indices = tensor(results.indices);
    c_results.counts = tensor(results.counts);
    c_results.left_out = tensor(results.left_out);
    c_results.above = results.above;
    c_results.out_resid = tensor(results.out_resid);

    const contrib_options c_options = options.c_options();
    detail::check(contrib_mlp_neurons(&c_inputs, &c_results, &c_options));
}

} // namespace contrib

#endif // CONTRIB_MLP_HPP
