/* io_params.c -- weights and optimizers through bundles, one tensor per weight.
 *
 * Everything goes by name, so a program may add its weights in another order than the one that
 * saved them. Getting is two walks over the weights: the first only checks, the second writes
 * and cannot fail, so it happens wholly or not at all. */
#include "core/io_impl.h"
#include "core/optim_impl.h"
#include "core/params_impl.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for every name that is asked for, so that the second walk needs no memory. */
typedef struct names {
    sq_bundle *bundle;
    const sq_params *params;
    const char *prefix, *dot;
    char *text;
    size_t room;
} names;

/* What a weight's tensors are called behind the prefix: "" itself, and what an optimizer keeps. */
static const char weight_itself[] = "", age[] = "age.";
static const char *const moments[] = { "first.", "second." };

static sq_weight nth(int32_t i) { return (sq_weight){ i + 1 }; }

static bool names_new(names *n, sq_bundle *b, const char *prefix, const sq_params *p)
{
    *n = (names){ .bundle = b, .params = p, .prefix = prefix ? prefix : "" };
    n->dot = *n->prefix ? "." : "";
    size_t longest = 0;
    for (int32_t i = 0; i < sq_params_count(p); i++) {
        size_t length = strlen(sq_weight_name(p, nth(i)));
        if (length > longest) longest = length;
    }
    n->room = strlen(n->prefix) + longest + 32;
    n->text = malloc(n->room);
    if (!n->text) sqi_bundle_fail(b, SQ_ENOMEM, "out of memory");
    return n->text != NULL;
}

/* "prefix.part" + name; valid until the next. */
static const char *name_of(names *n, const char *part, const char *name)
{
    (void)snprintf(n->text, n->room, "%s%s%s%s", n->prefix, n->dot, part, name);
    return n->text;
}

static const char *weight_name(names *n, const char *part, int32_t i)
{
    return name_of(n, part, sq_weight_name(n->params, nth(i)));
}

/* What follows the prefix, NULL when the name is not under it. */
static const char *behind_prefix(const names *n, const char *name)
{
    size_t length = strlen(n->prefix), dot = strlen(n->dot);
    bool under =
        strncmp(name, n->prefix, length) == 0 && strncmp(name + length, n->dot, dot) == 0;
    return under ? name + length + dot : NULL;
}

/* The rest behind a part is the name of a weight. */
static bool names_weight(const names *n, const char *rest, const char *part)
{
    size_t length = strlen(part);
    return strncmp(rest, part, length) == 0 && sq_params_find(n->params, rest + length).id > 0;
}

/* A bundle and params without an error, or their error posted. */
static bool healthy(sq_bundle *b, const sq_params *p, const char *what)
{
    if (sq_bundle_status(b)) return false;
    if (!p) sqi_bundle_fail(b, SQ_EVALUE, "%s: there are no weights", what);
    else if (sq_params_status(p))
        sqi_bundle_fail(b, sq_params_status(p), "%s: %s", what, sq_params_message(p));
    return !b->error.status;
}

/* ---- One weight's part of a flat block ---------------------------------------------------- */

static const void *part_of(const sq_params *p, int32_t i, const void *block)
{
    size_t size = sq_dtype_size(sq_params_dtype(p));
    return (const char *)block + (size_t)sq_weight_offset(p, nth(i)) * size;
}

static void add_part(names *n, const char *part, int32_t i, const void *block)
{
    const sq_params *p = n->params;
    sq_tensor t = sqi_tensor_of(weight_name(n, part, i), sqi_tensor_type_of(sq_params_dtype(p)),
                                sq_weight_shape(p, nth(i)), part_of(p, i, block));
    (void)sq_bundle_add(n->bundle, &t);
}

static bool same_shape(const sq_tensor *a, const sq_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dim, b->dim, (size_t)a->rank * sizeof *a->dim) == 0;
}

/* There is a tensor of the weight's shape. */
static bool part_fits(names *n, const char *part, int32_t i)
{
    char shown[SQI_SHOWN], is[SQI_DIMS_TEXT], should[SQI_DIMS_TEXT];
    const char *name = weight_name(n, part, i);
    sq_tensor like =
        sqi_tensor_of(name, SQ_TENSOR_F32, sq_weight_shape(n->params, nth(i)), NULL);
    const sq_tensor *t = sq_bundle_find(n->bundle, name);
    (void)sqi_shown(name, shown);
    if (!t) sqi_bundle_fail(n->bundle, SQ_EFILE, "there is no tensor \"%s\"", shown);
    else if (!same_shape(t, &like))
        sqi_bundle_fail(n->bundle, SQ_EFILE, "tensor \"%s\" is %s, the weight is %s", shown,
                        sqi_dims_text(t, is), sqi_dims_text(&like, should));
    return !n->bundle->error.status;
}

