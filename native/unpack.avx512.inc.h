// Unpacking 256 columns of quantized rows into four registers, with AVX-512.
//
// The two rows' sums of eight blocks each fill a register in one of two orders, whichever a type's layout gives for less:
//   pairs: 128-bit lane i has blocks 2 i and 2 i + 1 of the first row, then the same of the second. Codes come as
//          w[2 x + h] = half h of blocks x, x + 2, x + 4, x + 6.
//   whole: blocks 0 to 7 of the first row, then of the second. Codes come as w[j] = both halves of block j, then of block j + 4.
namespace grok1::GROK1_ISA {

enum class Order { pairs, whole };

// 16-bit words for permutations and shifts, made from their position.
struct alignas(64) Words {
  uint16_t at[32];
};
template <class F>
static constexpr Words wordsOf(F word) {
  Words words{};
  for (int i = 0; i < 32; i++) words.at[i] = uint16_t(word(i));
  return words;
}
GROK1_INLINE __m512i vectorOf(const Words& words) { return _mm512_load_si512(words.at); }

// Row (0 or 1) and block at each of the 16 places of an order.
static constexpr int rowAt(Order order, int i) { return order == Order::pairs ? i / 2 % 2 : i / 8; }
static constexpr int blockAt(Order order, int i) { return order == Order::pairs ? i / 4 * 2 + i % 2 : i % 8; }

// Eight floats (or sums) of blocks for both rows.
template <Order ORDER>
GROK1_INLINE __m512 forBoth(const void* blocks) {
  const __m256 v = _mm256_load_ps((const float*)blocks);
  if constexpr (ORDER == Order::whole) return _mm512_broadcast_f32x8(v);
  return _mm512_castpd_ps(_mm512_permutexvar_pd(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3), _mm512_castpd256_pd512(_mm256_castps_pd(v))));
}

// Values `first` of the first row and `second` of the second (places in v) for each of their blocks.
template <Order ORDER>
GROK1_INLINE __m512 spread(__m256 v, int first, int second) {
  const __m512i index = ORDER == Order::whole ? _mm512_setr_epi32(first, first, first, first, first, first, first, first, second, second,
                                                                  second, second, second, second, second, second)
                                              : _mm512_setr_epi32(first, first, second, second, first, first, second, second, first, first,
                                                                  second, second, first, first, second, second);
  return _mm512_permutexvar_ps(index, _mm512_castps256_ps512(v));
}

GROK1_INLINE __m512i two(const uint8_t* low, const uint8_t* high) {
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const __m256i*)low)), _mm256_loadu_si256((const __m256i*)high), 1);
}
// Sums of four products of codes. Written out because compilers copy a register of zeros to sum from, which takes one of the two
// ports, where clearing one takes none.
GROK1_INLINE __m512i products(__m512i codes, __m512i x) {
#if defined(__GNUC__)
  __m512i sum;
  asm("vpxor %x0, %x0, %x0\n\tvpdpbusd %2, %1, %0" : "=&x"(sum) : "v"(codes), "v"(x));
  return sum;
#else
  return _mm512_dpbusd_epi32(_mm512_setzero_si512(), codes, x);
#endif
}
// 64 bytes that the compiler is not to load again for each use: most of them lie across two lines of the cache.
GROK1_INLINE __m512i loaded(const uint8_t* p) {
  __m512i v = _mm512_loadu_si512(p);
#if defined(__GNUC__)
  asm("" : "+v"(v));
#endif
  return v;
}
GROK1_INLINE __m512i everywhere(const uint8_t* p) { return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)p)); }
GROK1_INLINE __m512i low4(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
GROK1_INLINE __m512i high4(__m512i v) { return low4(_mm512_srli_epi16(v, 4)); }

// Bits of `low` where `mask` has ones, of `high` elsewhere, cut to `bits`.
GROK1_INLINE __m512i merged(int mask, __m512i low, __m512i high, int bits) {
  return _mm512_and_si512(_mm512_ternarylogic_epi64(_mm512_set1_epi8(char(mask)), low, high, 0xca), _mm512_set1_epi8(char(bits)));
}

// 4-bit codes of blocks of 16 bytes STRIDE apart.
template <int STRIDE>
GROK1_INLINE void unpackPairs(const uint8_t* q, __m512i* w) {
  GROK1_UNROLL
  for (int x = 0; x < 2; x++) {
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i*)(q + STRIDE * x)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i*)(q + STRIDE * (x + 2))), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i*)(q + STRIDE * (x + 4))), 2);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i*)(q + STRIDE * (x + 6))), 3);
    w[2 * x] = low4(v);
    w[2 * x + 1] = high4(v);
  }
}

