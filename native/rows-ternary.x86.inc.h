// Products of rows of TQ1_0 and TQ2_0: a register has two rows side by side, the same columns of each. All 256 columns add up to one
// whole number, since scales of blocks are whole multiples of one.
namespace grok1::GROK1_ISA {

template <int TYPE>
constexpr bool kTernary = traitsOf(TYPE).kind == Kind::ternary;

constexpr int kPairs = kMaxRowsAtOnce / 2;

// ofBlocks: multiples of blocks, of even ones four times as large: codes of odd ones come so. ofDigits: of a byte's first digits, 3 d + e
// and so on, the last digit is what there is more than three times those before; so columns' multiples, less three times the next digits' column's,
// make the products of a byte right: first of 16 bytes that have five digits, in even and in odd bytes, three times; then of the last four, each of
// which comes as often as it has digits. No more than 127 * 63 * 4 < 2^15.
static void putFactors(TernaryGroup& group) {
  GROK1_UNROLL
  for (int b = 0; b < 8; b++) {
    for (int16_t& of : group.ofBlocks[b]) of = int16_t(group.multiples[b] << (b % 2 == 0 ? 2 : 0));
  }
  const auto columns = [&group](int b, int h) {
    const __m256i codes = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i*)(group.codes[b % 4][h] + b / 4 * 16)));
    return _mm256_mullo_epi16(codes, _mm256_set1_epi16(group.multiples[b]));
  };
  const auto put = [&group](int at, __m256i v, __m256i next) {
    const __m256i words = _mm256_sub_epi16(v, _mm256_mullo_epi16(next, _mm256_set1_epi16(3)));
    const __m256i evenOdd = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15, 0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    _mm256_storeu_si256((__m256i*)group.ofDigits[at], _mm256_permute4x64_epi64(_mm256_shuffle_epi8(words, evenOdd), 0xd8));
  };
  for (int r = 0; r < 3; r++) {
    const auto digit = [&](int k) { return k == 5 ? _mm256_setzero_si256() : r < 2 ? columns(k, r) : columns(5 + k / 2, k % 2); };
    for (int k = 0; k < 5; k++) put(10 * r + 2 * k, digit(k), digit(k + 1));
  }
  const __m256i last = columns(7, 1);
  put(30, last, _mm256_permute4x64_epi64(_mm256_blend_epi32(last, _mm256_setzero_si256(), 3), 0x39));
}

GROK1_INLINE __m256i forBothRows(const void* p) { return _mm256_broadcastsi128_si256(load128((const uint8_t*)p)); }

// Of two pairs of rows and N tokens: products of a group, which four doublewords of each row add up to; times 1 << kRaise<TYPE>.
template <int TYPE>
constexpr int kRaise = TYPE == TQ2_0 ? 2 : 0;

template <int TYPE, int N>
  requires(TYPE == TQ2_0)
GROK1_INLINE void ternarySums(const uint8_t* const* rows, const TernaryGroup* const* acts, int64_t g, __m256i* sums) {
  const __m256i first = _mm256_set1_epi8(3), second = _mm256_set1_epi8(12);
  GROK1_UNROLL
  for (int i = 0; i < kPairs * N; i++) sums[i] = _mm256_setzero_si256();
  GROK1_UNROLL
  for (int part = 0; part < 2; part++) {
    __m256i v[kPairs][2], even[kPairs * N];
    GROK1_UNROLL
    for (int i = 0; i < kPairs; i++) {
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) v[i][h] = pair(rows[2 * i] + 32 * part + 16 * h, rows[2 * i + 1] + 32 * part + 16 * h);
    }
    GROK1_UNROLL
    for (int b = 0; b < 4; b++) {
      __m256i codes[kPairs][2];
      GROK1_UNROLL
      for (int i = 0; i < kPairs; i++) {
        GROK1_UNROLL
        for (int h = 0; h < 2; h++) {
          if (b == 2) v[i][h] = _mm256_srli_epi16(v[i][h], 4);
          codes[i][h] = _mm256_and_si256(v[i][h], b % 2 == 0 ? first : second);
        }
      }
      GROK1_UNROLL
      for (int t = 0; t < N; t++) {
        const TernaryGroup& a = acts[t][g];
        const __m256i x[2] = {forBothRows(a.codes[b][0] + 16 * part), forBothRows(a.codes[b][1] + 16 * part)};
        GROK1_UNROLL
        for (int i = 0; i < kPairs; i++) {
          const __m256i dot = dotBoth(codes[i], x);
          __m256i& sum = sums[i * N + t];
          if constexpr (!kVnni) {
            sum = keep(addWords(sum, dot, _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i*)a.ofBlocks[4 * part + b]))));
          } else if (b % 2 == 0) {
            even[i * N + t] = dot;
          } else {
            sum = addWords(sum, _mm256_packs_epi32(even[i * N + t], dot), forBothRows(a.ofBlocks[4 * part + b - 1]));
          }
        }
      }
    }
  }
}

template <int TYPE, int N>
  requires(TYPE == TQ1_0)
