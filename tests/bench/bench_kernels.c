/* bench_kernels.c -- how near the kernels come to what one core can do.
 *
 * Every row alternates a few milliseconds of independent multiply-adds in registers, the peak,
 * with a few of the kernel; the share is of the larger peak before and after, so that the clock
 * hardly moves it. The upper quartile of the rounds is printed, for whatever else runs on the
 * machine can only slow them down; say more rounds where it is busy. The shapes are those of a
 * recurrent layer with four gates: M rows of the batch, H hidden units. */
#define _POSIX_C_SOURCE 200809L
#include "core/kernels/kernels.h"
#include "ops/map_impl.h"
#include "tests/bench/isa.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const usage =
    "usage: bench_kernels [options]\n"
    "  Times the kernels of one core.\n"
    "  --only KIND    recurrent, dh, hoist, grad, pack, gemm or map (default: all)\n"
    "  --rows M       only this number of rows, where rows vary\n"
    "  --hidden H     only this number of hidden units, where they vary\n"
    "  --double       in double (default: float)\n"
    "  --rounds N     rounds of a row (default: 9)\n"
    "  --csv          isa,dtype,kind,shape,value,unit,share_of_peak\n"
    "  --help         this text\n" ISA_USAGE;

typedef struct options {
    const char *only;
    int64_t rows, hidden;
    int rounds;
    sq_dtype d;
    bool csv;
    const sq_kernels *table;
    const sqi_arith *k;
} options;

/* ---- Time -------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- The peak ---------------------------------------------------------------------------- */

/* Twelve independent chains hide the latency of two units; the asm keeps every one of them. */
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define CHAINS(name, target, bytes, code)                                       \
    target static void name(int64_t turns)                                      \
    {                                                                           \
        typedef float wide __attribute__((vector_size(bytes)));                 \
        wide x = { 0 }, c0 = x, c1 = x, c2 = x, c3 = x, c4 = x, c5 = x, c6 = x; \
        wide c7 = x, c8 = x, c9 = x, c10 = x, c11 = x;                          \
        for (; turns > 0; turns--) { TWELVE(code) }                             \
    }

#ifdef __x86_64__
#define FUSED(i) __asm__ volatile("vfmadd231ps %1, %1, %0" : "+v"(c##i) : "v"(x));
#define UNFUSED(i)                                                       \
    {                                                                    \
        wide t;                                                          \
        __asm__ volatile("movaps %2, %1\n\tmulps %2, %1\n\taddps %1, %0" \
                         : "+x"(c##i), "=&x"(t)                          \
                         : "x"(x));                                      \
    }
CHAINS(chains_base, , 16, UNFUSED)
#ifdef SQ_AVX2_KERNELS
CHAINS(chains_avx2, __attribute__((target("avx2,fma"))), 32, FUSED)
#endif
#ifdef SQ_AVX512_KERNELS
CHAINS(chains_avx512, __attribute__((target("avx512f"))), 64, FUSED)
#endif
#elif defined __aarch64__
#define FUSED(i) __asm__ volatile("fmla %0.4s, %1.4s, %1.4s" : "+w"(c##i) : "w"(x));
CHAINS(chains_base, , 16, FUSED)
#define chains_neon chains_base
#else
#define chains_base NULL
#endif

static const struct peak {
    void (*chains)(int64_t turns);
    double flops; /* of one turn, in float */
} peaks[] = {
    [SQI_ISA_base] = { chains_base, 12 * 2 * 4 },
#ifdef SQ_AVX2_KERNELS
    [SQI_ISA_avx2] = { chains_avx2, 12 * 2 * 8 },
#endif
#ifdef SQ_AVX512_KERNELS
    [SQI_ISA_avx512] = { chains_avx512, 12 * 2 * 16 },
#endif
#ifdef SQ_NEON_KERNELS
    [SQI_ISA_neon] = { chains_neon, 12 * 2 * 4 },
#endif
};

/* Flops a second of two milliseconds of chains; 0 where nobody wrote them. */
static double peak_rate(const options *o)
{
    const struct peak *p = &peaks[o->table->isa];
    if (!p->chains) return 0;
    double from = now(), to, turns = 0;
    do {
        p->chains(20000);
        turns += 20000;
        to = now();
    } while (to - from < 2e-3);
    return turns * p->flops / (o->d == SQ_F64 ? 2 : 1) / (to - from);
}

/* ---- A row ------------------------------------------------------------------------------- */

enum { MAX_ROUNDS = 1000 };

static double larger(double a, double b) { return a > b ? a : b; }

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double upper_quartile(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, by_size);
    return x[n - 1 - n / 4];
}

