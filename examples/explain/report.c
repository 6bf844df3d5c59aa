/* The explanation as text: aligned tables of at most LINE_WIDTH columns. */
#include "report.h"

#include "die.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_WIDTH 120
#define N_STRONGEST 10

/* Sums are of float32 contributions, each rounded to 6e-8 of itself; anything near this is a fault. */
#define LARGEST_DEVIATION 1e-5

/* Dense vectors are products rounded to float32, those of factored parts are not. */
#define LARGEST_DIFFERENCE 1e-6

/* One attended token and head. */
struct source {
    size_t key_pos, head;
    float contribution, before; /* after and before thresholding */
};

/* `" Italy"@10`: the position tells equal tokens apart. */
static char *token_at(const struct model *model, size_t pos)
{
    char *token = quoted(model->tokens[pos]);
    size_t size = strlen(token) + 24;
    char *label = allocate(size, 1);

    snprintf(label, size, "%s@%zu", token, pos);
    free(token);
    return label;
}

/* Pads by characters where printf would by bytes. */
static void print_padded(const char *text, size_t width)
{
    size_t length = utf8_length(text);

    printf("%s%*s", text, length < width ? (int)(width - length) : 0, "");
}

static void print_share(float share)
{
    if (share == 0)
        printf("   .");
    else
        printf("%4.2f", (double)share);
}

static int compare_sources(const void *left, const void *right)
{
    const struct source *one = left, *other = right;

    if (one->contribution != other->contribution)
        return one->contribution < other->contribution ? 1 : -1;
    if (one->key_pos != other->key_pos)
        return one->key_pos < other->key_pos ? -1 : 1;
    return (one->head > other->head) - (one->head < other->head);
}

/* What survived of attention at `pos`, strongest first; the caller's to free. */
static struct source *surviving(const struct contributions *contributions, size_t layer, size_t pos, size_t *count)
{
    struct source *sources = NULL;
    size_t capacity = 0;

    *count = 0;
    for (size_t key_pos = 0; key_pos < contributions->n_pos; key_pos++)
        for (size_t head = 0; head < contributions->n_heads; head++) {
            float kept = contributions_attn(contributions, &contributions->kept[layer], pos, key_pos, head);
            if (!(kept > 0))
                continue;
            sources = make_room(sources, *count, &capacity, sizeof *sources);
            sources[(*count)++] = (struct source){
                .key_pos = key_pos,
                .head = head,
                .contribution = kept,
                .before = contributions_attn(contributions, &contributions->all[layer], pos, key_pos, head),
            };
        }
    if (*count > 0)
        qsort(sources, *count, sizeof *sources, compare_sources);
    return sources;
}

static void print_model(const struct model *model)
{
    char *name = printable(model->name), *prompt = printable(model->prompt);

    printf("Model    %s: %zu layers of %zu heads, d_model %zu\n", name, model->n_layers, model->n_heads,
           model->d_model);
    printf("Prompt   %s\n", prompt);
    free(name);
    free(prompt);
}

void report_subject(const struct model *model, size_t pos, const struct settings *settings)
{
    char *token = token_at(model, pos);

    print_model(model);
    printf("Token    %s, of %zu tokens; contributions in the %g-norm, threshold %g\n", token, model->n_pos,
           settings->norm, settings->threshold);
    printf("Next     ");
    for (size_t i = 0; i < model->n_next_tokens; i++) {
        char *next = quoted(model->next_tokens[i].token);
        printf("%s%s %.1f %%", i > 0 ? ", " : "", next, model->next_tokens[i].probability * 100);
        free(next);
    }
    putchar('\n');
    if (pos + 1 < model->n_pos)
        printf("         (after the last token, not after this one: the file does not say what was expected there)\n");
    free(token);
}

