/* random_makers.c -- the expressions that random cells are made of.
 *
 * Makers, chosen by weight, add an expression each: an elementwise op, gates that share an operand, a
 * broadcast, a sum along features and back, a change of axes, a user's op, now and then something
 * that mixes rows. */
#include "tests/support/random_maker.h"

enum { GRID = 17 };

static bool is_row(sq_shape s)
{
    return s.rank == 2 && s.dim[0] == RC_BATCH && s.dim[1] != RC_BATCH && s.dim[1] > 0;
}

/* ---- Nodes -------------------------------------------------------------------------------- */

int rcm_push(maker *m, rc_node n)
{
    random_cell *c = m->c;
    cr_assert(c->n_nodes < RC_NODES, "seed %llu: too many nodes", (unsigned long long)c->seed);
    for (int i = 0; i < n.n_in; i++) {
        const rc_node *o = at(m, n.in[i]);
        n.needs |= o->needs;
        n.varies |= o->varies;
        n.mixes |= o->mixes;
        n.odd |= o->odd;
    }
    if (n.kind == &rc_detach) n.needs = false;
    c->node[c->n_nodes] = n;
    m->seen[m->n_seen++] = c->n_nodes;
    return c->n_nodes++;
}

int rcm_op1(maker *m, const rc_kind *kind, int a, sq_shape s, double bound)
{
    return rcm_push(
        m, (rc_node){ .kind = kind, .in = { a }, .n_in = 1, .shape = s, .bound = bound });
}

int rcm_op2(maker *m, const rc_kind *kind, int a, int b, sq_shape s, double bound)
{
    return rcm_push(
        m, (rc_node){ .kind = kind, .in = { a, b }, .n_in = 2, .shape = s, .bound = bound });
}

/* A weight of that shape, now and then one that is there already. */
static int weight(maker *m, sq_shape s, double scale)
{
    random_cell *c = m->c;
    int row = -1;
    for (int i = 0; i < c->n_weights && chance(m, .8); i++)
        if (same_shape(c->weight[i].shape, s) && chance(m, .15)) row = i;
    if (row < 0) {
        cr_assert(c->n_weights < RC_WEIGHTS);
        row = c->n_weights++;
        bool frozen = m->all_frozen || chance(m, .1);
        c->weight[row] = (rc_source){ .shape = s, .frozen = frozen, .scale = scale };
    }
    return rcm_push(m, (rc_node){ .kind = &rc_weight,
                                  .row = row,
                                  .shape = s,
                                  .bound = c->weight[row].scale,
                                  .needs = !c->weight[row].frozen });
}

int rcm_invariant(maker *m, sq_shape s, rc_pattern pattern, double scale)
{
    static const double bounds[] = { 1, 5, 20, 2.5, 2.5 };
    random_cell *c = m->c;
    int row = -1;
    for (int i = 0; i < c->n_invariants; i++)
        if (same_shape(c->invariant[i].shape, s) && c->invariant[i].pattern == pattern &&
            c->invariant[i].scale == scale)
            row = i;
    if (row < 0 || (c->n_invariants < RC_INVARIANTS - 4 && chance(m, .5))) {
        cr_assert(c->n_invariants < RC_INVARIANTS);
        row = c->n_invariants++;
        int dice = below(m, 4);
        rc_from from = pattern || dice == 0 ? RC_INPUT : dice == 1 ? RC_COMPUTED : RC_LEAF;
        c->invariant[row] = (rc_source){ s, from, pattern, false, scale };
    }
    return rcm_push(m, (rc_node){ .kind = &rc_invariant,
                                  .row = row,
                                  .shape = s,
                                  .bound = bounds[pattern] * scale,
                                  .needs = c->invariant[row].from != RC_INPUT });
}

/* Something seen whose shape passes; -1 when nothing is found. What is new is likelier. */
static int pick(maker *m, bool (*fits)(sq_shape))
{
    for (int tries = 0; tries < 30; tries++) {
        int recent = m->n_seen < 6 ? m->n_seen : 6;
        int i = chance(m, .6) ? m->n_seen - 1 - below(m, recent) : below(m, m->n_seen);
        int n = m->seen[i];
        bool source = at(m, n)->kind == &rc_weight || at(m, n)->kind == &rc_invariant;
        if (fits(shape_at(m, n)) && (!source || tries > 5)) return n;
    }
    return -1;
}

