/* test_report.c -- the forms of a report: digits against printf, layout by hand, names that would
 * be something else, buffers that are too short. What the page does is tested in a browser. */
#include "tests/support/sheet.h"
#include "tests/support/support.h"

#include <float.h>
#include <locale.h>

/* ---- Numbers --------------------------------------------------------------------------------- */

static void expect_like_printf(double v)
{
    char want[64], got[SQI_NUMBER_TEXT];
    snprintf(want, sizeof want, "%.6g", v == 0 ? 0.0 : v);
    EXPECT_TEXT(sqi_number_text(v, got), want);
}

Test(report_numbers, are_those_of_printf)
{
    const double edges[] = { 0,
                             -0.0,
                             1,
                             -1,
                             10,
                             123456,
                             1234567,
                             999999.5,
                             999999.4,
                             9.999995,
                             9.999994,
                             .0001,
                             .00009999995,
                             .0000999999,
                             1e5,
                             1e6,
                             100,
                             1e-5,
                             1e100,
                             -2.5e-200,
                             DBL_MAX,
                             DBL_MIN,
                             4.9406564584124654e-324,
                             .5,
                             2e-308,
                             1.5 };
    for (int i = 0; i < COUNT(edges); i++) expect_like_printf(edges[i]);
    rng r = { 1 };
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rng_bits(&r);
        double v;
        memcpy(&v, &bits, sizeof v);
        if (isfinite(v)) expect_like_printf(v);
        expect_like_printf(rng_in(&r, -10, 10) * pow(10, rng_below(&r, 16) - 8));
    }
}

Test(report_numbers, that_are_none)
{
    char text[SQI_NUMBER_TEXT];
    EXPECT_TEXT(sqi_number_text((double)NAN, text), "nan");
    EXPECT_TEXT(sqi_number_text(-(double)NAN, text), "nan");
    EXPECT_TEXT(sqi_number_text(HUGE_VAL, text), "inf");
    EXPECT_TEXT(sqi_number_text(-HUGE_VAL, text), "-inf");
}

/* A comma for a point would break every form. */
Test(report_numbers, do_not_follow_the_locale)
{
    const char *const comma[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "it_IT.UTF-8",
                                  "pl_PL.UTF-8" };
    int i = 0;
    while (i < COUNT(comma) && !setlocale(LC_ALL, comma[i])) i++;
    if (i == COUNT(comma)) cr_skip("skipped: no locale with a decimal comma");
    cr_assert(localeconv()->decimal_point[0] == ',');
    made_sheet m;
    sheet_make(&m, SHEET_PLAIN, 7, 3);
    void (*const forms[])(const sqi_sheet *, sqi_sink *) = { sqi_csv, sqi_terminal, sqi_svg,
                                                             sqi_html };
    for (int k = 0; k < COUNT(forms); k++) {
        setlocale(LC_ALL, comma[i]);
        char *there = sheet_text(&m, forms[k]);
        setlocale(LC_ALL, "C");
        char *here = sheet_text(&m, forms[k]);
        EXPECT_TEXT(there, here);
        free(there);
        free(here);
    }
}

/* ---- Names ----------------------------------------------------------------------------------- */

static const char *quoted(const char *name, sqi_quoting how, char buf[128])
{
    sqi_sink s = { buf, 128, 0 };
    sqi_put_name(&s, name, how);
    sqi_put_end(&s);
    return buf;
}

