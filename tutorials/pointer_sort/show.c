/* show.c -- the network points by itself; then it is told just that, and the probabilities of all steps
 * are read at once. */
#include "show.h"

#include "train.h"
#include "../common/heatmap.h"
#include "../common/say.h"
#include "../common/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 16, SHOWN = 10 };

static numbers sequence(const options *o)
{
    int64_t length = o->input ? o->n_numbers : o->longest < SHOWN ? o->longest : SHOWN;
    numbers n = numbers_new(1, length);
    if (!o->input) {
        numbers_draw(&n, sq_random_stream((uint64_t)o->seed, DRAW_TEST, 0, 0), length, length);
        return n;
    }
    n.lengths[0] = (int32_t)length;
    memcpy(n.x, o->number, (size_t)length * sizeof *n.x);
    numbers_settle(&n);
    return n;
}

static void name_of(double x, char name[NAME]) { snprintf(name, NAME, "%.2f", x); }

/* Equal numbers may change places. */
static bool in_order(const numbers *n, const int32_t *pointed)
{
    for (int64_t i = 0; i < n->places; i++)
        if (n->x[pointed[i]] != n->x[n->order[i]]) return false;
    return true;
}

static void show_map(const numbers *n, const int32_t *pointed, const double *p,
                     const options *o)
{
    size_t places = (size_t)n->places;
    char(*text)[NAME] = take(2 * places, NAME);
    const char **name = take(2 * places, sizeof *name);
    for (size_t i = 0; i < places; i++) {
        name_of((double)n->x[i], text[i]);
        name_of((double)n->x[pointed[i]], text[places + i]);
        name[i] = text[i];
        name[places + i] = text[places + i];
    }
    heatmap h = { .title = "Where the network points",
                  .description =
                      "One row for every step, one column for every number read; the "
                      "darker, the likelier it is to be pointed at.",
                  .across = "numbers, as read",
                  .down = "rows: steps, with the number pointed at",
                  .rows = n->places,
                  .columns = n->places,
                  .row_names = name + places,
                  .column_names = name,
                  .value = p,
                  .ascii = screen_ascii(o->ascii) };
    putchar('\n');
    heatmap_print(&h);
    heatmap_svg(&h, o->svg);
    free(name);
    free(text);
}

/* The places it points at, and P(p_i = j) [places,places] at every step. */
static void sort(const model *m, const options *o, const numbers *n, int32_t *pointed,
                 double *p)
{
    sq_tape *t = tape_new(m, o, true);
    reading read;
    model_read(m, t, n, o->once, &read);
    model_point(&read, t, pointed);
    reading_free(&read);
    sq_tape_reset(t); /* a tape for inference forgets what was read, so it is read again */
    model_read(m, t, n, o->once, &read);
    if (sq_copy_f64(sq_softmax(model_scores(&read, t, pointed), -1), p))
        die("%s", sq_message(t));
    reading_free(&read);
    sq_tape_free(t);
}

void show(const model *m, const options *o)
{
    numbers n = sequence(o);
    size_t places = (size_t)n.places;
    int32_t *pointed = take(places, sizeof *pointed);
    double *p = take(places * places, sizeof *p);
    sort(m, o, &n, pointed, p);
    printf("sorted:");
    for (size_t i = 0; i < places; i++) printf(" %g", (double)n.x[pointed[i]]);
    printf("   %s\n", in_order(&n, pointed) ? "right" : "wrong");
    show_map(&n, pointed, p, o);
    numbers_free(&n);
    free(pointed);
    free(p);
}
