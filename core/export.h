/* export.h -- what every public header needs before it can declare anything.
 *
 * The library is built with hidden visibility: only declarations marked SQ_API leave it.
 * SQ_CHECKED marks functions whose status is worth a look; compilers warn when it is dropped. */
#ifndef SQ_CORE_EXPORT_H
#define SQ_CORE_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In front of what the library gives away. */
#define SQ_API __attribute__((visibility("default")))
/* Between that and the type: compilers warn when the result is dropped. */
#define SQ_CHECKED __attribute__((warn_unused_result))
/* Behind a function that writes sentences: its arguments from `args` on are printf's for `fmt`. */
#define SQ_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#ifdef __cplusplus
#define SQ_BEGIN_DECLS extern "C" {
#define SQ_END_DECLS }
#else
#define SQ_BEGIN_DECLS
#define SQ_END_DECLS
#endif

#endif
