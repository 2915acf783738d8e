/* translate.c -- a beam search says what is written. Then the decoder is told just that, step by step,
 * and the weights of its attention are read: the values that the cell named "attention". */
#include "translate.h"

#include "test.h"
#include "train.h"
#include "../common/heatmap.h"
#include "../common/say.h"
#include "../common/screen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 5 };

/* The best symbols, OUT_STEPS of them; prints them and the next best. */
static void search(const model *m, sq_tape *t, const options *o, const batch *b,
                   int32_t best[OUT_STEPS])
{
    int32_t *ids = take((size_t)o->beam * OUT_STEPS, sizeof *ids);
    sq_beam *beams = take((size_t)o->beam, sizeof *beams);
    reading read;
    model_read(m, t, b, o->beam, &read);
    if (sq_beam_search(t, &read.decoder, &read.state0, OUT_STEPS, 1, o->beam, 0, beams, ids) <
        0)
        die("%s", sq_message(t));
    memcpy(best, ids, OUT_STEPS * sizeof *best);
    for (int64_t k = 0; k < o->beam && k < SHOWN && beams[k].length; k++) {
        char text[TEXT_MAX];
        read_symbols(ids + k * OUT_STEPS, OUT_STEPS, 1, text);
        printf("  %-12s p = %.4f\n", text, exp(beams[k].log_p));
    }
    free(ids);
    free(beams);
}

/* a_is [OUT_STEPS,S] for what was written. */
static double *attention(const model *m, sq_tape *t, const batch *b,
                         const int32_t written[OUT_STEPS])
{
    double *a = take((size_t)(OUT_STEPS * b->steps), sizeof *a);
    int32_t told[OUT_STEPS] = { OUT_START };
    reading read;
    memcpy(told + 1, written, (OUT_STEPS - 1) * sizeof *told);
    sq_tape_reset(t);
    model_read(m, t, b, 1, &read);
    sq_var y = read.decoder.input(t, m, told, OUT_STEPS);
    y = sq_reshape(y, sq_shape3(OUT_STEPS, 1, sq_shape_of(y).dim[1]));
    const sq_unrolled *u = sq_unroll(t, &read.cell, y, &read.state0, NULL);
    for (int64_t i = 0; i < OUT_STEPS; i++)
        sq_copy_f64(sq_unrolled_named(u, i, "attention"), a + i * b->steps);
    if (sq_tape_status(t)) die("%s", sq_message(t));
    return a;
}

/* One text for every character. */
typedef struct letters {
    char text[TEXT_MAX][2];
    const char *name[TEXT_MAX];
} letters;

static void letters_of(const char *s, letters *l)
{
    for (int i = 0; s[i]; i++) {
        l->text[i][0] = s[i];
        l->text[i][1] = 0;
        l->name[i] = l->text[i];
    }
}

static void show_map(const char *text, const char *written, const double *a, const options *o)
{
    letters across, down;
    char title[160];
    letters_of(text, &across);
    letters_of(written, &down);
    snprintf(title, sizeof title, "%s to %s", text, written);
    heatmap h = { .title = title,
                  .description = "One row for every character written, one column for every "
                                 "character read; the darker, the more attention.",
                  .across = "read",
                  .down = "rows: written, from top to bottom",
                  .rows = (int64_t)strlen(written),
                  .columns = (int64_t)strlen(text),
                  .row_names = down.name,
                  .column_names = across.name,
                  .value = a,
                  .ascii = screen_ascii(o->ascii) };
    putchar('\n');
    heatmap_print(&h);
    heatmap_svg(&h, o->svg);
}

void translate(const model *m, const options *o, const char *text)
{
    char one[1][TEXT_MAX], written[TEXT_MAX];
    int32_t best[OUT_STEPS];
    sq_tape *t = tape_new(m, o, true);
    snprintf(one[0], TEXT_MAX, "%s", text);
    batch b = batch_of(one, 1);
    printf("%s\n", text);
    search(m, t, o, &b, best);
    read_symbols(best, OUT_STEPS, 1, written);
    double *a = attention(m, t, &b, best);
    show_map(text, written, a, o);
    free(a);
    batch_free(&b);
    sq_tape_free(t);
}
