/* The smallest C user: y = x tanh x and its derivative, and a cell over three steps. */
#include <seqgrad/seqgrad.h>

#include <math.h>
#include <stdio.h>

static int one_expression(void)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), (double[]){ 0.5 });
    sq_var y = sq_mul(x, sq_tanh(x));
    if (sq_backward(y)) puts(sq_message(t));
    double th = tanh(0.5), want = th + 0.5 * (1 - th * th);
    int bad = !(fabs(sq_grad_item(x) - want) < 1e-12);
    sq_tape_free(t);
    return bad;
}

static int one_cell(void)
{
    sq_params *p = sq_params_new(SQ_F32);
    sq_lstm w;
    if (sq_lstm_init(&w, p, "lstm", 2, 4, 1)) puts(sq_params_message(p));
    sq_cell cell = sq_lstm_cell(&w);
    sq_check_result result;
    sq_status status = sq_check_cell(&cell, p, 3, 2, 2, NULL, &result);
    if (status || !result.ok) puts(result.text);
    sq_params_free(p);
    return status || !result.ok;
}

int main(void) { return one_expression() || one_cell(); }
