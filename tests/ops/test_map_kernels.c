/* test_map_kernels.c -- the loops behind the rows SQ_MAP, called one by one: every row,
 * operand, instruction set and precision, dense and with stretched operands.
 *
 * A plan strings these loops together, so it relies on what is checked here: `set` is `chain`
 * onto zeros, an element's bits do not depend on its place (law (a)) nor on the instruction
 * set, and a derivative touches nothing that sqi_map_reads does not name. */
#include "tests/ops/op_case.h"

#include "ops/map_impl.h"

enum { LENGTH = 67, N_STEPPINGS = 1 << (MOST + 1) };

/* One loop's surroundings: numbers of one precision, 8 bytes kept for each. Bit k of `stepping`
 * stretches operand k, bit MOST stretches `in`. */
typedef struct scene {
    const sq_op *op;
    const sqi_map_kernel *kernel;
    sq_dtype dtype;
    int stepping;
    double x[MOST][LENGTH], y[LENGTH], in[LENGTH];
    char label[96];
} scene;

static size_t bytes_of(const scene *s) { return LENGTH * sq_dtype_size(s->dtype); }

static void store(sq_dtype dtype, void *to, int64_t i, double v)
{
    if (dtype == SQ_F64) ((double *)to)[i] = v;
    else ((float *)to)[i] = (float)v;
}

static double load(sq_dtype dtype, const void *from, int64_t i)
{
    return dtype == SQ_F64 ? ((const double *)from)[i] : (double)((const float *)from)[i];
}

static void *at(const scene *s, void *base, int64_t i)
{
    return (char *)base + (size_t)i * sq_dtype_size(s->dtype);
}

static int64_t x_step(const scene *s, int k) { return s->stepping >> k & 1 ? 0 : 1; }

/* n elements from i on. */
static sqi_run run_at(scene *s, int64_t i, int64_t n, void *out, int64_t out_step)
{
    sqi_run r = { .n = n, .out = out, .out_step = out_step, .p = s->op->samples[0].attr.p };
    for (int k = 0; k < MOST; k++) {
        r.x_step[k] = k < s->op->arity ? x_step(s, k) : 1;
        r.x[k] = at(s, s->x[k], i * r.x_step[k]);
    }
    r.y = at(s, s->y, i);
    r.in_step = x_step(s, MOST);
    r.in = at(s, s->in, i * r.in_step);
    return r;
}

static void draw(scene *s, uint64_t seed)
{
    rng g = { seed };
    const sq_sample *sample = s->op->samples;
    for (int i = 0; i < LENGTH; i++) {
        for (int k = 0; k < MOST; k++)
            store(s->dtype, s->x[k], i, rng_in(&g, sample->lo, sample->hi));
        store(s->dtype, s->in, i, rng_in(&g, -1, 1));
        store(s->dtype, s->y, i, (double)NAN);
    }
    sqi_run r = run_at(s, 0, LENGTH, NULL, 0);
    s->kernel->forward(&r);
}

typedef void scene_visitor(scene *s);

static void every_scene(scene_visitor *visitor)
{
    static const char *const isas[] = {
#define SQI_ROW(name) #name,
        SQI_ISAS(SQI_ROW)
#undef SQI_ROW
    };
    int visited = 0;
    for (const sq_op *const *op = sq_op_table(); *op; op++)
        for (int isa = 0; elementwise(*op) && isa < SQI_N_ISAS; isa++)
            for (int d = SQ_F32; sqi_kernels_named(isas[isa]) && d <= SQ_F64; d++)
                for (int stepping = 0; stepping < N_STEPPINGS; stepping++) {
                    sq_dtype dtype = (sq_dtype)d;
                    scene s = { .op = *op, .dtype = dtype, .stepping = stepping };
                    s.kernel = sqi_map_kernel_of(*op, (enum sqi_isa)isa, dtype);
                    cr_assert(s.kernel != NULL);
                    snprintf(s.label, sizeof s.label, "%s, %s, %s, stepping %d", (*op)->name,
                             isas[isa], sq_dtype_name(dtype), stepping);
                    draw(&s, 11);
                    visitor(&s);
                    visited++;
                }
    cr_assert(visited >= SQI_N_MAPS * 2 * N_STEPPINGS);
}

