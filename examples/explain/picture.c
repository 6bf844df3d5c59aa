/*
 * Draws the explanation as an SVG. Tokens stand side by side and layers above one another, the embedding at
 * the bottom. A layer is a step up: the lower half of it is attention (resid_pre to resid_mid), the upper half
 * the MLP (resid_mid to resid_post). What flows to the prediction is drawn in colour over everything else that
 * survived the threshold.
 */
#include "picture.h"

#include "die.h"
#include "text.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lengths are in pixels. */
#define COLUMN 86.0
#define STEP 26.0
#define LEFT 128.0
#define RIGHT 76.0
#define TOP 162.0
#define BELOW 140.0
#define MARGIN 28.0
#define MIN_WIDTH 860.0

#define INK "#1f2933"
#define PALE_INK "#7b8794"
#define FAINT "#a9b4c0"
#define STREAM "#2b6cb0"
#define ATTENTION "#c2255c"
#define MLP "#f08c00"

/* A generous guess at the width of a letter, as a part of the font size. */
#define LETTER 0.58
#define TOKEN_SIZE 14.0
#define HEAD_SIZE 10.0
#define WIDEST_HEADS 50.0 /* between a stream and the MLP's mark beside the next */

struct box {
    double left, top, right, bottom;
};

struct canvas {
    FILE *out;
    const struct model *model;
    const struct contributions *contributions;
    const struct routes *routes;
    double width, height;
    double first_column; /* where the first token stands */
    struct box *labels;  /* of heads, so that none is written over another */
    size_t n_labels, labels_capacity;
};

/* All heads' edges between the same two tokens in one layer are one line. */
struct line {
    size_t layer, pos, key_pos;
    double contribution, flow;
    size_t n_heads;
    char heads[64]; /* " h1 h4", as far as there is room */
};

static double x_of(const struct canvas *canvas, size_t pos)
{
    return canvas->first_column + COLUMN * (double)pos;
}

/* resid_pre of `layer`, which is resid_post of the one below. */
static double y_of(const struct canvas *canvas, size_t layer)
{
    return TOP + STEP * (double)(canvas->model->n_layers - layer);
}

static double y_of_mid(const struct canvas *canvas, size_t layer)
{
    return y_of(canvas, layer) - STEP / 2;
}

/* Area, not width, is what the eye compares; and thin routes stay visible. */
static double width_of_flow(double flow)
{
    return 8 * sqrt(flow);
}

static double mlp_side(double contribution)
{
    return 13 * sqrt(contribution);
}

static void put_escaped(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc(*text, out);
        }
}

static double width_of_text(const char *text, double size)
{
    double width = 0;

    while (*text != '\0') {
        unsigned code;
        size_t length = utf8_decode(text, &code);
        /* From Hangul on, most scripts are as wide as they are high. */
        width += code >= 0x1100 && (code < 0x2000 || code >= 0x2E80) ? size : LETTER * size;
        text += length;
    }
    return width;
}

/* Shortens `text` in place until it fits; an ellipsis stands for what is gone. */
static void fit(char *text, double size, double width)
{
    static const char ellipsis[] = "\xE2\x80\xA6";
    double room = width - size;
    char *end = text;

    if (width_of_text(text, size) <= width)
        return;
    while (*end != '\0') {
        unsigned code;
        size_t length = utf8_decode(end, &code);
        char kept = end[length];
        end[length] = '\0';
        bool fits = width_of_text(text, size) <= room;
        end[length] = kept;
        if (!fits)
            break;
        end += length;
    }
    /* There is room: what is cut is wider than the ellipsis, which takes three bytes. */
    if (strlen(end) >= sizeof ellipsis - 1)
        memcpy(end, ellipsis, sizeof ellipsis);
    else
        *end = '\0';
}

/* The token without the space before it, which a picture need not show. */
static char *label_of(const char *token, double size, double width)
{
    char *label = printable(token + (token[0] == ' ' && token[1] != '\0'));

    fit(label, size, width);
    return label;
}

static void put_text(const struct canvas *canvas, double x, double y, double size, const char *attributes,
                     const char *text)
{
    fprintf(canvas->out, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%g\" %s>", x, y, size, attributes);
    put_escaped(canvas->out, text);
    fputs("</text>\n", canvas->out);
}

