/* test_params.c -- weights by name, the layout of the flat block, versions and who holds them,
 * copies in both precisions, and the sentences of what is refused. */
#include "core/params_impl.h"
#include "tests/support/support.h"

#define EXPECT_PARAMS_ERROR(p, want, part)                                               \
    do {                                                                                 \
        cr_expect(sq_params_status(p) == (want), "status %d", (int)sq_params_status(p)); \
        EXPECT_CONTAINS(sq_params_message(p), part);                                     \
        sq_params_clear_error(p);                                                        \
        cr_expect(sq_params_status(p) == SQ_OK);                                         \
        EXPECT_TEXT(sq_params_message(p), "");                                           \
    } while (0)

#define READ(p, w, values) \
    cr_assert(sq_weight_get(p, w, values) == SQ_OK, "%s", sq_params_message(p))

/* The current version, to be given back by sqi_version_release. */
static sqi_version *retain(const sq_params *p)
{
    return sqi_version_share(sqi_params_current(p));
}

static const double ramp[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };

/* W [4,3] = 1..12, b [3] = 1..3, s [] = 1 */
typedef struct three {
    sq_params *p;
    sq_weight W, b, s;
} three;

static three three_new(sq_dtype dtype)
{
    three n;
    n.p = sq_params_new(dtype);
    n.W = sq_params_add(n.p, "W", sq_mat(4, 3));
    n.b = sq_params_add(n.p, "b", sq_vec(3));
    n.s = sq_params_add(n.p, "s", sq_scalar());
    cr_assert(sq_weight_set_f64(n.p, n.W, ramp) == SQ_OK);
    cr_assert(sq_weight_set_f64(n.p, n.b, ramp) == SQ_OK);
    cr_assert(sq_weight_set_f64(n.p, n.s, ramp) == SQ_OK, "%s", sq_params_message(n.p));
    return n;
}

Test(params, a_new_block_is_empty)
{
    for (int d = 0; d < 2; d++) {
        sq_params *p = sq_params_new((sq_dtype)d);
        cr_assert(p != NULL);
        cr_expect(sq_params_dtype(p) == (sq_dtype)d);
        cr_expect(sq_params_count(p) == 0 && sq_params_size(p) == 0);
        cr_expect(sq_params_status(p) == SQ_OK);
        EXPECT_TEXT(sq_params_message(p), "");
        cr_expect(sq_params_update(p) != NULL);
        sq_params_free(p);
    }
    sq_params_free(NULL);
}

Test(params, weights_lie_behind_each_other_without_padding)
{
    three n = three_new(SQ_F64);
    cr_expect(n.W.id == 1 && n.b.id == 2 && n.s.id == 3);
    cr_expect(sq_params_count(n.p) == 3 && sq_params_size(n.p) == 16);
    cr_expect(sq_weight_offset(n.p, n.W) == 0);
    cr_expect(sq_weight_offset(n.p, n.b) == 12);
    cr_expect(sq_weight_offset(n.p, n.s) == 15);
    cr_expect(sq_shape_equal(sq_weight_shape(n.p, n.W), sq_mat(4, 3)));
    EXPECT_TEXT(sq_weight_name(n.p, n.b), "b");
    const double *flat = sq_params_view(n.p);
    EXPECT_SAME_BITS(flat, ramp, 12 * sizeof *flat, "W");
    EXPECT_SAME_BITS(flat + 12, ramp, 3 * sizeof *flat, "b");
    cr_expect(flat[15] == 1);
    sq_params_free(n.p);
}

Test(params, new_weights_are_zero_also_after_the_block_grew)
{
    for (int d = 0; d < 2; d++) {
        sq_params *p = sq_params_new((sq_dtype)d);
        double ones[40], back[40];
        for (int i = 0; i < 40; i++) ones[i] = i + 1;
        for (int i = 0; i < 300; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "w%d", i);
            sq_weight w = sq_params_add(p, name, sq_vec(i % 40));
            cr_assert(w.id == i + 1, "%s", sq_params_message(p));
            READ(p, w, back);
            for (int k = 0; k < i % 40; k++) cr_expect(back[k] == 0, "weight %d at %d", i, k);
            cr_assert(sq_weight_set_f64(p, w, ones) == SQ_OK);
        }
        for (int i = 0; i < 300; i++) {
            READ(p, ((sq_weight){ i + 1 }), back);
            EXPECT_SAME_BITS(back, ones, (size_t)(i % 40) * sizeof *back, "an old weight");
        }
        sq_params_free(p);
    }
}

