// Products by rows of the types whose entries come from a grid, with AVX-512 VBMI: its permutations of bytes look up 64 of them in a grid at a
// time. All else is AVX-512's.
#define GROK1_ISA avx512vbmi
#include "grids.h"
#include "stream.x86.inc.h"

namespace grok1::GROK1_ISA {

// Half blocks stand in the 16 doublewords of a register, first those of blocks 0 to 7, then second ones. With j = 4 h + i for byte i of
// half block h's, register k of four has column 4 j + k of a row's 256: an instruction adds four columns of each half block, four of
// them all.
static constexpr int placeOf(int byte) {
  const int d = byte / 4;
  return 4 * (d < 8 ? 2 * d : 2 * (d - 8) + 1) + byte % 4;
}
// Of grids of eight columns, byte 2 m + h has columns 4 h to 4 h + 3 of this entry.
static constexpr int entryOf(int m) { return placeOf(2 * m) / 2; }
// Two rows' entries are looked up at once: each 16 bytes, eight of the first row's and eight of the second's.
static constexpr int rowOf(int byte) { return byte / 8 % 2; }
static constexpr int pairEntryOf(int byte) { return entryOf(byte / 16 * 8 + byte % 8); }

struct alignas(64) Bytes64 {
  uint8_t at[64];
};
template <class F>
static constexpr Bytes64 bytesOf(F byte) {
  Bytes64 bytes{};
  for (int i = 0; i < 64; i++) bytes.at[i] = uint8_t(byte(i));
  return bytes;
}
GROK1_INLINE __m512i vectorOf(const Bytes64& bytes) { return _mm512_load_si512(bytes.at); }

// Lower and upper bytes of a grid's entries: two or four columns each.
template <size_t ENTRIES>
struct alignas(64) Planes {
  uint8_t at[2][ENTRIES];
};
template <size_t ENTRIES>
static constexpr Planes<ENTRIES> planesOf(const std::array<uint16_t, ENTRIES>& grid) {
  Planes<ENTRIES> planes{};
  for (size_t i = 0; i < ENTRIES; i++) {
    planes.at[0][i] = uint8_t(grid[i]);
    planes.at[1][i] = uint8_t(grid[i] >> 8);
  }
  return planes;
}

// 64 bytes of a table by their numbers, of which bits 7 and up are in `upper`.
template <int ENTRIES>
GROK1_INLINE __m512i lookUp(const uint8_t* table, __m512i lower, const __mmask64* upper) {
  if constexpr (ENTRIES == 128) {
    return _mm512_permutex2var_epi8(_mm512_load_si512(table), lower, _mm512_load_si512(table + 64));
  } else {
    constexpr int half = ENTRIES / 2, bit = half == 128 ? 0 : half == 256 ? 1 : half == 512 ? 2 : 3;
    return _mm512_mask_blend_epi8(upper[bit], lookUp<half>(table, lower, upper), lookUp<half>(table + half, lower, upper));
  }
}

// Sizes and signs of two rows as products take them, and what their sums are scaled by.
struct Pair {
  __m512i sizes[2][4];
  __m512i signs[2];  // bits k and 4 + k of even and odd bytes
  __m512i subs[2];   // of half blocks
  __m512 scale;      // of eight blocks of the first row, then of the second
  __mmask16 down;    // IQ1_S
};

// Of two rows' entries of eight columns, each byte of which has four codes of two bits.
GROK1_INLINE void rowsOfPlanes(__m512i low, __m512i high, __m512i* rows) {
  rows[0] = _mm512_unpacklo_epi8(low, high);
  rows[1] = _mm512_unpackhi_epi8(low, high);
}
GROK1_INLINE void twoBitSizes(__m512i v, __m512i* sizes) {
  const __m512i even = _mm512_broadcast_i32x4(_mm_setr_epi8(8, 25, 43, 0, 8, 25, 43, 0, 8, 25, 43, 0, 8, 25, 43, 0));
  const __m512i odd = _mm512_broadcast_i32x4(_mm_setr_epi8(8, 8, 8, 8, 25, 25, 25, 25, 43, 43, 43, 43, 0, 0, 0, 0));
  const __m512i mask = _mm512_set1_epi8(15), low = _mm512_and_si512(v, mask), high = _mm512_and_si512(_mm512_srli_epi16(v, 4), mask);
  sizes[0] = _mm512_shuffle_epi8(even, low);
  sizes[1] = _mm512_shuffle_epi8(odd, low);
  sizes[2] = _mm512_shuffle_epi8(even, high);
  sizes[3] = _mm512_shuffle_epi8(odd, high);
}
// Of 64 entries of four columns, each byte of which has two codes of four bits, the uppermost of them zero.
GROK1_INLINE void fourBitSizes(__m512i low, __m512i high, const uint8_t* table, __m512i* sizes) {
  const __m512i values = _mm512_broadcast_i32x4(_mm_loadl_epi64((const __m128i*)table));
  sizes[0] = _mm512_shuffle_epi8(values, low);
  sizes[1] = _mm512_shuffle_epi8(values, _mm512_srli_epi16(low, 4));
  sizes[2] = _mm512_shuffle_epi8(values, high);
  sizes[3] = _mm512_shuffle_epi8(values, _mm512_srli_epi16(high, 4));
}

GROK1_INLINE __m512i two(__m256i first, __m256i second) { return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1); }
GROK1_INLINE __m256i load256(const uint8_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
GROK1_INLINE __m512i twoLoads(const uint8_t* p, const uint8_t* q) { return two(load256(p), load256(q)); }
GROK1_INLINE __m256i twoLoads128(const uint8_t* p, const uint8_t* q) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i*)p)), _mm_loadu_si128((const __m128i*)q), 1);
}
GROK1_INLINE __m512 halves(int first, int second, float factor) {
  const __m512 v = _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi32_si128(first | second << 16)));
  const __m512 spread = _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1), v);
  return _mm512_mul_ps(spread, _mm512_set1_ps(factor));
}
GROK1_INLINE __m512i odd(__m512i codes) { return _mm512_add_epi32(_mm512_add_epi32(codes, codes), _mm512_set1_epi32(1)); }
GROK1_INLINE __m512 oddScales(__m512 d, __m512i codes) { return _mm512_mul_ps(d, _mm512_cvtepi32_ps(odd(codes))); }

