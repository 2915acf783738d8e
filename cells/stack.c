/* stack.c -- a cell made of cells: layer k's output is layer k+1's input.
 *
 * The states of all layers lie one after the other, so layer k sees its own as a part of the
 * stack's array and nothing is copied. A stack is an ordinary cell: stacks of stacks work.
 * Residual and skip connections give the gradient ways past a layer. */
#include "cells/cells.h"
#include "cells/cells_impl.h"
#include "ops/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sq_stack_cells {
    int32_t n;
    int32_t n_states;
    sq_stack_options options;
    sq_cell *layers;
    int64_t *width;     /* of all states */
    const char **names; /* of all states, pointing into text */
    char *text;         /* "0.h\0" "0.c\0" "1.h\0" ... */
};

sq_var sqi_beside(sq_var a, sq_var b)
{
    if (!a.id || !b.id) return a.id ? a : b;
    return sq_concat((const sq_var[]){ a, b }, 2, -1);
}

/* y + z where that is a sum without broadcasting, else y. */
static sq_var added(sq_var y, sq_var z)
{
    bool fits = y.id && z.id && sq_shape_equal(sq_shape_of(y), sq_shape_of(z));
    return fits ? sq_add(y, z) : y;
}

static sq_var step(sq_tape *t, const void *self, sq_var x, sq_var *state)
{
    const sq_stack_cells *s = self;
    sq_var z = x, all = { 0 };
    for (int32_t k = 0; k < s->n; k++) {
        const sq_cell *layer = &s->layers[k];
        sq_var in = k > 0 && s->options.skip_input ? sqi_beside(z, x) : z;
        sq_var y = layer->step(t, layer->self, in, state);
        z = s->options.residual ? added(y, z) : y;
        all = s->options.skip_output ? sqi_beside(all, z) : z;
        state += layer->n_states;
    }
    return all;
}

/* "2.h", or "2.1" for state 1 of a layer that has no name for it. Like snprintf. */
static int state_name(char *buf, size_t n, const sq_cell *layers, int32_t layer, int32_t k)
{
    const char *const *names = layers[layer].state_names;
    if (names && names[k]) return snprintf(buf, n, "%d.%s", (int)layer, names[k]);
    return snprintf(buf, n, "%d.%d", (int)layer, (int)k);
}

/* Counts the states and the bytes of their names. False when there are too many. */
static bool measure(const sq_cell *layers, int32_t n, int32_t *n_states, size_t *bytes)
{
    int64_t states = 0;
    *bytes = 0;
    for (int32_t i = 0; i < n; i++) {
        states += layers[i].n_states;
        if (states > INT32_MAX) return false;
        for (int32_t k = 0; k < layers[i].n_states; k++)
            *bytes += (size_t)state_name(NULL, 0, layers, i, k) + 1;
    }
    *n_states = (int32_t)states;
    return true;
}

static void fill(sq_stack_cells *s, size_t bytes)
{
    char *text = s->text;
    int32_t j = 0;
    for (int32_t i = 0; i < s->n; i++) {
        for (int32_t k = 0; k < s->layers[i].n_states; k++, j++) {
            size_t room = bytes - (size_t)(text - s->text);
            s->width[j] = s->layers[i].width[k];
            s->names[j] = text;
            text += state_name(text, room, s->layers, i, k) + 1;
        }
    }
}

sq_stack_cells *sq_stack_new(const sq_cell *layers, int32_t n)
{
    return sq_stack_new_with(layers, n, NULL);
}

sq_stack_cells *sq_stack_new_with(const sq_cell *layers, int32_t n,
                                  const sq_stack_options *options)
{
    int32_t n_states;
    size_t bytes;
    if (n < 1 || !measure(layers, n, &n_states, &bytes)) return NULL;
    sq_stack_cells *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->n = n;
    s->n_states = n_states;
    if (options) s->options = *options;
    s->layers = calloc((size_t)n, sizeof *s->layers);
    s->width = calloc((size_t)n_states + 1, sizeof *s->width);
    s->names = calloc((size_t)n_states + 1, sizeof *s->names);
    s->text = malloc(bytes + 1);
    if (!s->layers || !s->width || !s->names || !s->text) {
        sq_stack_free(s);
        return NULL;
    }
    memcpy(s->layers, layers, (size_t)n * sizeof *layers);
    fill(s, bytes);
    return s;
}

void sq_stack_free(sq_stack_cells *s)
{
    if (!s) return;
    free(s->layers);
    free(s->width);
    free(s->names);
    free(s->text);
    free(s);
}

sq_cell sq_stack_cell(const sq_stack_cells *s)
{
    return (sq_cell){ "stack", s->n_states, s->width, s->names, step, s };
}
