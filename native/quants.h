// The ggml tensor types the kernels read: block layouts, and decoding to f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace grok1 {

enum TensorType : int {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ2_XXS = 16,
  IQ2_XS = 17,
  IQ3_XXS = 18,
  IQ1_S = 19,
  IQ4_NL = 20,
  IQ3_S = 21,
  IQ2_S = 22,
  IQ4_XS = 23,
  IQ1_M = 29,
  BF16 = 30,
  TQ1_0 = 34,
  TQ2_0 = 35,
  MXFP4 = 39,
};

// Elements and bytes of one block; 0 elements for a type that is not known here.
struct BlockSize {
  int elements;
  int bytes;
};
BlockSize blockSize(int type);

// Decodes `n` elements (whole blocks) of a row, with the float arithmetic of ggml and of the Python gguf package: equal
// to theirs bit for bit.
void dequantizeRow(int type, const uint8_t* src, float* dst, int64_t n);

static inline float floatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

// Rounds a float to the 11 significant bits of a half, to the nearest, ties to even, at any exponent.
static inline float roundTo11Bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return floatOfBits((bits + 0xfff + (bits >> 13 & 1)) & ~uint32_t(0x1fff));
}

// IEEE half to single, exact, without hardware help.
static inline float floatOfHalf(uint16_t half) {
  const uint32_t sign = uint32_t(half & 0x8000) << 16;
  const uint32_t rest = half & 0x7fff;
  if (rest >= 0x7c00) return floatOfBits(sign | 0x7f800000 | (rest & 0x3ff) << 13 | (rest > 0x7c00 ? 0x400000 : 0));
  if (rest >= 0x400) return floatOfBits(sign | ((rest + 0x1c000) << 13));
  const float magnitude = float(rest) * 5.9604644775390625e-8f;  // subnormal: rest * 2^-24
  uint32_t bits;
  std::memcpy(&bits, &magnitude, 4);
  return floatOfBits(sign | bits);
}

static inline float floatOfBfloat(uint16_t value) { return floatOfBits(uint32_t(value) << 16); }

static inline uint16_t load16(const uint8_t* p) {
  uint16_t value;
  std::memcpy(&value, p, 2);
  return value;
}
static inline uint32_t load32(const uint8_t* p) {
  uint32_t value;
  std::memcpy(&value, p, 4);
  return value;
}
static inline float halfAt(const uint8_t* p) { return floatOfHalf(load16(p)); }

// Sub-block scales and minimums of Q4_K and Q5_K, 6 bits each in 12 bytes.
static inline void unpackScales6(const uint8_t* packed, uint8_t scales[8], uint8_t mins[8]) {
  for (int j = 0; j < 4; j++) {
    const uint8_t a = packed[j], b = packed[4 + j], c = packed[8 + j];
    scales[j] = a & 63;
    mins[j] = b & 63;
    scales[4 + j] = uint8_t((c & 15) | (a >> 2 & 48));
    mins[4 + j] = uint8_t((c >> 4) | (b >> 2 & 48));
  }
}

// Sub-block scales of Q3_K, 6 bits each in 12 bytes, offset by 32.
static inline void unpackScales3(const uint8_t* packed, int8_t scales[16]) {
  for (int j = 0; j < 16; j++) {
    const int low = j < 8 ? packed[j] & 15 : packed[j - 8] >> 4;
    const int high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
    scales[j] = int8_t((low | high << 4) - 32);
  }
}

// The 16 values of IQ4_NL and IQ4_XS.
inline constexpr int8_t iq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Those of MXFP4, doubled, and 2^(e - 128), which they are scaled by.
inline constexpr int8_t fp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
static inline float exponentScale(uint8_t e) { return floatOfBits(e < 2 ? uint32_t(0x200000) << e : uint32_t(e - 1) << 23); }

// The f16 of an IQ1_M block, four bits of which lie above the scales in each of four words.
static inline uint16_t halfOfIq1m(const uint8_t* scales) {
  return uint16_t(scales[1] >> 4 | (scales[3] & 240) | (scales[5] & 240) << 4 | (scales[7] & 240) << 8);
}

// Eight sizes with the signs that eight bits name, as bytes.
static inline uint64_t withSigns(uint64_t sizes, uint64_t minus) { return (sizes ^ minus) + (minus & 0x0101010101010101); }

}  // namespace grok1