static void put_line(const struct canvas *canvas, double x1, double y1, double x2, double y2, const char *colour,
                     double width)
{
    fprintf(canvas->out,
            "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"%.2f\"/>\n", x1, y1, x2,
            y2, colour, width);
}

static void put_square(const struct canvas *canvas, double x, double y, double side, const char *colour)
{
    fprintf(canvas->out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"1\" fill=\"%s\">",
            x - side / 2, y - side / 2, side, side, colour);
}

static void put_title(const struct canvas *canvas, const char *format, const char *one, const char *other,
                      size_t layer, const char *heads, double contribution)
{
    char *from = quoted(one), *to = quoted(other);
    size_t size = strlen(from) + strlen(to) + strlen(heads) + 128;
    char *title = allocate(size, 1);

    snprintf(title, size, "%s, layer %zu%s: %s \xE2\x86\x92 %s, %.3f", format, layer, heads, from, to, contribution);
    fputs("<title>", canvas->out);
    put_escaped(canvas->out, title);
    fputs("</title>", canvas->out);
    free(title);
    free(from);
    free(to);
}

/* False where there is nothing to draw. */
static bool line_between(const struct canvas *canvas, size_t layer, size_t pos, size_t key_pos, struct line *line)
{
    const struct contributions *contributions = canvas->contributions;
    size_t used = 0;

    *line = (struct line){ .layer = layer, .pos = pos, .key_pos = key_pos };
    for (size_t head = 0; head < contributions->n_heads; head++) {
        double contribution =
            (double)contributions_attn(contributions, &contributions->kept[layer], pos, key_pos, head);
        if (!(contribution > 0))
            continue;
        line->contribution += contribution;
        line->n_heads++;
        if (used < sizeof line->heads)
            used += (size_t)snprintf(line->heads + used, sizeof line->heads - used, " h%zu", head);
    }
    line->flow = routes_flow(canvas->routes, layer + 1, pos) * line->contribution;
    return line->contribution > 0;
}

/* From resid_pre of the attended token to resid_mid of the one that attends; to itself, a bow beside the stream. */
static void put_attention(const struct canvas *canvas, const struct line *line, const char *colour, double width)
{
    double x1 = x_of(canvas, line->key_pos), x2 = x_of(canvas, line->pos);
    double y1 = y_of(canvas, line->layer), y2 = y_of_mid(canvas, line->layer);
    double bend = x1 == x2 ? 14 : (x2 - x1) / 2;

    fprintf(canvas->out,
            "<path d=\"M%.1f %.1f C%.1f %.1f %.1f %.1f %.1f %.1f\" fill=\"none\" stroke=\"%s\" stroke-width=\"%.2f\" "
            "stroke-linecap=\"round\">",
            x1, y1, x1 + bend, y1, x1 == x2 ? x2 + bend : x2 - bend, y2, x2, y2, colour, width);
    put_title(canvas, "attention", canvas->model->tokens[line->key_pos], canvas->model->tokens[line->pos], line->layer,
              line->heads, line->contribution);
    fputs("</path>\n", canvas->out);
}

static bool is_route(const struct line *line)
{
    return line->flow >= LEAST_FLOW;
}

typedef void draw_line(struct canvas *canvas, const struct line *line);

static void for_each_line(struct canvas *canvas, draw_line *draw)
{
    struct line line;

    for (size_t layer = 0; layer < canvas->model->n_layers; layer++)
        for (size_t pos = 0; pos < canvas->model->n_pos; pos++)
            for (size_t key_pos = 0; key_pos < canvas->model->n_pos; key_pos++)
                if (line_between(canvas, layer, pos, key_pos, &line))
                    draw(canvas, &line);
}

static void draw_faint(struct canvas *canvas, const struct line *line)
{
    if (!is_route(line))
        put_attention(canvas, line, FAINT, 0.6 + 3 * line->contribution);
}

static void draw_route(struct canvas *canvas, const struct line *line)
{
    if (is_route(line))
        put_attention(canvas, line, ATTENTION, width_of_flow(line->flow));
}

static bool is_free(const struct canvas *canvas, const struct box *box)
{
    for (size_t i = 0; i < canvas->n_labels; i++) {
        const struct box *other = &canvas->labels[i];
        if (box->left < other->right && other->left < box->right && box->top < other->bottom &&
            other->top < box->bottom)
            return false;
    }
    return true;
}

