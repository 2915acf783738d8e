/* params.h -- named weights in one flat block.
 *
 *     offset 0          n_W            n_W+n_U
 *     | W ............. | U ........... | b ... |        one dtype, no padding
 *
 * Weights are read-only while they are recorded. Changing them makes a new *version*: the old
 * block lives on as long as recorded steps refer to it, so a tape always differentiates through
 * the weights that were really used. Gradients lie per tape in a block of the same layout, so
 * memcpy, fwrite or an all-reduce of one pointer is all that data-parallel training needs.
 *
 * A params carries a sticky error like a tape: adding weights nests, check once at the end. As
 * the error waits there, a dropped status is not lost; compilers warn only where reading posts
 * nothing, and at what belongs to an update (optim.h).
 * Any number of tapes, each on its own thread, may record from one params; changing it while
 * another thread records is the caller's race to avoid. */
#ifndef SQ_CORE_PARAMS_H
#define SQ_CORE_PARAMS_H

#include "dtype.h"
#include "error.h"
#include "shape.h"

SQ_BEGIN_DECLS

/* Named weights of one precision, flat. */
typedef struct sq_params sq_params;

/* A weight is an index into a params; {0} is "no weight". It means the same in a clone. */
typedef struct sq_weight {
    int32_t id; /* 1, 2, ... in the order of adding */
} sq_weight;

/* A new empty block. NULL only when out of memory. The caller frees it after every tape bound
 * to it. sq_params_free(NULL) is fine. */
SQ_API sq_params *sq_params_new(sq_dtype dtype);
SQ_API void sq_params_free(sq_params *p);

/* A copy in another precision (or the same): names, shapes, values, groups, frozen marks.
 * NULL when out of memory. */
SQ_API sq_params *sq_params_clone(const sq_params *p, sq_dtype dtype);

/* Adds a weight of zeros under a name that must be new and not empty (the string is copied).
 * Fails (returns {0}, posts): SQ_EWEIGHT duplicate or empty name, SQ_ESHAPE, SQ_ENOMEM.
 * Adding is a change: it makes a new version. */
SQ_API sq_weight sq_params_add(sq_params *p, const char *name, sq_shape shape);

/* The weight of that name, or {0} without an error. */
SQ_API sq_weight sq_params_find(const sq_params *p, const char *name);

/* The sticky error: its status, its sentence ("" when there is none), and how to clear it. */
SQ_API sq_status sq_params_status(const sq_params *p);
SQ_API const char *sq_params_message(const sq_params *p);
SQ_API void sq_params_clear_error(sq_params *p);

/* For initialisers and cells of one's own: posts a sentence unless an error is there. Returns
 * false, so that a check can end with it. */
SQ_API bool sq_params_post(sq_params *p, sq_status status, const char *fmt, ...)
    SQ_PRINTF(3, 4);

SQ_API sq_dtype sq_params_dtype(const sq_params *p);   /* that of all of them */
SQ_API int32_t sq_params_count(const sq_params *p);    /* weights: ids 1..count */
SQ_API int64_t sq_params_size(const sq_params *p);     /* elements of all weights together */
SQ_API uint64_t sq_params_version(const sq_params *p); /* grows with every change */

/* Of one weight; an unknown id gives "", a scalar shape, -1. A name lives as long as p. */
SQ_API const char *sq_weight_name(const sq_params *p, sq_weight w);
SQ_API sq_shape sq_weight_shape(const sq_params *p, sq_weight w);
SQ_API int64_t sq_weight_offset(const sq_params *p,
                                sq_weight w); /* elements before its first */

/* Copies values in (row-major, all of the weight), which makes a new version, or out. Fails:
 * SQ_EWEIGHT; SQ_EVALUE for NULL where there are elements; SQ_ENOMEM. Reading posts nothing. */
SQ_API sq_status sq_weight_set_f32(sq_params *p, sq_weight w, const float *values);
SQ_API sq_status sq_weight_set_f64(sq_params *p, sq_weight w, const double *values);
SQ_API SQ_CHECKED sq_status sq_weight_get_f32(const sq_params *p, sq_weight w, float *values);
SQ_API SQ_CHECKED sq_status sq_weight_get_f64(const sq_params *p, sq_weight w, double *values);

/* The current values, flat, in the params' dtype. Valid until the next change: any call that
 * makes a new version, an optimizer's step among them. */
SQ_API const void *sq_params_view(const sq_params *p);

/* Begins a change of the weights and gives the new version's flat block, holding a copy of the
 * present values, to be written in place: the way to an optimizer of one's own. Weight
 * variables taken before are now out of date (sq_use them again). NULL when out of memory
 * (posted; the old version stays). Cost: a copy of the block when live steps still refer to the
 * old version. */
SQ_API void *sq_params_update(sq_params *p);

/* Optimizer groups 0..SQ_MAX_GROUPS-1 (default 0) and frozen weights: a frozen weight gets no
 * gradient and no update. Freezing and unfreezing make a new version, so every sq_use after it
 * follows the new mark; what was recorded before keeps the old one. Fails: SQ_EWEIGHT,
 * SQ_ERANGE, SQ_ENOMEM. */
#define SQ_MAX_GROUPS 16
SQ_API sq_status sq_weight_set_group(sq_params *p, sq_weight w, int32_t group);
SQ_API sq_status sq_weight_set_frozen(sq_params *p, sq_weight w, bool frozen);
SQ_API int32_t sq_weight_group(const sq_params *p, sq_weight w);
SQ_API bool sq_weight_frozen(const sq_params *p, sq_weight w);

/* A table of all weights (name, shape, count, bytes, Euclidean norm, group or "frozen") and a
 * line of totals, written like snprintf: at most n bytes with the closing 0; returns the length
 * the whole text needs, so a first call with n = 0 asks for it. */
SQ_API size_t sq_params_summary(const sq_params *p, char *buf, size_t n);

SQ_END_DECLS

#endif
