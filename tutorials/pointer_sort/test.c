/* test.c -- free running: the network is told what it pointed at itself. */
#include "test.h"

#include "train.h"
#include "../common/files.h"
#include "../common/meter.h"
#include "../common/say.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 100 };

typedef struct score {
    int64_t sequences, exact; /* in perfect order */
    int64_t elements, right;  /* steps, and those that point at the right place */
    int64_t once;             /* sequences that point at every place exactly once */
} score;

static bool every_place_once(const numbers *n, const int32_t *pointed, int64_t row)
{
    for (int64_t i = 0; i < n->lengths[row]; i++)
        for (int64_t k = 0; k < i; k++)
            if (pointed[i * n->rows + row] == pointed[k * n->rows + row]) return false;
    return true;
}

static void judge(const numbers *n, const int32_t *pointed, int64_t row, score *s)
{
    int64_t right = 0;
    for (int64_t i = 0; i < n->lengths[row]; i++)
        right += pointed[i * n->rows + row] == n->order[i * n->rows + row];
    s->sequences++;
    s->elements += n->lengths[row];
    s->right += right;
    s->exact += right == n->lengths[row];
    s->once += every_place_once(n, pointed, row);
}

static void write_row(FILE *out, const numbers *n, const int32_t *pointed, int64_t row)
{
    fprintf(out, "%d,", (int)n->lengths[row]);
    for (int64_t i = 0; i < n->lengths[row]; i++)
        fprintf(out, "%s%.9f", i ? " " : "", (double)n->x[i * n->rows + row]);
    fputc(',', out);
    for (int64_t i = 0; i < n->lengths[row]; i++)
        fprintf(out, "%s%d", i ? " " : "", (int)pointed[i * n->rows + row] + 1);
    fputc('\n', out);
}

/* ---- All lengths --------------------------------------------------------------------------- */

typedef struct testing {
    const model *m;
    const options *o;
    sq_tape *tape;
    FILE *csv; /* or NULL */
    meter line;
    int64_t done;
} testing;

/* Some sequences of one length. */
static void some(testing *r, const numbers *n, score *s)
{
    int32_t *pointed = take((size_t)(n->rows * n->places), sizeof *pointed);
    reading read;
    sq_tape_reset(r->tape);
    model_read(r->m, r->tape, n, r->o->once, &read);
    model_point(&read, r->tape, pointed);
    for (int64_t row = 0; row < n->rows; row++) {
        judge(n, pointed, row, s);
        if (r->csv) write_row(r->csv, n, pointed, row);
    }
    reading_free(&read);
    free(pointed);
}

static score of_length(testing *r, int64_t length)
{
    score s = { 0 };
    int64_t rows;
    for (int64_t first = 0; first < r->o->test; first += rows) {
        rows = r->o->test - first < ROWS ? r->o->test - first : ROWS;
        numbers n = numbers_new(rows, length);
        numbers_draw(&n,
                     sq_random_stream((uint64_t)r->o->seed, DRAW_TEST, (uint64_t)length,
                                      (uint64_t)first),
                     length, length);
        some(r, &n, &s);
        numbers_free(&n);
        meter_step(&r->line, r->done += rows, "test");
    }
    return s;
}

/* ---- The table ----------------------------------------------------------------------------- */

/* Those of the training, then half as much again, then twice as much as the longest. */
static int64_t test_length(const options *o, int64_t i)
{
    int64_t beyond = i - (o->longest - o->shortest);
    return beyond <= 0   ? o->shortest + i
           : beyond == 1 ? o->longest + (o->longest + 1) / 2
                         : 2 * o->longest;
}

static double percent(int64_t n, int64_t of) { return 100. * (double)n / (double)of; }

static void tell(const options *o, int64_t length, const score *s)
{
    printf("  %7lld %9lld %10.2f%% %12.2f%% %10.2f%%%s\n", (long long)length,
           (long long)s->sequences, percent(s->exact, s->sequences),
           percent(s->right, s->elements), percent(s->once, s->sequences),
           length < o->trained[0] || length > o->trained[1] ? "   never trained" : "");
}

void test(const model *m, const options *o)
{
    int64_t lengths = o->longest - o->shortest + 1;
    score *s = take((size_t)lengths + 2, sizeof *s);
    testing r = { .m = m, .o = o, .tape = tape_new(m, o, true) };
    r.csv = file_wanted(o->csv) ? file_open(o->csv) : NULL;
    r.line = meter_begin("new sequences", (lengths + 2) * o->test, o->quiet);
    if (r.csv) fputs("length,numbers,pointed\n", r.csv);
    for (int64_t i = 0; i < lengths + 2; i++) s[i] = of_length(&r, test_length(o, i));
    meter_end(&r.line);
    if (r.csv) file_close(r.csv, o->csv);
    printf("\n  %7s %9s %11s %13s %11s\n", "numbers", "sequences", "all right", "places right",
           "each once");
    for (int64_t i = 0; i < lengths + 2; i++) tell(o, test_length(o, i), &s[i]);
    sq_tape_free(r.tape);
    free(s);
}
