// Records a running llama.cpp context, by its evaluation callback.
//
//     contrib_llama::Recorder recorder(model);
//     recorder.attach(context_params);                   // before llama_init_from_model
//     ...
//     contrib_llama::decode(context, batch, recorder);   // or llama_decode(), then recorder.finish()
//
// It records one sequence, whose tokens come in order, in any batches. It never guesses: where the graph is not what routes know,
// or does not add up, finish() throws Error, and what the call added is forgotten.
#pragma once

#include "graph.hpp"
#include "recording.hpp"

#include <llama.h>

#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace contrib_llama {

class Recorder {
public:
    // Throws Error for models whose stream is no sum of what their layers add. The model must live as long.
    explicit Recorder(const llama_model *model);
    ~Recorder();
    Recorder(const Recorder &) = delete;
    Recorder &operator=(const Recorder &) = delete;

    // Sets the callback of a context that is about to be made. One recorder is for one context.
    void attach(llama_context_params &params);

    // Memory for so many tokens is taken at once, when the first comes.
    void reserve(size_t n_tokens);

    // After llama_decode(): throws Error where something could not be recorded.
    void finish();

    // To be called when tokens from this one on were removed from the context (llama_memory_seq_rm).
    void truncate(size_t n_tokens);

    // While false, nothing is recorded, and the engine runs as if there were no recorder. Tokens that are then decoded must be
    // removed from the context before recording goes on.
    void set_enabled(bool is_enabled) { is_enabled_ = is_enabled; }

    const Recording &recording() const { return recording_; }

private:
    // A copy of a tensor that may be overwritten before it is known what it is.
    struct Copy {
        size_t offset;
        size_t n_rows;
        std::vector<float> numbers;
        // Which rows it selects, of those that do.
        std::vector<int64_t> selected;
    };
    // What the nodes after a layer's attention were, and which of them were needed.
    struct Plan {
        std::vector<ggml_op> ops;
        std::vector<bool> is_needed;
        bool is_known = false;
    };

    static bool callback(ggml_tensor *node, bool ask, void *self);
    bool ask(const ggml_tensor *node);
    void computed(const ggml_tensor *node);
    bool wants(const ggml_tensor *node);
    bool changes_cache(const ggml_tensor *node) const;
    bool multiplies_queries(const ggml_tensor *node) const;
    bool may_be_added(const ggml_tensor *node) const;

    void begin_layer(const AttentionNodes &attention);
    void end_layer(const ggml_tensor *resid_post);
    void end_graph();
    void read_weights(LayerRecord &layer, const Block &block);
    void read_heads(LayerRecord &layer, const AttentionNodes &attention);
    void check_mask(size_t layer, const AttentionNodes &attention);
    const std::vector<int64_t> &place_tokens(size_t layer, const AttentionNodes &attention);
    const Copy &copy_of(const ggml_tensor *node, Plan &plan);
    void add_rows(Rows &rows, const Copy &copy, const std::vector<int64_t> *positions);
    void forget_graph();

    const llama_model *model_;
    Recording recording_;
    bool is_enabled_ = true;
    std::string failure_;

    // The graph that is being computed.
    int layer_ = -1;
    size_t offset_ = 0;
    size_t n_new_ = 0;
    bool is_following_plan_ = false;
    bool is_last_complete_ = false;
    AttentionNodes attention_{};
    // Queries, `[pos, head, d]`, that may be overwritten before attention is computed.
    std::vector<float> queries_;
    const ggml_tensor *resid_pre_ = nullptr;
    std::unordered_map<const ggml_tensor *, Copy> copies_;
    // Of each cache, which cells the batch is written to; and of each list of cells, what it says.
    std::unordered_map<const ggml_tensor *, const ggml_tensor *> written_;
    std::unordered_map<const ggml_tensor *, std::vector<int64_t>> cells_;
    // The first layer with each mask.
    std::unordered_map<const ggml_tensor *, size_t> checked_masks_;

    // All caches that were ever written to.
    std::unordered_set<const ggml_tensor *> caches_;

    // Of each layer.
    std::vector<Plan> plans_;
    std::vector<std::vector<int32_t>> position_of_cell_;
    std::vector<bool> has_weights_;
    // What its tokens were seen to see: not all before them, or more than a window.
    struct Seen {
        std::vector<bool> is_windowed;
        std::vector<bool> is_full;
    };
    Seen seen_;
    // The same before the graph that is being computed.
    Seen seen_before_;
    size_t graphs_since_check_ = 0;
};

// llama_decode() and Recorder::finish(). Throws Error with the engine's reason.
void decode(llama_context *context, const llama_batch &batch, Recorder &recorder);

}  // namespace contrib_llama
