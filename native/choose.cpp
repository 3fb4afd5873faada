// What is wanted of logits without reading rows back: the largest values of each, the logarithm of the sum of all exponentials, the
// log-probabilities of some columns.
#include <algorithm>
#include <cmath>
#include <limits>

#include "inference.h"
#include "split.h"

namespace grok1 {

namespace {

[[noreturn]] void misuse(const std::string& message) { throw Failure("ERR_ARGUMENT", message); }

// Columns that one thread looks at: of its own, so that sums have the same order with any number of threads.
constexpr int64_t kSegment = 8192;
static_assert(kSegment % kChoiceChunk == 0);

// Whether a comes before b: what is no number comes last, and of equals the one of the lower index first.
bool precedes(const Choice& a, const Choice& b) {
  if (a.value > b.value) return true;
  if (a.value == b.value) return a.index < b.index;
  const bool noA = std::isnan(a.value), noB = std::isnan(b.value);
  return noA == noB ? noA && a.index < b.index : noB;
}

// The first `count` of x[n], n >= count, whose indices begin at `first`, into the heap `chosen`.
void choose(const float* x, int64_t n, const float* maxima, int32_t first, Choice* chosen, int64_t count) {
  for (int64_t i = 0; i < count; i++) chosen[i] = {x[i], first + int32_t(i)};
  std::make_heap(chosen, chosen + count, precedes);
  for (int64_t i = count; i < n; i++) {
    // Most chunks hold nothing above the least that is chosen. An equal one comes later.
    if (i % kChoiceChunk == 0 && maxima[i / kChoiceChunk] <= chosen[0].value) {
      i += kChoiceChunk - 1;
      continue;
    }
    const Choice one{x[i], first + int32_t(i)};
    if (!precedes(one, chosen[0])) continue;
    std::pop_heap(chosen, chosen + count, precedes);
    chosen[count - 1] = one;
    std::push_heap(chosen, chosen + count, precedes);
  }
}

// Whose sum it is, by its largest value: none of one that is no number, all of it of an infinity.
ChoiceSum sumOf(const OpKernels& ops, const float* x, int64_t n, float top) {
  if (std::isfinite(top)) return {top, ops.sumExp(x, n, top)};
  const bool none = std::any_of(x, x + n, [](float value) { return std::isnan(value); });
  return {top, none ? std::numeric_limits<double>::quiet_NaN() : top > 0 ? 1.0 : 0.0};
}

// log Σ exp over a row, of its segments'.
double logSumOf(const ChoiceSum* parts, int64_t segments) {
  float top = -std::numeric_limits<float>::infinity();
  for (int64_t s = 0; s < segments; s++) top = std::max(top, parts[s].top);
  double total = 0;
  for (int64_t s = 0; s < segments; s++) {
    total += std::isfinite(parts[s].top) ? parts[s].total * std::exp(double(parts[s].top) - double(top)) : parts[s].total;
  }
  return std::isfinite(top) || std::isnan(total) ? double(top) + std::log(total) : double(top);
}

}  // namespace

// choiceSums_ of n rows, segment after segment; `also` is called with each segment's number, values, first column, length and maxima of chunks.
template <class F>
void Inference::sumSegments(const float* from, int64_t n, int64_t cols, F&& also) {
  const int64_t segments = (cols + kSegment - 1) / kSegment;
  choiceSums_.resize(size_t(n * segments));
  split(n * segments, 1, n * cols, [&](int64_t begin, int64_t end) {
    float maxima[kSegment / kChoiceChunk];
    for (int64_t part = begin; part < end; part++) {
      const int64_t start = part % segments * kSegment, length = std::min(kSegment, cols - start);
      const float* const row = from + part / segments * cols + start;
      ops_.chunkMaxima(row, length, maxima);
      const float top = *std::max_element(maxima, maxima + (length + kChoiceChunk - 1) / kChoiceChunk);
      choiceSums_[size_t(part)] = sumOf(ops_, row, length, top);
      also(part, row, start, length, maxima);
    }
  });
}

void Inference::topK(int32_t values, int32_t indices, int32_t logSumExp, int32_t x, int64_t n, int64_t cols, int64_t k) {
  if (k < 1 || k > cols || cols > (int64_t(1) << 24)) misuse("more values to choose than a row has, or too long a row");
  const float* const from = slot(x, n, cols);
  float *const to = slot(values, n, k), *const places = slot(indices, n, k), *const sums = slot(logSumExp, n, 1);
  const int64_t segments = (cols + kSegment - 1) / kSegment, most = std::min(k, kSegment);
  choices_.resize(size_t(n * segments * most));
  sumSegments(from, n, cols, [&](int64_t part, const float* row, int64_t start, int64_t length, const float* maxima) {
    choose(row, length, maxima, int32_t(start), choices_.data() + part * most, std::min(most, length));
  });
  for (int64_t t = 0; t < n; t++) {
    Choice* const chosen = choices_.data() + t * segments * most;
    int64_t count = 0;
    for (int64_t s = 0; s < segments; s++) {
      // The last segment may have less than the others: its choices close the ranks.
      const int64_t found = std::min(most, std::min(kSegment, cols - s * kSegment));
      std::copy(chosen + s * most, chosen + s * most + found, chosen + count);
      count += found;
    }
    sums[t] = float(logSumOf(choiceSums_.data() + t * segments, segments));
    std::partial_sort(chosen, chosen + k, chosen + count, precedes);
    for (int64_t i = 0; i < k; i++) {
      to[t * k + i] = chosen[i].value;
      places[t * k + i] = float(chosen[i].index);
    }
  }
}

void Inference::logprobs(int32_t out, int32_t x, int64_t n, int64_t cols, int64_t count) {
  const float* const from = slot(x, n, cols);
  float* const to = slot(out, count, 2);
  const int32_t *const rows = ints(2 * count), *const columns = rows + count;
  for (int64_t i = 0; i < count; i++) {
    if (rows[i] < 0 || rows[i] >= n || columns[i] < 0 || columns[i] >= cols) misuse("no place " + std::to_string(i) + " of the matrix");
  }
  const int64_t segments = (cols + kSegment - 1) / kSegment;
  sumSegments(from, n, cols, [](auto...) {});
  for (int64_t i = 0; i < count; i++) {
    const double sum = logSumOf(choiceSums_.data() + rows[i] * segments, segments);
    const double value =
        std::isfinite(sum) ? double(from[rows[i] * cols + columns[i]]) - sum : std::numeric_limits<double>::quiet_NaN();
    to[2 * i] = float(value);
    to[2 * i + 1] = std::isfinite(value) ? float(value - double(to[2 * i])) : 0;
  }
}

}  // namespace grok1
