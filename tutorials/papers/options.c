/* options.c -- the command line. */
#include "options.h"

#include "../common/flags.h"
#include "../common/say.h"

#include <stddef.h>
#include <stdio.h>

#define AT(field) offsetof(options, field)

static const flag table[] = {
    { "--quick", NULL, FLAG_SWITCH, AT(quick), 0, 0, "one small training of each row" },
    { "--seeds", "N", FLAG_COUNT, AT(seeds), 1, 1000, "trainings of a row" },
    { "--seed", "N", FLAG_COUNT, AT(seed), 0, 1e15, "of the first training [1]" },
    { "--updates", "N", FLAG_COUNT, AT(updates), 1, 1e9, "at most so many" },
    { "--whole", NULL, FLAG_SWITCH, AT(whole), 0, 0, "all updates, also after it is solved" },
    { "--size", "N", FLAG_COUNT, AT(size), 1, 10000, "T, p or n of the paper" },
    { "--cell", "NAME", FLAG_TEXT, AT(cell), 0, 0, "lstm lstm97 peephole cifg gru rnn" },
    { "--hidden", "N", FLAG_COUNT, AT(hidden), 1, 4096, "units of the cell" },
    { "--batch", "N", FLAG_COUNT, AT(batch), 1, 4096, "sequences of an update" },
    { "--rate", "X", FLAG_REAL, AT(rate), 1e-9, 1e3, "learning rate at first" },
    { "--chrono", "X", FLAG_REAL, AT(chrono), 0, 1e6,
      "gates remember up to so many steps; 0: as the cell has them" },
    { "--threads", "N", FLAG_COUNT, AT(threads), 1, 256, "the numbers stay the same [1]" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0, "a line per training [papers.csv; or none]" },
    { "--svg", "FILE", FLAG_TEXT, AT(svg), 0, 0,
      "sequences until solved [papers.svg; or none]" },
    { "--count", "N", FLAG_COUNT, AT(count), 1, 1e6, "data: how many sequences [10]" },
    { "--quiet", NULL, FLAG_SWITCH, AT(quiet), 0, 0, "no progress" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "this" },
    { 0 },
};

options options_read(int argc, char **argv, int first)
{
    options o = { .cell = "",
                  .chrono = -1,
                  .seed = 1,
                  .threads = 1,
                  .count = 10,
                  .csv = "papers.csv",
                  .svg = "papers.svg" };
    flags_read(table, &o, argc, argv, first);
    if (*o.cell && cell_named(o.cell) == N_CELLS)
        die_usage("there is no cell \"%s\": lstm lstm97 peephole cifg gru rnn", o.cell);
    return o;
}

void options_help(void) { flags_help(table); }

static int64_t chosen(int64_t given, int64_t otherwise) { return given ? given : otherwise; }

row row_with(const row *base, const options *o)
{
    row r = *base;
    if (!r.task &&
        (o->size || o->hidden || o->batch || *o->cell || o->rate > 0 || o->chrono >= 0))
        die_usage("%s has no --size, --hidden, --batch, --cell, --rate or --chrono", r.name);
    r.size = chosen(o->size, o->quick ? r.quick_size : r.size);
    r.resized = r.size != base->size;
    if (r.resized) r.published = 0; /* of another task */
    r.updates = chosen(o->updates, o->quick ? r.quick_updates : r.updates);
    r.seeds = chosen(o->seeds, o->quick ? 1 : r.seeds);
    r.hidden = chosen(o->hidden, r.hidden);
    r.batch = chosen(o->batch, r.batch);
    if (o->rate > 0) r.rate = o->rate;
    if (o->chrono >= 0) r.chrono = o->chrono;
    r.whole = o->whole;
    if (*o->cell) r.cell = cell_named(o->cell);
    if (o->quick && r.tests > 256) r.tests = 256;
    if (r.test_size && r.size != base->size) r.tests = r.test_size = 2 * r.size;
    if (r.cell == RNN) { /* which has no gates to begin open or shut */
        if (o->chrono > 0) die_usage("rnn has no gates, so no --chrono");
        r.chrono = 0;
    }
    if (r.chrono > 0 && r.chrono < 2) die_usage("--chrono must be 0 or at least 2");
    if (r.task && r.size < r.task->least)
        die_usage("--size of %s must be at least %lld", r.name, (long long)r.task->least);
    return r;
}
