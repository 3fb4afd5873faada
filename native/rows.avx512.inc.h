// Products of quantized rows with AVX-512 VNNI, two rows side by side in a register from their sums on: while 512-bit
// instructions are under way only two ports compute, so the number of instructions is what counts.
#include "unpack.avx512.inc.h"

namespace grok1::GROK1_ISA {

// What of a group of activations two rows of type Q meet.
template <class Q>
struct WideActs {
  static constexpr Kind kKind = Q::kTraits.kind;
  static constexpr bool kHalves = kKind == Kind::sub16;
  __m512i codes[4];
  __m512i starts[4];  // what Q6_K's sums start from
  __m512i offsets;    // what is subtracted on the way
  __m512 scale, sums;

  GROK1_INLINE __m512i rowOf(const ActGroup& a, int p) { return _mm512_load_si512(a.codes[p]); }

  GROK1_INLINE void load(WideActs& x, const ActGroup& a) {
    x.scale = forBoth<Q::kOrder>(a.scale);
    if constexpr (Q::kOrder == Order::whole) {
      GROK1_UNROLL
      for (int j = 0; j < 4; j++) x.codes[j] = _mm512_shuffle_i64x2(rowOf(a, j), rowOf(a, j), 0xd8);
    } else {
      const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
      GROK1_UNROLL
      for (int b = 0; b < 2; b++) {
        x.codes[2 * b] = _mm512_permutex2var_epi64(rowOf(a, b), first, rowOf(a, b + 2));
        x.codes[2 * b + 1] = _mm512_permutex2var_epi64(rowOf(a, b), second, rowOf(a, b + 2));
      }
    }
    if constexpr (kKind == Kind::block32) {
      constexpr int offset = Q::kTraits.offset, shift = offset == 8 ? 3 : offset == 16 ? 4 : 7;
      x.offsets = _mm512_slli_epi32(_mm512_castps_si512(forBoth<Q::kOrder>(a.sums)), shift);
    } else if constexpr (kKind == Kind::min32) {
      x.sums = forBoth<Q::kOrder>(a.scaledSums);
    } else {
      GROK1_UNROLL
      for (int i = 0; i < 4; i++) {
        x.starts[i] = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(32), x.codes[i]));
      }
    }
  }
};

GROK1_INLINE __m512i addNeighbours(__m512i a, __m512i b) {  // of 16 bits, where the sums of two fit them
  return _mm512_madd_epi16(_mm512_packs_epi32(a, b), _mm512_set1_epi16(1));
}
GROK1_INLINE __m512i addEvenOdd(__m512i a, __m512i b) {
  const __m512 x = _mm512_castsi512_ps(a), y = _mm512_castsi512_ps(b);
  return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)), _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xdd)));
}
GROK1_INLINE __m512i addHalves64(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}
GROK1_INLINE __m512i addHalves32(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
}
// Lanes [blocks 0-3, the same, blocks 4-7, the same] of each of two rows to the order `whole`.
GROK1_INLINE __m512i addLanes128(__m512i a, __m512i b) {
  return _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}

// One row's part of the sums; `p` for the scales of half blocks.
template <class Q>
GROK1_INLINE __m512i dotRow(const uint8_t* p, const __m512i* w, const WideActs<Q>& x) {
  constexpr int maxCode = Q::kTraits.maxCode;
  if constexpr (Q::kOrder == Order::pairs) {
    const __m512i even = _mm512_dpbusd_epi32(products(w[0], x.codes[0]), w[1], x.codes[1]);
    const __m512i odd = _mm512_dpbusd_epi32(products(w[2], x.codes[2]), w[3], x.codes[3]);
    return maxCode <= 31 ? addNeighbours(even, odd) : addHalves32(even, odd);  // 8 products of 31 * 127 fit 16 bits
  } else {
    __m512i s[4];
    GROK1_UNROLL
    for (int j = 0; j < 4; j++) s[j] = Q::kType == Q6_K ? _mm512_dpbusd_epi32(x.starts[j], w[j], x.codes[j]) : products(w[j], x.codes[j]);
    if constexpr (Q::kType == Q8_0) {
      return addHalves64(addHalves32(s[0], s[1]), addHalves32(s[2], s[3]));
    } else {
      return addEvenOdd(_mm512_madd_epi16(_mm512_packs_epi32(s[0], s[1]), Q::subs(p, 0)),
                        _mm512_madd_epi16(_mm512_packs_epi32(s[2], s[3]), Q::subs(p, 1)));
    }
  }
}

// Both rows' whole-number sums of each block, in the type's order.
template <class Q>
GROK1_INLINE __m512i dotBoth(const uint8_t* p, const uint8_t* q, const __m512i* w, const __m512i* v, const WideActs<Q>& x) {
  const __m512i a = dotRow<Q>(p, w, x), b = dotRow<Q>(q, v, x);
  if constexpr (Q::kOrder == Order::whole) {
    const __m512i sum = addLanes128(a, b);
    return Q::kType == Q8_0 ? _mm512_sub_epi32(sum, x.offsets) : sum;
  } else {
    constexpr int maxCode = Q::kTraits.maxCode;
    const __m512i sum = maxCode <= 15 ? addNeighbours(a, b) : maxCode <= 31 ? addEvenOdd(a, b) : addHalves64(a, b);
    return Q::kTraits.kind == Kind::block32 ? _mm512_sub_epi32(sum, x.offsets) : sum;
  }
}

