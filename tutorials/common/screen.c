/* screen.c -- the locale says what the characters are, the file descriptor who reads them. */
#define _XOPEN_SOURCE 700 /* isatty, nl_langinfo */

#include "screen.h"

#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool screen_utf8(void)
{
    setlocale(LC_CTYPE, "");
    return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

bool screen_ascii(bool asked) { return asked || !isatty(STDOUT_FILENO) || !screen_utf8(); }

bool screen_colour(void)
{
    const char *term = getenv("TERM"), *objection = getenv("NO_COLOR");
    bool wanted = !objection || !*objection;
    return wanted && isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0;
}
