/* explain: which tokens, heads and MLPs a transformer's prediction came from. Flags, and the order of work. */
#include "comparison.h"
#include "contributions.h"
#include "die.h"
#include "model.h"
#include "picture.h"
#include "report.h"
#include "routes.h"
#include "safetensors.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_FILE "examples/data/smollm2-135m-capitals.safetensors"
#define DEFAULT_PICTURE "explain.svg"
#define DEFAULT_THRESHOLD 0.04
#define MAX_THREADS 1024

struct flags {
    const char *file;
    const char *picture;
    struct settings settings;
    const char *layer; /* read once the model says how many there are; NULL where not given */
    const char *token;
    bool compare;
};

static void print_help(void)
{
    printf("Usage: explain [flags]\n"
           "\n"
           "Says where a transformer's prediction came from: prints tables and draws a picture.\n"
           "\n"
           "  --file PATH      activations of one prompt, a safetensors file\n"
           "                   (default " DEFAULT_FILE ")\n"
           "  --threshold X    leave out contributions that are not above X, 0 <= X < 1 (default %g)\n"
           "  --norm N         the norm that measures nearness: 1, 2, inf or any number >= 1 (default 1)\n"
           "  --token N        explain the prediction after this position; negative counts from the end (default -1)\n"
           "  --layer N        show this layer in detail instead of a line for each; negative counts from the last\n"
           "  --threads N      how many threads compute; 0 is one for each core (default 0)\n"
           "  --picture PATH   where the SVG goes (default " DEFAULT_PICTURE ")\n"
           "  --compare        instead of explaining, calculate attention of every layer from the pattern and from\n"
           "                   the vectors, and show what either takes in time and memory, and whether both say the\n"
           "                   same (the vectors of one layer have to fit into memory)\n"
           "  --help           show this\n"
           "\n"
           "Exit status: 0 done; %d the contributions of some representation do not sum to 1, or --compare found a\n"
           "difference; %d no result, for the reason given on standard error.\n",
           DEFAULT_THRESHOLD, EXIT_CHECK_FAILED, EXIT_NO_RESULT);
}

/* The whole of `text` as a finite number or infinity. */
static bool read_number(const char *text, double *number)
{
    char *end;

    *number = strtod(text, &end);
    return end != text && *end == '\0' && !isnan(*number);
}

static bool read_integer(const char *text, long *integer)
{
    char *end;

    errno = 0;
    *integer = strtol(text, &end, 10);
    return end != text && *end == '\0' && errno == 0;
}

static double read_threshold(const char *text)
{
    double threshold;

    if (!read_number(text, &threshold) || !(threshold >= 0 && threshold < 1))
        die("--threshold: expected a number from 0 to below 1, got \"%s\"", text);
    return threshold;
}

static double read_norm(const char *text)
{
    double norm;

    if (!read_number(text, &norm) || !(norm >= 1))
        die("--norm: expected 1, 2, inf or any number that is at least 1, got \"%s\"", text);
    return norm;
}

static size_t read_threads(const char *text)
{
    long threads;

    if (!read_integer(text, &threads) || threads < 0 || threads > MAX_THREADS)
        die("--threads: expected an integer from 0 to %d, got \"%s\"", MAX_THREADS, text);
    return (size_t)threads;
}

/* One of `count` things, from 0, or from -1 for the last backwards. */
static size_t read_index(const char *flag, const char *text, size_t count)
{
    long last = (long)count - 1, index;

    if (!read_integer(text, &index) || index > last || index < -last - 1)
        die("%s: expected an integer from %ld to %ld, got \"%s\"", flag, -last - 1, last, text);
    return (size_t)(index < 0 ? index + last + 1 : index);
}

/* argv ends with a NULL, which is what a flag at the end finds. */
static const char *value_after(char **argv, int *i)
{
    const char *value = argv[*i + 1];

    if (value == NULL)
        die("%s: expected a value after it", argv[*i]);
    ++*i;
    return value;
}

static struct flags read_flags(char **argv)
{
    struct flags flags = {
        .file = DEFAULT_FILE,
        .picture = DEFAULT_PICTURE,
        .settings = { .norm = 1, .threshold = DEFAULT_THRESHOLD },
        .token = "-1",
    };

    for (int i = 1; argv[i] != NULL; i++) {
        const char *flag = argv[i];

        if (strcmp(flag, "--help") == 0) {
            print_help();
            exit(EXIT_SUCCESS);
        } else if (strcmp(flag, "--file") == 0) {
            flags.file = value_after(argv, &i);
        } else if (strcmp(flag, "--threshold") == 0) {
            flags.settings.threshold = read_threshold(value_after(argv, &i));
        } else if (strcmp(flag, "--norm") == 0) {
            flags.settings.norm = read_norm(value_after(argv, &i));
        } else if (strcmp(flag, "--layer") == 0) {
            flags.layer = value_after(argv, &i);
        } else if (strcmp(flag, "--token") == 0) {
            flags.token = value_after(argv, &i);
        } else if (strcmp(flag, "--threads") == 0) {
            flags.settings.n_threads = read_threads(value_after(argv, &i));
        } else if (strcmp(flag, "--picture") == 0) {
            flags.picture = value_after(argv, &i);
        } else if (strcmp(flag, "--compare") == 0) {
            flags.compare = true;
        } else {
            die("unknown flag \"%s\"; --help lists the flags", flag);
        }
    }
    return flags;
}

static bool explain(const struct model *model, const struct flags *flags, size_t pos, size_t layer)
{
    struct contributions contributions = contributions_measure(model, &flags->settings);
    struct routes routes = routes_follow(&contributions, pos);
    struct sum_check check = contributions_check(&contributions);

    report_subject(model, pos, &flags->settings);
    if (flags->layer != NULL)
        report_one_layer(model, &contributions, layer, pos);
    else
        report_layers(model, &contributions, pos);
    report_routes(model, &routes);
    bool ok = report_check(&check);
    picture_write(flags->picture, model, &contributions, &routes);
    printf("Picture  %s\n", flags->picture);

    routes_free(&routes);
    contributions_free(&contributions);
    return ok;
}

static bool compare(const struct model *model, const struct settings *settings)
{
    if (!model->has_pattern)
        die("--compare: the file has no pattern, of which the vectors are made");
    struct comparison comparison = comparison_measure(model, settings);

    return report_comparison(model, settings, &comparison);
}

int main(int argc, char **argv)
{
    (void)argc;
    struct flags flags = read_flags(argv);

    struct safetensors file = safetensors_load(flags.file);
    struct model model = model_load(&file);
    safetensors_free(&file);
    size_t pos = read_index("--token", flags.token, model.n_pos);
    size_t layer = flags.layer != NULL ? read_index("--layer", flags.layer, model.n_layers) : 0;

    bool ok = flags.compare ? compare(&model, &flags.settings) : explain(&model, &flags, pos, layer);
    model_free(&model);
    return ok ? EXIT_SUCCESS : EXIT_CHECK_FAILED;
}
