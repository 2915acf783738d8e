/* random_judge.c -- how far two runs of a random cell may lie apart.
 *
 * What a computed tensor is worth depends on its condition. A sum of terms a_i with
 * kappa = sum|a_i| / |sum a_i| is wrong by kappa roundings as soon as its terms are rounded once,
 * whatever the order of summation. A cell is drawn for a condition that allows the fixed
 * tolerances, but that is measured by a single change of its inputs, by which a single number may
 * happen to move little. So a tensor outside of its tolerance is measured again, in double, by the
 * most that it moves when all inputs change by one unit in the last place, in one of several
 * ways. It may be off by what 4 units do: it is then as good as the exact result of inputs
 * nearby. Every other tensor keeps its tolerance. */
#include "tests/support/random_run.h"

enum { CHANGES = 8, UNITS = 4 };

/* Whether the condition of tensor i, eager in double being `truth`, accounts for what lies `apart`
 * from it in a precision whose unit is eps. False also when a run fails. */
static bool excused(const random_cell *c, rc_setup eager, uint64_t loss, const trace *truth,
                    int i, double apart, double eps)
{
    const double unit = 0x1p-52;
    bool ok = true;
    double most = 0;
    char why[256];
    eager.dtype = SQ_F64;
    eager.ulp = unit;
    for (eager.change = 1; ok && eager.change <= CHANGES; eager.change++) {
        trace moved = { .n = 0 };
        ok = rc_trace(c, eager, loss, &moved, NULL, why, sizeof why) && moved.n == truth->n;
        if (ok) most = worse(most, trace_apart(&moved, truth, i));
        trace_free(&moved);
    }
    return ok && isfinite(most) && apart <= UNITS * most * (eps / unit);
}

bool rc_near(const random_cell *c, rc_setup eager, uint64_t loss, const trace *got,
             const trace *want, char *why, size_t n)
{
    if (!trace_same_list(got, want, why, n)) return false;
    for (int i = 0; i < want->n; i++) {
        double e = trace_error(got, want, i), apart = trace_apart(got, want, i);
        if (e <= 1e-12 || excused(c, eager, loss, want, i, apart, 0x1p-52)) continue;
        snprintf(why, n, "%s: relative error %.3g", want->item[i].what, e);
        return false;
    }
    return true;
}

bool rc_as_good(const random_cell *c, rc_setup eager, uint64_t loss, const trace *got,
                const trace *peer, const trace *truth, char *why, size_t n)
{
    if (!trace_same_list(got, truth, why, n) || !trace_same_list(peer, truth, why, n))
        return false;
    for (int i = 0; i < truth->n; i++) {
        double e = trace_error(got, truth, i), own = trace_error(peer, truth, i);
        double apart = trace_apart(got, truth, i);
        if (e <= fmax(1e-5, 4 * own) || excused(c, eager, loss, truth, i, apart, 0x1p-23))
            continue;
        snprintf(why, n, "%s: float error %.3g, eager has %.3g", truth->item[i].what, e, own);
        return false;
    }
    return true;
}
