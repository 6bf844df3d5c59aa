/* Factored parts from C and C++, with numbers that one can check by hand: neurons, heads and groups, all, the strongest and
 * those above a number, sums, and a threshold. Every example has the parts (2, 0), (0, 0) and (0, 1), and (1, 0) before them, of the whole (3, 1):
 * with 1-norms 2, 4, 3 and 3 away from it, they contribute 1/2, nothing to speak of, 1/4 and 1/4.
 */
#include <contrib.h>

#include <math.h>
#include <stdio.h>

static int failures;

static void check(contrib_status status, const float *found, const double *expected, int count, const char *what) {
    int i;
    if (status != CONTRIB_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, contrib_status_name(status), contrib_last_error_message());
        failures++;
        return;
    }
    for (i = 0; i < count; i++) {
        if (!(fabs((double)found[i] - expected[i]) < 1e-5)) {
            fprintf(stderr, "%s[%d]: %g, not %g\n", what, i, (double)found[i], expected[i]);
            failures++;
        }
    }
}

/* The same in both languages: a named variable in C++, which keeps the extents; in C a pointer. */
#ifdef __cplusplus
#define TENSOR(name, data, ...) contrib::Tensor name(data, __VA_ARGS__)
#define SCALAR(name, data, dtype) contrib::Tensor name(data, dtype)
#else
#define TENSOR(name, data, ...) const contrib_tensor *name = CONTRIB_TENSOR(data, __VA_ARGS__)
#define SCALAR(name, data, dtype) const contrib_tensor *name = CONTRIB_SCALAR(data, dtype)
#endif

static const float before[2] = {1, 0}, after[2] = {3, 1};

static void neurons(void) {
    const float activation[3] = {2, 0, 1}, direction[6] = {1, 0, 5, 5, 0, 1};
    float contribution[3], resid_contribution;
    int64_t index[2] = {-1, -1};
    int32_t small_index[2] = {-1, -1};
    float others;
    int32_t count = -1;
    const double all[3] = {0.5, 0.0, 0.25}, strongest[2] = {0.5, 0.25}, resid[1] = {0.25}, kept[3] = {1.0, 0.0, 0.0};
    const double in_order[2] = {0.5, 0.25}, none[1] = {0};
    TENSOR(resid_mid, before, CONTRIB_F32, 2);
    TENSOR(resid_post, after, CONTRIB_F32, 2);
    TENSOR(activations, activation, CONTRIB_F32, 3);
    TENSOR(w_out, direction, CONTRIB_F32, 3, 2);
    TENSOR(out_all, contribution, CONTRIB_F32, 3);
    TENSOR(out_strongest, contribution, CONTRIB_F32, 2);
    TENSOR(indices, index, CONTRIB_I64, 2);
    TENSOR(small_indices, small_index, CONTRIB_I32, 2);
    TENSOR(out_one, contribution, CONTRIB_F32, 1);
    TENSOR(one_index, index, CONTRIB_I64, 1);
    SCALAR(count_of, &count, CONTRIB_I32);
    SCALAR(left_out, &others, CONTRIB_F32);
    SCALAR(out_resid, &resid_contribution, CONTRIB_F32);
    contrib_neurons_inputs inputs = CONTRIB_NEURONS_INPUTS_INIT;
    contrib_neurons_results results = CONTRIB_NEURONS_RESULTS_INIT;
    contrib_options options = CONTRIB_OPTIONS_INIT;

    inputs.resid_mid = resid_mid;
    inputs.resid_post = resid_post;
    inputs.activations = activations;
    inputs.w_out = w_out;
    results.out_neurons = out_all;
    results.out_resid = out_resid;
    check(contrib_mlp_neurons(&inputs, &results, NULL), contribution, all, 3, "neurons");
    check(CONTRIB_OK, &resid_contribution, resid, 1, "the stream beside neurons");

    results.out_neurons = out_strongest;
    results.indices = indices;
    check(contrib_mlp_neurons(&inputs, &results, &options), contribution, strongest, 2, "the strongest neurons");
    results.indices = small_indices;
    check(contrib_mlp_neurons(&inputs, &results, &options), contribution, strongest, 2,
          "the strongest neurons in int32");
    if (index[0] != 0 || index[1] != 2 || small_index[0] != 0 || small_index[1] != 2) {
        fprintf(stderr, "the strongest neurons are others\n");
        failures++;
    }

    /* Of 1/2, 0 and 1/4, two are above 1/5, and one of them is left out where there is room for one. */
    results.indices = indices;
    results.counts = count_of;
    results.left_out = left_out;
    results.above = 0.2;
    check(contrib_mlp_neurons(&inputs, &results, NULL), contribution, in_order, 2, "neurons above a fifth");
    check(CONTRIB_OK, &others, none, 1, "the neurons that are left out");
    results.out_neurons = out_one;
    results.indices = one_index;
    check(contrib_mlp_neurons(&inputs, &results, NULL), contribution, in_order, 1, "neurons in a row for one");
    check(CONTRIB_OK, &others, resid, 1, "the neuron that there is no room for");
    if (count != 2 || index[0] != 0 || index[1] != 2) {
        fprintf(stderr, "%d neurons are above a fifth, not 2; or they are others\n", (int)count);
        failures++;
    }

    results.out_neurons = out_all;
    results.indices = results.counts = results.left_out = NULL;
    results.above = 0;
    options.threshold = 0.3;
    check(contrib_mlp_neurons(&inputs, &results, &options), contribution, kept, 3, "neurons above a threshold");
}

