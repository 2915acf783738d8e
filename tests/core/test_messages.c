/* test_messages.c -- what a mistake says, and that it does no harm.
 *
 * The exact sentences are those the project promises. Everywhere else the test asks for the
 * status, a sentence that names what matters, and a tape that is sound before and after reset.
 * Huge sizes must come back as errors; a sanitizer is told to let malloc fail, too. */
#include "tests/support/support.h"

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

static sq_var mat(sq_tape *t, int64_t rows, int64_t cols)
{
    return sq_full(t, sq_mat(rows, cols), 1);
}

static void steps(sq_tape *t, int n)
{
    for (int i = 0; i < n; i++) sq_begin_step(t);
}

/* ---- The promised sentences -------------------------------------------------------------- */

Test(sentence, wrong_shapes_at_step_12)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    steps(t, 13);
    sq_var y = sq_matmul(mat(t, 4, 3), mat(t, 2, 5));
    cr_expect(sq_ok(y) == false);
    EXPECT_TEXT(sq_message(t), "step 12: matmul: inner sizes differ: [4,3] x [2,5]");
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_tape_free(t);
}

Test(sentence, a_named_operand_is_told)
{
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    steps(t, 13);
    sq_matmul(sq_name(mat(t, 4, 3), "f"), mat(t, 2, 5));
    EXPECT_TEXT(sq_message(t),
                "step 12: matmul: inner sizes differ: [4,3] x [2,5] (operand 1 is \"f\")");
    EXPECT_ERROR(t, SQ_ESHAPE);
    steps(t, 13);
    sq_matmul(mat(t, 4, 3), sq_name(mat(t, 2, 5), "U"));
    EXPECT_CONTAINS(sq_message(t), "(operand 2 is \"U\")");
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_tape_free(t);
}

Test(sentence, a_weight_operand_is_told_by_its_name)
{
    sq_params *p = sq_params_new(SQ_F32);
    sq_weight w = sq_params_add(p, "lstm.U_f", sq_mat(2, 5));
    sq_tape *t = sq_tape_new(SQ_F32, p);
    sq_matmul(mat(t, 4, 3), sq_use(t, w));
    EXPECT_CONTAINS(sq_message(t), "lstm.U_f");
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(sentence, outside_a_step_no_step_is_told)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_matmul(mat(t, 4, 3), mat(t, 2, 5));
    EXPECT_TEXT(sq_message(t), "matmul: inner sizes differ: [4,3] x [2,5]");
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_tape_free(t);
}

Test(sentence, a_stale_handle)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var h = sq_constant(t, 1), old = h;
    for (int i = 0; i < 6; i++) {
        sq_begin_step(t);
        h = sq_tanh(h);
        if (i == 3) old = h;
    }
    cr_assert(sq_cut(t, 2, NULL, 0) == SQ_OK);
    sq_end_step(t);
    sq_add(h, old);
    EXPECT_TEXT(sq_message(t), "add: operand 2 is stale: its step 3 was cut");
    EXPECT_ERROR(t, SQ_EVAR);
    sq_tape_free(t);
}

Test(sentence, a_stale_handle_inside_a_step)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_begin_step(t);
    sq_var old = sq_constant(t, 1);
    steps(t, 2);
    cr_assert(sq_cut(t, 1, NULL, 0) == SQ_OK);
    sq_tanh(old);
    EXPECT_CONTAINS(sq_message(t), "step 2: tanh: operand 1 is stale: its step 0 was cut");
    EXPECT_ERROR(t, SQ_EVAR);
    sq_tape_free(t);
}

Test(sentence, two_tapes_mixed)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL), *u = sq_tape_new(SQ_F64, NULL);
    sq_var y = sq_mul(sq_constant(t, 1), sq_constant(u, 2));
    cr_expect(sq_ok(y) == false);
    EXPECT_TEXT(sq_message(t), "mul: operands belong to two tapes");
    EXPECT_ERROR(t, SQ_EVAR);
    EXPECT_SOUND(u);
    sq_tape_free(t);
    sq_tape_free(u);
}

Test(sentence, an_operand_without_a_value)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_add((sq_var){ 0 }, sq_constant(t, 1));
    EXPECT_TEXT(sq_message(t), "add: operand 1 has no value");
    EXPECT_ERROR(t, SQ_EVAR);
    sq_add(sq_constant(t, 1), (sq_var){ t, 0 });
    EXPECT_TEXT(sq_message(t), "add: operand 2 has no value");
    EXPECT_ERROR(t, SQ_EVAR);
    cr_expect(sq_ok(sq_add((sq_var){ 0 }, (sq_var){ 0 })) == false, "nowhere to post it");
    sq_tape_free(t);
}

