/* export.h -- what every public header needs before it can declare anything.
 *
 * The library is built with hidden visibility: only declarations marked SQ_API leave it.
 * SQ_CHECKED marks functions whose status is worth a look; compilers warn when it is dropped. */
#ifndef SQ_CORE_EXPORT_H
#define SQ_CORE_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SQ_API __attribute__((visibility("default")))
#define SQ_CHECKED __attribute__((warn_unused_result))
#define SQ_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#ifdef __cplusplus
#define SQ_BEGIN_DECLS extern "C" {
#define SQ_END_DECLS }
#else
#define SQ_BEGIN_DECLS
#define SQ_END_DECLS
#endif

#endif
