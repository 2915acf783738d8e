/* bars.c -- a bar is as long as a logarithm. */
#define _XOPEN_SOURCE 700 /* isatty, nl_langinfo */

#include "bars.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 79, MAX_BAR = 30 };

int bar_width(int n, int before)
{
    int width = (LINE - before) / n - BAR_NUMBER - 1;
    return width < MAX_BAR ? width : MAX_BAR;
}

static bool blocks_wanted(void)
{
    setlocale(LC_CTYPE, "");
    return isatty(STDOUT_FILENO) && !strcmp(nl_langinfo(CODESET), "UTF-8");
}

/* A bar of `share` of `width` characters; returns how many it took. */
static int draw_bar(double share, int width, bool blocks)
{
    static const char *const eighth[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█" };
    int parts = blocks ? 8 : 1, length = (int)lround(share * width * parts), used = 0;
    if (length == 0 && share > 0) length = 1;
    for (; length > 0; length -= parts, used++)
        fputs(blocks ? eighth[length > 8 ? 8 : length] : "#", stdout);
    return used;
}

/* " 1.2e-05 ####      ", with the blanks left away at the end of a line. */
void bar_cell(double v, int lo, int hi, int width, bool last)
{
    double share = v > 0 ? (log10(v) - lo) / (hi - lo) : 0;
    char number[32];
    snprintf(number, sizeof number, v > 0 ? "%.1e" : "%g", v);
    printf(" %-*s", BAR_NUMBER, number);
    int used = draw_bar(fmin(fmax(share, 0), 1), width, blocks_wanted());
    if (!last) printf("%*s", width - used, "");
}
