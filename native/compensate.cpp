#include "compensate.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "encode.h"
#include "grid.h"
#include "lattice.h"
#include "memory.h"
#include "quants.h"

namespace grok1 {

namespace compensate_scalar { extern const CompensateKernels kCompensate; }
namespace compensate_avx2 { extern const CompensateKernels kCompensate; }
namespace compensate_avx512 { extern const CompensateKernels kCompensate; }
namespace compensate_neon { extern const CompensateKernels kCompensate; }

namespace {

const CompensateKernels& kernelsOf(Isa isa) {
  switch (isa) {
#if defined(GROK1_HAVE_AVX2)
    case Isa::avx2:
    case Isa::avxvnni: return compensate_avx2::kCompensate;
#endif
#if defined(GROK1_HAVE_AVX512)
    case Isa::avx512:
    case Isa::avx512vbmi: return compensate_avx512::kCompensate;
#endif
#if defined(GROK1_HAVE_NEON)
    case Isa::neon:
    case Isa::i8mm: return compensate_neon::kCompensate;
#endif
    default: return compensate_scalar::kCompensate;
  }
}

constexpr float kLargest = 65504;  // of the halves that scales are

// By column as it lies, of mean 1 and nowhere 0: with R the part of U that a group has to itself, the diagonal of (RᵀR)⁻¹.
std::vector<float> importanceOf(const float* factor, const int32_t* order, int64_t cols, int group) {
  std::vector<double> weights(size_t(cols), 0);
  double total = 0;
  for (int64_t first = 0; first < cols; first += group) {
    double inverse[kLatticeGroup][kLatticeGroup] = {};
    for (int j = group - 1; j >= 0; j--) {
      const float* const u = factor + (first + j) * cols + first;
      if (!(u[j] > 0 && std::isfinite(u[j]))) throw Failure("ERR_ARGUMENT", "a factor that is not one of an inverse");
      double& weight = weights[size_t(order[first + j])];
      for (int c = j; c < group; c++) {
        double sum = c == j;
        for (int k = j + 1; k <= c; k++) sum -= double(u[k]) * inverse[k][c];
        inverse[j][c] = sum / double(u[j]);
        weight += inverse[j][c] * inverse[j][c];
      }
      total += weight;
    }
  }
  std::vector<float> out(size_t(cols), 0);
  for (int64_t j = 0; j < cols; j++) out[size_t(j)] = float(std::max(weights[size_t(j)] / total * double(cols), 1e-6));
  return out;
}

// A block's scales are searched for before errors of its own columns come into those behind them: what is rounded is a little larger, or as it
// happens smaller. Where codes are few that counts, so scales of these factors are tried, and those kept that lose least.
struct Factors {
  int count;
  float values[4];
};
constexpr Factors kAsFound = {1, {1}}, kAround = {4, {1, 0.96f, 1.04f, 1.08f}};

// One tile of rows after the other.
struct Tile {
  const CompensateKernels& kernels;
  const EncodeRow encode;
  const LatticeKernels* const lattice;
  const int type, block, blockBytes;
  const GridRange range = gridRange(type);
  const Factors& factors = lattice != nullptr || range.high - range.low < 8 ? kAround : kAsFound;
  const int64_t cols;
  const float *factor, *importance;
  const int32_t* order;
  std::vector<float> w, row, left, values, steps, bases, v, errors, tried, scratch;
  std::vector<uint8_t> bytes;
  LatticeBlock found[kTileRows];

  Tile(Isa isa, int to, int64_t cols, const float* factor, const float* importance, const int32_t* order)
      : kernels(kernelsOf(isa)), encode(encodeRowOf(isa, to)), lattice(latticeOf(isa, to)), type(to), block(blockSize(to).elements),
        blockBytes(blockSize(to).bytes), cols(cols), factor(factor), importance(importance), order(order), w(size_t(cols * kTileRows)),
        row(size_t(cols)), left(size_t(block * kTileRows)), values(size_t(3 * block)), steps(left), bases(left), v(left), errors(left),
        tried(left), scratch(size_t(kEncodeScratch)), bytes(size_t(kTileRows * blockBytes)) {}

