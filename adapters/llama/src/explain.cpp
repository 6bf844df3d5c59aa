// contrib-explain: the routes to the prediction of a model on disk.

#include "engine.hpp"
#include "error.hpp"
#include "options.hpp"
#include "safetensors.hpp"

#include <ggml-cpu.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <numeric>
#include <unistd.h>

namespace {

using namespace contrib_llama;

constexpr size_t N_PREDICTIONS = 5;

void on_signal(int) {
    // The second Ctrl-C ends the program at once.
    if (is_interrupted.exchange(true)) {
        std::_Exit(130);
    }
}

// The most likely next tokens with their log-probabilities, from the logits of row `i` of the last batch.
std::vector<std::pair<llama_token, double>> predictions(llama_context *context, int i, size_t n) {
    const llama_model *model = llama_get_model(context);
    const size_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    const float *logits = llama_get_logits_ith(context, i);
    if (!logits) {
        throw Error("the engine has no prediction for the token");
    }
    const double largest = *std::max_element(logits, logits + n_vocab);
    double sum = 0.0;
    for (size_t token = 0; token < n_vocab; token++) {
        sum += std::exp(logits[token] - largest);
    }
    std::vector<llama_token> order(n_vocab);
    std::iota(order.begin(), order.end(), 0);
    n = std::min(n, n_vocab);
    std::partial_sort(order.begin(), order.begin() + n, order.end(),
                      [&](llama_token a, llama_token b) { return logits[a] > logits[b] || (logits[a] == logits[b] && a < b); });
    std::vector<std::pair<llama_token, double>> best;
    for (size_t k = 0; k < n; k++) {
        best.emplace_back(order[k], logits[order[k]] - largest - std::log(sum));
    }
    return best;
}

// What one run of the program has in its hands.
class Explanation {
public:
    explicit Explanation(const Options &options)
        : options_(options), shows_progress_(isatty(STDERR_FILENO)), model_(load_model(options.model, shows_progress_)),
          recorder_(model_.get()), pool_(make_threadpool(options.n_threads)) {
        tokens_ = tokenise(model_.get(), options.prompt);
        const size_t needed = tokens_.size() + options.n_generate, trained = llama_model_n_ctx_train(model_.get());
        const size_t n_ctx = options.n_ctx ? options.n_ctx : needed;
        if (tokens_.size() > n_ctx || needed > std::max(n_ctx, trained)) {
            throw Error("the prompt has " + std::to_string(tokens_.size()) + " tokens, with " + std::to_string(options.n_generate) +
                        " to generate, and the context " + std::to_string(std::min(n_ctx, trained)));
        }
        if (options.target && *options.target >= tokens_.size()) {
            throw Error("--target: the prompt has the tokens 0 to " + std::to_string(tokens_.size() - 1));
        }
        ContextOptions context;
        context.n_ctx = n_ctx;
        context.n_threads = options.n_threads;
        context.n_ubatch = options.n_ubatch;
        context.flash_attention = options.flash_attention;
        context.cache_type = options.cache_type;
        context_ = make_context(model_.get(), context, &recorder_, pool_.get());
        recorder_.reserve(needed);
    }

    void run() {
        const size_t last = tokens_.size() - 1;
        const size_t target = options_.target.value_or(last);
        read_tokens(context_.get(), recorder_, tokens_, 0, {target}, shows_progress_);
        print_tokens();
        // The target's logits are those of its row in its batch; the last batch is all that the engine still has.
        const size_t begin = last / options_.n_ubatch * options_.n_ubatch;
        if (target >= begin) {
            print_predictions(target, static_cast<int>(target - begin));
        }
        llama_token next = predictions(context_.get(), -1, 1)[0].first;
        const llama_vocab *vocab = llama_model_get_vocab(model_.get());
        for (size_t i = 0; i < options_.n_generate && !llama_vocab_is_eog(vocab, next); i++) {
            read_tokens(context_.get(), recorder_, {next}, tokens_.size(), {}, false);
            tokens_.push_back(next);
            print_predictions(tokens_.size() - 1, -1);
            next = predictions(context_.get(), -1, 1)[0].first;
        }
        std::printf("recorded %zu bytes a token and layer\n", recorder_.recording().bytes_per_token_and_layer());
        if (!options_.record.empty()) {
            record();
        }
    }

private:
    std::string piece(llama_token token) const { return json_string(piece_of(model_.get(), token)); }

    void print_tokens() const {
        std::printf("%zu tokens:", tokens_.size());
        for (llama_token token : tokens_) {
            std::printf(" %s", piece(token).c_str());
        }
        std::printf("\n");
    }

    void print_predictions(size_t position, int row) {
        std::printf("after token %zu, %s:", position, piece(tokens_[position]).c_str());
        for (const auto &[token, log_probability] : predictions(context_.get(), row, N_PREDICTIONS)) {
            std::printf("  %s %.1f %%", piece(token).c_str(), 100.0 * std::exp(log_probability));
        }
        std::printf("\n");
        std::fflush(stdout);
    }

    void record() {
        Facts facts;
        char description[128] = "";
        llama_model_desc(model_.get(), description, sizeof(description));
        facts.model = description;
        facts.prompt = options_.prompt;
        facts.token_ids.assign(tokens_.begin(), tokens_.end());
        for (llama_token token : tokens_) {
            facts.tokens.push_back(piece_of(model_.get(), token));
        }
        for (const auto &[token, log_probability] : predictions(context_.get(), -1, N_PREDICTIONS)) {
            facts.next_tokens.emplace_back(piece_of(model_.get(), token), log_probability);
        }
        ggml_threadpool_pause(pool_.get());
        const double rounding = write_safetensors(options_.record, recorder_.recording(), facts, options_.n_threads);
        ggml_threadpool_resume(pool_.get());
        std::printf("%s: written; the engine's rounding is at most %.2g of what attention adds\n", options_.record.c_str(), rounding);
    }

    Options options_;
    bool shows_progress_;
    // Freed in the opposite order.
    Model model_;
    Recorder recorder_;
    Threadpool pool_;
    Context context_;
    std::vector<llama_token> tokens_;
};

}  // namespace

int main(int argc, char **argv) {
    try {
        const Options options = parse_options(argc, argv);
        if (options.is_help) {
            std::fputs(USAGE, stdout);
            return 0;
        }
        std::signal(SIGINT, on_signal);
        std::signal(SIGTERM, on_signal);
        capture_log();
        Explanation(options).run();
        return 0;
    } catch (const std::bad_alloc &) {
        std::fputs("contrib-explain: there is not enough memory\n", stderr);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "contrib-explain: %s\n", error.what());
    }
    return is_interrupted ? 130 : 1;
}
