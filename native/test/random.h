// Random weights of every type with finite scales, and activations, for the native test and bench.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "../quants.h"

namespace grok1 {

inline constexpr int kTypes[] = {F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS,
                                 IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS, IQ3_S, TQ1_0, TQ2_0, MXFP4};

inline const char* typeName(int type) {
  switch (type) {
    case F32: return "f32";
    case F16: return "f16";
    case BF16: return "bf16";
    case Q4_0: return "q4_0";
    case Q4_1: return "q4_1";
    case Q5_0: return "q5_0";
    case Q5_1: return "q5_1";
    case Q8_0: return "q8_0";
    case Q2_K: return "q2_k";
    case Q3_K: return "q3_k";
    case Q4_K: return "q4_k";
    case Q5_K: return "q5_k";
    case Q6_K: return "q6_k";
    case IQ4_NL: return "iq4_nl";
    case IQ4_XS: return "iq4_xs";
    case IQ1_S: return "iq1_s";
    case IQ1_M: return "iq1_m";
    case IQ2_XXS: return "iq2_xxs";
    case IQ2_XS: return "iq2_xs";
    case IQ2_S: return "iq2_s";
    case IQ3_XXS: return "iq3_xxs";
    case IQ3_S: return "iq3_s";
    case TQ1_0: return "tq1_0";
    case TQ2_0: return "tq2_0";
    case MXFP4: return "mxfp4";
    default: return "?";
  }
}

struct Random {  // xorshift64*
  uint64_t state;
  explicit Random(uint64_t seed) : state(seed * 2654435769u + 1) {}
  uint64_t next() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717ull;
  }
  float uniform() { return float(int64_t(next() >> 40) - (1 << 23)) / float(1 << 23); }  // [-1, 1)
  float normal() {  // roughly: a sum of four uniforms
    return (uniform() + uniform() + uniform() + uniform()) * 0.866f;
  }
};

// A half in ±[2^-8, 2^-6).
inline void putScale(uint8_t* p, Random& random) {
  const uint16_t bits = uint16_t((random.next() & 0x8000) | (7 << 10) | (random.next() & 0x7ff));
  std::memcpy(p, &bits, 2);
}

// Scales of the blocks at p, which are any bytes so far.
inline void putScales(int type, uint8_t* p, int64_t blocks, Random& random) {
  for (int64_t i = 0; i < blocks; i++, p += blockSize(type).bytes) {
    switch (type) {
      case Q4_1:
      case Q5_1:
      case Q4_K:
      case Q5_K: putScale(p + 2, random); [[fallthrough]];
      default: putScale(p, random); break;
      case Q2_K: putScale(p + 80, random), putScale(p + 82, random); break;
      case Q3_K: putScale(p + 108, random); break;
      case Q6_K: putScale(p + 208, random); break;
      case TQ1_0: putScale(p + 52, random); break;
      case TQ2_0: putScale(p + 64, random); break;
      case MXFP4: *p = uint8_t(118 + random.next() % 4); break;
      case IQ1_M: {
        uint8_t half[2];
        putScale(half, random);
        for (int n = 0; n < 4; n++) p[49 + 2 * n] = uint8_t((p[49 + 2 * n] & 15) | (half[n / 2] >> (n % 2 * 4) & 15) << 4);
        break;
      }
    }
  }
}

inline std::vector<uint8_t> randomWeights(int type, int64_t rows, int64_t cols, Random& random) {
  const BlockSize size = blockSize(type);
  const int64_t blocks = rows * cols / size.elements;
  std::vector<uint8_t> bytes(size_t(blocks) * size_t(size.bytes));
  uint8_t* p = bytes.data();
  if (size.elements == 1) {
    for (int64_t i = 0; i < blocks; i++, p += size.bytes) {
      const float value = random.normal();
      uint32_t bits;
      std::memcpy(&bits, &value, 4);
      const uint16_t half = type == BF16 ? uint16_t(bits >> 16) : uint16_t((bits >> 16 & 0x8000) | (14 << 10) | (bits & 0x3ff));
      if (type == F32) std::memcpy(p, &value, 4);
      else std::memcpy(p, &half, 2);
    }
    return bytes;
  }
  for (size_t i = 0; i + 8 <= bytes.size(); i += 8) {
    const uint64_t bits = random.next();
    std::memcpy(p + i, &bits, 8);
  }
  putScales(type, p, blocks, random);
  return bytes;
}

// Quantized weights whose codes are at their ends: all of a row's bytes but the scales are the same.
inline std::vector<uint8_t> extremeWeights(int type, int64_t rows, int64_t cols, Random& random) {
  const BlockSize size = blockSize(type);
  constexpr uint8_t kEnds[] = {0x00, 0xff, 0x80, 0x7f};
  const int64_t blocks = cols / size.elements, rowBytes = blocks * size.bytes;
  std::vector<uint8_t> bytes(size_t(rows * rowBytes));
  for (int64_t r = 0; r < rows; r++) std::memset(bytes.data() + r * rowBytes, kEnds[r % 4], size_t(rowBytes));
  putScales(type, bytes.data(), rows * blocks, random);
  return bytes;
}

}  // namespace grok1