/* Above the line where it arrives, or else where it sets out; the gap between two columns holds no stream. */
static bool place_heads(const struct canvas *canvas, const struct line *line, double width, struct box *box)
{
    double bottom = y_of_mid(canvas, line->layer) - 2 - width_of_flow(line->flow) / 2;
    double middles[] = { x_of(canvas, line->pos) - COLUMN / 2, x_of(canvas, line->key_pos) + COLUMN / 2 };

    if (line->key_pos == line->pos) {
        middles[0] = middles[1] = x_of(canvas, line->pos) + 17 + width / 2;
        bottom += 12;
    }
    for (size_t i = 0; i < 2; i++) {
        *box = (struct box){ middles[i] - width / 2, bottom - HEAD_SIZE, middles[i] + width / 2, bottom };
        if (is_free(canvas, box))
            return true;
    }
    return false;
}

/* Where there is no room the line's tooltip still names its heads. */
static void draw_heads(struct canvas *canvas, const struct line *line)
{
    char heads[sizeof line->heads];
    struct box box;

    snprintf(heads, sizeof heads, "%s", line->heads + 1); /* without the space before the first */
    if (width_of_text(heads, HEAD_SIZE) > WIDEST_HEADS)
        snprintf(heads, sizeof heads, "%zu heads", line->n_heads);

    if (!is_route(line) || !place_heads(canvas, line, width_of_text(heads, HEAD_SIZE), &box))
        return;
    canvas->labels = make_room(canvas->labels, canvas->n_labels, &canvas->labels_capacity, sizeof *canvas->labels);
    canvas->labels[canvas->n_labels++] = box;
    put_text(canvas, (box.left + box.right) / 2, box.bottom - 1, HEAD_SIZE,
             "text-anchor=\"middle\" fill=\"" ATTENTION "\"", heads);
}

/* A pale band for every other layer, to follow a layer across the page. */
static void draw_bands(const struct canvas *canvas)
{
    for (size_t layer = 0; layer < canvas->model->n_layers; layer += 2)
        fprintf(canvas->out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#f5f8fa\"/>\n",
                canvas->first_column - 32, y_of(canvas, layer + 1),
                COLUMN * (double)(canvas->model->n_pos - 1) + 84, STEP);
}

static void draw_streams(const struct canvas *canvas)
{
    for (size_t pos = 0; pos < canvas->model->n_pos; pos++)
        put_line(canvas, x_of(canvas, pos), y_of(canvas, 0), x_of(canvas, pos), y_of(canvas, canvas->model->n_layers),
                 "#d5dbe2", 1);
}

/* The residual stream of each token as far as the prediction's flow runs in it. */
static void draw_route_streams(const struct canvas *canvas)
{
    for (size_t layer = 0; layer < canvas->model->n_layers; layer++)
        for (size_t pos = 0; pos < canvas->model->n_pos; pos++) {
            double through_post = routes_flow(canvas->routes, layer + 1, pos), x = x_of(canvas, pos);
            double from_pre = through_post * (double)canvas->contributions->kept[layer].resid_pre[pos];
            if (from_pre >= LEAST_FLOW)
                put_line(canvas, x, y_of(canvas, layer), x, y_of_mid(canvas, layer), STREAM, width_of_flow(from_pre));
            if (through_post >= LEAST_FLOW)
                put_line(canvas, x, y_of_mid(canvas, layer), x, y_of(canvas, layer + 1), STREAM,
                         width_of_flow(through_post));
        }
}

/* Beside the stream, which would hide the small ones. */
static void draw_mlps(const struct canvas *canvas)
{
    for (size_t layer = 0; layer < canvas->model->n_layers; layer++)
        for (size_t pos = 0; pos < canvas->model->n_pos; pos++) {
            double contribution = (double)canvas->contributions->kept[layer].mlp[pos];
            const char *token = canvas->model->tokens[pos];
            bool on_route = routes_flow(canvas->routes, layer + 1, pos) >= LEAST_FLOW;
            if (!(contribution > 0))
                continue;
            put_square(canvas, x_of(canvas, pos) - 11, y_of_mid(canvas, layer) - STEP / 4, mlp_side(contribution),
                       on_route ? MLP : "#ccd4dd");
            put_title(canvas, "MLP", token, token, layer, "", contribution);
            fputs("</rect>\n", canvas->out);
        }
}

