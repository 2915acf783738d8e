/* dates.h -- the days from 1900 to 2099, the ways in which people write them, and one in which
 * machines do; which of them nobody may learn from.
 *
 * A day is a number, 0 for the first of January 1900. All writing is in small letters. */
#ifndef DATES_H
#define DATES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct date {
    int year, month, day;
} date;

enum {
    FIRST_YEAR = 1900,
    LAST_YEAR = 2099,
    N_FORMS = 7,
    TEXT_MAX = 64, /* characters of an input, with the 0 at its end */
    N_INPUT = 34,  /* different characters in human dates */
    N_OUTPUT = 12, /* in "2021-03-03": ten digits, '-', and the end */
    OUT_END = 11,  /* the symbol that says that it ends */
    OUT_START = N_OUTPUT,
    OUT_STEPS = 11 /* 10 characters and the end */
};

/* Each form is told by what the 3rd of March 2021 looks like in it. With dots the day comes
 * first; no form has a year of two digits, or slashes, so that each means one day only. */
extern const char *const form_examples[N_FORMS];

int64_t days_count(void);
date date_of(int64_t day);

/* One day in ten is held out: no training ever sees it, in whichever form. Which ones does not
 * depend on any seed, so that a saved network can be tested, too. */
bool day_held_out(int64_t day);

/* The date as a person writes it, and as a machine does: "2021-03-03". */
void date_write(date d, int form, char text[TEXT_MAX]);
void date_write_iso(date d, char text[TEXT_MAX]);

/* The number of a character of a human date, 0 to N_INPUT - 1; -1 for any other. Capitals are
 * taken for small letters. */
int32_t input_symbol(char c);

/* The symbol of a character of an ISO date, and back; the end is 0. */
int32_t output_symbol(char c);
char output_char(int32_t symbol);

#endif
