/* report_text.c -- text into a caller's buffer: names made harmless, numbers to six digits.
 *
 * A page holds some 350000 numbers, so digits come from arithmetic in double where that is sure to
 * round as printf does, and from printf itself near a tie. printf's decimal point follows the
 * locale: digits are taken out of "%.5e" one by one, whatever stands between them. */
#include "graph/report_impl.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sqi_put_bytes(sqi_sink *s, const char *bytes, size_t n)
{
    size_t used = s->length < s->n ? s->length : s->n, room = s->n - used;
    if (room) memcpy(s->buf + used, bytes, n < room ? n : room);
    s->length += n;
}

void sqi_put(sqi_sink *s, const char *text) { sqi_put_bytes(s, text, strlen(text)); }

void sqi_putf(sqi_sink *s, const char *fmt, ...)
{
    size_t used = s->length < s->n ? s->length : s->n;
    va_list args;
    va_start(args, fmt);
    int written = vsnprintf(s->n > used ? s->buf + used : NULL, s->n - used, fmt, args);
    va_end(args);
    s->length += written > 0 ? (size_t)written : 0;
}

size_t sqi_put_end(sqi_sink *s)
{
    if (s->n) s->buf[s->length < s->n ? s->length : s->n - 1] = '\0';
    return s->length;
}

/* ---- Names ---------------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at p, 0 when it is none. Overlong forms, surrogates and what lies
 * beyond U+10FFFF are none. */
static size_t utf8(const char *p)
{
    const unsigned char *u = (const unsigned char *)p;
    size_t n = u[0] < 0x80   ? 1
               : u[0] < 0xC2 ? 0
               : u[0] < 0xE0 ? 2
               : u[0] < 0xF0 ? 3
               : u[0] < 0xF5 ? 4
                             : 0;
    for (size_t i = 1; i < n; i++)
        if ((u[i] & 0xC0) != 0x80) return 0;
    bool bad = (u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F) ||
               (u[0] == 0xF0 && u[1] < 0x90) || (u[0] == 0xF4 && u[1] > 0x8F);
    return bad ? 0 : n;
}

typedef struct substitute {
    char c;
    const char *text;
} substitute;

/* What stands for a character that would be taken for something else there. */
static const char *substitute_of(char c, sqi_quoting how)
{
    static const substitute xml[] = { { '<', "&lt;" },   { '>', "&gt;" },   { '&', "&amp;" },
                                      { '"', "&quot;" }, { '\'', "&#39;" }, { 0, NULL } };
    static const substitute json[] = { { '"', "\\\"" },    { '\\', "\\\\" },
                                       { '<', "\\u003c" }, { '>', "\\u003e" },
                                       { '&', "\\u0026" }, { 0, NULL } };
    static const substitute dot[] = {
        { '"', "\\\"" }, { '\\', "\\\\" }, { '&', "&amp;" }, { 0, NULL }
    };
    static const substitute csv[] = { { '"', "\"\"" }, { 0, NULL } };
    static const substitute none[] = { { 0, NULL } };
    static const substitute *const of[] = { none, none, xml, csv, json, dot };
    const substitute *s = of[how];
    while (s->c && s->c != c) s++;
    return s->text;
}

void sqi_put_name(sqi_sink *s, const char *name, sqi_quoting how)
{
    bool quoted = how == SQI_CSV && strpbrk(name, ",\" \t\r\n");
    if (quoted) sqi_put(s, "\"");
    while (*name) {
        size_t n = utf8(name);
        const char *other = substitute_of(*name, how);
        bool control = (unsigned char)*name < ' ' || *name == 0x7F;
        if (n == 0) sqi_put(s, how == SQI_ASCII ? "?" : "\xEF\xBF\xBD");
        else if (control) sqi_put(s, " ");
        else if (other) sqi_put(s, other);
        else if (n > 1 && how == SQI_ASCII) sqi_put(s, "?");
        else sqi_put_bytes(s, name, n);
        name += n ? n : 1;
    }
    if (quoted) sqi_put(s, "\"");
}

