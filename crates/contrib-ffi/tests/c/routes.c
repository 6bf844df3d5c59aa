/* Routes in a model whose layers are handed in, and whose numbers are known: the structs as each C and C++ lays them
 * out, the callbacks, and what comes back.
 */
#include <contrib.h>
#include <math.h>
#include <string.h>

/* One layer, one head, one channel, two tokens, of which the second attends to both alike. */
static float resid_pre[2] = {1.0f, 2.0f};
static float pattern[4] = {1.0f, 0.0f, 0.5f, 0.5f};
static float value_output[2] = {4.0f, 8.0f};
static float resid_mid[2] = {5.0f, 8.0f};
static float mlp_out[2] = {5.0f, 8.0f};
static float resid_post[2] = {10.0f, 16.0f};

/* What a caller's functions are told to do, and what they heard. */
struct told {
    int32_t returns;
    size_t layers;
    size_t progress;
    size_t stop_after;
    char written[1 << 20];
    size_t n_written;
};

static contrib_tensor tensor(float *data, int32_t ndim, int64_t *shape) {
    contrib_tensor made;
    memset(&made, 0, sizeof made);
    made.data = data;
    made.device_type = CONTRIB_DEVICE_CPU;
    made.ndim = ndim;
    made.dtype.code = CONTRIB_DTYPE_FLOAT;
    made.dtype.bits = 32;
    made.dtype.lanes = 1;
    made.shape = shape;
    return made;
}

static int32_t hand_in(void *user_data, size_t index, contrib_layer_receiver *receiver) {
    struct told *told = (struct told *)user_data;
    int64_t of_stream[2] = {2, 1}, of_pattern[3] = {1, 2, 2}, of_product[3] = {2, 1, 1};
    contrib_tensor before = tensor(resid_pre, 2, of_stream), middle = tensor(resid_mid, 2, of_stream);
    contrib_tensor after = tensor(resid_post, 2, of_stream), mlp = tensor(mlp_out, 2, of_stream);
    contrib_tensor attends = tensor(pattern, 3, of_pattern), moves = tensor(value_output, 3, of_product);
    contrib_layer layer = CONTRIB_LAYER_INIT;

    told->layers++;
    if (index != 0 || layer.struct_size != sizeof layer || layer.prepared != NULL) {
        return 99;
    }
    layer.resid_pre = &before;
    layer.resid_mid = &middle;
    layer.resid_post = &after;
    layer.pattern = &attends;
    layer.value_output = &moves;
    layer.mlp_out = &mlp;
    if (contrib_hand_in_layer(receiver, &layer) != CONTRIB_OK) {
        return 98;
    }
    return told->returns;
}

static int32_t hear(void *user_data, const contrib_progress *progress) {
    struct told *told = (struct told *)user_data;
    told->progress++;
    return progress->n_layers != 1 || progress->done > progress->positions || told->progress == told->stop_after;
}

static int32_t keep(void *user_data, const char *bytes, size_t len) {
    struct told *told = (struct told *)user_data;
    if (told->n_written + len > sizeof told->written) {
        return 7;
    }
    memcpy(told->written + told->n_written, bytes, len);
    told->n_written += len;
    return 0;
}

static int is_near(double found, double expected) { return fabs(found - expected) < 1e-5; }

