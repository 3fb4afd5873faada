// Vectors of float for one instruction set. A kernel is written once against V and compiled once per instruction set:
// each ops.<isa>.cpp defines GROK1_ISA (a namespace) and includes this and the *.inc.h files.
//
// Everything here is static or inside the GROK1_ISA namespace, and no standard library template is used: an inline function
// compiled with wide instructions must never be the copy the linker keeps for all.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(GROK1_NEON)
#include <arm_neon.h>
#endif

#if defined(_MSC_VER)
#define GROK1_INLINE static __forceinline
#else
#define GROK1_INLINE static inline __attribute__((always_inline))
#endif

// Arrays of registers stay in registers only where the loops over them are unrolled.
#if defined(__clang__)
#define GROK1_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define GROK1_UNROLL _Pragma("GCC unroll 16")
#else
#define GROK1_UNROLL
#endif

namespace grok1::GROK1_ISA {

GROK1_INLINE void prefetch(const void* p) { __builtin_prefetch(p); }

GROK1_INLINE float floatOf(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

GROK1_INLINE uint32_t bitsOf(float f) {
  uint32_t bits;
  memcpy(&bits, &f, 4);
  return bits;
}

GROK1_INLINE float magnitude(float f) { return floatOf(bitsOf(f) & 0x7fffffff); }

GROK1_INLINE float halfToFloat(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000) << 16, rest = h & 0x7fff;
  if (rest >= 0x7c00) return floatOf(sign | 0x7f800000 | (rest & 0x3ff) << 13);
  // Exact for normal and subnormal halves: move the exponent by a multiplication.
  return floatOf(sign | bitsOf(floatOf(rest << 13) * 0x1p112f));
}

GROK1_INLINE uint16_t floatToHalf(float f) {
  const uint32_t bits = bitsOf(f), sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
  if (rest >= 0x47800000) return uint16_t(sign | (rest > 0x7f800000 ? 0x7e00 : 0x7c00));
  if (rest < 0x38800000) return uint16_t(sign | (bitsOf(floatOf(rest) + 0.5f) - 0x3f000000));  // subnormal: the adder rounds
  return uint16_t(sign | (rest + 0xfff + (rest >> 13 & 1) - 0x38000000) >> 13);
}

#if defined(__AVX512F__)

constexpr int W = 16;
struct V {
  __m512 v;
};
GROK1_INLINE V load(const float* p) { return {_mm512_loadu_ps(p)}; }
GROK1_INLINE void store(float* p, V a) { _mm512_storeu_ps(p, a.v); }
GROK1_INLINE V all(float x) { return {_mm512_set1_ps(x)}; }
GROK1_INLINE V operator+(V a, V b) { return {_mm512_add_ps(a.v, b.v)}; }
GROK1_INLINE V operator-(V a, V b) { return {_mm512_sub_ps(a.v, b.v)}; }
GROK1_INLINE V operator*(V a, V b) { return {_mm512_mul_ps(a.v, b.v)}; }
GROK1_INLINE V operator/(V a, V b) { return {_mm512_div_ps(a.v, b.v)}; }
GROK1_INLINE V fma(V a, V b, V c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
GROK1_INLINE V max(V a, V b) { return {_mm512_max_ps(a.v, b.v)}; }
GROK1_INLINE V min(V a, V b) { return {_mm512_min_ps(a.v, b.v)}; }
GROK1_INLINE V round(V a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
GROK1_INLINE V scale2(V a, V n) { return {_mm512_scalef_ps(a.v, n.v)}; }
GROK1_INLINE float sum(V a) { return _mm512_reduce_add_ps(a.v); }
GROK1_INLINE float most(V a) { return _mm512_reduce_max_ps(a.v); }
GROK1_INLINE V loadHalf(const uint16_t* p) { return {_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p))}; }
GROK1_INLINE void storeHalf(uint16_t* p, V a) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
GROK1_INLINE V allHalf(uint16_t h) { return {_mm512_cvtph_ps(_mm256_set1_epi16(short(h)))}; }
GROK1_INLINE V loadInt8(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p)))};
}
// Bytes p[0..W): the low, then the high four bits of each, minus 8.
GROK1_INLINE V loadLow4(const uint8_t* p) {
  const __m512i q = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
  return {_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_and_si512(q, _mm512_set1_epi32(15)), _mm512_set1_epi32(8)))};
}
GROK1_INLINE V loadHigh4(const uint8_t* p) {
  const __m512i q = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
  return {_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(q, 4), _mm512_set1_epi32(8)))};
}
// Lanes below n of a, the others of b.
GROK1_INLINE V firstLanes(int n, V a, V b) {
  const __mmask16 mask = n >= 16 ? 0xffff : n <= 0 ? 0 : __mmask16((1u << n) - 1);
  return {_mm512_mask_blend_ps(mask, b.v, a.v)};
}
GROK1_INLINE V whereBelow(V a, V limit, V then, V otherwise) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, limit.v, _CMP_LT_OQ), otherwise.v, then.v)};
}

