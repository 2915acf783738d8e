/* optim_tmpl.h -- the optimizers over one weight's elements, for one precision.
 *
 * Compiled twice by optim.c through both_tmpl.h. Every body has the same arguments: the numbers
 * of this update, n elements of weight and gradient, and two moments (NULL where the kind keeps
 * none). g + d w stands for the gradient with decay. */

static void OF_REAL(sgd)(const rule *r, int64_t n, void *weights, const void *grads,
                         void *first, void *second)
{
    real *restrict w = weights, *restrict v = first;
    const real *restrict g = grads;
    const real rate = (real)r->rate, decay = (real)r->decay, momentum = (real)r->momentum;
    (void)second;
    for (int64_t i = 0; i < n; i++) {
        real d = g[i] + decay * w[i];
        if (v) {
            v[i] = momentum * v[i] + d;
            d = r->nesterov ? d + momentum * v[i] : v[i];
        }
        w[i] -= rate * d;
    }
}

static void OF_REAL(rmsprop)(const rule *r, int64_t n, void *weights, const void *grads,
                             void *first, void *second)
{
    real *restrict w = weights, *restrict v = first, *restrict s = second;
    const real *restrict g = grads;
    const real rate = (real)r->rate, decay = (real)r->decay, momentum = (real)r->momentum;
    const real alpha = (real)r->alpha, rest = (real)(1.0 - r->alpha), eps = (real)r->eps;
    for (int64_t i = 0; i < n; i++) {
        real d = g[i] + decay * w[i];
        s[i] = alpha * s[i] + rest * d * d;
        d /= OF_REAL(root)(s[i]) + eps;
        if (v) d = v[i] = momentum * v[i] + d;
        w[i] -= rate * d;
    }
}

static void OF_REAL(adagrad)(const rule *r, int64_t n, void *weights, const void *grads,
                             void *first, void *second)
{
    real *restrict w = weights, *restrict s = second;
    const real *restrict g = grads;
    const real rate = (real)r->rate, decay = (real)r->decay, eps = (real)r->eps;
    (void)first;
    for (int64_t i = 0; i < n; i++) {
        real d = g[i] + decay * w[i];
        s[i] += d * d;
        w[i] -= rate * d / (OF_REAL(root)(s[i]) + eps);
    }
}

/* The bias corrections are taken out of the loop:
 *   r m^ / (sqrt(s^) + eps) = (r / (1-b1^t)) m / (sqrt(s) / sqrt(1-b2^t) + eps) */
static void OF_REAL(adam)(const rule *r, int64_t n, void *weights, const void *grads,
                          void *first, void *second)
{
    real *restrict w = weights, *restrict m = first, *restrict s = second;
    const real *restrict g = grads;
    const real rate = (real)(r->rate / r->bias1), spread = (real)sqrt(r->bias2);
    const real decay = (real)r->decay, keep = (real)(1.0 - r->shrink), eps = (real)r->eps;
    const real b1 = (real)r->beta1, rest1 = (real)(1.0 - r->beta1);
    const real b2 = (real)r->beta2, rest2 = (real)(1.0 - r->beta2);
    for (int64_t i = 0; i < n; i++) {
        real d = g[i] + decay * w[i];
        m[i] = b1 * m[i] + rest1 * d;
        s[i] = b2 * s[i] + rest2 * d * d;
        w[i] = keep * w[i] - rate * m[i] / (OF_REAL(root)(s[i]) / spread + eps);
    }
}
