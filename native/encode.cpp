#include "encode.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <vector>

#include "lattice.h"
#include "memory.h"
#include "quants.h"

namespace grok1 {

namespace encode_scalar {
EncodeRow encodeRowOf(int type);
const LatticeKernels* latticeOf(int type);
}
namespace encode_avx2 {
EncodeRow encodeRowOf(int type);
const LatticeKernels* latticeOf(int type);
}
namespace encode_avx512 {
EncodeRow encodeRowOf(int type);
const LatticeKernels* latticeOf(int type);
}
namespace encode_neon {
EncodeRow encodeRowOf(int type);
const LatticeKernels* latticeOf(int type);
}

EncodeRow encodeRowOf(Isa isa, int type) {
  switch (isa) {
#if defined(GROK1_HAVE_AVX2)
    case Isa::avx2:
    case Isa::avxvnni: return encode_avx2::encodeRowOf(type);
#endif
#if defined(GROK1_HAVE_AVX512)
    case Isa::avx512:
    case Isa::avx512vbmi: return encode_avx512::encodeRowOf(type);
#endif
#if defined(GROK1_HAVE_NEON)
    case Isa::neon:
    case Isa::i8mm: return encode_neon::encodeRowOf(type);
#endif
    default: return encode_scalar::encodeRowOf(type);
  }
}

const LatticeKernels* latticeOf(Isa isa, int type) {
  switch (isa) {
#if defined(GROK1_HAVE_AVX2)
    case Isa::avx2:
    case Isa::avxvnni: return encode_avx2::latticeOf(type);
#endif
#if defined(GROK1_HAVE_AVX512)
    case Isa::avx512:
    case Isa::avx512vbmi: return encode_avx512::latticeOf(type);
#endif
#if defined(GROK1_HAVE_NEON)
    case Isa::neon:
    case Isa::i8mm: return encode_neon::latticeOf(type);
#endif
    default: return encode_scalar::latticeOf(type);
  }
}

bool canEncode(int type) { return encode_scalar::encodeRowOf(type) != nullptr; }

namespace {

// The largest magnitude that the type's numbers, or its blocks' scales, hold.
float largestOf(int type) {
  if (type == F32) return std::numeric_limits<float>::max();
  return type == BF16 ? 3.3895e38f : 65504.0f;
}

// Of mean 1, so that no square leaves the floats, and no column of no weight at all: what calibration never met is not thrown away.
std::vector<float> normalized(const float* importance, int64_t cols) {
  double total = 0;
  for (int64_t i = 0; i < cols; i++) {
    if (!(importance[i] >= 0 && std::isfinite(importance[i]))) throw Failure("ERR_ARGUMENT", "an importance that is no positive number");
    total += importance[i];
  }
  std::vector<float> out(size_t(cols), 1.0f);
  const double mean = total / double(cols);
  if (!(mean > 0)) return out;
  for (int64_t i = 0; i < cols; i++) out[size_t(i)] = float(std::max(importance[i] / mean, 1e-6));
  return out;
}

}  // namespace

int64_t encodeRows(ThreadPool& pool, Isa isa, int from, const uint8_t* bytes, int to, int64_t rows, int64_t cols,
                   const float* importance, uint8_t* out) {
  const EncodeRow encode = encodeRowOf(isa, to);
  const BlockSize in = blockSize(from), block = blockSize(to);
  if (encode == nullptr || in.elements == 0) throw Failure("ERR_ARGUMENT", "a type that is not known here");
  if (rows < 0 || cols < 1 || cols % in.elements != 0 || cols % block.elements != 0) {
    throw Failure("ERR_ARGUMENT", "rows that do not fill blocks");
  }
  const std::vector<float> weights = importance == nullptr ? std::vector<float>() : normalized(importance, cols);
  const int64_t perThread = cols + kEncodeScratch;
  std::vector<float> memory(size_t(pool.size()) * size_t(perThread));
  const int64_t inBytes = cols / in.elements * in.bytes, outBytes = cols / block.elements * block.bytes;
  const float largest = largestOf(to);
  std::atomic<int64_t> bad{std::numeric_limits<int64_t>::max()};
  const int64_t step = std::max<int64_t>(1, std::min<int64_t>(rows / (4 * pool.size()), (1 << 16) / cols));
  pool.run([&](int thread, int) {
    float* const x = memory.data() + thread * perThread;
    for (;;) {
      const int64_t start = pool.next(step), end = std::min(rows, start + step);
      if (start >= rows) return;
      for (int64_t row = start; row < end; row++) {
        dequantizeRow(from, bytes + row * inBytes, x, cols);
        int64_t wrong = 0;
        for (int64_t i = 0; i < cols; i++) wrong += !(std::fabs(x[i]) <= largest);
        if (wrong == 0) {
          encode(x, weights.empty() ? nullptr : weights.data(), cols, x + cols, out + row * outBytes);
          continue;
        }
        int64_t place = row * cols;
        for (int64_t i = 0; std::fabs(x[i]) <= largest; i++) place++;
        int64_t first = bad.load();
        while (place < first && !bad.compare_exchange_weak(first, place)) {
        }
      }
    }
  });
  const int64_t first = bad.load();
  return first == std::numeric_limits<int64_t>::max() ? -1 : first;
}

}  // namespace grok1
