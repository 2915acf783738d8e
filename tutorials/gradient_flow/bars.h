/* bars.h -- numbers with logarithmic bars, in columns beside each other.
 *
 * Bars are drawn with eighths of a block where the terminal speaks UTF-8, with # everywhere else. */
#ifndef BARS_H
#define BARS_H

#include <stdbool.h>

enum { BAR_NUMBER = 8 };

/* How wide the bars of n columns may be when so many characters stand before them. */
int bar_width(int n, int before);

/* " 1.2e-05 ####      ": a bar empty at 10^lo, full at 10^hi; without the blanks at the end of a line. */
void bar_cell(double v, int lo, int hi, int width, bool last);

#endif
