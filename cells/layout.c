/* layout.c -- weights from one layout to another: which network it is, whether the other layout can say
 * it, and the way there, between bundles and params. */
#include "cells/layout.h"
#include "cells/layout_impl.h"
#include "core/io_impl.h"
#include "core/params_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Which network --------------------------------------------------------------------------- */

/* The first of the layout's rows that fits; the error of the one that came closest. */
static bool find_row(sqi_layout_side *s, const sq_layout *at, bool alone, sq_layout_net *net)
{
    sqi_error closest = { .status = SQ_OK };
    int32_t most = -1, good = 0;
    const char *layout = s->row->layout;
    for (int32_t i = 0; (s->row = sqi_layout_row_at(i)) != NULL; i++) {
        if (strcmp(s->row->layout, layout) != 0) continue;
        if (at->cell != SQ_LAYOUT_ANY && at->cell != s->row->cell) continue;
        sqi_error_clear(&s->error);
        good = 0;
        if (sqi_layout_deduce(s, net) && sqi_layout_fits(s, net, alone, &good)) return true;
        if (good > most) most = good, closest = s->error;
    }
    s->error = closest;
    return false;
}

/* ---- What can be said ---------------------------------------------------------------------- */

static bool refuse_cell(sqi_error *e, const char *layout, sq_layout_cell cell)
{
    sq_layout_cell other =
        cell == SQ_LAYOUT_GRU_AFTER ? SQ_LAYOUT_GRU_BEFORE : SQ_LAYOUT_GRU_AFTER;
    bool gru = cell == SQ_LAYOUT_GRU_AFTER || cell == SQ_LAYOUT_GRU_BEFORE;
    if (gru && sqi_layout_row_of(layout, other))
        sqi_error_post(e, SQ_EVALUE,
                       "%s resets the state %s the recurrent product, these weights %s it: no "
                       "weights make the two equal",
                       layout, cell == SQ_LAYOUT_GRU_AFTER ? "before" : "behind",
                       cell == SQ_LAYOUT_GRU_AFTER ? "behind" : "before");
    else
        sqi_error_post(e, SQ_EVALUE, "layout %s has no cell \"%s\"", layout,
                       sq_layout_cell_name(cell));
    return false;
}

/* Opens a side to write that cell to. */
static bool open_target(sqi_layout_side *s, const sq_layout *to, sq_layout_cell cell)
{
    sq_layout as = to ? *to : (sq_layout){ 0 };
    const bool agrees = as.cell == SQ_LAYOUT_ANY || as.cell == cell;
    const bool known = as.name && sqi_layout_row_of(as.name, SQ_LAYOUT_ANY);
    if (known && agrees && !sqi_layout_row_of(as.name, cell)) {
        *s = (sqi_layout_side){ .name = NULL };
        return refuse_cell(&s->error, as.name, cell);
    }
    if (!sqi_layout_open(s, NULL, to)) return false;
    if (!agrees) {
        sqi_error_post(&s->error, SQ_EVALUE, "the cell is \"%s\", not \"%s\"",
                       sq_layout_cell_name(cell), sq_layout_cell_name(as.cell));
        return false;
    }
    s->row = sqi_layout_row_of(as.name, cell);
    if (!as.prefix) s->prefix = s->row->prefix;
    return true;
}

/* Some tensor of the row has a place for the bias within the reset. */
static bool holds_d(const sqi_layout_row *row)
{
    for (const sqi_layout_tensor *t = row->tensors; t->name; t++)
        if (t->role == SQI_D || sqi_layout_has_axis(t, 's') || strchr(t->gates, 'N'))
            return true;
    return false;
}

