// What attention adds, calculated from what was recorded: the check that a recording is right, and the engine's rounding.
#pragma once

#include "recording.hpp"

#include <vector>

namespace contrib_llama {

// What heads make of the values at a position, `[head, d_value]`, from queries, keys and values.
std::vector<float> heads_at(const LayerRecord &layer, size_t position);

// What heads write into the stream at a position, `[d_model]`, from what they made.
std::vector<float> written_at(const LayerRecord &layer, size_t position, const float *heads_out, size_t d_model);

// Throws Error where positions of a layer, from `first` on, which a batch has just added, are not the sums of their parts to the
// rounding of the engine's types. Attention is checked at the last of them alone, where `with_attention` is true.
void check_layer(const Recording &recording, size_t layer, size_t first, size_t last, bool with_attention);

// `[position, d_model]`, for some positions of a layer: what the engine's attention adds beside the exact parts: its bias, and its
// rounding. The whole is then the sum of its parts. Positions that were not computed are NaN.
std::vector<float> rest_of_attention(const Recording &recording, size_t layer, const std::vector<size_t> &positions,
                                     size_t n_threads);

// How large the engine's rounding is beside what attention adds at a position: the norm of `rest`, less its bias, by the norm of
// attention's.
double rounding_at(const Recording &recording, size_t layer, size_t position, const float *rest);

}  // namespace contrib_llama
