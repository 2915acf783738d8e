/* truncate_save.c -- a stream in a bundle: all that the coming steps depend on.
 *
 *     settled and forgotten | piece | piece | piece | n        next window
 *                           ^ start   ^ first, steps, rows, version, random numbers
 *
 * What the tape holds is not saved but what it takes to record it again (truncate_load.c): the
 * pieces that a coming window can reach, as callbacks and cell made them. That is small: the states
 * before the oldest, and the older versions of the weights. Without such pieces it is the states. */
#include "core/io_impl.h"
#include "core/params_impl.h"
#include "graph/truncate_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Names --------------------------------------------------------------------------------- */

bool sqi_saved_open(sqi_saved *f, sq_bundle *b, const char *prefix, const char *what)
{
    *f = (sqi_saved){ .bundle = b, .prefix = prefix };
    if (sq_bundle_status(b)) return false;
    if (!prefix || !*prefix)
        return sq_bundle_post(b, SQ_EVALUE, "%s: a stream needs a prefix", what);
    f->room = strlen(prefix) + 64;
    f->name = malloc(f->room);
    return f->name || sq_bundle_post(b, SQ_ENOMEM, "out of memory");
}

void sqi_saved_close(sqi_saved *f) { free(f->name); }

const char *sqi_saved_name(sqi_saved *f, const char *part)
{
    (void)snprintf(f->name, f->room, "%s.%s", f->prefix, part);
    return f->name;
}

const char *sqi_saved_nth(sqi_saved *f, const char *part, int64_t i)
{
    (void)snprintf(f->name, f->room, "%s.%s.%lld", f->prefix, part, (long long)i);
    return f->name;
}

const char *sqi_saved_of(sqi_saved *f, const char *part, int64_t i, int64_t k)
{
    (void)snprintf(f->name, f->room, "%s.%s.%lld.%lld", f->prefix, part, (long long)i,
                   (long long)k);
    return f->name;
}

/* ---- Numbers ------------------------------------------------------------------------------- */

const char *const sqi_agree_names[SQI_N_AGREE] = {
    "k1", "k2", "batch", "loss_every", "seed", "states", "bytes of a number"
};

void sqi_stream_agree(const sq_tbptt *s, int64_t agree[SQI_N_AGREE])
{
    const sq_tbptt_options *o = &s->o;
    int64_t seed = sqi_draws_windows(s) ? (int64_t)o->seed : 0;
    int64_t every = o->loss_every ? o->loss_every : 1;
    memcpy(agree,
           (int64_t[SQI_N_AGREE]){ o->k1, o->k2, o->batch, every, seed, s->cell.n_states,
                                   (int64_t)sq_dtype_size(s->t->dtype) },
           SQI_N_AGREE * sizeof *agree);
}

static void counts_of(const sq_tbptt *s, int64_t versions, int64_t counts[SQI_N_COUNTS])
{
    memcpy(counts,
           (int64_t[SQI_N_COUNTS]){ [SQI_STEPS] = s->steps,
                                    [SQI_UPDATED] = s->updated,
                                    [SQI_BEFORE] = s->before,
                                    [SQI_DUE] = s->due,
                                    [SQI_UPDATES] = s->updates,
                                    [SQI_READ] = s->read,
                                    [SQI_DRAWS] = (int64_t)s->draws,
                                    [SQI_ENDED] = s->ended,
                                    [SQI_GIVEN] = s->given,
                                    [SQI_READINGS] = s->meter.readings,
                                    [SQI_WRONG] = s->meter.wrong,
                                    [SQI_VERSIONS] = versions },
           SQI_N_COUNTS * sizeof *counts);
}

sqi_drawing sqi_drawing_now(const sq_tape *t)
{
    return (sqi_drawing){ .seed = t->seed,
                          .serial = t->chance.serial,
                          .taken = t->chance.taken,
                          .since = t->next_step - t->chance.first };
}

static void put_drawing(const sqi_drawing *d, int64_t row[SQI_N_DRAWING])
{
    row[SQI_SEED] = (int64_t)d->seed;
    row[SQI_SERIAL] = (int64_t)d->serial;
    row[SQI_TAKEN] = (int64_t)d->taken;
    row[SQI_SINCE] = d->since;
}