static bool d_fits(sqi_layout_side *s, const sqi_layout_carried *c)
{
    for (int32_t l = 0; !holds_d(s->row) && l < c->net.layers; l++)
        for (int d = 0; d < sqi_layout_directions(&c->net); d++)
            for (int k = 0; c->gates[k]; k++) {
                const double *x = sqi_layout_part(c, l, d, SQI_D, k);
                for (int64_t i = 0; i < c->net.hidden; i++) {
                    if (x[i] == 0) continue;
                    sqi_error_post(&s->error, SQ_EVALUE,
                                   "%s has no bias within the reset, and d_n[%" PRId64
                                   "] of layer %" PRId32
                                   "%s is %g: r * (h U_n + d_n) cannot be "
                                   "said with b_n alone",
                                   s->row->layout, i, l, d ? " backward" : "", x[i]);
                    return false;
                }
            }
    return true;
}

static bool layers_fit(sqi_layout_side *s, const sq_layout_net *net)
{
    bool one = sqi_layout_has_axis(s->row->tensors, 'l');
    if (!one || net->layers == 1 || sqi_layout_in(net, 1) == net->in) return true;
    sqi_error_post(&s->error, SQ_EVALUE,
                   "%s has all layers in one tensor: they must take equally many inputs, not "
                   "%" PRId64 " and %" PRId64,
                   s->row->layout, net->in, sqi_layout_in(net, 1));
    return false;
}

/* ---- Writing ------------------------------------------------------------------------------- */

/* Into one new tensor of b: that layer and direction, or all where they are axes of it. */
static bool write_tensor(sqi_layout_side *s, const sqi_layout_carried *c,
                         const sqi_layout_tensor *t, int32_t layer, int direction,
                         sq_tensor_type type, sq_bundle *b)
{
    const bool all_l = sqi_layout_has_axis(t, 'l'), all_d = sqi_layout_has_axis(t, 'd');
    const sqi_layout_map m = sqi_layout_map_of(&c->net, t, layer);
    sq_tensor out = { .name = sqi_layout_name_of(s, t, layer, direction),
                      .type = type,
                      .rank = m.rank };
    memcpy(out.dim, m.dim, sizeof m.dim);
    void *values =
        sqi_tensor_count(&out) ? calloc((size_t)out.count + 1, sqi_tensor_size(type)) : NULL;
    if (!values) {
        sqi_bundle_fail(b, SQ_ENOMEM, "out of memory");
        return false;
    }
    const sqi_layout_numbers to = { type, values };
    for (int32_t l = layer; l < (all_l ? c->net.layers : layer + 1); l++)
        for (int d = direction; d < (all_d ? sqi_layout_directions(&c->net) : direction + 1);
             d++)
            sqi_layout_move(c, s->row, t, l, d, &to, false);
    out.values = values;
    (void)sq_bundle_add(b, &out);
    free(values);
    return !sq_bundle_status(b);
}

/* All or nothing. */
static sq_status write_all(sqi_layout_side *s, const sqi_layout_carried *c, sq_tensor_type type,
                           sq_bundle *b)
{
    const int64_t before = sq_bundle_count(b);
    bool good = sqi_layout_distinct(s, &c->net) && layers_fit(s, &c->net) && d_fits(s, c);
    for (int32_t l = 0; good && l < sqi_layout_named_layers(s->row, &c->net); l++)
        for (int d = 0; d < sqi_layout_named_directions(s->row, &c->net); d++)
            for (const sqi_layout_tensor *t = s->row->tensors; good && t->name; t++)
                good = write_tensor(s, c, t, l, d, type, b);
    if (s->error.status) sqi_bundle_fail(b, s->error.status, "%s", s->error.text);
    if (!good) sqi_bundle_truncate(b, before);
    return sq_bundle_status(b);
}

/* ---- Between bundles ----------------------------------------------------------------------- */

static sq_status tell(sq_bundle *b, const sqi_error *e)
{
    if (e->status) sqi_bundle_fail(b, e->status, "%s", e->text);
    return sq_bundle_status(b);
}

sq_status sq_layout_find(sq_bundle *b, const sq_layout *from, sq_layout_net *net)
{
    sqi_layout_side s;
    sq_layout_net found;
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    if (sqi_layout_open(&s, b, from) && find_row(&s, from, true, &found)) *net = found;
    sqi_layout_close(&s);
    return tell(b, &s.error);
}