int rcm_pick_row(maker *m)
{
    int a = pick(m, is_row);
    for (int i = 0; a < 0; i++)
        if (is_row(shape_at(m, m->seen[i]))) a = m->seen[i];
    return a;
}

static bool is_any(sq_shape s) { return last_dim(s) > 0; }

/* ---- Bounds ------------------------------------------------------------------------------- */

static int elementwise(maker *m, const rc_kind *kind, const rc_map *table, int row,
                       const int *in, int n, const double *p, double lo)
{
    static const double none[2] = { 0, 0 };
    const rc_map *f = &table[row];
    double grid[2][GRID * GRID], y[GRID * GRID], bound = 0;
    sq_shape s = shape_at(m, in[0]);
    for (int k = 1; k < n; k++) sq_shape_broadcast(s, shape_at(m, in[k]), &s);
    for (int i = 0; i < GRID * GRID; i++)
        for (int k = 0; k < 2; k++) {
            double hi = at(m, in[n > k ? k : 0])->bound, from = fmax(lo, -hi);
            grid[k][i] = from + (hi - from) * (k ? i % GRID : i / GRID) / (GRID - 1);
        }
    sq_tape *t = m->scratch;
    sq_tape_reset(t);
    sq_var a = sq_input(t, sq_vec(GRID * GRID), grid[0]),
           b = sq_input(t, sq_vec(GRID * GRID), grid[1]);
    sq_copy(f->f1 ? f->f1(a) : f->f1p ? f->f1p(a, p ? p : none) : f->f2 ? f->f2(a, b) : a, y);
    for (int i = 0; i < GRID * GRID; i++) bound = fmax(bound, fabs(y[i]));
    if (n == 3) bound = fmax(at(m, in[1])->bound, at(m, in[2])->bound);
    rc_node node = { .kind = kind, .n_in = n, .row = row, .shape = s, .bound = bound };
    for (int k = 0; k < n; k++) node.in[k] = in[k];
    if (p) memcpy(node.p, p, sizeof node.p);
    return rcm_push(m, node);
}

static int row_of(const rc_map *table, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0) return i;
    cr_fatal("no op %s", name);
    return -1;
}

int rcm_map1(maker *m, const char *name, int a)
{
    return elementwise(m, &rc_map1, rc_maps1, row_of(rc_maps1, rc_n_maps1, name), &a, 1, NULL,
                       -INFINITY);
}

int rcm_map1p(maker *m, const char *name, int a, double p)
{
    return elementwise(m, &rc_map1p, rc_maps1p, row_of(rc_maps1p, rc_n_maps1p, name), &a, 1,
                       (double[]){ p, 0 }, -INFINITY);
}

int rcm_map2(maker *m, const char *name, int a, int b)
{
    return elementwise(m, &rc_map2, rc_maps2, row_of(rc_maps2, rc_n_maps2, name),
                       (int[]){ a, b }, 2, NULL, -INFINITY);
}

/* The same numbers, or smaller, in [-limit, limit]. */
int rcm_squash(maker *m, int a, double limit)
{
    static const char *const squashers[] = { "tanh", "sigmoid", "tanh", "sin", "erf" };
    double bound = at(m, a)->bound;
    if (bound <= limit) return a;
    if (limit < 1 || chance(m, .3)) return rcm_map1p(m, "mul_scalar", a, limit / bound);
    return rcm_map1(m, squashers[below(m, COUNT(squashers))], a);
}

/* An operand inside (lo, hi), the interval an op is sampled on. */
static int into(maker *m, int a, double lo, double hi)
{
    if (lo <= -2) return rcm_squash(m, a, fmin(hi, 3));
    return rcm_map1p(m, "add_scalar",
                     rcm_map1p(m, "mul_scalar", rcm_map1(m, "sigmoid", a), hi - lo), lo);
}

