/* layout_find.c -- names and shapes: which network of a layout lies in a bundle.
 *
 * Sizes are read off the first layer, tensor by tensor: along every axis of it one size at most is
 * still unknown. How many layers and directions there are is told by an axis, or by which names exist.
 * Then everything is compared with what such a network must have. */
#include "cells/layout_impl.h"
#include "core/io_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a file says may be as large as it likes: no tensor of such a size is there to agree. */
static int64_t times(int64_t a, int64_t b)
{
    int64_t product;
    return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

int64_t sqi_layout_out(const sq_layout_net *net)
{
    return net->projected ? net->projected : net->hidden;
}

int64_t sqi_layout_in(const sq_layout_net *net, int32_t layer)
{
    return layer ? times(sqi_layout_directions(net), sqi_layout_out(net)) : net->in;
}

/* ---- Patterns ------------------------------------------------------------------------------ */

/* {l} and {A|B} with A and B different, and no other brackets. */
static bool is_pattern(const char *p)
{
    for (; *p; p++) {
        if (*p == '}') return false;
        if (*p != '{') continue;
        size_t n = strcspn(++p, "{}"), a = strcspn(p, "{}|");
        bool layer = n == 1 && *p == 'l';
        bool two = a < n && memchr(p + a + 1, '|', n - a - 1) == NULL &&
                   (a != n - a - 1 || memcmp(p, p + a + 1, a) != 0);
        if (p[n] != '}' || (!layer && !two)) return false;
        p += n;
    }
    return true;
}

enum { LAYER_TEXT = 11 }; /* ten digits */

/* Writes what the pattern says; returns the end. */
static char *expand(char *to, const char *pattern, int32_t layer, int direction)
{
    for (const char *c = pattern; *c; c++) {
        if (*c != '{') {
            *to++ = *c;
            continue;
        }
        const char *end = strchr(c, '}'), *bar = memchr(c, '|', (size_t)(end - c));
        if (bar) {
            const char *from = direction ? bar + 1 : c + 1;
            size_t n = (size_t)((direction ? end : bar) - from);
            memcpy(to, from, n);
            to += n;
        } else {
            to += snprintf(to, LAYER_TEXT, "%" PRId32, layer);
        }
        c = end;
    }
    *to = '\0';
    return to;
}

static bool pattern_tells(const char *pattern, char letter)
{
    return strstr(pattern, letter == 'l' ? "{l}" : "|") != NULL;
}

bool sqi_layout_has_axis(const sqi_layout_tensor *t, char letter)
{
    return strchr(t->axes, letter) != NULL;
}

int32_t sqi_layout_named_layers(const sqi_layout_row *row, const sq_layout_net *net)
{
    return sqi_layout_has_axis(row->tensors, 'l') ? 1 : net->layers;
}

int sqi_layout_named_directions(const sqi_layout_row *row, const sq_layout_net *net)
{
    return sqi_layout_has_axis(row->tensors, 'd') ? 1 : sqi_layout_directions(net);
}

static bool tells(const sqi_layout_side *s, const sqi_layout_tensor *t, char letter)
{
    return pattern_tells(s->prefix, letter) || pattern_tells(t->name, letter);
}

/* ---- A side -------------------------------------------------------------------------------- */

static bool known_layout(sqi_error *e, const char *name)
{
    char list[256] = "";
    if (name && sqi_layout_row_of(name, SQ_LAYOUT_ANY)) return true;
    for (int32_t i = 0; sq_layout_name(i); i++) {
        size_t used = strlen(list);
        (void)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                       sq_layout_name(i));
    }
    sqi_error_post(e, SQ_EVALUE, "there is no layout \"%s\": there are %s", name ? name : "",
                   list);
    return false;
}

bool sqi_layout_open(sqi_layout_side *s, const sq_bundle *b, const sq_layout *at)
{
    *s = (sqi_layout_side){ .bundle = b };
    if (!known_layout(&s->error, at ? at->name : NULL)) return false;
    s->row = sqi_layout_row_of(at->name, at->cell);
    if (!s->row) {
        sqi_error_post(&s->error, SQ_EVALUE, "layout %s has no cell \"%s\"", at->name,
                       sq_layout_cell_name(at->cell));
        return false;
    }
    s->prefix = at->prefix ? at->prefix : s->row->prefix;
    if (!is_pattern(s->prefix)) {
        char shown[SQI_SHOWN];
        sqi_error_post(&s->error, SQ_EVALUE,
                       "prefix \"%s\": what is in { } must be {l} or {FORWARD|BACKWARD}",
                       sqi_shown(s->prefix, shown));
        return false;
    }
    s->room = LAYER_TEXT * (strlen(s->prefix) / 3 + 1) + strlen(s->prefix) + 128;
    s->name = malloc(s->room);
    if (!s->name) sqi_error_post(&s->error, SQ_ENOMEM, "out of memory");
    return s->name != NULL;
}

