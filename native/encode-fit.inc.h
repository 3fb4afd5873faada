// The searches that encoders share, for one instruction set. Candidates are side by side in lanes and elements are added one after the
// other, so that no sum depends on how many lanes there are; nothing is fused. So all instruction sets give the same bytes.
#pragma once

#include "simd.h"

namespace grok1::GROK1_ISA {

// Candidates of a search over steps, and of a search around a choice.
constexpr int kSteps = 32;
constexpr int kNear = 16;

// What is no more than this has no scale that a half could hold.
constexpr float kNothing = 1e-12f;
constexpr float kWorst = 3e38f;

static const float kLane[kSteps] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};

// Grids: what a code stands for, in units of the scale. nearest() gives the grid's value.
template <int kLow, int kHigh>
struct Whole {
  static constexpr float low = kLow, high = kHigh;
  GROK1_INLINE V nearest(V v) { return round(min(max(v, all(low)), all(high))); }
};

// `kSize` ascending values, a table of floats.
template <const float* kValues, int kSize>
struct Uneven {
  static constexpr float low = kValues[0], high = kValues[kSize - 1];
  GROK1_INLINE V nearest(V v) {
    V found = all(low);
    GROK1_UNROLL
    for (int k = 1; k < kSize; k++) found = whereBelow(v, all((kValues[k - 1] + kValues[k]) * 0.5f), found, all(kValues[k]));
    return found;
  }
  static int codeOf(float value) {
    int code = 0;
    while (code + 1 < kSize && kValues[code] != value) code++;
    return code;
  }
};

GROK1_INLINE float sumOf(const float* x, int64_t n) {
  float total = 0;
  for (int64_t i = 0; i < n; i++) total += x[i];
  return total;
}

GROK1_INLINE float meanSquare(const float* x, int64_t n) {
  float parts[16] = {};
  for (int64_t i = 0; i < n; i += 16) {
    for (int j = 0; j < 16; j++) parts[j] += x[i + j] * x[i + j];
  }
  return sumOf(parts, 16) / float(n);
}

// How much the error of each element weighs: by importance and, the more the larger it is beside `sigma2`, by its magnitude.
GROK1_INLINE void weighByImportance(const float* x, const float* importance, float sigma2, int n, float* w) {
  for (int i = 0; i < n; i++) w[i] = importance[i] * sqrtf(sigma2 + x[i] * x[i]);
}

// Where importance is not known: by square for one scale, by magnitude where there is a minimum too. What is small counts all the same.
GROK1_INLINE void weighBySquare(const float* x, int n, float* w) {
  const float sigma2 = meanSquare(x, n);
  for (int i = 0; i < n; i++) w[i] = sigma2 + x[i] * x[i];
}
GROK1_INLINE void weighByMagnitude(const float* x, int n, float* w) {
  const float rms = sqrtf(meanSquare(x, n));
  for (int i = 0; i < n; i++) w[i] = rms + magnitude(x[i]);
}

// --- One scale: x ≈ scale * q --------------------------------------------------------------------------------------------

