// Register tiles for AVX-512 with VNNI: 16 rows in the lanes of a register, 12 tokens.
#define GROK1_ISA avx512
#include "products.x86.inc.h"
#include "abreast.avx512.inc.h"

namespace grok1::GROK1_ISA {

constexpr int kTile = 12;

#if !defined(__GNUC__)
GROK1_INLINE __m512i four(const uint8_t* p) {
  int bits;
  memcpy(&bits, p, 4);
  return _mm512_set1_epi32(bits);
}
#endif

// sum + codes of 16 rows times the 4 of a token at p. Written out because compilers load the four into a register of their
// own first, and then the decoder, not the multipliers, is the limit.
GROK1_INLINE __m512i addProducts(__m512i sum, __m512i codes, const uint8_t* p) {
#if defined(__GNUC__)
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*(const int*)p));
  return sum;
#else
  return _mm512_dpbusd_epi32(sum, codes, four(p));
#endif
}

// sums[t] = offsets[t] + codes of 16 rows times the token's, over groups [from, to) of 4 columns.
template <int T>
GROK1_INLINE void dotColumns(const uint8_t* w, const uint8_t* x, const int32_t* offsets, int from, int to, __m512i* sums) {
  GROK1_UNROLL
  for (int t = 0; t < T; t++) sums[t] = _mm512_set1_epi32(offsets[t]);
  GROK1_UNROLL
  for (int g = from; g < to; g++) {
    const __m512i codes = _mm512_load_si512(w + 64 * g);
    GROK1_UNROLL
    for (int t = 0; t < T; t++) sums[t] = addProducts(sums[t], codes, x + 32 * t + 4 * g);
  }
}

template <Kind KIND, int T>
static void multiplyTile(const uint8_t* w, const uint8_t* x, int64_t units, float* c) {
  __m512 lane[T];
  GROK1_UNROLL
  for (int t = 0; t < T; t++) lane[t] = _mm512_setzero_ps();
  __m512 group[T];  // whole numbers of 256 columns of ternary weights so far
  GROK1_UNROLL
  for (int t = 0; KIND == Kind::ternary && t < T; t++) group[t] = _mm512_setzero_ps();
  for (int64_t u = 0; u < units; u++, w += panelUnitBytes(KIND), x += tileUnitBytes(KIND, kTile)) {
    if constexpr (KIND == Kind::f32) {
      const __m512 column = _mm512_load_ps(w);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) lane[t] = _mm512_fmadd_ps(column, _mm512_set1_ps(((const float*)x)[t]), lane[t]);
    } else if constexpr (KIND == Kind::ternary) {
      const float* const floats = (const float*)(x + 32 * kTile);
      __m512i sums[T];
      dotColumns<T>(w, x, (const int32_t*)floats, 0, 8, sums);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) group[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t]), _mm512_set1_ps(floats[kTile + t]), group[t]);
      if (u % 8 < 7) continue;
      const __m512 scale = _mm512_load_ps(w + 512);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) {
        lane[t] = _mm512_fmadd_ps(group[t], _mm512_mul_ps(scale, _mm512_set1_ps(floats[2 * kTile + t])), lane[t]);
        group[t] = _mm512_setzero_ps();
      }
    } else if constexpr (KIND == Kind::block32 || KIND == Kind::min32) {
      const int32_t* const offsets = (const int32_t*)(x + 32 * kTile);
      const float* const floats = (const float*)offsets;
      __m512i sums[T];
      dotColumns<T>(w, x, offsets, 0, 8, sums);
      const __m512 scale = _mm512_load_ps(w + 512);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) {
        lane[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t]), _mm512_mul_ps(scale, _mm512_set1_ps(floats[kTile + t])), lane[t]);
      }
      if (KIND == Kind::min32) {
        const __m512 min = _mm512_load_ps(w + 576);
        GROK1_UNROLL
        for (int t = 0; t < T; t++) lane[t] = _mm512_fmadd_ps(min, _mm512_set1_ps(floats[2 * kTile + t]), lane[t]);
      }
    } else {
      const int32_t* const offsets = (const int32_t*)(x + 32 * kTile);
      const float* const floats = (const float*)offsets;
      // Whole numbers up to 2^24: floats hold them exactly.
      __m512 whole[T];
      __m512i sums[T];
      dotColumns<T>(w, x, offsets, 0, 4, sums);
      const __m512 even = _mm512_load_ps(w + 576), odd = _mm512_load_ps(w + 640);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) whole[t] = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[t]), even);
      dotColumns<T>(w, x, offsets + kTile, 4, 8, sums);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) whole[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[t]), odd, whole[t]);
      const __m512 scale = _mm512_load_ps(w + 512);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) {
        lane[t] = _mm512_fmadd_ps(whole[t], _mm512_mul_ps(scale, _mm512_set1_ps(floats[2 * kTile + t])), lane[t]);
      }
      if (KIND == Kind::subMin16) {
        const __m512 minScale = _mm512_load_ps(w + 704), evenMin = _mm512_load_ps(w + 768), oddMin = _mm512_load_ps(w + 832);
        GROK1_UNROLL
        for (int t = 0; t < T; t++) {
          const __m512 first = _mm512_mul_ps(evenMin, _mm512_set1_ps(floats[3 * kTile + t]));
          const __m512 mins = _mm512_fmadd_ps(oddMin, _mm512_set1_ps(floats[4 * kTile + t]), first);
          lane[t] = _mm512_fmadd_ps(mins, _mm512_mul_ps(minScale, _mm512_set1_ps(floats[2 * kTile + t])), lane[t]);
        }
      }
    }
  }
  GROK1_UNROLL
  for (int t = 0; t < T; t++) _mm512_storeu_ps(c + 16 * t, _mm512_add_ps(_mm512_loadu_ps(c + 16 * t), lane[t]));
}

