/* curves.c -- the command: nine networks, a table, a sketch, a CSV file and a picture. */
#include "curves.h"

#include "decay.h"
#include "../common/files.h"
#include "../common/flags.h"
#include "../common/meter.h"
#include "../common/picture.h"
#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct curves_options {
    int64_t hidden, steps, seed;
    double drive;
    const char *csv, *svg;
    bool quiet, help;
} curves_options;

#define AT(field) offsetof(curves_options, field)

static const flag table[] = {
    { "--hidden", "N", FLAG_COUNT, AT(hidden), 1, 128, "width of the hidden state [32]" },
    { "--steps", "N", FLAG_COUNT, AT(steps), 2, 2000, "how far back to look, T [200]" },
    { "--drive", "X", FLAG_REAL, AT(drive), 0, 1e6, "deviation of the normal inputs [1]" },
    { "--seed", "N", FLAG_COUNT, AT(seed), 0, 9e15, "of weights and inputs [1]" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0,
      "all numbers [vanishing_curves.csv; or none]" },
    { "--svg", "FILE", FLAG_TEXT, AT(svg), 0, 0,
      "the picture [vanishing_curves.svg; or none]" },
    { "--quiet", NULL, FLAG_SWITCH, AT(quiet), 0, 0, "no progress, no sketch" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "the help of all commands" },
    { 0 },
};

void curves_help(void)
{
    puts("vanishing curves [options]   |dh_T/dh_t| of nine networks");
    flags_help(table);
}

/* ---- On the terminal --------------------------------------------------------------------- */

/* "3.1e-60" of a logarithm, also where the number itself would be none. */
static const char *power(double ln, char text[16])
{
    double decade = floor(ln / log(10)), tenths = round(10 * exp(ln - decade * log(10)));
    if (isinf(ln)) return "0";
    if (tenths == 100) tenths = 10, decade += 1;
    snprintf(text, 16, "%.1fe%+03.0f", tenths / 10, decade);
    return text;
}

/* "0.8284", or "-" where there is none: nothing was left to shrink. */
static const char *factor(double f, char text[16])
{
    if (isnan(f)) return "-";
    snprintf(text, 16, "%.4f", f);
    return text;
}

static void show_row(const decay *d, network_kind kind)
{
    int64_t T = d->steps;
    char a[16], b[16], c[16], f[16], l[16], t[16];
    int n = printf("%-16s %7s %7s %7s %7s %7s", kind.title, power(d->ln_norm[1], a),
                   power(d->ln_norm[T / 2], b), power(d->ln_norm[T], c), factor(d->factor, f),
                   factor(d->lyapunov, l));
    if (n > 0 && *kind.because) printf(" %6s %s", factor(kind.theory, t), kind.because);
    puts("");
}

static void show_table(const decay *d)
{
    char half[32], whole[32];
    snprintf(half, sizeof half, "%lld", (long long)(d->steps / 2));
    snprintf(whole, sizeof whole, "%lld", (long long)d->steps);
    printf("|dh_T/dh_(T-k)|, largest singular value (LSTM: of c), and its factor per step:\n"
           "from k = %s to %s, as the largest Lyapunov exponent l has it, and in theory\n\n",
           half, whole);
    printf("%-16s %7s %7s %7s %7s %7s %6s\n", "", "k = 1", half, whole, "factor", "e^l",
           "theory");
    for (int i = 0; i < N_NETWORKS; i++) show_row(&d[i], network_kind_of(i));
}

enum { ROWS = 20, COLUMNS = 66 };

/* The lowest and highest power of ten of an axis that holds all curves, but none below 1e-60. */
static void decades_of(const decay *d, double *lo, double *hi)
{
    double low = 0, high = 0;
    for (int i = 0; i < N_NETWORKS; i++)
        for (int64_t k = 0; k <= d[i].steps; k++) {
            double v = d[i].ln_norm[k] / log(10);
            if (isfinite(v)) low = fmin(low, v), high = fmax(high, v);
        }
    *lo = fmax(-60, floor(low / 10) * 10);
    *hi = fmin(60, ceil(high / 10) * 10);
}

