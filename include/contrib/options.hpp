/// \file
/// Choices for a call.

#ifndef CONTRIB_OPTIONS_HPP
#define CONTRIB_OPTIONS_HPP

#include <contrib.h>

#include <contrib/context.hpp>
#include <contrib/error.hpp>
#include <contrib/tensor.hpp>

#include <utility>

namespace contrib {

/// Choices for a call, as in `contrib_options`.
struct Options {
    /// The norm by which distances are measured: 1, 2, infinity, or any real number >= 1.
    double norm = 1.0;
    /// The threads to use, or NULL: a pool that all such calls share.
    const Context *context = nullptr;
    /// Contributions that are not greater become 0, and the others are divided by what is left. 0: all stay.
    double threshold = 0.0;

    /// The same in C, valid for as long as the context.
    contrib_options c_options() const noexcept {
        contrib_options options = CONTRIB_OPTIONS_INIT;
        options.norm = norm;
        options.context = context == nullptr ? nullptr : context->get();
        options.threshold = threshold;
        return options;
    }
};

/// A `contrib_prepared_projection`: what depends on a projection such as `w_o` alone, for calls that are given the same
/// tensor beside it. May be used by any number of calls at once.
class PreparedProjection {
public:
    /// Prepares a projection `[p.., r, d]`.
    explicit PreparedProjection(const TensorView &projection, const Options &options = {}) {
        detail::Tensors<1> tensor;
        const contrib_options c_options = options.c_options();
        detail::check(contrib_prepared_projection_new(tensor(projection), &c_options, &prepared_));
    }

    PreparedProjection(PreparedProjection &&other) noexcept : prepared_(std::exchange(other.prepared_, nullptr)) {}

    PreparedProjection &operator=(PreparedProjection &&other) noexcept {
        std::swap(prepared_, other.prepared_);
        return *this;
    }

    ~PreparedProjection() { contrib_prepared_projection_free(prepared_); }

    /// The C object, which this one still owns. NULL after a move: calls then prepare the projection again.
    const contrib_prepared_projection *get() const noexcept { return prepared_; }

private:
    contrib_prepared_projection *prepared_ = nullptr;
};

namespace detail {

inline const contrib_prepared_projection *c_prepared(const PreparedProjection *prepared) noexcept {
    return prepared == nullptr ? nullptr : prepared->get();
}

} // namespace detail
} // namespace contrib

#endif // CONTRIB_OPTIONS_HPP
