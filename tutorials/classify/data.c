/* data.c -- lines become pieces, pieces become parts.
 *
 * What is held out lies together, at the end of a file: neighbouring lines of a text are alike, and
 * a line between two that were learned from would be an easy one. */
#include "data.h"

#include "words.h"
#include "../common/read.h"
#include "../common/say.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST = 10 };

void pieces_add(pieces *p, const char *text, int64_t n, int32_t label)
{
    if (p->n == p->room) {
        int64_t room = p->room ? 2 * p->room : 64;
        piece *more = take((size_t)room, sizeof *more);
        if (p->n) memcpy(more, p->piece, (size_t)p->n * sizeof *more);
        free(p->piece);
        p->piece = more;
        p->room = room;
    }
    piece *q = &p->piece[p->n++];
    *q = (piece){ take((size_t)n + 1, 1), n, label };
    memcpy(q->text, text, (size_t)n);
}

void pieces_free(pieces *p)
{
    for (int64_t i = 0; i < p->n; i++) free(p->piece[i].text);
    free(p->piece);
}

int64_t pieces_longest(const pieces *p)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < p->n; i++)
        longest = p->piece[i].n > longest ? p->piece[i].n : longest;
    return longest;
}

/* ---- Lines ------------------------------------------------------------------------------- */

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* A line, of which each piece ends at the last blank that fits, or in a word that is too long. */
static void cut_line(pieces *into, const char *s, const char *end, int64_t longest,
                     int32_t label)
{
    while (end > s && blank(end[-1])) end--;
    while (s < end) {
        while (blank(*s)) s++;
        const char *stop = end - s > longest ? s + longest : end;
        if (stop < end && !blank(*stop)) {
            const char *gap = stop;
            while (gap > s && !blank(*gap)) gap--;
            if (gap > s) stop = gap;
        }
        int64_t n = stop - s;
        while (n > 0 && blank(s[n - 1])) n--;
        pieces_add(into, s, n, label);
        s = stop;
    }
}

void pieces_cut(pieces *into, const char *text, size_t n, int64_t longest, int32_t label)
{
    const char *end = text + n;
    for (const char *s = text; s < end;) {
        const char *stop = memchr(s, '\n', (size_t)(end - s));
        if (!stop) stop = end;
        cut_line(into, s, stop, longest, label);
        s = stop + 1;
    }
}

/* ---- Parts ------------------------------------------------------------------------------- */

void data_deal(data *d, pieces *of_class)
{
    for (int64_t i = 0; i < of_class->n; i++) {
        const piece *p = &of_class->piece[i];
        int part = 10 * i < 7 * of_class->n ? TRAIN : 10 * i < 8 * of_class->n ? VALID : TEST;
        pieces_add(&d->part[part], p->text, p->n, p->label);
    }
    pieces_free(of_class);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Leaves out of a part what TRAIN has, of whatever class. */
static int64_t drop_seen(pieces *part, char **known, int64_t n)
{
    int64_t kept = 0, before = part->n;
    for (int64_t i = 0; i < before; i++) {
        piece p = part->piece[i];
        if (bsearch(&p.text, known, (size_t)n, sizeof *known, by_text)) free(p.text);
        else part->piece[kept++] = p;
    }
    part->n = kept;
    return before - kept;
}

static void drop_all_seen(data *d)
{
    const pieces *t = &d->part[TRAIN];
    char **known = take((size_t)t->n, sizeof *known);
    for (int64_t i = 0; i < t->n; i++) known[i] = t->piece[i].text;
    qsort(known, (size_t)t->n, sizeof *known, by_text);
    for (int p = VALID; p < N_PARTS; p++) d->seen += drop_seen(&d->part[p], known, t->n);
    free(known);
}

/* "folder/harbour.txt" to "harbour". */
static char *class_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *start = slash ? slash + 1 : path;
    const char *dot = strrchr(start, '.');
    size_t n = dot && dot > start ? (size_t)(dot - start) : strlen(start);
    char *name = take(n + 1, 1);
    memcpy(name, start, n);
    return name;
}

static void read_class(data *d, const char *path, int64_t longest)
{
    size_t n;
    pieces all = { 0 };
    char *text = file_read(path, &n), *name = class_name(path);
    if (!n) die("%s is empty", path);
    for (int32_t k = 0; k < d->n_classes; k++)
        if (!strcmp(d->name[k], name)) die("two files are called \"%s\"", name);
    pieces_cut(&all, text, n, longest, d->n_classes);
    if (all.n < LEAST)
        die("%s has %lld piece%s of text: at least %d are needed", path, (long long)all.n,
            all.n == 1 ? "" : "s", LEAST);
    d->name[d->n_classes++] = name;
    data_deal(d, &all);
    free(text);
}

data data_read(const train_options *o)
{
    data d = { 0 };
    for (int32_t k = 0; k < o->n_files; k++) read_class(&d, o->file[k], o->piece);
    if (!o->n_files) words_read(&d);
    drop_all_seen(&d);
    if (!d.part[VALID].n || !d.part[TEST].n)
        die("nothing is left to hold out: what is at the end of the files is at their begin, too");
    return d;
}

void data_free(data *d)
{
    for (int p = 0; p < N_PARTS; p++) pieces_free(&d->part[p]);
    for (int32_t k = 0; k < d->n_classes; k++) free(d->name[k]);
}
