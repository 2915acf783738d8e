/* report.h -- everything that was found out, for whoever shows it.
 *
 * main fills it; show.c prints it on the terminal, report.c writes the CSV, page.c the page, and
 * inside_show.c, inside_csv.c, inside_page.c do so for what --jacobian, --lyapunov and --gates ask.
 * None of them computes anything new, so all three say the same. */
#ifndef REPORT_H
#define REPORT_H

#include "baseline.h"
#include "files.h"
#include "flow.h"
#include "inside.h"

#include <stdio.h>

/* What one cell has learnt, over all its seeds. */
typedef struct score {
    const char *title;
    int64_t n_seeds;
    double *rmse; /* held out, by seed */
    double median;
    double *guess; /* forecasts of the held-out values by the first seed */
} score;

enum { MAX_FLOWS = 2 * N_KINDS, MAX_COLUMNS_SHOWN = N_KINDS * MAX_STATES };

typedef struct report {
    const lesson *l;
    const options *o;
    baseline base[N_BASELINES];
    int n_cells;
    score score[N_KINDS];
    flow initial[N_KINDS], trained[N_KINDS]; /* of the first seed */
    inside before[N_KINDS], after[N_KINDS];  /* the same */
    char *depth[N_KINDS];                    /* the same, in the terminal, or NULL */
} report;

/* One curve of one cell: what a column of the table or a line of the plot shows. */
typedef struct trace {
    const flow *f;
    int state;
    char name[32]; /* "LSTM c" */
} trace;

/* All states of n cells in order; returns how many. */
int traces_of(const flow *flows, int n, trace out[MAX_COLUMNS_SHOWN]);

/* The powers of ten that enclose all positive gradients of the traces, at most 16 decades. */
typedef struct decades {
    int lo, hi;
} decades;
decades decades_of(const trace *traces, int n);

/* How far a trace reaches: "below 1 % after 14 years; x 0.71 a year, ...". */
const char *reach_sentence(const trace *c, const char *unit, char *buf, size_t n);

/* The gradients as comma-separated values, for other programs. */
void report_csv(const report *r, const char *path);

/* The gradients, forecasts and tables as one self-contained page. */
void report_page(const report *r, const char *path);

/* The parts of the terminal's report, in their order. */
void show_task(const report *r);
void show_score(const score *s);
void show_flow(const report *r);
void show_reach(const report *r);
void show_jacobians(const report *r);
void show_exponents(const report *r);
void show_gates(const report *r);
void show_depth(const report *r);

/* The same numbers for other programs, and as parts of the page. */
void jacobians_csv(const report *r, const char *path);
void exponents_csv(const report *r, const char *path);
void gates_csv(const report *r, const char *path);
void inside_figures(FILE *out, const report *r);

/* The library's own report about one network that is still there: into the files of that kind of cell,
 * and as a text for the terminal, the caller's; NULL where none is asked for. */
char *network_in_depth(model *m, const lesson *l, const options *o, const inside *in,
                       const files *f, int kind);

#endif
