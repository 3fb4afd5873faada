// Products of rows of TQ1_0 and TQ2_0: a register has two rows side by side, the same columns of each, so that digits are taken apart and
// sums of blocks are put together for both at once.
namespace grok1::GROK1_ISA {

template <int TYPE>
constexpr bool kTernary = TYPE == TQ1_0 || TYPE == TQ2_0;

constexpr int kPairs = kMaxRowsAtOnce / 2;

GROK1_INLINE __m256i forBothRows(const void* p) { return _mm256_broadcastsi128_si256(load128((const uint8_t*)p)); }

// sums + products of codes with activations: eight sums of two of each row, of 16 bits, or with VNNI four of four. `fresh`: from zeros.
GROK1_INLINE __m256i addDot(bool fresh, __m256i sums, __m256i codes, __m256i x) {
#if defined(__AVX512VNNI__)
  return _mm256_dpbusd_epi32(fresh ? _mm256_setzero_si256() : sums, codes, x);
#elif defined(__AVXVNNI__)
  return _mm256_dpbusd_avx_epi32(fresh ? _mm256_setzero_si256() : sums, codes, x);
#else
  const __m256i dot = _mm256_maddubs_epi16(codes, x);
  return fresh ? dot : _mm256_add_epi16(sums, dot);
#endif
}

// Sums of four blocks of each row, whose 16 products each that a word meets at last fit 16 bits.
GROK1_INLINE __m256i sumFour(const __m256i* w) {
  if (kVnni) return addNeighbours(addNeighbours(w[0], w[1]), addNeighbours(w[2], w[3]));
  return addPairs(addEvenOdd16(addHalves16(w[0], w[1]), addHalves16(w[2], w[3])));
}

// Of two pairs of rows and N tokens: whole-number sums of blocks 0 to 3 of each row, and of 4 to 7, offsets taken off.
template <int TYPE, int N>
  requires(TYPE == TQ2_0)
GROK1_INLINE void ternarySums(const uint8_t* const* rows, const ActGroup* const* acts, int64_t g, __m256i (*sums)[2]) {
  const __m256i first = _mm256_set1_epi8(3), second = _mm256_set1_epi8(12);
  GROK1_UNROLL
  for (int part = 0; part < 2; part++) {
    __m256i w[kPairs * N][4];
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      __m256i v[kPairs];
      GROK1_UNROLL
      for (int i = 0; i < kPairs; i++) v[i] = pair(rows[2 * i] + 32 * part + 16 * h, rows[2 * i + 1] + 32 * part + 16 * h);
      GROK1_UNROLL
      for (int b = 0; b < 4; b++) {
        __m256i codes[kPairs];
        GROK1_UNROLL
        for (int i = 0; i < kPairs; i++) {
          if (b == 2) v[i] = _mm256_srli_epi16(v[i], 4);
          codes[i] = _mm256_and_si256(v[i], b % 2 == 0 ? first : second);
        }
        GROK1_UNROLL
        for (int t = 0; t < N; t++) {
          const __m256i x = forBothRows(acts[t][g].codes[b][h] + 16 * part);
          GROK1_UNROLL
          for (int i = 0; i < kPairs; i++) w[i * N + t][b] = addDot(h == 0, w[i * N + t][b], codes[i], x);
        }
      }
    }
    GROK1_UNROLL
    for (int i = 0; i < kPairs * N; i++) {  // odd blocks' sums come four times as large
      const __m256i four = _mm256_srav_epi32(sumFour(w[i]), _mm256_set1_epi64x(int64_t(2) << 32));
      sums[i][part] = _mm256_sub_epi32(four, forBothRows(acts[i % N][g].sums + 4 * part));
    }
  }
}

// Bytes of TQ1_0 are fractions of 256, and three times one is its first digit and the fraction that the next digits are of; kFrom is added
// to fractions, which stay so when they are times three. Sums of `sums[t][b]`, and with VNNI of next fractions.
template <int N>
struct DigitSums {
  __m256i sums[N][4], next[N][4];
};

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)

constexpr char kFrom = 0;

// A digit is what a fraction is more, three times, than the next one, by 256.
template <int N>
GROK1_INLINE void addDigits(DigitSums<N>& s, int b, int h, __m256i v, __m256i three, const ActGroup* const* acts, int64_t g) {
  GROK1_UNROLL
  for (int t = 0; t < N; t++) {
    const __m256i x = forBothRows(acts[t][g].codes[b % 4][h] + b / 4 * 16);
    s.sums[t][b % 4] = addDot(h == 0, s.sums[t][b % 4], v, x);
    s.next[t][b % 4] = addDot(h == 0, s.next[t][b % 4], three, x);
  }
}
template <int N>
GROK1_INLINE __m256i sumDigits(const DigitSums<N>& s, int t, const int32_t* acts) {
  __m256i w[4];
  GROK1_UNROLL
  for (int b = 0; b < 4; b++) {
    w[b] = _mm256_add_epi32(_mm256_add_epi32(s.sums[t][b], s.sums[t][b]), _mm256_sub_epi32(s.sums[t][b], s.next[t][b]));
  }
  const __m256i four = addEvenOdd(addEvenOdd(w[0], w[1]), addEvenOdd(w[2], w[3]));
  return _mm256_sub_epi32(_mm256_srai_epi32(four, 8), forBothRows(acts));
}

#else

constexpr char kFrom = -128;

