// Unpacking rows of the types below 4 bits, with AVX2: entries of a grid by loads, signs for all 256 columns at once.
#include "grids.h"

namespace grok1::GROK1_ISA {

// Which of 32 bytes are negative: those in which `bits` has the one bit of `mask`.
#if defined(__AVX512BW__)
using Minus = __mmask32;
GROK1_INLINE Minus minusWhere(__m256i bits, __m256i mask) { return _mm256_test_epi8_mask(bits, mask); }
GROK1_INLINE __m256i withSigns(__m256i v, Minus minus) { return _mm256_mask_sub_epi8(v, minus, _mm256_setzero_si256(), v); }
#else
using Minus = __m256i;
GROK1_INLINE Minus minusWhere(__m256i bits, __m256i mask) { return _mm256_cmpeq_epi8(_mm256_and_si256(bits, mask), mask); }
GROK1_INLINE __m256i withSigns(__m256i v, Minus minus) { return _mm256_sub_epi8(_mm256_xor_si256(v, minus), minus); }
#endif

// Sizes of blocks P and P + 4, and which of the values are negative.
struct SplitCodes {
  __m256i half[2];
  Minus minus[2];
};

// Of the bits of 32 bytes, each of which names eight columns in order, those of half H of blocks P and P + 4.
template <int P, int H>
GROK1_INLINE Minus spreadBits(__m256i bytes) {
  constexpr int64_t first = 0x0101010101010101 * (4 * P + 2 * H), second = first + 0x0101010101010101;
  const __m256i bits = _mm256_set1_epi64x(int64_t(0x8040201008040201));
  const __m256i v = _mm256_shuffle_epi8(bytes, _mm256_setr_epi64x(first, second, first, second));
  return minusWhere(v, bits);
}

// The eighth bit of each byte's signs.
GROK1_INLINE __m256i evenSigns(__m256i seven) {
  const __m256i odd = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0));
  const __m256i parity = _mm256_xor_si256(_mm256_shuffle_epi8(odd, lowNibbles(seven)), _mm256_shuffle_epi8(odd, highNibbles(seven)));
  return _mm256_or_si256(seven, parity);
}
// The same from four times seven bits in each doubleword.
GROK1_INLINE __m256i evenSignsOf28(__m256i v) {
  const __m256i two = _mm256_or_si256(_mm256_and_si256(v, _mm256_set1_epi32(0x3fff)),
                                      _mm256_and_si256(_mm256_slli_epi32(v, 2), _mm256_set1_epi32(0x3fff0000)));
  return evenSigns(_mm256_or_si256(_mm256_and_si256(two, _mm256_set1_epi16(0x7f)),
                                   _mm256_and_si256(_mm256_slli_epi16(two, 1), _mm256_set1_epi16(0x7f00))));
}

// Entries of eight columns, or of four.
GROK1_INLINE __m256i entries(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  return _mm256_setr_epi64x(int64_t(a), int64_t(b), int64_t(c), int64_t(d));
}
GROK1_INLINE __m256i entries(const uint32_t* grid, const auto& at, int low, int high) {
  const auto one = [&](int i) { return int(grid[at(i)]); };
  return _mm256_setr_epi32(one(low), one(low + 1), one(low + 2), one(low + 3), one(high), one(high + 1), one(high + 2), one(high + 3));
}
// Half H of blocks P and P + 4, from grids of eight columns or four: at(i) is the number of entry i of the row.
template <int P, int H>
GROK1_INLINE __m256i half(const uint64_t* grid, const auto& at) {
  constexpr int low = 4 * P + 2 * H, high = low + 16;
  return entries(grid[at(low)], grid[at(low + 1)], grid[at(high)], grid[at(high + 1)]);
}
template <int P, int H>
GROK1_INLINE __m256i half(const uint32_t* grid, const auto& at) {
  return entries(grid, at, 8 * P + 4 * H, 8 * P + 4 * H + 32);
}

// d * (2 code + 1).
GROK1_INLINE __m256 oddScales(float d, __m256i codes) {
  const __m256i odd = _mm256_add_epi32(_mm256_add_epi32(codes, codes), _mm256_set1_epi32(1));
  return _mm256_mul_ps(_mm256_set1_ps(d), _mm256_cvtepi32_ps(odd));
}
GROK1_INLINE float hardHalf(const uint8_t* p) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(load16(p)))); }

