// Register tiles for AVX2: 8 rows in the lanes of a register, 6 tokens.
#define GROK1_ISA avx2
#include "products.x86.inc.h"

namespace grok1::GROK1_ISA {

constexpr int kTile = 6;

GROK1_INLINE __m256i four(const uint8_t* p) {
  int bits;
  memcpy(&bits, p, 4);
  return _mm256_set1_epi32(bits);
}

GROK1_INLINE __m256i codesOf(const uint8_t* w, int g) { return _mm256_load_si256((const __m256i*)(w + 64 * g)); }

// How products of a type's codes may be summed in 16 bits: how many groups of 4 columns.
static constexpr int groupsIn16Bits(int maxCode) { return maxCode <= 15 ? 8 : maxCode <= 31 ? 4 : maxCode <= 63 ? 2 : 1; }

// sums[t] = codes of 8 rows times the token's, over 32 columns.
template <int MAX_CODE, int T>
GROK1_INLINE void dotColumns(const uint8_t* w, const uint8_t* x, __m256i* sums) {
  const __m256i ones = _mm256_set1_epi16(1);
  if constexpr (MAX_CODE > 63) {  // signed
    GROK1_UNROLL
    for (int g = 0; g < 8; g++) {
      const __m256i codes = codesOf(w, g), size = _mm256_abs_epi8(codes);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) {
        const __m256i y = _mm256_madd_epi16(_mm256_maddubs_epi16(size, _mm256_sign_epi8(four(x + 32 * t + 4 * g), codes)), ones);
        sums[t] = g == 0 ? y : _mm256_add_epi32(sums[t], y);
      }
    }
  } else {
    constexpr int run = groupsIn16Bits(MAX_CODE);
    for (int first = 0; first < 8; first += run) {
      __m256i part[T];
      GROK1_UNROLL
      for (int g = first; g < first + run; g++) {
        const __m256i codes = codesOf(w, g);
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          const __m256i y = _mm256_maddubs_epi16(codes, four(x + 32 * t + 4 * g));
          part[t] = g == first ? y : _mm256_add_epi16(part[t], y);
        }
      }
      GROK1_UNROLL
      for (int t = 0; t < T; t++) {
        const __m256i y = _mm256_madd_epi16(part[t], ones);
        sums[t] = first == 0 ? y : _mm256_add_epi32(sums[t], y);
      }
    }
  }
}

