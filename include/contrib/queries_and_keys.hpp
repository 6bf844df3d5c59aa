/// \file
/// What a pattern of attention is made of, where it is not in memory.

#ifndef CONTRIB_QUERIES_AND_KEYS_HPP
#define CONTRIB_QUERIES_AND_KEYS_HPP

#include <contrib.h>

#include <contrib/tensor.hpp>

#include <cstdint>
#include <optional>

namespace contrib {

/// As `contrib_queries_and_keys`, where shapes and formula stand.
struct QueriesAndKeys {
    /// Queries as they are multiplied: after position encoding and any normalisation.
    TensorView queries;
    /// Keys as they are multiplied.
    TensorView keys;
    /// By what the inner product is multiplied; 0: 1 / sqrt(d).
    double score_scale = 0.0;
    /// What no score exceeds in magnitude; 0: nothing.
    double soft_cap = 0.0;
    /// What a score gains for each position that its key is after its query (ALiBi), or none.
    TensorView slopes;
    /// Scores of a key of which nothing is added to the stream, or none.
    TensorView sinks;
    /// What is added to each score, or none.
    TensorView mask;
    /// The position of each query, or none: they follow `first_query` one by one.
    TensorView query_positions;
    /// The position of each key, or none: 0, 1, 2 and so on.
    TensorView key_positions;
    /// The position of the first query; -1: the queries are at the positions of the last keys.
    std::int64_t first_query = -1;
    /// How many positions, its own included, a query sees at most before it; 0: all.
    std::uint64_t window = 0;
    /// A query sees no key after it.
    bool causal = false;
};

namespace detail {

/// The C struct of queries and keys, with its tensors.
class CQueriesAndKeys {
public:
    /// The C struct, or NULL where there is none; valid for as long as this object.
    const contrib_queries_and_keys *operator()(const std::optional<QueriesAndKeys> &given) noexcept {
        if (!given) {
            return nullptr;
        }
        queries_and_keys_.queries = tensor_(given->queries);
        queries_and_keys_.keys = tensor_(given->keys);
        queries_and_keys_.score_scale = given->score_scale;
        queries_and_keys_.soft_cap = given->soft_cap;
        queries_and_keys_.slopes = tensor_(given->slopes);
        queries_and_keys_.sinks = tensor_(given->sinks);
        queries_and_keys_.mask = tensor_(given->mask);
        queries_and_keys_.query_positions = tensor_(given->query_positions);
        queries_and_keys_.key_positions = tensor_(given->key_positions);
        queries_and_keys_.first_query = given->first_query;
        queries_and_keys_.window = given->window;
        queries_and_keys_.flags = given->causal ? CONTRIB_CAUSAL : 0;
        return &queries_and_keys_;
    }

private:
    Tensors<7> tensor_;
    contrib_queries_and_keys queries_and_keys_ = CONTRIB_QUERIES_AND_KEYS_INIT;
};

} // namespace detail
} // namespace contrib

#endif // CONTRIB_QUERIES_AND_KEYS_HPP
