/* options.c -- the tables of the three commands. */
#include "options.h"

#include "../common/files.h"
#include "../common/flags.h"

#include <stdio.h>

#define SAVE "music.safetensors"

const char *const cell_names[] = { "lstm", "gru", NULL };

#define AT(field) offsetof(train_options, field)
static const flag train_table[] = {
    { "--data", "FILE", FLAG_TEXT, AT(data), 0, 0,
      "note lists in JSON [chorales made by rules]" },
    { "--cell", "CELL", FLAG_TEXT, AT(cell_name), 0, 0, "lstm or gru [lstm]" },
    { "--hidden", "N", FLAG_COUNT, AT(hidden), 1, 4096, "width of the hidden state [96]" },
    { "--dropout", "X", FLAG_REAL, AT(dropout), 0, .95, "share of the outputs left out [0.3]" },
    { "--epochs", "N", FLAG_COUNT, AT(epochs), 1, 1e6, "passes over the songs [40]" },
    { "--batch", "N", FLAG_COUNT, AT(batch), 1, 4096, "songs per update [8]" },
    { "--rate", "X", FLAG_REAL, AT(rate), 1e-9, 10, "learning rate of Adam, falling [0.01]" },
    { "--clip", "X", FLAG_REAL, AT(clip), 1e-9, 1e9, "largest norm of the gradient [1]" },
    { "--seed", "N", FLAG_COUNT, AT(seed), 0, 9e15, "of weights, order and dropout [1]" },
    { "--save", "FILE", FLAG_TEXT, AT(save), 0, 0, "the best weights [" SAVE "; or none]" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0, "NLL of every song of test [none]" },
    { "--quiet", NULL, FLAG_SWITCH, AT(quiet), 0, 0, "no progress" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "the help of all commands" },
    { 0 },
};
#undef AT

#define AT(field) offsetof(sample_options, field)
static const flag sample_table[] = {
    { "--model", "FILE", FLAG_TEXT, AT(model), 0, 0, "what train saved [" SAVE "]" },
    { "--data", "FILE", FLAG_TEXT, AT(data), 0, 0,
      "where the song is from [chorales by rules]" },
    { "--song", "N", FLAG_COUNT, AT(song), 1, 1e9, "which song of test is continued [1]" },
    { "--prime", "N", FLAG_COUNT, AT(prime), 1, 1e6, "how many of its frames are given [16]" },
    { "--length", "N", FLAG_COUNT, AT(length), 0, 1e6, "frames that follow them [48]" },
    { "--temperature", "X", FLAG_REAL, AT(temperature), .01, 100,
      "below 1 likelier keys, above 1 wilder ones [1]" },
    { "--seed", "N", FLAG_COUNT, AT(seed), 0, 9e15, "of what is drawn [1]" },
    { "--speed", "X", FLAG_REAL, AT(speed), 4, 6000, "frames a minute in the MIDI file [150]" },
    { "--svg", "FILE", FLAG_TEXT, AT(svg), 0, 0, "the piano roll [music.svg; or none]" },
    { "--midi", "FILE", FLAG_TEXT, AT(midi), 0, 0, "to listen to [music.mid; or none]" },
    { "--csv", "FILE", FLAG_TEXT, AT(csv), 0, 0, "the notes of every frame [none]" },
    { "--ascii", NULL, FLAG_SWITCH, AT(ascii), 0, 0, "the roll without other characters" },
    { "--quiet", NULL, FLAG_SWITCH, AT(quiet), 0, 0, "no piano roll in the terminal" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "the help of all commands" },
    { 0 },
};
#undef AT

#define AT(field) offsetof(chorales_options, field)
static const flag chorales_table[] = {
    { "--out", "FILE", FLAG_TEXT, AT(out), 0, 0, "where to [chorales.json]" },
    { "--train", "N", FLAG_COUNT, AT(train), 1, 1e6, "songs to learn from [240]" },
    { "--valid", "N", FLAG_COUNT, AT(valid), 1, 1e6, "songs that tell when to stop [40]" },
    { "--test", "N", FLAG_COUNT, AT(test), 1, 1e6, "songs that nothing is chosen by [40]" },
    { "--seed", "N", FLAG_COUNT, AT(seed), 0, 9e15, "other seeds, other songs [1]" },
    { "--help", NULL, FLAG_SWITCH, AT(help), 0, 0, "the help of all commands" },
    { 0 },
};
#undef AT

train_options train_options_read(int argc, char **argv)
{
    train_options o = { .cell_name = "lstm",
                        .save = SAVE,
                        .csv = "none",
                        .hidden = 96,
                        .epochs = 40,
                        .batch = 8,
                        .seed = 1,
                        .dropout = .3,
                        .rate = .01,
                        .clip = 1 };
    flags_read(train_table, &o, argc, argv, 2);
    o.cell = flags_choice("--cell", o.cell_name, cell_names);
    file_check_all((const char *[]){ o.save, o.csv, NULL });
    return o;
}

sample_options sample_options_read(int argc, char **argv)
{
    sample_options o = { .model = SAVE,
                         .svg = "music.svg",
                         .midi = "music.mid",
                         .csv = "none",
                         .song = 1,
                         .prime = 16,
                         .length = 48,
                         .seed = 1,
                         .temperature = 1,
                         .speed = 150 };
    flags_read(sample_table, &o, argc, argv, 2);
    file_check_all((const char *[]){ o.svg, o.midi, o.csv, NULL });
    return o;
}

chorales_options chorales_options_read(int argc, char **argv)
{
    chorales_options o = {
        .out = "chorales.json", .train = 240, .valid = 40, .test = 40, .seed = 1
    };
    flags_read(chorales_table, &o, argc, argv, 2);
    file_check(o.out);
    return o;
}

void options_help(void)
{
    puts(
        "music -- learns which keys of a piano come next, frame by frame, from lists of notes.\n\n"
        "music train [options]       learns, scores, saves");
    flags_help(train_table);
    puts("\nmusic sample [options]      continues a song, as a picture and a MIDI file");
    flags_help(sample_table);
    puts("\nmusic chorales [options]    writes the songs that are there without --data");
    flags_help(chorales_table);
    puts(
        "\nA file of note lists: {\"train\": [[[60,64,67],[60,65,69],...],...], \"valid\": ...,\n"
        "\"test\": ...}, songs of frames of MIDI numbers from 21 to 108; -1 is a silent voice.");
}
