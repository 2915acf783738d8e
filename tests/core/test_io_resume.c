/* test_io_resume.c -- weights and optimizers through files: training goes on bit for bit, and
 * what does not fit is refused as a whole. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "tests/support/support.h"

#include <unistd.h>

enum { W_SIZE = 6, B_SIZE = 4, S_SIZE = 1, ALL = W_SIZE + B_SIZE + S_SIZE };

/* In memory where there is such a file system: saves wait for the disk. */
static char in_memory[] = "/dev/shm/sq_resume_XXXXXX", on_disk[] = "/tmp/sq_resume_XXXXXX";
static const char *path = in_memory;

static void make_file(void)
{
    int fd = mkstemp(in_memory);
    if (fd < 0) {
        path = on_disk;
        fd = mkstemp(on_disk);
    }
    cr_assert(fd >= 0 && close(fd) == 0);
}
static void remove_file(void) { (void)unlink(path); }

TestSuite(io_resume, .init = make_file, .fini = remove_file);

#define EXPECT_BUNDLE_ERROR(b, want, part)                                               \
    do {                                                                                 \
        cr_expect(sq_bundle_status(b) == (want), "status %d", (int)sq_bundle_status(b)); \
        EXPECT_CONTAINS(sq_bundle_message(b), part);                                     \
        sq_bundle_clear_error(b);                                                        \
    } while (0)

#define ASSERT_BUNDLE(b) cr_assert(sq_bundle_status(b) == SQ_OK, "%s", sq_bundle_message(b))

/* Saved and loaded; the first is freed. */
static sq_bundle *through_a_file(sq_bundle *b)
{
    sq_status s = sq_bundle_save(b, path);
    cr_assert(s == SQ_OK, "%s", sq_bundle_message(b));
    sq_bundle_free(b);
    sq_bundle *back = sq_bundle_load(path);
    ASSERT_BUNDLE(back);
    return back;
}

/* W [3,2], layer.b [4], s [], of random values, in the order given. */
static sq_params *params_new(sq_dtype dtype, const char *order, uint64_t seed)
{
    sq_params *p = sq_params_new(dtype);
    double x[ALL];
    fill(x, ALL, seed, -1, 1);
    for (const char *c = order; *c; c++) {
        sq_weight w = *c == 'W'   ? sq_params_add(p, "W", sq_mat(3, 2))
                      : *c == 'b' ? sq_params_add(p, "layer.b", sq_vec(B_SIZE))
                                  : sq_params_add(p, "s", sq_scalar());
        sq_weight_set_f64(p, w, x + (*c == 'W' ? 0 : *c == 'b' ? W_SIZE : W_SIZE + B_SIZE));
    }
    cr_assert(sq_params_status(p) == SQ_OK, "%s", sq_params_message(p));
    return p;
}

static sq_optim *optim_new(sq_params *p, sq_optim_options options)
{
    sq_optim *o = sq_optim_new(p, &options);
    cr_assert(o != NULL, "%s", sq_params_message(p));
    return o;
}

/* Gradients of update n by weight, whatever the order of the weights. */
static void update(sq_optim *o, const sq_params *p, int n)
{
    double g[ALL], flat[ALL];
    float single[ALL];
    fill(g, ALL, 900 + (uint64_t)n, -1, 1);
    for (int32_t id = 1; id <= sq_params_count(p); id++) {
        sq_weight w = { id };
        const char *name = sq_weight_name(p, w);
        const double *from = g + (*name == 'W' ? 0 : *name == 'l' ? W_SIZE : W_SIZE + B_SIZE);
        int64_t size = sq_shape_size(sq_weight_shape(p, w));
        memcpy(flat + sq_weight_offset(p, w), from, (size_t)size * sizeof *flat);
    }
    for (int i = 0; i < ALL; i++) single[i] = (float)flat[i];
    bool narrow = sq_params_dtype(p) == SQ_F32;
    sq_status s = sq_optim_step_flat(o, narrow ? (const void *)single : (const void *)flat);
    cr_assert(s == SQ_OK, "%s", sq_params_message(p));
}

