// Products of several tokens with AVX-512 VNNI: tokens stand side by side in the lanes of a register, and a row's codes are multiplied
// with all of them at once, four columns at a time. Nothing is added up across lanes, and of a row only its codes are unpacked.
#include "abreast.h"

namespace grok1::GROK1_ISA {

// Registers of W tokens.
template <int W>
struct Abreast;

template <>
struct Abreast<16> {
  using F = __m512;
  using I = __m512i;
  GROK1_INLINE I zero() { return _mm512_setzero_si512(); }
  GROK1_INLINE I load(const void* p) { return _mm512_loadu_si512(p); }
  GROK1_INLINE F floats(const void* p) { return _mm512_loadu_ps(p); }
  GROK1_INLINE void store(void* p, I v) { _mm512_storeu_si512(p, v); }
  GROK1_INLINE void store(void* p, F v) { _mm512_storeu_ps(p, v); }
  GROK1_INLINE F all(float x) { return _mm512_set1_ps(x); }
  GROK1_INLINE I all(int x) { return _mm512_set1_epi32(x); }
  GROK1_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  GROK1_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  GROK1_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  GROK1_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  GROK1_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  GROK1_INLINE F toFloats(I v) { return _mm512_cvtepi32_ps(v); }
  GROK1_INLINE I toInts(F v) { return _mm512_cvtps_epi32(v); }
  GROK1_INLINE I bits(F v) { return _mm512_castps_si512(v); }
  GROK1_INLINE F ofBits(I v) { return _mm512_castsi512_ps(v); }
  GROK1_INLINE I dot(I sum, I codes, I x) { return _mm512_dpbusd_epi32(sum, codes, x); }
  GROK1_INLINE I both(I a, I b) { return _mm512_and_si512(a, b); }
  GROK1_INLINE I either(I a, I b) { return _mm512_or_si512(a, b); }
  GROK1_INLINE I larger(I a, I b) { return _mm512_max_epi32(a, b); }
  GROK1_INLINE I plus(I a, I b) { return _mm512_add_epi32(a, b); }
  GROK1_INLINE I times(I a, I b) { return _mm512_mullo_epi32(a, b); }
  template <int N>
  GROK1_INLINE I up(I v) { return _mm512_slli_epi32(v, N); }
  template <int N>
  GROK1_INLINE I down(I v) { return _mm512_srli_epi32(v, N); }
  GROK1_INLINE __mmask16 below(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  GROK1_INLINE __mmask16 atMost(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  GROK1_INLINE I where(__mmask16 m, I v) { return _mm512_maskz_mov_epi32(m, v); }
  GROK1_INLINE F where(__mmask16 m, F v, F other) { return _mm512_mask_mov_ps(other, m, v); }
};

template <>
struct Abreast<8> {
  using F = __m256;
  using I = __m256i;
  GROK1_INLINE I zero() { return _mm256_setzero_si256(); }
  GROK1_INLINE I load(const void* p) { return _mm256_loadu_si256((const __m256i*)p); }
  GROK1_INLINE F floats(const void* p) { return _mm256_loadu_ps((const float*)p); }
  GROK1_INLINE void store(void* p, I v) { _mm256_storeu_si256((__m256i*)p, v); }
  GROK1_INLINE void store(void* p, F v) { _mm256_storeu_ps((float*)p, v); }
  GROK1_INLINE F all(float x) { return _mm256_set1_ps(x); }
  GROK1_INLINE I all(int x) { return _mm256_set1_epi32(x); }
  GROK1_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  GROK1_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  GROK1_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
  GROK1_INLINE F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  GROK1_INLINE F div(F a, F b) { return _mm256_div_ps(a, b); }
  GROK1_INLINE F toFloats(I v) { return _mm256_cvtepi32_ps(v); }
  GROK1_INLINE I toInts(F v) { return _mm256_cvtps_epi32(v); }
  GROK1_INLINE I bits(F v) { return _mm256_castps_si256(v); }
  GROK1_INLINE F ofBits(I v) { return _mm256_castsi256_ps(v); }
  GROK1_INLINE I dot(I sum, I codes, I x) { return _mm256_dpbusd_epi32(sum, codes, x); }
  GROK1_INLINE I both(I a, I b) { return _mm256_and_si256(a, b); }
  GROK1_INLINE I either(I a, I b) { return _mm256_or_si256(a, b); }
  GROK1_INLINE I larger(I a, I b) { return _mm256_max_epi32(a, b); }
  GROK1_INLINE I plus(I a, I b) { return _mm256_add_epi32(a, b); }
  GROK1_INLINE I times(I a, I b) { return _mm256_mullo_epi32(a, b); }
  template <int N>
  GROK1_INLINE I up(I v) { return _mm256_slli_epi32(v, N); }
  template <int N>
  GROK1_INLINE I down(I v) { return _mm256_srli_epi32(v, N); }
  GROK1_INLINE __mmask8 below(F a, F b) { return _mm256_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  GROK1_INLINE __mmask8 atMost(F a, F b) { return _mm256_cmp_ps_mask(a, b, _CMP_LE_OQ); }
  GROK1_INLINE I where(__mmask8 m, I v) { return _mm256_maskz_mov_epi32(m, v); }
  GROK1_INLINE F where(__mmask8 m, F v, F other) { return _mm256_mask_mov_ps(other, m, v); }
};

// ---- activations ----

// to[k][W] = columns k < 8 of eight rows; zeros for rows that are not there.
GROK1_INLINE void turn8Rows(const float* const* rows, int count, int64_t from, float* to, int64_t stride) {
  __m256 v[8];
  GROK1_UNROLL
  for (int i = 0; i < 8; i++) v[i] = i < count ? _mm256_loadu_ps(rows[i] + from) : _mm256_setzero_ps();
  turn8(v);
  GROK1_UNROLL
  for (int i = 0; i < 8; i++) _mm256_storeu_ps(to + i * stride, v[i]);
}

static void turnIn(const float* const* rows, int tokens, int width, int64_t from, int64_t count, float* to) {
  for (int t = 0; t < width; t += 8) {
    const int there = tokens - t < 8 ? tokens - t : 8;
    int64_t k = 0;
    for (; k + 8 <= count; k += 8) turn8Rows(rows + t, there, from + k, to + k * width + t, width);
    for (; k < count; k++) {
      for (int i = 0; i < 8; i++) to[k * width + t + i] = i < there ? rows[t + i][from + k] : 0;
    }
  }
}

static void turnOut(const float* from, int width, int64_t count, int tokens, float* const* rows, int64_t at) {
  for (int t = 0; t < tokens; t += 8) {
    const int there = tokens - t < 8 ? tokens - t : 8;
    int64_t k = 0;
    for (; k + 8 <= count; k += 8) {
      const float* lines[8];
      alignas(32) float turned[8][8];
      for (int i = 0; i < 8; i++) lines[i] = from + (k + i) * width + t;
      turn8Rows(lines, 8, 0, turned[0], 8);
      for (int i = 0; i < there; i++) memcpy(rows[t + i] + at + k, turned[i], 32);
    }
    for (; k < count; k++) {
      for (int i = 0; i < there; i++) rows[t + i][at + k] = from[k * width + t + i];
    }
  }
}

// As quantizeBlock, of W tokens at once.
template <int W>
GROK1_INLINE void quantizeUnit(Kind kind, int offset, float* x, bool rest, uint8_t* out) {
  using A = Abreast<W>;
  using F = typename A::F;
  using I = typename A::I;
  const I magnitude = A::all(0x7fffffff);
  I most = A::both(A::load(x), magnitude);
  for (int k = 1; k < 32; k++) most = A::larger(most, A::both(A::load(x + k * W), magnitude));
  const F amax = A::ofBits(most);
  const auto good = A::atMost(A::all(1e-30f), amax) & A::atMost(amax, A::all(3e38f));
  const I raw = A::bits(A::div(amax, A::all(127.0f)));
  const I odd = A::both(A::template down<13>(raw), A::all(1));
  const F rounded = A::ofBits(A::both(A::plus(A::plus(raw, A::all(0xfff)), odd), A::all(int(~0x1fffu))));
  const F wrong = A::where(A::below(amax, A::all(1e-30f)), A::all(0.0f), A::ofBits(A::all(0x7fc00000)));
  const F scale = A::where(good, rounded, wrong), inverse = A::div(A::all(127.0f), amax);
  const I ones = A::all(0x01010101), byte = A::all(0xff);
  I sums[2];
  GROK1_UNROLL
  for (int h = 0; h < 2; h++) {
    sums[h] = A::zero();
    GROK1_UNROLL
    for (int j = 0; j < 4; j++, x += 4 * W, out += 4 * W) {
      I codes[4];
      GROK1_UNROLL
      for (int i = 0; i < 4; i++) {
        const F value = A::floats(x + i * W);
        codes[i] = A::where(good, A::toInts(A::mul(value, inverse)));
        if (rest) A::store(x + i * W, A::sub(value, A::mul(scale, A::toFloats(codes[i]))));
      }
      const I low = A::either(A::both(codes[0], byte), A::template up<8>(A::both(codes[1], byte)));
      const I high = A::either(A::template up<16>(A::both(codes[2], byte)), A::template up<24>(codes[3]));
      const I four = A::either(low, high);
      A::store(out, four);
      sums[h] = A::dot(sums[h], ones, four);
    }
  }
  const I factor = A::all(-offset);
  if (kind == Kind::block32 || kind == Kind::min32) {
    const I sum = A::plus(sums[0], sums[1]);
    A::store(out, A::times(sum, factor));
    A::store(out + 4 * W, scale);
    A::store(out + 8 * W, A::mul(scale, A::toFloats(sum)));
  } else {
    A::store(out, A::times(sums[0], factor));
    A::store(out + 4 * W, A::times(sums[1], factor));
    A::store(out + 8 * W, scale);
    A::store(out + 12 * W, A::toFloats(sums[0]));
    A::store(out + 16 * W, A::toFloats(sums[1]));
  }
}

static void quantizeAbreast(Kind kind, int offset, int width, int64_t units, float* x, bool rest, uint8_t* out) {
  const size_t unitBytes = tileUnitBytes(kind, width);
  for (int64_t u = 0; u < units; u++, x += kBlock * width, out += unitBytes) {
    if (width == 16) {
      quantizeUnit<16>(kind, offset, x, rest, out);
    } else {
      quantizeUnit<8>(kind, offset, x, rest, out);
    }
  }
}

// ---- weights ----

constexpr int kRows = kRowsAbreast;

// A group of kRows rows. Bytes of block b's columns 16 h to 16 h + 15 begin at 64 (b % 4) + 32 h + 16 (b / 4).
struct alignas(64) RowGroup {
  uint8_t codes[kRows][kGroup];
  float scales[5][kRows][8];  // those of a panel
  float whole[kRows];
};

template <class Q>
static void unpackRowGroup(const uint8_t* const* rows, int64_t at, int64_t blocks, RowGroup& out) {
  for (int r = 0; r < kRows; r++) {
    uint8_t padded[Q::kTraits.unit];
    unpackRow<Q>(wholeGroup<Q>(rows[r] + at, blocks, padded), (uint8_t(*)[32])out.codes[r], out.scales[0][r], kRows * 8, out.whole[r]);
  }
}

// ---- products ----

// totals[kRows] of VECTORS times W tokens += a segment of `blocks` blocks, lane by lane.
template <Kind KIND, int W, int VECTORS>
static void addSegment(const RowGroup* groups, const uint8_t* const* acts, int64_t blocks, float* totals) {
  using A = Abreast<W>;
  using F = typename A::F;
  using I = typename A::I;
  constexpr bool halves = KIND == Kind::sub16 || KIND == Kind::subMin16;
  constexpr size_t unitBytes = tileUnitBytes(KIND, W);
  F sofar[VECTORS][kRows];
  GROK1_UNROLL
  for (int v = 0; v < VECTORS; v++) {
    GROK1_UNROLL
    for (int r = 0; r < kRows; r++) sofar[v][r] = A::floats(totals + (v * kRows + r) * W);
  }
  for (int64_t b = 0; b < 8 && b < blocks; b++) {
    F lanes[VECTORS][kRows];
    GROK1_UNROLL
    for (int v = 0; v < VECTORS; v++) {
      GROK1_UNROLL
      for (int r = 0; r < kRows; r++) lanes[v][r] = A::all(0.0f);
    }
    const uint8_t* x[VECTORS];
    GROK1_UNROLL
    for (int v = 0; v < VECTORS; v++) x[v] = acts[v] + size_t(b) * unitBytes;
    const RowGroup* rows = groups;
    for (int64_t u = b; u < blocks; u += 8, rows++) {
      const uint8_t* const codes = rows->codes[0] + 64 * (b % 4) + 16 * (b / 4);
      F whole[halves ? VECTORS : 1][kRows];
      GROK1_UNROLL
      for (int h = 0; h < (halves ? 2 : 1); h++) {
        I sums[VECTORS][kRows];
        GROK1_UNROLL
        for (int v = 0; v < VECTORS; v++) {
          const I start = A::load(x[v] + 32 * W + 4 * W * h);
          GROK1_UNROLL
          for (int r = 0; r < kRows; r++) sums[v][r] = start;
        }
        GROK1_UNROLL
        for (int j = 4 * h; j < (halves ? 4 * h + 4 : 8); j++) {
          I columns[VECTORS];
          GROK1_UNROLL
          for (int v = 0; v < VECTORS; v++) columns[v] = A::load(x[v] + 4 * W * j);
          GROK1_UNROLL
          for (int r = 0; r < kRows; r++) {
            int four;
            memcpy(&four, codes + kGroup * r + 32 * (j / 4) + 4 * (j % 4), 4);
            const I all = A::all(four);
            GROK1_UNROLL
            for (int v = 0; v < VECTORS; v++) sums[v][r] = A::dot(sums[v][r], all, columns[v]);
          }
        }
        GROK1_UNROLL
        for (int v = 0; v < VECTORS; v++) {
          const F scale = A::floats(x[v] + 36 * W), sum = A::floats(x[v] + 40 * W);
          GROK1_UNROLL
          for (int r = 0; r < kRows; r++) {
            const F product = A::toFloats(sums[v][r]), factor = A::all(rows->scales[h][r][b]);
            if constexpr (halves) {  // whole numbers up to 2^24: floats hold them exactly
              whole[v][r] = h == 0 ? A::mul(product, factor) : A::fma(product, factor, whole[v][r]);
            } else {
              lanes[v][r] = A::fma(product, A::mul(factor, scale), lanes[v][r]);
              if (KIND == Kind::min32) lanes[v][r] = A::fma(A::all(rows->scales[1][r][b]), sum, lanes[v][r]);
            }
          }
        }
      }
      if constexpr (halves) {
        GROK1_UNROLL
        for (int v = 0; v < VECTORS; v++) {
          const F scale = A::floats(x[v] + 40 * W), even = A::floats(x[v] + 44 * W), odd = A::floats(x[v] + 48 * W);
          GROK1_UNROLL
          for (int r = 0; r < kRows; r++) {
            lanes[v][r] = A::fma(whole[v][r], A::mul(A::all(rows->whole[r]), scale), lanes[v][r]);
            if (KIND == Kind::subMin16) {
              const F mins = A::fma(A::all(rows->scales[4][r][b]), odd, A::mul(A::all(rows->scales[3][r][b]), even));
              lanes[v][r] = A::fma(mins, A::mul(A::all(rows->scales[2][r][b]), scale), lanes[v][r]);
            }
          }
        }
      }
      GROK1_UNROLL
      for (int v = 0; v < VECTORS; v++) x[v] += 8 * unitBytes;
    }
    GROK1_UNROLL
    for (int v = 0; v < VECTORS; v++) {
      GROK1_UNROLL
      for (int r = 0; r < kRows; r++) sofar[v][r] = A::add(sofar[v][r], lanes[v][r]);
    }
  }
  GROK1_UNROLL
  for (int v = 0; v < VECTORS; v++) {
    GROK1_UNROLL
    for (int r = 0; r < kRows; r++) A::store(totals + (v * kRows + r) * W, sofar[v][r]);
  }
}

template <class Q, int W, int VECTORS>
static void quantRowsAbreast(const AbreastCall& call) {
  constexpr Kind kind = Q::kTraits.kind;
  constexpr int unit = Q::kTraits.unit;
  RowGroup groups[kSegment / kGroup];
  for (int64_t row = 0; row < call.rows; row += kRows) {
    const uint8_t* rows[kRows];
    const uint8_t* const data = call.data + size_t(row) * call.rowBytes;
    const int64_t there = call.rows - row < kRows ? call.rows - row : kRows;
    for (int r = 0; r < kRows; r++) rows[r] = data + size_t(r < there ? r : there - 1) * call.rowBytes;
    alignas(64) float totals[VECTORS][kRows * W] = {};
    for (int64_t segment = 0; segment < call.cols; segment += kSegment) {
      const int64_t end = segment + kSegment < call.cols ? segment + kSegment : call.cols;
      for (int64_t k = segment; k < end; k += kGroup) {
        // The rows that come next are asked for meanwhile.
        const int64_t at = k / kGroup * unit;
        const uint8_t* const next = data + kRows * (int64_t(call.rowBytes) + at);
        for (int64_t line = 0; line < kRows * unit; line += 64) _mm_prefetch((const char*)(next + line), _MM_HINT_T0);
        unpackRowGroup<Q>(rows, at, end - k < kGroup ? (end - k) / kBlock : 8, groups[(k - segment) / kGroup]);
      }
      const uint8_t* acts[VECTORS];
      for (int v = 0; v < VECTORS; v++) acts[v] = call.acts[v] + size_t(segment / kBlock) * tileUnitBytes(kind, W);
      addSegment<kind, W, VECTORS>(groups, acts, (end - segment) / kBlock, totals[0]);
    }
    for (int v = 0; v < VECTORS; v++) memcpy(call.out + v * call.stride + row * W, totals[v], size_t(there) * W * sizeof(float));
  }
}

template <int TYPE, int W, int VECTORS>
static void floatRowsAbreast(const AbreastCall& call) {
  using A = Abreast<W>;
  using F = typename A::F;
  constexpr int unit = traitsOf(TYPE).unit;
  for (int64_t row = 0; row < call.rows; row++) {
    const uint8_t* const data = call.data + size_t(row) * call.rowBytes;
    for (int v = 0; v < VECTORS; v++) {
      F total = A::all(0.0f);
      for (int64_t segment = 0; segment < call.cols; segment += kFloatSegment) {
        F lanes[kFloatLanes];
        GROK1_UNROLL
        for (int l = 0; l < kFloatLanes; l++) lanes[l] = A::all(0.0f);
        const int64_t end = segment + kFloatSegment < call.cols ? segment + kFloatSegment : call.cols;
        const float* x = (const float*)call.acts[v] + segment * W;
        for (int64_t k = segment; k < end; k += kFloatLanes, x += kFloatLanes * W) {
          alignas(64) float weights[kFloatLanes];
          store16f(weights, end - k >= kFloatLanes ? loadWeights<TYPE>(data + k * unit) : loadLastWeights<TYPE>(data + k * unit, end - k));
          GROK1_UNROLL
          for (int l = 0; l < kFloatLanes; l++) lanes[l] = A::fma(A::all(weights[l]), A::floats(x + l * W), lanes[l]);
        }
        GROK1_UNROLL
        for (int l = 0; l < kFloatLanes; l++) total = A::add(total, lanes[l]);
      }
      A::store(call.out + v * call.stride + row * W, total);
    }
  }
}

template <int TYPE, int W, int VECTORS>
GROK1_INLINE void rowsAbreastOf(const AbreastCall& call) {
  if constexpr (traitsOf(TYPE).kind == Kind::f32) {
    floatRowsAbreast<TYPE, W, VECTORS>(call);
  } else if constexpr (traitsOf(TYPE).kind != Kind::ternary) {
    quantRowsAbreast<Quant<TYPE>, W, VECTORS>(call);
  }
}

static void rowsAbreast(int type, const AbreastCall& call) {
  withType(type, [&](auto constant) {
    constexpr int TYPE = decltype(constant)::value;
    if (call.width == 16) {
      call.vectors == 2 ? rowsAbreastOf<TYPE, 16, 2>(call) : rowsAbreastOf<TYPE, 16, 1>(call);
    } else {
      call.vectors == 2 ? rowsAbreastOf<TYPE, 8, 2>(call) : rowsAbreastOf<TYPE, 8, 1>(call);
    }
  });
}

static const AbreastProducts abreastProducts = {turnIn, turnOut, quantizeAbreast, rowsAbreast};

}  // namespace grok1::GROK1_ISA
