/* handle.c -- from a variable to its node, or to the sentence that says why there is none.
 *
 * A handle whose segment is gone is told by landmarks: which ordinal began which run of steps.
 * A handle into a live segment can be dead too: what was traced for a plan, or a step that was
 * cut out of a span. */
#include "core/tape_impl.h"

/* The newest landmark at or before an ordinal; NULL when it is forgotten. */
static const sqi_landmark *landmark_of(const sq_tape *t, uint64_t ordinal)
{
    uint64_t back = t->n_landmarks < SQI_N_LANDMARKS ? t->n_landmarks : SQI_N_LANDMARKS;
    for (uint64_t i = 1; i <= back; i++) {
        const sqi_landmark *l = &t->landmarks[(t->n_landmarks - i) % SQI_N_LANDMARKS];
        if (l->ordinal <= ordinal) return l;
    }
    return NULL;
}

/* Posts why a handle into a segment that is gone is stale, if that is still remembered. */
static void post_gone(sq_tape *t, uint64_t ordinal, const char *what)
{
    const sqi_landmark *m = landmark_of(t, ordinal);
    if (ordinal >= SQI_ASIDE)
        sq_post(t, SQ_EVAR,
                "%s is stale: its step was run without being kept; name it and use "
                "sq_unrolled_named",
                what);
    else if (t->root && ordinal < t->root->ordinal)
        sq_post(t, SQ_EVAR, "%s is stale: the tape was reset", what);
    else if (!m) sq_post(t, SQ_EVAR, "%s is stale: its step was cut", what);
    else if (m->between)
        sq_post(t, SQ_EVAR, "%s is stale: what followed step %lld was cut", what,
                (long long)m->step);
    else if (m->span > 1)
        sq_post(t, SQ_EVAR, "%s is stale: its steps %lld to %lld were cut", what,
                (long long)m->step, (long long)(m->step + m->span - 1));
    else
        sq_post(t, SQ_EVAR, "%s is stale: its step %lld was cut", what,
                (long long)(m->step + (int64_t)(ordinal - m->ordinal)));
    if (t->inference)
        sqi_error_append(&t->error, "; inference keeps what the newest step reached for, "
                                    "sq_cut carries on what is older");
}

/* Posts why a dead node of a live segment is stale. */
static void post_dead(sq_tape *t, const sqi_segment *s, const sqi_node *n, const char *what)
{
    if (n->op != &sqi_op_part)
        sq_post(
            t, SQ_EVAR,
            "%s is stale: it was recorded while its cell was traced for a plan; name it and "
            "use sq_unrolled_named",
            what);
    else
        sq_post(t, SQ_EVAR, "%s is stale: its step %lld was cut", what,
                (long long)sqi_step_of(s, n));
}

sqi_node *sqi_node_of(sq_tape *t, sq_var v, const char *what)
{
    uint32_t i = sqi_index(v.id);
    if (!v.tape || !i) {
        sq_post(t, SQ_EVAR, "%s has no value", what);
        return NULL;
    }
    if (v.tape != t) {
        sq_post(t, SQ_EVAR, "%s belongs to another tape", what);
        return NULL;
    }
    sqi_node *n = sqi_node_find(t, v.id);
    uint32_t needs;
    if (n || (n = sqi_stand_in(t, &v, &needs))) return n;
    const sqi_segment *s = sqi_segment_find(t, sqi_ordinal(v.id));
    if (!s) post_gone(t, sqi_ordinal(v.id), what);
    else if (i < s->n_nodes) post_dead(t, s, &s->nodes[i], what);
    else sq_post(t, SQ_EVAR, "%s was never recorded", what);
    return NULL;
}
