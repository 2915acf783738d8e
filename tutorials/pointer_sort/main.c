/* pointer_sort -- a network that sorts numbers by pointing at them.
 *
 *     pointer_sort                                  learns, is tested by length, shows where it points
 *     pointer_sort --save sort.safetensors
 *     pointer_sort --load sort.safetensors --input "0.5 0.1 0.7"
 *
 * To learn seqgrad, read model.c (a pointer cell, and a decoder whose symbols are places of the input)
 * and train.c. */
#include "model.h"
#include "options.h"
#include "show.h"
#include "test.h"
#include "train.h"
#include "../common/files.h"
#include "../common/say.h"
#include "../common/weights.h"

#include <stdio.h>

static model *load(options *o)
{
    sq_bundle *b = weights_open(o->load);
    int64_t hidden = weights_count(b, o->load, "hidden", 1, 1024);
    options_adopt(o, hidden, weights_text(b, o->load, "chosen"));
    o->trained[0] = weights_count(b, o->load, "shortest", 1, 100);
    o->trained[1] = weights_count(b, o->load, "longest", 1, 100);
    model *m = model_new(o->hidden, (uint64_t)o->seed);
    weights_take(b, m->params);
    return m;
}

static void save(const model *m, const options *o)
{
    weights_setting s[5] = {
        { "hidden", "" }, { "chosen", "" }, { "shortest", "" }, { "longest", "" }, { 0 }
    };
    snprintf(s[0].value, sizeof s[0].value, "%lld", (long long)m->hidden);
    snprintf(s[1].value, sizeof s[1].value, "%s", options_chosen(o));
    snprintf(s[2].value, sizeof s[2].value, "%lld", (long long)o->shortest);
    snprintf(s[3].value, sizeof s[3].value, "%lld", (long long)o->longest);
    weights_save(o->save, m->params, s);
}

static model *learn(const options *o)
{
    model *m = model_new(o->hidden, (uint64_t)o->seed);
    printf("LSTMs of %lld units: %lld weights; places pointed at before are %s\n",
           (long long)o->hidden, (long long)sq_params_size(m->params),
           o->once ? "masked" : "free to be chosen again");
    printf("%lld updates of %lld sequences of %lld to %lld numbers\n", (long long)o->updates,
           (long long)o->batch, (long long)o->shortest, (long long)o->longest);
    fflush(stdout);
    double seconds = train(m, o);
    printf("learned in %.1f s\n", seconds);
    save(m, o);
    return m;
}

int main(int argc, char **argv)
{
    options o = options_read(argc, argv);
    if (o.help) {
        options_help();
        file_end_stdout();
        return 0;
    }
    file_check_all((const char *const[]){ o.save, o.csv, o.svg, NULL });
    model *m = o.load ? load(&o) : NULL;
    options_settle(&o);
    if (!m) m = learn(&o);
    bool test_it = !o.load || !o.input;
    if (test_it) test(m, &o);
    if (test_it) puts("");
    show(m, &o);
    file_tell(o.svg);
    if (test_it) file_tell(o.csv);
    if (!o.load) file_tell(o.save);
    file_end_stdout();
    model_free(m);
    return 0;
}
