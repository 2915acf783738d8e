/* truncate_impl.h -- a stream from inside: the pieces on the tape, the windows, the bias meter.
 *
 *     truncate          recording, updates, the stream
 *     truncate_pieces   how long a piece, a window, a random window is; forgetting pieces
 *     truncate_rows     rows of the batch that restart
 *     bias_meter        two gradients side by side */
#ifndef SQ_GRAPH_TRUNCATE_IMPL_H
#define SQ_GRAPH_TRUNCATE_IMPL_H

#include "core/tape_impl.h"
#include "graph/truncate.h"

/* The last reading of a meter, and how many there were. */
typedef struct sqi_meter {
    int64_t readings, wrong;
    int64_t step;           /* of the last reading: steps of the stream */
    int64_t window, longer; /* in steps */
    void *gradient[2];      /* of both windows: copies of the flat gradients */
    size_t bytes;           /* of each */
} sqi_meter;

enum { SQI_TRUNCATED, SQI_LONGER };

/* Steps of the stream that were recorded together. */
typedef struct sqi_piece {
    uint64_t ordinal;     /* of the segment that holds its input */
    int64_t first, steps; /* in steps of the stream */
    int64_t on_tape;      /* its first step as the tape counts */
    int64_t enters;       /* the same, or the first of those its input was recorded in */
    size_t bytes;
    sq_var outputs;
    sq_var loss; /* not yet differentiated, or no value */
} sqi_piece;

struct sq_tbptt {
    sq_tape *t;
    uint64_t root; /* ordinal of the tape's root: another one after a reset */
    sq_cell cell;  /* the user's */
    sq_cell drawn; /* with random windows: the same, gradients multiplied on their way back */
    sq_tbptt_options o;
    bool busy; /* within a call: its callbacks must not feed it */
    bool ended;
    int64_t steps;           /* of this stream: n */
    int64_t updated;         /* n at the last update */
    int64_t before;          /* n at the one before it */
    int64_t due;             /* n at the next */
    int64_t updates;         /* made, in all streams */
    int64_t read;            /* updates when the meter was last read, that one among them */
    uint64_t draws;          /* random windows so far */
    double loss, loss_since; /* sums: of the stream, since the last update */
    sq_var *state;           /* [n_states]; without a value: the initial one */
    sqi_piece *pieces;       /* the live ones: [begin, end) */
    uint32_t begin, end, room;
    sqi_meter meter;
};

static inline bool sqi_has_value(sq_var v) { return v.tape && sqi_index(v.id); }
static inline bool sqi_draws_windows(const sq_tbptt *s) { return s->o.mean_window > 0; }

/* ---- truncate_pieces.c ---- */

static inline int64_t sqi_piece_end(const sqi_piece *p) { return p->first + p->steps; }

/* The step of a cell whose gradients are multiplied where they leave it; self is the stream. */
sq_step_fn sqi_step_drawn;

/* What flows back into a row's first state crosses no step: that factor is taken out again. */
sq_var sqi_initial_drawn(const sq_tbptt *s, sq_var h);

/* First step, counted from 0, of the window of an update after n steps. */
int64_t sqi_window_begin(const sq_tbptt *s, int64_t n);

/* An update was made, or the stream begins: when the next is due. */
void sqi_plan_update(sq_tbptt *s);

/* Steps that can be recorded together, of `left` ones. rows: of the coming steps, or NULL. */
int64_t sqi_piece_length(const sq_tbptt *s, int64_t left, const int32_t *rows);

/* Forgets the pieces that no window of an update after `length` more steps reaches. False after
 * posting. */
bool sqi_pieces_forget(sq_tbptt *s, int64_t length);

/* A place at the end; NULL after posting. */
sqi_piece *sqi_pieces_push(sq_tbptt *s);

/* The step of the tape where step `first` of the stream was recorded, or the oldest one after
 * it. */
int64_t sqi_on_tape(const sq_tbptt *s, int64_t first);

/* ---- truncate_rows.c ---- */

/* n entries are among the three; false after posting. */
bool sqi_rows_are_sane(sq_tape *t, const int32_t *rows, int64_t n);

static inline bool sqi_rows_go_on(const int32_t *rows, int64_t n)
{
    for (int64_t b = 0; b < n; b++)
        if (rows[b] != SQ_ROW_GOES_ON) return false;
    return true;
}

/* ---- bias_meter.c ---- */

/* Copies the tape's gradients as those of one of the windows; false after posting. */
bool sqi_meter_keep(sqi_meter *m, sq_tape *t, int which);

/* Takes the two as a reading after `step` steps. */
void sqi_meter_read(sqi_meter *m, const sq_params *p, int64_t step, int64_t window,
                    int64_t longer);

sq_bias sqi_meter_bias(const sqi_meter *m, const sq_params *p, sq_weight w);
size_t sqi_meter_text(const sqi_meter *m, const sq_params *p, char *buf, size_t n);
void sqi_meter_clear(sqi_meter *m);

#endif
