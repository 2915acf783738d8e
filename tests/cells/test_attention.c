/* test_attention.c -- attention and pointers against PyTorch, eager and planned; gradients against
 * differences; padding that is none of anything; what is refused. */
#include "tests/support/cell_run.h"

#include "tests/golden/attention.h"

enum { B = ATT_B, S = ATT_S, M = ATT_M, IN = ATT_I, H = ATT_H, A = ATT_A, T = ATT_T };

/* ---- Against PyTorch ---------------------------------------------------------------------- */

typedef struct fixture {
    const attention_case *c;
    double tol;
    sq_params *p;
    sq_rnn rnn;
    sq_attention attention;
    sq_attender attender;
    sq_cell cell;
    sq_tape *t;
    sq_var x, h0, memory;
} fixture;

static sq_attention_kind kind_of(const char *name)
{
    return name[0] == 'a'   ? SQ_ATTENTION_ADDITIVE
           : name[0] == 'd' ? SQ_ATTENTION_DOT
                            : SQ_ATTENTION_SCALED;
}

/* Padding is filled with what is no number. */
static void open_case(fixture *f, const attention_case *c, sq_dtype dtype)
{
    double memory[B * S * M];
    int64_t size = strstr(c->kind, "plain") ? 0 : A;
    *f = (fixture){ .c = c, .tol = dtype == SQ_F64 ? 1e-10 : 1e-5 };
    f->p = sq_params_new(dtype);
    (void)sq_rnn_init(&f->rnn, f->p, "", c->points ? IN : IN + M, H, SQ_RNN_TANH, 1);
    cr_assert(sq_attention_init(&f->attention, f->p, "", kind_of(c->kind), H, M, size, 1) ==
                  SQ_OK,
              "%s", sq_params_message(f->p));
    cr_assert(eq(int, sq_params_count(f->p), c->n_weights), "%s", c->name);
    for (int k = 0; k < c->n_weights; k++) {
        sq_weight w = sq_params_find(f->p, c->weights[k].name);
        cr_assert(sq_weight_set_f64(f->p, w, c->weights[k].value) == SQ_OK, "%s", c->name);
    }
    for (int i = 0; i < B * S * M; i++)
        memory[i] = c->there[i / M] ? c->memory[i] : (double)NAN;
    f->t = sq_tape_new(dtype, f->p);
    f->x = sq_leaf(f->t, sq_shape3(T, B, IN), c->x);
    f->h0 = sq_leaf(f->t, sq_mat(B, H), c->h0);
    f->memory = sq_leaf(f->t, sq_shape3(B, S, M), memory);
    const int32_t *there = strstr(c->name, "masked") ? c->there : NULL;
    f->attender = (sq_attender){ .cell = sq_rnn_cell(&f->rnn),
                                 .attention = &f->attention,
                                 .memory = sq_attention_memory(&f->attention, f->memory, there),
                                 .show_context = true };
    f->cell = c->points ? sq_pointer_cell(&f->attender) : sq_attention_cell(&f->attender);
}

static void agree(const fixture *f, const char *what, const double *got, const double *want,
                  int n)
{
    double off = 0, size = 1e-300;
    for (int i = 0; i < n; i++) {
        off = worse(off, fabs(got[i] - want[i]));
        size = fmax(size, fabs(want[i]));
    }
    cr_expect(off <= f->tol * size, "%s, %s: %s: off by %g where the largest is %g", f->c->name,
              sq_dtype_name(sq_tape_dtype(f->t)), what, off, size);
}

/* A pointer's scores of places that are not there are far below all others. */
static void compare_outputs(const fixture *f, double *y)
{
    int n = T * B * (f->c->points ? S : H + M);
    for (int i = 0; i < n && f->c->points; i++)
        if (!f->c->there[i % (B * S)]) {
            cr_expect(y[i] < -9e29, "%s", f->c->name);
            y[i] = 0;
        }
    agree(f, "outputs", y, f->c->outputs, n);
}

