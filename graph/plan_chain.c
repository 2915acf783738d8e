/* plan_chain.c -- writing down fused passes: which arrays they run along, which loops over them.
 *
 * Every operand becomes a stream. A stream advances with the element, or lies in a tile buffer
 * that every tile uses again, or is a FIXED vector that repeats. */
#include "graph/plan_chain_impl.h"

bool sqi_chain_room(sq_tape *t, sqi_plan *p, sqi_chain *c, int32_t n_micros)
{
    size_t n = (size_t)n_micros;
    c->micros = sqi_plan_take(t, p, n, sizeof *c->micros);
    c->streams = sqi_plan_take(t, p, n * (SQI_MAP_OPERANDS + 3), sizeof *c->streams);
    return c->micros && c->streams;
}

int32_t sqi_chain_stream(sqi_plan *p, sqi_chain *c, int32_t value, bool gradient, bool tile)
{
    for (int32_t i = 0; i < c->n_streams; i++)
        if (c->streams[i].value == value && c->streams[i].gradient == gradient) return i;
    const sqi_value *v = &p->values[value];
    sqi_stream s = { .value = value, .gradient = gradient, .tile = -1 };
    if (tile) s.tile = c->n_tiles++;
    else if (!gradient && v->kind == SQI_OUTER && v->size != c->size) s.period = v->size;
    if (s.period > 1 && (!c->period || s.period < c->period)) c->period = s.period;
    c->streams[c->n_streams] = s;
    return c->n_streams++;
}

sqi_micro *sqi_chain_op(sqi_plan *p, sqi_chain *c, int32_t v, uint32_t reads)
{
    const sqi_value *w = &p->values[v];
    sqi_micro *m = &c->micros[c->n_micros++];
    *m = (sqi_micro){
        .p = w->attr->p, .of = v, .y = -1, .out = -1, .in = -1, .crosses = SQI_NO_VALUE
    };
    for (int32_t k = 0; k < SQI_MAP_OPERANDS; k++) {
        m->x[k] = -1;
        if (k >= w->n || !(reads >> k & 1)) continue;
        int32_t x = p->operands[w->first + k];
        m->x[k] = sqi_chain_stream(p, c, x, false, p->values[x].room == SQI_TILE);
    }
    if (reads & SQI_READS_Y) m->y = sqi_chain_stream(p, c, v, false, w->room == SQI_TILE);
    return m;
}

static int32_t stream_of(const sqi_micro *m, int32_t field)
{
    return field < SQI_FIELD_Y      ? m->x[field]
           : field == SQI_FIELD_Y   ? m->y
           : field == SQI_FIELD_OUT ? m->out
                                    : m->in;
}

bool sqi_chain_finish(sq_tape *t, sqi_plan *p, sqi_chain *c, sqi_chain_sizes *sizes)
{
    size_t most = (size_t)c->n_micros * (SQI_FIELD_IN + 1);
    c->patches = sqi_plan_take(t, p, most, sizeof *c->patches);
    c->opens = sqi_plan_take(t, p, (size_t)c->n_micros, sizeof *c->opens);
    if (!c->patches || !c->opens) return false;
    for (int32_t m = 0; m < c->n_micros; m++)
        if (c->micros[m].first) c->opens[c->n_opens++] = c->micros[m].crosses;
    for (int32_t i = 0; i < c->n_streams; i++) {
        sqi_stream *s = &c->streams[i];
        s->first = c->n_patches;
        for (int32_t m = 0; m < c->n_micros; m++)
            for (int32_t f = SQI_FIELD_X; f <= SQI_FIELD_IN; f++)
                if (stream_of(&c->micros[m], f) == i)
                    c->patches[c->n_patches++] = (sqi_patch){ m, f };
        s->n = c->n_patches - s->first;
    }
    sqi_chain_mark_lookouts(p, c);
    c->first_run = sizes->runs;
    c->first_patch = sizes->patches;
    sizes->runs += c->n_micros;
    sizes->patches += c->n_patches;
    return true;
}

bool sqi_chain_forward(sq_tape *t, sqi_plan *p, sqi_task *k)
{
    if (!sqi_chain_room(t, p, &k->chain, k->n)) return false;
    for (int32_t i = 0; i < k->n; i++) {
        const sqi_value *v = &p->values[k->v[i]];
        sqi_micro *m = sqi_chain_op(p, &k->chain, k->v[i], ~0u);
        m->run = sqi_map_kernel_of(v->op, p->kern->isa, p->dtype)->forward;
    }
    return sqi_chain_finish(t, p, &k->chain, &p->sizes);
}
