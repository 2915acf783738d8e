/* roll.c -- lists that grow, and the file they are written to. */
#include "roll.h"

#include "../common/say.h"

#include <stdlib.h>

const char *const part_names[N_PARTS] = { "train", "valid", "test" };

/* One more place of `size` bytes, zeroed. */
static void *grow(void *list, int64_t *n, int64_t *room, size_t size)
{
    if (*n == *room) {
        int64_t more = *room ? 2 * *room : 16;
        char *moved = take((size_t)more, size);
        for (size_t i = 0; i < (size_t)*n * size; i++) moved[i] = ((char *)list)[i];
        free(list);
        list = moved;
        *room = more;
    }
    ++*n;
    return list;
}

frame *song_add(song *s)
{
    s->frame = grow(s->frame, &s->n, &s->room, sizeof *s->frame);
    return &s->frame[s->n - 1];
}

song *songs_add(songs *s)
{
    s->song = grow(s->song, &s->n, &s->room, sizeof *s->song);
    return &s->song[s->n - 1];
}

int64_t songs_foretold(const songs *s)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) n += s->song[i].n - 1;
    return n;
}

int64_t songs_longest(const songs *s)
{
    int64_t longest = 0;
    for (int64_t i = 0; i < s->n; i++)
        longest = s->song[i].n > longest ? s->song[i].n : longest;
    return longest;
}

void song_free(song *s) { free(s->frame); }

void corpus_free(corpus *c)
{
    for (int p = 0; p < N_PARTS; p++) {
        for (int64_t i = 0; i < c->part[p].n; i++) song_free(&c->part[p].song[i]);
        free(c->part[p].song);
    }
}

static void write_frame(const frame *f, FILE *out)
{
    const char *between = "";
    fputc('[', out);
    for (int k = 0; k < KEYS; k++) {
        if (!f->down[k]) continue;
        fprintf(out, "%s%d", between, LOWEST + k);
        between = ",";
    }
    fputc(']', out);
}

void corpus_write(const corpus *c, FILE *out)
{
    for (int p = 0; p < N_PARTS; p++) {
        const songs *part = &c->part[p];
        fprintf(out, "%s\"%s\": [", p ? ",\n " : "{", part_names[p]);
        for (int64_t i = 0; i < part->n; i++) {
            fputs(i ? ",\n  [" : "\n  [", out);
            for (int64_t t = 0; t < part->song[i].n; t++) {
                if (t) fputc(',', out);
                write_frame(&part->song[i].frame[t], out);
            }
            fputc(']', out);
        }
        fputc(']', out);
    }
    fputs("}\n", out);
}
