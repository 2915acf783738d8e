/* files.c -- numbers go beside the CSV: flow.csv, flow_jacobian.csv. A page has one network, so that of
 * several every one has its own: page_rnn.html, page_gru.html; its numbers are page_rnn.csv and
 * page_rnn_total.npy. */
#include "files.h"

#include "../common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const array arrays[N_ARRAYS] = {
    { "total", SQ_TABLE_TOTAL },
    { "immediate", SQ_TABLE_IMMEDIATE },
    { "units", SQ_TABLE_UNITS },
    { "reach", SQ_TABLE_REACH },
    { "weights", SQ_TABLE_WEIGHTS },
    { "gate_mean", SQ_TABLE_GATE_MEAN },
    { "gate_saturated", SQ_TABLE_GATE_SATURATED },
    { "singular", SQ_TABLE_SINGULAR },
};

static output file_of(const char *option, const char *path)
{
    char *copy = take(strlen(path) + 1, 1);
    return (output){ option, strcpy(copy, path) };
}

static output beside(const char *option, const char *path, const char *suffix)
{
    return (output){ option, output_beside(path, suffix) };
}

/* cell: "_lstm" or "". */
static void add_arrays(output *of, const options *o, const char *cell)
{
    for (int i = 0; i < N_ARRAYS; i++) {
        char suffix[64];
        snprintf(suffix, sizeof suffix, "%s_%s.npy", cell, arrays[i].name);
        of[i] = beside("the arrays of --report", o->report, suffix);
    }
}

static void add_pages(files *f, const options *o)
{
    int n = 0;
    for (int kind = 0; kind < N_KINDS; kind++) n += wants_cell(o, cell_kinds[kind].option);
    for (int kind = 0; kind < N_KINDS; kind++) {
        char own[32], page[48], numbers[48];
        const char *name = cell_kinds[kind].option;
        if (!wants_cell(o, name)) continue;
        snprintf(own, sizeof own, "%s%s", n > 1 ? "_" : "", n > 1 ? name : "");
        snprintf(page, sizeof page, "%s.html", own);
        snprintf(numbers, sizeof numbers, "%s.csv", own);
        f->of[FILE_PAGE + kind] =
            n > 1 ? beside("--report", o->report, page) : file_of("--report", o->report);
        f->of[FILE_NUMBERS + kind] = beside("the numbers of --report", o->report, numbers);
        if (o->npy) add_arrays(f->of + FILE_ARRAYS + kind * N_ARRAYS, o, own);
    }
}

files files_of(const options *o)
{
    files f = { 0 };
    bool csv = output_wanted(o->csv);
    if (csv) f.of[FILE_CSV] = file_of("--csv", o->csv);
    if (output_wanted(o->html)) f.of[FILE_HTML] = file_of("--html", o->html);
    if (csv && o->jacobian) f.of[FILE_JACOBIAN] = beside("--jacobian", o->csv, "_jacobian.csv");
    if (csv && o->lyapunov) f.of[FILE_LYAPUNOV] = beside("--lyapunov", o->csv, "_lyapunov.csv");
    if (csv && o->gates) f.of[FILE_GATES] = beside("--gates", o->csv, "_gates.csv");
    if (output_wanted(o->report)) add_pages(&f, o);
    return f;
}

void files_free(files *f)
{
    for (int i = 0; i < N_FILES; i++) free(f->of[i].path);
}

void files_tell(const files *f)
{
    bool any = false;
    for (int i = 0; i < N_FILES; i++) {
        if (!f->of[i].path) continue;
        if (!any) printf("\n");
        any = true;
        output_tell(f->of[i].path);
    }
}
