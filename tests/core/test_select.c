/* Which table of kernels is taken: the best, or what SEQGRAD_ISA caps it to; what a tape says of it. */
#define _DEFAULT_SOURCE /* setenv */
#include "core/tape_impl.h"
#include "tests/bench/isa.h"
#include "tests/support/tables.h"

#include <criterion/redirect.h>

Test(select, names_and_levels)
{
    const sq_kernels *best = NULL;
    FOR_TABLES(k)
    {
        cr_expect(strcmp(k->name, isa_names[k->isa]) == 0, "%s says it is level %d", k->name,
                  (int)k->isa);
        best = k;
    }
    cr_assert(sqi_kernels_named("base") != NULL);
    cr_expect(sqi_kernels_named("mmx") == NULL);
    cr_expect(sqi_kernels_named("") == NULL);
    unsetenv("SEQGRAD_ISA");
    cr_expect(sqi_kernels_select() == best);
}

Test(select, environment_caps)
{
    unsetenv("SEQGRAD_ISA");
    const sq_kernels *best = sqi_kernels_select();
    FOR_TABLES(k)
    {
        setenv("SEQGRAD_ISA", k->name, 1);
        cr_expect(sqi_kernels_select() == k, "SEQGRAD_ISA=%s", k->name);
    }
    setenv("SEQGRAD_ISA", "avx1024", 1);
    cr_expect(sqi_kernels_select() == best);
    setenv("SEQGRAD_ISA", "", 1);
    cr_expect(sqi_kernels_select() == best);
}

/* What it was made with: a tape keeps it, whatever is asked for later. */
Test(select, tapes_say_which)
{
    FOR_TABLES(k)
    {
        setenv("SEQGRAD_ISA", k->name, 1);
        sq_tape *t = sq_tape_new(SQ_F32, NULL);
        setenv("SEQGRAD_ISA", "base", 1);
        EXPECT_TEXT(sq_tape_isa(t), k->name);
        sq_tape_reset(t);
        EXPECT_TEXT(sq_tape_isa(t), k->name);
        cr_expect(t->kern == k, "and computes with it");
        sq_tape_free(t);
    }
    EXPECT_TEXT(sq_tape_isa(NULL), "");
}

Test(select, benchmarks_take_no_other_than_was_asked_for)
{
    unsetenv("SEQGRAD_ISA");
    const char *best = isa_in_use("best");
    EXPECT_TEXT(best, sqi_kernels_select()->name);
    setenv("SEQGRAD_ISA", "", 1);
    EXPECT_TEXT(isa_in_use("empty"), best);
    FOR_TABLES(k)
    {
        setenv("SEQGRAD_ISA", k->name, 1);
        EXPECT_TEXT(isa_in_use("there"), k->name);
    }
    cr_redirect_stderr();
    setenv("SEQGRAD_ISA", "avx-2", 1);
    const char *misspelt = isa_in_use("bench");
    cr_expect(misspelt == NULL);
    fflush(stderr);
    char want[128];
    snprintf(want, sizeof want,
             "bench: SEQGRAD_ISA=avx-2: no such kernels run here, the best are %s\n", best);
    cr_assert_stderr_eq_str(want);
}
