// Products of quantized rows with AVX2, or with AVX-VNNI; of those below 4 bits with AVX-512 as well.
namespace grok1::GROK1_ISA {

GROK1_INLINE __m256i activations(const ActGroup& a, int p, int h) { return _mm256_load_si256((const __m256i*)a.codes[p][h]); }

// Codes of a group of a row: taken apart as they are needed, or once for several tokens.
template <class Q>
struct RowCodes {
  using Of = Codes;
  const uint8_t* row;
  template <int P>
  GROK1_INLINE Codes at(const RowCodes& codes) {
    return Q::template codes<P>(codes.row);
  }
};
template <class Q>
  requires Q::kGrid
struct RowCodes<Q> : GridState {
  using Of = Q::Row;
  template <int P>
  GROK1_INLINE Of at(const RowCodes& codes) {
    return Q::template row<P>(codes);
  }
};
template <class Q>
GROK1_INLINE void begin(RowCodes<Q>& codes, const uint8_t* row) {
  codes.row = row;
  if constexpr (Q::kGrid) Q::begin(codes);
}
template <class Q>
struct KeptCodes {
  using Of = RowCodes<Q>::Of;
  Of kept[4];
  template <int P>
  GROK1_INLINE Of at(const KeptCodes& codes) {
    return codes.kept[P];
  }
};

static constexpr int shiftOf(int offset) { return offset == 1 ? 0 : offset == 4 ? 2 : offset == 8 ? 3 : offset == 16 ? 4 : offset == 32 ? 5 : 7; }

// Of IQ3_XXS, which is mostly loads, compilers find a better order by themselves.
template <class Q>
GROK1_INLINE __m256i keepOf(__m256i v) {
  return Q::kType == IQ3_XXS ? v : keep(v);
}

// Codes of blocks P and P + 4 of K rows, then their products: each row's wait for one another, but not for the other rows', and the
// processor looks no further ahead than a row and a half.
template <class Q, int P, int K, class C, class F>
GROK1_INLINE void eachRow(const C* codes, F f) {
  typename C::Of w[K];
  GROK1_UNROLL
  for (int r = 0; r < K; r++) {
    w[r] = C::template at<P>(codes[r]);
    for (__m256i& half : w[r].half) half = keepOf<Q>(half);
  }
  GROK1_UNROLL
  for (int r = 0; r < K; r++) f(r, w[r]);
}

// Of blocks p and p + 4 eight words each, or four doublewords where codes are signed or with VNNI, which wants signed ones with an offset.
template <class Q>
GROK1_INLINE __m256i dotTwo(const Codes& w, const ActGroup& a, int p) {
  const __m256i a0 = activations(a, p, 0), a1 = activations(a, p, 1);
#if defined(__AVXVNNI__) || defined(__AVX512VNNI__)
  const __m256i top = _mm256_set1_epi8(Q::kSigned ? -128 : 0);
  const __m256i sum = addProducts(_mm256_setzero_si256(), _mm256_xor_si256(w.half[0], top), a0);
  return addProducts(sum, _mm256_xor_si256(w.half[1], top), a1);
#else
  if constexpr (Q::kSigned) {
    const __m256i x0 = _mm256_maddubs_epi16(_mm256_abs_epi8(w.half[0]), _mm256_sign_epi8(a0, w.half[0]));
    const __m256i x1 = _mm256_maddubs_epi16(_mm256_abs_epi8(w.half[1]), _mm256_sign_epi8(a1, w.half[1]));
    return _mm256_add_epi32(addPairs(x0), addPairs(x1));
  }
  // Five bits at most: 4 products of 31 * 127 fit 16 bits.
  return _mm256_add_epi16(_mm256_maddubs_epi16(w.half[0], a0), _mm256_maddubs_epi16(w.half[1], a1));
#endif
}

// The same for sizes that stand apart from signs: words but for VNNI.
template <class Q>
GROK1_INLINE __m256i dotTwo(const SplitCodes& w, const ActGroup& a, int p) {
  const __m256i a0 = withSigns(activations(a, p, 0), w.minus[0]), a1 = withSigns(activations(a, p, 1), w.minus[1]);
#if defined(__AVXVNNI__) || defined(__AVX512VNNI__)
  return addProducts(addProducts(_mm256_setzero_si256(), w.half[0], a0), w.half[1], a1);
#else
  // 4 products of 62 * 127 fit 16 bits.
  return _mm256_add_epi16(_mm256_maddubs_epi16(w.half[0], a0), _mm256_maddubs_epi16(w.half[1], a1));
#endif
}

// Whole-number sums of each of eight blocks of K rows and N tokens, offset taken off.
template <class Q, int K, int N, class C>
GROK1_INLINE void dotBlocks(const C* codes, const ActGroup* const* acts, int64_t g, __m256i* sums) {
  constexpr int max = Q::kRowMax;
  constexpr bool words = !kVnni && (Q::kSplit || !Q::kSigned);  // what dotTwo gives
  // Sums of 8 products of 31 * 127, or of 16 of 16 * 127, fit 16 bits.
  const auto add = [](__m256i a, __m256i b) {
    if constexpr (words) return max <= 31 ? addHalves16(a, b) : addEvenOdd(addPairs(a), addPairs(b));
    return Q::kSigned || (Q::kSplit && max > 16) ? addEvenOdd(a, b) : addNeighbours(a, b);
  };
  const auto addLast = [](__m256i a, __m256i b) {
    if constexpr (words && max <= 16) return addPairs(addEvenOdd16(a, b));
    if constexpr (words && max <= 31) return addEvenOdd(addPairs(a), addPairs(b));
    return max <= 16 ? addNeighbours(a, b) : addEvenOdd(a, b);
  };
  __m256i low[K * N], high[K * N];
  const auto each = [&](auto p, auto f) {
    constexpr int P = decltype(p)::value;
    eachRow<Q, P, K>(codes, [&](int r, const auto& w) {
      GROK1_UNROLL
      for (int t = 0; t < N; t++) f(r * N + t, dotTwo<Q>(w, acts[t][g], P));
    });
  };
  each(Constant<0>(), [&](int i, __m256i dot) { low[i] = keepOf<Q>(dot); });
  each(Constant<1>(), [&](int i, __m256i dot) { low[i] = keepOf<Q>(add(low[i], dot)); });
  each(Constant<2>(), [&](int i, __m256i dot) { high[i] = keepOf<Q>(dot); });
  each(Constant<3>(), [&](int i, __m256i dot) { high[i] = keepOf<Q>(add(high[i], dot)); });
  constexpr bool finished = Q::kType == IQ1_S;
  constexpr int offset = Q::kSplit || finished || (Q::kSigned && !kVnni) ? 0 : Q::kTraits.offset;
  GROK1_UNROLL
  for (int i = 0; i < K * N; i++) {
    sums[i] = addLast(low[i], high[i]);
    const __m256i acted = _mm256_load_si256((const __m256i*)acts[i % N][g].sums);
    if constexpr (finished) sums[i] = Q::finish(codes[i / N].row, sums[i], acted);
    if (offset > 0) sums[i] = _mm256_sub_epi32(sums[i], _mm256_slli_epi32(acted, shiftOf(offset)));
  }
}

// Scales of half H of the blocks that a register of 16-bit sums has, four of each block, from block FIRST on.
template <int FIRST, int H>
GROK1_INLINE __m256i subsOf(__m256i subs) {
  const auto at = [](int i) { return short(0x0100 + 0x0202 * (2 * (FIRST + i / 4) + H)); };
  return _mm256_shuffle_epi8(subs, _mm256_broadcastsi128_si256(_mm_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7))));
}