Test(params, the_block_is_aligned_and_zeros_follow_it)
{
    for (int d = 0; d < 2; d++) {
        sq_params *p = sq_params_new((sq_dtype)d);
        static const char zeros[64];
        double ones[37];
        for (int i = 0; i < 37; i++) ones[i] = 1;
        for (int i = 1; i < 37; i++) {
            char name[16];
            (void)snprintf(name, sizeof name, "w%d", i);
            sqi_version *held = i % 3 == 0 ? retain(p) : NULL;
            sq_weight_set_f64(p, sq_params_add(p, name, sq_vec(i)), ones);
            const char *block = sq_params_view(p);
            cr_expect(0 == (uintptr_t)block % 64);
            EXPECT_SAME_BITS(block + params_bytes(p), zeros, 64, "bytes behind the block");
            if (held) sqi_version_release(p, held);
        }
        cr_expect(sq_params_status(p) == SQ_OK);
        sq_params_free(p);
    }
}

Test(params, find_knows_the_names)
{
    three n = three_new(SQ_F32);
    cr_expect(sq_params_find(n.p, "W").id == n.W.id);
    cr_expect(sq_params_find(n.p, "s").id == n.s.id);
    cr_expect(sq_params_find(n.p, "w").id == 0);
    cr_expect(sq_params_find(n.p, "").id == 0);
    cr_expect(sq_params_find(n.p, NULL).id == 0);
    cr_expect(sq_params_status(n.p) == SQ_OK);
    sq_params_free(n.p);
}

Test(params, names_are_copied)
{
    sq_params *p = sq_params_new(SQ_F32);
    char name[] = "W";
    sq_weight w = sq_params_add(p, name, sq_vec(1));
    name[0] = 'X';
    EXPECT_TEXT(sq_weight_name(p, w), "W");
    sq_params_free(p);
}

/* ---- What is refused ---- */

Test(params, refused_weights)
{
    three n = three_new(SQ_F32);
    const uint64_t version = sq_params_version(n.p);
    cr_expect(sq_params_add(n.p, "W", sq_vec(2)).id == 0);
    EXPECT_PARAMS_ERROR(n.p, SQ_EWEIGHT, "\"W\"");
    cr_expect(sq_params_add(n.p, "", sq_vec(2)).id == 0);
    EXPECT_PARAMS_ERROR(n.p, SQ_EWEIGHT, "name");
    cr_expect(sq_params_add(n.p, NULL, sq_vec(2)).id == 0);
    EXPECT_PARAMS_ERROR(n.p, SQ_EWEIGHT, "name");
    cr_expect(sq_params_add(n.p, "neg", sq_mat(2, -3)).id == 0);
    EXPECT_PARAMS_ERROR(n.p, SQ_ESHAPE, "\"neg\" has the impossible shape [2,-3]");
    cr_expect(sq_params_add(n.p, "big", sq_mat(INT64_C(1) << 40, INT64_C(1) << 40)).id == 0);
    EXPECT_PARAMS_ERROR(n.p, SQ_ESHAPE, "[1099511627776,1099511627776]");
    sq_shape rank = sq_scalar();
    rank.rank = 9;
    cr_expect(sq_params_add(n.p, "rank", rank).id == 0);
    EXPECT_PARAMS_ERROR(n.p, SQ_ESHAPE, "[rank 9]");
    cr_expect(sq_params_count(n.p) == 3 && sq_params_size(n.p) == 16);
    cr_expect(sq_params_version(n.p) == version, "a refused weight is no change");
    sq_params_free(n.p);
}

