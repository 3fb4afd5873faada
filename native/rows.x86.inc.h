// Products by rows with AVX2; with AVX-VNNI or AVX-512 VNNI where the file that includes this is compiled with it.
#include "gate.inc.h"
#include "stream.x86.inc.h"
#include "unpack.x86.inc.h"
#include "unpack-grids.x86.inc.h"

namespace grok1::GROK1_ISA {

#if defined(__AVX512VNNI__)
constexpr bool kWide = true, kVnni = true;
GROK1_INLINE __m256i addProducts(__m256i sum, __m256i codes, __m256i x) { return _mm256_dpbusd_epi32(sum, codes, x); }
#elif defined(__AVXVNNI__)
constexpr bool kWide = false, kVnni = true;
GROK1_INLINE __m256i addProducts(__m256i sum, __m256i codes, __m256i x) { return _mm256_dpbusd_avx_epi32(sum, codes, x); }
#else
constexpr bool kWide = false, kVnni = false;
#endif

}  // namespace grok1::GROK1_ISA

#include "rows.avx2.inc.h"
#if defined(__AVX512VNNI__)
#include "rows.avx512.inc.h"
#endif
#include "rows-twobit.x86.inc.h"
#include "rows-ternary.x86.inc.h"

namespace grok1::GROK1_ISA {

struct Vector16 {
#if defined(__AVX512F__)
  __m512 v;
#else
  __m256 v[2];
#endif
};

#if defined(__AVX512F__)
GROK1_INLINE Vector16 zero16() { return {_mm512_setzero_ps()}; }
GROK1_INLINE Vector16 load16f(const float* p) { return {_mm512_loadu_ps(p)}; }
GROK1_INLINE void store16f(float* p, Vector16 a) { _mm512_storeu_ps(p, a.v); }
GROK1_INLINE Vector16 fma16(Vector16 a, Vector16 b, Vector16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
template <int TYPE>
GROK1_INLINE Vector16 loadWeights(const uint8_t* p) {
  if constexpr (TYPE == F32) return {_mm512_loadu_ps(p)};
  const __m256i half = _mm256_loadu_si256((const __m256i*)p);
  if constexpr (TYPE == F16) return {_mm512_cvtph_ps(half)};
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
#else
GROK1_INLINE Vector16 zero16() { return {{_mm256_setzero_ps(), _mm256_setzero_ps()}}; }
GROK1_INLINE Vector16 load16f(const float* p) { return {{_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}}; }
GROK1_INLINE void store16f(float* p, Vector16 a) {
  _mm256_storeu_ps(p, a.v[0]);
  _mm256_storeu_ps(p + 8, a.v[1]);
}
GROK1_INLINE Vector16 fma16(Vector16 a, Vector16 b, Vector16 c) {
  return {{_mm256_fmadd_ps(a.v[0], b.v[0], c.v[0]), _mm256_fmadd_ps(a.v[1], b.v[1], c.v[1])}};
}
template <int TYPE>
GROK1_INLINE Vector16 loadWeights(const uint8_t* p) {
  if constexpr (TYPE == F32) return load16f((const float*)p);
  const __m128i low = _mm_loadu_si128((const __m128i*)p), high = _mm_loadu_si128((const __m128i*)(p + 16));
  if constexpr (TYPE == F16) return {{_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)}};
  return {{_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(low), 16)),
           _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(high), 16))}};
}
#endif

// The last columns of a row, fewer than 16, filled up with zeros.
template <int TYPE>
GROK1_INLINE Vector16 loadLastWeights(const uint8_t* p, int64_t count) {
  uint8_t padded[64] = {};
  memcpy(padded, p, size_t(count) * size_t(traitsOf(TYPE).unit));
  return loadWeights<TYPE>(padded);
}

