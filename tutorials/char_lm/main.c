/* char_lm -- a recurrent network learns a text character by character, and goes on writing it.
 *
 * This file is the order of events; the rooms are: options, text (characters and streams), model,
 * train (streaming truncated backpropagation), score (validation), sample, save (files to resume
 * from), progress, stop (Ctrl-C). To learn seqgrad, read model.c, train.c and sample.c. */
#include "options.h"
#include "sample.h"
#include "save.h"
#include "stop.h"
#include "train.h"

#include "../common/say.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- train ------------------------------------------------------------------------------- */

static void show_task(const training *r)
{
    const options *o = r->o;
    const text *s = r->text;
    const char *slash = strrchr(s->path, '/');
    char enters[48];
    snprintf(enters, sizeof enters, "an embedding of %lld", (long long)o->embed);
    printf("%s: %lld characters, %lld different ones; the last %lld are held out\n",
           slash ? slash + 1 : s->path, (long long)s->n, (long long)s->known.n,
           (long long)(s->n - s->n_train));
    printf("%s of width %lld, %lld layer%s, %s: %lld weights\n", cell_names[o->cell],
           (long long)o->hidden, (long long)o->layers, o->layers > 1 ? "s" : "",
           o->embed ? enters : "one-hot", (long long)sq_params_size(r->model->params));
    printf("%lld streams of %lld characters, k1 = %lld, k2 = %lld: %lld updates a pass\n\n",
           (long long)o->batch, (long long)text_stream_length(s, o->batch),
           (long long)r->window, (long long)o->k2, (long long)training_pass(o, s));
    fflush(stdout);
}

/* Where the training ends; dies when it is there already. */
static void settle_updates(options *o, const training *r)
{
    int64_t made = sq_optim_updates(r->optim);
    options_settle_updates(o, training_pass(o, r->text));
    if (made >= o->updates)
        die("%s has made its %lld updates: ask for more with --updates", o->resume,
            (long long)made);
}

static void run_train(options *o)
{
    sq_bundle *saved = o->resume ? save_open(o->resume, o) : NULL;
    text s = text_read(o->path, o->batch);
    if (saved) save_check_text(saved, o->resume, &s);
    if (options_wants_file(o->save)) save_check(o->save, &s);
    training *r = training_new(o, &s);
    if (saved) save_read_training(saved, r);
    sq_bundle_free(saved);
    settle_updates(o, r);

    stop_catch();
    if (!o->quiet) show_task(r);
    train(r);
    if (!o->quiet && !stop_signal()) {
        printf("\nsample --temperature %g:\n\n", o->temperature);
        sample(r->model, o, &s.known);
        printf("\n");
    }
    training_free(r);
    text_free(&s);
}

/* ---- sample ------------------------------------------------------------------------------ */

static void run_sample(const options *o)
{
    options trained = *o;
    sq_bundle *saved = save_open(o->path, &trained);
    vocabulary known = save_vocabulary(saved, o->path);
    sample_check(o, &known);
    model *m = model_new(&trained, known.n);
    save_read_model(saved, m);
    sq_bundle_free(saved);
    double seconds = sample(m, o, &known);
    printf("\n");
    fflush(stdout);
    if (!o->quiet) fprintf(stderr, "%.0f ns per character\n", 1e9 * seconds);
    model_free(m);
}

int main(int argc, char **argv)
{
    options o = options_read(argc, argv);
    if (o.help) {
        options_help();
        return 0;
    }
    if (o.command == TRAIN) run_train(&o);
    else run_sample(&o);
    if (fflush(stdout) || ferror(stdout))
        die("cannot write to standard output: %s", strerror(errno));
    return stop_signal() ? 128 + stop_signal() : 0;
}
