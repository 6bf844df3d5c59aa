// Every operation in C++ and in C, with every field in use: the same bits.

#include "check.hpp"

using contrib::Tensor;

// Results that nobody would mistake for contributions, to see what was written.
static std::vector<float> unwritten(std::size_t n) { return std::vector<float>(n, -7.0F); }

static void c_succeeds(contrib_status status, int line) {
    if (status != CONTRIB_OK) {
        std::fprintf(stderr, "line %d: %s\n", line, contrib_last_error_message());
        std::exit(1);
    }
}
#define C_SUCCEEDS(call) c_succeeds(call, __LINE__)

static bool written(const std::vector<float> &results) {
    for (const float result : results) {
        if (result == -7.0F) {
            return false;
        }
    }
    return true;
}

static contrib::Options in_norm(double norm) {
    contrib::Options options;
    options.norm = norm;
    return options;
}

static void contributions_have_the_same_bits() {
    const auto whole = numbers(5 * 40, 1), parts = numbers(7 * 5 * 40, 2), one_off = numbers(5 * 40, 3);
    const Tensor c_whole(whole.data(), CONTRIB_F32, 5, 40), c_parts(parts.data(), CONTRIB_F32, 7, 5, 40);
    const Tensor c_one_off(one_off.data(), CONTRIB_F32, 5, 40);
    for (const double norm : {1.0, 2.0, 3.5}) {
        contrib_options c_options = CONTRIB_OPTIONS_INIT;
        c_options.norm = norm;
        c_options.threshold = 0.15;
        contrib::Options options = in_norm(norm);
        options.threshold = 0.15;

        auto c_out = unwritten(35), out = unwritten(35), c_other = unwritten(5), other = unwritten(5);
        const Tensor c_out_parts(c_out.data(), CONTRIB_F32, 7, 5), c_out_one_off(c_other.data(), CONTRIB_F32, 5);
        C_SUCCEEDS(contrib_contributions(c_whole, c_parts, c_out_parts, &c_options));
#if defined(__cpp_designated_initializers)
        contrib::contributions({.whole = {whole, 5, 40}, .parts = {parts, 7, 5, 40}, .out = {out, 7, 5}},
                               {.norm = norm, .threshold = 0.15});
#else
        contrib::Contributions arguments;
        arguments.whole = {whole, 5, 40};
        arguments.parts = {parts, 7, 5, 40};
        arguments.out = {out, 7, 5};
        contrib::contributions(arguments, options);
#endif
        CHECK(written(out) && same_bits(out, c_out));

        C_SUCCEEDS(
            contrib_contributions_with_one_off(c_whole, c_parts, c_one_off, c_out_parts, c_out_one_off, &c_options));
        contrib::ContributionsWithOneOff with_one_off;
        with_one_off.whole = {whole, 5, 40};
        with_one_off.parts = {parts, 7, 5, 40};
        with_one_off.one_off = {one_off, 5, 40};
        with_one_off.out_parts = {out, 7, 5};
        with_one_off.out_one_off = other;
        contrib::contributions_with_one_off(with_one_off, options);
        CHECK(written(other) && same_bits(out, c_out) && same_bits(other, c_other));
    }

    // In place, as C++ code would.
    auto blocks = numbers(5 * 9, 4), residual = numbers(5, 5);
    auto c_blocks = blocks, c_residual = residual;
    const Tensor c_blocks_tensor(c_blocks.data(), CONTRIB_F32, 5, 9), c_residual_tensor(c_residual.data(), CONTRIB_F32, 5);
    C_SUCCEEDS(contrib_threshold_and_renormalise(c_blocks_tensor, c_residual_tensor, 0.25, c_blocks_tensor,
                                                 c_residual_tensor, nullptr));
    contrib::ThresholdAndRenormalise in_place;
    in_place.out_blocks = {blocks, 5, 9};
    in_place.out_residual = residual;
    in_place.c_blocks = in_place.out_blocks;
    in_place.c_residual = in_place.out_residual;
    in_place.threshold = 0.25;
    contrib::threshold_and_renormalise(in_place);
    CHECK(same_bits(blocks, c_blocks) && same_bits(residual, c_residual));
    CHECK(blocks != numbers(5 * 9, 4));
}