/* Calls a second, over four milliseconds or one call. */
static double call_rate(void (*call)(const void *task), const void *task, int64_t at_once)
{
    double from = now(), to, calls = 0;
    do {
        for (int64_t i = 0; i < at_once; i++) call(task);
        calls += (double)at_once;
        to = now();
    } while (to - from < 4e-3);
    return calls / (to - from);
}

/* Prints flops a second and their share of peak, or else nanoseconds per item. */
static void measure(const options *o, const char *kind, const char *shape,
                    void (*call)(const void *task), const void *task, double flops,
                    double items)
{
    double rate[MAX_ROUNDS], share[MAX_ROUNDS], before = peak_rate(o);
    int64_t at_once = 1 + (int64_t)(call_rate(call, task, 1) * 1e-4);
    for (int i = 0; i < o->rounds; i++) {
        rate[i] = call_rate(call, task, at_once);
        double after = peak_rate(o), peak = larger(before, after);
        share[i] = peak > 0 ? rate[i] * flops / peak : 0;
        before = after;
    }
    double calls = upper_quartile(rate, o->rounds), part = upper_quartile(share, o->rounds);
    double value = flops > 0 ? calls * flops * 1e-9 : 1e9 / (calls * items);
    const char *unit = flops > 0 ? "GFLOP/s" : "ns/item";
    if (o->csv)
        printf("%s,%s,%s,%s,%.4g,%s,%.3f\n", o->table->name, sq_dtype_name(o->d), kind, shape,
               value, unit, part);
    else if (flops > 0)
        printf("%-10s %-28s %10.1f %s %5.1f %%\n", kind, shape, value, unit, 100 * part);
    else printf("%-10s %-28s %10.3f %s\n", kind, shape, value, unit);
    fflush(stdout);
}

/* ---- Operands ---------------------------------------------------------------------------- */

/* n small numbers, aligned as an arena would. */
static void *numbers(sq_dtype d, int64_t n)
{
    size_t bytes = ((size_t)n * sq_dtype_size(d) + 127) / 64 * 64;
    void *x = aligned_alloc(64, bytes);
    if (!x) {
        fputs("bench_kernels: out of memory\n", stderr);
        exit(1);
    }
    memset(x, 0, bytes);
    for (int64_t i = 0; i < n; i++) {
        double v = (double)((i * 7919) % 2001 - 1000) * 1e-4;
        if (d == SQ_F32) ((float *)x)[i] = (float)v;
        else ((double *)x)[i] = v;
    }
    return x;
}

enum { GATES = 4, LEFTS = 2 };

static const int64_t all_rows[] = { 1, 2, 5, 8, 16, 20, 32, 64, 128 };
static const int64_t all_hidden[] = { 32, 64, 100, 128, 256, 383, 512, 650 };

static bool wanted(int64_t only, int64_t n) { return only == 0 || only == n; }

/* ---- Packed products --------------------------------------------------------------------- */

typedef struct product {
    const sqi_arith *k;
    sqi_panel_product p;
    sqi_panels b;
    int64_t depth[GATES], width[GATES], a_row[GATES];
    const void *a[GATES];
    sqi_out out[GATES];
    void *weights, *from;
    int64_t row, col; /* of weights, for packing */
} product;

static void call_product(const void *task)
{
    const product *t = task;
    t->k->product(&t->p);
}

static void call_pack(const void *task)
{
    const product *t = task;
    for (int32_t s = 0; s < t->b.n_sums; s++)
        for (int32_t p = 0; p < t->b.n_parts; p++)
            t->k->pack(&t->b, s, p, t->weights, t->row, t->col);
}

/* m rows of `depth` columns in each of n_sums times weights of n_parts parts of `width`
 * columns. */