Test(report_names, stay_names)
{
    char b[128];
    const char *markup = "<a href=\"x\">&'\\";
    EXPECT_TEXT(quoted(markup, SQI_XML, b), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;\\");
    EXPECT_TEXT(quoted(markup, SQI_JSON, b), "\\u003ca href=\\\"x\\\"\\u003e\\u0026'\\\\");
    EXPECT_TEXT(quoted(markup, SQI_DOT, b), "<a href=\\\"x\\\">&amp;'\\\\");
    EXPECT_TEXT(quoted(markup, SQI_CSV, b), "\"<a href=\"\"x\"\">&'\\\"");
    EXPECT_TEXT(quoted("plain.W_0", SQI_CSV, b), "plain.W_0");
    EXPECT_TEXT(quoted("a,b", SQI_CSV, b), "\"a,b\"");
    EXPECT_TEXT(quoted("a\nb\tc\x7f", SQI_PLAIN, b), "a b c ");
    EXPECT_TEXT(quoted("Größe→", SQI_PLAIN, b), "Größe→");
    EXPECT_TEXT(quoted("Größe→", SQI_ASCII, b), "Gr??e?");
}

Test(report_names, that_are_not_utf8)
{
    char b[128];
    const char *const bad[] = { "\xff", "\xc0", "\xc3", "\x80", "\xe2\x82", "\xf5" };
    for (int i = 0; i < COUNT(bad); i++) {
        const char *text = quoted(bad[i], SQI_JSON, b);
        cr_expect(strncmp(text, "\xEF\xBF\xBD", 3) == 0, "%d: %s", i, text);
        EXPECT_TEXT(quoted(bad[i], SQI_ASCII, b), i == 4 ? "??" : "?");
    }
    EXPECT_TEXT(quoted("\xed\xa0\x80", SQI_ASCII, b), "???");      /* a surrogate */
    EXPECT_TEXT(quoted("\xf4\x90\x80\x80", SQI_ASCII, b), "????"); /* beyond Unicode */
    EXPECT_TEXT(quoted("\xf0\x9f\x99\x82", SQI_ASCII, b), "?");
}

/* ---- Pooling --------------------------------------------------------------------------------- */

Test(report_pooling, groups_cover_everything_once)
{
    for (int64_t n = 0; n < 70; n++)
        for (int64_t most = 1; most < 40; most++) {
            sqi_groups g = sqi_groups_of(n, most);
            cr_assert(g.groups == (n < most ? n : most) && sqi_group_first(g, 0) == 0);
            cr_assert(sqi_group_first(g, g.groups) == n);
            for (int64_t i = 0; i < g.groups; i++) {
                int64_t size = sqi_group_first(g, i + 1) - sqi_group_first(g, i);
                cr_assert(size == n / g.groups || size == n / g.groups + 1);
            }
        }
    sqi_groups huge = sqi_groups_of(INT64_MAX, 500);
    cr_assert(sqi_group_first(huge, 500) == INT64_MAX);
}

static double listed(const sqi_table *t, int64_t row, int64_t col)
{
    return ((const double *)t->source)[row * t->cols + col];
}

Test(report_pooling, takes_the_largest_or_the_mean)
{
    double v[2][6] = { { 1, 5, 2, 0, -1, -3 }, { 4, 2, 9, 0, -2, -8 } };
    sqi_table t = { .rows = 2, .cols = 6, .at = listed, .source = v };
    sqi_groups all = { 2, 1 }, each = { 2, 2 }, three = { 6, 3 };
    EXPECT_NEAR(sqi_pooled(&t, each, three, 0, 0), 5, 0, "largest");
    EXPECT_NEAR(sqi_pooled(&t, all, three, 0, 1), 9, 0, "largest of both rows");
    EXPECT_NEAR(sqi_pooled(&t, all, three, 0, 2), -1, 0, "largest of negative numbers");
    t.pool = SQI_MEAN;
    EXPECT_NEAR(sqi_pooled(&t, each, three, 1, 0), 3, 0, "mean");
    EXPECT_NEAR(sqi_pooled(&t, all, three, 0, 2), -3.5, 0, "mean of both rows");
    v[0][1] = (double)NAN;
    cr_expect(isnan(sqi_pooled(&t, all, three, 0, 0)));
    t.pool = SQI_LARGEST;
    cr_expect(isnan(sqi_pooled(&t, all, three, 0, 0)), "nothing hides a NaN");
    v[0][1] = HUGE_VAL;
    cr_expect(isinf(sqi_pooled(&t, all, three, 0, 0)));
}

/* ---- The forms, of a ledger ------------------------------------------------------------------ */

/* h_t = w h_(t-1) + x_t, w = 1/4, L = h_0 + 2 h_1 + 3 h_2. */
static sq_var linear(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_weight *w = self;
    return *state = sq_add(sq_mul(sq_use(t, *w), *state), x);
}

typedef struct scalar_run {
    sq_params *p;
    sq_tape *t;
    sq_ledger *l;
} scalar_run;

static void scalar_new(scalar_run *r)
{
    static const int64_t one_wide[1] = { 1 };
    static const char *const names[1] = { "h, \"state\"" };
    r->p = sq_params_new(SQ_F64);
    sq_weight w = add_number(r->p, "w", .25);
    r->t = sq_tape_new(SQ_F64, r->p);
    sq_cell cell = { "linear", 1, one_wide, names, linear, &w };
    sq_var x = sq_input(r->t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 4 }));
    const sq_unrolled *u = sq_unroll(r->t, &cell, x, NULL, NULL);
    sq_var c = sq_input(r->t, sq_shape3(3, 1, 1), ((double[]){ 1, 2, 3 }));
    r->l = sq_ledger_new(u, sq_sum(sq_mul(c, sq_unrolled_outputs(u))), NULL);
    cr_assert(r->l != NULL, "%s", sq_message(r->t));
}

