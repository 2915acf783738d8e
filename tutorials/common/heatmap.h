/* heatmap.h -- a table of numbers from 0 to 1 as shades, with a text for every row and column:
 * in the terminal, and as an SVG file (picture.h). */
#ifndef HEATMAP_H
#define HEATMAP_H

#include <stdbool.h>
#include <stdint.h>

/* value [rows,columns]; across and down say what columns and rows are. */
typedef struct heatmap {
    const char *title, *description, *across, *down;
    int64_t rows, columns;
    const char *const *row_names, *const *column_names;
    const double *value;
    bool ascii; /* printed without other characters (screen.h) */
} heatmap;

/* Two or more characters a column, darker for more; rows of names above and at the left. */
void heatmap_print(const heatmap *h);

/* Dies when the file cannot be written; nothing for "none". */
void heatmap_svg(const heatmap *h, const char *path);

#endif
