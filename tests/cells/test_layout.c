/* test_layout.c -- weights in the layouts of other programs: there and back to the bit in every one,
 * networks of PyTorch and of NumPy references (golden/layouts.py) read and run, and what is refused. */
#include "cells/layout_impl.h"
#include "tests/support/support.h"

#include "tests/golden/layouts.h"

#define AT(layout) (&(const sq_layout){ .name = layout })
#define UNDER(layout, names) (&(const sq_layout){ .name = layout, .prefix = names })

enum { OUR_LAYERS = 3, MANY = 4096 };

static const char *const our_prefix[OUR_LAYERS][2] = { { "l0", "l0_reverse" },
                                                       { "l1", "l1_reverse" },
                                                       { "l2", "l2_reverse" } };

/* ---- Cells of a net ------------------------------------------------------------------------ */

typedef union any_cell {
    sq_rnn rnn;
    sq_lstm lstm;
    sq_gru gru;
    sq_lstmp lstmp;
} any_cell;

static sq_cell new_cell(any_cell *w, sq_params *p, const char *prefix,
                        const sq_layout_net *deep, int32_t layer)
{
    int64_t in = sqi_layout_in(deep, layer), h = deep->hidden;
    sq_gru_reset reset = deep->cell == SQ_LAYOUT_GRU_AFTER ? SQ_RESET_AFTER : SQ_RESET_BEFORE;
    switch (deep->cell) {
    case SQ_LAYOUT_RNN:
        (void)sq_rnn_init(&w->rnn, p, prefix, in, h, SQ_RNN_TANH, 1);
        return sq_rnn_cell(&w->rnn);
    case SQ_LAYOUT_LSTM:
        (void)sq_lstm_init(&w->lstm, p, prefix, in, h, 1);
        return sq_lstm_cell(&w->lstm);
    case SQ_LAYOUT_LSTM_PROJECTED:
        (void)sq_lstmp_init(&w->lstmp, p, prefix, in, h, deep->projected, 1);
        return sq_lstmp_cell(&w->lstmp);
    default:
        (void)sq_gru_init(&w->gru, p, prefix, in, h, reset, 1);
        return sq_gru_cell(&w->gru);
    }
}

typedef struct network {
    sq_params *params;
    any_cell weights[OUR_LAYERS][2];
    sq_cell cell[OUR_LAYERS][2];
} network;

/* A weight that is none of the network's stands in front. */
static void open_network(network *n, const sq_layout_net *deep, sq_dtype dtype)
{
    *n = (network){ .params = sq_params_new(dtype) };
    (void)sq_params_add(n->params, "readout.W", sq_vec(3));
    for (int32_t l = 0; l < deep->layers; l++)
        for (int d = 0; d < sqi_layout_directions(deep); d++)
            n->cell[l][d] = new_cell(&n->weights[l][d], n->params, our_prefix[l][d], deep, l);
    cr_assert(sq_params_status(n->params) == SQ_OK, "%s", sq_params_message(n->params));
}

/* Random weights, some zeros of either sign. A name that contains `zero` gets zeros, forget gates' biases
 * are in [0.5, 2). */
static void randomise(sq_params *p, const char *zero, uint64_t seed)
{
    double v[MANY];
    for (int32_t i = 1; i <= sq_params_count(p); i++) {
        const char *name = sq_weight_name(p, (sq_weight){ i });
        int64_t n = sq_shape_size(sq_weight_shape(p, (sq_weight){ i }));
        bool forget = strstr(name, "b_f") != NULL;
        cr_assert(n <= MANY);
        rng r = { seed + (uint64_t)i };
        for (int64_t k = 0; k < n; k++) {
            v[k] = forget ? rng_in(&r, 0.5, 2) : rng_in(&r, -2, 2);
            if (!forget && rng_below(&r, 9) == 0) v[k] = rng_below(&r, 2) ? 0.0 : -0.0;
            if (zero && strstr(name, zero)) v[k] = 0;
        }
        cr_assert(sq_weight_set_f64(p, (sq_weight){ i }, v) == SQ_OK);
    }
}

static size_t bytes_of(const sq_params *p)
{
    return (size_t)sq_params_size(p) * sq_dtype_size(sq_params_dtype(p));
}

