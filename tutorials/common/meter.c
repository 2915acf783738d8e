/* meter.c -- one line, redrawn at most ten times a second:
 *
 *     LSTM, seed 2   [######........]   251/400   loss 0.114     3.1 s left */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, isatty */

#include "meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 14, LINE = 79, PLAIN_LINES = 10 };

double meter_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

meter meter_begin(const char *title, int64_t total, bool quiet)
{
    const char *term = getenv("TERM");
    bool live = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    return (meter){
        .title = title, .total = total, .shown = !quiet, .live = live, .began = meter_clock()
    };
}

static void draw(const meter *m, int64_t done, const char *note, double left)
{
    char bar[WIDTH + 1], line[2 * LINE];
    memset(bar, '.', WIDTH);
    memset(bar, '#', (size_t)(done * WIDTH / m->total));
    bar[WIDTH] = 0;
    snprintf(line, sizeof line, "%-18s [%s] %5lld/%lld  %-16s %.*f s left", m->title, bar,
             (long long)done, (long long)m->total, note, left < 10, left);
    fprintf(stderr, m->live ? "\r%.*s\033[K" : "%.*s\n", LINE, line);
    fflush(stderr);
}

void meter_step(meter *m, int64_t done, const char *note)
{
    m->done = done;
    if (!m->shown || done < 1) return;
    double now = meter_clock();
    double left = (now - m->began) / (double)done * (double)(m->total - done);
    int64_t part = PLAIN_LINES * done / m->total;
    bool due = m->live ? now - m->drawn > .1 || done == m->total : part > m->told;
    if (!due) return;
    m->drawn = now;
    m->told = part;
    draw(m, done, note, left);
}

void meter_end(meter *m)
{
    if (m->shown && m->live) fputs("\r\033[K", stderr);
}