// Half blocks' scales in nibbles of eight bytes.
GROK1_INLINE __m512i nibbleSubs(const uint8_t* p) {
  const __m128i v = _mm_loadl_epi64((const __m128i*)p), mask = _mm_set1_epi8(15);
  return odd(_mm512_cvtepu8_epi32(_mm_unpacklo_epi64(_mm_and_si128(v, mask), _mm_and_si128(_mm_srli_epi16(v, 4), mask))));
}

// Signs of eight columns from seven bits, of which a byte's eighth may be anything.
GROK1_INLINE __m512i evenSigns(__m512i seven) {
  return _mm512_permutex2var_epi8(_mm512_loadu_si512(kGrids.evenSigns), seven, _mm512_loadu_si512(kGrids.evenSigns + 64));
}
// The same from 16 doublewords of four times seven.
GROK1_INLINE __m512i evenSignsOf28(__m512i v) { return evenSigns(_mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x352e2720150e0700), v)); }

// Bytes of signs in order, those of row R among two rows' 64, to each place that they belong to.
template <int R>
GROK1_INLINE __m512i spreadSigns(__m512i bytes) {
  static constexpr Bytes64 places = bytesOf([](int i) { return 32 * R + placeOf(i) / 2; });
  return _mm512_permutexvar_epi8(vectorOf(places), bytes);
}
// From the order in which two rows' entries are looked up.
GROK1_INLINE void pairSigns(__m512i bytes, __m512i* signs) { rowsOfPlanes(bytes, bytes, signs); }