static void compare(const fixture *f, const sq_unrolled *u)
{
    double got[T * B * (H + M)], weight[(IN + M) * H];
    cr_assert(sq_copy(sq_unrolled_outputs(u), got) == SQ_OK, "%s", sq_message(f->t));
    compare_outputs(f, got);
    cr_assert(sq_copy(sq_unrolled_state(u, T - 1, 0), got) == SQ_OK);
    agree(f, "last state", got, f->c->h, B * H);
    for (int i = 0; i < T && !f->c->points; i++) {
        cr_assert(sq_copy(sq_unrolled_named(u, i, "attention"), got) == SQ_OK);
        agree(f, "attention", got, f->c->map + i * B * S, B * S);
    }
    cr_assert(sq_grad_copy(f->x, got) == SQ_OK);
    agree(f, "gradient of x", got, f->c->grad_x, T * B * IN);
    cr_assert(sq_grad_copy(f->h0, got) == SQ_OK);
    agree(f, "gradient of the initial state", got, f->c->grad_h0, B * H);
    cr_assert(sq_grad_copy(f->memory, got) == SQ_OK);
    agree(f, "gradient of the memory", got, f->c->grad_memory, B * S * M);
    for (int i = 0; i < B * S * M; i++)
        cr_expect(f->c->there[i / M] || got[i] == 0, "%s: padding", f->c->name);
    for (int k = 0; k < f->c->n_weights; k++) {
        sq_weight w = sq_params_find(f->p, f->c->weights[k].name);
        cr_assert(sq_weight_grad(f->t, w, weight) == SQ_OK, "%s", sq_message(f->t));
        agree(f, f->c->weights[k].name, weight, f->c->weights[k].grad,
              (int)sq_shape_size(sq_weight_shape(f->p, w)));
    }
}

/* The mixture of the outputs, without the scores of places that are not there. */
static sq_var loss_of(fixture *f, const sq_unrolled *u)
{
    sq_var y = sq_unrolled_outputs(u), a = sq_input(f->t, sq_shape_of(y), f->c->mix);
    if (f->c->points) y = sq_where(f->c->there, sq_mat(B, S), y, sq_constant(f->t, 0));
    sq_var h =
        sq_mul(sq_unrolled_state(u, T - 1, 0), sq_input(f->t, sq_mat(B, H), f->c->mix_h));
    return sq_add(sq_sum(sq_mul(y, a)), sq_sum(h));
}

static void every_case(sq_dtype dtype, sq_unroll_options o, int32_t threads)
{
    for (int k = 0; k < COUNT(attention_cases); k++) {
        fixture f;
        open_case(&f, &attention_cases[k], dtype);
        sq_tape_set_threads(f.t, threads);
        const sq_unrolled *u = sq_unroll(f.t, &f.cell, f.x, &f.h0, &o);
        cr_assert(u != NULL, "%s: %s", f.c->name, sq_message(f.t));
        sq_mode want = o.mode == SQ_EAGER ? SQ_EAGER : SQ_PLAN;
        cr_expect(sq_unroll_mode(u) == want, "%s", f.c->name);
        BACKWARD(loss_of(&f, u));
        compare(&f, u);
        ASSERT_HEALTHY(f.t);
        sq_tape_free(f.t);
        sq_params_free(f.p);
    }
}

#define OPTIONS(...) ((sq_unroll_options){ __VA_ARGS__ })

Test(golden, double_eager) { every_case(SQ_F64, OPTIONS(.mode = SQ_EAGER), 1); }
Test(golden, double_planned) { every_case(SQ_F64, OPTIONS(.mode = SQ_AUTO), 1); }
Test(golden, float_eager) { every_case(SQ_F32, OPTIONS(.mode = SQ_EAGER), 1); }
Test(golden, float_planned) { every_case(SQ_F32, OPTIONS(.mode = SQ_PLAN), 2); }

/* The memory outlives the steps that are dropped and run again. */
Test(golden, under_a_schedule)
{
    every_case(SQ_F64, OPTIONS(.mode = SQ_EAGER, .every = 2), 1);
    every_case(SQ_F64, OPTIONS(.mode = SQ_PLAN, .every = 2), 1);
}

/* ---- Gradients and plans ------------------------------------------------------------------ */

/* The memory is a weight here, made ready in every step, so that a check of the cell covers it. */
typedef struct attentive {
    sq_attention attention;
    sq_attender attender;
    sq_weight memory;
    bool points;
} attentive;

static sq_var attentive_step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const attentive *a = self;
    sq_attender here = a->attender;
    here.attention = &a->attention;
    here.memory = sq_attention_memory(&a->attention, sq_use(t, a->memory), NULL);
    sq_cell cell = a->points ? sq_pointer_cell(&here) : sq_attention_cell(&here);
    return cell.step(t, cell.self, x, state);
}

