/* truncate_load.c -- a stream out of a bundle: everything is checked, then the window's pieces are
 * recorded again.
 *
 *     states before | piece | piece | piece | n       each with the inputs, rows, random numbers and
 *       constants       version 0     1    present    the version of the weights it had
 *
 * Recording is what it was the first time: the callbacks are asked for the same steps while the tape
 * draws the same numbers and the params show the weights of then. Losses are asked for where they
 * are still to be differentiated. The states before the window are constants, as a cut leaves them
 * (cut.c). All that the bundle says is checked, and all memory for weights taken, before anything
 * is changed. */
#include "core/io_impl.h"
#include "graph/truncate_impl.h"

#include <stdlib.h>
#include <string.h>

/* What was read and found possible. */
typedef struct saved {
    sqi_saved f;
    int64_t counts[SQI_N_COUNTS], drawing[SQI_N_DRAWING];
    double losses[2];
    int64_t n;                 /* pieces */
    int64_t *pieces;           /* [n,SQI_N_PIECE] */
    int32_t *rows;             /* [n,B] */
    void *state;               /* room for the values of one */
    sqi_version **versions;    /* [n_versions + 1], the present weights last; adopted: NULL */
    int64_t n_versions, shown; /* all before `shown` have had their turn */
} saved;

static bool damaged(saved *v, const char *what)
{
    return sq_bundle_post(v->f.bundle, SQ_EFILE, "the stream \"%s\" is damaged: %s",
                          v->f.prefix, what);
}

/* ---- The same configuration ---------------------------------------------------------------- */

static bool options_agree(saved *v, const sq_tbptt *s)
{
    sq_bundle *b = v->f.bundle;
    int64_t mine[SQI_N_AGREE], its[SQI_N_AGREE];
    double mean_window;
    sqi_stream_agree(s, mine);
    if (sq_bundle_get_i64(b, sqi_saved_name(&v->f, "options"), SQI_N_AGREE, its) ||
        sq_bundle_get_f64(b, sqi_saved_name(&v->f, "mean_window"), 1, &mean_window))
        return false;
    if (mean_window != s->o.mean_window)
        return sq_bundle_post(b, SQ_EFILE,
                              "the save is of a stream with mean_window = %g, this one has %g",
                              mean_window, s->o.mean_window);
    for (int i = 0; i < SQI_N_AGREE; i++)
        if (mine[i] != its[i])
            return sq_bundle_post(b, SQ_EFILE,
                                  "the save is of a stream with %s = %lld, this one has %lld",
                                  sqi_agree_names[i], (long long)its[i], (long long)mine[i]);
    return true;
}

static bool widths_agree(saved *v, const sq_tbptt *s)
{
    int64_t K = s->cell.n_states, *its = calloc((size_t)K + 1, sizeof *its);
    bool read = its && !sq_bundle_get_i64(v->f.bundle, sqi_saved_name(&v->f, "widths"), K, its);
    if (!its) sq_bundle_post(v->f.bundle, SQ_ENOMEM, "out of memory");
    for (int64_t k = 0; read && k < K; k++)
        if (its[k] != s->cell.width[k])
            read = sq_bundle_post(
                v->f.bundle, SQ_EFILE,
                "the save is of a cell whose state %lld has width %lld, this one has %lld",
                (long long)k, (long long)its[k], (long long)s->cell.width[k]);
    free(its);
    return read;
}

/* ---- Numbers that can be ------------------------------------------------------------------- */

static bool drawing_can_be(const int64_t *d)
{
    return d[SQI_SINCE] >= 0 && d[SQI_SINCE] < INT64_MAX / 2;
}

static bool is_flag(int64_t i) { return i == 0 || i == 1; }

