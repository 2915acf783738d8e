/* chorale.c -- four-part harmony by the rules of the first lessons.
 *
 * Plan. A key: one of twelve tonics, major or minor. Two to four phrases of 4 to a dozen chords. Chords are
 * the triads on the seven degrees and follow each other by a table of chances (V goes to I or VI, II to
 * V, ...). A phrase ends with V I, or stops at V; the last one ends with V I.
 * Voices. Of all ways to give a chord to bass, tenor, alto and soprano within their ranges, in this
 * order and not further apart than an octave (tenor and bass: a twelfth), with all three notes there,
 * the leading note once, root or third in the bass, those are left that go on from the chord
 * before without parallel fifths or octaves, without leaps of more than a fifth (the bass: an octave),
 * and with the leading note going up to the tonic where V goes to I. The one that moves least is
 * taken, but for some chance.
 * Time. A chord is two frames, the last of a phrase four. Where a voice moves by a third the note between
 * may be passed on the second frame. */
#include "chorale.h"

#include <seqgrad/seqgrad.h>

#include <math.h>
#include <stdlib.h>

enum { BASS, TENOR, ALTO, SOPRANO, VOICES, DEGREES = 7, MAX_CHORDS = 64 };
enum { I, II, III, IV, V, VI, VII };

static const int lowest[VOICES] = { 41, 48, 55, 60 }, highest[VOICES] = { 60, 67, 74, 79 };
static const int widest[VOICES] = { 0, 19, 12, 12 }; /* above the voice below */

/* Chances of what follows a chord, of 10. */
static const int follows[DEGREES][DEGREES] = {
    [I] = { [II] = 2, [III] = 1, [IV] = 3, [V] = 2, [VI] = 2 },
    [II] = { [V] = 8, [VII] = 2 },
    [III] = { [IV] = 4, [VI] = 6 },
    [IV] = { [I] = 2, [II] = 3, [V] = 5 },
    [V] = { [I] = 7, [VI] = 3 },
    [VI] = { [II] = 4, [IV] = 4, [V] = 2 },
    [VII] = { [I] = 10 },
};

typedef struct chord {
    int degree;
    bool ends_phrase;
    int note[VOICES];
} chord;

typedef struct writer {
    sq_random coins;
    uint64_t tossed;
    int tonic; /* 0..11 */
    bool minor;
    chord chord[MAX_CHORDS];
    int n;
} writer;

static double toss(writer *w) { return sq_random_uniform(w->coins, 0, w->tossed++); }
static int draw(writer *w, int n) { return (int)(toss(w) * n); }

/* ---- Chords ------------------------------------------------------------------------------ */

/* The pitch class of a degree of the scale. The seventh of minor is raised where it leads. */
static int pitch_class(const writer *w, int degree, bool leading)
{
    static const int major[DEGREES] = { 0, 2, 4, 5, 7, 9, 11 },
                     minor[DEGREES] = { 0, 2, 3, 5, 7, 8, 10 };
    int d = degree % DEGREES;
    int above = w->minor ? minor[d] + (d == VII && leading) : major[d];
    return (w->tonic + above) % 12;
}

static bool leads(int degree) { return degree == V || degree == VII; }

static int next_degree(writer *w, int from)
{
    int left = draw(w, 10), to = 0;
    while (left >= follows[from][to]) left -= follows[from][to++];
    return to;
}

static void add_chord(writer *w, int degree) { w->chord[w->n++] = (chord){ .degree = degree }; }

/* From the tonic along the table until V may follow and enough was said; then the cadence. */
static void plan_phrase(writer *w, bool last)
{
    int wanted = 3 + draw(w, 5), degree = I;
    bool half = !last && draw(w, 2);
    for (int i = 0; i < wanted + 5; i++) {
        add_chord(w, degree);
        if (i + 1 >= wanted && follows[degree][V]) break;
        degree = next_degree(w, degree);
    }
    if (!follows[w->chord[w->n - 1].degree][V]) w->chord[w->n - 1].degree = I;
    add_chord(w, V);
    if (!half) add_chord(w, I);
    w->chord[w->n - 1].ends_phrase = true;
}

/* ---- Voices ------------------------------------------------------------------------------ */

/* Does the chord sound whole, with the leading note at most once? */
static bool complete(const writer *w, const chord *c)
{
    int times[3] = { 0 };
    for (int v = 0; v < VOICES; v++)
        for (int k = 0; k < 3; k++)
            times[k] += c->note[v] % 12 == pitch_class(w, c->degree + 2 * k, leads(c->degree));
    int leading = c->degree == V ? 1 : 0;
    return times[0] && times[1] && times[2] && !(leads(c->degree) && times[leading] > 1);
}

static bool perfect(int low, int high)
{
    return (high - low) % 12 == 0 || (high - low) % 12 == 7;
}

/* Fifths or octaves between two voices that both move, before and after the same. */
static bool parallel(const chord *a, const chord *b)
{
    for (int v = 0; v < VOICES; v++)
        for (int u = v + 1; u < VOICES; u++)
            if (a->note[v] != b->note[v] && perfect(a->note[v], a->note[u]) &&
                (a->note[u] - a->note[v]) % 12 == (b->note[u] - b->note[v]) % 12)
                return true;
    return false;
}