/* As many as fit in `width` columns; the others counted. */
static void print_sources(const struct model *model, const struct source *sources, size_t count, size_t width)
{
    enum { ROOM_FOR_MORE = 24 };

    for (size_t i = 0; i < count; i++) {
        char *token = token_at(model, sources[i].key_pos), item[64];
        int tail = snprintf(item, sizeof item, " h%zu %.2f", sources[i].head, (double)sources[i].contribution);
        size_t length = utf8_length(token) + (size_t)tail + 3;

        if (i > 0 && length + (i + 1 < count ? ROOM_FOR_MORE : 0) > width) {
            float rest = 0;
            for (size_t j = i; j < count; j++)
                rest += sources[j].contribution;
            printf("   and %zu more, %.2f", count - i, (double)rest);
            free(token);
            return;
        }
        printf("   %s%s", token, item);
        width -= length < width ? length : width;
        free(token);
    }
}

void report_layers(const struct model *model, const struct contributions *contributions, size_t pos)
{
    static const char heading[] = "  layer  resid_pre   MLP";
    char *token = token_at(model, pos);

    printf("\nWhat %s was made of, layer by layer (what was at most %g is left out and shown as '.')\n", token,
           contributions->threshold);
    printf("  resid_pre: kept of what was there before; attention: what heads (h) brought from tokens\n"
           "  (\"token\"@position), strongest first; these sum to 1 = resid_mid. MLP: its share of resid_post.\n\n");
    printf("%s   attention\n", heading);
    for (size_t layer = 0; layer < contributions->n_layers; layer++) {
        const struct layer_contributions *kept = &contributions->kept[layer];
        size_t count;
        struct source *sources = surviving(contributions, layer, pos, &count);

        printf("  %5zu       ", layer);
        print_share(kept->resid_pre[pos]);
        printf("  ");
        print_share(kept->mlp[pos]);
        print_sources(model, sources, count, LINE_WIDTH - strlen(heading));
        putchar('\n');
        free(sources);
    }
    free(token);
}

static void print_part(const char *part, const char *from, float before, float after)
{
    printf("  ");
    print_padded(part, 12);
    print_padded(from, 24);
    printf("%8.4f", (double)before);
    if (after == 0)
        printf("       .\n");
    else
        printf("  %6.4f\n", (double)after);
}

void report_one_layer(const struct model *model, const struct contributions *contributions, size_t layer, size_t pos)
{
    const struct layer_contributions *all = &contributions->all[layer], *kept = &contributions->kept[layer];
    size_t count;
    struct source *sources = surviving(contributions, layer, pos, &count);
    char *token = token_at(model, pos), heading[32];

    printf("\nLayer %zu, %s: contributions as measured, and after the threshold of %g ('.': below it)\n", layer, token,
           contributions->threshold);
    printf("\n  to resid_mid                        measured   after\n");
    print_part("resid_pre", token, all->resid_pre[pos], kept->resid_pre[pos]);
    for (size_t i = 0; i < count; i++) {
        char *from = token_at(model, sources[i].key_pos);
        snprintf(heading, sizeof heading, "head %zu", sources[i].head);
        print_part(heading, from, sources[i].before, sources[i].contribution);
        free(from);
    }
    printf("\n  to resid_post                       measured   after\n");
    print_part("resid_mid", token, all->resid_mid[pos], kept->resid_mid[pos]);
    print_part("MLP", token, all->mlp[pos], kept->mlp[pos]);
    free(sources);
    free(token);
}

static size_t widest_token(const struct model *model, const struct routes *routes, size_t shown)
{
    size_t widest = 0;

    for (size_t i = 0; i < shown; i++) {
        const size_t ends[] = { routes->edges[i].key_pos, routes->edges[i].pos };
        for (size_t j = 0; j < 2; j++) {
            char *label = token_at(model, ends[j]);
            size_t length = utf8_length(label);
            widest = length > widest ? length : widest;
            free(label);
        }
    }
    return widest;
}

static void print_edges(const struct model *model, const struct routes *routes, size_t shown)
{
    size_t width = widest_token(model, routes, shown);

    printf("   flow  contribution  layer  head  ");
    print_padded("from", width);
    printf("     to\n");
    for (size_t i = 0; i < shown; i++) {
        const struct edge *edge = &routes->edges[i];
        char *from = token_at(model, edge->key_pos), *to = token_at(model, edge->pos);
        printf("  %5.3f         %5.3f  %5zu  %4zu  ", edge->flow, (double)edge->contribution, edge->layer, edge->head);
        print_padded(from, width);
        printf("  -> %s\n", to);
        free(from);
        free(to);
    }
}

