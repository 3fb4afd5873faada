// Products by rows, and packing, with AVX2; with AVX-VNNI or AVX-512 VNNI where the file that includes this is compiled with it. That
// file adds the register tiles.
#include "rows.x86.inc.h"

namespace grok1::GROK1_ISA {

// ---- activations ----

struct Quantized {
  __m256i codes;  // in order
  float scale;
  int sum[2];         // of each half
  uint32_t pairs[2];  // of each half's columns 0, 1, 4, 5, ..., and 2, 3, 6, 7, ..., in 16 bits each
};

// Of x [32], the bits of the greatest magnitude; they order like the magnitudes, with NaN above all.
GROK1_INLINE uint32_t greatest(const float* x) {
  const auto bits = [x](int i) { return _mm256_and_si256(_mm256_loadu_si256((const __m256i*)(x + 8 * i)), _mm256_set1_epi32(0x7fffffff)); };
  const __m256i m = _mm256_max_epi32(_mm256_max_epi32(bits(0), bits(1)), _mm256_max_epi32(bits(2), bits(3)));
  __m128i most = _mm_max_epi32(_mm256_castsi256_si128(m), _mm256_extracti128_si256(m, 1));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4e));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0xb1));
  return uint32_t(_mm_cvtsi128_si32(most));
}

// Codes and sums of x [32] times `factor`.
GROK1_INLINE void roundBlock(const float* x, float factor, Quantized& q) {
  const auto part = [x, factor](int i) { return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(factor))); };
  const __m256i packed = _mm256_packs_epi16(_mm256_packs_epi32(part(0), part(1)), _mm256_packs_epi32(part(2), part(3)));
  q.codes = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  __m256i sums = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q.codes);
  sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, 0x4e));
  sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, 0xb1));
  q.pairs[0] = uint32_t(_mm_cvtsi128_si32(_mm256_castsi256_si128(sums)));
  q.pairs[1] = uint32_t(_mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1)));
  GROK1_UNROLL
  for (int h = 0; h < 2; h++) q.sum[h] = int16_t(q.pairs[h]) + int16_t(q.pairs[h] >> 16);
}

GROK1_INLINE Quantized quantizeBlock(const float* x) {
  const float amax = floatOfBits(greatest(x));
  Quantized q = {};
  if (!(amax >= 1e-30f && amax <= 3e38f)) {  // zeros, or not finite: zeros times 0 or NaN
    q.scale = amax < 1e-30f ? 0 : floatOfBits(0x7fc00000);
    return q;
  }
  q.scale = roundTo11Bits(amax / 127.0f);
  roundBlock(x, 127.0f / amax, q);
  return q;
}

}  // namespace grok1::GROK1_ISA

#include "ternary.inc.h"