static bool may_follow(const writer *w, const chord *a, const chord *b)
{
    int leading = pitch_class(w, VII, true);
    for (int v = 0; v < VOICES; v++) {
        int move = b->note[v] - a->note[v];
        if (abs(move) > (v == BASS ? 12 : 7)) return false;
        if (leads(a->degree) && b->degree == I && a->note[v] % 12 == leading && move != 1)
            return false;
    }
    return !parallel(a, b);
}

/* How much the voices move; a melody that stays costs as much as one that moves a third. */
static double effort(writer *w, const chord *a, const chord *b)
{
    double sum = 6 * toss(w);
    for (int v = 0; v < VOICES; v++) sum += (v == BASS ? .3 : 1) * abs(b->note[v] - a->note[v]);
    return a->note[SOPRANO] == b->note[SOPRANO] ? sum + 4 : sum;
}

/* The best way to set a chord found so far. */
typedef struct setting {
    chord best;
    double least;
} setting;

/* May voice v take this note? III and the last chord of a phrase have the root in the bass, VII never. */
static bool of_chord(const writer *w, const chord *c, int v, int note)
{
    for (int k = 0; k < (v == BASS ? 2 : 3); k++) {
        bool root_of_vii = v == BASS && c->degree == VII && k == 0;
        bool turned = v == BASS && k == 1 && (c->ends_phrase || c->degree == III);
        if (!root_of_vii && !turned &&
            note % 12 == pitch_class(w, c->degree + 2 * k, leads(c->degree)))
            return true;
    }
    return false;
}

/* Tries all notes of voice v above those already set. */
static void try_voice(writer *w, const chord *before, chord *c, int v, setting *s)
{
    if (v == VOICES) {
        if (!complete(w, c) || (before && !may_follow(w, before, c))) return;
        double cost = before ? effort(w, before, c) : toss(w);
        if (cost < s->least) *s = (setting){ *c, cost };
        return;
    }
    int from = lowest[v], to = highest[v];
    if (v > BASS && c->note[v - 1] + 1 > from) from = c->note[v - 1] + 1;
    if (v > BASS && c->note[v - 1] + widest[v] < to) to = c->note[v - 1] + widest[v];
    for (int note = from; note <= to; note++) {
        if (!of_chord(w, c, v, note)) continue;
        c->note[v] = note;
        try_voice(w, before, c, v + 1, s);
    }
}

/* Sets all chords; false where one cannot follow the one before. */
static bool set_voices(writer *w)
{
    for (int i = 0; i < w->n; i++) {
        setting s = { .least = HUGE_VAL };
        try_voice(w, i ? &w->chord[i - 1] : NULL, &w->chord[i], BASS, &s);
        if (s.least == HUGE_VAL) return false;
        w->chord[i] = s.best;
    }
    return true;
}

/* ---- Time -------------------------------------------------------------------------------- */

/* The note of the scale between two notes a third apart, or 0. */
static int between(const writer *w, int a, int b)
{
    int low = a < b ? a : b, apart = abs(a - b);
    if (apart != 3 && apart != 4) return 0;
    for (int note = low + 1; note < low + apart; note++)
        for (int d = 0; d < DEGREES; d++)
            if (note % 12 == pitch_class(w, d, false)) return note;
    return 0;
}

static void add_frame(song *into, const chord *c, int passing_voice, int passing)
{
    frame *f = song_add(into);
    for (int v = 0; v < VOICES; v++)
        f->down[(v == passing_voice ? passing : c->note[v]) - LOWEST] = true;
}

static void write_frames(writer *w, song *into)
{
    for (int i = 0; i < w->n; i++) {
        const chord *c = &w->chord[i];
        int voice = -1, passing = 0;
        if (!c->ends_phrase && draw(w, 2)) {
            int v = draw(w, VOICES);
            passing = between(w, c->note[v], c[1].note[v]);
            if (passing) voice = v;
        }
        for (int k = 0; k < (c->ends_phrase ? 4 : 2); k++)
            add_frame(into, c, k == 1 ? voice : -1, passing);
    }
}

void chorale(song *into, uint64_t seed, uint64_t which)
{
    writer w = { .coins = sq_random_stream(seed, which, 0, 0) };
    do {
        w.n = 0;
        w.tonic = draw(&w, 12);
        w.minor = draw(&w, 2);
        int phrases = 2 + draw(&w, 3);
        for (int p = 0; p < phrases; p++) plan_phrase(&w, p + 1 == phrases);
    } while (!set_voices(&w));
    write_frames(&w, into);
}

corpus chorales(const int64_t n[N_PARTS], uint64_t seed)
{
    corpus c = { 0 };
    uint64_t which = 0;
    for (int p = 0; p < N_PARTS; p++)
        for (int64_t i = 0; i < n[p]; i++) chorale(songs_add(&c.part[p]), seed, which++);
    return c;
}
