/* layout_carry.c -- the form in between two layouts: weights in, weights out.
 *
 * It is ours with everything that any layout can say, in double: for every layer and direction W_k, U_k,
 * b_k and a second bias d_k of every gate k, and the projection R. A tensor's place for each of them is a
 * first number and two strides, read off the table's row; so all layouts are moved by two loops. */
#include "cells/layout_impl.h"
#include "core/io_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- Where everything lies ----------------------------------------------------------------- */

/* Rows, columns, and of how many gates: of what a tensor of that role holds. */
typedef struct part {
    char row, column; /* as in axes; 0 for none */
    bool gates;
} part;
static const part parts[SQI_ROLES] = {
    [SQI_W] = { 'i', 'h', true }, [SQI_U] = { 'k', 'h', true },  [SQI_B] = { 0, 'h', true },
    [SQI_D] = { 0, 'h', true },   [SQI_R] = { 'h', 'p', false },
};

static int64_t width(const sq_layout_net *net, int32_t layer, char letter)
{
    switch (letter) {
    case 'i': return sqi_layout_in(net, layer);
    case 'k': return sqi_layout_out(net);
    case 'h': return net->hidden;
    case 'p': return net->projected;
    default: return 1;
    }
}

static int64_t part_size(const sqi_layout_carried *c, int32_t layer, sqi_role role)
{
    int64_t gates = parts[role].gates ? (int64_t)strlen(c->gates) : 1;
    return gates * width(&c->net, layer, parts[role].row) *
           width(&c->net, layer, parts[role].column);
}

/* The first number of a gate; roles lie one behind the other. */
double *sqi_layout_part(const sqi_layout_carried *c, int32_t layer, int direction,
                        sqi_role role, int gate)
{
    const int n = sqi_layout_directions(&c->net);
    int64_t at = layer == 0 ? direction * c->first
                            : n * c->first + ((layer - 1) * (int64_t)n + direction) * c->other;
    for (sqi_role r = SQI_W; r < role; r++) at += part_size(c, layer, r);
    int64_t gates = parts[role].gates ? (int64_t)strlen(c->gates) : 1;
    return c->values + at + gate * (part_size(c, layer, role) / gates);
}

/* The net fits tensors that are there, so no size overflows. */
static bool carried_new(sqi_layout_carried *c, const sq_layout_net *net, sqi_error *e)
{
    *c = (sqi_layout_carried){ .net = *net, .gates = sqi_layout_gates(net->cell) };
    for (sqi_role r = SQI_W; r < SQI_ROLES; r++) {
        c->first += part_size(c, 0, r);
        c->other += part_size(c, 1, r);
    }
    int64_t n = sqi_layout_directions(net) * (c->first + (net->layers - 1) * c->other);
    c->values = calloc((size_t)n, sizeof *c->values);
    if (!c->values) sqi_error_post(e, SQ_ENOMEM, "out of memory");
    return c->values != NULL;
}

/* ---- One tensor ---------------------------------------------------------------------------- */

static double number(const sqi_layout_numbers *x, int64_t i)
{
    return x->type == SQ_TENSOR_F32 ? (double)((const float *)x->values)[i]
                                    : ((const double *)x->values)[i];
}

static void set_number(const sqi_layout_numbers *x, int64_t i, double value)
{
    if (x->type == SQ_TENSOR_F32) ((float *)x->values)[i] = (float)value;
    else ((double *)x->values)[i] = value;
}

/* All of one gate in one tensor: `at` is where its first number lies. What runs with `added` on top and
 * the other sign stands in the file without. */
typedef struct stretch {
    int64_t at, rows, columns, row_stride, column_stride;
    double sign, added;
} stretch;

static void read_gate(const stretch *g, const sqi_layout_numbers *from, double *to)
{
    for (int64_t r = 0; r < g->rows; r++)
        for (int64_t c = 0; c < g->columns; c++) {
            double x = number(from, g->at + r * g->row_stride + c * g->column_stride);
            if (g->added != 0) x += g->added;
            to[r * g->columns + c] = g->sign * x;
        }
}

