// Register tiles for AVX2: 8 rows in the lanes of a register, tiles of 6 tokens.
#define GROK1_ISA avx2
#include "products.x86.inc.h"

namespace grok1::GROK1_ISA {

constexpr int kTile = 6;

GROK1_INLINE __m256i four(const uint8_t* p) {
  int bits;
  memcpy(&bits, p, 4);
  return _mm256_set1_epi32(bits);
}

// How products of a type's codes may be summed in 16 bits: how many groups of 4 columns.
static constexpr int groupsIn16Bits(int maxCode) { return maxCode <= 15 ? 8 : maxCode <= 31 ? 4 : maxCode <= 63 ? 2 : 1; }

// sums[t][half] = codes of 8 rows times the token's, over 32 columns.
template <int MAX_CODE, int HALVES, int T>
GROK1_INLINE void dotColumns(const uint8_t* w, const uint8_t* x, __m256i (*sums)[HALVES]) {
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i* const codes = (const __m256i*)w;
  if constexpr (MAX_CODE > 63) {  // signed
    GROK1_UNROLL
    for (int g = 0; g < 8; g++) {
      GROK1_UNROLL
      for (int h = 0; h < HALVES; h++) {
        const __m256i code = _mm256_load_si256(codes + 2 * g + h), size = _mm256_abs_epi8(code);
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          const __m256i y = _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(four(x + 32 * t + 4 * g), code)), ones);
          sums[t][h] = g == 0 ? y : _mm256_add_epi32(sums[t][h], y);
        }
      }
    }
  } else {
    constexpr int run = groupsIn16Bits(MAX_CODE);
    GROK1_UNROLL
    for (int first = 0; first < 8; first += run) {
      __m256i part[T][HALVES];
      GROK1_UNROLL
      for (int g = first; g < first + run; g++) {
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          const __m256i a = four(x + 32 * t + 4 * g);
          GROK1_UNROLL
          for (int h = 0; h < HALVES; h++) {
            const __m256i y = _mm256_maddubs_epi16(_mm256_load_si256(codes + 2 * g + h), a);
            part[t][h] = g == first ? y : _mm256_add_epi16(part[t][h], y);
          }
        }
      }
      GROK1_UNROLL
      for (int t = 0; t < T; t++) {
        GROK1_UNROLL
        for (int h = 0; h < HALVES; h++) {
          const __m256i y = _mm256_madd_epi16(part[t][h], ones);
          sums[t][h] = first == 0 ? y : _mm256_add_epi32(sums[t][h], y);
        }
      }
    }
  }
}

// The same with half blocks multiplied by their scales, and offsets taken off. The panel holds scales of both halves in
// pairs of 16 bits, and the same times -offset; the tile holds sums of both halves likewise.
template <Kind KIND, int T>
GROK1_INLINE void dotHalves(const uint8_t* w, const uint8_t* x, const int32_t* pairs, __m256i (*sums)[1]) {
  const __m256i* const codes = (const __m256i*)w;
  const __m256i subs = _mm256_load_si256((const __m256i*)(w + 576));
  GROK1_UNROLL
  for (int t = 0; t < T; t++) {
    sums[t][0] = KIND == Kind::sub16 ? _mm256_madd_epi16(_mm256_load_si256((const __m256i*)(w + 640)), _mm256_set1_epi32(pairs[t]))
                                     : _mm256_setzero_si256();
  }
  GROK1_UNROLL
  for (int half = 0; half < 2; half++) {
    // The half's scale twice in each row's 32 bits.
    const __m256i sub = half == 0 ? _mm256_blend_epi16(subs, _mm256_slli_epi32(subs, 16), 0xaa)
                                  : _mm256_blend_epi16(_mm256_srli_epi32(subs, 16), subs, 0xaa);
    GROK1_UNROLL
    for (int g = 4 * half; g < 4 * half + 4; g += 2) {
      const __m256i first = _mm256_load_si256(codes + 2 * g), second = _mm256_load_si256(codes + 2 * g + 2);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) {
        const __m256i y = _mm256_add_epi16(_mm256_maddubs_epi16(first, four(x + 32 * t + 4 * g)),
                                           _mm256_maddubs_epi16(second, four(x + 32 * t + 4 * g + 4)));
        sums[t][0] = _mm256_add_epi32(sums[t][0], _mm256_madd_epi16(y, sub));
      }
    }
  }
}

