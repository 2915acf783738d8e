/* options.c -- one row per option: its name, what it holds, where it goes, what is allowed, which
 * command knows it, whether a save keeps it, and what --help says. The parser, the limits, the
 * help text and the settings in a save are all read from this table.
 *
 * Numbers are taken whole or not at all: "16x", nothing, and what overflows are refused. */
#define _POSIX_C_SOURCE 200809L /* access */

#include "options.h"

#include "../common/say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUNDLED "tutorials/data/harbour_letters.txt"
#define SAVE "char_lm.safetensors"

/* Where the build found the text; a program that was moved looks below the present folder. */
static const char *bundled(void)
{
#ifdef SEQGRAD_DATA
    static const char built[] = SEQGRAD_DATA "/harbour_letters.txt";
    if (!access(built, R_OK)) return built;
#endif
    return BUNDLED;
}

const char *const cell_names[N_CELLS] = { "rnn",      "gru",    "lstm",  "mgu",
                                          "peephole", "lnlstm", "lngru", "cifg" };

typedef enum option_kind { TEXT, CHOICE, COUNT, BYTES, REAL, SWITCH } option_kind;

/* Which commands know an option, and what a save does with it: KEPT, it is the default of a
 * training that goes on; FIXED, no other can be asked for then. */
enum { BOTH = TRAIN | SAMPLE, KEPT = 4, FIXED = 8 };

typedef struct option {
    const char *name, *argument;
    option_kind kind;
    int flags;
    size_t at;
    double lo, hi; /* of numbers: the smallest and largest value allowed */
    const char *help;
} option;

#define AT(field) offsetof(options, field)

static const option table[] = {
    { "--cell", "CELL", CHOICE, TRAIN | KEPT | FIXED, AT(cell), 0, 0,
      "rnn, gru, lstm, mgu, peephole, lnlstm, lngru or cifg [lstm]" },
    { "--hidden", "N", COUNT, TRAIN | KEPT | FIXED, AT(hidden), 1, 4096,
      "width of the hidden state [128]" },
    { "--layers", "N", COUNT, TRAIN | KEPT | FIXED, AT(layers), 1, 16,
      "cells on top of each other [1]" },
    { "--embed", "N", COUNT, TRAIN | KEPT | FIXED, AT(embed), 0, 4096,
      "numbers per character; 0: one-hot [64]" },
    { "--batch", "N", COUNT, TRAIN | KEPT | FIXED, AT(batch), 1, 4096,
      "streams the text is cut into [32]" },
    { "--k1", "N", COUNT, TRAIN | KEPT | FIXED, AT(k1), 1, 1000000,
      "characters between two updates [64]" },
    { "--k2", "N", COUNT, TRAIN | KEPT | FIXED, AT(k2), 1, 1000000,
      "characters that gradients go back [as k1]" },
    { "--dropout", "X", REAL, TRAIN | KEPT | FIXED, AT(dropout), 0, .95,
      "share of every layer's output left out [0]" },
    { "--seed", "N", COUNT, TRAIN | KEPT | FIXED, AT(seed), 0, 9e15,
      "of weights and dropout [1]" },
    { "--updates", "N", COUNT, TRAIN | KEPT, AT(updates), 1, 1e9,
      "of the weights, in all [600]" },
    { "--epochs", "N", COUNT, TRAIN, AT(epochs), 1, 1e6, "instead: passes over the text" },
    { "--rate", "X", REAL, TRAIN | KEPT, AT(rate), 1e-9, 10, "learning rate of Adam [0.002]" },
    { "--clip", "X", REAL, TRAIN | KEPT, AT(clip), 0, 1e9,
      "largest norm of the gradient; 0: any [5]" },
    { "--budget", "BYTES", BYTES, TRAIN, AT(budget), 0, 1e15,
      "for recorded steps, 500KB or 8MB say; 0: no limit [0]" },
    { "--validate", "N", COUNT, TRAIN, AT(validate), 1, 1e9,
      "updates between validations and saves [a quarter]" },
    { "--save", "PATH", TEXT, TRAIN, AT(save), 0, 0,
      "where to; none: nowhere [as --resume, " SAVE "]" },
    { "--resume", "PATH", TEXT, TRAIN, AT(resume), 0, 0,
      "a save to go on from, with all of its settings" },
    { "--temperature", "X", REAL, SAMPLE, AT(temperature), 0, 100,
      "0: always the likeliest; 1: as it was learned [0.7]" },
    { "--length", "N", COUNT, SAMPLE, AT(length), 0, 1e12, "characters to write [500]" },
    { "--prime", "TEXT", TEXT, SAMPLE, AT(prime), 0, 0, "what comes before them [a new line]" },
    { "--seed", "N", COUNT, SAMPLE, AT(seed), 0, 9e15, "of the characters drawn [1]" },
    { "--threads", "N", COUNT, BOTH, AT(threads), 1, 256, "no bit depends on them [1]" },
    { "--quiet", NULL, SWITCH, BOTH, AT(quiet), 0, 0, "no progress, no speed" },
    { "--help", NULL, SWITCH, BOTH, AT(help), 0, 0, "this text" },
};

