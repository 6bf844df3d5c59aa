/* Takes the model's activations out of a safetensors file. */
#include "model.h"

#include "die.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *copy_of(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(allocate(size, 1), text, size);
}

/* Metadata holds strings only, so that a number comes as its digits. */
static size_t read_count(const struct safetensors *file, const char *key)
{
    const char *text = safetensors_metadata(file, key);
    size_t length = strlen(text);

    /* Nine digits fit an int32, and no model needs more. */
    if (length == 0 || length > 9 || strspn(text, "0123456789") != length || strtoul(text, NULL, 10) == 0)
        die("%s: __metadata__: %s: expected a positive integer below 1000000000", file->path, key);
    return (size_t)strtoul(text, NULL, 10);
}

/* Metadata holds strings only, so that a list comes as its JSON text. */
static struct json read_list(const struct safetensors *file, const char *key)
{
    const char *text = safetensors_metadata(file, key);
    struct json_error error;
    struct json list;

    if (!json_parse(text, strlen(text), &list, &error))
        die("%s: __metadata__: %s is not valid JSON: %s, at byte %zu of it", file->path, key, error.what, error.offset);
    if (list.kind != JSON_ARRAY)
        die("%s: __metadata__: %s: expected a JSON array", file->path, key);
    return list;
}

static void read_tokens(const struct safetensors *file, struct model *model)
{
    struct json list = read_list(file, "tokens");

    if (list.count == 0)
        die("%s: __metadata__: tokens: expected at least one token", file->path);
    model->n_pos = list.count;
    model->tokens = allocate(list.count, sizeof *model->tokens);
    for (size_t i = 0; i < list.count; i++) {
        if (list.items[i].kind != JSON_STRING)
            die("%s: __metadata__: tokens[%zu]: expected a string", file->path, i);
        model->tokens[i] = copy_of(list.items[i].string);
    }
    json_free(&list);
}

static void read_next_tokens(const struct safetensors *file, struct model *model)
{
    struct json list = read_list(file, "next_tokens");

    if (list.count == 0)
        die("%s: __metadata__: next_tokens: expected at least one token", file->path);
    model->n_next_tokens = list.count;
    model->next_tokens = allocate(list.count, sizeof *model->next_tokens);
    for (size_t i = 0; i < list.count; i++) {
        const struct json *pair = &list.items[i];
        if (pair->kind != JSON_ARRAY || pair->count != 2 || pair->items[0].kind != JSON_STRING ||
            pair->items[1].kind != JSON_NUMBER)
            die("%s: __metadata__: next_tokens[%zu]: expected [token, probability]", file->path, i);
        model->next_tokens[i].token = copy_of(pair->items[0].string);
        model->next_tokens[i].probability = pair->items[1].number;
    }
    json_free(&list);
}

/* By what inner products of queries and keys are multiplied; a file need not say it. */
static double read_scale(const struct safetensors *file)
{
    const char *text = safetensors_find_metadata(file, "scale");
    char *end;

    if (text == NULL)
        return 0;
    double scale = strtod(text, &end);
    if (end == text || *end != '\0' || !(scale > 0) || isinf(scale))
        die("%s: __metadata__: scale: expected a number greater than 0", file->path);
    return scale;
}

/* Queries and keys are what attention is explained from. A file without them has to have the pattern. */
static void read_shape_of_attention(const struct safetensors *file, struct model *model)
{
    model->has_queries_and_keys = safetensors_has(file, "queries.0");
    model->has_pattern = !model->has_queries_and_keys || safetensors_has(file, "pattern.0");
    if (model->has_queries_and_keys) {
        model->n_kv_heads = read_count(file, "n_kv_heads");
        model->d_head = read_count(file, "d_head");
        model->score_scale = read_scale(file);
    }
}

static float *read_of_layer(const struct safetensors *file, const char *what, size_t layer, size_t n_dims,
                            const size_t *shape)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%zu", what, layer);
    return safetensors_read(file, name, n_dims, shape);
}

