// Routes to a token of a recording, by contrib's C API.
#pragma once

#include "recording.hpp"

#include <contrib.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace contrib_llama {

struct RoutesDeleter {
    void operator()(contrib_routes *routes) const { contrib_routes_free(routes); }
};
using Routes = std::unique_ptr<contrib_routes, RoutesDeleter>;

struct PreparedDeleter {
    void operator()(contrib_prepared_projection *prepared) const { contrib_prepared_projection_free(prepared); }
};

// What texts say beside routes.
struct Texts {
    std::string model;
    std::string prompt;
    std::vector<std::string> tokens;
    // What comes after the last token, with its probability, the most likely first.
    std::vector<std::pair<std::string, double>> next_tokens;
};

class RouteFinder {
public:
    // Of a recording that may grow.
    RouteFinder(const Recording &recording, size_t n_threads);
    ~RouteFinder();
    RouteFinder(const RouteFinder &) = delete;
    RouteFinder &operator=(const RouteFinder &) = delete;

    // The routes to the last layer's stream at `target`, over edges above the threshold. `progress` is told how much is done, and
    // ends the work where it returns false. Throws Error with contrib's reason.
    //
    // What attention adds beside its heads, a bias and the engine's rounding, is a part of its own; it is calculated where routes
    // lead, and nowhere else. What was found for one token is kept for the next.
    Routes find(size_t target, double threshold, const std::function<bool(double)> &progress);

    // Contributions that are not greater than this are left out first, and the others of their whole divided by what is left. 0, the
    // default: nothing is.
    void set_renormalise(double threshold) { renormalise_ = threshold; }

    // The largest rounding of the engine at positions that routes were found to reach, as a fraction of what attention adds.
    double largest_rounding() const { return largest_rounding_; }

    // To be called when tokens from this one on were removed from the recording.
    void truncate(size_t n_tokens);

private:
    static int32_t hand_in(void *self, size_t layer, contrib_layer_receiver *receiver);
    int32_t hand_in(size_t layer, contrib_layer_receiver *receiver);
    void fill_rest(size_t layer, const std::vector<size_t> &positions);
    const contrib_prepared_projection *prepared(size_t layer, const contrib_tensor &w_o);

    const Recording &recording_;
    size_t n_threads_;
    contrib_context *context_ = nullptr;
    contrib_routes_finder *finder_ = nullptr;
    // What is prepared of each layer's w_o, once, and where that lies.
    struct Prepared {
        std::unique_ptr<contrib_prepared_projection, PreparedDeleter> projection;
        const void *of = nullptr;
    };
    std::vector<Prepared> prepared_;
    // `[pos, d_model]`: what attention of the layer that was handed in last adds beside its heads, where that is read.
    std::vector<float> rest_;
    double renormalise_ = 0.0;
    std::string failure_;
    double largest_rounding_ = 0.0;
};

// Writes routes in one of contrib's formats. Throws Error where the file cannot be written.
void write_routes(const std::string &path, int32_t format, const contrib_routes &routes, const Texts &texts);

// The positions, but for one, at which most of the routes' flow arrives, the most first.
std::vector<size_t> strongest_tokens(const contrib_routes &routes, size_t but_for, size_t most);

// Prints the tokens that routes lead from, the heads and layers they lead through, and the strongest edges.
void print_routes(const contrib_routes &routes, const Texts &texts, bool in_short);

}  // namespace contrib_llama
