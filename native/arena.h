// Scratch memory of operations, which may call one another.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "memory.h"

namespace grok1 {

// Memory that grows and is reused; one caller at a time. It grows by further blocks, so what was handed out stays where it is; once
// all is given back, they make way for one, so a repeated operation allocates nothing.
class Arena {
 public:
  // For each thread `count` of a kind.
  template <class T>
  struct Each {
    T* first;
    size_t stride;
    T* operator[](int thread) const { return first + stride * size_t(thread); }
  };

  // What an operation takes, given back at its end. Each piece is aligned to 64 bytes, so that threads that write to different ones
  // do not meet in a cache line; contents are whatever was left there. Throws Failure when there is not enough memory.
  class Scope {
   public:
    explicit Scope(Arena& arena) : arena_(arena), block_(arena.block_), at_(arena.at_), taken_(arena.taken_) {}
    ~Scope() { arena_.giveBack(block_, at_, taken_); }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

    template <class T>
    T* take(int64_t count) {
      return each<T>(count, 1).first;
    }
    template <class T>
    Each<T> each(int64_t count, int threads) {
      static_assert(kAlign % sizeof(T) == 0);
      constexpr size_t most = SIZE_MAX / 4;
      if (count < 0 || uint64_t(count) > most / sizeof(T) / size_t(threads)) throw Failure("ERR_MEMORY", "scratch memory of impossible size");
      const size_t stride = (size_t(count) * sizeof(T) + kAlign - 1) / kAlign * kAlign;
      return {reinterpret_cast<T*>(arena_.take(stride * size_t(threads))), stride / sizeof(T)};
    }

   private:
    Arena& arena_;
    size_t block_, at_, taken_;
  };

  // Gives all memory back while nothing of it is taken.
  void clear() {
    if (taken_ > 0) return;
    blocks_.clear();
    block_ = at_ = most_ = 0;
  }

 private:
  static constexpr size_t kAlign = 64;

  uint8_t* take(size_t bytes) {
    for (; block_ < blocks_.size() && bytes > blocks_[block_]->size() - at_; block_++) at_ = 0;
    if (block_ == blocks_.size()) blocks_.push_back(std::make_unique<Memory>(std::max(bytes, most_) / 4 * 5));
    uint8_t* const piece = blocks_[block_]->data() + at_;
    at_ += bytes;
    taken_ += bytes;
    most_ = std::max(most_, taken_);
    return piece;
  }
  void giveBack(size_t block, size_t at, size_t taken) {
    block_ = block;
    at_ = at;
    taken_ = taken;
    if (taken == 0 && blocks_.size() > 1) blocks_.clear();  // the next is large enough for all
  }

  std::vector<std::unique_ptr<Memory>> blocks_;
  size_t block_ = 0, at_ = 0;  // where the next piece lies
  size_t taken_ = 0, most_ = 0;
};

}  // namespace grok1