static void heads(void) {
    /* Two heads of one key-value head: the first attends to the first of two tokens, the second to the other. */
    const float attention[4] = {1, 0, 0, 1}, value[2] = {2, 1}, matrix[4] = {1, 0, 0, 1}, ones[1] = {1};
    const float product[8] = {2, 0, 0, 2, 1, 0, 0, 1}, same_matrix[4] = {1, 0, 0, 1};
    float contribution[4], resid_contribution, one_off_contribution;
    const double each[4] = {0.5, 0.0, 0.0, 0.25}, sums[2] = {0.5, 0.25}, resid[1] = {0.25};
    const double with_one_off[2] = {0.4, 0.2}, one_off_expected[1] = {0.2};
    TENSOR(resid_pre, before, CONTRIB_F32, 1, 1, 2);
    TENSOR(resid_mid, after, CONTRIB_F32, 1, 1, 2);
    TENSOR(pattern, attention, CONTRIB_F32, 1, 2, 1, 2);
    TENSOR(values, value, CONTRIB_F32, 1, 2, 1, 1);
    TENSOR(w_o, matrix, CONTRIB_F32, 2, 1, 2);
    TENSOR(same_matrices, same_matrix, CONTRIB_F32, 2, 1, 2);
    TENSOR(value_output, product, CONTRIB_F32, 1, 2, 2, 2);
    TENSOR(scale, ones, CONTRIB_F32, 1, 1, 1);
    TENSOR(out_each, contribution, CONTRIB_F32, 1, 1, 2, 2);
    TENSOR(out_sums, contribution, CONTRIB_F32, 1, 1, 2);
    TENSOR(out_resid, &resid_contribution, CONTRIB_F32, 1, 1);
    TENSOR(one_off_out, &one_off_contribution, CONTRIB_F32, 1, 1);
    contrib_attention_inputs inputs = CONTRIB_ATTENTION_INPUTS_INIT;
    contrib_attention_results results = CONTRIB_ATTENTION_RESULTS_INIT;
    contrib_one_off one_off;
    contrib_prepared_projection *prepared = NULL;

    inputs.resid_pre = resid_pre;
    inputs.resid_mid = resid_mid;
    inputs.pattern = pattern;
    inputs.values = values;
    inputs.w_o = w_o;
    results.out_attn = out_each;
    results.out_resid = out_resid;
    check(contrib_attention_factored(&inputs, &results, NULL), contribution, each, 4, "heads");
    check(CONTRIB_OK, &resid_contribution, resid, 1, "the stream beside heads");

    /* The same with what is prepared of the matrices, once for all calls. */
    check(contrib_prepared_projection_new(w_o, NULL, &prepared), NULL, NULL, 0, "preparing the matrices");
    inputs.prepared = prepared;
    contribution[0] = contribution[3] = resid_contribution = -1;
    check(contrib_attention_factored(&inputs, &results, NULL), contribution, each, 4, "heads of prepared matrices");
    check(CONTRIB_OK, &resid_contribution, resid, 1, "the stream beside heads of prepared matrices");
    inputs.w_o = same_matrices;
    if (contrib_attention_factored(&inputs, &results, NULL) != CONTRIB_ERROR_PREPARED) {
        fprintf(stderr, "matrices that are not those that were prepared are no error\n");
        failures++;
    }
    inputs.prepared = NULL;
    contrib_prepared_projection_free(prepared);

    inputs.values = inputs.w_o = NULL;
    inputs.value_output = value_output;
    results.out_attn = out_sums;
    results.flags = CONTRIB_ATTENTION_SUM_HEADS;
    check(contrib_attention_factored(&inputs, &results, NULL), contribution, sums, 2, "sums over heads");

    /* A further part that is as far away as the stream before. */
    one_off.part = resid_pre;
    one_off.out = one_off_out;
    inputs.scale = scale;
    inputs.flags = CONTRIB_ATTENTION_LEAVE_OUT_MASKED;
    results.one_offs = &one_off;
    results.n_one_offs = 1;
    check(contrib_attention_factored(&inputs, &results, NULL), contribution, with_one_off, 2,
          "heads beside another part");
    check(CONTRIB_OK, &one_off_contribution, one_off_expected, 1, "another part");
}

