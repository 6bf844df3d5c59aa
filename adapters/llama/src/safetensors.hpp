// Writes a recording as a safetensors file (SPEC section 9).
#pragma once

#include "recording.hpp"
#include "routes.hpp"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace contrib_llama {

// Text as a JSON string. Bytes that are no UTF-8 become U+FFFD.
std::string json_string(const std::string &text);

// Throws Error where the file cannot be written, or the recording is of a kind that no file can hold. Gives the largest rounding
// of the engine, as a fraction of what attention adds.
double write_safetensors(const std::string &path, const Recording &recording, const Texts &texts,
                         const std::vector<int32_t> &token_ids, size_t n_threads);

}  // namespace contrib_llama
