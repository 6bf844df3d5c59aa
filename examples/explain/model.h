/* What a transformer computed on one prompt, as far as its explanation needs it. */
#ifndef EXPLAIN_MODEL_H
#define EXPLAIN_MODEL_H

#include "safetensors.h"

#include <stdbool.h>
#include <stddef.h>

struct layer {
    float *resid_pre;        /* [pos, d_model] */
    float *resid_mid;        /* [pos, d_model] */
    float *mlp_out;          /* [pos, d_model] */
    const float *resid_post; /* [pos, d_model]: the next layer's resid_pre */
    float *queries;          /* [pos, head, d_head], or NULL */
    float *keys;             /* [key_pos, kv_head, d_head], or NULL */
    float *pattern;          /* [head, pos, key_pos], or NULL where there are queries and keys */
    float *value_output;     /* [key_pos, head, d_model]: the value times the head's slice of W_O */
};

struct next_token {
    char *token;
    double probability;
};

struct model {
    char *name;
    char *prompt;
    size_t n_layers, n_heads, n_pos, d_model;
    bool has_queries_and_keys, has_pattern; /* one of them, or both */
    size_t n_kv_heads, d_head;              /* of keys */
    double score_scale;                     /* 0: 1 / sqrt(d_head) */
    char **tokens;                  /* [pos] */
    struct next_token *next_tokens; /* what the model expects after the last token, likeliest first */
    size_t n_next_tokens;
    struct layer *layers;
    float *last_resid_post; /* [pos, d_model] */
};

/* Dies where the file lacks something. The file may be freed afterwards. */
struct model model_load(const struct safetensors *file);

/* decomposed_attn[pos, key_pos, head, d_model] of one layer: what each head moved from each token to each. */
float *model_decomposed_attn(const struct model *model, size_t layer);

void model_free(struct model *model);

#endif
