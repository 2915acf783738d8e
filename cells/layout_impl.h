/* layout_impl.h -- how the table describes a layout, and a network on its way between two. */
#ifndef SQ_CELLS_LAYOUT_IMPL_H
#define SQ_CELLS_LAYOUT_IMPL_H

#include "cells/layout.h"
#include "core/error_impl.h"

/* The gates by one letter each: i f g o of the LSTM, r z n of the GRU, n of the RNN. In the table two
 * more: N, the bias d_n within the reset, where biases lie by gate; and -, which nobody reads. */
/* What a tensor holds. Of every gate but R. */
typedef enum sqi_role {
    SQI_NO_ROLE,
    SQI_W, /* [in, hidden] */
    SQI_U, /* [state, hidden]; the state is the projected one where there is one */
    SQI_B, /* [hidden], added to the product with x */
    SQI_D, /* [hidden], added to the product with the state */
    SQI_R, /* [hidden, projected] */
    SQI_ROLES
} sqi_role;

/* A kind of tensor. `axes` says how its numbers lie, the innermost last, an axis of the tensor in
 * brackets where it is made of several:
 *     l layer   d direction   g gate   s 0 for B, 1 for D   i input   k state before   h hidden   p projected
 * "(gh)i" is [4H,I] with all of a gate together, "(hg)i" the same interleaved. */
typedef struct sqi_layout_tensor {
    const char *name; /* a pattern */
    sqi_role role;
    const char *axes;
    const char *gates; /* in their order */
} sqi_layout_tensor;

enum { SQI_LAYOUT_TENSORS = 16 };

/* A cell in a layout: the tensors, ended by one without a name; the first is of W. */
typedef struct sqi_layout_row {
    const char *layout;
    sq_layout_cell cell;
    const char *prefix;  /* unless another is given */
    const char *negated; /* gates whose sign is the other one */
    double forget;       /* what is added to the forget gate's bias when the cell runs */
    bool bare;           /* may lack its biases */
    sqi_layout_tensor tensors[SQI_LAYOUT_TENSORS];
} sqi_layout_row;

/* The row of that layout and cell; with SQ_LAYOUT_ANY the first. NULL when there is none. */
const sqi_layout_row *sqi_layout_row_of(const char *layout, sq_layout_cell cell);
const sqi_layout_row *sqi_layout_row_at(int32_t i); /* NULL behind the last */

/* "ifgo", "rzn", "n" */
const char *sqi_layout_gates(sq_layout_cell cell);

/* ---- A row, looked for in a bundle -------------------------------------------------------- */

/* Mistakes are kept here until it is known whom to tell. */
typedef struct sqi_layout_side {
    const sq_bundle *bundle;
    const sqi_layout_row *row;
    const char *prefix;
    char *name; /* room for every name */
    size_t room;
    sqi_error error;
} sqi_layout_side;

/* False after posting on the side; close in any case. `row` may be changed later. */
bool sqi_layout_open(sqi_layout_side *s, const sq_bundle *b, const sq_layout *at);
void sqi_layout_close(sqi_layout_side *s);

/* The tensor's name of that layer and direction; valid until the next. */
const char *sqi_layout_name_of(sqi_layout_side *s, const sqi_layout_tensor *t, int32_t layer,
                               int direction);

bool sqi_layout_has_axis(const sqi_layout_tensor *t, char letter);

/* How many layers and directions have tensors of their own: 1 where the tensors have an axis of them, for
 * then its size is only what a file says, and no number of steps to take. */
int32_t sqi_layout_named_layers(const sqi_layout_row *row, const sq_layout_net *net);
int sqi_layout_named_directions(const sqi_layout_row *row, const sq_layout_net *net);

/* The layers and directions of such a network have names of their own, or axes. False after posting. */
bool sqi_layout_distinct(sqi_layout_side *s, const sq_layout_net *net);

/* How many of each letter a tensor of that layer has, and how far apart they lie. */
typedef struct sqi_layout_extent {
    int64_t size, stride;
} sqi_layout_extent;
typedef struct sqi_layout_map {
    sqi_layout_extent of[128]; /* by letter; stride 0 where it is no axis */
    int32_t rank;
    int64_t dim[SQ_TENSOR_MAX_RANK];
} sqi_layout_map;
sqi_layout_map sqi_layout_map_of(const sq_layout_net *net, const sqi_layout_tensor *t,
                                 int32_t layer);

/* The net of side's row from names and shapes: whether its sizes could be told, and whether all is
 * there and nothing else. `fits` returns how many tensors did in *good. False after posting. */
bool sqi_layout_deduce(sqi_layout_side *s, sq_layout_net *net);
bool sqi_layout_fits(sqi_layout_side *s, sq_layout_net *net, bool alone, int32_t *good);

/* ---- On its way ---------------------------------------------------------------------------- */

/* Of all layers and directions the W, U, B, D of every gate, [rows, columns], and R; for gates in our
 * order. Biases that are only added are all in B. */
typedef struct sqi_layout_carried {
    sq_layout_net net;
    const char *gates;
    int64_t first, other; /* numbers of a direction of layer 0, of any other layer */
    double *values;
} sqi_layout_carried;

/* The first number of that gate (0 for R). */
double *sqi_layout_part(const sqi_layout_carried *c, int32_t layer, int direction,
                        sqi_role role, int gate);

/* Reads all of a side whose tensors fit the net. False after posting, out of memory. The caller frees
 * the values, in any case. */
bool sqi_layout_read(sqi_layout_side *s, const sq_layout_net *net, sqi_layout_carried *c);

/* Numbers of a tensor as they lie in memory: F32 or F64. */
typedef struct sqi_layout_numbers {
    sq_tensor_type type;
    void *values;
} sqi_layout_numbers;

/* Moves what tensor t holds of that layer and direction, from x into c or out of c. */
void sqi_layout_move(const sqi_layout_carried *c, const sqi_layout_row *row,
                     const sqi_layout_tensor *t, int32_t layer, int direction,
                     const sqi_layout_numbers *x, bool in);

int64_t sqi_layout_in(const sq_layout_net *net, int32_t layer);
int64_t sqi_layout_out(const sq_layout_net *net); /* of one direction */
static inline int sqi_layout_directions(const sq_layout_net *net)
{
    return net->bidirectional ? 2 : 1;
}

#endif
