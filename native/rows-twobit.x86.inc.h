// Products of rows of Q2_K and Q3_K.
//
// A byte has two bits of a column of each of four blocks. Of each 16 bytes the first eight give codes of one block and the last eight codes of the
// next; the other way round from the same bytes with eights exchanged. So the sum of both registers' products has one block's products in the
// first quadword and the next block's in the second: sums that would have to be brought together by shuffles are one addition. Activations
// are put into that order once for all rows.
namespace grok1::GROK1_ISA {

// sum + products of words, two in each doubleword.
GROK1_INLINE __m256i addWords(__m256i sum, __m256i a, __m256i b) {
#if defined(__AVX512VNNI__)
  return _mm256_dpwssd_epi32(sum, a, b);
#elif defined(__AVXVNNI__)
  return _mm256_dpwssd_avx_epi32(sum, a, b);
#else
  return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
#endif
}

// Products of two registers of codes: sixteen words, or with VNNI eight doublewords. 4 of 12 * 127 fit 16 bits.
GROK1_INLINE __m256i dotBoth(const __m256i* codes, const __m256i* x) {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  return addProducts(addProducts(_mm256_setzero_si256(), codes[0], x[0]), codes[1], x[1]);
#else
  return _mm256_add_epi16(_mm256_maddubs_epi16(codes[0], x[0]), _mm256_maddubs_epi16(codes[1], x[1]));
#endif
}

// The first eight bytes of each 16 of `first` and the last of `second`; then the last of `first` and the first of `second`.
GROK1_INLINE __m256i eights(__m256i first, __m256i second) { return _mm256_blend_epi32(first, second, 0xcc); }
GROK1_INLINE __m256i exchangedEights(__m256i first, __m256i second) {
  return _mm256_alignr_epi8(second, first, 8);
}

// Activations in that order: of blocks 4 n + 2 m and the next, [n][m][0] has eights of both, [n][m][1] exchanged ones: 32 bytes, one half of blocks
// after the other.
static void pairCodes(ActGroup* groups, int64_t count) {
  for (; count > 0; count--, groups++) {
    __m256i codes[4][2];
    memcpy(codes, groups->codes, sizeof codes);
    GROK1_UNROLL
    for (int i = 0; i < 4; i++) {
      const int m = i / 2, x = i % 2;
      const auto half = [&](int h) { return (x == 0 ? eights : exchangedEights)(codes[2 * m][h], codes[2 * m + 1][h]); };
      __m256i* const to = (__m256i*)groups->codes + i;
      _mm256_store_si256(to, _mm256_permute2x128_si256(half(0), half(1), 0x20));
      _mm256_store_si256(to + 4, _mm256_permute2x128_si256(half(0), half(1), 0x31));
    }
  }
}

GROK1_INLINE __m256i twice(const uint8_t* p) { return _mm256_broadcastsi128_si256(load128(p)); }

// Where words of scales come from in 16 bytes: of blocks 4 n to 4 n + 3, twice each, halves 0 in the low lane; or of all half blocks in order. Words
// are 256 times the byte (HIGH), or the byte.
template <bool HIGH>
GROK1_INLINE __m256i wordsAt(__m256i bytes, const auto& byteOf) {
  const auto at = [&](int i) { return short(HIGH ? byteOf(i) << 8 | 0x80 : 0x8000 | byteOf(i)); };
  return _mm256_shuffle_epi8(bytes, _mm256_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10), at(11), at(12), at(13),
                                                      at(14), at(15)));
}
template <int N, bool HIGH>
GROK1_INLINE __m256i subWords(__m256i bytes) {
  return wordsAt<HIGH>(bytes, [](int i) { return 8 * N + i % 8 / 2 * 2 + i / 8; });
}
template <bool HIGH>
GROK1_INLINE __m256i inOrder(__m256i bytes) {
  return wordsAt<HIGH>(bytes, [](int i) { return i; });
}

// codes<N>: codes[m][x] of blocks 4 N on, as pairCodes has activations. subs: a byte for each half block. kHead: where the doubleword stands whose
// first half is the scale and second the minimums' (kMins), or whose second is the scale. k...Scale: what sums are multiplied with beside it.
template <int TYPE>
struct TwoBit;