static void expect_same_weights(const sq_params *p, const sq_params *q, const char *what)
{
    for (int32_t id = 1; id <= sq_params_count(p); id++) {
        double a[ALL], b[ALL];
        sq_weight w = { id }, v = sq_params_find(q, sq_weight_name(p, w));
        cr_assert(sq_weight_get_f64(p, w, a) == SQ_OK && sq_weight_get_f64(q, v, b) == SQ_OK);
        EXPECT_SAME_BITS(a, b, (size_t)sq_shape_size(sq_weight_shape(p, w)) * sizeof *a, what);
    }
}

/* ---- Weights ---- */

Test(io_resume, weights_come_back_by_name)
{
    const char *prefixes[] = { "model", "", NULL };
    for (int i = 0; i < COUNT(prefixes); i++)
        for (int d = 0; d < 2; d++) {
            sq_params *p = params_new((sq_dtype)d, "Wbs", 1),
                      *q = params_new((sq_dtype)d, "sbW", 2);
            sq_bundle *b = sq_bundle_new();
            sq_bundle_add_params(b, prefixes[i], p);
            b = through_a_file(b);
            const sq_tensor *t = sq_bundle_find(b, i == 0 ? "model.layer.b" : "layer.b");
            cr_assert(t != NULL);
            cr_expect(t->rank == 1 && t->dim[0] == B_SIZE && sq_bundle_count(b) == 3);
            cr_expect(t->type == (d == 0 ? SQ_TENSOR_F32 : SQ_TENSOR_F64));
            uint64_t version = sq_params_version(q);
            cr_assert(sq_bundle_get_params(b, prefixes[i], q) == SQ_OK, "%s",
                      sq_bundle_message(b));
            cr_expect(sq_params_version(q) == version + 1);
            expect_same_weights(p, q, "weights");
            sq_bundle_free(b);
            sq_params_free(p);
            sq_params_free(q);
        }
}

Test(io_resume, weights_change_their_precision)
{
    sq_params *wide = params_new(SQ_F64, "Wbs", 1), *narrow = params_new(SQ_F32, "Wbs", 2);
    const double tenth[W_SIZE] = { 0.1, 1, 2, 3, 4, 5 };
    float got[W_SIZE];
    sq_weight_set_f64(wide, (sq_weight){ 1 }, tenth);
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_params(b, "m", wide);
    sq_bundle_get_params(b, "m", narrow);
    ASSERT_BUNDLE(b);
    cr_assert(sq_weight_get_f32(narrow, (sq_weight){ 1 }, got) == SQ_OK);
    cr_expect(got[0] == 0.1f && got[5] == 5);
    sq_bundle_free(b);
    sq_params_free(wide);
    sq_params_free(narrow);
}

/* A prefix covers what follows its dot: "m" is not "mm". Other prefixes do not disturb. */
Test(io_resume, prefixes_do_not_meet)
{
    sq_params *p = params_new(SQ_F64, "Wbs", 1), *q = params_new(SQ_F64, "W", 2);
    sq_params *r = params_new(SQ_F64, "Wbs", 3);
    const double one = 1;
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_params(b, "mm", q);
    sq_bundle_add_params(b, "m", p);
    sq_bundle_add_f64(b, "m", sq_scalar(), &one);
    b = through_a_file(b);
    sq_bundle_get_params(b, "m", r);
    ASSERT_BUNDLE(b);
    expect_same_weights(p, r, "weights");
    sq_bundle_free(b);
    sq_params_free(p);
    sq_params_free(q);
    sq_params_free(r);
}

