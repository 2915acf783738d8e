/* test_shape.c -- shapes, the bounds of what is valid, and the broadcast rule against a direct
 * statement of NumPy's. */
#include "tests/support/support.h"

Test(shape, sizes)
{
    cr_expect(sq_shape_size(sq_scalar()) == 1);
    cr_expect(sq_shape_size(sq_vec(7)) == 7);
    cr_expect(sq_shape_size(sq_mat(3, 5)) == 15);
    cr_expect(sq_shape_size(sq_shape3(2, 3, 5)) == 30);
    cr_expect(sq_shape_size(sq_shape4(2, 3, 5, 7)) == 210);
    cr_expect(sq_shape_size(sq_mat(0, 5)) == 0);
    cr_expect(sq_shape_size(sq_shape3(2, 0, 5)) == 0);
}

Test(shape, valid_and_impossible_shapes)
{
    const int64_t big = INT64_C(1) << 40;
    const sq_shape valid[] = {
        sq_scalar(),
        sq_vec(0),
        sq_vec(1),
        sq_mat(0, 0),
        sq_mat(0, big),
        sq_mat(3, 1 << 20),
        sq_shape4(1, 1, 1, 1),
        sq_vec(PTRDIFF_MAX / 32),
    };
    for (int i = 0; i < COUNT(valid); i++) cr_expect(sq_shape_valid(valid[i]), "valid %d", i);

    sq_shape rank5 = sq_shape4(1, 1, 1, 1), rank_negative = sq_scalar();
    rank5.rank = 5;
    rank_negative.rank = -1;
    const sq_shape impossible[] = {
        rank5,
        rank_negative,
        sq_vec(-1),
        sq_mat(3, -1),
        sq_mat(0, -1),
        sq_mat(-2, -3),
        sq_vec(INT64_MIN),
        sq_vec(INT64_MAX),
        sq_vec(PTRDIFF_MAX / 32 + 1),
        sq_vec(PTRDIFF_MAX / 8),
        sq_mat(big, big),
        sq_mat(INT64_C(1) << 32, INT64_C(1) << 32), /* the product wraps round to 0 */
        sq_shape4(1 << 16, 1 << 16, 1 << 16, 1 << 16),
        sq_shape3(0, big, big), /* nothing in it, but a row of it cannot be counted */
        sq_shape3(big, 0, big),
        sq_shape3(INT64_MAX, 2, 0),
    };
    for (int i = 0; i < COUNT(impossible); i++)
        cr_expect(sq_shape_valid(impossible[i]) == false, "impossible %d", i);
}

Test(shape, equality_looks_at_used_axes_only)
{
    cr_expect(sq_shape_equal(sq_scalar(), sq_scalar()));
    cr_expect(sq_shape_equal(sq_mat(2, 3), sq_mat(2, 3)));
    cr_expect(sq_shape_equal(sq_mat(2, 3), sq_mat(3, 2)) == false);
    cr_expect(sq_shape_equal(sq_vec(1), sq_scalar()) == false);
    cr_expect(sq_shape_equal(sq_scalar(), sq_vec(1)) == false);
    cr_expect(sq_shape_equal(sq_vec(3), sq_mat(1, 3)) == false);
    sq_shape odd = sq_vec(4);
    odd.dim[2] = 99;
    cr_expect(sq_shape_equal(odd, sq_vec(4)));
}

Test(shape, texts)
{
    char buf[SQ_SHAPE_TEXT];
    EXPECT_TEXT(sq_shape_text(sq_scalar(), buf), "[]");
    EXPECT_TEXT(sq_shape_text(sq_vec(7), buf), "[7]");
    EXPECT_TEXT(sq_shape_text(sq_mat(4, 3), buf), "[4,3]");
    EXPECT_TEXT(sq_shape_text(sq_shape4(0, 1, 2, 3), buf), "[0,1,2,3]");
    EXPECT_TEXT(sq_shape_text(sq_shape4(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN), buf),
                "[-9223372036854775808,-9223372036854775808,-9223372036854775808,"
                "-9223372036854775808]");
    sq_shape bad = sq_scalar();
    bad.rank = INT32_MIN;
    EXPECT_TEXT(sq_shape_text(bad, buf), "[rank -2147483648]");
    cr_expect(sq_shape_text(sq_vec(1), buf) == buf);
}

/* Size of axis i of s seen as rank 4, ones put in front. */
static int64_t padded(sq_shape s, int i)
{
    int k = i - (4 - s.rank);
    return k < 0 ? 1 : s.dim[k];
}

static void expect_rule(sq_shape a, sq_shape b)
{
    sq_shape out = sq_vec(12345);
    char ta[SQ_SHAPE_TEXT], tb[SQ_SHAPE_TEXT];
    bool want = true;
    for (int i = 0; i < 4; i++) {
        int64_t m = padded(a, i), n = padded(b, i);
        want = want && (m == n || m == 1 || n == 1);
    }
    cr_expect(sq_shape_broadcast(a, b, &out) == want, "%s with %s", sq_shape_text(a, ta),
              sq_shape_text(b, tb));
    if (!want) {
        cr_expect(sq_shape_equal(out, sq_vec(12345)), "out is untouched");
        return;
    }
    cr_expect(out.rank == (a.rank > b.rank ? a.rank : b.rank));
    for (int i = 0; i < 4; i++) {
        int64_t m = padded(a, i), n = padded(b, i);
        cr_expect(padded(out, i) == (m == 1 ? n : m), "%s with %s, axis %d",
                  sq_shape_text(a, ta), sq_shape_text(b, tb), i);
    }
}

/* Shape number `code` out of all of rank 0..4 with sizes 0..3. */
static sq_shape coded(int rank, int code)
{
    sq_shape s = sq_scalar();
    s.rank = rank;
    for (int i = 0; i < rank; i++, code /= 4) s.dim[i] = code % 4;
    return s;
}

Test(shape, broadcast_is_numpys_rule)
{
    rng r = { 7 };
    for (int n = 0; n < 20000; n++)
        expect_rule(coded(rng_below(&r, 5), rng_below(&r, 256)),
                    coded(rng_below(&r, 5), rng_below(&r, 256)));
    sq_shape out;
    cr_expect(sq_shape_broadcast(sq_mat(4, 1), sq_vec(3), &out));
    cr_expect(sq_shape_equal(out, sq_mat(4, 3)));
    cr_expect(sq_shape_broadcast(sq_vec(0), sq_scalar(), &out));
    cr_expect(sq_shape_equal(out, sq_vec(0)));
    cr_expect(sq_shape_broadcast(sq_vec(0), sq_vec(2), &out) == false);
}

Test(shape, broadcast_refuses_what_would_not_fit_an_object)
{
    sq_shape out = sq_scalar();
    const int64_t n = INT64_C(1) << 35;
    cr_expect(sq_shape_broadcast(sq_mat(n, 1), sq_mat(1, n), &out) == false);
    cr_expect(sq_shape_equal(out, sq_scalar()));
}