// Half blocks' scales in the nibbles of eight bytes: 2 code + 1, 16 of 16 bits.
GROK1_INLINE __m256i oddNibbles(const uint8_t* p) {
  const __m128i bytes = _mm_loadl_epi64((const __m128i*)p), mask = _mm_set1_epi8(15);
  const __m128i codes = _mm_unpacklo_epi8(_mm_and_si128(bytes, mask), _mm_and_si128(_mm_srli_epi16(bytes, 4), mask));
  return _mm256_cvtepi8_epi16(_mm_add_epi8(_mm_add_epi8(codes, codes), _mm_set1_epi8(1)));
}

// What of a row is taken apart for all 256 columns at once: a byte for each eight of them (their signs, say), and the numbers of entries,
// for types that have these in pieces.
struct GridState {
  const uint8_t* row;
  __m256i bytes;
  alignas(32) uint16_t places[64];
};

// The numbers of 16 entries: lower bits in bytes at `low`, upper ones from bit 8 on in words.
GROK1_INLINE void putPlaces(uint16_t* places, const uint8_t* low, __m256i high) {
  _mm256_store_si256((__m256i*)places, _mm256_or_si256(_mm256_cvtepu8_epi16(load128(low)), high));
}
// One of them; read four at a time, which takes fewer loads.
GROK1_INLINE int placeAt(const uint16_t* places, int i) {
  uint64_t four;
  memcpy(&four, places + i / 4 * 4, sizeof four);
  return int(four >> (i % 4 * 16) & 0xffff);
}
// Four words that shuffles fill with byte `at`; zeros above it.
static constexpr int64_t wordsOfByte(int at) { return int64_t(0x8000800080008000 | uint64_t(at) * 0x0001000100010001); }
// Words `byte` times 1 << up of each, cut to `bits`.
GROK1_INLINE __m256i movedWords(__m256i bytes, __m256i places, __m256i ups, int bits) {
  return _mm256_and_si256(_mm256_mullo_epi16(_mm256_shuffle_epi8(bytes, places), ups), _mm256_set1_epi16(short(bits)));
}
GROK1_INLINE __m256i eightBytes(const uint8_t* p) { return _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i*)p)); }

// Types whose entries come from a grid. begin: of a row; sizes<P, H>: of one register; row<P>: as products by rows take them.
template <int TYPE, int ROW_MAX>
struct GridQuant : QuantBase<TYPE, traitsOf(TYPE).offset == 128, TYPE == IQ2_XXS ? 2 : 1> {
  static constexpr bool kGrid = true;
  static constexpr int kRowMax = ROW_MAX;
};

// Types whose signs stand apart from sizes. codes<P>: both joined, as panels have them.
template <class Q, int TYPE, int MAX_SIZE>
struct SignedGrid : GridQuant<TYPE, MAX_SIZE> {
  static constexpr bool kSplit = true;
  using Row = SplitCodes;
  template <int P>
  GROK1_INLINE SplitCodes row(const GridState& s) {
    const __m256i signs = Q::signs(s);
    return {{Q::template sizes<P, 0>(s), Q::template sizes<P, 1>(s)}, {spreadBits<P, 0>(signs), spreadBits<P, 1>(signs)}};
  }
  GROK1_INLINE __m256i signs(const GridState& s) { return s.bytes; }
  template <int P>
  GROK1_INLINE Codes codes(const GridState& s) {
    const SplitCodes c = row<P>(s);
    constexpr int offset = traitsOf(TYPE).offset == 128 ? 0 : traitsOf(TYPE).offset;
    const auto join = [&](int h) {
      const __m256i value = withSigns(c.half[h], c.minus[h]);
      return offset == 0 ? value : _mm256_add_epi8(value, _mm256_set1_epi8(offset));
    };
    return {{join(0), join(1)}};
  }
};

template <>
struct Quant<IQ2_XXS> : SignedGrid<Quant<IQ2_XXS>, IQ2_XXS, 43> {
  GROK1_INLINE __m256i heads(const uint8_t* p) {  // of each block, signs and scale
    const __m256 low = _mm256_loadu_ps((const float*)(p + 2)), high = _mm256_loadu_ps((const float*)(p + 34));
    return _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(low, high, 0xdd)), 0xd8);
  }
  GROK1_INLINE void begin(GridState& s) { s.bytes = evenSignsOf28(heads(s.row)); }
  template <int P, int H>
  GROK1_INLINE __m256i sizes(const GridState& s) {
    return half<P, H>(kGrids.iq2xxs, [&s](int i) { return s.row[2 + i / 4 * 8 + i % 4]; });
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = oddScales(hardHalf(p) * 0.125f, _mm256_srli_epi32(heads(p), 28)); }
};