/* Everything but the readout. */
static void expect_same(const sq_params *a, const sq_params *b, const char *what)
{
    size_t skip = 3 * sq_dtype_size(sq_params_dtype(a));
    cr_assert(bytes_of(a) == bytes_of(b));
    EXPECT_SAME_BITS((const char *)sq_params_view(a) + skip,
                     (const char *)sq_params_view(b) + skip, bytes_of(a) - skip, what);
}

static sq_layout_net net_for(const sqi_layout_row *row, bool both, bool tiny)
{
    sq_layout_net deep = { row->cell, OUR_LAYERS, both, true, tiny ? 1 : 3, tiny ? 1 : 5, 0 };
    if (row->cell == SQ_LAYOUT_LSTM_PROJECTED) deep.projected = tiny ? 1 : 2;
    if (sqi_layout_has_axis(row->tensors, 'l')) deep.in = sqi_layout_in(&deep, 1);
    return deep;
}

static bool same_net(const sq_layout_net *a, const sq_layout_net *b)
{
    return a->cell == b->cell && a->layers == b->layers &&
           a->bidirectional == b->bidirectional && a->biases == b->biases && a->in == b->in &&
           a->hidden == b->hidden && a->projected == b->projected;
}

#define ASSERT_FINE(b) cr_assert(sq_bundle_status(b) == SQ_OK, "%s", sq_bundle_message(b))
#define EXPECT_REFUSED(b, want, sentence)                                                \
    do {                                                                                 \
        cr_expect(sq_bundle_status(b) == (want), "status %d", (int)sq_bundle_status(b)); \
        EXPECT_TEXT(sq_bundle_message(b), sentence);                                     \
        sq_bundle_clear_error(b);                                                        \
    } while (0)

/* ---- There and back ------------------------------------------------------------------------ */

static void round_trip(const sqi_layout_row *row, bool both, bool tiny, sq_dtype dtype)
{
    const sq_layout_net deep = net_for(row, both, tiny);
    const sq_layout at = { row->layout, NULL, row->cell };
    bool flux = strcmp(row->layout, "flux") == 0;
    sq_layout_net found;
    network a, b;
    char what[64];
    snprintf(what, sizeof what, "%s %s %d", row->layout, sq_layout_cell_name(row->cell), both);
    open_network(&a, &deep, dtype);
    open_network(&b, &deep, dtype);
    randomise(a.params, flux ? "d_n" : NULL, 7);
    randomise(b.params, NULL, 8);
    sq_bundle *file = sq_bundle_new();
    (void)sq_layout_add(file, &at, a.params, NULL);
    (void)sq_layout_find(file, &at, &found);
    ASSERT_FINE(file);
    bool same = same_net(&found, &deep);
    cr_expect(same, "%s: another net", what);
    double readout[3], kept[3];
    (void)!sq_weight_get_f64(b.params, (sq_weight){ 1 }, readout);
    (void)sq_layout_get(file, &at, b.params, NULL);
    ASSERT_FINE(file);
    (void)!sq_weight_get_f64(b.params, (sq_weight){ 1 }, kept);
    EXPECT_SAME_BITS(readout, kept, sizeof kept, "the readout");
    expect_same(a.params, b.params, what);
    /* Every tensor is known by name. */
    for (int64_t i = 0; i < sq_bundle_count(file); i++) {
        char text[128];
        const char *name = sq_bundle_at(file, i)->name;
        cr_expect(gt(sz, sq_layout_describe(&at, &deep, name, text, sizeof text), 0), "%s",
                  name);
    }
    sq_bundle_free(file);
    sq_params_free(a.params);
    sq_params_free(b.params);
}

Test(layout, goes_there_and_back_to_the_bit_in_every_layout)
{
    int32_t rows = 0;
    for (const sqi_layout_row *row; (row = sqi_layout_row_at(rows)) != NULL; rows++)
        for (int k = 0; k < 8; k++) round_trip(row, k & 1, k & 4, k & 2 ? SQ_F32 : SQ_F64);
    cr_expect(eq(i32, rows, 36));
}