namespace grok1::GROK1_ISA {

static void quantize(const float* x, int64_t cols, ActGroup* out) {
  for (int64_t from = 0; from < cols; from += kGroup, out++) {
    if (cols - from < kGroup) memset(out, 0, sizeof *out);
    for (int b = 0; b < 8 && from + 32 * b < cols; b++) {
      const Quantized q = quantizeBlock(x + from + 32 * b);
      _mm_store_si128((__m128i*)(out->codes[b % 4][0] + b / 4 * 16), _mm256_castsi256_si128(q.codes));
      _mm_store_si128((__m128i*)(out->codes[b % 4][1] + b / 4 * 16), _mm256_extracti128_si256(q.codes, 1));
      out->scale[b] = q.scale;
      out->sums[b] = q.sum[0] + q.sum[1];
      out->scaledSums[b] = q.scale * float(q.sum[0] + q.sum[1]);
      out->sums16[2 * b] = int16_t(q.sum[0]);
      out->sums16[2 * b + 1] = int16_t(q.sum[1]);
    }
  }
}

// What sums over halves [from, to) of a block start from in a tile: -offset times the token's codes. Without VNNI these are two sums of
// 16 bits.
GROK1_INLINE int32_t startOf(const Quantized& q, int offset, int from, int to) {
  if (kVnni) return -offset * (from == 0 ? q.sum[0] + (to == 2 ? q.sum[1] : 0) : q.sum[1]);
  int first = 0, second = 0;
  for (int h = from; h < to; h++) {
    first -= offset * int16_t(q.pairs[h]);
    second -= offset * int16_t(q.pairs[h] >> 16);
  }
  return int32_t((uint32_t(first) & 0xffff) | uint32_t(second) << 16);
}

template <int TILE, int FLOAT_TILE>
static void packTokenOf(const PackTokenCall& call) {
  const int t = call.t, lanes = lanesOf(call.kind);
  const size_t unitBytes = tileUnitBytes(call.kind, call.kind == Kind::f32 ? FLOAT_TILE : TILE);
  const bool halves = call.kind == Kind::sub16 || call.kind == Kind::subMin16;
  uint8_t* starts[kFloatLanes];
  for (int l = 0; l < lanes; l++) starts[l] = call.tile + size_t(laneStart(call.segmentUnits, lanes, l)) * unitBytes;
  // Counted, not divided: a division takes longer than all else that a float column needs.
  int lane = int(call.firstUnit % lanes);
  size_t step = size_t(call.firstUnit / lanes) * unitBytes;
  TernaryScales scales;
  for (int64_t u = 0; u < call.units; u++) {
    uint8_t* const to = starts[lane] + step;
    if (++lane == lanes) {
      lane = 0;
      step += unitBytes;
    }
    if (call.kind == Kind::f32) {
      ((float*)to)[t] = u < call.columns ? call.x[u] : 0;
      continue;
    }
    Quantized q;
    if (call.kind == Kind::ternary) {
      if (u % 8 == 0) scales = ternaryScales(call.x + 32 * u);
      q = ternaryBlock(scales, call.x + u / 8 * kGroup, int(u % 8));
    } else {
      q = quantizeBlock(call.x + 32 * u);
    }
    _mm256_storeu_si256((__m256i*)(to + 32 * t), q.codes);
    int32_t* const offsets = (int32_t*)(to + 32 * TILE);
    float* const floats = (float*)offsets;
    if (call.kind == Kind::ternary) {
      offsets[t] = startOf(q, call.offset, 0, 2);
      floats[TILE + t] = float(scales.multiples[u % 8]);
      floats[2 * TILE + t] = scales.base;
    } else if (!halves) {
      offsets[t] = startOf(q, call.offset, 0, 2);
      floats[TILE + t] = q.scale;
      floats[2 * TILE + t] = q.scale * float(q.sum[0] + q.sum[1]);
    } else {
      offsets[t] = startOf(q, call.offset, 0, 1);
      offsets[TILE + t] = startOf(q, call.offset, 1, 2);
      floats[2 * TILE + t] = q.scale;
      floats[3 * TILE + t] = float(q.sum[0]);
      floats[4 * TILE + t] = float(q.sum[1]);
    }
  }
}

// ---- weights ----

// 16 bytes of each of 16 rows, `stride` apart, to four times 4 bytes of each.
GROK1_INLINE void interleave(const uint8_t* rows, int64_t stride, uint8_t* to) {
#if defined(__AVX512F__)
  __m512i v[4];
  GROK1_UNROLL
  for (int i = 0; i < 4; i++) {
    const uint8_t* p = rows + i * stride;
    v[i] = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i*)p));
    v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i*)(p + 4 * stride)), 1);
    v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i*)(p + 8 * stride)), 2);
    v[i] = _mm512_inserti32x4(v[i], _mm_loadu_si128((const __m128i*)(p + 12 * stride)), 3);
  }
  const __m512i a = _mm512_unpacklo_epi32(v[0], v[1]), b = _mm512_unpackhi_epi32(v[0], v[1]);
  const __m512i c = _mm512_unpacklo_epi32(v[2], v[3]), d = _mm512_unpackhi_epi32(v[2], v[3]);
  _mm512_storeu_si512(to, _mm512_unpacklo_epi64(a, c));
  _mm512_storeu_si512(to + 64, _mm512_unpackhi_epi64(a, c));
  _mm512_storeu_si512(to + 128, _mm512_unpacklo_epi64(b, d));
  _mm512_storeu_si512(to + 192, _mm512_unpackhi_epi64(b, d));
#else
  for (int half = 0; half < 2; half++, rows += 8 * stride, to += 32) {
    __m256i v[4];
    GROK1_UNROLL
    for (int i = 0; i < 4; i++) v[i] = pair(rows + i * stride, rows + (i + 4) * stride);
    const __m256i a = _mm256_unpacklo_epi32(v[0], v[1]), b = _mm256_unpackhi_epi32(v[0], v[1]);
    const __m256i c = _mm256_unpacklo_epi32(v[2], v[3]), d = _mm256_unpackhi_epi32(v[2], v[3]);
    _mm256_storeu_si256((__m256i*)to, _mm256_unpacklo_epi64(a, c));
    _mm256_storeu_si256((__m256i*)(to + 64), _mm256_unpackhi_epi64(a, c));
    _mm256_storeu_si256((__m256i*)(to + 128), _mm256_unpacklo_epi64(b, d));
    _mm256_storeu_si256((__m256i*)(to + 192), _mm256_unpackhi_epi64(b, d));
  }
