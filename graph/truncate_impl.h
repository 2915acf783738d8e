/* truncate_impl.h -- a stream from inside: the pieces on the tape, the windows, the bias meter.
 *
 *     truncate          recording, updates, the stream
 *     truncate_pieces   how long a piece, a window, a random window is; forgetting pieces
 *     truncate_rows     rows of the batch that restart
 *     truncate_save     the stream in a bundle
 *     truncate_load     and out of it: pieces recorded again
 *     bias_meter        two gradients side by side */
#ifndef SQ_GRAPH_TRUNCATE_IMPL_H
#define SQ_GRAPH_TRUNCATE_IMPL_H

#include "core/tape_impl.h"
#include "graph/truncate.h"

/* The last reading of a meter, and how many there were. */
typedef struct sqi_meter {
    int64_t readings, wrong;
    int64_t step;           /* of the last reading: steps of the stream */
    int64_t window, longer; /* in steps; 0: none was made since the stream was loaded */
    int64_t size;           /* of the params at the last reading, in elements */
    void *gradient[2];      /* of both windows: copies of the flat gradients */
    size_t bytes;           /* room for each */
} sqi_meter;

enum { SQI_TRUNCATED, SQI_LONGER };

/* Where a tape draws its random numbers (draw.c): the coordinates that a resumed one must take up. */
typedef struct sqi_drawing {
    uint64_t seed, serial, taken;
    int64_t since; /* steps since the first of the run */
} sqi_drawing;

enum { SQI_MIXED = -1 };

/* Steps of the stream that were recorded together, and what it takes to record them again. */
typedef struct sqi_piece {
    uint64_t ordinal;     /* of the segment that holds its input */
    int64_t first, steps; /* in steps of the stream */
    int64_t on_tape;      /* its first step as the tape counts */
    int64_t enters;       /* the same, or the first of those its input was recorded in */
    size_t bytes;
    sq_var outputs;
    sq_var loss;         /* not yet differentiated, or no value */
    sqi_drawing drawing; /* before it */
    int64_t version;     /* of the weights it used, or SQI_MIXED */
    bool given;          /* its states were given, not those of the piece before */
    sq_var *start; /* [n_states] the states before it; without a value: the initial ones */
    int32_t *rows; /* [B], of its first step; NULL: all go on. Both lie in its first segment */
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
    sq_var *carry;           /* [2 n_states]: what outlives a cut */
    bool given;              /* the states were given since the last piece */
    sqi_piece *pieces;       /* the live ones: [begin, end) */
    uint32_t begin, end, room;
    sqi_meter meter;
};

static inline bool sqi_has_value(sq_var v) { return v.tape && sqi_index(v.id); }
static inline bool sqi_draws_windows(const sq_tbptt *s) { return s->o.mean_window > 0; }

/* ---- truncate.c ---- */

/* Begins a call; false after posting. Where the tape was reset the stream begins anew. */
bool sqi_stream_enter(sq_tbptt *s);

/* The stream begins: what is on the tape is not reached for any more. */
void sqi_stream_begin(sq_tbptt *s);

/* Records the next `length` steps as a piece, its losses (count_loss) apart; rows are those of the
 * first step, or NULL. NULL after posting. */
sqi_piece *sqi_stream_record(sq_tbptt *s, int64_t length, const int32_t *rows);

/* Asks for the losses of a piece just recorded; false after posting. */
bool sqi_stream_count_loss(sq_tbptt *s, sqi_piece *p);

/* ---- truncate_save.c ---- */

/* Tensors of a stream under their prefix. */
typedef struct sqi_saved {
    sq_bundle *bundle;
    const char *prefix;
    char *name; /* of the last that was asked for */
    size_t room;
} sqi_saved;

/* False after posting on the bundle; then close, too. */
bool sqi_saved_open(sqi_saved *f, sq_bundle *b, const char *prefix, const char *what);
void sqi_saved_close(sqi_saved *f);

/* "prefix.part", "prefix.part.i" and "prefix.part.i.k"; valid until the next. */
const char *sqi_saved_name(sqi_saved *f, const char *part);
const char *sqi_saved_nth(sqi_saved *f, const char *part, int64_t i);
const char *sqi_saved_of(sqi_saved *f, const char *part, int64_t i, int64_t k);

/* What another stream must agree in, as a row of numbers with their names. */
enum { SQI_N_AGREE = 7 };
extern const char *const sqi_agree_names[SQI_N_AGREE];
void sqi_stream_agree(const sq_tbptt *s, int64_t agree[SQI_N_AGREE]);

/* Columns of the counts and of the pieces. */
enum {
    SQI_STEPS,
    SQI_UPDATED,
    SQI_BEFORE,
    SQI_DUE,
    SQI_UPDATES,
    SQI_READ,
    SQI_DRAWS,
    SQI_ENDED,
    SQI_GIVEN,
    SQI_READINGS,
    SQI_WRONG,
    SQI_VERSIONS, /* saved beside the present one */
    SQI_N_COUNTS
};
enum { SQI_SEED, SQI_SERIAL, SQI_TAKEN, SQI_SINCE, SQI_N_DRAWING };
enum {
    SQI_PIECE_FIRST,
    SQI_PIECE_STEPS,
    SQI_PIECE_PENDING, /* 1: its losses are not yet differentiated */
    SQI_PIECE_GIVEN,
    SQI_PIECE_VERSION, /* of the saved ones; their number stands for the present one */
    SQI_PIECE_DRAWING,
    SQI_N_PIECE = SQI_PIECE_DRAWING + SQI_N_DRAWING
};

sqi_drawing sqi_drawing_now(const sq_tape *t);

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

/* The first piece that a window of an update after `length` more steps reaches, or the meter. */
uint32_t sqi_pieces_needed(const sq_tbptt *s, int64_t length);

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
