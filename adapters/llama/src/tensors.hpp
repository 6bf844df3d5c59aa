// Reads the numbers of the engine's tensors, whatever their type, strides and memory.
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace contrib_llama {

// The bytes of a tensor: where they lie if the host can read them, or else a copy.
class HostBytes {
public:
    // Throws Error where the engine keeps the tensor in an order of its own (repacked weights).
    explicit HostBytes(const ggml_tensor *tensor);

    const uint8_t *at(size_t offset) const { return bytes_ + offset; }

private:
    std::vector<uint8_t> copy_;
    const uint8_t *bytes_;
};

// `n` numbers that follow one another, of any type that the engine can widen. A quantised type: whole blocks.
void widen(ggml_type type, const void *from, size_t n, float *to);

// All numbers of a tensor of two axes or fewer whose rows are contiguous, row by row.
std::vector<float> floats_of(const ggml_tensor *tensor);

// All numbers of a tensor of one axis of int32 or int64.
std::vector<int64_t> integers_of(const ggml_tensor *tensor);

}  // namespace contrib_llama
