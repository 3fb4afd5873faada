// What choosing a token reads of a row of logits, for one instruction set.
#include "ops.h"
#include "simd.h"

namespace grok1::GROK1_ISA {

// The largest of each kChoiceChunk values, the last chunk's of what is left; what is no number is passed over.
static void chunkMaxima(const float* x, int64_t n, float* maxima) {
  for (int64_t start = 0; start < n; start += kChoiceChunk) {
    const int64_t end = n - start < kChoiceChunk ? n : start + kChoiceChunk;
    V high = all(-INFINITY);
    int64_t i = start;
    for (; i + W <= end; i += W) {
      const V a = load(x + i);
      high = whereBelow(high, a, a, high);
    }
    float top = most(high);
    for (; i < end; i++) top = x[i] > top ? x[i] : top;
    *maxima++ = top;
  }
}

// The sum of exp(x - top), not a number where one of them is none.
static double sumExp(const float* x, int64_t n, float top) {
  const V t = all(top);
  double total = 0;
  int64_t i = 0;
  while (i + W <= n) {
    V part = all(0);
    const int64_t end = n - i < 16 * W ? n : i + 16 * W;
    for (; i + W <= end; i += W) part = part + exp(load(x + i) - t);
    total += double(sum(part));
  }
  if (i < n) {
    float rest[W];
    for (int j = 0; j < W; j++) rest[j] = i + j < n ? x[i + j] : -INFINITY;
    total += double(sum(exp(load(rest) - t)));
  }
  return total;
}

}  // namespace grok1::GROK1_ISA
