// What experts compute beside their products: the gated activation, and the sum of their results.
#include "simd.h"

namespace grok1::GROK1_ISA {

// x * sigmoid(2 z) is x (1 + tanh z) / 2.
static void gate(int gating, const float* gate, const float* up, float* hidden, int64_t n) {
  const V one = all(1.0f);
  for (int64_t i = 0; i < n; i += W) {
    const V x = load(gate + i);
    const V z = gating == 0 ? x * fma(x * x, all(-2 * 0.7978845608028654f * 0.044715f), all(-2 * 0.7978845608028654f)) : all(0.0f) - x;
    store(hidden + i, x / (one + exp(z)) * load(up + i));
  }
}

// out[i] += weight * y[i], rounded once.
static void accumulate(float weight, const float* y, float* out, int64_t n) {
  int64_t i = 0;
#if defined(__AVX2__) || defined(GROK1_NEON)
  const V w = all(weight);
  for (; i + W <= n; i += W) store(out + i, fma(w, load(y + i), load(out + i)));
#endif
  for (; i < n; i++) out[i] = fmaf(weight, y[i], out[i]);
}

}  // namespace grok1::GROK1_ISA
