/* progress.c -- one line that is redrawn at most ten times a second:
 *
 *     251/400  1.9876 nats  2.8675 bits  312345 characters/s  12 s left
 *
 * Where stderr is not a terminal (a log, a test) ten plain lines tell the same. The loss is the
 * mean of the newest updates: in a plain line of those since the line before. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, isatty */

#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 79, RECENT = 50, PLAIN_LINES = 10 };

static const double nats_per_bit = 0.69314718055994531;

double progress_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

progress progress_begin(int64_t first, int64_t total, int64_t characters, bool quiet)
{
    const char *term = getenv("TERM");
    bool live = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    double now = progress_now();
    return (progress){ .total = total,
                       .first = first,
                       .characters = (double)characters,
                       .shown = !quiet,
                       .live = live,
                       .began = now,
                       .mark = now,
                       .told = PLAIN_LINES * first / total };
}

double progress_speed(const progress *p, int64_t done)
{
    return p->busy > 0 ? (double)(done - p->first) * p->characters / p->busy : 0;
}

static void draw(const progress *p, int64_t done, double left)
{
    char line[2 * LINE], number[24];
    int digits = snprintf(number, sizeof number, "%lld", (long long)p->total);
    snprintf(line, sizeof line,
             "%*lld/%lld  %.4f nats  %.4f bits  %.0f characters/s  %.*f s left", digits,
             (long long)done, (long long)p->total, p->loss, p->loss / nats_per_bit,
             progress_speed(p, done), left < 10, left);
    fprintf(stderr, p->live ? "\r%.*s\033[K" : "%.*s\n", LINE, line);
    fflush(stderr);
}

void progress_step(progress *p, int64_t done, double loss)
{
    double now = progress_now();
    double left = (now - p->began) / (double)(done - p->first) * (double)(p->total - done);
    p->busy += now - p->mark;
    p->mark = now;
    if (!p->live || p->averaged < RECENT) p->averaged++;
    p->loss += (loss - p->loss) / (double)p->averaged;

    int64_t tenth = PLAIN_LINES * done / p->total;
    bool due = p->live ? now - p->drawn > .1 || done == p->total : tenth > p->told;
    if (!p->shown || !due) return;
    p->drawn = now;
    p->told = tenth;
    draw(p, done, left);
    if (!p->live) p->averaged = 0;
}

void progress_skip(progress *p) { p->mark = progress_now(); }

void progress_clear(progress *p)
{
    if (p->shown && p->live) fputs("\r\033[K", stderr);
}
