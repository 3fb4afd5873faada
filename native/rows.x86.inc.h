// Products by rows with AVX2; with AVX-512 VNNI where the file that includes this is compiled with it.
#include "gate.inc.h"
#include "unpack.x86.inc.h"

namespace grok1::GROK1_ISA {

#if defined(__AVX512VNNI__)
constexpr bool kVnni = true;
#else
constexpr bool kVnni = false;
#endif

// Sums of neighbours of eight vectors' worth of partial sums: lane b of the result is block b's sum.
GROK1_INLINE __m256i reduce(__m256i a, __m256i b, __m256i c, __m256i d) {
  return _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
}

GROK1_INLINE __m256i activations(const ActGroup& a, int p, int h) { return _mm256_load_si256((const __m256i*)a.codes[p][h]); }

// Whole-number sums of each of eight blocks, offset taken off.
template <class Q>
GROK1_INLINE __m256i dotBlocks(const __m256i* w, const ActGroup& a) {
  __m256i s[4];
  [[maybe_unused]] const __m256i ones = _mm256_set1_epi16(1);
  GROK1_UNROLL
  for (int p = 0; p < 4; p++) {
    const __m256i a0 = activations(a, p, 0), a1 = activations(a, p, 1);
#if defined(__AVX512VNNI__)
    s[p] = _mm256_dpbusd_epi32(_mm256_dpbusd_epi32(_mm256_setzero_si256(), w[2 * p], a0), w[2 * p + 1], a1);
#else
    if (Q::kSigned) {
      const __m256i x0 = _mm256_maddubs_epi16(_mm256_abs_epi8(w[2 * p]), _mm256_sign_epi8(a0, w[2 * p]));
      const __m256i x1 = _mm256_maddubs_epi16(_mm256_abs_epi8(w[2 * p + 1]), _mm256_sign_epi8(a1, w[2 * p + 1]));
      s[p] = _mm256_add_epi32(_mm256_madd_epi16(x0, ones), _mm256_madd_epi16(x1, ones));
    } else {  // five bits at most: 4 products of 31 * 127 fit 16 bits
      s[p] = _mm256_madd_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(w[2 * p], a0), _mm256_maddubs_epi16(w[2 * p + 1], a1)), ones);
    }
#endif
  }
  const __m256i sum = reduce(s[0], s[1], s[2], s[3]);
  constexpr int offset = Q::kSigned && !kVnni ? 0 : Q::kTraits.offset;
  constexpr int shift = offset == 8 ? 3 : offset == 16 ? 4 : 7;
  if (offset == 0) return sum;
  return _mm256_sub_epi32(sum, _mm256_slli_epi32(_mm256_load_si256((const __m256i*)a.sums), shift));
}

// The same with half blocks multiplied by their scales: 8 * |sub| * 63 * 127 * 4 fits 32 bits by far.
template <class Q>
GROK1_INLINE __m256i dotHalves(const __m256i* w, __m256i subs, const ActGroup& a) {
  __m256i s[4];
  GROK1_UNROLL
  for (int p = 0; p < 4; p++) {
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const __m256i sub = _mm256_shuffle_epi8(subs, _mm256_set1_epi16(short((4 * p + 2 * h + 1) << 8 | (4 * p + 2 * h))));
      const __m256i x = _mm256_madd_epi16(_mm256_maddubs_epi16(w[2 * p + h], activations(a, p, h)), sub);
      s[p] = h == 0 ? x : _mm256_add_epi32(s[p], x);
    }
  }
  const __m256i sum = reduce(s[0], s[1], s[2], s[3]);
  if (Q::kTraits.offset == 0) return sum;
  const __m256i sums = _mm256_madd_epi16(subs, _mm256_load_si256((const __m256i*)a.sums16));
  return _mm256_sub_epi32(sum, _mm256_slli_epi32(sums, Q::kTraits.offset == 32 ? 5 : 2));
}

