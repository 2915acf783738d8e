/* flags.c -- the parser, the limits and the help text, all read from the caller's table. */
#include "flags.h"

#include "say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The row whose name is the first `length` characters of arg. */
static const flag *find(const flag *table, const char *arg, size_t length)
{
    for (const flag *f = table; f->name; f++)
        if (strlen(f->name) == length && !memcmp(f->name, arg, length)) return f;
    die_usage(*arg == '-' ? "there is no option %s" : "\"%s\" is not an option", arg);
}

static void check_range(const flag *f, const char *text, double value)
{
    if (value >= f->lo && value <= f->hi) return;
    die_usage("%s %s is out of range: it must be from %.15g to %.15g", f->name, text, f->lo,
              f->hi);
}

static int64_t read_count(const flag *f, const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (!*text || *end || end == text || text[strspn(text, "+-0123456789")])
        die_usage("%s takes a whole number, not \"%s\"", f->name, text);
    check_range(f, text, errno ? 1e300 : (double)value);
    return value;
}

static double read_real(const flag *f, const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (!*text || *end || text[strspn(text, "+-.0123456789eE")])
        die_usage("%s takes a number, not \"%s\"", f->name, text);
    check_range(f, text, value);
    return value;
}

/* Puts the value of a flag, written as text, into its place. */
static void store(const flag *f, void *into, const char *text)
{
    void *place = (char *)into + f->at;
    switch (f->kind) {
    case FLAG_TEXT:
        if (!*text) die_usage("%s takes %s, not an empty string", f->name, f->argument);
        *(const char **)place = text;
        break;
    case FLAG_COUNT: *(int64_t *)place = read_count(f, text); break;
    case FLAG_REAL: *(double *)place = read_real(f, text); break;
    case FLAG_SWITCH: *(bool *)place = true; break;
    }
}

/* Reads the flag at argv[i]; returns how many words were used. */
static int read_one(const flag *table, void *into, char **argv, int i)
{
    const char *arg = argv[i], *equals = strchr(arg, '=');
    const flag *f = find(table, arg, equals ? (size_t)(equals - arg) : strlen(arg));
    bool is_switch = f->kind == FLAG_SWITCH;
    if (is_switch && equals) die_usage("%s takes no value", f->name);
    const char *text = is_switch ? "" : equals ? equals + 1 : argv[i + 1];
    if (!text) die_usage("%s takes a value: %s", f->name, f->argument);
    store(f, into, text);
    return is_switch || equals ? 1 : 2;
}

void flags_read(const flag *table, void *into, int argc, char **argv, int first)
{
    for (int i = first; i < argc;) i += read_one(table, into, argv, i);
}

int flags_choice(const char *name, const char *text, const char *const *choices)
{
    char all[128] = "";
    size_t n = 0;
    for (int i = 0; choices[i]; i++) {
        if (!strcmp(choices[i], text)) return i;
        const char *between = !i ? "" : choices[i + 1] ? ", " : " or ";
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", between, choices[i]);
        if (n >= sizeof all) n = sizeof all - 1;
    }
    die_usage("%s is %s, not \"%s\"", name, all, text);
}

void flags_help(const flag *table)
{
    for (const flag *f = table; f->name; f++) {
        char left[48];
        snprintf(left, sizeof left, "%s %s", f->name, f->argument ? f->argument : "");
        printf("  %-18s  %s\n", left, f->help);
    }
}