static void add_numbers(sqi_saved *f, const sq_tbptt *s, int64_t versions)
{
    int64_t agree[SQI_N_AGREE], counts[SQI_N_COUNTS], drawing[SQI_N_DRAWING];
    sqi_drawing now = sqi_drawing_now(s->t);
    sq_bundle *b = f->bundle;
    sqi_stream_agree(s, agree);
    counts_of(s, versions, counts);
    put_drawing(&now, drawing);
    sq_bundle_add_i64(b, sqi_saved_name(f, "options"), sq_vec(SQI_N_AGREE), agree);
    sq_bundle_add_i64(b, sqi_saved_name(f, "widths"), sq_vec(s->cell.n_states), s->cell.width);
    sq_bundle_add_f64(b, sqi_saved_name(f, "mean_window"), sq_scalar(), &s->o.mean_window);
    sq_bundle_add_i64(b, sqi_saved_name(f, "counts"), sq_vec(SQI_N_COUNTS), counts);
    sq_bundle_add_i64(b, sqi_saved_name(f, "drawing"), sq_vec(SQI_N_DRAWING), drawing);
    sq_bundle_add_f64(b, sqi_saved_name(f, "losses"), sq_vec(2),
                      (double[]){ s->loss, s->loss_since });
}

/* ---- States -------------------------------------------------------------------------------- */

static void add_state(sq_tbptt *s, sqi_saved *f, const char *name, sq_var v)
{
    sq_tape *t = s->t;
    sqi_node *n = sqi_node_find(t, v.id);
    if (!n || !sqi_value_ready(t, v.id, n)) {
        sq_bundle_post(f->bundle, SQ_EVAR, "%s: a state is gone: %s", name, sq_message(t));
        return;
    }
    sq_tensor h = sqi_tensor_of(name, sqi_tensor_type_of(t->dtype), n->shape, n->value);
    (void)sq_bundle_add(f->bundle, &h);
}

/* Those which no piece leads to. */
static void add_states(sq_tbptt *s, sqi_saved *f, bool no_pieces)
{
    for (int32_t k = 0; (no_pieces || s->given) && k < s->cell.n_states; k++)
        if (sqi_has_value(s->state[k]))
            add_state(s, f, sqi_saved_nth(f, "state", k), s->state[k]);
}

/* ---- Versions ------------------------------------------------------------------------------ */

/* The values of a version that the piece's segments hold; NULL when it is the present one, or the
 * piece uses no weights. */
static const sqi_version *version_held(const sq_tbptt *s, const sqi_piece *p)
{
    const sq_tape *t = s->t;
    uint64_t end = p + 1 < s->pieces + s->end ? p[1].ordinal : UINT64_MAX;
    uint64_t number = (uint64_t)p->version;
    if (!t->params || number == sq_params_version(t->params)) return NULL;
    for (uint32_t i = 0; i < t->n_live; i++) {
        const sqi_segment *g = t->live[i];
        const sqi_version *v =
            g->ordinal >= p->ordinal && g->ordinal < end ? sqi_version_held(g, number) : NULL;
        if (v) return v;
    }
    return NULL;
}

/* Weights that were added since may lie behind its memory; no step of then has used them. */
static void add_weights(sqi_saved *f, sq_params *p, const sqi_version *v, int64_t i)
{
    size_t bytes = (size_t)sq_params_size(p) * sq_dtype_size(sq_params_dtype(p));
    sqi_version *wider = v->bytes < bytes ? sqi_version_apart(p) : NULL;
    if (v->bytes < bytes && !wider) {
        sq_bundle_post(f->bundle, SQ_ENOMEM, "out of memory for a version of the weights");
        return;
    }
    if (wider) memcpy(wider->data, v->data, v->bytes);
    sqi_bundle_add_block(f->bundle, sqi_saved_nth(f, "weights", i), p,
                         wider ? wider->data : v->data);
    if (wider) sqi_version_release(p, wider);
}

/* Adds the version of a piece unless it was added for the one before; its place among the saved
 * ones. A piece without weights is in nobody's way. */
