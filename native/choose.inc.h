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

// exp(x) for x up to 0, within 1e-12 of it: 2^k times a series of what is left, k rounded by an addition. Not a number where x is none.
GROK1_INLINE double expDown(double x) {
  constexpr double kRound = 0x1.8p52;
  // Below, nothing is left of it beside exp(0).
  const double least = x < -708 ? -708 : x;
  const double shifted = least * 0x1.71547652b82fep0 + kRound, k = shifted - kRound;
  const double r = least - k * 0x1.62e42fefap-1 - k * 0x1.cf79abc9e3b3ap-40;
  double p = 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1;
  p = p * r + 1;
  uint64_t bits;
  memcpy(&bits, &shifted, 8);
  bits = (bits + 1023) << 52;
  double power;
  memcpy(&power, &bits, 8);
  return p * power;
}

// The sum of exp(x - top), not a number where one of them is none. Sums side by side, added up in one order: the same bits with any
// instruction set.
static double sumExp(const float* x, int64_t n, float top) {
  constexpr int kSums = 16;
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int j = 0; j < kSums; j++) sums[j] += expDown(double(x[i + j]) - double(top));
  }
  for (int j = 0; i < n; i++, j++) sums[j] += expDown(double(x[i]) - double(top));
  double total = 0;
  for (int j = 0; j < kSums; j++) total += sums[j];
  return total;
}

}  // namespace grok1::GROK1_ISA
