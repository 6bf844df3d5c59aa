/* The explanation as text. */
#ifndef EXPLAIN_REPORT_H
#define EXPLAIN_REPORT_H

#include "comparison.h"
#include "contributions.h"
#include "model.h"
#include "routes.h"
#include "safetensors.h"

/* What is explained, and what the model expects next. */
void report_subject(const struct model *model, size_t pos, const struct settings *settings);

/* A line for each layer: what `pos` was made of there. */
void report_layers(const struct model *model, const struct contributions *contributions, size_t pos);

/* Every contribution of one layer to `pos` that survived. */
void report_one_layer(const struct model *model, const struct contributions *contributions, size_t layer, size_t pos);

/* The strongest attention edges of the routes, and the tokens at which the routes begin. */
void report_routes(const struct model *model, const struct routes *routes);

/* Prints whether the contributions of every representation sum to 1, and returns it. */
bool report_check(const struct sum_check *check);

/* What both ways cost. Prints whether they agree, and returns it. */
bool report_comparison(const struct model *model, const struct settings *settings,
                       const struct comparison *comparison);

#endif
