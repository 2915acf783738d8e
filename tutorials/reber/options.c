/* options.c -- one row per option (common/flags.h). --full and --adam stand for other defaults: they
 * are looked for first, so that what is said beside them counts. */
#include "options.h"

#include "../common/flags.h"

#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(options, field)

static const flag table[] = {
    { "--full", NULL, FLAG_SWITCH, AT(full), 0, 0, "5 seeds, test streams of 1000000 symbols" },
    { "--adam", NULL, FLAG_SWITCH, AT(adam), 0, 0,
      "train as one would today, not as the paper does" },
    { "--seeds", "N", FLAG_COUNT, AT(seeds), 1, 1000, "trainings per cell [3]" },
    { "--seed", "N", FLAG_COUNT, AT(seed), 0, 9e15, "of the first of them [1]" },
    { "--updates", "N", FLAG_COUNT, AT(updates), 1, 1e9,
      "of the weights, per training [50000; --adam 10000]" },
    { "--hidden", "N", FLAG_COUNT, AT(hidden), 1, 1024, "memory cells [8]" },
    { "--batch", "N", FLAG_COUNT, AT(batch), 1, 4096,
      "streams of the training [1; --adam 32]" },
    { "--k1", "N", FLAG_COUNT, AT(k1), 1, 100000,
      "symbols between two updates [10; --adam 20]" },
    { "--k2", "N", FLAG_COUNT, AT(k2), 1, 100000,
      "symbols that gradients go back [40; --adam 60]" },
    { "--rate", "X", FLAG_REAL, AT(rate), 1e-9, 10,
      "learning rate; falls to 0 [0.5; --adam 0.01]" },
    { "--clip", "X", FLAG_REAL, AT(clip), 0, 1e9, "longest gradient, 0: any [0; --adam 1]" },
    { "--test", "N", FLAG_COUNT, AT(test), 1, 1e9, "symbols of a test stream [100000]" },
    { "--streams", "N", FLAG_COUNT, AT(streams), 1, 4096, "test streams [10]" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0, "|c| over time [reber.csv; or none]" },
    { "--svg", "FILE", FLAG_TEXT, AT(svg), 0, 0, "the picture of it [reber.svg; or none]" },
    { "--quiet", NULL, FLAG_SWITCH, AT(quiet), 0, 0, "no progress" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "the help of all commands" },
    { 0 },
};

static bool given(int argc, char **argv, int first, const char *name)
{
    for (int i = first; i < argc; i++)
        if (!strcmp(argv[i], name)) return true;
    return false;
}

options options_read(int argc, char **argv, int first)
{
    options o = { .hidden = 8,
                  .batch = 1,
                  .k1 = 10,
                  .k2 = 40,
                  .updates = 50000,
                  .rate = .5,
                  .test = 100000,
                  .streams = 10,
                  .seed = 1,
                  .seeds = 3,
                  .csv = "reber.csv",
                  .svg = "reber.svg" };
    if (given(argc, argv, first, "--adam")) {
        o.batch = 32;
        o.k1 = 20;
        o.k2 = 60;
        o.updates = 10000;
        o.rate = .01;
        o.clip = 1;
    }
    if (given(argc, argv, first, "--full")) {
        o.seeds = 5;
        o.test = 1000000;
    }
    flags_read(table, &o, argc, argv, first);
    return o;
}

void options_help(void)
{
    puts("reber train [options]          learns the grammar with and without a forget gate");
    flags_help(table);
}
