// Register tiles for Arm with dot products: 16 rows in four registers, 2 tokens at a time.
#define GROK1_ISA neon
#include "products.neon.inc.h"

namespace grok1::GROK1_ISA {

GROK1_INLINE float32x4_t column(const uint8_t* p, int quarter) { return vld1q_f32((const float*)p + 4 * quarter); }

template <int G>
struct Step {
  static constexpr int value = G;
};

// sums[t][quarter of the rows] = products of the columns of GROUPS groups of 4 from `first` on.
template <int T, int GROUPS>
GROK1_INLINE void dotColumns(const uint8_t* w, const uint8_t* x, int first, int32x4_t (*sums)[4]) {
  GROK1_UNROLL
  for (int t = 0; t < T; t++) {
    GROK1_UNROLL
    for (int q = 0; q < 4; q++) sums[t][q] = vdupq_n_s32(0);
  }
  GROK1_UNROLL
  for (int four = first; four < first + GROUPS; four += 4) {
    int8x16_t a[T];
    GROK1_UNROLL
    for (int t = 0; t < T; t++) a[t] = vld1q_s8((const int8_t*)x + 32 * t + 4 * four);
    const auto group = [&](auto step) {
      constexpr int g = decltype(step)::value;
      GROK1_UNROLL
      for (int q = 0; q < 4; q++) {
        const int8x16_t codes = vld1q_s8((const int8_t*)w + 64 * (four + g) + 16 * q);
        GROK1_UNROLL
        for (int t = 0; t < T; t++) sums[t][q] = vdotq_laneq_s32(sums[t][q], codes, a[t], g);
      }
    };
    group(Step<0>());
    group(Step<1>());
    group(Step<2>());
    group(Step<3>());
  }
}

template <Kind KIND, int T>
static void multiplyTokens(const uint8_t* w, const uint8_t* x, int64_t units, int firstToken, float* c) {
  float32x4_t lane[T][4];
  GROK1_UNROLL
  for (int t = 0; t < T; t++) {
    GROK1_UNROLL
    for (int q = 0; q < 4; q++) lane[t][q] = vdupq_n_f32(0);
  }
  float32x4_t group[T][4] = {};  // whole numbers of 256 columns of ternary weights so far
  for (int64_t u = 0; u < units; u++, w += panelUnitBytes(KIND), x += tileUnitBytes(KIND, kTile)) {
    const uint8_t* const codes = x + 32 * firstToken;
    const float* const floats = (const float*)(x + 32 * kTile) + firstToken;
    int32x4_t sums[T][4];
    if constexpr (KIND == Kind::ternary) {
      dotColumns<T, 8>(w, codes, 0, sums);
      GROK1_UNROLL
      for (int q = 0; q < 4; q++) {
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          group[t][q] = vfmaq_n_f32(group[t][q], vcvtq_f32_s32(sums[t][q]), floats[kTile + t]);
          if (u % 8 < 7) continue;
          lane[t][q] = vfmaq_f32(lane[t][q], group[t][q], vmulq_n_f32(column(w + 512, q), floats[2 * kTile + t]));
          group[t][q] = vdupq_n_f32(0);
        }
      }
    } else if constexpr (KIND == Kind::block32 || KIND == Kind::min32) {
      dotColumns<T, 8>(w, codes, 0, sums);
      GROK1_UNROLL
      for (int q = 0; q < 4; q++) {
        const float32x4_t scale = column(w + 512, q);
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          lane[t][q] = vfmaq_f32(lane[t][q], vcvtq_f32_s32(sums[t][q]), vmulq_n_f32(scale, floats[kTile + t]));
          if (KIND == Kind::min32) lane[t][q] = vfmaq_n_f32(lane[t][q], column(w + 576, q), floats[2 * kTile + t]);
        }
      }
    } else {
      int32x4_t odd[T][4];
      dotColumns<T, 4>(w, codes, 0, sums);
      dotColumns<T, 4>(w, codes, 4, odd);
      GROK1_UNROLL
      for (int q = 0; q < 4; q++) {
        const float32x4_t scale = column(w + 512, q), first = column(w + 576, q), second = column(w + 640, q);
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          const float32x4_t whole = vfmaq_f32(vmulq_f32(vcvtq_f32_s32(sums[t][q]), first), vcvtq_f32_s32(odd[t][q]), second);
          lane[t][q] = vfmaq_f32(lane[t][q], whole, vmulq_n_f32(scale, floats[2 * kTile + t]));
          if (KIND == Kind::subMin16) {
            const float32x4_t mins = vfmaq_n_f32(vmulq_n_f32(column(w + 768, q), floats[3 * kTile + t]), column(w + 832, q), floats[4 * kTile + t]);
            lane[t][q] = vfmaq_f32(lane[t][q], mins, vmulq_n_f32(column(w + 704, q), floats[2 * kTile + t]));
          }
        }
      }
    }
  }
  GROK1_UNROLL
  for (int t = 0; t < T; t++) {
    GROK1_UNROLL
    for (int q = 0; q < 4; q++) {
      float* const to = c + 16 * (firstToken + t) + 4 * q;
      vst1q_f32(to, vaddq_f32(vld1q_f32(to), lane[t][q]));
    }
  }
}

template <Kind KIND>
static void multiplyTile(const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  int t = 0;
  for (; t + 2 <= tokens; t += 2) multiplyTokens<KIND, 2>(panel, tile, units, t, c);
  if (t < tokens) multiplyTokens<KIND, 1>(panel, tile, units, t, c);
}

static void multiply(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  switch (traitsOf(type).kind) {
    case Kind::f32: return multiplyFloatTile(panel, tile, units, tokens, c);
    case Kind::ternary: return multiplyTile<Kind::ternary>(panel, tile, units, tokens, c);
    case Kind::block32: return multiplyTile<Kind::block32>(panel, tile, units, tokens, c);
    case Kind::min32: return multiplyTile<Kind::min32>(panel, tile, units, tokens, c);
    case Kind::sub16: return multiplyTile<Kind::sub16>(panel, tile, units, tokens, c);
    case Kind::subMin16: return multiplyTile<Kind::subMin16>(panel, tile, units, tokens, c);
  }
}

}  // namespace grok1::GROK1_ISA

namespace grok1 {

const Products& neonProducts() {
  static const Products table = {neon::kTile,     neon::kFloatTile, neon::quantize, neon::quantizeTernary, neon::rows, neon::packToken,
                                 neon::packPanel, neon::multiply,   neon::gate, neon::accumulate};
  return table;
}

}  // namespace grok1