/* Of a tensor that fits: converting to float or double cannot fail. */
static void take_part(names *n, const char *part, int32_t i, void *block)
{
    const sq_params *p = n->params;
    size_t at = (size_t)sq_weight_offset(p, nth(i)) * sq_dtype_size(sq_params_dtype(p));
    (void)sqi_tensor_convert(sqi_tensor_type_of(sq_params_dtype(p)), (char *)block + at,
                             sq_bundle_find(n->bundle, weight_name(n, part, i)));
}

/* ---- Weights ------------------------------------------------------------------------------ */

sq_status sqi_bundle_add_block(sq_bundle *b, const char *prefix, const sq_params *p,
                               const void *block)
{
    names n;
    if (!healthy(b, p, "add_params") || !names_new(&n, b, prefix, p))
        return sq_bundle_status(b);
    int64_t before = b->n_tensors;
    for (int32_t i = 0; i < sq_params_count(p); i++) add_part(&n, weight_itself, i, block);
    if (b->error.status) sqi_bundle_truncate(b, before);
    free(n.text);
    return b->error.status;
}

sq_status sq_bundle_add_params(sq_bundle *b, const char *prefix, const sq_params *p)
{
    return sqi_bundle_add_block(b, prefix, p, sq_params_view(p));
}

static sq_status unknown(names *n, const char *name)
{
    char shown[SQI_SHOWN];
    return sqi_bundle_fail(n->bundle, SQ_EFILE, "tensor \"%s\" belongs to nothing here",
                           sqi_shown(name, shown));
}

static bool weights_fit(names *n)
{
    for (int32_t i = 0; i < sq_params_count(n->params); i++)
        if (!part_fits(n, weight_itself, i)) return false;
    for (int64_t i = 0; i < n->bundle->n_tensors; i++) {
        const char *name = n->bundle->tensors[i].name, *rest = behind_prefix(n, name);
        if (rest && !names_weight(n, rest, weight_itself)) return unknown(n, name) == SQ_OK;
    }
    return true;
}

/* A failure is told by the bundle alone. */
static void *block_to_write(sq_bundle *b, sq_params *p)
{
    void *block = sq_params_update(p);
    if (block) return block;
    sqi_bundle_fail(b, sq_params_status(p), "get_params: %s", sq_params_message(p));
    sq_params_clear_error(p);
    return NULL;
}

/* Into the block, or, where it is NULL, into a new version of the weights. */
static sq_status get_weights(sq_bundle *b, const char *prefix, sq_params *p, void *block)
{
    names n;
    if (!healthy(b, p, "get_params") || !names_new(&n, b, prefix, p))
        return sq_bundle_status(b);
    bool fit = weights_fit(&n);
    if (fit && !block) block = block_to_write(b, p);
    for (int32_t i = 0; fit && block && i < sq_params_count(p); i++)
        take_part(&n, weight_itself, i, block);
    free(n.text);
    return b->error.status;
}

sq_status sqi_bundle_get_block(sq_bundle *b, const char *prefix, sq_params *p, void *block)
{
    return get_weights(b, prefix, p, block);
}

sq_status sq_bundle_get_params(sq_bundle *b, const char *prefix, sq_params *p)
{
    return get_weights(b, prefix, p, NULL);
}

/* ---- Optimizers --------------------------------------------------------------------------- */

static bool open_optim(names *n, sq_bundle *b, const char *prefix, sq_optim *o,
                       sqi_optim_state *s, const char *what)
{
    if (sq_bundle_status(b)) return false;
    if (!o) sqi_bundle_fail(b, SQ_EVALUE, "%s: there is no optimizer", what);
    else if (!prefix || !*prefix)
        sqi_bundle_fail(b, SQ_EVALUE, "%s: an optimizer needs a prefix", what);
    else if (!sqi_optim_state_of(o, s))
        sqi_bundle_fail(b, SQ_ENOMEM, "%s: no memory for the moments", what);
    return !b->error.status && healthy(b, s->params, what) &&
           names_new(n, b, prefix, s->params);
}