/* The wider type of all tensors read. */
static sq_tensor_type type_of(sqi_layout_side *s, const sq_layout_net *net)
{
    for (const sqi_layout_tensor *t = s->row->tensors; t->name; t++)
        for (int32_t l = 0; l < sqi_layout_named_layers(s->row, net); l++)
            for (int d = 0; d < sqi_layout_named_directions(s->row, net); d++) {
                const sq_tensor *x = sq_bundle_find(s->bundle, sqi_layout_name_of(s, t, l, d));
                if (x && x->type == SQ_TENSOR_F64) return SQ_TENSOR_F64;
            }
    return SQ_TENSOR_F32;
}

sq_status sq_layout_convert(sq_bundle *from, const sq_layout *as, sq_bundle *into,
                            const sq_layout *to)
{
    sqi_layout_side s, target = { .name = NULL };
    sq_layout_net net;
    sqi_layout_carried c = { .values = NULL };
    sq_tensor_type type = SQ_TENSOR_F32;
    if (sq_bundle_status(from)) return sq_bundle_status(from);
    if (sq_bundle_status(into)) return sq_bundle_status(into);
    bool read = sqi_layout_open(&s, from, as) && find_row(&s, as, true, &net) &&
                sqi_layout_read(&s, &net, &c);
    if (read) type = type_of(&s, &net);
    sqi_layout_close(&s);
    sq_status status = tell(from, &s.error);
    if (read && open_target(&target, to, net.cell)) status = write_all(&target, &c, type, into);
    else if (read) status = tell(into, &target.error);
    sqi_layout_close(&target);
    free(c.values);
    return status;
}

/* ---- Weights ------------------------------------------------------------------------------- */

/* The network that p holds, in a bundle of its own: what is wrong is told by b. */
typedef struct held {
    sq_bundle *all;
    sqi_layout_side side;
    sq_layout_net net;
} held;

static bool hold(held *h, sq_bundle *b, const sq_params *p, const char *weights)
{
    const sq_layout ours = { .name = "seqgrad", .prefix = weights };
    *h = (held){ .all = sq_bundle_new() };
    if (!h->all) sqi_bundle_fail(b, SQ_ENOMEM, "out of memory");
    else if (sq_bundle_add_params(h->all, NULL, p))
        sqi_bundle_fail(b, sq_bundle_status(h->all), "%s", sq_bundle_message(h->all));
    else if (sqi_layout_open(&h->side, h->all, &ours) &&
             find_row(&h->side, &ours, false, &h->net))
        return true;
    else {
        const sqi_error *e = &h->side.error;
        sqi_bundle_fail(b, e->status == SQ_EFILE ? SQ_EWEIGHT : e->status,
                        "the weights hold no such network: %s", e->text);
    }
    return false;
}

static void let_go(held *h)
{
    sqi_layout_close(&h->side);
    sq_bundle_free(h->all);
}

static void set_weights(held *h, const sqi_layout_carried *c, sq_params *p, void *block)
{
    const size_t size = sq_dtype_size(sq_params_dtype(p));
    sqi_layout_side *s = &h->side;
    for (int32_t l = 0; l < c->net.layers; l++)
        for (int d = 0; d < sqi_layout_directions(&c->net); d++)
            for (const sqi_layout_tensor *t = s->row->tensors; t->name; t++) {
                sq_weight w = sq_params_find(p, sqi_layout_name_of(s, t, l, d));
                const sqi_layout_numbers to = { sqi_tensor_type_of(sq_params_dtype(p)),
                                                (char *)block +
                                                    (size_t)sq_weight_offset(p, w) * size };
                sqi_layout_move(c, s->row, t, l, d, &to, false);
            }
}