// Byte BASE + STRIDE * (entry / PER) + entry % PER of each row, for entries of eight columns.
template <int PER, int STRIDE, int BASE>
GROK1_INLINE __m512i pairBytes(__m512i p, __m512i q) {
  static constexpr Bytes64 places = bytesOf([](int i) { return BASE + STRIDE * (pairEntryOf(i) / PER) + pairEntryOf(i) % PER + 64 * rowOf(i); });
  return _mm512_permutex2var_epi8(p, vectorOf(places), q);
}
// The same of rows whose first 32 bytes are in one register; byte entry / PER.
template <int PER>
GROK1_INLINE __m512i pairBytes(__m512i v, int) {
  static constexpr Bytes64 places = bytesOf([](int i) { return pairEntryOf(i) / PER + 32 * rowOf(i); });
  return _mm512_permutexvar_epi8(vectorOf(places), v);
}
// Which entries have a bit of their byte: bit BIT + STEP * (entry % PER).
template <int PER, int STEP, int BIT>
GROK1_INLINE __mmask64 pairBits(__m512i v) {
  static constexpr Bytes64 bits = bytesOf([](int i) { return 1 << (BIT + STEP * (pairEntryOf(i) % PER)); });
  return _mm512_test_epi8_mask(v, vectorOf(bits));
}

template <int TYPE>
struct Grid;

template <int TYPE>
struct GridBase {
  static constexpr TypeTraits kTraits = traitsOf(TYPE);
  static constexpr int kType = TYPE;
  static constexpr bool kSigned = TYPE != IQ1_S && TYPE != IQ1_M;
};

template <>
struct Grid<IQ2_XXS> : GridBase<IQ2_XXS> {
  GROK1_INLINE void unpack(const uint8_t* p, const uint8_t* q, Pair& out) {
    static constexpr Planes<256> planes = planesOf(kIq2xxsGrid);
    const __m512i a = _mm512_loadu_si512(p + 2), b = _mm512_loadu_si512(q + 2);
    const __m512i lower = pairBytes<4, 8, 0>(a, b);
    const __mmask64 upper = _mm512_movepi8_mask(lower);
    __m512i rows[2];
    rowsOfPlanes(lookUp<256>(planes.at[0], lower, &upper), lookUp<256>(planes.at[1], lower, &upper), rows);
    twoBitSizes(rows[0], out.sizes[0]);
    twoBitSizes(rows[1], out.sizes[1]);
    const __m512i heads = _mm512_permutex2var_epi32(a, _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31), b);
    const __m512i signs = evenSignsOf28(heads);
    out.signs[0] = spreadSigns<0>(signs);
    out.signs[1] = spreadSigns<1>(signs);
    out.scale = oddScales(halves(load16(p), load16(q), 0.125f), _mm512_srli_epi32(heads, 28));
  }
};

template <>
struct Grid<IQ2_XS> : GridBase<IQ2_XS> {
  GROK1_INLINE void unpack(const uint8_t* p, const uint8_t* q, Pair& out) {
    static constexpr Planes<512> planes = planesOf(kIq2xsGrid);
    const __m512i a = _mm512_loadu_si512(p + 2), b = _mm512_loadu_si512(q + 2);
    const __m512i lower = pairBytes<1, 2, 0>(a, b), high = pairBytes<1, 2, 1>(a, b);
    const __mmask64 upper[2] = {_mm512_movepi8_mask(lower), _mm512_test_epi8_mask(high, _mm512_set1_epi8(1))};
    __m512i rows[2];
    rowsOfPlanes(lookUp<512>(planes.at[0], lower, upper), lookUp<512>(planes.at[1], lower, upper), rows);
    twoBitSizes(rows[0], out.sizes[0]);
    twoBitSizes(rows[1], out.sizes[1]);
    pairSigns(evenSigns(_mm512_srli_epi16(high, 1)), out.signs);
    out.subs[0] = nibbleSubs(p + 66);
    out.subs[1] = nibbleSubs(q + 66);
    out.scale = halves(load16(p), load16(q), 0.125f);
  }
};