/* ---- set --------------------------------------------------------------------------------- */

static void check_set(scene *s)
{
    for (int k = 0; k < s->op->arity; k++) {
        double set[LENGTH], chain[LENGTH] = { 0 };
        sqi_run r = run_at(s, 0, LENGTH, chain, 1);
        s->kernel->chain[k](&r);
        memset(set, 0xFF, sizeof set); /* NaN */
        r.out = set;
        s->kernel->set[k](&r);
        for (int i = 0; i < LENGTH; i++) {
            double a = load(s->dtype, set, i), b = load(s->dtype, chain, i);
            cr_expect(a == b, "%s: operand %d, element %d: %g is not %g", s->label, k, i, a, b);
        }
    }
}

Test(map_kernels, set_is_chain_onto_zeros) { every_scene(check_set); }

/* ---- Law (a) ----------------------------------------------------------------------------- */

static void run_loop(scene *s, int k, int64_t i, int64_t n, void *out, bool set)
{
    sqi_run r = run_at(s, i, n, at(s, out, i), 1);
    (set ? s->kernel->set : s->kernel->chain)[k](&r);
}

/* From every offset, as long as it goes on, and every element alone. */
static void check_places(scene *s)
{
    for (int k = 0; k < s->op->arity; k++)
        for (int set = 0; set < 2; set++) {
            double whole[LENGTH] = { 0 }, part[LENGTH] = { 0 }, alone[LENGTH] = { 0 };
            run_loop(s, k, 0, LENGTH, whole, set);
            for (int64_t i = 0, n = 1; i < LENGTH; i += n, n = n * 2 + 1)
                run_loop(s, k, i, i + n < LENGTH ? n : LENGTH - i, part, set);
            for (int64_t i = 0; i < LENGTH; i++) run_loop(s, k, i, 1, alone, set);
            EXPECT_SAME_BITS(whole, part, bytes_of(s), s->label);
            EXPECT_SAME_BITS(whole, alone, bytes_of(s), s->label);
        }
}

Test(map_kernels, bits_do_not_depend_on_place_or_length) { every_scene(check_places); }

/* The table before in the list ran the same numbers. */
static void check_against_base(scene *s)
{
    scene b = *s;
    b.kernel = sqi_map_kernel_of(s->op, SQI_ISA_base, s->dtype);
    draw(&b, 11);
    EXPECT_SAME_BITS(s->y, b.y, bytes_of(s), s->label);
    for (int k = 0; k < s->op->arity; k++) {
        double got[LENGTH], want[LENGTH];
        run_loop(s, k, 0, LENGTH, got, true);
        run_loop(&b, k, 0, LENGTH, want, true);
        EXPECT_SAME_BITS(got, want, bytes_of(s), s->label);
    }
}

Test(map_kernels, every_instruction_set_gives_the_same_bits)
{
    every_scene(check_against_base);
}

/* A chain may add up in one place: out_step 0. */
static void check_sum(scene *s)
{
    for (int k = 0; k < s->op->arity; k++) {
        double terms[LENGTH], one = 0, sum = 0;
        run_loop(s, k, 0, LENGTH, terms, true);
        for (int i = 0; i < LENGTH; i++) {
            double next = sum + load(s->dtype, terms, i);
            sum = s->dtype == SQ_F64 ? next : (double)((float)sum + ((float *)terms)[i]);
        }
        sqi_run r = run_at(s, 0, LENGTH, &one, 0);
        s->kernel->chain[k](&r);
        cr_expect(load(s->dtype, &one, 0) == sum, "%s: operand %d", s->label, k);
    }
}

Test(map_kernels, a_chain_into_one_element_adds_in_order) { every_scene(check_sum); }

/* ---- reads ------------------------------------------------------------------------------- */

