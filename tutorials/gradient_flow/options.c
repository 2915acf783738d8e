/* options.c -- one row per option: its name, what it holds, where it goes, what is allowed and
 * what --help says. The parser, the limits and the help text are all read from this table.
 *
 * Numbers are taken whole or not at all: "16x", nothing, and what overflows are refused. */
#define _POSIX_C_SOURCE 200809L /* access, strcasecmp */

#include "options.h"

#include "../common/say.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define BUNDLED "tutorials/data/sunspots_yearly.csv"

/* Where the build found the data; a program that was moved looks below the present folder. */
static const char *bundled(void)
{
#ifdef SEQGRAD_DATA
    static const char built[] = SEQGRAD_DATA "/sunspots_yearly.csv";
    if (!access(built, R_OK)) return built;
#endif
    return BUNDLED;
}

typedef enum option_kind { TEXT, COUNT, REAL, SWITCH } option_kind;

typedef struct option {
    const char *name, *argument;
    option_kind kind;
    size_t at;
    double lo, hi; /* COUNT and REAL: the smallest and largest value allowed */
    const char *help;
} option;

#define AT(field) offsetof(options, field)

static const option table[] = {
    { "--data", "FILE.csv", TEXT, AT(data), 0, 0,
      "the series; default: the bundled sunspot numbers" },
    { "--column", "NAME|N", TEXT, AT(column), 0, 0,
      "its column, by name or number from 1 [the last]" },
    { "--cell", "CELL", TEXT, AT(cell), 0, 0, "rnn, gru, lstm or all [all]" },
    { "--hidden", "N", COUNT, AT(hidden), 1, 1024, "width of the hidden state [16]" },
    { "--steps", "N", COUNT, AT(steps), 2, 100000, "how far back gradients are shown [100]" },
    { "--window", "N", COUNT, AT(window), 2, 10000, "length of the training windows [22]" },
    { "--updates", "N", COUNT, AT(updates), 1, 10000000, "weight updates per training [400]" },
    { "--rate", "X", REAL, AT(rate), 1e-9, 10, "highest learning rate [0.01]" },
    { "--seed", "N", COUNT, AT(seed), 0, 9e15, "seed of the first training [1]" },
    { "--seeds", "N", COUNT, AT(seeds), 1, 1000,
      "trainings per cell; prints every one and the median [1]" },
    { "--csv", "FILE", TEXT, AT(csv), 0, 0,
      "gradients by step [gradient_flow.csv; none: no file]" },
    { "--html", "FILE", TEXT, AT(html), 0, 0,
      "the page of curves [gradient_flow.html; none: no file]" },
    { "--report", "FILE.html", TEXT, AT(report), 0, 0,
      "one trained network in depth, and its numbers as CSV [none]" },
    { "--npy", NULL, SWITCH, AT(npy), 0, 0, "its tables as arrays of NumPy's, too" },
    { "--terminal", NULL, SWITCH, AT(terminal), 0, 0,
      "the same here: sparklines and heat maps" },
    { "--ascii", NULL, SWITCH, AT(ascii), 0, 0, "pictures here without other characters" },
    { "--jacobian", NULL, SWITCH, AT(jacobian), 0, 0,
      "singular values of dh_t/dh_(t-1) and of dh_T/dh_k" },
    { "--lyapunov", NULL, SWITCH, AT(lyapunov), 0, 0,
      "Lyapunov exponents, and how they converge" },
    { "--gates", NULL, SWITCH, AT(gates), 0, 0,
      "mean, deviation and saturation of every gate" },
    { "--validate", NULL, SWITCH, AT(validate), 0, 0,
      "pretend the series ends before the held-out part" },
    { "--quiet", NULL, SWITCH, AT(quiet), 0, 0, "no progress, no table of gradients" },
    { "--help", NULL, SWITCH, AT(help), 0, 0, "this text" },
};

enum { N_OPTIONS = sizeof table / sizeof *table };

/* The row whose name is the first `length` characters of arg, or NULL. */
static const option *find(const char *arg, size_t length)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (strlen(table[i].name) == length && !memcmp(table[i].name, arg, length))
            return &table[i];
    return NULL;
}

