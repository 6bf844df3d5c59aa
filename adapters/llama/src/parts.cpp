#include "parts.hpp"

#include "error.hpp"
#include "tensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <thread>

// Loops are compiled for the instruction sets of x86-64 that matter, and chosen when the program starts.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define FOR_EACH_PROCESSOR
#endif

namespace contrib_llama {

namespace {

// What a check lets pass, as a fraction of what is compared: sums of float32, and products whose operands are rounded.
constexpr double SUM_TOLERANCE = 1e-5;
constexpr double HALF_TOLERANCE = 2e-2;
constexpr double QUANTISED_TOLERANCE = 0.1;

FOR_EACH_PROCESSOR
float dot(const float *a, const float *b, size_t n) {
    float sums[16] = {0};
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        for (size_t lane = 0; lane < 16; lane++) {
            sums[lane] += a[i + lane] * b[i + lane];
        }
    }
    float sum = 0;
    for (float lane : sums) {
        sum += lane;
    }
    for (; i < n; i++) {
        sum += a[i] * b[i];
    }
    return sum;
}

FOR_EACH_PROCESSOR
void add_scaled(float *to, float factor, const float *from, size_t n) {
    for (size_t i = 0; i < n; i++) {
        to[i] += factor * from[i];
    }
}

// `[rows of positions]` of a tensor with several heads, widened.
std::vector<float> widened(const Rows &rows, size_t n) {
    std::vector<float> all(n * rows.width);
    widen(rows.type, rows.bytes.data(), all.size(), all.data());
    return all;
}

// The attention of a layer on queries, keys and values as float32.
struct Heads {
    const LayerRecord &layer;
    std::vector<float> keys;
    std::vector<float> values;

    Heads(const LayerRecord &layer, size_t n)
        : layer(layer), keys(widened(layer.keys, n)), values(widened(layer.values, n)) {}

    void at(size_t position, float *out) const {
        const size_t d = layer.d(), d_value = layer.d_value(), shared = layer.n_heads / layer.n_kv_heads;
        std::vector<float> query(layer.queries.width);
        layer.queries.widen_row(position, query.data());
        const size_t first = layer.window && position + 1 > layer.window ? position + 1 - layer.window : 0;
        std::vector<float> pattern(position + 1 - first);
        std::fill(out, out + layer.heads_out.width, 0.0f);
        for (size_t head = 0; head < layer.n_heads; head++) {
            const size_t kv_head = head / shared;
            float largest = layer.sinks.empty() ? -std::numeric_limits<float>::infinity() : layer.sinks[head];
            for (size_t i = 0; i < pattern.size(); i++) {
                const float *key = keys.data() + (first + i) * layer.keys.width + kv_head * d;
                double score = layer.scale * dot(query.data() + head * d, key, d);
                if (layer.soft_cap != 0.0) {
                    score = layer.soft_cap * std::tanh(score / layer.soft_cap);
                }
                if (!layer.slopes.empty()) {
                    score -= layer.slopes[head] * static_cast<double>(position - first - i);
                }
                pattern[i] = static_cast<float>(score);
                largest = std::max(largest, pattern[i]);
            }
            double sum = layer.sinks.empty() ? 0.0 : std::exp(layer.sinks[head] - largest);
            for (float &score : pattern) {
                score = std::exp(score - largest);
                sum += score;
            }
            for (size_t i = 0; i < pattern.size(); i++) {
                const float *value = values.data() + (first + i) * layer.values.width + kv_head * d_value;
                add_scaled(out + head * d_value, static_cast<float>(pattern[i] / sum), value, d_value);
            }
        }
    }
};

FOR_EACH_PROCESSOR
void multiply(const float *row, const float *matrix, size_t rows, size_t columns, float *out) {
    for (size_t i = 0; i < rows; i++) {
        const float factor = row[i];
        const float *from = matrix + i * columns;
        for (size_t j = 0; j < columns; j++) {
            out[j] += factor * from[j];
        }
    }
}

double norm(const float *vector, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += static_cast<double>(vector[i]) * vector[i];
    }
    return std::sqrt(sum);
}

double distance(const float *a, const float *b, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
        sum += static_cast<double>(a[i] - b[i]) * (a[i] - b[i]);
    }
    return std::sqrt(sum);
}

[[noreturn]] void fail(const char *what, size_t layer, size_t position, double off, double of) {
    char text[400];
    std::snprintf(text, sizeof(text),
                  "%s of layer %zu at position %zu is not the sum of its parts: it is off by %.3g, where %.3g is added. Routes would "
                  "be wrong, and none are shown",
                  what, layer, position, off, of);
    throw Error(text);
}

// What attention adds at a position, as the engine has it: whole less stream, less MLP where both run in parallel.
std::vector<float> attention_at(const Recording &recording, size_t index, size_t position) {
    const LayerRecord &layer = recording.layers[index];
    const Rows &whole = layer.is_parallel ? recording.resid_post(index) : layer.resid_mid;
    const float *to = whole.floats(position), *from = layer.resid_pre.floats(position);
    const float *mlp = layer.mlp_out.floats(position);
    std::vector<float> added(recording.d_model);
    for (size_t i = 0; i < added.size(); i++) {
        double rest = static_cast<double>(to[i]) - from[i];
        if (layer.is_parallel) {
            rest -= mlp[i];
            rest -= layer.added_vectors.empty() ? 0.0 : layer.added_vectors[i];
        }
        added[i] = static_cast<float>(rest);
    }
    return added;
}