// The scale, of either sign unless the grid begins at 0, that fits best among those that put the largest magnitude near an end of the grid.
template <class Grid>
static float fitScale(const float* x, const float* w, int n) {
  float extreme = 0;
  for (int i = 0; i < n; i++) extreme = magnitude(x[i]) > magnitude(extreme) ? x[i] : extreme;
  if (!(magnitude(extreme) > kNothing)) return 0;
  // One half of the candidates puts the extreme near the grid's high end, the other near its low end, where that is another. Of three
  // values, the outer ones are often best far below the extreme.
  const bool twoEnds = Grid::low < 0 && Grid::high > 1;
  const float reach = Grid::high > 64 ? 1.5f : 0.1f;
  float errors[kSteps], scales[kSteps], units[kSteps];
  for (int c = 0; c < kSteps; c++) {
    const float step = twoEnds ? float(c % 16) - 8.0f : float(c) - (Grid::high > 1 ? 12.0f : 4.0f);
    units[c] = (twoEnds && c >= 16 ? Grid::low - reach * step : Grid::high + reach * step) / extreme;
  }
  for (int c = 0; c < kSteps; c += 16) {
    constexpr int N = 16 / W;
    V unit[N], wxq[N], wqq[N];
    GROK1_UNROLL
    for (int k = 0; k < N; k++) unit[k] = load(units + c + k * W), wxq[k] = wqq[k] = all(0);
    for (int i = 0; i < n; i++) {
      const V value = all(x[i]), weight = all(w[i]), both = all(w[i] * x[i]);
      GROK1_UNROLL
      for (int k = 0; k < N; k++) {
        const V q = Grid::nearest(value * unit[k]);
        wxq[k] = wxq[k] + both * q;
        wqq[k] = wqq[k] + weight * q * q;
      }
    }
    GROK1_UNROLL
    for (int k = 0; k < N; k++) {
      // Least squares leaves wxx - wxq² / wqq. No weight or no code but 0: no gain.
      const V some = max(wqq[k], all(1e-30f));
      const V scale = wxq[k] / some;
      store(errors + c + k * W, all(0) - wxq[k] * scale);
      store(scales + c + k * W, scale);
    }
  }
  float best = 0, scale = 0;
  for (int c = 0; c < kSteps; c++) {
    if (errors[c] < best) best = errors[c], scale = scales[c];
  }
  return scale;
}

// Scales d * s of sub-blocks, s whole numbers of a range: which s, within 8 of the present one, gives a sub-block the least error.
template <class Grid>
static int chooseScale(const float* x, const float* w, int n, float d, int near, int low, int high, float* error) {
  constexpr int N = kNear / W;
  float candidates[kNear], errors[kNear], inverses[kNear];
  for (int c = 0; c < kNear; c++) {
    int s = near - 8 + c;
    s = s < low ? low : s > high ? high : s;
    candidates[c] = d * float(s);
    inverses[c] = candidates[c] == 0 ? 0 : 1 / candidates[c];
  }
  V scale[N], inverse[N], sum[N];
  GROK1_UNROLL
  for (int k = 0; k < N; k++) scale[k] = load(candidates + k * W), inverse[k] = load(inverses + k * W), sum[k] = all(0);
  for (int i = 0; i < n; i++) {
    const V value = all(x[i]), weight = all(w[i]);
    GROK1_UNROLL
    for (int k = 0; k < N; k++) {
      const V off = scale[k] * Grid::nearest(value * inverse[k]) - value;
      sum[k] = sum[k] + weight * off * off;
    }
  }
  GROK1_UNROLL
  for (int k = 0; k < N; k++) store(errors + k * W, sum[k]);
  int best = 8;
  for (int c = 0; c < kNear; c++) best = errors[c] < errors[best] ? c : best;
  *error = errors[best];
  const int s = near - 8 + best;
  return s < low ? low : s > high ? high : s;
}

// Codes' values of n elements (a multiple of 16) to a scale: 0 where the scale is.
template <class Grid>
GROK1_INLINE void nearestValues(const float* x, int n, float scale, float* q) {
  const V inverse = all(scale == 0 ? 0 : 1 / scale);
  for (int i = 0; i < n; i += W) store(q + i, Grid::nearest(load(x + i) * inverse));
}

// A superblock of `kCount` sub-blocks of `kSize` elements with whole scales in [kLow, kHigh].
template <int kCount>
struct ScaledBlock {
  float d;  // a half
  int scales[kCount];
};

