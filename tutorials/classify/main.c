/* classify -- which of several sources a piece of text is from: many characters to one class.
 *
 *     classify train    learns from files, one per class, and guesses what was held out
 *     classify guess    guesses a text, and shows which characters mattered
 *
 * To learn seqgrad, read model.c (a ragged batch through both directions), train.c (the loop) and
 * guess.c (the gradient of an input). */
#include "bag.h"
#include "data.h"
#include "guess.h"
#include "heat.h"
#include "model.h"
#include "options.h"
#include "train.h"
#include "../common/files.h"
#include "../common/meter.h"
#include "../common/read.h"
#include "../common/say.h"
#include "../common/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- train ------------------------------------------------------------------------------- */

static void show_data(const data *d, bool words)
{
    if (words) puts("Words of the bundled text, the same ones in three forms");
    printf("  %-18.18s %8s %8s %8s\n", "class", "train", "valid", "test");
    for (int32_t k = 0; k < d->n_classes; k++) {
        printf("  %-18.18s", d->name[k]);
        for (int p = 0; p < N_PARTS; p++) {
            long long n = 0;
            for (int64_t i = 0; i < d->part[p].n; i++) n += d->part[p].piece[i].label == k;
            printf(" %8lld", n);
        }
        puts("");
    }
    if (d->seen)
        printf("  left out of valid and test, being in train: %lld\n", (long long)d->seen);
    puts("");
    fflush(stdout);
}

static void show_share(const char *title, int64_t right, int64_t n)
{
    printf("  %-34s %6.2f %%   %lld of %lld\n", title, 100 * (double)right / (double)n,
           (long long)right, (long long)n);
}

/* The class that TRAIN has most of. */
static int64_t largest_class(const data *d)
{
    int64_t n[MAX_CLASSES] = { 0 }, right = 0;
    int32_t most = 0;
    for (int64_t i = 0; i < d->part[TRAIN].n; i++) n[d->part[TRAIN].piece[i].label]++;
    for (int32_t k = 0; k < d->n_classes; k++) most = n[k] > n[most] ? k : most;
    for (int64_t i = 0; i < d->part[TEST].n; i++) right += d->part[TEST].piece[i].label == most;
    return right;
}

/* Rows: what it is; columns, by number: what it was taken for. */
static void show_confusion(const data *d, const int32_t *taken)
{
    int64_t n[MAX_CLASSES][MAX_CLASSES] = { 0 };
    for (int64_t i = 0; i < d->part[TEST].n; i++) n[d->part[TEST].piece[i].label][taken[i]]++;
    printf("\n  %-16s", "taken for");
    for (int32_t k = 0; k < d->n_classes; k++) printf(" %4d", (int)k + 1);
    puts("");
    for (int32_t k = 0; k < d->n_classes; k++) {
        printf("  %2d %-13.13s", (int)k + 1, d->name[k]);
        for (int32_t j = 0; j < d->n_classes; j++) printf(" %4lld", (long long)n[k][j]);
        puts("");
    }
    puts("");
}

/* A field of a table: between quotes where it has a comma, a quote or a carriage return in it. */
static void write_text(FILE *out, const char *text)
{
    bool plain = !strpbrk(text, ",\"\r");
    if (!plain) putc('"', out);
    for (const char *s = text; *s; s++) {
        if (*s == '"') putc('"', out);
        putc(*s, out);
    }
    fputs(plain ? "\n" : "\"\n", out);
}

static void write_csv(const data *d, const int32_t *const taken[3], const char *path)
{
    if (!file_wanted(path)) return;
    FILE *out = file_open(path);
    fputs("class,network,bag,pairs,text\n", out);
    for (int64_t i = 0; i < d->part[TEST].n; i++) {
        fprintf(out, "%d,%d,%d,%d,", (int)d->part[TEST].piece[i].label + 1,
                (int)taken[0][i] + 1, (int)taken[1][i] + 1, (int)taken[2][i] + 1);
        write_text(out, d->part[TEST].piece[i].text);
    }
    file_close(out, path);
}

