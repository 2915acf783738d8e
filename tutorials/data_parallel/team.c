/* team.c -- data-parallel gradients; read this file to learn how.
 *
 *     batch     | shard 0 | shard 1 | ... | shard S-1 |     fixed parts of the 128 windows
 *                    |         |               |
 *     thread k  takes the shards k, k + N, k + 2N, ...      own tape, same weights
 *                    |         |               |
 *     gradients g_0     +    g_1   +  ...  +  g_(S-1)       summed in this order, always
 *
 * Rounding depends on what is added to what, and in which order. Here both are settled by the
 * shards alone, never by who computed them or who was first: any number of threads gives the
 * same bits, and a run on a laptop can be repeated on a server.
 *
 * Nothing is locked. The weights are read-only while tapes record; each thread writes to its
 * own tape and to the gradients of its own shards; joining the threads hands all of it to the
 * main thread, which alone updates the weights.
 *
 * Across machines the loop stays the same: every machine sums its own shards, then one
 * all-reduce of the flat block behind sq_grads puts the sum over all machines in its place, say
 *     MPI_Allreduce(MPI_IN_PLACE, sq_grads(tape), size, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
 * and every machine makes the same update of its own copy of the weights. (The order of that
 * sum is the MPI library's: where it is fixed, bits repeat from run to run.)
 *
 * sq_tape_set_threads is the other way: one tape, whose plan deals out its work. That quickens
 * a small batch too, but its threads meet many times per sweep; tapes that know nothing of
 * each other meet once per update. */
#include "team.h"

#include "../common/say.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct member {
    team *team;
    int64_t index, stride; /* takes the shards index, index + stride, ... */
    sq_tape *tape;
    float *x, *y; /* the windows of one shard, time-major: [WINDOW,rows] */
} member;

struct team {
    const model *model;
    int64_t n_members, n_shards;
    member *member;
    float *grads; /* [n_shards, size] */
    double *loss; /* [n_shards] */
    int64_t size; /* of all weights */
    const float *z;
    const int64_t *start;
};

team *team_new(const model *m, int64_t n_threads, int64_t n_shards)
{
    team *t = take(1, sizeof *t);
    *t = (team){ m, n_threads, n_shards, .size = sq_params_size(m->params) };
    t->member = take((size_t)n_threads, sizeof *t->member);
    t->grads = take((size_t)(n_shards * t->size), sizeof *t->grads);
    t->loss = take((size_t)n_shards, sizeof *t->loss);
    for (int64_t k = 0; k < n_threads; k++) {
        float *x = take(2 * WINDOW * BATCH, sizeof *x);
        t->member[k] = (member){ t, k, 1, model_tape(m), x, x + WINDOW * BATCH };
    }
    return t;
}

void team_free(team *t)
{
    for (int64_t k = 0; k < t->n_members; k++) {
        sq_tape_free(t->member[k].tape);
        free(t->member[k].x);
    }
    free(t->member);
    free(t->grads);
    free(t->loss);
    free(t);
}

sq_tape *team_tape(const team *t) { return t->member[0].tape; }

/* ---- One thread -------------------------------------------------------------------------- */

/* Loss and gradient of the windows [s B/S, (s+1) B/S); false after an error, which the tape
 * keeps. */
static bool compute_shard(member *k, int64_t s)
{
    team *t = k->team;
    int64_t first = s * BATCH / t->n_shards, rows = (s + 1) * BATCH / t->n_shards - first;
    for (int64_t b = 0; b < rows; b++)
        for (int64_t i = 0; i < WINDOW; i++) {
            k->x[i * rows + b] = t->z[t->start[first + b] + i];
            k->y[i * rows + b] = t->z[t->start[first + b] + i + 1];
        }
    sq_tape_reset(k->tape);
    sq_zero_grads(k->tape);
    sq_var loss = model_loss(t->model, k->tape, k->x, k->y, rows);
    if (sq_backward(loss)) return false;
    t->loss[s] = sq_item(loss);
    memcpy(t->grads + s * t->size, sq_grads(k->tape), (size_t)t->size * sizeof *t->grads);
    return true;
}

static void *compute_shards(void *argument)
{
    member *k = argument;
    for (int64_t s = k->index; s < k->team->n_shards; s += k->stride)
        if (!compute_shard(k, s)) break;
    return NULL;
}

/* ---- All together ------------------------------------------------------------------------ */

static void run_members(team *t, int64_t n)
{
    pthread_t thread[BATCH];
    for (int64_t k = 0; k < n; k++) t->member[k].stride = n;
    for (int64_t k = 1; k < n; k++) {
        int error = pthread_create(&thread[k], NULL, compute_shards, &t->member[k]);
        if (error) die("cannot start thread %lld: %s", (long long)k, strerror(error));
    }
    compute_shards(&t->member[0]);
    for (int64_t k = 1; k < n; k++) pthread_join(thread[k], NULL);
    for (int64_t k = 0; k < n; k++)
        if (sq_tape_status(t->member[k].tape)) die("%s", sq_message(t->member[k].tape));
}

double team_gradient(team *t, const float *z, const int64_t *start, int64_t n_threads)
{
    t->z = z;
    t->start = start;
    run_members(t, n_threads);
    float *sum = sq_grads(team_tape(t));
    double loss = t->loss[0];
    memcpy(sum, t->grads, (size_t)t->size * sizeof *sum);
    for (int64_t s = 1; s < t->n_shards; s++) {
        const float *g = t->grads + s * t->size;
        for (int64_t i = 0; i < t->size; i++) sum[i] += g[i];
        loss += t->loss[s];
    }
    return loss;
}
