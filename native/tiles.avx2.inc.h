// Register tiles of 256 bits, with AVX2 or AVX-VNNI: 16 rows in the lanes of two registers by 4 or 6 tokens at a time.
//
// AVX2 has no instruction that adds products of bytes up in 32 bits. They are added in 16, two sums a row, and widened once a block or
// half block. On the way a sum may pass 16 bits, but it starts from what the codes' offset takes off, and so what it ends at does
// not: 16 columns of products of at most 16 * 127.
namespace grok1::GROK1_ISA {

constexpr int kTile = 12, kFloatTile = 6;
constexpr int kTokens = kVnni ? 6 : 4;  // at a time; their lanes, used once a block, are in memory

GROK1_INLINE __m256i four(const void* p) {
  int bits;
  memcpy(&bits, p, 4);
  return _mm256_set1_epi32(bits);
}

GROK1_INLINE __m256i load256(const void* p) { return _mm256_load_si256((const __m256i*)p); }

// addProducts: sum + codes of 8 rows times 4 columns of a token (with AVX-VNNI, rows' own). timesHalf: half blocks' sums times the factors at p.
#if defined(__AVXVNNI__)
using Whole = __m256;  // up to 2^24: floats hold them exactly
GROK1_INLINE __m256i widened(__m256i sum) { return sum; }
GROK1_INLINE Whole timesHalf(__m256i sum, const void* p) { return _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_load_ps((const float*)p)); }
GROK1_INLINE Whole addTimesHalf(Whole whole, __m256i sum, const void* p) {
  return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_load_ps((const float*)p), whole);
}
GROK1_INLINE __m256 toFloats(Whole whole) { return whole; }
#else
using Whole = __m256i;
GROK1_INLINE __m256i addProducts(__m256i sum, __m256i codes, __m256i x) { return keep(_mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, x))); }
GROK1_INLINE __m256i widened(__m256i sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
GROK1_INLINE Whole timesHalf(__m256i sum, const void* p) { return keep(_mm256_madd_epi16(sum, load256(p))); }
GROK1_INLINE Whole addTimesHalf(Whole whole, __m256i sum, const void* p) { return _mm256_add_epi32(whole, timesHalf(sum, p)); }
GROK1_INLINE __m256 toFloats(Whole whole) { return _mm256_cvtepi32_ps(whole); }
#endif

// sums[t][h] = codes of 8 rows times the token's, over GROUPS times 4 columns.
template <bool START, int GROUPS, int T>
GROK1_INLINE void dotColumns(const uint8_t* w, const uint8_t* x, const int32_t* starts, __m256i (*sums)[2]) {
  GROK1_UNROLL
  for (int g = 0; g < GROUPS; g++, w += 64) {
    const __m256i codes[2] = {load256(w), load256(w + 32)};
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      const __m256i columns = four(x + 32 * t + 4 * g), start = g == 0 && START ? four(starts + t) : _mm256_setzero_si256();
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) {
        if (g == 0 && !START && !kVnni) {
          sums[t][h] = _mm256_maddubs_epi16(codes[h], columns);
        } else {
          sums[t][h] = addProducts(g == 0 ? start : sums[t][h], codes[h], columns);
        }
      }
    }
  }
}

// The same in 32 bits for codes of 8, signed, without VNNI: sizes of codes times columns with the codes' signs.
template <int T>
GROK1_INLINE void dotSigned(const uint8_t* w, const uint8_t* x, __m256i (*sums)[2]) {
  GROK1_UNROLL
  for (int g = 0; g < 8; g++, w += 64) {
    const __m256i codes[2] = {load256(w), load256(w + 32)};
    const __m256i sizes[2] = {_mm256_abs_epi8(codes[0]), _mm256_abs_epi8(codes[1])};
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      const __m256i columns = four(x + 32 * t + 4 * g);
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) {
        const __m256i y = _mm256_madd_epi16(_mm256_maddubs_epi16(sizes[h], _mm256_sign_epi8(columns, codes[h])), _mm256_set1_epi16(1));
        sums[t][h] = g == 0 ? y : keep(_mm256_add_epi32(sums[t][h], y));
      }
    }
  }
}

