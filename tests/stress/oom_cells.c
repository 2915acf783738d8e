/* oom_cells.c -- making cells and first values, every allocation failing in its turn.
 *
 * Each kind of cell is made, stacked with options, given a spectral radius and chrono biases, put
 * under an attention with a mask and unrolled once, with one allocation failing, and again with all
 * later ones failing too. Each run must end in SQ_ENOMEM or NULL; nothing else is ever said. */
#include "tests/support/every_cell.h"
#include "tests/support/failing_alloc.h"

enum { B = 2, S = 3, I = 3, H = 4, T = 2 };

/* Two layers and an attention over zeros, unrolled and swept. */
static sq_status attend(sq_tape *t, const sq_cell *cell, const sq_attention *w)
{
    static const int32_t there[B * S] = { 1, 1, 0, 1, 1, 1 };
    sq_var memory = sq_zeros(t, sq_shape3(B, S, H));
    sq_attender a = { *cell, w, sq_attention_memory(w, memory, there), true };
    sq_cell attending = sq_attention_cell(&a);
    const sq_unrolled *u =
        sq_unroll(t, &attending, sq_zeros(t, sq_shape3(T, B, I)), NULL, NULL);
    sq_status status = sq_backward(sq_sum(sq_unrolled_outputs(u)));
    return sq_tape_status(t) ? sq_tape_status(t) : status;
}

static sq_status run(int kind, sq_params *p)
{
    any_cell w;
    sq_rnn top;
    sq_attention attention;
    sq_cell layers[2] = { every_cell[kind].make(&w, p, "a", I + H, H, 1) };
    sq_status status = sq_irnn_init(&top, p, "b", H + I + H, H, 1, 1);
    if (!status)
        status = sq_attention_init(&attention, p, "c", SQ_ATTENTION_ADDITIVE, H, H, 2, 1);
    if (!status) status = sq_init_orthogonal(p, top.U, 1, 1);
    if (!status) status = sq_init_spectral_radius(p, top.U, .9);
    if (!status) status = sq_init_chrono(p, top.b, (sq_weight){ 0 }, 9, 1);
    if (status) return status;
    layers[1] = sq_rnn_cell(&top);
    sq_stack_options o = { .residual = true, .skip_input = true, .skip_output = true };
    sq_stack_cells *stack = sq_stack_new_with(layers, 2, &o);
    sq_tape *t = stack ? sq_tape_new(SQ_F64, p) : NULL;
    status = SQ_ENOMEM;
    if (t) {
        sq_cell cell = sq_stack_cell(stack);
        status = attend(t, &cell, &attention);
        REQUIRE(status == SQ_OK || status == SQ_ENOMEM, "%s", sq_message(t));
    }
    sq_tape_free(t);
    sq_stack_free(stack);
    return status;
}

static void scenario(int kind)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_status status = p ? run(kind, p) : SQ_ENOMEM;
    REQUIRE(status == SQ_OK || status == SQ_ENOMEM, "%s: status %d: %s", every_cell[kind].name,
            (int)status, sq_params_message(p));
    REQUIRE(status == SQ_OK || fail_at >= 0, "%s: out of memory without a reason",
            every_cell[kind].name);
    sq_params_free(p);
}

static long fail_everywhere(int kind)
{
    allocations = 0;
    fail_at = -1;
    scenario(kind);
    long all = allocations;
    for (int on = 0; on < 2; on++)
        for (long i = 0; i < all; i++) {
            allocations = 0;
            fail_at = i;
            fail_on = on;
            scenario(kind);
        }
    fail_at = -1;
    return all;
}

int main(void)
{
    long n = 0;
    for (int k = 0; k < N_CELL_KINDS; k++) n += fail_everywhere(k);
    printf("%ld allocations for %d kinds of cells, each failing in its turn\n", n,
           N_CELL_KINDS);
    return 0;
}
