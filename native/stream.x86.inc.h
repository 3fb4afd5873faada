// Streaming rows from memory, and adding up what of them stands in lanes: what products by rows share.
#include <immintrin.h>

#include "products.h"
#include "simd.h"

namespace grok1::GROK1_ISA {

// How far ahead of its use a row is asked for.
constexpr int64_t kAhead = 1024;
// What a whole group that starts inside a row may read behind it.
constexpr int64_t kOverRead = 512;

// While BYTES of each of R rows at `rows` + `at` are multiplied, asks for as many that are needed later: of each row by itself, to the
// first cache, or of the rows that lie behind these but one, in order of addresses, to the second: further ahead is no quicker, and
// loses the first of a small matrix. Which way is quicker is the processor's affair: cpu.h.
template <int R, int64_t BYTES>
GROK1_INLINE void askAhead(const RowsCall& call, const uint8_t* rows, int64_t at) {
  const int64_t rowBytes = int64_t(call.rowBytes);
  if (call.inOrder) {
    const uint8_t* const next = rows + (R + 1) * rowBytes + R * at;
    GROK1_UNROLL
    for (int64_t line = 0; line < R * BYTES; line += 64) _mm_prefetch((const char*)(next + line), _MM_HINT_T1);
    return;
  }
  // Past the end of a row comes the row that takes its place in the next call.
  const uint8_t* const next = rows + at + kAhead + (at + kAhead >= rowBytes ? (R - 1) * rowBytes : 0);
  GROK1_UNROLL
  for (int r = 0; r < R; r++) {
    GROK1_UNROLL
    for (int64_t line = 0; line < BYTES; line += 64) _mm_prefetch((const char*)(next + r * rowBytes + line), _MM_HINT_T0);
  }
}

template <class T, int COUNT>
struct Pointers {
  const T* of[COUNT];
  const T* operator[](int i) const { return of[i]; }
};
// Activations of N tokens.
template <class GROUP, int N>
GROK1_INLINE Pointers<GROUP, N> actsOf(const RowsCall& call) {
  Pointers<GROUP, N> acts;
  GROK1_UNROLL
  for (int t = 0; t < N; t++) acts.of[t] = (const GROUP*)call.acts[t];
  return acts;
}
// R rows from `first` on, of which `count` are there: the last stands in for those that are missing.
template <int R>
GROK1_INLINE Pointers<uint8_t, R> rowsAt(const RowsCall& call, int first, int count) {
  Pointers<uint8_t, R> rows;
  GROK1_UNROLL
  for (int r = 0; r < R; r++) rows.of[r] = call.data + size_t(first + (r < count ? r : count - 1)) * call.rowBytes;
  return rows;
}

// A number that a function's parameter can hand on to a template.
template <int VALUE>
struct Constant {
  static constexpr int value = VALUE;
};

// Keeps v where it is computed: compilers would compute it later, or add sums up as a tree, for which there are not registers enough.
GROK1_INLINE __m256i keep(__m256i v) {
#if defined(__AVX512VL__) && defined(__GNUC__)
  asm("" : "+v"(v));
#elif defined(__GNUC__)
  asm("" : "+x"(v));
#endif
  return v;
}

GROK1_INLINE __m256i addPairs(__m256i v) { return _mm256_madd_epi16(v, _mm256_set1_epi16(1)); }
// Sums of neighbours, of `a` before those of `b`; packed where they fit 16 bits, which takes fewer instructions.
GROK1_INLINE __m256i addNeighbours(__m256i a, __m256i b) { return addPairs(_mm256_packs_epi32(a, b)); }
GROK1_INLINE __m256i evenDoublewords(__m256i a, __m256i b) {
  return _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0x88));
}
GROK1_INLINE __m256i oddDoublewords(__m256i a, __m256i b) {
  return _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(a), _mm256_castsi256_ps(b), 0xdd));
}
// The same where they do not fit; the instruction that does it all takes longer.
GROK1_INLINE __m256i addEvenOdd(__m256i a, __m256i b) { return _mm256_add_epi32(evenDoublewords(a, b), oddDoublewords(a, b)); }
// The same of words: those of quadwords next to each other, or of doublewords.
GROK1_INLINE __m256i addHalves16(__m256i a, __m256i b) { return _mm256_add_epi16(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b)); }
GROK1_INLINE __m256i addEvenOdd16(__m256i a, __m256i b) { return _mm256_add_epi16(evenDoublewords(a, b), oddDoublewords(a, b)); }

// totals[i] += lanes[i][0], then [1], and so on: four at a time side by side.
template <int COUNT>
GROK1_INLINE void addLanes(const __m256* lanes, float* totals) {
  GROK1_UNROLL
  for (int i = 0; i + 4 <= COUNT; i += 4) {
    const __m256 a = _mm256_unpacklo_ps(lanes[i], lanes[i + 1]), b = _mm256_unpackhi_ps(lanes[i], lanes[i + 1]);
    const __m256 c = _mm256_unpacklo_ps(lanes[i + 2], lanes[i + 3]), d = _mm256_unpackhi_ps(lanes[i + 2], lanes[i + 3]);
    const __m256 turned[4] = {_mm256_shuffle_ps(a, c, 0x44), _mm256_shuffle_ps(a, c, 0xee), _mm256_shuffle_ps(b, d, 0x44),
                              _mm256_shuffle_ps(b, d, 0xee)};
    __m128 total = _mm_loadu_ps(totals + i);
    GROK1_UNROLL
    for (int l = 0; l < 4; l++) total = _mm_add_ps(total, _mm256_castps256_ps128(turned[l]));
    GROK1_UNROLL
    for (int l = 0; l < 4; l++) total = _mm_add_ps(total, _mm256_extractf128_ps(turned[l], 1));
    _mm_storeu_ps(totals + i, total);
  }
  GROK1_UNROLL
  for (int i = COUNT / 4 * 4; i < COUNT; i++) {
    float lane[8];
    _mm256_storeu_ps(lane, lanes[i]);
    GROK1_UNROLL
    for (int l = 0; l < 8; l++) totals[i] += lane[l];
  }
}

}  // namespace grok1::GROK1_ISA