  // Row r of the tile; the place of a value that cannot be, or -1.
  int64_t take(int r, int from, const uint8_t* source) {
    dequantizeRow(from, source, row.data(), cols);
    for (int64_t i = 0; i < cols; i++) {
      if (!(std::fabs(row[size_t(i)]) <= kLargest)) return i;
    }
    for (int64_t p = 0; p < cols; p++) w[size_t(p * kTileRows + r)] = row[size_t(order[p])];
    return -1;
  }

  // Rows `rowBytes` apart, and what each loses.
  void encodeRows(int rows, int64_t rowBytes, uint8_t* out, double* losses) {
    std::fill(losses, losses + rows, 0);
    for (int64_t at = 0; at < cols; at += block) {
      float* const here = w.data() + at * kTileRows;
      uint8_t* const blocks = out + order[at] / block * blockBytes;
      std::copy(here, here + block * kTileRows, left.begin());
      double least[kTileRows];
      for (int t = 0; t < factors.count; t++) {
        if (t > 0) std::copy(left.begin(), left.end(), here);
        lattice != nullptr ? roundPoints(at, rows, factors.values[t], t == 0) : roundCodes(at, rows, factors.values[t]);
        for (int r = 0; r < rows; r++) {
          double loss = 0;
          for (int i = r; i < block * kTileRows; i += kTileRows) loss += double(tried[size_t(i)]) * double(tried[size_t(i)]);
          if (t > 0 && !(loss < least[r])) continue;
          least[r] = loss;
          for (int i = r; i < block * kTileRows; i += kTileRows) errors[size_t(i)] = tried[size_t(i)];
          std::copy_n(bytes.data() + r * blockBytes, blockBytes, blocks + r * rowBytes);
        }
      }
      for (int r = 0; r < rows; r++) losses[r] += least[r];
      kernels.spread(here + block * kTileRows, factor + at * cols + at + block, cols, block, errors.data(), cols - at - block);
    }
  }

 private:
  // What is left of row r of the block at `at`, as it lies, times `scale`.
  void gather(int64_t at, int r, float scale, float* y) const {
    const int64_t start = order[at] / block * block;
    for (int i = 0; i < block; i++) y[order[at + i] - start] = std::clamp(left[size_t(i * kTileRows + r)], -kLargest, kLargest) * scale;
  }

  // Both leave the block's errors in `tried` and its bytes in `bytes`.
  void roundCodes(int64_t at, int rows, float scale) {
    const int64_t start = order[at] / block * block;
    float* const y = values.data();
    for (int r = 0; r < rows; r++) {
      uint8_t* const to = bytes.data() + r * blockBytes;
      gather(at, r, scale, y);
      encode(y, importance + start, block, scratch.data(), to);
      readGrid(type, to, y + block, y + 2 * block);
      for (int i = 0; i < block; i++) {
        steps[size_t(i * kTileRows + r)] = y[block + order[at + i] - start];
        bases[size_t(i * kTileRows + r)] = y[2 * block + order[at + i] - start];
      }
    }
    const auto round = range.uneven ? kernels.roundUneven : kernels.round;
    round(w.data() + at * kTileRows, factor + at * cols + at, cols, block, steps.data(), bases.data(), range.low, range.high, v.data(),
          tried.data());
    for (int r = 0; r < rows; r++) {
      for (int i = 0; i < block; i++) y[order[at + i] - start] = v[size_t(i * kTileRows + r)];
      writeCodes(type, y, bytes.data() + r * blockBytes);
    }
  }