#endif
}

// v[i][j] becomes what v[j][i] was.
GROK1_INLINE void turn8(__m256* v) {
  __m256 u[8];
  GROK1_UNROLL
  for (int i = 0; i < 8; i += 2) {
    u[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    u[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
  __m256 w[8];
  GROK1_UNROLL
  for (int i = 0; i < 8; i += 4) {
    w[i] = _mm256_shuffle_ps(u[i], u[i + 2], 0x44);
    w[i + 1] = _mm256_shuffle_ps(u[i], u[i + 2], 0xee);
    w[i + 2] = _mm256_shuffle_ps(u[i + 1], u[i + 3], 0x44);
    w[i + 3] = _mm256_shuffle_ps(u[i + 1], u[i + 3], 0xee);
  }
  GROK1_UNROLL
  for (int i = 0; i < 4; i++) {
    v[i] = _mm256_permute2f128_ps(w[i], w[i + 4], 0x20);
    v[i + 4] = _mm256_permute2f128_ps(w[i], w[i + 4], 0x31);
  }
}

// out[b][0..16) = from[0..16)[b] for b < 8.
GROK1_INLINE void turnScales(const float (*from)[8], float (*out)[16]) {
  GROK1_UNROLL
  for (int half = 0; half < 2; half++) {
    __m256 v[8];
    GROK1_UNROLL
    for (int i = 0; i < 8; i++) v[i] = _mm256_load_ps(from[8 * half + i]);
    turn8(v);
    GROK1_UNROLL
    for (int i = 0; i < 8; i++) _mm256_store_ps(out[i] + 8 * half, v[i]);
  }
}

// A group at `p` that may be read as a whole: the last, shorter one of a row is copied.
template <class Q>
GROK1_INLINE const uint8_t* wholeGroup(const uint8_t* p, int64_t blocks, uint8_t* padded) {
  if (blocks == 8) return p;
  memset(padded, 0, Q::kTraits.unit);
  return (const uint8_t*)memcpy(padded, p, size_t(blocks) * Q::kBlockBytes);
}

// Codes of 256 columns as they come (block b's in half b / 4 of codes 2 (b % 4) and 2 (b % 4) + 1), unsigned where products take them so,
// and of each block the floats that a panel has, `stride` floats from one kind to the next.
template <class Q>
GROK1_INLINE void unpackRow(const uint8_t* p, uint8_t (*codes)[32], float* scales, int64_t stride, float& whole) {
  constexpr Kind kind = Q::kTraits.kind;
  Codes c[4];
  if constexpr (Q::kGrid) {
    GridState state;
    state.row = p;
    Q::begin(state);
    unpack<Q>(state, c);
  } else {
    unpack<Q>(p, c);
  }
  GROK1_UNROLL
  for (int i = 0; i < 8; i++) {
    const __m256i w = c[i / 2].half[i % 2];
    _mm256_store_si256((__m256i*)codes[i], Q::kSigned && kVnni ? _mm256_xor_si256(w, _mm256_set1_epi8(-128)) : w);
  }
  if constexpr (kind == Kind::ternary || kind == Kind::block32 || kind == Kind::min32) {
    __m256 scale, min = _mm256_setzero_ps();
    Q::scales(p, scale, min);
    _mm256_store_ps(scales, scale);
    if (kind == Kind::min32) _mm256_store_ps(scales + stride, min);
  } else {
    whole = _mm256_cvtss_f32(Q::scale(p));
    const __m256i subs = Q::subs(p);
    if (kVnni) {  // even and odd half blocks' scales as floats
      _mm256_store_ps(scales, _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(subs, 16), 16)));
      _mm256_store_ps(scales + stride, _mm256_cvtepi32_ps(_mm256_srai_epi32(subs, 16)));
    } else {  // the same, twice in 16 bits each
      _mm256_store_si256((__m256i*)scales, _mm256_blend_epi16(subs, _mm256_slli_epi32(subs, 16), 0xaa));
      _mm256_store_si256((__m256i*)(scales + stride), _mm256_blend_epi16(_mm256_srli_epi32(subs, 16), subs, 0xaa));
    }
    if constexpr (kind == Kind::subMin16) {
      const __m256i mins = Q::minCodes(p);
      _mm256_store_ps(scales + 2 * stride, Q::minScale(p));
      _mm256_store_ps(scales + 3 * stride, _mm256_cvtepi32_ps(_mm256_and_si256(mins, _mm256_set1_epi32(0xffff))));
      _mm256_store_ps(scales + 4 * stride, _mm256_cvtepi32_ps(_mm256_srli_epi32(mins, 16)));
    }
  }
}

template <class Q>
static void packQuantPanel(const uint8_t* data, size_t rowBytes, int rowCount, int64_t columns, uint8_t* panel) {
  constexpr Kind kind = Q::kTraits.kind;
  constexpr size_t unitBytes = panelUnitBytes(kind);
  constexpr bool halves = kind == Kind::sub16 || kind == Kind::subMin16;
  constexpr int floats = kind == Kind::ternary || kind == Kind::block32 ? 1 : kind == Kind::min32 ? 2 : kind == Kind::sub16 ? 2 : 5;
  const int64_t units = columns / kBlock;
  alignas(64) uint8_t codes[16][8][32];  // as unpacked
  alignas(64) float scales[floats][16][8];
  alignas(64) float turned[floats][8][16];
  alignas(64) float wholes[16];
  if (rowCount < 16) {
    memset(codes, 0, sizeof codes);
    memset(scales, 0, sizeof scales);
    memset(wholes, 0, sizeof wholes);
  }
  for (int64_t first = 0; first < units; first += 8) {
    const int64_t count = units - first < 8 ? units - first : 8;
    for (int r = 0; r < rowCount; r++) {
      const uint8_t* const p = data + size_t(r) * rowBytes + first / 8 * Q::kTraits.unit;
      uint8_t padded[Q::kTraits.unit];
      if (count == 8) {
        for (int64_t line = 0; line < Q::kTraits.unit; line += 64) _mm_prefetch((const char*)(p + 2 * Q::kTraits.unit + line), _MM_HINT_T0);
      }
      unpackRow<Q>(wholeGroup<Q>(p, count, padded), codes[r], scales[0][r], 16 * 8, wholes[r]);
    }
    for (int f = 0; f < floats; f++) turnScales(scales[f], turned[f]);
    for (int b = 0; b < count; b++) {
      const int64_t unit = kind == Kind::ternary ? first + b : laneStart(units, kLanes, b) + first / 8;
      uint8_t* const to = panel + size_t(unit) * unitBytes;
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) interleave(codes[0][2 * (b % 4) + h] + b / 4 * 16, 256, to + 256 * h);
      uint8_t* at = to + 512;
      if (halves) {
        memcpy(at, wholes, 64);
        at += 64;
      }
      for (int f = 0; f < floats; f++) memcpy(at + 64 * f, turned[f][b], 64);
    }
  }
}

