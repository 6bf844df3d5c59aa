/* explain: which tokens, heads and MLPs a transformer's prediction came from.
 *
 *     explain [recording [folder [threshold]]]
 *
 * Finds the routes to the last token of a recorded prompt, prints what they lead through, and writes a picture and a
 * page to explore into the folder: explain.svg and explain.html. */
#include <contrib.h>
#include <stdio.h>
#include <stdlib.h>

#define RECORDING "examples/data/smollm2-135m-capitals.safetensors"
#define N_SHOWN 10

static void expect(contrib_status status)
{
    if (status != CONTRIB_OK) {
        fprintf(stderr, "explain: %s\n", contrib_last_error_message());
        exit(2);
    }
}

/* Tokens may hold anything: control characters, quotes and line ends are not printed as they are. */
static void print_token(const contrib_recording *recording, size_t position)
{
    size_t len;
    const char *token = contrib_recording_token(recording, position, &len);

    putchar('"');
    for (size_t i = 0; token != NULL && i < len; i++) {
        unsigned char byte = (unsigned char)token[i];
        if (byte < ' ' || byte == 0x7F || byte == '"' || byte == '\\')
            printf("\\x%02x", byte);
        else
            putchar(byte);
    }
    putchar('"');
}

/* The index of the largest number above 0 after that at `last`, as they are sorted; `n` where there is none. With `n`
 * as `last`, the largest of all. */
static size_t next_largest(const double *numbers, size_t n, size_t last)
{
    size_t next = n;

    for (size_t i = 0; i < n; i++) {
        int comes_after = last == n || numbers[i] < numbers[last] || (numbers[i] == numbers[last] && i > last);
        if (numbers[i] > 0 && comes_after && (next == n || numbers[i] > numbers[next]))
            next = i;
    }
    return next;
}

/* For the indices `i` of the N_SHOWN largest of `n` numbers, the largest first. */
#define FOR_LARGEST(i, numbers, n) \
    for (size_t shown = 0, i = next_largest(numbers, n, n); shown < N_SHOWN && i < (n); \
         shown++, i = next_largest(numbers, n, i))

static void print_totals(const contrib_recording *recording, const contrib_routes *routes)
{
    contrib_totals *totals;
    contrib_totals_arrays sums = CONTRIB_TOTALS_ARRAYS_INIT;

    expect(contrib_totals_new(routes, &totals));
    expect(contrib_totals_get_arrays(totals, &sums));
    printf("\nWhere it came from           share\n");
    FOR_LARGEST(i, sums.tokens, sums.n_pos) {
        printf("  %5.1f %%  token %-4zu ", 100 * sums.tokens[i], i);
        print_token(recording, i);
        putchar('\n');
    }
    printf("\nWhat it passed through       flow\n");
    FOR_LARGEST(i, sums.heads, sums.n_layers * sums.n_heads)
        printf("  %5.1f %%  layer %-3zu head %zu\n", 100 * sums.heads[i], i / sums.n_heads, i % sums.n_heads);
    FOR_LARGEST(i, sums.mlps, sums.n_layers)
        printf("  %5.1f %%  layer %-3zu MLP\n", 100 * sums.mlps[i], i);
    contrib_totals_free(totals);
}

/* What attention moved from one token to another. */
static void print_edges(const contrib_recording *recording, const contrib_routes_arrays *arrays)
{
    double *moved = calloc(arrays->n_edges + 1, sizeof *moved);

    if (moved == NULL)
        exit(2);
    for (size_t i = 0; i < arrays->n_edges; i++) {
        if (arrays->edge_kind[i] == CONTRIB_EDGE_ATTENTION &&
            arrays->node_position[arrays->edge_from[i]] != arrays->node_position[arrays->edge_to[i]])
            moved[i] = arrays->edge_flow[i];
    }
    printf("\nThe strongest edges between tokens\n");
    FOR_LARGEST(i, moved, arrays->n_edges) {
        uint32_t to = arrays->edge_to[i];
        printf("  %5.1f %%  layer %-3u head %-3u ", 100 * moved[i], arrays->node_layer[to], arrays->edge_head[i]);
        print_token(recording, arrays->node_position[arrays->edge_from[i]]);
        printf(" to ");
        print_token(recording, arrays->node_position[to]);
        putchar('\n');
    }
    free(moved);
}

static int32_t write_to_file(void *file, const char *bytes, size_t len)
{
    return fwrite(bytes, 1, len, file) == len ? 0 : 1;
}

static void save(const contrib_recording *recording, const contrib_routes *routes, const char *folder, const char *name,
                 int32_t format)
{
    char path[4096];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "wb");
    if (file != NULL)
        expect(contrib_routes_write_recorded(routes, recording, format, write_to_file, file));
    if (file == NULL || fclose(file) != 0) {
        fprintf(stderr, "explain: %s: cannot be written\n", path);
        exit(2);
    }
    printf("%s\n", path);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 2 ? argv[2] : ".";
    contrib_recording *recording;
    contrib_routes *routes;
    contrib_routes_options options = CONTRIB_ROUTES_OPTIONS_INIT;
    contrib_routes_arrays arrays = CONTRIB_ROUTES_ARRAYS_INIT;
    size_t last;

    expect(contrib_recording_open(argc > 1 ? argv[1] : RECORDING, &recording));
    if (argc > 3)
        options.threshold = strtod(argv[3], NULL);
    /* What is not above the threshold is left out, and the rest sums to 1 again: so do the shares of tokens. */
    options.flags = CONTRIB_ROUTES_RENORMALISE;
    options.renormalise = options.threshold;
    last = contrib_recording_n_pos(recording) - 1;
    expect(contrib_routes_find(recording, &last, 1, &options, &routes));
    expect(contrib_routes_get_arrays(routes, &arrays));

    printf("The prediction after token %zu ", last);
    print_token(recording, last);
    printf(": %zu edges above %g between %zu nodes\n", arrays.n_edges, arrays.threshold, arrays.n_nodes);
    print_totals(recording, routes);
    print_edges(recording, &arrays);
    putchar('\n');
    save(recording, routes, folder, "explain.svg", CONTRIB_FORMAT_SVG);
    save(recording, routes, folder, "explain.html", CONTRIB_FORMAT_HTML);

    contrib_routes_free(routes);
    contrib_recording_free(recording);
    return EXIT_SUCCESS;
}
