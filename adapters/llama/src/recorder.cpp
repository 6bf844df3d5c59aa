#include "recorder.hpp"

#include "error.hpp"
#include "parts.hpp"
#include "tensors.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

namespace contrib_llama {

namespace {

// One generated token in so many has its attention checked; those of prompts have it once a batch.
constexpr size_t CHECK_EVERY = 64;

float parameter(const ggml_tensor *node, int index) {
    float value;
    std::memcpy(&value, node->op_params + index, sizeof(value));
    return value;
}

std::string text_of(const llama_model *model, const char *key) {
    char text[128] = "";
    llama_model_meta_val_str(model, key, text, sizeof(text));
    return text;
}

// Throws Error where the stream is no sum of what layers add, as far as the model says it.
void check_architecture(const llama_model *model) {
    const std::string name = text_of(model, "general.architecture");
    if (llama_model_is_recurrent(model) || llama_model_is_hybrid(model)) {
        throw Error(name + " is recurrent: its layers carry a state from token to token instead of attending to them, so that no "
                           "routes lead from one token to another");
    }
    if (llama_model_has_encoder(model) || !llama_model_has_decoder(model)) {
        throw Error(name + " has an encoder; routes are those of models that read one text from left to right");
    }
    if (llama_model_is_diffusion(model) || text_of(model, (name + ".attention.causal").c_str()) == "false") {
        throw Error(name + " reads its text in both directions, and (as in BERT) its stream is normalised after each sum: it is no "
                           "plain sum of what layers add, and no prediction of a next token");
    }
}

// ALiBi's slope of each head, as the engine has them.
std::vector<float> slopes_of(float max_bias, size_t n_heads) {
    std::vector<float> slopes;
    const size_t power = size_t{1} << static_cast<size_t>(std::floor(std::log2(static_cast<double>(n_heads))));
    const float even = std::pow(2.0f, -max_bias / power), odd = std::pow(2.0f, -max_bias / 2.0f / power);
    for (size_t head = 0; max_bias > 0.0f && head < n_heads; head++) {
        slopes.push_back(head < power ? std::pow(even, head + 1) : std::pow(odd, 2 * (head - power) + 1));
    }
    return slopes;
}

// `[pos, head, d]`
std::vector<float> queries_of(const ggml_tensor &queries) {
    const HostBytes bytes(&queries);
    const size_t d = queries.ne[0], n = queries.ne[1], n_heads = queries.ne[2];
    std::vector<float> all(n * n_heads * d);
    float *to = all.data();
    for (size_t token = 0; token < n; token++) {
        for (size_t head = 0; head < n_heads; head++) {
            widen(queries.type, bytes.at(token * queries.nb[1] + head * queries.nb[2]), d, to);
            to += d;
        }
    }
    return all;
}

void check_is(bool is_so, const char *sentence) {
    if (!is_so) {
        throw Error(sentence);
    }
}

}  // namespace

Recorder::Recorder(const llama_model *model) : model_(model) {
    check_architecture(model);
    const size_t n_layers = llama_model_n_layer(model);
    recording_.d_model = llama_model_n_embd(model);
    recording_.layers.resize(n_layers);
    plans_.resize(n_layers);
    position_of_cell_.resize(n_layers);
    has_weights_.resize(n_layers);
    seen_.is_windowed.resize(n_layers);
    seen_.is_full.resize(n_layers);
    seen_before_ = seen_;
}

Recorder::~Recorder() = default;

void Recorder::attach(llama_context_params &params) {
    params.cb_eval = callback;
    params.cb_eval_user_data = this;
}

void Recorder::reserve(size_t n_tokens) {
    for (LayerRecord &layer : recording_.layers) {
        for (Rows *rows : layer.rows()) {
            rows->n_expected = rows == &layer.heads_out ? 0 : n_tokens;
        }
    }
}

void Recorder::truncate(size_t n_tokens) {
    recording_.truncate(n_tokens);
    for (std::vector<int32_t> &positions : position_of_cell_) {
        for (int32_t &position : positions) {
            position = position < static_cast<int32_t>(recording_.n_tokens) ? position : -1;
        }
    }
}

void Recorder::forget_graph() {
    layer_ = -1;
    is_last_complete_ = false;
    resid_pre_ = nullptr;
    copies_.clear();
    written_.clear();
    cells_.clear();
    checked_masks_.clear();
}

void Recorder::finish() {
    const bool is_incomplete = layer_ >= 0;
    if (failure_.empty() && !is_incomplete) {
        return;
    }
    const std::string failure = failure_.empty() ? "the engine stopped in the middle of a batch" : failure_;
    failure_.clear();
    seen_ = seen_before_;
    forget_graph();
    truncate(recording_.n_tokens);
    throw Error(failure);
}

bool Recorder::callback(ggml_tensor *node, bool ask, void *self) {
    Recorder &recorder = *static_cast<Recorder *>(self);
    if (!recorder.is_enabled_) {
        return !ask;
    }
    if (!recorder.failure_.empty()) {
        // To be asked for every node, and to say no to the first that was computed, ends the engine's work soon.
        return ask;
    }
    try {
        if (ask) {
            return recorder.ask(node);
        }
        recorder.computed(node);
        return true;
    } catch (const std::bad_alloc &) {
        recorder.failure_ = "there is not enough memory to record so many tokens";
    } catch (const std::exception &error) {
        recorder.failure_ = error.what();
    }
    return ask;
}

bool Recorder::ask(const ggml_tensor *node) {
    if (node->op == GGML_OP_SET_ROWS && node->view_src) {
        written_[node->view_src] = node->src[1];
        caches_.insert(node->view_src);
        // Values that are kept the other way round are written one by one, to cells that their keys tell.
        return node->src[0]->ne[0] > 1 && !cells_.count(node->src[1]);
    }
    check_is(!changes_cache(node), "keys that were recorded were changed in the cache (it was shifted)");
    if (find_attention(node)) {
        return true;
    }
    if (const auto pattern = find_pattern(node)) {
        return !checked_masks_.count(pattern->mask);
    }
    if (multiplies_queries(node)) {
        return true;
    }
    if (layer_ < 0) {
        return false;
    }
    const bool is_last = layer_ + 1 == static_cast<int>(plans_.size());
    if (is_last && (node->op == GGML_OP_RMS_NORM || node->op == GGML_OP_NORM)) {
        const ggml_tensor *resid_post = node->src[0];
        if (selects_rows(resid_post) && find_block(resid_pre_, attention_.out, resid_post->src[0])) {
            resid_post = resid_post->src[0];
        }
        if (find_block(resid_pre_, attention_.out, resid_post)) {
            end_layer(resid_post);
            end_graph();
            return false;
        }
    }
    return wants(node);
}

// Whether `node` writes over what a cache has.
bool Recorder::changes_cache(const ggml_tensor *node) const {
    switch (node->op) {
        case GGML_OP_NONE:
        case GGML_OP_VIEW:
        case GGML_OP_RESHAPE:
        case GGML_OP_PERMUTE:
        case GGML_OP_TRANSPOSE:
            return false;
        default:
            return node->view_src && caches_.count(node->view_src);
    }
}

// Whether `node` multiplies keys of a cache with queries.
bool Recorder::multiplies_queries(const ggml_tensor *node) const {
    return node->op == GGML_OP_MUL_MAT && written_.count(cache_of(node->src[0]));
}

bool Recorder::wants(const ggml_tensor *node) {
    Plan &plan = plans_[layer_];
    // The first layer's way is that of the others, too; the last ends otherwise.
    const bool is_last = layer_ + 1 == static_cast<int>(plans_.size());
    const Plan *guide = plan.is_known ? &plan : layer_ > 0 && !is_last ? &plans_[layer_ - 1] : nullptr;
    if (offset_ == 0) {
        is_following_plan_ = guide && guide->is_known;
    }
    const size_t offset = offset_++;
    is_following_plan_ = is_following_plan_ && offset < guide->ops.size() && guide->ops[offset] == node->op;
    const bool is_wanted = is_following_plan_ ? guide->is_needed[offset] : may_be_added(node);
    if (is_wanted) {
        copies_[node].offset = offset;
    }
    if (!is_following_plan_) {
        plan.is_known = false;
    }
    if (!plan.is_known) {
        plan.ops.resize(offset);
        plan.is_needed.resize(offset);
        plan.ops.push_back(node->op);
        plan.is_needed.push_back(false);
    }
    return is_wanted;
}

bool Recorder::may_be_added(const ggml_tensor *node) const {
    const bool is_norm = node->op == GGML_OP_RMS_NORM || node->op == GGML_OP_NORM;
    return node->type == GGML_TYPE_F32 && node->ne[0] == static_cast<int64_t>(recording_.d_model) && node->ne[2] == 1 &&
           node->ne[3] == 1 && !is_norm && ggml_is_contiguous(node);
}

void Recorder::computed(const ggml_tensor *node) {
    if (node->op == GGML_OP_SET_ROWS) {
        cells_[node->src[1]] = integers_of(node->src[1]);
        return;
    }
    if (const auto attention = find_attention(node)) {
        begin_layer(*attention);
        return;
    }
    if (const auto pattern = find_pattern(node)) {
        check_mask(layer_ + 1, *pattern);
        return;
    }
    if (multiplies_queries(node)) {
        queries_ = queries_of(*node->src[1]);
        return;
    }
    Copy &copy = copies_[node];
    copy.n_rows = node->ne[1];
    copy.numbers = floats_of(node);
    if (selects_rows(node)) {
        copy.selected = integers_of(node->src[1]);
    }
}

void Recorder::begin_layer(const AttentionNodes &attention) {
    const ggml_tensor *resid_pre = find_resid_pre(attention.queries, recording_.d_model);
    check_is(resid_pre, "the stream before a layer was not found: no matrix makes queries of it");
    check_is(layer_ + 1 < static_cast<int>(plans_.size()), "the model has more attention than layers");
    check_mask(layer_ + 1, attention);
    check_is(resid_pre->ne[1] == static_cast<int64_t>(n_new_), "layers differ in their number of tokens");

    LayerRecord &layer = recording_.layers[layer_ + 1];
    layer.resid_pre.width = recording_.d_model;
    const std::vector<float> stream = floats_of(resid_pre);
    std::memcpy(layer.resid_pre.grow(n_new_), stream.data(), stream.size() * sizeof(float));
    if (layer_ >= 0) {
        end_layer(resid_pre);
    }
    layer_++;
    offset_ = 0;
    attention_ = attention;
    resid_pre_ = resid_pre;
    copies_.clear();
    read_heads(layer, attention);
}

void Recorder::read_heads(LayerRecord &layer, const AttentionNodes &attention) {
    const ggml_tensor &queries = *attention.queries, &keys = *attention.keys, &values = *attention.values, &out = *attention.out;
    const size_t d = queries.ne[0], n_heads = queries.ne[2], n_kv_heads = keys.ne[2];
    const size_t d_value = attention.is_flash ? values.ne[0] : values.ne[1];
    const bool has_halves = keys.type == GGML_TYPE_F16 && values.type == GGML_TYPE_F16;
    const ggml_type type = has_halves ? GGML_TYPE_F16 : GGML_TYPE_F32;
    check_is(queries.type == GGML_TYPE_F32 && out.type == GGML_TYPE_F32, "queries are of a type that is not known");
    check_is(layer.n_heads == 0 || (layer.n_heads == n_heads && layer.queries.type == type), "a layer changed its heads");
    layer.n_heads = n_heads;
    layer.n_kv_heads = n_kv_heads;
    layer.scale = attention.scale;
    layer.soft_cap = attention.soft_cap;
    layer.slopes = slopes_of(attention.max_bias, n_heads);
    if (attention.sinks) {
        layer.sinks = floats_of(attention.sinks);
    }
    layer.queries.width = n_heads * d;
    layer.keys.width = n_kv_heads * d;
    layer.values.width = n_kv_heads * d_value;
    layer.heads_out.width = n_heads * d_value;
    // Halves that the cache has are kept as they are; with them, the engine rounds queries to halves, too.
    layer.queries.type = layer.keys.type = layer.values.type = type;

    if (attention.is_flash) {
        queries_ = queries_of(queries);
    }
    check_is(queries_.size() == n_new_ * layer.queries.width, "the queries of a layer were not seen");
    const std::vector<int64_t> &cells = place_tokens(layer_, attention);
    const HostBytes key_bytes(&keys), value_bytes(&values), out_bytes(&out);
    uint8_t *to_queries = layer.queries.grow(n_new_), *to_keys = layer.keys.grow(n_new_);
    uint8_t *to_values = layer.values.grow(n_new_), *to_out = layer.heads_out.grow(n_new_);
    const size_t size = ggml_type_size(type);
    if (type == GGML_TYPE_F16) {
        ggml_fp32_to_fp16_row(queries_.data(), reinterpret_cast<ggml_fp16_t *>(to_queries), queries_.size());
    } else {
        std::memcpy(to_queries, queries_.data(), queries_.size() * sizeof(float));
    }
    queries_.clear();
    const auto copy = [&](const ggml_tensor &from, const uint8_t *bytes, size_t n, uint8_t *&to) {
        if (from.type == type) {
            std::memcpy(to, bytes, n * size);
        } else {
            widen(from.type, bytes, n, reinterpret_cast<float *>(to));
        }
        to += n * size;
    };
    const int out_position = attention.is_flash ? 2 : 1, out_head = attention.is_flash ? 1 : 2;
    for (size_t token = 0; token < n_new_; token++) {
        const int64_t cell = cells[token];
        for (size_t head = 0; head < n_heads; head++) {
            std::memcpy(to_out, out_bytes.at(token * out.nb[out_position] + head * out.nb[out_head]), d_value * sizeof(float));
            to_out += d_value * sizeof(float);
        }
        for (size_t head = 0; head < n_kv_heads; head++) {
            copy(keys, key_bytes.at(cell * keys.nb[1] + head * keys.nb[2]), d, to_keys);
            if (attention.is_flash) {
                copy(values, value_bytes.at(cell * values.nb[1] + head * values.nb[2]), d_value, to_values);
                continue;
            }
            for (size_t i = 0; i < d_value; i++) {
                copy(values, value_bytes.at(cell * values.nb[0] + i * values.nb[1] + head * values.nb[2]), 1, to_values);
            }
        }
    }
}

// Notes which cells of a layer's cache the batch is in; gives them.
const std::vector<int64_t> &Recorder::place_tokens(size_t layer, const AttentionNodes &attention) {
    const auto written = written_.find(cache_of(attention.keys));
    check_is(written != written_.end() && cells_.count(written->second),
             "keys do not come from a cache that this batch was written to");
    const std::vector<int64_t> &cells = cells_[written->second];
    check_is(cells.size() == n_new_, "keys are written to other cells than there are tokens");
    std::vector<int32_t> &positions = position_of_cell_[layer];
    for (size_t token = 0; token < n_new_; token++) {
        const int64_t cell = cells[token];
        check_is(cell >= 0 && cell < attention.keys->ne[1], "a token was written to a cell that attention does not read");
        if (positions.size() <= static_cast<size_t>(cell)) {
            positions.resize(std::max<size_t>(attention.keys->ne[1], 2 * positions.size()), -1);
        }
        positions[cell] = static_cast<int32_t>(recording_.n_tokens + token);
    }
    return cells;
}

// Throws Error where the tokens of the batch see others than those before them, or before them in a window.
void Recorder::check_mask(size_t index, const AttentionNodes &attention) {
    const ggml_tensor &mask = *attention.mask;
    check_is(attention.queries->ne[3] == 1 && mask.ne[3] == 1, "the batch has several sequences; one is recorded at a time");
    const size_t n_new = attention.queries->ne[1];
    if (layer_ < 0) {
        n_new_ = n_new;
    }
    check_is(n_new == n_new_, "layers differ in their number of tokens");
    place_tokens(index, attention);
    LayerRecord &layer = recording_.layers[index];
    const size_t n_swa = std::max(0, llama_model_n_swa(model_));
    std::vector<bool>::reference is_windowed = seen_.is_windowed[index], is_full = seen_.is_full[index];
    // Layers that share a mask share their cells.
    if (const auto checked = checked_masks_.find(&mask); checked != checked_masks_.end()) {
        const size_t other = checked->second;
        is_windowed = is_windowed || seen_.is_windowed[other];
        is_full = is_full || seen_.is_full[other];
        check_is(position_of_cell_[index] == position_of_cell_[other], "layers with one mask have their tokens in different cells");
        layer.window = is_windowed ? n_swa : 0;
        return;
    }
    checked_masks_[&mask] = index;
    std::vector<float> row(mask.ne[0]);
    const HostBytes bytes(&mask);
    const std::vector<int32_t> &positions = position_of_cell_[index];
    for (size_t token = 0; token < n_new_; token++) {
        widen(mask.type, bytes.at(token * mask.nb[1]), row.size(), row.data());
        const int64_t position = static_cast<int64_t>(recording_.n_tokens + token);
        bool fits_full = true, fits_window = n_swa > 0;
        for (size_t cell = 0; cell < row.size(); cell++) {
            const int64_t key = cell < positions.size() ? positions[cell] : -1;
            const bool is_seen = row[cell] != -std::numeric_limits<float>::infinity();
            const bool is_before = key >= 0 && key <= position;
            fits_full = fits_full && is_seen == is_before;
            fits_window = fits_window && is_seen == (is_before && position - key < static_cast<int64_t>(n_swa));
        }
        is_windowed = is_windowed || !fits_full;
        is_full = is_full || !fits_window;
    }
    check_is(!(is_windowed && is_full),
             "tokens see others than those before them in a sequence that was recorded from its beginning (several sequences in "
             "one batch, a cache that was shared or shifted, or a mask of another kind), so that cells are no positions");
    layer.window = is_windowed ? n_swa : 0;
}

const Recorder::Copy &Recorder::copy_of(const ggml_tensor *node, Plan &plan) {
    const auto found = copies_.find(node);
    if (found == copies_.end() || (found->second.numbers.empty() && node->ne[1] > 0)) {
        for (Plan &each : plans_) {
            each.is_known = false;
        }
        throw Error("the engine computed a layer in another way than before, and a tensor was not recorded; it will be the next time");
    }
    plan.is_needed[found->second.offset] = true;
    return found->second;
}

void Recorder::add_rows(Rows &rows, const Copy &copy, const std::vector<int64_t> *selected) {
    rows.width = recording_.d_model;
    float *to = reinterpret_cast<float *>(rows.grow(n_new_));
    if (!selected) {
        check_is(copy.n_rows == n_new_, "a tensor of a layer has another number of tokens");
        std::memcpy(to, copy.numbers.data(), copy.numbers.size() * sizeof(float));
        return;
    }
    check_is(copy.n_rows == selected->size(), "a tensor of a layer has another number of tokens");
    std::fill(to, to + n_new_ * rows.width, std::numeric_limits<float>::quiet_NaN());
    for (size_t row = 0; row < selected->size(); row++) {
        const size_t position = (*selected)[row];
        check_is(position < n_new_, "a selection of tokens has another number of them");
        std::copy_n(copy.numbers.data() + row * rows.width, rows.width, to + position * rows.width);
    }
}

void Recorder::end_layer(const ggml_tensor *resid_post) {
    const size_t index = layer_;
    LayerRecord &layer = recording_.layers[index];
    Plan &plan = plans_[index];
    const auto block = find_block(resid_pre_, attention_.out, resid_post);
    if (!block) {
        throw Error("the stream after layer " + std::to_string(index) +
                    " is no plain sum of the stream before it, its attention and its MLP, so that their contributions cannot be told");
    }
    if (!has_weights_[index]) {
        read_weights(layer, *block);
        has_weights_[index] = true;
    }
    check_is(layer.is_parallel == !block->resid_mid, "a layer changed the order of attention and MLP");
    const std::vector<int64_t> *selected = block->selected ? &copy_of(block->selected, plan).selected : nullptr;
    if (block->resid_mid) {
        add_rows(layer.resid_mid, copy_of(block->resid_mid, plan), selected);
    }
    Copy mlp_out = copy_of(block->mlp[0], plan);
    for (size_t i = 1; i < block->mlp.size(); i++) {
        const Copy &more = copy_of(block->mlp[i], plan);
        check_is(more.numbers.size() == mlp_out.numbers.size(), "a tensor of a layer has another number of tokens");
        std::transform(more.numbers.begin(), more.numbers.end(), mlp_out.numbers.begin(), mlp_out.numbers.begin(), std::plus<>());
    }
    add_rows(layer.mlp_out, mlp_out, selected);
    if (index + 1 == plans_.size()) {
        add_rows(layer.resid_post, copy_of(resid_post, plan), selected);
    }
    for (const BranchStep &step : block->branch) {
        if (step.kind != BranchStep::RMS_NORM) {
            continue;
        }
        Copy inverse = copy_of(step.node->src[0], plan);
        const bool is_selected = selected && inverse.n_rows == selected->size();
        layer.inverse_rms.width = 1;
        float *to = reinterpret_cast<float *>(layer.inverse_rms.grow(n_new_));
        std::fill(to, to + n_new_, std::numeric_limits<float>::quiet_NaN());
        for (size_t row = 0; row < inverse.n_rows; row++) {
            double squares = 0.0;
            for (size_t i = 0; i < recording_.d_model; i++) {
                const double number = inverse.numbers[row * recording_.d_model + i];
                squares += number * number;
            }
            const double rms = std::sqrt(squares / recording_.d_model + parameter(step.node, 0));
            to[is_selected ? (*selected)[row] : row] = static_cast<float>(1.0 / rms);
        }
    }
    plan.is_known = true;
    const bool with_attention = (n_new_ > 1 || graphs_since_check_ == 0) && !(selected && selected->empty());
    check_layer(recording_, index, recording_.n_tokens, recording_.n_tokens + n_new_, with_attention);
}

void Recorder::read_weights(LayerRecord &layer, const Block &block) {
    const ggml_tensor *matrix = block.product->src[0];
    const size_t d_model = recording_.d_model, n_rows = layer.heads_out.width;
    check_is(static_cast<size_t>(matrix->ne[0]) == n_rows && static_cast<size_t>(matrix->ne[1]) == d_model,
             "the matrix that writes attention into the stream has not the size of the heads");
    const std::vector<float> transposed = floats_of(matrix);
    layer.w_o_type = matrix->type;
    layer.w_o.resize(n_rows * d_model);
    for (size_t channel = 0; channel < d_model; channel++) {
        for (size_t row = 0; row < n_rows; row++) {
            layer.w_o[row * d_model + channel] = transposed[channel * n_rows + row];
        }
    }
    layer.is_parallel = !block.resid_mid;
    bool is_normalised = false;
    std::vector<float> &bias = layer.attention_bias;
    for (const BranchStep &step : block.branch) {
        std::vector<float> operand;
        switch (step.kind) {
            case BranchStep::SELECT_ROWS:
                continue;
            case BranchStep::RMS_NORM:
                check_is(!is_normalised, "what attention adds is normalised twice");
                is_normalised = true;
                continue;
            case BranchStep::ADD_BIAS:
                check_is(!is_normalised, "a bias is added to what attention adds after it was normalised");
                operand = floats_of(step.operand);
                check_is(operand.size() == d_model, "attention's bias has not the size of the stream");
                bias.resize(d_model);
                std::transform(operand.begin(), operand.end(), bias.begin(), bias.begin(), std::plus<>());
                continue;
            case BranchStep::SCALE:
                check_is(parameter(step.node, 1) == 0.0f, "a constant is added to what attention adds");
                operand.assign(d_model, parameter(step.node, 0));
                break;
            case BranchStep::MULTIPLY:
                operand = floats_of(step.operand);
                if (operand.size() == 1) {
                    operand.assign(d_model, operand[0]);
                }
                break;
        }
        check_is(operand.size() == d_model, "a weight of what attention adds has not the size of the stream");
        for (size_t i = 0; i < layer.w_o.size(); i++) {
            layer.w_o[i] *= operand[i % d_model];
        }
        for (size_t i = 0; i < bias.size(); i++) {
            bias[i] *= operand[i];
        }
    }
    for (const ggml_tensor *vector : block.vectors) {
        const std::vector<float> added = floats_of(vector);
        check_is(added.size() == d_model, "a vector that is added to the stream has not its size");
        layer.added_vectors.resize(d_model);
        std::transform(added.begin(), added.end(), layer.added_vectors.begin(), layer.added_vectors.begin(), std::plus<>());
    }
}

void Recorder::end_graph() {
    recording_.n_tokens += n_new_;
    seen_before_ = seen_;
    for (LayerRecord &layer : recording_.layers) {
        layer.heads_out.truncate(0);
    }
    graphs_since_check_ = (graphs_since_check_ + 1) % CHECK_EVERY;
    forget_graph();
}

void decode(llama_context *context, const llama_batch &batch, Recorder &recorder) {
    const int status = llama_decode(context, batch);
    recorder.finish();
    switch (status) {
        case 0:
            return;
        case 1:
            throw Error("the text is longer than the context: " + std::to_string(llama_n_ctx(context)) + " tokens");
        case 2:
            throw Error("stopped");
        default:
            throw Error("the engine could not read the tokens (llama_decode: " + std::to_string(status) + ")");
    }
}

}  // namespace contrib_llama
