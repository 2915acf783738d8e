/* fuzz_safetensors.c -- any bytes as a safetensors file: read or refused with a sentence; weights
 * and an optimizer take all of it or nothing. */
#include "fuzz.h"

#include "core/io_impl.h"
#include "core/optim.h"

enum { SIZE = 5 };

static sq_params *p;
static sq_optim *o;

static void make_world(void)
{
    const double x[SIZE] = { 1, 2, 3, 4, 5 };
    p = sq_params_new(SQ_F64);
    sq_weight_set_f64(p, sq_params_add(p, "W", sq_mat(2, 2)), x);
    sq_weight_set_f64(p, sq_params_add(p, "b", sq_vec(1)), x);
    o = sq_optim_new(p, &(sq_optim_options){ .rate = 0.5, .momentum = 0.5 });
    HOLDS(o && sq_optim_step_flat(o, x) == SQ_OK);
}

/* Every tensor can be asked for, and lies as its shape says. */
static void ask_all(sq_bundle *b)
{
    for (int64_t i = 0; i < sq_bundle_count(b); i++) {
        const sq_tensor *t = sq_bundle_at(b, i);
        unsigned char head[16];
        HOLDS(t->rank >= 0 && t->rank <= SQ_TENSOR_MAX_RANK && t->count >= 0);
        HOLDS(sq_stored_name(t->stored) && sqi_stored_fits(t->stored, t->type));
        HOLDS(sq_npy(t, head, sizeof head) > 0 || t->stored == SQ_STORED_BF16);
    }
    const char *key, *value;
    for (int64_t i = 0; sq_bundle_text_at(b, i, &key, &value); i++)
        HOLDS(sqi_utf8(key, strlen(key)) && sqi_utf8(value, strlen(value)));
}

static void take_or_keep(sq_bundle *b)
{
    double before[SIZE], W[4], x;
    memcpy(before, sq_params_view(p), sizeof before);
    if (sq_bundle_get_params(b, "m", p)) {
        HOLDS(memcmp(before, sq_params_view(p), sizeof before) == 0);
        HOLDS(!sq_params_status(p));
        sq_bundle_clear_error(b);
    } else {
        const double *now = sq_params_view(p);
        HOLDS(!sq_bundle_get_f64(b, "m.W", 4, W) && !sq_bundle_get_f64(b, "m.b", 1, &x));
        HOLDS(memcmp(now, W, sizeof W) == 0 && memcmp(&now[4], &x, sizeof x) == 0);
    }
    double rate = sq_optim_rate(o);
    bool taken = sq_bundle_get_optim(b, "o", o) == SQ_OK;
    HOLDS(taken ? sq_optim_rate(o) >= 0 : sq_optim_rate(o) == rate);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (!p) make_world();
    sq_bundle *b = sq_bundle_load_bytes(bytes, n);
    HOLDS(b);
    if (sq_bundle_status(b)) {
        HOLDS(sq_bundle_message(b)[0] && sq_bundle_count(b) == 0 &&
              sq_bundle_text_count(b) == 0);
    } else {
        ask_all(b);
        take_or_keep(b);
    }
    sq_bundle_free(b);
    return 0;
}