static void draw_nodes(const struct canvas *canvas)
{
    for (size_t layer = 0; layer <= canvas->model->n_layers; layer++)
        for (size_t pos = 0; pos < canvas->model->n_pos; pos++) {
            double flow = routes_flow(canvas->routes, layer, pos);
            bool on_route = flow >= LEAST_FLOW;
            fprintf(canvas->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"%s/>\n", x_of(canvas, pos),
                    y_of(canvas, layer), on_route ? 1.8 + width_of_flow(flow) / 4 : 1.4,
                    on_route ? "#ffffff" : "#c3ccd6", on_route ? " stroke=\"" STREAM "\" stroke-width=\"1.2\"" : "");
        }
}

static void draw_layer_names(const struct canvas *canvas)
{
    double x = canvas->first_column - 38;
    const char *style = "text-anchor=\"end\" fill=\"" PALE_INK "\"";
    char name[32];

    put_text(canvas, x, y_of(canvas, 0) + 14, 11, style, "embedding");
    for (size_t layer = 0; layer < canvas->model->n_layers; layer++) {
        snprintf(name, sizeof name, layer == 0 ? "layer %zu" : "%zu", layer);
        put_text(canvas, x, y_of_mid(canvas, layer) + 4, 11, style, name);
    }
}

/* Below each column its token, and how much of the prediction's flow begins there. */
static void draw_tokens(const struct canvas *canvas)
{
    for (size_t pos = 0; pos < canvas->model->n_pos; pos++) {
        double flow = routes_flow(canvas->routes, 0, pos), x = x_of(canvas, pos), y = y_of(canvas, 0);
        bool on_route = flow >= LEAST_FLOW;
        char *label = label_of(canvas->model->tokens[pos], TOKEN_SIZE, COLUMN - 6), share[16];

        put_text(canvas, x, y + 26, TOKEN_SIZE,
                 on_route ? "text-anchor=\"middle\" font-weight=\"bold\" fill=\"" INK "\""
                          : "text-anchor=\"middle\" fill=\"" PALE_INK "\"",
                 label);
        if (on_route) {
            snprintf(share, sizeof share, "%.0f %%", 100 * flow);
            put_text(canvas, x, y + 44, 12, "text-anchor=\"middle\" fill=\"" STREAM "\"", share);
        }
        free(label);
    }
}

static bool predicts_the_end(const struct canvas *canvas)
{
    return canvas->routes->pos + 1 == canvas->model->n_pos;
}

static void draw_prediction(const struct canvas *canvas)
{
    const struct next_token *next = &canvas->model->next_tokens[0];
    double x = x_of(canvas, canvas->routes->pos), y = y_of(canvas, canvas->model->n_layers);
    char *label = label_of(predicts_the_end(canvas) ? next->token : "prediction", 16, 108), share[32];

    put_line(canvas, x, y, x, y - 20, STREAM, width_of_flow(1));
    fprintf(canvas->out,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"116\" height=\"42\" rx=\"8\" fill=\"#ebf4ff\" stroke=\"" STREAM
            "\" stroke-width=\"1.5\"/>\n",
            x - 58, y - 62);
    put_text(canvas, x, y - (predicts_the_end(canvas) ? 43 : 36), 16,
             "text-anchor=\"middle\" font-weight=\"bold\" fill=\"" INK "\"", label);
    if (predicts_the_end(canvas)) {
        snprintf(share, sizeof share, "p = %.2f", next->probability);
        put_text(canvas, x, y - 27, 11, "text-anchor=\"middle\" fill=\"" PALE_INK "\"", share);
    }
    free(label);
}

