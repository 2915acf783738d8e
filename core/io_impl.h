/* io_impl.h -- the inside of a bundle, and the JSON that safetensors headers are made of. */
#ifndef SQ_CORE_IO_IMPL_H
#define SQ_CORE_IO_IMPL_H

#include "core/error_impl.h"
#include "core/io.h"

/* The format's own bound, and the name no tensor may have. */
#define SQI_HEADER_MAX 100000000
#define SQI_METADATA "__metadata__"

/* Invariant: shown.name is name and shown.values is values, which is never NULL. */
typedef struct sqi_tensor {
    sq_tensor shown;
    char *name;
    void *values;
} sqi_tensor;

typedef struct sqi_text {
    char *key, *value;
} sqi_text;

struct sq_bundle {
    sqi_error error;
    char *path; /* where it was loaded from, or NULL */
    int64_t n_tensors, tensor_room;
    sqi_tensor *tensors;
    int64_t n_texts, text_room;
    sqi_text *texts;
};

/* ---- Bundles ----------------------------------------------------------------------------- */

/* Posts on b, behind the path it was loaded from. Always returns the recorded status. */
sq_status sqi_bundle_fail(sq_bundle *b, sq_status status, const char *fmt, ...) SQ_PRINTF(3, 4);

/* Forgets all tensors from the n-th on; forgets everything. */
void sqi_bundle_truncate(sq_bundle *b, int64_t n);
void sqi_bundle_empty(sq_bundle *b);

/* Appends without asking whether the name or key is new; both strings must be UTF-8. The
 * tensor's count and bytes are as sqi_tensor_count found them. NULL when out of memory, and
 * nothing is posted; the new tensor's values are not set. */
sqi_tensor *sqi_bundle_append(sq_bundle *b, const sq_tensor *like);
bool sqi_bundle_append_text(sq_bundle *b, const char *key, const char *value);

size_t sqi_tensor_size(sq_tensor_type type);           /* bytes of an element */
const char *sqi_tensor_type_name(sq_tensor_type type); /* "F32" */
sq_tensor_type sqi_tensor_type_of(sq_dtype dtype);

/* The tensor of a shape, its count not yet set. */
sq_tensor sqi_tensor_of(const char *name, sq_tensor_type type, sq_shape shape,
                        const void *values);

/* Sets the count from rank and sizes; false when a size is negative or the bytes do not fit. */
bool sqi_tensor_count(sq_tensor *t);

/* Converts n elements. False when a number is none of int64_t: then nothing is written. */
bool sqi_tensor_convert(sq_tensor_type to_type, void *to, const sq_tensor *from);

/* "[4,3]" */
enum { SQI_DIMS_TEXT = 22 * SQ_TENSOR_MAX_RANK };
const char *sqi_dims_text(const sq_tensor *t, char buf[SQI_DIMS_TEXT]);

/* A name or path fit for a sentence: its last bytes, control characters as '?'. */
enum { SQI_SHOWN = 128 };
const char *sqi_shown(const char *text, char buf[SQI_SHOWN]);

char *sqi_copy(const char *text); /* NULL when out of memory */

/* The system's reason, thread-safe. */
enum { SQI_REASON = 96 };
const char *sqi_reason(int number, char buf[SQI_REASON]);

/* ---- JSON -------------------------------------------------------------------------------- */

/* True when the n bytes are UTF-8: no overlong forms, no surrogates, nothing above 10FFFF. */
bool sqi_utf8(const char *text, size_t n);

/* A reader of exactly what is expected next: no tree, no recursion. The text is UTF-8. At the
 * first thing that is not as it should be `problem` is set, and everything returns false. */
typedef struct sqi_json {
    char *text, *at, *end;
    const char *problem;
} sqi_json;

bool sqi_json_fail(sqi_json *j, const char *problem);

/* Skips white space, then takes the character c or fails; and whether it is there, taking it. */
bool sqi_json_take(sqi_json *j, char c);
bool sqi_json_next_is(sqi_json *j, char c);

/* A string, decoded in place and ended by 0; *out points into the text. */
bool sqi_json_string(sqi_json *j, char **out);

/* A whole number 0..2^63-1 written in digits only. */
bool sqi_json_count(sqi_json *j, int64_t *out);

/* Text that grows. After a failed allocation nothing is added, and failed stays. */
typedef struct sqi_buffer {
    char *data;
    size_t n, room;
    bool failed;
} sqi_buffer;

void sqi_buffer_add(sqi_buffer *b, const char *text, size_t n);
void sqi_buffer_print(sqi_buffer *b, const char *fmt, ...) SQ_PRINTF(2, 3);
void sqi_buffer_string(sqi_buffer *b, const char *text); /* quoted and escaped */

#endif