// The same with half blocks multiplied by their scales: 8 * |sub| * 63 * 127 * 4 fits 32 bits by far.
template <class Q, int K, class C>
GROK1_INLINE void dotHalves(const C* codes, const __m256i* subs, const ActGroup& a, __m256i* sums) {
  // Of a half block, eight words or, with VNNI, four doublewords.
  const auto dot = [&](const auto& w, int p, int h) {
    __m256i x = activations(a, p, h);
    if constexpr (Q::kSplit) x = withSigns(x, w.minus[h]);
#if defined(__AVXVNNI__) || defined(__AVX512VNNI__)
    return addProducts(_mm256_setzero_si256(), w.half[h], x);
#else
    return _mm256_maddubs_epi16(w.half[h], x);
#endif
  };
  // To four words of each of two half blocks: 4 products of 63 * 127 fit them.
  const auto join = [](__m256i a, __m256i b) { return kVnni ? _mm256_packs_epi32(a, b) : addHalves16(a, b); };
  __m256i even[K], odd[K], first[K], second[K];
  const auto two = [&](auto p) {  // of blocks p and p + 1: to first and second halves' sums
    constexpr int P = decltype(p)::value;
    eachRow<Q, P, K>(codes, [&](int r, const auto& w) {
      first[r] = keep(dot(w, P, 0));
      second[r] = keep(dot(w, P, 1));
    });
    eachRow<Q, P + 1, K>(codes, [&](int r, const auto& w) {
      first[r] = keep(join(first[r], dot(w, P + 1, 0)));
      second[r] = keep(join(second[r], dot(w, P + 1, 1)));
    });
  };
  two(Constant<0>());
  GROK1_UNROLL
  for (int r = 0; r < K; r++) {
    even[r] = _mm256_madd_epi16(first[r], subsOf<0, 0>(subs[r]));
    odd[r] = _mm256_madd_epi16(second[r], subsOf<0, 1>(subs[r]));
  }
  two(Constant<2>());
  GROK1_UNROLL
  for (int r = 0; r < K; r++) {
    const __m256i last = _mm256_add_epi32(_mm256_madd_epi16(first[r], subsOf<2, 0>(subs[r])), _mm256_madd_epi16(second[r], subsOf<2, 1>(subs[r])));
    sums[r] = addEvenOdd(_mm256_add_epi32(even[r], odd[r]), last);
    if constexpr (Q::kTraits.offset > 0 && !Q::kSplit) {
      const __m256i offsets = _mm256_madd_epi16(subs[r], _mm256_load_si256((const __m256i*)a.sums16));
      sums[r] = _mm256_sub_epi32(sums[r], _mm256_slli_epi32(offsets, shiftOf(Q::kTraits.offset)));
    }
  }
}

