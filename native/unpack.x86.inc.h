// Unpacking 256 columns of a quantized row into eight registers, with AVX2.
//
// codes<P>: those of blocks P and P + 4 in the low and the high lane, one half (16 columns) after the other; codes are unsigned, but
// signed where kSigned says so. Taken apart one P after the other they stay in registers. scales: of blocks 0 to 7 in order.
#include <immintrin.h>

#include "products.h"
#include "simd.h"

namespace grok1::GROK1_ISA {

GROK1_INLINE __m256i pair(const uint8_t* low, const uint8_t* high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i*)low)),
                                 _mm_loadu_si128((const __m128i*)high), 1);
}
GROK1_INLINE __m256i lowNibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
GROK1_INLINE __m256i highNibbles(__m256i v) { return lowNibbles(_mm256_srli_epi16(v, 4)); }

GROK1_INLINE __m128i load128(const uint8_t* p) { return _mm_loadu_si128((const __m128i*)p); }
// Doubleword i of the i-th. (Blends of doublewords run on any port; insertions, and blends of words, on one alone.)
GROK1_INLINE __m128i blend4(__m128i a, __m128i b, __m128i c, __m128i d) {
  return _mm_blend_epi32(_mm_blend_epi32(a, b, 2), _mm_blend_epi32(c, d, 8), 12);
}

// Halves at p, p + STRIDE, ... of eight blocks.
template <int STRIDE>
GROK1_INLINE __m256 eightHalves(const uint8_t* p) {
#if defined(__AVX512BW__)
  if constexpr (STRIDE <= 18) {
    constexpr short at = STRIDE / 2;
    const __m512i index = _mm512_castsi128_si512(_mm_setr_epi16(0, at, 2 * at, 3 * at, 4 * at, 5 * at, 6 * at, 7 * at));
    const __m512i words = _mm512_permutex2var_epi16(_mm512_loadu_si512(p), index, _mm512_loadu_si512(p + 64));
    return _mm256_cvtph_ps(_mm512_castsi512_si128(words));
  }
#endif
  // Loads that start two bytes earlier for each block have its half at its place, and are blended.
  if constexpr (STRIDE == 18) {  // two of them side by side: even halves in the low lane, odd ones in the high lane
    const auto two = [p](int i) { return _mm256_loadu_si256((const __m256i*)(p + 32 * i)); };
    const __m256i v = _mm256_blend_epi32(_mm256_blend_epi32(two(0), two(1), 0x22), _mm256_blend_epi32(two(2), two(3), 0x88), 0xcc);
    return _mm256_cvtph_ps(_mm_blend_epi16(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1), 0xaa));
  } else {
    const auto one = [p](int b) { return load128(p + (STRIDE - 2) * b); };
    return _mm256_cvtph_ps(_mm_blend_epi16(blend4(one(0), one(2), one(4), one(6)), blend4(one(1), one(3), one(5), one(7)), 0xaa));
  }
}

// Scales and minimums that lie side by side: words 0 and 1 of eight blocks.
template <int STRIDE>
GROK1_INLINE void eightPairs(const uint8_t* p, __m256& first, __m256& second) {
#if defined(__AVX512BW__)
  if constexpr (STRIDE == 20) {  // four blocks' are in the 64 bytes from p on, four in those from the fifth block on
    const __m512i index = _mm512_castsi256_si512(_mm256_setr_epi16(0, 10, 20, 30, 32, 42, 52, 62, 1, 11, 21, 31, 33, 43, 53, 63));
    const __m512i words = _mm512_permutex2var_epi16(_mm512_loadu_si512(p), index, _mm512_loadu_si512(p + 80));
    const __m512 both = _mm512_cvtph_ps(_mm512_castsi512_si256(words));
    first = _mm512_castps512_ps256(both);
    second = _mm512_extractf32x8_ps(both, 1);
    return;
  }
#endif
  const auto one = [p](int b) { return load128(p + STRIDE * b - 4 * (b % 4)); };
  const __m128i low = blend4(one(0), one(1), one(2), one(3)), high = blend4(one(4), one(5), one(6), one(7));
  const __m128i mask = _mm_set1_epi32(0xffff);
  first = _mm256_cvtph_ps(_mm_packus_epi32(_mm_and_si128(low, mask), _mm_and_si128(high, mask)));
  second = _mm256_cvtph_ps(_mm_packus_epi32(_mm_srli_epi32(low, 16), _mm_srli_epi32(high, 16)));
}

