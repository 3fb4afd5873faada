// Types of three values, and MXFP4, whose scale is a power of two.
#pragma once

#include "encode-plain.inc.h"

namespace grok1::GROK1_ISA {

// Codes 0 to 2 of x = d (code - 1), with the d that fits best.
GROK1_INLINE float ternaryCodes(const float* x, const float* importance, uint8_t* codes) {
  float w[256], q[256];
  for (int i = 0; i < 256; i++) w[i] = importance == nullptr ? 1 : importance[i];
  const float d = halfToFloat(floatToHalf(magnitude(fitScale<Whole<-1, 1>>(x, w, 256))));
  nearestValues<Whole<-1, 1>>(x, 256, d, q);
  for (int i = 0; i < 256; i++) codes[i] = uint8_t(int(q[i]) + 1);
  return d;
}

static void encodeTq2(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 256, x += 256, out += 66) {
    uint8_t codes[256];
    putHalf(out + 64, ternaryCodes(x, importance == nullptr ? nullptr : importance + at, codes));
    for (int i = 0; i < 64; i++) {
      const uint8_t* const c = codes + 128 * (i / 32) + i % 32;
      out[i] = uint8_t(c[0] | c[32] << 2 | c[64] << 4 | c[96] << 6);
    }
  }
}

static void encodeTq1(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 256, x += 256, out += 54) {
    uint8_t codes[256];
    putHalf(out + 52, ternaryCodes(x, importance == nullptr ? nullptr : importance + at, codes));
    // A byte is a fraction of 256 whose digits in base 3 are the codes, rounded up so that the digits come out again.
    static constexpr int kParts[3][3] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
    const uint8_t* c = codes;
    for (const auto& [first, count, digits] : kParts) {
      for (int l = 0; l < count; l++) {
        int number = 0;
        for (int n = 0; n < 5; n++) number = 3 * number + (n < digits ? c[n * count + l] : 0);
        out[first + l] = uint8_t((number * 256 + 242) / 243);
      }
      c += count * digits;
    }
  }
}

static constexpr float kFp4[15] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};
static constexpr uint8_t kFp4Codes[15] = {15, 14, 13, 12, 11, 10, 9, 0, 1, 2, 3, 4, 5, 6, 7};
using Fp4 = Uneven<kFp4, 15>;

static void encodeMxfp4(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 32, x += 32, out += 17) {
    float w[32], q[32];
    uint8_t codes[32];
    for (int i = 0; i < 32; i++) w[i] = importance == nullptr ? 1 : importance[at + i];
    const float largest = magnitude(extremeOf(x, 32));
    int exponent = 0;
    float scale = 0;
    if (largest > 1e-30f) {
      // The power of two at which the largest is 8 to 16 of the grid's units, and those around it: what rounds best.
      const int power = int(bitsOf(largest) >> 23) - 127 - 3;
      float least = kWorst;
      for (int e = power - 1; e <= power + 2; e++) {
        const float s = floatOf(uint32_t(e + 127) << 23);
        nearestValues<Fp4>(x, 32, s, q);
        float error = 0;
        for (int i = 0; i < 32; i++) error += w[i] * (s * q[i] - x[i]) * (s * q[i] - x[i]);
        if (error < least) least = error, scale = s, exponent = e + 128;
      }
    }
    nearestValues<Fp4>(x, 32, scale, q);
    for (int i = 0; i < 32; i++) codes[i] = kFp4Codes[Fp4::codeOf(q[i])];
    out[0] = uint8_t(exponent);
    packNibbles(codes, out + 1);
  }
}

}  // namespace grok1::GROK1_ISA
