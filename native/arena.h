// Scratch memory of a call: what it needs is laid out first, and then reserved at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "memory.h"

namespace grok1 {

// Memory that grows and is reused; one caller at a time. Contents do not survive growth.
class Workspace {
 public:
  // At least `bytes`, aligned to 64. Throws Failure when there is not enough memory.
  uint8_t* reserve(size_t bytes) {
    if (!memory_ || bytes > memory_->size()) {
      memory_.reset();
      memory_ = std::make_unique<Memory>(bytes + bytes / 4);
    }
    return memory_->data();
  }

 private:
  std::unique_ptr<Memory> memory_;
};

// Pieces of a workspace, each aligned to 64 bytes, so that threads that write to different ones do not meet in a cache line.
class Arena {
 public:
  template <class T>
  struct Piece {
    size_t at, stride;
  };

  // Room for `count` of a kind, for each of `copies` (threads).
  template <class T>
  Piece<T> add(int64_t count, int copies = 1) {
    const Piece<T> piece{bytes_, (size_t(count) * sizeof(T) + 63) & ~size_t(63)};
    bytes_ += piece.stride * size_t(copies);
    return piece;
  }
  // After the last add(). Throws Failure when there is not enough memory.
  void reserve(Workspace& workspace) { memory_ = workspace.reserve(bytes_); }
  template <class T>
  T* at(const Piece<T>& piece, int copy = 0) const {
    return reinterpret_cast<T*>(memory_ + piece.at + piece.stride * size_t(copy));
  }

 private:
  size_t bytes_ = 0;
  uint8_t* memory_ = nullptr;
};

}  // namespace grok1