using Tile = void (*)(const uint8_t*, const uint8_t*, int64_t, float*);

template <Kind KIND>
GROK1_INLINE Tile tileOf(int tokens) {
  static const Tile tiles[kTile] = {
      multiplyTile<KIND, 1>, multiplyTile<KIND, 2>, multiplyTile<KIND, 3>, multiplyTile<KIND, 4>,  multiplyTile<KIND, 5>,  multiplyTile<KIND, 6>,
      multiplyTile<KIND, 7>, multiplyTile<KIND, 8>, multiplyTile<KIND, 9>, multiplyTile<KIND, 10>, multiplyTile<KIND, 11>, multiplyTile<KIND, 12>};
  return tiles[tokens - 1];
}

static void multiply(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  switch (traitsOf(type).kind) {
    case Kind::f32: return tileOf<Kind::f32>(tokens)(panel, tile, units, c);
    case Kind::ternary: return tileOf<Kind::ternary>(tokens)(panel, tile, units, c);
    case Kind::block32: return tileOf<Kind::block32>(tokens)(panel, tile, units, c);
    case Kind::min32: return tileOf<Kind::min32>(tokens)(panel, tile, units, c);
    case Kind::sub16: return tileOf<Kind::sub16>(tokens)(panel, tile, units, c);
    case Kind::subMin16: return tileOf<Kind::subMin16>(tokens)(panel, tile, units, c);
  }
}

}  // namespace grok1::GROK1_ISA

namespace grok1 {

const Products& avx512Products() {
  static const Products table = {avx512::kTile,     avx512::kTile,    avx512::quantize, avx512::quantizeTernary, avx512::rows,
                                 avx512::packTokenOf<avx512::kTile, avx512::kTile>, avx512::packPanel, avx512::multiply, avx512::gate, avx512::accumulate,
                                 avx512::pairCodes, &avx512::abreastProducts};
  return table;
}

}  // namespace grok1