/* Each is a possible shape, but together with the 16 elements before it there are too many. */
Test(params, weights_too_large_are_out_of_memory)
{
    three n = three_new(SQ_F64);
    for (int i = 0; i < 16; i++) {
        cr_expect(sq_params_add(n.p, "huge", sq_vec(PTRDIFF_MAX / 32 - i)).id == 0);
        EXPECT_PARAMS_ERROR(n.p, SQ_ENOMEM, "\"huge\"");
    }
    double back[12];
    cr_expect(sq_weight_get_f64(n.p, n.W, back) == SQ_OK);
    EXPECT_SAME_BITS(back, ramp, sizeof back, "W");
    cr_expect(sq_params_add(n.p, "more", sq_vec(2)).id == 4);
    sq_params_free(n.p);
}

Test(params, unknown_weights)
{
    three n = three_new(SQ_F64);
    double v[12];
    float f[12];
    const int32_t ids[] = { 0, -1, 4, INT32_MAX, INT32_MIN };
    for (int i = 0; i < COUNT(ids); i++) {
        sq_weight w = { ids[i] };
        EXPECT_TEXT(sq_weight_name(n.p, w), "");
        cr_expect(sq_shape_equal(sq_weight_shape(n.p, w), sq_scalar()));
        cr_expect(sq_weight_offset(n.p, w) == -1);
        cr_expect(sq_weight_group(n.p, w) == -1 && !sq_weight_frozen(n.p, w));
        cr_expect(sq_weight_get_f64(n.p, w, v) == SQ_EWEIGHT);
        cr_expect(sq_weight_get_f32(n.p, w, f) == SQ_EWEIGHT);
        cr_expect(sq_weight_set_f64(n.p, w, ramp) == SQ_EWEIGHT);
        EXPECT_PARAMS_ERROR(n.p, SQ_EWEIGHT, "unknown");
        cr_expect(sq_weight_set_group(n.p, w, 1) == SQ_EWEIGHT);
        EXPECT_PARAMS_ERROR(n.p, SQ_EWEIGHT, "unknown");
        cr_expect(sq_weight_set_frozen(n.p, w, true) == SQ_EWEIGHT);
        EXPECT_PARAMS_ERROR(n.p, SQ_EWEIGHT, "unknown");
    }
    sq_params_free(n.p);
}

Test(params, the_first_error_stays_and_later_changes_do_nothing)
{
    three n = three_new(SQ_F64);
    const uint64_t version = sq_params_version(n.p);
    const double other[12] = { 0 };
    sq_params_add(n.p, "W", sq_vec(1));
    char first[600];
    (void)snprintf(first, sizeof first, "%s", sq_params_message(n.p));
    cr_expect(sq_params_add(n.p, "fine", sq_vec(1)).id == 0);
    cr_expect(sq_weight_set_f64(n.p, n.W, other) == SQ_EWEIGHT);
    cr_expect(sq_weight_set_group(n.p, n.W, 99) == SQ_EWEIGHT);
    cr_expect(sq_weight_set_frozen(n.p, n.W, true) == SQ_EWEIGHT);
    cr_expect(sq_params_update(n.p) == NULL);
    EXPECT_TEXT(sq_params_message(n.p), first);
    double back[12];
    cr_expect(sq_weight_get_f64(n.p, n.W, back) == SQ_OK, "reading is no change");
    EXPECT_SAME_BITS(back, ramp, sizeof back, "W");
    cr_expect(sq_params_version(n.p) == version && sq_params_count(n.p) == 3);
    cr_expect(sq_weight_group(n.p, n.W) == 0 && !sq_weight_frozen(n.p, n.W));
    sq_params_clear_error(n.p);
    cr_expect(sq_params_add(n.p, "fine", sq_vec(1)).id == 4);
    sq_params_free(n.p);
}