static void report_beginnings(const struct model *model, const struct routes *routes)
{
    bool *named = allocate(routes->n_pos, sizeof *named);

    printf("\n  The routes begin at the embeddings of\n   ");
    for (size_t n = 0; n < routes->n_pos; n++) {
        size_t best = routes->n_pos;
        for (size_t pos = 0; pos < routes->n_pos; pos++)
            if (!named[pos] && (best == routes->n_pos || routes_flow(routes, 0, pos) > routes_flow(routes, 0, best)))
                best = pos;
        if (!(routes_flow(routes, 0, best) >= LEAST_FLOW))
            break;
        named[best] = true;
        char *label = token_at(model, best);
        printf("%s %s %.0f %%", n > 0 ? "," : "", label, 100 * routes_flow(routes, 0, best));
        free(label);
    }
    putchar('\n');
    free(named);
}

void report_routes(const struct model *model, const struct routes *routes)
{
    size_t shown = routes->n_edges < N_STRONGEST ? routes->n_edges : N_STRONGEST;
    char *token = token_at(model, routes->pos);

    printf("\nThe strongest attention edges on the routes to the prediction after %s (%zu of %zu)\n", token, shown,
           routes->n_edges);
    printf("  Followed back from the last layer through contributions above the threshold. flow: how much of the\n"
           "  prediction passes over the edge; contribution: the edge's share of resid_mid where it arrives.\n\n");
    if (shown == 0)
        printf("  none: only the residual stream and the MLPs of the token itself\n");
    else
        print_edges(model, routes, shown);
    report_beginnings(model, routes);
    free(token);
}

bool report_check(const struct sum_check *check)
{
    /* So phrased that NaN is a failure. */
    bool ok = check->largest_before <= LARGEST_DEVIATION && check->largest_after <= LARGEST_DEVIATION;

    printf("\nCheck    contributions of %zu representations (every layer and position, resid_mid and resid_post)\n"
           "         sum to 1: %s; largest deviation %.1e before and %.1e after thresholding (%.0e allowed)\n",
           check->n_representations, ok ? "passed" : "FAILED", check->largest_before, check->largest_after,
           LARGEST_DEVIATION);
    if (check->n_emptied > 0)
        printf("         nothing of %zu representations is above the threshold: they have no sum after it\n",
               check->n_emptied);
    return ok;
}

static void print_cost(const char *way, const struct cost *cost)
{
    printf("  %-8s  %10.2f ms   %16.2f ms   %11zu bytes", way, 1e3 * cost->call_seconds, 1e3 * cost->total_seconds,
           cost->vector_bytes);
    if (cost->growth_is_known)
        printf("   %5.1f MB\n", 1e-6 * (double)cost->growth);
    else
        printf("    unknown\n");
}

bool report_comparison(const struct model *model, const struct settings *settings,
                       const struct comparison *comparison)
{
    /* So phrased that NaN is a failure. */
    bool ok = comparison->largest_difference <= LARGEST_DIFFERENCE;

    print_model(model);
    printf("Compare  attention at all %zu positions of all layers, in the %g-norm, on %zu thread%s\n", model->n_pos,
           settings->norm, comparison->n_threads, comparison->n_threads == 1 ? "" : "s");
    printf("\n  factored: contrib_attention_factored, from the pattern and what each head would write for each token\n"
           "  dense:    contrib_attention, from a vector for each position, attended token and head, made beforehand\n"
           "\n"
           "  time: of all layers, the fastest of %zu runs of each. memory: of one layer. growth: how much larger\n"
           "  the process became meanwhile, at most: the vectors, and what contrib itself works with.\n\n",
           comparison->n_runs);
    printf("            time of calls   with making vectors   memory of vectors     growth\n");
    print_cost("factored", &comparison->factored);
    print_cost("dense", &comparison->dense);
    printf("\nCheck    both say the same: %s; largest difference of a contribution %.1e (%.0e allowed)\n",
           ok ? "passed" : "FAILED", comparison->largest_difference, LARGEST_DIFFERENCE);
    return ok;
}