template <>
struct TwoBit<Q2_K> {
  static constexpr int kHead = 80, kOffset = 0;
  static constexpr bool kHigh = false, kMins = true;
  static constexpr float kScale = 1, kOddScale = 0.25f, kMinScale = -0.0625f;  // codes of odd blocks come times 4, minimums times 16
  GROK1_INLINE __m256i subs(const uint8_t* p) { return lowNibbles(twice(p)); }
  GROK1_INLINE __m256i mins(const uint8_t* p) {
    return _mm256_and_si256(twice(p), _mm256_set1_epi8(char(0xf0)));
  }
  template <int N>
  GROK1_INLINE void codes(const uint8_t* p, __m256i (*codes)[2]) {
    const __m256i cut = _mm256_setr_epi32(0x03030303, 0x03030303, 0x0c0c0c0c, 0x0c0c0c0c, 0x03030303, 0x03030303, 0x0c0c0c0c, 0x0c0c0c0c);
    const __m256i v = _mm256_loadu_si256((const __m256i*)(p + 16 + 32 * N)), exchanged = _mm256_shuffle_epi32(v, 0x4e);
    codes[0][0] = _mm256_and_si256(v, cut);
    codes[0][1] = _mm256_and_si256(exchanged, cut);
    codes[1][0] = _mm256_and_si256(_mm256_srli_epi16(v, 4), cut);
    codes[1][1] = _mm256_and_si256(_mm256_srli_epi16(exchanged, 4), cut);
  }
};

template <>
struct TwoBit<Q3_K> {
  static constexpr int kHead = 106, kOffset = 4;
  static constexpr bool kHigh = true, kMins = false;
  static constexpr float kScale = 1.0f / 256, kOddScale = kScale, kMinScale = 0;  // words of scales are 256 times as large
  // Low four bits of 0 to 7, then above them those of 8 to 15; two high bits of i, i + 4, i + 8 and i + 12 in byte i behind them.
  GROK1_INLINE __m256i subs(const uint8_t* p) {
    const auto counts = [](int a, int b, int c, int d) { return _mm256_broadcastsi128_si256(_mm_setr_epi32(a, b, c, d)); };
    const __m256i four = _mm256_castpd_si256(_mm256_broadcast_sd((const double*)(p + 96)));
    const __m256i two = _mm256_castps_si256(_mm256_broadcast_ss((const float*)(p + 104)));
    const __m256i low = _mm256_and_si256(_mm256_srlv_epi32(four, counts(0, 0, 4, 4)), _mm256_set1_epi8(15));
    const __m256i high = _mm256_and_si256(_mm256_srlv_epi32(two, counts(0, 2, 4, 6)), _mm256_set1_epi8(3));
    return _mm256_add_epi8(low, _mm256_shuffle_epi8(_mm256_set1_epi32(0x1000f0e0), high));
  }
  template <int N>
  GROK1_INLINE void codes(const uint8_t* p, __m256i (*codes)[2]) {
    const __m256i v = keep(_mm256_loadu_si256((const __m256i*)(p + 32 + 32 * N)));  // loaded once: it is used twice
    const __m256i high = _mm256_loadu_si256((const __m256i*)p);
    const __m256i bits = N == 0 ? lowNibbles(high) : highNibbles(high);
    // High bits of blocks j and j + 2 to where they stand above the low ones in nibbles.
    const auto placed = [bits](int j) {
      const auto at = [j](int i) { return char((i >> j & 1 ? 4 : 0) | (i >> j & 4 ? 64 : 0)); };
      return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_setr_epi8(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7), at(8), at(9), at(10),
                                                                           at(11), at(12), at(13), at(14), at(15))),
                                 bits);
    };
    const __m256i cut = _mm256_set1_epi8(0x33);
    const __m256i even = _mm256_or_si256(_mm256_and_si256(v, cut), placed(0));
    const __m256i odd = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(v, 2), cut), placed(1));
    const __m256i both[2] = {eights(even, odd), exchangedEights(even, odd)};
    GROK1_UNROLL
    for (int x = 0; x < 2; x++) {
      codes[0][x] = lowNibbles(both[x]);
      codes[1][x] = highNibbles(both[x]);
    }
  }
};

