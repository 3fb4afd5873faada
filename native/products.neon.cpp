// Register tiles for Arm with dot products: 16 rows in four registers, 2 tokens at a time; the rest is plain C++.
#define GROK1_ISA neon
#if !defined(GROK1_NEON)
#define GROK1_NEON 1
#endif
#include <arm_neon.h>

#include "products.portable.inc.h"

namespace grok1::GROK1_ISA {

// Codes are unsigned, activations signed: codes are read as signed ones less 128 where they take all 8 bits.
static int dot16(const uint8_t* codes, const int8_t* acts) {
  const int8x16_t a = vld1q_s8(acts), w = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes), vdupq_n_u8(128)));
  // 128 times the activations' sum is taken back.
  const int32x4_t sum = vdotq_s32(vdotq_s32(vdupq_n_s32(0), w, a), vdupq_n_s8(64), a);
  return vaddvq_s32(vdotq_s32(sum, vdupq_n_s8(64), a));
}

GROK1_INLINE float32x4_t column(const uint8_t* p, int quarter) { return vld1q_f32((const float*)p + 4 * quarter); }

template <int G>
struct Step {
  static constexpr int value = G;
};

// What a token's sums start from: its offset, which signed codes do not need.
template <int T, bool SIGNED>
GROK1_INLINE void start(const int32_t* offsets, int32x4_t (*sums)[4]) {
  for (int t = 0; t < T; t++) {
    for (int q = 0; q < 4; q++) sums[t][q] = vdupq_n_s32(SIGNED ? 0 : offsets[t]);
  }
}

// sums[t][quarter of the rows] += products of 16 columns from group `first` of 4 on.
template <int T, bool SIGNED>
GROK1_INLINE void dotColumns(const uint8_t* w, const uint8_t* x, int first, int32x4_t (*sums)[4]) {
  int8x16_t a[T];
  for (int t = 0; t < T; t++) a[t] = vld1q_s8((const int8_t*)x + 32 * t + 4 * first);
  const auto group = [&](auto step) {
    constexpr int g = decltype(step)::value;
    for (int q = 0; q < 4; q++) {
      uint8x16_t codes = vld1q_u8(w + 64 * (first + g) + 16 * q);
      if (SIGNED) codes = veorq_u8(codes, vdupq_n_u8(128));
      for (int t = 0; t < T; t++) sums[t][q] = vdotq_laneq_s32(sums[t][q], vreinterpretq_s8_u8(codes), a[t], g);
    }
  };
  group(Step<0>());
  group(Step<1>());
  group(Step<2>());
  group(Step<3>());
}

template <Kind KIND, bool SIGNED, int T>
static void multiplyTokens(const uint8_t* w, const uint8_t* x, int64_t units, int firstToken, float* c) {
  float32x4_t lane[T][4];
  for (int t = 0; t < T; t++) {
    for (int q = 0; q < 4; q++) lane[t][q] = vdupq_n_f32(0);
  }
  for (int64_t u = 0; u < units; u++, w += panelUnitBytes(KIND), x += tileUnitBytes(KIND, kTile)) {
    if constexpr (KIND == Kind::f32) {
      for (int q = 0; q < 4; q++) {
        const float32x4_t values = column(w, q);
        for (int t = 0; t < T; t++) lane[t][q] = vfmaq_n_f32(lane[t][q], values, ((const float*)x)[firstToken + t]);
      }
      continue;
    }
    const uint8_t* const codes = x + 32 * firstToken;
    const int32_t* const offsets = (const int32_t*)(x + 32 * kTile) + firstToken;
    const float* const floats = (const float*)offsets;
    int32x4_t sums[T][4];
    start<T, SIGNED>(offsets, sums);
    if constexpr (KIND == Kind::block32 || KIND == Kind::min32) {
      dotColumns<T, SIGNED>(w, codes, 0, sums);
      dotColumns<T, SIGNED>(w, codes, 4, sums);
      for (int q = 0; q < 4; q++) {
        const float32x4_t scale = column(w + 512, q);
        for (int t = 0; t < T; t++) {
          lane[t][q] = vfmaq_f32(lane[t][q], vcvtq_f32_s32(sums[t][q]), vmulq_n_f32(scale, floats[kTile + t]));
          if (KIND == Kind::min32) lane[t][q] = vfmaq_n_f32(lane[t][q], column(w + 576, q), floats[2 * kTile + t]);
        }
      }
    } else {
      int32x4_t odd[T][4];
      start<T, false>(offsets + kTile, odd);
      dotColumns<T, false>(w, codes, 0, sums);
      dotColumns<T, false>(w, codes, 4, odd);
      for (int q = 0; q < 4; q++) {
        const float32x4_t scale = column(w + 512, q), first = column(w + 576, q), second = column(w + 640, q);
        for (int t = 0; t < T; t++) {
          const float32x4_t whole = vfmaq_f32(vmulq_f32(vcvtq_f32_s32(sums[t][q]), first), vcvtq_f32_s32(odd[t][q]), second);
          lane[t][q] = vfmaq_f32(lane[t][q], whole, vmulq_n_f32(scale, floats[2 * kTile + t]));
          if (KIND == Kind::subMin16) {
            lane[t][q] = vfmaq_n_f32(lane[t][q], column(w + 704, q), floats[3 * kTile + t]);
            lane[t][q] = vfmaq_n_f32(lane[t][q], column(w + 768, q), floats[4 * kTile + t]);
          }
        }
      }
    }
  }
  for (int t = 0; t < T; t++) {
    for (int q = 0; q < 4; q++) {
      float* const to = c + 16 * (firstToken + t) + 4 * q;
      vst1q_f32(to, vaddq_f32(vld1q_f32(to), lane[t][q]));
    }
  }
}

template <Kind KIND, bool SIGNED>
static void multiplyTile(const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  int t = 0;
  for (; t + 2 <= tokens; t += 2) multiplyTokens<KIND, SIGNED, 2>(panel, tile, units, t, c);
  if (t < tokens) multiplyTokens<KIND, SIGNED, 1>(panel, tile, units, t, c);
}

static void multiply(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  const TypeTraits traits = traitsOf(type);
  switch (traits.kind) {
    case Kind::f32: return multiplyTile<Kind::f32, false>(panel, tile, units, tokens, c);
    case Kind::block32:
      return traits.maxCode > 127 ? multiplyTile<Kind::block32, true>(panel, tile, units, tokens, c)
                                  : multiplyTile<Kind::block32, false>(panel, tile, units, tokens, c);
    case Kind::min32: return multiplyTile<Kind::min32, false>(panel, tile, units, tokens, c);
    case Kind::sub16: return multiplyTile<Kind::sub16, false>(panel, tile, units, tokens, c);
    case Kind::subMin16: return multiplyTile<Kind::subMin16, false>(panel, tile, units, tokens, c);
  }
}

}  // namespace grok1::GROK1_ISA

namespace grok1 {

const Products& neonProducts() {
  static const Products table = {neon::kTile,     neon::kTile,    neon::quantize, neon::rows, neon::packToken,
                                 neon::packPanel, neon::multiply, neon::gate};
  return table;
}

}  // namespace grok1