void sqi_layout_close(sqi_layout_side *s) { free(s->name); }

const char *sqi_layout_name_of(sqi_layout_side *s, const sqi_layout_tensor *t, int32_t layer,
                               int direction)
{
    (void)expand(expand(s->name, s->prefix, layer, direction), t->name, layer, direction);
    return s->name;
}

/* ---- Sizes --------------------------------------------------------------------------------- */

sqi_layout_map sqi_layout_map_of(const sq_layout_net *net, const sqi_layout_tensor *t,
                                 int32_t layer)
{
    sqi_layout_map m = { .rank = 0 };
    int64_t stride = 1, together = 1;
    bool within = false;
    m.of['l'].size = net->layers;
    m.of['d'].size = sqi_layout_directions(net);
    m.of['g'].size = *t->gates ? (int64_t)strlen(t->gates) : 1;
    m.of['s'].size = 2;
    m.of['i'].size = sqi_layout_in(net, layer);
    m.of['k'].size = sqi_layout_out(net);
    m.of['h'].size = net->hidden;
    m.of['p'].size = net->projected;
    /* From the innermost outwards; dim grows from its end. */
    int64_t dim[SQ_TENSOR_MAX_RANK];
    for (const char *c = t->axes + strlen(t->axes); c-- != t->axes;) {
        if (*c == ')') within = true;
        else if (*c == '(') within = false;
        else {
            sqi_layout_extent *x = &m.of[(unsigned char)*c];
            x->stride = stride;
            stride = times(stride, x->size);
            together = times(together, x->size);
        }
        if (within) continue;
        dim[m.rank++] = together;
        together = 1;
    }
    for (int32_t i = 0; i < m.rank; i++) m.dim[i] = dim[m.rank - 1 - i];
    return m;
}

/* Sizes by letter, -1 while unknown. The state before is called p where there is a projection. */
typedef struct sizes {
    int64_t of[128];
    bool projected;
} sizes;

static int64_t *size_of(sizes *z, char letter)
{
    if (letter == 'k') letter = z->projected ? 'p' : 'h';
    return &z->of[(unsigned char)letter];
}

/* One axis of a tensor: the letters from *c on to its end, behind which *c is left. */
static bool solve_axis(sqi_error *e, sizes *z, const sq_tensor *t, int32_t axis, const char **c)
{
    int64_t known = 1, *unknown = NULL, *x, dim = t->dim[axis];
    bool several = **c == '(';
    if (several) ++*c;
    do {
        x = size_of(z, *(*c)++);
        if (*x < 0) unknown = x;
        else known *= *x;
    } while (several && **c != ')');
    if (several) ++*c;
    if (!unknown) return true; /* compared later, with all else */
    if (dim % known == 0) {
        *unknown = dim / known;
        return true;
    }
    char shown[SQI_SHOWN], dims[SQI_DIMS_TEXT];
    sqi_error_post(e, SQ_EFILE, "tensor \"%s\" is %s: %" PRId64 " is no multiple of %" PRId64,
                   sqi_shown(t->name, shown), sqi_dims_text(t, dims), dim, known);
    return false;
}

static int32_t rank_of(const char *axes)
{
    int32_t rank = 0;
    for (bool in = false; *axes; axes++) {
        if (*axes == '(') in = true, rank++;
        else if (*axes == ')') in = false;
        else rank += !in;
    }
    return rank;
}