Test(params, groups_and_frozen_marks)
{
    three n = three_new(SQ_F32);
    cr_expect(sq_weight_group(n.p, n.b) == 0 && !sq_weight_frozen(n.p, n.b));
    cr_expect(sq_weight_set_group(n.p, n.b, SQ_MAX_GROUPS - 1) == SQ_OK);
    cr_expect(sq_weight_group(n.p, n.b) == SQ_MAX_GROUPS - 1);
    cr_expect(sq_weight_set_group(n.p, n.b, SQ_MAX_GROUPS) == SQ_ERANGE);
    EXPECT_PARAMS_ERROR(n.p, SQ_ERANGE, "\"b\" is outside 0..15");
    cr_expect(sq_weight_set_group(n.p, n.b, -1) == SQ_ERANGE);
    EXPECT_PARAMS_ERROR(n.p, SQ_ERANGE, "group -1");
    cr_expect(sq_weight_group(n.p, n.b) == SQ_MAX_GROUPS - 1);
    cr_expect(sq_weight_set_frozen(n.p, n.b, true) == SQ_OK && sq_weight_frozen(n.p, n.b));
    cr_expect(sq_weight_frozen(n.p, n.W) == false);
    cr_expect(sq_weight_set_frozen(n.p, n.b, false) == SQ_OK && !sq_weight_frozen(n.p, n.b));
    sq_params_free(n.p);
}

Test(params, values_that_are_missing)
{
    three n = three_new(SQ_F32);
    cr_expect(sq_weight_set_f32(n.p, n.W, NULL) == SQ_EVALUE);
    EXPECT_PARAMS_ERROR(n.p, SQ_EVALUE, "\"W\"");
    sq_weight none = sq_params_add(n.p, "none", sq_mat(0, 5));
    cr_expect(sq_weight_set_f32(n.p, none, NULL) == SQ_OK);
    cr_expect(sq_weight_get_f32(n.p, none, NULL) == SQ_OK);
    cr_expect(sq_weight_get_f32(n.p, n.W, NULL) == SQ_EVALUE);
    cr_expect(sq_weight_get_f64(n.p, n.W, NULL) == SQ_EVALUE);
    cr_expect(sq_params_status(n.p) == SQ_OK, "reading posts nothing");
    sq_params_free(n.p);
}

Test(params, sentences_of_a_users_own)
{
    three n = three_new(SQ_F32);
    cr_expect(sq_params_post(n.p, SQ_ERANGE, "mine: %d is too many for %s", 3, "W") == false);
    cr_expect(sq_params_post(n.p, SQ_EVALUE, "mine: a later one") == false);
    cr_expect(sq_params_status(n.p) == SQ_ERANGE);
    EXPECT_TEXT(sq_params_message(n.p), "mine: 3 is too many for W");
    sq_params_clear_error(n.p);
    cr_expect(sq_params_post(n.p, SQ_OK, "no error is an error too") == false);
    EXPECT_PARAMS_ERROR(n.p, SQ_EVALUE, "no error is an error too");
    cr_expect(sq_params_post(NULL, SQ_EVALUE, "nowhere") == false);
    sq_params_free(n.p);
}

/* As a tape holds one whose recorded steps keep the mark they were made with. */
Test(params, freezing_leaves_a_held_version_alone)
{
    three n = three_new(SQ_F64);
    sqi_version *old = retain(n.p);
    cr_expect(sq_weight_set_frozen(n.p, n.b, true) == SQ_OK);
    cr_expect(sqi_params_current(n.p) != old && sq_weight_frozen(n.p, n.b));
    EXPECT_SAME_BITS(sq_params_view(n.p), old->data, params_bytes(n.p), "values");
    sqi_version_release(n.p, old);
    sq_params_free(n.p);
}

/* ---- Values in both precisions ---- */

