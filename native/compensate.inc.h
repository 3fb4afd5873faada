// The kernels of compensate.h for one instruction set: rows are lanes, and nothing is fused.
#include "compensate.h"
#include "quants.h"
#include "simd.h"

namespace grok1::GROK1_ISA {

static constexpr int N = kTileRows / W;

template <bool kUneven>
GROK1_INLINE V nearest(V v, V low, V high) {
  if (!kUneven) return round(min(max(v, low), high));
  V found = low;
  GROK1_UNROLL
  for (int k = 1; k < 16; k++) {
    const float value = float(iq4Values[k]), middle = (float(iq4Values[k - 1]) + value) * 0.5f;
    found = whereBelow(v, all(middle), found, all(value));
  }
  return found;
}

// Takes the errors of a column out of columns [from, end); `factor` is its row of U.
GROK1_INLINE void subtractErrors(float* w, const float* factor, const V* error, int from, int end) {
  for (int c = from; c < end; c++) {
    const V u = all(factor[c]);
    GROK1_UNROLL
    for (int k = 0; k < N; k++) {
      float* const to = w + c * kTileRows + k * W;
      store(to, load(to) - error[k] * u);
    }
  }
}

template <bool kUneven>
static void roundColumns(float* w, const float* factor, int64_t ld, int n, const float* steps, const float* bases, float low, float high,
                         float* v, float* errors) {
  for (int j = 0; j < n; j++) {
    const V inverse = all(1 / factor[j * ld + j]), bottom = all(low), top = all(high);
    V error[N];
    GROK1_UNROLL
    for (int k = 0; k < N; k++) {
      const int at = j * kTileRows + k * W;
      const V x = load(w + at), step = load(steps + at), base = load(bases + at);
      // A step of 0 leaves the base alone, whatever the code.
      const V none = all(1e-37f), size = max(step, all(0) - step);
      const V units = whereBelow(size, none, all(0), (x - base) / whereBelow(size, none, all(1), step));
      const V code = nearest<kUneven>(units, bottom, top);
      error[k] = (x - (step * code + base)) * inverse;
      store(v + at, code);
      store(errors + at, error[k]);
    }
    subtractErrors(w, factor + j * ld, error, j + 1, n);
  }
}

static void settleColumns(float* w, const float* factor, int64_t ld, int n, int more, const float* values, float* errors) {
  for (int j = 0; j < n; j++) {
    const V inverse = all(1 / factor[j * ld + j]);
    V error[N];
    GROK1_UNROLL
    for (int k = 0; k < N; k++) {
      const int at = j * kTileRows + k * W;
      error[k] = (load(w + at) - load(values + at)) * inverse;
      store(errors + at, error[k]);
    }
    subtractErrors(w, factor + j * ld, error, j + 1, n + more);
  }
}

static void spreadErrors(float* w, const float* factor, int64_t ld, int n, const float* errors, int64_t columns) {
  constexpr int kColumns = N == 1 ? 8 : 4;
  for (int64_t c = 0; c < columns; c += kColumns) {
    V sum[kColumns][N];
    GROK1_UNROLL
    for (int i = 0; i < kColumns * N; i++) sum[i / N][i % N] = all(0);
    for (int j = 0; j < n; j++) {
      const float* const u = factor + j * ld + c;
      V error[N];
      GROK1_UNROLL
      for (int k = 0; k < N; k++) error[k] = load(errors + j * kTileRows + k * W);
      GROK1_UNROLL
      for (int i = 0; i < kColumns * N; i++) sum[i / N][i % N] = sum[i / N][i % N] + error[i % N] * all(u[i / N]);
    }
    GROK1_UNROLL
    for (int i = 0; i < kColumns * N; i++) {
      float* const to = w + (c + i / N) * kTileRows + i % N * W;
      store(to, load(to) - sum[i / N][i % N]);
    }
  }
}

extern const CompensateKernels kCompensate;
const CompensateKernels kCompensate = {roundColumns<false>, roundColumns<true>, settleColumns, spreadErrors};

}  // namespace grok1::GROK1_ISA