/* Of both signs by column, and at least half off a kink at 0, 1 or, wide, 3. */
static int off_kink(maker *m, int a, rc_pattern pattern)
{
    int s = rcm_map1p(m, "add_scalar",
                      rcm_map1p(m, "mul_scalar", rcm_map1(m, "sigmoid", a), .5), .5);
    return rcm_map2(m, "mul", s,
                    rcm_invariant(m, sq_vec(last_dim(shape_at(m, a))), pattern, 1));
}

static rc_pattern kink(const char *name)
{
    static const char *const kinked[] = { "abs",        "sign", "step",
                                          "hard_tanh",  "relu", "hard_sigmoid",
                                          "leaky_relu", "elu",  "clip" };
    for (int i = 0; i < COUNT(kinked); i++)
        if (strcmp(name, kinked[i]) == 0) return i == 5 ? RC_WIDE_SIGNS : RC_SIGNS;
    return RC_FREE;
}

/* ---- Products ----------------------------------------------------------------------------- */

/* a [..,w] times a weight, a function of one, or a matrix from before the unroll: [..,n]. */
int rcm_product(maker *m, int a, int64_t n)
{
    sq_shape s = shape_at(m, a);
    int64_t w = last_dim(s);
    double scale = 1.7 / sqrt((double)(w ? w : 1)), bound = 1.7 * at(m, a)->bound + .5;
    s.dim[s.rank - 1] = n;
    int dice = below(m, 20);
    if (dice < 8) return rcm_op2(m, &rc_matmul, a, weight(m, sq_mat(w, n), scale), s, bound);
    if (dice < 11)
        return rcm_op2(m, &rc_matmul_nt, a, weight(m, sq_mat(n, w), scale), s, bound);
    if (dice == 11 && m->c->n_invariants < RC_INVARIANTS - 4)
        return rcm_op2(m, &rc_matmul, a, rcm_invariant(m, sq_mat(w, n), RC_FREE, scale), s,
                       bound);
    if (dice == 12)
        return rcm_op2(m, &rc_matmul, a, rcm_map1(m, "tanh", weight(m, sq_mat(w, n), scale)), s,
                       bound);
    if (dice == 13)
        return rcm_op2(
            m, &rc_matmul, a,
            rcm_op1(m, &rc_transpose, weight(m, sq_mat(n, w), scale), sq_mat(w, n), scale), s,
            bound);
    return rcm_push(
        m, (rc_node){ .kind = &rc_affine,
                      .in = { a, weight(m, sq_mat(w, n), scale), weight(m, sq_vec(n), 1) },
                      .n_in = 3,
                      .shape = s,
                      .bound = bound + 1 });
}

static int slice(maker *m, int a, int start, int count)
{
    return rcm_push(m, (rc_node){ .kind = &rc_slice,
                                  .in = { a },
                                  .n_in = 1,
                                  .k = { start, count },
                                  .p = { chance(m, .5) },
                                  .shape = rows_of(count),
                                  .bound = at(m, a)->bound });
}

static int pad(maker *m, int a, int before, int after)
{
    return rcm_push(m, (rc_node){ .kind = &rc_pad,
                                  .in = { a },
                                  .n_in = 1,
                                  .k = { before, after },
                                  .shape = rows_of(last_dim(shape_at(m, a)) + before + after),
                                  .bound = at(m, a)->bound });
}

int rcm_to_width(maker *m, int a, int64_t w)
{
    int64_t have = last_dim(shape_at(m, a));
    if (have == w) return a;
    if (have > w && chance(m, .3)) return slice(m, a, below(m, (int)(have - w) + 1), (int)w);
    if (have < w && chance(m, .2)) {
        int before = below(m, (int)(w - have) + 1);
        return pad(m, a, before, (int)(w - have) - before);
    }
    return rcm_product(m, a, w);
}

/* ---- Makers: each adds an expression and returns its last node, or -1 ---------------------- */