// 4-bit codes of chunks of 64 columns, as in Q4_K and Q5_K; the high ones uncut.
GROK1_INLINE void unpackChunks(const uint8_t* q, __m512i* low, __m512i* high) {
  const __m512i a = _mm512_loadu_si512(q), b = _mm512_loadu_si512(q + 64);
  low[0] = _mm512_shuffle_i32x4(a, b, 0x88);
  low[1] = _mm512_shuffle_i32x4(a, b, 0xdd);
  high[0] = _mm512_srli_epi16(low[0], 4);
  high[1] = _mm512_srli_epi16(low[1], 4);
}

GROK1_INLINE void lookUpWide(__m512i* w) {  // to values + 128
  const __m512i values = _mm512_xor_si512(everywhere((const uint8_t*)iq4Values), _mm512_set1_epi8(-128));
  GROK1_UNROLL
  for (int i = 0; i < 4; i++) w[i] = _mm512_shuffle_epi8(values, w[i]);
}

// The first word of each block of two rows, as floats: of each row from one register, which loads fill at places that are free.
// (Masked loads would do in fewer, both rows in one register, but from memory they are slower than loads that are then blended.)
template <int STRIDE, Order ORDER>
GROK1_INLINE __m512 sixteenHalves(const uint8_t* p, const uint8_t* q) {
  static_assert(STRIDE == 18 || STRIDE == 34);
  // Of 18 bytes: words 0, 9, 18 and 27 of the first load, 4, 13, 22 and 31 of the second; of 34: 0 and 17, 1 and 18, 2 and 19, ...
  static constexpr Words places = wordsOf([](int i) {
    const int block = blockAt(ORDER, i % 16), row = 32 * rowAt(ORDER, i % 16);
    return row + (STRIDE == 18 ? 9 * block % 32 : 17 * (block % 2) + block / 2);
  });
  const auto gather = [](const uint8_t* p) {
    const __m512i v = _mm512_loadu_si512(p);
    if constexpr (STRIDE == 18) return _mm512_mask_blend_epi16(1u << 4 | 1u << 13 | 1u << 22 | 1u << 31, v, _mm512_loadu_si512(p + 64));
    const __m512i first = _mm512_mask_blend_epi16(1u << 1 | 1u << 18, v, _mm512_loadu_si512(p + 66));
    const __m512i last = _mm512_mask_blend_epi16(1u << 3 | 1u << 20, _mm512_loadu_si512(p + 132), _mm512_loadu_si512(p + 198));
    return _mm512_mask_blend_epi16(1u << 2 | 1u << 3 | 1u << 19 | 1u << 20, first, last);
  };
  return _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutex2var_epi16(gather(p), vectorOf(places), gather(q))));
}

// Pairs of halves, a scale and a minimum.
GROK1_INLINE void splitHalves(__m512i both, __m512& scale, __m512& min) {
  scale = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(both));
  min = _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16)));
}

// Adds 16 where bits say so: 16 words, of half 0 of blocks 0, 2, 4, 6, then of half 1, then those of blocks 1, 3, 5, 7.
GROK1_INLINE void addSixteens(__m256i bits, __m512i* w) {
  alignas(32) uint64_t masks[4];
  _mm256_store_si256((__m256i*)masks, bits);
  GROK1_UNROLL
  for (int i = 0; i < 4; i++) w[i] = _mm512_mask_add_epi8(w[i], __mmask64(masks[i]), w[i], _mm512_set1_epi8(16));
}
static constexpr int bitsBlock(int i) { return i % 4 * 2 + i / 8; }  // of word i of those
static constexpr int bitsHalf(int i) { return i / 4 % 2; }

