/* explain: which tokens, heads and MLPs a transformer's prediction came from.
 *
 *     explain [recording [folder [threshold]]]
 *
 * Finds the routes to the last token of a recorded prompt, prints what they lead through, and writes a picture and a page
 * to explore into the folder: explain.svg and explain.html. */
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

/* Puts the indices of the largest of `n` numbers into `largest`, and returns how many there are above 0, N_SHOWN at most. */
static size_t find_largest(const double *numbers, size_t n, size_t largest[N_SHOWN])
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        size_t place = found;
        if (!(numbers[i] > 0))
            continue;
        while (place > 0 && numbers[largest[place - 1]] < numbers[i]) {
            if (place < N_SHOWN)
                largest[place] = largest[place - 1];
            place--;
        }
        if (place < N_SHOWN)
            largest[place] = i;
        if (found < N_SHOWN)
            found++;
    }
    return found;
}

static void print_totals(const contrib_recording *recording, const contrib_routes *routes)
{
    contrib_totals *totals;
    contrib_totals_arrays sums = CONTRIB_TOTALS_ARRAYS_INIT;
    size_t largest[N_SHOWN];

    expect(contrib_totals_new(routes, &totals));
    expect(contrib_totals_get_arrays(totals, &sums));
    printf("\nWhere it came from           share\n");
    for (size_t i = 0, n = find_largest(sums.tokens, sums.n_pos, largest); i < n; i++) {
        printf("  %5.1f %%  token %-4zu ", 100 * sums.tokens[largest[i]], largest[i]);
        print_token(recording, largest[i]);
        putchar('\n');
    }
    printf("  %5.1f %%  parts below the threshold\n", 100 * sums.lost);
    printf("\nWhat it passed through       flow\n");
    for (size_t i = 0, n = find_largest(sums.heads, sums.n_layers * sums.n_heads, largest); i < n; i++)
        printf("  %5.1f %%  layer %-3zu head %zu\n", 100 * sums.heads[largest[i]], largest[i] / sums.n_heads,
               largest[i] % sums.n_heads);
    for (size_t i = 0, n = find_largest(sums.mlps, sums.n_layers, largest); i < n; i++)
        printf("  %5.1f %%  layer %-3zu MLP\n", 100 * sums.mlps[largest[i]], largest[i]);
    contrib_totals_free(totals);
}

/* What attention moved from one token to another. */
static void print_edges(const contrib_recording *recording, const contrib_routes_arrays *arrays)
{
    double *moved = calloc(arrays->n_edges + 1, sizeof *moved);
    size_t largest[N_SHOWN];

    if (moved == NULL)
        exit(2);
    for (size_t i = 0; i < arrays->n_edges; i++) {
        if (arrays->edge_kind[i] == CONTRIB_EDGE_ATTENTION &&
            arrays->node_position[arrays->edge_from[i]] != arrays->node_position[arrays->edge_to[i]])
            moved[i] = arrays->edge_flow[i];
    }
    printf("\nThe strongest edges between tokens\n");
    for (size_t i = 0, n = find_largest(moved, arrays->n_edges, largest); i < n; i++) {
        size_t edge = largest[i], to = arrays->edge_to[edge];
        printf("  %5.1f %%  layer %-3u head %-3u ", 100 * moved[edge], arrays->node_layer[to], arrays->edge_head[edge]);
        print_token(recording, arrays->node_position[arrays->edge_from[edge]]);
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
    if (file == NULL) {
        fprintf(stderr, "explain: %s: cannot be written\n", path);
        exit(2);
    }
    expect(contrib_routes_write_recorded(routes, recording, format, write_to_file, file));
    if (fclose(file) != 0) {
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