static void read_layers(const struct safetensors *file, struct model *model)
{
    const size_t resid_shape[] = { model->n_pos, model->d_model };
    const size_t queries_shape[] = { model->n_pos, model->n_heads, model->d_head };
    const size_t keys_shape[] = { model->n_pos, model->n_kv_heads, model->d_head };
    const size_t pattern_shape[] = { model->n_heads, model->n_pos, model->n_pos };
    const size_t value_output_shape[] = { model->n_pos, model->n_heads, model->d_model };

    model->layers = allocate(model->n_layers, sizeof *model->layers);
    for (size_t i = 0; i < model->n_layers; i++) {
        struct layer *layer = &model->layers[i];
        layer->resid_pre = read_of_layer(file, "resid_pre", i, 2, resid_shape);
        layer->resid_mid = read_of_layer(file, "resid_mid", i, 2, resid_shape);
        layer->mlp_out = read_of_layer(file, "mlp_out", i, 2, resid_shape);
        if (model->has_queries_and_keys) {
            layer->queries = read_of_layer(file, "queries", i, 3, queries_shape);
            layer->keys = read_of_layer(file, "keys", i, 3, keys_shape);
        }
        if (model->has_pattern)
            layer->pattern = read_of_layer(file, "pattern", i, 3, pattern_shape);
        layer->value_output = read_of_layer(file, "value_output", i, 3, value_output_shape);
        if (i > 0)
            model->layers[i - 1].resid_post = layer->resid_pre;
    }
    model->last_resid_post = safetensors_read(file, "resid_post", 2, resid_shape);
    model->layers[model->n_layers - 1].resid_post = model->last_resid_post;
}

struct model model_load(const struct safetensors *file)
{
    struct model model = {
        .name = copy_of(safetensors_metadata(file, "model")),
        .prompt = copy_of(safetensors_metadata(file, "prompt")),
        .n_layers = read_count(file, "n_layers"),
        .n_heads = read_count(file, "n_heads"),
        .d_model = read_count(file, "d_model"),
    };

    /* Before anything is allocated for so many layers. */
    if (model.n_layers > file->n_tensors)
        die("%s: __metadata__: n_layers is %zu, but the file has only %zu tensors", file->path, model.n_layers,
            file->n_tensors);
    read_tokens(file, &model);
    read_next_tokens(file, &model);
    read_shape_of_attention(file, &model);
    read_layers(file, &model);
    return model;
}

float *model_decomposed_attn(const struct model *model, size_t layer)
{
    const float *pattern = model->layers[layer].pattern;
    const float *value_output = model->layers[layer].value_output;
    size_t n_pos = model->n_pos, n_heads = model->n_heads, d_model = model->d_model;
    float *decomposed_attn = allocate(n_pos, n_pos * n_heads * d_model * sizeof *decomposed_attn);
    float *part = decomposed_attn;

    for (size_t pos = 0; pos < n_pos; pos++)
        for (size_t key_pos = 0; key_pos < n_pos; key_pos++)
            for (size_t head = 0; head < n_heads; head++, part += d_model) {
                float weight = pattern[(head * n_pos + pos) * n_pos + key_pos];
                const float *moved = &value_output[(key_pos * n_heads + head) * d_model];
                for (size_t d = 0; d < d_model; d++)
                    part[d] = weight * moved[d];
            }
    return decomposed_attn;
}

void model_free(struct model *model)
{
    for (size_t i = 0; i < model->n_layers; i++) {
        free(model->layers[i].resid_pre);
        free(model->layers[i].resid_mid);
        free(model->layers[i].mlp_out);
        free(model->layers[i].queries);
        free(model->layers[i].keys);
        free(model->layers[i].pattern);
        free(model->layers[i].value_output);
    }
    for (size_t i = 0; i < model->n_pos; i++)
        free(model->tokens[i]);
    for (size_t i = 0; i < model->n_next_tokens; i++)
        free(model->next_tokens[i].token);
    free(model->layers);
    free(model->tokens);
    free(model->next_tokens);
    free(model->last_resid_post);
    free(model->name);
    free(model->prompt);
}