int rcm_some_width(maker *m)
{
    if (chance(m, .35)) return (int)last_dim(shape_at(m, rcm_pick_row(m)));
    return chance(m, .7) ? 1 + below(m, 8) : 1 + below(m, 40);
}

static int make_unary(maker *m)
{
    int row = below(m, rc_n_maps1), a = chance(m, .85) ? rcm_pick_row(m) : pick(m, is_any);
    const rc_map *f = &rc_maps1[row];
    rc_pattern pattern = kink(f->name);
    if (a < 0 || (pattern && (last_dim(shape_at(m, a)) == RC_BATCH || !shape_at(m, a).rank)))
        return -1;
    a = pattern ? off_kink(m, a, pattern) : into(m, a, f->lo, f->hi);
    return elementwise(m, &rc_map1, rc_maps1, row, &a, 1, NULL, pattern ? -INFINITY : f->lo);
}

static int make_unary_with_parameter(maker *m)
{
    int row = below(m, rc_n_maps1p), a = rcm_pick_row(m);
    const rc_map *f = &rc_maps1p[row];
    double p[2] = { rng_in(&m->r, .3, 1.4), 0 };
    if (strcmp(f->name, "clip") == 0) p[0] = -1, p[1] = 1;
    else if (chance(m, .3) && strcmp(f->name, "elu") != 0) p[0] = -p[0];
    rc_pattern pattern = kink(f->name);
    a = pattern ? off_kink(m, a, pattern) : into(m, a, f->lo, f->hi);
    return elementwise(m, &rc_map1p, rc_maps1p, row, &a, 1, p, pattern ? -INFINITY : f->lo);
}

/* [B,1]: the mean of a row. */
static int row_mean(maker *m, int a)
{
    int64_t w = last_dim(shape_at(m, a));
    double bound = at(m, a)->bound;
    if (chance(m, .2)) a = rcm_op1(m, &rc_sum_to, a, rows_of(1), bound * (double)w);
    else {
        a = rcm_op1(m, &rc_sum_axis, a, sq_vec(RC_BATCH), bound * (double)w);
        m->c->node[a].k[0] = chance(m, .5) ? 1 : -1;
        a = rcm_op1(m, &rc_reshape, a, rows_of(1), bound * (double)w);
    }
    return rcm_map1p(m, "mul_scalar", a, 1 / (double)w);
}

/* Something that broadcasts against rows of width w. */
static int partner(maker *m, int64_t w)
{
    switch (below(m, 14)) {
    case 0: return weight(m, sq_vec(w), 1);
    case 1: return weight(m, sq_mat(1, w), 1);
    case 2: return weight(m, sq_scalar(), 1);
    case 3: return weight(m, sq_vec(1), 1);
    case 4: return rcm_invariant(m, sq_mat(1, w), RC_FREE, 1);
    case 5: return rcm_invariant(m, rows_of(w), RC_FREE, 1);
    case 6: return rcm_invariant(m, sq_scalar(), RC_FREE, 1);
    case 7: return row_mean(m, rcm_pick_row(m));
    case 8:
        return rcm_push(m, (rc_node){ .kind = chance(m, .5) ? &rc_constant : &rc_full,
                                      .p = { rng_in(&m->r, .2, 1.5) },
                                      .shape = sq_scalar(),
                                      .bound = 1.5 });
    case 9:
        return rcm_push(m, (rc_node){ .kind = &rc_full,
                                      .p = { rng_in(&m->r, -1.5, 1.5) },
                                      .shape = chance(m, .5) ? rows_of(w) : sq_vec(w),
                                      .bound = 1.5 });
    default: return rcm_to_width(m, rcm_pick_row(m), w);
    }
}

