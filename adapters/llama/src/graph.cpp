#include "graph.hpp"

#include "error.hpp"

#include <cmath>
#include <cstring>
#include <unordered_set>

namespace contrib_llama {

namespace {

// Deeper sums, or longer ways, are none of a layer.
constexpr int MOST_STEPS = 64;
constexpr int MOST_SUMMANDS = 16;

float parameter(const ggml_tensor *node, int index) {
    float value;
    std::memcpy(&value, node->op_params + index, sizeof(value));
    return value;
}

// A weight: nothing computes it, and nobody sets it for a batch.
bool is_weight(const ggml_tensor *tensor) {
    return tensor->op == GGML_OP_NONE && !(tensor->flags & GGML_TENSOR_FLAG_INPUT);
}

bool is_norm(const ggml_tensor *tensor) { return tensor->op == GGML_OP_RMS_NORM || tensor->op == GGML_OP_NORM; }

// The same numbers in the same order.
bool is_reshape(const ggml_tensor *tensor) {
    switch (tensor->op) {
        case GGML_OP_RESHAPE:
            return true;
        case GGML_OP_VIEW:
        case GGML_OP_CONT:
            return ggml_nelements(tensor) == ggml_nelements(tensor->src[0]) && ggml_is_contiguous(tensor->src[0]) &&
                   ggml_is_contiguous(tensor);
        default:
            return false;
    }
}

// The operand that is no weight, where the other is one.
const ggml_tensor *but_for_weight(const ggml_tensor *node, const ggml_tensor **weight) {
    for (int i = 0; i < 2; i++) {
        if (is_weight(node->src[i]) && !is_weight(node->src[1 - i])) {
            *weight = node->src[i];
            return node->src[1 - i];
        }
    }
    return nullptr;
}

// `score = soft_cap * tanh(scale * x / soft_cap)`, made of SCALE and TANH, or `x` itself.
const ggml_tensor *behind_soft_cap(const ggml_tensor *scores, double *scale, double *soft_cap) {
    if (scores->op != GGML_OP_SCALE) {
        return scores;
    }
    const double outer = parameter(scores, 0);
    const ggml_tensor *tanh = scores->src[0];
    if (tanh->op != GGML_OP_UNARY || ggml_get_unary_op(tanh) != GGML_UNARY_OP_TANH) {
        return scores;
    }
    const ggml_tensor *inner = tanh->src[0];
    double factor = 1.0;
    if (inner->op == GGML_OP_SCALE) {
        factor = parameter(inner, 0);
        inner = inner->src[0];
    }
    // The softmax multiplies what is capped once more.
    *soft_cap = outer * *scale;
    *scale *= outer * factor;
    return inner;
}

// How a tensor comes from the product of w_o and what heads made, or nothing.
std::optional<Block> branch_of(const ggml_tensor *tensor, const ggml_tensor *attention_out) {
    Block block{};
    for (int step = 0; step < MOST_STEPS; step++) {
        const ggml_tensor *weight = nullptr;
        if (is_reshape(tensor)) {
            tensor = tensor->src[0];
            continue;
        }
        switch (tensor->op) {
            case GGML_OP_MUL_MAT:
                if (!is_weight(tensor->src[0]) || behind_views(tensor->src[1]) != attention_out) {
                    return std::nullopt;
                }
                block.product = tensor;
                block.branch = {block.branch.rbegin(), block.branch.rend()};
                return block;
            case GGML_OP_SCALE:
                block.branch.push_back({BranchStep::SCALE, tensor, nullptr});
                tensor = tensor->src[0];
                break;
            case GGML_OP_RMS_NORM:
                block.branch.push_back({BranchStep::RMS_NORM, tensor, nullptr});
                tensor = tensor->src[0];
                break;
            case GGML_OP_MUL:
            case GGML_OP_ADD: {
                const auto kind = tensor->op == GGML_OP_MUL ? BranchStep::MULTIPLY : BranchStep::ADD_BIAS;
                const ggml_tensor *rest = but_for_weight(tensor, &weight);
                if (!rest) {
                    return std::nullopt;
                }
                block.branch.push_back({kind, tensor, weight});
                tensor = rest;
                break;
            }
            case GGML_OP_GET_ROWS:
                if (!selects_rows(tensor)) {
                    return std::nullopt;
                }
                block.branch.push_back({BranchStep::SELECT_ROWS, tensor, tensor->src[1]});
                block.selected = tensor;
                tensor = tensor->src[0];
                break;
            default:
                return std::nullopt;
        }
    }
    return std::nullopt;
}

// Takes a sum apart.
class Summands {
public:
    Summands(const ggml_tensor *resid_pre, const ggml_tensor *attention_out)
        : resid_pre_(resid_pre), attention_out_(attention_out) {}