// Lanes of PAIRS pairs of rows and N tokens += one group. `there` has ones for the blocks that belong to the row: scales of what
// lies behind it may be anything, while its products with the zeros that fill up activations are zeros.
template <class Q, int PAIRS, int N, bool WHOLE>
GROK1_INLINE void addWideGroup(const uint8_t* const* rows, const ActGroup* const* acts, int64_t g, __m512* lanes, __mmask16 there) {
  constexpr Kind kind = Q::kTraits.kind;
  WideActs<Q> x;
  if (N == 1) WideActs<Q>::load(x, acts[0][g]);
  GROK1_UNROLL
  for (int i = 0; i < PAIRS; i++) {
    const uint8_t *const p = rows[2 * i], *const q = rows[2 * i + 1];
    __m512i w[8];
    Q::unpack(p, w);
    Q::unpack(q, w + 4);
    __m512 scale, min = _mm512_setzero_ps();
    if constexpr (WideActs<Q>::kHalves) scale = Q::scale(p, q);
    else Q::scales(p, q, scale, min);
    if (!WHOLE) {
      scale = _mm512_maskz_mov_ps(there, scale);
      min = _mm512_maskz_mov_ps(there, min);
    }
    GROK1_UNROLL
    for (int t = 0; t < N; t++) {
      if (N > 1) WideActs<Q>::load(x, acts[t][g]);
      __m512& lane = lanes[i * N + t];
      const __m512i sums = dotBoth<Q>(p, q, w, w + 4, x);
      lane = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums), _mm512_mul_ps(scale, x.scale), lane);
      if (kind == Kind::min32) lane = _mm512_fmadd_ps(min, x.sums, lane);
    }
  }
}

// Lanes += the `tail` blocks that rows end with, two at a time: a whole group's work for a few blocks would be most of it.
template <class Q, int PAIRS, int N>
GROK1_INLINE void addTail(const uint8_t* const* rows, const ActGroup* const* acts, int64_t g, __m512* lanes, int tail) {
  constexpr Kind kind = Q::kTraits.kind;
  // Sums come as blocks 0 and 1 of the first row, of the second, and so on; each pair of rows takes them to its places.
  static constexpr Words places = wordsOf([](int i) { return blockAt(Q::kOrder, i % 16); });
  static constexpr Words froms = wordsOf([](int i) { return 2 * rowAt(Q::kOrder, i % 16) + blockAt(Q::kOrder, i % 16) % 2; });
  const __m512i place = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(vectorOf(places)));
  const __m512i from = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(vectorOf(froms)));
  for (int block = 0; block < tail; block += 2) {
    const int most = tail < block + 2 ? tail : block + 2;
    const __mmask16 there = _mm512_cmpge_epi32_mask(place, _mm512_set1_epi32(block)) & _mm512_cmplt_epi32_mask(place, _mm512_set1_epi32(most));
    const uint8_t* p[4];
    GROK1_UNROLL
    for (int r = 0; r < 4; r++) p[r] = rows[r % (2 * PAIRS)] + block * Q::kBlockBytes;
    TailCodes codes[PAIRS];
    GROK1_UNROLL
    for (int i = 0; i < PAIRS; i++) codes[i] = Q::tail(p[2 * i], p[2 * i + 1]);
    __m256 scale, min = _mm256_setzero_ps();
    Q::tailScales(p, scale, min);
    GROK1_UNROLL
    for (int t = 0; t < N; t++) {
      const ActGroup& a = acts[t][g];
      __m512i x[2], s[PAIRS];
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) {
        const __m128i first = _mm_load_si128((const __m128i*)(a.codes[block % 4][h] + block / 4 * 16));
        const __m128i second = _mm_load_si128((const __m128i*)(a.codes[block % 4 + 1][h] + block / 4 * 16));
        x[h] = _mm512_broadcast_i64x4(_mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1));
      }
      GROK1_UNROLL
      for (int i = 0; i < PAIRS; i++) {
        s[i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), codes[i].halves[0], x[0]), codes[i].halves[1], x[1]);
      }
      const __m512i half = addHalves32(s[0], s[PAIRS - 1]);
      const __m512i sums = _mm512_add_epi32(half, _mm512_shuffle_epi32(half, _MM_PERM_BADC));
      const auto both = [&](const void* blocks) { return _mm256_castpd_ps(_mm256_broadcast_sd((const double*)blocks + block / 2)); };
      __m256i whole = _mm512_castsi512_si256(_mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 0, 0, 0, 0, 0, 0, 0, 0), sums));
      if constexpr (kind == Kind::block32) {
        constexpr int offset = Q::kTraits.offset, shift = offset == 8 ? 3 : offset == 16 ? 4 : 7;
        whole = _mm256_sub_epi32(whole, _mm256_slli_epi32(_mm256_castps_si256(both(a.sums)), shift));
      }
      const __m512 products = _mm512_castps256_ps512(_mm256_cvtepi32_ps(whole));
      const __m512 scales = _mm512_castps256_ps512(_mm256_mul_ps(scale, both(a.scale)));
      GROK1_UNROLL
      for (int i = 0; i < PAIRS; i++) {
        const __m512i index = i == 0 ? from : _mm512_add_epi32(from, _mm512_set1_epi32(4));
        __m512& lane = lanes[i * N + t];
        lane = _mm512_mask3_fmadd_ps(_mm512_permutexvar_ps(index, products), _mm512_permutexvar_ps(index, scales), lane, there);
        if (kind == Kind::min32) {
          const __m512 mins = _mm512_permutexvar_ps(index, _mm512_castps256_ps512(min));
          lane = _mm512_mask3_fmadd_ps(mins, _mm512_permutexvar_ps(index, _mm512_castps256_ps512(both(a.scaledSums))), lane, there);
        }
      }
    }
  }
}