static bool solve(sqi_error *e, sizes *z, const sqi_layout_tensor *as, const sq_tensor *t)
{
    char shown[SQI_SHOWN], dims[SQI_DIMS_TEXT];
    const char *c = as->axes;
    if (t->rank != rank_of(c)) {
        sqi_error_post(e, SQ_EFILE, "tensor \"%s\" is %s: it should have %d axes",
                       sqi_shown(t->name, shown), sqi_dims_text(t, dims), (int)rank_of(c));
        return false;
    }
    z->of['g'] = *as->gates ? (int64_t)strlen(as->gates) : 1;
    for (int32_t i = 0; i < t->rank; i++)
        if (!solve_axis(e, z, t, i, &c)) return false;
    return true;
}

static const sq_tensor *find(sqi_layout_side *s, const sqi_layout_tensor *t, int32_t layer,
                             int direction)
{
    return sq_bundle_find(s->bundle, sqi_layout_name_of(s, t, layer, direction));
}

static bool missing(sqi_layout_side *s)
{
    char shown[SQI_SHOWN];
    sqi_error_post(&s->error, SQ_EFILE, "there is no tensor \"%s\"", sqi_shown(s->name, shown));
    return false;
}

/* What nobody could compute with, and an axis that says 3 directions. */
static bool sensible(sqi_layout_side *s, const sizes *z)
{
    bool good = z->of['h'] >= 1 && z->of['i'] >= 0 && z->of['l'] >= 1 &&
                z->of['l'] <= INT32_MAX && (z->of['d'] == 1 || z->of['d'] == 2) &&
                (z->projected ? z->of['p'] >= 1 : true);
    if (good) return true;
    char shown[SQI_SHOWN];
    sqi_error_post(&s->error, SQ_EFILE,
                   "tensor \"%s\" and those beside it tell of no network: %" PRId64
                   " layers, %" PRId64 " directions, %" PRId64 " inputs, %" PRId64 " units",
                   sqi_shown(sqi_layout_name_of(s, s->row->tensors, 0, 0), shown), z->of['l'],
                   z->of['d'], z->of['i'], z->of['h']);
    return false;
}

bool sqi_layout_deduce(sqi_layout_side *s, sq_layout_net *net)
{
    const sqi_layout_tensor *first = s->row->tensors;
    sizes z = { .projected = s->row->cell == SQ_LAYOUT_LSTM_PROJECTED };
    for (size_t i = 0; i < sizeof z.of / sizeof *z.of; i++) z.of[i] = -1;
    z.of['s'] = 2;
    if (!find(s, first, 0, 0)) return missing(s);
    for (const sqi_layout_tensor *t = first; t->name; t++) {
        const sq_tensor *there = find(s, t, 0, 0);
        if (there && !solve(&s->error, &z, t, there)) return false;
    }
    if (!sqi_layout_has_axis(first, 'l'))
        for (z.of['l'] = 1; tells(s, first, 'l') && z.of['l'] < INT32_MAX &&
                            find(s, first, (int32_t)z.of['l'], 0);)
            z.of['l']++;
    if (!sqi_layout_has_axis(first, 'd'))
        z.of['d'] = tells(s, first, 'd') && find(s, first, 0, 1) ? 2 : 1;
    if (!sensible(s, &z)) return false;
    *net = (sq_layout_net){ .cell = s->row->cell,
                            .layers = (int32_t)z.of['l'],
                            .bidirectional = z.of['d'] == 2,
                            .biases = true,
                            .in = z.of['i'],
                            .hidden = z.of['h'],
                            .projected = z.projected ? z.of['p'] : 0 };
    return true;
}

/* ---- Comparing ----------------------------------------------------------------------------- */

static bool is_bias(const sqi_layout_tensor *t) { return t->role == SQI_B || t->role == SQI_D; }

static bool expected(const sq_layout_net *net, const sqi_layout_tensor *t)
{
    return net->biases || !is_bias(t);
}

/* Some bias is there, or has to be. */
static bool has_biases(sqi_layout_side *s, const sq_layout_net *net)
{
    if (!s->row->bare) return true;
    for (const sqi_layout_tensor *t = s->row->tensors; t->name; t++)
        for (int32_t l = 0; is_bias(t) && l < sqi_layout_named_layers(s->row, net); l++)
            for (int d = 0; d < sqi_layout_named_directions(s->row, net); d++)
                if (find(s, t, l, d)) return true;
    return false;
}

