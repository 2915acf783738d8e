/* random_cell.c -- a drawn cell as a cell: its step, what is known about it, how it reads. */
#include "tests/support/random_cell.h"

/* ---- As a cell ---------------------------------------------------------------------------- */

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const rc_bound *b = self;
    const random_cell *c = b->c;
    sq_var v[RC_NODES], old[RC_STATES];
    memcpy(old, state, sizeof *old * (size_t)c->n_states);
    rc_context context = { t, b, x, old, v, sq_shape_of(old[0]).dim[0] };
    for (int i = 0; i < c->n_nodes; i++) {
        v[i] = c->node[i].kind->record(&context, &c->node[i]);
        if (c->node[i].name[0]) sq_name(v[i], c->node[i].name);
    }
    for (int k = 0; k < c->n_states; k++) state[k] = v[c->next[k]];
    return v[c->output];
}

sq_cell rc_cell(const rc_bound *b)
{
    return (sq_cell){ "random", b->c->n_states, b->c->width, NULL, step, b };
}

bool rc_mixes(const random_cell *c)
{
    const rc_node *y = &c->node[c->output];
    bool mixes = y->shape.rank ? y->mixes : false;
    for (int i = 0; i < y->n_in && !y->shape.rank; i++) mixes |= c->node[y->in[i]].mixes;
    for (int k = 0; k < c->n_states; k++) mixes |= c->node[c->next[k]].mixes;
    return mixes;
}

bool rc_plain(const random_cell *c)
{
    for (int i = 0; i < c->n_nodes; i++)
        if (c->node[i].odd || (c->node[i].mixes && i != c->output)) return false;
    return true;
}

bool rc_draws(const random_cell *c)
{
    for (int i = 0; i < c->n_nodes; i++)
        if (c->node[i].kind == &rc_dropout || c->node[i].kind == &rc_noise) return true;
    return false;
}

int rc_named(const random_cell *c, const char *name)
{
    for (int i = c->n_nodes - 1; i >= 0; i--)
        if (strcmp(c->node[i].name, name) == 0) return i;
    return -1;
}

static void shape_text(sq_shape s, char *buf, size_t n)
{
    int used = snprintf(buf, n, "[");
    for (int i = 0; i < s.rank; i++)
        used +=
            s.dim[i] == RC_BATCH
                ? snprintf(buf + used, n - (size_t)used, "%sB", i ? "," : "")
                : snprintf(buf + used, n - (size_t)used, "%s%d", i ? "," : "", (int)s.dim[i]);
    snprintf(buf + used, n - (size_t)used, "]");
}

static bool uses(const random_cell *c, const rc_kind *kind, int row)
{
    for (int i = 0; i < c->n_nodes; i++)
        if (c->node[i].kind == kind && c->node[i].row == row) return true;
    return false;
}

void rc_print(const random_cell *c)
{
    static const char *const from[] = { "leaf", "input", "computed", "nothing" };
    static const char *const outputs[] = { "all", "last", "sum", "none" };
    char text[256], shape[64];
    fprintf(
        stderr,
        "cell of seed %llu, draw %d: T = %d, B = %d, x %s, outputs %s, amplification %.3g\n",
        (unsigned long long)c->seed, c->draw, (int)c->T, (int)c->B,
        c->in < 0 ? "nothing" : from[c->x_from], outputs[c->outputs], c->amplification);
    for (int k = 0; k < c->n_states; k++)
        fprintf(stderr, "  state %d [B,%d] from %s\n", k, (int)c->width[k],
                from[c->state0[k].from]);
    for (int k = 0; k < c->n_invariants; k++) {
        if (!uses(c, &rc_invariant, k)) continue;
        shape_text(c->invariant[k].shape, shape, sizeof shape);
        fprintf(stderr, "  invariant %d %s from %s\n", k, shape, from[c->invariant[k].from]);
    }
    for (int i = 0; i < c->n_nodes; i++) {
        rc_node_text(c, i, text, sizeof text);
        shape_text(c->node[i].shape, shape, sizeof shape);
        fprintf(stderr, "  v%d = %s %s%s%s%s\n", i, text, shape,
                c->node[i].name[0] ? " named " : "", c->node[i].name,
                c->node[i].needs ? "" : " (no gradient)");
    }
    for (int k = 0; k < c->n_states; k++) fprintf(stderr, "  state %d = v%d\n", k, c->next[k]);
    fprintf(stderr, "  output v%d\n", c->output);
}
