/* paper.h -- what everything is written on: lines of at most 79 columns, in Unicode or in ASCII, and
 * the comparison of two numbers that should be one. */
#ifndef PAPER_H
#define PAPER_H

#include <stdbool.h>

typedef struct paper {
    bool plain;     /* ASCII: "d+" for ∂, "sum" for Σ ... */
    double allowed; /* difference of two numbers that still agree */
    int compared, differing;
    double largest; /* difference so far */
} paper;

/* A line; Unicode in it becomes ASCII where that is wanted. */
void line(const paper *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The same, underlined. */
void heading(const paper *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "  <formula>      by hand     tape    difference", told apart where they differ. */
void compare(paper *p, double hand, double tape, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Only counts; what was printed otherwise. */
void count(paper *p, double hand, double tape);

/* The head over lines of `compare`. */
void columns(void);

#endif