#elif defined(__AVX2__)

constexpr int W = 8;
struct V {
  __m256 v;
};
GROK1_INLINE V load(const float* p) { return {_mm256_loadu_ps(p)}; }
GROK1_INLINE void store(float* p, V a) { _mm256_storeu_ps(p, a.v); }
GROK1_INLINE V all(float x) { return {_mm256_set1_ps(x)}; }
GROK1_INLINE V operator+(V a, V b) { return {_mm256_add_ps(a.v, b.v)}; }
GROK1_INLINE V operator-(V a, V b) { return {_mm256_sub_ps(a.v, b.v)}; }
GROK1_INLINE V operator*(V a, V b) { return {_mm256_mul_ps(a.v, b.v)}; }
GROK1_INLINE V operator/(V a, V b) { return {_mm256_div_ps(a.v, b.v)}; }
GROK1_INLINE V fma(V a, V b, V c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
GROK1_INLINE V max(V a, V b) { return {_mm256_max_ps(a.v, b.v)}; }
GROK1_INLINE V min(V a, V b) { return {_mm256_min_ps(a.v, b.v)}; }
GROK1_INLINE V round(V a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
// For -126 <= n <= 127 and results that stay normal.
GROK1_INLINE V scale2(V a, V n) {
  const __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
  return {_mm256_mul_ps(a.v, _mm256_castsi256_ps(power))};
}
GROK1_INLINE float sum(V a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
GROK1_INLINE float most(V a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
GROK1_INLINE V loadHalf(const uint16_t* p) { return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p))}; }
GROK1_INLINE void storeHalf(uint16_t* p, V a) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
GROK1_INLINE V allHalf(uint16_t h) { return {_mm256_cvtph_ps(_mm_set1_epi16(short(h)))}; }
GROK1_INLINE V loadInt8(const int8_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p)))};
}
GROK1_INLINE V loadLow4(const uint8_t* p) {
  const __m256i q = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
  return {_mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_and_si256(q, _mm256_set1_epi32(15)), _mm256_set1_epi32(8)))};
}
GROK1_INLINE V loadHigh4(const uint8_t* p) {
  const __m256i q = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
  return {_mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(q, 4), _mm256_set1_epi32(8)))};
}
GROK1_INLINE V firstLanes(int n, V a, V b) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
  return {_mm256_blendv_ps(b.v, a.v, _mm256_castsi256_ps(mask))};
}
GROK1_INLINE V whereBelow(V a, V limit, V then, V otherwise) {
  return {_mm256_blendv_ps(otherwise.v, then.v, _mm256_cmp_ps(a.v, limit.v, _CMP_LT_OQ))};
}

#elif defined(__aarch64__) && defined(GROK1_NEON)

