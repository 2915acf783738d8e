/* report.h -- what a ledger holds, for eyes and for other programs.
 *
 * One set of numbers, five forms that agree digit by digit: a heat map in the terminal, CSV,
 * .npy, an SVG picture, and one HTML page that needs no network and no script from outside. The
 * library writes into memory; files are the caller's (sq_write_file does it atomically). */
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
    const double *singular;  /* [T][n_singular] singular values of dh_t/dh_(t-1), or NULL */
    int64_t n_singular;
    const double *lyapunov; /* [n_lyapunov] exponents, or NULL */
    int64_t n_lyapunov;
    bool ascii;      /* terminal: no other characters */
    bool colour;     /* terminal: ANSI colours */
    int32_t columns; /* terminal: width; 0: 80 */
} sq_report;

/* Each writes at most n bytes with the final 0 and returns the length it wanted, like snprintf; the
 * text of a page is as long as the numbers are many: ask with n = 0 first. "" for NULL. */
SQ_API size_t sq_report_terminal(const sq_report *r, char *buf, size_t n);
SQ_API size_t sq_report_csv(const sq_report *r, char *buf, size_t n);
SQ_API size_t sq_report_svg(const sq_report *r, char *buf, size_t n);
SQ_API size_t sq_report_html(const sq_report *r, char *buf, size_t n);

/* The .npy form of a [rows][cols] table of doubles: the T x n_states norms of a ledger, the reach
 * table, anything. Binary: returns the bytes it wanted. */
SQ_API size_t sq_npy(const double *values, int64_t rows, int64_t cols, void *buf, size_t n);

SQ_END_DECLS

#endif