    // Whether `tensor` has the stream, or attention, among its summands.
    bool has_known(const ggml_tensor *tensor, int depth = 0) const {
        if (is_stream(tensor) || branch_of(tensor, attention_out_)) {
            return true;
        }
        return tensor->op == GGML_OP_ADD && depth < MOST_SUMMANDS &&
               (has_known(tensor->src[0], depth + 1) || has_known(tensor->src[1], depth + 1));
    }

    void take(const ggml_tensor *tensor) {
        const auto attention = branch_of(tensor, attention_out_);
        if (is_stream(tensor)) {
            streams++;
            select(tensor == resid_pre_ ? nullptr : tensor);
        } else if (attention) {
            attentions++;
            block.product = attention->product;
            block.branch = attention->branch;
            select(attention->selected);
        } else if (tensor->op == GGML_OP_ADD && has_known(tensor)) {
            const int before[] = {streams, attentions, static_cast<int>(block.mlp.size())};
            take(tensor->src[0]);
            take(tensor->src[1]);
            if (streams - before[0] == 1 && attentions - before[1] == 1 && static_cast<int>(block.mlp.size()) == before[2]) {
                sum_of_both = tensor;
            }
        } else if (is_weight(tensor)) {
            block.vectors.push_back(tensor);
        } else {
            block.mlp.push_back(tensor);
        }
    }

    Block block{};
    int streams = 0;
    int attentions = 0;
    // The outermost sum of the stream and attention alone.
    const ggml_tensor *sum_of_both = nullptr;

private:
    bool is_stream(const ggml_tensor *tensor) const {
        return tensor == resid_pre_ || (selects_rows(tensor) && tensor->src[0] == resid_pre_);
    }

    void select(const ggml_tensor *selection) {
        if (selection) {
            block.selected = selection;
        }
    }

