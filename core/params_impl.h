/* params_impl.h -- versions of the weights, as tapes hold them.
 *
 * A version is one flat block with a count of who refers to it: the params (its current one)
 * and every live segment of every tape that used a weight of it. Updating writes in place when
 * the params hold the only reference, into another block otherwise; a block that nobody refers
 * to any more waits in the params' list of spares, so a steady training loop allocates nothing.
 * Counts are atomic and the list is pushed without locks: tapes on several threads share a
 * params. */
#ifndef SQ_CORE_PARAMS_IMPL_H
#define SQ_CORE_PARAMS_IMPL_H

#include "core/error_impl.h"
#include "core/params.h"

#include <stdatomic.h>

typedef struct sqi_version {
    atomic_uint refs;
    uint64_t number;           /* sq_params_version at the time */
    size_t bytes;              /* room in data */
    void *data;                /* 64-byte aligned */
    struct sqi_version *spare; /* next in the list of spares */
} sqi_version;

/* One more reference to the current version, or to one that somebody holds already. */
static inline sqi_version *sqi_version_share(sqi_version *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

/* Gives a reference back. */
void sqi_version_release(sq_params *p, sqi_version *v);

/* The current version without a reference: valid until the next change. */
sqi_version *sqi_params_current(const sq_params *p);

/* A version beside the line, with the present values, to be written by whoever asked for it and
 * then made current or released. One reference. NULL when out of memory; nothing is posted. */
sqi_version *sqi_version_apart(sq_params *p);

/* Makes that version, and the reference to it, the current one: the newest by number. What used the
 * one before keeps it. Cannot fail. */
void sqi_params_adopt(sq_params *p, sqi_version *v);

/* What the params know of one weight. */
typedef struct sqi_weight_entry {
    char *name;
    sq_shape shape;
    int64_t offset, size; /* elements */
    int32_t group;
    bool frozen;
} sqi_weight_entry;

/* The entry of a known weight: valid until the next weight is added. */
const sqi_weight_entry *sqi_weight_entry_of(const sq_params *p, sq_weight w);

/* Of an id known to be valid. */
static inline bool sqi_weight_known(const sq_params *p, sq_weight w)
{
    return w.id >= 1 && w.id <= sq_params_count(p);
}

sqi_error *sqi_params_error(sq_params *p);

#endif
