/* guess.c -- read this file to learn how an input gets a gradient.
 *
 * x is no weight and no leaf: sq_keep_grad marks it before the sweep. Pieces are looked at one at
 * a time; leaving out each of n characters is one batch of n rows. */
#include "guess.h"

#include "train.h"
#include "../common/say.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* First, second, their distance and the share of the first. */
static void judge(guess *g, const float *z, int32_t n)
{
    double sum = 0;
    g->first = best_of(z, n);
    g->second = g->first ? 0 : 1;
    for (int32_t k = 0; k < n; k++) {
        if (k != g->first && z[k] > z[g->second]) g->second = k;
        sum += exp((double)z[k] - (double)z[g->first]);
    }
    g->p = 1 / sum;
    g->lead = (double)z[g->first] - (double)z[g->second];
}

/* d lead / d x in one sweep; norms over the numbers of each character. */
static void find_gradient(const model *m, sq_tape *t, guess *g, sq_var z, sq_var x)
{
    int64_t n = g->of->n, width = m->size.embed;
    float which[MAX_CLASSES] = { 0 }, *dx = take((size_t)(n * width), sizeof *dx);
    which[g->first] = 1;
    which[g->second] = -1;
    sq_var lead = sq_sum(sq_mul(z, sq_input(t, sq_mat(1, m->n_classes), which)));
    if (sq_backward(lead) || sq_grad_copy(x, dx)) die("%s", sq_message(t));
    g->gradient = take((size_t)n, sizeof *g->gradient);
    for (int64_t i = 0; i < n; i++) {
        double square = 0;
        for (int64_t k = 0; k < width; k++) square += pow((double)dx[i * width + k], 2);
        g->gradient[i] = sqrt(square);
    }
    free(dx);
}

/* The piece with each of its characters left out in turn; a piece of one character has nothing left. */
static void find_without(const model *m, sq_tape *t, guess *g)
{
    int64_t n = g->of->n;
    g->without = take((size_t)n, sizeof *g->without);
    if (n == 1) return;
    piece *rest = take((size_t)n, sizeof *rest);
    const piece **from = take((size_t)n, sizeof *from);
    float *z = take((size_t)(n * m->n_classes), sizeof *z);
    batch b = batch_new(n, n - 1);
    for (int64_t i = 0; i < n; i++) {
        rest[i] = (piece){ take((size_t)n, 1), n - 1, 0 };
        memcpy(rest[i].text, g->of->text, (size_t)i);
        memcpy(rest[i].text + i, g->of->text + i + 1, (size_t)(n - 1 - i));
        from[i] = &rest[i];
    }
    batch_fill(&b, m, from, n);
    sq_tape_reset(t);
    if (sq_copy(model_scores(m, t, &b, model_input(m, t, &b), false), z))
        die("%s", sq_message(t));
    for (int64_t i = 0; i < n; i++) {
        const float *row = z + i * m->n_classes;
        g->without[i] = (double)row[g->first] - (double)row[g->second];
        free(rest[i].text);
    }
    batch_free(&b);
    free(z);
    free(from);
    free(rest);
}

guess *guesses_of(const model *m, const pieces *s, int64_t heat)
{
    guess *all = take((size_t)s->n, sizeof *all);
    float z[MAX_CLASSES];
    batch b = batch_new(1, pieces_longest(s));
    sq_tape *t = sq_tape_new(SQ_F32, m->params);
    for (int64_t i = 0; i < s->n; i++) {
        const piece *p = all[i].of = &s->piece[i];
        batch_fill(&b, m, &p, 1);
        sq_tape_reset(t);
        sq_var x = sq_keep_grad(model_input(m, t, &b));
        sq_var scores = model_scores(m, t, &b, x, false);
        if (sq_copy(scores, z)) die("%s", sq_message(t));
        judge(&all[i], z, m->n_classes);
        if (i >= heat) continue;
        find_gradient(m, t, &all[i], scores, x);
        find_without(m, t, &all[i]);
    }
    sq_tape_free(t);
    batch_free(&b);
    return all;
}

void guesses_free(guess *g, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        free(g[i].gradient);
        free(g[i].without);
    }
    free(g);
}
