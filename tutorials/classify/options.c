/* options.c -- the tables of the two commands. */
#include "options.h"

#include "../common/files.h"
#include "../common/flags.h"
#include "../common/say.h"

#include <stdio.h>

#define SAVE "classify.safetensors"

const char *const cell_names[] = { "lstm", "gru", NULL },
                  *const direction_names[] = { "both", "forward", NULL },
                  *const pool_names[] = { "last", "mean", NULL },
                  *const loss_names[] = { "entropy", "hinge", NULL };

#define AT(field) offsetof(train_options, field)
static const flag train_table[] = {
    { "--piece", "N", FLAG_COUNT, AT(piece), 2, 1000, "longest piece, in characters [60]" },
    { "--cell", "CELL", FLAG_TEXT, AT(cell_name), 0, 0, "lstm or gru [lstm]" },
    { "--direction", "D", FLAG_TEXT, AT(direction_name), 0, 0, "both or forward [both]" },
    { "--pool", "HOW", FLAG_TEXT, AT(pool_name), 0, 0,
      "last: the states at the ends; mean: over all characters [last]" },
    { "--loss", "LOSS", FLAG_TEXT, AT(loss_name), 0, 0, "entropy or hinge [entropy]" },
    { "--hidden", "N", FLAG_COUNT, AT(hidden), 1, 4096, "width of each direction [96]" },
    { "--embed", "N", FLAG_COUNT, AT(embed), 1, 4096, "numbers per character [16]" },
    { "--dropout", "X", FLAG_REAL, AT(dropout), 0, .95,
      "share of in- and outputs left out [0.4]" },
    { "--epochs", "N", FLAG_COUNT, AT(epochs), 1, 1e6, "passes over the pieces [40]" },
    { "--batch", "N", FLAG_COUNT, AT(batch), 1, 4096, "pieces per update [32]" },
    { "--rate", "X", FLAG_REAL, AT(rate), 1e-9, 10, "learning rate of Adam, falling [0.005]" },
    { "--clip", "X", FLAG_REAL, AT(clip), 1e-9, 1e9, "largest norm of the gradient [1]" },
    { "--seed", "N", FLAG_COUNT, AT(seed), 0, 9e15, "of weights, order and dropout [1]" },
    { "--save", "FILE", FLAG_TEXT, AT(save), 0, 0, "the best weights [" SAVE "; or none]" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0,
      "every held-out piece, and what it was taken for [none]" },
    { "--quiet", NULL, FLAG_SWITCH, AT(quiet), 0, 0, "no progress" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "the help of both commands" },
    { 0 },
};
#undef AT

#define AT(field) offsetof(guess_options, field)
static const flag guess_table[] = {
    { "--text", "TEXT", FLAG_TEXT, AT(text), 0, 0, "one piece, in the place of a file" },
    { "--model", "FILE", FLAG_TEXT, AT(model), 0, 0, "what train saved [" SAVE "]" },
    { "--heat", "N", FLAG_COUNT, AT(heat), 0, 40, "pieces whose characters are looked at [6]" },
    { "--svg", "FILE", FLAG_TEXT, AT(svg), 0, 0, "a picture of them [classify.svg; or none]" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0, "their numbers [none]" },
    { "--ascii", NULL, FLAG_SWITCH, AT(ascii), 0, 0, "bars without other characters" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "the help of both commands" },
    { 0 },
};
#undef AT

/* The words before the first option; returns where that is. */
static int take_files(int argc, char **argv, const char **file, int32_t *n, int32_t most)
{
    int i = 2;
    for (; i < argc && *argv[i] != '-'; i++) {
        if (!*argv[i]) die_usage("a file has no empty name");
        if (*n == most) die_usage("\"%s\" is one file too many", argv[i]);
        file[(*n)++] = argv[i];
    }
    return i;
}

train_options train_options_read(int argc, char **argv)
{
    train_options o = { .cell_name = "lstm",
                        .direction_name = "both",
                        .pool_name = "last",
                        .loss_name = "entropy",
                        .save = SAVE,
                        .csv = "none",
                        .piece = 60,
                        .hidden = 96,
                        .embed = 16,
                        .epochs = 40,
                        .batch = 32,
                        .seed = 1,
                        .dropout = .4,
                        .rate = .005,
                        .clip = 1 };
    int first = take_files(argc, argv, o.file, &o.n_files, MAX_CLASSES);
    flags_read(train_table, &o, argc, argv, first);
    o.cell = flags_choice("--cell", o.cell_name, cell_names);
    o.direction = flags_choice("--direction", o.direction_name, direction_names);
    o.pool = flags_choice("--pool", o.pool_name, pool_names);
    o.loss = flags_choice("--loss", o.loss_name, loss_names);
    if (o.n_files == 1) die_usage("one file is one class: train takes two or more, or none");
    file_check_all((const char *[]){ o.save, o.csv, NULL });
    return o;
}

guess_options guess_options_read(int argc, char **argv)
{
    guess_options o = { .model = SAVE, .svg = "classify.svg", .csv = "none", .heat = 6 };
    int32_t n = 0;
    int first = take_files(argc, argv, &o.file, &n, 1);
    flags_read(guess_table, &o, argc, argv, first);
    if (!o.file == !o.text) die_usage("guess takes a file or --text, one of the two");
    if (!o.heat) o.svg = "none"; /* there would be nothing to see */
    file_check_all((const char *[]){ o.svg, o.csv, NULL });
    return o;
}

void options_help(void)
{
    puts("classify -- guesses which of several sources a piece of text is from.\n\n"
         "classify train [FILE FILE ...] [options]   a file per class, a line per piece");
    flags_help(train_table);
    puts("\nclassify guess FILE [options]              of every line; or of --text");
    flags_help(guess_table);
    puts(
        "\nLines longer than --piece are cut at blanks. Of every class the last fifth is held out,\n"
        "and the tenth before it chooses the best epoch. Without files: the different words of\n"
        "the bundled text as they are written, the same words backwards, and shuffled.");
}
