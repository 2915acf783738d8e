/* io.h -- tensors and texts in a file other programs read: safetensors.
 *
 *     | 8 bytes: n | n bytes of JSON: names, dtypes, shapes, offsets | values, no gaps |
 *
 * A bundle is a set of named tensors and of texts in memory. It is filled, saved, loaded and
 * asked; weights and an optimizer's state go through it as a whole:
 *
 *     sq_bundle *b = sq_bundle_new();
 *     sq_bundle_add_params(b, "model", p);
 *     sq_bundle_add_optim(b, "optim", o);
 *     sq_bundle_set_text(b, "cell", "lstm");
 *     if (sq_bundle_save(b, "net.safetensors")) puts(sq_bundle_message(b));
 *     sq_bundle_free(b);
 *
 * and back with sq_bundle_load, sq_bundle_get_params, sq_bundle_get_optim. A bundle carries a
 * sticky error as params do: calls nest, the first mistake stays, later calls do nothing until
 * it is cleared, one check at the end is enough. Sentences about a loaded bundle begin with its
 * path. Names and texts are UTF-8 without the character 0; arbitrary bytes belong in a tensor.
 * A bundle belongs to one thread at a time. */
#ifndef SQ_CORE_IO_H
#define SQ_CORE_IO_H

#include "error.h"
#include "optim.h"
#include "params.h"
#include "shape.h"

SQ_BEGIN_DECLS

/* Named tensors and texts in memory. */
typedef struct sq_bundle sq_bundle;

/* Of the format's element types, those a bundle holds in memory: float, double, int64_t. */
typedef enum sq_tensor_type { SQ_TENSOR_F32, SQ_TENSOR_F64, SQ_TENSOR_I64 } sq_tensor_type;

/* The forms numbers can have in a file. Reading widens F16 and BF16 to float and whole numbers to
 * int64_t, which loses nothing; writing rounds floats to nearest, ties to even. Named and ordered
 * as in safetensors. */
typedef enum sq_stored {
    SQ_STORED_AS_HELD, /* F32, F64, I64: as the tensor's type says */
    SQ_STORED_BOOL,    /* 0 or 1 */
    SQ_STORED_U8,
    SQ_STORED_I8,
    SQ_STORED_I16,
    SQ_STORED_U16,
    SQ_STORED_F16,  /* 5 bits of exponent, 10 of fraction: up to 65504, subnormal below 2^-14 */
    SQ_STORED_BF16, /* 8 and 7: the range of float, its leading bits */
    SQ_STORED_I32,
    SQ_STORED_U32,
    SQ_STORED_F32,
    SQ_STORED_F64,
    SQ_STORED_I64
} sq_stored;

/* "BF16"; NULL for SQ_STORED_AS_HELD and what is none. */
SQ_API const char *sq_stored_name(sq_stored stored);

/* Axes of a tensor in a file at most. */
#define SQ_TENSOR_MAX_RANK 8

/* A tensor as a bundle shows it, and as it takes one of any rank. */
typedef struct sq_tensor {
    const char *name;
    sq_tensor_type type;
    sq_stored
        stored;   /* how it lay in its file, and is written; known for what a bundle shows */
    int32_t rank; /* 0..8 */
    int64_t dim[SQ_TENSOR_MAX_RANK];
    int64_t count; /* product of the sizes, 1 for rank 0; not read when adding */
    const void
        *values; /* row-major: float, double or int64_t; may be NULL when there are none */
} sq_tensor;

/* ---- Making and ending ------------------------------------------------------------------ */

/* An empty bundle. NULL only when out of memory. sq_bundle_free(NULL) is fine. */
SQ_API sq_bundle *sq_bundle_new(void);
SQ_API void sq_bundle_free(sq_bundle *b);

/* The sticky error: its status, its sentence ("" when there is none), and how to clear it. */
SQ_API sq_status sq_bundle_status(const sq_bundle *b);
SQ_API const char *sq_bundle_message(const sq_bundle *b);
SQ_API void sq_bundle_clear_error(sq_bundle *b);

/* For checks of one's own: posts a sentence unless an error is there. Returns false. */
SQ_API bool sq_bundle_post(sq_bundle *b, sq_status status, const char *fmt, ...)
    SQ_PRINTF(3, 4);

/* ---- Filling ---------------------------------------------------------------------------- */

/* Adds a tensor under a new name; name and values are copied. Fails: SQ_EVALUE for a name that
 * is NULL, taken, "__metadata__" or not UTF-8, for an unknown type, for a form that is not for
 * that type, for NULL values where there are elements; SQ_ESHAPE; SQ_ENOMEM. Cost: the copy, and
 * one comparison per tensor there. */
SQ_API sq_status sq_bundle_add(sq_bundle *b, const sq_tensor *tensor);
SQ_API sq_status sq_bundle_add_f32(sq_bundle *b, const char *name, sq_shape shape,
                                   const float *values);
SQ_API sq_status sq_bundle_add_f64(sq_bundle *b, const char *name, sq_shape shape,
                                   const double *values);
SQ_API sq_status sq_bundle_add_i64(sq_bundle *b, const char *name, sq_shape shape,
                                   const int64_t *values);

/* Has the tensor called `prefix` and those called "prefix.NAME" written in another form; without a
 * prefix (NULL, "") all of them. Float forms are for floats, the others for whole numbers; tensors
 * of the other kind stay as they are. The values in memory do not change: what a form has no room
 * for is found when saving. Fails: SQ_EFILE when no tensor is concerned; SQ_EVALUE. */
SQ_API sq_status sq_bundle_store_as(sq_bundle *b, const char *prefix, sq_stored stored);

/* Sets a text, or replaces the one of that key. Fails: SQ_EVALUE when key or value is NULL or
 * not UTF-8; SQ_ENOMEM, and then the old text stays. */
