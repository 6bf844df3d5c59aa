/*
 * The routes by which information reached one token's prediction, followed from the top down, as in
 * Information Flow Routes (arXiv 2403.00824).
 */
#ifndef EXPLAIN_ROUTES_H
#define EXPLAIN_ROUTES_H

#include "contributions.h"

#include <stddef.h>

/* Less flow than this would round to 0 %: not worth naming or drawing boldly. */
#define LEAST_FLOW 0.005

/* What attention brought from key_pos to pos. */
struct edge {
    size_t layer, head;
    size_t pos, key_pos;
    float contribution; /* to resid_mid at pos, after thresholding */
    double flow;        /* how much of the prediction's flow passes here */
};

struct routes {
    size_t n_layers, n_pos;
    size_t pos; /* the token explained */
    /*
     * The prediction's flow, 1 at the last layer's resid_post of `pos`, divided at every representation
     * as its parts contributed. What one layer receives it passes on whole: each row sums to 1.
     */
    double *flow; /* [layer + 1, pos]: through resid_pre of `layer`; the last row is the last resid_post */
    struct edge *edges; /* all that the flow reaches, strongest flow first */
    size_t n_edges;
};

struct routes routes_follow(const struct contributions *contributions, size_t pos);

double routes_flow(const struct routes *routes, size_t layer, size_t pos);

void routes_free(struct routes *routes);

#endif