template <>
struct Quant<IQ2_XS> : SignedGrid<Quant<IQ2_XS>, IQ2_XS, 43> {
  GROK1_INLINE void begin(GridState& s) {
    const __m256i low = _mm256_loadu_si256((const __m256i*)(s.row + 2)), high = _mm256_loadu_si256((const __m256i*)(s.row + 34));
    const __m256i seven = _mm256_packus_epi16(_mm256_srli_epi16(low, 9), _mm256_srli_epi16(high, 9));
    s.bytes = evenSigns(_mm256_permute4x64_epi64(seven, 0xd8));
  }
  template <int P, int H>
  GROK1_INLINE __m256i sizes(const GridState& s) {
    return half<P, H>(kGrids.iq2xs, [&s](int i) { return load16(s.row + 2 + 2 * i) & 511; });
  }
  GROK1_INLINE __m256 scale(const uint8_t* p) { return _mm256_set1_ps(hardHalf(p) * 0.125f); }
  GROK1_INLINE __m256i subs(const uint8_t* p) { return oddNibbles(p + 66); }
};

template <>
struct Quant<IQ2_S> : SignedGrid<Quant<IQ2_S>, IQ2_S, 43> {
  static constexpr bool kPlaces = true;
  GROK1_INLINE __m256i signs(const GridState& s) { return _mm256_loadu_si256((const __m256i*)(s.row + 34)); }
  GROK1_INLINE void begin(GridState& s) {
    const __m256i high = eightBytes(s.row + 66), ups = _mm256_set1_epi64x(0x0004001000400100);
    GROK1_UNROLL
    for (int i = 0; i < 2; i++) {
      const __m256i at = _mm256_setr_epi64x(wordsOfByte(4 * i), wordsOfByte(4 * i + 1), wordsOfByte(4 * i + 2), wordsOfByte(4 * i + 3));
      putPlaces(s.places + 16 * i, s.row + 2 + 16 * i, movedWords(high, at, ups, 0x300));
    }
  }
  template <int P, int H>
  GROK1_INLINE __m256i sizes(const GridState& s) {
    return half<P, H>(kGrids.iq2s, [&s](int i) { return placeAt(s.places, i); });
  }
  GROK1_INLINE __m256 scale(const uint8_t* p) { return _mm256_set1_ps(hardHalf(p) * 0.125f); }
  GROK1_INLINE __m256i subs(const uint8_t* p) { return oddNibbles(p + 74); }
};

template <>
struct Quant<IQ3_XXS> : SignedGrid<Quant<IQ3_XXS>, IQ3_XXS, 62> {
  GROK1_INLINE __m256i heads(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)(p + 66)); }
  GROK1_INLINE void begin(GridState& s) { s.bytes = evenSignsOf28(heads(s.row)); }
  template <int P, int H>
  GROK1_INLINE __m256i sizes(const GridState& s) {
    return half<P, H>(kGrids.iq3xxs, [&s](int i) { return s.row[2 + i]; });
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = oddScales(hardHalf(p) * 0.25f, _mm256_srli_epi32(heads(p), 28)); }
};