enum { N_OPTIONS = sizeof table / sizeof *table };

static bool given(const options *o, const option *row) { return o->given >> (row - table) & 1; }

/* The row of a command whose name is the first `length` characters of arg, or NULL. */
static const option *find(command which, const char *arg, size_t length)
{
    for (int i = 0; i < N_OPTIONS; i++)
        if (table[i].flags & (int)which && strlen(table[i].name) == length &&
            !memcmp(table[i].name, arg, length))
            return &table[i];
    return NULL;
}

/* ---- Values: each reader says in `why` what is wrong, or puts the value into its place ---- */

typedef struct reason {
    char text[160];
} reason;

static bool in_range(const option *o, const char *text, double value, reason *why)
{
    if (value >= o->lo && value <= o->hi) return true;
    snprintf(why->text, sizeof why->text,
             "%s %.40s is out of range: it must be from %.15g to %.15g", o->name, text, o->lo,
             o->hi);
    return false;
}

static bool is_not(const option *o, const char *what, const char *text, reason *why)
{
    snprintf(why->text, sizeof why->text, "%s takes %s, not \"%.40s\"", o->name, what, text);
    return false;
}

/* A suffix that multiplies; NULL when it is none. */
static const char *read_suffix(const char *end, double *factor)
{
    static const struct {
        const char *name;
        double factor;
    } suffix[] = { { "", 1 }, { "KB", 1e3 }, { "MB", 1e6 }, { "GB", 1e9 } };
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        if (strcmp(end, suffix[i].name) != 0) continue;
        *factor = suffix[i].factor;
        return suffix[i].name;
    }
    return NULL;
}

static bool read_whole(const option *o, const char *text, int64_t *place, reason *why)
{
    char *end;
    double factor = 1;
    size_t digits = strspn(text, "+-0123456789");
    errno = 0;
    long long value = strtoll(text, &end, 10);
    bool whole = end != text && end == text + digits &&
                 (o->kind == BYTES ? read_suffix(end, &factor) != NULL : !*end);
    const char *what = o->kind == BYTES ? "a number of bytes such as 500KB" : "a whole number";
    if (!whole) return is_not(o, what, text, why);
    if (!in_range(o, text, errno ? 1e300 : (double)value * factor, why)) return false;
    *place = value * (int64_t)factor;
    return true;
}

static bool read_real(const option *o, const char *text, double *place, reason *why)
{
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || text[strspn(text, "+-.0123456789eE")])
        return is_not(o, "a number", text, why);
    if (!in_range(o, text, value, why)) return false;
    *place = value;
    return true;
}

static bool read_choice(const option *o, const char *text, int64_t *place, reason *why)
{
    for (*place = 0; *place < N_CELLS; ++*place)
        if (!strcmp(text, cell_names[*place])) return true;
    return is_not(o, "rnn, gru, lstm, mgu, peephole, lnlstm, lngru or cifg", text, why);
}

static bool read_text(const option *o, const char *text, const char **place, reason *why)
{
    *place = text;
    if (*text) return true;
    snprintf(why->text, sizeof why->text, "%s takes %s, not an empty string", o->name,
             o->argument);
    return false;
}

/* Puts the value of option o, written as text, into its place. */
static bool store(options *into, const option *o, const char *text, reason *why)
{
    void *place = (char *)into + o->at;
    switch (o->kind) {
    case TEXT: return read_text(o, text, place, why);
    case CHOICE: return read_choice(o, text, place, why);
    case COUNT:
    case BYTES: return read_whole(o, text, place, why);
    case REAL: return read_real(o, text, place, why);
    case SWITCH: *(bool *)place = true; break;
    }
    return true;
}

/* ---- The command line -------------------------------------------------------------------- */

static void take_value(options *into, const option *o, const char *text)
{
    reason why;
    if (!store(into, o, text, &why)) die_usage("%s", why.text);
    into->given |= (uint64_t)1 << (o - table);
}

/* Dies: nothing of that name belongs to the command. */
static _Noreturn void unknown(command which, const char *arg, size_t length)
{
    bool of_other = find(BOTH & ~which, arg, length) != NULL;
    if (of_other)
        die_usage("%.*s belongs to `%s`", (int)length, arg,
                  which == TRAIN ? "sample" : "train");
    die_usage("there is no option %s", arg);
}

/* Reads argv[i], "--name value", "--name=value" or the path; returns how many were used. */
static int read_one(options *into, char **argv, int i)
{
    const char *arg = argv[i], *equals = strchr(arg, '=');
    if (*arg != '-') {
        if (into->path) die_usage("\"%s\" is one file too many", arg);
        if (!*arg) die_usage("a file has no empty name");
        into->path = arg;
        return 1;
    }
    size_t length = equals ? (size_t)(equals - arg) : strlen(arg);
    const option *o = find(into->command, arg, length);
    if (!o) unknown(into->command, arg, length);
    if (o->kind == SWITCH && equals) die_usage("%s takes no value", o->name);
    const char *text = o->kind == SWITCH ? "" : equals ? equals + 1 : argv[i + 1];
    if (!text) die_usage("%s takes a value: %s", o->name, o->argument);
    take_value(into, o, text);
    return o->kind == SWITCH || equals ? 1 : 2;
}

