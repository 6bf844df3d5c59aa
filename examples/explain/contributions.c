/* Calls contrib for every layer: attention, MLP, and the threshold over both. */
#include "contributions.h"

#include "calls.h"
#include "die.h"

#include <math.h>
#include <stdlib.h>

static struct layer_contributions layer_new(size_t n_pos, size_t n_heads)
{
    return (struct layer_contributions){
        .attn = allocate(n_pos * n_pos * n_heads, sizeof(float)),
        .resid_pre = allocate(n_pos, sizeof(float)),
        .mlp = allocate(n_pos, sizeof(float)),
        .resid_mid = allocate(n_pos, sizeof(float)),
    };
}

void contributions_attention(const struct model *model, size_t index, bool from_pattern, const contrib_options *options,
                             struct layer_contributions *out)
{
    const struct layer *layer = &model->layers[index];
    int64_t n_pos = (int64_t)model->n_pos, n_heads = (int64_t)model->n_heads, d_model = (int64_t)model->d_model;
    int64_t n_kv_heads = (int64_t)model->n_kv_heads, d_head = (int64_t)model->d_head;
    contrib_queries_and_keys queries_and_keys = CONTRIB_QUERIES_AND_KEYS_INIT;
    contrib_attention_inputs inputs = CONTRIB_ATTENTION_INPUTS_INIT;
    contrib_attention_results results = CONTRIB_ATTENTION_RESULTS_INIT;

    inputs.resid_pre = CONTRIB_TENSOR(layer->resid_pre, CONTRIB_F32, BATCH, n_pos, d_model);
    inputs.resid_mid = CONTRIB_TENSOR(layer->resid_mid, CONTRIB_F32, BATCH, n_pos, d_model);
    queries_and_keys.queries = CONTRIB_TENSOR(layer->queries, CONTRIB_F32, BATCH, n_pos, n_heads, d_head);
    queries_and_keys.keys = CONTRIB_TENSOR(layer->keys, CONTRIB_F32, BATCH, n_pos, n_kv_heads, d_head);
    queries_and_keys.score_scale = model->score_scale;
    queries_and_keys.flags = CONTRIB_CAUSAL;
    /* (No `if`: what CONTRIB_TENSOR makes is gone at the end of the branch.) */
    inputs.pattern =
        from_pattern ? CONTRIB_TENSOR(layer->pattern, CONTRIB_F32, BATCH, n_heads, n_pos, n_pos) : NULL;
    inputs.queries_and_keys = from_pattern ? NULL : &queries_and_keys;
    /* In place of values and w_o, their products. */
    inputs.value_output = CONTRIB_TENSOR(layer->value_output, CONTRIB_F32, BATCH, n_pos, n_heads, d_model);
    results.out_attn = CONTRIB_TENSOR(out->attn, CONTRIB_F32, BATCH, n_pos, n_pos, n_heads);
    results.out_resid = CONTRIB_TENSOR(out->resid_pre, CONTRIB_F32, BATCH, n_pos);
    check_call(contrib_attention_factored(&inputs, &results, options), "contrib_attention_factored");
}

static void measure_mlp(const struct model *model, size_t index, const contrib_options *options,
                        struct layer_contributions *out)
{
    const struct layer *layer = &model->layers[index];
    int64_t n_pos = (int64_t)model->n_pos, d_model = (int64_t)model->d_model;

    /* An output has the axes of its parts, without the vectors' own. */
    check_call(contrib_mlp(CONTRIB_TENSOR(layer->resid_mid, CONTRIB_F32, BATCH, n_pos, d_model),
                           CONTRIB_TENSOR(layer->resid_post, CONTRIB_F32, BATCH, n_pos, d_model),
                           CONTRIB_TENSOR(layer->mlp_out, CONTRIB_F32, BATCH, n_pos, d_model),
                           CONTRIB_TENSOR(out->mlp, CONTRIB_F32, BATCH, n_pos),
                           CONTRIB_TENSOR(out->resid_mid, CONTRIB_F32, BATCH, n_pos), options),
               "contrib_mlp");
}

/*
 * The contributions to one representation at every position: `n_blocks` of them and what the residual stream kept. (A
 * threshold in the options of the calls above would do the same at once, but here what was measured is shown too.)
 */
static void keep_above(double threshold, size_t n_pos, size_t n_blocks, const float *blocks, const float *residual,
                       float *kept_blocks, float *kept_residual, const contrib_options *options)
{
    int64_t pos = (int64_t)n_pos, count = (int64_t)n_blocks;

    check_call(contrib_threshold_and_renormalise(CONTRIB_TENSOR(blocks, CONTRIB_F32, pos, count),
                                                 CONTRIB_TENSOR(residual, CONTRIB_F32, pos), threshold,
                                                 CONTRIB_TENSOR(kept_blocks, CONTRIB_F32, pos, count),
                                                 CONTRIB_TENSOR(kept_residual, CONTRIB_F32, pos), options),
               "contrib_threshold_and_renormalise");
}

