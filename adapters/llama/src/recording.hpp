// What was recorded of a context: what routes need of each layer (SPEC section 9).
#pragma once

#include <ggml.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace contrib_llama {

// Rows of numbers, one for each position, F32 or F16.
struct Rows {
    ggml_type type = GGML_TYPE_F32;
    size_t width = 0;
    // For how many rows memory is taken at once.
    size_t n_expected = 0;
    std::vector<uint8_t> bytes;

    size_t row_bytes() const { return width * ggml_type_size(type); }
    // Adds `n` rows of zeros; gives where they begin.
    uint8_t *grow(size_t n);
    void truncate(size_t n);
    const float *floats(size_t row) const { return reinterpret_cast<const float *>(bytes.data()) + row * width; }
    // A row as float32, whatever the type.
    void widen_row(size_t row, float *to) const;
};

// One layer. Where the engine computed some positions of the last layer alone, the rows of the others are NaN in `resid_mid`,
// `mlp_out`, `resid_post` and `inverse_rms`: routes to positions that were computed do not lead there.
struct LayerRecord {
    // `[pos, d_model]`
    Rows resid_pre;
    // `[pos, d_model]`; empty where attention and MLP run in parallel.
    Rows resid_mid;
    // `[pos, d_model]`: as it is added.
    Rows mlp_out;
    // `[pos, d_model]`: of the last layer alone.
    Rows resid_post;
    // `[pos, head, d_value]`: what heads made of the values, as the engine has it; of the batch that is being recorded alone.
    Rows heads_out;
    // `[pos, head, d]`, as they are multiplied.
    Rows queries;
    // `[pos, kv_head, d]`, as the cache has them.
    Rows keys;
    // `[pos, kv_head, d_value]`, as the cache has them.
    Rows values;
    // `[pos, 1]`: by what each position of what attention adds is multiplied, where a model normalises it; else empty.
    Rows inverse_rms;

    // `[head, d_value, d_model]`: what heads write, with all weights that follow.
    std::vector<float> w_o;
    ggml_type w_o_type = GGML_TYPE_F32;
    // `[d_model]`: what attention adds beside heads, to be multiplied by `inverse_rms` where there is one; empty: nothing.
    std::vector<float> attention_bias;
    // `[d_model]`: vectors that are added to every position after the layer; empty: none.
    std::vector<float> added_vectors;

    size_t n_heads = 0;
    size_t n_kv_heads = 0;
    double scale = 0.0;
    double soft_cap = 0.0;
    // 0: none.
    size_t window = 0;
    // `[head]`, or empty.
    std::vector<float> slopes;
    std::vector<float> sinks;
    bool is_parallel = false;

    size_t d() const { return n_heads ? queries.width / n_heads : 0; }
    size_t d_value() const { return n_heads ? heads_out.width / n_heads : 0; }
    // All that has rows.
    std::vector<Rows *> rows();
    std::vector<const Rows *> rows() const;
};

struct Recording {
    size_t n_tokens = 0;
    size_t d_model = 0;
    std::vector<LayerRecord> layers;

    // Forgets all tokens from this one on.
    void truncate(size_t n);
    // The stream after a layer.
    const Rows &resid_post(size_t layer) const;
    // Bytes that are kept for each token and layer.
    size_t bytes_per_token_and_layer() const;
};

}  // namespace contrib_llama
