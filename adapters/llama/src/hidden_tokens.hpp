// How a prediction changes where later tokens may not see some tokens: whether routes hold.
#pragma once

#include "engine.hpp"

#include <vector>

namespace contrib_llama {

// A context of its own, with the same model, in which tokens are hidden in the engine's masks.
class HiddenTokens {
public:
    // For prompts of so many tokens as `options` has room for. Throws Error where there is no memory.
    HiddenTokens(llama_model *model, const ContextOptions &options, ggml_threadpool *pool);

    // The log-probability of `next` after the last of `tokens`, where no token but itself sees those at `hidden`.
    double log_probability(const std::vector<llama_token> &tokens, const std::vector<size_t> &hidden, llama_token next);

private:
    static bool callback(ggml_tensor *node, bool ask, void *self);
    void hide(const ggml_tensor *mask);

    size_t n_ubatch_;
    Context context_;
    std::vector<size_t> hidden_;
    // The position of the first token of the batch.
    size_t first_ = 0;
    std::vector<const ggml_tensor *> changed_;
    std::string failure_;
};

// How far the log-probability of a prediction falls where tokens are hidden.
struct Fall {
    std::vector<size_t> hidden;
    double nats;
};

// Of the `n` strongest tokens, each alone and all together, and of as many tokens by chance, on average over some choices.
struct Check {
    std::vector<Fall> alone;
    Fall together;
    double by_chance;
};
Check check_routes(HiddenTokens &engine, const std::vector<llama_token> &tokens, llama_token next,
                   const std::vector<size_t> &strongest);

}  // namespace contrib_llama