static void check_range(const option *o, const char *text, double value)
{
    if (value >= o->lo && value <= o->hi) return;
    die_usage("%s %s is out of range: it must be from %.15g to %.15g", o->name, text, o->lo,
              o->hi);
}

static int64_t read_count(const option *o, const char *text)
{
    char *end;
    if (!*text || text[strspn(text, "+-0123456789")])
        die_usage("%s takes a whole number, not \"%s\"", o->name, text);
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*end || end == text) die_usage("%s takes a whole number, not \"%s\"", o->name, text);
    check_range(o, text, errno ? 1e300 : (double)value);
    return value;
}

static double read_real(const option *o, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || text[strspn(text, "+-.0123456789eE")])
        die_usage("%s takes a number, not \"%s\"", o->name, text);
    check_range(o, text, value);
    return value;
}

/* Puts the value of option o, written as text, into its place. */
static void store(options *into, const option *o, const char *text)
{
    void *place = (char *)into + o->at;
    switch (o->kind) {
    case TEXT:
        if (!*text) die_usage("%s takes %s, not an empty string", o->name, o->argument);
        *(const char **)place = text;
        break;
    case COUNT: *(int64_t *)place = read_count(o, text); break;
    case REAL: *(double *)place = read_real(o, text); break;
    case SWITCH: *(bool *)place = true; break;
    }
}

/* Reads the option at argv[i], "--name value" or "--name=value"; returns how many were used. */
static int read_one(options *into, char **argv, int i)
{
    const char *arg = argv[i], *equals = strchr(arg, '=');
    const option *o = find(arg, equals ? (size_t)(equals - arg) : strlen(arg));
    if (!o) die_usage(*arg == '-' ? "there is no option %s" : "\"%s\" is not an option", arg);
    if (o->kind == SWITCH) {
        if (equals) die_usage("%s takes no value", o->name);
        store(into, o, "");
        return 1;
    }
    if (equals) {
        store(into, o, equals + 1);
        return 1;
    }
    if (!argv[i + 1]) die_usage("%s takes a value: %s", o->name, o->argument);
    store(into, o, argv[i + 1]);
    return 2;
}

options options_read(int argc, char **argv)
{
    options o = { .data = bundled(),
                  .cell = "all",
                  .csv = "gradient_flow.csv",
                  .html = "gradient_flow.html",
                  .report = "none",
                  .hidden = 16,
                  .steps = 100,
                  .window = 22,
                  .updates = 400,
                  .seed = 1,
                  .seeds = 1,
                  .rate = 0.01 };
    for (int i = 1; i < argc;) i += read_one(&o, argv, i);
    return o;
}

bool wants_cell(const options *o, const char *cell)
{
    return !strcasecmp(o->cell, "all") || !strcasecmp(o->cell, cell);
}

bool wants_depth(const options *o) { return o->terminal || strcmp(o->report, "none") != 0; }

void options_help(void)
{
    puts("gradient_flow -- an RNN, a GRU and an LSTM learn to forecast a series one step\n"
         "ahead; then the gradient of one loss is followed back through time.\n\n"
         "usage: gradient_flow [options]\n");
    for (int i = 0; i < N_OPTIONS; i++) {
        char left[32];
        snprintf(left, sizeof left, "%s %s", table[i].name,
                 table[i].argument ? table[i].argument : "");
        printf("  %-18s  %s\n", left, table[i].help);
    }
    puts(
        "\nThe last 50 values are held out: no weight, scale or baseline is fitted to them.\n"
        "Of several cells --report page.html writes page_rnn.html, page_gru.html, page_lstm.html.\n"
        "Beside it --npy writes page_total.npy, page_reach.npy and so on; with them the order of\n"
        "weights and gates is that of the rows of page.csv. Where pictures do not go to a terminal\n"
        "with UTF-8, they are ASCII anyway.\n"
        "With --jacobian, --lyapunov, --gates numbers go beside those of --csv.");
}