// Scales and minimums of Q4_K and Q5_K; the minimum is subtracted.
GROK1_INLINE void scales6(const uint8_t* p, const uint8_t* q, __m512& scale, __m512& min) {
  const __m256i v = pair(p, q);
  const __m256i cut = _mm256_set1_epi64x(0x0f0f0f0f3f3f3f3f), top = _mm256_set1_epi64x(0x3030303000000000);
  const __m256i low = _mm256_and_si256(_mm256_srlv_epi32(_mm256_shuffle_epi32(v, 0xed), _mm256_setr_epi32(0, 0, 0, 4, 0, 0, 0, 4)), cut);
  // Of each row, eight scales, then eight minimums.
  const __m256i codes = _mm256_ternarylogic_epi32(low, _mm256_srli_epi32(_mm256_shuffle_epi32(v, 0x84), 2), top, 0xf8);
  const __m128i a = _mm256_castsi256_si128(codes), b = _mm256_extracti128_si256(codes, 1);
  const __m128i halves = _mm_insert_epi32(_mm_cvtsi32_si128(load32(p)), load32(q), 1);
  const __m256 factors = _mm256_castps128_ps256(_mm_xor_ps(_mm_cvtph_ps(halves), _mm_setr_ps(0, -0.0f, 0, -0.0f)));
  scale = _mm512_mul_ps(spread<Order::pairs>(factors, 0, 2), _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_unpacklo_epi16(a, b))));
  min = _mm512_mul_ps(spread<Order::pairs>(factors, 1, 3), _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_unpackhi_epi16(a, b))));
}

// Blocks p, q of one row and r, s of another (fewer than a group has, at the end of rows): halves 0 of their codes, then halves 1.
struct TailCodes {
  __m512i halves[2];
};
GROK1_INLINE __m512i four128(const uint8_t* p, const uint8_t* q, const uint8_t* r, const uint8_t* s) {
  const __m512i v = _mm512_inserti32x4(_mm512_castsi128_si512(_mm_loadu_si128((const __m128i*)p)), _mm_loadu_si128((const __m128i*)q), 1);
  return _mm512_inserti32x4(_mm512_inserti32x4(v, _mm_loadu_si128((const __m128i*)r), 2), _mm_loadu_si128((const __m128i*)s), 3);
}
template <int STRIDE>
GROK1_INLINE TailCodes tailOf4(const uint8_t* p, const uint8_t* q) {
  const __m512i v = four128(p, p + STRIDE, q, q + STRIDE);
  return {{low4(v), high4(v)}};
}
// The first doublewords of two blocks of each of four rows.
template <int STRIDE>
GROK1_INLINE __m256i tailHeads(const uint8_t* const* rows) {
  const auto head = [rows](int row, int block) { return int(load32(rows[row] + STRIDE * block)); };
  return _mm256_setr_epi32(head(0, 0), head(0, 1), head(1, 0), head(1, 1), head(2, 0), head(2, 1), head(3, 0), head(3, 1));
}
GROK1_INLINE __m256 tailHalves(__m256i heads) { return _mm256_cvtph_ps(_mm256_cvtepi32_epi16(heads)); }

// unpack: codes in the type's order; scales: of both rows' blocks. kTail: whether two blocks of rows, tail and tailScales, are
// taken apart by themselves for less than a whole group.
template <int TYPE>
struct Wide;

template <int TYPE, Order ORDER>
struct WideBase {
  static constexpr int kType = TYPE;
  static constexpr TypeTraits kTraits = traitsOf(TYPE);
  static constexpr int kBlockBytes = kTraits.unit / 8;
  static constexpr Order kOrder = ORDER;
  static constexpr bool kTail = false;
};

template <>
struct Wide<Q4_0> : WideBase<Q4_0, Order::pairs> {
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) { unpackPairs<18>(p + 2, w); }
  GROK1_INLINE void scales(const uint8_t* p, const uint8_t* q, __m512& scale, __m512&) { scale = sixteenHalves<18, kOrder>(p, q); }
  static constexpr bool kTail = true;
  GROK1_INLINE TailCodes tail(const uint8_t* p, const uint8_t* q) { return tailOf4<18>(p + 2, q + 2); }
  GROK1_INLINE void tailScales(const uint8_t* const* rows, __m256& scale, __m256&) { scale = tailHalves(tailHeads<18>(rows)); }
};

