/* error_impl.h -- the sticky record that tapes and params carry. The first error wins. */
#ifndef SQ_CORE_ERROR_IMPL_H
#define SQ_CORE_ERROR_IMPL_H

#include "core/error.h"

#include <stdarg.h>

enum { SQI_ERROR_TEXT = 512 };

typedef struct sqi_error {
    sq_status status;
    char text[SQI_ERROR_TEXT];
} sqi_error;

/* Posts an error unless one is there already; always returns the recorded status. A text that
 * is too long is cut, never overrun. */
sq_status sqi_error_post(sqi_error *e, sq_status status, const char *fmt, ...) SQ_PRINTF(3, 4);
sq_status sqi_error_vpost(sqi_error *e, sq_status status, const char *prefix, const char *fmt,
                          va_list args) SQ_PRINTF(4, 0);
void sqi_error_append(sqi_error *e, const char *text);
void sqi_error_clear(sqi_error *e);

#endif