template <int TYPE, int R, int N>
static void floatRows(const RowsCall& call, int firstRow) {
  constexpr int unit = traitsOf(TYPE).unit;
  const uint8_t* const data = call.data + size_t(firstRow) * call.rowBytes;
  float totals[R * N] = {};
  for (int64_t segment = 0; segment < call.cols; segment += kFloatSegment) {
    Vector16 lanes[R * N];
    GROK1_UNROLL
    for (int i = 0; i < R * N; i++) lanes[i] = zero16();
    const int64_t end = segment + kFloatSegment < call.cols ? segment + kFloatSegment : call.cols;
    int64_t k = segment;
    for (; k + 16 <= end; k += 16) {
      askAhead<R, 16 * unit>(call, data, k * unit);
      GROK1_UNROLL
      for (int r = 0; r < R; r++) {
        const uint8_t* p = data + size_t(r) * call.rowBytes + k * unit;
        const Vector16 w = loadWeights<TYPE>(p);
        GROK1_UNROLL
        for (int t = 0; t < N; t++) lanes[r * N + t] = fma16(w, load16f((const float*)call.acts[t] + k), lanes[r * N + t]);
      }
    }
    if (k < end) {
      GROK1_UNROLL
      for (int r = 0; r < R; r++) {
        const Vector16 w = loadLastWeights<TYPE>(data + size_t(r) * call.rowBytes + k * unit, end - k);
        GROK1_UNROLL
        for (int t = 0; t < N; t++) lanes[r * N + t] = fma16(w, load16f((const float*)call.acts[t] + k), lanes[r * N + t]);
      }
    }
    GROK1_UNROLL
    for (int i = 0; i < R * N; i++) {
      float lane[16];
      store16f(lane, lanes[i]);
      GROK1_UNROLL
      for (int l = 0; l < 16; l++) totals[i] += lane[l];
    }
  }
  GROK1_UNROLL
  for (int r = 0; r < R; r++) {
    GROK1_UNROLL
    for (int t = 0; t < N; t++) call.out[t * call.ldo + firstRow + r] = totals[r * N + t];
  }
}

template <int TYPE, int N>
GROK1_INLINE void rowsFor(const RowsCall& call) {
  if constexpr (kTernary<TYPE>) {
    ternaryRows<TYPE, N>(call);
  } else if constexpr (isTwoBit(TYPE)) {
    twoBitRows<TYPE, N>(call);
  } else if constexpr (isSmall(TYPE) || (!kWide && traitsOf(TYPE).kind != Kind::f32)) {
    quantRowsFor<TYPE, N>(call);
#if defined(__AVX512VNNI__)
  } else if constexpr (traitsOf(TYPE).kind != Kind::f32) {
    wideRowsFor<TYPE, N>(call);
#endif
  } else if (N == 1 && call.rows == 4) {
    floatRows<TYPE, 4, 1>(call, 0);
  } else {
    for (int r = 0; r < call.rows; r++) floatRows<TYPE, 1, N>(call, r);
  }
}

template <int TYPE>
static void rowsOf(const RowsCall& call) {
  switch (call.tokens) {
    case 1: return rowsFor<TYPE, 1>(call);
    case 2: return rowsFor<TYPE, 2>(call);
    case 3: return rowsFor<TYPE, 3>(call);
    default: return rowsFor<TYPE, 4>(call);
  }
}

// Calls f with a type as a compile-time constant.
template <class F>
GROK1_INLINE void withType(int type, F f) {
  switch (type) {
    case F32: f(Constant<F32>()); break;
    case F16: f(Constant<F16>()); break;
    case BF16: f(Constant<BF16>()); break;
    case Q4_0: f(Constant<Q4_0>()); break;
    case Q4_1: f(Constant<Q4_1>()); break;
    case Q5_0: f(Constant<Q5_0>()); break;
    case Q5_1: f(Constant<Q5_1>()); break;
    case Q8_0: f(Constant<Q8_0>()); break;
    case Q2_K: f(Constant<Q2_K>()); break;
    case Q3_K: f(Constant<Q3_K>()); break;
    case Q4_K: f(Constant<Q4_K>()); break;
    case Q5_K: f(Constant<Q5_K>()); break;
    case Q6_K: f(Constant<Q6_K>()); break;
    case IQ4_NL: f(Constant<IQ4_NL>()); break;
    case IQ4_XS: f(Constant<IQ4_XS>()); break;
    case IQ1_S: f(Constant<IQ1_S>()); break;
    case IQ1_M: f(Constant<IQ1_M>()); break;
    case IQ2_XXS: f(Constant<IQ2_XXS>()); break;
    case IQ2_XS: f(Constant<IQ2_XS>()); break;
    case IQ2_S: f(Constant<IQ2_S>()); break;
    case IQ3_XXS: f(Constant<IQ3_XXS>()); break;
    case IQ3_S: f(Constant<IQ3_S>()); break;
    case TQ1_0: f(Constant<TQ1_0>()); break;
    case TQ2_0: f(Constant<TQ2_0>()); break;
    case MXFP4: f(Constant<MXFP4>()); break;
  }
}

static void rows(int type, const RowsCall& call) {
  withType(type, [&](auto constant) {
    constexpr int TYPE = decltype(constant)::value;
    // Sums of their entries fit 16 bits, and these add up in fewer instructions than VNNI's of 32.
    if constexpr (kWide && (TYPE == IQ1_S || TYPE == IQ1_M || TYPE == IQ3_S)) {
      avx2Products().rows(TYPE, call);
    } else {
      rowsOf<TYPE>(call);
    }
  });
}

}  // namespace grok1::GROK1_ISA
