// How far a matrix is that is being read into memory: its first rows are computed with while its last are still on their way.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace grok1 {

// Readers say which bytes came, in any order, and in the end whether all did; any number of threads waits for those that it needs.
class Arrival {
 public:
  // Of `bytes` that are read, the matrix begins `lead` bytes after the first.
  Arrival(size_t bytes, size_t lead) : lead_(lead), gaps_{{0, bytes}} {}

  void came(size_t at, size_t length) {
    {
      const std::lock_guard lock(mutex_);
      std::vector<Range> left;
      for (const auto& [from, until] : gaps_) {
        if (from < std::min(until, at)) left.emplace_back(from, std::min(until, at));
        if (std::max(from, at + length) < until) left.emplace_back(std::max(from, at + length), until);
      }
      gaps_ = std::move(left);
    }
    wake_.notify_all();
  }

  // Nothing more comes.
  void end(bool whole) {
    {
      const std::lock_guard lock(mutex_);
      (whole ? whole_ : lost_).store(true, std::memory_order_release);
    }
    wake_.notify_all();
  }

  bool isWhole() const { return whole_.load(std::memory_order_acquire); }

  // Returns when bytes [from, until) of the matrix are there; false where they never come, or once nobody wants them any more, which
  // `unwanted` is asked every few milliseconds.
  template <class F>
  bool await(size_t from, size_t until, F&& unwanted) const {
    std::unique_lock lock(mutex_);
    const auto known = [&] { return lost_ || whole_ || has(lead_ + from, lead_ + until); };
    while (!wake_.wait_for(lock, kPatience, known)) {
      if (unwanted()) return false;
    }
    return !lost_;
  }

 private:
  using Range = std::pair<size_t, size_t>;
  static constexpr auto kPatience = std::chrono::milliseconds(5);

  bool has(size_t from, size_t until) const {
    return std::none_of(gaps_.begin(), gaps_.end(), [&](const Range& gap) { return gap.first < until && from < gap.second; });
  }

  const size_t lead_;
  mutable std::mutex mutex_;
  mutable std::condition_variable wake_;
  std::vector<Range> gaps_;  // ascending
  std::atomic<bool> whole_{false}, lost_{false};
};

}  // namespace grok1