template <int N>
GROK1_INLINE void addDigits(DigitSums<N>& s, int b, int h, __m256i v, __m256i, const ActGroup* const* acts, int64_t g) {
  const __m256i zero = _mm256_cmpgt_epi8(_mm256_set1_epi8(86 - 128), v), two = _mm256_cmpgt_epi8(v, _mm256_set1_epi8(170 - 128));
  const __m256i value = _mm256_sub_epi8(zero, two);  // the digit less 1
  GROK1_UNROLL
  for (int t = 0; t < N; t++) {
    const __m256i x = forBothRows(acts[t][g].codes[b % 4][h] + b / 4 * 16);
    s.sums[t][b % 4] = addDot(h == 0, s.sums[t][b % 4], _mm256_set1_epi8(1), _mm256_sign_epi8(x, value));
  }
}
template <int N>
GROK1_INLINE __m256i sumDigits(const DigitSums<N>& s, int t, const int32_t*) {
  return sumFour(s.sums[t]);
}

#endif

// Two rows after two: there are not registers for more, nor for activations, which compilers would keep for the next two.
template <int TYPE, int N>
  requires(TYPE == TQ1_0)
GROK1_INLINE void ternarySums(const uint8_t* const* rows, const ActGroup* const* acts, int64_t g, __m256i (*sums)[2]) {
  GROK1_UNROLL
  for (int i = 0; i < kPairs; i++) {
    const uint8_t *const p = rows[2 * i], *const q = rows[2 * i + 1];
    const auto from = [p, q](int at) { return _mm256_xor_si256(pair(p + at, q + at), _mm256_set1_epi8(kFrom)); };
    DigitSums<N> s;
    __m256i v[2] = {from(0), from(16)}, u = from(32);
    GROK1_UNROLL
    for (int b = 0; b < 8; b++) {
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) {
        if (b == 7 && h == 1) {  // the last four bytes: once, three, nine and 27 times
          const __m256i last = _mm256_blend_epi32(_mm256_set1_epi32(int(load32(p + 48))), _mm256_set1_epi32(int(load32(q + 48))), 0xf0);
          u = _mm256_xor_si256(last, _mm256_set1_epi8(kFrom));
          u = _mm256_blend_epi32(u, timesThree(u), 0xaa);
          u = _mm256_blend_epi32(u, timesThree(timesThree(u)), 0xcc);
        }
        __m256i& from = b < 5 ? v[h] : u;
        const __m256i three = timesThree(from);
        addDigits<N>(s, b, h, from, three, acts, g);
        from = three;
      }
      if (b % 4 < 3) continue;
      GROK1_UNROLL
      for (int t = 0; t < N; t++) sums[i * N + t][b / 4] = sumDigits<N>(s, t, acts[t][g].sums + b / 4 * 4);
    }
#if defined(__GNUC__)
    asm("" : "+r"(g));
#endif
  }
}

// Up to four rows: the last stands in for those that are missing.
template <int TYPE, int N>
static void ternaryRows(const RowsCall& call) {
  constexpr int R = kMaxRowsAtOnce, unit = traitsOf(TYPE).unit;
  const ActGroup* acts[N];
  GROK1_UNROLL
  for (int t = 0; t < N; t++) acts[t] = (const ActGroup*)call.acts[t];
  const uint8_t* rows[R];
  GROK1_UNROLL
  for (int r = 0; r < R; r++) rows[r] = call.data + size_t(r < call.rows ? r : call.rows - 1) * call.rowBytes;
  float totals[R * N] = {};
  const int64_t groups = call.cols / kGroup;
  for (int64_t g = 0; g < groups;) {
    __m256 lanes[kPairs * N][2];
    GROK1_UNROLL
    for (int i = 0; i < kPairs * N; i++) lanes[i][0] = lanes[i][1] = _mm256_setzero_ps();
    const int64_t end = g + kSegment / kGroup < groups ? g + kSegment / kGroup : groups;
    for (; g < end; g++) {
      askAhead<R, unit>(call, rows[0], g * unit);
      const uint8_t* p[R];
      GROK1_UNROLL
      for (int r = 0; r < R; r++) p[r] = rows[r] + g * unit;
      __m256i sums[kPairs * N][2];
      ternarySums<TYPE, N>(p, acts, g, sums);
      GROK1_UNROLL
      for (int i = 0; i < kPairs; i++) {
        const int halves = int(load16(p[2 * i] + unit - 2) | uint32_t(load16(p[2 * i + 1] + unit - 2)) << 16);
        const __m256 both = _mm256_castps128_ps256(_mm_cvtph_ps(_mm_cvtsi32_si128(halves)));
        const __m256 scale = _mm256_permutevar8x32_ps(both, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
        GROK1_UNROLL
        for (int t = 0; t < N; t++) {
          GROK1_UNROLL
          for (int j = 0; j < 2; j++) {
            __m256& lane = lanes[i * N + t][j];
            const __m256 scales = _mm256_mul_ps(scale, _mm256_castsi256_ps(forBothRows(acts[t][g].scale + 4 * j)));
            lane = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[i * N + t][j]), scales, lane);
          }
        }
      }
    }
    __m256 turned[R * N];
    GROK1_UNROLL
    for (int i = 0; i < kPairs; i++) {
      GROK1_UNROLL
      for (int t = 0; t < N; t++) {
        const __m256* const both = lanes[i * N + t];
        turned[2 * i * N + t] = _mm256_permute2f128_ps(both[0], both[1], 0x20);
        turned[(2 * i + 1) * N + t] = _mm256_permute2f128_ps(both[0], both[1], 0x31);
      }
    }
    addLanes<R * N>(turned, totals);
  }
  for (int r = 0; r < call.rows; r++) {
    GROK1_UNROLL
    for (int t = 0; t < N; t++) call.out[t * call.ldo + r] = totals[r * N + t];
  }
}

}  // namespace grok1::GROK1_ISA