/* Each curve is drawn with its number; where two meet, the one that comes later is seen. */
static void show_sketch(const decay *d)
{
    char canvas[ROWS + 1][COLUMNS + 2];
    double lo, hi;
    decades_of(d, &lo, &hi);
    memset(canvas, ' ', sizeof canvas);
    for (int i = 0; i < N_NETWORKS; i++)
        for (int col = 0; col <= COLUMNS; col++) {
            double v = d[i].ln_norm[col * d[i].steps / COLUMNS] / log(10);
            double row = (hi - v) / (hi - lo) * ROWS;
            if (row >= -.5 && row < ROWS + .5) canvas[lround(row)][col] = (char)('1' + i);
        }
    puts("\n   log10 |dh_T/dh_(T-k)|");
    for (int row = 0; row <= ROWS; row++) {
        canvas[row][COLUMNS + 1] = 0;
        for (int col = COLUMNS; col >= 0 && canvas[row][col] == ' '; col--)
            canvas[row][col] = 0;
        if (row % 4) printf("%9s|%s\n", "", canvas[row]);
        else printf("%8.0f |%s\n", hi - row * (hi - lo) / ROWS, canvas[row]);
    }
    printf("%10sk = 0%*s\n\n", "", COLUMNS - 4, "k = T");
    for (int i = 0; i < N_NETWORKS; i++)
        printf(i % 3 == 2 ? "   %d %s\n" : "   %d %-20s", i + 1, network_kind_of(i).title);
}

/* ---- Files ------------------------------------------------------------------------------- */

static void write_csv(const decay *d, const char *path)
{
    if (!file_wanted(path)) return;
    FILE *out = file_open(path);
    fputs("network,steps_back,ln_spectral_norm,ln_frobenius_norm\n", out);
    for (int i = 0; i < N_NETWORKS; i++)
        for (int64_t k = 0; k <= d[i].steps; k++)
            fprintf(out, "\"%s\",%lld,%.17g,%.17g\n", network_kind_of(i).title, (long long)k,
                    d[i].ln_norm[k], d[i].ln_length[k]);
    file_close(out, path);
}

/* Below this a float is no longer normal: single precision has nothing left there. */
static void draw_float_floor(FILE *out, const box *b)
{
    const double least = 1.17549435e-38;
    if (b->y.lo > least) return;
    fprintf(out, "<path class='floor' d='M%.1f %.1fH%.1f'/>\n", b->left, box_y(b, least),
            b->right);
    picture_text(out, "note", b->left + 10, box_y(b, least) - 6, "start",
                 "smallest normal number of single precision");
}

static void write_picture(const decay *d, const char *path)
{
    if (!file_wanted(path)) return;
    int64_t n = d[0].steps + 1;
    double lo, hi, *k = take((size_t)n, sizeof *k),
                   *norm = take((size_t)(n * N_NETWORKS), sizeof *k);
    decades_of(d, &lo, &hi);
    curve c[N_NETWORKS];
    for (int64_t i = 0; i < n; i++) k[i] = (double)i;
    for (int i = 0; i < N_NETWORKS; i++) {
        network_kind kind = network_kind_of(i);
        for (int64_t j = 0; j < n; j++) norm[i * n + j] = exp(d[i].ln_norm[j]);
        c[i] = (curve){ kind.title, kind.style, k, norm + i * n, n };
    }
    box b = { 84,
              56,
              720,
              470,
              { "steps back from the end, k", 0, (double)(n - 1), false },
              { "|dh_T / dh_(T-k)|", pow(10, lo), pow(10, fmax(hi, lo + 10)), true } };
    FILE *out = file_open(path);
    picture_begin(out, 920, 524, "How gradients vanish and explode before any training",
                  "One curve per network on a logarithmic scale: the largest singular value of "
                  "the product of step Jacobians, against the number of factors.",
                  ".floor{stroke:var(--frame);stroke-dasharray:1 4;fill:none}\n");
    picture_text(out, "title", b.left, 32, "start",
                 "How gradients vanish and explode before any training");
    picture_axes(out, &b);
    draw_float_floor(out, &b);
    for (int i = 0; i < N_NETWORKS; i++) picture_curve(out, &b, &c[i]);
    picture_names(out, &b, c, N_NETWORKS);
    picture_end(out);
    file_close(out, path);
    free(k);
    free(norm);
}

/* ---- The command ------------------------------------------------------------------------- */

void curves_command(int argc, char **argv, int first)
{
    curves_options o = { .hidden = 32,
                         .steps = 200,
                         .seed = 1,
                         .drive = 1,
                         .csv = "vanishing_curves.csv",
                         .svg = "vanishing_curves.svg" };
    flags_read(table, &o, argc, argv, first);
    file_check_all((const char *[]){ o.csv, o.svg, NULL });
    decay d[N_NETWORKS];
    meter m = meter_begin("steps", N_NETWORKS * o.steps, o.quiet);
    for (int i = 0; i < N_NETWORKS; i++) {
        network *n = network_new(i, o.hidden, (uint64_t)o.seed);
        d[i] = decay_of(n, o.steps, o.drive, (uint64_t)o.seed, &m, network_kind_of(i).title);
        network_free(n);
    }
    meter_end(&m);
    show_table(d);
    if (!o.quiet) show_sketch(d);
    write_csv(d, o.csv);
    write_picture(d, o.svg);
    puts("");
    file_tell(o.csv);
    file_tell(o.svg);
    for (int i = 0; i < N_NETWORKS; i++) decay_free(&d[i]);
}
