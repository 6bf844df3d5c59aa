// Routes as text.

#include "error.hpp"
#include "routes.hpp"
#include "safetensors.hpp"

#include <algorithm>
#include <cstdio>
#include <numeric>

namespace contrib_llama {

namespace {

constexpr size_t MOST_TOKENS = 8;
constexpr size_t MOST_HEADS = 5;
constexpr size_t MOST_EDGES = 16;

// The numbers of the largest values, the largest first, without zeros.
std::vector<size_t> largest(const double *values, size_t n, size_t most) {
    std::vector<size_t> order(n);
    std::iota(order.begin(), order.end(), size_t{0});
    most = std::min(most, n);
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(most), order.end(),
                      [&](size_t a, size_t b) { return values[a] != values[b] ? values[a] > values[b] : a < b; });
    order.resize(most);
    order.erase(std::find_if(order.begin(), order.end(), [&](size_t i) { return !(values[i] > 0.0); }), order.end());
    return order;
}

std::string token_at(const Texts &texts, size_t position) {
    const std::string text = position < texts.tokens.size() ? " " + json_string(texts.tokens[position]) : "";
    return std::to_string(position) + text;
}

// Sums of flows. They live as long as `totals`.
contrib_totals_arrays sums_of(const contrib_routes &routes, std::unique_ptr<contrib_totals, void (*)(contrib_totals *)> &totals) {
    contrib_totals *found = nullptr;
    if (contrib_totals_new(&routes, &found) != CONTRIB_OK) {
        throw Error(contrib_last_error_message());
    }
    totals.reset(found);
    contrib_totals_arrays sums = CONTRIB_TOTALS_ARRAYS_INIT;
    contrib_totals_get_arrays(found, &sums);
    return sums;
}

void print_totals(const contrib_routes &routes, const Texts &texts, bool in_short) {
    std::unique_ptr<contrib_totals, void (*)(contrib_totals *)> totals(nullptr, contrib_totals_free);
    const contrib_totals_arrays sums = sums_of(routes, totals);
    const double arrives = 1.0 - sums.lost;
    std::printf("  from tokens, of the %.1f %% that is not lost on ways below the threshold:\n   ", 100.0 * arrives);
    for (size_t position : largest(sums.tokens, sums.n_pos, MOST_TOKENS)) {
        std::printf("  %s %.1f %%", token_at(texts, position).c_str(), 100.0 * sums.tokens[position] / arrives);
    }
    std::printf("\n");
    if (in_short) {
        return;
    }
    std::printf("  through heads:");
    for (size_t i : largest(sums.heads, sums.n_layers * sums.n_heads, MOST_HEADS)) {
        std::printf("  layer %zu head %zu %.1f %%", i / sums.n_heads, i % sums.n_heads, 100.0 * sums.heads[i]);
    }
    std::printf("\n  through MLPs:");
    for (size_t layer : largest(sums.mlps, sums.n_layers, MOST_HEADS)) {
        std::printf("  layer %zu %.1f %%", layer, 100.0 * sums.mlps[layer]);
    }
    const double biases = std::accumulate(sums.biases, sums.biases + sums.n_layers, 0.0);
    std::printf("\n  from biases and the engine's rounding: %.1f %%\n", 100.0 * biases);
}

}  // namespace

std::vector<size_t> strongest_tokens(const contrib_routes &routes, size_t but_for, size_t most) {
    std::unique_ptr<contrib_totals, void (*)(contrib_totals *)> totals(nullptr, contrib_totals_free);
    const contrib_totals_arrays sums = sums_of(routes, totals);
    std::vector<size_t> strongest = largest(sums.tokens, sums.n_pos, most + 1);
    strongest.erase(std::remove(strongest.begin(), strongest.end(), but_for), strongest.end());
    strongest.resize(std::min(strongest.size(), most));
    return strongest;
}

void print_routes(const contrib_routes &routes, const Texts &texts, bool in_short) {
    contrib_routes_arrays arrays = CONTRIB_ROUTES_ARRAYS_INIT;
    contrib_routes_get_arrays(&routes, &arrays);
    print_totals(routes, texts, in_short);
    if (in_short) {
        return;
    }
    // What attention brings from other tokens; the rest is in the files.
    std::vector<double> flows(arrays.n_edges, 0.0);
    for (size_t edge = 0; edge < arrays.n_edges; edge++) {
        const bool crosses = arrays.node_position[arrays.edge_from[edge]] != arrays.node_position[arrays.edge_to[edge]];
        flows[edge] = crosses ? arrays.edge_flow[edge] : 0.0;
    }
    std::printf("  %zu edges above %g; the strongest from token to token:\n", arrays.n_edges, arrays.threshold);
    std::printf("  layer  head  from                  to                    weight    flow\n");
    for (size_t edge : largest(flows.data(), flows.size(), MOST_EDGES)) {
        const size_t from = arrays.edge_from[edge], to = arrays.edge_to[edge];
        std::printf("  %5u  %4u  %-20s  %-20s  %6.3f  %6.4f\n", arrays.node_layer[to], arrays.edge_head[edge],
                    token_at(texts, arrays.node_position[from]).c_str(), token_at(texts, arrays.node_position[to]).c_str(),
                    arrays.edge_weight[edge], arrays.edge_flow[edge]);
    }
}

}  // namespace contrib_llama
