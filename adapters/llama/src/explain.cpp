// contrib-explain: the routes to the prediction of a model on disk.

#include "engine.hpp"
#include "error.hpp"
#include "hidden_tokens.hpp"
#include "options.hpp"
#include "routes.hpp"
#include "safetensors.hpp"

#include <ggml-cpu.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <numeric>
#include <tuple>
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
    const std::vector<double> all = log_probabilities(context, i);
    const size_t n_vocab = all.size();
    std::vector<llama_token> order(n_vocab);
    std::iota(order.begin(), order.end(), 0);
    n = std::min(n, n_vocab);
    std::partial_sort(order.begin(), order.begin() + n, order.end(),
                      [&](llama_token a, llama_token b) { return all[a] != all[b] ? all[a] > all[b] : a < b; });
    std::vector<std::pair<llama_token, double>> best;
    for (size_t k = 0; k < n; k++) {
        best.emplace_back(order[k], all[order[k]]);
    }
    return best;
}

// What one run of the program has in its hands.
class Explanation {
public:
    explicit Explanation(const Options &options)
        : options_(options), shows_progress_(isatty(STDERR_FILENO)), model_(load_model(options.model, shows_progress_)),
          recorder_(model_.get()), pool_(make_threadpool(options.n_threads)),
          finder_(recorder_.recording(), static_cast<size_t>(options.n_threads)) {
        char description[128] = "";
        llama_model_desc(model_.get(), description, sizeof(description));
        texts_.model = description;
        texts_.prompt = options.prompt;
        finder_.set_renormalise(options.renormalise);
        tokens_ = tokenise(model_.get(), options.prompt);
        const size_t needed = tokens_.size() + options.n_generate, trained = llama_model_n_ctx_train(model_.get());
        const size_t n_ctx = options.n_ctx ? options.n_ctx : std::min(needed, trained);
        if (needed > n_ctx) {
            throw Error("the prompt has " + std::to_string(tokens_.size()) + " tokens, with " + std::to_string(options.n_generate) +
                        " to generate, and the context " + std::to_string(n_ctx));
        }
        if (options.target && *options.target >= tokens_.size()) {
            throw Error("--target: the prompt has the tokens 0 to " + std::to_string(tokens_.size() - 1));
        }
        context_options_.n_ctx = n_ctx;
        context_options_.n_threads = options.n_threads;
        context_options_.n_ubatch = options.n_ubatch;
        context_options_.flash_attention = options.flash_attention;
        context_options_.cache_type = options.cache_type;
        llama_context_params params = context_params(context_options_);
        recorder_.attach(params);
        context_ = make_context(model_.get(), params, pool_.get());
        recorder_.reserve(needed);
    }

    void run() {
        const size_t last = tokens_.size() - 1;
        const size_t target = options_.target.value_or(last);
        std::vector<std::pair<std::string, double>> of_target;
        const auto on_target = [&](int row) { std::tie(predicted_, of_target) = predict(row); };
        read_tokens(context_.get(), recorder_, tokens_, 0, target, on_target, shows_progress_);
        for (llama_token token : tokens_) {
            texts_.tokens.push_back(piece_of(model_.get(), token));
        }
        print_tokens();
        explain(target, of_target, false);
        if (options_.n_check) {
            check(target);
        }
        std::tie(next_, texts_.next_tokens) = predict(-1);
        const llama_vocab *vocab = llama_model_get_vocab(model_.get());
        for (size_t i = 0; i < options_.n_generate && !llama_vocab_is_eog(vocab, next_); i++) {
            const size_t position = tokens_.size();
            tokens_.push_back(next_);
            texts_.tokens.push_back(piece_of(model_.get(), next_));
            read_tokens(context_.get(), recorder_, {next_}, position, position, [](int) {}, false);
            std::tie(next_, texts_.next_tokens) = predict(-1);
            explain(position, texts_.next_tokens, true);
        }
        write();
    }

private:
    void print_tokens() const {
        std::printf("%zu tokens:", tokens_.size());
        for (size_t i = 0; i < tokens_.size(); i++) {
            std::printf(" %zu %s", i, json_string(texts_.tokens[i]).c_str());
        }
        std::printf("\n");
    }