// Half number WORD of the four at p.
template <int WORD>
GROK1_INLINE __m256 spreadHalf(const uint8_t* p) {
  const __m256 v = _mm256_castps128_ps256(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i*)p)));
  return _mm256_permutevar8x32_ps(v, _mm256_set1_epi32(WORD));
}

struct Codes {
  __m256i half[2];
};

// Both halves of blocks whose bytes have one's codes in low bits, the other's in high ones.
GROK1_INLINE Codes nibbles(__m256i v) { return {{lowNibbles(v), highNibbles(v)}}; }

// Adds 16 where the 32 bits at `low` and `high` say so.
GROK1_INLINE Codes addFifthBits(Codes c, const uint8_t* low, const uint8_t* high) {
  const __m256i bits = _mm256_set1_epi64x(int64_t(0x8040201008040201)), v = pair(low, high);
  GROK1_UNROLL
  for (int h = 0; h < 2; h++) {
    const __m256i bytes = _mm256_setr_epi64x(0x0101010101010101 * (2 * h), 0x0101010101010101 * (2 * h + 1),
                                             0x0101010101010101 * (2 * h), 0x0101010101010101 * (2 * h + 1));
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(v, bytes), bits), bits);
    c.half[h] = _mm256_or_si256(c.half[h], _mm256_and_si256(set, _mm256_set1_epi8(16)));
  }
  return c;
}

GROK1_INLINE Codes lookUpIq4(Codes c) {
  const __m256i values = _mm256_broadcastsi128_si256(load128((const uint8_t*)iq4Values));
  return {{_mm256_shuffle_epi8(values, c.half[0]), _mm256_shuffle_epi8(values, c.half[1])}};
}

// v with bits moved UP, or down where that is negative.
template <int UP>
GROK1_INLINE __m256i moved(__m256i v) {
  if constexpr (UP > 0) return _mm256_slli_epi16(v, UP);
  if constexpr (UP < 0) return _mm256_srli_epi16(v, -UP);
  return v;
}

// Adds VALUE where bit P (P + 4 in the high lane) of each byte says so.
template <int P, int VALUE>
GROK1_INLINE Codes addHighBits(Codes c, const uint8_t* bits) {
  GROK1_UNROLL
  for (int h = 0; h < 2; h++) {
    const __m256i v = _mm256_srlv_epi32(_mm256_broadcastsi128_si256(load128(bits + 16 * h)), _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4));
    c.half[h] = _mm256_or_si256(c.half[h], _mm256_and_si256(moved<(VALUE == 16 ? 4 : 2) - P>(v), _mm256_set1_epi8(VALUE)));
  }
  return c;
}

// Two bits of each byte, as in Q2_K and Q3_K.
template <int P>
GROK1_INLINE Codes twoBits(const uint8_t* q) {
  const __m256i mask = _mm256_set1_epi8(3);
  return {{_mm256_and_si256(moved<-2 * P>(pair(q, q + 32)), mask), _mm256_and_si256(moved<-2 * P>(pair(q + 16, q + 48)), mask)}};
}

// 4-bit codes of blocks of 16 bytes STRIDE apart.
template <int P, int STRIDE>
GROK1_INLINE Codes blockNibbles(const uint8_t* q) {
  return nibbles(pair(q + STRIDE * P, q + STRIDE * (P + 4)));
}

template <int TYPE>
struct Quant;

// ROWS: of how many rows codes are taken apart, then multiplied, at a time; as measured best for the registers that they need.
template <int TYPE, bool SIGNED, int ROWS>
struct QuantBase {
  static constexpr int kType = TYPE;
  static constexpr TypeTraits kTraits = traitsOf(TYPE);
  static constexpr int kBlockBytes = kTraits.unit / 8;
  static constexpr bool kSigned = SIGNED;
  static constexpr int kRowMax = kTraits.maxCode;  // of what products by rows meet
  static constexpr bool kGrid = false, kSplit = false, kPlaces = false;  // unpack-grids.x86.inc.h
  static constexpr int kRows = ROWS;
};

template <>
struct Quant<Q4_0> : QuantBase<Q4_0, false, 4> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return blockNibbles<P, 18>(p + 2);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = eightHalves<18>(p); }
};

