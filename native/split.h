// How the backend's operations share out rows and elements among threads.
#pragma once

#include <algorithm>

#include "backend.h"

namespace grok1 {

template <class F>
void Backend::split(int64_t n, int64_t unit, int64_t work, F&& body) {
  constexpr int64_t kWorthSplitting = 32 * 1024;  // floats of work below which a second thread costs more than it saves
  if (work < kWorthSplitting || pool_.size() == 1 || n <= unit) {
    body(int64_t(0), n);
    return;
  }
  const int64_t units = (n + unit - 1) / unit;
  pool_.run([&](int thread, int threads) {
    const int64_t from = units * thread / threads * unit, to = std::min(n, units * (thread + 1) / threads * unit);
    if (from < to) body(from, to);
  });
}

}  // namespace grok1
