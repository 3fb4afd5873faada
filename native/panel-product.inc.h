// float32 products in register tiles, for one instruction set. The left operand is packed a panel of rows at a time, which then
// stays in the first cache level while panels of the right one stream past it from the second.
#include "gradients.h"
#include "simd.h"

namespace grok1::GROK1_ISA {

// Accumulators fill the register file but for a row of the right panel and one factor.
#if defined(__AVX512F__)
constexpr int kRows = 14, kVectors = 2;
#elif defined(__AVX2__)
constexpr int kRows = 6, kVectors = 2;
#elif defined(__aarch64__) && defined(GROK1_NEON)
constexpr int kRows = 6, kVectors = 4;
#else
constexpr int kRows = 4, kVectors = 1;
#endif
constexpr int kCols = kVectors * W;
static_assert(kRows <= 16 && kCols <= 64 && 64 % kCols == 0);

#if defined(__AVX2__)
// out[k * stride + j] = rows[j][k] for k, j < 8.
GROK1_INLINE void turn8(const float* row, int64_t ld, int last, float* out, int64_t stride) {
  __m256 r[8], s[8];
  for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(row + (i < last ? i : last) * ld);
  for (int i = 0; i < 8; i += 2) {
    s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    s[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    s[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
  for (int i = 0; i < 8; i++) _mm256_storeu_ps(out + i * stride, s[i]);
}
#endif

// out[k][kRows] from rows of a; zeros past the last row. May write 8 floats past the end.
static void packLeft(const float* a, int64_t lda, int rows, int64_t depth, float* out) {
  int64_t k = 0;
#if defined(__AVX2__)
  if (rows == kRows) {
    for (; k + 8 <= depth; k += 8) {
      // What the last group of rows writes too much, the next row of `out` overwrites: hence the descending order.
      for (int r = (kRows - 1) / 8 * 8; r >= 0; r -= 8) turn8(a + r * lda + k, lda, kRows - 1 - r, out + k * kRows + r, kRows);
    }
  }
#endif
  for (; k < depth; k++) {
    for (int r = 0; r < kRows; r++) out[k * kRows + r] = r < rows ? a[r * lda + k] : 0;
  }
}

// Panels [k][kRows] of rows that lie turned, a(i, k) = a[k * lda + i]; zeros past the last row.
constexpr int64_t kStripRows = kMostStripRows / kRows * kRows;
static void packStrip(const float* a, int64_t lda, int64_t rows, int64_t depth, float* out) {
  const int64_t panel = depth * kRows;
  for (int64_t k = 0; k < depth; k++, a += lda, out += kRows) {
    float* to = out;
    int64_t i = 0;
    for (; i + kRows <= rows; i += kRows, to += panel) memcpy(to, a + i, sizeof(float) * kRows);
    if (i < rows) {
      for (int r = 0; r < kRows; r++) to[r] = i + r < rows ? a[i + r] : 0;
    }
  }
}

static void packRows(const float* b, int64_t ldb, int64_t depth, int64_t cols, float* out, int64_t panel) {
  for (int64_t k = 0; k < depth; k++, b += ldb, out += kCols) {
    float* to = out;
    int64_t j = 0;
    for (; j + kCols <= cols; j += kCols, to += panel) {
      for (int v = 0; v < kCols; v += W) store(to + v, load(b + j + v));
    }
    if (j < cols) {
      for (int i = 0; i < kCols; i++) to[i] = j + i < cols ? b[j + i] : 0;
    }
  }
}

static void packColumns(const float* b, int64_t ldb, int64_t depth, int64_t cols, float* out, int64_t panel) {
  for (int64_t j = 0; j < cols; j += kCols, out += panel, b += kCols * ldb) {
    const int count = cols - j < kCols ? int(cols - j) : kCols;
    int64_t k = 0;
#if defined(__AVX2__)
    if (count == kCols) {
      for (; k + 8 <= depth; k += 8) {
        for (int i = 0; i < kCols; i += 8) turn8(b + i * ldb + k, ldb, 7, out + k * kCols + i, kCols);
      }
    }
#endif
    for (; k < depth; k++) {
      for (int i = 0; i < kCols; i++) out[k * kCols + i] = i < count ? b[i * ldb + k] : 0;
    }
  }
}

template <bool ADD>
static void multiplyTile(int64_t depth, const float* a, const float* b, float* c, int64_t ldc) {
  V sums[kRows][kVectors];
  for (int r = 0; r < kRows; r++) {
    for (int v = 0; v < kVectors; v++) sums[r][v] = all(0.0f);
  }
  for (int64_t k = 0; k < depth; k++, a += kRows, b += kCols) {
    V right[kVectors];
    for (int v = 0; v < kVectors; v++) right[v] = load(b + v * W);
    for (int r = 0; r < kRows; r++) {
      const V left = all(a[r]);
      for (int v = 0; v < kVectors; v++) sums[r][v] = fma(left, right[v], sums[r][v]);
    }
  }
  for (int r = 0; r < kRows; r++) {
    for (int v = 0; v < kVectors; v++) {
      float* const to = c + r * ldc + v * W;
      store(to, ADD ? load(to) + sums[r][v] : sums[r][v]);
    }
  }
}

static void multiply(const PanelProduct& p) {
  const int64_t piece = pieceDepth(p.depth);
  for (int64_t k = 0; k < p.depth; k += piece) {
    const int64_t depth = p.depth - k < piece ? p.depth - k : piece;
    const bool add = p.add || k > 0;
    for (int64_t i = 0; i < p.rows; i += kRows) {
      const int rows = p.rows - i < kRows ? int(p.rows - i) : kRows;
      const float* left = p.scratch;
      if (p.turned) {
        // Panels lie side by side there, a few to a cache line: those of a strip are packed together.
        const int64_t at = i % kStripRows;
        if (at == 0) packStrip(p.a + k * p.lda + i, p.lda, p.rows - i < kStripRows ? p.rows - i : kStripRows, depth, p.scratch);
        left += at * depth;
      } else {
        packLeft(p.a + i * p.lda + k, p.lda, rows, depth, p.scratch);
      }
      const float* b = p.b + k * kCols;
      for (int64_t j = 0; j < p.cols; j += kCols, b += p.panel) {
        float* const c = p.c + i * p.ldc + j;
        if (rows == kRows && p.cols - j >= kCols) {
          if (add) {
            multiplyTile<true>(depth, left, b, c, p.ldc);
          } else {
            multiplyTile<false>(depth, left, b, c, p.ldc);
          }
          continue;
        }
        alignas(64) float edge[kRows * kCols];
        multiplyTile<false>(depth, left, b, edge, kCols);
        const int cols = p.cols - j < kCols ? int(p.cols - j) : kCols;
        for (int r = 0; r < rows; r++) {
          for (int v = 0; v < cols; v++) c[r * p.ldc + v] = add ? c[r * p.ldc + v] + edge[r * kCols + v] : edge[r * kCols + v];
        }
      }
    }
  }
}

}  // namespace grok1::GROK1_ISA