    // The most likely next token, and the text and probability of some: after row `row` of the last batch, -1 being its last.
    std::pair<llama_token, std::vector<std::pair<std::string, double>>> predict(int row) const {
        const auto best = predictions(context_.get(), row, N_PREDICTIONS);
        std::vector<std::pair<std::string, double>> texts;
        for (const auto &[token, log_probability] : best) {
            texts.emplace_back(piece_of(model_.get(), token), std::exp(log_probability));
        }
        return {best[0].first, texts};
    }

    void explain(size_t target, const std::vector<std::pair<std::string, double>> &predicted, bool in_short) {
        std::printf("\nafter token %zu %s:", target, json_string(texts_.tokens[target]).c_str());
        for (const auto &[token, probability] : predicted) {
            std::printf("  %s %.1f %%", json_string(token).c_str(), 100.0 * probability);
        }
        std::printf("\n");
        // The engine's threads would wait for work as busily as ours do it.
        ggml_threadpool_pause(pool_.get());
        routes_ = finder_.find(target, options_.threshold, [&](double done) {
            if (shows_progress_ && !in_short) {
                show_progress("calculating", done);
            }
            return !is_interrupted;
        });
        ggml_threadpool_resume(pool_.get());
        print_routes(*routes_, texts_, in_short);
        std::fflush(stdout);
    }

    // Whether the prediction needs the tokens that routes lead from.
    void check(size_t target) {
        const std::vector<llama_token> read(tokens_.begin(), tokens_.begin() + static_cast<std::ptrdiff_t>(target) + 1);
        const std::vector<size_t> strongest = strongest_tokens(*routes_, target, options_.n_check);
        if (strongest.empty()) {
            throw Error("--check: routes lead from no other token");
        }
        HiddenTokens engine(model_.get(), context_options_, pool_.get());
        const Check check = check_routes(engine, read, predicted_, strongest);
        std::printf("  hidden from later tokens, and how far the log-probability of %s falls (nats):\n",
                    json_string(piece_of(model_.get(), predicted_)).c_str());
        for (const Fall &fall : check.alone) {
            std::printf("    %zu %s  %.2f\n", fall.hidden[0], json_string(texts_.tokens[fall.hidden[0]]).c_str(), fall.nats);
        }
        std::printf("    all of these  %.2f\n    as many by chance  %.2f\n", check.together.nats, check.by_chance);
        std::fflush(stdout);
    }

    void write() {
        const Recording &recording = recorder_.recording();
        std::printf("\nrecorded: %zu tokens, %zu bytes a token and layer; the engine's rounding is at most %.2g of what attention adds\n",
                    recording.n_tokens, recording.bytes_per_token_and_layer(), finder_.largest_rounding());
        if (!options_.html.empty()) {
            write_routes(options_.html, CONTRIB_FORMAT_HTML, *routes_, texts_);
            std::printf("%s: a page to explore the routes\n", options_.html.c_str());
        }
        if (!options_.json.empty()) {
            write_routes(options_.json, CONTRIB_FORMAT_JSON, *routes_, texts_);
        }
        if (!options_.record.empty()) {
            ggml_threadpool_pause(pool_.get());
            write_safetensors(options_.record, recorder_.recording(), texts_, {tokens_.begin(), tokens_.end()},
                              static_cast<size_t>(options_.n_threads));
            ggml_threadpool_resume(pool_.get());
        }
    }

    Options options_;
    ContextOptions context_options_;
    bool shows_progress_;
    // Freed in the opposite order.
    Model model_;
    Recorder recorder_;
    Threadpool pool_;
    Context context_;
    RouteFinder finder_;
    Routes routes_;
    std::vector<llama_token> tokens_;
    Texts texts_;
    // After the target, and after the last token.
    llama_token predicted_ = 0;
    llama_token next_ = 0;
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