/* ---- Numbers -------------------------------------------------------------------------------- */

static void digits_by_printf(double v, sqi_decimal *d)
{
    char text[SQI_NUMBER_TEXT];
    (void)snprintf(text, sizeof text, "%.*e", SQI_DIGITS - 1, v);
    const char *p = text;
    for (d->digits = 0; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9') d->digits = d->digits * 10 + (*p - '0');
    d->exponent = *p ? atoi(p + 1) : 0;
}

/* v 10^k: powers to 10^22 are exact, so each of at most 15 factors adds half a unit in the last
 * place, 6e-11 of a number below 10^6. */
static double scaled(double v, int k)
{
    static const double power[] = { 1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
    for (; k > 22; k -= 22) v *= 1e22;
    for (; k < -22; k += 22) v /= 1e22;
    return k < 0 ? v / power[-k] : v * power[k];
}

/* False near a tie, where the rounding errors could decide. */
static bool digits_by_arithmetic(double v, sqi_decimal *d)
{
    int e = (int)floor(log10(v));
    double x = scaled(v, SQI_DIGITS - 1 - e), n = floor(x), over = x - n;
    if (n < 1e5 || n >= 999999 || fabs(over - .5) < 1e-7) return false;
    d->digits = (int32_t)n + (over > .5);
    d->exponent = e;
    return true;
}

sqi_decimal sqi_decimal_of(double v)
{
    sqi_decimal d = { .sort = isnan(v)   ? SQI_NAN
                              : isinf(v) ? SQI_INFINITE
                                         : SQI_FINITE,
                      .negative = v < 0 };
    if (d.sort != SQI_FINITE || v == 0) return d;
    if (!digits_by_arithmetic(fabs(v), &d)) digits_by_printf(fabs(v), &d);
    return d;
}

/* The digits with a point after the first `before`, without zeros at the end. */
static char *write_digits(char *out, int32_t digits, int before)
{
    char d[SQI_DIGITS];
    int n = SQI_DIGITS;
    for (int i = n - 1; i >= 0; i--, digits /= 10) d[i] = (char)('0' + digits % 10);
    while (n > 1 && d[n - 1] == '0') n--;
    if (before <= 0) {
        *out++ = '0';
        *out++ = '.';
        for (int i = before; i < 0; i++) *out++ = '0';
    }
    for (int i = 0; i < n || i < before; i++) {
        if (i == before && i > 0) *out++ = '.';
        *out++ = i < n ? d[i] : '0';
    }
    return out;
}

const char *sqi_number_text(double v, char buf[SQI_NUMBER_TEXT])
{
    sqi_decimal d = sqi_decimal_of(v);
    char *p = buf;
    if (d.negative) *p++ = '-';
    if (d.sort == SQI_NAN) return strcpy(buf, "nan");
    if (d.sort == SQI_INFINITE) return strcpy(p, "inf"), buf;
    if (!d.digits) return strcpy(buf, "0");
    bool plain = d.exponent >= -4 && d.exponent < SQI_DIGITS;
    p = write_digits(p, d.digits, plain ? d.exponent + 1 : 1);
    *p = '\0';
    if (!plain) (void)snprintf(p, 16, "e%c%02d", d.exponent < 0 ? '-' : '+', abs(d.exponent));
    return buf;
}

void sqi_put_number(sqi_sink *s, double v)
{
    char text[SQI_NUMBER_TEXT];
    sqi_put(s, sqi_number_text(v, text));
}

void sqi_put_tenths(sqi_sink *s, double v)
{
    long long n = llround(v * 10), a = n < 0 ? -n : n;
    sqi_putf(s, a % 10 ? "%s%lld.%lld" : "%s%lld", n < 0 ? "-" : "", a / 10, a % 10);
}
