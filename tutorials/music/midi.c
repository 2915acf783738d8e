/* midi.c -- bytes.
 *
 *     "MThd" 6, format 0, 1 track, 96 ticks a quarter
 *     "MTrk" n, then events: how many ticks later, and what:
 *         FF 51 3, microseconds a quarter     C0 19: program 20, church organ
 *         90 key 80: down      80 key 0: up      FF 2F 0: the end
 * Numbers have their highest byte first; ticks have 7 bits a byte, the last byte below 128. */
#include "midi.h"

#include "../common/files.h"
#include "../common/say.h"

#include <stdlib.h>

enum { TICKS = 96, ORGAN = 19, LOUDNESS = 80 };

typedef struct track {
    unsigned char *bytes;
    size_t n, room;
} track;

static void put(track *k, int byte)
{
    if (k->n == k->room) {
        unsigned char *more = realloc(k->bytes, k->room = 2 * k->room + 256);
        if (!more) die("out of memory");
        k->bytes = more;
    }
    k->bytes[k->n++] = (unsigned char)byte;
}

static void put_number(track *k, uint32_t value, int bytes)
{
    while (bytes-- > 0) put(k, (int)(value >> 8 * bytes & 255));
}

/* In 7 bits a byte: all but the last have the highest bit set. */
static void put_ticks(track *k, uint32_t value)
{
    int more = 0;
    while (value >> 7 * (more + 1)) more++;
    for (; more > 0; more--) put(k, (int)(value >> 7 * more & 127) | 128);
    put(k, (int)(value & 127));
}

static void put_event(track *k, uint32_t *waited, int a, int b, int c)
{
    put_ticks(k, *waited);
    *waited = 0;
    put(k, a);
    put(k, b);
    put(k, c);
}

/* From one frame to the next: first what goes up, then what goes down. */
static void put_change(track *k, const frame *from, const frame *to, uint32_t *waited)
{
    for (int i = 0; i < KEYS; i++)
        if (from->down[i] && !to->down[i]) put_event(k, waited, 0x80, LOWEST + i, 0);
    for (int i = 0; i < KEYS; i++)
        if (!from->down[i] && to->down[i]) put_event(k, waited, 0x90, LOWEST + i, LOUDNESS);
}

static track make_track(const song *s, double frames_a_minute)
{
    track k = { 0 };
    frame silence = { 0 };
    uint32_t waited = 0;
    put_event(&k, &waited, 0xff, 0x51, 3);
    put_number(&k, (uint32_t)(60e6 / frames_a_minute + .5), 3);
    put_ticks(&k, 0);
    put_number(&k, 0xc000 | ORGAN, 2);
    for (int64_t i = 0; i <= s->n; i++) {
        put_change(&k, i ? &s->frame[i - 1] : &silence, i < s->n ? &s->frame[i] : &silence,
                   &waited);
        waited += i < s->n ? TICKS : 0;
    }
    put_event(&k, &waited, 0xff, 0x2f, 0);
    return k;
}

void midi_write(const song *s, double frames_a_minute, const char *path)
{
    track head = { 0 }, body = make_track(s, frames_a_minute);
    FILE *out = file_open(path);
    put_number(&head, 0x4d546864, 4); /* MThd */
    put_number(&head, 6, 4);
    put_number(&head, 0, 2);
    put_number(&head, 1, 2);
    put_number(&head, TICKS, 2);
    put_number(&head, 0x4d54726b, 4); /* MTrk */
    put_number(&head, (uint32_t)body.n, 4);
    fwrite(head.bytes, 1, head.n, out);
    fwrite(body.bytes, 1, body.n, out);
    file_close(out, path);
    free(head.bytes);
    free(body.bytes);
}
