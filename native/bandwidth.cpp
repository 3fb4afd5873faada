#include "bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "memory.h"
#include "threads.h"

namespace grok1 {

double measureBandwidth(int threads, size_t bytes, int rounds) {
  const Memory buffer(bytes);
  ThreadPool pool(threads);
  const size_t words = bytes / 8;
  auto* const data = reinterpret_cast<uint64_t*>(buffer.data());
  // Untouched pages all read as one page of zeros, from the cache.
  pool.run([&](int thread, int count) {
    for (size_t i = words * thread / count; i < words * (thread + 1) / count; i++) data[i] = i;
  });
  std::atomic<uint64_t> total{0};
  double best = 0;
  for (int round = 0; round < rounds; round++) {
    const auto start = std::chrono::steady_clock::now();
    pool.run([&](int thread, int count) {
      const size_t from = words * thread / count / 32 * 32, end = words * (thread + 1) / count / 32 * 32;
      uint64_t sums[32] = {};
      for (size_t i = from; i < end; i += 32) {
        for (int j = 0; j < 32; j++) sums[j] += data[i + j];
      }
      uint64_t sum = 0;
      for (const uint64_t s : sums) sum += s;
      total.fetch_add(sum, std::memory_order_relaxed);  // a result that is used cannot be optimized away
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, double(bytes) / seconds.count());
  }
  return total.load() == 1 ? 0 : best;
}

}  // namespace grok1
