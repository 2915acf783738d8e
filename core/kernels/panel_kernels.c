/* panel_kernels.c -- packed products and weight gradients; compiled once per instruction set,
 * with fused multiply-adds where the set has them.
 *
 * The order of summation is that of kernels.h in both bodies, so that a row of a result has the
 * same bits alone and among others, whatever the tile or the range of panels. Instruction sets
 * with vectors get tiles of vectors; the base gets plain loops over strips, which are also what
 * the tests compare against. */
#include "core/kernels/gemm_impl.h"
#include "core/kernels/product_impl.h"

#include <stdatomic.h>
#include <string.h>

/* Bounds the copy of one panel of gradients on the stack: 1024 rows of two 64-byte vectors, or
 * of a strip of the plain body, are 128 KiB. */
#define GRAD_BLOCK 1024

/* Steps of k by which rows that lie far apart are fetched ahead; hardware follows only short
 * steps. */
#define AHEAD 16

/* Rows of A that meet all panels before the next ones do: with a K of 512 they are a quarter
 * of a megabyte, which stays in the second-level cache. */
#define ROWS_AT_ONCE 120

/* Panels of up to so many bytes stay in the second-level cache from step to step; of more, the
 * next panel is fetched while the tiles of one are at work. */
#define NEAR_BYTES (1 << 20)

/* Rows of a left operand this long are copied before they meet so many panels of gradients. */
enum { FAR_BYTES = 512, MANY_PANELS = 8 };

/* Rows that are packed for all panels before the next ones are. */
#define PACK_ROWS 16

/* Of the tiles of one row in two chains: eight sums cover the time that one takes. */
enum { SINGLE_VECTORS = 4 };

static int64_t total(int64_t n, const int64_t *length)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += length[i];
    return sum;
}

/* The columns of all parts are cut into pieces of `unit` columns, the last of a part may be
 * narrower: one vector, or one strip of the plain body. */
typedef struct piece {
    int32_t part;
    int64_t at, width; /* columns at .. at + width - 1 of the part */
} piece;

static int64_t pieces(int32_t n_parts, const int64_t *width, int64_t unit)
{
    int64_t n = 0;
    for (int32_t p = 0; p < n_parts; p++) n += (width[p] + unit - 1) / unit;
    return n;
}

static piece piece_at(const int64_t *width, int64_t unit, int64_t i)
{
    piece s = { 0, i * unit, 0 };
    for (; s.at >= width[s.part]; s.part++) s.at -= (width[s.part] + unit - 1) / unit * unit;
    s.width = width[s.part] - s.at < unit ? width[s.part] - s.at : unit;
    return s;
}

#if SQ_VECTOR_BYTES > 0
/* Bytes of a line of the cache, and vectors in it. */
enum { LINE = 64, LINE_VECTORS = SQ_VECTOR_BYTES < LINE ? LINE / SQ_VECTOR_BYTES : 1 };

/* So many k make one turn of a product's loop: the end of up to a hundred turns is foreseen by the
 * processor, and one that is not costs as much as three k. */
enum { TURNS = 2 };

/* Two units that take four cycles for a sum want 8 of them, and a few more to be on time. */
enum { ENOUGH_SUMS = 10 };

#define BODY "core/kernels/panel_vector_tmpl.h"
#else
#define BODY "core/kernels/panel_plain_tmpl.h"
#endif

#define real float
#define REAL_BYTES 4
#define OF_REAL(name) name##_f32
#include BODY
#undef real
#undef REAL_BYTES
#undef OF_REAL

#define real double
#define REAL_BYTES 8
#define OF_REAL(name) name##_f64
#include BODY

#define EXPORT(d)                                                                       \
    int64_t SQI_OF_ISA(sqi_panels_##d##_)(int32_t n_parts, const int64_t *width)        \
    {                                                                                   \
        return panels_##d(n_parts, width);                                              \
    }                                                                                   \
    size_t SQI_OF_ISA(sqi_panels_bytes_##d##_)(const sqi_panels *b)                     \
    {                                                                                   \
        return panels_bytes_##d(b);                                                     \
    }                                                                                   \
    void SQI_OF_ISA(sqi_pack_##d##_)(const sqi_panels *b, int32_t sum, int32_t part,    \
                                     const void *x, int64_t row, int64_t col)           \
    {                                                                                   \
        pack_##d(b, sum, part, x, row, col);                                            \
    }                                                                                   \
    void SQI_OF_ISA(sqi_product_##d##_)(const sqi_panel_product *p) { product_##d(p); } \
    size_t SQI_OF_ISA(sqi_grad_scratch_##d##_)(const sqi_grad_product *p)               \
    {                                                                                   \
        return grad_scratch_##d(p);                                                     \
    }                                                                                   \
    void SQI_OF_ISA(sqi_grad_product_##d##_)(const sqi_grad_product *p) { grad_product_##d(p); }
EXPORT(f32)
EXPORT(f64)