  void roundPoints(int64_t at, int rows, float scale, bool first) {
    const int64_t start = order[at] / block * block;
    LatticeBlock chosen[kTileRows];
    for (int r = 0; r < rows; r++) {
      if (first) {
        gather(at, r, 1, values.data());
        lattice->fit(values.data(), importance + start, scratch.data(), &found[r]);
      }
      chosen[r] = found[r];
      if (scale != 1) lattice->scale(&chosen[r], scale);
    }
    for (int i = 0; i < block; i += kLatticeGroup) {
      const int64_t column = order[at + i];
      float* const here = w.data() + (at + i) * kTileRows;
      for (int r = 0; r < rows; r++) {
        float x[kLatticeGroup], point[kLatticeGroup];
        for (int c = 0; c < kLatticeGroup; c++) x[c] = here[c * kTileRows + r];
        lattice->choose(x, importance + column, int(column - start) / kLatticeGroup, &chosen[r], point);
        for (int c = 0; c < kLatticeGroup; c++) v[size_t(c * kTileRows + r)] = point[c];
      }
      kernels.settle(here, factor + (at + i) * (cols + 1), cols, kLatticeGroup, block - i - kLatticeGroup, v.data(), tried.data() + i * kTileRows);
    }
    for (int r = 0; r < rows; r++) lattice->put(chosen[r], bytes.data() + r * blockBytes);
  }
};

}  // namespace

int compensatedGroup(int type) {
  if (!canEncode(type)) return 0;
  return hasGrid(type) ? 1 : latticeOf(Isa::scalar, type) != nullptr ? kLatticeGroup : 0;
}

int64_t compensateRows(ThreadPool& pool, Isa isa, int from, const uint8_t* bytes, int to, int64_t rows, int64_t cols, const float* factor,
                       const int32_t* order, uint8_t* out, double* losses) {
  const BlockSize in = blockSize(from), block = blockSize(to);
  const int group = compensatedGroup(to);
  if (group == 0 || in.elements == 0) throw Failure("ERR_ARGUMENT", "a type that is not known here");
  if (rows < 0 || cols < 1 || cols % in.elements != 0 || cols % block.elements != 0) {
    throw Failure("ERR_ARGUMENT", "rows that do not fill blocks");
  }
  std::vector<bool> seen(size_t(cols), false);
  for (int64_t p = 0; p < cols; p++) {
    const int64_t column = order[p];
    if (column < 0 || column >= cols || seen[size_t(column)] ||
        column / block.elements != order[p / block.elements * block.elements] / block.elements ||
        (group > 1 && column != order[p / group * group] / group * group + p % group)) {
      throw Failure("ERR_ARGUMENT", "an order that is none, or that takes blocks apart");
    }
    seen[size_t(column)] = true;
  }
  const std::vector<float> importance = importanceOf(factor, order, cols, group);
  const int64_t inBytes = cols / in.elements * in.bytes, outBytes = cols / block.elements * block.bytes;
  std::vector<Tile> tiles(size_t(pool.size()), Tile(isa, to, cols, factor, importance.data(), order));
  std::atomic<int64_t> bad{std::numeric_limits<int64_t>::max()};
  pool.run([&](int thread, int) {
    Tile& tile = tiles[size_t(thread)];
    for (int64_t row; (row = pool.next(kTileRows)) < rows;) {
      const int count = int(std::min<int64_t>(kTileRows, rows - row));
      int64_t wrong = -1;
      for (int r = 0; r < count && wrong < 0; r++) {
        const int64_t column = tile.take(r, from, bytes + (row + r) * inBytes);
        if (column >= 0) wrong = (row + r) * cols + column;
      }
      if (wrong < 0) {
        tile.encodeRows(count, outBytes, out + row * outBytes, losses + row);
        continue;
      }
      int64_t first = bad.load();
      while (wrong < first && !bad.compare_exchange_weak(first, wrong)) {
      }
    }
  });
  const int64_t first = bad.load();
  return first == std::numeric_limits<int64_t>::max() ? -1 : first;
}

}  // namespace grok1
