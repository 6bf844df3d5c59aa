/* What each part of every representation contributed: where this program calls contrib. */
#ifndef EXPLAIN_CONTRIBUTIONS_H
#define EXPLAIN_CONTRIBUTIONS_H

#include "model.h"

#include <contrib.h>
#include <stdbool.h>
#include <stddef.h>

/* One layer's contributions, of all positions. Those of one whole sum to 1. */
struct layer_contributions {
    float *attn;      /* [pos, key_pos, head], to resid_mid */
    float *resid_pre; /* [pos], to resid_mid */
    float *mlp;       /* [pos], to resid_post */
    float *resid_mid; /* [pos], to resid_post */
};

struct contributions {
    size_t n_layers, n_pos, n_heads;
    double threshold;
    struct layer_contributions *all;  /* [layer], as measured */
    struct layer_contributions *kept; /* [layer], those above the threshold, renormalised */
};

struct settings {
    double norm;
    double threshold;
    size_t n_threads; /* 0: one for each core */
};

/* How far from 1 the contributions of any one representation sum. */
struct sum_check {
    size_t n_representations;
    double largest_before, largest_after; /* NaN where any sum is NaN */
    size_t n_emptied;                     /* nothing was above the threshold, so that there is no sum after it */
};

/* Dies where a call of contrib fails. */
struct contributions contributions_measure(const struct model *model, const struct settings *settings);

/* Attention alone, of one layer, from its pattern or else from its queries and keys, whichever the model must have then:
 * writes `attn` and `resid_pre` of `out`. */
void contributions_attention(const struct model *model, size_t index, bool from_pattern, const contrib_options *options,
                             struct layer_contributions *out);

/* The contribution of `head` moving `key_pos` to `pos`. */
float contributions_attn(const struct contributions *contributions, const struct layer_contributions *layer,
                         size_t pos, size_t key_pos, size_t head);

/* Makes `*largest` the size of `deviation` where that is larger, or NaN. Once NaN, it stays so. */
void note_deviation(double *largest, double deviation);

struct sum_check contributions_check(const struct contributions *contributions);

void contributions_free(struct contributions *contributions);

#endif
