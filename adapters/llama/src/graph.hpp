// What the tensors of the engine's graph are, found by operations: names differ from model to model, and mislead.
//
// A graph is seen node by node, in the order of calculation, and everything before a node can be reached from it.
#pragma once

#include <ggml.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace contrib_llama {

// The attention of a layer.
struct AttentionNodes {
    // What heads make of the values: the FLASH_ATTN_EXT, `[d_value, head, pos]`, or else the product of values and pattern,
    // `[d_value, pos, head]`.
    const ggml_tensor *out;
    bool is_flash;
    // `[d, pos, head]`
    const ggml_tensor *queries;
    // `[d, cell, kv_head]`
    const ggml_tensor *keys;
    // `[d_value, cell, kv_head]` with flash attention, else `[cell, d_value, kv_head]`
    const ggml_tensor *values;
    // `[cell, pos]`
    const ggml_tensor *mask;
    // `[head]`, or null.
    const ggml_tensor *sinks;
    // By what `<query, key>` is multiplied.
    double scale;
    // What no score exceeds, or 0.
    double soft_cap;
    // From which ALiBi's slopes are made, or 0.
    float max_bias;
};

// The attention of a layer, where `node` is its last operation before heads are put together. Throws Error where it is
// attention of a kind that is not known.
std::optional<AttentionNodes> find_attention(const ggml_tensor *node);

// The same without `out` and `values`, where `node` makes the pattern: without flash attention, the mask may be overwritten later.
std::optional<AttentionNodes> find_pattern(const ggml_tensor *node);

// What lies behind views, reshapes, permutations and copies.
const ggml_tensor *behind_views(const ggml_tensor *tensor);

// The cache of which `tensor` is a view, or what was cast from one.
const ggml_tensor *cache_of(const ggml_tensor *tensor);

// The stream before the layer: what is multiplied for the queries, before it is normalised. Null where there is none.
const ggml_tensor *find_resid_pre(const ggml_tensor *queries, int64_t d_model);

// Something done to what heads write into the stream, from the product with w_o outwards.
struct BranchStep {
    enum Kind {
        // by a number
        SCALE,
        // by a weight for each channel, or one for all
        MULTIPLY,
        ADD_BIAS,
        RMS_NORM,
        // only some rows are kept
        SELECT_ROWS,
    };
    Kind kind;
    const ggml_tensor *node;
    // A weight, or the rows that are kept.
    const ggml_tensor *operand;
};

// How a layer adds to the stream.
struct Block {
    // The product of w_o and what heads made, and all that is done to it before it is added.
    const ggml_tensor *product;
    std::vector<BranchStep> branch;
    // What the MLP adds, each as it is added.
    std::vector<const ggml_tensor *> mlp;
    // Vectors of the model that are added to each position, such as a control vector.
    std::vector<const ggml_tensor *> vectors;
    // The stream between attention and MLP; null where they run in parallel.
    const ggml_tensor *resid_mid;
    // The selection of rows (GET_ROWS) of the stream and of attention, or null: all.
    const ggml_tensor *selected;
};

// How `resid_post` is made of `resid_pre` and attention. Nothing where it is not their sum with something further. Throws Error
// where it is a sum of another kind.
std::optional<Block> find_block(const ggml_tensor *resid_pre, const ggml_tensor *attention_out, const ggml_tensor *resid_post);

// A selection of rows of a tensor of the graph.
bool selects_rows(const ggml_tensor *tensor);

}  // namespace contrib_llama
