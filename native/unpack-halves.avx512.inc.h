// Unpacking rows of types with an integer scale per half block, with AVX-512.
#include "unpack.avx512.inc.h"

namespace grok1::GROK1_ISA {

// Q2_K and Q3_K, which have the fewest bytes to wait for, are unpacked two rows at a time: lanes of 128 bits have blocks 0 to 3 and 4 to
// 7 of the first row, then of the second. unpack: w[2 j + h] = half h of blocks j. bytes: scales of each lane's half blocks, in order from
// byte kSecond on in second lanes. Blocks' sums come times 1 << kShift, those of blocks 0, 1, 4 and 5 by kRaise bits less.
GROK1_INLINE __m512i eachTwice(const uint8_t* p, const uint8_t* q) {  // 16 bytes of each row
  return _mm512_mask_broadcast_i32x4(everywhere(p), 0xff00, _mm_loadu_si128((const __m128i*)q));
}
struct Halves {
  __m512i at[2];
};
GROK1_INLINE Halves splitHalves16(const uint8_t* p, const uint8_t* q) {  // even and odd 16 bytes of each row's 64
  const __m512i a = loaded(p), b = loaded(q);
  return {{_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd)}};
}

template <>
struct Wide<Q2_K> : WideBase<Q2_K, Order::whole> {
  static constexpr int kSecond = 8, kShift = 2, kRaise = 0;
  static constexpr int word(int byte) { return 0x8000 | byte; }
  GROK1_INLINE void unpack(const uint8_t* p, const uint8_t* q, __m512i* w) {
    const Halves v = splitHalves16(p + 16, q + 16);
    const __m512i first = _mm512_set1_epi8(3), second = _mm512_set1_epi8(12);
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {  // odd blocks times four, and so their scales a fourth of even ones'
      const __m512i high = _mm512_srli_epi16(v.at[h], 4);
      w[h] = _mm512_and_si512(v.at[h], first);
      w[2 + h] = _mm512_and_si512(v.at[h], second);
      w[4 + h] = _mm512_and_si512(high, first);
      w[6 + h] = _mm512_and_si512(high, second);
    }
  }
  GROK1_INLINE __m512i bytes(const uint8_t* p, const uint8_t* q) {
    return _mm512_and_si512(_mm512_sllv_epi16(eachTwice(p, q), _mm512_set1_epi32(2)), _mm512_set1_epi32(0x0f0f3c3c));
  }
  GROK1_INLINE __m256 heads(const uint8_t* p, const uint8_t* q) {
    return _mm256_castps128_ps256(_mm_cvtph_ps(_mm_insert_epi32(_mm_cvtsi32_si128(load32(p + 80)), load32(q + 80), 1)));
  }
  GROK1_INLINE __m512 scale(const uint8_t* p, const uint8_t* q) { return spread<kOrder>(heads(p, q), 0, 2); }
  GROK1_INLINE __m512 minScale(const uint8_t* p, const uint8_t* q) { return spread<kOrder>(heads(p, q), 1, 3); }
  GROK1_INLINE __m512i minCodes(const uint8_t* p, const uint8_t* q) {  // of half blocks in order, times 16, as they stand in high bits
    static constexpr Words inOrder = wordsOf([](int i) { return word(i % 16); });
    return _mm512_shuffle_epi8(_mm512_and_si512(eachTwice(p, q), _mm512_set1_epi8(char(0xf0))), vectorOf(inOrder));
  }
};

