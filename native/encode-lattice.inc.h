// IQ1 to IQ3 by type: grid, scales, signs and bytes. Layouts: quants.cpp and src/tensor/types/.
#pragma once

#include "encode-grid.inc.h"
#include "quants.h"

namespace grok1::GROK1_ISA {

static float sizeOfIq2(int code) { return float(kIq2Sizes[code]); }
static float sizeOfIq3xxs(int code) { return float(kIq3xxsSizes[code & 7]); }
static float sizeOfIq3s(int code) { return float(kIq3sSizes[code & 7]); }
static float sizeOfIq1(int code) { return float(code - 1); }

// Scales of sub-blocks of 16, two a byte.
GROK1_INLINE void packScales4(const int* scales, int count, uint8_t* out) {
  for (int i = 0; i < count / 2; i++) out[i] = uint8_t(scales[2 * i] | scales[2 * i + 1] << 4);
}

struct Iq2Xxs {
  using Spec = GridSpec<8, 256, 32, 16, 8, false, true, 1>;
  static constexpr int bytes = 66;
  static constexpr bool eachShifts = false;
  static const GridTable<Spec>& table() {
    static const GridTable<Spec> values(kIq2xxsGrid, sizeOfIq2);
    return values;
  }
  static void put(const LatticeBlock& block, uint8_t* out) {
    putHalf(out, block.d);
    for (int j = 0; j < 8; j++) {
      uint32_t packed = uint32_t(block.scales[j]) << 28;
      for (int i = 0; i < 4; i++) {
        out[2 + 8 * j + i] = uint8_t(block.entries[4 * j + i]);
        packed |= uint32_t(block.signs[4 * j + i] & 127) << (7 * i);
      }
      memcpy(out + 6 + 8 * j, &packed, 4);
    }
  }
};

struct Iq2Xs {
  using Spec = GridSpec<8, 512, 16, 16, 8, false, true, 1>;
  static constexpr int bytes = 74;
  static constexpr bool eachShifts = false;
  static const GridTable<Spec>& table() {
    static const GridTable<Spec> values(kIq2xsGrid, sizeOfIq2);
    return values;
  }
  static void put(const LatticeBlock& block, uint8_t* out) {
    putHalf(out, block.d);
    for (int i = 0; i < 32; i++) put16(out + 2 + 2 * i, uint16_t(block.entries[i] | (block.signs[i] & 127) << 9));
    packScales4(block.scales, 16, out + 66);
  }
};

struct Iq2S {
  using Spec = GridSpec<8, 1024, 16, 16, 8, false, false, 2>;
  static constexpr int bytes = 82;
  static constexpr bool eachShifts = false;
  static const GridTable<Spec>& table() {
    static const GridTable<Spec> values(kIq2sGrid, sizeOfIq2);
    return values;
  }
  static void put(const LatticeBlock& block, uint8_t* out) {
    putHalf(out, block.d);
    memset(out + 66, 0, 8);
    for (int i = 0; i < 32; i++) {
      out[2 + i] = uint8_t(block.entries[i]);
      out[34 + i] = block.signs[i];
      out[66 + i / 4] |= uint8_t((block.entries[i] >> 8) << (i % 4 * 2));
    }
    packScales4(block.scales, 16, out + 74);
  }
};

struct Iq3Xxs {
  using Spec = GridSpec<4, 256, 32, 16, 4, false, true, 2>;
  static constexpr int bytes = 98;
  static constexpr bool eachShifts = false;
  static const GridTable<Spec>& table() {
    static const GridTable<Spec> values(kIq3xxsGrid, sizeOfIq3xxs);
    return values;
  }
  static void put(const LatticeBlock& block, uint8_t* out) {
    putHalf(out, block.d);
    for (int i = 0; i < 64; i++) out[2 + i] = uint8_t(block.entries[i]);
    for (int j = 0; j < 8; j++) {
      uint32_t packed = uint32_t(block.scales[j]) << 28;
      for (int i = 0; i < 4; i++) packed |= uint32_t(block.signs[4 * j + i] & 127) << (7 * i);
      memcpy(out + 66 + 4 * j, &packed, 4);
    }
  }
};

struct Iq3S {
  using Spec = GridSpec<4, 512, 32, 16, 1, false, false, 2>;
  static constexpr int bytes = 110;
  static constexpr bool eachShifts = false;
  static const GridTable<Spec>& table() {
    static const GridTable<Spec> values(kIq3sGrid, sizeOfIq3s);
    return values;
  }
  static void put(const LatticeBlock& block, uint8_t* out) {
    putHalf(out, block.d);
    memset(out + 66, 0, 8);
    for (int i = 0; i < 64; i++) {
      out[2 + i] = uint8_t(block.entries[i]);
      out[66 + i / 8] |= uint8_t((block.entries[i] >> 8) << (i % 8));
    }
    memcpy(out + 74, block.signs, 32);
    packScales4(block.scales, 8, out + 106);
  }
};

struct Iq1S {
  using Spec = GridSpec<8, 2048, 32, 8, 1, true, false, 2>;
  static constexpr int bytes = 50;
  static constexpr bool eachShifts = false;
  static const GridTable<Spec>& table() {
    static const GridTable<Spec> values(kIq1Grid, sizeOfIq1);
    return values;
  }
  static void put(const LatticeBlock& block, uint8_t* out) {
    putHalf(out, block.d);
    for (int i = 0; i < 32; i++) out[2 + i] = uint8_t(block.entries[i]);
    for (int j = 0; j < 8; j++) {
      int high = block.scales[j] << 12 | int(block.down[4 * j]) << 15;
      for (int i = 0; i < 4; i++) high |= block.entries[4 * j + i] >> 8 << (3 * i);
      put16(out + 34 + 2 * j, uint16_t(high));
    }
  }
};

struct Iq1M {
  using Spec = GridSpec<8, 2048, 16, 8, 1, true, false, 2>;
  static constexpr int bytes = 56;
  static constexpr bool eachShifts = true;
  static const GridTable<Spec>& table() {
    static const GridTable<Spec> values(kIq1Grid, sizeOfIq1);
    return values;
  }
  static void put(const LatticeBlock& block, uint8_t* out) {
    memset(out + 32, 0, 24);
    for (int i = 0; i < 32; i++) {
      out[i] = uint8_t(block.entries[i]);
      out[32 + i / 2] |= uint8_t((block.entries[i] >> 8 | int(block.down[i]) << 3) << (i % 2 * 4));
    }
    const uint16_t half = floatToHalf(block.d);
    for (int k = 0; k < 4; k++) {
      int word = (half >> (4 * k) & 15) << 12;
      for (int j = 0; j < 4; j++) word |= block.scales[4 * k + j] << (3 * j);
      put16(out + 48 + 2 * k, uint16_t(word));
    }
  }
};

// Magnitudes of eight weights, and a bit for each minus. An even number of minuses is what seven bits hold: where it is odd, the
// element whose sign costs least has the wrong one, and its magnitude counts as less than nothing.
template <bool kEven>
GROK1_INLINE uint8_t takeSigns(const float* x, const float* w, float* size) {
  uint8_t bits = 0;
  int cheapest = 0;
  for (int l = 0; l < 8; l++) {
    size[l] = magnitude(x[l]);
    bits |= uint8_t((x[l] < 0) << l);
    if (w[l] * size[l] < w[cheapest] * size[cheapest]) cheapest = l;
  }
  int odd = bits ^ bits >> 4;
  odd ^= odd >> 2;
  if (kEven && ((odd ^ odd >> 1) & 1) != 0) {
    size[cheapest] = -size[cheapest];
    bits ^= uint8_t(1 << cheapest);
  }
  return bits;
}

template <class Type>
static void fitLattice(const float* x, const float* importance, float* scratch, LatticeBlock* block) {
  using Spec = typename Type::Spec;
  float w[256], a[256];
  uint8_t signs[32] = {};
  importance != nullptr ? weighByImportance(x, importance, Spec::sigma * meanSquare(x, 256), 256, w) : weighBySquare(x, 256, w);
  for (int i = 0; i < 256; i += 8) {
    if (Spec::shifts) memcpy(a + i, x + i, 32);
    else signs[i / 8] = takeSigns<Spec::evenSigns>(x + i, w + i, a + i);
    for (int l = i; l < i + 8; l++) a[l] = w[l] * a[l];
  }
  *block = fitGridBlock<Spec, Type::eachShifts>(Type::table(), a, w, x, scratch);
  memcpy(block->signs, signs, sizeof signs);
}

template <class Type>
static void encodeLattice(const float* x, const float* importance, int64_t cols, float* scratch, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 256, out += Type::bytes) {
    LatticeBlock block;
    fitLattice<Type>(x + at, importance == nullptr ? nullptr : importance + at, scratch, &block);
    Type::put(block, out);
  }
}