template <class Grid, int kCount, int kSize, int kLow, int kHigh>
static ScaledBlock<kCount> fitScaledBlock(const float* x, const float* w) {
  float fits[kCount], weights[kCount];
  for (int j = 0; j < kCount; j++) {
    fits[j] = fitScale<Grid>(x + kSize * j, w + kSize * j, kSize);
    weights[j] = sumOf(w + kSize * j, kSize);
  }
  ScaledBlock<kCount> best{}, block{};
  block.d = halfToFloat(floatToHalf(fitScale<Whole<kLow, kHigh>>(fits, weights, kCount)));
  if (block.d == 0) return best;
  for (int j = 0; j < kCount; j++) {
    const float s = fits[j] / block.d;
    block.scales[j] = int(s < kLow ? kLow : s > kHigh ? kHigh : s);
  }
  float least = kWorst;
  for (int round = 0; round < 3; round++) {
    float error = 0, top = 0, bottom = 0;
    for (int j = 0; j < kCount; j++) {
      float own;
      block.scales[j] = chooseScale<Grid>(x + kSize * j, w + kSize * j, kSize, block.d, block.scales[j], kLow, kHigh, &own);
      error += own;
    }
    if (!(error < least)) break;
    least = error;
    best = block;
    if (round == 2) break;
    // The scale of all that is best for these codes: the next round chooses with it.
    for (int j = 0; j < kCount; j++) {
      float q[kSize], wxq = 0, wqq = 0;
      const float s = float(block.scales[j]);
      nearestValues<Grid>(x + kSize * j, kSize, block.d * s, q);
      for (int i = 0; i < kSize; i++) {
        const float weight = w[kSize * j + i];
        wxq += weight * x[kSize * j + i] * q[i];
        wqq += weight * q[i] * q[i];
      }
      top += s * wxq;
      bottom += s * s * wqq;
    }
    if (!(bottom > 0)) break;
    const float d = halfToFloat(floatToHalf(top / bottom));
    if (d == block.d || d == 0 || !(magnitude(d) <= 65504)) break;
    block.d = d;
  }
  return best;
}

// --- Scale and minimum: x ≈ scale * q - min ----------------------------------------------------------------------------

struct Affine {
  float scale, min;  // the scale is not negative
};

// Codes 0..kLevels. Each candidate is a step that the elements are rounded to; scale and minimum are the best for these codes. Without
// kRaises no minimum is negative, which would raise values.
template <int kLevels, bool kRaises = false>
static Affine fitAffine(const float* x, const float* w, int n) {
  float low = kRaises ? x[0] : 0, high = x[0];
  for (int i = 0; i < n; i++) {
    low = x[i] < low ? x[i] : low;
    high = x[i] > high ? x[i] : high;
  }
  if (!(high - low > kNothing)) return {0, -low};
  float y[32], wy[32], w1 = 0, sumY = 0, sumYY = 0;
  for (int i = 0; i < n; i++) {
    y[i] = x[i] - low;
    wy[i] = w[i] * y[i];
    w1 += w[i];
    sumY += wy[i];
    sumYY += wy[i] * y[i];
  }
  const float sumXX = sumYY + 2 * low * sumY + low * low * w1;
  constexpr float kFirst = kLevels <= 3 ? -0.9f : -1.2f, kStep = kLevels <= 3 ? 0.06f : 0.08f;
  float errors[kSteps], scales[kSteps], offsets[kSteps];
  for (int c = 0; c < kSteps; c += 16) {
    constexpr int N = 16 / W;
    V unit[N], wq[N], wqq[N], wyq[N];
    GROK1_UNROLL
    for (int k = 0; k < N; k++) {
      unit[k] = (all(kLevels + kFirst) + load(kLane + c + k * W) * all(kStep)) * all(1 / (high - low));
      wq[k] = wqq[k] = wyq[k] = all(0);
    }
    for (int i = 0; i < n; i++) {
      const V value = all(y[i]), weight = all(w[i]), both = all(wy[i]);
      GROK1_UNROLL
      for (int k = 0; k < N; k++) {
        const V q = round(min(value * unit[k], all(kLevels)));
        const V weighted = weight * q;
        wq[k] = wq[k] + weighted;
        wqq[k] = wqq[k] + weighted * q;
        wyq[k] = wyq[k] + both * q;
      }
    }
    GROK1_UNROLL
    for (int k = 0; k < N; k++) {
      const V determinant = all(w1) * wqq[k] - wq[k] * wq[k], some = max(wqq[k], all(1e-30f));
      const V safe = max(determinant, all(1e-30f));
      V scale = (all(w1) * wyq[k] - all(sumY) * wq[k]) / safe;
      V offset = (wqq[k] * all(sumY) - wq[k] * wyq[k]) / safe;
      V error = all(sumYY) - scale * wyq[k] - offset * all(sumY);
      offset = offset + all(low);
      // The minimum cannot be solved for where all elements share a code.
      const V wxq = wyq[k] + all(low) * wq[k];
      const V alone = wxq / some, errorAlone = all(sumXX) - alone * wxq;
      const V solvable = whereBelow(all(1e-6f) * all(w1) * wqq[k], determinant, kRaises ? all(1) : whereBelow(all(0), offset, all(0), all(1)), all(0));
      scale = whereBelow(solvable, all(0.5f), alone, scale);
      offset = whereBelow(solvable, all(0.5f), all(0), offset);
      error = whereBelow(solvable, all(0.5f), errorAlone, error);
      store(errors + c + k * W, whereBelow(all(0), scale, error, all(kWorst)));
      store(scales + c + k * W, scale);
      store(offsets + c + k * W, offset);
    }
  }
  int best = 0;
  for (int c = 1; c < kSteps; c++) best = errors[c] < errors[best] ? c : best;
  if (!(errors[best] < kWorst)) return {0, -low};
  return {scales[best], -offsets[best]};
}

