#include "recording.hpp"

#include "tensors.hpp"

namespace contrib_llama {

uint8_t *Rows::grow(size_t n) {
    const size_t before = bytes.size();
    bytes.reserve(n_expected * row_bytes());
    bytes.resize(before + n * row_bytes());
    return bytes.data() + before;
}

void Rows::truncate(size_t n) {
    if (bytes.size() > n * row_bytes()) {
        bytes.resize(n * row_bytes());
    }
}

void Rows::widen_row(size_t row, float *to) const { widen(type, bytes.data() + row * row_bytes(), width, to); }

std::vector<Rows *> LayerRecord::rows() {
    return {&resid_pre, &resid_mid, &mlp_out, &resid_post, &heads_out, &queries, &keys, &values, &inverse_rms};
}

std::vector<const Rows *> LayerRecord::rows() const {
    const std::vector<Rows *> all = const_cast<LayerRecord *>(this)->rows();
    return {all.begin(), all.end()};
}

void Recording::truncate(size_t n) {
    n_tokens = n < n_tokens ? n : n_tokens;
    for (LayerRecord &layer : layers) {
        for (Rows *rows : layer.rows()) {
            rows->truncate(n_tokens);
        }
        layer.heads_out.truncate(0);
    }
}

const Rows &Recording::resid_post(size_t layer) const {
    return layer + 1 < layers.size() ? layers[layer + 1].resid_pre : layers[layer].resid_post;
}

size_t Recording::bytes_per_token_and_layer() const {
    size_t bytes = 0;
    for (const LayerRecord &layer : layers) {
        for (const Rows *rows : layer.rows()) {
            bytes += rows == &layer.heads_out ? 0 : rows->row_bytes();
        }
    }
    return layers.empty() ? 0 : bytes / layers.size();
}

}  // namespace contrib_llama
