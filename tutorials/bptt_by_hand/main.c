/* bptt_by_hand -- backpropagation through time, as one would do it on a blackboard.
 *
 * A recurrent network of one unit, then one of two, over a few steps: every number of the chain rule
 * under its formula, computed by plain loops (hand.c) and by seqgrad (tape.c), with the difference.
 * The rest: problem and chain (what is computed), show and triangle (the blackboard), paper (its
 * lines), options, file. */
#define _XOPEN_SOURCE 700 /* nl_langinfo */

#include "../common/files.h"
#include "options.h"
#include "show.h"
#include "../common/say.h"
#include "../common/screen.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rounding errors are relative to what was added up on the way. */
static const double precision = 1e-12;

static double largest_of(const chain *c)
{
    const double *v = (const double *)c;
    double most = 1;
    for (size_t i = 0; i < sizeof *c / sizeof *v; i++) most = fmax(most, fabs(v[i]));
    return most;
}

static void introduce(const paper *p)
{
    line(p, "Backpropagation through time, by hand and by the tape");
    puts("");
    line(p, "  ∂  immediate: what something does within its own step");
    line(p, "  d  total: what it does through all later steps, too");
}

/* Prints one network; true when both sides agree. */
static bool show_network(const options *o, int i, bool plain)
{
    const problem *q = &o->network[i];
    chain hand, tape;
    by_hand(&hand, q, o->wrong);
    by_tape(&tape, q, i ? NULL : o->dot, i ? NULL : o->html);
    paper p = { .plain = plain, .allowed = precision * largest_of(&hand) };
    printf("\n");
    line(&p, "======== %s, %d step%s ========", q->units == 1 ? "One unit" : "Two units",
         q->steps, q->steps == 1 ? "" : "s");
    show(&p, q, &hand, &tape);
    puts("");
    line(&p, "%d numbers compared; largest difference %.1g; %s", p.compared, p.largest,
         p.differing ? "marked with ! where they do not agree" : "by hand and tape agree");
    if (p.differing) line(&p, "%d of them do not agree", p.differing);
    return !p.differing;
}

int main(int argc, char **argv)
{
    options o = options_read(argc, argv);
    if (o.help) {
        options_help();
        return 0;
    }
    if (o.dot) file_check(o.dot);
    if (o.html) file_check(o.html);
    bool plain = o.plain || !screen_utf8(), agree = true;
    introduce(&(paper){ .plain = plain });
    for (int i = 0; i < o.n; i++) agree = show_network(&o, i, plain) && agree;
    if (o.dot || o.html) puts("\nIn pictures steps count from 0:");
    if (o.dot) printf("  wrote %s; to see it: dot -Tsvg %s > graph.svg\n", o.dot, o.dot);
    if (o.html) printf("  wrote %s; open it in a browser\n", o.html);
    if (fflush(stdout) || ferror(stdout))
        die("cannot write to standard output: %s", strerror(errno));
    if (!agree) die("by hand and tape differ");
    return 0;
}
