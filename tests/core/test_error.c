/* test_error.c -- the sticky record: the first error stays, nothing overruns. */
#include "core/error_impl.h"
#include "tests/support/support.h"

static sq_status vpost(sqi_error *e, sq_status s, const char *prefix, const char *fmt, ...)
    SQ_PRINTF(4, 5);
static sq_status vpost(sqi_error *e, sq_status s, const char *prefix, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    s = sqi_error_vpost(e, s, prefix, fmt, args);
    va_end(args);
    return s;
}

Test(error, every_status_has_its_own_sentence)
{
    for (int i = 0; i < SQ_N_ERRORS; i++) {
        cr_expect(strlen(sq_status_text((sq_status)i)) > 5, "status %d", i);
        for (int k = 0; k < i; k++)
            cr_expect(strcmp(sq_status_text((sq_status)i), sq_status_text((sq_status)k)) != 0);
    }
    EXPECT_TEXT(sq_status_text(SQ_OK), "no error");
    EXPECT_TEXT(sq_status_text(SQ_ENOMEM), "out of memory");
    EXPECT_TEXT(sq_status_text((sq_status)999), "unknown error");
    EXPECT_TEXT(sq_status_text((sq_status)-1), "unknown error");
    EXPECT_TEXT(sq_status_text(SQ_N_ERRORS), "unknown error");
}

Test(error, the_first_error_stays_until_cleared)
{
    sqi_error e = { 0 };
    sqi_error_append(&e, "nothing to append to");
    EXPECT_TEXT(e.text, "");
    cr_expect(sqi_error_post(&e, SQ_ESHAPE, "sizes %d and %d", 2, 3) == SQ_ESHAPE);
    cr_expect(sqi_error_post(&e, SQ_ENOMEM, "later") == SQ_ESHAPE);
    cr_expect(vpost(&e, SQ_EVAR, "step 1: ", "later") == SQ_ESHAPE);
    EXPECT_TEXT(e.text, "sizes 2 and 3");
    sqi_error_append(&e, " (operand 1)");
    EXPECT_TEXT(e.text, "sizes 2 and 3 (operand 1)");
    sqi_error_clear(&e);
    cr_expect(e.status == SQ_OK);
    EXPECT_TEXT(e.text, "");
    cr_expect(vpost(&e, SQ_EVAR, "step 1: ", "add: %s", "x") == SQ_EVAR);
    EXPECT_TEXT(e.text, "step 1: add: x");
}

Test(error, long_texts_are_cut_never_overrun)
{
    static char longer[2 * SQI_ERROR_TEXT];
    struct {
        sqi_error e;
        char guard[16];
    } box = { .guard = "guard" };
    memset(longer, 'x', sizeof longer - 1);
    sqi_error_post(&box.e, SQ_EVALUE, "%s", longer);
    cr_expect(strlen(box.e.text) == SQI_ERROR_TEXT - 1);
    sqi_error_append(&box.e, "more");
    cr_expect(strlen(box.e.text) == SQI_ERROR_TEXT - 1);
    sqi_error_clear(&box.e);
    vpost(&box.e, SQ_EVALUE, longer, "tail");
    cr_expect(strlen(box.e.text) == SQI_ERROR_TEXT - 1);
    sqi_error_clear(&box.e);
    vpost(&box.e, SQ_EVALUE, "short: ", "%s", longer);
    cr_expect(strlen(box.e.text) == SQI_ERROR_TEXT - 1);
    EXPECT_TEXT(box.guard, "guard");
}