template <>
struct Grid<IQ2_S> : GridBase<IQ2_S> {
  GROK1_INLINE void unpack(const uint8_t* p, const uint8_t* q, Pair& out) {
    static constexpr Planes<1024> planes = planesOf(kIq2sGrid);
    const __m512i a = _mm512_loadu_si512(p + 2), b = _mm512_loadu_si512(q + 2);
    const __m512i lower = pairBytes<1, 1, 0>(a, b);
    const __m512i tails = two(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i*)(p + 66))), _mm256_castsi128_si256(_mm_loadu_si128((const __m128i*)(q + 66))));
    const __m512i high = pairBytes<4>(tails, 0);
    const __mmask64 upper[3] = {_mm512_movepi8_mask(lower), pairBits<4, 2, 0>(high), pairBits<4, 2, 1>(high)};
    __m512i rows[2];
    rowsOfPlanes(lookUp<1024>(planes.at[0], lower, upper), lookUp<1024>(planes.at[1], lower, upper), rows);
    twoBitSizes(rows[0], out.sizes[0]);
    twoBitSizes(rows[1], out.sizes[1]);
    pairSigns(pairBytes<1, 1, 32>(a, b), out.signs);
    out.subs[0] = nibbleSubs(p + 74);
    out.subs[1] = nibbleSubs(q + 74);
    out.scale = halves(load16(p), load16(q), 0.125f);
  }
};

// Entries of four columns of one row.
GROK1_INLINE __m512i rowBytes(const uint8_t* p) {
  static constexpr Bytes64 places = bytesOf(placeOf);
  return _mm512_permutexvar_epi8(vectorOf(places), _mm512_loadu_si512(p));
}

template <>
struct Grid<IQ3_XXS> : GridBase<IQ3_XXS> {
  GROK1_INLINE void unpack(const uint8_t* p, const uint8_t* q, Pair& out) {
    static constexpr Planes<256> planes = planesOf(kIq3xxsGrid);
    const auto row = [&](const uint8_t* p, int r) {
      const __m512i lower = rowBytes(p + 2);
      const __mmask64 upper = _mm512_movepi8_mask(lower);
      fourBitSizes(lookUp<256>(planes.at[0], lower, &upper), lookUp<256>(planes.at[1], lower, &upper), kIq3xxsSizes, out.sizes[r]);
    };
    row(p, 0);
    row(q, 1);
    const __m512i heads = twoLoads(p + 66, q + 66), signs = evenSignsOf28(heads);
    out.signs[0] = spreadSigns<0>(signs);
    out.signs[1] = spreadSigns<1>(signs);
    out.scale = oddScales(halves(load16(p), load16(q), 0.25f), _mm512_srli_epi32(heads, 28));
  }
};

template <>
struct Grid<IQ3_S> : GridBase<IQ3_S> {
  GROK1_INLINE void unpack(const uint8_t* p, const uint8_t* q, Pair& out) {
    static constexpr Planes<512> planes = planesOf(kIq3sGrid);
    const auto row = [&](const uint8_t* p, int r) {
      const __m512i lower = rowBytes(p + 2);
      uint64_t bits;
      memcpy(&bits, p + 66, 8);
      // Four bits a half block: first ones, then second ones.
      const uint64_t ninth = _pext_u64(bits, 0x0f0f0f0f0f0f0f0f) | _pext_u64(bits, 0xf0f0f0f0f0f0f0f0) << 32;
      const __mmask64 upper[2] = {_mm512_movepi8_mask(lower), __mmask64(ninth)};
      fourBitSizes(lookUp<512>(planes.at[0], lower, upper), lookUp<512>(planes.at[1], lower, upper), kIq3sSizes, out.sizes[r]);
    };
    row(p, 0);
    row(q, 1);
    const __m512i signs = twoLoads(p + 74, q + 74);
    out.signs[0] = spreadSigns<0>(signs);
    out.signs[1] = spreadSigns<1>(signs);
    const __m512i words = _mm512_inserti64x4(_mm512_set1_epi32(int(load32(p + 106))), _mm256_set1_epi32(int(load32(q + 106))), 1);
    const __m512i nibbles = _mm512_srlv_epi32(words, _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28));
    out.scale = oddScales(halves(load16(p), load16(q), 1), _mm512_and_si512(nibbles, _mm512_set1_epi32(15)));
  }
};