template <>
struct Quant<Q4_1> : QuantBase<Q4_1, false, 4> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return blockNibbles<P, 20>(p + 4);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256& min) { eightPairs<20>(p, scale, min); }
};

template <>
struct Quant<Q5_0> : QuantBase<Q5_0, false, 2> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return addFifthBits(blockNibbles<P, 22>(p + 6), p + 2 + 22 * P, p + 2 + 22 * (P + 4));
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = eightHalves<22>(p); }
};

template <>
struct Quant<Q5_1> : QuantBase<Q5_1, false, 2> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return addFifthBits(blockNibbles<P, 24>(p + 8), p + 4 + 24 * P, p + 4 + 24 * (P + 4));
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256& min) { eightPairs<24>(p, scale, min); }
};

template <>
struct Quant<Q8_0> : QuantBase<Q8_0, true, 2> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    const uint8_t *const low = p + 34 * P + 2, *const high = p + 34 * (P + 4) + 2;
    return {{pair(low, high), pair(low + 16, high + 16)}};
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = eightHalves<34>(p); }
};

template <>
struct Quant<IQ4_NL> : QuantBase<IQ4_NL, true, 1> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return lookUpIq4(blockNibbles<P, 18>(p + 2));
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = eightHalves<18>(p); }
};

template <>
struct Quant<IQ4_XS> : QuantBase<IQ4_XS, true, 1> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return lookUpIq4(blockNibbles<P, 16>(p + 8));
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) {
    const __m256i high = _mm256_broadcastd_epi32(load128(p)), low = _mm256_broadcastd_epi32(load128(p + 4));
    const __m256i four = _mm256_and_si256(_mm256_srlv_epi32(low, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)), _mm256_set1_epi32(15));
    const __m256i two = _mm256_and_si256(_mm256_srlv_epi32(high, _mm256_setr_epi32(12, 14, 16, 18, 20, 22, 24, 26)), _mm256_set1_epi32(48));
    const __m256i code = _mm256_sub_epi32(_mm256_or_si256(four, two), _mm256_set1_epi32(32));
    scale = _mm256_mul_ps(spreadHalf<0>(p), _mm256_cvtepi32_ps(code));
  }
};

// Scales and minimums of Q4_K and Q5_K; the minimum is subtracted.
GROK1_INLINE void scales6(const uint8_t* p, __m256& scale, __m256& min) {
  const __m128i v = load128(p);
  const __m128i cut = _mm_set1_epi64x(0x0f0f0f0f3f3f3f3f), top = _mm_set1_epi64x(0x3030303000000000);
  const __m128i low = _mm_and_si128(_mm_srlv_epi32(_mm_shuffle_epi32(v, 0xed), _mm_setr_epi32(0, 0, 0, 4)), cut);
  const __m128i codes = _mm_or_si128(low, _mm_and_si128(_mm_srli_epi32(_mm_shuffle_epi32(v, 0x84), 2), top));  // eight of each
  scale = _mm256_mul_ps(spreadHalf<0>(p), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(codes)));
  const __m256 factor = _mm256_xor_ps(spreadHalf<1>(p), _mm256_set1_ps(-0.0f));
  min = _mm256_mul_ps(factor, _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(codes, 8))));
}

// Even blocks are in the low bits of chunks of 32 bytes, odd ones in the high bits.
template <int P>
GROK1_INLINE Codes chunkNibbles(const uint8_t* q) {
  const __m256i first = pair(q + P / 2 * 32, q + P / 2 * 32 + 64), second = pair(q + P / 2 * 32 + 16, q + P / 2 * 32 + 80);
  if constexpr (P % 2 == 0) return {{lowNibbles(first), lowNibbles(second)}};
  return {{highNibbles(first), highNibbles(second)}};
}

template <>
struct Quant<Q4_K> : QuantBase<Q4_K, false, 2> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return chunkNibbles<P>(p + 16);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256& min) { scales6(p, scale, min); }
};

template <>
struct Quant<Q5_K> : QuantBase<Q5_K, false, 1> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return addHighBits<P, 16>(chunkNibbles<P>(p + 48), p + 16);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256& min) { scales6(p, scale, min); }
};

