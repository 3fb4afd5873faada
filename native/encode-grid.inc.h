// IQ1 to IQ3: groups of eight or four weights are an entry of a grid, with signs or a shift beside it, scaled by odd multiples of d.
//
// The error of entry g at scale s is sum of w (x - s g)² = const - 2 s A + s² B with A = sum of w x g and B = sum of w g². These are
// computed once for all entries of the grid, so that the best entry for any scale, out of all of them, costs one pass over A and B.
#pragma once

#include "encode-plain.inc.h"
#include "grids.h"
#include "lattice.h"

namespace grok1::GROK1_ISA {

// What distinguishes the types. `divisor`: the scale of a sub-block is d / divisor * (2 code + 1), code below `levels`.
template <int kDimensions, int kEntries, int kSubBlock, int kLevelsOfScale, int kDivisor, bool kShifts, bool kEvenSigns, uint64_t kSigma>
struct GridSpec {
  static constexpr int dimensions = kDimensions, entries = kEntries, size = kSubBlock, levels = kLevelsOfScale, divisor = kDivisor;
  static constexpr int groups = kSubBlock / kDimensions, blocks = 256 / kSubBlock;
  static constexpr bool shifts = kShifts, evenSigns = kEvenSigns;
  static constexpr float sigma = float(kSigma);
  // Floats of one group: A, then B; with shifts, B of the grid shifted up and down.
  static constexpr int64_t stride = int64_t(kEntries) * (kShifts ? 3 : 2);
};

constexpr float kShift = 0.125f;

// Values of all entries, column by column.
template <class Spec>
struct GridTable {
  float values[Spec::dimensions][Spec::entries];
  float largest = 0;

  template <class Grid, class Size>
  GridTable(const Grid& grid, Size sizeOf) {
    constexpr int bits = 16 / Spec::dimensions;
    for (int e = 0; e < Spec::entries; e++) {
      for (int c = 0; c < Spec::dimensions; c++) {
        values[c][e] = sizeOf(int(grid[size_t(e)] >> (bits * c)) & ((1 << bits) - 1));
        if (values[c][e] > largest) largest = values[c][e];
      }
    }
  }
};

// A and B of a group: `a` is w x, the sign of x taken off where the type stores it.
template <class Spec>
static void weighEntries(const GridTable<Spec>& table, const float* a, const float* w, float* to) {
  for (int e = 0; e < Spec::entries; e += W) {
    V sumA = all(0), sumB = all(0), sumG = all(0);
    GROK1_UNROLL
    for (int c = 0; c < Spec::dimensions; c++) {
      const V g = load(&table.values[c][e]), weighted = all(w[c]) * g;
      sumA = sumA + all(a[c]) * g;
      sumB = sumB + weighted * g;
      if (Spec::shifts) sumG = sumG + weighted;
    }
    store(to + e, sumA + sumA);
    if (Spec::shifts) {
      const V across = sumG * all(2 * kShift);
      store(to + Spec::entries + e, sumB + across);
      store(to + 2 * Spec::entries + e, sumB - across);
    } else {
      store(to + Spec::entries + e, sumB);
    }
  }
}

// Of the least of each lane: the least of all, and its place, the first of equal ones.
GROK1_INLINE int firstLeast(V best, V at, float* least) {
  float lowest[W], places[W];
  store(lowest, best);
  store(places, at);
  int found = 0;
  for (int l = 1; l < W; l++) {
    if (lowest[l] < lowest[found] || (lowest[l] == lowest[found] && places[l] < places[found])) found = l;
  }
  *least = lowest[found];
  return int(places[found]);
}

// The entry with the least s B - 2 A, the first of equal ones; `twice` holds 2 A.
template <int kEntries>
static int leastEntry(const float* twice, const float* b, float s, float* least) {
  V best = all(kWorst), at = all(0), here = load(kLane), scale = all(s);
  for (int e = 0; e < kEntries; e += W) {
    const V t = scale * load(b + e) - load(twice + e);
    at = whereBelow(t, best, here, at);
    best = min(t, best);
    here = here + all(W);
  }
  return firstLeast(best, at, least);
}

// What a group is written as at a scale: its error beside that of zeros, and the sums that a better scale comes from.
struct GroupFit {
  int entry;
  bool down;
  float error, a, b;
};

template <class Spec>
static GroupFit fitGroup(const float* weighed, float sumA, float sumW, float s, bool down) {
  GroupFit fit;
  fit.down = down;
  float least;
  const float* const b = weighed + Spec::entries * (down ? 2 : 1);
  fit.entry = leastEntry<Spec::entries>(weighed, b, s, &least);
  fit.a = weighed[fit.entry] * 0.5f;
  fit.b = b[fit.entry];
  if (Spec::shifts) {
    const float shift = down ? -kShift : kShift;
    fit.a = fit.a + shift * sumA;
    fit.b = fit.b + kShift * kShift * sumW;
  }
  fit.error = s * (s * fit.b - 2 * fit.a);
  return fit;
}

// A sub-block at a scale. `kEachShifts`: each group is shifted to a side of its own, otherwise all to the same.
template <class Spec, bool kEachShifts>
static float fitSubBlock(const float* weighed, const float* sumsA, const float* sumsW, float s, GroupFit* fits) {
  float error = 0;
  if (!Spec::shifts || kEachShifts) {
    for (int g = 0; g < Spec::groups; g++) {
      fits[g] = fitGroup<Spec>(weighed + g * Spec::stride, sumsA[g], sumsW[g], s, false);
      if (Spec::shifts) {
        const GroupFit other = fitGroup<Spec>(weighed + g * Spec::stride, sumsA[g], sumsW[g], s, true);
        if (other.error < fits[g].error) fits[g] = other;
      }
      error += fits[g].error;
    }
    return error;
  }
  GroupFit others[Spec::groups];
  float otherError = 0;
  for (int g = 0; g < Spec::groups; g++) {
    fits[g] = fitGroup<Spec>(weighed + g * Spec::stride, sumsA[g], sumsW[g], s, false);
    others[g] = fitGroup<Spec>(weighed + g * Spec::stride, sumsA[g], sumsW[g], s, true);
    error += fits[g].error;
    otherError += others[g].error;
  }
  if (!(otherError < error)) return error;
  for (int g = 0; g < Spec::groups; g++) fits[g] = others[g];
  return otherError;
}

// 1, 3, 5 ...: what d is multiplied by.
static constexpr float kOdd[16] = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};

