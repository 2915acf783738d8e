/* inside_csv.c -- Jacobians, exponents and gates for other programs: one number, or one gate, a row.
 *
 * Singular values stand as natural logarithms; the exponents with their whole convergence. */
#include "output.h"
#include "report.h"

#include <stdio.h>

static void jacobian_rows(FILE *out, const inside *in)
{
    const jacobians *j = &in->j;
    for (int64_t t = 0; t < j->steps; t++)
        for (int64_t i = 0; i < j->size; i++)
            fprintf(out, "%s,%s,step,%lld,1,%lld,%.10g\n", in->title, in->moment, (long long)t,
                    (long long)i, j->step[t * j->size + i]);
    for (int64_t n = 0; n < j->n; n++)
        for (int64_t i = 0; i < j->size; i++)
            fprintf(out, "%s,%s,product,%lld,%lld,%lld,%.10g\n", in->title, in->moment,
                    (long long)(j->steps - 1), (long long)inside_back(n), (long long)i,
                    j->product[n * j->size + i]);
}

static void exponent_rows(FILE *out, const inside *in)
{
    const exponents *e = &in->e;
    for (int64_t p = 0; p < e->points; p++)
        for (int32_t i = 0; i < e->n; i++)
            fprintf(out, "%s,%s,%lld,%d,%.10g\n", in->title, in->moment, (long long)(p + 1),
                    (int)i, e->trace[p * e->n + i]);
}

static void gate_rows(FILE *out, const inside *in)
{
    const gates *g = &in->g;
    for (int32_t i = 0; i < g->n; i++)
        for (int64_t t = 0; t < g->steps; t++) {
            sq_gate_statistics s = g->at[t * g->n + i];
            fprintf(out, "%s,%s,%s,%lld,%.10g,%.10g,%.10g,%.10g\n", in->title, in->moment,
                    g->name[i], (long long)t, s.mean, s.deviation, s.saturated, s.gradient);
        }
}

static void write_rows(const report *r, const char *path, const char *head,
                       void (*rows)(FILE *out, const inside *in))
{
    FILE *out = output_open(path);
    fprintf(out, "%s\n", head);
    for (int i = 0; i < r->n_cells; i++) {
        rows(out, &r->before[i]);
        rows(out, &r->after[i]);
    }
    output_close(out, path);
}

void jacobians_csv(const report *r, const char *path)
{
    write_rows(r, path, "cell,weights,matrix,step,back,index,ln_singular", jacobian_rows);
}

void exponents_csv(const report *r, const char *path)
{
    write_rows(r, path, "cell,weights,steps,index,exponent", exponent_rows);
}

void gates_csv(const report *r, const char *path)
{
    write_rows(r, path, "cell,weights,gate,step,mean,deviation,saturated,gradient", gate_rows);
}