// Up to four rows: the last stands in for those that are missing.
template <int TYPE, int N>
static void twoBitRows(const RowsCall& call) {
  using Q = TwoBit<TYPE>;
  constexpr int R = kMaxRowsAtOnce, unit = traitsOf(TYPE).unit;
  const auto acts = actsOf<ActGroup, N>(call);
  const auto rows = rowsAt<R>(call, 0, call.rows);
  float totals[R * N] = {};
  const int64_t groups = call.cols / kGroup;
  for (int64_t g = 0; g < groups;) {
    __m256 lanes[R * N];
    GROK1_UNROLL
    for (int i = 0; i < R * N; i++) lanes[i] = _mm256_setzero_ps();
    const int64_t end = g + kSegment / kGroup < groups ? g + kSegment / kGroup : groups;
    for (; g < end; g++) {
      askAhead<R, unit>(call, rows[0], g * unit);
      const uint8_t* p[R];
      GROK1_UNROLL
      for (int r = 0; r < R; r++) p[r] = rows[r] + g * unit;
      const auto head = [&p](int r) { return _mm_broadcast_ss((const float*)(p[r] + Q::kHead)); };
      const __m128 heads = _mm_blend_ps(_mm_blend_ps(head(0), head(1), 2), _mm_blend_ps(head(2), head(3), 8), 12);
      // Stored and loaded again: loads fill a register with one of them on ports that the rest leaves free.
      alignas(32) float factors[2 * R];
      _mm256_store_ps(factors, _mm256_cvtph_ps(_mm_castps_si128(heads)));
#if defined(__GNUC__)
      asm("" : "+m"(factors));
#endif
      __m256i sums[2][R * N];
      const auto multiply = [&](auto n) {
        constexpr int B = decltype(n)::value;
        // Two rows in turn: their instructions do not wait for one another, and the processor looks no further ahead than a row and a half.
        GROK1_UNROLL
        for (int r = 0; r < R; r += 2) {
          __m256i codes[2][2][2];
          GROK1_UNROLL
          for (int i = 0; i < 2; i++) Q::template codes<B>(p[r + i], codes[i]);
          GROK1_UNROLL
          for (int t = 0; t < N; t++) {
            const __m256i* const x = (const __m256i*)acts[t][g].codes + 4 * B;
            __m256i words[2];  // two of each half block: 8 products of 12 * 127 fit them
            GROK1_UNROLL
            for (int i = 0; i < 2; i++) {
              const __m256i dots[2] = {dotBoth(codes[i][0], x), dotBoth(codes[i][1], x + 2)};
              words[i] = kVnni ? _mm256_packs_epi32(dots[0], dots[1]) : addEvenOdd16(dots[0], dots[1]);
            }
            GROK1_UNROLL
            for (int i = 0; i < 2; i++) sums[B][(r + i) * N + t] = _mm256_madd_epi16(words[i], subWords<B, Q::kHigh>(Q::subs(p[r + i])));
            GROK1_UNROLL
            for (int i = 0; i < 2; i++) sums[B][(r + i) * N + t] = keep(sums[B][(r + i) * N + t]);
          }
        }
      };
      multiply(Constant<0>());
      multiply(Constant<1>());
      GROK1_UNROLL
      for (int r = 0; r < R; r++) {
        const __m256 scale = _mm256_broadcast_ss(factors + 2 * r + (Q::kMins ? 0 : 1)), minScale = _mm256_broadcast_ss(factors + 2 * r + 1);
        GROK1_UNROLL
        for (int t = 0; t < N; t++) {
          const ActGroup& a = acts[t][g];
          __m256& lane = lanes[r * N + t];
          const __m256i low = sums[0][r * N + t], high = sums[1][r * N + t];
          const __m256i halves = _mm256_load_si256((const __m256i*)a.sums16);
          const __m256 even = _mm256_set1_ps(Q::kScale), odd = _mm256_set1_ps(Q::kOddScale), scales = _mm256_load_ps(a.scale);
          const __m256 actScale = _mm256_mul_ps(scales, _mm256_blend_ps(even, odd, 0xaa));
          const __m256 actMinScale = _mm256_mul_ps(scales, _mm256_set1_ps(Q::kMinScale));
          __m256i sum = _mm256_add_epi32(_mm256_blend_epi32(low, high, 0xf0), _mm256_permute2x128_si256(low, high, 0x21));
          if constexpr (Q::kOffset > 0) {
            sum = addWords(sum, inOrder<Q::kHigh>(Q::subs(p[r])), _mm256_mullo_epi16(halves, _mm256_set1_epi16(-Q::kOffset)));
          }
          lane = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(scale, actScale), lane);
          if constexpr (Q::kMins) {
            const __m256i mins = _mm256_madd_epi16(inOrder<Q::kHigh>(Q::mins(p[r])), halves);
            lane = _mm256_fmadd_ps(_mm256_cvtepi32_ps(mins), _mm256_mul_ps(minScale, actMinScale), lane);
          }
        }
      }
    }
    addLanes<R * N>(lanes, totals);
  }
  for (int r = 0; r < call.rows; r++) {
    GROK1_UNROLL
    for (int t = 0; t < N; t++) call.out[t * call.ldo + r] = totals[r * N + t];
  }
}

}  // namespace grok1::GROK1_ISA
