/* options.c -- one row per option: its name, where it goes, what is allowed, what --help says.
 * The parser, the limits and the help text are all read from this table.
 *
 * Numbers are taken whole or not at all: "8x", nothing, and what overflows are refused. */
#define _POSIX_C_SOURCE 200809L /* sysconf */

#include "options.h"

#include "../common/say.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct option {
    const char *name;
    size_t at;
    int64_t lo, hi; /* hi = 0: a switch, without a value */
    const char *help;
} option;

#define AT(field) offsetof(options, field)

static const option table[] = {
    { "--threads", AT(threads), 1, BATCH, "threads, at most one per shard [as many as cores]" },
    { "--shards", AT(shards), 1, BATCH, "parts that a batch of 128 windows is cut into [8]" },
    { "--updates", AT(updates), 1, 10000000, "weight updates [200]" },
    { "--seed", AT(seed), 0, 9000000000000000, "of the weights and the windows [1]" },
    { "--quiet", AT(quiet), 0, 0, "no losses on the way, no timing" },
    { "--help", AT(help), 0, 0, "this text" },
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

static int64_t read_count(const option *o, const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (text[strspn(text, "+-0123456789")] || *end || end == text)
        die_usage("%s takes a whole number, not \"%s\"", o->name, text);
    if (errno || value < o->lo || value > o->hi)
        die_usage("%s %s is out of range: it must be from %lld to %lld", o->name, text,
                  (long long)o->lo, (long long)o->hi);
    return value;
}

/* Reads the option at argv[i], "--name value" or "--name=value"; returns how many were used. */
static int read_one(options *into, char **argv, int i)
{
    const char *arg = argv[i], *equals = strchr(arg, '=');
    const option *o = find(arg, equals ? (size_t)(equals - arg) : strlen(arg));
    if (!o) die_usage(*arg == '-' ? "there is no option %s" : "\"%s\" is not an option", arg);
    void *place = (char *)into + o->at;
    if (!o->hi) {
        if (equals) die_usage("%s takes no value", o->name);
        *(bool *)place = true;
        return 1;
    }
    const char *text = equals ? equals + 1 : argv[i + 1];
    if (!text) die_usage("%s takes a value: N", o->name);
    *(int64_t *)place = read_count(o, text);
    return equals ? 1 : 2;
}

/* As many as there are cores, but no more than shards. */
static int64_t usual_threads(int64_t shards)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores < shards ? cores : shards;
}

options options_read(int argc, char **argv)
{
    options o = { .shards = 8, .updates = 200, .seed = 1 };
    for (int i = 1; i < argc;) i += read_one(&o, argv, i);
    if (!o.threads) o.threads = usual_threads(o.shards);
    if (o.threads > o.shards)
        die_usage("--threads %lld is more than --shards %lld: a thread needs a shard",
                  (long long)o.threads, (long long)o.shards);
    return o;
}

void options_help(void)
{
    puts("data_parallel -- an LSTM learns to forecast sunspot numbers on several threads,\n"
         "one tape each. Losses and weights have the same bits for any number of them.\n\n"
         "usage: data_parallel [options]\n");
    for (int i = 0; i < N_OPTIONS; i++) {
        char left[32];
        snprintf(left, sizeof left, "%s %s", table[i].name, table[i].hi ? "N" : "");
        printf("  %-12s  %s\n", left, table[i].help);
    }
    puts("\nThe last 50 years are held out: no weight, scale or baseline is fitted to them.");
}