/* Around an LSTM and a GRU; 2 rows, 3 places, memories of 4 numbers for queries of 4. */
Test(attention, is_right_around_cells)
{
    for (int kind = 0; kind < 3; kind++)
        for (int form = 0; form < 8; form++) {
            char what[48];
            bool points = form & 1, weightless = (form & 2) != 0, show = (form & 4) != 0;
            if ((weightless && kind == SQ_ATTENTION_ADDITIVE) || (points && show)) continue;
            snprintf(what, sizeof what, "kind %d form %d", kind, form);
            sq_lstm lstm;
            attentive a = { .points = points };
            sq_params *p = sq_params_new(SQ_F64);
            (void)sq_lstm_init(&lstm, p, "c", points ? 3 : 3 + 4, 4, 3);
            (void)sq_attention_init(&a.attention, p, "a", (sq_attention_kind)kind, 4, 4,
                                    weightless ? 0 : 5, 3);
            a.memory = sq_params_add(p, "memory", sq_shape3(2, 3, 4));
            cr_assert(sq_init_normal(p, a.memory, 1, 4) == SQ_OK, "%s", sq_params_message(p));
            a.attender = (sq_attender){ .cell = sq_lstm_cell(&lstm), .show_context = show };
            sq_cell cell = a.attender.cell;
            cell.step = attentive_step;
            cell.self = &a;
            expect_gradients(&cell, p, 2, 3, what);
            expect_plan_is_eager(&cell, p, 2, 3, what);
            sq_params_free(p);
        }
}

