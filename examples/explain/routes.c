/* Walks back from the prediction through the contributions that survived the threshold. */
#include "routes.h"

#include "die.h"

#include <stdlib.h>

static int compare_sizes(size_t one, size_t other)
{
    return (one > other) - (one < other);
}

/* Strongest first; where two are alike, the later layer first, so that the order is always the same. */
static int compare_edges(const void *left, const void *right)
{
    const struct edge *one = left, *other = right;

    if (one->flow != other->flow)
        return one->flow < other->flow ? 1 : -1;
    if (one->layer != other->layer)
        return compare_sizes(other->layer, one->layer);
    if (one->pos != other->pos)
        return compare_sizes(other->pos, one->pos);
    if (one->key_pos != other->key_pos)
        return compare_sizes(other->key_pos, one->key_pos);
    return compare_sizes(one->head, other->head);
}

/*
 * The flow that arrives at `pos` from above, divided over what resid_mid was made of. The MLP needs no
 * step of its own: it read resid_mid of the same token, so that its share comes back there.
 */
static void descend(const struct contributions *contributions, struct routes *routes, size_t layer, size_t pos,
                    size_t *capacity)
{
    const struct layer_contributions *kept = &contributions->kept[layer];
    double arriving = routes_flow(routes, layer + 1, pos);
    double *below = &routes->flow[layer * routes->n_pos];

    if (!(arriving > 0))
        return;
    if (kept->resid_pre[pos] > 0)
        below[pos] += arriving * (double)kept->resid_pre[pos];
    for (size_t key_pos = 0; key_pos < contributions->n_pos; key_pos++)
        for (size_t head = 0; head < contributions->n_heads; head++) {
            float contribution = contributions_attn(contributions, kept, pos, key_pos, head);
            if (!(contribution > 0)) /* below the threshold, or NaN */
                continue;
            double flow = arriving * (double)contribution;
            below[key_pos] += flow;
            routes->edges = make_room(routes->edges, routes->n_edges, capacity, sizeof *routes->edges);
            routes->edges[routes->n_edges++] = (struct edge){ layer, head, pos, key_pos, contribution, flow };
        }
}

struct routes routes_follow(const struct contributions *contributions, size_t pos)
{
    struct routes routes = {
        .n_layers = contributions->n_layers,
        .n_pos = contributions->n_pos,
        .pos = pos,
        .flow = allocate((contributions->n_layers + 1) * contributions->n_pos, sizeof *routes.flow),
    };
    size_t capacity = 0;

    routes.flow[routes.n_layers * routes.n_pos + pos] = 1;
    for (size_t layer = routes.n_layers; layer-- > 0;)
        for (size_t i = 0; i < routes.n_pos; i++)
            descend(contributions, &routes, layer, i, &capacity);
    if (routes.n_edges > 0)
        qsort(routes.edges, routes.n_edges, sizeof *routes.edges, compare_edges);
    return routes;
}

double routes_flow(const struct routes *routes, size_t layer, size_t pos)
{
    return routes->flow[layer * routes->n_pos + pos];
}

void routes_free(struct routes *routes)
{
    free(routes->flow);
    free(routes->edges);
}
