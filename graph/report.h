/* report.h -- what a ledger holds, for eyes and for other programs.
 *
 * One set of numbers, four forms that agree digit by digit:
 *     terminal   sparklines and heat maps of so many columns, in Unicode or ASCII
 *     CSV        panel,name,quantity,row,step,value: one number a row
 *     SVG        one picture: |dL/dh_t| of every state as curves and as coloured strips
 *     HTML       one page, no network, no script from outside: the unrolled network coloured by
 *                gradient, a slider through the losses, states, weights, gates, singular values
 * Text forms tell six significant digits, whatever the locale, and "nan", "inf"; the same numbers
 * give the same bytes. Names are quoted as the form needs it. Above 500 steps pages and pictures
 * show 500 columns, of norms the largest, of other numbers the mean, and say so; the CSV has all.
 * The library writes into memory; files are the caller's. A table with all its bits goes to
 * NumPy through sq_npy (core/npy.h). */
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

SQ_END_DECLS

#endif