/* Without x the context is all there is; a row with nothing there attends to nothing. */
Test(attention, without_x_or_places)
{
    static const int32_t there[] = { 1, 1, 0, 0, 0, 0 };
    double map[6], context[8];
    sq_rnn rnn;
    sq_attention w;
    sq_params *p = sq_params_new(SQ_F64);
    (void)sq_rnn_init(&rnn, p, "c", 4, 4, SQ_RNN_TANH, 3);
    cr_assert(sq_attention_init(&w, p, "a", SQ_ATTENTION_SCALED, 4, 4, 0, 3) == SQ_OK);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_memory m = sq_attention_memory(&w, drawn_leaf(t, sq_shape3(2, 3, 4), 1), there);
    const sq_attender a = { sq_rnn_cell(&rnn), &w, m, false };
    sq_cell cell = sq_attention_cell(&a);
    sq_unroll_options o = { .mode = SQ_PLAN, .steps = 3, .batch = 2 };
    const sq_unrolled *u = sq_unroll(t, &cell, (sq_var){ 0 }, NULL, &o);
    ASSERT_HEALTHY(t);
    cr_assert(sq_copy(sq_unrolled_named(u, 2, "attention"), map) == SQ_OK);
    cr_assert(sq_copy(sq_unrolled_named(u, 2, "context"), context) == SQ_OK);
    EXPECT_NEAR(map[0] + map[1], 1, 1e-15, "weights");
    for (int i = 2; i < 6; i++) cr_expect(map[i] == 0);
    for (int i = 4; i < 8; i++) cr_expect(context[i] == 0);
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- Mistakes ----------------------------------------------------------------------------- */

Test(mistakes, of_sizes_and_kinds)
{
    static const struct {
        int kind;
        int64_t query, memory, size;
        sq_status status;
        const char *says;
    } wrong[] = {
        { 7, 2, 2, 2, SQ_EVALUE, "attention: there is no kind 7" },
        { 0, 2, 2, 0, SQ_ESHAPE, "attention: a size of 0" },
        { 1, 2, 2, -1, SQ_ESHAPE, "attention: a size of -1" },
        { 1, 2, 3, 0, SQ_ESHAPE,
          "attention: without weights, queries of 2 and a memory of 3 numbers do not meet" },
        { 2, -2, 2, 3, SQ_ESHAPE, "a.W_q" },
        { 2, 2, -2, 3, SQ_ESHAPE, "a.W_k" },
    };
    for (int k = 0; k < COUNT(wrong); k++) {
        sq_attention w;
        sq_params *p = sq_params_new(SQ_F64);
        int kind = wrong[k].kind;
        cr_expect(sq_attention_init(&w, p, "a", (sq_attention_kind)kind, wrong[k].query,
                                    wrong[k].memory, wrong[k].size, 1) == wrong[k].status);
        EXPECT_CONTAINS(sq_params_message(p), wrong[k].says);
        sq_params_free(p);
    }
}

/* Who ignores the status of an attention that does not exist learns it at the next step. */
Test(mistakes, of_an_attention_that_does_not_exist)
{
    sq_attention w;
    sq_params *p = sq_params_new(SQ_F64);
    int kind = 1 << 20;
    cr_expect(sq_attention_init(&w, p, "a", (sq_attention_kind)kind, 2, 2, 2, 1) == SQ_EVALUE);
    sq_params_clear_error(p);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_memory m = sq_attention_memory(&w, drawn_leaf(t, sq_shape3(2, 3, 2), 1), NULL);
    (void)sq_attend(&w, &m, sq_zeros(t, sq_mat(2, 2)), NULL);
    EXPECT_STATUS(t, SQ_EWEIGHT);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(mistakes, of_memories_and_queries)
{
    sq_attention w;
    sq_params *p = sq_params_new(SQ_F64);
    (void)sq_attention_init(&w, p, "a", SQ_ATTENTION_ADDITIVE, 2, 4, 3, 1);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_memory m = sq_attention_memory(&w, drawn_leaf(t, sq_shape3(2, 3, 5), 1), NULL);
    EXPECT_TEXT(sq_message(t), "attention: the memory is [B,S,4], not [2,3,5]");
    EXPECT_ERROR(t, SQ_ESHAPE);
    m = sq_attention_memory(&w, drawn_leaf(t, sq_mat(2, 4), 1), NULL);
    EXPECT_TEXT(sq_message(t), "attention: the memory is [B,S,4], not [2,4]");
    EXPECT_ERROR(t, SQ_ESHAPE);
    m = (sq_memory){ 0 };
    cr_expect(sq_ok(sq_attend(&w, &m, sq_zeros(t, sq_mat(2, 2)), NULL)) == false);
    EXPECT_TEXT(sq_message(t), "attention: there is no memory; sq_attention_memory makes one");
    EXPECT_ERROR(t, SQ_EVAR);
    m = sq_attention_memory(&w, drawn_leaf(t, sq_shape3(2, 3, 4), 1), NULL);
    (void)sq_attend(&w, &m, sq_zeros(t, sq_mat(2, 3)), NULL);
    EXPECT_CONTAINS(sq_message(t), "matmul: inner sizes differ: [2,3] x [2,3]");
    EXPECT_ERROR(t, SQ_ESHAPE);
    m = sq_attention_memory(&w, drawn_leaf(t, sq_shape3(2, 0, 4), 1), NULL);
    (void)sq_attend(&w, &m, sq_zeros(t, sq_mat(2, 2)), NULL);
    EXPECT_ERROR(t, SQ_ESHAPE);
    m = sq_attention_memory(&w, (sq_var){ 0 }, NULL);
    cr_expect(sq_ok(sq_attend(&w, &m, (sq_var){ 0 }, NULL)) == false);
    EXPECT_STATUS(t, SQ_OK);
    sq_tape_free(t);
    sq_params_free(p);
}

static sq_var passes_on(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    (void)t, (void)self, (void)state;
    return x;
}

/* State 0 asks; a cell that has none cannot, eagerly or planned. */
Test(mistakes, of_cells_without_states)
{
    sq_attention w;
    sq_params *p = sq_params_new(SQ_F64);
    (void)sq_attention_init(&w, p, "a", SQ_ATTENTION_ADDITIVE, 2, 4, 3, 1);
    const sq_cell stateless = { "stateless", 0, NULL, NULL, passes_on, NULL };
    for (int way = 0; way < 4; way++) {
        sq_tape *t = sq_tape_new(SQ_F64, p);
        sq_attender a = { .cell = stateless, .attention = &w };
        a.memory = sq_attention_memory(&w, drawn_leaf(t, sq_shape3(2, 3, 4), 1), NULL);
        sq_cell cell = way & 1 ? sq_attention_cell(&a) : sq_pointer_cell(&a);
        bool none =
            sq_unroll(t, &cell, sq_zeros(t, sq_shape3(2, 2, 4)), NULL,
                      &(sq_unroll_options){ .mode = way & 2 ? SQ_EAGER : SQ_PLAN }) == NULL;
        cr_expect(none);
        EXPECT_CONTAINS(sq_message(t), "attention: a cell without states asks nothing");
        EXPECT_STATUS(t, SQ_EVALUE);
        sq_tape_free(t);
    }
    sq_params_free(p);
}
