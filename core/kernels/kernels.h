/* kernels.h -- the arithmetic, one table per instruction set.
 *
 * The plain C reference (table "base") is always built. The files *_kernels.c are compiled once per
 * instruction set by the build, with that set's compiler flags and SQ_VECTOR_BYTES; the table with
 * the highest level that this processor runs is chosen when a tape is made and held there.
 * Nowhere else names an instruction set.
 *
 * Kernel laws, each with a test:
 *  (a) a value does not depend on its position in an array or on the array's length;
 *  (b) the order of summation inside a product is fixed by its K alone, never by M, N, tile or
 *      edge: a row's bits do not depend on its neighbours.
 * No kernel allocates, and none reads or writes a byte outside its operands. Addresses need the
 * alignment of their element only. Operands of one call do not overlap unless said. */
#ifndef SQ_CORE_KERNELS_H
#define SQ_CORE_KERNELS_H

#include "core/dtype.h"

/* The instruction sets of this build, by rising level. Each has a table sqi_kernels_NAME; the build
 * says which they are besides the plain one. */
#ifdef SQ_AVX2_KERNELS
#define SQI_AVX2(ROW) ROW(avx2)
#else
#define SQI_AVX2(ROW)
#endif
#ifdef SQ_AVX512_KERNELS
#define SQI_AVX512(ROW) ROW(avx512)
#else
#define SQI_AVX512(ROW)
#endif
#ifdef SQ_NEON_KERNELS
#define SQI_NEON(ROW) ROW(neon)
#else
#define SQI_NEON(ROW)
#endif
#define SQI_ISAS(ROW) ROW(base) SQI_AVX2(ROW) SQI_AVX512(ROW) SQI_NEON(ROW)
#define SQI_ROW(name) SQI_ISA_##name,
enum sqi_isa { SQI_ISAS(SQI_ROW) SQI_N_ISAS };
#undef SQI_ROW

/* C[i,j] = sum_k A(i,k) B(k,j), or += with `add`. A(i,k) = a[i*a_row + k*a_col], and so for B; one
 * of b_row, b_col is 1; C has rows of c_row elements. K = 0 sums nothing: C = 0, or unchanged. */
typedef struct sqi_gemm {
    int64_t m, n, k;
    const void *a;
    int64_t a_row, a_col;
    const void *b;
    int64_t b_row, b_col;
    void *c;
    int64_t c_row;
    bool add;
} sqi_gemm;

/* y[i*y_stride] (=, or += with `add`) x[i*x_stride] over a box of up to 4 axes. Stride 0 in x
 * repeats; stride 0 in y (with add) sums. So this one loop is copy, transpose, slice, pad,
 * concat, broadcast and every sum. A sum runs over eight partial sums, which are emptied into one
 * in double after every 512 terms: its rounding error does not grow with its length. */
typedef struct sqi_move {
    int64_t dim[4];
    void *y;
    int64_t y_stride[4];
    const void *x;
    int64_t x_stride[4];
    bool add;
} sqi_move;

/* ---- Packed products ------------------------------------------------------------------------
 *
 * What a plan multiplies with at every step is packed once. The right operand of a merged product
 * is a grid of matrices B_(s,p): n_sums of them are summed (their left operands differ), n_parts
 * stand side by side (their results go to destinations of their own: the gates):
 *
 *                part 0     part 1                columns of all parts are cut into vectors,
 *     sum 0    | B_(0,0) | B_(0,1) |  depth[0]    padded with zeros; two vectors make a panel,
 *     sum 1    | B_(1,0) | B_(1,1) |  depth[1]    which may span two parts. A panel holds its
 *               width[0]   width[1]               rows k of all sums one after the other. */
typedef struct sqi_panels {
    int32_t n_sums, n_parts;
    const int64_t *depth; /* [n_sums] */
    const int64_t *width; /* [n_parts] */
    void *data;           /* panels_bytes of them, 64-byte aligned */
} sqi_panels;

/* Where the columns of one part go: c = from + product. from may be c, or NULL for zeros; its rows
 * are from_row apart, 0 for a bias. Row i of the product takes row i of it, or row pick[i]. */
typedef struct sqi_out {
    void *c;
    int64_t c_row;
    const void *from;
    int64_t from_row;
    const int32_t *pick; /* [m] or NULL */
} sqi_out;