static void draw_heading(const struct canvas *canvas)
{
    double room = canvas->width - 2 * MARGIN;
    const char *token =
        predicts_the_end(canvas) ? canvas->model->next_tokens[0].token : canvas->model->tokens[canvas->routes->pos];
    char *label = label_of(token, 22, room / 2);
    char *prompt = printable(canvas->model->prompt), *name = label_of(canvas->model->name, 12, room / 2);
    char line[512];

    snprintf(line, sizeof line,
             predicts_the_end(canvas) ? "Where \xE2\x80\x9C%s\xE2\x80\x9D came from"
                                      : "Where the prediction after \xE2\x80\x9C%s\xE2\x80\x9D came from",
             label);
    put_text(canvas, MARGIN, 42, 22, "font-weight=\"bold\" fill=\"" INK "\"", line);
    fit(prompt, 15, room);
    put_text(canvas, MARGIN, 67, 15, "fill=\"" INK "\"", prompt);
    snprintf(line, sizeof line, "%s, contributions above %g", name, canvas->contributions->threshold);
    put_text(canvas, MARGIN, 88, 12, "fill=\"" PALE_INK "\"", line);
    free(label);
    free(prompt);
    free(name);
}

/* Lines as thick as 100 %, 25 % and 4 % of the flow. */
static void draw_scale(const struct canvas *canvas, double x, double y)
{
    static const double flows[] = { 1, 0.25, 0.04 };
    char share[16];

    for (size_t i = 0; i < 3; i++) {
        double at = x + 84 * (double)i;
        put_line(canvas, at, y, at + 26, y, STREAM, width_of_flow(flows[i]));
        snprintf(share, sizeof share, "%.0f %%", 100 * flows[i]);
        put_text(canvas, at + 32, y + 4, 12, "fill=\"" INK "\"", share);
    }
    put_text(canvas, x + 238, y + 4, 12, "fill=\"" INK "\"", "of the prediction\xE2\x80\x99s flow (width)");
}

static void draw_legend(const struct canvas *canvas)
{
    const char *style = "fill=\"" INK "\"";
    double x = MARGIN, upper = canvas->height - 54, lower = canvas->height - 28;

    put_line(canvas, MARGIN, upper - 24, canvas->width - MARGIN, upper - 24, "#e4e7eb", 1);
    put_line(canvas, x, upper, x + 26, upper, STREAM, 4);
    put_text(canvas, x + 34, upper + 4, 12, style, "residual stream on the route");
    put_line(canvas, x + 230, upper, x + 256, upper, ATTENTION, 4);
    put_text(canvas, x + 264, upper + 4, 12, style, "attention on the route, and its heads");
    draw_scale(canvas, x, lower);

    put_square(canvas, x + 521, upper, mlp_side(1), MLP);
    fputs("</rect>\n", canvas->out);
    put_text(canvas, x + 542, upper + 4, 12, style, "MLP\xE2\x80\x99s share of resid_post (area; this is all)");
    put_line(canvas, x + 508, lower, x + 534, lower, FAINT, 1.5);
    put_text(canvas, x + 542, lower + 4, 12, style, "other contributions");
}

void picture_write(const char *path, const struct model *model, const struct contributions *contributions,
                   const struct routes *routes)
{
    double grid = LEFT + RIGHT + COLUMN * (double)(model->n_pos - 1);
    struct canvas canvas = {
        .out = fopen(path, "wb"),
        .model = model,
        .contributions = contributions,
        .routes = routes,
        .width = grid > MIN_WIDTH ? grid : MIN_WIDTH,
        .height = TOP + STEP * (double)model->n_layers + BELOW,
    };

    if (canvas.out == NULL)
        die("--picture: %s: cannot write: %s", path, strerror(errno));
    canvas.first_column = LEFT + (canvas.width - grid) / 2;
    fprintf(canvas.out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
            "font-family=\"'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n"
            "<title>Where a prediction came from</title>\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            canvas.width, canvas.height, canvas.width, canvas.height);
    draw_heading(&canvas);
    draw_bands(&canvas);
    draw_layer_names(&canvas);
    draw_streams(&canvas);
    for_each_line(&canvas, draw_faint);
    draw_route_streams(&canvas);
    for_each_line(&canvas, draw_route);
    draw_nodes(&canvas);
    draw_mlps(&canvas);
    for_each_line(&canvas, draw_heads);
    draw_prediction(&canvas);
    draw_tokens(&canvas);
    draw_legend(&canvas);
    fputs("</svg>\n", canvas.out);

    bool failed = ferror(canvas.out) != 0;
    if (fclose(canvas.out) != 0 || failed)
        die("--picture: %s: cannot write: %s", path, strerror(errno));
    free(canvas.labels);
}