static int make_binary(maker *m)
{
    int row = below(m, rc_n_maps2), a = rcm_pick_row(m);
    const rc_map *f = &rc_maps2[row];
    int64_t w = last_dim(shape_at(m, a));
    int b = partner(m, w);
    bool apart = strstr("minimum maximum above", f->name) != NULL;
    if (apart) {
        a = rcm_squash(m, a, 1);
        b = rcm_squash(m, b, 1);
        b = rcm_map2(m, "add", b, rcm_invariant(m, sq_vec(w), RC_APART, 1));
    } else if (strcmp(f->name, "div") == 0) {
        b = into(m, b, f->lo, f->hi);
        a = rcm_squash(m, a, 4);
    } else if (at(m, a)->bound * at(m, b)->bound > 30) {
        a = rcm_squash(m, a, 3);
        b = rcm_squash(m, b, 3);
    }
    bool turn = strcmp(f->name, "div") != 0 && chance(m, .5);
    return elementwise(m, &rc_map2, rc_maps2, row, (int[]){ turn ? b : a, turn ? a : b }, 2,
                       NULL, strcmp(f->name, "div") == 0 ? f->lo : -INFINITY);
}

static int make_ternary(maker *m)
{
    int row = below(m, rc_n_maps3), b = rcm_pick_row(m);
    int64_t w = last_dim(shape_at(m, b));
    int c = partner(m, w), a = off_kink(m, rcm_to_width(m, rcm_pick_row(m), w), RC_SIGNS);
    return elementwise(m, &rc_map3, rc_maps3, row, (int[]){ a, b, c }, 3, NULL, -INFINITY);
}

static int make_product(maker *m)
{
    int a = rcm_product(m, rcm_pick_row(m), rcm_some_width(m));
    return chance(m, .6) ? rcm_squash(m, a, 1) : a;
}

/* Gates that see the same two operands: act(a W + b + c U). */
static int make_gates(maker *m)
{
    static const char *const acts[] = { "sigmoid", "tanh", "sigmoid", "softplus" };
    int a = rcm_pick_row(m), c = rcm_pick_row(m), w = rcm_some_width(m), n = 2 + below(m, 3),
        y = -1;
    for (int i = 0; i < n; i++) {
        int s = rcm_map2(m, "add", rcm_product(m, a, w), rcm_product(m, c, w));
        int gate = rcm_map1(m, acts[below(m, COUNT(acts))], s);
        y = y < 0 ? gate
                  : rcm_map2(m, chance(m, .6) ? "mul" : "add", rcm_squash(m, y, 3), gate);
    }
    return y;
}

static int make_concat(maker *m)
{
    rc_node n = { .kind = &rc_concat,
                  .n_in = 1 + below(m, 3),
                  .k = { chance(m, .5) ? 1 : -1 } };
    int64_t w = 0;
    for (int i = 0; i < n.n_in; i++) {
        n.in[i] = rcm_pick_row(m);
        w += last_dim(shape_at(m, n.in[i]));
        n.bound = fmax(n.bound, at(m, n.in[i])->bound);
    }
    n.shape = rows_of(w);
    return w > 100 ? -1 : rcm_push(m, n);
}

static int make_slice(maker *m)
{
    int a = rcm_pick_row(m), w = (int)last_dim(shape_at(m, a)), start = below(m, w);
    return slice(m, a, start, 1 + below(m, w - start));
}

static int make_pad(maker *m) { return pad(m, rcm_pick_row(m), below(m, 3), below(m, 3)); }

static int make_softmax(maker *m)
{
    int a = rcm_squash(m, rcm_pick_row(m), 4);
    bool logs = chance(m, .4);
    double bound = logs ? 8 + log((double)last_dim(shape_at(m, a))) : 1;
    a = rcm_op1(m, logs ? &rc_log_softmax : &rc_softmax, a, shape_at(m, a), bound);
    m->c->node[a].k[0] = chance(m, .5) ? 1 : -1;
    return a;
}

static int make_mean_and_back(maker *m)
{
    int a = rcm_pick_row(m), s = row_mean(m, a);
    if (chance(m, .3))
        s = rcm_op1(m, &rc_broadcast, s, rows_of(last_dim(shape_at(m, a))), at(m, s)->bound);
    return rcm_map2(m, chance(m, .5) ? "sub" : "mul", rcm_squash(m, a, 3), s);
}