SQ_API sq_status sq_bundle_set_text(sq_bundle *b, const char *key, const char *value);

/* ---- Asking ----------------------------------------------------------------------------- */

/* The tensor of that name, NULL without an error when there is none; the i-th, in the order of
 * adding or of the file's data, NULL outside 0..count-1. Valid until b changes. */
SQ_API int64_t sq_bundle_count(const sq_bundle *b);
SQ_API const sq_tensor *sq_bundle_at(const sq_bundle *b, int64_t i);
SQ_API const sq_tensor *sq_bundle_find(const sq_bundle *b, const char *name);

/* Copies all n elements of a tensor out. To float and double they are rounded to nearest; to
 * int64_t they must be whole numbers in range. Fails, and then nothing is written: SQ_EFILE
 * when there is no such tensor or it has not n elements; SQ_EVALUE for a number int64_t cannot
 * hold, or NULL where there are elements. */
SQ_API sq_status sq_bundle_get_f32(sq_bundle *b, const char *name, int64_t n, float *values);
SQ_API sq_status sq_bundle_get_f64(sq_bundle *b, const char *name, int64_t n, double *values);
SQ_API sq_status sq_bundle_get_i64(sq_bundle *b, const char *name, int64_t n, int64_t *values);

/* The text under that key, NULL without an error when there is none; and key and text of the
 * i-th, in an order of no meaning, false outside 0..count-1. Valid until b changes. */
SQ_API const char *sq_bundle_text(const sq_bundle *b, const char *key);
SQ_API int64_t sq_bundle_text_count(const sq_bundle *b);
SQ_API bool sq_bundle_text_at(const sq_bundle *b, int64_t i, const char **key,
                              const char **value);

/* ---- Files ------------------------------------------------------------------------------ */

/* Writes the bundle as a safetensors file. The same contents give the same bytes, whatever the
 * machine and the order of adding: texts by key, tensors by form (I64, F64, F32 ... BOOL, the
 * larger first, so that every value is aligned) and then by name.
 * Atomic: the bytes go to `path.PID-N.tmp` beside the target, are flushed to the disk, and the
 * file is renamed; a crash, a full disk or any failure leaves an old file whole and, but for
 * the crash, no temporary. What a crash left is removed by the next save to that path: every
 * `path.PID-N.tmp` that no process holds locked (flock), on whichever machine; where locks are not
 * supported, none. Any number of processes and threads may save to one path: the last one wins.
 * The file gets the permissions of a new one; a symbolic link at path is replaced. What is there
 * and is not a regular file is refused.
 * Fails: b's error; SQ_EFILE, told with the path and the system's reason; SQ_EVALUE for a number
 * beyond the range of its form (NaN and infinities are in that of every float); SQ_ENOMEM.
 * Cost: one look through the folder, one pass over the values, two flushes. */
SQ_API SQ_CHECKED sq_status sq_bundle_save(sq_bundle *b, const char *path);

/* Reads a safetensors file, or one that lies in memory (sentences then call it "(memory)"; the
 * bytes are only read, and not needed afterwards). Everything is checked before it is believed:
 * sizes against the file's own before memory is asked for, the header's length (at most 100 MB),
 * its JSON, every type, shape and offset; the tensors must cover the data exactly. Memory asked
 * for: the values as they are held, at most eight times the file, and what the header lists, at
 * most twenty times the header (which is that of a million short texts). NULL only when there is
 * no memory for a bundle at all; otherwise see sq_bundle_status: SQ_EFILE for a file that cannot
 * be read or is not what it should be, SQ_EVALUE for no path or no bytes, SQ_ENOMEM. The
 * bundle is then empty. */
SQ_API sq_bundle *sq_bundle_load(const char *path);
SQ_API sq_bundle *sq_bundle_load_bytes(const void *bytes, size_t n);

/* ---- Weights and optimizers ------------------------------------------------------------- */

/* Adds every weight as the tensor "prefix.name", in the params' precision; a prefix that is
 * NULL or "" leaves the bare name. Groups and frozen marks are the program's and not stored.
 * Fails, and then b is as before: as sq_bundle_add; the error of p. */
SQ_API sq_status sq_bundle_add_params(sq_bundle *b, const char *prefix, const sq_params *p);

/* Sets every weight of p from the tensor "prefix.name", rounded to the params' precision: one
 * new version. All or nothing: SQ_EFILE when a weight has no tensor, a tensor has not the
 * weight's shape, or a tensor under the prefix (without one: any) belongs to no weight; the
 * error of p; SQ_ENOMEM. Told by b alone; p then keeps its values. */
SQ_API sq_status sq_bundle_get_params(sq_bundle *b, const char *prefix, sq_params *p);

/* Adds what an optimizer carries from update to update, under a prefix that is not empty:
 *     text prefix.kind   prefix.rate F64 []   prefix.updates I64 []   and for every weight
 *     prefix.first.NAME  prefix.second.NAME   the moments its kind keeps, in p's precision
 *     prefix.age.NAME    I64 []               updates this weight took part in
 * Fails, and then b is as before: as sq_bundle_add. */
SQ_API sq_status sq_bundle_add_optim(sq_bundle *b, const char *prefix, sq_optim *o);

/* Gives that state to an optimizer, after which it goes on bit for bit as the saved one would
 * have. The options beside the rate are the program's: make it with the same ones. All or
 * nothing: SQ_EFILE when the file is of another kind of optimizer, lacks something, holds a
 * moment of another shape or that this optimizer does not keep, or a count that cannot be;
 * SQ_ENOMEM. Told by b alone; o then stays as it was. */
SQ_API sq_status sq_bundle_get_optim(sq_bundle *b, const char *prefix, sq_optim *o);

SQ_END_DECLS

#endif
