/* meter.h -- how far a long work is, on stderr: one line redrawn in place on a terminal, ten
 * plain lines elsewhere. */
#ifndef METER_H
#define METER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct meter {
    const char *title;
    int64_t total, done, told;
    bool shown, live;
    double began, drawn;
} meter;

/* `title` must live as long. Quiet ones say nothing. */
meter meter_begin(const char *title, int64_t total, bool quiet);

/* `done` of `total` is done; `note` is what else there is to say. */
void meter_step(meter *m, int64_t done, const char *note);

/* Wipes the line away. */
void meter_end(meter *m);

/* Seconds since some moment. */
double meter_clock(void);

#endif