// whole[t][h] (+)= the same over half a block, times the half's scales at `subs`: codes of up to 43, of which 4 products fit 16 bits.
template <bool ADD, int T>
GROK1_INLINE void dotSignedHalf(const uint8_t* w, const uint8_t* x, const uint8_t* subs, __m256i (*whole)[2]) {
  GROK1_UNROLL
  for (int g = 0; g < 4; g += 2, w += 128) {
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const __m256i codes[2] = {load256(w + 32 * h), load256(w + 64 + 32 * h)};
      const __m256i sizes[2] = {_mm256_abs_epi8(codes[0]), _mm256_abs_epi8(codes[1])};
      GROK1_UNROLL
      for (int t = 0; t < T; t++) {
        const auto product = [&](int i) { return _mm256_maddubs_epi16(sizes[i], _mm256_sign_epi8(four(x + 32 * t + 4 * (g + i)), codes[i])); };
        const __m256i y = _mm256_madd_epi16(_mm256_add_epi16(product(0), product(1)), load256(subs + 32 * h));
        whole[t][h] = g == 0 && !ADD ? y : keep(_mm256_add_epi32(whole[t][h], y));
      }
    }
  }
}

// out[t][h] = whole-number products of a block.
template <Kind KIND, int MAX_CODE, int T>
GROK1_INLINE void dotBlock(const uint8_t* w, const uint8_t* x, const int32_t* starts, __m256 (*out)[2]) {
  constexpr bool start = KIND == Kind::ternary || KIND == Kind::block32 || KIND == Kind::sub16;
  constexpr bool subs = KIND == Kind::sub16 || KIND == Kind::subMin16;
  __m256i sums[T][2];
  if constexpr (subs && !kVnni && MAX_CODE > 63) {
    dotSignedHalf<false, T>(w, x, w + 576, sums);
    dotSignedHalf<true, T>(w + 256, x + 16, w + 640, sums);
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) out[t][h] = _mm256_cvtepi32_ps(sums[t][h]);
    }
  } else if constexpr (subs || (!kVnni && !start && MAX_CODE > 15)) {
    alignas(32) static constexpr int32_t ones[8] = {0x10001, 0x10001, 0x10001, 0x10001, 0x10001, 0x10001, 0x10001, 0x10001};
    Whole whole[T][2];
    dotColumns<start, 4, T>(w, x, starts, sums);
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) whole[t][h] = timesHalf(sums[t][h], subs ? (const void*)(w + 576 + 32 * h) : ones);
    }
    dotColumns<start, 4, T>(w + 256, x + 16, starts + kTile, sums);
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) out[t][h] = toFloats(addTimesHalf(whole[t][h], sums[t][h], subs ? (const void*)(w + 640 + 32 * h) : ones));
    }
  } else {
    if constexpr (!kVnni && MAX_CODE > 63) {
      dotSigned<T>(w, x, sums);
    } else {
      dotColumns<start, 8, T>(w, x, starts, sums);
      GROK1_UNROLL
      for (int t = 0; t < T; t++) {
        GROK1_UNROLL
        for (int h = 0; h < 2; h++) sums[t][h] = widened(sums[t][h]);
      }
    }
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) out[t][h] = _mm256_cvtepi32_ps(sums[t][h]);
    }
  }
}

template <Kind KIND, int MAX_CODE, int T>
static void multiplyTokens(const uint8_t* w, const uint8_t* x, int firstToken, int64_t units, float* c) {
  constexpr bool subs = KIND == Kind::sub16 || KIND == Kind::subMin16;
  __m256 lane[T][2];
  GROK1_UNROLL
  for (int t = 0; t < T; t++) lane[t][0] = lane[t][1] = _mm256_setzero_ps();
  __m256 group[T][2];  // whole numbers of 256 columns of ternary weights so far
  GROK1_UNROLL
  for (int t = 0; KIND == Kind::ternary && t < T; t++) group[t][0] = group[t][1] = _mm256_setzero_ps();
  for (int64_t u = 0; u < units; u++, w += panelUnitBytes(KIND), x += tileUnitBytes(KIND, kTile)) {
    const int32_t* const starts = (const int32_t*)(x + 32 * kTile) + firstToken;
    const float* const scales = (const float*)starts + (subs ? 2 : 1) * kTile;
    __m256 whole[T][2];
    dotBlock<KIND, MAX_CODE, T>(w, x + 32 * firstToken, starts, whole);
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      GROK1_UNROLL
      for (int h = 0; h < 2; h++) {
        const float* const row = (const float*)(w + 512) + 8 * h;
        if constexpr (KIND == Kind::ternary) {
          group[t][h] = _mm256_fmadd_ps(whole[t][h], _mm256_broadcast_ss(scales + t), group[t][h]);
          if (u % 8 < 7) continue;
          const __m256 factor = _mm256_mul_ps(_mm256_load_ps(row), _mm256_broadcast_ss(scales + kTile + t));
          lane[t][h] = _mm256_fmadd_ps(group[t][h], factor, lane[t][h]);
          group[t][h] = _mm256_setzero_ps();
          continue;
        }
        const __m256 factor = _mm256_mul_ps(_mm256_load_ps(row), _mm256_broadcast_ss(scales + t));
        lane[t][h] = _mm256_fmadd_ps(whole[t][h], factor, lane[t][h]);
        if (KIND == Kind::min32) lane[t][h] = _mm256_fmadd_ps(_mm256_load_ps(row + 16), _mm256_broadcast_ss(scales + kTile + t), lane[t][h]);
        if (KIND == Kind::subMin16) {
          const __m256 first = _mm256_mul_ps(_mm256_load_ps(row + 64), _mm256_broadcast_ss(scales + kTile + t));
          const __m256 mins = _mm256_fmadd_ps(_mm256_load_ps(row + 80), _mm256_broadcast_ss(scales + 2 * kTile + t), first);
          lane[t][h] = _mm256_fmadd_ps(mins, _mm256_mul_ps(_mm256_load_ps(row + 48), _mm256_broadcast_ss(scales + t)), lane[t][h]);
        }
      }
    }
  }
  GROK1_UNROLL
  for (int t = 0; t < T; t++) {
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      float* const to = c + 16 * (firstToken + t) + 8 * h;
      _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), lane[t][h]));
    }
  }
}

