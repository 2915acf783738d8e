/* bars.h -- numbers with logarithmic bars, in columns beside each other.
 *
 * Bars are drawn with eighths of a block, or with #. */
#ifndef BARS_H
#define BARS_H

#include <stdbool.h>

enum { BAR_NUMBER = 8 };

/* How wide the bars of n columns may be when so many characters stand before them. */
int bar_width(int n, int before);

/* How they are drawn: empty at 10^lo, full at 10^hi. */
typedef struct bars {
    int lo, hi, width;
    bool ascii;
} bars;

/* " 1.2e-05 ####      "; without the blanks at the end of a line. */
void bar_cell(const bars *b, double v, bool last);

#endif
