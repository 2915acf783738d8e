/* import_weights -- the weights of recurrent networks from one program's layout to another's.
 *
 * A file is read, the network in it looked for, and every tensor shown with what it is; with --to the
 * same weights in another layout, and with --out in a file. All knowledge about layouts is the
 * library's (cells/layout.h). */
#include "options.h"
#include "../common/files.h"
#include "../common/say.h"

#include <seqgrad/seqgrad.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sq_bundle *need(sq_bundle *b)
{
    if (!b) die("out of memory");
    if (sq_bundle_status(b)) die("%s", sq_bundle_message(b));
    return b;
}

/* ---- What there is ------------------------------------------------------------------------- */

static const char *shape_text(const sq_tensor *t, char buf[256])
{
    size_t used = (size_t)snprintf(buf, 256, "[");
    for (int32_t i = 0; i < t->rank; i++)
        used += (size_t)snprintf(buf + used, 256 - used, "%s%lld", i ? "," : "",
                                 (long long)t->dim[i]);
    snprintf(buf + used, 256 - used, "]");
    return buf;
}

/* Code points, not bytes: what comes first in each. */
static int columns(const char *utf8)
{
    int n = 0;
    for (; *utf8; utf8++) n += ((unsigned char)*utf8 & 0xC0) != 0x80;
    return n;
}

/* A name of a file is whatever its writer wished: nothing that moves a cursor goes to the terminal. */
static void put_name(const char *name, int width)
{
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        bool high = c[0] == 0xC2 && c[1] < 0xA0; /* U+0080 to U+009F are controls, too */
        putchar(*c < ' ' || *c == 127 || high ? '?' : *c);
        c += high;
    }
    printf("%*s", width - columns(name), "");
}

/* All tensors; of which network some are, unless net is NULL. */
static void show(const sq_bundle *b, const sq_layout *as, const sq_layout_net *net)
{
    char shape[256], what[160];
    int widest = 4;
    for (int64_t i = 0; i < sq_bundle_count(b); i++) {
        int n = columns(sq_bundle_at(b, i)->name);
        if (n > widest) widest = n;
    }
    printf("\n  %-*s  type  %-14s  what it is\n", widest, "name", "shape");
    for (int64_t i = 0; i < sq_bundle_count(b); i++) {
        const sq_tensor *t = sq_bundle_at(b, i);
        if (!net || !sq_layout_describe(as, net, t->name, what, sizeof what))
            snprintf(what, sizeof what, "-");
        printf("  ");
        put_name(t->name, widest);
        printf("  %-4s  %-14s  %s\n", sq_stored_name(t->stored), shape_text(t, shape), what);
    }
}

static void show_net(const char *layout, const sq_layout_net *net)
{
    printf("%s: %s, %d layer%s, %s, %lld inputs, %lld units", layout,
           sq_layout_cell_name(net->cell), (int)net->layers, net->layers == 1 ? "" : "s",
           net->bidirectional ? "both directions" : "one direction", (long long)net->in,
           (long long)net->hidden);
    if (net->projected) printf(" projected to %lld", (long long)net->projected);
    puts(net->biases ? "" : ", no biases");
}

/* ---- Which layout -------------------------------------------------------------------------- */

/* The only layout whose names and shapes fit. */
static const char *guess(sq_bundle *b, const options *o)
{
    const char *fits = NULL, *too = NULL;
    for (int32_t i = 0; sq_layout_name(i); i++) {
        sq_layout_net net;
        const sq_layout as = { sq_layout_name(i), NULL, o->cell };
        bool has = !sq_layout_find(b, &as, &net);
        sq_bundle_clear_error(b);
        if (has && fits) too = as.name;
        else if (has) fits = as.name;
    }
    if (too) die_usage("%s fits %s and %s: say --from", o->file, fits, too);
    if (fits) return fits;
    show(b, NULL, NULL);
    fflush(stdout);
    die_usage("%s has the names of no layout: say --from, and --from-prefix", o->file);
}

/* ---- All of it ----------------------------------------------------------------------------- */

static void write_as(sq_bundle *from, const sq_layout *as, const options *o)
{
    const sq_layout to = { .name = o->to, .prefix = o->to_prefix };
    sq_layout_net net;
    sq_bundle *into = need(sq_bundle_new());
    sq_layout_convert(from, as, into, &to);
    need(from);
    need(into);
    if (o->store) sq_bundle_store_as(into, NULL, o->store);
    const sq_layout again = { to.name, to.prefix, as->cell };
    sq_layout_find(into, &again, &net);
    need(into);
    printf("\n");
    show_net(to.name, &net);
    show(into, &again, &net);
    if (o->out) {
        if (sq_bundle_save(into, o->out)) die("%s", sq_bundle_message(into));
        puts("");
        file_tell(o->out);
    }
    sq_bundle_free(into);
}

int main(int argc, char **argv)
{
    const options o = options_read(argc, argv);
    if (o.help) {
        options_help();
        return 0;
    }
    sq_layout_net net;
    sq_bundle *b = need(sq_bundle_load(o.file));
    sq_layout as = { o.from ? o.from : guess(b, &o), o.from_prefix, o.cell };
    if (sq_layout_find(b, &as, &net)) {
        show(b, NULL, NULL);
        fflush(stdout);
        die("%s", sq_bundle_message(b));
    }
    as.cell = net.cell;
    show_net(as.name, &net);
    show(b, &as, &net);
    if (o.to) write_as(b, &as, &o);
    sq_bundle_free(b);
    file_end_stdout();
    return 0;
}
