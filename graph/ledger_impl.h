/* ledger_impl.h -- a ledger's parts, each filled in by a sweep of its own and read afterwards. */
#ifndef SQ_GRAPH_LEDGER_IMPL_H
#define SQ_GRAPH_LEDGER_IMPL_H

#include "core/backward_impl.h"
#include "core/tape_impl.h"
#include "graph/ledger.h"
#include "graph/moment_impl.h"

enum { SQI_TOTAL, SQI_IMMEDIATE, SQI_N_KINDS };
enum { SQI_LABEL = 32 };

/* What a report says of a state or a gate; longer names are cut off. */
typedef struct sqi_label {
    char name[SQI_LABEL];
    int64_t width;
} sqi_label;

/* Which entry of the ledger a step of the tape belongs to: entry i has the steps after last[i - 1]
 * up to last[i]; entry 0 those from `first` on. All else is outside: entry `n`. */
typedef struct sqi_entries {
    int64_t n, first, *last;
} sqi_entries;

/* What parts are collected for: to be written down, or only for what comes from far. */
typedef enum sqi_collect { SQI_TELL, SQI_FAR } sqi_collect;

/* Weights by step. Steps arrive from the newest to the oldest, so that one block of memory holds
 * the entry at work; what lies outside arrives in between and has another. */
typedef struct sqi_by_step {
    sqi_parts parts; /* first: what sweeps hand in */
    const sqi_entries *entries;
    const sq_kernels *kern;
    sq_dtype dtype;
    bool exact; /* parts are made, not their norms alone */
    int64_t n, size, *offset, *extent;
    char *part[2], *whole; /* flat: of the entry at work, outside; dL/dW */
    bool *open[2], *used;
    int64_t at, newest, far_steps; /* newest: the entry of the loss, -1: not seen yet */
    sqi_collect collect;
    bool adds_far;
    double *norm, *cosine;      /* [entries + 1][n] */
    double *total, *share;      /* [n] */
    double *values, *sum, *far; /* [entries + 1][size]; [size] */
} sqi_by_step;

/* What one name stands for in every step: the first value that bears it, or the one after. */
typedef struct sqi_gate {
    char name[SQI_LABEL], told[SQI_LABEL + 16]; /* told: "f", "f (2)" */
    int32_t of_name;                            /* values of the name before it in a step */
    int64_t entry; /* of the first: which step was looked at last, and how many of the name */
    int32_t seen;  /* were there */
    sq_gate_statistics *of; /* [steps] */
} sqi_gate;

typedef struct sqi_gates {
    int32_t n, room;
    sqi_gate *gate;
    sq_gate_statistics *state; /* [steps][n_states] where states are not there to be read */
    const bool *takes; /* while it is filled in: [steps,batch] which rows count; NULL: all */
    int64_t batch;
} sqi_gates;

struct sq_ledger {
    int64_t steps;
    int32_t n_states;
    double *norm[SQI_N_KINDS];  /* [T][n_states] */
    double *value[SQI_N_KINDS]; /* all values behind each other, or NULL */
    size_t *first;              /* [T][n_states]: where a state's values begin; the end */
    sqi_label *label;           /* [n_states] */
    sqi_entries entries;
    sqi_by_step *weights; /* NULL unless asked for */
    int64_t n_losses;     /* elements of all of them */
    double *reach;        /* [n_losses][T][n_states] */
    sqi_gates gates;
};

/* What is looked at. */
typedef struct sqi_subject {
    sq_tape *t;
    const sq_unrolled *u; /* NULL: a loop written by hand */
    const sq_var *states;
    sq_var loss;
    sq_ledger_options options;
} sqi_subject;

/* Memory of a ledger, zeroed; NULL after posting. */
void *sqi_ledger_take(sq_tape *t, size_t n, size_t size);

static inline int64_t sqi_entry_of(const sqi_entries *e, int64_t step)
{
    int64_t low = 0, high = e->n;
    if (!e->n || step < e->first || step > e->last[e->n - 1]) return e->n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (e->last[middle] < step) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* What a lane's last sweep left at every state; values may be NULL. */
void sqi_read_states(const sq_ledger *l, const sqi_subject *s, int lane, double *norm,
                     double *values);

/* ledger_reach.c: room for a row for every element of every loss; the rows. False after posting. */
bool sqi_reach_count(sq_ledger *l, const sqi_subject *s);
bool sqi_reach_fill(sq_ledger *l, const sqi_subject *s);

/* ledger_weights.c. What the sweep for totals is to collect, or NULL. */
bool sqi_by_step_new(sq_ledger *l, const sqi_subject *s);
void sqi_by_step_free(sqi_by_step *w);
sqi_parts *sqi_by_step_first(sqi_by_step *w);

/* After that sweep: the parts themselves, where they are asked for. */
bool sqi_by_step_collect(sq_ledger *l, const sqi_subject *s);

/* Around the sweep of one loss: adds up what it sends far back; and at the end of all. */
sqi_parts *sqi_by_step_far(sqi_by_step *w);
void sqi_by_step_swept(sqi_by_step *w);
void sqi_by_step_finish(sqi_by_step *w);

/* ledger_gates.c: the sweep for totals, with the gradients of gates kept or, where steps are dropped,
 * looked at; what it left, to be read before the next one, after the totals. False after posting. */
bool sqi_gates_sweep(sq_ledger *l, const sqi_subject *s, sqi_parts *parts);
bool sqi_gates_read(sq_ledger *l, const sqi_subject *s);
void sqi_gates_free(sqi_gates *g);

#endif
