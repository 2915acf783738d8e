/* test_dot.c -- the tape drawn for Graphviz: numbers by hand, steps as clusters, and that dot itself
 * takes it. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include "graph/dot.h"
#include "tests/support/support.h"

static char *drawn(const sq_tape *t, int64_t first, int64_t steps)
{
    size_t n = sq_dot(t, first, steps, NULL, 0);
    char *text = malloc(n + 1);
    cr_assert(text != NULL && sq_dot(t, first, steps, text, n + 1) == n && strlen(text) == n);
    return text;
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, part)); p++) n++;
    return n;
}

/* y = 4 x at x = 3. */
Test(dot, numbers_by_hand)
{
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_var x = sq_name(sq_leaf(t, sq_scalar(), ((double[]){ 3 })), "x");
    sq_begin_step(t);
    sq_var y = sq_mul_scalar(x, 4);
    for (int i = 0; i < 2; i++) BACKWARD(y); /* a leaf's gradient is that of all sweeps */
    char *text = drawn(t, 0, -1);
    EXPECT_CONTAINS(text, "digraph tape {");
    EXPECT_CONTAINS(text, "label=\"step 0\"");
    EXPECT_CONTAINS(text, "label=\"leaf\\nx\\n[]\"");
    EXPECT_CONTAINS(text, "label=\"y 3\\ndL/dy 8\"");
    cr_expect(count(text, " -> ") == 1);
    free(text);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
}

/* A loop of three steps: h' = h W. */
static sq_tape *loop(sq_params *p, bool swept)
{
    sq_tape *t = sq_tape_new(SQ_F64, p);
    sq_weight w = sq_params_find(p, "W");
    sq_var h = sq_input(t, sq_mat(1, 2), ((double[]){ 3, 4 }));
    for (int i = 0; i < 3; i++) {
        sq_begin_step(t);
        h = sq_name(sq_matmul(h, sq_use(t, w)), "h");
    }
    sq_end_step(t);
    sq_var loss = sq_sum(h);
    if (swept) BACKWARD(loss);
    return t;
}

static sq_params *identity(void)
{
    sq_params *p = sq_params_new(SQ_F64);
    sq_weight w = sq_params_add(p, "W", sq_mat(2, 2));
    cr_assert(sq_weight_set_f64(p, w, (double[]){ 1, 0, 0, 1 }) == SQ_OK);
    return p;
}