/* What is not read is first poisoned, then taken away. */
static void check_reads(scene *s)
{
    for (int k = 0; k < s->op->arity; k++)
        for (int set = 0; set < 2; set++) {
            const uint32_t reads = sqi_map_reads(s->op, k);
            double want[LENGTH] = { 0 }, poisoned[LENGTH] = { 0 }, without[LENGTH] = { 0 };
            scene bad = *s;
            run_loop(s, k, 0, LENGTH, want, set);
            sqi_run r = run_at(s, 0, LENGTH, without, 1);
            for (int j = 0; j < MOST; j++)
                if (!(reads >> j & 1)) memset(bad.x[j], 0xFF, sizeof bad.x[j]), r.x[j] = NULL;
            if (!(reads & SQI_READS_Y)) memset(bad.y, 0xFF, sizeof bad.y), r.y = NULL;
            run_loop(&bad, k, 0, LENGTH, poisoned, set);
            (set ? s->kernel->set : s->kernel->chain)[k](&r);
            EXPECT_SAME_BITS(want, poisoned, bytes_of(s), s->label);
            EXPECT_SAME_BITS(want, without, bytes_of(s), s->label);
        }
}

Test(map_kernels, a_derivative_reads_what_it_says_and_nothing_else)
{
    every_scene(check_reads);
}

enum { READS_0 = 1, READS_1 = 2, READS_2 = 4 };

typedef struct expectation {
    const char *op;
    uint32_t reads[MOST];
} expectation;

/* From the mathematics: d tanh = 1 - y^2, d(a b)/da = b, ... */
static const expectation expectations[] = {
    { "neg", { 0 } },
    { "add_scalar", { 0 } },
    { "mul_scalar", { 0 } },
    { "square", { READS_0 } },
    { "sin", { READS_0 } },
    { "log", { READS_0 } },
    { "relu", { READS_0 } },
    { "exp", { SQI_READS_Y } },
    { "tanh", { SQI_READS_Y } },
    { "sigmoid", { SQI_READS_Y } },
    { "sqrt", { SQI_READS_Y } },
    { "silu", { READS_0 | SQI_READS_Y } },
    { "elu", { READS_0 | SQI_READS_Y } },
    { "add", { 0, 0 } },
    { "sub", { 0, 0 } },
    { "mul", { READS_1, READS_0 } },
    { "div", { READS_1, READS_1 | SQI_READS_Y } },
    { "maximum", { READS_0 | READS_1, READS_0 | READS_1 } },
    { "select", { 0, READS_0, READS_0 } },
};

Test(map_kernels, what_derivatives_read_by_the_mathematics)
{
    for (int i = 0; i < COUNT(expectations); i++) {
        const expectation *e = &expectations[i];
        const sq_op *op = sq_op_find(e->op);
        cr_assert(op != NULL, "%s", e->op);
        for (int k = 0; k < op->arity; k++)
            cr_expect(sqi_map_reads(op, k) == e->reads[k], "%s, operand %d: %x", e->op, k,
                      (unsigned)sqi_map_reads(op, k));
    }
}

/* ---- Which ops have loops ---------------------------------------------------------------- */

static void own_forward(const sq_call *c) { (void)c; }

Test(map_kernels, only_elementwise_rows_have_loops)
{
    const sq_op own = { .name = "own", .arity = 1, .row = 0, .forward = own_forward };
    cr_expect(sqi_map_kernel_of(&own, SQI_ISA_base, SQ_F32) == NULL);
    cr_expect(sqi_map_kernel_of(sq_op_find("matmul"), SQI_ISA_base, SQ_F32) == NULL);
    cr_expect(sqi_map_reads(&own, 0) == 2 * SQI_READS_Y - 1, "another op may read anything");
    int found = 0;
    for (const sq_op *const *op = sq_op_table(); *op; op++)
        found += sqi_map_kernel_of(*op, SQI_ISA_base, SQ_F64) != NULL;
    cr_expect(found == SQI_N_MAPS, "%d", found);
}