template <int TYPE>
static void packFloatPanel(const uint8_t* data, size_t rowBytes, int rowCount, int64_t columns, uint8_t* panel) {
  constexpr int unit = traitsOf(TYPE).unit;
  const int64_t units = (columns + 15) / 16 * 16, run = units / 16;
  alignas(64) float values[16][16];
  memset(values, 0, sizeof values);
  float* const out = (float*)panel;
  for (int64_t k = 0; k < columns; k += 16) {
    for (int r = 0; r < rowCount; r++) {
      const uint8_t* p = data + size_t(r) * rowBytes + k * unit;
      store16f(values[r], columns - k >= 16 ? loadWeights<TYPE>(p) : loadLastWeights<TYPE>(p, columns - k));
    }
    // Column k + l goes to lane l.
    alignas(64) float turned[8][16];
    GROK1_UNROLL
    for (int half = 0; half < 2; half++) {
      alignas(64) float eight[16][8];
      GROK1_UNROLL
      for (int r = 0; r < 16; r++) memcpy(eight[r], values[r] + 8 * half, 32);
      turnScales(eight, turned);
      GROK1_UNROLL
      for (int l = 0; l < 8; l++) memcpy(out + ((8 * half + l) * run + k / 16) * 16, turned[l], 64);
    }
  }
}

static void packPanel(int type, const uint8_t* data, size_t rowBytes, int rowCount, int64_t columns, uint8_t* panel) {
  withType(type, [&](auto constant) {
    constexpr int TYPE = decltype(constant)::value;
    if constexpr (traitsOf(TYPE).kind == Kind::f32) {
      packFloatPanel<TYPE>(data, rowBytes, rowCount, columns, panel);
    } else {
      packQuantPanel<Quant<TYPE>>(data, rowBytes, rowCount, columns, panel);
    }
  });
}

}  // namespace grok1::GROK1_ISA