static void scalar_free(scalar_run *r)
{
    sq_ledger_free(r->l);
    sq_tape_free(r->t);
    sq_params_free(r->p);
}

typedef size_t report_form(const sq_report *r, char *buf, size_t n);
static report_form *const forms[] = { sq_report_terminal, sq_report_csv, sq_report_svg,
                                      sq_report_html };

static char *whole(report_form *form, const sq_report *r)
{
    size_t n = form(r, NULL, 0);
    char *text = malloc(n + 1);
    cr_assert(text != NULL && form(r, text, n + 1) == n && strlen(text) == n);
    return text;
}

/* The line that begins so ends with this number. */
static void expect_row(const char *csv, const char *begin, double value)
{
    char want[256], number[SQI_NUMBER_TEXT];
    snprintf(want, sizeof want, "\n%s,%s\n", begin, sqi_number_text(value, number));
    EXPECT_CONTAINS(csv, want);
}

static int count(const char *text, const char *part);

/* Everything that a ledger of an LSTM can hold, in the numbers that its readers give. */
Test(report_csv, of_all_that_a_ledger_holds)
{
    enum { T = 4, B = 2, H = 3, WEIGHTS = 12, GATES = 6 };
    net n;
    net_new(&n, SQ_F64, 2, H, 1);
    sq_tape *t = sq_tape_new(SQ_F64, n.params);
    double x[T * B * 2];
    fill(x, T * B * 2, 2, -1, 1);
    const sq_unrolled *u =
        sq_unroll(t, &n.cell, sq_input(t, sq_shape3(T, B, 2), x), NULL, NULL);
    sq_var losses[T], all = sq_constant(t, 0);
    for (int i = 0; i < T; i++) {
        sq_var y = sq_unrolled_output(u, i);
        all = sq_add(all, losses[i] = sq_sum(sq_mul(y, y)));
    }
    sq_ledger *l = sq_ledger_new(u, all,
                                 &(sq_ledger_options){ .values = true,
                                                       .weights = true,
                                                       .far_steps = 1,
                                                       .gates = true,
                                                       .losses = losses,
                                                       .n_losses = T });
    cr_assert(l != NULL, "%s", sq_message(t));
    char *csv = whole(sq_report_csv, &(sq_report){ .ledger = l, .params = n.params });
    cr_expect(count(csv, "\nstates,") == 2 * 3 * T && count(csv, "\nunits,") == 2 * H * T);
    cr_expect(count(csv, "\nreach,") == 2 * T * (T + 1) / 2, "a loss reaches no later step");
    cr_expect(count(csv, "\nweights,") == WEIGHTS * (2 * T + 3));
    cr_expect(count(csv, "\ngates,") == GATES * 3 * T + 4 * T, "h and c are not saturated");
    sq_weight w = sq_params_find(n.params, "lstm.U_f");
    expect_row(csv, "states,c,cosine,,1", sq_ledger_cosine(l, 1, 1));
    expect_row(csv, "units,c,total,2,3", sq_ledger_unit(l, 3, 1, 2));
    expect_row(csv, "reach,h,total,3,1", sq_ledger_reach(l, 3, 1, 0));
    expect_row(csv, "weights,lstm.U_f,contribution,,2", sq_ledger_weight(l, 2, w));
    expect_row(csv, "weights,lstm.U_f,cosine,,3", sq_ledger_weight_cosine(l, 3, w));
    expect_row(csv, "weights,lstm.U_f,whole,,", sq_ledger_weight_total(l, w));
    expect_row(csv, "weights,lstm.U_f,outside,,", 0);
    expect_row(csv, "weights,lstm.U_f,far,,", sq_ledger_weight_far(l, w));
    int32_t g = 0;
    while (g < sq_ledger_n_gates(l) - 1 && strcmp(sq_ledger_gate_name(l, g), "f") != 0) g++;
    expect_row(csv, "gates,f,mean,,0", sq_ledger_gate(l, 0, g).mean);
    expect_row(csv, "gates,f,deviation,,1", sq_ledger_gate(l, 1, g).deviation);
    expect_row(csv, "gates,f,saturated,,2", sq_ledger_gate(l, 2, g).saturated);
    expect_row(csv, "gates,f,gradient,,3", sq_ledger_gate(l, 3, g).gradient);
    free(csv);
    sq_ledger_free(l);
    ASSERT_HEALTHY(t);
    sq_tape_free(t);
    net_free(&n);
}