// First scales, beside the one that puts the largest magnitude at the grid's largest value; of three values, beside the mean magnitude.
static constexpr float kFirst[8] = {0.55f, 0.66f, 0.76f, 0.84f, 0.92f, 1.0f, 1.08f, 1.2f};
static constexpr float kFirstOfThree[8] = {0.95f, 1.1f, 1.25f, 1.4f, 1.55f, 1.7f, 1.9f, 2.2f};

template <class Spec, bool kEachShifts>
static LatticeBlock fitGridBlock(const GridTable<Spec>& table, const float* a, const float* w, const float* x, float* scratch) {
  constexpr int kGroups = 256 / Spec::dimensions;
  float sumsA[kGroups], sumsW[kGroups], scales[Spec::blocks], weights[Spec::blocks];
  GroupFit fits[Spec::groups];
  for (int g = 0; g < kGroups; g++) {
    const int from = g * Spec::dimensions;
    weighEntries<Spec>(table, a + from, w + from, scratch + g * Spec::stride);
    sumsA[g] = sumOf(a + from, Spec::dimensions);
    sumsW[g] = sumOf(w + from, Spec::dimensions);
  }
  for (int j = 0; j < Spec::blocks; j++) {
    const int first = j * Spec::groups;
    float largest = 0, total = 0, size = 0;
    for (int i = j * Spec::size; i < (j + 1) * Spec::size; i++) {
      const float m = magnitude(x[i]);
      largest = m > largest ? m : largest;
      total += w[i];
      size += w[i] * m;
    }
    weights[j] = total;
    scales[j] = 0;
    const float unit = Spec::shifts ? size / (total > 1e-30f ? total : 1e-30f) : largest / table.largest;
    if (!(unit > kNothing)) continue;
    float best = 0;
    for (int c = 0; c < 8; c++) {
      const float s = unit * (Spec::shifts ? kFirstOfThree[c] : kFirst[c]);
      fitSubBlock<Spec, kEachShifts>(scratch + first * Spec::stride, sumsA + first, sumsW + first, s, fits);
      float top = 0, bottom = 0;
      for (int g = 0; g < Spec::groups; g++) top += fits[g].a, bottom += fits[g].b;
      if (bottom > 0 && top > 0 && top * top > best * bottom) best = top * top / bottom, scales[j] = top / bottom;
    }
  }
  LatticeBlock chosen{}, choice{};
  const float unit = fitScale<Uneven<kOdd, Spec::levels>>(scales, weights, Spec::blocks);
  choice.d = halfToFloat(floatToHalf(unit * Spec::divisor));
  if (!(choice.d > 0)) return chosen;
  for (int j = 0; j < Spec::blocks; j++) {
    const float code = (scales[j] * float(Spec::divisor) / choice.d - 1) * 0.5f + 0.5f;
    choice.scales[j] = code < 0 ? 0 : code > Spec::levels - 1 ? Spec::levels - 1 : int(code);
  }
  float lowest = kWorst;
  for (int round = 0; round < 3; round++) {
    const int reach = round == 0 ? 2 : 1;
    float total = 0, top = 0, bottom = 0;
    for (int j = 0; j < Spec::blocks; j++) {
      const int first = j * Spec::groups, present = choice.scales[j];
      float best = kWorst;
      for (int code = present - reach; code <= present + reach; code++) {
        if (code < 0 || code >= Spec::levels) continue;
        const float s = choice.d / float(Spec::divisor) * float(2 * code + 1);
        const float error = fitSubBlock<Spec, kEachShifts>(scratch + first * Spec::stride, sumsA + first, sumsW + first, s, fits);
        if (!(error < best)) continue;
        best = error;
        choice.scales[j] = code;
        for (int g = 0; g < Spec::groups; g++) choice.entries[first + g] = fits[g].entry, choice.down[first + g] = fits[g].down;
      }
      total += best;
      const float odd = float(2 * choice.scales[j] + 1);
      for (int g = first; g < first + Spec::groups; g++) {
        const float* const weighed = scratch + g * Spec::stride;
        const int e = choice.entries[g];
        const float shift = !Spec::shifts ? 0 : choice.down[g] ? -kShift : kShift;
        top += odd * (weighed[e] * 0.5f + shift * sumsA[g]);
        bottom += odd * odd * (weighed[Spec::entries * (choice.down[g] ? 2 : 1) + e] + shift * shift * sumsW[g]);
      }
    }
    if (!(total < lowest)) break;
    lowest = total;
    chosen = choice;
    if (!(bottom > 0 && top > 0)) break;
    const float d = halfToFloat(floatToHalf(top / bottom * float(Spec::divisor)));
    if (d == choice.d || !(d > 0 && d <= 65504)) break;
    choice.d = d;
  }
  return chosen;
}

// Floats of scratch that all types need.
constexpr int64_t kGridScratch = 32 * 2048 * 3;

}  // namespace grok1::GROK1_ISA
