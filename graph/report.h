/* report.h -- what a ledger holds, for eyes and for other programs.
 *
 * One set of numbers, five forms that agree:
 *     terminal   sparklines and heat maps of so many columns, in Unicode or ASCII
 *     CSV        panel,name,quantity,row,step,value: one number a row
 *     SVG        one picture: |dL/dh_t| of every state as curves and as coloured strips
 *     HTML       one page, no network, no script from outside: the unrolled network coloured by
 *                gradient, a slider through the losses, states, weights, gates, singular values
 *     .npy       one sort of numbers as an array of NumPy's, with all their bits
 * Text forms tell six significant digits, whatever the locale, and "nan", "inf"; the same numbers
 * give the same bytes. Names are quoted as the form needs it. Above 500 steps pages and pictures
 * show 500 columns, of norms the largest, of other numbers the mean, and say so; the CSV has all.
 * The library writes into memory; files are the caller's. */
#ifndef SQ_GRAPH_REPORT_H
#define SQ_GRAPH_REPORT_H

#include "jacobian.h"
#include "ledger.h"

SQ_BEGIN_DECLS

/* What a report shows. ledger is needed; what is NULL, or not in the ledger, is left out. */
typedef struct sq_report {
    const sq_ledger *ledger;
    const sq_params *params; /* names of weights */
    const char *title;       /* NULL: "gradients through time" */
    const char *note;        /* a line below it: the command, the data */
    const double *singular;  /* [T][n_singular] of dh_t/dh_(t-1), largest first, or NULL */
    int64_t n_singular;
    const double *lyapunov; /* [n_lyapunov] exponents, largest first, or NULL */
    int64_t n_lyapunov;
    bool ascii;      /* terminal: no other characters; for files, and terminals without UTF-8 */
    bool colour;     /* terminal: ANSI colours */
    int32_t columns; /* terminal: width; 0: 80 */
} sq_report;

/* Each writes at most n bytes with the final 0 and returns the length it wanted, like snprintf: ask
 * with n = 0 first. "" for NULL or without a ledger. Nothing is allocated, nothing can fail.
 * Cost: the numbers of the ledger once or twice, about 0.2 us each to write. A page of 500 steps
 * of an LSTM, H = 128, with the T x T table, units, weights, gates and singular values: 0.15 s, 1.9 MB. */
SQ_API size_t sq_report_terminal(const sq_report *r, char *buf, size_t n);
SQ_API size_t sq_report_csv(const sq_report *r, char *buf, size_t n);
SQ_API size_t sq_report_svg(const sq_report *r, char *buf, size_t n);
SQ_API size_t sq_report_html(const sq_report *r, char *buf, size_t n);

/* ---- For NumPy ----------------------------------------------------------------------------
 *
 * One array holds what the CSV tells in the rows of one panel and quantity, of all names together.
 * Its axes are, as far as there are such, what the CSV calls name, row and step:
 *     numpy.load("reach.npy")[0, i, k]        |dL_i/dh_k| of the first state
 * States and gates come in the ledger's order, weights in that of the params. NaN where there is no
 * number: of a weight that is not used, of units that a narrower state has not. */
typedef enum sq_report_table {
    SQ_TABLE_TOTAL,          /* [states,T]         |dL/dh_t| */
    SQ_TABLE_IMMEDIATE,      /* [states,T]         |dl_t/dh_t| */
    SQ_TABLE_COSINE,         /* [states,T]         of both; needs `values` */
    SQ_TABLE_UNITS,          /* [states,units,T]   the total of each; needs `values` */
    SQ_TABLE_REACH,          /* [states,losses,T]  |dL_i/dh_k| */
    SQ_TABLE_WEIGHTS,        /* [weights,T]        |dL/dW|_(t)| */
    SQ_TABLE_WEIGHT_COSINE,  /* [weights,T]        of that and dL/dW */
    SQ_TABLE_WEIGHT_OUTSIDE, /* [weights]          through uses outside the steps */
    SQ_TABLE_WEIGHT_WHOLE,   /* [weights]          |dL/dW| */
    SQ_TABLE_WEIGHT_FAR,     /* [weights]          the share from far back */
    SQ_TABLE_GATE_MEAN,      /* [gates,T]          and so on, as sq_gate_statistics */
    SQ_TABLE_GATE_DEVIATION, /* [gates,T] */
    SQ_TABLE_GATE_SATURATED, /* [gates,T] */
    SQ_TABLE_GATE_GRADIENT,  /* [gates,T] */
    SQ_TABLE_SINGULAR,       /* [n_singular,T] */
    SQ_TABLE_LYAPUNOV,       /* [n_lyapunov] */
    SQ_N_TABLES
} sq_report_table;

/* The bytes of a .npy file (core/npy.h): doubles, the lowest byte first. Writes at most n of them, no
 * final 0, and returns how many it wanted: ask with n = 0 first. 0 for NULL, without a ledger, and
 * for a table that the CSV leaves out. Nothing is allocated, nothing can fail. Cost: the numbers
 * of the table once or twice. */
SQ_API size_t sq_report_npy(const sq_report *r, sq_report_table table, void *buf, size_t n);

SQ_END_DECLS

#endif
