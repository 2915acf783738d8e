/* paper.c -- a line is made in Unicode; each sign that ASCII lacks has a row in the table below. */
#include "paper.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE = 1024, FORMULA = 40, NUMBER = 14, DIFFERENCE = 11 };

/* The first that fits is taken: "/∂h" is no immediate derivative twice over. */
static const struct {
    const char *sign, *plain;
} signs[] = {
    { "/∂", "/d" }, { "∂", "d+" }, { "Σ", "sum" }, { "Π", "prod" }, { "²", "^2" },
    { "≤", "<=" },  { "·", "*" },  { "─", "-" },   { "│", "|" },
};

static void to_plain(char *out, size_t room, const char *text)
{
    size_t used = 0;
    while (*text && used + 8 < room) {
        size_t i = 0, n = sizeof signs / sizeof *signs;
        while (i < n && strncmp(text, signs[i].sign, strlen(signs[i].sign)) != 0) i++;
        if (i == n) {
            out[used++] = *text++;
            continue;
        }
        memcpy(out + used, signs[i].plain, strlen(signs[i].plain));
        used += strlen(signs[i].plain);
        text += strlen(signs[i].sign);
    }
    out[used] = 0;
}

/* Characters, not bytes. */
static int width_of(const char *text)
{
    int n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xC0) != 0x80;
    return n;
}

static void __attribute__((format(printf, 3, 0)))
make(const paper *p, char out[LINE], const char *fmt, va_list args)
{
    char text[LINE];
    vsnprintf(text, sizeof text, fmt, args);
    if (p->plain) to_plain(out, LINE, text);
    else memcpy(out, text, strlen(text) + 1);
}

void line(const paper *p, const char *fmt, ...)
{
    char text[LINE];
    va_list args;
    va_start(args, fmt);
    make(p, text, fmt, args);
    va_end(args);
    puts(text);
}

void heading(const paper *p, const char *fmt, ...)
{
    char text[LINE];
    va_list args;
    va_start(args, fmt);
    make(p, text, fmt, args);
    va_end(args);
    printf("\n%s\n", text);
    for (int i = 0; i < width_of(text); i++) fputs(p->plain ? "-" : "─", stdout);
    puts("");
}

void columns(void)
{
    printf("%*s%*s%*s%*s\n", FORMULA, "", NUMBER, "by hand", NUMBER, "tape", DIFFERENCE,
           "difference");
}

void count(paper *p, double hand, double tape)
{
    double difference = fabs(hand - tape);
    bool agree = difference <= p->allowed; /* false for NaN */
    p->compared++;
    p->differing += !agree;
    if (difference > p->largest || isnan(difference)) p->largest = difference;
}

void compare(paper *p, double hand, double tape, const char *fmt, ...)
{
    char text[LINE], difference[32];
    int before = p->differing;
    va_list args;
    va_start(args, fmt);
    make(p, text, fmt, args);
    va_end(args);
    count(p, hand, tape);
    snprintf(difference, sizeof difference, hand == tape ? "0" : "%s%.0e",
             p->differing > before ? "! " : "", fabs(hand - tape));
    int width = width_of(text);
    if (width > FORMULA) printf("%s\n%*s", text, FORMULA, "");
    else printf("%s%*s", text, FORMULA - width, "");
    printf("%*.7g%*.7g%*s\n", NUMBER, hand, NUMBER, tape, DIFFERENCE, difference);
}
