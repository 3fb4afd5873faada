// How the backend's operations share out rows and elements among threads.
#pragma once

#include <algorithm>

#include "inference.h"

namespace grok1 {

template <class F>
void Inference::split(int64_t n, int64_t unit, int64_t work, F&& body) {
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

template <class F>
void Inference::eachTurn(RopeTable& table, int64_t n, int64_t cols, F&& body) {
  const int32_t* const positions = batchOf(n).positions;
  bool tabled = true;
  for (int64_t t = 0; t < n; t++) {
    if (positions[t] >= RopeTable::kPositions) tabled = false;
    if (tabled) turn(table, positions[t]);  // threads below only read
  }
  const auto rows = [&](int64_t first, int64_t end) {
    for (int64_t t = first; t < end; t++) body(t, turn(table, positions[t]));
  };
  if (tabled) {
    split(n, 1, n * cols, rows);
  } else {
    rows(0, n);
  }
}

}  // namespace grok1
