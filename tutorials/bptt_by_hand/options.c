/* options.c -- one row per option. Lists of numbers tell by their length how many units and steps
 * there are; what is not given comes from the tables of defaults. */
#include "options.h"

#include "../common/say.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { USUAL_STEPS = 3, MAX_LIST = MAX_STEPS * MAX_UNITS, MOST = 10 };

/* The networks of one unit and of two, for any number of steps. */
static const problem usual[2] = {
    { .units = 1,
      .weight = { [W_HH] = { .9 }, [W_XH] = { .7 }, [BIAS] = { .1 } },
      .h0 = { .5 },
      .x = { 1, -.5, .8, .3, -.9, .6 },
      .y = { .5, -.2, .4, 0, -.6, .3 } },
    { .units = 2,
      .weight = { [W_HH] = { .8, -.5, .4, .6 }, [W_XH] = { .7, -.3 }, [BIAS] = { .1, -.1 } },
      .h0 = { .5, -.25 },
      .x = { 1, -.5, .8, .3, -.9, .6 },
      .y = { .5, .1, -.2, .3, .4, -.4, 0, .2, -.6, .5, .3, -.1 } },
};

static const char *const mistakes[N_MISTAKES] = { "none", "slope", "transpose", "immediate" };

/* A list of numbers as it was given; n = 0: it was not. */
typedef struct list {
    int n;
    double v[MAX_LIST];
} list;

enum { LIST_WX, LIST_W, LIST_B, LIST_H0, LIST_X, LIST_Y, N_LISTS };

typedef struct given {
    list l[N_LISTS];
    int units, steps; /* 0: not said */
} given;

typedef enum kind { NUMBERS, UNITS, STEPS, MISTAKE, DOT, HTML, PLAIN, HELP } kind;

static const struct {
    const char *name, *argument, *help;
    kind kind;
    int list;
} table[] = {
    { "--units", "N", "hidden units, 1 or 2 [both, one after the other]", UNITS, 0 },
    { "--steps", "N", "time steps, 1 to 6 [3]", STEPS, 0 },
    { "--w", "LIST", "W_hh: 1 number, or 4 for two units, [1,1] [1,2] [2,1] [2,2]", NUMBERS,
      LIST_W },
    { "--wx", "LIST", "W_xh: 1 number, or 2", NUMBERS, LIST_WX },
    { "--b", "LIST", "the bias: 1 number, or 2", NUMBERS, LIST_B },
    { "--h0", "LIST", "the initial state: 1 number, or 2", NUMBERS, LIST_H0 },
    { "--x", "LIST", "the inputs, one a step", NUMBERS, LIST_X },
    { "--y", "LIST", "what h should be: one a step, or 2 a step", NUMBERS, LIST_Y },
    { "--mistake", "NAME", "go wrong by hand: slope, transpose, immediate [none]", MISTAKE, 0 },
    { "--dot", "FILE", "the unrolled graph of the first network, for Graphviz", DOT, 0 },
    { "--html", "FILE", "the library's page about it", HTML, 0 },
    { "--plain", NULL, "ASCII only", PLAIN, 0 },
    { "--help", NULL, "this text", HELP, 0 },
};

enum { N_OPTIONS = sizeof table / sizeof *table };

static list read_list(const char *option, const char *text)
{
    list l = { 0 };
    for (const char *at = text;; at++) {
        char *end;
        double v = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !isfinite(v))
            die_usage("%s takes numbers with commas between them, not \"%s\"", option, text);
        if (fabs(v) > MOST)
            die_usage("%s: %g is out of range: it must be from -%d to %d", option, v, MOST,
                      MOST);
        if (l.n == MAX_LIST) die_usage("%s takes at most %d numbers", option, MAX_LIST);
        l.v[l.n++] = v;
        if (!*end) return l;
        at = end;
    }
}

static int read_count(const char *option, const char *text, int most)
{
    char *end;
    long v = strtol(text, &end, 10);
    if (end == text || *end) die_usage("%s takes a whole number, not \"%s\"", option, text);
    if (v < 1 || v > most)
        die_usage("%s %s is out of range: it must be from 1 to %d", option, text, most);
    return (int)v;
}

static mistake read_mistake(const char *text)
{
    for (int m = 0; m < N_MISTAKES; m++)
        if (!strcmp(text, mistakes[m])) return (mistake)m;
    die_usage("--mistake takes none, slope, transpose or immediate, not \"%s\"", text);
}