/* Updates are made at multiples of k1, but for the one at the end. */
static bool counts_can_be(const saved *v, const sq_tbptt *s)
{
    const int64_t *c = v->counts;
    bool k1 = !sqi_draws_windows(s), ended = c[SQI_ENDED];
    return is_flag(c[SQI_ENDED]) && is_flag(c[SQI_GIVEN]) && 0 <= c[SQI_BEFORE] &&
           c[SQI_BEFORE] <= c[SQI_UPDATED] && c[SQI_UPDATED] <= c[SQI_STEPS] &&
           c[SQI_STEPS] < c[SQI_DUE] && 0 <= c[SQI_READ] && c[SQI_READ] <= c[SQI_UPDATES] &&
           0 <= c[SQI_WRONG] && c[SQI_WRONG] <= c[SQI_READINGS] && c[SQI_VERSIONS] >= 0 &&
           c[SQI_VERSIONS] <= v->n && !(ended && v->n) &&
           !(k1 &&
             (c[SQI_DUE] - c[SQI_UPDATED] > s->o.k1 || (!ended && c[SQI_UPDATED] % s->o.k1))) &&
           drawing_can_be(v->drawing);
}

/* A piece follows the one before and lies between two updates, so that callbacks are asked for no
 * more steps than they were. */
static bool piece_can_be(const saved *v, const sq_tbptt *s, int64_t i)
{
    const int64_t *p = v->pieces + i * SQI_N_PIECE, *before = i ? p - SQI_N_PIECE : NULL;
    int64_t first = p[SQI_PIECE_FIRST], steps = p[SQI_PIECE_STEPS], k1 = s->o.k1;
    if (first < 0 || steps < 1 || steps > v->counts[SQI_STEPS] - first) return false;
    if (before && first != before[SQI_PIECE_FIRST] + before[SQI_PIECE_STEPS]) return false;
    if (k1 && first / k1 != (first + steps - 1) / k1) return false;
    int64_t version = p[SQI_PIECE_VERSION], least = before ? before[SQI_PIECE_VERSION] : 0;
    return version >= least && version <= v->n_versions && is_flag(p[SQI_PIECE_PENDING]) &&
           is_flag(p[SQI_PIECE_GIVEN]) && drawing_can_be(p + SQI_PIECE_DRAWING);
}

static bool pieces_can_be(saved *v, const sq_tbptt *s)
{
    const int64_t *last = v->pieces + (v->n - 1) * SQI_N_PIECE;
    for (int64_t i = 0; i < v->n; i++)
        if (!piece_can_be(v, s, i)) return damaged(v, "a piece of it is impossible");
    return !v->n || last[SQI_PIECE_FIRST] + last[SQI_PIECE_STEPS] == v->counts[SQI_STEPS] ||
           damaged(v, "its pieces end before it does");
}

/* ---- Reading ------------------------------------------------------------------------------- */

/* The rows as they are fed. */
static bool read_rows(saved *v, int64_t B)
{
    int64_t n = v->n * B;
    const sq_tensor *t = sq_bundle_find(v->f.bundle, sqi_saved_name(&v->f, "rows"));
    if (!t || t->type != SQ_TENSOR_I64 || t->count != n) return damaged(v, "it has no rows");
    const int64_t *row = t->values;
    for (int64_t i = 0; i < n; i++) {
        if (row[i] < SQ_ROW_GOES_ON || row[i] > SQ_ROW_CUT)
            return damaged(v, "a row is impossible");
        v->rows[i] = (int32_t)row[i];
    }
    return true;
}

static bool read_pieces(saved *v, const sq_tbptt *s)
{
    const sq_tensor *t = sq_bundle_find(v->f.bundle, sqi_saved_name(&v->f, "pieces"));
    if (!t || t->rank != 2 || t->dim[1] != SQI_N_PIECE) return damaged(v, "it has no pieces");
    size_t n = (size_t)(v->n = t->dim[0]), K = (size_t)s->cell.n_states, widest = 1;
    for (size_t k = 0; k < K; k++)
        if ((size_t)s->cell.width[k] > widest) widest = (size_t)s->cell.width[k];
    v->pieces = calloc(n * SQI_N_PIECE + 1, sizeof *v->pieces);
    v->rows = calloc(n * (size_t)s->o.batch + 1, sizeof *v->rows);
    v->state = calloc((size_t)s->o.batch * widest + 1, sizeof(double));
    if (!v->pieces || !v->rows || !v->state)
        return sq_bundle_post(v->f.bundle, SQ_ENOMEM, "out of memory for %zu pieces", n);
    sq_bundle *b = v->f.bundle;
    return !sq_bundle_get_i64(b, sqi_saved_name(&v->f, "pieces"), t->count, v->pieces) &&
           read_rows(v, s->o.batch);
}