Test(params, values_are_converted)
{
    const double d[] = { 0.1, -1e30, 1e-30 };
    const float f[] = { 0.1f, -1e30f, 1e-30f };
    for (int i = 0; i < 2; i++) {
        sq_params *p = sq_params_new((sq_dtype)i);
        sq_weight w = sq_params_add(p, "w", sq_vec(3));
        double got_d[3];
        float got_f[3];
        cr_expect(sq_weight_set(p, w, d) == SQ_OK);
        READ(p, w, got_f);
        EXPECT_SAME_BITS(got_f, f, sizeof f, "double in, float out");
        READ(p, w, got_d);
        for (int k = 0; k < 3; k++) cr_expect(got_d[k] == (i ? d[k] : (double)f[k]));
        cr_expect(sq_weight_set(p, w, f) == SQ_OK);
        READ(p, w, got_f);
        EXPECT_SAME_BITS(got_f, f, sizeof f, "float in, float out");
        READ(p, w, got_d);
        for (int k = 0; k < 3; k++) cr_expect(got_d[k] == (double)f[k]);
        sq_params_free(p);
    }
}

/* ---- Versions ---- */

Test(params, every_change_is_a_new_version_and_nothing_else_is)
{
    three n = three_new(SQ_F64);
    uint64_t version = sq_params_version(n.p);
    sq_weight_set_group(n.p, n.W, 1);
    sq_weight_set_frozen(n.p, n.W, false);
    double v[12];
    READ(n.p, n.W, v);
    cr_expect(sq_params_version(n.p) == version);
    for (int frozen = 1; frozen >= 0; frozen--) {
        sq_weight_set_frozen(n.p, n.W, frozen);
        cr_expect(sq_params_version(n.p) > version, "frozen %d", frozen);
        version = sq_params_version(n.p);
    }
    sq_params_update(n.p);
    cr_expect(sq_params_version(n.p) > version);
    version = sq_params_version(n.p);
    sq_weight_set(n.p, n.b, ramp);
    cr_expect(sq_params_version(n.p) > version);
    version = sq_params_version(n.p);
    sq_params_add(n.p, "more", sq_vec(0));
    cr_expect(sq_params_version(n.p) > version);
    sq_params_free(n.p);
}

Test(params, a_block_nobody_else_holds_is_written_in_place)
{
    three n = three_new(SQ_F64);
    const void *block = sq_params_view(n.p);
    cr_expect(sq_params_update(n.p) == block);
    sqi_version *v = retain(n.p);
    cr_expect(v->data == block && v->number == sq_params_version(n.p));
    sqi_version_release(n.p, v);
    cr_expect(sq_params_update(n.p) == block);
    cr_expect(sqi_params_current(n.p)->data == block);
    sq_params_free(n.p);
}

Test(params, a_held_version_keeps_its_values)
{
    three n = three_new(SQ_F64);
    sqi_version *old = retain(n.p);
    const uint64_t number = old->number;
    double *w = sq_params_update(n.p);
    cr_assert(w != NULL && w != old->data);
    EXPECT_SAME_BITS(w, old->data, 16 * sizeof *w, "the new version starts as a copy and");
    w[0] = 100;
    cr_expect(1 == ((const double *)old->data)[0]);
    cr_expect(old->number == number && sq_params_version(n.p) > number);
    cr_expect(sq_params_update(n.p) == w, "the new one is held by nobody");
    sq_weight_set_f64(n.p, n.b, (double[]){ 7, 8, 9 });
    sq_params_add(n.p, "more", sq_vec(1000));
    EXPECT_SAME_BITS(old->data, ramp, 12 * sizeof *w, "W of the held version");
    EXPECT_SAME_BITS((const double *)old->data + 12, ramp, 3 * sizeof *w, "b of it");
    sqi_version_release(n.p, old);
    double b[3];
    READ(n.p, n.b, b);
    cr_expect(b[0] == 7 && b[2] == 9 && ((const double *)sq_params_view(n.p))[0] == 100);
    sq_params_free(n.p);
}

/* A window of three versions in flight over many updates: values stay true, and after the first
 * rounds no block is new. */