static void measure_layer(const struct model *model, size_t index, double threshold, const contrib_options *options,
                          struct layer_contributions *all, struct layer_contributions *kept)
{
    size_t n_pos = model->n_pos;

    contributions_attention(model, index, !model->has_queries_and_keys, options, all);
    measure_mlp(model, index, options, all);
    keep_above(threshold, n_pos, n_pos * model->n_heads, all->attn, all->resid_pre, kept->attn, kept->resid_pre, options);
    keep_above(threshold, n_pos, 1, all->mlp, all->resid_mid, kept->mlp, kept->resid_mid, options);
}

struct contributions contributions_measure(const struct model *model, const struct settings *settings)
{
    struct contributions result = {
        .n_layers = model->n_layers,
        .n_pos = model->n_pos,
        .n_heads = model->n_heads,
        .threshold = settings->threshold,
        .all = allocate(model->n_layers, sizeof *result.all),
        .kept = allocate(model->n_layers, sizeof *result.kept),
    };
    contrib_context *context = NULL;
    contrib_options options = CONTRIB_OPTIONS_INIT;

    check_call(contrib_context_new(settings->n_threads, &context), "contrib_context_new");
    options.norm = settings->norm;
    options.context = context;
    for (size_t i = 0; i < model->n_layers; i++) {
        result.all[i] = layer_new(model->n_pos, model->n_heads);
        result.kept[i] = layer_new(model->n_pos, model->n_heads);
        measure_layer(model, i, settings->threshold, &options, &result.all[i], &result.kept[i]);
    }
    contrib_context_free(context);
    return result;
}

float contributions_attn(const struct contributions *contributions, const struct layer_contributions *layer,
                         size_t pos, size_t key_pos, size_t head)
{
    return layer->attn[(pos * contributions->n_pos + key_pos) * contributions->n_heads + head];
}

static double sum_of_resid_mid(const struct contributions *contributions, const struct layer_contributions *layer,
                               size_t pos)
{
    size_t n_parts = contributions->n_pos * contributions->n_heads;
    double sum = (double)layer->resid_pre[pos];

    for (size_t i = 0; i < n_parts; i++)
        sum += (double)layer->attn[pos * n_parts + i];
    return sum;
}

static double sum_of_resid_post(const struct layer_contributions *layer, size_t pos)
{
    return (double)layer->mlp[pos] + (double)layer->resid_mid[pos];
}

void note_deviation(double *largest, double deviation)
{
    /* fmax would prefer any number to NaN. */
    if (!(fabs(deviation) <= *largest) && !isnan(*largest))
        *largest = fabs(deviation);
}

static bool any_above(const float *values, size_t count, double threshold)
{
    for (size_t i = 0; i < count; i++)
        if (!((double)values[i] <= threshold)) /* NaN is no empty representation: it is a wrong one */
            return true;
    return false;
}

static void check_one(struct sum_check *check, double before, double after, bool emptied)
{
    check->n_representations++;
    note_deviation(&check->largest_before, before - 1);
    if (emptied)
        check->n_emptied++;
    else
        note_deviation(&check->largest_after, after - 1);
}

struct sum_check contributions_check(const struct contributions *contributions)
{
    size_t n_parts = contributions->n_pos * contributions->n_heads;
    double threshold = contributions->threshold;
    struct sum_check result = { 0 };

    for (size_t i = 0; i < contributions->n_layers; i++) {
        const struct layer_contributions *all = &contributions->all[i], *kept = &contributions->kept[i];
        for (size_t pos = 0; pos < contributions->n_pos; pos++) {
            bool some_of_mid = any_above(&all->attn[pos * n_parts], n_parts, threshold) ||
                               any_above(&all->resid_pre[pos], 1, threshold);
            bool some_of_post =
                any_above(&all->mlp[pos], 1, threshold) || any_above(&all->resid_mid[pos], 1, threshold);
            check_one(&result, sum_of_resid_mid(contributions, all, pos), sum_of_resid_mid(contributions, kept, pos),
                      !some_of_mid);
            check_one(&result, sum_of_resid_post(all, pos), sum_of_resid_post(kept, pos), !some_of_post);
        }
    }
    return result;
}

static void layers_free(struct layer_contributions *layers, size_t n_layers)
{
    for (size_t i = 0; i < n_layers; i++) {
        free(layers[i].attn);
        free(layers[i].resid_pre);
        free(layers[i].mlp);
        free(layers[i].resid_mid);
    }
    free(layers);
}

void contributions_free(struct contributions *contributions)
{
    layers_free(contributions->all, contributions->n_layers);
    layers_free(contributions->kept, contributions->n_layers);
}
