/* params.c -- names and shapes in a table, values in versions of one flat block.
 *
 * A version is one allocation: its header, then the block, then zeros, at least 64 bytes of
 * them, so that kernels may load whole vectors at the end. Invariants:
 *   - the params hold one reference to the current version; every other one is held by a tape;
 *   - only the params add references to a block that has none, and only they take spares, so a
 *     block is written only while nobody else can see it;
 *   - bytes behind the last weight are zero in every block, in use or spare: weights are only
 *     ever added, so a new one finds its zeros in place.
 * Whatever can fail is done before anything is changed. */
#include "core/params_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, TAIL = 64 };

typedef sqi_weight_entry entry;

struct sq_params {
    sqi_error error;
    sq_dtype dtype;
    int32_t n, room; /* entries used and allocated */
    entry *entries;
    int64_t size; /* elements of all weights */
    sqi_version *current;
    _Atomic(sqi_version *) spares;
};

static_assert(sizeof(sqi_version) <= ALIGN, "the block starts right behind the header");

/* ---- Versions ---------------------------------------------------------------------------- */

static size_t bytes_of(const sq_params *p, int64_t size)
{
    return (size_t)size * sq_dtype_size(p->dtype);
}

/* A block of zeros with one reference. */
static sqi_version *version_new(size_t bytes)
{
    size_t whole = (ALIGN + bytes + TAIL + ALIGN - 1) / ALIGN * ALIGN;
    void *memory = aligned_alloc(ALIGN, whole);
    if (!memory) return NULL;
    memset(memory, 0, whole);
    sqi_version *v = memory;
    atomic_init(&v->refs, 1);
    v->bytes = whole - ALIGN - TAIL;
    v->data = (char *)memory + ALIGN;
    return v;
}

/* Several threads may push at once. */
static void push_spare(sq_params *p, sqi_version *v)
{
    v->spare = atomic_load_explicit(&p->spares, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&p->spares, &v->spare, v,
                                                  memory_order_release, memory_order_relaxed)) {
    }
}

/* Only the one thread that changes the params pops, so the top cannot leave and come back
 * between the load and the exchange. */
static sqi_version *pop_spare(sq_params *p)
{
    sqi_version *v = atomic_load_explicit(&p->spares, memory_order_acquire);
    while (v && !atomic_compare_exchange_weak_explicit(
                    &p->spares, &v, v->spare, memory_order_acquire, memory_order_acquire)) {}
    return v;
}

static void free_spares(sq_params *p)
{
    for (sqi_version *v; (v = pop_spare(p)) != NULL;) free(v);
}

/* A spare that is large enough, or new memory of at least `bytes`. */
static sqi_version *block_for(sq_params *p, size_t bytes)
{
    for (sqi_version *v; (v = pop_spare(p)) != NULL; free(v))
        if (v->bytes >= bytes) {
            atomic_store_explicit(&v->refs, 1, memory_order_relaxed);
            return v;
        }
    return version_new(bytes);
}

void sqi_version_release(sq_params *p, sqi_version *v)
{
    if (atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1) push_spare(p, v);
}

sqi_version *sqi_params_current(const sq_params *p) { return p->current; }

/* Makes the current version one that only the params refer to, with at least `bytes` of room
 * and the present values. A block that grows leaves room for half as much again, so adding
 * weights one by one copies each of them a bounded number of times. */
static bool renew(sq_params *p, size_t bytes)
{
    sqi_version *old = p->current;
    bool grows = bytes > old->bytes;
    bool alone = atomic_load_explicit(&old->refs, memory_order_acquire) == 1;
    if (alone && !grows) {
        old->number++;
        return true;
    }
    sqi_version *v = block_for(p, grows ? bytes + bytes / 2 : old->bytes);
    if (!v) return false;
    memcpy(v->data, old->data, bytes_of(p, p->size));
    v->number = old->number + 1;
    p->current = v;
    sqi_version_release(p, old);
    if (grows) free_spares(p); /* they are all too small now */
    return true;
}

void *sq_params_update(sq_params *p)
{
    if (sq_params_status(p)) return NULL;
    if (!renew(p, bytes_of(p, p->size))) {
        sqi_error_post(&p->error, SQ_ENOMEM, "update: no memory for a new version of %zu bytes",
                       bytes_of(p, p->size));
        return NULL;
    }
    return p->current->data;
}

sqi_version *sqi_version_apart(sq_params *p)
{
    sqi_version *v = block_for(p, p->current->bytes);
    if (v) memcpy(v->data, p->current->data, bytes_of(p, p->size));
    return v;
}

void sqi_params_adopt(sq_params *p, sqi_version *v)
{
    sqi_version *old = p->current;
    v->number = old->number + 1;
    p->current = v;
    sqi_version_release(p, old);
}

/* ---- Making and ending ------------------------------------------------------------------- */