// Eight lanes of N tokens += one group of a row. `there`, where given, has ones for the blocks that belong to the row: scales of
// what lies behind it may be anything, while its products with the zeros that fill up activations are zeros.
template <class Q, int N>
GROK1_INLINE void addGroup(const uint8_t* p, const ActGroup* const* acts, int64_t g, __m256* lanes, const __m256* there = nullptr) {
  __m256i w[8];
  Q::unpack(p, w);
  if constexpr (Q::kTraits.kind == Kind::block32 || Q::kTraits.kind == Kind::min32) {
    if (Q::kSigned && kVnni) {
      GROK1_UNROLL
      for (int i = 0; i < 8; i++) w[i] = _mm256_xor_si256(w[i], _mm256_set1_epi8(-128));
    }
    __m256 scale, min = _mm256_setzero_ps();
    Q::scales(p, scale, min);
    if (there != nullptr) {
      scale = _mm256_and_ps(scale, *there);
      min = _mm256_and_ps(min, *there);
    }
    GROK1_UNROLL
    for (int t = 0; t < N; t++) {
      const ActGroup& a = acts[t][g];
      const __m256 factor = _mm256_mul_ps(scale, _mm256_load_ps(a.scale));
      lanes[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dotBlocks<Q>(w, a)), factor, lanes[t]);
      if (Q::kTraits.kind == Kind::min32) lanes[t] = _mm256_fmadd_ps(min, _mm256_load_ps(a.scaledSums), lanes[t]);
    }
  } else {
    const __m256i subs = Q::subs(p);
    const __m256 scale = _mm256_set1_ps(Q::scale(p));
    __m256 even, odd;
    Q::mins(p, even, odd);
    GROK1_UNROLL
    for (int t = 0; t < N; t++) {
      const ActGroup& a = acts[t][g];
      const __m256 factor = _mm256_mul_ps(scale, _mm256_load_ps(a.scale));
      lanes[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dotHalves<Q>(w, subs, a)), factor, lanes[t]);
      if (Q::kTraits.kind == Kind::subMin16) {
        lanes[t] = _mm256_fmadd_ps(even, _mm256_load_ps(a.scaledEven), lanes[t]);
        lanes[t] = _mm256_fmadd_ps(odd, _mm256_load_ps(a.scaledOdd), lanes[t]);
      }
    }
  }
}

// How far ahead of its use a row is asked for.
constexpr int64_t kAhead = 1024;
// What a whole group that starts inside a row may read behind it.
constexpr int64_t kOverRead = 512;

// totals[i] += lanes[i][0], then [1], and so on: four at a time side by side.
template <int COUNT>
GROK1_INLINE void addLanes(const __m256* lanes, float* totals) {
  if constexpr (COUNT == 4) {
    const __m256 a = _mm256_unpacklo_ps(lanes[0], lanes[1]), b = _mm256_unpackhi_ps(lanes[0], lanes[1]);
    const __m256 c = _mm256_unpacklo_ps(lanes[2], lanes[3]), d = _mm256_unpackhi_ps(lanes[2], lanes[3]);
    const __m256 turned[4] = {_mm256_shuffle_ps(a, c, 0x44), _mm256_shuffle_ps(a, c, 0xee), _mm256_shuffle_ps(b, d, 0x44),
                              _mm256_shuffle_ps(b, d, 0xee)};
    __m128 total = _mm_loadu_ps(totals);
    GROK1_UNROLL
    for (int l = 0; l < 4; l++) total = _mm_add_ps(total, _mm256_castps256_ps128(turned[l]));
    GROK1_UNROLL
    for (int l = 0; l < 4; l++) total = _mm_add_ps(total, _mm256_extractf128_ps(turned[l], 1));
    _mm_storeu_ps(totals, total);
    return;
  }
  GROK1_UNROLL
  for (int i = 0; i < COUNT; i++) {
    float lane[8];
    _mm256_storeu_ps(lane, lanes[i]);
    GROK1_UNROLL
    for (int l = 0; l < 8; l++) totals[i] += lane[l];
  }
}