/* Totals are 1 + 2/4 + 3/16, 2 + 3/4, 3. */
Test(report_csv, by_hand)
{
    scalar_run run;
    scalar_new(&run);
    const double singular[] = { .25, .25, .25 }, lyapunov[] = { -1.386294361119891 };
    sq_report r = { .ledger = run.l,
                    .params = run.p,
                    .singular = singular,
                    .n_singular = 1,
                    .lyapunov = lyapunov,
                    .n_lyapunov = 1 };
    char *text = whole(sq_report_csv, &r);
    EXPECT_TEXT(text, "panel,name,quantity,row,step,value\n"
                      "states,\"h, \"\"state\"\"\",total,,0,1.6875\n"
                      "states,\"h, \"\"state\"\"\",total,,1,2.75\n"
                      "states,\"h, \"\"state\"\"\",total,,2,3\n"
                      "states,\"h, \"\"state\"\"\",immediate,,0,1\n"
                      "states,\"h, \"\"state\"\"\",immediate,,1,2\n"
                      "states,\"h, \"\"state\"\"\",immediate,,2,3\n"
                      "jacobian,,singular,0,0,0.25\n"
                      "jacobian,,singular,0,1,0.25\n"
                      "jacobian,,singular,0,2,0.25\n"
                      "jacobian,,lyapunov,0,,-1.38629\n");
    free(text);
    scalar_free(&run);
}

Test(report_forms, are_the_same_every_time_and_stop_where_the_buffer_ends)
{
    scalar_run run;
    scalar_new(&run);
    sq_report r = { .ledger = run.l, .title = "a <title>", .note = "note" };
    for (int k = 0; k < COUNT(forms); k++) {
        char *a = whole(forms[k], &r), *b = whole(forms[k], &r);
        EXPECT_TEXT(a, b);
        size_t n = strlen(a);
        for (size_t room = 1; room < n; room = room * 3 / 2 + 1) {
            memset(b, 'x', n + 1);
            cr_expect(forms[k](&r, b, room) == n && b[room - 1] == '\0' && b[room] == 'x');
            cr_expect(memcmp(a, b, room - 1) == 0);
        }
        cr_expect(forms[k](&r, NULL, 100) == n, "no buffer is a buffer of no size");
        free(a);
        free(b);
    }
    scalar_free(&run);
}

Test(report_forms, of_nothing)
{
    char text[4] = "old";
    for (int k = 0; k < COUNT(forms); k++) {
        strcpy(text, "old");
        cr_expect(forms[k](NULL, text, sizeof text) == 0 && text[0] == '\0');
        strcpy(text, "old");
        cr_expect(forms[k](&(sq_report){ .title = "x" }, text, sizeof text) == 0 &&
                  text[0] == '\0');
    }
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, part)); p++) n++;
    return n;
}

/* Nothing comes from elsewhere: the one address is a name space. */
Test(report_html, stands_alone)
{
    made_sheet m;
    sheet_make(&m, SHEET_WILD, 40, 0);
    char *text = sheet_text(&m, sqi_html);
    EXPECT_CONTAINS(text, "prefers-color-scheme: dark");
    cr_expect(count(text, "://") == count(text, "http://www.w3.org/2000/svg"));
    cr_expect(count(text, "src=") == 0 && count(text, "@import") == 0 &&
              count(text, "url(") == 0);
    cr_expect(count(text, "</script") == 2 && count(text, "<b>&") == 0, "a name became markup");
    free(text);
}

/* The most that a page of 500 steps holds: an LSTM of width 128 with everything on. */
Test(report_html, of_500_steps_is_under_2_MB)
{
    made_sheet m;
    sheet_make(&m, SHEET_PLAIN, 500, 128);
    char *text = sheet_text(&m, sqi_html);
    cr_expect(strlen(text) < 2000000, "%zu bytes", strlen(text));
    free(text);
}

Test(report_svg, tells_that_it_pools)
{
    made_sheet m;
    sheet_make(&m, SHEET_SMALL, 500, 0);
    char *text = sheet_text(&m, sqi_svg);
    cr_expect(strstr(text, "pooled") == NULL);
    free(text);
    sheet_make(&m, SHEET_SMALL, 501, 0);
    text = sheet_text(&m, sqi_svg);
    EXPECT_CONTAINS(text, "501 steps pooled to 500 columns");
    free(text);
}

/* ---- Terminal -------------------------------------------------------------------------------- */

