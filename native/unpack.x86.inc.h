// Unpacking 256 columns of a quantized row into eight registers, with AVX2.
//
// unpack: w[2 p + h] holds codes of half h (16 columns) of block p in its low lane, of block p + 4 in its high lane; codes
// are unsigned, but signed where kSigned says so. scales: of blocks 0 to 7 in order.
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
  __m128i v = _mm_cvtsi32_si128(load16(p));
  v = _mm_insert_epi16(v, load16(p + STRIDE), 1);
  v = _mm_insert_epi16(v, load16(p + 2 * STRIDE), 2);
  v = _mm_insert_epi16(v, load16(p + 3 * STRIDE), 3);
  v = _mm_insert_epi16(v, load16(p + 4 * STRIDE), 4);
  v = _mm_insert_epi16(v, load16(p + 5 * STRIDE), 5);
  v = _mm_insert_epi16(v, load16(p + 6 * STRIDE), 6);
  v = _mm_insert_epi16(v, load16(p + 7 * STRIDE), 7);
  return _mm256_cvtph_ps(v);
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
  const auto word = [p](int b) {
    int bits;
    memcpy(&bits, p + b * STRIDE, 4);
    return bits;
  };
  const __m256i both = _mm256_setr_epi32(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7));
  const __m256i low = _mm256_and_si256(both, _mm256_set1_epi32(0xffff)), high = _mm256_srli_epi32(both, 16);
  // [low 0-3, high 0-3 | low 4-7, high 4-7] as halves
  const __m256i halves = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
  first = _mm256_cvtph_ps(_mm256_castsi256_si128(halves));
  second = _mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1));
}

template <int STRIDE>
GROK1_INLINE void unpackNibbleBlocks(const uint8_t* q, __m256i* w) {
  GROK1_UNROLL
  for (int p = 0; p < 4; p++) {
    const __m256i v = pair(q + STRIDE * p, q + STRIDE * (p + 4));
    w[2 * p] = lowNibbles(v);
    w[2 * p + 1] = highNibbles(v);
  }
}

// Adds 16 where a block's 32 bits at q say so.
template <int STRIDE>
GROK1_INLINE void addFifthBits(const uint8_t* q, __m256i* w) {
  const __m256i bits = _mm256_set1_epi64x(int64_t(0x8040201008040201));
  GROK1_UNROLL
  for (int p = 0; p < 4; p++) {
    int low, high;
    memcpy(&low, q + STRIDE * p, 4);
    memcpy(&high, q + STRIDE * (p + 4), 4);
    const __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_cvtsi32_si128(low)), _mm_cvtsi32_si128(high), 1);
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const __m256i bytes = _mm256_setr_epi64x(0x0101010101010101 * (2 * h), 0x0101010101010101 * (2 * h + 1),
                                               0x0101010101010101 * (2 * h), 0x0101010101010101 * (2 * h + 1));
      const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(v, bytes), bits), bits);
      w[2 * p + h] = _mm256_or_si256(w[2 * p + h], _mm256_and_si256(set, _mm256_set1_epi8(16)));
    }
  }
}

GROK1_INLINE void lookUpIq4(__m256i* w) {
  const __m256i values = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)iq4Values));
  GROK1_UNROLL
  for (int i = 0; i < 8; i++) w[i] = _mm256_shuffle_epi8(values, w[i]);
}

// Bit p of each byte (p + 4 in the high lane) of half h as the code bit of value VALUE, for the four p.
template <int VALUE>
GROK1_INLINE void addHighBits(const uint8_t* bits, __m256i* w) {
  constexpr int up = VALUE == 16 ? 4 : 2;
  GROK1_UNROLL
  for (int h = 0; h < 2; h++) {
    const __m128i one = _mm_loadu_si128((const __m128i*)(bits + 16 * h));
    const __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(one), _mm_srli_epi16(one, 4), 1);
    const __m256i mask = _mm256_set1_epi8(VALUE);
    w[h] = _mm256_or_si256(w[h], _mm256_and_si256(_mm256_slli_epi16(v, up), mask));
    w[2 + h] = _mm256_or_si256(w[2 + h], _mm256_and_si256(_mm256_slli_epi16(v, up - 1), mask));
    w[4 + h] = _mm256_or_si256(w[4 + h], _mm256_and_si256(up == 4 ? _mm256_slli_epi16(v, 2) : v, mask));
    w[6 + h] = _mm256_or_si256(w[6 + h], _mm256_and_si256(up == 4 ? _mm256_slli_epi16(v, 1) : _mm256_srli_epi16(v, 1), mask));
  }
}

