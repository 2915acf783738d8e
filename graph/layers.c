/* layers.c -- two directions, and layers over whole sequences, as compositions of unrolls. */
#include "graph/sequence.h"
#include "graph/sequence_impl.h"
#include "graph/unroll_impl.h"
#include "ops/ops.h"

static bool has_value(sq_var v) { return v.tape && sqi_index(v.id); }

/* ---- Both directions ---------------------------------------------------------------------- */

/* Both behind each other along the last axis. */
static sq_var join(sq_tape *t, sq_var a, sq_var b)
{
    char text[SQ_SHAPE_TEXT];
    if (t->error.status || (!has_value(a) && !has_value(b))) return sqi_none(t);
    sq_shape s = has_value(a) ? sq_shape_of(a) : sq_scalar();
    if (has_value(a) && has_value(b) && s.rank)
        return sq_concat((const sq_var[]){ a, b }, 2, s.rank - 1);
    if (!sqi_begin(t, "bidirectional")) return sqi_none(t);
    if (has_value(a) && has_value(b))
        sq_post(t, SQ_ESHAPE, "outputs of shape %s cannot be joined", sq_shape_text(s, text));
    else sq_post(t, SQ_ESHAPE, "only one of the directions has an output");
    return sqi_none(t);
}

/* Resets stand at the first step of a sequence. From behind, the sequence before it begins at its own
 * last step, the last that the row took. False after posting. */
static bool turn_resets(sq_tape *t, const sq_cell *cell, sq_var x, const sq_var *state0,
                        sq_unroll_options *o, sqi_arena *memory)
{
    int64_t steps, batch;
    if (!o->resets) return true;
    if (!sqi_unroll_sizes(t, cell, x, state0, o, &steps, &batch) ||
        !sqi_lengths_are_sane(t, o->lengths, steps, batch))
        return false;
    int32_t *turned = sqi_brief(t, memory, steps * batch, sizeof *turned);
    for (int64_t b = 0; turned && b < batch; b++) {
        int64_t before = -1;
        for (int64_t i = b; i < steps * batch; i += batch) {
            turned[i] = 0;
            if (o->lengths ? i / batch >= o->lengths[b] : o->mask && !o->mask[i]) continue;
            if (before >= 0 && o->resets[i]) turned[before] = 1;
            before = i;
        }
    }
    o->resets = turned;
    return turned != NULL;
}

/* The direction from the last step to the first. */
static const sq_unrolled *unroll_back(sq_tape *t, const sq_cell *cell, sq_var x,
                                      const sq_var *state0, sq_unroll_options o)
{
    sqi_arena memory = { .newest = NULL };
    o.reverse = true;
    bool ok = turn_resets(t, cell, x, state0, &o, &memory);
    const sq_unrolled *u = ok ? sq_unroll(t, cell, x, state0, &o) : NULL;
    sqi_arena_clear(&memory, &t->pool);
    return u;
}

sq_directions sq_bidirectional(sq_tape *t, const sq_cell *forward, const sq_cell *backward,
                               sq_var x, const sq_var *state0_f, const sq_var *state0_b,
                               const sq_unroll_options *options)
{
    sq_unroll_options o = options ? *options : (sq_unroll_options){ .outputs = SQ_OUTPUTS_ALL };
    sq_directions d = { .outputs = sqi_none(t) };
    if (!sqi_begin(t, "bidirectional")) return d;
    if (!forward && !backward) {
        sq_post(t, SQ_EVALUE, "there is no cell");
        return d;
    }
    if (o.reverse) {
        sq_post(t, SQ_EVALUE, "reverse is said of one direction, not of both");
        return d;
    }
    const sq_unrolled *f = forward ? sq_unroll(t, forward, x, state0_f, &o) : NULL;
    const sq_unrolled *b = backward ? unroll_back(t, backward, x, state0_b, o) : NULL;
    sq_var outputs = forward && backward
                         ? join(t, sq_unrolled_outputs(f), sq_unrolled_outputs(b))
                         : sq_unrolled_outputs(f ? f : b);
    if (!t->error.status) d = (sq_directions){ f, b, outputs };
    return d;
}

/* ---- Layers ------------------------------------------------------------------------------- */

typedef struct network {
    sq_tape *t;
    const sq_layers_options *o;
    sq_var x; /* its input; 0 behind the end of a row where layers pass it on */
} network;