sq_params *sq_params_new(sq_dtype dtype)
{
    sq_params *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    atomic_init(&p->spares, NULL);
    p->dtype = dtype == SQ_F32 ? SQ_F32 : SQ_F64;
    p->current = version_new(0);
    if (!p->current) {
        free(p);
        return NULL;
    }
    if (dtype != p->dtype)
        sqi_error_post(&p->error, SQ_EVALUE,
                       "params: precision %d is neither SQ_F32 nor SQ_F64", (int)dtype);
    return p;
}

void sq_params_free(sq_params *p)
{
    if (!p) return;
    for (int32_t i = 0; i < p->n; i++) free(p->entries[i].name);
    free(p->entries);
    free_spares(p);
    free(p->current);
    free(p);
}

/* ---- Adding and finding ------------------------------------------------------------------ */

static const entry *entry_of(const sq_params *p, sq_weight w)
{
    return sqi_weight_known(p, w) ? &p->entries[w.id - 1] : NULL;
}

/* The entry for a change; NULL after posting when there is none, or after an earlier error. */
static entry *changeable(sq_params *p, sq_weight w, const char *what)
{
    if (sq_params_status(p)) return NULL;
    if (sqi_weight_known(p, w)) return &p->entries[w.id - 1];
    sqi_error_post(&p->error, SQ_EWEIGHT,
                   "%s: weight %" PRId32 " is unknown, there are %" PRId32, what, w.id, p->n);
    return NULL;
}

sq_weight sq_params_find(const sq_params *p, const char *name)
{
    for (int32_t i = 0; name && i < sq_params_count(p); i++)
        if (strcmp(p->entries[i].name, name) == 0) return (sq_weight){ i + 1 };
    return (sq_weight){ 0 };
}

static bool may_add(sq_params *p, const char *name, sq_shape shape)
{
    char text[SQ_SHAPE_TEXT];
    if (!name || !*name) sqi_error_post(&p->error, SQ_EWEIGHT, "add: a weight needs a name");
    else if (sq_params_find(p, name).id)
        sqi_error_post(&p->error, SQ_EWEIGHT, "add: there is a weight \"%s\" already", name);
    else if (!sq_shape_valid(shape))
        sqi_error_post(&p->error, SQ_ESHAPE, "add: weight \"%s\" has the impossible shape %s",
                       name, sq_shape_text(shape, text));
    return !p->error.status;
}

static bool room_for_entry(sq_params *p)
{
    if (p->n < p->room) return true;
    if (p->room > INT32_MAX / 2) return false;
    int32_t room = p->room ? 2 * p->room : 16;
    entry *entries = realloc(p->entries, (size_t)room * sizeof *entries);
    if (!entries) return false;
    p->entries = entries;
    p->room = room;
    return true;
}

static char *copy_name(const char *name)
{
    size_t n = strlen(name) + 1;
    char *copy = malloc(n);
    return copy ? memcpy(copy, name, n) : NULL;
}

/* The sizes of weights behind each other obey the same bound as one shape. */
static bool room_for_values(sq_params *p, int64_t size)
{
    return sq_shape_valid(sq_vec(p->size + size)) && renew(p, bytes_of(p, p->size + size));
}

static sq_shape only_used_axes(sq_shape s)
{
    for (int32_t i = s.rank; i < SQ_MAX_RANK; i++) s.dim[i] = 0;
    return s;
}

sq_weight sq_params_add(sq_params *p, const char *name, sq_shape shape)
{
    if (sq_params_status(p) || !may_add(p, name, shape)) return (sq_weight){ 0 };
    int64_t size = sq_shape_size(shape);
    char *copy = room_for_entry(p) ? copy_name(name) : NULL;
    if (!copy || !room_for_values(p, size)) {
        free(copy);
        sqi_error_post(&p->error, SQ_ENOMEM,
                       "add: no memory for weight \"%s\" of %" PRId64 " elements", name, size);
        return (sq_weight){ 0 };
    }
    p->entries[p->n] = (entry){ copy, only_used_axes(shape), p->size, size, 0, false };
    p->size += size;
    return (sq_weight){ ++p->n };
}

/* ---- Asking ------------------------------------------------------------------------------ */

sq_status sq_params_status(const sq_params *p) { return p ? p->error.status : SQ_ENOMEM; }

const char *sq_params_message(const sq_params *p)
{
    return p ? p->error.text : sq_status_text(SQ_ENOMEM);
}

void sq_params_clear_error(sq_params *p)
{
    if (p) sqi_error_clear(&p->error);
}

bool sq_params_post(sq_params *p, sq_status status, const char *fmt, ...)
{
    if (!p) return false;
    va_list args;
    va_start(args, fmt);
    sqi_error_vpost(&p->error, status ? status : SQ_EVALUE, NULL, fmt, args);
    va_end(args);
    return false;
}

sqi_error *sqi_params_error(sq_params *p) { return &p->error; }

sq_dtype sq_params_dtype(const sq_params *p) { return p ? p->dtype : SQ_F32; }
const sqi_weight_entry *sqi_weight_entry_of(const sq_params *p, sq_weight w)
{
    return &p->entries[w.id - 1];
}

