/* loss_rows.c -- losses that are compositions: hinges, and independent coins.
 *
 * A masked row is replaced by zeros before anything is computed from it and its loss is dropped
 * afterwards: a NaN in it goes nowhere, in derivatives of any order. */
#include "core/tape_impl.h"
#include "ops/ops_impl.h"

#include <float.h>
#include <inttypes.h>

/* x[..,n] with zeros where the mask, an entry for each row, is 0. */
static sq_var kept(sq_var x, const int32_t *mask)
{
    if (!mask || !sq_ok(x)) return x;
    sq_shape rows = sqi_with_size(sq_shape_of(x), -1, 1);
    return sq_where(mask, rows, x, sq_constant(x.tape, 0));
}

/* One loss for each row, by the reduction. */
static sq_var over_rows(sq_var rows, const int32_t *mask, sq_reduction how)
{
    if (!sq_ok(rows)) return rows;
    sq_shape s = sq_shape_of(rows);
    if (how == SQ_MEAN) return mask ? sq_masked_mean(rows, mask, s) : sq_mean(rows);
    if (how == SQ_SUM) return mask ? sq_masked_sum(rows, mask, s) : sq_sum(rows);
    return mask ? sq_where(mask, s, rows, sq_constant(rows.tape, 0)) : rows;
}

static bool check_rows(sq_tape *t, sq_shape s, sq_reduction how)
{
    if (s.rank < 1) return sq_post(t, SQ_ESHAPE, "a scalar has no rows");
    return sqi_check_reduction(t, how, sqi_rows_of(s, -1).outer);
}

/* ---- Pairs --------------------------------------------------------------------------------- */

sq_var sq_hinge(sq_var z, sq_var t, sq_reduction reduction)
{
    sq_tape *tape = z.tape ? z.tape : t.tape;
    sq_shape s;
    if (!sqi_compose_pair("hinge", z, t, &s) ||
        !(reduction == SQ_ROWS ? check_rows(tape, s, reduction)
                               : sqi_check_reduction(tape, reduction, sq_shape_size(s))))
        return sqi_none(tape);
    return sqi_reduced(sq_relu(sq_rsub_scalar(sq_mul(t, z), 1)), reduction);
}

sq_var sq_bernoulli_nll(sq_var logits, sq_var targets, const int32_t *mask,
                        sq_reduction reduction)
{
    sq_tape *t = logits.tape ? logits.tape : targets.tape;
    sq_shape s;
    if (!sqi_compose_pair("bernoulli_nll", logits, targets, &s) || !check_rows(t, s, reduction))
        return sqi_none(t);
    sq_var rows = sq_bce_logits(kept(logits, mask), kept(targets, mask), SQ_ROWS);
    return over_rows(rows, mask, reduction);
}

/* ---- Several classes ------------------------------------------------------------------------- */

/* What both need, of logits as rows [R,C]: 1 at the labels, and the logit of the label [R,1]. */
typedef struct labelled {
    sq_var rows, hot, own;
    sq_shape shape; /* one number for each row */
} labelled;

static bool open_labels(const char *name, sq_var x, const sq_attr *attr, sq_reduction how,
                        labelled *l)
{
    sq_shape s;
    if (!sqi_compose(name, x, &s) || !check_rows(x.tape, s, how) ||
        !sqi_check_ids(x.tape, attr, s.dim[s.rank - 1], "label"))
        return false;
    sq_shape rows = sq_mat(attr->n_ids, s.dim[s.rank - 1]);
    l->shape = sqi_without(s, -1);
    l->hot = sqi_one_hot(x.tape, attr, rows.dim[1]);
    l->rows = kept(sq_reshape(x, rows), attr->mask);
    sq_var own = sq_select(l->hot, l->rows, sq_constant(x.tape, 0));
    l->own = sq_sum_to(own, sq_mat(rows.dim[0], 1));
    return sq_ok(l->own);
}

static sq_attr labels_attr(sq_var x, const int32_t *labels, const int32_t *mask)
{
    sq_attr attr = { .ids = labels, .mask = mask };
    sq_shape s = sq_ok(x) ? sq_shape_of(x) : sq_scalar();
    if (s.rank > 0) attr.n_ids = sqi_rows_of(s, -1).outer;
    return attr;
}

/* 1 + z_j - z_y, at 0 or above. */
static sq_var violations(const labelled *l, sq_var z)
{
    return sq_relu(sq_add_scalar(sq_sub(z, l->own), 1));
}

/* The label's own logit is put out of the way with the least number there is. */
sq_var sq_hinge_max(sq_var logits, const int32_t *labels, const int32_t *mask,
                    sq_reduction reduction)
{
    sq_attr attr = labels_attr(logits, labels, mask);
    labelled l;
    if (!open_labels("hinge_max", logits, &attr, reduction, &l)) return sqi_none(logits.tape);
    double least = sq_tape_dtype(logits.tape) == SQ_F32 ? -(double)FLT_MAX : -DBL_MAX;
    sq_var others = sq_select(l.hot, sq_constant(logits.tape, least), l.rows);
    sq_var worst = sq_reshape(sq_max_axis(others, -1), sq_mat(attr.n_ids, 1));
    return over_rows(sq_reshape(violations(&l, worst), l.shape), mask, reduction);
}

sq_var sq_hinge_all(sq_var logits, const int32_t *labels, const int32_t *mask,
                    sq_reduction reduction)
{
    sq_attr attr = labels_attr(logits, labels, mask);
    labelled l;
    if (!open_labels("hinge_all", logits, &attr, reduction, &l)) return sqi_none(logits.tape);
    sq_var others = sq_select(l.hot, sq_constant(logits.tape, 0), violations(&l, l.rows));
    return over_rows(sq_reshape(sq_sum_axis(others, -1), l.shape), mask, reduction);
}
