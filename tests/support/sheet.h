/* sheet.h -- a report of numbers given by formulas, of any length, without a tape: what the forms
 * of a report do with many steps, with vanished, exploded and broken numbers, with hostile names. */
#ifndef TESTS_SUPPORT_SHEET_H
#define TESTS_SUPPORT_SHEET_H

#include "graph/report_impl.h"

typedef enum sheet_kind {
    SHEET_PLAIN, /* an LSTM: h vanishes by .93 a step, c by .985; 64 units, 6 gates, 12 weights */
    SHEET_WILD,  /* explodes to infinity, then NaN; exact zeros; names with markup in them */
    SHEET_SMALL, /* states alone */
    SHEET_STACK  /* such of two layers */
} sheet_kind;

typedef struct made_sheet {
    sqi_sheet sheet; /* first, so that a table finds the rest */
    sq_report report;
    sheet_kind kind;
    int64_t units;
} made_sheet;

void sheet_make(made_sheet *m, sheet_kind kind, int64_t steps, int64_t units);

/* The text of a form, to be freed. */
char *sheet_text(const made_sheet *m, void (*form)(const sqi_sheet *s, sqi_sink *out));

#endif
