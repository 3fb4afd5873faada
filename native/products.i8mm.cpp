// Register tiles for Arm with 8-bit matrix products (i8mm): one instruction multiplies 8 columns of 2 rows by 2 tokens. Tiles of
// 8 rows by up to 6 tokens; a register holds {row 0, token 0}, {0, 1}, {1, 0}, {1, 1}.
#define GROK1_ISA i8mm
#if !defined(GROK1_I8MM)
#define GROK1_I8MM 1
#endif
#include "products.neon.inc.h"

namespace grok1::GROK1_ISA {

// sums[pair of tokens][pair of rows] = products of OCTETS times 8 columns. Octets of a row's codes lie 16 rows apart, those of a
// token's a tile apart.
template <int PAIRS, int OCTETS>
GROK1_INLINE void multiplyOctets(const uint8_t* w, const uint8_t* x, int32x4_t (*sums)[4]) {
  GROK1_UNROLL
  for (int t = 0; t < PAIRS; t++) {
    GROK1_UNROLL
    for (int r = 0; r < 4; r++) sums[t][r] = vdupq_n_s32(0);
  }
  GROK1_UNROLL
  for (int o = 0; o < OCTETS; o++, w += 8 * kPanelRows, x += 8 * kTile) {
    int8x16_t rows[4];
    GROK1_UNROLL
    for (int r = 0; r < 4; r++) rows[r] = vld1q_s8((const int8_t*)w + 16 * r);
    GROK1_UNROLL
    for (int t = 0; t < PAIRS; t++) {
      const int8x16_t tokens = vld1q_s8((const int8_t*)x + 16 * t);
      GROK1_UNROLL
      for (int r = 0; r < 4; r++) sums[t][r] = vmmlaq_s32(sums[t][r], rows[r], tokens);
    }
  }
}

// Floats of two rows, each twice.
GROK1_INLINE float32x4_t twice(const float* rows) {
  const float32x4_t two = vcombine_f32(vld1_f32(rows), vdup_n_f32(0));
  return vzip1q_f32(two, two);
}

// Floats of two tokens, over and over.
GROK1_INLINE float32x4_t pairOf(const float* tokens) {
  const float32x2_t two = vld1_f32(tokens);
  return vcombine_f32(two, two);
}

// 8 rows, of a panel from `w` on, times up to 2 * PAIRS of `tokens` tokens; what is computed for the one past an odd last is dropped.
template <Kind KIND, int PAIRS>
static void multiplyPairs(const uint8_t* w, const float* scales, const uint8_t* x, int64_t units, int firstToken, int tokens, float* c) {
  constexpr size_t stride = panelUnitBytes(KIND);
  float32x4_t lane[PAIRS][4];
  GROK1_UNROLL
  for (int t = 0; t < PAIRS; t++) {
    GROK1_UNROLL
    for (int r = 0; r < 4; r++) lane[t][r] = vdupq_n_f32(0);
  }
  float32x4_t group[PAIRS][4] = {};  // whole numbers of 256 columns of ternary weights so far
  for (int64_t u = 0; u < units; u++, w += stride, scales += stride / sizeof(float), x += tileUnitBytes(KIND, kTile)) {
    const uint8_t* const codes = x + 8 * firstToken;
    const float* const floats = (const float*)(x + 32 * kTile) + firstToken;
    int32x4_t sums[PAIRS][4];
    if constexpr (KIND == Kind::ternary) {
      multiplyOctets<PAIRS, 4>(w, codes, sums);
      GROK1_UNROLL
      for (int r = 0; r < 4; r++) {
        GROK1_UNROLL
        for (int t = 0; t < PAIRS; t++) {
          group[t][r] = vfmaq_f32(group[t][r], vcvtq_f32_s32(sums[t][r]), pairOf(floats + kTile + 2 * t));
          if (u % 8 < 7) continue;
          lane[t][r] = vfmaq_f32(lane[t][r], group[t][r], vmulq_f32(twice(scales + 2 * r), pairOf(floats + 2 * kTile + 2 * t)));
          group[t][r] = vdupq_n_f32(0);
        }
      }
    } else if constexpr (KIND == Kind::block32 || KIND == Kind::min32) {
      multiplyOctets<PAIRS, 4>(w, codes, sums);
      GROK1_UNROLL
      for (int r = 0; r < 4; r++) {
        const float32x4_t scale = twice(scales + 2 * r);
        GROK1_UNROLL
        for (int t = 0; t < PAIRS; t++) {
          const float32x4_t factor = vmulq_f32(scale, pairOf(floats + kTile + 2 * t));
          lane[t][r] = vfmaq_f32(lane[t][r], vcvtq_f32_s32(sums[t][r]), factor);
          if (KIND == Kind::min32) lane[t][r] = vfmaq_f32(lane[t][r], twice(scales + 16 + 2 * r), pairOf(floats + 2 * kTile + 2 * t));
        }
      }
    } else {
      int32x4_t odd[PAIRS][4];
      multiplyOctets<PAIRS, 2>(w, codes, sums);
      multiplyOctets<PAIRS, 2>(w + 16 * kPanelRows, codes + 16 * kTile, odd);
      GROK1_UNROLL
      for (int r = 0; r < 4; r++) {
        const float32x4_t scale = twice(scales + 2 * r), first = twice(scales + 16 + 2 * r), second = twice(scales + 32 + 2 * r);
        GROK1_UNROLL
        for (int t = 0; t < PAIRS; t++) {
          // A whole number below 2^24: exact.
          const float32x4_t whole = vfmaq_f32(vmulq_f32(vcvtq_f32_s32(sums[t][r]), first), vcvtq_f32_s32(odd[t][r]), second);
          lane[t][r] = vfmaq_f32(lane[t][r], whole, vmulq_f32(scale, pairOf(floats + 2 * kTile + 2 * t)));
          if (KIND == Kind::subMin16) {
            const float32x4_t firstMins = vmulq_f32(twice(scales + 64 + 2 * r), pairOf(floats + 3 * kTile + 2 * t));
            const float32x4_t mins = vfmaq_f32(firstMins, twice(scales + 80 + 2 * r), pairOf(floats + 4 * kTile + 2 * t));
            lane[t][r] = vfmaq_f32(lane[t][r], mins, vmulq_f32(twice(scales + 48 + 2 * r), pairOf(floats + 2 * kTile + 2 * t)));
          }
        }
      }
    }
  }
  c += kPanelRows * firstToken;
  GROK1_UNROLL
  for (int t = 0; t < 2 * PAIRS; t++, c += kPanelRows) {
    if (firstToken + t >= tokens) return;
    GROK1_UNROLL
    for (int half = 0; half < 2; half++) {
      const float32x4_t a = lane[t / 2][2 * half], b = lane[t / 2][2 * half + 1];
      const float32x4_t rows = t % 2 == 0 ? vuzp1q_f32(a, b) : vuzp2q_f32(a, b);
      vst1q_f32(c + 4 * half, vaddq_f32(vld1q_f32(c + 4 * half), rows));
    }
  }
}

// Up to MOST pairs of tokens at a time, as registers allow.
template <Kind KIND, int MOST>
static void multiplyTile(const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  for (int half = 0; half < 2; half++) {
    const uint8_t* const w = panel + 64 * half;
    const float* const scales = (const float*)(panel + 512) + 8 * half;
    float* const to = c + 8 * half;
    int t = 0;
    for (; tokens - t > 2 * MOST - 2; t += 2 * MOST) multiplyPairs<KIND, MOST>(w, scales, tile, units, t, tokens, to);
    if constexpr (MOST > 2) {
      if (tokens - t > 2) {
        multiplyPairs<KIND, 2>(w, scales, tile, units, t, tokens, to);
        t += 4;
      }
    }
    if (t < tokens) multiplyPairs<KIND, 1>(w, scales, tile, units, t, tokens, to);
  }
}

static void multiply(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  switch (traitsOf(type).kind) {
    case Kind::f32: return multiplyFloatTile(panel, tile, units, tokens, c);
    case Kind::ternary: return multiplyTile<Kind::ternary, 3>(panel, tile, units, tokens, c);
    case Kind::block32: return multiplyTile<Kind::block32, 3>(panel, tile, units, tokens, c);
    case Kind::min32: return multiplyTile<Kind::min32, 3>(panel, tile, units, tokens, c);
    case Kind::sub16: return multiplyTile<Kind::sub16, 2>(panel, tile, units, tokens, c);
    case Kind::subMin16: return multiplyTile<Kind::subMin16, 2>(panel, tile, units, tokens, c);
  }
}

}  // namespace grok1::GROK1_ISA

namespace grok1 {

const Products& i8mmProducts() {
  static const Products table = {i8mm::kTile,     i8mm::kFloatTile, i8mm::quantize, i8mm::quantizeTernary, i8mm::rows, i8mm::packToken,
                                 i8mm::packPanel, i8mm::multiply,   i8mm::gate, i8mm::accumulate};
  return table;
}

}  // namespace grok1