/* From every layout into every other and home, as long as each has the cell. */
Test(layout, goes_between_any_two_layouts)
{
    int pairs = 0;
    for (int32_t i = 0; sqi_layout_row_at(i); i++)
        for (int32_t k = 0; sqi_layout_row_at(k); k++) {
            const sqi_layout_row *x = sqi_layout_row_at(i), *y = sqi_layout_row_at(k);
            if (x->cell != y->cell) continue;
            sq_layout_net deep = net_for(x, true, false);
            const int64_t in = net_for(y, true, false).in;
            deep.in = deep.in > in ? deep.in : in;
            const sq_layout first = { x->layout, NULL, x->cell },
                            second = { y->layout, NULL, y->cell };
            network a, b;
            open_network(&a, &deep, SQ_F64);
            open_network(&b, &deep, SQ_F64);
            randomise(a.params, "d_n", 9);
            sq_bundle *one = sq_bundle_new(), *two = sq_bundle_new();
            (void)sq_layout_add(one, &first, a.params, NULL);
            (void)sq_layout_convert(one, &first, two, &second);
            ASSERT_FINE(one);
            (void)sq_layout_get(two, &second, b.params, NULL);
            ASSERT_FINE(two);
            expect_same(a.params, b.params, x->layout);
            sq_bundle_free(one);
            sq_bundle_free(two);
            sq_params_free(a.params);
            sq_params_free(b.params);
            pairs++;
        }
    cr_expect(gt(int, pairs, 200));
}

/* Beyond [0.5, 2] the sum with dynet's 1 is rounded, once: half a unit in the last place of a number
 * below 2 in magnitude. */
Test(layout, rounds_dynets_forget_bias)
{
    const sq_layout_net deep = { SQ_LAYOUT_LSTM, 1, false, true, 2, 3, 0 };
    const double b_f[3] = { 0.1, -0.7, 1e-30 };
    double got[3];
    network a;
    open_network(&a, &deep, SQ_F64);
    sq_weight w = sq_params_find(a.params, "l0.b_f");
    (void)sq_weight_set_f64(a.params, w, b_f);
    sq_bundle *file = sq_bundle_new();
    (void)sq_layout_add(file, AT("dynet"), a.params, NULL);
    const double *b = sq_bundle_find(file, "layer0/forward/b")->values;
    for (int i = 0; i < 3; i++) cr_expect(eq(dbl, b[3 + i], b_f[i] - 1));
    (void)sq_layout_get(file, AT("dynet"), a.params, NULL);
    ASSERT_FINE(file);
    (void)!sq_weight_get_f64(a.params, w, got);
    for (int i = 0; i < 3; i++) cr_expect(le(dbl, fabs(got[i] - b_f[i]), 0x1p-53));
    sq_bundle_free(file);
    sq_params_free(a.params);
}

/* ---- Networks of others -------------------------------------------------------------------- */

static void expect_outputs(network *n, const sq_layout_net *deep, const golden_layout *g,
                           const char *what)
{
    sq_tape *t = sq_tape_new(SQ_F64, n->params);
    sq_layer layers[OUR_LAYERS] = { 0 };
    for (int32_t l = 0; l < deep->layers; l++)
        layers[l] = (sq_layer){ .forward = &n->cell[l][0], .backward = &n->cell[l][1] };
    sq_var x = sq_input_f64(t, sq_shape3(GOLDEN_T, GOLDEN_B, deep->in), g->x);
    sq_var y = sq_layers(t, layers, deep->layers, x, NULL, NULL);
    ASSERT_HEALTHY(t);
    double got[GOLDEN_T * GOLDEN_B * GOLDEN_OUT];
    cr_assert(sq_copy_f64(y, got) == SQ_OK);
    EXPECT_ALL_NEAR(got, g->y, COUNT(got), 1e-10, what);
    sq_tape_free(t);
}

/* A tensor that holds one of two biases; or dynet's, whose sum with 1 is rounded. */
static bool joined(const sq_layout *at, const sq_tensor *t)
{
    static const struct {
        const char *layout, *part;
    } two[] = { { "pytorch", "bias" }, { "onnx", "/B" },     { "chainer", "_r/b" },
                { "chainer", "_z/b" }, { "chainer", "W/b" }, { "chainer", "U/b" },
                { "chainer", "/b0" },  { "chainer", "/b1" }, { "keras", "bias" } };
    const bool lstm = at->cell == SQ_LAYOUT_LSTM;
    if (strcmp(at->name, "keras") == 0 && at->cell != SQ_LAYOUT_GRU_AFTER) return false;
    if (strcmp(at->name, "dynet") == 0 && lstm) return t->rank == 1;
    for (int i = 0; i < COUNT(two); i++)
        if (strcmp(at->name, two[i].layout) == 0 && strstr(t->name, two[i].part)) return true;
    return false;
}

