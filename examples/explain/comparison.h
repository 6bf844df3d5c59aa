/* Attention calculated in both ways that contrib offers, to see what each costs and that they agree. */
#ifndef EXPLAIN_COMPARISON_H
#define EXPLAIN_COMPARISON_H

#include "contributions.h"
#include "model.h"

#include <stdbool.h>
#include <stddef.h>

/* Of one way, over all layers. */
struct cost {
    double call_seconds;  /* in contrib */
    double total_seconds; /* with making the vectors */
    size_t vector_bytes;  /* of one layer's vectors; all layers have as many */
    bool growth_is_known;
    size_t growth; /* bytes by which the process became larger, at most: the vectors and working memory */
};

struct comparison {
    size_t n_threads, n_runs;
    struct cost factored; /* contrib_attention_factored, from the pattern and value_output */
    struct cost dense;    /* contrib_attention, from decomposed_attn */
    double largest_difference; /* of any contribution; NaN where any is NaN */
};

/* Dies where a call of contrib fails. */
struct comparison comparison_measure(const struct model *model, const struct settings *settings);

#endif
