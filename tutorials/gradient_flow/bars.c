/* bars.c -- a bar is as long as a logarithm. */
#include "bars.h"

#include <math.h>
#include <stdio.h>

enum { LINE = 79, MAX_BAR = 30 };

int bar_width(int n, int before)
{
    int width = (LINE - before) / n - BAR_NUMBER - 1;
    return width < MAX_BAR ? width : MAX_BAR;
}

/* A bar of that share of the width; returns how many characters it took. */
static int draw_bar(const bars *b, double share)
{
    static const char *const eighth[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };
    int parts = b->ascii ? 1 : 8, length = (int)lround(share * b->width * parts), used = 0;
    if (length == 0 && share > 0) length = 1;
    for (; length > 0; length -= parts, used++)
        fputs(b->ascii ? "#" : eighth[length > 8 ? 8 : length], stdout);
    return used;
}

void bar_cell(const bars *b, double v, bool last)
{
    double share = v > 0 ? (log10(v) - b->lo) / (b->hi - b->lo) : 0;
    char number[32];
    snprintf(number, sizeof number, v > 0 ? "%.1e" : "%g", v);
    printf(" %-*s", BAR_NUMBER, number);
    int used = draw_bar(b, fmin(fmax(share, 0), 1));
    if (!last) printf("%*s", b->width - used, "");
}
