/* show.c -- every row beside what its paper tells. */
#include "show.h"

#include "../common/files.h"
#include "../common/say.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const optim_names[] = { "SGD", "RMSprop", "Adagrad", "Adam", "AdamW" };

/* ---- A row ------------------------------------------------------------------------------- */

void show_setup(const row *r)
{
    printf("%s: %s\n", r->name, r->title);
    if (!r->task) return;
    printf("  set-up   size %lld, %s, H = %lld; at most %lld updates of %lld sequence%s by\n"
           "           %s, rate %g",
           (long long)r->size, cell_names[r->cell], (long long)r->hidden, (long long)r->updates,
           (long long)r->batch, r->batch == 1 ? "" : "s", optim_names[r->optim], r->rate);
    if (r->halve) printf(" halved every %lld", (long long)r->halve);
    if (r->clip != 0)
        printf("; %s clipped to %g", r->clip < 0 ? "elements" : "norm", fabs(r->clip));
    if (r->chrono > 0)
        printf(";\n           gates that remember up to %g steps at first", r->chrono);
    puts("");
    fflush(stdout);
}

void show_training(int64_t seed, const result *x, const row *r)
{
    printf("  seed %-3lld %s after %lld updates, %lld sequences; %lld of %lld wrong;\n"
           "           ",
           (long long)seed, x->solved ? "solved" : "stopped", (long long)x->updates,
           (long long)x->sequences, (long long)x->wrong, (long long)x->tests);
    if (r->test_size) printf("right up to n = %lld; ", (long long)x->reach);
    printf("loss %.3g", x->loss);
    if (r->by_loss) printf(" (%.3g without memory)", without_memory(r));
    printf("; %.1f s, %.3g ms an update\n", x->seconds, 1e3 * x->per_update);
    fflush(stdout);
}

typedef struct totals {
    int64_t solved;
    double sequences, seconds, per_update; /* median of the solved; sum; mean */
} totals;

static totals total(const record *d)
{
    totals s = { 0 };
    double *v = take((size_t)d->r.seeds, sizeof *v);
    for (int64_t i = 0; i < d->r.seeds; i++) {
        const result *x = &d->results[i];
        if (x->solved) v[s.solved++] = (double)x->sequences;
        s.seconds += x->seconds;
        s.per_update += x->per_update / (double)d->r.seeds;
    }
    s.sequences = median(v, s.solved);
    free(v);
    return s;
}

void show_row(const record *d)
{
    totals s = total(d);
    printf("  here     %lld of %lld solved", (long long)s.solved, (long long)d->r.seeds);
    if (s.solved) printf(", median %.0f sequences", s.sequences);
    printf("; %lld weights; %.1f s in all\n", (long long)d->results[0].weights, s.seconds);
    printf("  paper    %s%s\n  differs  %s\n",
           d->r.resized ? "of another size:\n           " : "", d->r.paper, d->r.differs);
    if (*d->r.numpy)
        printf("  NumPy    %s\n           %s %.3g ms an update, %.2g s a training\n",
               d->r.numpy, d->r.resized ? "here, another size," : "here", 1e3 * s.per_update,
               s.seconds / (double)d->r.seeds);
    puts("");
    fflush(stdout);
}

void show_balance(const record *d)
{
    printf("  set-up   23 linear units, 1 weight; a loss and an update of gradient descent,\n"
           "           rate 1e-4, at the end of every window; %lld updates from theta = 0.5\n",
           (long long)d->r.updates);
    for (int i = 0; i < N_WINDOWS; i++)
        printf("  window %3lld  theta = %-12.6g %s  %.2f s\n", (long long)d->windows[i].window,
               d->windows[i].theta,
               fabs(d->windows[i].theta + 1. / 6) < 1e-3 ? "arrives" : "       ",
               d->windows[i].seconds);
    puts("  paper    the best theta is -1/6. By NumPy, 3000 updates: a window of 1: 3.26;\n"
         "           10, 20, 30 run away; 50: -0.166540; 100: -0.166653\n");
    fflush(stdout);
}

/* ---- All rows ---------------------------------------------------------------------------- */

void show_summary(const record *d, int n)
{
    printf("%-12s %8s %10s %10s %9s %10s\n%-12s %8s %10s %10s %9s\n", "", "solved", "sequences",
           "published", "seconds", "ms/update", "", "", "(median)", "", "in all");
    for (int i = 0; i < n; i++) {
        if (!d[i].results) continue;
        totals s = total(&d[i]);
        printf("%-12s %3lld of %lld ", d[i].r.name, (long long)s.solved,
               (long long)d[i].r.seeds);
        if (s.solved) printf("%10.0f ", s.sequences);
        else printf("%10s ", "-");
        if (d[i].r.published > 0) printf("%10.0f ", d[i].r.published);
        else printf("%10s ", "-");
        printf("%9.1f %10.3g\n", s.seconds, 1e3 * s.per_update);
    }
    puts("");
}

void write_csv(const record *d, int n, const options *o)
{
    if (!file_wanted(o->csv)) return;
    FILE *out = file_open(o->csv);
    fputs("row,seed,cell,size,hidden,batch,weights,updates,sequences,solved,wrong,tests,reach,"
          "loss,seconds,ms_per_update,published_sequences\n",
          out);
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; d[i].results && k < d[i].r.seeds; k++) {
            const row *r = &d[i].r;
            const result *x = &d[i].results[k];
            fprintf(out,
                    "%s,%lld,%s,%lld,%lld,%lld,%lld,%lld,%lld,%d,%lld,%lld,%lld,%.9g,%.3f,"
                    "%.5g,%.0f\n",
                    r->name, (long long)(o->seed + k), cell_names[r->cell], (long long)r->size,
                    (long long)r->hidden, (long long)r->batch, (long long)x->weights,
                    (long long)x->updates, (long long)x->sequences, x->solved,
                    (long long)x->wrong, (long long)x->tests, (long long)x->reach, x->loss,
                    x->seconds, 1e3 * x->per_update, r->published);
        }
    for (int i = 0; i < n; i++)
        for (int k = 0; !d[i].results && k < N_WINDOWS; k++)
            fprintf(out, "balance,,window %lld,,,,1,%lld,,%d,,,,%.9g,%.3f,,\n",
                    (long long)d[i].windows[k].window, (long long)d[i].r.updates,
                    fabs(d[i].windows[k].theta + 1. / 6) < 1e-3, d[i].windows[k].theta,
                    d[i].windows[k].seconds);
    file_close(out, o->csv);
}
