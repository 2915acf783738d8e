/* params_threads.c -- several threads, each with its own tape, on one params that is updated
 * between their rounds: who reads, takes and gives back versions of the weights together must
 * not race, and must compute what the same tapes compute one after the other.
 *
 * Every tape keeps its last steps through the update, so that old versions stay in use, are
 * differentiated through, and are given back by several threads at once. Run under
 * ThreadSanitizer this is the proof that data-parallel training is free of races; without it,
 * that it gives the same bits. */
#define _POSIX_C_SOURCE 200809L

#include "seqgrad.h"

#include "threads.h"

#include <string.h>

enum { N = 4, ROUNDS = 12, T = 5, KEPT = 3, B = 2, I = 3, H = 6 };

typedef struct part {
    const struct team *team;
    sq_tape *tape;
    sq_var h, c; /* carried from round to round */
    int index, round;
    double loss;
} part;

typedef struct team {
    sq_params *params;
    sq_lstm lstm;
    sq_optim *optim;
    part part[N];
} team;

static void team_new(team *m)
{
    *m = (team){ .params = sq_params_new(SQ_F32) };
    sq_lstm_init(&m->lstm, m->params, "lstm", I, H, 5);
    m->optim = sq_optim_new(m->params, &(sq_optim_options){ .kind = SQ_ADAM, .rate = .01 });
    REQUIRE(m->optim, "%s", sq_params_message(m->params));
}

static void team_free(team *m)
{
    sq_optim_free(m->optim);
    sq_params_free(m->params);
}

static void start(part *p)
{
    p->tape = sq_tape_new(SQ_F32, p->team->params);
    p->h = sq_zeros(p->tape, sq_mat(B, H));
    p->c = sq_zeros(p->tape, sq_mat(B, H));
}

/* Records T steps and differentiates the sum of squares of the last c through the steps that
 * were kept of the round before, which used the weights of before the update. */
static void *one_round(void *argument)
{
    part *p = argument;
    float x[B * I];
    if (p->round == 0) start(p);
    sq_cell cell = sq_lstm_cell(&p->team->lstm);
    sq_var state[2] = { p->h, p->c };
    for (int t = 0; t < T; t++) {
        sq_random r = sq_random_stream(9, (uint64_t)p->index, (uint64_t)(p->round * T + t), 0);
        for (int i = 0; i < B * I; i++) x[i] = (float)sq_random_normal(r, (uint64_t)i, 0);
        sq_begin_step(p->tape);
        cell.step(p->tape, cell.self, sq_input(p->tape, sq_mat(B, I), x), state);
    }
    sq_var loss = sq_sum(sq_square(sq_add(state[0], state[1])));
    REQUIRE(sq_backward(loss) == SQ_OK, "%s", sq_message(p->tape));
    p->loss = sq_item(loss);
    REQUIRE(sq_cut(p->tape, KEPT, state, 2) == SQ_OK, "%s", sq_message(p->tape));
    p->h = state[0];
    p->c = state[1];
    if (p->round == ROUNDS - 1) sq_tape_reset(p->tape);
    return NULL;
}

/* Sums the gradients in the order of the parts and makes one update. */
static void update(team *m)
{
    int64_t n = sq_params_size(m->params);
    float *sum = sq_grads(m->part[0].tape);
    for (int k = 1; k < N; k++) {
        const float *g = sq_grads(m->part[k].tape);
        for (int64_t i = 0; i < n; i++) sum[i] += g[i];
    }
    REQUIRE(!sq_optim_step(m->optim, m->part[0].tape), "%s", sq_message(m->part[0].tape));
    for (int k = 0; k < N; k++) sq_zero_grads(m->part[k].tape);
}

static void run_together(team *m)
{
    pthread_t thread[N];
    for (int k = 0; k < N; k++)
        REQUIRE(!pthread_create(&thread[k], NULL, one_round, &m->part[k]), "no thread");
    for (int k = 0; k < N; k++) pthread_join(thread[k], NULL);
}

static void train(team *m, bool together)
{
    for (int k = 0; k < N; k++) m->part[k] = (part){ .team = m, .index = k };
    for (int round = 0; round < ROUNDS; round++) {
        for (int k = 0; k < N; k++) m->part[k].round = round;
        if (together) run_together(m);
        for (int k = 0; k < N && !together; k++) one_round(&m->part[k]);
        update(m);
    }
    for (int k = 0; k < N; k++) sq_tape_free(m->part[k].tape);
}

int main(void)
{
    team alone, together;
    team_new(&alone);
    team_new(&together);
    train(&alone, false);
    for (int again = 0; again < (UNDER_TSAN ? 3 : 20); again++) {
        if (again > 0) {
            team_free(&together);
            team_new(&together);
        }
        train(&together, true);
        for (int k = 0; k < N; k++)
            REQUIRE(!memcmp(&alone.part[k].loss, &together.part[k].loss, sizeof(double)),
                    "part %d: loss %.17g, not %.17g", k, together.part[k].loss,
                    alone.part[k].loss);
        size_t bytes = (size_t)sq_params_size(alone.params) * sizeof(float);
        REQUIRE(!memcmp(sq_params_view(alone.params), sq_params_view(together.params), bytes),
                "the weights differ");
    }
    team_free(&alone);
    team_free(&together);
    expect_threads(one_thread(), "in the end");
    puts("fine");
    return 0;
}
