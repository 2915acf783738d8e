/* random_draw.c -- draws the nodes of a random cell, layer by layer.
 *
 * A layer sees its input, its own old states and what it has made so far. At the end every state gets
 * a new value whose bound is its own again. */
#include "tests/support/random_maker.h"

enum { ENOUGH = 150 };

/* ---- Layers ------------------------------------------------------------------------------- */

/* The node that becomes state k of those in [first, first + n), whose bound is 1. */
static int new_state(maker *m, int k, int first, int n, int input)
{
    random_cell *c = m->c;
    int64_t w = c->width[k];
    int old = first + n; /* found below: the node of the old state */
    for (int i = 0; i < c->n_nodes; i++)
        if (c->node[i].kind == &rc_state && c->node[i].row == k) old = i;
    int dice = below(m, 40), other = first + below(m, n);
    if (dice == 0) return old;
    if (dice == 1 && input >= 0 && same_shape(shape_at(m, input), rows_of(w)) &&
        at(m, input)->bound <= 1)
        return input;
    if (dice == 2) return rcm_invariant(m, rows_of(w), RC_FREE, 1);
    if (dice == 3)
        return rcm_push(
            m, (rc_node){ .kind = &rc_full, .shape = rows_of(w), .p = { .25 }, .bound = .25 });
    if (dice <= 5 && c->width[other] == w) /* a swap, or one node twice */
        for (int i = 0; i < c->n_nodes; i++)
            if (dice == 4 ? c->node[i].kind == &rc_state && c->node[i].row == other
                          : other < k && i == c->next[other])
                return i;
    int g = rcm_squash(m, rcm_to_width(m, rcm_pick_row(m), w), 1);
    if (chance(m, .4)) {
        int f = rcm_map1(m, "sigmoid", rcm_to_width(m, rcm_pick_row(m), w));
        int kept = rcm_map2(m, "mul", f, old);
        g = rcm_map2(m, "add", kept, rcm_map2(m, "mul", rcm_map1p(m, "rsub_scalar", f, 1), g));
        c->node[g].bound = 1;
    }
    if (chance(m, .05)) g = rcm_op1(m, &rc_detach, g, rows_of(w), 1);
    return g;
}

static int scalar_loss(maker *m, int y)
{
    int target = rcm_invariant(m, shape_at(m, y), RC_FREE, 1), s;
    switch (below(m, 3)) {
    case 0: s = rcm_op1(m, &rc_sum, rcm_map1(m, "square", y), sq_scalar(), 100); break;
    case 1: s = rcm_op2(m, &rc_squared_error, y, target, sq_scalar(), 100); break;
    default: s = rcm_op2(m, &rc_bce, y, target, sq_scalar(), 100);
    }
    m->c->node[s].mixes = true;
    return s;
}

static int output_of(maker *m, int first, int n, bool last)
{
    int dice = below(m, 20), y = m->c->next[first + below(m, n)];
    if (dice < 9) return y;
    y = rcm_squash(m, rcm_pick_row(m), 3);
    if (dice < 14) y = rcm_product(m, y, rcm_some_width(m));
    if (last && dice < 13) return scalar_loss(m, rcm_squash(m, y, 3));
    if (last && dice == 14) {
        y = rcm_op1(m, &rc_sum_axis, y, sq_vec(RC_BATCH), 100);
        m->c->node[y].k[0] = 1;
    }
    if (last && dice == 15)
        return rcm_op1(m, &rc_reshape, y, sq_shape3(RC_BATCH, 1, last_dim(shape_at(m, y))),
                       at(m, y)->bound);
    return y;
}

/* Adds a layer that reads `input` (-1: nothing); returns its output. */
static int layer(maker *m, int input, int n, bool last)
{
    random_cell *c = m->c;
    int first = c->n_states;
    c->n_states += n;
    m->n_seen = 0;
    if (input >= 0 && last_dim(shape_at(m, input)) > 0) m->seen[m->n_seen++] = input;
    for (int k = first; k < first + n; k++) {
        c->width[k] = k > first && chance(m, .6) ? c->width[k - 1]
                      : chance(m, .6)            ? 1 + below(m, 8)
                                                 : 1 + below(m, 40);
        rcm_push(m, (rc_node){ .kind = &rc_state,
                               .row = k,
                               .shape = rows_of(c->width[k]),
                               .bound = 1,
                               .varies = true,
                               .needs = true });
        int dice = below(m, 10);
        c->state0[k] = (rc_source){ .shape = rows_of(c->width[k]),
                                    .from = dice < 5   ? RC_LEAF
                                            : dice < 7 ? RC_INPUT
                                            : dice < 8 ? RC_COMPUTED
                                                       : RC_NOTHING };
    }
    if (input >= 0 && last_dim(shape_at(m, input)) == 0)
        rcm_product(m, input, rcm_some_width(m));
    for (int i = 2 + below(m, 9); i > 0 && c->n_nodes < ENOUGH; i--) rcm_something(m);
    for (int k = first; k < first + n; k++) c->next[k] = new_state(m, k, first, n, input);
    return output_of(m, first, n, last);
}

void rc_draw(random_cell *c, uint64_t seed, int draw)
{
    maker m = { .c = c, .r = { seed * 0x9E3779B97F4A7C15u + (uint64_t)draw } };
    m.scratch = sq_tape_new(SQ_F64, NULL);
    m.all_frozen = chance(&m, .04);
    m.may_mix = chance(&m, .4);
    *c = (random_cell){ .seed = seed, .draw = draw };
    c->T = 1 + below(&m, 16);
    c->B = 1 + below(&m, 9);
    int dice = below(&m, 20), input = -1;
    c->in = dice < 2 ? -1 : dice == 2 ? 0 : 1 + below(&m, dice < 10 ? 6 : 40);
    c->x_from = (rc_from)below(&m, 3);
    c->outputs = (sq_outputs)below(&m, 4);
    if (c->in >= 0)
        input = rcm_push(&m, (rc_node){ .kind = &rc_x,
                                        .shape = rows_of(c->in),
                                        .bound = 1,
                                        .varies = true,
                                        .needs = c->x_from != RC_INPUT });
    dice = below(&m, 20);
    c->n_layers = dice < 11 ? 1 : dice < 17 ? 2 : 3;
    for (int i = 0; i < c->n_layers; i++) {
        dice = below(&m, 20);
        int n = dice < 11 ? 1 : dice < 18 || c->n_layers > 2 ? 2 : 3;
        input = layer(&m, input, n, i + 1 == c->n_layers);
    }
    c->output = input;
    sq_tape_free(m.scratch);
}