    const ggml_tensor *resid_pre_;
    const ggml_tensor *attention_out_;
};

// Whether `tensor` is computed from `goal`, by a way that does not lead through one of `ends`.
bool depends_on(const ggml_tensor *tensor, const ggml_tensor *goal, std::initializer_list<const ggml_tensor *> ends) {
    std::vector<const ggml_tensor *> open{tensor};
    std::unordered_set<const ggml_tensor *> seen;
    while (!open.empty()) {
        const ggml_tensor *next = open.back();
        open.pop_back();
        if (next == goal) {
            return true;
        }
        bool is_end = !seen.insert(next).second;
        for (const ggml_tensor *end : ends) {
            is_end = is_end || next == end;
        }
        for (int i = 0; !is_end && i < GGML_MAX_SRC; i++) {
            if (next->src[i]) {
                open.push_back(next->src[i]);
            }
        }
    }
    return false;
}

}  // namespace

bool selects_rows(const ggml_tensor *tensor) {
    return tensor->op == GGML_OP_GET_ROWS && !is_weight(tensor->src[0]) && tensor->src[1]->op == GGML_OP_NONE;
}

const ggml_tensor *behind_views(const ggml_tensor *tensor) {
    for (int step = 0; step < MOST_STEPS; step++) {
        switch (tensor->op) {
            case GGML_OP_VIEW:
            case GGML_OP_RESHAPE:
            case GGML_OP_PERMUTE:
            case GGML_OP_TRANSPOSE:
            case GGML_OP_CONT:
                tensor = tensor->src[0];
                break;
            default:
                return tensor;
        }
    }
    return tensor;
}

const ggml_tensor *cache_of(const ggml_tensor *tensor) {
    tensor = behind_views(tensor);
    return tensor->op == GGML_OP_CPY ? behind_views(tensor->src[0]) : tensor;
}

std::optional<AttentionNodes> find_pattern(const ggml_tensor *node) {
    AttentionNodes found{};
    if (node->op == GGML_OP_FLASH_ATTN_EXT) {
        found.is_flash = true;
        found.queries = node->src[0];
        found.keys = node->src[1];
        found.mask = node->src[3];
        found.sinks = node->src[4];
        found.scale = parameter(node, 0);
        found.max_bias = parameter(node, 1);
        found.soft_cap = parameter(node, 2);
    } else if (node->op == GGML_OP_SOFT_MAX && node->src[1]) {
        found.mask = node->src[1];
        found.sinks = node->src[2];
        found.scale = parameter(node, 0);
        found.max_bias = parameter(node, 1);
        const ggml_tensor *product = behind_soft_cap(node->src[0], &found.scale, &found.soft_cap);
        if (product->op != GGML_OP_MUL_MAT) {
            throw Error("attention adds something to its scores that is neither a mask nor ALiBi, which routes do not know");
        }
        found.keys = product->src[0];
        found.queries = product->src[1];
    } else {
        return std::nullopt;
    }
    if (!found.mask) {
        throw Error("attention has no mask, so that it cannot be told which tokens each may see");
    }
    return found;
}

std::optional<AttentionNodes> find_attention(const ggml_tensor *node) {
    const bool is_flash = node->op == GGML_OP_FLASH_ATTN_EXT;
    if (!is_flash && !(node->op == GGML_OP_MUL_MAT && node->src[1]->op == GGML_OP_SOFT_MAX)) {
        return std::nullopt;
    }
    auto found = find_pattern(is_flash ? node : node->src[1]);
    if (found) {
        found->out = node;
        found->values = is_flash ? node->src[2] : node->src[0];
    }
    return found;
}

const ggml_tensor *find_resid_pre(const ggml_tensor *queries, int64_t d_model) {
    const ggml_tensor *tensor = queries;
    for (int step = 0; tensor && step < MOST_STEPS; step++) {
        const bool is_product = tensor->op == GGML_OP_MUL_MAT && is_weight(tensor->src[0]);
        if (is_product && tensor->src[0]->ne[0] == d_model && tensor->src[1]->ne[0] == d_model) {
            const ggml_tensor *input = tensor->src[1];
            const ggml_tensor *before = input;
            const ggml_tensor *weight;
            if (before && before->op == GGML_OP_ADD) {
                before = but_for_weight(before, &weight);
            }
            if (before && before->op == GGML_OP_MUL) {
                before = but_for_weight(before, &weight);
            }
            return before && is_norm(before) ? before->src[0] : input;
        }
        if (is_product || (tensor->op == GGML_OP_MUL_MAT && is_weight(tensor->src[1]))) {
            tensor = tensor->src[1];
        } else if (tensor->op == GGML_OP_MUL || tensor->op == GGML_OP_ADD) {
            const ggml_tensor *weight;
            tensor = but_for_weight(tensor, &weight);
        } else {
            tensor = tensor->src[0];
        }
    }
    return nullptr;
}

std::optional<Block> find_block(const ggml_tensor *resid_pre, const ggml_tensor *attention_out, const ggml_tensor *resid_post) {
    Summands summands(resid_pre, attention_out);
    if (!summands.has_known(resid_post)) {
        return std::nullopt;
    }
    summands.take(resid_post);
    Block &block = summands.block;
    if (summands.streams != 1 || summands.attentions != 1 || block.mlp.empty()) {
        return std::nullopt;
    }
    const ggml_tensor *both = summands.sum_of_both;
    for (const ggml_tensor *mlp : block.mlp) {
        if (both && depends_on(mlp, both, {resid_pre, attention_out})) {
            block.resid_mid = both;
        }
    }
    for (const ggml_tensor *mlp : block.mlp) {
        if (depends_on(mlp, attention_out, {resid_pre, block.resid_mid})) {
            throw Error("what a layer adds to the stream depends on its attention by another way than the stream between both "
                        "(a LoRA adapter of attention's output?), so that its parts cannot be told apart");
        }
    }
    return block;
}

}  // namespace contrib_llama