// Two bits of eight blocks, as in Q2_K and Q3_K.
GROK1_INLINE void unpackTwoBits(const uint8_t* q, __m256i* w) {
  const __m256i mask = _mm256_set1_epi8(3);
  GROK1_UNROLL
  for (int h = 0; h < 2; h++) {
    const __m256i v = pair(q + 16 * h, q + 32 + 16 * h);
    w[h] = _mm256_and_si256(v, mask);
    w[2 + h] = _mm256_and_si256(_mm256_srli_epi16(v, 2), mask);
    w[4 + h] = _mm256_and_si256(_mm256_srli_epi16(v, 4), mask);
    w[6 + h] = _mm256_and_si256(_mm256_srli_epi16(v, 6), mask);
  }
}

template <int TYPE>
struct Quant;

template <int TYPE, bool SIGNED>
struct QuantBase {
  static constexpr int kType = TYPE;
  static constexpr TypeTraits kTraits = traitsOf(TYPE);
  static constexpr int kBlockBytes = kTraits.unit / 8;
  static constexpr bool kSigned = SIGNED;
};

template <>
struct Quant<Q4_0> : QuantBase<Q4_0, false> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) { unpackNibbleBlocks<18>(p + 2, w); }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = eightHalves<18>(p); }
};

template <>
struct Quant<Q4_1> : QuantBase<Q4_1, false> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) { unpackNibbleBlocks<20>(p + 4, w); }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256& min) { eightPairs<20>(p, scale, min); }
};

template <>
struct Quant<Q5_0> : QuantBase<Q5_0, false> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) {
    unpackNibbleBlocks<22>(p + 6, w);
    addFifthBits<22>(p + 2, w);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = eightHalves<22>(p); }
};

template <>
struct Quant<Q5_1> : QuantBase<Q5_1, false> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) {
    unpackNibbleBlocks<24>(p + 8, w);
    addFifthBits<24>(p + 4, w);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256& min) { eightPairs<24>(p, scale, min); }
};

template <>
struct Quant<Q8_0> : QuantBase<Q8_0, true> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) {
    GROK1_UNROLL
    for (int i = 0; i < 4; i++) {
      w[2 * i] = pair(p + 34 * i + 2, p + 34 * (i + 4) + 2);
      w[2 * i + 1] = pair(p + 34 * i + 18, p + 34 * (i + 4) + 18);
    }
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = eightHalves<34>(p); }
};

template <>
struct Quant<IQ4_NL> : QuantBase<IQ4_NL, true> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) {
    unpackNibbleBlocks<18>(p + 2, w);
    lookUpIq4(w);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) { scale = eightHalves<18>(p); }
};

template <>
struct Quant<IQ4_XS> : QuantBase<IQ4_XS, true> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) {
    unpackNibbleBlocks<16>(p + 8, w);
    lookUpIq4(w);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256&) {
    int low;
    memcpy(&low, p + 4, 4);
    const __m256i four = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(low), _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28)),
                                          _mm256_set1_epi32(15));
    const __m256i two = _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(load16(p + 2)), _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14)),
                                         _mm256_set1_epi32(3));
    const __m256i code = _mm256_sub_epi32(_mm256_or_si256(four, _mm256_slli_epi32(two, 4)), _mm256_set1_epi32(32));
    scale = _mm256_mul_ps(_mm256_set1_ps(_cvtsh_ss(load16(p))), _mm256_cvtepi32_ps(code));
  }
};

// Scales and minimums of Q4_K and Q5_K; the minimum is subtracted.
GROK1_INLINE void scales6(const uint8_t* p, __m256& scale, __m256& min) {
  uint32_t a, b, c;
  memcpy(&a, p + 4, 4);
  memcpy(&b, p + 8, 4);
  memcpy(&c, p + 12, 4);
  const uint64_t scales = (a & 0x3f3f3f3f) | uint64_t((c & 0x0f0f0f0f) | (a >> 2 & 0x30303030)) << 32;
  const uint64_t mins = (b & 0x3f3f3f3f) | uint64_t((c >> 4 & 0x0f0f0f0f) | (b >> 2 & 0x30303030)) << 32;
  scale = _mm256_mul_ps(_mm256_set1_ps(_cvtsh_ss(load16(p))), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(int64_t(scales)))));
  min = _mm256_mul_ps(_mm256_set1_ps(-_cvtsh_ss(load16(p + 2))), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(int64_t(mins)))));
}