static void dense_attention_and_mlps_have_the_same_bits() {
    const auto before = numbers(2 * 3 * 32, 1), after = numbers(2 * 3 * 32, 2);
    const auto decomposed = numbers(2 * 3 * 4 * 5 * 32, 3), added = numbers(2 * 3 * 32, 4);
    const Tensor c_before(before.data(), CONTRIB_F32, 2, 3, 32), c_after(after.data(), CONTRIB_F32, 2, 3, 32);
    const contrib::TensorView before_view(before, 2, 3, 32), after_view(after, 2, 3, 32);
    auto c_resid = unwritten(6), resid = unwritten(6);
    const Tensor c_out_resid(c_resid.data(), CONTRIB_F32, 2, 3);
    contrib_options c_options = CONTRIB_OPTIONS_INIT;
    c_options.norm = 2;

    auto c_attn = unwritten(120), attn = unwritten(120);
    const Tensor c_decomposed(decomposed.data(), CONTRIB_F32, 2, 3, 4, 5, 32);
    const Tensor c_out_attn(c_attn.data(), CONTRIB_F32, 2, 3, 4, 5);
    C_SUCCEEDS(contrib_attention(c_before, c_after, c_decomposed, c_out_attn, c_out_resid, &c_options));
    contrib::Attention attention;
    attention.resid_pre = before_view;
    attention.resid_mid = after_view;
    attention.decomposed_attn = {decomposed, 2, 3, 4, 5, 32};
    attention.out_attn = {attn, 2, 3, 4, 5};
    attention.out_resid = {resid, 2, 3};
    contrib::attention(attention, in_norm(2));
    CHECK(written(attn) && written(resid) && same_bits(attn, c_attn) && same_bits(resid, c_resid));

    auto c_mlp = unwritten(6), mlp = unwritten(6);
    const Tensor c_added(added.data(), CONTRIB_F32, 2, 3, 32), c_out_mlp(c_mlp.data(), CONTRIB_F32, 2, 3);
    C_SUCCEEDS(contrib_mlp(c_before, c_after, c_added, c_out_mlp, c_out_resid, &c_options));
    contrib::Mlp of_mlp;
    of_mlp.resid_mid = before_view;
    of_mlp.resid_post = after_view;
    of_mlp.mlp_out = {added, 2, 3, 32};
    of_mlp.out_mlp = {mlp, 2, 3};
    of_mlp.out_resid = {resid, 2, 3};
    contrib::mlp(of_mlp, in_norm(2));
    CHECK(written(mlp) && same_bits(mlp, c_mlp) && same_bits(resid, c_resid));

    auto c_neurons = unwritten(120), neurons = unwritten(120);
    const Tensor c_parts(decomposed.data(), CONTRIB_F32, 2, 3, 20, 32), c_out(c_neurons.data(), CONTRIB_F32, 2, 3, 20);
    C_SUCCEEDS(contrib_decomposed_mlp(c_before, c_after, c_parts, c_out, c_out_resid, &c_options));
    contrib::DecomposedMlp of_neurons;
    of_neurons.resid_mid = before_view;
    of_neurons.resid_post = after_view;
    of_neurons.decomposed_mlp_out = {decomposed, 2, 3, 20, 32};
    of_neurons.out_neurons = {neurons, 2, 3, 20};
    of_neurons.out_resid = {resid, 2, 3};
    contrib::decomposed_mlp(of_neurons, in_norm(2));
    CHECK(written(neurons) && same_bits(neurons, c_neurons) && same_bits(resid, c_resid));
}

// What is kept of many contributions: the same type for C and for C++.
struct Kept {
    std::vector<float> out, left_out, resid;
    std::vector<std::int64_t> indices, counts;

    Kept(std::size_t items, std::size_t room)
        : out(unwritten(items * room)), left_out(unwritten(items)), resid(unwritten(items)), indices(items * room, -7),
          counts(items, -7) {}

    bool operator==(const Kept &other) const {
        return written(out) && written(left_out) && written(resid) && same_bits(out, other.out) &&
               same_bits(left_out, other.left_out) && same_bits(resid, other.resid) && indices == other.indices &&
               counts == other.counts;
    }
};

