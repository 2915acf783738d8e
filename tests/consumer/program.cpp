/* The smallest C++ user: the header as C++11, and the overloads that stand for _Generic. */
#include <seqgrad/seqgrad.h>

#include <cmath>
#include <cstdio>

/* d/dx sum x^2 = 2x, in the precision Real, through the overloads. */
template <typename Real> static bool squares(sq_dtype dtype)
{
    const Real values[3] = { Real(1), Real(-2), Real(0.5) },
               ones[3] = { Real(1), Real(1), Real(1) };
    Real read[3] = { 0, 0, 0 }, grad[3] = { 0, 0, 0 };
    sq_tape *t = sq_tape_new(dtype, nullptr);
    sq_var x = sq_leaf(t, sq_vec(3), values), c = sq_input(t, sq_vec(3), ones);
    sq_var y = sq_mul(c, sq_square(x));
    bool good = sq_backward_from(y, ones) == SQ_OK && sq_copy(y, read) == SQ_OK &&
                sq_grad_copy(x, grad) == SQ_OK;
    if (!good) std::puts(sq_message(t));
    for (int i = 0; i < 3; i++)
        good = good && std::fabs(read[i] - values[i] * values[i]) < 1e-6 &&
               std::fabs(grad[i] - 2 * values[i]) < 1e-6;
    sq_tape_free(t);
    return good;
}

int main() { return squares<float>(SQ_F32) && squares<double>(SQ_F64) ? 0 : 1; }