static product *product_new(const options *o, int64_t m, int n_sums, int64_t depth, int n_parts,
                            int64_t width, bool add)
{
    product *t = calloc(1, sizeof *t);
    if (!t) exit(1);
    t->k = o->k;
    t->b = (sqi_panels){ n_sums, n_parts, t->depth, t->width, NULL };
    for (int i = 0; i < GATES; i++) t->depth[i] = depth, t->width[i] = width;
    t->from = numbers(o->d, m * width);
    for (int s = 0; s < n_sums; s++) t->a[s] = numbers(o->d, m * depth), t->a_row[s] = depth;
    for (int p = 0; p < n_parts; p++)
        t->out[p] =
            (sqi_out){ numbers(o->d, m * width), width, add ? t->from : NULL, width, NULL };
    t->b.data = numbers(o->d, (int64_t)(o->k->panels_bytes(&t->b) / sq_dtype_size(o->d)));
    t->weights = numbers(o->d, depth * width);
    t->row = width, t->col = 1;
    call_pack(t);
    t->p = (sqi_panel_product){ &t->b, m, m == 1, t->a, t->a_row, t->out, 0, 0 };
    t->p.last = o->k->panels(n_parts, t->width);
    return t;
}

static void product_free(product *t)
{
    for (int i = 0; i < GATES; i++) {
        free(t->out[i].c);
        free((void *)(uintptr_t)t->a[i]);
    }
    free(t->b.data);
    free(t->weights);
    free(t->from);
    free(t);
}

/* The recurrent product: [M,H] times four gates of [H,H], added to what was hoisted. */
static void bench_recurrent(const options *o)
{
    for (int h = 0; h < COUNT(all_hidden); h++)
        for (int m = 0; m < COUNT(all_rows); m++) {
            int64_t H = all_hidden[h], M = o->rows ? o->rows : all_rows[m];
            if (!wanted(o->hidden, H) || (o->rows && m > 0)) continue;
            product *t = product_new(o, M, 1, H, GATES, H, true);
            char shape[64];
            snprintf(shape, sizeof shape, "M %lld H %lld", (long long)M, (long long)H);
            measure(o, "recurrent", shape, call_product, t, 2.0 * GATES * (double)(M * H * H),
                    0);
            product_free(t);
        }
}

/* The gradient of the state: four gates of [M,H] times [H,H], summed. */
static void bench_dh(const options *o)
{
    for (int h = 0; h < COUNT(all_hidden); h++)
        for (int m = 0; m < COUNT(all_rows); m++) {
            int64_t H = all_hidden[h], M = o->rows ? o->rows : all_rows[m];
            if (!wanted(o->hidden, H) || (o->rows && m > 0)) continue;
            product *t = product_new(o, M, GATES, H, 1, H, false);
            char shape[64];
            snprintf(shape, sizeof shape, "M %lld H %lld", (long long)M, (long long)H);
            measure(o, "dh", shape, call_product, t, 2.0 * GATES * (double)(M * H * H), 0);
            product_free(t);
        }
}

static void bench_hoist(const options *o)
{
    for (int h = 0; h < COUNT(all_hidden); h++) {
        int64_t H = all_hidden[h], M = o->rows ? o->rows : 3200;
        if (!wanted(o->hidden, H)) continue;
        product *t = product_new(o, M, 1, H, GATES, H, false);
        char shape[64];
        snprintf(shape, sizeof shape, "M %lld I %lld H %lld", (long long)M, (long long)H,
                 (long long)H);
        measure(o, "hoist", shape, call_product, t, 2.0 * GATES * (double)(M * H * H), 0);
        product_free(t);
    }
}

static void bench_pack(const options *o)
{
    for (int h = 0; h < COUNT(all_hidden); h++)
        for (int turned = 0; turned < 2; turned++) {
            int64_t H = all_hidden[h];
            if (!wanted(o->hidden, H)) continue;
            product *t = product_new(o, 1, 1, H, GATES, H, false);
            if (turned) t->row = 1, t->col = H;
            char shape[64];
            snprintf(shape, sizeof shape, "H %lld%s", (long long)H,
                     turned ? " transposed" : "");
            measure(o, "pack", shape, call_pack, t, 0, GATES * (double)(H * H));
            product_free(t);
        }
}

/* ---- Weight gradients -------------------------------------------------------------------- */