// The grid of IQ1_S and IQ1_M is in order, and its upper bytes change at most once within 16 entries: from which on, and from what to what.
struct alignas(64) Steps {
  uint8_t before[128], after[128], at[128];
};
static constexpr Steps iq1Steps() {
  Steps steps{};
  for (int i = 0; i < 128; i++) {
    const auto upper = [i](int j) { return uint8_t(kIq1Grid[size_t(16 * i + j)] >> 8); };
    steps.before[i] = upper(0);
    steps.after[i] = upper(15);
    for (int j = 0; j < 16; j++) steps.at[i] = uint8_t(steps.at[i] + (upper(j) == upper(0)));
  }
  return steps;
}

// Rows of two bits a code from the numbers of two rows' entries: bits 4 to 6 of `high` are 8 to 10 of the number, others may be anything.
GROK1_INLINE void iq1Rows(__m512i lower, __m512i high, __m512i* rows) {
  static constexpr Planes<2048> planes = planesOf(kIq1Grid);
  static constexpr Steps steps = iq1Steps();
  const auto bit = [high](int i) { return _mm512_test_epi8_mask(high, _mm512_set1_epi8(char(16 << i))); };
  const __mmask64 upper[4] = {_mm512_movepi8_mask(lower), bit(0), bit(1), bit(2)};
  const __m512i nibble = _mm512_set1_epi8(15), sixteen = _mm512_ternarylogic_epi32(nibble, _mm512_srli_epi16(lower, 4), high, 0xca);
  const auto of = [sixteen](const uint8_t* table) {
    return _mm512_permutex2var_epi8(_mm512_load_si512(table), sixteen, _mm512_load_si512(table + 64));
  };
  const __mmask64 past = _mm512_cmpge_epu8_mask(_mm512_and_si512(lower, nibble), of(steps.at));
  rowsOfPlanes(lookUp<2048>(planes.at[0], lower, upper), _mm512_mask_blend_epi8(past, of(steps.before), of(steps.after)), rows);
}

template <>
struct Grid<IQ1_S> : GridBase<IQ1_S> {
  GROK1_INLINE void unpack(const uint8_t* p, const uint8_t* q, Pair& out) {
    const __m512i lower = pairBytes<1>(twoLoads(p + 2, q + 2), 0);
    const __m256i words = twoLoads128(p + 34, q + 34);
    // Three bits of each of a word's four entries, to a byte each.
    const __m512i fields = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x1916131009060300), _mm512_cvtepu32_epi64(words));
    __m512i rows[2];
    iq1Rows(lower, _mm512_slli_epi16(pairBytes<1>(fields, 0), 4), rows);
    GROK1_UNROLL
    for (int r = 0; r < 2; r++) {
      GROK1_UNROLL
      for (int k = 0; k < 4; k++) out.sizes[r][k] = _mm512_and_si512(_mm512_srli_epi16(rows[r], 2 * k), _mm512_set1_epi8(3));
    }
    out.down = _mm256_movepi16_mask(words);
    const __m512i codes = _mm512_and_si512(_mm512_srli_epi32(_mm512_cvtepu16_epi32(words), 12), _mm512_set1_epi32(7));
    out.scale = oddScales(halves(load16(p), load16(q), 0.125f), codes);
  }
};

template <>
struct Grid<IQ1_M> : GridBase<IQ1_M> {
  GROK1_INLINE void unpack(const uint8_t* p, const uint8_t* q, Pair& out) {
    const __m512i lower = pairBytes<1>(twoLoads(p, q), 0);
    const __m512i high = pairBytes<2>(two(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i*)(p + 32))),
                                          _mm256_castsi128_si256(_mm_loadu_si128((const __m128i*)(q + 32)))), 0);
    __m512i rows[2], ups[2];
    iq1Rows(lower, _mm512_mask_mov_epi8(_mm512_slli_epi16(high, 4), 0xaaaaaaaaaaaaaaaa, high), rows);
    // Eight times value + 1, and 2 where it is shifted up: 9 less than codes are, with offsets.
    const __m512i up = _mm512_maskz_mov_epi8(~pairBits<2, 4, 3>(high), _mm512_set1_epi8(2));
    rowsOfPlanes(up, up, ups);
    GROK1_UNROLL
    for (int r = 0; r < 2; r++) {
      const __m512i moved[4] = {_mm512_slli_epi16(rows[r], 3), _mm512_slli_epi16(rows[r], 1), _mm512_srli_epi16(rows[r], 1), _mm512_srli_epi16(rows[r], 3)};
      GROK1_UNROLL
      for (int k = 0; k < 4; k++) out.sizes[r][k] = _mm512_ternarylogic_epi32(ups[r], moved[k], _mm512_set1_epi8(24), 0xf8);
      // Three bits of each of a word's four half blocks: in order, then first ones and second ones.
      const uint8_t* const scales = (r == 0 ? p : q) + 48;
      const __m512i words = _mm512_cvtepu32_epi64(_mm256_castsi128_si256(_mm_loadl_epi64((const __m128i*)scales)));
      const __m512i fields = _mm512_multishift_epi64_epi8(_mm512_set1_epi64(0x1916131009060300), words);
      const __m128i codes = _mm_and_si128(_mm512_castsi512_si128(fields), _mm_set1_epi8(7));
      out.subs[r] = odd(_mm512_cvtepu8_epi32(_mm_shuffle_epi8(codes, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15))));
    }
    out.scale = halves(halfOfIq1m(p + 48), halfOfIq1m(q + 48), 0.125f);
  }
};