template <class Q>
constexpr bool kHalves = Q::kTraits.kind == Kind::sub16;

// Eight lanes of K rows and N tokens += one group; of half blocks K or N is 1. `there`, where given, has ones for the blocks that
// belong to the row: scales of what lies behind it may be anything, while its products with the zeros that fill up activations are zeros.
// `begun`: the rows' codes, of types whose entries' numbers are put together a group ahead.
template <class Q, int K, int N>
GROK1_INLINE void addGroup(const uint8_t* const* rows, const ActGroup* const* acts, int64_t g, __m256* lanes, const __m256* there = nullptr,
                           const RowCodes<Q>* begun = nullptr) {
  constexpr Kind kind = Q::kTraits.kind;
  using Row = RowCodes<Q>;
  __m256i sums[K * N];
  Row own[K];
  if constexpr (!Q::kPlaces) {
    GROK1_UNROLL
    for (int r = 0; r < K; r++) begin(own[r], rows[r]);
  }
  const Row* const rowCodes = Q::kPlaces ? begun : own;
  if constexpr (kHalves<Q> && N > 1) {
    const Row& row = *rowCodes;
    const KeptCodes<Q> codes = {{Row::template at<0>(row), Row::template at<1>(row), Row::template at<2>(row), Row::template at<3>(row)}};
    const __m256i subs = Q::subs(rows[0]);
    GROK1_UNROLL
    for (int t = 0; t < N; t++) dotHalves<Q, 1>(&codes, &subs, acts[t][g], sums + t);
  } else {
    if constexpr (kHalves<Q>) {
      __m256i subs[K];
      GROK1_UNROLL
      for (int r = 0; r < K; r++) subs[r] = Q::subs(rows[r]);
      dotHalves<Q, K>(rowCodes, subs, acts[0][g], sums);
    } else {
      dotBlocks<Q, K, N>(rowCodes, acts, g, sums);
    }
  }
  GROK1_UNROLL
  for (int r = 0; r < K; r++) {
    __m256 scale, min = _mm256_setzero_ps();
    if constexpr (kHalves<Q>) scale = Q::scale(rows[r]);
    else Q::scales(rows[r], scale, min);
    if (there != nullptr) {
      scale = _mm256_and_ps(scale, *there);
      min = _mm256_and_ps(min, *there);
    }
    GROK1_UNROLL
    for (int t = 0; t < N; t++) {
      const ActGroup& a = acts[t][g];
      __m256& lane = lanes[r * N + t];
      lane = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r * N + t]), _mm256_mul_ps(scale, _mm256_load_ps(a.scale)), lane);
      if (kind == Kind::min32) lane = _mm256_fmadd_ps(min, _mm256_load_ps(a.scaledSums), lane);
    }
  }
}