typedef struct grad {
    const sqi_arith *k;
    sqi_grad_product p;
    const void *a[LEFTS], *g[GATES];
    int64_t a_row[LEFTS], m[LEFTS], g_row[GATES], n[GATES];
    void *c[LEFTS * GATES], *sums[GATES];
} grad;

static void call_grad(const void *task)
{
    const grad *t = task;
    t->k->grad_product(&t->p);
}

/* K rows of states and of inputs, transposed, times four gates; steps fall, as in a plan. */
static void bench_grad_of(const options *o, int64_t K, int64_t H)
{
    grad t = { .k = o->k };
    char shape[64];
    for (int a = 0; a < LEFTS; a++) {
        t.a[a] = numbers(o->d, K * H);
        t.a_row[a] = t.m[a] = H;
    }
    for (int p = 0; p < GATES; p++) {
        t.g[p] = numbers(o->d, K * H);
        t.sums[p] = numbers(o->d, H);
        t.g_row[p] = t.n[p] = H;
        for (int a = 0; a < LEFTS; a++) t.c[a * GATES + p] = numbers(o->d, H * H);
    }
    t.p = (sqi_grad_product){ .k = K,
                              .n_left = LEFTS,
                              .n_parts = GATES,
                              .a = t.a,
                              .a_row = t.a_row,
                              .m = t.m,
                              .g = t.g,
                              .g_row = t.g_row,
                              .n = t.n,
                              .c = t.c,
                              .sums = t.sums,
                              .last = o->k->panels(GATES, t.n) };
    size_t scratch = o->k->grad_scratch(&t.p);
    if (scratch) t.p.scratch = numbers(o->d, (int64_t)(scratch / sq_dtype_size(o->d)));
    snprintf(shape, sizeof shape, "K %lld I %lld H %lld", (long long)K, (long long)H,
             (long long)H);
    measure(o, "grad", shape, call_grad, &t, 2.0 * LEFTS * GATES * (double)(K * H * H), 0);
    for (int a = 0; a < LEFTS; a++) free((void *)(uintptr_t)t.a[a]);
    for (int p = 0; p < GATES; p++) {
        free((void *)(uintptr_t)t.g[p]);
        free(t.sums[p]);
    }
    for (int e = 0; e < LEFTS * GATES; e++) free(t.c[e]);
    free(t.p.scratch);
}

static void bench_grad(const options *o)
{
    static const int64_t depths[] = { 100, 256, 768 };
    for (int h = 0; h < COUNT(all_hidden); h++)
        for (int i = 0; i < COUNT(depths); i++)
            if (wanted(o->hidden, all_hidden[h]) && wanted(o->rows, depths[i]))
                bench_grad_of(o, depths[i], all_hidden[h]);
}

/* ---- Plain products and elementwise maps ------------------------------------------------- */

typedef struct plain {
    const sqi_arith *k;
    sqi_gemm g;
} plain;

static void call_gemm(const void *task)
{
    const plain *t = task;
    t->k->gemm(&t->g);
}

static void bench_gemm(const options *o)
{
    static const int64_t sizes[][3] = { { 20, 1024, 256 },  { 20, 2600, 650 },
                                        { 128, 512, 128 },  { 256, 256, 256 },
                                        { 512, 512, 512 },  { 1024, 1024, 1024 },
                                        { 3200, 1024, 128 } };
    for (int i = 0; i < COUNT(sizes); i++)
        for (int turned = 0; turned < 2; turned++) {
            int64_t m = sizes[i][0], n = sizes[i][1], k = sizes[i][2];
            if (!wanted(o->rows, m)) continue;
            plain t = { o->k, { .m = m, .n = n, .k = k, .a_row = k, .a_col = 1, .c_row = n } };
            void *a = numbers(o->d, m * k), *b = numbers(o->d, k * n),
                 *c = numbers(o->d, m * n);
            char shape[64];
            t.g.a = a, t.g.b = b, t.g.c = c;
            t.g.b_row = turned ? 1 : n, t.g.b_col = turned ? k : 1;
            snprintf(shape, sizeof shape, "%lldx%lldx%lld%s", (long long)m, (long long)n,
                     (long long)k, turned ? " transposed" : "");
            measure(o, "gemm", shape, call_gemm, &t, 2.0 * (double)(m * n * k), 0);
            free(a);
            free(b);
            free(c);
        }
}