// Activations of a group as the registers of sizes need them; starts: of IQ1_M's sums.
struct Acts {
  __m512i x[4], starts, sums;
  __m512 scale;
};
template <class G>
GROK1_INLINE void load(const ActGroup& a, Acts& out) {
  const __m512i turn = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  __m512i v[4];
  GROK1_UNROLL
  for (int i = 0; i < 4; i++) v[i] = _mm512_shuffle_epi8(_mm512_load_si512(a.codes[i]), turn);
  const __m512i low = _mm512_unpacklo_epi32(v[0], v[1]), high = _mm512_unpackhi_epi32(v[0], v[1]);
  const __m512i low2 = _mm512_unpacklo_epi32(v[2], v[3]), high2 = _mm512_unpackhi_epi32(v[2], v[3]);
  out.x[0] = _mm512_unpacklo_epi64(low, low2);
  out.x[1] = _mm512_unpackhi_epi64(low, low2);
  out.x[2] = _mm512_unpacklo_epi64(high, high2);
  out.x[3] = _mm512_unpackhi_epi64(high, high2);
  out.scale = _mm512_broadcast_f32x8(_mm256_load_ps(a.scale));
  if constexpr (G::kType == IQ1_S) out.sums = _mm512_broadcast_i64x4(_mm256_load_si256((const __m256i*)a.sums));
  if constexpr (G::kType == IQ1_M) {
    const __m512i sums = _mm512_cvtepi16_epi32(_mm256_load_si256((const __m256i*)a.sums16));
    const __m512i inOrder = _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15), sums);
    out.starts = _mm512_mullo_epi32(inOrder, _mm512_set1_epi32(-9));
  }
}

// Lanes of two rows and N tokens += one group.
template <class G, int N>
GROK1_INLINE void addPair(const Pair& pair, const Acts* acts, __m512* lanes) {
  __m512i sums[N][2];
  GROK1_UNROLL
  for (int r = 0; r < 2; r++) {
    GROK1_UNROLL
    for (int t = 0; t < N; t++) sums[t][r] = G::kType == IQ1_M ? acts[t].starts : _mm512_setzero_si512();
    GROK1_UNROLL
    for (int k = 0; k < 4; k++) {
      __mmask64 minus = 0;
      if (G::kSigned) minus = _mm512_test_epi8_mask(pair.signs[r], _mm512_set1_epi16(short(1 << k | 16 << (8 + k))));
      GROK1_UNROLL
      for (int t = 0; t < N; t++) {
        __m512i x = acts[t].x[k];
        if (G::kSigned) x = _mm512_mask_sub_epi8(x, minus, _mm512_setzero_si512(), x);
        sums[t][r] = _mm512_dpbusd_epi32(sums[t][r], pair.sizes[r][k], x);
      }
    }
  }
  GROK1_UNROLL
  for (int t = 0; t < N; t++) {
    __m512i* const s = sums[t];
    if constexpr (G::kTraits.kind == Kind::sub16) {
      s[0] = _mm512_mullo_epi32(s[0], pair.subs[0]);
      s[1] = _mm512_mullo_epi32(s[1], pair.subs[1]);
    }
    __m512i whole = _mm512_add_epi32(_mm512_shuffle_i64x2(s[0], s[1], 0x44), _mm512_shuffle_i64x2(s[0], s[1], 0xee));
    if constexpr (G::kType == IQ1_S) {  // of value + 1, to eight times the value, and one more or less
      const __m512i shift = _mm512_mask_sub_epi32(acts[t].sums, pair.down, _mm512_setzero_si512(), acts[t].sums);
      whole = _mm512_add_epi32(_mm512_slli_epi32(_mm512_sub_epi32(whole, acts[t].sums), 3), shift);
    }
    lanes[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), _mm512_mul_ps(pair.scale, acts[t].scale), lanes[t]);
  }
}

