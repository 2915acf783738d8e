/* error.h -- the one list of errors, and how they are told.
 *
 * Expressions nest, so errors are sticky: a tape and a params block each carry one record. The
 * first mistake is posted there with a sentence that names the step, the operation and the
 * shapes; later calls do nothing until the record is cleared. The library never prints, never
 * exits and never aborts on a user's mistake. */
#ifndef SQ_CORE_ERROR_H
#define SQ_CORE_ERROR_H

#include "export.h"

SQ_BEGIN_DECLS

/* One row per error: name, what it says when nothing more is known. */
#define SQ_ERRORS(ROW)                                                         \
    ROW(OK, "no error")                                                        \
    ROW(ESHAPE, "operands have shapes this operation cannot combine")          \
    ROW(EVAR, "a variable has no value, is stale, or belongs to another tape") \
    ROW(ERANGE, "an index, id, axis or size is out of range")                  \
    ROW(EVALUE, "an argument has a value that makes no sense here")            \
    ROW(EDTYPE, "numbers of different precision meet")                         \
    ROW(EWEIGHT, "a weight is unknown, defined twice or out of date")          \
    ROW(EGRAD, "a gradient was not kept, does not exist or is not valid")      \
    ROW(ENONFINITE, "a number is infinite or not a number")                    \
    ROW(EFILE, "a file cannot be read, written or understood")                 \
    ROW(ENOMEM, "out of memory")

/* What a call came to: SQ_OK, which is 0, or one of the errors above, SQ_ESHAPE and so on. */
#define SQI_ROW(name, text) SQ_##name,
typedef enum sq_status { SQ_ERRORS(SQI_ROW) SQ_N_ERRORS } sq_status;
#undef SQI_ROW

/* The general sentence of a status: "out of memory". Never NULL, also for a bad number. */
SQ_API const char *sq_status_text(sq_status status);

SQ_END_DECLS

#endif
