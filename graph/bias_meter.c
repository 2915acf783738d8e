/* bias_meter.c -- what truncation does to a gradient: beside that of a longer window.
 *
 * Two flat gradients of the same losses are compared as vectors, for all weights together and for
 * each. A negative cosine means that a small step against the truncated gradient makes the losses
 * larger, as far as the longer window sees. */
#include "core/norm_impl.h"
#include "graph/truncate_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double element(const void *g, sq_dtype dtype, int64_t i)
{
    return dtype == SQ_F64 ? ((const double *)g)[i] : (double)((const float *)g)[i];
}

static int sign(double x) { return (x > 0) - (x < 0); }

static double norm_of(const void *g, sq_dtype dtype, int64_t first, int64_t n)
{
    size_t skip = (size_t)first * sq_dtype_size(dtype);
    return sqi_norm(sqi_kernels_select(), dtype, n, (const char *)g + skip);
}

/* Elements first .. first + n - 1, n >= 0. The product is one of unit vectors, whatever the sizes. */
static sq_bias compare(const void *g, const void *f, sq_dtype dtype, int64_t first, int64_t n)
{
    double norm_g = norm_of(g, dtype, first, n), norm_f = norm_of(f, dtype, first, n);
    if (!isfinite(norm_g) || !isfinite(norm_f))
        return (sq_bias){ (double)NAN, (double)NAN, (double)NAN };
    bool both_zero = norm_g == 0 && norm_f == 0, one_zero = norm_g == 0 || norm_f == 0;
    double product = 0;
    int64_t same = 0, signs = 0;
    for (int64_t i = first; i < first + n; i++) {
        double a = element(g, dtype, i), b = element(f, dtype, i);
        if (!one_zero) product += (a / norm_g) * (b / norm_f);
        signs += a != 0 || b != 0;
        same += sign(a) * sign(b) > 0;
    }
    return (sq_bias){ .cosine = both_zero ? 1 : product,
                      .norm_ratio = both_zero ? 1 : norm_g / norm_f,
                      .sign_agreement = signs ? (double)same / (double)signs : 1 };
}

/* n: how many elements the gradients have; weights added since lie behind them. */
static sq_bias between(const sq_params *p, sq_weight w, const void *g, const void *f, int64_t n)
{
    const sq_bias none = { (double)NAN, (double)NAN, (double)NAN };
    if (!p || !g || !f || (w.id && !sqi_weight_known(p, w))) return none;
    const sqi_weight_entry *entry = w.id ? sqi_weight_entry_of(p, w) : NULL;
    int64_t first = entry ? entry->offset : 0, size = entry ? entry->size : n;
    return first + size <= n ? compare(g, f, sq_params_dtype(p), first, size) : none;
}

sq_bias sq_bias_between(const sq_params *p, sq_weight w, const void *truncated,
                        const void *longer)
{
    return between(p, w, truncated, longer, p ? sq_params_size(p) : 0);
}

bool sq_bias_is_wrong_way(sq_bias b) { return b.cosine < 0; }

/* ---- The meter ----------------------------------------------------------------------------- */

bool sqi_meter_keep(sqi_meter *m, sq_tape *t, int which)
{
    size_t bytes = (size_t)sq_params_size(t->params) * sq_dtype_size(t->dtype);
    const void *grads = sq_grads(t);
    if (!grads) return false;
    for (int i = 0; bytes > m->bytes && i < 2; i++) {
        void *grown = realloc(m->gradient[i], bytes);
        if (!grown)
            return sq_post(t, SQ_ENOMEM, "out of memory for two gradients of %zu bytes", bytes);
        m->gradient[i] = grown;
    }
    if (bytes > m->bytes) m->bytes = bytes;
    if (bytes) memcpy(m->gradient[which], grads, bytes);
    return true;
}

void sqi_meter_read(sqi_meter *m, const sq_params *p, int64_t step, int64_t window,
                    int64_t longer)
{
    m->readings++;
    m->step = step;
    m->window = window;
    m->longer = longer;
    m->size = sq_params_size(p);
    m->wrong += sq_bias_is_wrong_way(sqi_meter_bias(m, p, (sq_weight){ 0 }));
}

sq_bias sqi_meter_bias(const sqi_meter *m, const sq_params *p, sq_weight w)
{
    return between(m->window ? p : NULL, w, m->gradient[SQI_TRUNCATED], m->gradient[SQI_LONGER],
                   m->size);
}

/* ---- In words ------------------------------------------------------------------------------ */

/* snprintf, appending at length *at of a text that may be longer than its buffer. */
static void append(char *buf, size_t n, size_t *at, const char *fmt, ...) SQ_PRINTF(4, 5);
static void append(char *buf, size_t n, size_t *at, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    bool room = buf && *at < n;
    int length = vsnprintf(room ? buf + *at : NULL, room ? n - *at : 0, fmt, args);
    va_end(args);
    if (length > 0) *at += (size_t)length;
}

static void append_numbers(char *buf, size_t n, size_t *at, sq_bias b, int64_t longer)
{
    append(buf, n, at,
           "cosine %.2f with window %lld, norm %.3g of its, %.0f %% of the signs agree\n",
           b.cosine, (long long)longer, b.norm_ratio, 100 * b.sign_agreement);
}

size_t sqi_meter_text(const sqi_meter *m, const sq_params *p, char *buf, size_t n)
{
    size_t at = 0;
    if (n && buf) buf[0] = '\0';
    if (!m->window) return 0;
    sq_bias all = sqi_meter_bias(m, p, (sq_weight){ 0 });
    append(buf, n, &at, "step %lld: window %lld ", (long long)m->step, (long long)m->window);
    if (isnan(all.cosine)) {
        append(buf, n, &at, "cannot be judged: a gradient is not finite\n");
        return at;
    }
    append(buf, n, &at, "points the %s way: ", sq_bias_is_wrong_way(all) ? "wrong" : "right");
    append_numbers(buf, n, &at, all, m->longer);
    for (int32_t id = 1; id <= sq_params_count(p); id++) {
        sq_bias b = sqi_meter_bias(m, p, (sq_weight){ id });
        if (!sq_bias_is_wrong_way(b)) continue;
        append(buf, n, &at,
               "  %s points the wrong way: ", sq_weight_name(p, (sq_weight){ id }));
        append_numbers(buf, n, &at, b, m->longer);
    }
    return at;
}

void sqi_meter_clear(sqi_meter *m)
{
    for (int i = 0; i < 2; i++) free(m->gradient[i]);
    *m = (sqi_meter){ .readings = 0 };
}
