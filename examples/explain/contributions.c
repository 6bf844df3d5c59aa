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

void contributions_attention(const struct model *model, size_t index, const contrib_options *options,
                             struct layer_contributions *out)
{
    const struct layer *layer = &model->layers[index];
    int64_t n_pos = (int64_t)model->n_pos, n_heads = (int64_t)model->n_heads, d_model = (int64_t)model->d_model;
    int64_t resid_shape[] = { BATCH, n_pos, d_model };
    int64_t pattern_shape[] = { BATCH, n_heads, n_pos, n_pos };
    int64_t value_output_shape[] = { BATCH, n_pos, n_heads, d_model };
    int64_t c_attn_shape[] = { BATCH, n_pos, n_pos, n_heads };

    contrib_tensor resid_pre = tensor_of(layer->resid_pre, resid_shape, 3);
    contrib_tensor resid_mid = tensor_of(layer->resid_mid, resid_shape, 3);
    contrib_tensor pattern = tensor_of(layer->pattern, pattern_shape, 4);
    contrib_tensor value_output = tensor_of(layer->value_output, value_output_shape, 4);
    contrib_tensor c_attn = tensor_of(out->attn, c_attn_shape, 4);
    contrib_tensor c_resid_pre = tensor_of(out->resid_pre, resid_shape, 2);

    /* No w_o, which value_output has in it already, and no extras: nothing but the heads was added to the stream. */
    check_call(contrib_attention_factored(&resid_pre, &resid_mid, &pattern, &value_output, NULL, NULL, &c_attn,
                                          &c_resid_pre, options),
               "contrib_attention_factored");
}

static void measure_mlp(const struct model *model, size_t index, const contrib_options *options,
                        struct layer_contributions *out)
{
    const struct layer *layer = &model->layers[index];
    int64_t shape[] = { BATCH, (int64_t)model->n_pos, (int64_t)model->d_model };

    contrib_tensor resid_mid = tensor_of(layer->resid_mid, shape, 3);
    contrib_tensor resid_post = tensor_of(layer->resid_post, shape, 3);
    contrib_tensor mlp_out = tensor_of(layer->mlp_out, shape, 3);
    /* An output has the axes of its parts, without the vectors' own. */
    contrib_tensor c_mlp = tensor_of(out->mlp, shape, 2);
    contrib_tensor c_resid_mid = tensor_of(out->resid_mid, shape, 2);

    check_call(contrib_mlp(&resid_mid, &resid_post, &mlp_out, &c_mlp, &c_resid_mid, options), "contrib_mlp");
}

/*
 * The contributions to one representation at every position: `blocks` and what the residual stream kept. (A threshold
 * in the options of the calls above would do the same at once, but here what was measured is shown too.)
 */
static void keep_above(double threshold, int64_t *shape, int32_t n_dims, const float *blocks, const float *residual,
                       float *kept_blocks, float *kept_residual, const contrib_options *options)
{
    contrib_tensor c_blocks = tensor_of(blocks, shape, n_dims), out_blocks = tensor_of(kept_blocks, shape, n_dims);
    contrib_tensor c_residual = tensor_of(residual, shape, 2), out_residual = tensor_of(kept_residual, shape, 2);

    check_call(contrib_threshold_and_renormalise(&c_blocks, &c_residual, threshold, &out_blocks, &out_residual,
                                                 options),
               "contrib_threshold_and_renormalise");
}

static void measure_layer(const struct model *model, size_t index, double threshold, const contrib_options *options,
                          struct layer_contributions *all, struct layer_contributions *kept)
{
    int64_t shape[] = { BATCH, (int64_t)model->n_pos, (int64_t)model->n_pos, (int64_t)model->n_heads };

    contributions_attention(model, index, options, all);
    measure_mlp(model, index, options, all);
    keep_above(threshold, shape, 4, all->attn, all->resid_pre, kept->attn, kept->resid_pre, options);
    keep_above(threshold, shape, 2, all->mlp, all->resid_mid, kept->mlp, kept->resid_mid, options);
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