/* The same heads from queries and keys: by a mask, and by scores so far apart that the lesser is nothing beside the larger. */
static void heads_from_scores(void) {
    const float query[2] = {1, -1}, key[2] = {1, -1}, same[2] = {0, 0};
    const float not_allowed[4] = {0, -INFINITY, -INFINITY, 0}, value[2] = {2, 1}, matrix[4] = {1, 0, 0, 1};
    float contribution[4], resid_contribution;
    int64_t index[2] = {-2, -2};
    const int32_t position[2] = {7, 7};
    const double each[4] = {0.5, 0.0, 0.0, 0.25}, resid[1] = {0.25}, strongest[2] = {0.5, 0.25};
    TENSOR(resid_pre, before, CONTRIB_F32, 1, 1, 2);
    TENSOR(resid_mid, after, CONTRIB_F32, 1, 1, 2);
    TENSOR(queries, query, CONTRIB_F32, 1, 1, 2, 1);
    TENSOR(keys, key, CONTRIB_F32, 1, 2, 1, 1);
    TENSOR(alike, same, CONTRIB_F32, 1, 1, 2, 1);
    TENSOR(mask, not_allowed, CONTRIB_F32, 1, 2, 1, 2);
    TENSOR(positions, position, CONTRIB_I32, 1, 2);
    TENSOR(query_position, position, CONTRIB_I32, 1, 1);
    TENSOR(values, value, CONTRIB_F32, 1, 2, 1, 1);
    TENSOR(w_o, matrix, CONTRIB_F32, 2, 1, 2);
    TENSOR(out_each, contribution, CONTRIB_F32, 1, 1, 2, 2);
    TENSOR(out_strongest, contribution, CONTRIB_F32, 1, 1, 2);
    TENSOR(indices, index, CONTRIB_I64, 1, 1, 2);
    TENSOR(out_resid, &resid_contribution, CONTRIB_F32, 1, 1);
    contrib_queries_and_keys queries_and_keys = CONTRIB_QUERIES_AND_KEYS_INIT;
    contrib_attention_inputs inputs = CONTRIB_ATTENTION_INPUTS_INIT;
    contrib_attention_results results = CONTRIB_ATTENTION_RESULTS_INIT;

    inputs.resid_pre = resid_pre;
    inputs.resid_mid = resid_mid;
    inputs.queries_and_keys = &queries_and_keys;
    inputs.values = values;
    inputs.w_o = w_o;
    results.out_attn = out_each;
    results.out_resid = out_resid;

    queries_and_keys.queries = queries;
    queries_and_keys.keys = keys;
    queries_and_keys.score_scale = 100;
    check(contrib_attention_factored(&inputs, &results, NULL), contribution, each, 4, "heads from scores");
    check(CONTRIB_OK, &resid_contribution, resid, 1, "the stream beside heads from scores");

    queries_and_keys.queries = alike;
    queries_and_keys.mask = mask;
    queries_and_keys.query_positions = query_position;
    queries_and_keys.key_positions = positions;
    queries_and_keys.window = 1;
    queries_and_keys.flags = CONTRIB_CAUSAL;
    check(contrib_attention_factored(&inputs, &results, NULL), contribution, each, 4, "heads from a mask");
    results.out_attn = out_strongest;
    results.indices = indices;
    check(contrib_attention_factored(&inputs, &results, NULL), contribution, strongest, 2, "the strongest heads");
    if (index[0] != 0 || index[1] != 3) {
        fprintf(stderr, "the strongest heads are others\n");
        failures++;
    }
}

