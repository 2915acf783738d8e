/* progress.c -- one line that is redrawn at most twenty times a second:
 *
 *     GRU    [###########.......]  251/400  loss 0.114    rate 0.0034   0.8 s left
 *
 * Where stderr is not a terminal (a log, a test) four plain lines tell the same. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, isatty */

#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 18, LINE = 79 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

progress progress_begin(const char *title, int64_t total, bool quiet)
{
    const char *term = getenv("TERM");
    bool live = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    return (progress){
        .title = title, .total = total, .shown = !quiet, .live = live, .began = now()
    };
}

static void draw(const progress *p, int64_t done, const char *what, double left)
{
    char bar[WIDTH + 1], line[2 * LINE];
    int full = (int)(done * WIDTH / p->total);
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)full);
    bar[WIDTH] = 0;
    snprintf(line, sizeof line, "%-6s [%s] %4lld/%lld  %s %.*f s left", p->title, bar,
             (long long)done, (long long)p->total, what, left < 10, left);
    fprintf(stderr, p->live ? "\r%.*s\033[K" : "%.*s\n", LINE, line);
    fflush(stderr);
}

void progress_work(progress *p, int64_t done, const char *what)
{
    if (!p->shown) return;
    double t = now(), left = (t - p->began) / (double)done * (double)(p->total - done);
    int64_t quarter = 4 * done / p->total;
    bool due = p->live ? t - p->drawn > .05 || done == p->total : quarter > p->told;
    if (!due) return;
    p->drawn = t;
    p->told = quarter;
    draw(p, done, what, left);
}

void progress_step(progress *p, int64_t done, double loss, double rate)
{
    char what[64];
    snprintf(what, sizeof what, "loss %-8.3g rate %-8.2g", loss, rate);
    progress_work(p, done, what);
}

void progress_end(progress *p)
{
    if (p->shown && p->live) fputs("\r\033[K", stderr);
}