template <class Q, int R, int N>
static void quantRows(const RowsCall& call, int firstRow) {
  const auto acts = actsOf<ActGroup, N>(call);
  const auto rows = rowsAt<R>(call, firstRow, R);
  float totals[R * N] = {};
  const int64_t groups = call.cols / kGroup;
  const int tail = int(call.cols % kGroup / kBlock);
  for (int64_t segment = 0; segment * kSegment < call.cols; segment++) {
    __m256 lanes[R * N];
    GROK1_UNROLL
    for (int i = 0; i < R * N; i++) lanes[i] = _mm256_setzero_ps();
    const int64_t last = (segment + 1) * (kSegment / kGroup), end = last < groups ? last : groups;
    // Numbers of entries are put together a group before they are loaded: what was just stored in one piece is slow to load in others.
    RowCodes<Q> ahead[2][R];
    const auto beginGroup = [&](int64_t g) {
      if constexpr (Q::kPlaces) {
        GROK1_UNROLL
        for (int r = 0; r < R; r++) begin(ahead[g % 2][r], rows[r] + g * Q::kTraits.unit);
      }
    };
    int64_t g = segment * (kSegment / kGroup);
    if (g < end) beginGroup(g);
    for (; g < end; g++) {
      const int64_t at = g * Q::kTraits.unit;
      if (g + 1 < end) beginGroup(g + 1);
      askAhead<R, Q::kTraits.unit>(call, rows[0], at);
      const uint8_t* p[R];
      GROK1_UNROLL
      for (int r = 0; r < R; r++) p[r] = rows[r] + at;
      constexpr int K = R < Q::kRows ? R : Q::kRows;
      GROK1_UNROLL
      for (int r = 0; r < R; r += K) addGroup<Q, K, N>(p + r, acts.of, g, lanes + r * N, nullptr, ahead[g % 2] + r);
    }
    if (tail > 0 && groups < last) {
      const __m256 there = _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(tail), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)));
      GROK1_UNROLL
      for (int r = 0; r < R; r++) {
        const uint8_t* p = rows[r] + groups * Q::kTraits.unit;
        uint8_t padded[Q::kTraits.unit];
        if (call.readable < kOverRead) {
          memset(padded, 0, sizeof padded);
          p = (const uint8_t*)memcpy(padded, p, size_t(tail) * Q::kBlockBytes);
        }
        addGroup<Q, 1, N>(&p, acts.of, groups, lanes + r * N, &there);
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
  using Q = Quant<TYPE>;
  if (N == 1 && call.rows == 4) return quantRows<Q, 4, 1>(call, 0);
  // A token in two digits: two rows at a time, or sums would wait for one another.
  constexpr int R = N == 2 && !kHalves<Q> ? 2 : 1;
  int r = 0;
  for (; r + R <= call.rows; r += R) quantRows<Q, R, N>(call, r);
  if (R > 1 && r < call.rows) quantRows<Q, 1, N>(call, r);
}

}  // namespace grok1::GROK1_ISA