template <Kind KIND, int MAX_CODE, int HALVES, int T>
static void multiplyTokens(const uint8_t* w, const uint8_t* x, int firstToken, int64_t units, float* c) {
  __m256 lane[T][HALVES];
  GROK1_UNROLL
  for (int t = 0; t < T; t++) {
    GROK1_UNROLL
    for (int h = 0; h < HALVES; h++) lane[t][h] = _mm256_setzero_ps();
  }
  constexpr bool halfBlocks = KIND == Kind::sub16 || KIND == Kind::subMin16;
  for (int64_t u = 0; u < units; u++, w += panelUnitBytes(KIND), x += tileUnitBytes(KIND, kTile)) {
    const int32_t* const offsets = (const int32_t*)(x + 32 * kTile) + firstToken;
    const float* const scales = (const float*)offsets + (halfBlocks ? 2 : 1) * kTile;
    __m256i sums[T][HALVES];
    if constexpr (halfBlocks) {
      dotHalves<KIND, T>(w, x + 32 * firstToken, offsets, sums);
    } else {
      dotColumns<MAX_CODE, HALVES, T>(w, x + 32 * firstToken, sums);
    }
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      GROK1_UNROLL
      for (int h = 0; h < HALVES; h++) {
        const float* const row = (const float*)(w + 512) + 8 * h;
        if (KIND == Kind::block32 && MAX_CODE <= 63) sums[t][h] = _mm256_add_epi32(sums[t][h], _mm256_set1_epi32(offsets[t]));
        const __m256 factor = _mm256_mul_ps(_mm256_load_ps(row), _mm256_broadcast_ss(scales + t));
        lane[t][h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t][h]), factor, lane[t][h]);
        if (KIND == Kind::min32) lane[t][h] = _mm256_fmadd_ps(_mm256_load_ps(row + 16), _mm256_broadcast_ss(scales + kTile + t), lane[t][h]);
        if (KIND == Kind::subMin16) {
          lane[t][h] = _mm256_fmadd_ps(_mm256_load_ps(row + 48), _mm256_broadcast_ss(scales + kTile + t), lane[t][h]);
          lane[t][h] = _mm256_fmadd_ps(_mm256_load_ps(row + 64), _mm256_broadcast_ss(scales + 2 * kTile + t), lane[t][h]);
        }
      }
    }
  }
  GROK1_UNROLL
  for (int t = 0; t < T; t++) {
    GROK1_UNROLL
    for (int h = 0; h < HALVES; h++) {
      float* const to = c + 16 * (firstToken + t) + 8 * h;
      _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), lane[t][h]));
    }
  }
}

template <int T>
static void multiplyFloats(const float* w, const float* x, int64_t units, float* c) {
  Vector16 lane[T];
  GROK1_UNROLL
  for (int t = 0; t < T; t++) lane[t] = zero16();
  for (int64_t u = 0; u < units; u++, w += 16, x += kTile) {
    const Vector16 column = load16f(w);
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      const __m256 y = _mm256_broadcast_ss(x + t);
      lane[t] = fma16(column, {{y, y}}, lane[t]);
    }
  }
  GROK1_UNROLL
  for (int t = 0; t < T; t++) {
    const Vector16 before = load16f(c + 16 * t);
    store16f(c + 16 * t, {{_mm256_add_ps(before.v[0], lane[t].v[0]), _mm256_add_ps(before.v[1], lane[t].v[1])}});
  }
}

// HALVES times 8 rows and TOKENS tokens at a time: as measured best for the registers that the kind needs.
template <Kind KIND, int MAX_CODE, int HALVES, int TOKENS>
static void multiplyTile(const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  for (int half = 0; half < 2; half += HALVES) {
    const uint8_t* const w = panel + 32 * half;
    float* const to = c + 8 * half;
    int t = 0;
    for (; t + TOKENS <= tokens; t += TOKENS) multiplyTokens<KIND, MAX_CODE, HALVES, TOKENS>(w, tile, t, units, to);
    if (TOKENS > 3 && t + 3 <= tokens) {
      multiplyTokens<KIND, MAX_CODE, HALVES, 3>(w, tile, t, units, to);
      t += 3;
    }
    if (tokens - t == 2) multiplyTokens<KIND, MAX_CODE, HALVES, 2>(w, tile, t, units, to);
    if (tokens - t == 1) multiplyTokens<KIND, MAX_CODE, HALVES, 1>(w, tile, t, units, to);
  }
}

static void multiply(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  const TypeTraits traits = traitsOf(type);
  switch (traits.kind) {
    case Kind::f32: {
      using Tile = void (*)(const float*, const float*, int64_t, float*);
      static constexpr Tile tiles[kTile] = {multiplyFloats<1>, multiplyFloats<2>, multiplyFloats<3>,
                                            multiplyFloats<4>, multiplyFloats<5>, multiplyFloats<6>};
      return tiles[tokens - 1]((const float*)panel, (const float*)tile, units, c);
    }
    case Kind::block32:
      if (traits.maxCode <= 15) return multiplyTile<Kind::block32, 15, 2, 3>(panel, tile, units, tokens, c);
      if (traits.maxCode <= 31) return multiplyTile<Kind::block32, 31, 1, 3>(panel, tile, units, tokens, c);
      return multiplyTile<Kind::block32, 255, 1, 6>(panel, tile, units, tokens, c);
    case Kind::min32:
      if (traits.maxCode <= 15) return multiplyTile<Kind::min32, 15, 2, 3>(panel, tile, units, tokens, c);
      return multiplyTile<Kind::min32, 31, 1, 3>(panel, tile, units, tokens, c);
    case Kind::sub16: return multiplyTile<Kind::sub16, 63, 1, 6>(panel, tile, units, tokens, c);
    case Kind::subMin16: return multiplyTile<Kind::subMin16, 63, 1, 6>(panel, tile, units, tokens, c);
  }
}

}  // namespace grok1::GROK1_ISA

namespace grok1 {

const Products& avx2Products() {
  static const Products table = {avx2::kTile,     avx2::kTile,    avx2::quantize, avx2::rows, avx2::packTokenOf<avx2::kTile, avx2::kTile>,
                                 avx2::packPanel, avx2::multiply, avx2::gate};
  return table;
}

}  // namespace grok1
