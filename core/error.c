/* error.c -- the sticky record: one status and one sentence, and the first error stays.
 *
 * Invariant: text is "" exactly when status is SQ_OK, and it always ends inside its array. The
 * record allocates nothing, so "out of memory" can be told as well as anything else. */
#include "core/error_impl.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *sq_status_text(sq_status status)
{
#define SQI_ROW(name, text) text,
    static const char *const texts[] = { SQ_ERRORS(SQI_ROW) };
#undef SQI_ROW
    int i = (int)status;
    return i >= 0 && i < SQ_N_ERRORS ? texts[i] : "unknown error";
}

sq_status sqi_error_vpost(sqi_error *e, sq_status status, const char *prefix, const char *fmt,
                          va_list args)
{
    assert(status != SQ_OK);
    if (e->status) return e->status;
    e->status = status;
    int used = snprintf(e->text, sizeof e->text, "%s", prefix ? prefix : "");
    if (used >= 0 && (size_t)used < sizeof e->text)
        (void)vsnprintf(e->text + used, sizeof e->text - (size_t)used, fmt, args);
    return status;
}

sq_status sqi_error_post(sqi_error *e, sq_status status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    sq_status s = sqi_error_vpost(e, status, NULL, fmt, args);
    va_end(args);
    return s;
}

/* For what is known only after the post, as the operands' names. */
void sqi_error_append(sqi_error *e, const char *text)
{
    size_t used = strlen(e->text);
    if (e->status) (void)snprintf(e->text + used, sizeof e->text - used, "%s", text);
}

void sqi_error_clear(sqi_error *e)
{
    e->status = SQ_OK;
    e->text[0] = '\0';
}
