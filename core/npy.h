/* npy.h -- one array in a file of NumPy's: numpy.save and numpy.load.
 *
 *     | \x93NUMPY | version, 2 bytes | n, 2 or 4 bytes | n bytes of text | values, no gaps |
 *
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }
 *
 * Arrays go in and out of bundles (io.h), so that there is one word for a tensor, one way to ask
 * it, and one sticky error:
 *
 *     sq_bundle *b = sq_bundle_new();
 *     sq_bundle_add_npy(b, "W", "weights.npy");
 *     sq_bundle_get_f32(b, "W", n, values);
 *     if (sq_bundle_status(b)) puts(sq_bundle_message(b));
 *     sq_bundle_free(b);
 *
 * Element types are those of sq_stored except BF16, which NumPy has not: b1 i1 u1 i2 u2 i4 u4 i8 f2
 * f4 f8, of either byte order; unsigned 64-bit, complex and structured arrays are refused. */
#ifndef SQ_CORE_NPY_H
#define SQ_CORE_NPY_H

#include "io.h"

SQ_BEGIN_DECLS

/* Adds the array of a file (versions 1.0, 2.0 and 3.0), or of n bytes in memory, as a tensor under a
 * new name, row-major whatever its order there. Every size is compared with the file's own before
 * memory is asked for; the array must end where the file does. Fails, and then b is as before:
 * SQ_EFILE for what cannot be read or is none of this, told with the path; as sq_bundle_add. Cost:
 * one pass over the file, 16 KiB at a time. */
SQ_API sq_status sq_bundle_add_npy(sq_bundle *b, const char *name, const char *path);
SQ_API sq_status sq_bundle_add_npy_bytes(sq_bundle *b, const char *name, const void *bytes,
                                         size_t n);

/* Writes a tensor of b as such a file, atomically as sq_bundle_save does: version 1.0, which all that
 * can stand in the text fits; row-major; the lowest byte first, so that the same tensor gives the
 * same bytes on every machine; in the form it is stored as. Fails: as sq_bundle_save; SQ_EFILE when
 * there is no such tensor; SQ_EVALUE for BF16. */
SQ_API SQ_CHECKED sq_status sq_bundle_save_npy(sq_bundle *b, const char *name,
                                               const char *path);

/* The bytes of such a file, for any tensor; its name is not read. Writes at most n bytes and returns
 * how many it wanted, like snprintf: ask with n = 0 first. 0 for what is no tensor (see
 * sq_bundle_add), BF16, or a number beyond the range of its form. */
SQ_API size_t sq_npy(const sq_tensor *tensor, void *buf, size_t n);

SQ_END_DECLS

#endif