template <>
struct Quant<IQ3_S> : SignedGrid<Quant<IQ3_S>, IQ3_S, 15> {
  static constexpr bool kPlaces = true;
  GROK1_INLINE __m256i signs(const GridState& s) { return _mm256_loadu_si256((const __m256i*)(s.row + 74)); }
  GROK1_INLINE void begin(GridState& s) {
    const __m256i high = eightBytes(s.row + 66), ups = _mm256_broadcastsi128_si256(_mm_setr_epi16(256, 128, 64, 32, 16, 8, 4, 2));
    GROK1_UNROLL
    for (int i = 0; i < 4; i++) {
      const __m256i at = _mm256_setr_epi64x(wordsOfByte(2 * i), wordsOfByte(2 * i), wordsOfByte(2 * i + 1), wordsOfByte(2 * i + 1));
      putPlaces(s.places + 16 * i, s.row + 2 + 16 * i, movedWords(high, at, ups, 0x100));
    }
  }
  template <int P, int H>
  GROK1_INLINE __m256i sizes(const GridState& s) {
    return half<P, H>(kGrids.iq3s, [&s](int i) { return placeAt(s.places, i); });
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) {
    const __m256i nibbles = _mm256_srlv_epi32(_mm256_set1_epi32(int(load32(p + 106))), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
    scale = oddScales(hardHalf(p), _mm256_and_si256(nibbles, _mm256_set1_epi32(15)));
  }
};

template <>
struct Quant<IQ1_S> : GridQuant<IQ1_S, 16> {
  static constexpr bool kPlaces = true;
  using Row = Codes;  // 8 (value + 1): the rest is done with sums
  GROK1_INLINE void begin(GridState& s) {
    const __m256i high = _mm256_broadcastsi128_si256(load128(s.row + 34)), ups = _mm256_set1_epi64x(0x0000000400200100);
    GROK1_UNROLL
    for (int i = 0; i < 2; i++) {
      const auto word = [i](int j) { return int64_t(0x0100010001000100 + 0x0202020202020202 * (4 * i + j)); };
      const __m256i words = _mm256_shuffle_epi8(high, _mm256_setr_epi64x(word(0), word(1), word(2), word(3)));
      const __m256i bits = _mm256_blend_epi16(_mm256_mullo_epi16(words, ups), _mm256_srli_epi16(words, 1), 0x88);
      putPlaces(s.places + 16 * i, s.row + 2 + 16 * i, _mm256_and_si256(bits, _mm256_set1_epi16(0x700)));
    }
  }
  template <int P, int H>
  GROK1_INLINE __m256i sizes(const GridState& s) {
    return half<P, H>(kGrids.iq1, [&s](int i) { return placeAt(s.places, i); });
  }
  template <int P>
  GROK1_INLINE Codes row(const GridState& s) {
    return {{sizes<P, 0>(s), sizes<P, 1>(s)}};
  }
  // Sums of codes of eight blocks from those of row<P>, and from the activations'.
  GROK1_INLINE __m256i finish(const uint8_t* p, __m256i sums, __m256i acts) {
    const __m256i down = _mm256_or_si256(_mm256_cvtepi16_epi32(load128(p + 34)), _mm256_set1_epi32(1));
    return _mm256_add_epi32(_mm256_sub_epi32(sums, _mm256_slli_epi32(acts, 3)), _mm256_sign_epi32(acts, down));
  }
  template <int P>
  GROK1_INLINE Codes codes(const GridState& s) {
    const auto shift = [&s](int b) { return char(load16(s.row + 34 + 2 * b) & 0x8000 ? 7 : 9); };
    const __m256i both = _mm256_inserti128_si256(_mm256_set1_epi8(shift(P)), _mm_set1_epi8(shift(P + 4)), 1);
    return {{_mm256_add_epi8(sizes<P, 0>(s), both), _mm256_add_epi8(sizes<P, 1>(s), both)}};
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) {
    const __m256i high = _mm256_cvtepu16_epi32(load128(p + 34));
    scale = oddScales(hardHalf(p) * 0.125f, _mm256_and_si256(_mm256_srli_epi32(high, 12), _mm256_set1_epi32(7)));
  }
};

template <>
struct Quant<IQ1_M> : GridQuant<IQ1_M, 31> {
  static constexpr bool kPlaces = true;
  using Row = Codes;
  GROK1_INLINE void begin(GridState& s) {
    // Of 32 entries, 9 or 7.
    const __m128i high = load128(s.row + 32), two = _mm_set1_epi8(2);
    const __m128i even = _mm_and_si128(_mm_srli_epi16(high, 2), two), odd = _mm_and_si128(_mm_srli_epi16(high, 6), two);
    const __m256i down = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi8(even, odd)), _mm_unpackhi_epi8(even, odd), 1);
    s.bytes = _mm256_sub_epi8(_mm256_set1_epi8(9), down);
    const __m256i both = _mm256_broadcastsi128_si256(high), ups = _mm256_set1_epi32(0x00100100);
    GROK1_UNROLL
    for (int i = 0; i < 2; i++) {
      const auto four = [i](int j) { return int64_t(0x8001800180008000 + 0x0002000200020002 * j + 0x0008000800080008 * i); };
      const __m256i at = _mm256_setr_epi64x(four(0), four(1), four(2), four(3));
      putPlaces(s.places + 16 * i, s.row + 16 * i, movedWords(both, at, ups, 0x700));
    }
  }
  template <int P, int H>
  GROK1_INLINE __m256i sizes(const GridState& s) {
    return half<P, H>(kGrids.iq1, [&s](int i) { return placeAt(s.places, i); });
  }
  template <int P>
  GROK1_INLINE Codes codes(const GridState& s) {
    const auto shift = [&s](int h) {
      const int64_t first = 0x0101010101010101 * (4 * P + 2 * h), second = first + 0x0101010101010101;
      return _mm256_shuffle_epi8(s.bytes, _mm256_setr_epi64x(first, second, first, second));
    };
    return {{_mm256_add_epi8(sizes<P, 0>(s), shift(0)), _mm256_add_epi8(sizes<P, 1>(s), shift(1))}};
  }
  template <int P>
  GROK1_INLINE Codes row(const GridState& s) {
    return codes<P>(s);
  }
  GROK1_INLINE __m256 scale(const uint8_t* p) {
    return _mm256_set1_ps(_mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(halfOfIq1m(p + 48)))) * 0.125f);
  }
  GROK1_INLINE __m256i subs(const uint8_t* p) {
    // A word's four scales, each in a word of its own: three bits moved to the top, then to the bottom.
    const __m256i places = _mm256_setr_epi64x(0x0100010001000100, 0x0302030203020302, 0x0504050405040504, 0x0706070607060706);
    const __m256i moved = _mm256_mullo_epi16(_mm256_shuffle_epi8(eightBytes(p + 48), places), _mm256_set1_epi64x(0x0010008004002000));
    const __m256i codes = _mm256_srli_epi16(moved, 13);
    return _mm256_add_epi16(_mm256_add_epi16(codes, codes), _mm256_set1_epi16(1));
  }
};

