/* papers -- the published results about long lags, run again.
 *
 *     papers list             the rows of the table
 *     papers run NAME...      trains, tests, and puts the paper's numbers beside ours; "all": every row
 *     papers data NAME        writes the task's sequences, to look at and to check
 *
 * To learn seqgrad, read task.c (the tasks), learn.c (training over whole sequences) and balance.c
 * (streaming truncated BPTT). */
#include "show.h"
#include "../common/files.h"
#include "../common/say.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- data -------------------------------------------------------------------------------- */

/* The right answers at one place: "-" where nothing is asked. */
static void print_wanted(const task *k, const batch *b, int64_t i)
{
    if (!b->there[i]) putchar('-');
    else if (b->x) printf("%.6f", (double)b->value[i]);
    else if (!b->set) printf("%d", b->label[i]);
    else
        for (int c = 0; k->out[c]; c++)
            if (b->set[i] >> c & 1) putchar(k->out[c]);
}

/* One line per step: sequence, step, input, what is right after it. */
static void print_sequence(const task *k, const batch *b, int64_t n)
{
    for (int64_t t = 0; t < b->lengths[n]; t++) {
        int64_t i = t * b->rows + n;
        printf("%lld %lld ", (long long)n, (long long)t);
        if (b->x) printf("%.6f %g ", (double)b->x[2 * i], (double)b->x[2 * i + 1]);
        else if (k->in) printf("%c ", k->in[b->symbol[i]]);
        else printf("%d ", b->symbol[i]);
        if (b->asked > 1) print_wanted(k, b, i);
        else if (t == b->lengths[n] - 1) print_wanted(k, b, n);
        else putchar('-');
        putchar('\n');
    }
}

static const row *named(const char *name)
{
    const row *r = row_named(name);
    if (!r) die_usage("there is no row \"%s\": see papers list", name);
    return r;
}

static void data_command(int argc, char **argv)
{
    if (argc < 3 || argv[2][0] == '-') die_usage("data takes the name of a row");
    const row *base = named(argv[2]);
    options o = options_read(argc, argv, 3);
    row r = row_with(base, &o);
    if (!r.task) die_usage("%s has no data", r.name);
    batch b = batch_new(r.task, r.size, o.count);
    batch_fill(r.task, &b, r.size, (uint64_t)o.seed, 0);
    for (int64_t n = 0; n < o.count; n++) print_sequence(r.task, &b, n);
    batch_free(&b);
}

/* ---- run --------------------------------------------------------------------------------- */

static void run_row(record *d, const options *o)
{
    show_setup(&d->r);
    if (!d->r.task) {
        balance(d->r.updates, o->quiet, d->windows);
        show_balance(d);
        return;
    }
    d->results = take((size_t)d->r.seeds, sizeof *d->results);
    for (int64_t i = 0; i < d->r.seeds; i++) {
        d->results[i] = learn(&d->r, (uint64_t)(o->seed + i), (int32_t)o->threads, o->quiet);
        show_training(o->seed + i, &d->results[i], &d->r);
    }
    show_row(d);
}

/* argv[2 ..] up to the first option, or all rows. */
static int names(int argc, char **argv, const row **chosen, int room)
{
    int n = 0;
    for (int i = 2; i < argc && argv[i][0] != '-'; i++) {
        if (n == room) die_usage("these are more than %d rows", room);
        if (strcmp(argv[i], "all") != 0) chosen[n++] = named(argv[i]);
        else
            for (const row *r = rows; r->name && n < room; r++) chosen[n++] = r;
    }
    if (!n) die_usage("run takes names of rows, or all");
    return n;
}

static void run_command(int argc, char **argv)
{
    enum { ROOM = 64 };
    const row *chosen[ROOM];
    int n = names(argc, argv, chosen, ROOM), first = 2;
    while (first < argc && argv[first][0] != '-') first++;
    options o = options_read(argc, argv, first);
    file_check_all((const char *[]){ o.csv, o.svg, NULL });
    record *d = take((size_t)n, sizeof *d);
    for (int i = 0; i < n; i++) d[i].r = row_with(chosen[i], &o);
    for (int i = 0; i < n; i++) run_row(&d[i], &o);
    if (n > 1) show_summary(d, n);
    write_csv(d, n, &o);
    write_picture(d, n, &o);
    file_tell(o.csv);
    for (int i = 0; i < n; i++)
        if (d[i].results) {
            file_tell(o.svg);
            break;
        }
    for (int i = 0; i < n; i++) free(d[i].results);
    free(d);
}

/* ---- The program ------------------------------------------------------------------------- */

static void list_command(int argc)
{
    if (argc > 2) die_usage("list takes nothing more");
    for (const row *r = rows; r->name; r++) printf("%-12s %s\n", r->name, r->title);
}

static bool help_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return true;
    return false;
}

static void help(void)
{
    puts("papers -- published results about long lags, run again\n\n"
         "papers list               the rows of the table\n"
         "papers run NAME...|all    trains, tests, puts the paper's numbers beside\n"
         "papers data NAME          sequences of a task: number, step, input, right answers\n");
    options_help();
}

int main(int argc, char **argv)
{
    if (help_wanted(argc, argv)) help();
    else if (argc < 2) die_usage("say what to do: list, run or data");
    else if (!strcmp(argv[1], "list")) list_command(argc);
    else if (!strcmp(argv[1], "run")) run_command(argc, argv);
    else if (!strcmp(argv[1], "data")) data_command(argc, argv);
    else die_usage("\"%s\" is none of list, run and data", argv[1]);
    file_end_stdout();
    return 0;
}