template <>
struct Wide<Q4_1> : WideBase<Q4_1, Order::pairs> {
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) { unpackPairs<20>(p + 4, w); }
  GROK1_INLINE void scales(const uint8_t* p, const uint8_t* q, __m512& scale, __m512& min) {
    // Four blocks' are in the 64 bytes from p on, four in those from the fifth block on.
    const __m512i index = _mm512_setr_epi32(0, 5, 0, 5, 10, 15, 10, 15, 16, 21, 16, 21, 26, 31, 26, 31);
    const __m512i first = _mm512_permutex2var_epi32(_mm512_loadu_si512(p), index, _mm512_loadu_si512(p + 80));
    const __m512i second = _mm512_permutex2var_epi32(_mm512_loadu_si512(q), index, _mm512_loadu_si512(q + 80));
    splitHalves(_mm512_mask_blend_epi32(0xcccc, first, second), scale, min);
  }
  static constexpr bool kTail = true;
  GROK1_INLINE TailCodes tail(const uint8_t* p, const uint8_t* q) { return tailOf4<20>(p + 4, q + 4); }
  GROK1_INLINE void tailScales(const uint8_t* const* rows, __m256& scale, __m256& min) {
    const __m256i heads = tailHeads<20>(rows);
    scale = tailHalves(heads);
    min = tailHalves(_mm256_srli_epi32(heads, 16));
  }
};

template <>
struct Wide<Q5_0> : WideBase<Q5_0, Order::pairs> {
  // Scale and bits of each block: words 0 to 2 of 11, taken from where three loads do not cover each other's.
  GROK1_INLINE __m512i heads(const uint8_t* p) {
    const __m512i v = _mm512_mask_blend_epi16(7u << 6 | 7u << 17 | 7u << 28, _mm512_loadu_si512(p), _mm512_loadu_si512(p + 54));
    return _mm512_mask_blend_epi16(7u << 14 | 7u << 25, v, _mm512_loadu_si512(p + 104));
  }
  static constexpr int placeOf(int block) { return 11 * block - (block < 3 ? 0 : block < 6 ? 27 : 52); }
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) {
    unpackPairs<22>(p + 6, w);
    static constexpr Words places = wordsOf([](int i) { return placeOf(bitsBlock(i % 16)) + 1 + bitsHalf(i % 16); });
    addSixteens(_mm512_castsi512_si256(_mm512_permutexvar_epi16(vectorOf(places), heads(p))), w);
  }
  GROK1_INLINE void scales(const uint8_t* p, const uint8_t* q, __m512& scale, __m512&) {
    static constexpr Words places = wordsOf([](int i) { return placeOf(blockAt(kOrder, i % 16)) + 32 * rowAt(kOrder, i % 16); });
    scale = _mm512_cvtph_ps(_mm512_castsi512_si256(_mm512_permutex2var_epi16(heads(p), vectorOf(places), heads(q))));
  }
};

template <>
struct Wide<Q5_1> : WideBase<Q5_1, Order::pairs> {
  // Scale, minimum and bits of each block: doublewords 0 and 1, of three blocks a load; block b is at 6 (b % 3) + 2 (b / 3).
  GROK1_INLINE __m512i heads(const uint8_t* p) {
    const __m512i v = _mm512_mask_blend_epi32(3u << 2 | 3u << 8 | 3u << 14, _mm512_loadu_si512(p), _mm512_loadu_si512(p + 64));
    return _mm512_mask_blend_epi32(3u << 4 | 3u << 10, v, _mm512_loadu_si512(p + 128));
  }
  static constexpr int placeOf(int block) { return 6 * (block % 3) + 2 * (block / 3); }
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) {
    unpackPairs<24>(p + 8, w);
    static constexpr Words places = wordsOf([](int i) { return 2 * placeOf(bitsBlock(i % 16)) + 2 + bitsHalf(i % 16); });
    addSixteens(_mm512_castsi512_si256(_mm512_permutexvar_epi16(vectorOf(places), heads(p))), w);
  }
  GROK1_INLINE void scales(const uint8_t* p, const uint8_t* q, __m512& scale, __m512& min) {
    const __m512i index = _mm512_setr_epi32(0, 6, 16, 22, 12, 2, 28, 18, 8, 14, 24, 30, 4, 10, 20, 26);
    splitHalves(_mm512_permutex2var_epi32(heads(p), index, heads(q)), scale, min);
  }
};