static bool read_numbers(saved *v, const sq_tbptt *s)
{
    sq_bundle *b = v->f.bundle;
    if (sq_bundle_get_i64(b, sqi_saved_name(&v->f, "counts"), SQI_N_COUNTS, v->counts) ||
        sq_bundle_get_i64(b, sqi_saved_name(&v->f, "drawing"), SQI_N_DRAWING, v->drawing) ||
        sq_bundle_get_f64(b, sqi_saved_name(&v->f, "losses"), 2, v->losses))
        return false;
    v->n_versions = v->counts[SQI_VERSIONS];
    return counts_can_be(v, s) || damaged(v, "its counts contradict each other");
}

/* The values of a state in the tape's precision; false after posting. */
static bool read_state(saved *v, const sq_tbptt *s, const char *name, int32_t k)
{
    int64_t n = s->o.batch * s->cell.width[k];
    return s->t->dtype == SQ_F64 ? !sq_bundle_get_f64(v->f.bundle, name, n, v->state)
                                 : !sq_bundle_get_f32(v->f.bundle, name, n, v->state);
}

static bool piece_starts(const saved *v, int64_t i)
{
    const int64_t *p = v->pieces + i * SQI_N_PIECE;
    return p[SQI_PIECE_GIVEN] || (!i && p[SQI_PIECE_FIRST] > 0);
}

static bool ends_in_states(const saved *v)
{
    return v->counts[SQI_GIVEN] || (!v->n && v->counts[SQI_STEPS] > 0);
}

/* All states that will be asked for are there. */
static bool states_are_there(saved *v, const sq_tbptt *s)
{
    for (int32_t k = 0; k < s->cell.n_states; k++) {
        if (ends_in_states(v) && !read_state(v, s, sqi_saved_nth(&v->f, "state", k), k))
            return false;
        for (int64_t i = 0; i < v->n; i++)
            if (piece_starts(v, i) && !read_state(v, s, sqi_saved_of(&v->f, "start", i, k), k))
                return false;
    }
    return true;
}

/* Memory for every version, the present one too: what changes the params later cannot fail. */
static bool read_versions(saved *v, const sq_tbptt *s)
{
    sq_params *p = s->t->params;
    int64_t n = v->n_versions;
    if (!p && n) return damaged(v, "it has weights, where there are none");
    v->versions = calloc((size_t)n + 1, sizeof(sqi_version *));
    for (int64_t i = 0; n && v->versions && i <= n; i++) {
        v->versions[i] = sqi_version_apart(p);
        if (!v->versions[i]) break;
        if (i < n && sqi_bundle_get_block(v->f.bundle, sqi_saved_nth(&v->f, "weights", i), p,
                                          v->versions[i]->data))
            return false;
    }
    return (v->versions && (!n || v->versions[n])) ||
           sq_bundle_post(v->f.bundle, SQ_ENOMEM, "out of memory for %lld versions of weights",
                          (long long)n);
}

static bool read_all(saved *v, const sq_tbptt *s)
{
    return options_agree(v, s) && widths_agree(v, s) && read_pieces(v, s) &&
           read_numbers(v, s) && pieces_can_be(v, s) && states_are_there(v, s) &&
           read_versions(v, s);
}

static void saved_free(saved *v, sq_params *p)
{
    for (int64_t i = 0; v->versions && i <= v->n_versions; i++)
        if (v->versions[i]) sqi_version_release(p, v->versions[i]);
    free(v->versions);
    free(v->pieces);
    free(v->rows);
    free(v->state);
    sqi_saved_close(&v->f);
}

/* ---- Recording again ----------------------------------------------------------------------- */

/* Versions are shown in order. */
static void show_version(saved *v, sq_params *p, int64_t version)
{
    if (!v->n_versions || version < v->shown) return;
    sqi_params_adopt(p, v->versions[version]);
    v->versions[version] = NULL;
    v->shown = version + 1;
}

static void set_drawing(sq_tape *t, const int64_t *d)
{
    t->seed = (uint64_t)d[SQI_SEED];
    t->runs = (uint64_t)d[SQI_SERIAL];
    t->chance = (sqi_chance){ .serial = t->runs,
                              .first = t->next_step - d[SQI_SINCE],
                              .taken = (uint64_t)d[SQI_TAKEN] };
}