typedef struct map {
    const sqi_map_kernel *k;
    sqi_run r;
} map;

static void call_map(const void *task)
{
    const map *t = task;
    t->k->forward(&t->r);
}

static void bench_map(const options *o)
{
    static const struct {
        const char *name;
        enum sqi_map_row row;
    } maps[] = { { "exp", SQI_MAP_exp },
                 { "tanh", SQI_MAP_tanh },
                 { "sigmoid", SQI_MAP_sigmoid },
                 { "mul", SQI_MAP_mul } };
    static const sqi_map_kernel *const *const tables[] = {
#define SQI_ROW(isa) sqi_map_##isa,
        SQI_ISAS(SQI_ROW)
#undef SQI_ROW
    };
    enum { N = 2048 };
    void *x = numbers(o->d, N), *y = numbers(o->d, N);
    for (int i = 0; i < COUNT(maps); i++) {
        map t = { &tables[o->table->isa][o->d][maps[i].row], { .n = N, .y = y } };
        for (int k = 0; k < SQI_MAP_OPERANDS; k++) t.r.x[k] = x, t.r.x_step[k] = 1;
        measure(o, "map", maps[i].name, call_map, &t, 0, N);
    }
    free(x);
    free(y);
}

/* ---- All of it --------------------------------------------------------------------------- */

static const struct bench {
    const char *name;
    void (*run)(const options *o);
} benches[] = { { "recurrent", bench_recurrent },
                { "dh", bench_dh },
                { "hoist", bench_hoist },
                { "grad", bench_grad },
                { "pack", bench_pack },
                { "gemm", bench_gemm },
                { "map", bench_map } };

static int refuse(const char *what, const char *why)
{
    fprintf(stderr, "bench_kernels: %s: %s\n", what, why);
    return 2;
}

/* A whole number from 1 to `most`, or 0. */
static int64_t number(const char *text, int64_t most)
{
    char *end;
    long long n = text && *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : 0;
    return n >= 1 && n <= most && *end == '\0' ? n : 0;
}

static bool is_bench(const char *name)
{
    for (int i = 0; name && i < COUNT(benches); i++)
        if (strcmp(name, benches[i].name) == 0) return true;
    return false;
}

/* 0, or 2 after a sentence; -1 when only help was asked for. */
static int read_options(options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *flag = argv[i];
        if (strcmp(flag, "--help") == 0) return -1;
        if (strcmp(flag, "--csv") == 0) o->csv = true;
        else if (strcmp(flag, "--double") == 0) o->d = SQ_F64;
        else if (strcmp(flag, "--only") == 0) {
            o->only = argv[++i];
            if (!is_bench(o->only)) return refuse(flag, "--help lists what there is");
        } else if (strcmp(flag, "--rows") == 0) {
            if (!(o->rows = number(argv[++i], 65536))) return refuse(flag, "say 1..65536");
        } else if (strcmp(flag, "--hidden") == 0) {
            if (!(o->hidden = number(argv[++i], 65536))) return refuse(flag, "say 1..65536");
        } else if (strcmp(flag, "--rounds") == 0) {
            if (!(o->rounds = (int)number(argv[++i], MAX_ROUNDS)))
                return refuse(flag, "say 1..1000");
        } else return refuse(flag, "not an option; --help lists them");
    }
    return 0;
}

int main(int argc, char **argv)
{
    options o = { .rounds = 9, .d = SQ_F32, .table = sqi_kernels_select() };
    int rc = read_options(&o, argc, argv);
    if (rc < 0) return fputs(usage, stdout) < 0;
    if (rc) return rc;
    if (!isa_in_use("bench_kernels")) return 2;
    o.k = &o.table->of[o.d];
    if (o.csv) puts("isa,dtype,kind,shape,value,unit,share_of_peak");
    else
        printf("%s, %s: peak %.1f GFLOP/s\n", o.table->name, sq_dtype_name(o.d),
               peak_rate(&o) * 1e-9);
    for (int i = 0; i < COUNT(benches); i++)
        if (!o.only || strcmp(o.only, benches[i].name) == 0) benches[i].run(&o);
    return 0;
}