template <class Q, int R, int N>
static void quantRows(const RowsCall& call, int firstRow, int firstToken) {
  const ActGroup* acts[N];
  GROK1_UNROLL
  for (int t = 0; t < N; t++) acts[t] = (const ActGroup*)call.acts[firstToken + t];
  const uint8_t* const data = call.data + size_t(firstRow) * call.rowBytes;
  float totals[R * N] = {};
  const int64_t groups = call.cols / kGroup;
  const int tail = int(call.cols % kGroup / kBlock);
  for (int64_t segment = 0; segment * kSegment < call.cols; segment++) {
    __m256 lanes[R * N];
    GROK1_UNROLL
    for (int i = 0; i < R * N; i++) lanes[i] = _mm256_setzero_ps();
    const int64_t last = (segment + 1) * (kSegment / kGroup), end = last < groups ? last : groups;
    for (int64_t g = segment * (kSegment / kGroup); g < end; g++) {
      // Past the end of a row comes the row that takes its place in the next call.
      const int64_t at = g * Q::kTraits.unit;
      const int64_t ahead = kAhead + (at + kAhead >= int64_t(call.rowBytes) ? (R - 1) * int64_t(call.rowBytes) : 0);
      GROK1_UNROLL
      for (int r = 0; r < R; r++) {
        const uint8_t* p = data + size_t(r) * call.rowBytes + at;
        for (int64_t line = 0; line < Q::kTraits.unit; line += 64) _mm_prefetch((const char*)(p + ahead + line), _MM_HINT_T0);
        addGroup<Q, N>(p, acts, g, lanes + r * N);
      }
    }
    if (tail > 0 && groups < last) {
      const __m256 there = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(tail), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
      GROK1_UNROLL
      for (int r = 0; r < R; r++) {
        const uint8_t* const p = data + size_t(r) * call.rowBytes + groups * Q::kTraits.unit;
        if (call.readable >= kOverRead) {
          addGroup<Q, N>(p, acts, groups, lanes + r * N, &there);
        } else {
          uint8_t padded[Q::kTraits.unit] = {};
          memcpy(padded, p, size_t(tail) * Q::kBlockBytes);
          addGroup<Q, N>(padded, acts, groups, lanes + r * N);
        }
      }
    }
    addLanes<R * N>(lanes, totals);
  }
  GROK1_UNROLL
  for (int r = 0; r < R; r++) {
    GROK1_UNROLL
    for (int t = 0; t < N; t++) call.out[(firstToken + t) * call.ldo + firstRow + r] = totals[r * N + t];
  }
}

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
static void floatRows(const RowsCall& call, int firstRow, int firstToken) {
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
      const int64_t ahead = kAhead + (k * unit + kAhead >= int64_t(call.rowBytes) ? (R - 1) * int64_t(call.rowBytes) : 0);
      GROK1_UNROLL
      for (int r = 0; r < R; r++) {
        const uint8_t* p = data + size_t(r) * call.rowBytes + k * unit;
        _mm_prefetch((const char*)(p + ahead), _MM_HINT_T0);
        const Vector16 w = loadWeights<TYPE>(p);
        GROK1_UNROLL
        for (int t = 0; t < N; t++) lanes[r * N + t] = fma16(w, load16f((const float*)call.acts[firstToken + t] + k), lanes[r * N + t]);
      }
    }
    if (k < end) {
      GROK1_UNROLL
      for (int r = 0; r < R; r++) {
        const Vector16 w = loadLastWeights<TYPE>(data + size_t(r) * call.rowBytes + k * unit, end - k);
        GROK1_UNROLL
        for (int t = 0; t < N; t++) lanes[r * N + t] = fma16(w, load16f((const float*)call.acts[firstToken + t] + k), lanes[r * N + t]);
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
    for (int t = 0; t < N; t++) call.out[(firstToken + t) * call.ldo + firstRow + r] = totals[r * N + t];
  }
}

template <int TYPE, int R, int N>
GROK1_INLINE void someRows(const RowsCall& call, int firstRow, int firstToken) {
  if constexpr (traitsOf(TYPE).kind == Kind::f32) {
    floatRows<TYPE, R, N>(call, firstRow, firstToken);
  } else {
    quantRows<Quant<TYPE>, R, N>(call, firstRow, firstToken);
  }
}

template <int TYPE>
static void rowsOf(const RowsCall& call) {
  if (call.tokens == 1) {
    int r = 0;
    if (call.rows == 4) {
      someRows<TYPE, 4, 1>(call, 0, 0);
      return;
    }
    for (; r < call.rows; r++) someRows<TYPE, 1, 1>(call, r, 0);
    return;
  }
  for (int r = 0; r < call.rows; r++) {
    switch (call.tokens) {
      case 2: someRows<TYPE, 1, 2>(call, r, 0); break;
      case 3: someRows<TYPE, 1, 3>(call, r, 0); break;
      default: someRows<TYPE, 1, 4>(call, r, 0); break;
    }
  }
}

// Calls f with a type as a compile-time constant.
template <int TYPE>
struct TypeConstant {
  static constexpr int value = TYPE;
};
template <class F>
GROK1_INLINE void withType(int type, F f) {
  switch (type) {
    case F32: f(TypeConstant<F32>()); break;
    case F16: f(TypeConstant<F16>()); break;
    case BF16: f(TypeConstant<BF16>()); break;
    case Q4_0: f(TypeConstant<Q4_0>()); break;
    case Q4_1: f(TypeConstant<Q4_1>()); break;
    case Q5_0: f(TypeConstant<Q5_0>()); break;
    case Q5_1: f(TypeConstant<Q5_1>()); break;
    case Q8_0: f(TypeConstant<Q8_0>()); break;
    case Q2_K: f(TypeConstant<Q2_K>()); break;
    case Q3_K: f(TypeConstant<Q3_K>()); break;
    case Q4_K: f(TypeConstant<Q4_K>()); break;
    case Q5_K: f(TypeConstant<Q5_K>()); break;
    case Q6_K: f(TypeConstant<Q6_K>()); break;
    case IQ4_NL: f(TypeConstant<IQ4_NL>()); break;
    case IQ4_XS: f(TypeConstant<IQ4_XS>()); break;
  }
}

static void rows(int type, const RowsCall& call) {
  withType(type, [&](auto constant) { rowsOf<decltype(constant)::value>(call); });
}

}  // namespace grok1::GROK1_ISA