bool sqi_layout_distinct(sqi_layout_side *s, const sq_layout_net *net)
{
    const sqi_layout_tensor *t = s->row->tensors;
    bool layers = net->layers == 1 || sqi_layout_has_axis(t, 'l') || tells(s, t, 'l');
    bool both = !net->bidirectional || sqi_layout_has_axis(t, 'd') || tells(s, t, 'd');
    if (layers && both) return true;
    char shown[SQI_SHOWN];
    sqi_error_post(&s->error, SQ_EVALUE, "prefix \"%s\" names one %s only: it needs %s",
                   sqi_shown(s->prefix, shown), layers ? "direction" : "layer",
                   layers ? "{FORWARD|BACKWARD}" : "{l}");
    return false;
}

static bool tensor_fits(sqi_layout_side *s, const sq_layout_net *net,
                        const sqi_layout_tensor *as, int32_t layer, int direction)
{
    char shown[SQI_SHOWN], is[SQI_DIMS_TEXT], should[SQI_DIMS_TEXT];
    const sq_tensor *t = find(s, as, layer, direction);
    if (!t) return missing(s);
    sqi_layout_map m = sqi_layout_map_of(net, as, layer);
    sq_tensor like = { .rank = m.rank };
    memcpy(like.dim, m.dim, sizeof m.dim);
    if (t->rank != m.rank || memcmp(t->dim, m.dim, (size_t)m.rank * sizeof *m.dim) != 0)
        sqi_error_post(&s->error, SQ_EFILE, "tensor \"%s\" is %s, not %s",
                       sqi_shown(t->name, shown), sqi_dims_text(t, is),
                       sqi_dims_text(&like, should));
    else if (t->type == SQ_TENSOR_I64)
        sqi_error_post(&s->error, SQ_EFILE, "tensor \"%s\" holds whole numbers",
                       sqi_shown(t->name, shown));
    return !s->error.status;
}

/* Some expected tensor has that name. */
static bool belongs(sqi_layout_side *s, const sq_layout_net *net, const char *name)
{
    for (const sqi_layout_tensor *t = s->row->tensors; t->name; t++)
        for (int32_t l = 0; expected(net, t) && l < sqi_layout_named_layers(s->row, net); l++)
            for (int d = 0; d < sqi_layout_named_directions(s->row, net); d++)
                if (strcmp(sqi_layout_name_of(s, t, l, d), name) == 0) return true;
    return false;
}

/* With `alone`, a tensor that begins like the prefix, as far as that is the same for all layers, must
 * belong; otherwise only what looks like one more tensor of some layer: nothing but a word, without a
 * dot, behind the whole of the prefix. */
static bool nothing_else(sqi_layout_side *s, const sq_layout_net *net, bool alone)
{
    char shown[SQI_SHOWN];
    for (int64_t i = 0; i < sq_bundle_count(s->bundle); i++) {
        const char *name = sq_bundle_at(s->bundle, i)->name;
        bool mine = alone && strncmp(name, s->prefix, strcspn(s->prefix, "{")) == 0;
        for (int32_t l = 0; !alone && l < net->layers; l++)
            for (int d = 0; d < sqi_layout_directions(net); d++) {
                size_t n = (size_t)(expand(s->name, s->prefix, l, d) - s->name);
                mine = mine || (strncmp(name, s->name, n) == 0 && !strchr(name + n, '.'));
            }
        if (!mine || belongs(s, net, name)) continue;
        sqi_error_post(&s->error, SQ_EFILE, "tensor \"%s\" belongs to nothing here",
                       sqi_shown(name, shown));
        return false;
    }
    return true;
}

/* Of layers in one tensor the second tells what all above it take. */
static int32_t layers_to_compare(const sqi_layout_row *row, const sq_layout_net *net)
{
    bool one = sqi_layout_named_layers(row, net) < net->layers;
    return one ? 2 : net->layers;
}

bool sqi_layout_fits(sqi_layout_side *s, sq_layout_net *net, bool alone, int32_t *good)
{
    *good = 0;
    if (!sqi_layout_distinct(s, net)) return false;
    net->biases = has_biases(s, net);
    for (int32_t l = 0; l < layers_to_compare(s->row, net); l++)
        for (int d = 0; d < sqi_layout_named_directions(s->row, net); d++)
            for (const sqi_layout_tensor *t = s->row->tensors; t->name; t++) {
                if (!expected(net, t)) continue;
                if (!tensor_fits(s, net, t, l, d)) return false;
                ++*good;
            }
    return nothing_else(s, net, alone);
}