Test(sentence, an_id_out_of_range)
{
    int32_t ids[10] = { 0, 64, 3, 3, 5, 1, 2, 65, 70, 0 };
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    steps(t, 5);
    sq_gather(mat(t, 65, 8), ids, 10);
    EXPECT_TEXT(sq_message(t), "step 4: gather: id 65 at position 7 is outside 0..64");
    EXPECT_ERROR(t, SQ_ERANGE);
    ids[7] = -1;
    steps(t, 5);
    sq_gather(mat(t, 65, 8), ids, 10);
    EXPECT_TEXT(sq_message(t), "step 4: gather: id -1 at position 7 is outside 0..64");
    EXPECT_ERROR(t, SQ_ERANGE);
    sq_tape_free(t);
}

Test(sentence, a_weight_taken_before_an_update)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = sq_params_add(p, "W", sq_mat(2, 2));
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var old = sq_use(t, w);
    cr_assert(sq_params_update(p) != NULL);
    sq_begin_step(t);
    sq_matmul(mat(t, 1, 2), old);
    EXPECT_CONTAINS(sq_message(t), "weight W was taken before the update; call sq_use again");
    EXPECT_CONTAINS(sq_message(t), "step 0: matmul: ");
    EXPECT_ERROR(t, SQ_EWEIGHT);
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- The first error wins ---------------------------------------------------------------- */

Test(sticky, the_first_message_stays_and_nothing_more_is_recorded)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 1);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 1 });
    sq_matmul(mat(t, 4, 3), mat(t, 2, 5));
    char first[512];
    snprintf(first, sizeof first, "%s", sq_message(t));
    int64_t nodes = sq_tape_statistics(t).nodes;
    cr_expect(sq_ok(x) == false, "no value is ok on a failed tape");
    cr_expect(sq_ok(sq_tanh(x)) == false && sq_ok(sq_use(t, w)) == false);
    cr_expect(sq_ok(sq_constant(t, 3)) == false && sq_ok(sq_detach(x)) == false);
    cr_expect(sq_ok(sq_add(x, (sq_var){ 0 })) == false);
    sq_begin_step(t);
    sq_end_step(t);
    cr_expect(sq_backward(x) == SQ_ESHAPE);
    cr_expect(sq_cut(t, 0, NULL, 0) == SQ_ESHAPE);
    sq_var g;
    cr_expect(sq_derive(x, &x, &g, 1) == SQ_ESHAPE);
    cr_expect(isnan(sq_item(x)) && isnan(sq_norm(x)) && isnan(sq_grad_item(x)));
    cr_expect(isnan(sq_grad_norm(x)) && sq_view_f64(x) == NULL && sq_grads(t) == NULL);
    double out = 7;
    cr_expect(sq_copy(x, &out) == SQ_ESHAPE && sq_grad_copy(x, &out) == SQ_ESHAPE && out == 7);
    EXPECT_TEXT(sq_message(t), first);
    cr_expect(sq_tape_statistics(t).nodes == nodes, "something was recorded");
    EXPECT_SOUND(t);
    sq_tape_reset(t);
    EXPECT_TEXT(sq_message(t), "");
    cr_expect(sq_item(sq_use(t, w)) == 1, "usable again");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* A whole step of nested expressions after the mistake: one sentence, told once. */
Test(sticky, a_cell_of_the_wrong_width_says_so_once)
{
    net n;
    net_new(&n, SQ_F32, 3, 4, 1);
    sq_tape *t = sq_tape_new(SQ_F32, n.params);
    const sq_unrolled *u = sq_unroll(t, &n.cell, sq_full(t, sq_shape3(5, 2, 7), 1), NULL, NULL);
    cr_expect(u == NULL);
    EXPECT_CONTAINS(sq_message(t), "step 0: ");
    EXPECT_CONTAINS(sq_message(t), "[2,7]");
    cr_expect(sq_backward(sq_sum(sq_unrolled_outputs(u))) != SQ_OK);
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_tape_free(t);
    net_free(&n);
}

/* ---- NULL, nothing, and handles from elsewhere ------------------------------------------- */