// The entry g with the least sum of w (x - s g)², the first of equal ones; that less the sum of w x².
template <class Spec>
static int nearestEntry(const GridTable<Spec>& table, const float* x, const float* w, float s, float* least) {
  V square[Spec::dimensions], linear[Spec::dimensions];
  GROK1_UNROLL
  for (int c = 0; c < Spec::dimensions; c++) {
    const float scaled = w[c] * s;
    square[c] = all(scaled * s);
    linear[c] = all(2 * (scaled * x[c]));
  }
  V best = all(kWorst), at = all(0), here = load(kLane);
  for (int e = 0; e < Spec::entries; e += W) {
    V sum = all(0);
    GROK1_UNROLL
    for (int c = 0; c < Spec::dimensions; c++) {
      const V g = load(&table.values[c][e]);
      sum = sum + (square[c] * g - linear[c]) * g;
    }
    at = whereBelow(sum, best, here, at);
    best = min(sum, best);
    here = here + all(W);
  }
  return firstLeast(best, at, least);
}

template <class Type>
static void choosePoint(const float* x, const float* w, int group, LatticeBlock* block, float* values) {
  using Spec = typename Type::Spec;
  constexpr int kEach = 8 / Spec::dimensions;
  const auto& table = Type::table();
  const int first = group * kEach;
  const float s = block->d / float(Spec::divisor) * float(2 * block->scales[group * 8 / Spec::size] + 1);
  if (!(s > 0)) {
    for (int i = 0; i < 8; i++) values[i] = 0;
    return;
  }
  if (Spec::shifts) {
    float lowest = kWorst;
    const bool present = block->down[first];
    for (int side = 0; side < 2; side++) {
      const bool down = side == 1;
      if (!Type::eachShifts && down != present) continue;
      const float shift = down ? -kShift : kShift;
      float y[8], total = 0, least;
      for (int i = 0; i < 8; i++) {
        y[i] = x[i] - s * shift;
        total += w[i] * y[i] * y[i];
      }
      const int entry = nearestEntry<Spec>(table, y, w, s, &least);
      if (!(total + least < lowest)) continue;
      lowest = total + least;
      block->entries[first] = entry;
      block->down[first] = down;
      for (int i = 0; i < 8; i++) values[i] = s * (table.values[i][entry] + shift);
    }
    return;
  }
  float size[8], least;
  const uint8_t signs = takeSigns<Spec::evenSigns>(x, w, size);
  block->signs[group] = signs;
  for (int e = 0; e < kEach; e++) {
    const int from = e * Spec::dimensions, entry = nearestEntry<Spec>(table, size + from, w + from, s, &least);
    block->entries[first + e] = entry;
    for (int c = 0; c < Spec::dimensions; c++) {
      const float value = s * table.values[c][entry];
      values[from + c] = (signs >> (from + c) & 1) != 0 ? -value : value;
    }
  }
}

static void scaleLattice(LatticeBlock* block, float factor) {
  const float d = halfToFloat(floatToHalf(block->d * factor));
  if (d <= 65504) block->d = d;
}

template <class Type>
static const LatticeKernels* latticeKernels() {
  static const LatticeKernels kernels = {fitLattice<Type>, choosePoint<Type>, Type::put, scaleLattice};
  return &kernels;
}

const LatticeKernels* latticeOf(int type);
const LatticeKernels* latticeOf(int type) {
  switch (type) {
    case IQ1_S: return latticeKernels<Iq1S>();
    case IQ1_M: return latticeKernels<Iq1M>();
    case IQ2_XXS: return latticeKernels<Iq2Xxs>();
    case IQ2_XS: return latticeKernels<Iq2Xs>();
    case IQ2_S: return latticeKernels<Iq2S>();
    case IQ3_XXS: return latticeKernels<Iq3Xxs>();
    case IQ3_S: return latticeKernels<Iq3S>();
    default: return nullptr;
  }
}

}  // namespace grok1::GROK1_ISA