int main(void) {
    static struct told told;
    contrib_recording_source source = CONTRIB_RECORDING_SOURCE_INIT;
    contrib_routes_options options = CONTRIB_ROUTES_OPTIONS_INIT;
    contrib_routes_arrays arrays = CONTRIB_ROUTES_ARRAYS_INIT;
    contrib_totals_arrays sums = CONTRIB_TOTALS_ARRAYS_INIT;
    contrib_labels labels = CONTRIB_LABELS_INIT;
    contrib_text tokens[2] = {{"a", 1}, {"</script>", 9}};
    contrib_recording *recording = NULL;
    contrib_routes *all = NULL, *last = NULL, *none = NULL;
    contrib_totals *totals = NULL;
    contrib_difference *difference = NULL;
    const contrib_change *changes;
    const char *token;
    size_t target = 1, len = 0, i;
    double flow = 0.0;
    int32_t format;

    if (source.struct_size != sizeof source || source.layer != NULL || options.struct_size != sizeof options ||
        options.threshold != 0.04 || options.norm != 1.0 || options.flags != 0 || options.progress != NULL ||
        arrays.struct_size != sizeof arrays || arrays.edge_flow != NULL || sums.struct_size != sizeof sums ||
        labels.struct_size != sizeof labels || labels.n_next_tokens != 0) {
        return 1;
    }
    labels.tokens = tokens;
    labels.n_tokens = 2;
    source.n_layers = 1;
    source.n_pos = 2;
    source.n_heads = 1;
    source.layer = hand_in;
    source.user_data = &told;
    source.labels = &labels;
    if (contrib_recording_new(&source, &recording) != CONTRIB_OK || contrib_recording_n_pos(recording) != 2) {
        return 2;
    }
    token = contrib_recording_token(recording, 1, &len);
    if (len != 9 || memcmp(token, "</script>", 9) != 0 || contrib_recording_model(recording, &len) != NULL ||
        len != 0) {
        return 3;
    }

    /* The routes to all, and those to the last token, found and taken out. */
    options.progress = hear;
    options.user_data = &told;
    if (contrib_routes_find(recording, NULL, CONTRIB_ALL_TARGETS, &options, &all) != CONTRIB_OK || told.layers != 1 ||
        told.progress != 2 || contrib_routes_to(all, &target, 1, 0.0, &last) != CONTRIB_OK ||
        contrib_routes_get_arrays(last, &arrays) != CONTRIB_OK) {
        return 4;
    }
    if (arrays.n_layers != 1 || arrays.n_pos != 2 || arrays.n_heads != 1 || arrays.n_targets != 1 ||
        arrays.targets[0] != 1 || arrays.n_edges != 6 || arrays.starts[arrays.n_nodes] != arrays.n_edges ||
        arrays.node_kind[0] != CONTRIB_NODE_RESID_POST || !is_near(arrays.node_flow[0], 1.0)) {
        return 5;
    }
    for (i = 0; i < arrays.n_edges; i++) {
        if (arrays.edge_to[i] >= arrays.edge_from[i] || arrays.edge_from[i] >= arrays.n_nodes ||
            (arrays.edge_kind[i] == CONTRIB_EDGE_ATTENTION) != (arrays.edge_head[i] != CONTRIB_NO_HEAD)) {
            return 6;
        }
    }
    for (i = 0; i < arrays.n_nodes; i++) {
        if (arrays.node_kind[i] == CONTRIB_NODE_EMBEDDING) {
            flow += arrays.node_flow[i];
            if (!is_near(arrays.node_flow[i], arrays.node_position[i] == 0 ? 0.25 : 0.75)) {
                return 7;
            }
        }
    }
    if (!is_near(flow, 1.0)) {
        return 8;
    }

    /* Totals: of the last token, and with those of both. */
    if (contrib_totals_new(last, &totals) != CONTRIB_OK || contrib_totals_get_arrays(totals, &sums) != CONTRIB_OK ||
        sums.n_targets != 1 || !is_near(sums.heads[0], 0.75) || !is_near(sums.mlps[0], 0.5) ||
        !is_near(sums.tokens[0], 0.25) || !is_near(sums.lost, 0.0)) {
        return 9;
    }

    /* What differs between one target and both. */
    if (contrib_difference_new(last, all, 0.0, &difference) != CONTRIB_OK) {
        return 10;
    }
    changes = contrib_difference_changes(difference, &len);
    for (i = 0; i < len; i++) {
        if (changes[i].to_position != 0 || changes[i].before_weight == changes[i].before_weight) {
            return 11;
        }
    }
    if (len == 0) {
        return 12;
    }

    /* All formats, with the texts of the recording and with those of the call; and an output that is full. */
    for (format = CONTRIB_FORMAT_JSON; format <= CONTRIB_FORMAT_HTML; format++) {
        size_t first;
        told.n_written = 0;
        if (contrib_routes_write_recorded(last, recording, format, keep, &told) != CONTRIB_OK || told.n_written == 0) {
            return 13;
        }
        first = told.n_written;
        told.n_written = 0;
        if (contrib_routes_write(last, &labels, format, keep, &told) != CONTRIB_OK || told.n_written != first) {
            return 14;
        }
    }
    told.n_written = sizeof told.written;
    if (contrib_routes_write(last, NULL, CONTRIB_FORMAT_JSON, keep, &told) != CONTRIB_ERROR_CALLBACK ||
        contrib_routes_write(last, NULL, 0, keep, &told) != CONTRIB_ERROR_FORMAT) {
        return 15;
    }

    /* Callbacks that fail and stop. */
    told.returns = 3;
    if (contrib_routes_find(recording, &target, 1, NULL, &none) != CONTRIB_ERROR_CALLBACK || none != NULL ||
        strcmp(contrib_last_error_message(), "layer.0: expected 0 from the callback, got 3") != 0) {
        return 16;
    }
    told.returns = 0;
    told.progress = 0;
    told.stop_after = 2;
    if (contrib_routes_find(recording, &target, 1, &options, &none) != CONTRIB_ERROR_STOPPED || none != NULL) {
        return 17;
    }
    target = 2;
    if (contrib_routes_find(recording, &target, 1, NULL, &none) != CONTRIB_ERROR_TARGET || none != NULL ||
        contrib_recording_open("/nonexistent", &recording) != CONTRIB_ERROR_IO ||
        contrib_recording_open(NULL, &recording) != CONTRIB_ERROR_NULL_POINTER) {
        return 18;
    }
    contrib_difference_free(difference);
    contrib_totals_free(totals);
    contrib_routes_free(last);
    contrib_routes_free(all);
    contrib_recording_free(recording);
    return 0;
}