Test(params, released_blocks_are_used_again)
{
    enum { WINDOW = 3, ROUNDS = 200 };
    sq_params *p = sq_params_new(SQ_F32);
    sq_params_add(p, "w", sq_vec(100));
    sqi_version *held[WINDOW] = { 0 };
    const void *seen[ROUNDS];
    int n_seen = 0;
    for (int i = 0; i < ROUNDS; i++) {
        float *w = sq_params_update(p);
        cr_assert(w != NULL);
        bool known = false;
        for (int k = 0; k < n_seen; k++) known = known || seen[k] == w;
        if (!known) seen[n_seen++] = w;
        for (int k = 0; k < 100; k++) w[k] = (float)i;
        if (held[i % WINDOW]) {
            const float *old = held[i % WINDOW]->data;
            cr_expect(old[0] == (float)(i - WINDOW) && old[99] == (float)(i - WINDOW));
            sqi_version_release(p, held[i % WINDOW]);
        }
        held[i % WINDOW] = retain(p);
    }
    cr_expect(n_seen <= WINDOW + 1, "%d blocks", n_seen);
    for (int k = 0; k < WINDOW; k++) sqi_version_release(p, held[k]);
    sq_params_free(p);
}

Test(params, a_version_may_be_held_several_times)
{
    three n = three_new(SQ_F64);
    sqi_version *a = retain(n.p), *b = retain(n.p);
    cr_expect(a == b);
    double *w = sq_params_update(n.p);
    cr_expect(w != a->data);
    sqi_version_release(n.p, a);
    for (int i = 0; i < 3; i++) {
        sqi_version *now = retain(n.p);
        w = sq_params_update(n.p);
        cr_expect(w != b->data && w != now->data);
        w[0] = 50 + i;
        sqi_version_release(n.p, now);
    }
    cr_expect(1 == ((const double *)b->data)[0]);
    sqi_version_release(n.p, b);
    sq_params_free(n.p);
}

/* ---- Copies ---- */

Test(params, clones_are_equal_and_apart)
{
    three n = three_new(SQ_F64);
    sq_weight_set_f64(n.p, n.b, (double[]){ 0.1, -1e30, 1e-30 });
    sq_weight_set_group(n.p, n.W, 3);
    sq_weight_set_frozen(n.p, n.b, true);
    sq_params *same = sq_params_clone(n.p, SQ_F64), *single = sq_params_clone(n.p, SQ_F32);
    sq_params *back = sq_params_clone(single, SQ_F64);
    sq_params *all[] = { same, single, back };
    for (int i = 0; i < 3; i++) {
        sq_params *c = all[i];
        cr_assert(c != NULL);
        cr_expect(sq_params_dtype(c) == (i == 1 ? SQ_F32 : SQ_F64));
        cr_expect(sq_params_count(c) == 3 && sq_params_size(c) == 16);
        cr_expect(sq_params_find(c, "s").id == n.s.id);
        cr_expect(sq_shape_equal(sq_weight_shape(c, n.W), sq_mat(4, 3)));
        cr_expect(sq_weight_group(c, n.W) == 3 && sq_weight_frozen(c, n.b));
        float f[12], g[12];
        for (int32_t id = 1; id <= 3; id++) {
            READ(n.p, ((sq_weight){ id }), f);
            READ(c, ((sq_weight){ id }), g);
            size_t size = (size_t)sq_shape_size(sq_weight_shape(c, (sq_weight){ id }));
            EXPECT_SAME_BITS(f, g, size * sizeof *f, "in single precision the values");
        }
    }
    EXPECT_SAME_BITS(sq_params_view(same), sq_params_view(n.p), params_bytes(same), "copies");
    *(double *)sq_params_update(same) = 77;
    cr_expect(1 == *(const double *)sq_params_view(n.p));
    cr_expect(sq_params_add(same, "more", sq_vec(2)).id == 4 && sq_params_count(n.p) == 3);
    for (int i = 0; i < 3; i++) sq_params_free(all[i]);
    sq_params_free(n.p);
}

