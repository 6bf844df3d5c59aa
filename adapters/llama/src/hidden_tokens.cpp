#include "hidden_tokens.hpp"

#include "error.hpp"
#include "graph.hpp"
#include "tensors.hpp"

#include <ggml-backend.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace contrib_llama {

namespace {

constexpr int N_CHANCES = 5;
// Choices are the same in each run.
constexpr unsigned SEED = 1;

}  // namespace

HiddenTokens::HiddenTokens(llama_model *model, const ContextOptions &options, ggml_threadpool *pool)
    : n_ubatch_(static_cast<size_t>(options.n_ubatch)) {
    llama_context_params params = context_params(options);
    params.cb_eval = callback;
    params.cb_eval_user_data = this;
    context_ = make_context(model, params, pool);
}

bool HiddenTokens::callback(ggml_tensor *node, bool ask, void *self) {
    HiddenTokens &engine = *static_cast<HiddenTokens *>(self);
    if (!ask) {
        return engine.failure_.empty();
    }
    try {
        const auto pattern = find_pattern(node);
        if (pattern && engine.failure_.empty()) {
            engine.hide(pattern->mask);
        }
    } catch (const std::exception &error) {
        engine.failure_ = error.what();
    }
    return !engine.failure_.empty();
}

// Takes hidden tokens out of a mask, before attention reads it.
void HiddenTokens::hide(const ggml_tensor *mask) {
    if (hidden_.empty() || std::find(changed_.begin(), changed_.end(), mask) != changed_.end()) {
        return;
    }
    changed_.push_back(mask);
    const size_t n_cells = mask->ne[0], n_tokens = std::min<size_t>(mask->ne[1], n_ubatch_);
    const float never = -std::numeric_limits<float>::infinity();
    std::vector<float> row(n_cells);
    for (size_t token = 0; token < n_tokens; token++) {
        const size_t position = first_ + token;
        const HostBytes bytes(mask);
        widen(mask->type, bytes.at(token * mask->nb[1]), n_cells, row.data());
        // In a cache that was never written to before, tokens are in the cells of their positions.
        const bool is_in_order = position < n_cells && row[position] != never &&
                                 std::all_of(row.begin() + static_cast<std::ptrdiff_t>(position) + 1, row.end(),
                                             [never](float number) { return number == never; });
        if (!is_in_order) {
            throw Error("the prompt is too long to hide tokens from a model with sliding windows, whose cells are used again");
        }
        for (size_t cell : hidden_) {
            if (cell < position) {
                const size_t offset = token * mask->nb[1] + cell * mask->nb[0];
                const ggml_fp16_t half = ggml_fp32_to_fp16(never);
                const void *number = mask->type == GGML_TYPE_F16 ? static_cast<const void *>(&half) : &never;
                ggml_backend_tensor_set(const_cast<ggml_tensor *>(mask), number, offset, ggml_type_size(mask->type));
            }
        }
    }
}

double HiddenTokens::log_probability(const std::vector<llama_token> &tokens, const std::vector<size_t> &hidden, llama_token next) {
    llama_memory_clear(llama_get_memory(context_.get()), true);
    hidden_ = hidden;
    failure_.clear();
    for (size_t begin = 0; begin < tokens.size(); begin += n_ubatch_) {
        const size_t end = std::min(tokens.size(), begin + n_ubatch_);
        std::vector<llama_token> some(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                      tokens.begin() + static_cast<std::ptrdiff_t>(end));
        first_ = begin;
        changed_.clear();
        // Its logits are those of its last token.
        const int status = llama_decode(context_.get(), llama_batch_get_one(some.data(), static_cast<int32_t>(some.size())));
        if (is_interrupted) {
            throw Error("stopped");
        }
        if (status != 0 || !failure_.empty()) {
            throw Error(failure_.empty() ? "the engine could not read the tokens again: " + last_engine_errors() : failure_);
        }
    }
    return log_probabilities(context_.get(), -1)[static_cast<size_t>(next)];
}

Check check_routes(HiddenTokens &engine, const std::vector<llama_token> &tokens, llama_token next,
                   const std::vector<size_t> &strongest) {
    const double all = engine.log_probability(tokens, {}, next);
    const auto fall = [&](const std::vector<size_t> &hidden) { return all - engine.log_probability(tokens, hidden, next); };
    Check check;
    for (size_t position : strongest) {
        check.alone.push_back({{position}, fall({position})});
    }
    check.together = {strongest, fall(strongest)};
    // The last token is seen by itself alone.
    std::vector<size_t> positions;
    for (size_t position = 0; position + 1 < tokens.size(); position++) {
        positions.push_back(position);
    }
    std::mt19937 random(SEED);
    double sum = 0.0;
    for (int chance = 0; chance < N_CHANCES; chance++) {
        for (size_t i = 0; i < strongest.size(); i++) {
            std::swap(positions[i], positions[i + random() % (positions.size() - i)]);
        }
        sum += fall({positions.begin(), positions.begin() + static_cast<std::ptrdiff_t>(strongest.size())});
    }
    check.by_chance = sum / N_CHANCES;
    return check;
}

}  // namespace contrib_llama
