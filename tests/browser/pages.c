/* pages.c -- writes the pages and CSV files that browser.py looks at: pages FOLDER. */
#include "tests/support/sheet.h"

#include <stdio.h>
#include <stdlib.h>

static void write_form(const made_sheet *m, const char *folder, const char *name,
                       const char *end, void (*form)(const sqi_sheet *s, sqi_sink *out))
{
    char path[4096];
    char *text = sheet_text(m, form);
    (void)snprintf(path, sizeof path, "%s/%s.%s", folder, name, end);
    FILE *f = text ? fopen(path, "w") : NULL;
    if (!f || fputs(text, f) < 0 || fclose(f)) {
        perror(path);
        exit(1);
    }
    free(text);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        sheet_kind kind;
        int64_t steps, units;
    } pages[] = {
        { "t1", SHEET_PLAIN, 1, 3 },       { "t5", SHEET_PLAIN, 5, 4 },
        { "t50", SHEET_PLAIN, 50, 16 },    { "t500", SHEET_PLAIN, 500, 128 },
        { "t2000", SHEET_PLAIN, 2000, 8 }, { "wild", SHEET_WILD, 60, 0 },
        { "small", SHEET_SMALL, 12, 0 },   { "t0", SHEET_PLAIN, 0, 2 },
        { "stack", SHEET_STACK, 6, 0 },
    };
    if (argc != 2) return 2;
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        made_sheet m;
        sheet_make(&m, pages[i].kind, pages[i].steps, pages[i].units);
        write_form(&m, argv[1], pages[i].name, "html", sqi_html);
        if (pages[i].steps > 60) continue;
        write_form(&m, argv[1], pages[i].name, "svg", sqi_svg);
        write_form(&m, argv[1], pages[i].name, "csv", sqi_csv);
    }
    return 0;
}
