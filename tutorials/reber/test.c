/* test.c -- a tape for inference keeps one piece of the streams at a time, so that their length costs
 * no memory. */
#include "test.h"

#include "streams.h"
#include "../common/meter.h"
#include "../common/say.h"

#include <math.h>
#include <stdlib.h>

/* The seed of the test, which no training has. */
#define TEST_SEED 0x7e57u

enum { PIECE = 1000, MAX_NORMS = 64 };

typedef struct testing {
    const model *m;
    streams s;
    sq_tape *tape;
    sq_var state[2];
    int32_t *symbols;
    uint32_t *legal;
    bool *agreement;
    float *scores, *c;
    int64_t *first_mistake; /* [rows]; -1: none yet */
    int64_t predictions, right, strings, agreed;
} testing;

static bool right_letter(const float *z, uint32_t legal)
{
    int t = grammar_symbol('T'), p = grammar_symbol('P');
    return legal >> t & 1 ? z[t] > z[p] : z[p] > z[t];
}

static void judge(testing *r, int64_t first, int64_t steps)
{
    for (int64_t i = 0; i < steps * r->s.rows; i++) {
        const float *z = r->scores + i * N_SYMBOLS;
        int64_t row = i % r->s.rows;
        bool right = all_right(z, r->legal[i]);
        r->predictions++;
        r->right += right;
        if (!right && r->first_mistake[row] < 0) r->first_mistake[row] = first + i / r->s.rows;
        if (!r->agreement[i]) continue;
        r->strings++;
        r->agreed += right_letter(z, r->legal[i]);
    }
}

/* The next steps of all streams. */
static void run_piece(testing *r, int64_t steps)
{
    int64_t first = r->s.steps;
    sq_tape *t = r->tape;
    streams_next(&r->s, steps, r->symbols, r->legal, r->agreement);
    const sq_unrolled *u =
        sq_unroll(t, &r->m->cell, model_input(t, r->symbols, steps, r->s.rows), r->state, NULL);
    sq_var z = model_scores(r->m, t, sq_unrolled_outputs(u));
    if (sq_copy(z, r->scores)) die("%s", sq_message(t));
    sq_unrolled_last(u, r->state);
    if (sq_cut(t, 0, r->state, 2)) die("%s", sq_message(t));
    judge(r, first, steps);
}

/* Mean over the rows of |c|. */
static double mean_norm(testing *r)
{
    int64_t width = r->m->cell.width[1];
    double sum = 0;
    if (sq_copy(r->state[1], r->c)) die("%s", sq_message(r->tape));
    for (int64_t row = 0; row < r->s.rows; row++) {
        double square = 0;
        for (int64_t k = 0; k < width; k++) square += pow((double)r->c[row * width + k], 2);
        sum += sqrt(square);
    }
    return sum / (double)r->s.rows;
}

/* 1, 2, 5, 10, 20, 50 ... */
static int64_t next_mark(int64_t n)
{
    int64_t unit = 1;
    while (n >= 10 * unit) unit *= 10;
    return n < 2 * unit ? 2 * unit : n < 5 * unit ? 5 * unit : 10 * unit;
}

static testing testing_new(const model *m, const options *o)
{
    size_t rows = (size_t)o->streams, n = PIECE * rows;
    testing r = { .m = m, .s = streams_new(o->streams, TEST_SEED + (uint64_t)o->seed) };
    r.tape = sq_tape_new(SQ_F32, m->params);
    sq_tape_set_inference(r.tape, true);
    for (int k = 0; k < 2; k++)
        r.state[k] = sq_zeros(r.tape, sq_mat(o->streams, m->cell.width[k]));
    r.symbols = take(n, sizeof *r.symbols);
    r.legal = take(n, sizeof *r.legal);
    r.agreement = take(n, sizeof *r.agreement);
    r.scores = take(n * N_SYMBOLS, sizeof *r.scores);
    r.c = take(rows * (size_t)m->cell.width[1], sizeof *r.c);
    r.first_mistake = take(rows, sizeof *r.first_mistake);
    for (size_t i = 0; i < rows; i++) r.first_mistake[i] = -1;
    return r;
}

static void testing_free(testing *r)
{
    sq_tape_free(r->tape);
    streams_free(&r->s);
    free(r->symbols);
    free(r->legal);
    free(r->agreement);
    free(r->scores);
    free(r->c);
    free(r->first_mistake);
}

static void sum_up(const testing *r, int64_t length, result *out)
{
    for (int64_t row = 0; row < r->s.rows; row++) {
        int64_t until = r->first_mistake[row] < 0 ? length : r->first_mistake[row];
        out->perfect += r->first_mistake[row] < 0;
        out->mean_until += (double)until / (double)r->s.rows;
    }
    out->right = (double)r->right / (double)r->predictions;
    out->agreement = r->strings ? (double)r->agreed / (double)r->strings : (double)NAN;
}

result test(const model *m, const options *o, const char *title)
{
    testing r = testing_new(m, o);
    result out = { .at = take(MAX_NORMS, sizeof(double)),
                   .norm = take(MAX_NORMS, sizeof(double)) };
    meter line = meter_begin(title, o->test, o->quiet);
    for (int64_t mark = 1; r.s.steps < o->test;) {
        int64_t steps = mark - r.s.steps, left = o->test - r.s.steps;
        steps = steps < left ? steps : left;
        run_piece(&r, steps < PIECE ? steps : PIECE);
        meter_step(&line, r.s.steps, "test");
        if (r.s.steps < mark && r.s.steps < o->test) continue;
        out.at[out.n_norms] = (double)r.s.steps;
        out.norm[out.n_norms++] = mean_norm(&r);
        mark = next_mark(mark);
    }
    meter_end(&line);
    sum_up(&r, o->test, &out);
    testing_free(&r);
    return out;
}

void result_free(result *r)
{
    free(r->at);
    free(r->norm);
}
