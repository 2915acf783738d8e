/* arith_kernels.c -- the table of arithmetic of one instruction set; compiled once per set.
 *
 * Plain loops that the compiler vectorises, float and double from one body. Compiled without
 * fused multiply-adds and with every sum cut into the same blocks and partial sums, so that all
 * instruction sets give the same bits. */
#include "core/kernels/gemm_impl.h"

#include <string.h>

/* ((p0 + p1) + (p2 + p3)) + ((p4 + p5) + (p6 + p7)), each taken `at` a column or as it is */
#define SUM8(p, at)                                        \
    ((((p)[0] at + (p)[1] at) + ((p)[2] at + (p)[3] at)) + \
     (((p)[4] at + (p)[5] at) + ((p)[6] at + (p)[7] at)))

enum {
    STRIP = 16, /* columns summed side by side */
    BLOCK = 512 /* terms of a sum after which its partial sums are emptied */
};

/* Axes of a move, outermost first, that has been brought into an order fit for looping. */
typedef struct axis {
    int64_t dim, y, x;
} axis;

typedef struct axes {
    int n;
    axis at[4];
} axes;

/* Appends an axis; joins it with the one before where both operands run on without a gap. */
static void push(axes *s, axis a)
{
    axis *last = s->n ? &s->at[s->n - 1] : NULL;
    if (last && last->y == a.dim * a.y && last->x == a.dim * a.x) {
        last->dim *= a.dim;
        last->y = a.y;
        last->x = a.x;
    } else {
        s->at[s->n++] = a;
    }
}

/* Splits the box into the axes that y keeps and those it sums over; counts its elements. */
static int64_t split(const sqi_move *m, axes *kept, axes *summed)
{
    int64_t count = 1;
    for (int i = 0; i < 4; i++) {
        axis a = { m->dim[i], m->y_stride[i], m->x_stride[i] };
        count *= a.dim;
        if (a.dim != 1) push(a.y == 0 && m->add ? summed : kept, a);
    }
    return count;
}

/* Fills up to four axes with axes of one element in front. */
static void pad(axes *s)
{
    axes out = { 4, { { 1, 0, 0 }, { 1, 0, 0 }, { 1, 0, 0 }, { 1, 0, 0 } } };
    for (int i = 0; i < s->n; i++) out.at[4 - s->n + i] = s->at[i];
    *s = out;
}

/* The bits of a number, and those of its exponent: all set where it is not finite. */
typedef uint32_t bits_f32;
typedef uint64_t bits_f64;
static const bits_f32 exponent_f32 = UINT32_C(0x7f800000);
static const bits_f64 exponent_f64 = UINT64_C(0x7ff0000000000000);

#define SQI_TMPL "core/kernels/arith_tmpl.h"
#include "core/both_tmpl.h"

#define TEXT_(name) #name
#define TEXT(name) TEXT_(name)
#define TABLE(d)                                                                          \
    {                                                                                     \
        SQI_OF_ISA(sqi_gemm_##d##_), SQI_OF_ISA(sqi_panels_##d##_),                       \
            SQI_OF_ISA(sqi_panels_bytes_##d##_), SQI_OF_ISA(sqi_pack_##d##_),             \
            SQI_OF_ISA(sqi_product_##d##_), SQI_OF_ISA(sqi_grad_scratch_##d##_),          \
            SQI_OF_ISA(sqi_grad_product_##d##_), move_##d, fill_##d, axpy_##d, sumsq_##d, \
            finite_##d, from_f32_##d, from_f64_##d, to_f32_##d, to_f64_##d                \
    }

const sq_kernels SQI_OF_ISA(sqi_kernels_) = {
    TEXT(SQ_ISA), SQI_JOIN(SQI_ISA_, SQ_ISA), { [SQ_F32] = TABLE(f32), [SQ_F64] = TABLE(f64) }
};
