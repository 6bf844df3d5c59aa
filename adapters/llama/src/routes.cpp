#include "routes.hpp"

#include "error.hpp"
#include "parts.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>

namespace contrib_llama {

namespace {

// So many times, routes are found again with the rests of attention that they lead to.
constexpr int MOST_ROUNDS = 8;

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
    rests_.resize(recording.layers.size());
    prepared_.resize(recording.layers.size());
}

RouteFinder::~RouteFinder() { contrib_context_free(context_); }

void RouteFinder::truncate(size_t n_tokens) {
    for (auto &rests : rests_) {
        rests.erase(rests.lower_bound(n_tokens), rests.end());
    }
}

int32_t RouteFinder::hand_in(void *self, size_t layer, contrib_layer_receiver *receiver) {
    RouteFinder &finder = *static_cast<RouteFinder *>(self);
    try {
        return finder.hand_in(layer, receiver);
    } catch (const std::exception &error) {
        finder.failure_ = error.what();
        return 1;
    }
}

// What attention of a layer adds beside its heads, for all positions.
void RouteFinder::fill_rest(size_t index) {
    const LayerRecord &layer = recording_.layers[index];
    const size_t d_model = recording_.d_model;
    // Where there is no bias, only what the layer before had is to be made zero again.
    rest_.resize(recording_.n_tokens * d_model, 0.0f);
    const auto row = [&](size_t position) { return rest_.begin() + static_cast<std::ptrdiff_t>(position * d_model); };
    for (size_t position : filled_) {
        if (position < recording_.n_tokens) {
            std::fill_n(row(position), d_model, 0.0f);
        }
    }
    filled_.clear();
    for (size_t position = 0; !layer.attention_bias.empty() && position < recording_.n_tokens; position++) {
        const float factor = layer.inverse_rms.width ? *layer.inverse_rms.floats(position) : 1.0f;
        std::transform(layer.attention_bias.begin(), layer.attention_bias.end(), row(position),
                       [factor](float bias) { return factor * bias; });
        filled_.push_back(position);
    }
    for (const auto &[position, rest] : rests_[index]) {
        std::copy(rest.begin(), rest.end(), row(position));
        filled_.push_back(position);
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
    fill_rest(index);
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

Routes RouteFinder::find_once(size_t target, double threshold, const std::function<bool(double)> &progress) {
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
    if (contrib_routes_find(recording, &target, 1, &options, &found) != CONTRIB_OK) {
        throw failure_.empty() ? contrib_error("no routes") : Error(failure_);
    }
    return Routes(found);
}

// Calculates what is not yet known of the wholes of attention that routes reach; gives whether there was any.
bool RouteFinder::add_rests(const contrib_routes &routes) {
    contrib_routes_arrays arrays = CONTRIB_ROUTES_ARRAYS_INIT;
    contrib_routes_get_arrays(&routes, &arrays);
    std::vector<std::vector<size_t>> missing(recording_.layers.size());
    for (size_t node = 0; node < arrays.n_nodes; node++) {
        const size_t layer = arrays.node_layer[node], position = arrays.node_position[node];
        const auto whole = recording_.layers[layer].is_parallel ? CONTRIB_NODE_RESID_POST : CONTRIB_NODE_RESID_MID;
        if (arrays.node_kind[node] == whole && !rests_[layer].count(position)) {
            missing[layer].push_back(position);
        }
    }
    const size_t d_model = recording_.d_model;
    bool is_any = false;
    for (size_t layer = 0; layer < missing.size(); layer++) {
        const std::vector<float> rests = rest_of_attention(recording_, layer, missing[layer], n_threads_);
        for (size_t i = 0; i < missing[layer].size(); i++) {
            const auto begin = rests.begin() + static_cast<std::ptrdiff_t>(i * d_model);
            rests_[layer][missing[layer][i]].assign(begin, begin + static_cast<std::ptrdiff_t>(d_model));
            const double rounding = rounding_at(recording_, layer, missing[layer][i], &*begin);
            largest_rounding_ = rounding > largest_rounding_ ? rounding : largest_rounding_;
            is_any = true;
        }
    }
    return is_any;
}

Routes RouteFinder::find(size_t target, double threshold, const std::function<bool(double)> &progress) {
    Routes routes = find_once(target, threshold, progress);
    for (int round = 0; round < MOST_ROUNDS && add_rests(*routes); round++) {
        routes = find_once(target, threshold, progress);
    }
    return routes;
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