GROK1_INLINE void unpackNibbleChunks(const uint8_t* q, __m256i* w) {
  GROK1_UNROLL
  for (int c = 0; c < 2; c++) {
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const __m256i v = pair(q + 32 * c + 16 * h, q + 32 * (c + 2) + 16 * h);
      w[4 * c + h] = lowNibbles(v);
      w[4 * c + 2 + h] = highNibbles(v);
    }
  }
}

template <>
struct Quant<Q4_K> : QuantBase<Q4_K, false> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) { unpackNibbleChunks(p + 16, w); }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256& min) { scales6(p, scale, min); }
};

template <>
struct Quant<Q5_K> : QuantBase<Q5_K, false> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) {
    unpackNibbleChunks(p + 48, w);
    addHighBits<16>(p + 16, w);
  }
  GROK1_INLINE void scales(const uint8_t* p, __m256& scale, __m256& min) { scales6(p, scale, min); }
};

// Types with an integer scale per half block. subs: 16 of 16 bits in order.
template <>
struct Quant<Q2_K> : QuantBase<Q2_K, false> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) { unpackTwoBits(p + 16, w); }
  GROK1_INLINE float scale(const uint8_t* p) { return _cvtsh_ss(load16(p + 80)); }
  GROK1_INLINE __m256i subs(const uint8_t* p) {
    return _mm256_cvtepu8_epi16(_mm_and_si128(_mm_loadu_si128((const __m128i*)p), _mm_set1_epi8(15)));
  }
  GROK1_INLINE void mins(const uint8_t* p, __m256& even, __m256& odd) {
    const __m128i codes = _mm_and_si128(_mm_srli_epi16(_mm_loadu_si128((const __m128i*)p), 4), _mm_set1_epi8(15));
    const __m256 factor = _mm256_set1_ps(-_cvtsh_ss(load16(p + 82)));
    even = _mm256_mul_ps(factor, _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_and_si128(codes, _mm_set1_epi16(255)))));
    odd = _mm256_mul_ps(factor, _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(_mm_srli_epi16(codes, 8))));
  }
};

template <>
struct Quant<Q3_K> : QuantBase<Q3_K, false> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) {
    unpackTwoBits(p + 32, w);
    addHighBits<4>(p, w);
  }
  GROK1_INLINE float scale(const uint8_t* p) { return _cvtsh_ss(load16(p + 108)); }
  GROK1_INLINE __m256i subs(const uint8_t* p) {
    uint64_t low;
    uint32_t high;
    memcpy(&low, p + 96, 8);
    memcpy(&high, p + 104, 4);
    const uint64_t mask4 = 0x0f0f0f0f0f0f0f0f, mask2 = 0x03030303;
    const uint64_t first = (low & mask4) | ((high & mask2) | (high >> 2 & mask2) << 32) << 4;
    const uint64_t second = (low >> 4 & mask4) | ((high >> 4 & mask2) | (high >> 6 & mask2) << 32) << 4;
    return _mm256_sub_epi16(_mm256_cvtepu8_epi16(_mm_set_epi64x(int64_t(second), int64_t(first))), _mm256_set1_epi16(32));
  }
  GROK1_INLINE void mins(const uint8_t*, __m256&, __m256&) {}
};

template <>
struct Quant<Q6_K> : QuantBase<Q6_K, false> {
  GROK1_INLINE void unpack(const uint8_t* p, __m256i* w) {
    const __m256i mask = _mm256_set1_epi8(48);
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const __m256i a = pair(p + 16 * h, p + 64 + 16 * h), b = pair(p + 32 + 16 * h, p + 96 + 16 * h);
      const __m256i high = pair(p + 128 + 16 * h, p + 160 + 16 * h);
      w[h] = _mm256_or_si256(lowNibbles(a), _mm256_and_si256(_mm256_slli_epi16(high, 4), mask));
      w[2 + h] = _mm256_or_si256(lowNibbles(b), _mm256_and_si256(_mm256_slli_epi16(high, 2), mask));
      w[4 + h] = _mm256_or_si256(highNibbles(a), _mm256_and_si256(high, mask));
      w[6 + h] = _mm256_or_si256(highNibbles(b), _mm256_and_si256(_mm256_srli_epi16(high, 2), mask));
    }
  }
  GROK1_INLINE float scale(const uint8_t* p) { return _cvtsh_ss(load16(p + 208)); }
  GROK1_INLINE __m256i subs(const uint8_t* p) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)(p + 192))); }
  GROK1_INLINE void mins(const uint8_t*, __m256&, __m256&) {}
};

}  // namespace grok1::GROK1_ISA
