/* progress.h -- the progress line on stderr.
 *
 * Begin, one call per update, end; skip where something else took time. It decides itself when
 * to draw, so calls are cheap. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    int64_t total, first; /* updates in all; made before this run */
    double characters;    /* of one update */
    bool shown, live;     /* at all; redrawn in place because stderr is a terminal */
    double began, mark, drawn;
    double busy;      /* seconds of training alone */
    double loss;      /* running mean, nats per character */
    int64_t averaged; /* updates in it */
    int64_t told;     /* tenths told so far, where it is not a terminal */
} progress;

/* Seconds since some moment. */
double progress_now(void);

progress progress_begin(int64_t first, int64_t total, int64_t characters, bool quiet);
void progress_step(progress *p, int64_t done, double loss);
/* What happened since the last step was no training. */
void progress_skip(progress *p);
/* Clears the line, so that something else can be printed. */
void progress_clear(progress *p);
/* Characters trained on per second. */
double progress_speed(const progress *p, int64_t done);

#endif