static int make_max(maker *m)
{
    int a = rcm_squash(m, rcm_pick_row(m), 1);
    int64_t w = last_dim(shape_at(m, a));
    a = rcm_map2(m, "add", a, rcm_invariant(m, sq_vec(w), RC_PEAK, 1));
    bool share = chance(m, .3);
    a = share ? rcm_op1(m, &rc_max_share, a, rows_of(w), 1)
              : rcm_op1(m, &rc_max_axis, a, sq_vec(RC_BATCH), 3.5);
    m->c->node[a].k[0] = chance(m, .5) ? 1 : -1;
    return share ? a : rcm_op1(m, &rc_reshape, a, rows_of(1), 3.5);
}

/* [B,k,n] and back. */
static int make_cube(maker *m)
{
    int a = rcm_pick_row(m);
    int64_t w = last_dim(shape_at(m, a)), k = 1 + below(m, (int)w);
    double bound = at(m, a)->bound;
    while (w % k) k--;
    sq_shape cube = sq_shape3(RC_BATCH, k, w / k);
    a = rcm_op1(m, &rc_reshape, a, cube, bound);
    switch (below(m, 5)) {
    case 0:
        a = rcm_op1(m, &rc_swap_last, a, sq_shape3(RC_BATCH, w / k, k), bound);
        if (chance(m, .5)) a = rcm_map1(m, "tanh", a);
        break;
    case 1: a = rcm_squash(m, rcm_product(m, a, 1 + below(m, 5)), 1); break;
    case 2: a = rcm_map2(m, "mul", rcm_squash(m, a, 3), weight(m, sq_vec(w / k), 1)); break;
    case 3:
        a = rcm_op1(m, &rc_softmax, rcm_squash(m, a, 4), cube, 1);
        m->c->node[a].k[0] = 1 + below(m, 2);
        break;
    default:
        a = rcm_op1(m, &rc_sum_axis, a, rows_of(w / k), bound * (double)k);
        m->c->node[a].k[0] = 1;
        return rcm_squash(m, a, 2);
    }
    sq_shape s = shape_at(m, a);
    return rcm_op1(m, &rc_reshape, a, rows_of(s.dim[1] * s.dim[2]), at(m, a)->bound);
}

static int make_detach(maker *m)
{
    int a = rcm_pick_row(m);
    return rcm_op1(m, &rc_detach, a, shape_at(m, a), at(m, a)->bound);
}

static int make_layer_norm(maker *m)
{
    int a = rcm_squash(m, rcm_pick_row(m), 3);
    int64_t w = last_dim(shape_at(m, a));
    int y = rcm_op1(m, &rc_layer_norm, a, rows_of(w), 1 + sqrt((double)w));
    m->c->node[y].p[0] = 1e-2;
    if (chance(m, .6)) y = rcm_map2(m, "mul", y, weight(m, sq_vec(w), 1));
    return chance(m, .4) ? rcm_map2(m, "add", y, weight(m, sq_vec(w), 1)) : y;
}

/* Of a row, or of the vector of weights it is multiplied by. */
static int make_random(maker *m)
{
    int row = rcm_squash(m, rcm_pick_row(m), 2), a = row;
    if (chance(m, .2)) a = weight(m, sq_vec(last_dim(shape_at(m, row))), 1);
    bool mask = chance(m, .8), sequence = mask && chance(m, .4);
    int y =
        rcm_op1(m, mask ? &rc_dropout : &rc_noise, a, shape_at(m, a), 2 * at(m, a)->bound + 1);
    m->c->node[y].k[0] = sequence ? SQ_PER_SEQUENCE : SQ_PER_STEP;
    m->c->node[y].p[0] = mask ? rng_in(&m->r, 0, .5) : .2;
    m->c->node[y].varies |= !sequence;
    return a == row ? y : rcm_map2(m, "mul", row, y);
}

static int make_own(maker *m)
{
    int a = rcm_squash(m, rcm_pick_row(m), 2);
    int64_t w = last_dim(shape_at(m, a));
    if (chance(m, .5)) {
        int y = rcm_op1(m, &rc_own_cubic, a, rows_of(w), 3);
        m->c->node[y].p[0] = rng_in(&m->r, .05, .15);
        return y;
    }
    int v = chance(m, .5) ? weight(m, sq_vec(w), 1 / (double)w)
                          : rcm_invariant(m, sq_vec(w), RC_FREE, 1 / (double)w);
    return rcm_op2(m, &rc_own_scale, a, v, rows_of(w), 4);
}

