/* sample.c -- one step, one character, and back in it goes.
 *
 * The tape is one for inference: it forgets every step as soon as the next has begun, so the
 * model can write for as long as it likes. */
#include "sample.h"

#include "progress.h"

#include "../common/say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct writer {
    const model *m;
    sq_tape *tape;
    sq_var *state;
    double *scores; /* [C] of the next character */
} writer;

static writer writer_new(const model *m, const options *o)
{
    int32_t n = m->cell.n_states;
    writer w = { .m = m, .tape = model_tape(m, o, true) };
    w.state = take((size_t)n, sizeof *w.state);
    w.scores = take((size_t)m->n_chars, sizeof *w.scores);
    for (int32_t k = 0; k < n; k++) w.state[k] = sq_zeros(w.tape, sq_mat(1, m->cell.width[k]));
    return w;
}

static void writer_free(writer *w)
{
    sq_tape_free(w->tape);
    free(w->state);
    free(w->scores);
}

/* Reads one character and learns what may come next. */
static void see(writer *w, int32_t id)
{
    const model *m = w->m;
    sq_begin_step(w->tape);
    sq_var x = model_input(m, w->tape, &id, 1, 1);
    x = sq_reshape(x, sq_mat(1, m->n_in));
    sq_var h = m->cell.step(w->tape, m->cell.self, x, w->state);
    if (sq_copy_f64(model_scores(m, w->tape, h), w->scores)) die("%s", sq_message(w->tape));
}

void sample_check(const options *o, const vocabulary *known)
{
    for (const char *c = o->prime; c && *c; c++) {
        int byte = (unsigned char)*c;
        if (known->number[byte] < 0)
            die("--prime: byte %d%s%.*s%s does not occur in the text", byte,
                byte > 32 && byte < 127 ? " '" : "",
                byte > 32 && byte<127, c, byte> 32 && byte < 127 ? "'" : "");
    }
}

static void put(int64_t byte)
{
    if (putchar((int)byte) == EOF) die("cannot write to standard output: %s", strerror(errno));
}

/* The text to begin with; returns how many characters. */
static int64_t see_prime(writer *w, const options *o, const vocabulary *known)
{
    int32_t newline = known->number['\n'];
    if (!o->prime) see(w, newline < 0 ? 0 : newline);
    for (const char *c = o->prime; c && *c; c++) {
        see(w, known->number[(unsigned char)*c]);
        put((unsigned char)*c);
    }
    return o->prime ? (int64_t)strlen(o->prime) : 1;
}

double sample(const model *m, const options *o, const vocabulary *known)
{
    writer w = writer_new(m, o);
    sq_random random = sq_random_stream((uint64_t)o->seed, 0, 0, 0);
    double began = progress_now();
    int64_t seen = see_prime(&w, o, known);
    for (int64_t i = 0; i < o->length; i++, seen++) {
        double u = sq_random_uniform(random, (uint64_t)i, 0);
        int32_t id = sq_choose(known->n, w.scores, o->temperature, u);
        if (id < 0)
            die("the scores of the next character are no numbers: the weights are broken");
        put(known->chars[id]);
        see(&w, id);
    }
    double took = progress_now() - began;
    writer_free(&w);
    return seen ? took / (double)seen : 0;
}