template <>
struct Wide<Q8_0> : WideBase<Q8_0, Order::whole> {
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) {
    GROK1_UNROLL
    for (int j = 0; j < 4; j++) w[j] = _mm512_xor_si512(two(p + 34 * j + 2, p + 34 * (j + 4) + 2), _mm512_set1_epi8(-128));
  }
  GROK1_INLINE void scales(const uint8_t* p, const uint8_t* q, __m512& scale, __m512&) { scale = sixteenHalves<34, kOrder>(p, q); }
  static constexpr bool kTail = true;
  GROK1_INLINE TailCodes tail(const uint8_t* p, const uint8_t* q) {
    const __m512i sign = _mm512_set1_epi8(-128);
    return {{_mm512_xor_si512(four128(p + 2, p + 36, q + 2, q + 36), sign), _mm512_xor_si512(four128(p + 18, p + 52, q + 18, q + 52), sign)}};
  }
  GROK1_INLINE void tailScales(const uint8_t* const* rows, __m256& scale, __m256&) { scale = tailHalves(tailHeads<34>(rows)); }
};

template <>
struct Wide<IQ4_NL> : WideBase<IQ4_NL, Order::pairs> {
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) {
    unpackPairs<18>(p + 2, w);
    lookUpWide(w);
  }
  GROK1_INLINE void scales(const uint8_t* p, const uint8_t* q, __m512& scale, __m512&) { scale = sixteenHalves<18, kOrder>(p, q); }
};

template <>
struct Wide<IQ4_XS> : WideBase<IQ4_XS, Order::pairs> {
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) {
    const __m512i a = _mm512_loadu_si512(p + 8), b = _mm512_loadu_si512(p + 72);
    const __m512i even = _mm512_shuffle_i32x4(a, b, 0x88), odd = _mm512_shuffle_i32x4(a, b, 0xdd);
    w[0] = low4(even);
    w[1] = high4(even);
    w[2] = low4(odd);
    w[3] = high4(odd);
    lookUpWide(w);
  }
  GROK1_INLINE void scales(const uint8_t* p, const uint8_t* q, __m512& scale, __m512&) {
    // Of each row: the scale, two high bits of each block, four low bits of each.
    const __m128i heads = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i*)p), _mm_loadl_epi64((const __m128i*)q));
    const __m512i v = _mm512_castsi128_si512(heads);
    const __m512i lows = _mm512_permutexvar_epi32(_mm512_setr_epi32(1, 1, 3, 3, 1, 1, 3, 3, 1, 1, 3, 3, 1, 1, 3, 3), v);
    const __m512i highs = _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 0, 2, 2, 0, 0, 2, 2, 0, 0, 2, 2, 0, 0, 2, 2), v);
    const __m512i four = _mm512_and_si512(_mm512_srlv_epi32(lows, _mm512_setr_epi32(0, 4, 0, 4, 8, 12, 8, 12, 16, 20, 16, 20, 24, 28, 24, 28)),
                                          _mm512_set1_epi32(15));
    const __m512i two = _mm512_srlv_epi32(highs, _mm512_setr_epi32(12, 14, 12, 14, 16, 18, 16, 18, 20, 22, 20, 22, 24, 26, 24, 26));
    const __m512i code = _mm512_sub_epi32(_mm512_ternarylogic_epi32(four, two, _mm512_set1_epi32(0x30), 0xf8), _mm512_set1_epi32(32));
    scale = _mm512_mul_ps(spread<kOrder>(_mm256_cvtph_ps(heads), 0, 4), _mm512_cvtepi32_ps(code));
  }
};

template <>
struct Wide<Q4_K> : WideBase<Q4_K, Order::pairs> {
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) {
    unpackChunks(p + 16, w, w + 2);
    GROK1_UNROLL
    for (int i = 0; i < 4; i++) w[i] = low4(w[i]);
  }
  GROK1_INLINE void scales(const uint8_t* p, const uint8_t* q, __m512& scale, __m512& min) { scales6(p, q, scale, min); }
};

template <>
struct Wide<Q5_K> : WideBase<Q5_K, Order::pairs> {
  GROK1_INLINE void unpack(const uint8_t* p, __m512i* w) {
    unpackChunks(p + 48, w, w + 2);
    static constexpr Words shifts = wordsOf([](int i) { return i / 8 * 2; });
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const __m512i bits = _mm512_srlv_epi16(everywhere(p + 16 + 16 * h), vectorOf(shifts));
      w[h] = merged(15, w[h], _mm512_slli_epi16(bits, 4), 31);
      w[2 + h] = merged(15, w[2 + h], _mm512_slli_epi16(bits, 3), 31);
    }
  }
  GROK1_INLINE void scales(const uint8_t* p, const uint8_t* q, __m512& scale, __m512& min) { scales6(p, q, scale, min); }
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
