// A model and a context of the engine, and its errors as sentences.
#pragma once

#include "recorder.hpp"

#include <llama.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

struct ggml_threadpool;

namespace contrib_llama {

// Set by a signal handler: loading and reading end soon.
extern std::atomic<bool> is_interrupted;

// Sends the engine's messages to a list of its last errors instead of the terminal.
void capture_log();

// A line on the terminal that is overwritten by the next, and goes when all is done.
void show_progress(const char *what, double fraction);

struct ModelDeleter {
    void operator()(llama_model *model) const { llama_model_free(model); }
};
struct ContextDeleter {
    void operator()(llama_context *context) const { llama_free(context); }
};
struct ThreadpoolDeleter {
    void operator()(ggml_threadpool *pool) const;
};
using Model = std::unique_ptr<llama_model, ModelDeleter>;
using Context = std::unique_ptr<llama_context, ContextDeleter>;
using Threadpool = std::unique_ptr<ggml_threadpool, ThreadpoolDeleter>;

// Loads a model so that its weights can be read, with progress on the terminal. Throws Error with the engine's reason.
Model load_model(const std::string &path, bool shows_progress);

struct ContextOptions {
    size_t n_ctx = 0;
    int n_threads = 0;
    int n_ubatch = 512;
    llama_flash_attn_type flash_attention = LLAMA_FLASH_ATTN_TYPE_AUTO;
    ggml_type cache_type = GGML_TYPE_F16;
};

// The engine's parameters of these options.
llama_context_params context_params(const ContextOptions &options);

// A context that uses the threads of `pool`. Throws Error with the engine's reason.
Context make_context(llama_model *model, const llama_context_params &params, ggml_threadpool *pool);

Threadpool make_threadpool(int n_threads);

std::vector<llama_token> tokenise(const llama_model *model, const std::string &text);

// The text of a token; bytes that are no UTF-8 are kept.
std::string piece_of(const llama_model *model, llama_token token);

// Reads tokens into the context, of which `first` is the position of the first. What comes after `target`, one of them, and the
// last is predicted; `on_target` is called when the engine has the logits of `target`, with its number in the batch. Shows
// progress where asked to.
void read_tokens(llama_context *context, Recorder &recorder, const std::vector<llama_token> &tokens, size_t first, size_t target,
                 const std::function<void(int)> &on_target, bool shows_progress);

// The log-probabilities of all tokens after row `row` of the last batch; -1 is its last.
std::vector<double> log_probabilities(llama_context *context, int row);

// The last errors of the engine, one after the other; empty where there are none.
std::string last_engine_errors();

}  // namespace contrib_llama
