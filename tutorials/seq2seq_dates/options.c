/* options.c -- one row per option (common/flags.h). */
#include "options.h"

#include "dates.h"
#include "../common/flags.h"
#include "../common/say.h"

#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(options, field)

enum { HIDDEN = 64, UPDATES = 500, N_KINDS = 3 };

static const flag table[] = {
    { "--input", "TEXT", FLAG_TEXT, AT(input), 0, 0,
      "a date to translate, with its map, \"3 march 2021\"" },
    { "--examples", "N", FLAG_COUNT, AT(examples), 1, 1e9,
      "print N dates of the training, and learn nothing" },
    { "--attention", "KIND", FLAG_TEXT, AT(attention), 0, 0,
      "additive, dot or scaled [additive]" },
    { "--hidden", "N", FLAG_COUNT, AT(hidden), 1, 1024, "units of every GRU [64]" },
    { "--updates", "N", FLAG_COUNT, AT(updates), 1, 1e9, "of the weights [500]" },
    { "--batch", "N", FLAG_COUNT, AT(batch), 1, 4096, "dates of an update [64]" },
    { "--rate", "X", FLAG_REAL, AT(rate), 1e-9, 10, "learning rate; falls to 0 [0.005]" },
    { "--sampling", "P", FLAG_REAL, AT(sampling), 0, 1,
      "scheduled sampling: own choices, rising from 0 to P [0]" },
    { "--test", "N", FLAG_COUNT, AT(test), 1, 5000, "unseen dates of the test [2000]" },
    { "--beam", "N", FLAG_COUNT, AT(beam), 1, 64, "width of the beam search [4]" },
    { "--seed", "N", FLAG_COUNT, AT(seed), 0, 9e15, "of weights and training dates [1]" },
    { "--threads", "N", FLAG_COUNT, AT(threads), 1, 256,
      "of the work; the bits are the same [1]" },
    { "--save", "FILE", FLAG_TEXT, AT(save), 0, 0, "keep the weights (safetensors) [none]" },
    { "--load", "FILE", FLAG_TEXT, AT(load), 0, 0,
      "weights kept before, instead of a training" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0,
      "every date of the test and what was written [none]" },
    { "--svg", "FILE", FLAG_TEXT, AT(svg), 0, 0,
      "the attention map [seq2seq_dates.svg; or none]" },
    { "--ascii", NULL, FLAG_SWITCH, AT(ascii), 0, 0, "the map without other characters" },
    { "--quiet", NULL, FLAG_SWITCH, AT(quiet), 0, 0, "no progress" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "this" },
    { 0 },
};

static const char *const names[N_KINDS] = { [SQ_ATTENTION_ADDITIVE] = "additive",
                                            [SQ_ATTENTION_DOT] = "dot",
                                            [SQ_ATTENTION_SCALED] = "scaled" };

const char *attention_name(sq_attention_kind kind) { return names[kind]; }

int attention_kind(const char *name)
{
    for (int i = 0; i < N_KINDS; i++)
        if (!strcmp(name, names[i])) return i;
    return -1;
}

/* What the network has never seen it cannot read. */
static void check_input(const char *text)
{
    size_t n = strlen(text);
    if (n >= TEXT_MAX)
        die("--input has %zu characters: a date of at most %d is taken", n, TEXT_MAX - 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (input_symbol(text[i]) >= 0) continue;
        if (c > ' ' && c < 127)
            die("--input: '%c' occurs in no form of date that was learned", c);
        die("--input: byte %d occurs in no form of date that was learned", c);
    }
    if (text[strspn(text, " ")] == 0) die("--input is blank");
}

options options_read(int argc, char **argv)
{
    options o = { .batch = 64,
                  .rate = .005,
                  .test = 2000,
                  .beam = 4,
                  .seed = 1,
                  .threads = 1,
                  .save = "none",
                  .csv = "none",
                  .svg = "seq2seq_dates.svg" };
    flags_read(table, &o, argc, argv, 1);
    int kind = o.attention ? attention_kind(o.attention) : SQ_ATTENTION_ADDITIVE;
    if (kind < 0)
        die_usage("--attention takes additive, dot or scaled, not \"%s\"", o.attention);
    o.kind = (sq_attention_kind)kind;
    if (o.load && o.updates) die_usage("--updates is of a training, and --load goes without");
    if (o.load && strcmp(o.save, "none") != 0)
        die_usage("--save is of a training, and --load goes without");
    if (!o.help && o.input) check_input(o.input);
    return o;
}

void options_adopt(options *o, int64_t hidden, sq_attention_kind kind)
{
    if (o->hidden && o->hidden != hidden)
        die("%s was trained with --hidden %lld: it cannot serve --hidden %lld", o->load,
            (long long)hidden, (long long)o->hidden);
    if (o->attention && o->kind != kind)
        die("%s was trained with --attention %s: it cannot serve --attention %s", o->load,
            names[kind], o->attention);
    o->hidden = hidden;
    o->kind = kind;
}

void options_settle(options *o)
{
    if (!o->hidden) o->hidden = HIDDEN;
    if (!o->updates) o->updates = UPDATES;
}

void options_help(void)
{
    puts("seq2seq_dates -- \"3 march 2021\" to \"2021-03-03\": an encoder reads a date, a\n"
         "decoder with attention writes it, character by character. Forms it learns:\n");
    for (int i = 0; i < N_FORMS; i++) printf("    %s\n", form_examples[i]);
    printf("\nYears are %d to %d; with dots the day comes first; capitals do not matter.\n\n",
           FIRST_YEAR, LAST_YEAR);
    flags_help(table);
}
