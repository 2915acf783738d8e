/* fuzz_npy.c -- any bytes as a .npy file: read or refused with a sentence; what was read is written
 * and read again, with the same values. */
#include "fuzz.h"

#include "core/io_impl.h"

#include <stdlib.h>

static void write_and_read(const sq_tensor *t)
{
    size_t n = sq_npy(t, NULL, 0);
    unsigned char *bytes = malloc(n);
    HOLDS(n > 0 && bytes && sq_npy(t, bytes, n) == n);
    sq_bundle *b = sq_bundle_new();
    HOLDS(b && sq_bundle_add_npy_bytes(b, "x", bytes, n) == SQ_OK);
    const sq_tensor *u = sq_bundle_at(b, 0);
    HOLDS(u->type == t->type && u->stored == t->stored && u->rank == t->rank);
    HOLDS(u->count == t->count && memcmp(u->dim, t->dim, sizeof t->dim) == 0);
    HOLDS(memcmp(u->values, t->values, (size_t)t->count * sqi_tensor_size(t->type)) == 0);
    sq_bundle_free(b);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    sq_bundle *b = sq_bundle_new();
    HOLDS(b);
    if (sq_bundle_add_npy_bytes(b, "x", bytes, n))
        HOLDS(sq_bundle_message(b)[0] && sq_bundle_count(b) == 0);
    else write_and_read(sq_bundle_at(b, 0));
    sq_bundle_free(b);
    return 0;
}