static void neurons_have_the_same_bits() {
    const auto before = numbers(6 * 32, 1), after = numbers(6 * 32, 2);
    const auto activations = numbers(6 * 50, 3), w_out = numbers(50 * 32, 4);
    Kept c(6, 10), cpp(6, 10);
    const Tensor c_before(before.data(), CONTRIB_F32, 6, 32), c_after(after.data(), CONTRIB_F32, 6, 32);
    const Tensor c_activations(activations.data(), CONTRIB_F32, 6, 50), c_w_out(w_out.data(), CONTRIB_F32, 50, 32);
    const Tensor c_out(c.out.data(), CONTRIB_F32, 6, 10), c_indices(c.indices.data(), CONTRIB_I64, 6, 10);
    const Tensor c_counts(c.counts.data(), CONTRIB_I64, 6), c_left_out(c.left_out.data(), CONTRIB_F32, 6);
    const Tensor c_resid(c.resid.data(), CONTRIB_F32, 6);
    contrib_neurons_inputs c_inputs = CONTRIB_NEURONS_INPUTS_INIT;
    c_inputs.resid_mid = c_before;
    c_inputs.resid_post = c_after;
    c_inputs.activations = c_activations;
    c_inputs.w_out = c_w_out;
    contrib_neurons_results c_results = CONTRIB_NEURONS_RESULTS_INIT;
    c_results.out_neurons = c_out;
    c_results.indices = c_indices;
    c_results.counts = c_counts;
    c_results.left_out = c_left_out;
    c_results.above = 0.02;
    c_results.out_resid = c_resid;
    C_SUCCEEDS(contrib_mlp_neurons(&c_inputs, &c_results, nullptr));

    contrib::NeuronsInputs inputs;
    inputs.resid_mid = {before, 6, 32};
    inputs.resid_post = {after, 6, 32};
    inputs.activations = {activations, 6, 50};
    inputs.w_out = {w_out, 50, 32};
    contrib::NeuronsResults results;
    results.out_neurons = {cpp.out, 6, 10};
    results.indices = {cpp.indices, 6, 10};
    results.counts = cpp.counts;
    results.left_out = cpp.left_out;
    results.above = 0.02;
    results.out_resid = cpp.resid;
    contrib::mlp_neurons(inputs, results);
    CHECK(cpp == c);
    CHECK(cpp.counts[0] > 0 && cpp.counts[0] < 50);
}

// Attention of 4 heads in 2 groups, 3 queries, 5 keys.
struct Layer {
    std::vector<float> before = numbers(3 * 32, 1), after = numbers(3 * 32, 2), pattern = numbers(4 * 3 * 5, 3);
    std::vector<float> values = numbers(5 * 2 * 8, 4), w_o = numbers(4 * 8 * 32, 5), scale = numbers(32, 6);
    std::vector<float> bias = numbers(32, 7), value_output = numbers(5 * 4 * 32, 8);
    std::vector<float> queries = numbers(3 * 4 * 16, 9), keys = numbers(5 * 2 * 16, 10);
    std::vector<float> slopes = numbers(4, 11), sinks = numbers(4, 12), mask = numbers(4 * 3 * 5, 13);
    std::vector<std::int64_t> query_positions = {4, 5, 7};
    std::vector<std::int32_t> key_positions = {1, 2, 3, 4, 6};
};