static void expect_kept(sq_bundle *b, sq_params *p, sq_status status, const char *says)
{
    double before[ALL];
    size_t bytes = (size_t)sq_params_size(p) * sizeof *before;
    uint64_t version = sq_params_version(p);
    memcpy(before, sq_params_view(p), bytes);
    cr_expect(sq_bundle_get_params(b, "m", p) == status);
    EXPECT_BUNDLE_ERROR(b, status, says);
    EXPECT_SAME_BITS(before, sq_params_view(p), bytes, "weights after a refusal");
    cr_expect(sq_params_version(p) == version && sq_params_status(p) == SQ_OK);
}

Test(io_resume, weights_that_do_not_fit_change_nothing)
{
    sq_params *whole = params_new(SQ_F64, "Wbs", 1), *less = params_new(SQ_F64, "Wb", 2);
    sq_params *other = params_new(SQ_F64, "Wb", 3);
    sq_params_add(other, "s", sq_vec(1));
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_params(b, "m", whole);
    expect_kept(b, less, SQ_EFILE, "tensor \"m.s\" belongs to nothing here");
    expect_kept(b, other, SQ_EFILE, "tensor \"m.s\" is [], the weight is [1]");
    sq_bundle_free(b);
    b = sq_bundle_new();
    sq_bundle_add_params(b, "m", less);
    expect_kept(b, whole, SQ_EFILE, "there is no tensor \"m.s\"");
    b = through_a_file(b);
    cr_expect(sq_bundle_get_params(b, "m", whole) == SQ_EFILE);
    char start[64];
    snprintf(start, sizeof start, "\"%s\": there is no", path);
    EXPECT_CONTAINS(sq_bundle_message(b), start);
    sq_bundle_clear_error(b);
    cr_expect(sq_bundle_add_params(b, "m", whole) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "there is a tensor \"m.W\" already");
    cr_expect(sq_bundle_count(b) == 2);
    sq_params_post(whole, SQ_ERANGE, "its own");
    cr_expect(sq_bundle_add_params(b, "n", whole) == SQ_ERANGE);
    EXPECT_BUNDLE_ERROR(b, SQ_ERANGE, "add_params: its own");
    cr_expect(sq_bundle_get_params(b, "m", whole) == SQ_ERANGE);
    EXPECT_BUNDLE_ERROR(b, SQ_ERANGE, "get_params: its own");
    cr_expect(sq_bundle_get_params(b, "m", NULL) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "no weights");
    sq_bundle_free(b);
    sq_params_free(whole);
    sq_params_free(less);
    sq_params_free(other);
}

/* A weight added after the first ones fitted takes its values too late to be halfway. */
Test(io_resume, a_failed_adding_leaves_the_bundle)
{
    sq_params *p = params_new(SQ_F64, "Wbs", 1);
    const double one = 1;
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_f64(b, "m.s", sq_scalar(), &one);
    cr_expect(sq_bundle_add_params(b, "m", p) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "there is a tensor \"m.s\" already");
    cr_expect(sq_bundle_count(b) == 1 && sq_bundle_find(b, "m.W") == NULL);
    sq_bundle_free(b);
    sq_params_free(p);
}

/* ---- Optimizers ---- */

static const sq_optim_options all_options[] = {
    { .kind = SQ_SGD, .rate = 0.1 },
    { .kind = SQ_SGD, .rate = 0.1, .momentum = 0.9, .nesterov = true, .decay = 0.1 },
    { .kind = SQ_RMSPROP, .rate = 0.02 },
    { .kind = SQ_RMSPROP, .rate = 0.02, .momentum = 0.7 },
    { .kind = SQ_ADAGRAD, .rate = 0.2 },
    { .kind = SQ_ADAM, .rate = 0.05 },
    { .kind = SQ_ADAMW, .rate = 0.05, .decay = 0.3 },
};

/* What one run does with nobody looking, the other does with a save and a load in between,
 * where everything is made anew, with the weights in another order. s waits until update 2, so
 * that its age is its own. */