template <Kind KIND, int MAX_CODE, int T>
static void multiplyTile(const uint8_t* panel, const uint8_t* tile, int64_t units, float* c) {
  if constexpr (KIND == Kind::f32) {
    Vector16 lane[T];
    GROK1_UNROLL
    for (int t = 0; t < T; t++) lane[t] = zero16();
    const float *w = (const float*)panel, *x = (const float*)tile;
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
    return;
  }
  GROK1_UNROLL
  for (int half = 0; half < 2; half++) {
    const uint8_t *w = panel + 32 * half, *x = tile;
    __m256 lane[T];
    GROK1_UNROLL
    for (int t = 0; t < T; t++) lane[t] = _mm256_setzero_ps();
    for (int64_t u = 0; u < units; u++, w += panelUnitBytes(KIND), x += tileUnitBytes(KIND, kTile)) {
      const int32_t* const offsets = (const int32_t*)(x + 32 * kTile);
      const float* const floats = (const float*)offsets;
      const __m256 scale = _mm256_load_ps((const float*)(w + 512));
      if constexpr (KIND == Kind::block32 || KIND == Kind::min32) {
        __m256i sums[T];
        dotColumns<MAX_CODE, T>(w, x, sums);
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          if (KIND == Kind::block32 && MAX_CODE <= 63) sums[t] = _mm256_add_epi32(sums[t], _mm256_set1_epi32(offsets[t]));
          const __m256 factor = _mm256_mul_ps(scale, _mm256_broadcast_ss(floats + kTile + t));
          lane[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), factor, lane[t]);
        }
        if (KIND == Kind::min32) {
          const __m256 min = _mm256_load_ps((const float*)(w + 576));
          GROK1_UNROLL
          for (int t = 0; t < T; t++) lane[t] = _mm256_fmadd_ps(min, _mm256_broadcast_ss(floats + 2 * kTile + t), lane[t]);
        }
      } else {
        // Half blocks' scales in pairs of 16 bits, and the same times the offset.
        const __m256i subs = _mm256_load_si256((const __m256i*)(w + 576)), offset = _mm256_load_si256((const __m256i*)(w + 640));
        __m256i sums[T];
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          sums[t] = KIND == Kind::sub16 ? _mm256_madd_epi16(offset, _mm256_set1_epi32(offsets[t])) : _mm256_setzero_si256();
        }
        GROK1_UNROLL
        for (int h = 0; h < 2; h++) {
          // The half's scale twice in each row's 32 bits.
          const __m256i sub = h == 0 ? _mm256_blend_epi16(subs, _mm256_slli_epi32(subs, 16), 0xaa)
                                     : _mm256_blend_epi16(_mm256_srli_epi32(subs, 16), subs, 0xaa);
          GROK1_UNROLL
          for (int g = 4 * h; g < 4 * h + 4; g += 2) {
            const __m256i first = codesOf(w, g), second = codesOf(w, g + 1);
            GROK1_UNROLL
            for (int t = 0; t < T; t++) {
              const __m256i y = _mm256_add_epi16(_mm256_maddubs_epi16(first, four(x + 32 * t + 4 * g)),
                                                 _mm256_maddubs_epi16(second, four(x + 32 * t + 4 * g + 4)));
              sums[t] = _mm256_add_epi32(sums[t], _mm256_madd_epi16(y, sub));
            }
          }
        }
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          const __m256 factor = _mm256_mul_ps(scale, _mm256_broadcast_ss(floats + 2 * kTile + t));
          lane[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[t]), factor, lane[t]);
        }
        if (KIND == Kind::subMin16) {
          const __m256 evenMin = _mm256_load_ps((const float*)(w + 704)), oddMin = _mm256_load_ps((const float*)(w + 768));
          GROK1_UNROLL
          for (int t = 0; t < T; t++) {
            lane[t] = _mm256_fmadd_ps(evenMin, _mm256_broadcast_ss(floats + 3 * kTile + t), lane[t]);
            lane[t] = _mm256_fmadd_ps(oddMin, _mm256_broadcast_ss(floats + 4 * kTile + t), lane[t]);
          }
        }
      }
    }
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      float* const to = c + 16 * t + 8 * half;
      _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), lane[t]));
    }
  }
}

using Tile = void (*)(const uint8_t*, const uint8_t*, int64_t, float*);

template <Kind KIND, int MAX_CODE>
GROK1_INLINE Tile tileOf(int tokens) {
  static const Tile tiles[kTile] = {multiplyTile<KIND, MAX_CODE, 1>, multiplyTile<KIND, MAX_CODE, 2>, multiplyTile<KIND, MAX_CODE, 3>,
                                    multiplyTile<KIND, MAX_CODE, 4>, multiplyTile<KIND, MAX_CODE, 5>, multiplyTile<KIND, MAX_CODE, 6>};
  return tiles[tokens - 1];
}

static void multiply(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  const TypeTraits traits = traitsOf(type);
  switch (traits.kind) {
    case Kind::f32: return tileOf<Kind::f32, 0>(tokens)(panel, tile, units, c);
    case Kind::block32:
      if (traits.maxCode <= 15) return tileOf<Kind::block32, 15>(tokens)(panel, tile, units, c);
      if (traits.maxCode <= 31) return tileOf<Kind::block32, 31>(tokens)(panel, tile, units, c);
      return tileOf<Kind::block32, 255>(tokens)(panel, tile, units, c);
    case Kind::min32:
      if (traits.maxCode <= 15) return tileOf<Kind::min32, 15>(tokens)(panel, tile, units, c);
      return tileOf<Kind::min32, 31>(tokens)(panel, tile, units, c);
    case Kind::sub16: return tileOf<Kind::sub16, 63>(tokens)(panel, tile, units, c);
    case Kind::subMin16: return tileOf<Kind::subMin16, 63>(tokens)(panel, tile, units, c);
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
