/* options.c -- one row per option (common/flags.h). */
#include "options.h"

#include "../common/flags.h"
#include "../common/say.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(options, field)

enum { HIDDEN = 64, UPDATES = 2000 };

static const flag table[] = {
    { "--input", "NUMBERS", FLAG_TEXT, AT(input), 0, 0, "to sort, in [0,1): \"0.5 0.1 0.7\"" },
    { "--chosen", "HOW", FLAG_TEXT, AT(chosen), 0, 0,
      "masked: no place twice; free: any [masked]" },
    { "--shortest", "N", FLAG_COUNT, AT(shortest), 1, 100, "numbers of a sequence, from [5]" },
    { "--longest", "N", FLAG_COUNT, AT(longest), 1, 100, "to [10]; --load: in the test" },
    { "--hidden", "N", FLAG_COUNT, AT(hidden), 1, 1024, "units of both LSTMs [64]" },
    { "--updates", "N", FLAG_COUNT, AT(updates), 1, 1e9, "of the weights [2000]" },
    { "--batch", "N", FLAG_COUNT, AT(batch), 1, 4096, "sequences of an update [128]" },
    { "--rate", "X", FLAG_REAL, AT(rate), 1e-9, 10, "learning rate; falls to 0 [0.01]" },
    { "--test", "N", FLAG_COUNT, AT(test), 1, 100000, "new sequences of each length [1000]" },
    { "--seed", "N", FLAG_COUNT, AT(seed), 0, 9e15, "of weights and sequences [1]" },
    { "--threads", "N", FLAG_COUNT, AT(threads), 1, 256,
      "of the work; the bits are the same [1]" },
    { "--save", "FILE", FLAG_TEXT, AT(save), 0, 0, "keep the weights (safetensors) [none]" },
    { "--load", "FILE", FLAG_TEXT, AT(load), 0, 0,
      "weights kept before, instead of a training" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0,
      "every sequence of the test, where it pointed [none]" },
    { "--svg", "FILE", FLAG_TEXT, AT(svg), 0, 0,
      "a map of one sequence [pointer_sort.svg; or none]" },
    { "--ascii", NULL, FLAG_SWITCH, AT(ascii), 0, 0, "the map without other characters" },
    { "--quiet", NULL, FLAG_SWITCH, AT(quiet), 0, 0, "no progress" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "this" },
    { 0 },
};

static const char *const ways[2] = { "free", "masked" };

const char *options_chosen(const options *o) { return ways[o->once]; }

/* Numbers between blanks or commas. */
static void read_input(options *o)
{
    for (const char *s = o->input;;) {
        while (*s == ',' || isspace((unsigned char)*s)) s++;
        if (!*s) break;
        char *end;
        double x = strtod(s, &end);
        int word = (int)strcspn(s, ", \t\n");
        if (end != s + word) die("--input: \"%.*s\" is no number", word, s);
        if (!(x >= 0 && (float)x < 1)) die("--input: %.*s is not in [0,1)", word, s);
        if (o->n_numbers == INPUT_MAX) die("--input: more than %d numbers", INPUT_MAX);
        o->number[o->n_numbers++] = (float)x;
        s = end;
    }
    if (!o->n_numbers) die("--input: there is no number in it");
}

options options_read(int argc, char **argv)
{
    options o = { .shortest = 5,
                  .longest = 10,
                  .batch = 128,
                  .rate = .01,
                  .test = 1000,
                  .seed = 1,
                  .threads = 1,
                  .once = true,
                  .save = "none",
                  .csv = "none",
                  .svg = "pointer_sort.svg" };
    flags_read(table, &o, argc, argv, 1);
    if (o.chosen && strcmp(o.chosen, ways[0]) != 0 && strcmp(o.chosen, ways[1]) != 0)
        die_usage("--chosen takes masked or free, not \"%s\"", o.chosen);
    if (o.chosen) o.once = !strcmp(o.chosen, ways[1]);
    if (o.shortest > o.longest)
        die_usage("--shortest %lld is above --longest %lld", (long long)o.shortest,
                  (long long)o.longest);
    if (o.load && o.updates) die_usage("--updates is of a training, and --load goes without");
    if (o.load && strcmp(o.save, "none") != 0)
        die_usage("--save is of a training, and --load goes without");
    if (!o.help && o.input) read_input(&o);
    return o;
}

void options_adopt(options *o, int64_t hidden, const char *chosen)
{
    if (o->hidden && o->hidden != hidden)
        die("%s was trained with --hidden %lld: it cannot serve --hidden %lld", o->load,
            (long long)hidden, (long long)o->hidden);
    if (o->chosen && strcmp(o->chosen, chosen) != 0)
        die("%s was trained with --chosen %s: it cannot serve --chosen %s", o->load, chosen,
            o->chosen);
    if (strcmp(chosen, ways[0]) != 0 && strcmp(chosen, ways[1]) != 0)
        die("%s is damaged: it says --chosen \"%s\"", o->load, chosen);
    o->hidden = hidden;
    o->once = !strcmp(chosen, ways[1]);
}

void options_settle(options *o)
{
    if (!o->hidden) o->hidden = HIDDEN;
    if (!o->updates) o->updates = UPDATES;
    if (!o->trained[1])
        memcpy(o->trained, (int64_t[]){ o->shortest, o->longest }, sizeof o->trained);
}

void options_help(void)
{
    puts("pointer_sort -- a network sorts numbers by pointing at them, one after the\n"
         "other, the smallest first. It learns on short sequences and is tested on longer\n"
         "ones, too.\n");
    flags_help(table);
}