GROK1_INLINE void ternarySums(const uint8_t* const* rows, const TernaryGroup* const* acts, int64_t g, __m256i* sums) {
  constexpr int chains = kVnni && N == 1 ? 4 : 1;  // that do not wait for one another
  __m256i each[kPairs * N][chains];
  GROK1_UNROLL
  for (int i = 0; i < kPairs * N; i++) {
    GROK1_UNROLL
    for (__m256i& chain : each[i]) chain = _mm256_setzero_si256();
  }
  // Bytes are fractions of 256: times a power of three, they have their first digits above. Even bytes, then odd ones.
  const auto split = [](__m256i v, __m256i* both) {
    both[0] = _mm256_slli_epi16(v, 8);
    both[1] = _mm256_and_si256(v, _mm256_set1_epi16(short(0xff00)));
  };
  const auto add = [&](const __m256i (*v)[2], int at, __m256i powers) {
    GROK1_UNROLL
    for (int odd = 0; odd < 2; odd++) {
      __m256i digits[kPairs];
      GROK1_UNROLL
      for (int i = 0; i < kPairs; i++) digits[i] = _mm256_mulhi_epu16(v[i][odd], powers);
      GROK1_UNROLL
      for (int t = 0; t < N; t++) {
        const __m256i x = forBothRows(acts[t][g].ofDigits[at + odd]);
        GROK1_UNROLL
        for (int i = 0; i < kPairs; i++) {
          __m256i& sum = each[i * N + t][(at + odd) % chains];
          sum = keep(addWords(sum, digits[i], x));
        }
      }
    }
  };
  __m256i v[kPairs][2];
  GROK1_UNROLL
  for (int r = 0; r < 3; r++) {
    GROK1_UNROLL
    for (int i = 0; i < kPairs; i++) split(pair(rows[2 * i] + 16 * r, rows[2 * i + 1] + 16 * r), v[i]);
    add(v, 10 * r, _mm256_set1_epi16(3));
    add(v, 10 * r + 2, _mm256_set1_epi16(9));
    add(v, 10 * r + 4, _mm256_set1_epi16(27));
    add(v, 10 * r + 6, _mm256_set1_epi16(81));
    add(v, 10 * r + 8, _mm256_set1_epi16(243));
  }
  GROK1_UNROLL
  for (int i = 0; i < kPairs; i++) {
    const int low = int(load32(rows[2 * i] + 48)), high = int(load32(rows[2 * i + 1] + 48));
    split(_mm256_blend_epi32(_mm256_set1_epi32(low), _mm256_set1_epi32(high), 0xf0), v[i]);
  }
  add(v, 30, _mm256_broadcastsi128_si256(_mm_setr_epi16(3, 3, 9, 9, 27, 27, 81, 81)));
  GROK1_UNROLL
  for (int i = 0; i < kPairs * N; i++) {
    sums[i] = each[i][0];
    if constexpr (chains == 4) sums[i] = _mm256_add_epi32(_mm256_add_epi32(each[i][0], each[i][1]), _mm256_add_epi32(each[i][2], each[i][3]));
  }
}

// Up to four rows: the last stands in for those that are missing.
template <int TYPE, int N>
static void ternaryRows(const RowsCall& call) {
  constexpr int R = kMaxRowsAtOnce, unit = traitsOf(TYPE).unit;
  const auto acts = actsOf<TernaryGroup, N>(call);
  const auto rows = rowsAt<R>(call, 0, call.rows);
  __m128 totals[N];
  GROK1_UNROLL
  for (int t = 0; t < N; t++) totals[t] = _mm_setzero_ps();
  const int64_t groups = call.cols / kGroup;
  for (int64_t g = 0; g < groups;) {
    __m128 lanes[N];  // of four rows
    GROK1_UNROLL
    for (int t = 0; t < N; t++) lanes[t] = _mm_setzero_ps();
    const int64_t end = g + kSegment / kGroup < groups ? g + kSegment / kGroup : groups;
    for (; g < end; g++) {
      askAhead<R, unit>(call, rows[0], g * unit);
      const uint8_t* p[R];
      GROK1_UNROLL
      for (int r = 0; r < R; r++) p[r] = rows[r] + g * unit;
      __m256i sums[kPairs * N];
      ternarySums<TYPE, N>(p, acts.of, g, sums);
      const auto two = [&p](int r) { return int(load16(p[r] + unit - 2) | uint32_t(load16(p[r + 1] + unit - 2)) << 16); };
      const __m128 scale = _mm_cvtph_ps(_mm_insert_epi32(_mm_cvtsi32_si128(two(0)), two(2), 1));
      GROK1_UNROLL
      for (int t = 0; t < N; t++) {
        const __m256i half = addEvenOdd(sums[t], sums[N + t]), all = _mm256_add_epi32(half, _mm256_shuffle_epi32(half, 0xb1));
        __m128i whole = _mm_blend_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1), 0xa);
        if (kRaise<TYPE> > 0) whole = _mm_srai_epi32(whole, kRaise<TYPE>);
        whole = _mm_sub_epi32(whole, _mm_set1_epi32(acts[t][g].offset));
        lanes[t] = _mm_fmadd_ps(_mm_cvtepi32_ps(whole), _mm_mul_ps(scale, _mm_set1_ps(acts[t][g].base)), lanes[t]);
      }
    }
    GROK1_UNROLL
    for (int t = 0; t < N; t++) totals[t] = _mm_add_ps(totals[t], lanes[t]);
  }
  GROK1_UNROLL
  for (int t = 0; t < N; t++) {
    float out[R];
    _mm_storeu_ps(out, totals[t]);
    for (int r = 0; r < call.rows; r++) call.out[t * call.ldo + r] = out[r];
  }
}

}  // namespace grok1::GROK1_ISA