template <>
struct Wide<Q3_K> : WideBase<Q3_K, Order::whole> {
  static constexpr int kSecond = 0, kShift = 12, kRaise = 2;
  static constexpr int word(int byte) { return byte << 8 | 0x80; }
  GROK1_INLINE void unpack(const uint8_t* p, const uint8_t* q, __m512i* w) {
    const Halves v = splitHalves16(p + 32, q + 32);
    const __m512i turns = _mm512_setr_epi32(2, 2, 2, 2, 30, 30, 30, 30, 2, 2, 2, 2, 30, 30, 30, 30);
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const __m512i high = _mm512_rolv_epi32(eachTwice(p + 16 * h, q + 16 * h), turns);  // of the lane's block j in bit 2 + j
      const __m512i higher = _mm512_srli_epi16(high, 1), low = _mm512_srli_epi16(v.at[h], 2);
      w[h] = merged(3, v.at[h], high, 7);
      w[2 + h] = merged(3, low, higher, 7);
      w[4 + h] = merged(12, low, high, 28);
      w[6 + h] = merged(12, _mm512_srli_epi16(v.at[h], 4), higher, 28);
    }
  }
  GROK1_INLINE __m512i bytes(const uint8_t* p, const uint8_t* q) {  // four times the scales
    // Low four bits: of half blocks 0 to 7, then 8 to 15, in 8 bytes; two high bits of i, i + 4, i + 8, i + 12 in byte 8 + i.
    const __m512i places = _mm512_broadcast_i32x4(_mm_setr_epi8(2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 10, 11, 12, 13));
    const __m512i turns = _mm512_setr_epi32(2, 2, 6, 4, 30, 30, 2, 0, 2, 2, 6, 4, 30, 30, 2, 0);
    const __m512i low = _mm512_rolv_epi32(_mm512_shuffle_epi8(eachTwice(p + 94, q + 94), places), turns);
    const __m512i both = _mm512_ternarylogic_epi32(_mm512_set1_epi8(0x3c), low, _mm512_shuffle_epi32(low, _MM_PERM_DCDC), 0xca);
    return _mm512_ternarylogic_epi32(both, _mm512_set1_epi8(char(0xfc)), _mm512_set1_epi8(char(0x80)), 0x6a);
  }
  GROK1_INLINE __m512 scale(const uint8_t* p, const uint8_t* q) {
    return spread<kOrder>(_mm256_castps128_ps256(_mm_cvtph_ps(_mm_cvtsi32_si128(load16(p + 108) | load16(q + 108) << 16))), 0, 1);
  }
};

// Half blocks whose integer scales stand in lane i of 128 bits: 0, 2, 4, 6 | 1, 3, 5, 7 | 8, 10, 12, 14 | 9, 11, 13, 15.
static constexpr int subAt(int i, int j) { return i / 2 * 8 + i % 2 + 2 * j; }

// subs: 16 bits for each word that is summed.
template <>
struct Wide<Q6_K> : WideBase<Q6_K, Order::whole> {
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) {
    const __m512i a = two(p, p + 64), b = two(p + 32, p + 96), high = _mm512_loadu_si512(p + 128);
    w[0] = merged(15, a, _mm512_slli_epi16(high, 4), 63);
    w[1] = merged(15, b, _mm512_slli_epi16(high, 2), 63);
    w[2] = merged(15, _mm512_srli_epi16(a, 4), high, 63);
    w[3] = merged(15, _mm512_srli_epi16(b, 4), _mm512_srli_epi16(high, 2), 63);
  }
  // Of blocks 2 i and 2 i + 1 (counted within four), four words each.
  GROK1_INLINE __m512i subs(const uint8_t* p, int i) {
    static constexpr Words places[2] = {wordsOf([](int i) { return subAt(i / 8, i % 8 / 4) << 8 | 0x80; }),
                                        wordsOf([](int i) { return subAt(i / 8, 2 + i % 8 / 4) << 8 | 0x80; })};
    return _mm512_srai_epi16(_mm512_shuffle_epi8(everywhere(p + 192), vectorOf(places[i])), 8);
  }
  GROK1_INLINE __m512 scale(const uint8_t* p, const uint8_t* q) {
    return spread<kOrder>(_mm256_castps128_ps256(_mm_cvtph_ps(_mm_cvtsi32_si128(load16(p + 208) | load16(q + 208) << 16))), 0, 1);
  }
};

}  // namespace grok1::GROK1_ISA