static void set_state(saved *v, sq_tbptt *s, const char *name, int32_t k)
{
    sq_tape *t = s->t;
    sq_shape shape = sq_mat(s->o.batch, s->cell.width[k]);
    if (!read_state(v, s, name, k)) return;
    s->state[k] = t->dtype == SQ_F64 ? sq_input_f64(t, shape, v->state)
                                     : sq_input_f32(t, shape, v->state);
}

static bool record_piece(saved *v, sq_tbptt *s, int64_t i)
{
    sq_tape *t = s->t;
    const int64_t *p = v->pieces + i * SQI_N_PIECE;
    show_version(v, t->params, p[SQI_PIECE_VERSION]);
    s->steps = p[SQI_PIECE_FIRST];
    s->given = p[SQI_PIECE_GIVEN];
    for (int32_t k = 0; piece_starts(v, i) && k < s->cell.n_states; k++)
        set_state(v, s, sqi_saved_of(&v->f, "start", i, k), k);
    set_drawing(t, p + SQI_PIECE_DRAWING);
    size_t before = s->o.meter_every ? sq_tape_statistics(t).value_bytes : 0;
    sqi_piece *kept = sqi_stream_record(s, p[SQI_PIECE_STEPS], v->rows + i * s->o.batch);
    if (!kept || (p[SQI_PIECE_PENDING] && !sqi_stream_count_loss(s, kept))) return false;
    if (s->o.meter_every) kept->bytes = sq_tape_statistics(t).value_bytes - before;
    return true;
}

static void set_counts(const saved *v, sq_tbptt *s)
{
    const int64_t *c = v->counts;
    s->steps = c[SQI_STEPS];
    s->updated = c[SQI_UPDATED];
    s->before = c[SQI_BEFORE];
    s->due = c[SQI_DUE];
    s->updates = c[SQI_UPDATES];
    s->read = c[SQI_READ];
    s->draws = (uint64_t)c[SQI_DRAWS];
    s->ended = c[SQI_ENDED];
    s->given = c[SQI_GIVEN];
    s->meter.readings = c[SQI_READINGS];
    s->meter.wrong = c[SQI_WRONG];
    s->meter.window = 0;
    s->loss = v->losses[0];
    s->loss_since = v->losses[1];
}

/* From an empty tape on; false after posting on it. The present weights are shown in any case. */
static bool record_all(saved *v, sq_tbptt *s)
{
    bool ok = sqi_segment_open(s->t, -1);
    for (int64_t i = 0; ok && i < v->n; i++) ok = record_piece(v, s, i);
    show_version(v, s->t->params, v->n_versions);
    if (!ok) return false;
    set_counts(v, s);
    for (int32_t k = 0; ends_in_states(v) && k < s->cell.n_states; k++)
        set_state(v, s, sqi_saved_nth(&v->f, "state", k), k);
    set_drawing(s->t, v->drawing);
    return !s->t->error.status;
}

static void restore(saved *v, sq_tbptt *s)
{
    sq_tape *t = s->t;
    uint64_t seed = t->seed, draws = s->draws;
    if (sq_cut(t, 0, NULL, 0) == SQ_OK) {
        sqi_stream_begin(s);
        s->busy = true;
        bool done = record_all(v, s);
        s->busy = false;
        if (done) return;
        t->seed = seed;
        s->draws = draws;
        sqi_stream_begin(s);
    }
    sq_bundle_post(v->f.bundle, t->error.status, "the stream \"%s\": %s", v->f.prefix,
                   sq_message(t));
}

sq_status sq_tbptt_load(sq_tbptt *s, sq_bundle *b, const char *prefix)
{
    saved v = { .n = 0 };
    if (!sqi_saved_open(&v.f, b, prefix, "tbptt_load")) return sq_bundle_status(b);
    if (!s) sq_bundle_post(b, SQ_EVALUE, "tbptt_load: there is no stream");
    else if (!sqi_stream_enter(s))
        sq_bundle_post(b, s->t->error.status, "%s", sq_message(s->t));
    else if (read_all(&v, s)) restore(&v, s);
    saved_free(&v, s ? s->t->params : NULL);
    return b->error.status;
}
