/* wall.c -- the command: the steepest point, two descents, a CSV file and a picture. */
#include "wall.h"

#include "surface.h"
#include "wall_picture.h"
#include "../common/files.h"
#include "../common/flags.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct wall_options {
    double w, b, rate, limit;
    int64_t updates;
    const char *csv, *svg;
    bool quiet, help;
} wall_options;

#define AT(field) offsetof(wall_options, field)

static const flag table[] = {
    { "--w", "X", FLAG_REAL, AT(w), -100, 100, "the descent begins there [5.6]" },
    { "--b", "X", FLAG_REAL, AT(b), -100, 100, "and there [-2.3]" },
    { "--rate", "X", FLAG_REAL, AT(rate), 1e-9, 100, "of the descent [0.1]" },
    { "--clip", "X", FLAG_REAL, AT(limit), 1e-9, 1e9,
      "longest gradient of the clipped one [1]" },
    { "--updates", "N", FLAG_COUNT, AT(updates), 1, 100000, "of the weights [400]" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0, "the surface [vanishing_wall.csv; or none]" },
    { "--svg", "FILE", FLAG_TEXT, AT(svg), 0, 0, "the picture [vanishing_wall.svg; or none]" },
    { "--quiet", NULL, FLAG_SWITCH, AT(quiet), 0, 0, "no walk along the descents" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "the help of all commands" },
    { 0 },
};

void wall_help(void)
{
    puts(
        "vanishing wall [options]   the error surface of one unit, and a descent into its wall");
    flags_help(table);
}

static void show_surface(const surface *s, const surface *cut)
{
    int64_t p = surface_steepest(s), q = surface_steepest(cut);
    double flat = surface_steepness(s, p);
    for (int64_t i = 0; i < s->n; i++) {
        double here = surface_steepness(s, i);
        flat = here < flat ? here : flat;
    }
    printf("x_t = w sigmoid(x_(t-1)) + b, x_0 = 0.5; E = (sigmoid(x_50) - 0.7)^2\n"
           "%lld points, one sweep: w = 4.5 .. 7.3 by 0.02, b = -3.2 .. -1.6 by 0.01\n\n"
           "  steepest  |dE/d(w,b)| = %.2f at (%.2f, %.2f), where E = %.4f\n"
           "  flattest  |dE/d(w,b)| = %.4f: %.0f times less\n",
           (long long)s->n, surface_steepness(s, p), s->w[p], s->b[p], s->error[p], flat,
           surface_steepness(s, p) / flat);
    printf("  between   at w = %.2f it is %.0f where b = %.6f: the wall is thinner\n"
           "            than the grid, which hits it here and there only\n\n",
           cut->w[q], surface_steepness(cut, q), cut->b[q]);
}

/* The updates worth a line: the first, those that meet a gradient longer than any before and longer
 * than 1, and the last. */
static void show_walk(const descent *d, const char *title)
{
    double longest = 1;
    printf("%s\n  %7s %10s %10s %9s %10s\n", title, "update", "w", "b", "E", "|gradient|");
    for (int64_t i = 0; i <= d->updates; i++) {
        bool record = d->steepness[i] > longest;
        if (i && i < d->updates && !record) continue;
        if (record) longest = d->steepness[i];
        printf("  %7lld %10.4f %10.4f %9.5f %10.3g\n", (long long)i, d->w[i], d->b[i],
               d->error[i], d->steepness[i]);
    }
    puts("");
}

static void write_csv(const surface *s, const char *path)
{
    if (!file_wanted(path)) return;
    FILE *out = file_open(path);
    fputs("w,b,error,by_w,by_b\n", out);
    for (int64_t i = 0; i < s->n; i++)
        fprintf(out, "%.2f,%.2f,%.17g,%.17g,%.17g\n", s->w[i], s->b[i], s->error[i], s->by_w[i],
                s->by_b[i]);
    file_close(out, path);
}

void wall_command(int argc, char **argv, int first)
{
    wall_options o = { .w = 5.6,
                       .b = -2.3,
                       .rate = .1,
                       .limit = 1,
                       .updates = 400,
                       .csv = "vanishing_wall.csv",
                       .svg = "vanishing_wall.svg" };
    flags_read(table, &o, argc, argv, first);
    file_check_all((const char *[]){ o.csv, o.svg, NULL });
    surface s = surface_new(4.5, .02, 141, -3.2, .01, 161);
    double at = s.w[surface_steepest(&s)], middle = s.b[surface_steepest(&s)];
    surface cut = surface_new(at, 0, 1, middle - .05, 1e-5, 10001);
    show_surface(&s, &cut);
    descent free_one = descend(o.w, o.b, o.rate, 0, o.updates);
    descent clipped = descend(o.w, o.b, o.rate, o.limit, o.updates);
    char title[80];
    snprintf(title, sizeof title, "Clipped to length %g", o.limit);
    if (!o.quiet) {
        show_walk(&free_one, "Without clipping");
        show_walk(&clipped, title);
    }
    printf("after %lld updates: E = %.5f without clipping, %.5f with\n\n", (long long)o.updates,
           free_one.error[o.updates], clipped.error[o.updates]);
    write_csv(&s, o.csv);
    if (file_wanted(o.svg)) wall_picture(&s, &free_one, &clipped, o.svg);
    file_tell(o.csv);
    file_tell(o.svg);
    surface_free(&s);
    surface_free(&cut);
    descent_free(&free_one);
    descent_free(&clipped);
}
