/* Routes in a forward pass that is in memory: a program that runs a model hands in its layers, one at a time.
 *
 * The model has one layer, one head and one channel. Its two tokens have the streams 1 and 2; the second attends to
 * both alike, and moves half of 4 and half of 8. */
#include <contrib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_LAYERS = 1, N_POS = 2, N_HEADS = 1, D_MODEL = 1 };

/* What an engine has in its hands. Each sum is that of its parts. */
struct pass {
    float resid_pre[N_LAYERS][N_POS][D_MODEL];
    float pattern[N_LAYERS][N_HEADS][N_POS][N_POS];
    float value_output[N_LAYERS][N_POS][N_HEADS][D_MODEL];
    float resid_mid[N_LAYERS][N_POS][D_MODEL];
    float mlp_out[N_LAYERS][N_POS][D_MODEL];
    float resid_post[N_LAYERS][N_POS][D_MODEL];
};

/* Hands in a layer. Its numbers stay where they are; nothing else has to. */
static int32_t hand_in(void *user_data, size_t i, contrib_layer_receiver *receiver)
{
    const struct pass *pass = user_data;
    contrib_layer layer = CONTRIB_LAYER_INIT;

    layer.resid_pre = CONTRIB_TENSOR(pass->resid_pre[i], CONTRIB_F32, N_POS, D_MODEL);
    layer.pattern = CONTRIB_TENSOR(pass->pattern[i], CONTRIB_F32, N_HEADS, N_POS, N_POS);
    layer.value_output = CONTRIB_TENSOR(pass->value_output[i], CONTRIB_F32, N_POS, N_HEADS, D_MODEL);
    layer.resid_mid = CONTRIB_TENSOR(pass->resid_mid[i], CONTRIB_F32, N_POS, D_MODEL);
    layer.mlp_out = CONTRIB_TENSOR(pass->mlp_out[i], CONTRIB_F32, N_POS, D_MODEL);
    layer.resid_post = CONTRIB_TENSOR(pass->resid_post[i], CONTRIB_F32, N_POS, D_MODEL);
    return contrib_hand_in_layer(receiver, &layer) == CONTRIB_OK ? 0 : 1;
}

static void expect(contrib_status status)
{
    if (status != CONTRIB_OK) {
        fprintf(stderr, "%s: %s\n", contrib_status_name(status), contrib_last_error_message());
        exit(EXIT_FAILURE);
    }
}

int main(void)
{
    struct pass pass = {
        .resid_pre = { { { 1 }, { 2 } } },
        .pattern = { { { { 1, 0 }, { 0.5f, 0.5f } } } },
        .value_output = { { { { 4 } }, { { 8 } } } },
        .resid_mid = { { { 1 + 4 }, { 2 + 2 + 4 } } },
        .mlp_out = { { { 5 }, { 8 } } },
        .resid_post = { { { 10 }, { 16 } } },
    };
    const contrib_text tokens[N_POS] = { { "Hello", 5 }, { " world", 6 } };
    contrib_labels labels = CONTRIB_LABELS_INIT;
    contrib_recording_source source = CONTRIB_RECORDING_SOURCE_INIT;
    contrib_totals_arrays sums = CONTRIB_TOTALS_ARRAYS_INIT;
    const size_t last = N_POS - 1;
    contrib_recording *recording;
    contrib_routes *routes;
    contrib_totals *totals;

    labels.tokens = tokens;
    labels.n_tokens = N_POS;
    source.n_layers = N_LAYERS;
    source.n_pos = N_POS;
    source.n_heads = N_HEADS;
    source.layer = hand_in;
    source.user_data = &pass;
    source.labels = &labels;
    expect(contrib_recording_new(&source, &recording));
    expect(contrib_routes_find(recording, &last, 1, NULL, &routes));
    expect(contrib_totals_new(routes, &totals));
    expect(contrib_totals_get_arrays(totals, &sums));

    /* The MLP has half of resid_post, and reads resid_mid. Of that, a quarter came from the first token. */
    for (size_t i = 0; i < sums.n_pos; i++) {
        size_t len;
        const char *token = contrib_recording_token(recording, i, &len);
        printf("%.3f from \"%.*s\"\n", sums.tokens[i], (int)len, token); /* 0.250, 0.750 */
    }
    printf("%.3f through the head, %.3f through the MLP\n", sums.heads[0], sums.mlps[0]); /* 0.750, 0.500 */
    int is_right = fabs(sums.tokens[0] - 0.25) < 1e-5 && fabs(sums.tokens[1] - 0.75) < 1e-5 &&
                   fabs(sums.heads[0] - 0.75) < 1e-5 && fabs(sums.mlps[0] - 0.5) < 1e-5;

    contrib_totals_free(totals);
    contrib_routes_free(routes);
    contrib_recording_free(recording);
    return is_right ? EXIT_SUCCESS : EXIT_FAILURE;
}
