// What a server does with a recorder. `recorder_test MODEL.gguf` with the tiny llama of make_models.py.

#include "engine.hpp"
#include "error.hpp"
#include "recorder.hpp"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace contrib_llama;

int n_checks = 0;
int n_failures = 0;

void expect(bool is_so, const char *sentence) {
    n_checks++;
    if (!is_so) {
        n_failures++;
        std::printf("FAILED: %s\n", sentence);
    }
}

// The message of what `run` throws, or "".
std::string thrown_by(const std::function<void()> &run) {
    try {
        run();
    } catch (const std::exception &error) {
        return error.what();
    }
    return "";
}

bool has(const std::string &text, const char *part) { return text.find(part) != std::string::npos; }

struct Session {
    Recorder recorder;
    Context context;

    Session(llama_model *model, int n_ubatch, int n_sequences = 1) : recorder(model) {
        llama_context_params params = llama_context_default_params();
        params.n_ctx = 256;
        params.n_batch = 256;
        params.n_ubatch = static_cast<uint32_t>(n_ubatch);
        params.n_seq_max = static_cast<uint32_t>(n_sequences);
        params.kv_unified = true;
        params.n_threads = params.n_threads_batch = 1;
        params.type_k = params.type_v = GGML_TYPE_F32;
        params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
        recorder.attach(params);
        context.reset(llama_init_from_model(model, params));
    }

    // One call of llama_decode(), which may be several batches of the engine; logits of the last token alone.
    void read(const std::vector<llama_token> &tokens, size_t first, llama_seq_id sequence = 0) {
        llama_batch batch = llama_batch_init(static_cast<int32_t>(tokens.size()), 0, 1);
        batch.n_tokens = static_cast<int32_t>(tokens.size());
        for (size_t i = 0; i < tokens.size(); i++) {
            batch.token[i] = tokens[i];
            batch.pos[i] = static_cast<llama_pos>(first + i);
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = sequence;
            batch.logits[i] = i + 1 == tokens.size();
        }
        const std::string thrown = thrown_by([&] { decode(context.get(), batch, recorder); });
        llama_batch_free(batch);
        if (!thrown.empty()) {
            throw Error(thrown);
        }
    }

    const Recording &recording() const { return recorder.recording(); }
};

std::vector<llama_token> text(size_t n, int seed) {
    std::vector<llama_token> tokens{1};
    for (size_t i = 1; i < n; i++) {
        tokens.push_back(static_cast<llama_token>(3 + (i * 37 + seed) % 256));
    }
    return tokens;
}

// The largest difference of two recordings of the same tokens, by the largest number.
double difference(const Recording &a, const Recording &b) {
    double largest = 0.0, size = 0.0;
    for (size_t i = 0; i < a.layers.size(); i++) {
        // The last layer has the last position alone.
        const size_t first = i + 1 < a.layers.size() ? 0 : a.n_tokens - 1;
        const LayerRecord &one = a.layers[i], &other = b.layers[i];
        for (const auto rows : {&LayerRecord::resid_pre, &LayerRecord::resid_mid, &LayerRecord::mlp_out, &LayerRecord::queries,
                                &LayerRecord::keys, &LayerRecord::values}) {
            for (size_t position = first; position < a.n_tokens; position++) {
                for (size_t j = 0; j < (one.*rows).width; j++) {
                    const double x = (one.*rows).floats(position)[j], y = (other.*rows).floats(position)[j];
                    largest = std::fmax(largest, std::isnan(x) || std::isnan(y) ? INFINITY : std::fabs(x - y));
                    size = std::fmax(size, std::fabs(x));
                }
            }
        }
    }
    return a.n_tokens == b.n_tokens ? largest / size : INFINITY;
}

void a_token_is_the_same_in_a_prompt_in_any_batch_and_generated(llama_model *model) {
    const std::vector<llama_token> tokens = text(50, 0);
    Session whole(model, 256);
    whole.read(tokens, 0);
    expect(whole.recording().n_tokens == 50, "a prompt is recorded");
    for (int n_ubatch : {1, 7, 49}) {
        Session parts(model, n_ubatch);
        parts.read(tokens, 0);
        expect(difference(whole.recording(), parts.recording()) < 1e-5, "a prompt in several batches of the engine is the same");
    }
    Session generated(model, 256);
    generated.read({tokens.begin(), tokens.begin() + 20}, 0);
    for (size_t i = 20; i < tokens.size(); i++) {
        generated.read({tokens[i]}, i);
    }
    expect(difference(whole.recording(), generated.recording()) < 1e-5, "a token that is read alone is the same");
}

void tokens_can_be_taken_back(llama_model *model) {
    const std::vector<llama_token> tokens = text(30, 1);
    Session whole(model, 256), changed(model, 256);
    whole.read(tokens, 0);
    changed.read({tokens.begin(), tokens.begin() + 20}, 0);
    changed.read(text(8, 99), 20);
    llama_memory_seq_rm(llama_get_memory(changed.context.get()), 0, 20, -1);
    changed.recorder.truncate(20);
    changed.read({tokens.begin() + 20, tokens.end()}, 20);
    expect(difference(whole.recording(), changed.recording()) < 1e-5, "tokens that were taken back leave no trace");
}