Test(nothing, null_tapes)
{
    cr_expect(sq_tape_status(NULL) == SQ_ENOMEM);
    EXPECT_TEXT(sq_message(NULL), sq_status_text(SQ_ENOMEM));
    sq_tape_reset(NULL);
    sq_begin_step(NULL);
    sq_end_step(NULL);
    cr_expect(sq_current_step(NULL) == -1);
    cr_expect(sq_tape_params(NULL) == NULL);
    (void)sq_tape_dtype(NULL);
    sq_tape_set_seed(NULL, 3);
    (void)sq_tape_random(NULL);
    cr_expect(sq_cut(NULL, 1, NULL, 0) == SQ_ENOMEM);
    cr_expect(sq_ok(sq_input(NULL, sq_scalar(), (double[]){ 1 })) == false);
    cr_expect(sq_ok(sq_leaf(NULL, sq_scalar(), (float[]){ 1 })) == false);
    cr_expect(sq_ok(sq_zeros(NULL, sq_vec(3))) == false);
    cr_expect(sq_ok(sq_constant(NULL, 3)) == false);
    cr_expect(sq_ok(sq_use(NULL, (sq_weight){ 1 })) == false);
    cr_expect(sq_ok(sq_one_hot(NULL, (int32_t[]){ 0 }, 1, 2)) == false);
    sq_zero_grads(NULL);
    cr_expect(sq_grads(NULL) == NULL);
    double out;
    cr_expect(sq_weight_grad(NULL, (sq_weight){ 1 }, &out) == SQ_ENOMEM);
    cr_expect(sq_tape_statistics(NULL).nodes == 0);
    char buf[64];
    (void)sq_tape_check(NULL, buf, sizeof buf);
    (void)sq_tape_check(NULL, NULL, 0);
    cr_expect(sq_unroll(NULL, NULL, (sq_var){ 0 }, NULL, NULL) == NULL);
}

Test(nothing, no_value)
{
    sq_var none = { 0 };
    double out;
    cr_expect(sq_ok(none) == false);
    cr_expect(sq_shape_of(none).rank == 0);
    EXPECT_TEXT(sq_name_of(none), "");
    cr_expect(isnan(sq_item(none)) && isnan(sq_norm(none)));
    cr_expect(isnan(sq_grad_item(none)) && isnan(sq_grad_norm(none)));
    cr_expect(sq_copy(none, &out) != SQ_OK && sq_grad_copy(none, &out) != SQ_OK);
    cr_expect(sq_view_f32(none) == NULL && sq_view_f64(none) == NULL);
    cr_expect(sq_backward(none) != SQ_OK);
    cr_expect(sq_backward_from(none, &out) != SQ_OK);
    cr_expect(sq_derive(none, &none, &none, 1) != SQ_OK);
    cr_expect(sq_ok(sq_name(none, "x")) == false && sq_ok(sq_keep_grad(none)) == false);
    cr_expect(sq_ok(sq_detach(none)) == false && sq_ok(sq_tanh(none)) == false);
    cr_expect(sq_ok(sq_sum(none)) == false && sq_ok(sq_stack(&none, 1)) == false);
    cr_expect(sq_ok(sq_concat(NULL, 0, 0)) == false);
}

Test(nothing, every_op_refuses_operands_without_a_value)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    for (const sq_op *const *o = sq_op_table(); *o; o++) {
        int32_t n = (*o)->arity < 0 ? 2 : (*o)->arity;
        sq_var x[3] = { { t, 0 }, { t, 0 }, { t, 0 } };
        cr_expect(sq_ok(sq_apply(*o, x, n, NULL)) == false, "%s", (*o)->name);
        EXPECT_CONTAINS(sq_message(t), (*o)->name);
        EXPECT_CONTAINS(sq_message(t), "operand 1 has no value");
        EXPECT_ERROR(t, SQ_EVAR);
    }
    sq_tape_free(t);
}

Test(nothing, handles_never_made_are_refused)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    uint64_t bad[] = {
        1, 5, 0xFFFFFF, (uint64_t)1 << 24 | 7, (uint64_t)99 << 24 | 1, UINT64_MAX
    };
    for (int i = 0; i < COUNT(bad); i++) {
        sq_begin_step(t);
        sq_var v = { t, bad[i] };
        cr_expect(sq_ok(v) == false, "%llx", (unsigned long long)bad[i]);
        sq_tanh(v);
        EXPECT_ERROR(t, SQ_EVAR);
        cr_expect(isnan(sq_item(v)));
        EXPECT_ERROR(t, SQ_EVAR);
        cr_expect(sq_backward(v) == SQ_EVAR);
        EXPECT_ERROR(t, SQ_EVAR);
    }
    sq_tape_free(t);
}