static void interrupted(sq_dtype dtype, sq_optim_options options, int at)
{
    sq_params *p = params_new(dtype, "Wbs", 1), *q = params_new(dtype, "Wbs", 1);
    sq_optim *o = optim_new(p, options), *u = optim_new(q, options);
    for (int n = 0; n < 8; n++) {
        if (n == at) {
            sq_bundle *b = sq_bundle_new();
            sq_bundle_add_params(b, "model", q);
            sq_bundle_add_optim(b, "optim", u);
            sq_optim_free(u);
            sq_params_free(q);
            b = through_a_file(b);
            q = params_new(dtype, "sWb", 99);
            options.rate = 0.7;
            u = optim_new(q, options);
            sq_bundle_get_params(b, "model", q);
            sq_bundle_get_optim(b, "optim", u);
            ASSERT_BUNDLE(b);
            cr_expect(sq_optim_updates(u) == n && sq_optim_rate(u) == sq_optim_rate(o));
            sq_bundle_free(b);
        }
        sq_weight_set_frozen(p, sq_params_find(p, "s"), n < 2);
        sq_weight_set_frozen(q, sq_params_find(q, "s"), n < 2);
        update(o, p, n);
        update(u, q, n);
        if (n == 3) cr_assert(sq_optim_set_rate(o, 0.03) == SQ_OK);
        if (n == 3) cr_assert(sq_optim_set_rate(u, 0.03) == SQ_OK);
        expect_same_weights(p, q, "weights of a resumed run");
    }
    sq_optim_free(o);
    sq_optim_free(u);
    sq_params_free(p);
    sq_params_free(q);
}

Test(io_resume, training_goes_on_bit_for_bit)
{
    for (int i = 0; i < COUNT(all_options); i++)
        for (int d = 0; d < 2; d++)
            for (int at = 0; at < 8; at += 2) interrupted((sq_dtype)d, all_options[i], at);
}

/* Tries, and updates once: whatever the refusal, the update is that of an optimizer that was
 * never asked. */
static void expect_refused(sq_bundle *b, sq_optim_options options, const char *order,
                           const char *says)
{
    sq_params *p = params_new(SQ_F64, order, 1), *q = params_new(SQ_F64, order, 1);
    sq_optim *o = optim_new(p, options), *u = optim_new(q, options);
    update(o, p, 0);
    update(u, q, 0);
    cr_expect(sq_bundle_get_optim(b, "o", u) == SQ_EFILE, "%s", says);
    EXPECT_BUNDLE_ERROR(b, SQ_EFILE, says);
    cr_expect(sq_optim_updates(u) == 1 && sq_optim_rate(u) == sq_optim_rate(o));
    update(o, p, 1);
    update(u, q, 1);
    expect_same_weights(p, q, "weights after a refusal");
    sq_optim_free(o);
    sq_optim_free(u);
    sq_params_free(p);
    sq_params_free(q);
}

/* The state of a fresh optimizer after two updates. */
static sq_bundle *state_of(sq_optim_options options, const char *order)
{
    sq_params *p = params_new(SQ_F64, order, 5);
    sq_optim *o = optim_new(p, options);
    update(o, p, 0);
    update(o, p, 1);
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_optim(b, "o", o);
    ASSERT_BUNDLE(b);
    sq_optim_free(o);
    sq_params_free(p);
    return b;
}