template <int kLevels>
GROK1_INLINE void nearestCodes(const float* x, int n, float scale, float least, float* q) {
  const V inverse = all(scale == 0 ? 0 : 1 / scale), lift = all(least);
  for (int i = 0; i < n; i += W) store(q + i, Whole<0, kLevels>::nearest((load(x + i) + lift) * inverse));
}

// Whole scales and minimums, both in 0..kMost.
template <int kCount>
struct AffineBlock {
  float d, dmin;  // halves
  int scales[kCount], mins[kCount];
};

// The pair of scale and minimum with the least error for one sub-block: eight scales around the present one, for each the two minimums
// beside the one that is best for its codes.
template <int kLevels, int kMost>
static float choosePair(const float* x, const float* w, int n, float d, float dmin, int* scale, int* least) {
  constexpr int N = kNear / W;
  float steps[kNear], inverses[kNear], mins[kNear], errors[kNear], w1 = 0, wx = 0;
  for (int c = 0; c < kNear; c++) {
    int s = *scale - 4 + c / 2;
    s = s < 0 ? 0 : s > kMost ? kMost : s;
    steps[c] = d * float(s);
    inverses[c] = steps[c] == 0 ? 0 : 1 / steps[c];
  }
  for (int i = 0; i < n; i++) w1 += w[i], wx += w[i] * x[i];
  const V present = all(dmin * float(*least));
  V step[N], inverse[N], sum[N], lift[N];
  GROK1_UNROLL
  for (int k = 0; k < N; k++) step[k] = load(steps + k * W), inverse[k] = load(inverses + k * W), sum[k] = all(0);
  for (int i = 0; i < n; i++) {
    const V value = all(x[i]) + present, weight = all(w[i]);
    GROK1_UNROLL
    for (int k = 0; k < N; k++) sum[k] = sum[k] + weight * Whole<0, kLevels>::nearest(value * inverse[k]);
  }
  const float perMin = dmin == 0 ? 0 : 1 / dmin, perWeight = 1 / (w1 > 1e-30f ? w1 : 1e-30f);
  GROK1_UNROLL
  for (int k = 0; k < N; k++) {
    const V wanted = (step[k] * sum[k] - all(wx)) * all(perWeight) * all(perMin);
    store(mins + k * W, Whole<0, kMost>::nearest(wanted - all(0.5f)));
  }
  for (int c = 1; c < kNear; c += 2) mins[c] = mins[c] + 1 > kMost ? mins[c] : mins[c] + 1;
  GROK1_UNROLL
  for (int k = 0; k < N; k++) lift[k] = load(mins + k * W) * all(dmin), sum[k] = all(0);
  for (int i = 0; i < n; i++) {
    const V value = all(x[i]), weight = all(w[i]);
    GROK1_UNROLL
    for (int k = 0; k < N; k++) {
      const V raised = value + lift[k];
      const V off = step[k] * Whole<0, kLevels>::nearest(raised * inverse[k]) - raised;
      sum[k] = sum[k] + weight * off * off;
    }
  }
  GROK1_UNROLL
  for (int k = 0; k < N; k++) store(errors + k * W, sum[k]);
  int best = 0;
  for (int c = 1; c < kNear; c++) best = errors[c] < errors[best] ? c : best;
  const int s = *scale - 4 + best / 2;
  *scale = s < 0 ? 0 : s > kMost ? kMost : s;
  *least = int(mins[best]);
  return errors[best];
}

