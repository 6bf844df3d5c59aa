#include "routes.hpp"

#include "error.hpp"
#include "parts.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>

namespace contrib_llama {

namespace {

Error contrib_error(const std::string &what) { return Error(what + ": " + contrib_last_error_message()); }

contrib::Tensor stream(const Rows &rows, size_t n) { return {rows.bytes.data(), CONTRIB_F32, n, rows.width}; }

contrib::Tensor heads(const Rows &rows, size_t n, size_t n_heads) {
    const contrib_dtype dtype = rows.type == GGML_TYPE_F16 ? CONTRIB_F16 : CONTRIB_F32;
    return {rows.bytes.data(), dtype, n, n_heads, rows.width / n_heads};
}

contrib::Tensor of_heads(const std::vector<float> &numbers) { return {numbers.data(), CONTRIB_F32, numbers.size()}; }

contrib_text text_of(const std::string &text) { return {text.data(), text.size()}; }

}  // namespace

RouteFinder::RouteFinder(const Recording &recording, size_t n_threads) : recording_(recording), n_threads_(n_threads) {
    if (contrib_context_new(n_threads, &context_) != CONTRIB_OK) {
        throw contrib_error("no threads");
    }
    if (contrib_routes_finder_new(&finder_) != CONTRIB_OK) {
        contrib_context_free(context_);
        throw contrib_error("no routes");
    }
    prepared_.resize(recording.layers.size());
}

RouteFinder::~RouteFinder() {
    contrib_routes_finder_free(finder_);
    contrib_context_free(context_);
}

void RouteFinder::truncate(size_t n_tokens) { contrib_routes_finder_truncate(finder_, n_tokens); }

int32_t RouteFinder::hand_in(void *self, size_t layer, contrib_layer_receiver *receiver) {
    RouteFinder &finder = *static_cast<RouteFinder *>(self);
    try {
        return finder.hand_in(layer, receiver);
    } catch (const std::exception &error) {
        finder.failure_ = error.what();
        return 1;
    }
}

// What attention of a layer adds beside its heads, at the positions that are computed.
void RouteFinder::fill_rest(size_t index, const std::vector<size_t> &positions) {
    const size_t d_model = recording_.d_model;
    rest_.resize(recording_.n_tokens * d_model);
    const std::vector<float> rests = rest_of_attention(recording_, index, positions, n_threads_);
    for (size_t i = 0; i < positions.size(); i++) {
        const float *rest = rests.data() + i * d_model;
        std::copy(rest, rest + d_model, rest_.begin() + static_cast<std::ptrdiff_t>(positions[i] * d_model));
        const double rounding = rounding_at(recording_, index, positions[i], rest);
        largest_rounding_ = rounding > largest_rounding_ ? rounding : largest_rounding_;
    }
}

// What is prepared of a layer's w_o, which is the same for as long as the model is.
const contrib_prepared_projection *RouteFinder::prepared(size_t index, const contrib_tensor &w_o) {
    Prepared &prepared = prepared_[index];
    if (prepared.of != w_o.data) {
        contrib_options options = CONTRIB_OPTIONS_INIT;
        options.context = context_;
        contrib_prepared_projection *made = nullptr;
        if (contrib_prepared_projection_new(&w_o, &options, &made) != CONTRIB_OK) {
            throw contrib_error("w_o cannot be prepared");
        }
        prepared.projection.reset(made);
        prepared.of = w_o.data;
    }
    return prepared.projection.get();
}

int32_t RouteFinder::hand_in(size_t index, contrib_layer_receiver *receiver) {
    const LayerRecord &layer = recording_.layers[index];
    const size_t n = recording_.n_tokens, d_model = recording_.d_model;
    size_t n_positions = 0;
    const uint32_t *positions = contrib_layer_receiver_positions(receiver, &n_positions);
    fill_rest(index, {positions, positions + n_positions});
    const contrib::Tensor resid_pre = stream(layer.resid_pre, n), resid_mid = stream(layer.resid_mid, n);
    const contrib::Tensor resid_post = stream(recording_.resid_post(index), n), mlp_out = stream(layer.mlp_out, n);
    const contrib::Tensor queries = heads(layer.queries, n, layer.n_heads), keys = heads(layer.keys, n, layer.n_kv_heads);
    const contrib::Tensor values = heads(layer.values, n, layer.n_kv_heads);
    const contrib::Tensor w_o(layer.w_o.data(), CONTRIB_F32, layer.n_heads, layer.d_value(), d_model);
    const contrib::Tensor scale = stream(layer.inverse_rms, n);
    const contrib::Tensor bias(rest_.data(), CONTRIB_F32, n, d_model), vectors = of_heads(layer.added_vectors);
    const contrib::Tensor slopes = of_heads(layer.slopes), sinks = of_heads(layer.sinks);

    contrib_queries_and_keys attends = CONTRIB_QUERIES_AND_KEYS_INIT;
    attends.queries = queries;
    attends.keys = keys;
    attends.score_scale = layer.scale;
    attends.soft_cap = layer.soft_cap;
    attends.window = layer.window;
    attends.flags = CONTRIB_CAUSAL;
    attends.slopes = layer.slopes.empty() ? nullptr : static_cast<const contrib_tensor *>(slopes);
    attends.sinks = layer.sinks.empty() ? nullptr : static_cast<const contrib_tensor *>(sinks);

    contrib_layer given = CONTRIB_LAYER_INIT;
    given.resid_pre = resid_pre;
    given.resid_mid = layer.is_parallel ? nullptr : static_cast<const contrib_tensor *>(resid_mid);
    given.resid_post = resid_post;
    given.queries_and_keys = &attends;
    given.values = values;
    given.w_o = w_o;
    // Of a scaled product nothing can be prepared.
    given.prepared = layer.inverse_rms.width ? nullptr : prepared(index, *static_cast<const contrib_tensor *>(w_o));
    given.attn_scale = layer.inverse_rms.width ? static_cast<const contrib_tensor *>(scale) : nullptr;
    given.attn_bias = bias;
    given.mlp_out = mlp_out;
    given.mlp_bias = layer.added_vectors.empty() ? nullptr : static_cast<const contrib_tensor *>(vectors);
    contrib_hand_in_layer(receiver, &given);
    return 0;
}

Routes RouteFinder::find(size_t target, double threshold, const std::function<bool(double)> &progress) {
    contrib_recording_source source = CONTRIB_RECORDING_SOURCE_INIT;
    source.n_layers = recording_.layers.size();
    source.n_pos = recording_.n_tokens;
    source.n_heads = recording_.layers[0].n_heads;
    source.layer = hand_in;
    source.user_data = this;
    contrib_recording *recording = nullptr;
    if (contrib_recording_new(&source, &recording) != CONTRIB_OK) {
        throw contrib_error("no routes");
    }
    const std::unique_ptr<contrib_recording, void (*)(contrib_recording *)> guard(recording, contrib_recording_free);

    contrib_routes_options options = CONTRIB_ROUTES_OPTIONS_INIT;
    options.threshold = threshold;
    if (renormalise_ > 0.0) {
        options.flags = CONTRIB_ROUTES_RENORMALISE;
        options.renormalise = renormalise_;
    }
    options.context = context_;
    options.user_data = const_cast<std::function<bool(double)> *>(&progress);
    options.progress = [](void *function, const contrib_progress *at) -> int32_t {
        const double done = static_cast<double>(at->n_layers - at->layer) / static_cast<double>(at->n_layers);
        return !(*static_cast<const std::function<bool(double)> *>(function))(done);
    };
    contrib_routes *found = nullptr;
    failure_.clear();
    if (contrib_routes_finder_find(finder_, recording, &target, 1, &options, &found) != CONTRIB_OK) {
        throw failure_.empty() ? contrib_error("no routes") : Error(failure_);
    }
    return Routes(found);
}

void write_routes(const std::string &path, int32_t format, const contrib_routes &routes, const Texts &texts) {
    std::vector<contrib_text> tokens, next_tokens;
    std::vector<double> probabilities;
    for (const std::string &token : texts.tokens) {
        tokens.push_back(text_of(token));
    }
    for (const auto &[token, probability] : texts.next_tokens) {
        next_tokens.push_back(text_of(token));
        probabilities.push_back(probability);
    }
    contrib_labels labels = CONTRIB_LABELS_INIT;
    labels.model = text_of(texts.model);
    labels.prompt = text_of(texts.prompt);
    labels.tokens = tokens.data();
    labels.n_tokens = tokens.size();
    labels.next_tokens = next_tokens.data();
    labels.next_probabilities = probabilities.data();
    labels.n_next_tokens = next_tokens.size();

    std::unique_ptr<FILE, int (*)(FILE *)> file(std::fopen(path.c_str(), "wb"), std::fclose);
    if (!file) {
        throw Error("cannot write " + path);
    }
    const auto write = [](void *to, const char *bytes, size_t n) -> int32_t {
        return std::fwrite(bytes, 1, n, static_cast<FILE *>(to)) != n;
    };
    const contrib_status status = contrib_routes_write(&routes, &labels, format, write, file.get());
    const bool is_closed = std::fclose(file.release()) == 0;
    if (status != CONTRIB_OK || !is_closed) {
        std::remove(path.c_str());
        throw status == CONTRIB_OK ? Error("cannot write " + path) : contrib_error("cannot write " + path);
    }
}

}  // namespace contrib_llama
