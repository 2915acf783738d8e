/* progress.h -- the progress bar on stderr.
 *
 * Begin, one call per update, end. The bar decides itself when to draw, so calls are cheap;
 * it is gone from the terminal when it ends. */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *title;
    int64_t total;
    bool shown, live; /* at all; redrawn in place because stderr is a terminal */
    double began, drawn;
    int64_t told; /* quarters told so far, where it is not a terminal */
} progress;

progress progress_begin(const char *title, int64_t total, bool quiet);
void progress_step(progress *p, int64_t done, double loss, double rate);
/* The same of work that is no training; `what` is written in place of the loss. */
void progress_work(progress *p, int64_t done, const char *what);
void progress_end(progress *p);

#endif
