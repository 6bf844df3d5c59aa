// What recording and routes cost beside the engine's own work.
//
//     bench MODEL.gguf [THREADS [TOKENS ...]]
//
// With one thread, times are those of the processor, which other programs disturb less; with more, those of the clock.
//
// A prompt: the engine alone, the engine with a recorder, and then the routes to its last token. One new token after it: the same.
// Each is the shortest of some runs, which take turns. Ratios are to the engine's time.

#include "engine.hpp"
#include "error.hpp"
#include "recorder.hpp"
#include "routes.hpp"

#include <ggml-cpu.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace {

using namespace contrib_llama;

constexpr int N_RUNS = 3;
constexpr int N_NEW_TOKENS = 8;
constexpr double THRESHOLD = 0.04;

bool is_of_processor = false;

double now() {
    const auto clock = std::chrono::steady_clock::now().time_since_epoch();
    return is_of_processor ? static_cast<double>(std::clock()) / CLOCKS_PER_SEC : std::chrono::duration<double>(clock).count();
}

double seconds(const std::function<void()> &run) {
    const double start = now();
    run();
    return now() - start;
}

// A text of so many tokens, which a model of English reads as one.
std::vector<llama_token> text(const llama_model *model, size_t n) {
    const char *sentences[] = {"The capital of France is Paris, and that of Germany is Berlin. ",
                               "Once upon a time there was a little girl who lived in a village near the forest. ",
                               "Water boils at a hundred degrees, unless you are on a mountain. "};
    std::string all;
    std::vector<llama_token> tokens;
    for (size_t i = 0; tokens.size() < n; i++) {
        all += sentences[i % 3];
        tokens = tokenise(model, all);
    }
    tokens.resize(n);
    return tokens;
}

// A context, a recorder and what finds routes.
struct Session {
    Recorder recorder;
    RouteFinder finder;
    Context context;

    Session(llama_model *model, ggml_threadpool *pool, int n_threads, size_t n_ctx)
        : recorder(model), finder(recorder.recording(), static_cast<size_t>(n_threads)) {
        ContextOptions options;
        options.n_ctx = n_ctx;
        options.n_threads = n_threads;
        llama_context_params params = context_params(options);
        recorder.attach(params);
        context = make_context(model, params, pool);
        recorder.reserve(n_ctx);
    }

    void clear() {
        llama_memory_clear(llama_get_memory(context.get()), true);
        recorder.truncate(0);
        finder.truncate(0);
    }

    void read(const std::vector<llama_token> &tokens, size_t first) {
        read_tokens(context.get(), recorder, tokens, first, first + tokens.size() - 1, [](int) {}, false);
    }
};

struct Times {
    double plain = std::numeric_limits<double>::infinity();
    double recorded = std::numeric_limits<double>::infinity();
    double routes = std::numeric_limits<double>::infinity();

    void print(const char *what, size_t n) const {
        std::printf("%-10s %5zu  %9.1f ms  %9.1f ms  %9.1f ms   %5.2f  %5.2f\n", what, n, 1e3 * plain, 1e3 * recorded, 1e3 * routes,
                    recorded / plain - 1.0, (recorded + routes) / plain - 1.0);
        std::fflush(stdout);
    }
};

void measure(llama_model *model, ggml_threadpool *pool, int n_threads, size_t n) {
    const std::vector<llama_token> tokens = text(model, n + N_NEW_TOKENS);
    const std::vector<llama_token> prompt(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n));
    Session recorded(model, pool, n_threads, n + N_NEW_TOKENS);
    ContextOptions options;
    options.n_ctx = n + N_NEW_TOKENS;
    options.n_threads = n_threads;
    Recorder idle(model);
    const Context plain = make_context(model, context_params(options), pool);
    const auto read_plain = [&](const std::vector<llama_token> &some, size_t first) {
        read_tokens(plain.get(), idle, some, first, first + some.size() - 1, [](int) {}, false);
    };
    const auto find = [&](size_t target) {
        ggml_threadpool_pause(pool);
        const double time = seconds([&] { recorded.finder.find(target, THRESHOLD, [](double) { return true; }); });
        ggml_threadpool_resume(pool);
        return time;
    };
    Times of_prompt, of_token;
    for (int run = 0; run < N_RUNS; run++) {
        llama_memory_clear(llama_get_memory(plain.get()), true);
        recorded.clear();
        of_prompt.plain = std::min(of_prompt.plain, seconds([&] { read_plain(prompt, 0); }));
        of_prompt.recorded = std::min(of_prompt.recorded, seconds([&] { recorded.read(prompt, 0); }));
        of_prompt.routes = std::min(of_prompt.routes, find(n - 1));
        for (size_t i = n; i < tokens.size(); i++) {
            of_token.plain = std::min(of_token.plain, seconds([&] { read_plain({tokens[i]}, i); }));
            of_token.recorded = std::min(of_token.recorded, seconds([&] { recorded.read({tokens[i]}, i); }));
            of_token.routes = std::min(of_token.routes, find(i));
        }
    }
    of_prompt.print("prompt", n);
    of_token.print("one token", n);
}

}  // namespace

int main(int argc, char **argv) {
    if (argc < 2) {
        std::fputs("bench MODEL.gguf [THREADS [TOKENS ...]]\n", stderr);
        return 2;
    }
    try {
        capture_log();
        const int n_threads = argc > 2 ? std::atoi(argv[2]) : 2;
        is_of_processor = n_threads == 1;
        std::vector<size_t> sizes;
        for (int i = 3; i < argc; i++) {
            sizes.push_back(static_cast<size_t>(std::atoi(argv[i])));
        }
        const Model model = load_model(argv[1], false);
        const Threadpool pool = make_threadpool(n_threads);
        std::printf("%d threads, threshold %g; shortest of %d runs\n", n_threads, THRESHOLD, N_RUNS);
        std::printf("           tokens  engine alone      recorded        routes   ratios: recorded, all\n");
        for (size_t n : sizes.empty() ? std::vector<size_t>{64, 256, 512, 1024, 2048} : sizes) {
            measure(model.get(), pool.get(), n_threads, n);
        }
        return 0;
    } catch (const std::exception &error) {
        std::fprintf(stderr, "bench: %s\n", error.what());
        return 1;
    }
}
