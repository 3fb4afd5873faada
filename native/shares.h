// How threads share out the rows of a product.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>

#include "arena.h"

namespace grok1 {

// Rows [0, rows), of which each thread has a stretch of its own, so that it streams one run of memory and claims chunks without
// meeting others; a thread that is done with its own takes chunks of the others'.
class Shares {
 public:
  // Stretches begin at multiples of `unit` rows, and so do chunks if `chunk` is one.
  Shares(Arena::Scope& memory, int threads, int64_t rows, int64_t chunk, int64_t unit)
      : threads_(threads), chunk_(chunk), stretches_(memory.take<Stretch>(threads)) {
    const int64_t units = (rows + unit - 1) / unit;
    for (int t = 0; t < threads; t++) {
      Stretch* const stretch = new (&stretches_[t]) Stretch;
      stretch->next.store(units * t / threads * unit, std::memory_order_relaxed);
      stretch->end = std::min(rows, units * (t + 1) / threads * unit);
    }
  }

  // Claims rows [row, end) for `thread`; false once all are claimed.
  bool take(int thread, int64_t& row, int64_t& end) {
    for (int i = 0; i < threads_; i++) {
      Stretch& stretch = stretches_[(thread + i) % threads_];
      if (stretch.next.load(std::memory_order_relaxed) >= stretch.end) continue;
      row = stretch.next.fetch_add(chunk_, std::memory_order_relaxed);
      if (row >= stretch.end) continue;
      end = std::min(stretch.end, row + chunk_);
      return true;
    }
    return false;
  }

 private:
  struct alignas(64) Stretch {
    std::atomic<int64_t> next;
    int64_t end;
  };
  int threads_;
  int64_t chunk_;
  Stretch* stretches_;
};

}  // namespace grok1
