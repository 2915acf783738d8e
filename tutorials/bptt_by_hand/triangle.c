/* triangle.c -- at most 6 columns of 10 characters, a label before and a sum behind: 79. */
#include "triangle.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CELL = 10, TEXT = 512 };

static double size_of(const problem *q, const double *term, int weight)
{
    double sum = 0;
    if (q->units == 1) return term[0];
    for (int e = 0; e < entries_of(q, weight); e++) sum += term[e] * term[e];
    return sqrt(sum);
}

static void put_row(const paper *p, const char *label, const char *cells, double sum,
                    bool summed)
{
    if (summed) line(p, " %5s %s │%*.4g", label, cells, CELL, sum);
    else line(p, " %5s %s", label, cells);
}

static void put_cell(char text[TEXT], double v)
{
    size_t used = strlen(text);
    snprintf(text + used, TEXT - used, "%*.4g", CELL, v);
}

static void put_word(char text[TEXT], const char *word)
{
    size_t used = strlen(text);
    snprintf(text + used, TEXT - used, "%*s", CELL, word);
}

static void put_head(const paper *p, const problem *q)
{
    char text[TEXT] = "", word[16];
    for (int k = 1; k <= q->steps; k++) {
        snprintf(word, sizeof word, "k = %d", k);
        put_word(text, word);
    }
    if (q->units == 1) line(p, "       %s │%*s", text, CELL, "sum");
    else line(p, "       %s", text);
}

static void put_rule(const paper *p, int T)
{
    char text[TEXT] = "       ";
    for (int i = 0; i < T * CELL + 1 + 1 + CELL; i++) strcat(text, "─");
    line(p, "%s", text);
}

void triangle(const paper *p, const problem *q, const chain *c, int weight, int window)
{
    bool summed = q->units == 1;
    double column[MAX_STEPS + 1] = { 0 }, all = 0;
    if (!summed) line(p, "|(t,k)|, the norms of the terms of %s:", weight_names[weight]);
    put_head(p, q);
    for (int t = 1; t <= q->steps; t++) {
        char text[TEXT] = "", label[16];
        double row = 0;
        for (int k = 1; k <= q->steps; k++) {
            double v = k <= t ? size_of(q, c->term[weight][t][k], weight) : 0;
            if (k > t) put_word(text, "");
            else if (t - k >= window) put_word(text, "cut off");
            else {
                put_cell(text, v);
                row += v;
                column[k] += v;
            }
        }
        all += row;
        snprintf(label, sizeof label, "t = %d", t);
        put_row(p, label, text, row, summed);
    }
    if (!summed) return;
    char text[TEXT] = "";
    for (int k = 1; k <= q->steps; k++) put_cell(text, column[k]);
    put_rule(p, q->steps);
    put_row(p, "sum", text, all, true);
}
