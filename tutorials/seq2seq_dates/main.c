/* seq2seq_dates -- "3 march 2021" to "2021-03-03".
 *
 *     seq2seq_dates                                   learns, is tested on unseen dates, shows a map
 *     seq2seq_dates --save dates.safetensors
 *     seq2seq_dates --load dates.safetensors --input "March 3, 2021"
 *
 * To learn seqgrad, read model.c (an encoder, attention and a decoder from ready parts), train.c
 * (teacher forcing) and translate.c (beam search; reading named values of an unroll). */
#include "model.h"
#include "options.h"
#include "test.h"
#include "train.h"
#include "translate.h"
#include "../common/files.h"
#include "../common/say.h"
#include "../common/weights.h"

#include <stdio.h>
#include <string.h>

/* ---- A network, trained or loaded ----------------------------------------------------------- */

static model *load(options *o)
{
    sq_bundle *b = weights_open(o->load);
    int64_t hidden = weights_count(b, o->load, "hidden", 1, 1024);
    const char *name = weights_text(b, o->load, "attention");
    int kind = attention_kind(name);
    if (kind < 0) die("%s is damaged: there is no attention \"%s\"", o->load, name);
    options_adopt(o, hidden, (sq_attention_kind)kind);
    model *m = model_new(o->hidden, o->kind, (uint64_t)o->seed);
    weights_take(b, m->params);
    return m;
}

static void save(const model *m, const options *o)
{
    weights_setting s[3] = { { "hidden", "" }, { "attention", "" }, { 0 } };
    snprintf(s[0].value, sizeof s[0].value, "%lld", (long long)m->hidden);
    snprintf(s[1].value, sizeof s[1].value, "%s", attention_name(o->kind));
    weights_save(o->save, m->params, s);
}

static model *learn(const options *o)
{
    model *m = model_new(o->hidden, o->kind, (uint64_t)o->seed);
    printf("GRUs of %lld units, %s attention: %lld weights\n", (long long)o->hidden,
           attention_name(o->kind), (long long)sq_params_size(m->params));
    printf("%lld updates of %lld dates; one day in ten is never seen\n", (long long)o->updates,
           (long long)o->batch);
    fflush(stdout);
    double seconds = train(m, o);
    printf("learned in %.1f s\n", seconds);
    save(m, o);
    return m;
}

/* ---- The test ------------------------------------------------------------------------------- */

static double share(int64_t n, int64_t of) { return of ? 100. * (double)n / (double)of : 0; }

static void show_scores(const result *r, const options *o)
{
    int64_t n[N_FORMS + 1] = { 0 }, greedy[N_FORMS + 1] = { 0 }, beam[N_FORMS + 1] = { 0 };
    for (int64_t i = 0; i < r->n; i++)
        for (int k = 0; k < 2; k++) {
            int at = k ? N_FORMS : r->form[i];
            n[at]++;
            greedy[at] += !strcmp(r->greedy[i], r->truth[i]);
            beam[at] += !strcmp(r->beam[i], r->truth[i]);
        }
    printf("\n%lld unseen dates, right in every character:\n\n  %-20s %6s %9s %9s %lld\n",
           (long long)r->n, "", "dates", "greedy", "beam of", (long long)o->beam);
    for (int k = 0; k <= N_FORMS; k++)
        printf("  %-20s %6lld %8.2f%% %8.2f%%\n", k < N_FORMS ? form_examples[k] : "all",
               (long long)n[k], share(greedy[k], n[k]), share(beam[k], n[k]));
}

/* The first of each form, and the mistakes, up to a few. */
static void show_samples(const result *r)
{
    enum { MISTAKES = 5 };
    int wrong = 0;
    puts("");
    for (int64_t i = 0; i < r->n && i < N_FORMS; i++)
        printf("  %-24s %-12s %s\n", r->texts[i], r->greedy[i],
               strcmp(r->greedy[i], r->truth[i]) ? "wrong" : "right");
    for (int64_t i = N_FORMS; i < r->n && wrong < MISTAKES; i++)
        if (strcmp(r->greedy[i], r->truth[i]) && ++wrong)
            printf("  %-24s %-12s wrong\n", r->texts[i], r->greedy[i]);
}

static void write_csv(const result *r, const char *path)
{
    if (!file_wanted(path)) return;
    FILE *out = file_open(path);
    fputs("text,truth,greedy,beam\n", out);
    for (int64_t i = 0; i < r->n; i++)
        fprintf(out, "\"%s\",%s,%s,%s\n", r->texts[i], r->truth[i], r->greedy[i], r->beam[i]);
    file_close(out, path);
}

/* The test, and one date from near: the one asked for, or the first of the test. */
static void examine(const model *m, const options *o)
{
    result r = test(m, o);
    show_scores(&r, o);
    show_samples(&r);
    write_csv(&r, o->csv);
    puts("");
    translate(m, o, o->input ? o->input : r.texts[0]);
    result_free(&r);
}

int main(int argc, char **argv)
{
    options o = options_read(argc, argv);
    if (o.help || o.examples) {
        if (o.help) options_help();
        else train_examples(&o);
        file_end_stdout();
        return 0;
    }
    file_check_all((const char *const[]){ o.save, o.csv, o.svg, NULL });
    model *m = o.load ? load(&o) : NULL;
    options_settle(&o);
    if (!m) m = learn(&o);
    bool test_it = !o.load || !o.input;
    if (test_it) examine(m, &o);
    else translate(m, &o, o.input);
    file_tell(o.svg);
    if (test_it) file_tell(o.csv);
    if (!o.load) file_tell(o.save);
    file_end_stdout();
    model_free(m);
    return 0;
}