static void attention_from_a_pattern_has_the_same_bits() {
    Layer layer;
    for (std::size_t masked = 0; masked < 60; masked += 3) {
        layer.pattern[masked] = 0;
    }
    for (const bool with_value_output : {false, true}) {
        Kept c(3, 20), cpp(3, 20);
        auto c_bias_out = unwritten(3), bias_out = unwritten(3);
        const Tensor c_before(layer.before.data(), CONTRIB_F32, 1, 3, 32), c_after(layer.after.data(), CONTRIB_F32, 1, 3, 32);
        const Tensor c_pattern(layer.pattern.data(), CONTRIB_F32, 1, 4, 3, 5);
        const Tensor c_values(layer.values.data(), CONTRIB_F32, 1, 5, 2, 8), c_w_o(layer.w_o.data(), CONTRIB_F32, 4, 8, 32);
        const Tensor c_scale(layer.scale.data(), CONTRIB_F32, 1, 1, 32), c_bias(layer.bias.data(), CONTRIB_F32, 1, 1, 32);
        const Tensor c_value_output(layer.value_output.data(), CONTRIB_F32, 1, 5, 4, 32);
        const Tensor c_out(c.out.data(), CONTRIB_F32, 1, 3, 5, 4), c_resid(c.resid.data(), CONTRIB_F32, 1, 3);
        const Tensor c_bias_tensor(c_bias_out.data(), CONTRIB_F32, 1, 3);
        contrib_attention_inputs c_inputs = CONTRIB_ATTENTION_INPUTS_INIT;
        c_inputs.resid_pre = c_before;
        c_inputs.resid_mid = c_after;
        c_inputs.pattern = c_pattern;
        c_inputs.scale = c_scale;
        c_inputs.flags = CONTRIB_ATTENTION_LEAVE_OUT_MASKED;
        contrib::AttentionInputs inputs;
        inputs.resid_pre = {layer.before, 1, 3, 32};
        inputs.resid_mid = {layer.after, 1, 3, 32};
        inputs.pattern = {layer.pattern, 1, 4, 3, 5};
        inputs.scale = {layer.scale, 1, 1, 32};
        inputs.leave_out_masked = true;
        if (with_value_output) {
            c_inputs.value_output = c_value_output;
            inputs.value_output = {layer.value_output, 1, 5, 4, 32};
        } else {
            c_inputs.values = c_values;
            c_inputs.w_o = c_w_o;
            inputs.values = {layer.values, 1, 5, 2, 8};
            inputs.w_o = {layer.w_o, 4, 8, 32};
        }
        const contrib_one_off c_one_off = {c_bias, c_bias_tensor};
        contrib_attention_results c_results = CONTRIB_ATTENTION_RESULTS_INIT;
        c_results.out_attn = c_out;
        c_results.out_resid = c_resid;
        c_results.one_offs = &c_one_off;
        c_results.n_one_offs = 1;
        C_SUCCEEDS(contrib_attention_factored(&c_inputs, &c_results, nullptr));

        contrib::AttentionResults results;
        results.out_attn = {cpp.out, 1, 3, 5, 4};
        results.out_resid = {cpp.resid, 1, 3};
        results.one_offs.push_back({{layer.bias, 1, 1, 32}, {bias_out, 1, 3}});
        contrib::attention_factored(inputs, results);
        CHECK(written(cpp.out) && same_bits(cpp.out, c.out) && same_bits(cpp.resid, c.resid));
        CHECK(written(bias_out) && same_bits(bias_out, c_bias_out));
    }
}

