#include "bandwidth.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <utility>

#include "memory.h"
#include "threads.h"

namespace grok1 {

// Passes go on for as long, since a machine at rest has to wake up: threads are spread and clocks raised within tenths of a second; and until the
// three best of them are as near to each other, or it has taken too long.
static constexpr double kLeastSeconds = 0.3, kMostSeconds = 1.5, kNear = 0.97;

double measureBandwidth(int threads, size_t bytes) {
  const Memory buffer(bytes);
  ThreadPool pool(threads);
  const size_t words = bytes / 8;
  auto* const data = reinterpret_cast<uint64_t*>(buffer.data());
  // Untouched pages all read as one page of zeros, from the cache.
  pool.run([&](int thread, int count) {
    for (size_t i = words * thread / count; i < words * (thread + 1) / count; i++) data[i] = i;
  });
  std::atomic<uint64_t> total{0};
  double best[3] = {};  // the highest first
  using Clock = std::chrono::steady_clock;
  const auto secondsSince = [](Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); };
  const Clock::time_point begin = Clock::now();
  while (secondsSince(begin) < kLeastSeconds || (best[2] < kNear * best[0] && secondsSince(begin) < kMostSeconds)) {
    const Clock::time_point start = Clock::now();
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
    double rate = double(bytes) / secondsSince(start);
    for (double& one : best) {
      if (rate > one) std::swap(rate, one);
    }
  }
  return total.load() == 1 ? 0 : best[0];
}

}  // namespace grok1