static command read_command(const char *arg)
{
    if (!arg || !strcmp(arg, "train") || !strcmp(arg, "--help")) return TRAIN;
    if (!strcmp(arg, "sample")) return SAMPLE;
    die_usage("\"%s\" is neither train nor sample", arg);
}

options options_read(int argc, char **argv)
{
    options o = { .command = read_command(argc > 1 ? argv[1] : NULL),
                  .cell = CELL_LSTM,
                  .hidden = 128,
                  .layers = 1,
                  .embed = 64,
                  .k1 = 64,
                  .batch = 32,
                  .updates = 600,
                  .rate = .002,
                  .clip = 5,
                  .save = SAVE,
                  .temperature = .7,
                  .length = 500,
                  .seed = 1,
                  .threads = 1 };
    int first = argc > 1 && *argv[1] != '-' ? 2 : 1;
    for (int i = first; i < argc;) i += read_one(&o, argv, i);
    if (!o.k2) o.k2 = o.k1;
    if (o.resume && !given(&o, find(TRAIN, "--save", strlen("--save")))) o.save = o.resume;
    if (!o.path) o.path = o.command == SAMPLE ? SAVE : bundled();
    if (o.epochs && given(&o, find(TRAIN, "--updates", strlen("--updates"))))
        die_usage("--updates and --epochs both say when to end");
    return o;
}

/* As many as --updates could ask for, so that a save keeps a number that can be read again. */
void options_settle_updates(options *o, int64_t pass)
{
    const option *row = find(TRAIN, "--updates", strlen("--updates"));
    if (!o->epochs) return;
    if ((double)o->epochs > row->hi / (double)pass)
        die("--epochs %lld, with %lld updates each, is out of range: %.15g updates at most",
            (long long)o->epochs, (long long)pass, row->hi);
    o->updates = o->epochs * pass;
}

static void help_on(command which, const char *title)
{
    puts(title);
    for (int i = 0; i < N_OPTIONS; i++) {
        char left[32];
        if (!(table[i].flags & (int)which)) continue;
        snprintf(left, sizeof left, "%s %s", table[i].name,
                 table[i].argument ? table[i].argument : "");
        printf("  %-16s  %s\n", left, table[i].help);
    }
}

void options_help(void)
{
    puts("char_lm -- learns to continue a text, character by character, by truncated\n"
         "backpropagation through time.\n");
    help_on(TRAIN, "char_lm train [FILE] [options]   FILE: any text [one that comes along]");
    help_on(SAMPLE, "\nchar_lm sample [SAVE] [options]  SAVE: what train wrote [" SAVE "]");
    puts("\nA character is a byte. The last 10 % of the text are never trained on. Ctrl-C\n"
         "ends after the present update and saves. KB, MB, GB: 10^3, 10^6, 10^9 bytes.");
}

bool options_wants_file(const char *path) { return strcmp(path, "none") != 0; }

/* ---- In a save --------------------------------------------------------------------------- */

/* The shorter of two ways to write a number that reads back as the same. */
static void write_real(double x, char value[32])
{
    snprintf(value, 32, "%.15g", x);
    if (strtod(value, NULL) != x) snprintf(value, 32, "%.17g", x);
}

static void write_value(const options *o, const option *row, char value[32])
{
    const void *place = (const char *)o + row->at;
    if (row->kind == CHOICE) snprintf(value, 32, "%s", cell_names[*(const int64_t *)place]);
    else if (row->kind == REAL) write_real(*(const double *)place, value);
    else snprintf(value, 32, "%lld", (long long)*(const int64_t *)place);
}

bool options_setting(const options *o, int i, setting *out)
{
    for (int k = 0; k < N_OPTIONS; k++) {
        if (!(table[k].flags & KEPT) || i-- > 0) continue;
        out->name = table[k].name + strlen("--");
        write_value(o, &table[k], out->value);
        return true;
    }
    return false;
}

void options_adopt(options *o, const char *name, const char *value, const char *path)
{
    char with_dashes[32], asked[32];
    snprintf(with_dashes, sizeof with_dashes, "--%s", name);
    const option *row = find(TRAIN, with_dashes, strlen(with_dashes));
    reason why;
    write_value(o, row, asked);
    bool keep = o->command == TRAIN && given(o, row);
    if (!keep && !store(o, row, value, &why)) die("%s is damaged: %s", path, why.text);
    if (keep && row->flags & FIXED && strcmp(asked, value) != 0)
        die("%s was trained with %s %s: it cannot go on with %s", path, row->name, value,
            asked);
}