// Types with an integer scale per half block. subs: 16 of 16 bits in order.
template <>
struct Quant<Q2_K> : QuantBase<Q2_K, false, 1> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    return twoBits<P>(p + 16);
  }
  GROK1_INLINE __m256 scale(const uint8_t* p) { return spreadHalf<2>(p + 76); }
  GROK1_INLINE __m256i subs(const uint8_t* p) {
    return _mm256_cvtepu8_epi16(_mm_and_si128(_mm_loadu_si128((const __m128i*)p), _mm_set1_epi8(15)));
  }
  // Minimums, subtracted: their scale, and 16 of 16 bits in order.
  GROK1_INLINE __m256 minScale(const uint8_t* p) { return _mm256_xor_ps(spreadHalf<3>(p + 76), _mm256_set1_ps(-0.0f)); }
  GROK1_INLINE __m256i minCodes(const uint8_t* p) {
    return _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(load128(p), 4), _mm_set1_epi8(15)));
  }
};

template <>
struct Quant<Q3_K> : QuantBase<Q3_K, false, 1> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    // High bits of blocks P % 2 and P % 2 + 2, of bytes' lower four (upper in the high lane), to where they stand above the low ones in nibbles.
    constexpr int first = 1 << P % 2, second = 4 << P % 2;
    const auto place = [](int bits) { return char((bits & first ? 4 : 0) | (bits & second ? 64 : 0)); };
    const __m256i places = _mm256_broadcastsi128_si256(_mm_setr_epi8(place(0), place(1), place(2), place(3), place(4), place(5), place(6), place(7), place(8),
                                                                     place(9), place(10), place(11), place(12), place(13), place(14), place(15)));
    Codes c;
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const __m256i high = lowNibbles(_mm256_srlv_epi32(_mm256_broadcastsi128_si256(load128(p + 16 * h)), _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)));
      const __m256i low = _mm256_and_si256(moved<-2 * (P % 2)>(pair(p + 32 + 16 * h, p + 64 + 16 * h)), _mm256_set1_epi8(0x33));
      const __m256i both = _mm256_or_si256(low, _mm256_shuffle_epi8(places, high));
      c.half[h] = P < 2 ? lowNibbles(both) : highNibbles(both);
    }
    return c;
  }
  GROK1_INLINE __m256 scale(const uint8_t* p) { return spreadHalf<3>(p + 102); }
  GROK1_INLINE __m256i subs(const uint8_t* p) {
    const __m128i four = _mm_loadl_epi64((const __m128i*)(p + 96));  // low bits of 0 to 7, then above them those of 8 to 15
    const __m128i low = _mm_and_si128(_mm_unpacklo_epi64(four, _mm_srli_epi16(four, 4)), _mm_set1_epi8(15));
    const __m128i two = _mm_shuffle_epi32(load128(p + 92), 0xff);
    const __m128i high = _mm_and_si128(_mm_slli_epi16(_mm_srlv_epi32(two, _mm_setr_epi32(0, 2, 4, 6)), 4), _mm_set1_epi8(48));
    return _mm256_cvtepi8_epi16(_mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32)));
  }
};

template <>
struct Quant<Q6_K> : QuantBase<Q6_K, false, 1> {
  template <int P>
  GROK1_INLINE Codes codes(const uint8_t* p) {
    Codes c;
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const __m256i low = pair(p + P % 2 * 32 + 16 * h, p + P % 2 * 32 + 64 + 16 * h), high = pair(p + 128 + 16 * h, p + 160 + 16 * h);
      const __m256i two = _mm256_and_si256(moved<4 - 2 * P>(high), _mm256_set1_epi8(48));
      c.half[h] = _mm256_or_si256(P < 2 ? lowNibbles(low) : highNibbles(low), two);
    }
    return c;
  }
  GROK1_INLINE __m256 scale(const uint8_t* p) { return spreadHalf<3>(p + 202); }
  GROK1_INLINE __m256i subs(const uint8_t* p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)(p + 192))); }
};

// All codes of 256 columns.
template <class Q, class From>
GROK1_INLINE void unpack(const From& from, Codes* codes) {
  codes[0] = Q::template codes<0>(from);
  codes[1] = Q::template codes<1>(from);
  codes[2] = Q::template codes<2>(from);
  codes[3] = Q::template codes<3>(from);
}

}  // namespace grok1::GROK1_ISA