template <int T>
static void multiplyFloats(const float* w, const float* x, int64_t units, float* c) {
  Vector16 lane[T];
  GROK1_UNROLL
  for (int t = 0; t < T; t++) lane[t] = zero16();
  for (int64_t u = 0; u < units; u++, w += 16, x += kFloatTile) {
    const Vector16 column = load16f(w);
    GROK1_UNROLL
    for (int t = 0; t < T; t++) {
      const __m256 y = _mm256_broadcast_ss(x + t);
      lane[t] = fma16(column, {{y, y}}, lane[t]);
    }
  }
  GROK1_UNROLL
  for (int t = 0; t < T; t++) {
    const Vector16 before = load16f(c + 16 * t);
    store16f(c + 16 * t, {{_mm256_add_ps(before.v[0], lane[t].v[0]), _mm256_add_ps(before.v[1], lane[t].v[1])}});
  }
}

template <Kind KIND, int MAX_CODE>
static void multiplyTile(const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  int t = 0;
  for (; t + kTokens <= tokens; t += kTokens) multiplyTokens<KIND, MAX_CODE, kTokens>(panel, tile, t, units, c);
  if (kTokens > 4 && tokens - t >= 4) {
    multiplyTokens<KIND, MAX_CODE, 4>(panel, tile, t, units, c);
    t += 4;
  }
  if (tokens - t == 3) multiplyTokens<KIND, MAX_CODE, 3>(panel, tile, t, units, c);
  if (tokens - t == 2) multiplyTokens<KIND, MAX_CODE, 2>(panel, tile, t, units, c);
  if (tokens - t == 1) multiplyTokens<KIND, MAX_CODE, 1>(panel, tile, t, units, c);
}

static void multiply(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  const TypeTraits traits = traitsOf(type);
  switch (traits.kind) {
    case Kind::f32: {
      using Tile = void (*)(const float*, const float*, int64_t, float*);
      static constexpr Tile tiles[kFloatTile] = {multiplyFloats<1>, multiplyFloats<2>, multiplyFloats<3>,
                                                 multiplyFloats<4>, multiplyFloats<5>, multiplyFloats<6>};
      return tiles[tokens - 1]((const float*)panel, (const float*)tile, units, c);
    }
    case Kind::ternary: return multiplyTile<Kind::ternary, 3>(panel, tile, units, tokens, c);
    case Kind::block32:
      if (traits.maxCode <= 31) return multiplyTile<Kind::block32, 31>(panel, tile, units, tokens, c);
      return multiplyTile<Kind::block32, 255>(panel, tile, units, tokens, c);
    case Kind::min32:
      if (traits.maxCode <= 15) return multiplyTile<Kind::min32, 15>(panel, tile, units, tokens, c);
      return multiplyTile<Kind::min32, 31>(panel, tile, units, tokens, c);
    case Kind::sub16:
      if (traits.maxCode <= 63) return multiplyTile<Kind::sub16, 63>(panel, tile, units, tokens, c);
      return multiplyTile<Kind::sub16, 255>(panel, tile, units, tokens, c);
    case Kind::subMin16: return multiplyTile<Kind::subMin16, 63>(panel, tile, units, tokens, c);
  }
}

}  // namespace grok1::GROK1_ISA