/* Rows of the batch that look at each other. */
static int make_mixture(maker *m)
{
    if (!m->may_mix) return -1;
    int a = rcm_squash(m, rcm_pick_row(m), 1), b = rcm_squash(m, rcm_pick_row(m), 1), y;
    int64_t w = last_dim(shape_at(m, a));
    bool odd = false;
    switch (below(m, 5)) {
    case 0:
        y = rcm_op1(m, &rc_own_centre, a, rows_of(w), 2);
        odd = true;
        break;
    case 1: /* every row sees every other, as in attention */
        b = rcm_to_width(m, b, w);
        y = rcm_op2(m, &rc_matmul_nt, a, b, sq_mat(RC_BATCH, RC_BATCH), (double)w);
        y = rcm_map1(m, "tanh", rcm_map1p(m, "mul_scalar", y, 1 / (double)w));
        y = rcm_op2(m, &rc_matmul, y, a, rows_of(w), 9);
        break;
    case 2: /* a matrix that the whole batch makes */
        y = rcm_op2(m, &rc_matmul_tn, a, b, sq_mat(w, last_dim(shape_at(m, b))), 9);
        y = rcm_op2(m, &rc_matmul, a, rcm_map1p(m, "mul_scalar", y, .1),
                    rows_of(last_dim(shape_at(m, b))), (double)w);
        break;
    default:
        y = rcm_op1(m, &rc_sum_axis, a, sq_vec(w), 9);
        y = rcm_map2(m, "sub", a, rcm_map1p(m, "mul_scalar", y, .25));
    }
    m->c->node[y].mixes = true;
    m->c->node[y].odd |= odd;
    return rcm_squash(m, y, 1);
}

/* Rows that are not the first axis for a while. */
static int make_odd(maker *m)
{
    if (!m->may_mix) return -1;
    int a = rcm_pick_row(m), y;
    int64_t w = last_dim(shape_at(m, a));
    double bound = at(m, a)->bound;
    if (chance(m, .5)) {
        y = rcm_map1(m, "tanh", rcm_op1(m, &rc_transpose, a, sq_mat(w, RC_BATCH), bound));
        y = rcm_op1(m, &rc_transpose, y, rows_of(w), 1);
    } else {
        int b = rcm_to_width(m, rcm_pick_row(m), w);
        y = rcm_op2(m, &rc_stack, a, b, sq_shape3(2, RC_BATCH, w),
                    fmax(bound, at(m, b)->bound));
        y = rcm_op1(m, &rc_sum_axis, y, rows_of(w), 2 * at(m, y)->bound);
    }
    m->c->node[y].odd = true;
    return rcm_squash(m, y, 2);
}

static const struct {
    int share;
    int (*make)(maker *m);
} makers[] = {
    { 20, make_unary },        { 12, make_unary_with_parameter },
    { 22, make_binary },       { 3, make_ternary },
    { 14, make_product },      { 10, make_gates },
    { 5, make_concat },        { 6, make_slice },
    { 2, make_pad },           { 5, make_softmax },
    { 5, make_mean_and_back }, { 2, make_max },
    { 4, make_cube },          { 3, make_detach },
    { 3, make_layer_norm },    { 4, make_own },
    { 3, make_mixture },       { 2, make_odd },
    { 4, make_random },
};

int rcm_something(maker *m)
{
    int total = 0, i = 0;
    for (int k = 0; k < COUNT(makers); k++) total += makers[k].share;
    for (int dice = below(m, total); dice >= makers[i].share; i++) dice -= makers[i].share;
    int y = makers[i].make(m);
    if (y < 0) return y;
    if (at(m, y)->bound > 12) y = rcm_squash(m, y, 1);
    if (chance(m, .15) && at(m, y)->varies) m->c->node[y].name[0] = (char)('a' + below(m, 6));
    return y;
}
