/* show.h -- what is printed of rows and results, and the two files. */
#ifndef SHOW_H
#define SHOW_H

#include "balance.h"
#include "learn.h"
#include "options.h"

/* A row that was run, with its results. */
typedef struct record {
    row r;
    result *results; /* [r.seeds]; NULL of influence balancing */
    balanced windows[N_WINDOWS];
} record;

void show_setup(const row *r);
void show_training(int64_t seed, const result *x, const row *r);
void show_row(const record *d);
void show_balance(const record *d);
void show_summary(const record *d, int n);

void write_csv(const record *d, int n, const options *o);
void write_picture(const record *d, int n, const options *o);

#endif
