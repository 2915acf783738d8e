/* options.c -- one row per option (common/flags.h), and the layouts as --help lists them. */
#include "options.h"

#include "../common/flags.h"
#include "../common/say.h"

#include <stdio.h>
#include <string.h>

#define AT(field) offsetof(options, field)

static const flag table[] = {
    { "--from", "LAYOUT", FLAG_TEXT, AT(from), 0, 0,
      "how the weights lie [the one that fits]" },
    { "--from-prefix", "P", FLAG_TEXT, AT(from_prefix), 0, 0,
      "what their names begin with [the layout's own]" },
    { "--cell", "CELL", FLAG_TEXT, AT(cell_name), 0, 0,
      "if tensors do not tell: rnn, lstm, lstm-projected, gru, gru-before" },
    { "--to", "LAYOUT", FLAG_TEXT, AT(to), 0, 0, "the layout to convert to" },
    { "--to-prefix", "P", FLAG_TEXT, AT(to_prefix), 0, 0,
      "what names there begin with [the layout's own]" },
    { "--out", "FILE", FLAG_TEXT, AT(out), 0, 0, "where to write the result" },
    { "--store", "TYPE", FLAG_TEXT, AT(store_name), 0, 0,
      "as F64, F32, F16 or BF16 [the widest read, at least F32]" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "this" },
    { 0 },
};

static const struct {
    const char *name;
    sq_layout_cell cell;
} cells[] = {
    { "rnn", SQ_LAYOUT_RNN },
    { "lstm", SQ_LAYOUT_LSTM },
    { "lstm-projected", SQ_LAYOUT_LSTM_PROJECTED },
    { "gru", SQ_LAYOUT_GRU_AFTER },
    { "gru-before", SQ_LAYOUT_GRU_BEFORE },
};

static sq_layout_cell cell_of(const char *name)
{
    if (!name) return SQ_LAYOUT_ANY;
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        if (!strcmp(cells[i].name, name)) return cells[i].cell;
    die_usage("--cell takes rnn, lstm, lstm-projected, gru or gru-before, not \"%s\"", name);
}

static sq_stored stored_of(const char *name)
{
    static const sq_stored floats[] = { SQ_STORED_F64, SQ_STORED_F32, SQ_STORED_F16,
                                        SQ_STORED_BF16 };
    if (!name) return SQ_STORED_AS_HELD;
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (!strcmp(sq_stored_name(floats[i]), name)) return floats[i];
    die_usage("--store takes F64, F32, F16 or BF16, not \"%s\"", name);
}

static void check_layout(const char *option, const char *name)
{
    for (int32_t i = 0; name && sq_layout_name(i); i++)
        if (!strcmp(sq_layout_name(i), name)) return;
    if (name) die_usage("%s takes a layout, and \"%s\" is none", option, name);
}

options options_read(int argc, char **argv)
{
    options o = { .file = NULL };
    bool named = argc > 1 && argv[1][0] != '-';
    if (named) o.file = argv[1];
    flags_read(table, &o, argc, argv, named ? 2 : 1);
    if (o.help) return o;
    if (!o.file) die_usage("which file?");
    check_layout("--from", o.from);
    check_layout("--to", o.to);
    o.cell = cell_of(o.cell_name);
    o.store = stored_of(o.store_name);
    if (o.out && !o.to) die_usage("--out needs a layout to write: --to");
    if (o.to_prefix && !o.to) die_usage("--to-prefix needs a layout: --to");
    if (o.from_prefix && !o.from) die_usage("--from-prefix needs a layout: --from");
    if (o.store_name && !o.out) die_usage("--store needs a file to write: --out");
    return o;
}

void options_help(void)
{
    puts("import_weights FILE [options]\n"
         "\n"
         "Tells which recurrent network lies in a safetensors file, and writes it as another\n"
         "program would. Layouts:");
    for (int32_t i = 0; sq_layout_name(i); i++)
        printf("%s%s", i ? ", " : "  ", sq_layout_name(i));
    puts(
        "\n"
        "\n"
        "A prefix may say {l} for the layer, 0, 1, ..., and {A|B} for A forward, B backward:\n"
        "  --from keras --from-prefix 'bidirectional_{l}/{forward|backward}_lstm/lstm_cell/'\n");
    flags_help(table);
}