template <int kLevels, int kCount, int kSize, int kMost>
static AffineBlock<kCount> fitAffineBlock(const float* x, const float* w) {
  float fits[kCount], lifts[kCount], weights[kCount];
  for (int j = 0; j < kCount; j++) {
    const Affine fit = fitAffine<kLevels>(x + kSize * j, w + kSize * j, kSize);
    fits[j] = fit.scale;
    lifts[j] = fit.min;
    weights[j] = sumOf(w + kSize * j, kSize);
  }
  AffineBlock<kCount> best{}, block{};
  block.d = halfToFloat(floatToHalf(fitScale<Whole<0, kMost>>(fits, weights, kCount)));
  block.dmin = halfToFloat(floatToHalf(fitScale<Whole<0, kMost>>(lifts, weights, kCount)));
  for (int j = 0; j < kCount; j++) {
    const float s = block.d == 0 ? 0 : fits[j] / block.d + 0.5f, m = block.dmin == 0 ? 0 : lifts[j] / block.dmin + 0.5f;
    block.scales[j] = int(s > kMost ? kMost : s);
    block.mins[j] = int(m > kMost ? kMost : m);
  }
  float lowest = kWorst;
  for (int round = 0; round < 3; round++) {
    float error = 0;
    for (int j = 0; j < kCount; j++) {
      error += choosePair<kLevels, kMost>(x + kSize * j, w + kSize * j, kSize, block.d, block.dmin, &block.scales[j], &block.mins[j]);
    }
    if (!(error < lowest)) break;
    lowest = error;
    best = block;
    if (round == 2) break;
    // d and dmin that are best for these codes, scales and minimums: two equations.
    float ss = 0, sm = 0, mm = 0, sx = 0, mx = 0;
    for (int j = 0; j < kCount; j++) {
      float q[kSize], w1 = 0, wq = 0, wqq = 0, wx = 0, wxq = 0;
      const float s = float(block.scales[j]), m = float(block.mins[j]);
      nearestCodes<kLevels>(x + kSize * j, kSize, block.d * s, block.dmin * m, q);
      for (int i = 0; i < kSize; i++) {
        const float weight = w[kSize * j + i], weighted = weight * q[i], value = x[kSize * j + i];
        w1 += weight;
        wq += weighted;
        wqq += weighted * q[i];
        wx += weight * value;
        wxq += weighted * value;
      }
      ss += s * s * wqq;
      sm += s * m * wq;
      mm += m * m * w1;
      sx += s * wxq;
      mx += m * wx;
    }
    const float determinant = ss * mm - sm * sm;
    float d = block.d, dmin = block.dmin;
    if (determinant > 1e-5f * ss * mm) {
      d = (sx * mm - mx * sm) / determinant;
      dmin = (sx * sm - mx * ss) / determinant;
    } else if (ss > 0) {
      d = (sx + dmin * sm) / ss;
    }
    if (!(d > 0 && dmin >= 0 && d <= 65504 && dmin <= 65504)) break;
    d = halfToFloat(floatToHalf(d));
    dmin = halfToFloat(floatToHalf(dmin));
    if (d == block.d && dmin == block.dmin) break;
    block.d = d;
    block.dmin = dmin;
  }
  return best;
}

}  // namespace grok1::GROK1_ISA