static void attention_from_queries_and_keys_has_the_same_bits() {
    const Layer layer;
    const Tensor c_before(layer.before.data(), CONTRIB_F32, 1, 3, 32), c_after(layer.after.data(), CONTRIB_F32, 1, 3, 32);
    const Tensor c_values(layer.values.data(), CONTRIB_F32, 1, 5, 2, 8), c_w_o(layer.w_o.data(), CONTRIB_F32, 4, 8, 32);
    const Tensor c_queries(layer.queries.data(), CONTRIB_F32, 1, 3, 4, 16), c_keys(layer.keys.data(), CONTRIB_F32, 1, 5, 2, 16);
    const Tensor c_slopes(layer.slopes.data(), CONTRIB_F32, 4), c_sinks(layer.sinks.data(), CONTRIB_F32, 4);
    const Tensor c_mask(layer.mask.data(), CONTRIB_F32, 1, 4, 3, 5);
    const Tensor c_query_positions(layer.query_positions.data(), CONTRIB_I64, 1, 3);
    const Tensor c_key_positions(layer.key_positions.data(), CONTRIB_I32, 1, 5);
    // Positions one by one, and the position of the first alone.
    for (const bool with_positions : {true, false}) {
        Kept c(3, 4), cpp(3, 4);
        contrib_queries_and_keys c_pattern = CONTRIB_QUERIES_AND_KEYS_INIT;
        c_pattern.queries = c_queries;
        c_pattern.keys = c_keys;
        c_pattern.score_scale = 0.3;
        c_pattern.soft_cap = 2.0;
        c_pattern.slopes = c_slopes;
        c_pattern.sinks = c_sinks;
        c_pattern.mask = c_mask;
        c_pattern.query_positions = with_positions ? static_cast<const contrib_tensor *>(c_query_positions) : nullptr;
        c_pattern.key_positions = with_positions ? static_cast<const contrib_tensor *>(c_key_positions) : nullptr;
        c_pattern.first_query = 1;
        c_pattern.window = 3;
        c_pattern.flags = CONTRIB_CAUSAL;
        contrib_attention_inputs c_inputs = CONTRIB_ATTENTION_INPUTS_INIT;
        c_inputs.resid_pre = c_before;
        c_inputs.resid_mid = c_after;
        c_inputs.queries_and_keys = &c_pattern;
        c_inputs.values = c_values;
        c_inputs.w_o = c_w_o;
        const Tensor c_out(c.out.data(), CONTRIB_F32, 1, 3, 4), c_indices(c.indices.data(), CONTRIB_I64, 1, 3, 4);
        const Tensor c_counts(c.counts.data(), CONTRIB_I64, 1, 3), c_left_out(c.left_out.data(), CONTRIB_F32, 1, 3);
        const Tensor c_resid(c.resid.data(), CONTRIB_F32, 1, 3);
        contrib_attention_results c_results = CONTRIB_ATTENTION_RESULTS_INIT;
        c_results.out_attn = c_out;
        c_results.indices = c_indices;
        c_results.counts = c_counts;
        c_results.left_out = c_left_out;
        c_results.above = 0.05;
        c_results.out_resid = c_resid;
        c_results.flags = CONTRIB_ATTENTION_SUM_HEADS;
        C_SUCCEEDS(contrib_attention_factored(&c_inputs, &c_results, nullptr));

        contrib::QueriesAndKeys pattern;
        pattern.queries = {layer.queries, 1, 3, 4, 16};
        pattern.keys = {layer.keys, 1, 5, 2, 16};
        pattern.score_scale = 0.3;
        pattern.soft_cap = 2.0;
        pattern.slopes = layer.slopes;
        pattern.sinks = layer.sinks;
        pattern.mask = {layer.mask, 1, 4, 3, 5};
        if (with_positions) {
            pattern.query_positions = {layer.query_positions, 1, 3};
            pattern.key_positions = {layer.key_positions, 1, 5};
        }
        pattern.first_query = 1;
        pattern.window = 3;
        pattern.causal = true;
        const contrib::TensorView w_o(layer.w_o, 4, 8, 32);
        const contrib::PreparedProjection prepared(w_o);
        contrib::AttentionInputs inputs;
        inputs.resid_pre = {layer.before, 1, 3, 32};
        inputs.resid_mid = {layer.after, 1, 3, 32};
        inputs.queries_and_keys = pattern;
        inputs.values = {layer.values, 1, 5, 2, 8};
        inputs.w_o = w_o;
        inputs.prepared = &prepared;
        contrib::AttentionResults results;
        results.out_attn = {cpp.out, 1, 3, 4};
        results.indices = {cpp.indices, 1, 3, 4};
        results.counts = {cpp.counts, 1, 3};
        results.left_out = {cpp.left_out, 1, 3};
        results.above = 0.05;
        results.out_resid = {cpp.resid, 1, 3};
        results.sum_heads = true;
        contrib::attention_factored(inputs, results);
        CHECK(cpp == c);

        // That it is passed on shows where it is of another tensor.
        const auto copy = layer.w_o;
        inputs.w_o = {copy, 4, 8, 32};
        CHECK_THROWS(CONTRIB_ERROR_PREPARED, "w_o", contrib::attention_factored(inputs, results));
    }
}