// The first digit in base 3 of fractions of 256. Averages that round up are three quarters of the byte before: exact for all bytes.
GROK1_INLINE __m256i firstThree(__m256i v) {
  const __m256i before = _mm256_subs_epu8(v, _mm256_set1_epi8(1));
  const __m256i most = _mm256_avg_epu8(before, _mm256_avg_epu8(before, _mm256_setzero_si256()));
  return _mm256_and_si256(_mm256_srli_epi16(most, 6), _mm256_set1_epi8(3));
}
GROK1_INLINE __m256i timesThree(__m256i v) { return _mm256_add_epi8(_mm256_add_epi8(v, v), v); }

template <>
struct Quant<TQ1_0> : QuantBase<TQ1_0, false, 1> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    // Each digit but the first is the first of three times the fraction.
    const auto times = [](__m256i v, int n) {
      for (int i = 0; i < n; i++) v = timesThree(v);
      return v;
    };
    const __m256i v = _mm256_loadu_si256((const __m256i*)p), w = _mm256_broadcastsi128_si256(load128(p + 32));
    const __m256i low = firstThree(times(v, P));
    __m256i high;
    if constexpr (P == 0) {
      high = firstThree(times(v, 4));
    } else if constexpr (P < 3) {
      const __m256i first = times(w, 2 * P - 2);
      high = firstThree(_mm256_blend_epi32(first, timesThree(first), 0xf0));
    } else {
      const __m256i u = _mm256_set1_epi32(int(load32(p + 48)));
      __m256i last = _mm256_blend_epi32(u, times(u, 1), 0x22);
      last = _mm256_blend_epi32(last, _mm256_blend_epi32(times(u, 2), times(u, 3), 0x88), 0xcc);
      high = firstThree(_mm256_blend_epi32(times(w, 4), last, 0xf0));
    }
    return {{_mm256_permute2x128_si256(low, high, 0x20), _mm256_permute2x128_si256(low, high, 0x31)}};
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = _mm256_set1_ps(hardHalf(p + 52)); }
};

template <>
struct Quant<TQ2_0> : QuantBase<TQ2_0, false, 2> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return twoBits<P>(p);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = _mm256_set1_ps(hardHalf(p + 64)); }
};

template <>
struct Quant<MXFP4> : QuantBase<MXFP4, false, 1> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    const Codes c = blockNibbles<P, 17>(p + 1);
    const __m256i values = _mm256_add_epi8(_mm256_broadcastsi128_si256(load128((const uint8_t*)fp4Values)), _mm256_set1_epi8(16));
    return {{_mm256_shuffle_epi8(values, c.half[0]), _mm256_shuffle_epi8(values, c.half[1])}};
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) {
    const __m256i e = _mm256_setr_epi32(p[0], p[17], p[34], p[51], p[68], p[85], p[102], p[119]);
    const __m256i normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    const __m256i small = _mm256_sllv_epi32(_mm256_set1_epi32(0x200000), e);
    scale = _mm256_castsi256_ps(_mm256_blendv_epi8(normal, small, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e)));
  }
};

}  // namespace grok1::GROK1_ISA