Test(nothing, handles_before_a_reset_are_stale)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var root = sq_constant(t, 1);
    sq_begin_step(t);
    sq_var inside = sq_constant(t, 2);
    sq_tape_reset(t);
    sq_constant(t, 8);
    sq_begin_step(t);
    sq_constant(t, 9);
    cr_expect(sq_ok(root) == false && sq_ok(inside) == false);
    ASSERT_HEALTHY(t);
    sq_tanh(root);
    EXPECT_CONTAINS(sq_message(t), "operand 1 is stale");
    EXPECT_ERROR(t, SQ_EVAR);
    cr_expect(isnan(sq_item(inside)));
    EXPECT_CONTAINS(sq_message(t), "stale");
    EXPECT_ERROR(t, SQ_EVAR);
    sq_tape_free(t);
}

/* ---- Shapes and sizes -------------------------------------------------------------------- */

Test(sizes, impossible_shapes_are_refused_everywhere)
{
    const int64_t big = (int64_t)1 << 40;
    sq_shape bad[] = { sq_vec(-1),
                       sq_mat(3, -1),
                       sq_mat(big, big),
                       sq_shape4(big, big, big, big),
                       sq_shape4(1 << 16, 1 << 16, 1 << 16, 1 << 16),
                       sq_vec(INT64_MAX),
                       sq_vec(INT64_MIN),
                       sq_shape_of_rank(5, 1, 1, 1),
                       sq_shape_of_rank(-1, 1, 1, 1) };
    sq_params *p = sq_params_new(SQ_F64);
    sq_tape *t = sq_tape_new(SQ_F64, p);
    double x[4] = { 0 };
    for (int i = 0; i < COUNT(bad); i++) {
        cr_expect(sq_shape_valid(bad[i]) == false, "%d", i);
        sq_zeros(t, bad[i]);
        EXPECT_ERROR(t, SQ_ESHAPE);
        sq_full(t, bad[i], 1);
        EXPECT_ERROR(t, SQ_ESHAPE);
        sq_input(t, bad[i], x);
        EXPECT_ERROR(t, SQ_ESHAPE);
        sq_leaf(t, bad[i], x);
        EXPECT_ERROR(t, SQ_ESHAPE);
        sq_reshape(sq_zeros(t, sq_vec(4)), bad[i]);
        EXPECT_ERROR(t, SQ_ESHAPE);
        sq_broadcast_to(sq_zeros(t, sq_vec(1)), bad[i]);
        EXPECT_ERROR(t, SQ_ESHAPE);
        sq_sum_to(sq_zeros(t, sq_vec(1)), bad[i]);
        EXPECT_ERROR(t, SQ_ESHAPE);
        cr_expect(sq_params_add(p, "w", bad[i]).id == 0);
        cr_expect(sq_params_status(p) == SQ_ESHAPE);
        sq_params_clear_error(p);
    }
    sq_tape_free(t);
    sq_params_free(p);
}

