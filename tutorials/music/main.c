/* music -- which keys of a piano come next: a recurrent network over piano rolls.
 *
 *     music train      learns from songs and scores others, beside forecasts that need no network
 *     music sample     continues a song: picture and MIDI file
 *     music chorales   writes the songs that the program makes when it is given none
 *
 * To learn seqgrad, read model.c (ragged batches through a cell) and train.c (the loop). */
#include "baseline.h"
#include "chorale.h"
#include "midi.h"
#include "options.h"
#include "sample.h"
#include "show.h"
#include "train.h"
#include "../common/files.h"
#include "../common/meter.h"
#include "../common/say.h"
#include "../common/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As many as `music chorales` writes by itself. */
static corpus read_corpus(const char *path)
{
    return path ? corpus_read(path) : chorales((const int64_t[N_PARTS]){ 240, 40, 40 }, 1);
}

/* ---- train ------------------------------------------------------------------------------- */

static void show_corpus(const corpus *c, const char *path)
{
    printf("%s\n", path ? path : "chorales made by rules, not by a composer (music chorales)");
    for (int p = 0; p < N_PARTS; p++)
        printf("  %-5s  %5lld songs, %7lld frames to foretell, the longest song has %lld\n",
               part_names[p], (long long)c->part[p].n, (long long)songs_foretold(&c->part[p]),
               (long long)songs_longest(&c->part[p]));
    puts("");
    fflush(stdout);
}

static void write_scores(const songs *s, const double *each, const char *path)
{
    if (!file_wanted(path)) return;
    FILE *out = file_open(path);
    fputs("song,frames,nll\n", out);
    for (int64_t i = 0; i < s->n; i++)
        fprintf(out, "%lld,%lld,%.9g\n", (long long)i + 1, (long long)s->song[i].n - 1,
                each[i]);
    file_close(out, path);
}

static void show_scores(const model *m, const corpus *c, const train_options *o)
{
    const songs *test = &c->part[TEST];
    double *each = take((size_t)test->n, sizeof *each);
    double nll = score(m, test, o->batch, each) / (double)songs_foretold(test);
    puts("NLL per frame of test, in nats (sum over the keys, mean over the frames)");
    for (int k = 0; k < N_BASELINES; k++)
        printf("  %-30s %8.3f\n", baseline_titles[k],
               baseline_nll((baseline)k, &c->part[TRAIN], test));
    printf("  %-30s %8.3f\n\n", o->cell == CELL_LSTM ? "LSTM" : "GRU", nll);
    write_scores(test, each, o->csv);
    free(each);
}

static void train_command(int argc, char **argv)
{
    train_options read = train_options_read(argc, argv);
    const train_options *o = &read;
    int64_t best;
    corpus c = read_corpus(o->data);
    show_corpus(&c, o->data);
    model *m = model_new(o->cell, o->hidden, o->dropout, (uint64_t)o->seed);
    double began = meter_clock();
    train(m, &c, o, &best);
    double seconds = meter_clock() - began;
    printf(
        "%s of width %lld, %lld weights: %lld epochs in %.1f s, the best on valid was %lld\n\n",
        cell_names[o->cell], (long long)o->hidden, (long long)sq_params_size(m->params),
        (long long)o->epochs, seconds, (long long)best);
    show_scores(m, &c, o);
    if (file_wanted(o->save)) model_save(m, o->save);
    file_tell(o->save);
    file_tell(o->csv);
    model_free(m);
    corpus_free(&c);
}

/* ---- sample ------------------------------------------------------------------------------ */

static void sample_command(int argc, char **argv)
{
    sample_options read = sample_options_read(argc, argv);
    const sample_options *o = &read;
    int64_t given;
    model *m = model_load(o->model);
    corpus c = read_corpus(o->data);
    if (o->song > c.part[TEST].n)
        die("there is no song %lld in test, which has %lld", (long long)o->song,
            (long long)c.part[TEST].n);
    song s = sample(m, &c.part[TEST].song[o->song - 1], o, &given);
    if (!o->quiet) show_terminal(&s, given, screen_ascii(o->ascii));
    if (file_wanted(o->svg)) show_svg(&s, given, o->svg);
    if (file_wanted(o->midi)) midi_write(&s, o->speed, o->midi);
    if (file_wanted(o->csv)) show_csv(&s, given, o->csv);
    file_tell(o->svg);
    file_tell(o->midi);
    file_tell(o->csv);
    song_free(&s);
    corpus_free(&c);
    model_free(m);
}

/* ---- chorales ---------------------------------------------------------------------------- */

static void chorales_command(int argc, char **argv)
{
    chorales_options read = chorales_options_read(argc, argv);
    const chorales_options *o = &read;
    corpus c =
        chorales((const int64_t[N_PARTS]){ o->train, o->valid, o->test }, (uint64_t)o->seed);
    FILE *out = file_open(o->out);
    corpus_write(&c, out);
    file_close(out, o->out);
    file_tell(o->out);
    corpus_free(&c);
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
    const char *command = argc > 1 ? argv[1] : "";
    if (help_wanted(argc, argv)) options_help();
    else if (argc < 2) die_usage("say what to do: train, sample or chorales");
    else if (!strcmp(command, "train")) train_command(argc, argv);
    else if (!strcmp(command, "sample")) sample_command(argc, argv);
    else if (!strcmp(command, "chorales")) chorales_command(argc, argv);
    else die_usage("\"%s\" is none of train, sample and chorales", command);
    file_end_stdout();
    return 0;
}