/* C_p[i,j] = From_p[i,j] + sum_s sum_k A_s[i,k] B_(s,p)[k,j] for i < m and the panels first to
 * last - 1. Each element is one chain of multiply-adds over s, then k, ascending, started at zero;
 * From is added at the end. With `single`, said when the whole batch has one row (so that its rows
 * are never dealt out to threads), it is two chains, k mod 2 of each s, added at
 * the end: one row alone could not keep the processor busy otherwise. */
typedef struct sqi_panel_product {
    const sqi_panels *b;
    int64_t m;
    bool single;
    const void *const *a; /* [n_sums]; rows a_row[s] apart */
    const int64_t *a_row;
    const sqi_out *out; /* [n_parts] */
    int64_t first, last;
} sqi_panel_product;

/* The weight gradients of one block of steps:
 *     C_(a,p) += sum_k A_a[k,:]^T G_p[k,:]       sum_p += sum_k G_p[k,:]
 * for the panels first to last - 1, which are counted as in sqi_panels with width = n. Each element
 * is one chain over k ascending from zero, added to C at the end (a K above 1024 is cut into blocks
 * of nearly equal length, each such a chain, added in turn); strides may be negative, so the caller
 * says in which order rows come. An address in c or sums may be NULL: not wanted. It takes 130 KiB
 * of stack.
 *
 * With `resume` the chains start at what C and sums hold and replace it: pieces of one K, handed
 * over in order into zeros, give the bits of the whole chain, whatever its length.
 * With scratch, of grad_scratch bytes and 64-byte aligned, the left operands are copied into the
 * order in which they are read; without it (NULL) they are read where they lie. */
typedef struct sqi_grad_product {
    int64_t k;
    int32_t n_left, n_parts;
    const void *const *a; /* [n_left]; m[a] columns, rows a_row[a] apart */
    const int64_t *a_row, *m;
    const void *const *g; /* [n_parts]; n[p] columns, rows g_row[p] apart */
    const int64_t *g_row, *n;
    void *const *c;    /* [n_left][n_parts]: [m[a], n[p]], dense */
    void *const *sums; /* [n_parts] */
    int64_t first, last;
    bool resume;
    void *scratch;
} sqi_grad_product;

/* One precision of one instruction set. */
typedef struct sqi_arith {
    void (*gemm)(const sqi_gemm *g);
    int64_t (*panels)(int32_t n_parts, const int64_t *width); /* how many */
    size_t (*panels_bytes)(const sqi_panels *b);
    /* B_(sum,part)[k,j] = x[k*row + j*col]; the zeros that pad a part come with it. */
    void (*pack)(const sqi_panels *b, int32_t sum, int32_t part, const void *x, int64_t row,
                 int64_t col);
    void (*product)(const sqi_panel_product *p);
    size_t (*grad_scratch)(const sqi_grad_product *p); /* 0: it would gain nothing */
    void (*grad_product)(const sqi_grad_product *p);
    void (*move)(const sqi_move *m);
    void (*fill)(int64_t n, void *y, double value);                /* y = value */
    void (*axpy)(int64_t n, double alpha, const void *x, void *y); /* y += alpha x */
    double (*sumsq)(int64_t n, const void *x); /* sum of squares, in double */
    bool (*finite)(int64_t n, const void *x);  /* none is infinite, none is not a number */
    void (*from_f32)(int64_t n, const float *x, void *y); /* y = x, converted; also to_* */
    void (*from_f64)(int64_t n, const double *x, void *y);
    void (*to_f32)(int64_t n, const void *x, float *y);
    void (*to_f64)(int64_t n, const void *x, double *y);
} sqi_arith;

typedef struct sq_kernels {
    const char *name; /* "base", "avx2", "avx512", "neon" */
    enum sqi_isa isa; /* index for tables that other files compile per instruction set */
    sqi_arith of[2];  /* by sq_dtype */
} sq_kernels;

#define SQI_ROW(name) extern const sq_kernels sqi_kernels_##name;
SQI_ISAS(SQI_ROW)
#undef SQI_ROW

/* The best table this processor runs, capped by the environment variable SEQGRAD_ISA
 * (base, avx2, avx512 or neon; any other text, or a set that was not built, caps nothing). */
const sq_kernels *sqi_kernels_select(void);

/* The table of that name if this build has it and this processor runs it, else NULL. */
const sq_kernels *sqi_kernels_named(const char *name);

#endif