constexpr int W = 4;
struct V {
  float32x4_t v;
};
GROK1_INLINE V load(const float* p) { return {vld1q_f32(p)}; }
GROK1_INLINE void store(float* p, V a) { vst1q_f32(p, a.v); }
GROK1_INLINE V all(float x) { return {vdupq_n_f32(x)}; }
GROK1_INLINE V operator+(V a, V b) { return {vaddq_f32(a.v, b.v)}; }
GROK1_INLINE V operator-(V a, V b) { return {vsubq_f32(a.v, b.v)}; }
GROK1_INLINE V operator*(V a, V b) { return {vmulq_f32(a.v, b.v)}; }
GROK1_INLINE V operator/(V a, V b) { return {vdivq_f32(a.v, b.v)}; }
GROK1_INLINE V fma(V a, V b, V c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
GROK1_INLINE V max(V a, V b) { return {vmaxq_f32(a.v, b.v)}; }
GROK1_INLINE V min(V a, V b) { return {vminq_f32(a.v, b.v)}; }
GROK1_INLINE V round(V a) { return {vrndnq_f32(a.v)}; }
GROK1_INLINE V scale2(V a, V n) {
  const int32x4_t power = vshlq_n_s32(vaddq_s32(vcvtq_s32_f32(n.v), vdupq_n_s32(127)), 23);
  return {vmulq_f32(a.v, vreinterpretq_f32_s32(power))};
}
GROK1_INLINE float sum(V a) { return vaddvq_f32(a.v); }
GROK1_INLINE float most(V a) { return vmaxvq_f32(a.v); }
GROK1_INLINE V loadHalf(const uint16_t* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))}; }
GROK1_INLINE void storeHalf(uint16_t* p, V a) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a.v))); }
GROK1_INLINE V allHalf(uint16_t h) { return {vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)))}; }
GROK1_INLINE int16x4_t widen4(const void* p) {
  uint32_t bytes;
  memcpy(&bytes, p, 4);
  return vget_low_s16(vmovl_s8(vreinterpret_s8_u32(vdup_n_u32(bytes))));
}
GROK1_INLINE V loadInt8(const int8_t* p) { return {vcvtq_f32_s32(vmovl_s16(widen4(p)))}; }
GROK1_INLINE V loadLow4(const uint8_t* p) {
  const int16x4_t q = vand_s16(widen4(p), vdup_n_s16(15));
  return {vcvtq_f32_s32(vmovl_s16(vsub_s16(q, vdup_n_s16(8))))};
}
GROK1_INLINE V loadHigh4(const uint8_t* p) {
  const int16x4_t q = vand_s16(vshr_n_s16(widen4(p), 4), vdup_n_s16(15));
  return {vcvtq_f32_s32(vmovl_s16(vsub_s16(q, vdup_n_s16(8))))};
}
GROK1_INLINE V firstLanes(int n, V a, V b) {
  const int32_t lanes[4] = {0, 1, 2, 3};
  return {vbslq_f32(vcgtq_s32(vdupq_n_s32(n), vld1q_s32(lanes)), a.v, b.v)};
}
GROK1_INLINE V whereBelow(V a, V limit, V then, V otherwise) {
  return {vbslq_f32(vcltq_f32(a.v, limit.v), then.v, otherwise.v)};
}

#else  // portable: arrays that a compiler turns into what vectors it has

constexpr int W = 8;
struct V {
  float v[W];
};
#define GROK1_EACH(expression)                     \
  V r;                                             \
  for (int i = 0; i < W; i++) r.v[i] = expression; \
  return r
