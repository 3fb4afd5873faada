// Products of quantized rows with AVX2, or with AVX-VNNI.
namespace grok1::GROK1_ISA {

// Sums of neighbours of eight vectors' worth of partial sums: lane b of the result is block b's sum.
GROK1_INLINE __m256i reduce(__m256i a, __m256i b, __m256i c, __m256i d) {
  return _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
}

GROK1_INLINE __m256i activations(const ActGroup& a, int p, int h) { return _mm256_load_si256((const __m256i*)a.codes[p][h]); }

// Two registers of codes times activations, summed in 32 bits. Signed codes get an offset for VNNI, which wants them unsigned.
template <class Q>
GROK1_INLINE __m256i dotTwo(const __m256i* w, __m256i a0, __m256i a1) {
#if defined(__AVXVNNI__)
  const __m256i top = _mm256_set1_epi8(Q::kSigned ? -128 : 0);
  const __m256i sum = _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), _mm256_xor_si256(w[0], top), a0);
  return _mm256_dpbusd_avx_epi32(sum, _mm256_xor_si256(w[1], top), a1);
#else
  const __m256i ones = _mm256_set1_epi16(1);
  if (Q::kSigned) {
    const __m256i x0 = _mm256_maddubs_epi16(_mm256_abs_epi8(w[0]), _mm256_sign_epi8(a0, w[0]));
    const __m256i x1 = _mm256_maddubs_epi16(_mm256_abs_epi8(w[1]), _mm256_sign_epi8(a1, w[1]));
    return _mm256_add_epi32(_mm256_madd_epi16(x0, ones), _mm256_madd_epi16(x1, ones));
  }
  // Five bits at most: 4 products of 31 * 127 fit 16 bits.
  return _mm256_madd_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(w[0], a0), _mm256_maddubs_epi16(w[1], a1)), ones);
#endif
}

// Whole-number sums of each of eight blocks, offset taken off.
template <class Q>
GROK1_INLINE __m256i dotBlocks(const __m256i* w, const ActGroup& a) {
  __m256i s[4];
  const __m256i ones = _mm256_set1_epi16(1);
  GROK1_UNROLL
  for (int p = 0; p < 4; p++) s[p] = dotTwo<Q>(w + 2 * p, activations(a, p, 0), activations(a, p, 1));
  __m256i sum;
  if constexpr (Q::kSigned) {
    sum = reduce(s[0], s[1], s[2], s[3]);
  } else {  // the sums of 16 products of 15 * 127, or of 8 of 31 * 127, fit 16 bits: packing takes fewer instructions than adding
    const __m256i a = _mm256_madd_epi16(_mm256_packs_epi32(s[0], s[1]), ones), b = _mm256_madd_epi16(_mm256_packs_epi32(s[2], s[3]), ones);
    sum = Q::kTraits.maxCode <= 15 ? _mm256_madd_epi16(_mm256_packs_epi32(a, b), ones) : _mm256_hadd_epi32(a, b);
  }
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

template <class Q, int R, int N>
static void quantRows(const RowsCall& call, int firstRow) {
  const ActGroup* acts[N];
  GROK1_UNROLL
  for (int t = 0; t < N; t++) acts[t] = (const ActGroup*)call.acts[t];
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
    for (int t = 0; t < N; t++) call.out[t * call.ldo + firstRow + r] = totals[r * N + t];
  }
}

template <int TYPE, int N>
GROK1_INLINE void quantRowsFor(const RowsCall& call) {
  if (N == 1 && call.rows == 4) {
    quantRows<Quant<TYPE>, 4, 1>(call, 0);
  } else {
    for (int r = 0; r < call.rows; r++) quantRows<Quant<TYPE>, 1, N>(call, r);
  }
}

}  // namespace grok1::GROK1_ISA