sq_status sq_layout_get(sq_bundle *b, const sq_layout *from, sq_params *p, const char *weights)
{
    held h;
    sqi_layout_side s = { .name = NULL };
    sqi_layout_carried c = { .values = NULL };
    int32_t good;
    void *block = NULL;
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    if (hold(&h, b, p, weights)) {
        bool read = open_target(&s, from, h.net.cell);
        s.bundle = b;
        if (read && sqi_layout_fits(&s, &h.net, true, &good) && sqi_layout_read(&s, &h.net, &c))
            block = sq_params_update(p);
        (void)tell(b, &s.error);
        if (block) set_weights(&h, &c, p, block);
        else if (c.values) {
            sqi_bundle_fail(b, sq_params_status(p), "%s", sq_params_message(p));
            sq_params_clear_error(p);
        }
    }
    sqi_layout_close(&s);
    free(c.values);
    let_go(&h);
    return sq_bundle_status(b);
}

sq_status sq_layout_add(sq_bundle *b, const sq_layout *to, const sq_params *p,
                        const char *weights)
{
    held h;
    sqi_layout_side s = { .name = NULL };
    sqi_layout_carried c = { .values = NULL };
    if (sq_bundle_status(b)) return sq_bundle_status(b);
    if (hold(&h, b, p, weights)) {
        if (!sqi_layout_read(&h.side, &h.net, &c)) (void)tell(b, &h.side.error);
        else if (open_target(&s, to, h.net.cell))
            (void)write_all(&s, &c, sqi_tensor_type_of(sq_params_dtype(p)), b);
        else (void)tell(b, &s.error);
    }
    sqi_layout_close(&s);
    free(c.values);
    let_go(&h);
    return sq_bundle_status(b);
}

/* ---- In words ------------------------------------------------------------------------------ */

typedef struct words {
    char *buf;
    size_t n, used;
} words;

static void say(words *w, const char *fmt, ...) SQ_PRINTF(2, 3);
static void say(words *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(w->used < w->n ? w->buf + w->used : NULL,
                      w->used < w->n ? w->n - w->used : 0, fmt, args);
    va_end(args);
    w->used += n > 0 ? (size_t)n : 0;
}

static void say_tensor(words *w, const sq_layout_net *net, const sqi_layout_tensor *t,
                       int32_t layer, int direction)
{
    static const char *const what[SQI_ROLES] = { [SQI_W] = "input weights",
                                                 [SQI_U] = "recurrent weights",
                                                 [SQI_B] = "bias",
                                                 [SQI_D] = "recurrent bias",
                                                 [SQI_R] = "projection" };
    if (sqi_layout_has_axis(t, 'l')) say(w, "all layers");
    else say(w, "layer %" PRId32, layer);
    if (net->bidirectional && sqi_layout_has_axis(t, 'd')) say(w, ", both directions");
    else if (net->bidirectional) say(w, " %s", direction ? "backward" : "forward");
    say(w, ": %s", sqi_layout_has_axis(t, 's') ? "both biases" : what[t->role]);
    if (strlen(sqi_layout_gates(net->cell)) == 1 || !*t->gates) return;
    say(w, ", gate%s", t->gates[1] ? "s" : "");
    for (const char *g = t->gates; *g; g++)
        if (*g == 'N') say(w, " d_n");
        else say(w, " %c", *g);
}

size_t sq_layout_describe(const sq_layout *from, const sq_layout_net *net, const char *tensor,
                          char *buf, size_t n)
{
    sqi_layout_side s;
    words w = { buf, n, 0 };
    if (n) *buf = '\0';
    bool open = sqi_layout_open(&s, NULL, from);
    s.row = open ? sqi_layout_row_of(from->name, net->cell) : NULL;
    for (const sqi_layout_tensor *t = s.row ? s.row->tensors : NULL; t && t->name; t++)
        for (int32_t l = 0; !w.used && l < sqi_layout_named_layers(s.row, net); l++)
            for (int d = 0; !w.used && d < sqi_layout_named_directions(s.row, net); d++)
                if (strcmp(sqi_layout_name_of(&s, t, l, d), tensor) == 0)
                    say_tensor(&w, net, t, l, d);
    sqi_layout_close(&s);
    return w.used;
}
