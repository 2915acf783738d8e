/* json.c -- the part of JSON that a file of note lists is made of, read strictly.
 *
 *     file   = { "train": songs, "valid": songs, "test": songs }     in any order
 *     songs  = [ song, ... ]      song = [ frame, ... ]      frame = [ note, ... ] or []
 *     note   = a whole number, 21 to 108, or -1
 *
 * Four levels and no more, so that the reader is four functions, each of which reads one list. */
#include "roll.h"

#include "../common/read.h"
#include "../common/say.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const char *path;
    char *text, *at, *end;
} reader;

/* Dies: "FILE, line 3, column 12: <sentence>", of the place where the reader stands. */
static _Noreturn void __attribute__((format(printf, 2, 3)))
broken(const reader *r, const char *fmt, ...)
{
    char what[200];
    int64_t line = 1, column = 1;
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    for (const char *s = r->text; s < r->at; s++) {
        column = *s == '\n' ? 1 : column + 1;
        line += *s == '\n';
    }
    die("%s, line %lld, column %lld: %s", r->path, (long long)line, (long long)column, what);
}

/* What stands here, for a sentence. */
static const char *here(const reader *r, char room[32])
{
    unsigned char c = (unsigned char)*r->at;
    if (r->at >= r->end) return "the file ends";
    if (c > 32 && c < 127) snprintf(room, 32, "here is %c", c);
    else snprintf(room, 32, "here is byte %d", c);
    return room;
}

static void skip_blanks(reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n", *r->at) && *r->at) r->at++;
}

static void expect(reader *r, char c, const char *what)
{
    char room[32];
    skip_blanks(r);
    if (*r->at != c) broken(r, "%s, %c, is expected, but %s", what, c, here(r, room));
    r->at++;
}

/* Within a list: is there one more? `first` is before the first one; eats the comma or the end. */
static bool more(reader *r, bool first, char end, const char *list)
{
    char room[32];
    skip_blanks(r);
    if (*r->at == end) {
        r->at++;
        return false;
    }
    if (first) return true;
    if (*r->at != ',')
        broken(r, "a comma or the end of the %s, %c, is expected, but %s", list, end,
               here(r, room));
    r->at++;
    skip_blanks(r);
    if (*r->at == end) broken(r, "nothing follows the comma");
    return true;
}

static bool digit(char c) { return c >= '0' && c <= '9'; }

static void read_note(reader *r, frame *into)
{
    char room[32], *start = r->at, *s = start + (*start == '-');
    int value = 0;
    if (!digit(*s)) broken(r, "a note, a whole number, is expected, but %s", here(r, room));
    if (*s == '0' && digit(s[1])) broken(r, "a number does not begin with 0");
    for (; digit(*s); s++) value = value < 10000 ? 10 * value + (*s - '0') : value;
    int length = s - start < 20 ? (int)(s - start) : 20;
    if (*s && strchr(".eE", *s)) broken(r, "a note is a whole number, written as digits alone");
    if (*start == '-' && value == 1) {
        r->at = s;
        return;
    }
    if (*start == '-' || value < LOWEST || value > HIGHEST)
        broken(r, "%.*s is no key of a piano: notes are MIDI numbers from %d to %d, or -1",
               length, start, LOWEST, HIGHEST);
    into->down[value - LOWEST] = true;
    r->at = s;
}

static void read_frame(reader *r, frame *into)
{
    expect(r, '[', "the begin of a frame");
    for (bool first = true; more(r, first, ']', "frame"); first = false) read_note(r, into);
}

static void read_song(reader *r, song *into)
{
    skip_blanks(r);
    char *start = r->at;
    expect(r, '[', "the begin of a song");
    for (bool first = true; more(r, first, ']', "song"); first = false)
        read_frame(r, song_add(into));
    if (into->n >= 2) return;
    r->at = start;
    broken(r, "a song of %s: there is nothing to foretell", into->n ? "one frame" : "no frame");
}

static void read_part(reader *r, songs *into)
{
    expect(r, '[', "the begin of a list of songs");
    for (bool first = true; more(r, first, ']', "list of songs"); first = false)
        read_song(r, songs_add(into));
}

/* Reads "train" and the like, which must be new; which part it is. */
static int read_name(reader *r, bool *seen)
{
    expect(r, '"', "the begin of a name");
    for (int p = 0; p < N_PARTS; p++) {
        size_t n = strlen(part_names[p]);
        if (strncmp(r->at, part_names[p], n) || r->at[n] != '"') continue;
        if (seen[p]) {
            r->at--;
            broken(r, "there are two lists called \"%s\"", part_names[p]);
        }
        seen[p] = true;
        r->at += n + 1;
        return p;
    }
    r->at--;
    broken(r, "a name is expected: \"train\", \"valid\" or \"test\"");
}

corpus corpus_read(const char *path)
{
    size_t n;
    corpus c = { 0 };
    reader r = { .path = path, .text = file_read(path, &n) };
    char room[32];
    bool seen[N_PARTS] = { false };
    if (!n) die("%s is empty", path);
    r.at = r.text;
    r.end = r.text + n;
    expect(&r, '{', "the begin of an object");
    for (bool first = true; more(&r, first, '}', "object"); first = false) {
        int p = read_name(&r, seen);
        expect(&r, ':', "a colon");
        read_part(&r, &c.part[p]);
    }
    skip_blanks(&r);
    if (r.at < r.end) broken(&r, "nothing may follow the object, but %s", here(&r, room));
    for (int p = 0; p < N_PARTS; p++)
        if (!c.part[p].n)
            die("%s has %s called \"%s\"", path, seen[p] ? "no song in the list" : "no list",
                part_names[p]);
    free(r.text);
    return c;
}