static void groups(void) {
    const float coefficient[3] = {2, 0, 1}, direction[6] = {1, 0, 5, 5, 0, 1}, ones[2] = {1, 1};
    const float identity[4] = {1, 0, 0, 1};
    contrib_prepared_projection *prepared = NULL;
    float contribution[3], stream_contribution;
    int64_t index[1];
    const double all[3] = {0.5, 0.0, 0.25}, sum[1] = {0.75}, strongest[1] = {0.5}, stream[1] = {0.25};
    TENSOR(whole, after, CONTRIB_F32, 2);
    TENSOR(resid, before, CONTRIB_F32, 2);
    TENSOR(coefficients, coefficient, CONTRIB_F32, 3);
    TENSOR(directions, direction, CONTRIB_F32, 3, 2);
    TENSOR(projection, identity, CONTRIB_F32, 1, 2, 2);
    TENSOR(scale, ones, CONTRIB_F32, 2);
    TENSOR(out_all, contribution, CONTRIB_F32, 3);
    SCALAR(out_sum, contribution, CONTRIB_F32);
    TENSOR(out_strongest, contribution, CONTRIB_F32, 1);
    TENSOR(indices, index, CONTRIB_I64, 1);
    SCALAR(out_stream, &stream_contribution, CONTRIB_F32);
    contrib_group both[2] = {CONTRIB_GROUP_INIT, CONTRIB_GROUP_INIT};

    both[0].parts = directions;
    both[0].coefficients = coefficients;
    both[0].out = out_all;
    both[1].parts = resid;
    both[1].out = out_stream;
    check(contrib_group_contributions(whole, both, 2, NULL), contribution, all, 3, "a group");
    check(CONTRIB_OK, &stream_contribution, stream, 1, "the other group");
    both[0].projection = projection;
    check(contrib_prepared_projection_new(projection, NULL, &prepared), NULL, NULL, 0, "preparing a projection");
    both[0].prepared = prepared;
    check(contrib_group_contributions(whole, both, 2, NULL), contribution, all, 3, "a group with what is prepared");
    both[0].prepared = NULL;
    contrib_prepared_projection_free(prepared);
    contrib_prepared_projection_free(NULL);
    both[0].scale = scale;
    both[0].flags = CONTRIB_GROUP_LEAVE_OUT_ZEROS;
    check(contrib_group_contributions(whole, both, 2, NULL), contribution, all, 3,
          "a group with a projection and a scale of 1");
    both[0].out = out_sum;
    both[0].flags |= CONTRIB_GROUP_SUM;
    check(contrib_group_contributions(whole, both, 2, NULL), contribution, sum, 1, "a sum");
    both[0].out = out_strongest;
    both[0].indices = indices;
    both[0].flags = 0;
    index[0] = -1;
    check(contrib_group_contributions(whole, both, 2, NULL), contribution, strongest, 1, "the strongest part");
    if (index[0] != 0) {
        fprintf(stderr, "the strongest part is another\n");
        failures++;
    }
    both[0].flags = CONTRIB_GROUP_SUM;
    if (contrib_group_contributions(whole, both, 2, NULL) != CONTRIB_ERROR_FLAGS) {
        fprintf(stderr, "a sum of the strongest is no error\n");
        failures++;
    }
}

int main(void) {
    neurons();
    heads();
    heads_from_scores();
    groups();
    return failures != 0;
}
