// The gated activation between an expert's products.
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

}  // namespace grok1::GROK1_ISA