Test(dot, steps_are_clusters_and_weights_have_an_entry_in_each)
{
    sq_params *p = identity();
    sq_tape *t = loop(p, true);
    char *text = drawn(t, 0, -1);
    cr_expect(count(text, "subgraph cluster_") == 5, "root, three steps, what follows");
    cr_expect(count(text, "[label=\"W\\n[2,2]\"") == 3);
    cr_expect(count(text, "[label=\"matmul\\nh\\n[1,2]\"") == 3);
    cr_expect(count(text, "import") == 0);
    /* |h| = 5 all along; |dL/dh| = |(1,1)|: on the edges to the next step and to the loss */
    cr_expect(count(text, "label=\"|y| 5\\n|dL/dy| 1.41421\"") == 3);
    free(text);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(dot, of_one_step_shows_what_it_takes_from_outside)
{
    sq_params *p = identity();
    sq_tape *t = loop(p, false);
    char *text = drawn(t, 1, 1);
    cr_expect(count(text, "subgraph cluster_") == 1);
    EXPECT_CONTAINS(text, "step 1");
    cr_expect(count(text, "matmul") == 2,
              "its own, and the one before as the source of an edge");
    cr_expect(count(text, "dL/dy") == 0, "no sweep, no gradient");
    free(text);
    text = drawn(t, 7, 2);
    cr_expect(count(text, "subgraph") == 0 && count(text, " -> ") == 0);
    free(text);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(dot, observes_only)
{
    sq_params *p = identity();
    sq_tape *t = loop(p, true);
    void *before = grads_copy(t);
    sq_tape_stats a = sq_tape_statistics(t);
    free(drawn(t, 0, -1));
    sq_tape_stats b = sq_tape_statistics(t);
    EXPECT_SAME_BITS(sq_grads(t), before, params_bytes(p), "weight gradients");
    EXPECT_SAME_BITS(&a, &b, sizeof a, "statistics");
    ASSERT_HEALTHY(t);
    free(before);
    sq_tape_free(t);
    sq_params_free(p);
}

Test(dot, of_nothing_and_short_buffers)
{
    char text[8] = "old";
    cr_expect(sq_dot(NULL, 0, -1, text, sizeof text) == 0 && text[0] == '\0');
    cr_expect(sq_dot(NULL, 0, -1, NULL, 0) == 0);
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    cr_expect(sq_dot(t, 0, -1, text, sizeof text) > sizeof text);
    EXPECT_TEXT(text, "digraph");
    cr_expect(sq_dot(t, INT64_MAX, INT64_MAX, text, sizeof text) > 0);
    sq_tape_free(t);
}

/* ---- Graphviz itself ------------------------------------------------------------------------- */

/* dot reads it, without a complaint; what it writes holds every part. */
static void expect_rendered(const char *text, const char *const *parts)
{
    char folder[] = "/tmp/seqgrad-dot-XXXXXX", path[64], command[512], svg[200000];
    cr_assert(mkdtemp(folder) != NULL);
    snprintf(path, sizeof path, "%s/tape", folder);
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    snprintf(command, sizeof command,
             "dot -Tsvg %s -o %s.svg 2> %s.errors && ! test -s %s.errors", path, path, path,
             path);
    cr_expect(system(command) == 0, "dot refuses:\n%s", text);
    snprintf(command, sizeof command, "%s.svg", path);
    f = fopen(command, "r");
    cr_assert(f != NULL);
    svg[fread(svg, 1, sizeof svg - 1, f)] = '\0';
    fclose(f);
    for (; *parts; parts++) EXPECT_CONTAINS(svg, *parts);
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_expect(system(command) == 0);
}

static void need_graphviz(void)
{
    if (system("command -v dot > /dev/null 2>&1") != 0) cr_skip("skipped: no graphviz");
}

Test(dot, graphviz_renders_hostile_names)
{
    need_graphviz();
    sq_tape *t = sq_tape_new(SQ_F64, NULL);
    sq_begin_step(t);
    sq_var x = sq_leaf(t, sq_scalar(), ((double[]){ (double)INFINITY }));
    sq_name(x, "\"];}<b>&amp;\\N\n\xff");
    sq_tanh(x);
    char *text = drawn(t, 0, 1);
    expect_rendered(text, (const char *const[]){ "&quot;];}&lt;b&gt;&amp;amp;\\N", "y inf",
                                                 "step 0", NULL });
    free(text);
    sq_tape_free(t);
}

Test(dot, graphviz_renders_an_unroll_eager_and_planned)
{
    need_graphviz();
    for (int mode = SQ_EAGER; mode <= SQ_PLAN; mode++) {
        net n;
        net_new(&n, SQ_F32, 2, 3, 1);
        sq_tape *t = sq_tape_new(SQ_F32, n.params);
        float x[4 * 2 * 2] = { 0 };
        const sq_unrolled *u = sq_unroll(t, &n.cell, sq_input(t, sq_shape3(4, 2, 2), x), NULL,
                                         &(sq_unroll_options){ .mode = (sq_mode)mode });
        sq_unrolled_named(u, 2, "f");
        BACKWARD(sq_sum(sq_unrolled_outputs(u)));
        char *text = drawn(t, 0, -1);
        const char *const plan[] = { "4 steps as a plan", "lstm.U_f", NULL };
        const char *const eager[] = { "step 0", "step 3", "lstm.U_f", "sigmoid", NULL };
        expect_rendered(text, mode == SQ_PLAN ? plan : eager);
        free(text);
        ASSERT_HEALTHY(t);
        sq_tape_free(t);
        net_free(&n);
    }
}

/* The state of a step comes from the state before it at once, at the same height. */
Test(dot, graphviz_renders_steps_of_equal_height)
{
    need_graphviz();
    enum { T = 8, B = 2, I = 2, H = 3 };
    static const int32_t lengths[B] = { T, T - 1 };
    double x[T * B * I];
    net n;
    net_new(&n, SQ_F64, I, H, 1);
    fill(x, COUNT(x), 3, -1, 1);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    const sq_unrolled *u =
        sq_unroll(t, &n.cell, sq_input(t, sq_shape3(T, B, I), x), NULL,
                  &(sq_unroll_options){ .mode = SQ_EAGER, .lengths = lengths });
    BACKWARD(sq_sum(sq_unrolled_outputs(u)));
    char *text = drawn(t, 0, -1);
    expect_rendered(text, (const char *const[]){ "step 0", "step 7", "lstm.U_f", NULL });
    free(text);
    sq_tape_free(t);
    net_free(&n);
}
