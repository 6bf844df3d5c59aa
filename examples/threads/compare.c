#include "compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A layer like GPT-2's, and a prompt. */
enum { HEADS = 12, D_HEAD = 64, D_MODEL = 768, TOKENS = 192 };

/* How often each call is made; the fastest counts. */
enum { ROUNDS = 5 };

struct layer {
    float pattern[HEADS][TOKENS][TOKENS];
    float values[TOKENS][HEADS][D_HEAD];
    float w_o[HEADS][D_HEAD][D_MODEL];
    float resid_pre[TOKENS][D_MODEL];
    float resid_mid[TOKENS][D_MODEL];
};

struct results {
    float attn[TOKENS][TOKENS];
    float resid[TOKENS];
};

void must_be_ok(contrib_status status)
{
    if (status != CONTRIB_OK) {
        fprintf(stderr, "%s: %s\n", contrib_status_name(status), contrib_last_error_message());
        exit(EXIT_FAILURE);
    }
}

static void *must_allocate(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(EXIT_FAILURE);
    }
    return memory;
}

/* Evenly distributed from -1 to 1. */
static float random_number(void)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int64_t)(state >> 11) / (float)((int64_t)1 << 52) - 1.0f;
}

/* A causal pattern whose rows sum to 1, and a residual stream that attention has been added to. */
static void fill(struct layer *layer)
{
    for (int head = 0; head < HEADS; head++) {
        for (int query = 0; query < TOKENS; query++) {
            float sum = 0;
            for (int key = 0; key <= query; key++)
                sum += layer->pattern[head][query][key] = 1.001f + random_number();
            for (int key = 0; key <= query; key++)
                layer->pattern[head][query][key] /= sum;
        }
        for (int row = 0; row < D_HEAD; row++)
            for (int column = 0; column < D_MODEL; column++)
                layer->w_o[head][row][column] = 0.2f * random_number();
    }
    for (int token = 0; token < TOKENS; token++) {
        for (int head = 0; head < HEADS; head++)
            for (int row = 0; row < D_HEAD; row++)
                layer->values[token][head][row] = random_number();
        for (int column = 0; column < D_MODEL; column++)
            layer->resid_mid[token][column] = layer->resid_pre[token][column] = random_number();
    }
    for (int query = 0; query < TOKENS; query++)
        for (int head = 0; head < HEADS; head++)
            for (int row = 0; row < D_HEAD; row++) {
                float z = 0;
                for (int key = 0; key <= query; key++)
                    z += layer->pattern[head][query][key] * layer->values[key][head][row];
                for (int column = 0; column < D_MODEL; column++)
                    layer->resid_mid[query][column] += z * layer->w_o[head][row][column];
            }
}

/* What each token, summed over heads, and the residual stream before attention contribute. */
static void call(const struct layer *layer, const contrib_context *context, struct results *out)
{
    contrib_attention_inputs inputs = CONTRIB_ATTENTION_INPUTS_INIT;
    contrib_attention_results results = CONTRIB_ATTENTION_RESULTS_INIT;
    contrib_options options = CONTRIB_OPTIONS_INIT;

    inputs.resid_pre = CONTRIB_TENSOR(layer->resid_pre, CONTRIB_F32, 1, TOKENS, D_MODEL);
    inputs.resid_mid = CONTRIB_TENSOR(layer->resid_mid, CONTRIB_F32, 1, TOKENS, D_MODEL);
    inputs.pattern = CONTRIB_TENSOR(layer->pattern, CONTRIB_F32, 1, HEADS, TOKENS, TOKENS);
    inputs.values = CONTRIB_TENSOR(layer->values, CONTRIB_F32, 1, TOKENS, HEADS, D_HEAD);
    inputs.w_o = CONTRIB_TENSOR(layer->w_o, CONTRIB_F32, HEADS, D_HEAD, D_MODEL);
    results.out_attn = CONTRIB_TENSOR(out->attn, CONTRIB_F32, 1, TOKENS, TOKENS);
    results.out_resid = CONTRIB_TENSOR(out->resid, CONTRIB_F32, 1, TOKENS);
    results.flags = CONTRIB_ATTENTION_SUM_HEADS;
    options.context = context;
    must_be_ok(contrib_attention_factored(&inputs, &results, &options));
}

/* The milliseconds of the fastest call. */
static double time_of(const struct layer *layer, const contrib_context *context, struct results *out)
{
    double fastest = 1e30;
    for (int round = 0; round < ROUNDS; round++) {
        struct timespec begin, end;
        timespec_get(&begin, TIME_UTC);
        call(layer, context, out);
        timespec_get(&end, TIME_UTC);
        double ms = 1e3 * (double)(end.tv_sec - begin.tv_sec) + 1e-6 * (double)(end.tv_nsec - begin.tv_nsec);
        if (ms < fastest)
            fastest = ms;
    }
    return fastest;
}

int compare_with_one_thread(const char *name, const contrib_context *context)
{
    struct layer *layer = must_allocate(sizeof *layer);
    struct results *of_host = must_allocate(sizeof *of_host);
    struct results *of_one = must_allocate(sizeof *of_one);
    contrib_context *one = NULL;
    must_be_ok(contrib_context_new(1, &one));
    fill(layer);

    printf("one thread:  %7.2f ms\n", time_of(layer, one, of_one));
    printf("%zu of %s: %7.2f ms\n", contrib_context_threads(context), name, time_of(layer, context, of_host));
    int same = memcmp(of_host, of_one, sizeof *of_one) == 0;
    printf("%s\n", same ? "the same bits" : "DIFFERENT RESULTS");

    contrib_context_free(one);
    free(of_one);
    free(of_host);
    free(layer);
    return same ? EXIT_SUCCESS : EXIT_FAILURE;
}
