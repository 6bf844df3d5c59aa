#include "engine.hpp"

#include "error.hpp"

#include <ggml-cpu.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <deque>
#include <mutex>

namespace contrib_llama {

std::atomic<bool> is_interrupted{false};

namespace {

std::mutex log_mutex;
std::deque<std::string> errors;

void keep_errors(ggml_log_level level, const char *text, void *) {
    if (level != GGML_LOG_LEVEL_ERROR) {
        return;
    }
    const std::lock_guard<std::mutex> lock(log_mutex);
    errors.emplace_back(text);
    while (errors.size() > 4) {
        errors.pop_front();
    }
}

Error engine_error(const std::string &what) {
    const std::string reason = last_engine_errors();
    return Error(reason.empty() ? what : what + ": " + reason);
}

bool on_loading(float fraction, void *shows_progress) {
    if (*static_cast<bool *>(shows_progress)) {
        show_progress("loading", fraction);
    }
    return !is_interrupted;
}

}  // namespace

void show_progress(const char *what, double fraction) {
    std::fprintf(stderr, "\r%s %3.0f %%%s", what, 100.0 * fraction, fraction >= 1.0 ? "\r\033[K" : "");
    std::fflush(stderr);
}

void capture_log() { llama_log_set(keep_errors, nullptr); }

std::string last_engine_errors() {
    const std::lock_guard<std::mutex> lock(log_mutex);
    std::string all;
    for (std::string line : errors) {
        while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) {
            line.pop_back();
        }
        all += (all.empty() ? "" : "; ") + line;
    }
    return all;
}

void ThreadpoolDeleter::operator()(ggml_threadpool *pool) const { ggml_threadpool_free(pool); }

Model load_model(const std::string &path, bool shows_progress) {
    llama_model_params params = llama_model_default_params();
    // Repacked weights could not be read, and w_o is.
    params.use_extra_bufts = false;
    params.progress_callback = on_loading;
    params.progress_callback_user_data = &shows_progress;
    Model model(llama_model_load_from_file(path.c_str(), params));
    if (!model) {
        throw is_interrupted ? Error("stopped") : engine_error("the engine could not load " + path);
    }
    return model;
}

Threadpool make_threadpool(int n_threads) {
    ggml_threadpool_params params = ggml_threadpool_params_default(n_threads);
    Threadpool pool(ggml_threadpool_new(&params));
    if (!pool) {
        throw Error("the engine could not start its threads");
    }
    return pool;
}

llama_context_params context_params(const ContextOptions &options) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = static_cast<uint32_t>(options.n_ctx);
    params.n_batch = static_cast<uint32_t>(options.n_ctx);
    params.n_ubatch = static_cast<uint32_t>(options.n_ubatch);
    params.n_threads = params.n_threads_batch = options.n_threads;
    params.flash_attn_type = options.flash_attention;
    params.type_k = params.type_v = options.cache_type;
    params.abort_callback = [](void *) -> bool { return is_interrupted; };
    return params;
}

Context make_context(llama_model *model, const llama_context_params &params, ggml_threadpool *pool) {
    Context context(llama_init_from_model(model, params));
    if (!context) {
        throw engine_error("the engine could not make a context of " + std::to_string(params.n_ctx) + " tokens");
    }
    llama_attach_threadpool(context.get(), pool, pool);
    return context;
}

std::vector<double> log_probabilities(llama_context *context, int row) {
    const size_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)));
    const float *logits = llama_get_logits_ith(context, row);
    if (!logits) {
        throw Error("the engine has no prediction for the token");
    }
    const double largest = *std::max_element(logits, logits + n_vocab);
    double sum = 0.0;
    for (size_t token = 0; token < n_vocab; token++) {
        sum += std::exp(logits[token] - largest);
    }
    std::vector<double> all(n_vocab);
    std::transform(logits, logits + n_vocab, all.begin(), [&](float logit) { return logit - largest - std::log(sum); });
    return all;
}

std::vector<llama_token> tokenise(const llama_model *model, const std::string &text) {
    const llama_vocab *vocab = llama_model_get_vocab(model);
    std::vector<llama_token> tokens(text.size() + 8);
    int n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                           static_cast<int32_t>(tokens.size()), true, true);
    if (n < 0) {
        tokens.resize(-n);
        n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                           static_cast<int32_t>(tokens.size()), true, true);
    }
    if (n <= 0) {
        throw Error("the prompt has no tokens");
    }
    tokens.resize(n);
    return tokens;
}

std::string piece_of(const llama_model *model, llama_token token) {
    const llama_vocab *vocab = llama_model_get_vocab(model);
    std::string piece(64, '\0');
    int n = llama_token_to_piece(vocab, token, &piece[0], static_cast<int32_t>(piece.size()), 0, true);
    if (n < 0) {
        piece.resize(-n);
        n = llama_token_to_piece(vocab, token, &piece[0], static_cast<int32_t>(piece.size()), 0, true);
    }
    piece.resize(std::max(n, 0));
    return piece;
}

void read_tokens(llama_context *context, Recorder &recorder, const std::vector<llama_token> &tokens, size_t first, size_t target,
                 const std::function<void(int)> &on_target, bool shows_progress) {
    const size_t n_batch = llama_n_ubatch(context);
    llama_batch batch = llama_batch_init(static_cast<int32_t>(n_batch), 0, 1);
    const std::unique_ptr<llama_batch, void (*)(llama_batch *)> guard(&batch, [](llama_batch *each) { llama_batch_free(*each); });
    for (size_t begin = 0; begin < tokens.size(); begin += n_batch) {
        const size_t end = std::min(tokens.size(), begin + n_batch);
        batch.n_tokens = static_cast<int32_t>(end - begin);
        for (size_t i = begin; i < end; i++) {
            const size_t position = first + i, at = i - begin;
            batch.token[at] = tokens[i];
            batch.pos[at] = static_cast<llama_pos>(position);
            batch.n_seq_id[at] = 1;
            batch.seq_id[at][0] = 0;
            batch.logits[at] = i + 1 == tokens.size() || position == target;
        }
        decode(context, batch, recorder);
        if (is_interrupted) {
            throw Error("stopped");
        }
        if (target >= first + begin && target < first + end) {
            on_target(static_cast<int>(target - first - begin));
        }
        if (shows_progress && tokens.size() > n_batch) {
            show_progress("reading", static_cast<double>(end) / tokens.size());
        }
    }
}

}  // namespace contrib_llama
