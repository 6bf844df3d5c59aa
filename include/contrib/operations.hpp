/// \file
/// Parts of a whole that are given as they are.

#ifndef CONTRIB_OPERATIONS_HPP
#define CONTRIB_OPERATIONS_HPP

#include <contrib.h>

#include <contrib/error.hpp>
#include <contrib/options.hpp>
#include <contrib/tensor.hpp>

namespace contrib {

/// What contrib::contributions() is given.
struct Contributions {
    /// `[v.., d]`.
    TensorView whole;
    /// `[p.., v.., d]`.
    TensorView parts;
    /// `[p.., v..]`. Written.
    MutableTensorView out;
};

/// `contrib_contributions`: what each part contributes to its whole.
inline void contributions(const Contributions &arguments, const Options &options = {}) {
    detail::Tensors<3> tensor;
    const contrib_options c_options = options.c_options();
    detail::check(contrib_contributions(tensor(arguments.whole), tensor(arguments.parts), tensor(arguments.out), &c_options));
}

/// What contrib::contributions_with_one_off() is given.
struct ContributionsWithOneOff {
    /// `[v.., d]`.
    TensorView whole;
    /// `[p.., v.., d]`.
    TensorView parts;
    /// `[v.., d]`: one more part.
    TensorView one_off;
    /// `[p.., v..]`. Written.
    MutableTensorView out_parts;
    /// `v..`. Written.
    MutableTensorView out_one_off;
};

/// `contrib_contributions_with_one_off`: what each part, and one of another shape, contribute to their whole.
inline void contributions_with_one_off(const ContributionsWithOneOff &arguments, const Options &options = {}) {
    detail::Tensors<5> tensor;
    const contrib_options c_options = options.c_options();
    detail::check(contrib_contributions_with_one_off(tensor(arguments.whole), tensor(arguments.parts),
                                                     tensor(arguments.one_off), tensor(arguments.out_parts),
                                                     tensor(arguments.out_one_off), &c_options));
}

/// What contrib::threshold_and_renormalise() is given.
struct ThresholdAndRenormalise {
    /// `[r.., b..]`.
    TensorView c_blocks;
    /// `r..`.
    TensorView c_residual;
    /// Contributions that are not greater become 0.
    double threshold = 0.0;
    /// As `c_blocks`, and may be the same. Written.
    MutableTensorView out_blocks;
    /// As `c_residual`, and may be the same. Written.
    MutableTensorView out_residual;
};

/// `contrib_threshold_and_renormalise`: keeps the contributions above a threshold, and makes them sum to 1 again.
inline void threshold_and_renormalise(const ThresholdAndRenormalise &arguments, const Options &options = {}) {
    detail::Tensors<4> tensor;
    const contrib_options c_options = options.c_options();
    detail::check(contrib_threshold_and_renormalise(tensor(arguments.c_blocks), tensor(arguments.c_residual),
                                                    arguments.threshold, tensor(arguments.out_blocks),
                                                    tensor(arguments.out_residual), &c_options));
}

} // namespace contrib

#endif // CONTRIB_OPERATIONS_HPP
