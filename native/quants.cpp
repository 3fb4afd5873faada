#include "quants.h"

#include "grids.h"

namespace grok1 {

BlockSize blockSize(int type) {
  switch (type) {
    case F32: return {1, 4};
    case F16: return {1, 2};
    case BF16: return {1, 2};
    case Q4_0: return {32, 18};
    case Q4_1: return {32, 20};
    case Q5_0: return {32, 22};
    case Q5_1: return {32, 24};
    case Q8_0: return {32, 34};
    case Q2_K: return {256, 84};
    case Q3_K: return {256, 110};
    case Q4_K: return {256, 144};
    case Q5_K: return {256, 176};
    case Q6_K: return {256, 210};
    case IQ1_S: return {256, 50};
    case IQ1_M: return {256, 56};
    case IQ2_XXS: return {256, 66};
    case IQ2_XS: return {256, 74};
    case IQ2_S: return {256, 82};
    case IQ3_XXS: return {256, 98};
    case IQ3_S: return {256, 110};
    case IQ4_NL: return {32, 18};
    case IQ4_XS: return {256, 136};
    case TQ1_0: return {256, 54};
    case TQ2_0: return {256, 66};
    case MXFP4: return {32, 17};
    default: return {0, 0};
  }
}

namespace {

// One function a type: a block of bytes to its floats.

void q4_0(const uint8_t* b, float* y) {
  const float d = halfAt(b);
  for (int i = 0; i < 16; i++) {
    y[i] = d * float((b[2 + i] & 15) - 8);
    y[16 + i] = d * float((b[2 + i] >> 4) - 8);
  }
}

void q4_1(const uint8_t* b, float* y) {
  const float d = halfAt(b), m = halfAt(b + 2);
  for (int i = 0; i < 16; i++) {
    const float low = d * float(b[4 + i] & 15), high = d * float(b[4 + i] >> 4);
    y[i] = low + m;
    y[16 + i] = high + m;
  }
}

void q5_0(const uint8_t* b, float* y) {
  const float d = halfAt(b);
  const uint32_t high = load32(b + 2);
  for (int i = 0; i < 16; i++) {
    y[i] = d * float(int((b[6 + i] & 15) | (high >> i & 1) << 4) - 16);
    y[16 + i] = d * float(int((b[6 + i] >> 4) | (high >> (16 + i) & 1) << 4) - 16);
  }
}

void q5_1(const uint8_t* b, float* y) {
  const float d = halfAt(b), m = halfAt(b + 2);
  const uint32_t high = load32(b + 4);
  for (int i = 0; i < 16; i++) {
    const float first = d * float((b[8 + i] & 15) | (high >> i & 1) << 4);
    const float second = d * float((b[8 + i] >> 4) | (high >> (16 + i) & 1) << 4);
    y[i] = first + m;
    y[16 + i] = second + m;
  }
}

void q8_0(const uint8_t* b, float* y) {
  const float d = halfAt(b);
  for (int i = 0; i < 32; i++) y[i] = float(int8_t(b[2 + i])) * d;
}

void q2_k(const uint8_t* b, float* y) {
  const float d = halfAt(b + 80), dmin = halfAt(b + 82);
  for (int j = 0; j < 16; j++) {
    const float scale = d * float(b[j] & 15), min = dmin * float(b[j] >> 4);
    const uint8_t* q = b + 16 + 32 * (j / 8) + 16 * (j % 2);
    const int shift = 2 * (j % 8 / 2);
    for (int i = 0; i < 16; i++) {
      const float value = scale * float(q[i] >> shift & 3);
      y[16 * j + i] = value - min;
    }
  }
}

void q3_k(const uint8_t* b, float* y) {
  const float d = halfAt(b + 108);
  int8_t scales[16];
  unpackScales3(b + 96, scales);
  for (int j = 0; j < 16; j++) {
    const float scale = d * float(scales[j]);
    const uint8_t *h = b + 16 * (j % 2), *q = b + 32 + 32 * (j / 8) + 16 * (j % 2);
    const int shift = 2 * (j % 8 / 2), bit = j / 2;
    for (int i = 0; i < 16; i++) y[16 * j + i] = scale * float((q[i] >> shift & 3) - (h[i] >> bit & 1 ? 0 : 4));
  }
}

void q45_k(const uint8_t* b, float* y, bool five) {
  const float d = halfAt(b), dmin = halfAt(b + 2);
  uint8_t scales[8], mins[8];
  unpackScales6(b + 4, scales, mins);
  for (int j = 0; j < 8; j++) {
    const float scale = d * float(scales[j]), min = dmin * float(mins[j]);
    const uint8_t *high = b + 16, *q = b + (five ? 48 : 16) + 32 * (j / 2);
    for (int i = 0; i < 32; i++) {
      int code = q[i] >> (j % 2 * 4) & 15;
      if (five) code |= (high[i] >> j & 1) << 4;
      const float value = scale * float(code);
      y[32 * j + i] = value - min;
    }
  }
}

void q6_k(const uint8_t* b, float* y) {
  const float d = halfAt(b + 208);
  for (int j = 0; j < 16; j++) {
    const float scale = d * float(int8_t(b[192 + j]));
    const int half = j / 8, part = j % 8 / 2, from = 16 * (j % 2);
    const uint8_t *low = b + 64 * half + 32 * (part % 2) + from, *high = b + 128 + 32 * half + from;
    for (int i = 0; i < 16; i++) {
      const int code = (low[i] >> (part / 2 * 4) & 15) | (high[i] >> (2 * part) & 3) << 4;
      y[16 * j + i] = scale * float(code - 32);
    }
  }
}

void iq4_nl(const uint8_t* b, float* y) {
  const float d = halfAt(b);
  for (int i = 0; i < 16; i++) {
    y[i] = d * float(iq4Values[b[2 + i] & 15]);
    y[16 + i] = d * float(iq4Values[b[2 + i] >> 4]);
  }
}

void iq4_xs(const uint8_t* b, float* y) {
  const float d = halfAt(b);
  const uint16_t high = load16(b + 2);
  for (int j = 0; j < 8; j++) {
    const int code = (b[4 + j / 2] >> (j % 2 * 4) & 15) | (high >> (2 * j) & 3) << 4;
    const float scale = d * float(code - 32);
    const uint8_t* q = b + 8 + 16 * j;
    for (int i = 0; i < 16; i++) {
      y[32 * j + i] = scale * float(iq4Values[q[i] & 15]);
      y[32 * j + 16 + i] = scale * float(iq4Values[q[i] >> 4]);
    }
  }
}

// Eight values of a grid, negative where a bit of `signs` says so.
void signedEight(float scale, uint64_t sizes, uint8_t signs, float* y) {
  const uint64_t bytes = withSigns(sizes, kGrids.minus[signs]);
  for (int i = 0; i < 8; i++) y[i] = scale * float(int8_t(bytes >> (8 * i)));
}

uint64_t twoFours(uint32_t low, uint32_t high) { return low | uint64_t(high) << 32; }

float oddScale(float d, int code) { return d * float(2 * code + 1); }

void iq2_xxs(const uint8_t* b, float* y) {
  const float d = halfAt(b) * 0.125f;
  for (int j = 0; j < 8; j++) {
    const uint8_t* q = b + 2 + 8 * j;
    const uint32_t packed = load32(q + 4);
    for (int i = 0; i < 4; i++, y += 8) {
      signedEight(oddScale(d, int(packed >> 28)), kGrids.iq2xxs[q[i]], kGrids.evenSigns[packed >> (7 * i) & 127], y);
    }
  }
}

void iq2_xs(const uint8_t* b, float* y) {
  const float d = halfAt(b) * 0.125f;
  for (int i = 0; i < 32; i++, y += 8) {
    const uint16_t packed = load16(b + 2 + 2 * i);
    signedEight(oddScale(d, b[66 + i / 4] >> (i % 4 / 2 * 4) & 15), kGrids.iq2xs[packed & 511], kGrids.evenSigns[packed >> 9], y);
  }
}

void iq2_s(const uint8_t* b, float* y) {
  const float d = halfAt(b) * 0.125f;
  for (int i = 0; i < 32; i++, y += 8) {
    const int high = b[66 + i / 4] >> (i % 4 * 2) & 3;
    signedEight(oddScale(d, b[74 + i / 4] >> (i % 4 / 2 * 4) & 15), kGrids.iq2s[b[2 + i] | high << 8], b[34 + i], y);
  }
}

void iq3_xxs(const uint8_t* b, float* y) {
  const float d = halfAt(b) * 0.25f;
  for (int i = 0; i < 32; i++, y += 8) {
    const uint32_t packed = load32(b + 66 + i / 4 * 4);
    const uint64_t sizes = twoFours(kGrids.iq3xxs[b[2 + 2 * i]], kGrids.iq3xxs[b[3 + 2 * i]]);
    signedEight(oddScale(d, int(packed >> 28)), sizes, kGrids.evenSigns[packed >> (i % 4 * 7) & 127], y);
  }
}

void iq3_s(const uint8_t* b, float* y) {
  const float d = halfAt(b);
  for (int i = 0; i < 32; i++, y += 8) {
    const int high = b[66 + i / 4] >> (i % 4 * 2);
    const uint64_t sizes = twoFours(kGrids.iq3s[b[2 + 2 * i] | (high & 1) << 8], kGrids.iq3s[b[3 + 2 * i] | (high & 2) << 7]);
    signedEight(oddScale(d, b[106 + i / 8] >> (i % 8 / 4 * 4) & 15), sizes, b[74 + i], y);
  }
}

// Eight values of IQ1_S and IQ1_M, an eighth beside -1, 0 and 1.
void shiftedEight(float scale, uint64_t codes, bool down, float* y) {
  for (int i = 0; i < 8; i++) y[i] = scale * (float(int(codes >> (8 * i + 3) & 31) - 1) + (down ? -0.125f : 0.125f));
}

void iq1_s(const uint8_t* b, float* y) {
  const float d = halfAt(b);
  for (int i = 0; i < 32; i++, y += 8) {
    const int high = load16(b + 34 + i / 4 * 2);
    shiftedEight(oddScale(d, high >> 12 & 7), kGrids.iq1[b[2 + i] | (high >> (i % 4 * 3) & 7) << 8], high >> 15, y);
  }
}

void iq1_m(const uint8_t* b, float* y) {
  const float d = floatOfHalf(halfOfIq1m(b + 48));
  for (int i = 0; i < 32; i++, y += 8) {
    const int high = b[32 + i / 2] >> (i % 2 * 4), scale = load16(b + 48 + i / 8 * 2) >> (i % 8 / 2 * 3) & 7;
    shiftedEight(oddScale(d, scale), kGrids.iq1[b[i] | (high & 7) << 8], high >> 3 & 1, y);
  }
}

void tq1_0(const uint8_t* b, float* y) {
  const float d = halfAt(b + 52);
  constexpr struct {
    int first, count, digits;
  } parts[3] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
  for (const auto& part : parts) {
    for (int n = 0, power = 1; n < part.digits; n++, power *= 3) {
      for (int i = 0; i < part.count; i++) *y++ = d * float((uint8_t(b[part.first + i] * power) * 3 >> 8) - 1);
    }
  }
}

void tq2_0(const uint8_t* b, float* y) {
  const float d = halfAt(b + 64);
  for (int i = 0; i < 256; i++) y[i] = d * float((b[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3) - 1);
}

void mxfp4(const uint8_t* b, float* y) {
  const float scale = exponentScale(b[0]);
  for (int i = 0; i < 16; i++) {
    y[i] = scale * float(fp4Values[b[1 + i] & 15]);
    y[16 + i] = scale * float(fp4Values[b[1 + i] >> 4]);
  }
}

template <class F>
void each(int type, const uint8_t* src, float* dst, int64_t n, F decode) {
  const BlockSize size = blockSize(type);
  for (int64_t i = 0; i < n; i += size.elements, src += size.bytes) decode(src, dst + i);
}

}  // namespace

void dequantizeRow(int type, const uint8_t* src, float* dst, int64_t n) {
  switch (type) {
    case F32: std::memcpy(dst, src, size_t(n) * 4); return;
    case F16: return each(type, src, dst, n, [](const uint8_t* b, float* y) { *y = halfAt(b); });
    case BF16: return each(type, src, dst, n, [](const uint8_t* b, float* y) { *y = floatOfBfloat(load16(b)); });
    case Q4_0: return each(type, src, dst, n, q4_0);
    case Q4_1: return each(type, src, dst, n, q4_1);
    case Q5_0: return each(type, src, dst, n, q5_0);
    case Q5_1: return each(type, src, dst, n, q5_1);
    case Q8_0: return each(type, src, dst, n, q8_0);
    case Q2_K: return each(type, src, dst, n, q2_k);
    case Q3_K: return each(type, src, dst, n, q3_k);
    case Q4_K: return each(type, src, dst, n, [](const uint8_t* b, float* y) { q45_k(b, y, false); });
    case Q5_K: return each(type, src, dst, n, [](const uint8_t* b, float* y) { q45_k(b, y, true); });
    case Q6_K: return each(type, src, dst, n, q6_k);
    case IQ1_S: return each(type, src, dst, n, iq1_s);
    case IQ1_M: return each(type, src, dst, n, iq1_m);
    case IQ2_XXS: return each(type, src, dst, n, iq2_xxs);
    case IQ2_XS: return each(type, src, dst, n, iq2_xs);
    case IQ2_S: return each(type, src, dst, n, iq2_s);
    case IQ3_XXS: return each(type, src, dst, n, iq3_xxs);
    case IQ3_S: return each(type, src, dst, n, iq3_s);
    case TQ1_0: return each(type, src, dst, n, tq1_0);
    case TQ2_0: return each(type, src, dst, n, tq2_0);
    case MXFP4: return each(type, src, dst, n, mxfp4);
    case IQ4_NL: return each(type, src, dst, n, iq4_nl);
    case IQ4_XS: return each(type, src, dst, n, iq4_xs);
    default: return;
  }
}

}  // namespace grok1