static void store(options *o, given *g, int i, const char *text)
{
    const char *name = table[i].name;
    if (text && !*text) die_usage("%s takes %s, not an empty string", name, table[i].argument);
    switch (table[i].kind) {
    case NUMBERS: g->l[table[i].list] = read_list(name, text); break;
    case UNITS: g->units = read_count(name, text, MAX_UNITS); break;
    case STEPS: g->steps = read_count(name, text, MAX_STEPS); break;
    case MISTAKE: o->wrong = read_mistake(text); break;
    case DOT: o->dot = text; break;
    case HTML: o->html = text; break;
    case PLAIN: o->plain = true; break;
    case HELP: o->help = true; break;
    }
}

/* "--name value" or "--name=value"; returns how many arguments were used. */
static int read_one(options *o, given *g, char **argv, int at)
{
    const char *arg = argv[at], *equals = strchr(arg, '=');
    size_t length = equals ? (size_t)(equals - arg) : strlen(arg);
    int i = 0;
    while (i < N_OPTIONS &&
           (strlen(table[i].name) != length || memcmp(table[i].name, arg, length) != 0))
        i++;
    if (i == N_OPTIONS)
        die_usage(*arg == '-' ? "there is no option %s" : "\"%s\" is not an option", arg);
    if (!table[i].argument && equals) die_usage("%s takes no value", table[i].name);
    if (table[i].argument && !equals && !argv[at + 1])
        die_usage("%s takes a value: %s", table[i].name, table[i].argument);
    store(o, g, i, !table[i].argument ? NULL : equals ? equals + 1 : argv[at + 1]);
    return table[i].argument && !equals ? 2 : 1;
}

/* ---- From lists to networks -------------------------------------------------------------------- */

/* How many numbers list i has for H units and T steps. */
static int wanted(int i, int H, int T)
{
    const int n[N_LISTS] = { H, H * H, H, H, T, T * H };
    return n[i];
}

static const char *option_of(int l)
{
    int i = 0;
    while (table[i].kind != NUMBERS || table[i].list != l) i++;
    return table[i].name;
}

/* Lists of weights tell the units, the inputs the steps, where nobody said. */
static void conclude(given *g)
{
    for (int i = LIST_WX; i <= LIST_H0 && !g->units; i++)
        if (g->l[i].n) g->units = g->l[i].n == 1 ? 1 : 2;
    if (!g->steps) g->steps = g->l[LIST_X].n;
    if (g->steps > MAX_STEPS) die_usage("--x takes at most %d numbers, one a step", MAX_STEPS);
    if (!g->steps && g->l[LIST_Y].n && g->units) g->steps = g->l[LIST_Y].n / g->units;
    if (!g->steps) g->steps = USUAL_STEPS;
    if (g->l[LIST_Y].n && !g->units) g->units = g->l[LIST_Y].n == g->steps ? 1 : 2;
}

static problem build(const given *g, int H)
{
    problem p = usual[H - 1];
    double *const place[N_LISTS] = {
        p.weight[W_XH], p.weight[W_HH], p.weight[BIAS], p.h0, p.x, p.y
    };
    p.steps = g->steps;
    for (int i = 0; i < N_LISTS; i++) {
        int n = wanted(i, H, g->steps);
        if (!g->l[i].n) continue;
        if (g->l[i].n != n)
            die_usage("%s has %d number%s; %d unit%s and %d step%s need %d", option_of(i),
                      g->l[i].n, g->l[i].n == 1 ? "" : "s", H, H == 1 ? "" : "s", g->steps,
                      g->steps == 1 ? "" : "s", n);
        memcpy(place[i], g->l[i].v, (size_t)n * sizeof(double));
    }
    return p;
}

options options_read(int argc, char **argv)
{
    options o = { 0 };
    given g = { 0 };
    for (int i = 1; i < argc;) i += read_one(&o, &g, argv, i);
    if (o.help) return o;
    if (o.dot && o.html && !strcmp(o.dot, o.html))
        die_usage("--dot and --html name the same file, %s", o.dot);
    conclude(&g);
    for (int H = 1; H <= MAX_UNITS; H++)
        if (!g.units || g.units == H) o.network[o.n++] = build(&g, H);
    return o;
}

void options_help(void)
{
    puts("bptt_by_hand -- backpropagation through time, number by number: a recurrent network\n"
         "of one unit, then of two, computed by hand and by the tape, side by side.\n\n"
         "usage: bptt_by_hand [options]\n");
    for (int i = 0; i < N_OPTIONS; i++) {
        char left[32];
        snprintf(left, sizeof left, "%s %s", table[i].name,
                 table[i].argument ? table[i].argument : "");
        printf("  %-15s  %s\n", left, table[i].help);
    }
    puts(
        "\nA LIST is numbers from -10 to 10 with commas between them: --x 1,-0.5,0.8. Its length\n"
        "tells how many units and steps there are. Ends with status 1 when a number by hand and\n"
        "that of the tape differ by more than 1e-12 of the largest on the way, at least of 1.");
}