sq_status sq_bundle_add_optim(sq_bundle *b, const char *prefix, sq_optim *o)
{
    names n;
    sqi_optim_state s;
    if (!open_optim(&n, b, prefix, o, &s, "add_optim")) return sq_bundle_status(b);
    int64_t before = b->n_tensors;
    (void)sq_bundle_add_f64(b, name_of(&n, "rate", ""), sq_scalar(), s.rate);
    (void)sq_bundle_add_i64(b, name_of(&n, "updates", ""), sq_scalar(), s.updates);
    for (int32_t i = 0; i < sq_params_count(s.params); i++) {
        (void)sq_bundle_add_i64(b, weight_name(&n, age, i), sq_scalar(), &s.ages[i]);
        for (int m = 0; m < 2; m++)
            if (s.moment[m]) add_part(&n, moments[m], i, s.moment[m]);
    }
    (void)sq_bundle_set_text(b, name_of(&n, "kind", ""), s.kind);
    if (b->error.status) sqi_bundle_truncate(b, before);
    free(n.text);
    return b->error.status;
}

static bool kind_fits(names *n, const sqi_optim_state *s)
{
    char shown[SQI_SHOWN], is[SQI_SHOWN];
    const char *name = name_of(n, "kind", ""), *kind = sq_bundle_text(n->bundle, name);
    (void)sqi_shown(name, shown);
    if (!kind) sqi_bundle_fail(n->bundle, SQ_EFILE, "there is no text \"%s\"", shown);
    else if (strcmp(kind, s->kind) != 0)
        sqi_bundle_fail(n->bundle, SQ_EFILE, "\"%s\" is %s, the optimizer is %s", shown,
                        sqi_shown(kind, is), s->kind);
    return !n->bundle->error.status;
}

/* The one number under the name, 0..most. */
static bool take_count(names *n, const char *name, int64_t most, int64_t *out)
{
    char shown[SQI_SHOWN];
    if (sq_bundle_get_i64(n->bundle, name, 1, out)) return false;
    if (*out >= 0 && *out <= most) return true;
    sqi_bundle_fail(n->bundle, SQ_EFILE, "tensor \"%s\" is %" PRId64 ", outside 0..%" PRId64,
                    sqi_shown(name, shown), *out, most);
    return false;
}

static bool numbers_fit(names *n, double *rate, int64_t *updates)
{
    int64_t ignored;
    if (sq_bundle_get_f64(n->bundle, name_of(n, "rate", ""), 1, rate)) return false;
    if (!(*rate >= 0 && *rate < HUGE_VAL)) {
        sqi_bundle_fail(n->bundle, SQ_EFILE, "the saved rate %g is none", *rate);
        return false;
    }
    if (!take_count(n, name_of(n, "updates", ""), INT64_MAX, updates)) return false;
    for (int32_t i = 0; i < sq_params_count(n->params); i++)
        if (!take_count(n, weight_name(n, age, i), *updates, &ignored)) return false;
    return true;
}

/* One of what add_optim writes for this optimizer. */
static bool is_state(const names *n, const sqi_optim_state *s, const char *rest)
{
    bool known =
        strcmp(rest, "rate") == 0 || strcmp(rest, "updates") == 0 || names_weight(n, rest, age);
    for (int m = 0; m < 2; m++)
        known = known || (s->moment[m] && names_weight(n, rest, moments[m]));
    return known;
}

static bool moments_fit(names *n, const sqi_optim_state *s)
{
    for (int m = 0; m < 2; m++)
        for (int32_t i = 0; s->moment[m] && i < sq_params_count(n->params); i++)
            if (!part_fits(n, moments[m], i)) return false;
    for (int64_t i = 0; i < n->bundle->n_tensors; i++) {
        const char *name = n->bundle->tensors[i].name, *rest = behind_prefix(n, name);
        if (rest && !is_state(n, s, rest)) return unknown(n, name) == SQ_OK;
    }
    return true;
}

static void take_weight_state(names *n, const sqi_optim_state *s, int32_t i)
{
    (void)sq_bundle_get_i64(n->bundle, weight_name(n, age, i), 1, &s->ages[i]);
    for (int m = 0; m < 2; m++)
        if (s->moment[m]) take_part(n, moments[m], i, s->moment[m]);
}

sq_status sq_bundle_get_optim(sq_bundle *b, const char *prefix, sq_optim *o)
{
    names n;
    sqi_optim_state s;
    double rate;
    int64_t updates;
    if (!open_optim(&n, b, prefix, o, &s, "get_optim")) return sq_bundle_status(b);
    if (kind_fits(&n, &s) && numbers_fit(&n, &rate, &updates) && moments_fit(&n, &s)) {
        *s.rate = rate;
        *s.updates = updates;
        for (int32_t i = 0; i < sq_params_count(s.params); i++) take_weight_state(&n, &s, i);
    }
    free(n.text);
    return b->error.status;
}
