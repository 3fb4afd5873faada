#include "quants.h"

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
    case IQ4_NL: return {32, 18};
    case IQ4_XS: return {256, 136};
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

uint32_t load32(const uint8_t* p) {
  uint32_t value;
  std::memcpy(&value, p, 4);
  return value;
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
    case IQ4_NL: return each(type, src, dst, n, iq4_nl);
    case IQ4_XS: return each(type, src, dst, n, iq4_xs);
    default: return;
  }
}

}  // namespace grok1