int32_t sq_params_count(const sq_params *p) { return p ? p->n : 0; }
int64_t sq_params_size(const sq_params *p) { return p ? p->size : 0; }
uint64_t sq_params_version(const sq_params *p) { return p ? p->current->number : 0; }
const void *sq_params_view(const sq_params *p) { return p ? p->current->data : NULL; }

const char *sq_weight_name(const sq_params *p, sq_weight w)
{
    const entry *e = entry_of(p, w);
    return e ? e->name : "";
}

sq_shape sq_weight_shape(const sq_params *p, sq_weight w)
{
    const entry *e = entry_of(p, w);
    return e ? e->shape : sq_scalar();
}

int64_t sq_weight_offset(const sq_params *p, sq_weight w)
{
    const entry *e = entry_of(p, w);
    return e ? e->offset : -1;
}

int32_t sq_weight_group(const sq_params *p, sq_weight w)
{
    const entry *e = entry_of(p, w);
    return e ? e->group : -1;
}

bool sq_weight_frozen(const sq_params *p, sq_weight w)
{
    const entry *e = entry_of(p, w);
    return e && e->frozen;
}

sq_status sq_weight_set_group(sq_params *p, sq_weight w, int32_t group)
{
    entry *e = changeable(p, w, "set_group");
    if (!e) return sq_params_status(p);
    if (group < 0 || group >= SQ_MAX_GROUPS)
        return sqi_error_post(&p->error, SQ_ERANGE,
                              "set_group: group %" PRId32 " of weight \"%s\" is outside 0..%d",
                              group, e->name, SQ_MAX_GROUPS - 1);
    e->group = group;
    return SQ_OK;
}

sq_status sq_weight_set_frozen(sq_params *p, sq_weight w, bool frozen)
{
    entry *e = changeable(p, w, "set_frozen");
    if (!e) return sq_params_status(p);
    if (e->frozen == frozen) return SQ_OK;
    if (!sq_params_update(p)) return p->error.status;
    e->frozen = frozen;
    return SQ_OK;
}

/* ---- Values in and out ------------------------------------------------------------------- */

static void convert(void *to, sq_dtype to_type, const void *from, sq_dtype from_type, int64_t n)
{
    if (to_type == from_type) {
        if (n > 0) memmove(to, from, (size_t)n * sq_dtype_size(to_type));
    } else if (to_type == SQ_F32) {
        const double *x = from;
        float *y = to;
        for (int64_t i = 0; i < n; i++) y[i] = (float)x[i];
    } else {
        const float *x = from;
        double *y = to;
        for (int64_t i = 0; i < n; i++) y[i] = (double)x[i];
    }
}

static char *values_of(const sq_params *p, const entry *e)
{
    return (char *)p->current->data + bytes_of(p, e->offset);
}

static sq_status set_values(sq_params *p, sq_weight w, const void *values, sq_dtype dtype)
{
    const entry *e = changeable(p, w, "set");
    if (!e) return sq_params_status(p);
    if (!values && e->size > 0)
        return sqi_error_post(&p->error, SQ_EVALUE, "set: no values for weight \"%s\"",
                              e->name);
    if (!sq_params_update(p)) return p->error.status;
    convert(values_of(p, e), p->dtype, values, dtype, e->size);
    return SQ_OK;
}

/* Nothing is posted: the params are only read. */
static sq_status get_values(const sq_params *p, sq_weight w, void *values, sq_dtype dtype)
{
    const entry *e = entry_of(p, w);
    if (!e) return SQ_EWEIGHT;
    if (!values && e->size > 0) return SQ_EVALUE;
    convert(values, dtype, values_of(p, e), p->dtype, e->size);
    return SQ_OK;
}

sq_status sq_weight_set_f32(sq_params *p, sq_weight w, const float *values)
{
    return set_values(p, w, values, SQ_F32);
}

sq_status sq_weight_set_f64(sq_params *p, sq_weight w, const double *values)
{
    return set_values(p, w, values, SQ_F64);
}

sq_status sq_weight_get_f32(const sq_params *p, sq_weight w, float *values)
{
    return get_values(p, w, values, SQ_F32);
}

sq_status sq_weight_get_f64(const sq_params *p, sq_weight w, double *values)
{
    return get_values(p, w, values, SQ_F64);
}

/* ---- Copying ----------------------------------------------------------------------------- */

sq_params *sq_params_clone(const sq_params *p, sq_dtype dtype)
{
    sq_params *copy = p ? sq_params_new(dtype) : NULL;
    if (!copy) return NULL;
    bool ok = renew(copy, bytes_of(copy, p->size));
    for (int32_t i = 0; ok && i < p->n; i++) {
        const entry *e = &p->entries[i];
        ok = sq_params_add(copy, e->name, e->shape).id > 0;
        if (ok) {
            copy->entries[i].group = e->group;
            copy->entries[i].frozen = e->frozen;
        }
    }
    if (!ok) {
        sq_params_free(copy);
        return NULL;
    }
    convert(copy->current->data, copy->dtype, p->current->data, p->dtype, p->size);
    return copy;
}