// `count` rows, at most 2 * PAIRS: the last stands in for those that are missing.
template <class G, int PAIRS, int N>
static void gridRows(const RowsCall& call, int count) {
  constexpr int R = 2 * PAIRS, unit = G::kTraits.unit;
  const auto groupsOf = actsOf<ActGroup, N>(call);
  const auto rows = rowsAt<R>(call, 0, count);
  float totals[R * N] = {};
  const int64_t groups = call.cols / kGroup;
  for (int64_t g = 0; g < groups;) {
    __m512 lanes[PAIRS * N];
    GROK1_UNROLL
    for (int i = 0; i < PAIRS * N; i++) lanes[i] = _mm512_setzero_ps();
    const int64_t end = g + kSegment / kGroup < groups ? g + kSegment / kGroup : groups;
    for (; g < end; g++) {
      askAhead<R, unit>(call, rows[0], g * unit);
      Acts acts[N];
      GROK1_UNROLL
      for (int t = 0; t < N; t++) load<G>(groupsOf[t][g], acts[t]);
      GROK1_UNROLL
      for (int i = 0; i < PAIRS; i++) {
        Pair pair;
        G::unpack(rows[2 * i] + g * unit, rows[2 * i + 1] + g * unit, pair);
        addPair<G, N>(pair, acts, lanes + i * N);
      }
    }
    __m256 turned[R * N];
    GROK1_UNROLL
    for (int i = 0; i < PAIRS; i++) {
      GROK1_UNROLL
      for (int t = 0; t < N; t++) {
        turned[2 * i * N + t] = _mm512_castps512_ps256(lanes[i * N + t]);
        turned[(2 * i + 1) * N + t] = _mm512_extractf32x8_ps(lanes[i * N + t], 1);
      }
    }
    addLanes<R * N>(turned, totals);
  }
  for (int r = 0; r < count; r++) {
    GROK1_UNROLL
    for (int t = 0; t < N; t++) call.out[t * call.ldo + r] = totals[r * N + t];
  }
}

template <int TYPE>
static void gridRowsOf(const RowsCall& call) {
  using G = Grid<TYPE>;
  switch (call.tokens) {
    case 1: return gridRows<G, 2, 1>(call, call.rows);
    case 2: return gridRows<G, 2, 2>(call, call.rows);
    case 3: return gridRows<G, 2, 3>(call, call.rows);
    default: return gridRows<G, 2, 4>(call, call.rows);
  }
}

static void rows(int type, const RowsCall& call) {
  switch (type) {
    case IQ1_S: return gridRowsOf<IQ1_S>(call);
    case IQ1_M: return gridRowsOf<IQ1_M>(call);
    case IQ2_XXS: return gridRowsOf<IQ2_XXS>(call);
    case IQ2_XS: return gridRowsOf<IQ2_XS>(call);
    case IQ2_S: return gridRowsOf<IQ2_S>(call);
    case IQ3_XXS: return gridRowsOf<IQ3_XXS>(call);
    case IQ3_S: return gridRowsOf<IQ3_S>(call);
    default: return avx512Products().rows(type, call);
  }
}

}  // namespace grok1::GROK1_ISA

namespace grok1 {

const Products& avx512vbmiProducts() {
  static const Products table = [] {
    Products products = avx512Products();
    products.rows = avx512vbmi::rows;
    return products;
  }();
  return table;
}

}  // namespace grok1