Test(sizes, more_than_there_is_is_out_of_memory)
{
    const int64_t huge = (int64_t)1 << 50;
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var one = sq_zeros(t, sq_vec(1));
    cr_expect(sq_ok(sq_zeros(t, sq_vec(huge))) == false);
    EXPECT_ERROR(t, SQ_ENOMEM);
    one = sq_zeros(t, sq_vec(1));
    cr_expect(sq_ok(sq_broadcast_to(one, sq_mat(huge, 1))) == false);
    EXPECT_ERROR(t, SQ_ENOMEM);
    one = sq_zeros(t, sq_vec(1));
    cr_expect(sq_ok(sq_pad(one, 0, huge, 3)) == false);
    EXPECT_ERROR(t, SQ_ENOMEM);
    one = sq_zeros(t, sq_mat(1, 0));
    cr_expect(sq_ok(sq_pad(one, 0, 1, 1)), "no elements need no memory");
    cr_expect(sq_item(sq_constant(t, 3)) == 3);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* The result of a few large operands would not fit an object: the product must not wrap. */
Test(sizes, products_of_sizes_do_not_wrap)
{
    const int64_t big = (int64_t)1 << 31;
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    const char *row[] = { "broadcast", "pad", "pad two", "one_hot", "scatter", "matmul" };
    int32_t ids[2] = { 0, 0 };
    for (int i = 0; i < COUNT(row); i++) {
        sq_var z = sq_zeros(t, sq_mat(0, 4)), y = { 0 };
        if (i == 0) y = sq_broadcast_to(sq_zeros(t, sq_scalar()), sq_mat(big, big));
        if (i == 1) y = sq_pad(sq_zeros(t, sq_mat(1, 4)), 0, INT64_MAX, 1);
        if (i == 2) y = sq_pad(sq_zeros(t, sq_mat(1, 4)), 0, INT64_MAX / 2, INT64_MAX / 2);
        if (i == 3) y = sq_one_hot(t, ids, 2, INT64_MAX / 8);
        if (i == 4) y = sq_scatter_add(sq_zeros(t, sq_mat(2, 4)), ids, 2, INT64_MAX / 16);
        if (i == 5) {
            sq_var a = sq_reshape(z, sq_mat(big * big, 0)),
                   b = sq_reshape(z, sq_mat(0, big * 4));
            y = sq_matmul(a, b);
        }
        cr_expect(sq_ok(y) == false, "%s", row[i]);
        sq_status s = sq_tape_status(t);
        cr_expect(s == SQ_ESHAPE || s == SQ_ERANGE || s == SQ_ENOMEM, "%s: %d %s", row[i],
                  (int)s, sq_message(t));
        EXPECT_SOUND(t);
        sq_tape_reset(t);
    }
    sq_tape_free(t);
}

Test(sizes, axes_and_counts_out_of_range)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    int32_t ids[3] = { 0, 1, 2 };
    int twice[2] = { 0, 0 }, outside[2] = { 0, 2 };
    for (int i = 0; i < 16; i++) {
        sq_var m = mat(t, 3, 4), y = { 0 };
        switch (i) {
        case 0: y = sq_sum_axis(m, 2); break;
        case 1: y = sq_sum_axis(m, -3); break;
        case 2: y = sq_softmax(m, 5); break;
        case 3: y = sq_slice(m, 0, 2, 2); break;
        case 4: y = sq_slice(m, 1, -1, 2); break;
        case 5: y = sq_slice(m, 1, 1, -1); break;
        case 6: y = sq_slice(m, 0, INT64_MAX, INT64_MAX); break;
        case 7: y = sq_pad(m, 0, -1, 0); break;
        case 8: y = sq_permute(m, twice); break;
        case 9: y = sq_permute(m, outside); break;
        case 10: y = sq_gather(m, ids, -1); break;
        case 11: y = sq_scatter_add(m, ids, 3, 2); break;
        case 12: y = sq_concat(&m, 1, 2); break;
        case 13: y = sq_concat(&m, 0, 0); break;
        case 14: y = sq_reshape(m, sq_vec(11)); break;
        case 15: y = sq_one_hot(t, ids, 3, 2); break;
        default: break;
        }
        cr_expect(sq_ok(y) == false, "case %d", i);
        if (i == 13) { /* no operand, so no tape to post it on */
            sq_tape_reset(t);
            continue;
        }
        cr_expect(sq_tape_status(t) == SQ_ERANGE || sq_tape_status(t) == SQ_ESHAPE,
                  "case %d: %s", i, sq_message(t));
        EXPECT_SOUND(t);
        sq_tape_reset(t);
    }
    sq_tape_free(t);
}

Test(nothing, arrays_that_are_null)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    const double *none = NULL;
    double *nowhere = NULL;
    for (int i = 0; i < 7; i++) {
        sq_var x = sq_leaf(t, sq_vec(2), ((double[]){ 1, 2 })), y = sq_square(x);
        if (i == 0) sq_input(t, sq_vec(3), none);
        if (i == 1) sq_leaf(t, sq_vec(3), none);
        if (i == 2) cr_expect(sq_backward_from(y, none) != SQ_OK);
        if (i == 3) cr_expect(sq_copy(y, nowhere) != SQ_OK);
        if (i == 4) cr_expect(sq_grad_copy(x, nowhere) != SQ_OK);
        if (i == 5) cr_expect(sq_derive(y, NULL, NULL, 1) != SQ_OK);
        if (i == 6) cr_expect(sq_cut(t, 0, NULL, 2) != SQ_OK);
        cr_expect(sq_tape_status(t) != SQ_OK, "case %d", i);
        EXPECT_SOUND(t);
        sq_tape_reset(t);
    }
    cr_expect(sq_ok(sq_input(t, sq_vec(0), none)), "no values need no array");
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* ---- Weights and precisions -------------------------------------------------------------- */

