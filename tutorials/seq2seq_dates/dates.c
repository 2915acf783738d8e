/* dates.c -- a calendar, and a table of forms: %d day, %o 3rd, %n month as a number, %m march,
 * %a mar, %y year; anything else stands for itself. */
#include "dates.h"

#include <seqgrad/seqgrad.h>

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *const forms[N_FORMS] = { "%d %m %y",    "%m %d, %y", "%d %a %y", "%a %d, %y",
                                            "%o of %m %y", "%m %o, %y", "%d.%n.%y" };

const char *const form_examples[N_FORMS] = {
    "3 march 2021",      "march 3, 2021",   "3 mar 2021", "mar 3, 2021",
    "3rd of march 2021", "march 3rd, 2021", "3.3.2021",
};

static const char *const months[12] = { "january",   "february", "march",    "april",
                                        "may",       "june",     "july",     "august",
                                        "september", "october",  "november", "december" };

static const char inputs[N_INPUT + 1] = " ,.0123456789abcdefghijlmnoprstuvy";
static const char outputs[N_OUTPUT] = "0123456789-";

/* ---- The calendar ------------------------------------------------------------------------ */

static int leap(int year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

static int month_days(int year, int month)
{
    static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    return days[month - 1] + (month == 2 ? leap(year) : 0);
}

int64_t days_count(void)
{
    int64_t n = 0;
    for (int year = FIRST_YEAR; year <= LAST_YEAR; year++) n += 365 + leap(year);
    return n;
}

date date_of(int64_t day)
{
    date d = { FIRST_YEAR, 1, 1 };
    while (day >= 365 + leap(d.year)) day -= 365 + leap(d.year++);
    while (day >= month_days(d.year, d.month)) day -= month_days(d.year, d.month++);
    d.day = 1 + (int)day;
    return d;
}

bool day_held_out(int64_t day)
{
    static const uint64_t seed = 0xda7e5;
    return sq_random_bits(sq_random_stream(seed, 0, 0, 0), (uint64_t)day, 0) % 10 == 0;
}

/* ---- Writing ----------------------------------------------------------------------------- */

static const char *ending(int day)
{
    static const char *const of_digit[4] = { "th", "st", "nd", "rd" };
    return day / 10 == 1 || day % 10 > 3 ? "th" : of_digit[day % 10];
}

/* What a letter behind % stands for. */
static void put(char letter, date d, char out[TEXT_MAX])
{
    const char *month = months[d.month - 1];
    switch (letter) {
    case 'd': snprintf(out, TEXT_MAX, "%d", d.day); break;
    case 'o': snprintf(out, TEXT_MAX, "%d%s", d.day, ending(d.day)); break;
    case 'n': snprintf(out, TEXT_MAX, "%d", d.month); break;
    case 'm': snprintf(out, TEXT_MAX, "%s", month); break;
    case 'a': snprintf(out, TEXT_MAX, "%.3s", month); break;
    default: snprintf(out, TEXT_MAX, "%d", d.year); break;
    }
}

void date_write(date d, int form, char text[TEXT_MAX])
{
    size_t n = 0;
    for (const char *f = forms[form]; *f; f++) {
        char part[TEXT_MAX] = { *f, 0 };
        if (*f == '%') put(*++f, d, part);
        n += (size_t)snprintf(text + n, TEXT_MAX - n, "%s", part);
    }
}

void date_write_iso(date d, char text[TEXT_MAX])
{
    snprintf(text, TEXT_MAX, "%04d-%02d-%02d", d.year, d.month, d.day);
}

/* ---- Symbols ----------------------------------------------------------------------------- */

static int32_t place_in(const char *known, char c)
{
    const char *at = c ? strchr(known, c) : NULL;
    return at ? (int32_t)(at - known) : -1;
}

int32_t input_symbol(char c) { return place_in(inputs, (char)tolower((unsigned char)c)); }
int32_t output_symbol(char c) { return c ? place_in(outputs, c) : OUT_END; }
char output_char(int32_t symbol) { return symbol < OUT_END ? outputs[symbol] : 0; }