static int64_t add_version(sqi_saved *f, const sq_tbptt *s, const sqi_piece *p,
                           const sqi_version **last, int64_t *n)
{
    const sqi_version *v = version_held(s, p);
    if (!v) {
        bool present = s->t->params && (uint64_t)p->version == sq_params_version(s->t->params);
        return present || !*n ? *n : *n - 1;
    }
    if (v != *last) add_weights(f, s->t->params, v, (*n)++);
    *last = v;
    return *n - 1;
}

/* ---- Pieces -------------------------------------------------------------------------------- */

static void put_piece(const sq_tbptt *s, const sqi_piece *p, int64_t version,
                      int64_t row[SQI_N_PIECE], int64_t *rows)
{
    row[SQI_PIECE_FIRST] = p->first;
    row[SQI_PIECE_STEPS] = p->steps;
    row[SQI_PIECE_PENDING] = sqi_has_value(p->loss);
    row[SQI_PIECE_GIVEN] = p->given;
    row[SQI_PIECE_VERSION] = version;
    put_drawing(&p->drawing, row + SQI_PIECE_DRAWING);
    for (int64_t b = 0; p->rows && b < s->o.batch; b++) rows[b] = p->rows[b];
}

/* What the table of pieces refers to, and a row of it. */
static void add_piece(sq_tbptt *s, sqi_saved *f, const sqi_piece *p, int64_t i)
{
    if (p->version == SQI_MIXED)
        sq_bundle_post(f->bundle, SQ_EVALUE,
                       "the weights were changed while steps %lld to %lld were recorded: they "
                       "cannot be recorded again",
                       (long long)p->first, (long long)(sqi_piece_end(p) - 1));
    bool starts = p->given || (!i && p->first > 0);
    for (int32_t k = 0; starts && k < s->cell.n_states; k++)
        add_state(s, f, sqi_saved_of(f, "start", i, k), p->start[k]);
}

static void add_pieces(sq_tbptt *s, sqi_saved *f, uint32_t from, int64_t *versions)
{
    int64_t n = s->end - from, B = s->o.batch;
    int64_t *table = calloc((size_t)(n * (SQI_N_PIECE + B)) + 1, sizeof *table);
    if (!table) {
        sq_bundle_post(f->bundle, SQ_ENOMEM, "out of memory for %lld pieces", (long long)n);
        return;
    }
    int64_t *rows = table + n * SQI_N_PIECE;
    const sqi_version *last = NULL;
    for (int64_t i = 0; i < n && !f->bundle->error.status; i++) {
        const sqi_piece *p = &s->pieces[from + i];
        add_piece(s, f, p, i);
        int64_t version = add_version(f, s, p, &last, versions);
        put_piece(s, p, version, table + i * SQI_N_PIECE, rows + i * B);
    }
    sq_bundle_add_i64(f->bundle, sqi_saved_name(f, "pieces"), sq_mat(n, SQI_N_PIECE), table);
    sq_bundle_add_i64(f->bundle, sqi_saved_name(f, "rows"), sq_mat(n, B), rows);
    free(table);
}

/* The first piece that may still be differentiated: from now on, where losses wait or the last one is
 * asked for at the end; else with the next step. */
static uint32_t first_to_save(const sq_tbptt *s)
{
    bool waits = s->steps > s->updated || s->o.loss_every == SQ_LOSS_AT_END;
    return s->ended ? s->end : sqi_pieces_needed(s, !waits);
}

sq_status sq_tbptt_save(sq_tbptt *s, sq_bundle *b, const char *prefix)
{
    sqi_saved f;
    if (!sqi_saved_open(&f, b, prefix, "tbptt_save")) return sq_bundle_status(b);
    int64_t before = b->n_tensors, versions = 0;
    if (!s) sq_bundle_post(b, SQ_EVALUE, "tbptt_save: there is no stream");
    else if (!sqi_stream_enter(s))
        sq_bundle_post(b, s->t->error.status, "%s", sq_message(s->t));
    else {
        uint32_t from = first_to_save(s);
        add_pieces(s, &f, from, &versions);
        add_states(s, &f, from == s->end);
        add_numbers(&f, s, versions);
    }
    if (b->error.status) sqi_bundle_truncate(b, before);
    sqi_saved_close(&f);
    return b->error.status;
}
