/* compare.c -- the command: trains and tests every network, and puts them beside each other and beside
 * what the paper tells. */
#include "compare.h"

#include "test.h"
#include "train.h"
#include "../common/files.h"
#include "../common/meter.h"
#include "../common/picture.h"
#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- One network ------------------------------------------------------------------------- */

static result run(model_kind kind, const options *o, uint64_t seed)
{
    char title[48];
    snprintf(title, sizeof title, "%s, %llu", model_titles[kind], (unsigned long long)seed);
    model *m = model_new(kind, o->hidden, seed, !o->adam);
    double began = meter_clock();
    train(m, o, seed, title);
    double seconds = meter_clock() - began;
    result r = test(m, o, title);
    r.seconds = seconds;
    model_free(m);
    return r;
}

static double last_norm(const result *r) { return r->norm[r->n_norms - 1]; }

/* ---- On the terminal --------------------------------------------------------------------- */

static void show_task(const options *o)
{
    for (int kind = 0; kind < N_KINDS; kind++) {
        model *m = model_new((model_kind)kind, o->hidden, 1, false);
        printf("%-13s %lld memory cells, %lld weights\n", model_titles[kind],
               (long long)o->hidden, (long long)sq_params_size(m->params));
        model_free(m);
    }
    printf("training:     %lld updates by %s, one after every %lld symbols;\n"
           "              gradients go back %lld; %lld stream%s at a time\n",
           (long long)o->updates, o->adam ? "Adam" : "gradient descent", (long long)o->k1,
           (long long)o->k2, (long long)o->batch, o->batch == 1 ? "" : "s");
    printf("test:         %lld streams of %lld symbols; right: all 7 outputs within 0.49\n\n",
           (long long)o->streams, (long long)o->test);
    printf("%-13s %4s  %11s %7s %8s %9s %8s %7s\n", "", "seed", "until first", "perfect",
           "right", "agreement", "|c|", "seconds");
    printf("%-13s %4s  %11s %7s\n", "", "", "mistake", "streams");
    fflush(stdout);
}

static void show_result(const char *title, int64_t seed, const result *r, const options *o)
{
    printf("%-13s %4lld  %11.0f %4lld/%-2lld %7.3f%% %8.2f%% %8.1f %7.1f\n", title,
           (long long)seed, r->mean_until, (long long)r->perfect, (long long)o->streams,
           100 * r->right, 100 * r->agreement, last_norm(r), r->seconds);
    fflush(stdout);
}

static void show_summary(const result *r, const options *o)
{
    puts("");
    for (int kind = 0; kind < N_KINDS; kind++) {
        int64_t solved = 0;
        for (int64_t i = 0; i < o->seeds; i++)
            solved += r[kind * o->seeds + i].perfect == o->streams;
        printf("%-13s perfect in all streams: %lld of %lld networks\n", model_titles[kind],
               (long long)solved, (long long)o->seeds);
    }
    puts("In the paper, streams of 1000000 symbols: perfect are 62 of 100 networks with\n"
         "forget gates, 18 where the learning rate does not fall, and no LSTM of 1997.");
}

/* ---- Files ------------------------------------------------------------------------------- */

static void write_csv(const result *r, const options *o)
{
    if (!file_wanted(o->csv)) return;
    FILE *out = file_open(o->csv);
    fputs("cell,seed,symbols,norm_c\n", out);
    for (int64_t i = 0; i < N_KINDS * o->seeds; i++)
        for (int64_t k = 0; k < r[i].n_norms; k++)
            fprintf(out, "%s,%lld,%.0f,%.9g\n", model_titles[i / o->seeds],
                    (long long)(o->seed + i % o->seeds), r[i].at[k], r[i].norm[k]);
    file_close(out, o->csv);
}

static void bounds(const result *r, int64_t n, axis *y)
{
    double lo = HUGE_VAL, hi = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < r[i].n_norms; k++) {
            lo = fmin(lo, r[i].norm[k]);
            hi = fmax(hi, r[i].norm[k]);
        }
    y->lo = pow(10, floor(log10(lo)));
    y->hi = pow(10, ceil(log10(hi) + 1e-9));
}

static void write_picture(const result *r, const options *o)
{
    enum { BLUE = 1, ORANGE = 7 };
    static const char title[] = "What becomes of the memory over an endless stream";
    if (!file_wanted(o->svg)) return;
    box b = { 84,
              56,
              720,
              436,
              { "symbols read", 1, (double)(o->test > 1 ? o->test : 2), true },
              { "|c|, mean over the test streams", 1, 10, true } };
    bounds(r, N_KINDS * o->seeds, &b.y);
    FILE *out = file_open(o->svg);
    picture_begin(out, 900, 490, title,
                  "The norm of the cell state against the symbols read, both on logarithmic "
                  "scales, one curve per network.",
                  NULL);
    picture_text(out, "title", b.left, 32, "start", title);
    picture_axes(out, &b);
    curve first[N_KINDS];
    for (int64_t i = 0; i < N_KINDS * o->seeds; i++) {
        int kind = (int)(i / o->seeds);
        curve c = { model_titles[kind], kind == WITH_FORGET_GATE ? BLUE : ORANGE, r[i].at,
                    r[i].norm, r[i].n_norms };
        picture_curve(out, &b, &c);
        if (i % o->seeds == 0) first[kind] = c;
    }
    picture_names(out, &b, first, N_KINDS);
    picture_end(out);
    file_close(out, o->svg);
}

/* ---- The command ------------------------------------------------------------------------- */

void compare_command(options o)
{
    file_check_all((const char *[]){ o.csv, o.svg, NULL });
    result *r = take((size_t)(N_KINDS * o.seeds), sizeof *r);
    show_task(&o);
    for (int64_t i = 0; i < N_KINDS * o.seeds; i++) {
        model_kind kind = (model_kind)(i / o.seeds);
        int64_t seed = o.seed + i % o.seeds;
        r[i] = run(kind, &o, (uint64_t)seed);
        show_result(model_titles[kind], seed, &r[i], &o);
    }
    show_summary(r, &o);
    puts("");
    write_csv(r, &o);
    write_picture(r, &o);
    file_tell(o.csv);
    file_tell(o.svg);
    for (int64_t i = 0; i < N_KINDS * o.seeds; i++) result_free(&r[i]);
    free(r);
}
