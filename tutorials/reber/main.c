/* reber -- why LSTM has a forget gate: the continual embedded Reber grammar.
 *
 *     reber train        learns it with and without one, tests both, shows what becomes of |c|
 *     reber strings      writes strings of the grammar
 *     reber next STRING  says what may follow
 *
 * To learn seqgrad, read model.c (a cell of one's own) and train.c (streaming truncated BPTT). */
#include "compare.h"
#include "../common/grammar.h"
#include "options.h"
#include "../common/files.h"
#include "../common/flags.h"
#include "../common/say.h"

#include <seqgrad/seqgrad.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Strings of the grammar -------------------------------------------------------------- */

typedef struct strings_options {
    int64_t count, seed;
    bool help;
} strings_options;

static const flag strings_table[] = {
    { "--count", "N", FLAG_COUNT, offsetof(strings_options, count), 0, 1e12, "how many [10]" },
    { "--seed", "N", FLAG_COUNT, offsetof(strings_options, seed), 0, 9e15, "of the coins [1]" },
    { "--help", NULL, FLAG_SWITCH, offsetof(strings_options, help), 0, 0,
      "the help of all commands" },
    { 0 },
};

static void strings_command(int argc, char **argv)
{
    strings_options o = { .count = 10, .seed = 1 };
    flags_read(strings_table, &o, argc, argv, 2);
    sq_random coins = sq_random_stream((uint64_t)o.seed, 1, 0, 0);
    for (int64_t i = 0; i < o.count; i++) {
        place p = { 0 };
        uint64_t toss = 0;
        do {
            bool coin = sq_random_word(coins, (uint64_t)i, toss++) & 1;
            putchar(grammar_letter(grammar_walk(&p, coin)));
        } while (p.state);
        putchar('\n');
    }
}

/* One line per symbol: the string so far, and what may come next. */
static void next_command(int argc, char **argv)
{
    place p = { 0 };
    if (argc < 3) die_usage("next takes a string, BTB say");
    if (argc > 3) die_usage("\"%s\" is one string too many", argv[3]);
    for (const char *s = argv[2];; s++) {
        uint32_t legal = grammar_legal(p);
        printf("%.*s ->", (int)(s - argv[2]), argv[2]);
        for (int k = 0; k < N_SYMBOLS; k++)
            if (legal >> k & 1) printf(" %c", grammar_letter(k));
        putchar('\n');
        if (!*s) return;
        if (grammar_symbol(*s) < 0) die("there is no symbol \"%c\" in the grammar", *s);
        if (!grammar_read(&p, grammar_symbol(*s))) die("%c may not stand there", *s);
    }
}

/* ---- The program ------------------------------------------------------------------------- */

static bool help_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return true;
    return false;
}

static void help(void)
{
    puts(
        "reber -- why LSTM has a forget gate: strings of the embedded Reber grammar, one after\n"
        "the other without a mark between them.\n");
    options_help();
    puts("\nreber strings [options]        strings of the grammar, one a line");
    flags_help(strings_table);
    puts("\nreber next STRING              what may follow each symbol of a stream");
}

int main(int argc, char **argv)
{
    if (help_wanted(argc, argv)) help();
    else if (argc < 2) die_usage("say what to do: train, strings or next");
    else if (!strcmp(argv[1], "train")) compare_command(options_read(argc, argv, 2));
    else if (!strcmp(argv[1], "strings")) strings_command(argc, argv);
    else if (!strcmp(argv[1], "next")) next_command(argc, argv);
    else die_usage("\"%s\" is none of train, strings and next", argv[1]);
    file_end_stdout();
    return 0;
}
