// Which of two ways of doing the same work is the faster, as it is measured while the work is done.
#pragma once

#include <algorithm>
#include <cstddef>
#include <mutex>

namespace grok1 {

// The first pieces are tried both ways in turn; then it is the faster one, and a piece of the other now and then, ever more rarely for as long as
// it stays so. Many threads may ask.
class FasterWay {
 public:
  static constexpr int kFirst = 0, kSecond = 1;

  // The way of the next piece.
  int next() {
    const std::lock_guard lock(mutex_);
    if (!possible_[kFirst] || !possible_[kSecond]) return possible_[kFirst] ? kFirst : kSecond;
    if (asked_ < 2 * kTried) return int(asked_++ % 2);
    if (--left_ > 0) return faster_;
    left_ = pause_ = std::min(kLongestPause, 2 * pause_);
    return 1 - faster_;
  }

  // A piece took so long. Of two that are much the same it stays the first.
  void add(int way, size_t bytes, double seconds) {
    if (bytes < kLeast || seconds <= 0) return;
    const std::lock_guard lock(mutex_);
    double& rate = rates_[way];
    rate += (double(bytes) / seconds - rate) * (rate == 0 ? 1 : kLatest);
    const int faster = rates_[kSecond] > kClearly * rates_[kFirst] ? kSecond : kFirst;
    if (faster != faster_) pause_ = kPause;
    faster_ = faster;
  }

  // It cannot be done this way.
  void exclude(int way) {
    const std::lock_guard lock(mutex_);
    possible_[way] = false;
    rates_[way] = 0;
  }

  // Bytes a second of one piece, lately; 0 where it was not tried.
  double rate(int way) const {
    const std::lock_guard lock(mutex_);
    return rates_[way];
  }

 private:
  static constexpr size_t kLeast = size_t(64) << 10;  // smaller pieces say little
  static constexpr size_t kTried = 8;                 // of each way
  static constexpr size_t kPause = 64, kLongestPause = 1024;
  static constexpr double kLatest = 0.2, kClearly = 1.1;

  mutable std::mutex mutex_;
  bool possible_[2] = {true, true};
  double rates_[2] = {0, 0};
  int faster_ = kFirst;
  size_t asked_ = 0, pause_ = kPause, left_ = kPause;
};

}  // namespace grok1