Test(io_resume, a_state_that_does_not_fit_changes_nothing)
{
    const sq_optim_options sgd = { .kind = SQ_SGD }, adam = { .kind = SQ_ADAM };
    const sq_optim_options adamw = { .kind = SQ_ADAMW };
    const sq_optim_options heavy = { .kind = SQ_SGD, .momentum = 0.9 };
    sq_bundle *b = state_of(adam, "Wb");
    expect_refused(b, sgd, "Wb", "\"o.kind\" is ADAM, the optimizer is SGD");
    expect_refused(b, adamw, "Wb", "\"o.kind\" is ADAM, the optimizer is ADAMW");
    expect_refused(b, adam, "Wbs", "there is no tensor \"o.age.s\"");
    expect_refused(b, adam, "W", "\"o.age.layer.b\" belongs to nothing here");
    sq_bundle_free(b);
    b = state_of(heavy, "Wb");
    expect_refused(b, sgd, "Wb", "\"o.first.W\" belongs to nothing here");
    sq_bundle_free(b);
    b = state_of(sgd, "Wb");
    expect_refused(b, heavy, "Wb", "there is no tensor \"o.first.W\"");
    sq_bundle_free(b);
    b = sq_bundle_new();
    expect_refused(b, sgd, "Wb", "there is no text \"o.kind\"");
    sq_bundle_set_text(b, "o.kind", "SGD");
    expect_refused(b, sgd, "Wb", "there is no tensor \"o.rate\"");
    sq_bundle_free(b);
}

/* A state of SGD for W alone, with one number replaced. */
static void expect_number_refused(double rate, int64_t updates, int64_t age, const char *says)
{
    sq_bundle *b = sq_bundle_new();
    sq_bundle_set_text(b, "o.kind", "SGD");
    sq_bundle_add_f64(b, "o.rate", sq_scalar(), &rate);
    sq_bundle_add_i64(b, "o.updates", sq_scalar(), &updates);
    sq_bundle_add_i64(b, "o.age.W", sq_scalar(), &age);
    expect_refused(b, (sq_optim_options){ .kind = SQ_SGD }, "W", says);
    sq_bundle_free(b);
}

Test(io_resume, numbers_that_cannot_be)
{
    expect_number_refused(-1, 3, 3, "rate -1");
    expect_number_refused((double)NAN, 3, 3, "rate");
    expect_number_refused((double)INFINITY, 3, 3, "rate inf");
    expect_number_refused(0.1, -3, 3, "\"o.updates\" is -3, outside 0..");
    expect_number_refused(0.1, 3, 4, "\"o.age.W\" is 4, outside 0..3");
    expect_number_refused(0.1, 3, -1, "\"o.age.W\" is -1");
}

Test(io_resume, an_optimizer_needs_a_name_and_a_bundle)
{
    sq_params *p = params_new(SQ_F32, "Wb", 1);
    sq_optim *o = optim_new(p, (sq_optim_options){ .kind = SQ_ADAM });
    sq_bundle *b = sq_bundle_new();
    cr_expect(sq_bundle_add_optim(b, "", o) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "add_optim: an optimizer needs a prefix");
    cr_expect(sq_bundle_get_optim(b, NULL, o) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "get_optim: an optimizer needs a prefix");
    cr_expect(sq_bundle_add_optim(b, "o", NULL) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "there is no optimizer");
    cr_expect(sq_bundle_add_optim(NULL, "o", o) == SQ_ENOMEM);
    cr_expect(sq_bundle_add_optim(b, "o", o) == SQ_OK);
    int64_t n = sq_bundle_count(b);
    cr_expect(sq_bundle_add_optim(b, "o", o) == SQ_EVALUE);
    EXPECT_BUNDLE_ERROR(b, SQ_EVALUE, "\"o.rate\" already");
    cr_expect(sq_bundle_count(b) == n);
    sq_bundle_free(b);
    sq_optim_free(o);
    sq_params_free(p);
}

/* Nothing to keep is kept as well. */
Test(io_resume, an_optimizer_of_no_weights)
{
    sq_params *p = sq_params_new(SQ_F32);
    sq_optim *o = optim_new(p, (sq_optim_options){ .kind = SQ_ADAM });
    sq_bundle *b = sq_bundle_new();
    sq_bundle_add_params(b, "m", p);
    sq_bundle_add_optim(b, "o", o);
    b = through_a_file(b);
    sq_bundle_get_params(b, "m", p);
    sq_bundle_get_optim(b, "o", o);
    ASSERT_BUNDLE(b);
    sq_bundle_free(b);
    sq_optim_free(o);
    sq_params_free(p);
}