double tolerance_of(const LayerRecord &layer) {
    return ggml_is_quantized(layer.w_o_type) ? QUANTISED_TOLERANCE : HALF_TOLERANCE;
}

}  // namespace

std::vector<float> heads_at(const LayerRecord &layer, size_t position) {
    std::vector<float> out(layer.heads_out.width);
    Heads(layer, position + 1).at(position, out.data());
    return out;
}

std::vector<float> written_at(const LayerRecord &layer, size_t position, const float *heads_out, size_t d_model) {
    std::vector<float> written(d_model, 0.0f);
    multiply(heads_out, layer.w_o.data(), layer.heads_out.width, d_model, written.data());
    if (layer.inverse_rms.width) {
        const float factor = *layer.inverse_rms.floats(position);
        for (float &number : written) {
            number *= factor;
        }
    }
    return written;
}

void check_layer(const Recording &recording, size_t index, size_t first, size_t last, bool with_attention) {
    const LayerRecord &layer = recording.layers[index];
    const size_t d_model = recording.d_model;
    const Rows &resid_post = recording.resid_post(index);
    for (size_t position = first; position < last && !layer.is_parallel; position++) {
        const float *mid = layer.resid_mid.floats(position), *post = resid_post.floats(position);
        const float *mlp = layer.mlp_out.floats(position);
        double off = 0.0, added = 0.0, size = 0.0;
        for (size_t i = 0; i < d_model; i++) {
            const double vector = layer.added_vectors.empty() ? 0.0 : layer.added_vectors[i];
            const double difference = static_cast<double>(post[i]) - mid[i] - mlp[i] - vector;
            off += difference * difference;
            added += static_cast<double>(mlp[i]) * mlp[i];
            size += static_cast<double>(post[i]) * post[i];
        }
        // Positions that were not computed are NaN, and pass.
        if (std::sqrt(off) > SUM_TOLERANCE * (std::sqrt(size) + std::sqrt(added))) {
            fail("resid_post", index, position, std::sqrt(off), std::sqrt(added));
        }
    }
    if (!with_attention || first == last) {
        return;
    }
    const size_t position = last - 1;
    const float *engine = layer.heads_out.floats(position - first);
    const std::vector<float> heads = heads_at(layer, position);
    const double off = distance(engine, heads.data(), heads.size());
    const double size = norm(engine, heads.size());
    if (!(off <= HALF_TOLERANCE * size + 1e-30)) {
        fail("what heads make of the values", index, position, off, size);
    }
    std::vector<float> added = attention_at(recording, index, position);
    std::vector<float> written = written_at(layer, position, engine, d_model);
    const float factor = layer.inverse_rms.width ? *layer.inverse_rms.floats(position) : 1.0f;
    for (size_t i = 0; i < layer.attention_bias.size(); i++) {
        written[i] += factor * layer.attention_bias[i];
    }
    const double rest = distance(added.data(), written.data(), d_model);
    const Rows &whole = layer.is_parallel ? resid_post : layer.resid_mid;
    const double allowed = tolerance_of(layer) * norm(written.data(), d_model) + SUM_TOLERANCE * norm(whole.floats(position), d_model);
    if (rest > allowed) {
        fail(layer.is_parallel ? "resid_post" : "resid_mid", index, position, rest, norm(written.data(), d_model));
    }
}

std::vector<float> rest_of_attention(const Recording &recording, size_t index, const std::vector<size_t> &positions,
                                     size_t n_threads) {
    const LayerRecord &layer = recording.layers[index];
    const size_t d_model = recording.d_model;
    std::vector<float> rest(positions.size() * d_model);
    if (positions.empty()) {
        return rest;
    }
    const Heads heads(layer, *std::max_element(positions.begin(), positions.end()) + 1);
    // Later positions see more: threads take turns.
    const auto work = [&](size_t thread) {
        std::vector<float> out(layer.heads_out.width);
        for (size_t i = thread; i < positions.size(); i += n_threads) {
            heads.at(positions[i], out.data());
            const std::vector<float> written = written_at(layer, positions[i], out.data(), d_model);
            const std::vector<float> added = attention_at(recording, index, positions[i]);
            for (size_t j = 0; j < d_model; j++) {
                rest[i * d_model + j] = added[j] - written[j];
            }
        }
    };
    std::vector<std::thread> threads;
    for (size_t thread = 1; thread < std::min(n_threads, positions.size()); thread++) {
        threads.emplace_back(work, thread);
    }
    work(0);
    for (size_t thread = threads.size() + 1; thread < n_threads; thread++) {
        work(thread);
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    return rest;
}

double rounding_at(const Recording &recording, size_t index, size_t position, const float *rest) {
    const LayerRecord &layer = recording.layers[index];
    const float factor = layer.inverse_rms.width ? *layer.inverse_rms.floats(position) : 1.0f;
    std::vector<float> rounding(rest, rest + recording.d_model);
    for (size_t i = 0; i < layer.attention_bias.size(); i++) {
        rounding[i] -= factor * layer.attention_bias[i];
    }
    const std::vector<float> added = attention_at(recording, index, position);
    return norm(rounding.data(), rounding.size()) / norm(added.data(), added.size());
}

}  // namespace contrib_llama
