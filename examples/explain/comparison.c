/* Calls contrib in both ways for every layer's attention, with a clock and an eye on the memory. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */

#include "comparison.h"

#include "calls.h"
#include "die.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* After a first one, in which the memory is looked at, so many are timed, and the fastest counts. */
#define N_RUNS 5

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* From here on the process's peak is counted anew, where the system lets us: Linux does. */
static bool forget_peak(void)
{
#ifdef __GLIBC__
    /* What was freed and is still held would be used again, and the process would not seem to grow. */
    malloc_trim(0);
#endif
    FILE *stream = fopen("/proc/self/clear_refs", "w");
    if (stream == NULL)
        return false;
    bool written = fputs("5", stream) >= 0;
    return fclose(stream) == 0 && written;
}

/* The peak in bytes; 0 where the system does not say. */
static size_t peak(void)
{
    FILE *stream = fopen("/proc/self/status", "r");
    char line[256];
    size_t kilobytes = 0;

    if (stream == NULL)
        return 0;
    while (kilobytes == 0 && fgets(line, sizeof line, stream) != NULL)
        sscanf(line, "VmHWM: %zu", &kilobytes);
    fclose(stream);
    return kilobytes * 1024;
}

/* NaN, so that what contrib does not write shows as a difference; and so that the memory is there before it is used. */
static float *unwritten(size_t count)
{
    float *values = allocate(count, sizeof *values);

    for (size_t i = 0; i < count; i++)
        values[i] = NAN;
    return values;
}

static void dense_attention(const struct model *model, size_t index, const float *parts, const contrib_options *options,
                            struct layer_contributions *out)
{
    const struct layer *layer = &model->layers[index];
    int64_t n_pos = (int64_t)model->n_pos, n_heads = (int64_t)model->n_heads, d_model = (int64_t)model->d_model;

    check_call(contrib_attention(CONTRIB_TENSOR(layer->resid_pre, CONTRIB_F32, BATCH, n_pos, d_model),
                                 CONTRIB_TENSOR(layer->resid_mid, CONTRIB_F32, BATCH, n_pos, d_model),
                                 CONTRIB_TENSOR(parts, CONTRIB_F32, BATCH, n_pos, n_pos, n_heads, d_model),
                                 CONTRIB_TENSOR(out->attn, CONTRIB_F32, BATCH, n_pos, n_pos, n_heads),
                                 CONTRIB_TENSOR(out->resid_pre, CONTRIB_F32, BATCH, n_pos), options),
               "contrib_attention");
}

/* One way, once, for one layer. */
static struct cost run(const struct model *model, size_t index, bool dense, const contrib_options *options,
                       struct layer_contributions *out)
{
    struct cost cost = { 0 };
    float *parts = NULL;
    double start = now(), called = start;

    if (dense) {
        parts = model_decomposed_attn(model, index);
        cost.vector_bytes = model->n_pos * model->n_pos * model->n_heads * model->d_model * sizeof *parts;
        called = now();
        dense_attention(model, index, parts, options, out);
    } else {
        contributions_attention(model, index, true, options, out);
    }
    double end = now();
    cost.call_seconds = end - called;
    cost.total_seconds = end - start;
    free(parts);
    return cost;
}

/* One way, often enough, for one layer; added to the cost of the layers before it. */
static void measure(const struct model *model, size_t index, bool dense, const contrib_options *options,
                    struct layer_contributions *out, struct cost *cost)
{
    struct cost fastest = { .call_seconds = INFINITY, .total_seconds = INFINITY };

    bool peak_is_new = forget_peak();
    size_t before = peak();
    run(model, index, dense, options, out);
    size_t after = peak();
    if (!peak_is_new || before == 0)
        cost->growth_is_known = false;
    else if (after > before && after - before > cost->growth)
        cost->growth = after - before;

    for (size_t i = 0; i < N_RUNS; i++) {
        struct cost once = run(model, index, dense, options, out);
        fastest.call_seconds = fmin(fastest.call_seconds, once.call_seconds);
        fastest.total_seconds = fmin(fastest.total_seconds, once.total_seconds);
        cost->vector_bytes = once.vector_bytes;
    }
    cost->call_seconds += fastest.call_seconds;
    cost->total_seconds += fastest.total_seconds;
}

static void note_differences(const float *one, const float *other, size_t count, double *largest)
{
    for (size_t i = 0; i < count; i++)
        note_deviation(largest, (double)one[i] - (double)other[i]);
}

struct comparison comparison_measure(const struct model *model, const struct settings *settings)
{
    size_t n_pos = model->n_pos, n_parts = n_pos * n_pos * model->n_heads;
    struct layer_contributions factored = { .attn = unwritten(n_parts), .resid_pre = unwritten(n_pos) };
    struct layer_contributions dense = { .attn = unwritten(n_parts), .resid_pre = unwritten(n_pos) };
    contrib_context *context = NULL;
    contrib_options options = CONTRIB_OPTIONS_INIT;

    check_call(contrib_context_new(settings->n_threads, &context), "contrib_context_new");
    options.norm = settings->norm;
    options.context = context;
    struct comparison result = {
        .n_threads = contrib_context_threads(context),
        .n_runs = N_RUNS,
        .factored = { .growth_is_known = true },
        .dense = { .growth_is_known = true },
    };
    for (size_t i = 0; i < model->n_layers; i++) {
        measure(model, i, false, &options, &factored, &result.factored);
        measure(model, i, true, &options, &dense, &result.dense);
        note_differences(factored.attn, dense.attn, n_parts, &result.largest_difference);
        note_differences(factored.resid_pre, dense.resid_pre, n_pos, &result.largest_difference);
    }
    contrib_context_free(context);
    free(factored.attn);
    free(factored.resid_pre);
    free(dense.attn);
    free(dense.resid_pre);
    return result;
}