void nothing_is_recorded_while_it_is_disabled(llama_model *model) {
    Session session(model, 256);
    session.recorder.set_enabled(false);
    session.read(text(10, 2), 0);
    expect(session.recording().n_tokens == 0, "nothing is recorded while it is disabled");
    expect(llama_get_logits_ith(session.context.get(), -1) != nullptr, "the engine works while it is disabled");
    session.recorder.set_enabled(true);
    expect(has(thrown_by([&] { session.read(text(3, 2), 10); }), "cells are no positions"),
           "tokens that were not recorded are noticed");
}

void several_sequences_are_refused(llama_model *model) {
    Session session(model, 256, 2);
    session.read(text(10, 3), 0);
    expect(has(thrown_by([&] { session.read(text(5, 4), 0, 1); }), "cells are no positions"), "a second sequence is refused");
    expect(session.recording().n_tokens == 10, "what was recorded before stays");
    llama_memory_seq_rm(llama_get_memory(session.context.get()), 1, 0, -1);
    session.read(text(5, 4), 10);
    expect(session.recording().n_tokens == 15, "recording goes on when the other sequence is gone");

    Session shared(model, 256, 2);
    shared.read(text(10, 3), 0);
    llama_memory_seq_cp(llama_get_memory(shared.context.get()), 0, 1, 0, 10);
    shared.read(text(5, 4), 10, 1);
    expect(shared.recording().n_tokens == 15, "a sequence that goes on from a shared beginning is one sequence");
}

void a_shifted_cache_is_noticed(llama_model *model) {
    Session session(model, 256);
    session.read(text(20, 5), 0);
    llama_memory_t memory = llama_get_memory(session.context.get());
    llama_memory_seq_rm(memory, 0, 0, 5);
    llama_memory_seq_add(memory, 0, 5, 20, -5);
    expect(!thrown_by([&] { session.read(text(5, 6), 15); }).empty(), "a cache from which tokens were cut is noticed");

    Session moved(model, 256);
    moved.read(text(20, 5), 0);
    llama_memory_seq_add(llama_get_memory(moved.context.get()), 0, 0, 20, 3);
    expect(has(thrown_by([&] { moved.read(text(5, 6), 23); }), "shifted"), "a cache of which all tokens moved is noticed");
}

void a_failed_call_can_be_made_again(llama_model *model) {
    Session session(model, 16);
    const std::vector<llama_token> tokens = text(40, 7);
    int n_calls = 0;
    llama_set_abort_callback(session.context.get(), [](void *calls) { return ++*static_cast<int *>(calls) > 100; }, &n_calls);
    expect(!thrown_by([&] { session.read(tokens, 0); }).empty(), "work that is aborted is an error");
    const size_t n_kept = session.recording().n_tokens;
    expect(n_kept < 40, "what was not finished is not recorded");
    if (n_kept == 40) {
        return;
    }
    llama_set_abort_callback(session.context.get(), nullptr, nullptr);
    llama_memory_seq_rm(llama_get_memory(session.context.get()), 0, static_cast<llama_pos>(n_kept), -1);
    session.read({tokens.begin() + static_cast<long>(n_kept), tokens.end()}, n_kept);
    Session whole(model, 256);
    whole.read(tokens, 0);
    expect(difference(whole.recording(), session.recording()) < 1e-5, "the rest can be read later");
    expect(has(thrown_by([&] { session.read(text(250, 8), 40); }), "longer than the context"), "a full context is said");
}

void two_contexts_are_recorded_in_two_threads(llama_model *model) {
    std::vector<double> differences(2, INFINITY);
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++) {
        threads.emplace_back([&, i] {
            const std::vector<llama_token> tokens = text(40, 10 + i);
            Session once(model, 256), again(model, 3);
            once.read(tokens, 0);
            again.read(tokens, 0);
            differences[i] = difference(once.recording(), again.recording());
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    expect(differences[0] < 1e-5 && differences[1] < 1e-5, "two contexts are recorded at the same time");
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        return 2;
    }
    capture_log();
    const Model model = load_model(argv[1], false);
    for (const auto test : {a_token_is_the_same_in_a_prompt_in_any_batch_and_generated, tokens_can_be_taken_back,
                            nothing_is_recorded_while_it_is_disabled, several_sequences_are_refused, a_shifted_cache_is_noticed,
                            a_failed_call_can_be_made_again, two_contexts_are_recorded_in_two_threads}) {
        const std::string thrown = thrown_by([&] { test(model.get()); });
        expect(thrown.empty(), (thrown + " (" + last_engine_errors() + ")").c_str());
    }
    std::printf("recorder_test: %d checks, %d failed\n", n_checks, n_failures);
    return n_failures != 0;
}