Test(params, a_clone_of_nothing_and_a_clone_after_an_error)
{
    sq_params *empty = sq_params_new(SQ_F32), *copy = sq_params_clone(empty, SQ_F64);
    cr_expect(copy != NULL && sq_params_count(copy) == 0);
    sq_params_free(copy);
    sq_params_free(empty);
    three n = three_new(SQ_F64);
    sq_params_add(n.p, "W", sq_vec(1));
    copy = sq_params_clone(n.p, SQ_F64);
    cr_expect(copy != NULL && sq_params_status(copy) == SQ_OK && sq_params_count(copy) == 3);
    sq_params_free(copy);
    sq_params_free(n.p);
}

/* ---- The table ---- */

Test(params, summary)
{
    sq_params *p = sq_params_new(SQ_F32);
    sq_weight W = sq_params_add(p, "encoder.W", sq_mat(4, 3));
    sq_weight b = sq_params_add(p, "b", sq_vec(2));
    float ones[12] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    sq_weight_set(p, W, ones);
    sq_weight_set_f32(p, b, (float[]){ 2, 0 });
    sq_weight_set_frozen(p, b, true);
    sq_weight_set_group(p, W, 10);
    const char *want = "name       shape  count  bytes    norm  group\n"
                       "encoder.W  [4,3]     12     48  3.4641  10\n"
                       "b            [2]      2      8       2  frozen\n"
                       "2 weights            14     56       4  float32\n";
    char text[400];
    cr_expect(sq_params_summary(p, text, sizeof text) == strlen(want));
    EXPECT_TEXT(text, want);
    sq_params_free(p);
}

/* The squares of these numbers leave the range of double. */
Test(params, summary_of_extreme_norms)
{
    sq_params *p = sq_params_new(SQ_F64);
    const double small[] = { 3e-210, 4e-210 }, large[] = { 3e200, 4e200 };
    sq_weight_set_f64(p, sq_params_add(p, "small", sq_vec(2)), small);
    sq_weight_set_f64(p, sq_params_add(p, "large", sq_vec(2)), large);
    char text[400];
    sq_params_summary(p, text, sizeof text);
    EXPECT_CONTAINS(text, "  5e-210  0\n");
    EXPECT_CONTAINS(text, "  5e+200  0\n");
    sq_params_free(p);
}

Test(params, summary_writes_like_snprintf)
{
    three n = three_new(SQ_F64);
    char whole[400], part[400];
    const size_t length = sq_params_summary(n.p, NULL, 0);
    cr_assert(length > 0 && length < sizeof whole);
    cr_expect(sq_params_summary(n.p, whole, sizeof whole) == length && strlen(whole) == length);
    for (size_t size = 1; size <= length + 1; size++) {
        memset(part, '#', sizeof part);
        cr_expect(sq_params_summary(n.p, part, size) == length);
        cr_expect(strlen(part) == size - 1 && memcmp(part, whole, size - 1) == 0, "%zu", size);
        cr_expect(part[size] == '#', "byte %zu was written", size);
    }
    sq_params_free(n.p);
}

Test(params, summary_of_long_names_and_of_nothing)
{
    sq_params *p = sq_params_new(SQ_F64);
    char text[2000], name[301];
    cr_expect(sq_params_summary(p, text, sizeof text) == strlen(text));
    EXPECT_CONTAINS(text, "0 weights");
    memset(name, 'n', 300);
    name[300] = '\0';
    sq_params_add(p, name, sq_scalar());
    cr_expect(sq_params_summary(p, text, sizeof text) == strlen(text));
    EXPECT_CONTAINS(text, name);
    EXPECT_CONTAINS(text, "1 weight ");
    sq_params_free(p);
}

Test(params, null_params_answer_out_of_memory)
{
    cr_expect(sq_params_status(NULL) == SQ_ENOMEM);
    EXPECT_TEXT(sq_params_message(NULL), "out of memory");
    cr_expect(sq_params_add(NULL, "W", sq_vec(1)).id == 0);
    cr_expect(sq_params_count(NULL) == 0 && sq_params_size(NULL) == 0);
    cr_expect(sq_params_update(NULL) == NULL && sq_params_clone(NULL, SQ_F32) == NULL);
    cr_expect(sq_weight_set_f64(NULL, (sq_weight){ 1 }, ramp) == SQ_ENOMEM);
}
