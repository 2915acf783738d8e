/* io_impl.h -- the inside of a bundle, the bytes of files, and the JSON that safetensors headers
 * are made of. */
#ifndef SQ_CORE_IO_IMPL_H
#define SQ_CORE_IO_IMPL_H

#include "core/error_impl.h"
#include "core/io.h"

/* The format's own bound, and the name no tensor may have. */
#define SQI_HEADER_MAX 100000000
#define SQI_METADATA "__metadata__"

/* What sentences call bytes that come from no file. */
#define SQI_MEMORY "(memory)"

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

/* Whether a new tensor may have this name; and whether its type, shape, values and form are right,
 * after which the count and the form are set and what lies behind the last axis is 0. False after
 * posting. */
bool sqi_bundle_name_fits(sq_bundle *b, const char *name);
bool sqi_bundle_tensor_fits(sq_bundle *b, sq_tensor *t);

/* sq_bundle_add_params and sq_bundle_get_params with a flat block laid out like the weights of p in
 * the place of their values. Getting writes all of the block or nothing. */
sq_status sqi_bundle_add_block(sq_bundle *b, const char *prefix, const sq_params *p,
                               const void *block);
sq_status sqi_bundle_get_block(sq_bundle *b, const char *prefix, sq_params *p, void *block);

size_t sqi_tensor_size(sq_tensor_type type); /* bytes of an element in memory */
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

/* ---- Numbers as they lie in files ---------------------------------------------------------- */

/* Of a known form: its name in .npy behind the byte order, NULL when there is none; bytes of an
 * element; the type in memory that holds all it can say. */
const char *sqi_stored_npy(sq_stored stored);
size_t sqi_stored_size(sq_stored stored);
sq_tensor_type sqi_stored_held(sq_stored stored);

/* SQ_STORED_AS_HELD when there is none of that name. */
sq_stored sqi_stored_by_name(const char *name);
sq_stored sqi_stored_by_npy(const char *name);

sq_stored sqi_stored_as_held(sq_tensor_type type); /* the type itself, as a form */
bool sqi_stored_fits(sq_stored stored,
                     sq_tensor_type type); /* known, and both float or whole */

/* n bytes as a number, the lowest first, whatever the machine's own order; and back. */
static inline uint64_t sqi_little_endian(const unsigned char *bytes, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}
static inline void sqi_put_little_endian(unsigned char *to, uint64_t value, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = (unsigned char)(value >> (8 * i));
}

/* Turns the bytes of each of n elements round. */
void sqi_swap_bytes(unsigned char *bytes, int64_t n, size_t size);

/* n elements, lowest bytes first, to the type that holds them. False for a byte no BOOL has. */
bool sqi_unpack(sq_stored stored, void *to, const unsigned char *from, int64_t n);

/* Elements first..first+n-1 of t in the form t->stored, rounded to nearest. Returns how many were
 * done: less than n where one is out of the form's range; and the sentence's end about it. */
int64_t sqi_pack(const sq_tensor *t, int64_t first, int64_t n, unsigned char *to);
enum { SQI_MISFIT = 64 };
const char *sqi_misfit_text(const sq_tensor *t, int64_t i, char buf[SQI_MISFIT]);

/* What stands in a .npy file before the values of t, to its line end and a multiple of 64 bytes; how long. */
enum { SQI_NPY_HEAD = 320 };
size_t sqi_npy_head(const sq_tensor *t, char head[SQI_NPY_HEAD]);

/* ---- Bytes in ---------------------------------------------------------------------------- */

/* At most so much of a file is converted at once; divisible by every element's size. */
enum { SQI_CHUNK = 16384 };

/* A file or memory. What goes wrong is posted behind the path, and everything returns false. */
typedef struct sqi_source {
    sqi_error *error;
    const char *path;
    int fd;                     /* -1: memory */
    const unsigned char *bytes; /* what is left of it */
    int64_t left;               /* bytes not yet read, at most PTRDIFF_MAX */
} sqi_source;

/* Opens what is not empty; close whether that worked or not. */
bool sqi_source_open(sqi_source *s, sqi_error *error, const char *path);
bool sqi_source_memory(sqi_source *s, sqi_error *error, const void *bytes, size_t n);
void sqi_source_close(sqi_source *s);

bool sqi_source_fail(const sqi_source *s, sq_status status, const char *fmt, ...)
    SQ_PRINTF(3, 4);

/* n bytes; n elements of t to the type that holds them, their bytes turned round before if asked.
 * The caller has compared with what is left. */
bool sqi_source_read(sqi_source *s, void *to, int64_t n);
bool sqi_source_numbers(sqi_source *s, const sq_tensor *t, bool swapped, int64_t n, void *to);

/* Posts behind `"path": `, or nothing where path is NULL. */
sq_status sqi_file_vfail(sqi_error *error, const char *path, sq_status status, const char *fmt,
                         va_list args) SQ_PRINTF(4, 0);

/* ---- Bytes out --------------------------------------------------------------------------- */

/* A file being written beside the one it will replace. */
typedef struct sqi_replace {
    sqi_error *error;
    const char *path;
    char *temporary;
    int fd;
} sqi_replace;

/* Each posts what goes wrong as `save "path": ...` and returns false. After begin, end: it puts
 * the new file in the old one's place where ok is true, and otherwise leaves no trace. */
bool sqi_replace_begin(sqi_replace *r, sqi_error *error, const char *path);
bool sqi_replace_write(sqi_replace *r, const void *from, size_t n);
bool sqi_replace_numbers(sqi_replace *r, const sq_tensor *t); /* in the form t->stored */
bool sqi_replace_end(sqi_replace *r, bool ok);
bool sqi_replace_refuse(const sqi_replace *r, sq_status status, const char *why);

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

void sqi_json_skip_space(sqi_json *j);

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