static void write_gate(const stretch *g, const sqi_layout_numbers *to, const double *from)
{
    for (int64_t r = 0; r < g->rows; r++)
        for (int64_t c = 0; c < g->columns; c++) {
            double x = g->sign * from[r * g->columns + c];
            if (g->added != 0) x -= g->added;
            set_number(to, g->at + r * g->row_stride + c * g->column_stride, x);
        }
}

/* Moves what tensor t holds of that layer and direction, into c or out of it. */
void sqi_layout_move(const sqi_layout_carried *c, const sqi_layout_row *row,
                     const sqi_layout_tensor *t, int32_t layer, int direction,
                     const sqi_layout_numbers *x, bool in)
{
    const sqi_layout_map m = sqi_layout_map_of(&c->net, t, layer);
    const int gates = (int)m.of['g'].size, sources = sqi_layout_has_axis(t, 's') ? 2 : 1;
    const part *p = &parts[t->role];
    for (int k = 0; k < gates * sources; k++) {
        char letter = *t->gates ? t->gates[k % gates] : '\0';
        bool own = letter == 'N', second = own || k >= gates;
        const char *gate = *t->gates ? strchr(c->gates, own ? 'n' : letter) : c->gates;
        if (!gate) continue; /* what nobody reads */
        sqi_role role = second ? SQI_D : t->role;
        bool forget = row->forget != 0 && role == SQI_B && letter == 'f';
        stretch g = { .at = layer * m.of['l'].stride + direction * m.of['d'].stride +
                            k % gates * m.of['g'].stride + k / gates * m.of['s'].stride,
                      .rows = width(&c->net, layer, p->row),
                      .columns = width(&c->net, layer, p->column),
                      .row_stride = m.of[(unsigned char)p->row].stride,
                      .column_stride = m.of[(unsigned char)p->column].stride,
                      .sign = letter && strchr(row->negated, letter) ? -1 : 1,
                      .added = forget ? row->forget : 0 };
        double *inside = sqi_layout_part(c, layer, direction, role, (int)(gate - c->gates));
        if (in) read_gate(&g, x, inside);
        else write_gate(&g, x, inside);
    }
}

/* ---- Reading a side ------------------------------------------------------------------------ */

/* Of the GRU that resets behind the product, d_n is multiplied by r: no part of b_n. */
static bool stays_apart(const sqi_layout_carried *c, int gate)
{
    return c->net.cell == SQ_LAYOUT_GRU_AFTER && c->gates[gate] == 'n';
}

static void join_biases(const sqi_layout_carried *c, int32_t layer, int direction)
{
    for (int k = 0; c->gates[k]; k++) {
        double *b = sqi_layout_part(c, layer, direction, SQI_B, k);
        double *d = sqi_layout_part(c, layer, direction, SQI_D, k);
        for (int64_t i = 0; !stays_apart(c, k) && i < c->net.hidden; i++) {
            if (d[i] != 0) b[i] += d[i]; /* -0 + 0 would be 0 */
            d[i] = 0;
        }
    }
}

/* All of a side whose tensors fit the net. The caller frees the values. */
bool sqi_layout_read(sqi_layout_side *s, const sq_layout_net *net, sqi_layout_carried *c)
{
    if (!carried_new(c, net, &s->error)) return false;
    for (int32_t l = 0; l < net->layers; l++)
        for (int d = 0; d < sqi_layout_directions(net); d++) {
            for (const sqi_layout_tensor *t = s->row->tensors; t->name; t++) {
                const sq_tensor *x = sq_bundle_find(s->bundle, sqi_layout_name_of(s, t, l, d));
                if (!x) continue; /* a bias of a net without */
                const sqi_layout_numbers from = { x->type, (void *)(uintptr_t)x->values };
                sqi_layout_move(c, s->row, t, l, d, &from, true);
            }
            join_biases(c, l, d);
        }
    return true;
}
