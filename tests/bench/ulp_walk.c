/* ulp_walk.c -- how exact exp, tanh, sigmoid and log are in single precision: every float there
 * is, all 2^32 of them, against libm in double.
 *
 * The floats run in blocks through the forward loop of the op's row, as a training run's do,
 * for every instruction set of this machine. All of them must agree to the bit; the error is
 * then that of the first. It is told in units of the spacing of floats at the true value. Takes
 * minutes. */
#include "core/kernels/kernels.h"
#include "ops/map_impl.h"
#include "ops/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1 << 14, BLOCKS = 1 << 18, TICKS = 1 << 12 };

static double sigmoid(double x)
{
    double e = exp(-fabs(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
}

typedef struct function {
    const char *name;
    double (*libm)(double);
} function;

static const function functions[] = {
    { "exp", exp }, { "tanh", tanh }, { "sigmoid", sigmoid }, { "log", log }
};
enum { N_FUNCTIONS = sizeof functions / sizeof functions[0] };

typedef struct verdict {
    double worst;
    float where;
    uint64_t wrong;   /* NaN, infinity or zero where something else belongs */
    uint64_t unequal; /* blocks in which two instruction sets differ */
} verdict;

/* The spacing of floats at w, a power of two, and so its inverse, are read off the exponent. */
static double per_spacing(double w)
{
    uint64_t bits;
    memcpy(&bits, &w, sizeof bits);
    int64_t e = (int64_t)(bits >> 52 & 0x7ff) - 1023 - 23;
    if (e < -149) e = -149;
    bits = (uint64_t)(1023 - e) << 52;
    memcpy(&w, &bits, sizeof w);
    return w;
}

/* A float that libm rounds to infinity, zero or NaN must be exactly that. */
static void judge(const function *f, const float *x, const float *y, verdict *v)
{
    for (int i = 0; i < BLOCK; i++) {
        double want = f->libm((double)x[i]);
        float rounded = (float)want;
        if (isnan(want) || isinf(rounded)) {
            v->wrong += isnan(want) ? !isnan(y[i]) : y[i] != rounded;
            continue;
        }
        double error = fabs((double)y[i] - want) * per_spacing(want);
        if (error <= v->worst) continue;
        if (isfinite(error)) v->worst = error, v->where = x[i];
        else v->wrong++;
    }
}

static int tables(const char *op, const sqi_map_kernel **out)
{
    static const char *const names[] = {
#define SQI_ROW(name) #name,
        SQI_ISAS(SQI_ROW)
#undef SQI_ROW
    };
    int n = 0;
    for (int isa = 0; isa < SQI_N_ISAS; isa++)
        if (sqi_kernels_named(names[isa]))
            out[n++] = sqi_map_kernel_of(sq_op_find(op), (enum sqi_isa)isa, SQ_F32);
    return n;
}

static void walk(const function *f, float *x, float *y, float *z, verdict *v)
{
    const sqi_map_kernel *kernel[SQI_N_ISAS];
    const int n = tables(f->name, kernel);
    for (uint32_t block = 0; block < BLOCKS; block++) {
        for (uint32_t i = 0; i < BLOCK; i++) {
            uint32_t bits = block * BLOCK + i;
            memcpy(&x[i], &bits, sizeof bits);
        }
        sqi_run r = { .n = BLOCK, .x = { x }, .x_step = { 1, 1, 1 } };
        for (int k = 0; k < n; k++) {
            r.y = k ? z : y;
            kernel[k]->forward(&r);
            if (k) v->unequal += memcmp(y, z, BLOCK * sizeof *y) != 0;
        }
        judge(f, x, y, v);
        if (block % TICKS == 0)
            fprintf(stderr, "\r%-8s %3u %%", f->name, (unsigned)(block / (BLOCKS / 100)));
    }
    fprintf(stderr, "\r%-16s\r", "");
}

/* False when it misses the bound. */
static bool report(const function *f, float *room)
{
    verdict v = { 0 };
    walk(f, room, room + BLOCK, room + 2 * BLOCK, &v);
    printf("%-8s  %6.4f ulp at %-15a  %llu wrong special values  %llu blocks differ\n", f->name,
           v.worst, (double)v.where, (unsigned long long)v.wrong,
           (unsigned long long)v.unequal);
    fflush(stdout);
    return v.worst <= 2.5 && !v.wrong && !v.unequal;
}

static const char usage[] =
    "usage: ulp_walk [exp] [tanh] [sigmoid] [log]\n"
    "Compares the functions named, or all, with libm at every float. Takes about a\n"
    "minute each. Exit status 1 when an error exceeds 2.5 ulp, a special value is\n"
    "wrong, or instruction sets disagree.\n";

static int find(const char *name)
{
    for (int i = 0; i < N_FUNCTIONS; i++)
        if (strcmp(name, functions[i].name) == 0) return i;
    return -1;
}

int main(int argc, char **argv)
{
    bool good = true;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) return fputs(usage, stdout) < 0;
        if (find(argv[i]) < 0) {
            fprintf(stderr, "ulp_walk: %s: neither exp, tanh, sigmoid nor log\n", argv[i]);
            return 2;
        }
    }
    float *room = malloc(3 * BLOCK * sizeof *room);
    if (!room) return 1;
    for (int i = 1; i < argc; i++) good = report(&functions[find(argv[i])], room) && good;
    for (int i = 0; argc == 1 && i < N_FUNCTIONS; i++)
        good = report(&functions[i], room) && good;
    free(room);
    return good ? 0 : 1;
}
