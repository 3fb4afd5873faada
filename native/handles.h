// Things behind the small numbers by which JavaScript knows them.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "memory.h"

namespace grok1 {

// A number is given once: what was freed is refused by its number, whatever came in its place. A number is a place and how
// often the place was filled before; a place that has no more numbers is left empty.
template <class T>
class Handles {
 public:
  explicit Handles(const char* what) : what_(what) {}

  int32_t add(T thing) {
    size_t place = entries_.size();
    if (free_.empty()) {
      if (place >= kPlaces) throw Failure("ERR_MEMORY", std::string("too many of the kind: ") + what_);
      entries_.emplace_back();
    } else {
      place = free_.back();
      free_.pop_back();
    }
    entries_[place].thing.emplace(std::move(thing));
    return int32_t(place | size_t(entries_[place].fillings) << kPlaceBits);
  }

  // Stays where it is until it is removed. Throws Failure for a number that was never given, or whose thing was freed.
  T& get(int32_t number) {
    const size_t place = size_t(number) & (kPlaces - 1);
    if (number < 0 || place >= entries_.size() || !entries_[place].thing || number >> kPlaceBits != entries_[place].fillings) {
      throw Failure("ERR_ARGUMENT", std::string("no such ") + what_ + ": " + std::to_string(number));
    }
    return *entries_[place].thing;
  }
  const T& get(int32_t number) const { return const_cast<Handles*>(this)->get(number); }

  void remove(int32_t number) {
    get(number);
    const size_t place = size_t(number) & (kPlaces - 1);
    entries_[place].thing.reset();
    if (entries_[place].fillings < kFillings - 1) {
      entries_[place].fillings++;
      free_.push_back(place);
    }
  }

 private:
  static constexpr int kPlaceBits = 20;
  static constexpr size_t kPlaces = size_t(1) << kPlaceBits;
  static constexpr int32_t kFillings = 1 << (31 - kPlaceBits);

  struct Entry {
    std::optional<T> thing;
    int32_t fillings = 0;
  };
  const char* what_;
  std::deque<Entry> entries_;
  std::vector<size_t> free_;
};

}  // namespace grok1
