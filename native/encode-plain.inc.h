// Types that only round to nearest, with the bytes of ggml's reference and of src/tensor/types/; and, where importance is known, the same
// blocks of 32 with the scale that fits best.
#pragma once

#include "encode-fit.inc.h"

namespace grok1::GROK1_ISA {

GROK1_INLINE void put16(uint8_t* out, uint16_t value) { memcpy(out, &value, 2); }
GROK1_INLINE void putHalf(uint8_t* out, float value) { put16(out, floatToHalf(value)); }

static void encodeF32(const float* x, const float*, int64_t cols, float*, uint8_t* out) { memcpy(out, x, size_t(cols) * 4); }

static void encodeF16(const float* x, const float*, int64_t cols, float*, uint8_t* out) {
  for (int64_t i = 0; i < cols; i++) putHalf(out + 2 * i, x[i]);
}

static void encodeBf16(const float* x, const float*, int64_t cols, float*, uint8_t* out) {
  for (int64_t i = 0; i < cols; i++) {
    const uint32_t bits = bitsOf(x[i]);
    put16(out + 2 * i, uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16));
  }
}

// 1 / d; 0 where that is none, so that a block of zeros, or of what no half holds as a scale, has codes of zero.
GROK1_INLINE float inverseOf(float d) {
  const float inverse = 1 / d;
  return magnitude(inverse) <= 3.4028235e38f ? inverse : 0;
}

GROK1_INLINE float extremeOf(const float* x, int n) {
  float found = x[0];
  for (int i = 1; i < n; i++) found = magnitude(x[i]) > magnitude(found) ? x[i] : found;
  return found;
}

static void encodeQ8_0(const float* x, const float*, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 32, x += 32, out += 34) {
    const float d = magnitude(extremeOf(x, 32)) / 127, inverse = inverseOf(d);
    putHalf(out, d);
    for (int i = 0; i < 32; i++) {
      // Halves away from zero. The sum would round 0.49999997 up; a product that is just below one half is none here.
      const float v = x[i] * inverse, whole = float(int(v)), rest = v - whole;
      out[2 + i] = uint8_t(int8_t(int(whole) + (rest >= 0.5f) - (rest <= -0.5f)));
    }
  }
}

// 32 codes of four bits, or of five: code i and i + 16 share a byte, the fifth bits are together before.
GROK1_INLINE void packNibbles(const uint8_t* codes, uint8_t* out) {
  for (int i = 0; i < 16; i++) out[i] = uint8_t((codes[i] & 15) | codes[16 + i] << 4);
}
GROK1_INLINE void packFive(const uint8_t* codes, uint8_t* out) {
  uint32_t high = 0;
  for (int i = 0; i < 32; i++) high |= uint32_t(codes[i] >> 4 & 1) << i;
  memcpy(out, &high, 4);
  packNibbles(codes, out + 4);
}

// Q4_0 and Q5_0: x = d * (code - kHalf).
template <int kHalf>
static void encodeSymmetric(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  const float sigma2 = importance == nullptr ? 0 : meanSquare(x, cols);
  for (int64_t at = 0; at < cols; at += 32, x += 32, out += kHalf == 8 ? 18 : 22) {
    uint8_t codes[32];
    if (importance == nullptr) {
      // The element of largest magnitude has code 0, so its sign decides that of d.
      const float d = extremeOf(x, 32) / float(-kHalf), inverse = inverseOf(d);
      putHalf(out, d);
      for (int i = 0; i < 32; i++) {
        const float v = x[i] * inverse + (float(kHalf) + 0.5f);
        codes[i] = uint8_t(v < float(2 * kHalf - 1) ? v : float(2 * kHalf - 1));
      }
    } else {
      float w[32], q[32];
      weighByImportance(x, importance + at, sigma2, 32, w);
      const uint16_t half = floatToHalf(fitScale<Whole<-kHalf, kHalf - 1>>(x, w, 32));
      put16(out, half);
      nearestValues<Whole<-kHalf, kHalf - 1>>(x, 32, halfToFloat(half), q);
      for (int i = 0; i < 32; i++) codes[i] = uint8_t(int(q[i]) + kHalf);
    }
    kHalf == 8 ? packNibbles(codes, out + 2) : packFive(codes, out + 2);
  }
}

// Q4_1 and Q5_1: x = d * code + m.
template <int kLevels>
static void encodeRange(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  const float sigma2 = importance == nullptr ? 0 : meanSquare(x, cols);
  for (int64_t at = 0; at < cols; at += 32, x += 32, out += kLevels == 15 ? 20 : 24) {
    uint8_t codes[32];
    if (importance == nullptr) {
      float low = x[0], high = x[0];
      for (int i = 1; i < 32; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
      }
      const float d = (high - low) / float(kLevels), inverse = inverseOf(d);
      putHalf(out, d);
      putHalf(out + 2, low);
      for (int i = 0; i < 32; i++) {
        const float v = (x[i] - low) * inverse + 0.5f;
        codes[i] = uint8_t(v < float(kLevels) ? v : float(kLevels));
      }
    } else {
      float w[32], q[32];
      weighByImportance(x, importance + at, sigma2, 32, w);
      const Affine fit = fitAffine<kLevels, true>(x, w, 32);
      const uint16_t d = floatToHalf(fit.scale), m = floatToHalf(-fit.min);
      put16(out, d);
      put16(out + 2, m);
      nearestCodes<kLevels>(x, 32, halfToFloat(d), -halfToFloat(m), q);
      for (int i = 0; i < 32; i++) codes[i] = uint8_t(q[i]);
    }
    kLevels == 15 ? packNibbles(codes, out + 4) : packFive(codes, out + 4);
  }
}

}  // namespace grok1::GROK1_ISA