/* Weights that no two biases were added for are written as they were read. */
static void expect_written(sq_bundle *file, const sq_layout *at, const sq_params *p,
                           const char *what)
{
    sq_bundle *again = sq_bundle_new();
    int64_t compared = 0;
    (void)sq_layout_add(again, at, p, NULL);
    ASSERT_FINE(again);
    for (int64_t i = 0; i < sq_bundle_count(file); i++) {
        const sq_tensor *a = sq_bundle_at(file, i), *b = sq_bundle_find(again, a->name);
        const size_t n = strlen(a->name), bytes = (size_t)a->count * sizeof(double);
        const bool part =
            strcmp(a->name + n - 2, "Wh") == 0 && at->cell == SQ_LAYOUT_GRU_BEFORE;
        cr_assert(b != NULL, "%s: no %s", what, a->name);
        cr_expect(eq(i64, a->count, b->count));
        cr_expect(a->rank == b->rank && memcmp(a->dim, b->dim, sizeof a->dim) == 0, "%s %s",
                  what, a->name);
        if (joined(at, a)) continue;
        /* The third part of flux's Wh is read by nobody there. */
        EXPECT_SAME_BITS(a->values, b->values, part ? bytes / 3 * 2 : bytes, a->name);
        for (int64_t k = a->count / 3 * 2; part && k < a->count; k++)
            cr_expect(eq(dbl, ((const double *)b->values)[k], 0));
        compared++;
    }
    cr_expect(gt(i64, compared, 1), "%s", what);
    sq_bundle_free(again);
}

Test(layout, runs_networks_of_other_programs)
{
    for (int i = 0; i < COUNT(golden_layouts); i++) {
        const golden_layout *g = &golden_layouts[i];
        const sq_layout at = { g->layout, NULL, g->cell };
        const sq_layout_net want = { g->cell,
                                     GOLDEN_LAYERS,
                                     true,
                                     !g->bare,
                                     g->in,
                                     g->hidden,
                                     g->cell == SQ_LAYOUT_LSTM_PROJECTED ? GOLDEN_OUT / 2 : 0 };
        char what[64];
        snprintf(what, sizeof what, "%s %s", g->layout, sq_layout_cell_name(g->cell));
        sq_layout_net deep;
        network n;
        sq_bundle *file = sq_bundle_load_bytes(g->file, g->bytes);
        (void)sq_layout_find(file, &at, &deep);
        ASSERT_FINE(file);
        bool same = same_net(&deep, &want);
        cr_expect(same, "%s: another net", what);
        open_network(&n, &deep, SQ_F64);
        (void)sq_layout_get(file, &at, n.params, NULL);
        ASSERT_FINE(file);
        expect_outputs(&n, &deep, g, what);
        if (!g->bare) expect_written(file, &at, n.params, what);
        sq_bundle_free(file);
        sq_params_free(n.params);
    }
}

/* Tensors tell the cell, but for onnx's GRU, where the operator's default is taken. */
Test(layout, tells_cells_apart)
{
    for (int i = 0; i < COUNT(golden_layouts); i++) {
        const golden_layout *g = &golden_layouts[i];
        const bool onnx = strcmp(g->layout, "onnx") == 0 && g->cell == SQ_LAYOUT_GRU_AFTER;
        sq_layout_net deep = { 0 };
        sq_bundle *file = sq_bundle_load_bytes(g->file, g->bytes);
        (void)sq_layout_find(file, AT(g->layout), &deep);
        ASSERT_FINE(file);
        sq_layout_cell want = onnx ? SQ_LAYOUT_GRU_BEFORE : g->cell;
        cr_expect(deep.cell == want, "%s: %s", g->layout, sq_layout_cell_name(deep.cell));
        sq_bundle_free(file);
    }
}

/* ---- What is refused ----------------------------------------------------------------------- */

static void expect_no_export(const network *n, const sq_layout *to, const char *sentence)
{
    sq_bundle *b = sq_bundle_new();
    (void)sq_bundle_add_f64(b, "stays", sq_scalar(), (double[]){ 1 });
    cr_expect(eq(int, (int)sq_layout_add(b, to, n->params, NULL), SQ_EVALUE));
    EXPECT_REFUSED(b, SQ_EVALUE, sentence);
    cr_expect(eq(i64, sq_bundle_count(b), 1));
    sq_bundle_free(b);
}

