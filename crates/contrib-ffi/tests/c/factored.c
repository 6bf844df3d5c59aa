/* Factored parts from C and C++, with numbers that one can check by hand: neurons, heads and groups, all and the strongest,
 * sums, and a threshold. Every example has the parts (2, 0), (0, 0) and (0, 1), and (1, 0) before them, of the whole (3, 1):
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

static contrib_tensor tensor(void *data, uint8_t code, uint8_t bits, int32_t ndim, int64_t *shape) {
    contrib_tensor tensor;
    tensor.data = data;
    tensor.device_type = CONTRIB_DEVICE_CPU;
    tensor.device_id = 0;
    tensor.ndim = ndim;
    tensor.dtype.code = code;
    tensor.dtype.bits = bits;
    tensor.dtype.lanes = 1;
    tensor.shape = shape;
    tensor.strides = NULL;
    tensor.byte_offset = 0;
    return tensor;
}

static contrib_tensor floats(float *data, int32_t ndim, int64_t *shape) {
    return tensor(data, CONTRIB_DTYPE_FLOAT, 32, ndim, shape);
}

static float before[2] = {1, 0}, after[2] = {3, 1};

static void neurons(void) {
    float activation[3] = {2, 0, 1}, direction[6] = {1, 0, 5, 5, 0, 1}, contribution[3], resid_contribution;
    int64_t vector[1] = {2}, hidden[1] = {3}, matrix[2] = {3, 2}, k[1] = {2}, index[2] = {-1, -1};
    int32_t small_index[2] = {-1, -1};
    const double all[3] = {0.5, 0.0, 0.25}, strongest[2] = {0.5, 0.25}, resid[1] = {0.25}, kept[3] = {1.0, 0.0, 0.0};
    contrib_tensor resid_mid = floats(before, 1, vector), resid_post = floats(after, 1, vector);
    contrib_tensor activations = floats(activation, 1, hidden), w_out = floats(direction, 2, matrix);
    contrib_tensor out_all = floats(contribution, 1, hidden), out_strongest = floats(contribution, 1, k);
    contrib_tensor out_indices = tensor(index, CONTRIB_DTYPE_INT, 64, 1, k);
    contrib_tensor out_small_indices = tensor(small_index, CONTRIB_DTYPE_INT, 32, 1, k);
    contrib_tensor out_resid = floats(&resid_contribution, 0, NULL);
    contrib_options options = CONTRIB_OPTIONS_INIT;
    contrib_status status;

    status = contrib_mlp_neurons(&resid_mid, &resid_post, &activations, &w_out, &out_all, NULL, &out_resid, NULL);
    check(status, contribution, all, 3, "neurons");
    check(status, &resid_contribution, resid, 1, "the stream beside neurons");

    status = contrib_mlp_neurons(&resid_mid, &resid_post, &activations, &w_out, &out_strongest, &out_indices,
                                 &out_resid, &options);
    check(status, contribution, strongest, 2, "the strongest neurons");
    status = contrib_mlp_neurons(&resid_mid, &resid_post, &activations, &w_out, &out_strongest, &out_small_indices,
                                 &out_resid, &options);
    check(status, contribution, strongest, 2, "the strongest neurons in int32");
    if (index[0] != 0 || index[1] != 2 || small_index[0] != 0 || small_index[1] != 2) {
        fprintf(stderr, "the strongest neurons are others\n");
        failures++;
    }

    options.threshold = 0.3;
    status = contrib_mlp_neurons(&resid_mid, &resid_post, &activations, &w_out, &out_all, NULL, &out_resid, &options);
    check(status, contribution, kept, 3, "neurons above a threshold");
}

static void heads(void) {
    /* Two heads of one key-value head: the first attends to the first of two tokens, the second to the other. */
    float attention[4] = {1, 0, 0, 1}, value[2] = {2, 1}, matrix[4] = {1, 0, 0, 1}, product[8] = {2, 0, 0, 2, 1, 0, 0, 1};
    float contribution[4], resid_contribution, one_off_contribution, ones[1] = {1};
    int64_t stream[3] = {1, 1, 2}, pattern_shape[4] = {1, 2, 1, 2}, values_shape[4] = {1, 2, 1, 1};
    int64_t w_o_shape[3] = {2, 1, 2}, product_shape[4] = {1, 2, 2, 2}, out_shape[4] = {1, 1, 2, 2}, one[3] = {1, 1, 1};
    const double each[4] = {0.5, 0.0, 0.0, 0.25}, sums[2] = {0.5, 0.25}, resid[1] = {0.25};
    const double with_one_off[2] = {0.4, 0.2}, one_off_expected[1] = {0.2};
    contrib_tensor resid_pre = floats(before, 3, stream), resid_mid = floats(after, 3, stream);
    contrib_tensor pattern = floats(attention, 4, pattern_shape), values = floats(value, 4, values_shape);
    contrib_tensor w_o = floats(matrix, 3, w_o_shape), products = floats(product, 4, product_shape);
    contrib_tensor out_each = floats(contribution, 4, out_shape), out_sums = floats(contribution, 3, out_shape);
    contrib_tensor out_resid = floats(&resid_contribution, 2, out_shape);
    contrib_tensor scale = floats(ones, 3, one), one_off_out = floats(&one_off_contribution, 2, one);
    contrib_attention_extras extras = CONTRIB_ATTENTION_EXTRAS_INIT;
    contrib_one_off one_off;
    contrib_status status;

    status = contrib_attention_factored(&resid_pre, &resid_mid, &pattern, &values, &w_o, NULL, &out_each, &out_resid,
                                        NULL);
    check(status, contribution, each, 4, "heads");
    check(status, &resid_contribution, resid, 1, "the stream beside heads");
    status = contrib_attention_factored(&resid_pre, &resid_mid, &pattern, &products, NULL, &extras, &out_sums,
                                        &out_resid, NULL);
    check(status, contribution, sums, 2, "sums over heads");

    /* A further part that is as far away as the stream before. */
    one_off.part = &resid_pre;
    one_off.out = &one_off_out;
    extras.scale = &scale;
    extras.one_offs = &one_off;
    extras.n_one_offs = 1;
    extras.flags = CONTRIB_ATTENTION_LEAVE_OUT_MASKED;
    status = contrib_attention_factored(&resid_pre, &resid_mid, &pattern, &values, &w_o, &extras, &out_sums, &out_resid,
                                        NULL);
    check(status, contribution, with_one_off, 2, "heads beside another part");
    check(status, &one_off_contribution, one_off_expected, 1, "another part");
}