Test(weights, unknown_weights_and_missing_params)
{
    sq_params *p = sq_params_new(SQ_F32);
    sq_weight w = add_number(p, "w", 1);
    sq_tape *t = sq_tape_new(SQ_F32, p), *bare = sq_tape_new(SQ_F32, NULL);
    int32_t bad[] = { 0, 2, -1, INT32_MAX, INT32_MIN };
    for (int i = 0; i < COUNT(bad); i++) {
        cr_expect(sq_ok(sq_use(t, (sq_weight){ bad[i] })) == false);
        EXPECT_ERROR(t, SQ_EWEIGHT);
        float g;
        cr_expect(sq_weight_grad(t, (sq_weight){ bad[i] }, &g) == SQ_EWEIGHT);
        EXPECT_ERROR(t, SQ_EWEIGHT);
    }
    sq_use(bare, w);
    EXPECT_ERROR(bare, SQ_EWEIGHT);
    cr_expect(sq_grads(bare) == NULL);
    sq_tape_free(t);
    sq_tape_free(bare);
    sq_params_free(p);
}

Test(weights, params_of_another_precision)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = add_number(p, "w", 1);
    sq_tape *t = sq_tape_new(SQ_F32, p);
    cr_assert(t != NULL);
    EXPECT_STATUS(t, SQ_EDTYPE);
    EXPECT_CONTAINS(sq_message(t), "float64");
    cr_expect(sq_ok(sq_use(t, w)) == false && sq_ok(sq_constant(t, 1)) == false);
    sq_tape_reset(t);
    cr_expect(sq_ok(sq_use(t, w)) == false, "doubles must never be read as floats");
    EXPECT_SOUND(t);
    sq_tape_free(t);
    sq_params_free(p);
}

/* ---- Gradients that are not there -------------------------------------------------------- */

Test(gradients, of_a_constant_and_of_an_unmarked_variable)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 2 }), c = sq_constant(t, 3);
    sq_var inside = sq_square(x), loss = sq_mul(c, inside);
    BACKWARD(loss);
    double out = 7;
    cr_expect(isnan(sq_grad_item(inside)));
    EXPECT_CONTAINS(sq_message(t), "sq_keep_grad");
    EXPECT_ERROR(t, SQ_EGRAD);

    x = sq_leaf(t, sq_scalar(), (double[]){ 2 });
    c = sq_constant(t, 3);
    BACKWARD(sq_mul(c, sq_square(x)));
    cr_expect(sq_grad_copy(c, &out) == SQ_EGRAD && out == 7);
    EXPECT_ERROR(t, SQ_EGRAD);

    x = sq_leaf(t, sq_scalar(), (double[]){ 2 });
    inside = sq_square(x);
    BACKWARD(sq_mul_scalar(inside, 3));
    cr_expect(isnan(sq_grad_norm(inside)));
    EXPECT_CONTAINS(sq_message(t), "sq_keep_grad");
    EXPECT_ERROR(t, SQ_EGRAD);
    sq_tape_free(t);
}

Test(gradients, a_sweep_starts_from_one_number)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = sq_params_add(p, "w", sq_vec(3));
    sq_tape *t = sq_tape_new(SQ_F64, p);
    cr_expect(sq_backward(sq_square(sq_use(t, w))) == SQ_ESHAPE);
    EXPECT_CONTAINS(sq_message(t), "[3]");
    EXPECT_ERROR(t, SQ_ESHAPE);
    cr_expect(sq_backward(sq_zeros(t, sq_vec(0))) == SQ_ESHAPE);
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_zero_grads(t);
    cr_expect(sq_backward(sq_sum(sq_square(sq_use(t, w)))) == SQ_OK);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(gradients, ledgers_of_nothing)
{
    cr_expect(sq_ledger_new(NULL, (sq_var){ 0 }, NULL) == NULL);
    sq_ledger_free(NULL);
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_begin_step(t);
    sq_var h = sq_tanh(sq_leaf(t, sq_vec(2), ((double[]){ 1, 2 })));
    sq_end_step(t);
    cr_expect(sq_ledger_of_states(&h, 1, 1, sq_square(h), NULL) == NULL, "not a scalar");
    EXPECT_ERROR(t, SQ_ESHAPE);
    sq_tape_free(t);
}