// `count` rows, at most 2 * PAIRS: the last stands in for those that are missing.
template <int TYPE, int PAIRS, int N>
static void wideRows(const RowsCall& call, int firstRow, int count) {
  using Q = Wide<TYPE>;
  constexpr int R = 2 * PAIRS;
  const auto acts = actsOf<ActGroup, N>(call);
  const auto rows = rowsAt<R>(call, firstRow, count);
  float totals[R * N] = {};
  const int64_t groups = call.cols / kGroup;
  const int tail = int(call.cols % kGroup / kBlock);
  for (int64_t segment = 0; segment * kSegment < call.cols; segment++) {
    __m512 lanes[PAIRS * N];
    GROK1_UNROLL
    for (int i = 0; i < PAIRS * N; i++) lanes[i] = _mm512_setzero_ps();
    const int64_t last = (segment + 1) * (kSegment / kGroup), end = last < groups ? last : groups;
    for (int64_t g = segment * (kSegment / kGroup); g < end; g++) {
      const int64_t at = g * Q::kTraits.unit;
      askAhead<R, Q::kTraits.unit>(call, rows[0], at);
      const uint8_t* p[R];
      GROK1_UNROLL
      for (int r = 0; r < R; r++) p[r] = rows[r] + at;
      addWideGroup<Q, PAIRS, N, true>(p, acts.of, g, lanes, 0xffff);
    }
    if (tail > 0 && groups < last) {
      uint8_t padded[R][Q::kTraits.unit];
      const uint8_t* p[R];
      for (int r = 0; r < R; r++) {
        p[r] = rows[r] + groups * Q::kTraits.unit;
        if (call.readable >= kOverRead) continue;
        memset(padded[r], 0, sizeof padded[r]);
        p[r] = (const uint8_t*)memcpy(padded[r], p[r], size_t(tail) * Q::kBlockBytes);
      }
      if constexpr (Q::kTail) {
        addTail<Q, PAIRS, N>(p, acts.of, groups, lanes, tail);
      } else {
        __mmask16 there = 0;
        for (int i = 0; i < 16; i++) there = __mmask16(there | (blockAt(Q::kOrder, i) < tail) << i);
        addWideGroup<Q, PAIRS, N, false>(p, acts.of, groups, lanes, there);
      }
    }
    __m256 turned[R * N];
    GROK1_UNROLL
    for (int i = 0; i < PAIRS; i++) {
      GROK1_UNROLL
      for (int t = 0; t < N; t++) {
        const __m512i inOrder = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
        const __m512 lane = Q::kOrder == Order::pairs ? _mm512_permutexvar_ps(inOrder, lanes[i * N + t]) : lanes[i * N + t];
        turned[2 * i * N + t] = _mm512_castps512_ps256(lane);
        turned[(2 * i + 1) * N + t] = _mm512_extractf32x8_ps(lane, 1);
      }
    }
    addLanes<R * N>(turned, totals);
  }
  for (int r = 0; r < count; r++) {
    GROK1_UNROLL
    for (int t = 0; t < N; t++) call.out[t * call.ldo + firstRow + r] = totals[r * N + t];
  }
}

template <int TYPE, int N>
GROK1_INLINE void wideRowsFor(const RowsCall& call) {
  // Four rows at a time where both tokens' activations still fit the registers beside them.
  constexpr bool four = N == 1 || (N == 2 && Wide<TYPE>::kOrder == Order::pairs);
  if (four && call.rows > 2) {
    wideRows<TYPE, four ? 2 : 1, N>(call, 0, call.rows);
  } else {
    for (int r = 0; r < call.rows; r += 2) wideRows<TYPE, 1, N>(call, r, call.rows - r < 2 ? 1 : 2);
  }
}

}  // namespace grok1::GROK1_ISA