Test(layout, refuses_what_cannot_be_said)
{
    network n;
    sq_layout_net deep = { SQ_LAYOUT_GRU_AFTER, 2, true, true, 3, 2, 0 };
    open_network(&n, &deep, SQ_F64);
    randomise(n.params, "d_n", 5);
    (void)sq_weight_set_f64(n.params, sq_params_find(n.params, "l1_reverse.d_n"),
                            (double[]){ 0, 0.25 });
    expect_no_export(
        &n, AT("flux"),
        "flux has no bias within the reset, and d_n[1] of layer 1 backward is 0.25: "
        "r * (h U_n + d_n) cannot be said with b_n alone");
    expect_no_export(
        &n, AT("dynet"),
        "dynet resets the state before the recurrent product, these weights behind it: "
        "no weights make the two equal");
    expect_no_export(
        &n, AT("onednn"),
        "onednn has all layers in one tensor: they must take equally many inputs, not 3 "
        "and 4");
    expect_no_export(&n, UNDER("keras", "here/"),
                     "prefix \"here/\" names one layer only: it needs {l}");
    expect_no_export(&n, UNDER("keras", "{l}/"),
                     "prefix \"{l}/\" names one direction only: it needs {FORWARD|BACKWARD}");
    expect_no_export(&n, UNDER("keras", "{x}/"),
                     "prefix \"{x}/\": what is in { } must be {l} or {FORWARD|BACKWARD}");
    expect_no_export(
        &n, AT("kears"),
        "there is no layout \"kears\": there are seqgrad, pytorch, keras, onnx, onednn, "
        "chainer, dynet, dynet-0, kann, flux");
    expect_no_export(&n, &(sq_layout){ "keras", NULL, SQ_LAYOUT_LSTM },
                     "the cell is \"gru, reset after\", not \"lstm\"");
    sq_params_free(n.params);

    deep = (sq_layout_net){ SQ_LAYOUT_GRU_BEFORE, 1, false, true, 3, 2, 0 };
    open_network(&n, &deep, SQ_F64);
    expect_no_export(
        &n, AT("pytorch"),
        "pytorch resets the state behind the recurrent product, these weights before "
        "it: no weights make the two equal");
    sq_params_free(n.params);

    deep = (sq_layout_net){ SQ_LAYOUT_LSTM_PROJECTED, 1, false, true, 3, 2, 1 };
    open_network(&n, &deep, SQ_F64);
    expect_no_export(&n, AT("keras"), "layout keras has no cell \"lstm, projected\"");
    sq_params_free(n.params);
}

/* A copy of a bundle without the tensor `less`, with `more` in its place. */
static sq_bundle *copy_but(const sq_bundle *from, const char *less, const sq_tensor *more)
{
    sq_bundle *b = sq_bundle_new();
    for (int64_t i = 0; i < sq_bundle_count(from); i++)
        if (strcmp(sq_bundle_at(from, i)->name, less) != 0)
            (void)sq_bundle_add(b, sq_bundle_at(from, i));
    if (more) (void)sq_bundle_add(b, more);
    ASSERT_FINE(b);
    return b;
}