static void groups_have_the_same_bits() {
    auto activations = numbers(12 * 4, 1);
    for (std::size_t masked = 0; masked < activations.size(); masked += 5) {
        activations[masked] = 0;
    }
    const auto whole = numbers(4 * 32, 2), dense = numbers(3 * 2 * 4 * 32, 3), directions = numbers(12 * 32, 4);
    const auto scale = numbers(32, 5), queries = numbers(2 * 4 * 16, 6), keys = numbers(2 * 6 * 16, 7);
    const auto values = numbers(2 * 6 * 8, 8), projection = numbers(2 * 8 * 32, 9);
    auto c_sums = unwritten(2 * 4), sums = unwritten(2 * 4), c_factored = unwritten(12 * 4), factored = unwritten(12 * 4);
    Kept c(4, 3), cpp(4, 3);

    const Tensor c_whole(whole.data(), CONTRIB_F32, 4, 32), c_dense(dense.data(), CONTRIB_F32, 3, 2, 4, 32);
    const Tensor c_sums_tensor(c_sums.data(), CONTRIB_F32, 2, 4);
    const Tensor c_activations(activations.data(), CONTRIB_F32, 12, 4), c_directions(directions.data(), CONTRIB_F32, 12, 1, 32);
    const Tensor c_scale(scale.data(), CONTRIB_F32, 1, 32), c_factored_tensor(c_factored.data(), CONTRIB_F32, 12, 4);
    const Tensor c_queries(queries.data(), CONTRIB_F32, 2, 1, 4, 16), c_keys(keys.data(), CONTRIB_F32, 2, 6, 1, 16);
    const Tensor c_values(values.data(), CONTRIB_F32, 2, 6, 1, 8), c_projection(projection.data(), CONTRIB_F32, 2, 1, 8, 32);
    const Tensor c_out(c.out.data(), CONTRIB_F32, 4, 3), c_indices(c.indices.data(), CONTRIB_I64, 4, 3);
    const Tensor c_counts(c.counts.data(), CONTRIB_I64, 4), c_left_out(c.left_out.data(), CONTRIB_F32, 4);
    contrib_queries_and_keys c_pattern = CONTRIB_QUERIES_AND_KEYS_INIT;
    c_pattern.queries = c_queries;
    c_pattern.keys = c_keys;
    contrib_group c_groups[3] = {CONTRIB_GROUP_INIT, CONTRIB_GROUP_INIT, CONTRIB_GROUP_INIT};
    c_groups[0].parts = c_dense;
    c_groups[0].out = c_sums_tensor;
    c_groups[0].flags = CONTRIB_GROUP_SUM;
    c_groups[1].parts = c_directions;
    c_groups[1].out = c_factored_tensor;
    c_groups[1].coefficients = c_activations;
    c_groups[1].scale = c_scale;
    c_groups[1].flags = CONTRIB_GROUP_LEAVE_OUT_ZEROS;
    c_groups[2].parts = c_values;
    c_groups[2].out = c_out;
    c_groups[2].projection = c_projection;
    c_groups[2].indices = c_indices;
    c_groups[2].queries_and_keys = &c_pattern;
    c_groups[2].counts = c_counts;
    c_groups[2].left_out = c_left_out;
    c_groups[2].above = 0.01;
    c_groups[2].summed_axes = 1;
    C_SUCCEEDS(contrib_group_contributions(c_whole, c_groups, 3, nullptr));

    contrib::Group of_sums;
    of_sums.parts = {dense, 3, 2, 4, 32};
    of_sums.out = {sums, 2, 4};
    of_sums.sum = true;
    contrib::Group of_factored;
    of_factored.parts = {directions, 12, 1, 32};
    of_factored.out = {factored, 12, 4};
    of_factored.coefficients = {activations, 12, 4};
    of_factored.scale = {scale, 1, 32};
    of_factored.leave_out_zeros = true;
    const contrib::TensorView projection_view(projection, 2, 1, 8, 32);
    const contrib::PreparedProjection prepared(projection_view);
    contrib::Group of_heads;
    of_heads.parts = {values, 2, 6, 1, 8};
    of_heads.out = {cpp.out, 4, 3};
    of_heads.projection = projection_view;
    of_heads.indices = {cpp.indices, 4, 3};
    of_heads.queries_and_keys.emplace();
    of_heads.queries_and_keys->queries = {queries, 2, 1, 4, 16};
    of_heads.queries_and_keys->keys = {keys, 2, 6, 1, 16};
    of_heads.counts = cpp.counts;
    of_heads.left_out = cpp.left_out;
    of_heads.above = 0.01;
    of_heads.summed_axes = 1;
    of_heads.prepared = &prepared;
    contrib::GroupContributions arguments;
    arguments.whole = {whole, 4, 32};
    arguments.groups = {of_sums, of_factored, of_heads};
    contrib::group_contributions(arguments);

    CHECK(written(sums) && same_bits(sums, c_sums) && written(factored) && same_bits(factored, c_factored));
    c.resid = cpp.resid = {0};
    CHECK(cpp == c);

    const auto copy = projection;
    arguments.groups[2].projection = {copy, 2, 1, 8, 32};
    CHECK_THROWS(CONTRIB_ERROR_PREPARED, "projection", contrib::group_contributions(arguments));
}

int main() {
    contributions_have_the_same_bits();
    dense_attention_and_mlps_have_the_same_bits();
    neurons_have_the_same_bits();
    attention_from_a_pattern_has_the_same_bits();
    attention_from_queries_and_keys_has_the_same_bits();
    groups_have_the_same_bits();
    return 0;
}
