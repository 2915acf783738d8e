/* vector_tmpl.h -- vectors of SQ_VECTOR_BYTES in the compiler's vector extensions: their type,
 * loads and stores of less than a whole one, and the transposition of a square of them. The
 * bodies of the products include it once per `real`. */
#undef VL
#undef vec
#undef LOW
#undef HIGH

#define VL (SQ_VECTOR_BYTES / REAL_BYTES)
#define vec OF_REAL(vec)

/* The two halves of a pair of vectors, interleaved. */
#if VL == 2
#define LOW 0, 2
#define HIGH 1, 3
#elif VL == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#elif VL == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif

typedef real vec __attribute__((vector_size(SQ_VECTOR_BYTES), aligned(REAL_BYTES), may_alias));

/* Copies lanes < VL elements in pieces of fixed size, the largest first. */
static inline void OF_REAL(copy_lanes)(real *y, const real *x, int64_t lanes)
{
#define PIECE(n)                                   \
    if (VL > n && (lanes & n)) {                   \
        memcpy(y, x, VL > n ? n * REAL_BYTES : 0); \
        y += n;                                    \
        x += n;                                    \
    }
    PIECE(8)
    PIECE(4)
    PIECE(2)
    PIECE(1)
#undef PIECE
}

/* The first lanes <= VL elements at x, then zeros. */
static inline vec OF_REAL(load_lanes)(const real *x, int64_t lanes)
{
    if (lanes == VL) return *(const vec *)x;
    real line[VL] = { 0 };
    OF_REAL(copy_lanes)(line, x, lanes);
    return *(const vec *)line;
}

static inline void OF_REAL(store_lanes)(real *y, vec v, int64_t lanes)
{
    if (lanes == VL) {
        *(vec *)y = v;
        return;
    }
    real line[VL];
    *(vec *)line = v;
    OF_REAL(copy_lanes)(y, line, lanes);
}

/* Transposes VL x VL elements: interleaving the upper with the lower half rotates the bits of
 * an element's address by one, so log2(VL) rounds swap row and column. */
static inline void OF_REAL(transpose)(vec *v)
{
    UNROLL
    for (int s = 1; s < VL; s *= 2) {
        vec w[VL];
        UNROLL
        for (int i = 0; i < VL / 2; i++) {
            w[2 * i] = __builtin_shufflevector(v[i], v[i + VL / 2], LOW);
            w[2 * i + 1] = __builtin_shufflevector(v[i], v[i + VL / 2], HIGH);
        }
        memcpy(v, w, sizeof w);
    }
}