static void show_scores(const model *m, const data *d, const train_options *o)
{
    const pieces *test = &d->part[TEST], *counted = &d->part[TRAIN];
    int32_t *taken[3];
    char title[64];
    for (int i = 0; i < 3; i++) taken[i] = take((size_t)test->n, sizeof **taken);
    guess_all(m, test, taken[0]);
    for (int width = 1; width <= 2; width++) bag_guess(d, counted, test, width, taken[width]);
    snprintf(title, sizeof title, "%s, %s", o->cell == CELL_LSTM ? "LSTM" : "GRU",
             o->direction == FORWARD ? "one direction" : "both directions");
    puts("right, of what was held out");
    show_share("always the largest class", largest_class(d), test->n);
    show_share("naive Bayes, a bag of letters", count_right(test, taken[1]), test->n);
    show_share("naive Bayes, pairs of neighbours", count_right(test, taken[2]), test->n);
    show_share(title, count_right(test, taken[0]), test->n);
    show_confusion(d, taken[0]);
    write_csv(d, (const int32_t *const[3]){ taken[0], taken[1], taken[2] }, o->csv);
    for (int i = 0; i < 3; i++) free(taken[i]);
}

static void train_command(int argc, char **argv)
{
    train_options o = train_options_read(argc, argv);
    data d = data_read(&o);
    show_data(&d, !o.n_files);
    model *m = model_new(&d,
                         &(model_sizes){ .cell = o.cell,
                                         .direction = o.direction,
                                         .pool = o.pool,
                                         .hidden = o.hidden,
                                         .embed = o.embed,
                                         .piece = o.piece,
                                         .dropout = o.dropout },
                         (uint64_t)o.seed);
    double began = meter_clock();
    best_epoch best = train(m, &d, &o);
    printf("%lld weights, %lld epochs in %.1f s; best on valid: epoch %lld, %.1f %%\n\n",
           (long long)sq_params_size(m->params), (long long)o.epochs, meter_clock() - began,
           (long long)best.epoch, 100 * best.share);
    show_scores(m, &d, &o);
    if (file_wanted(o.save)) model_save(m, o.save);
    file_tell(o.save);
    file_tell(o.csv);
    model_free(m);
    data_free(&d);
}

/* ---- guess ------------------------------------------------------------------------------- */

static pieces read_pieces(const guess_options *o, int64_t longest)
{
    pieces s = { 0 };
    size_t n;
    if (o->text) pieces_cut(&s, o->text, strlen(o->text), longest, 0);
    else {
        char *text = file_read(o->file, &n);
        pieces_cut(&s, text, n, longest, 0);
        free(text);
    }
    if (!s.n) die("%s is empty", o->text ? "the text" : o->file);
    return s;
}

/* Every piece, and what most are taken for. */
static void show_guesses(const model *m, const guess *g, int64_t n, bool ascii)
{
    int64_t votes[MAX_CLASSES] = { 0 };
    for (int64_t i = 0; i < n; i++) {
        votes[g[i].first]++;
        printf("%5.1f %%  %.18s", 100 * g[i].p, m->name[g[i].first]);
        if (!g[i].gradient) {
            fputs("   ", stdout);
            heat_text(g[i].of, 48);
        }
        puts("");
        if (g[i].gradient) heat_terminal(&g[i], ascii);
    }
    puts("");
    for (int32_t k = 0; n > 1 && k < m->n_classes; k++)
        printf("  %-18.18s %6lld of %lld pieces\n", m->name[k], (long long)votes[k],
               (long long)n);
}

static void guess_command(int argc, char **argv)
{
    guess_options o = guess_options_read(argc, argv);
    model *m = model_load(o.model);
    pieces s = read_pieces(&o, m->size.piece);
    int64_t heat = s.n < o.heat ? s.n : o.heat;
    guess *g = guesses_of(m, &s, heat);
    show_guesses(m, g, s.n, screen_ascii(o.ascii));
    if (file_wanted(o.svg)) heat_svg(m, g, heat, o.svg);
    if (file_wanted(o.csv)) heat_csv(g, heat, o.csv);
    file_tell(o.svg);
    file_tell(o.csv);
    guesses_free(g, s.n);
    pieces_free(&s);
    model_free(m);
}

/* ---- The program ------------------------------------------------------------------------- */

static bool help_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return true;
    return false;
}

int main(int argc, char **argv)
{
    if (help_wanted(argc, argv)) options_help();
    else if (argc < 2) die_usage("say what to do: train or guess");
    else if (!strcmp(argv[1], "train")) train_command(argc, argv);
    else if (!strcmp(argv[1], "guess")) guess_command(argc, argv);
    else die_usage("\"%s\" is neither train nor guess", argv[1]);
    file_end_stdout();
    return 0;
}
