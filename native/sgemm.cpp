#include "sgemm.h"

#include <algorithm>

#include "quants.h"

namespace grok1 {

namespace {

// Floats of the right operand that are packed at a time: bounds the memory for a large one.
constexpr int64_t kMostPacked = int64_t(8) << 20;
// Rows of the right operand that a thread packs at a time.
constexpr int64_t kPackRows = 32;
// Rows of the result that a thread computes at a time.
constexpr int64_t kTaskRows = kMostStripRows;

int64_t roundUp(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Rows of a matrix as floats: in place, or decoded.
struct FloatRows {
  const WeightRef& from;
  bool direct;

  explicit FloatRows(const WeightRef& rows)
      : from(rows), direct(rows.type == F32 && reinterpret_cast<uintptr_t>(rows.data) % 4 == 0 && rows.rowBytes % 4 == 0) {}

  // `count` rows, `*ld` floats apart.
  const float* rows(int64_t first, int64_t count, float* scratch, int64_t* ld) const {
    const uint8_t* const data = from.data + size_t(first) * from.rowBytes;
    if (direct) {
      *ld = int64_t(from.rowBytes / 4);
      return reinterpret_cast<const float*>(data);
    }
    *ld = from.cols;
    for (int64_t r = 0; r < count; r++) dequantizeRow(from.type, data + size_t(r) * from.rowBytes, scratch + r * from.cols, from.cols);
    return scratch;
  }
};

}  // namespace

RightMatrix rightFloats(const float* data, int64_t rows, int64_t cols, int64_t ld, bool turned) {
  return {{reinterpret_cast<const uint8_t*>(data), F32, rows, cols, size_t(ld) * sizeof(float)}, turned};
}

void sgemm(ThreadPool& pool, const GradKernels& kernels, int64_t rows, int64_t cols, int64_t depth, const LeftMatrix& a,
           const RightMatrix& b, float* c, int64_t ldc, bool add, Arena& arena) {
  if (rows <= 0 || cols <= 0 || depth <= 0) return;
  const FloatRows source(b.rows);
  const int64_t unit = kernels.cols, piece = pieceDepth(depth);
  const int64_t slabDepth = std::min(depth, std::max<int64_t>(1, kMostPacked / (roundUp(cols, unit) * piece)) * piece);
  const int64_t slabCols = std::min(roundUp(cols, unit), std::max<int64_t>(1, kMostPacked / (slabDepth * unit)) * unit);
  // What one pass over the rows meets stays in the second cache level.
  const int64_t groupCols = std::clamp<int64_t>(int64_t(cpu().l2) * 5 / 8 / (piece * 4) / unit, 1, 64) * unit;

  const int64_t packUnit = b.turned ? unit : kPackRows;
  const int64_t decoded = source.direct ? 0 : packUnit * b.rows.cols + 16;
  Arena::Scope memory(arena);
  float* const packed = memory.take<float>(slabDepth * slabCols + 16);
  const auto scratches = memory.each<float>(kLeftScratch + decoded, pool.size());

  for (int64_t j0 = 0; j0 < cols; j0 += slabCols) {
    const int64_t width = std::min(slabCols, cols - j0);
    for (int64_t k0 = 0; k0 < depth; k0 += slabDepth) {
      const int64_t deep = std::min(slabDepth, depth - k0), panel = deep * unit;
      const int64_t packs = ((b.turned ? width : deep) + packUnit - 1) / packUnit;
      const int64_t groups = (width + groupCols - 1) / groupCols, strips = (rows + kTaskRows - 1) / kTaskRows;
      pool.run([&](int thread, int) {
        float* const scratch = scratches[thread];
        for (int64_t item; (item = pool.next()) < packs;) {
          int64_t ld;
          if (b.turned) {
            const int64_t j = item * unit, count = std::min(unit, width - j);
            const float* const from = source.rows(j0 + j, count, scratch + kLeftScratch, &ld);
            kernels.packColumns(from + k0, ld, deep, count, packed + item * panel, panel);
          } else {
            const int64_t k = item * kPackRows, count = std::min(kPackRows, deep - k);
            const float* const from = source.rows(k0 + k, count, scratch + kLeftScratch, &ld);
            kernels.packRows(from + j0, ld, count, width, packed + k * unit, panel);
          }
        }
        pool.restart(thread);
        for (int64_t item; (item = pool.next()) < groups * strips;) {
          const int64_t j = item / strips * groupCols, i = item % strips * kTaskRows;
          PanelProduct product;
          product.a = a.turned ? a.data + k0 * a.ld + i : a.data + i * a.ld + k0;
          product.lda = a.ld;
          product.turned = a.turned;
          product.b = packed + j / unit * panel;
          product.panel = panel;
          product.c = c + i * ldc + j0 + j;
          product.ldc = ldc;
          product.rows = std::min(kTaskRows, rows - i);
          product.cols = std::min(groupCols, width - j);
          product.depth = deep;
          product.add = add || k0 > 0;
          product.scratch = scratch;
          kernels.multiply(product);
        }
      });
    }
  }
}

}  // namespace grok1