static int characters(const char *from, const char *to)
{
    int n = 0;
    for (; from < to; from++) n += ((unsigned char)*from & 0xC0) != 0x80;
    return n;
}

static void expect_lines_within(const char *text, int columns)
{
    for (const char *end; (end = strchr(text, '\n')); text = end + 1)
        cr_expect(characters(text, end) <= columns, "%d characters: %.*s",
                  characters(text, end), (int)(end - text), text);
}

Test(report_terminal, keeps_within_its_columns)
{
    const int64_t steps[] = { 1, 3, 30, 200, 2000 };
    const int32_t columns[] = { 0, 80, 120, 200 };
    for (int i = 0; i < COUNT(steps); i++)
        for (int k = 0; k < COUNT(columns); k++) {
            made_sheet m;
            sheet_make(&m, i % 2 ? SHEET_SMALL : SHEET_PLAIN, steps[i], 20);
            m.report.columns = columns[k];
            char *text = sheet_text(&m, sqi_terminal);
            expect_lines_within(text, columns[k] ? columns[k] : 80);
            EXPECT_CONTAINS(text, "total");
            free(text);
        }
}

Test(report_terminal, of_ascii_is_ascii)
{
    for (int wild = 0; wild < 2; wild++) {
        made_sheet m;
        sheet_make(&m, wild ? SHEET_WILD : SHEET_PLAIN, 50, 20);
        m.report.ascii = true;
        char *text = sheet_text(&m, sqi_terminal);
        const char *p = text;
        while (*p == '\n' || (*p >= ' ' && *p < 0x7f)) p++;
        cr_expect(strlen(p) == 0, "byte %d", *p);
        free(text);
    }
}

Test(report_terminal, colours_only_when_asked)
{
    made_sheet m;
    sheet_make(&m, SHEET_PLAIN, 50, 20);
    char *plain = sheet_text(&m, sqi_terminal);
    cr_expect(strchr(plain, '\033') == NULL);
    m.report.colour = true;
    char *colour = sheet_text(&m, sqi_terminal), *to = colour;
    cr_expect(strchr(colour, '\033') != NULL);
    for (const char *p = colour; *p; p++) { /* without its colours it is the same */
        if (*p == '\033') p = strchr(p, 'm');
        else *to++ = *p;
    }
    *to = '\0';
    EXPECT_TEXT(colour, plain);
    free(plain);
    free(colour);
}

/* Twelve exponents do not fit into 80 columns; a share that is 0 at all steps looks like nothing. */
static double flat(const sqi_table *t, int64_t row, int64_t step)
{
    (void)step;
    return t->over_time ? 0 : -1.23456 - (double)row;
}
static bool numbers_and_flat(const sqi_sheet *s, int64_t i, sqi_table *t)
{
    *t = (sqi_table){ .panel = "p",
                      .name = "n",
                      .quantity = "q",
                      .rows = i ? 1 : 12,
                      .cols = i ? s->steps : 1,
                      .over_time = i > 0,
                      .row = "",
                      .at = flat };
    return i < 2;
}

Test(report_terminal, numbers_of_one_line_and_a_flat_one)
{
    sq_report r = { .title = "t", .ascii = true };
    made_sheet m = { .sheet = { &r, 5, numbers_and_flat } };
    char *text = sheet_text(&m, sqi_terminal);
    EXPECT_TEXT(text, "t\n5 steps\n\np\n"
                      "  n           q            -1.23456  -2.23456  -3.23456  -4.23456  ...\n"
                      "  n           q            ____________________  0 .. 0\n");
    free(text);
}

/* A norm that falls by a decade a step: a mark lower at every step. */
static double decades(const sqi_table *t, int64_t row, int64_t step)
{
    (void)t, (void)row;
    return step == 8 ? 0 : step == 9 ? (double)NAN : pow(10, -(double)step);
}
static bool one_table(const sqi_sheet *s, int64_t i, sqi_table *t)
{
    *t = (sqi_table){ .panel = "states",
                      .name = "h",
                      .quantity = "total",
                      .rows = 1,
                      .cols = s->steps,
                      .over_time = true,
                      .log = true,
                      .most_rows = 1,
                      .row = "",
                      .at = decades };
    return i == 0;
}

Test(report_terminal, by_hand)
{
    sq_report r = { .title = "t", .ascii = true, .columns = 67 };
    made_sheet m = { .sheet = { &r, 10, one_table } };
    char *text = sheet_text(&m, sqi_terminal);
    EXPECT_TEXT(text,
                "t\n10 steps\n\nstates\n  h           total        @#*+=-._ !  1e-07 .. 1\n");
    free(text);
}
