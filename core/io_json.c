/* io_json.c -- the JSON of safetensors headers: what may stand next is read, all else refused.
 *
 *     string  "..." with escapes; no bare control character, no lone surrogate, no character 0
 *     count   0 | [1-9][0-9]*
 *
 * A string is decoded where it stands: no escape is shorter than what it means, so the decoded
 * text ends before its closing quote, and the ending 0 has room. */
#include "core/io_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- UTF-8 ------------------------------------------------------------------------------- */

/* Bytes of the sequence of more than one at s, 0 when it is none. By the table of well-formed
 * sequences in chapter 3 of the Unicode standard: the second byte's range depends on the first. */
static size_t sequence(const unsigned char *s, size_t n)
{
    static const struct {
        unsigned char first, last, low, high, length;
    } rows[] = {
        { 0xC2, 0xDF, 0x80, 0xBF, 2 }, { 0xE0, 0xE0, 0xA0, 0xBF, 3 },
        { 0xE1, 0xEC, 0x80, 0xBF, 3 }, { 0xED, 0xED, 0x80, 0x9F, 3 },
        { 0xEE, 0xEF, 0x80, 0xBF, 3 }, { 0xF0, 0xF0, 0x90, 0xBF, 4 },
        { 0xF1, 0xF3, 0x80, 0xBF, 4 }, { 0xF4, 0xF4, 0x80, 0x8F, 4 },
    };
    size_t r = 0, n_rows = sizeof rows / sizeof rows[0];
    while (r < n_rows && !(s[0] >= rows[r].first && s[0] <= rows[r].last)) r++;
    if (r == n_rows || rows[r].length > n) return 0;
    if (s[1] < rows[r].low || s[1] > rows[r].high) return 0;
    for (size_t i = 2; i < rows[r].length; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    return rows[r].length;
}

bool sqi_utf8(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0, length; i < n; i += length)
        if ((length = s[i] < 0x80 ? 1 : sequence(s + i, n - i)) == 0) return false;
    return true;
}

/* Writes a code point that is no surrogate; returns the end. */
static char *encode(char *to, uint32_t c)
{
    if (c < 0x80) {
        *to++ = (char)c;
        return to;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = { 0, 0xC0, 0xE0, 0xF0 };
    *to++ = (char)(lead[more] | c >> (6 * more));
    while (more-- > 0) *to++ = (char)(0x80 | ((c >> (6 * more)) & 0x3F));
    return to;
}

/* ---- Reading ----------------------------------------------------------------------------- */

bool sqi_json_fail(sqi_json *j, const char *problem)
{
    if (!j->problem) j->problem = problem;
    return false;
}

void sqi_json_skip_space(sqi_json *j)
{
    while (j->at < j->end &&
           (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
}

bool sqi_json_next_is(sqi_json *j, char c)
{
    if (j->problem) return false;
    sqi_json_skip_space(j);
    if (j->at == j->end || *j->at != c) return false;
    j->at++;
    return true;
}

bool sqi_json_take(sqi_json *j, char c)
{
    static const struct {
        char c;
        const char *problem;
    } wanted[] = {
        { '{', "{ is missing" },        { '}', "} or , is missing" }, { '[', "[ is missing" },
        { ']', "] or , is missing" },   { ':', ": is missing" },      { ',', ", is missing" },
        { '"', "a string is missing" },
    };
    if (sqi_json_next_is(j, c)) return true;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        if (wanted[i].c == c) (void)sqi_json_fail(j, wanted[i].problem);
    return false;
}

/* Four hexadecimal digits. */
static bool hex4(sqi_json *j, uint32_t *out)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    *out = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        const char *d = j->at < j->end && *j->at ? strchr(digits, *j->at) : NULL;
        if (!d) return sqi_json_fail(j, "\\u needs four hexadecimal digits");
        *out = *out << 4 | (uint32_t)(d - digits) % 16;
    }
    return true;
}

/* What follows \u: one code unit, or two surrogates. */
static bool unicode_escape(sqi_json *j, char **to)
{
    uint32_t c, low;
    if (!hex4(j, &c)) return false;
    if (c == 0) return sqi_json_fail(j, "a string holds the character 0");
    if (c >= 0xDC00 && c <= 0xDFFF) return sqi_json_fail(j, "a surrogate stands alone");
    if (c >= 0xD800 && c <= 0xDBFF) {
        if (j->end - j->at < 2 || j->at[0] != '\\' || j->at[1] != 'u')
            return sqi_json_fail(j, "a surrogate stands alone");
        j->at += 2;
        if (!hex4(j, &low)) return false;
        if (low < 0xDC00 || low > 0xDFFF) return sqi_json_fail(j, "a surrogate stands alone");
        c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
    }
    *to = encode(*to, c);
    return true;
}

/* What follows a backslash. */
static bool escape(sqi_json *j, char **to)
{
    static const char from[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    char c = j->at < j->end ? *j->at++ : '\0';
    if (c == 'u') return unicode_escape(j, to);
    const char *found = c ? strchr(from, c) : NULL;
    if (!found) return sqi_json_fail(j, "a backslash is followed by no escape");
    *(*to)++ = means[found - from];
    return true;
}

bool sqi_json_string(sqi_json *j, char **out)
{
    if (!sqi_json_take(j, '"')) return false;
    char *to = j->at;
    *out = to;
    while (j->at < j->end && *j->at != '"') {
        if ((unsigned char)*j->at < 0x20)
            return sqi_json_fail(j, "a string holds a control character");
        if (*j->at != '\\') *to++ = *j->at++;
        else {
            j->at++;
            if (!escape(j, &to)) return false;
        }
    }
    if (j->at == j->end) return sqi_json_fail(j, "a string does not end");
    j->at++;
    *to = '\0';
    return true;
}

bool sqi_json_count(sqi_json *j, int64_t *out)
{
    if (j->problem) return false;
    sqi_json_skip_space(j);
    const char *start = j->at;
    int64_t n = 0;
    for (; j->at < j->end && *j->at >= '0' && *j->at <= '9'; j->at++)
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *j->at - '0', &n))
            return sqi_json_fail(j, "a number is too large");
    if (j->at == start) return sqi_json_fail(j, "a whole number without a sign is missing");
    if (*start == '0' && j->at - start > 1) return sqi_json_fail(j, "a number begins with 0");
    *out = n;
    return true;
}

/* ---- Writing ----------------------------------------------------------------------------- */

void sqi_buffer_add(sqi_buffer *b, const char *text, size_t n)
{
    if (b->failed || n == 0) return;
    if (n > b->room - b->n) {
        size_t room = (b->room + n) * 2;
        char *data = n < SIZE_MAX / 4 - b->room ? realloc(b->data, room) : NULL;
        b->failed = !data;
        if (b->failed) return;
        b->data = data;
        b->room = room;
    }
    memcpy(b->data + b->n, text, n);
    b->n += n;
}

void sqi_buffer_print(sqi_buffer *b, const char *fmt, ...)
{
    char text[96];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text) b->failed = true;
    else sqi_buffer_add(b, text, (size_t)n);
}

void sqi_buffer_string(sqi_buffer *b, const char *text)
{
    static const char named[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    sqi_buffer_add(b, "\"", 1);
    for (; *text; text++) {
        const char *found = strchr(named, *text);
        if (found) sqi_buffer_print(b, "\\%c", letter[found - named]);
        else if ((unsigned char)*text < 0x20) sqi_buffer_print(b, "\\u%04x", (unsigned)*text);
        else sqi_buffer_add(b, text, 1);
    }
    sqi_buffer_add(b, "\"", 1);
}