static void groups(void) {
    float coefficient[3] = {2, 0, 1}, direction[6] = {1, 0, 5, 5, 0, 1}, ones[2] = {1, 1}, identity[4] = {1, 0, 0, 1};
    float contribution[3], stream_contribution;
    int64_t vector[1] = {2}, parts[1] = {3}, matrix[2] = {3, 2}, projection_shape[3] = {1, 2, 2}, k[1] = {1}, index[1];
    const double all[3] = {0.5, 0.0, 0.25}, sum[1] = {0.75}, strongest[1] = {0.5}, stream[1] = {0.25};
    contrib_tensor whole = floats(after, 1, vector), resid = floats(before, 1, vector);
    contrib_tensor coefficients = floats(coefficient, 1, parts), directions = floats(direction, 2, matrix);
    contrib_tensor projection = floats(identity, 3, projection_shape), scale = floats(ones, 1, vector);
    contrib_tensor out_all = floats(contribution, 1, parts), out_sum = floats(contribution, 0, NULL);
    contrib_tensor out_strongest = floats(contribution, 1, k), indices = tensor(index, CONTRIB_DTYPE_INT, 64, 1, k);
    contrib_tensor out_stream = floats(&stream_contribution, 0, NULL);
    contrib_group both[2];
    contrib_status status;
    int i;

    for (i = 0; i < 2; i++) {
        both[i].struct_size = sizeof(contrib_group);
        both[i].parts = i == 0 ? &directions : &resid;
        both[i].out = i == 0 ? &out_all : &out_stream;
        both[i].coefficients = i == 0 ? &coefficients : NULL;
        both[i].projection = NULL;
        both[i].scale = NULL;
        both[i].indices = NULL;
        both[i].flags = 0;
    }
    status = contrib_group_contributions(&whole, both, 2, NULL);
    check(status, contribution, all, 3, "a group");
    check(status, &stream_contribution, stream, 1, "the other group");
    both[0].projection = &projection;
    both[0].scale = &scale;
    both[0].flags = CONTRIB_GROUP_LEAVE_OUT_ZEROS;
    status = contrib_group_contributions(&whole, both, 2, NULL);
    check(status, contribution, all, 3, "a group with a projection and a scale of 1");
    both[0].out = &out_sum;
    both[0].flags |= CONTRIB_GROUP_SUM;
    status = contrib_group_contributions(&whole, both, 2, NULL);
    check(status, contribution, sum, 1, "a sum");
    both[0].out = &out_strongest;
    both[0].indices = &indices;
    both[0].flags = 0;
    index[0] = -1;
    status = contrib_group_contributions(&whole, both, 2, NULL);
    check(status, contribution, strongest, 1, "the strongest part");
    if (index[0] != 0) {
        fprintf(stderr, "the strongest part is another\n");
        failures++;
    }
    both[0].flags = CONTRIB_GROUP_SUM;
    if (contrib_group_contributions(&whole, both, 2, NULL) != CONTRIB_ERROR_FLAGS) {
        fprintf(stderr, "a sum of the strongest is no error\n");
        failures++;
    }
}

int main(void) {
    neurons();
    heads();
    groups();
    return failures != 0;
}
