/// \file
/// Any groups of parts of a whole.

#ifndef CONTRIB_GROUPS_HPP
#define CONTRIB_GROUPS_HPP

#include <contrib.h>

#include <contrib/error.hpp>
#include <contrib/options.hpp>
#include <contrib/queries_and_keys.hpp>
#include <contrib/tensor.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace contrib {

/// A group of parts, and the place for their contributions; as `contrib_group`, where shapes stand.
struct Group {
    /// Dense: the parts. Factored: the directions, or with `projection` the values.
    TensorView parts;
    /// What they contribute. Written.
    MutableTensorView out;
    /// The coefficients of factored parts, or none.
    TensorView coefficients;
    /// The matrix by which the values in `parts` become directions, or none.
    TensorView projection;
    /// By what each channel of the parts is multiplied, or none.
    TensorView scale;
    /// Which parts those in `out` are, or none: all. Written.
    MutableTensorView indices;
    /// Parts whose coefficient is 0 contribute 0, and are not counted.
    bool leave_out_zeros = false;
    /// `out` lacks one or more of the leading part axes, and gets sums over them.
    bool sum = false;
    /// What the coefficients are made of, or none.
    std::optional<QueriesAndKeys> queries_and_keys;
    /// How many contributions are greater than `above`, or none. Written.
    MutableTensorView counts;
    /// The sum of all contributions that are not in `out`, or none. Written.
    MutableTensorView left_out;
    /// What contributions must be greater than, where there are `counts`.
    double above = 0.0;
    /// Of how many leading part axes sums are taken before contributions are chosen by `indices`.
    std::size_t summed_axes = 0;
    /// What was prepared of this very `projection`, or NULL.
    const PreparedProjection *prepared = nullptr;
};

/// What contrib::group_contributions() is given.
struct GroupContributions {
    /// `[v.., d]`.
    TensorView whole;
    /// All parts of it; their contributions together sum to 1.
    std::vector<Group> groups;
};

namespace detail {

/// The tensors and further structs of one group.
struct CGroup {
    Tensors<8> tensor;
    CQueriesAndKeys queries_and_keys;

    contrib_group operator()(const Group &given) noexcept {
        contrib_group group = CONTRIB_GROUP_INIT;
        group.parts = tensor(given.parts);
        group.out = tensor(given.out);
        group.coefficients = tensor(given.coefficients);
        group.projection = tensor(given.projection);
        group.scale = tensor(given.scale);
        group.indices = tensor(given.indices);
        group.flags = (given.leave_out_zeros ? std::uint64_t{CONTRIB_GROUP_LEAVE_OUT_ZEROS} : 0) |
                      (given.sum ? std::uint64_t{CONTRIB_GROUP_SUM} : 0);
        group.queries_and_keys = queries_and_keys(given.queries_and_keys);
        group.counts = tensor(given.counts);
        group.left_out = tensor(given.left_out);
        group.above = given.above;
        group.summed_axes = given.summed_axes;
        group.prepared = c_prepared(given.prepared);
        return group;
    }
};

} // namespace detail

/// `contrib_group_contributions`: what all parts of all groups contribute to their whole, normalised together.
inline void group_contributions(const GroupContributions &arguments, const Options &options = {}) {
    detail::Tensors<1> tensor;
    std::vector<detail::CGroup> structs(arguments.groups.size());
    std::vector<contrib_group> groups;
    groups.reserve(structs.size());
    for (std::size_t group = 0; group < structs.size(); group++) {
        groups.push_back(structs[group](arguments.groups[group]));
    }
    const contrib_options c_options = options.c_options();
    detail::check(contrib_group_contributions(tensor(arguments.whole), groups.data(), groups.size(), &c_options));
}

} // namespace contrib

#endif // CONTRIB_GROUPS_HPP