Test(layout, loads_wholly_or_not_at_all)
{
    static const int64_t whole[64];
    static const double zeros[64];
    static const struct {
        const char *less, *sentence;
        sq_tensor more;
    } cases[] = {
        { "weight_hh_l1", "there is no tensor \"weight_hh_l1\"", { 0 } },
        { "bias_hh_l1_reverse", "there is no tensor \"bias_hh_l1_reverse\"", { 0 } },
        { "weight_ih_l0_reverse",
          "tensor \"weight_ih_l0_reverse\" is [8,2], not [8,3]",
          { "weight_ih_l0_reverse", SQ_TENSOR_F64, 0, 2, { 8, 2 }, 0, zeros } },
        { "bias_ih_l0",
          "tensor \"bias_ih_l0\" is [8,1], not [8]",
          { "bias_ih_l0", SQ_TENSOR_F64, 0, 2, { 8, 1 }, 0, zeros } },
        { "bias_ih_l0",
          "tensor \"bias_ih_l0\" holds whole numbers",
          { "bias_ih_l0", SQ_TENSOR_I64, 0, 1, { 8 }, 0, whole } },
        { "",
          "tensor \"weight_ih_l2\" belongs to nothing here",
          { "weight_ih_l2", SQ_TENSOR_F64, 0, 2, { 8, 4 }, 0, zeros } },
    };
    const golden_layout *g = &golden_layouts[0];
    const sq_layout_net deep = { SQ_LAYOUT_LSTM, 2, true, true, 3, 2, 0 };
    const sq_layout torch = { .name = "pytorch" };
    sq_bundle *file = sq_bundle_load_bytes(g->file, g->bytes);
    network n;
    open_network(&n, &deep, SQ_F64);
    randomise(n.params, NULL, 3);
    size_t bytes = bytes_of(n.params);
    void *before = malloc(bytes);
    memcpy(before, sq_params_view(n.params), bytes);
    for (int i = 0; i < COUNT(cases); i++) {
        sq_bundle *b =
            copy_but(file, cases[i].less, cases[i].more.name ? &cases[i].more : NULL);
        cr_expect(eq(int, (int)sq_layout_get(b, &torch, n.params, NULL), SQ_EFILE));
        EXPECT_REFUSED(b, SQ_EFILE, cases[i].sentence);
        EXPECT_SAME_BITS(before, sq_params_view(n.params), bytes, "the old weights");
        cr_expect(sq_params_status(n.params) == SQ_OK);
        sq_bundle_free(b);
    }
    /* A part of the file is asked for by its prefix; what lies beside it is nobody's business. */
    sq_bundle *b = sq_bundle_new();
    (void)sq_layout_convert(file, &torch, b, UNDER("pytorch", "encoder."));
    (void)sq_bundle_add_f64(b, "readout.bias", sq_vec(2), zeros);
    (void)sq_layout_get(b, UNDER("pytorch", "encoder."), n.params, NULL);
    ASSERT_FINE(b);
    sq_layout_net found;
    (void)sq_layout_find(b, &torch, &found);
    EXPECT_REFUSED(b, SQ_EFILE, "there is no tensor \"weight_ih_l0\"");
    (void)sq_layout_get(b, UNDER("pytorch", "encoder."), n.params, "encoder{l}.");
    EXPECT_REFUSED(b, SQ_EWEIGHT,
                   "the weights hold no such network: there is no tensor \"encoder0.W_i\"");
    sq_bundle_free(b);
    sq_bundle_free(file);
    sq_params_free(n.params);
    free(before);
}

/* The weights' cell decides: another one's file has tensors of other shapes. */
Test(layout, refuses_other_networks)
{
    const sq_layout_net deep = { SQ_LAYOUT_GRU_AFTER, 2, true, true, 3, 2, 0 };
    const golden_layout *g = &golden_layouts[0];
    network n;
    open_network(&n, &deep, SQ_F32);
    sq_bundle *file = sq_bundle_load_bytes(g->file, g->bytes);
    (void)sq_layout_get(file, AT("pytorch"), n.params, NULL);
    EXPECT_REFUSED(file, SQ_EFILE, "\"(memory)\": tensor \"weight_ih_l0\" is [8,3], not [6,3]");
    (void)sq_layout_get(file, AT("kann"), n.params, NULL);
    EXPECT_REFUSED(
        file, SQ_EVALUE,
        "\"(memory)\": kann resets the state before the recurrent product, these weights "
        "behind it: no weights make the two equal");
    /* A weight that the cell does not know may mean another cell. */
    (void)sq_params_add(n.params, "l0.V_n", sq_mat(2, 2));
    (void)sq_layout_add(file, UNDER("pytorch", "x"), n.params, NULL);
    EXPECT_REFUSED(
        file, SQ_EWEIGHT,
        "\"(memory)\": the weights hold no such network: tensor \"l0.V_n\" belongs to nothing "
        "here");
    sq_bundle_free(file);
    sq_params_free(n.params);
}

