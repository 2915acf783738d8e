/* first_gradient -- one gradient in ten lines; then one weight used at every step of a sequence, which
 * is where backpropagation through time begins.
 *
 * Everything is a scalar here: with pencil and paper the numbers can be had as well. */
#include "../common/files.h"
#include "../common/flags.h"
#include "../common/say.h"

#include <seqgrad/seqgrad.h>

#include <stdio.h>
#include <string.h>

enum { MAX_STEPS = 50 };

typedef struct options {
    double x, w;
    int64_t steps;
} options;

static const flag table[] = {
    { "--x", "X", FLAG_REAL, offsetof(options, x), -10, 10,
      "where y = x tanh x is looked at; also h_0 [0.5]" },
    { "--w", "X", FLAG_REAL, offsetof(options, w), -10, 10,
      "the weight of h_t = tanh(w h_(t-1)) [1.5]" },
    { "--steps", "N", FLAG_COUNT, offsetof(options, steps), 1, MAX_STEPS, "T [3]" },
    { 0 },
};

/* y = x tanh x,   dy/dx = tanh x + x (1 - tanh^2 x) */
static void one_gradient(double at)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_leaf(t, sq_scalar(), &at);
    sq_var y = sq_mul(x, sq_tanh(x));
    if (sq_backward(y)) die("%s", sq_message(t));
    printf("y = %.6f, dy/dx = %.6f\n\n", sq_item(y), sq_grad_item(x));
    sq_tape_free(t);
}

/* h_t = tanh(w h_(t-1)):   dh_T/dh_t = product over s > t of w (1 - h_s^2)
 *                          dh_T/dw   = sum over t of dh_T/dh_t (1 - h_t^2) h_(t-1) */
static void through_time(const options *o)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var w = sq_leaf(t, sq_scalar(), &o->w);
    sq_var h[MAX_STEPS + 1] = { sq_leaf(t, sq_scalar(), &o->x) };
    for (int64_t i = 1; i <= o->steps; i++) {
        sq_begin_step(t);
        h[i] = sq_tanh(sq_mul(w, h[i - 1]));
    }
    if (sq_backward(h[o->steps])) die("%s", sq_message(t));

    printf(" t   h_t        dh_%lld/dh_t\n", (long long)o->steps);
    for (int64_t i = 0; i <= o->steps; i++)
        printf("%2lld   %9.6f  %9.6f\n", (long long)i, sq_item(h[i]), sq_grad_item(h[i]));
    printf("dh_%lld/dw = %.6f\n", (long long)o->steps, sq_grad_item(w));
    sq_tape_free(t);
}

int main(int argc, char **argv)
{
    options o = { .x = .5, .w = 1.5, .steps = 3 };
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) {
            puts(
                "first_gradient -- y = x tanh x, dy/dx, and h_t = tanh(w h_(t-1)) over T steps.\n");
            flags_help(table);
            puts("  --help              this text");
            return 0;
        }
    flags_read(table, &o, argc, argv, 1);
    one_gradient(o.x);
    through_time(&o);
    file_end_stdout();
    return 0;
}