GROK1_INLINE V load(const float* p) { GROK1_EACH(p[i]); }
GROK1_INLINE void store(float* p, V a) { memcpy(p, a.v, sizeof a.v); }
GROK1_INLINE V all(float x) { GROK1_EACH(x); }
GROK1_INLINE V operator+(V a, V b) { GROK1_EACH(a.v[i] + b.v[i]); }
GROK1_INLINE V operator-(V a, V b) { GROK1_EACH(a.v[i] - b.v[i]); }
GROK1_INLINE V operator*(V a, V b) { GROK1_EACH(a.v[i] * b.v[i]); }
GROK1_INLINE V operator/(V a, V b) { GROK1_EACH(a.v[i] / b.v[i]); }
GROK1_INLINE V fma(V a, V b, V c) { GROK1_EACH(a.v[i] * b.v[i] + c.v[i]); }
GROK1_INLINE V max(V a, V b) { GROK1_EACH(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
GROK1_INLINE V min(V a, V b) { GROK1_EACH(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
// Adding 1.5 * 2^23 leaves the nearest whole number in the low bits, for |a| < 2^22.
GROK1_INLINE V round(V a) { GROK1_EACH((a.v[i] + 12582912.0f) - 12582912.0f); }
GROK1_INLINE V scale2(V a, V n) { GROK1_EACH(a.v[i] * floatOf(uint32_t(int32_t(n.v[i]) + 127) << 23)); }
GROK1_INLINE float sum(V a) {
  float s = 0;
  for (int i = 0; i < W; i++) s += a.v[i];
  return s;
}
GROK1_INLINE float most(V a) {
  float m = a.v[0];
  for (int i = 1; i < W; i++) m = a.v[i] > m ? a.v[i] : m;
  return m;
}
GROK1_INLINE V loadHalf(const uint16_t* p) { GROK1_EACH(halfToFloat(p[i])); }
GROK1_INLINE void storeHalf(uint16_t* p, V a) {
  for (int i = 0; i < W; i++) p[i] = floatToHalf(a.v[i]);
}
GROK1_INLINE V allHalf(uint16_t h) { return all(halfToFloat(h)); }
GROK1_INLINE V loadInt8(const int8_t* p) { GROK1_EACH(float(p[i])); }
GROK1_INLINE V loadLow4(const uint8_t* p) { GROK1_EACH(float(int(p[i] & 15) - 8)); }
GROK1_INLINE V loadHigh4(const uint8_t* p) { GROK1_EACH(float(int(p[i] >> 4) - 8)); }
GROK1_INLINE V firstLanes(int n, V a, V b) { GROK1_EACH(i < n ? a.v[i] : b.v[i]); }
GROK1_INLINE V whereBelow(V a, V limit, V then, V otherwise) {
  GROK1_EACH(a.v[i] < limit.v[i] ? then.v[i] : otherwise.v[i]);
}
#undef GROK1_EACH

#endif

// e^x to 1e-7 relative; 0 where the result would be below the normal floats. Cody & Waite reduction by multiples of ln 2, then
// the Taylor polynomial of degree 7 on [-ln2/2, ln2/2].
GROK1_INLINE V exp(V x) {
  const V bounded = min(all(88.7f), max(all(-87.33f), x));  // this order of operands lets NaN through
  const V n = min(round(bounded * all(1.44269504f)), all(127.0f));
  V r = fma(n, all(-0.693359375f), bounded);
  r = fma(n, all(2.12194440e-4f), r);
  V p = all(1.0f / 5040);
  p = fma(p, r, all(1.0f / 720));
  p = fma(p, r, all(1.0f / 120));
  p = fma(p, r, all(1.0f / 24));
  p = fma(p, r, all(1.0f / 6));
  p = fma(p, r, all(0.5f));
  p = fma(p, r, all(1.0f));
  p = fma(p, r, all(1.0f));
  return whereBelow(x, all(-87.33f), all(0.0f), scale2(p, n));
}

// tanh x to 4e-7 relative: x P(x²) / Q(x²), fitted for the least greatest relative error on [0, 9], past which it is 1.
GROK1_INLINE V tanh(V x) {
  const V b = min(all(9.0f), max(all(-9.0f), x));
  const V t = b * b;
  V p = all(1.335341397897338e-08f);
  p = fma(p, t, all(2.060818516154526e-05f));
  p = fma(p, t, all(3.4955345439776986e-03f));
  p = fma(p, t, all(1.33809811503629e-01f));
  p = fma(p, t, all(0.999999979623941f));
  V q = all(7.776047449181703e-07f);
  q = fma(q, t, all(3.285546347818428e-04f));
  q = fma(q, t, all(2.58767800955397e-02f));
  q = fma(q, t, all(4.671429680762613e-01f));
  q = fma(q, t, all(1.0f));
  const V one = all(1.0f);
  const V y = whereBelow(all(8.99f), x, one, b * p / q);
  return whereBelow(x, all(-8.99f), all(-1.0f), y);
}

}  // namespace grok1::GROK1_ISA