/* Sizes that no memory holds: an axis of 0 makes a tensor of any size legal in a file. */
Test(layout, believes_no_size)
{
    const int64_t huge = (int64_t)1 << 59;
    static const double one[1];
    sq_bundle *b = sq_bundle_new();
    sq_layout_net deep;
    const sq_tensor w = { "weight_ih_l0", SQ_TENSOR_F64, 0, 2, { huge, 0 }, 0, NULL };
    const sq_tensor u = { "weight_hh_l0", SQ_TENSOR_F64, 0, 2, { 1, 1 }, 0, one };
    const sq_tensor layers = {
        "weights_layer", SQ_TENSOR_F64, 0, 5, { huge / 8, 1, 0, 4, 1 }, 0, NULL
    };
    (void)sq_bundle_add(b, &w);
    (void)sq_bundle_add(b, &u);
    (void)sq_bundle_add(b, &layers);
    ASSERT_FINE(b);
    for (int32_t i = 0; sq_layout_name(i); i++) {
        cr_expect(ne(int, (int)sq_layout_find(b, AT(sq_layout_name(i)), &deep), SQ_OK));
        sq_bundle_clear_error(b);
    }
    sq_bundle_free(b);
}

/* As many layers as can be counted, in a file of one tensor without a number: asking for each of them would
 * take minutes. */
Test(layout, takes_no_step_for_every_layer_that_a_file_speaks_of)
{
    const sq_tensor w = {
        "weights_layer", SQ_TENSOR_F64, 0, 5, { INT32_MAX, 1, 0, 4, 1 }, 0, NULL
    };
    sq_bundle *b = sq_bundle_new();
    sq_layout_net deep;
    (void)sq_bundle_add(b, &w);
    (void)sq_layout_find(b, AT("onednn"), &deep);
    EXPECT_REFUSED(b, SQ_EFILE, "there is no tensor \"weights_iter\"");
    sq_bundle_free(b);
}

/* The second layer takes what the first one gives, two numbers: 18 of its inputs would be nobody's. */
Test(layout, layers_in_one_tensor_take_what_the_one_below_gives)
{
    static const double zeros[2 * 18 * 3 * 2];
    const sq_tensor all[] = {
        { "weights_layer", SQ_TENSOR_F64, 0, 5, { 2, 1, 18, 3, 2 }, 0, zeros },
        { "weights_iter", SQ_TENSOR_F64, 0, 5, { 2, 1, 2, 3, 2 }, 0, zeros },
        { "bias", SQ_TENSOR_F64, 0, 4, { 2, 1, 3, 2 }, 0, zeros },
    };
    sq_bundle *b = sq_bundle_new();
    sq_layout_net deep;
    for (int i = 0; i < COUNT(all); i++) (void)sq_bundle_add(b, &all[i]);
    (void)sq_layout_find(b, AT("onednn"), &deep);
    EXPECT_REFUSED(b, SQ_EFILE, "tensor \"weights_layer\" is [2,1,18,3,2], not [2,1,2,3,2]");
    sq_bundle_free(b);
}

/* Files with one tensor of another shape, for every layout: an answer or a sentence. Whatever is found
 * can be read and written. */
Test(layout, survives_any_shape)
{
    static const double zeros[MANY];
    rng r = { 41 };
    int found = 0, refused = 0;
    for (int turn = 0; turn < FEWER(2000); turn++) {
        const golden_layout *g = &golden_layouts[rng_below(&r, COUNT(golden_layouts))];
        sq_bundle *file = sq_bundle_load_bytes(g->file, g->bytes), *out = sq_bundle_new();
        ASSERT_FINE(file);
        sq_tensor t = *sq_bundle_at(file, rng_below(&r, (int)sq_bundle_count(file)));
        if (rng_below(&r, 4) == 0) t.rank = rng_below(&r, 7);
        for (int32_t i = 0; i < t.rank; i++)
            if (rng_below(&r, 2)) t.dim[i] = rng_below(&r, 4);
        t.values = zeros;
        sq_bundle *b = copy_but(file, t.name, &t);
        const sq_layout at = { .name = rng_below(&r, 5) ? g->layout : "onednn" };
        sq_status status = sq_layout_convert(b, &at, out, AT("pytorch"));
        cr_expect(status == SQ_OK || status == SQ_EFILE || status == SQ_EVALUE, "status %d: %s",
                  (int)status, sq_bundle_message(b));
        found += status == SQ_OK;
        refused += status != SQ_OK;
        sq_bundle_free(file);
        sq_bundle_free(out);
        sq_bundle_free(b);
    }
    cr_expect(gt(int, found, 100));
    cr_expect(gt(int, refused, 100));
}