/* The same elements dropped in all steps: a mask of one step, made of ones. */
static sq_var drop(const network *n, sq_var x)
{
    double rate = n->o->dropout;
    sq_shape s = sq_shape_of(x);
    if (rate == 0 || n->t->error.status) return x;
    if (n->o->drop != SQ_PER_SEQUENCE) return sq_dropout(x, rate, n->o->drop);
    s.dim[0] = 1;
    sq_var ones = sq_broadcast_to(sq_constant(n->t, 1), sq_mat(s.dim[1], s.dim[2]));
    return sq_mul(x, sq_reshape(sq_dropout(ones, rate, SQ_PER_SEQUENCE), s));
}

/* y = f(x) + x */
static sq_var around(const network *n, sq_var y, sq_var x, int32_t l)
{
    char a[SQ_SHAPE_TEXT], b[SQ_SHAPE_TEXT];
    if (n->t->error.status) return y;
    sq_shape from = sq_shape_of(x), to = sq_shape_of(y);
    if (sq_shape_equal(from, to)) return sq_add(y, x);
    if (sqi_begin(n->t, "layers"))
        sq_post(n->t, SQ_ESHAPE,
                "layer %d gives %s and cannot be added to its input %s: a residual "
                "layer is as wide as its input",
                (int)l, sq_shape_text(to, a), sq_shape_text(from, b));
    return y;
}

/* An output of a layer is [T,B,O]. */
static bool is_sequence(const network *n, sq_var y, int32_t l)
{
    if (n->t->error.status) return false;
    if (has_value(y) && sq_shape_of(y).rank == 3) return true;
    return sqi_begin(n->t, "layers") &&
           sq_post(n->t, SQ_ESHAPE, "layer %d does not give rows: [T,B,O]", (int)l);
}

static sq_var all_layers(const network *n, const sq_layer *layers, int32_t count,
                         sq_directions *each)
{
    sq_var x = n->x, y = x, all = sqi_none(n->t);
    for (int32_t l = 0; l < count; l++) {
        if (l) x = drop(n, y);
        if (l && layers[l].skip) x = sq_concat((const sq_var[]){ x, n->x }, 2, 2);
        sq_directions d =
            sq_bidirectional(n->t, layers[l].forward, layers[l].backward, x, layers[l].state0_f,
                             layers[l].state0_b, &n->o->unroll);
        if (!is_sequence(n, d.outputs, l)) return sqi_none(n->t);
        y = layers[l].residual ? around(n, d.outputs, x, l) : d.outputs;
        if (each) each[l] = d;
        all = l ? sq_concat((const sq_var[]){ all, y }, 2, 2) : y;
    }
    return n->o->join ? all : y;
}

static bool options_are_sane(sq_tape *t, const sq_layer *layers, int32_t n,
                             const sq_layers_options *o)
{
    if (n < 1 || !layers) return sq_post(t, SQ_EVALUE, "there are no layers");
    if (o->unroll.outputs != SQ_OUTPUTS_ALL)
        return sq_post(t, SQ_EVALUE, "layers hand out all outputs: SQ_OUTPUTS_ALL");
    if (!(o->dropout >= 0 && o->dropout < 1))
        return sq_post(t, SQ_ERANGE, "the rate must lie in [0,1)");
    return !o->unroll.reverse ||
           sq_post(t, SQ_EVALUE, "reverse is said of a cell, not of layers");
}

sq_var sq_layers(sq_tape *t, const sq_layer *layers, int32_t n, sq_var x,
                 const sq_layers_options *options, sq_directions *each)
{
    static const sq_layers_options defaults = { .dropout = 0 };
    const sq_layers_options *o = options ? options : &defaults;
    for (int32_t l = 0; each && l < n; l++) each[l] = (sq_directions){ .outputs = sqi_none(t) };
    if (!sqi_begin(t, "layers") || !options_are_sane(t, layers, n, o)) return sqi_none(t);
    bool passed_on = layers[0].residual;
    for (int32_t l = 1; l < n; l++) passed_on |= layers[l].skip;
    network net = { t, o, passed_on ? sqi_clear(x, &o->unroll) : x };
    sq_var y = all_layers(&net, layers, n, each);
    return t->error.status ? sqi_none(t) : y;
}
