/* plan_explain.c -- what became of the step, in words. */
#include "graph/plan_impl.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

typedef struct text {
    char *buf;
    size_t n, length;
} text;

static void say(text *s, const char *fmt, ...) SQ_PRINTF(2, 3);
static void say(text *s, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    bool fits = s->length < s->n;
    int length =
        vsnprintf(fits ? s->buf + s->length : NULL, fits ? s->n - s->length : 0, fmt, args);
    va_end(args);
    if (length > 0) s->length += (size_t)length;
}

/* "[32,256] x [256,1024]" of the first summand, as it is run: rows of one step or of many. */
static void say_product(text *s, const sqi_planned *u, const sqi_task *k)
{
    const sqi_plan *p = u->plan;
    int64_t width = 0;
    for (int32_t i = 0; i < k->n; i++) width += k->packed.panels.width[i];
    say(s, k->of_rows ? "rows of a product" : "product");
    int64_t rows = k->of_rows ? u->rows->n : p->batch * k->rows;
    for (int32_t j = 0; j < k->n_lefts; j++)
        say(s, "%s [%" PRId64 ",%" PRId64 "] x [%" PRId64 ",%" PRId64 "]", j ? " +" : "", rows,
            k->packed.panels.depth[j], k->packed.panels.depth[j], width);
    if (k->n > 1) say(s, ", %d merged", (int)k->n);
}

static void say_chain(text *s, const sqi_plan *p, const sqi_task *k)
{
    say(s, "fused pass of %d:", (int)k->n);
    for (int32_t i = 0; i < k->n; i++) {
        const sqi_value *v = &p->values[k->v[i]];
        say(s, " %s%s%s", v->op->name, v->name ? "=" : "", v->name ? v->name : "");
    }
}

static void say_phase(text *s, const sqi_planned *u, const char *title, sqi_phase phase)
{
    const sqi_plan *p = u->plan;
    const sqi_tasks *tasks = &p->tasks[phase];
    if (!tasks->n) say(s, "  %-9snothing\n", title);
    for (int32_t i = 0; i < tasks->n; i++) {
        const sqi_task *k = &tasks->at[i];
        say(s, "  %-9s", i ? "" : title);
        if (k->kind == SQI_DO_PRODUCT) say_product(s, u, k);
        else if (k->kind == SQI_DO_CHAIN) say_chain(s, p, k);
        else say(s, "call %s", p->values[k->v[0]].op->name);
        say(s, "\n");
    }
    if (p->alone[phase] && tasks->n && p->batch > 1)
        say(s, "           (on one thread: a call needs all rows of the batch)\n");
}

/* Weights whose gradient is summed up by blocks. */
static int32_t count_deferred(const sqi_plan *p)
{
    int32_t n = 0;
    for (int32_t v = 0; v < p->n_values; v++) {
        const sqi_value *w = &p->values[v];
        if (w->kind != SQI_PRODUCT || !w->needs) continue;
        for (int32_t i = 0; i < w->n; i++) n += p->values[p->terms[w->first + i].right].needs;
        n += w->bias >= 0 && p->values[w->bias].needs;
    }
    return n;
}

size_t sqi_plan_explain(const sqi_planned *u, char *buf, size_t n)
{
    const sqi_plan *p = u->plan;
    text s = { buf, buf ? n : 0, 0 };
    int32_t kept = 0;
    size_t bytes = 0;
    for (int32_t v = 0; v < p->n_values; v++) {
        if (!sqi_is_operation(&p->values[v]) || p->values[v].room != SQI_KEPT) continue;
        kept++;
        bytes += sqi_value_bytes(p, v);
    }
    say(&s, "plan: %" PRId64 " rows, %" PRId64 " steps in blocks of %" PRId64 ", %s, %s\n",
        p->batch, u->span.steps, u->block, sq_dtype_name(p->dtype), p->kern->name);
    if (u->shrunk)
        say(&s,
            "  rows     rows are left out when they have ended: %" PRId64 " of %" PRId64 "\n",
            p->batch * u->span.steps - u->shrunk->before[u->shrunk->steps],
            p->batch * u->span.steps);
    if (u->rows)
        say(&s,
            "  x is rows of a table of %" PRId64 ": x W is read from a product of %" PRId64
            " rows\n",
            u->rows->of, u->rows->n);
    say_phase(&s, u, "hoisted", SQI_HOIST);
    say_phase(&s, u, "loop", SQI_LOOP);
    say_phase(&s, u, "sunk", SQI_SINK);
    say(&s, "  deferred %d weight gradients, once per block\n", (int)count_deferred(p));
    say(&s, "  kept     %d values, %zu bytes per step\n", (int)kept, bytes);
    say(&s, "  products %" PRId64 " flops per step\n", p->flops);
    return s.length;
}
