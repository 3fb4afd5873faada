// Files of weights: mapped, or read at any place.
#pragma once

#include <cstddef>
#include <cstdint>

#include "faster-way.h"

namespace grok1 {

// An open file mapped read-only: it stays mapped when the file is closed.
class Mapping {
 public:
  // Of a file descriptor of this process. Throws Failure with the system's code (EBADF, ENOMEM, ...).
  explicit Mapping(int file);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

  const uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }

 private:
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

// An open file that is read at any place into memory: past the page cache or through it, whichever is measured to be faster while it is read. Of what is
// read through it nothing stays there that was not there before; where the system cannot be told so, it is read past it wherever that can be.
// It stays the same file when its name goes to another, and open when the descriptor is closed.
class StreamedFile {
 public:
  // Places, lengths and memory of reads are multiples of this.
  static constexpr size_t kAlignment = 4096;

  // Of a file descriptor of this process. Throws Failure with the system's code.
  explicit StreamedFile(int file);
  ~StreamedFile();
  StreamedFile(const StreamedFile&) = delete;
  StreamedFile& operator=(const StreamedFile&) = delete;

  uint64_t size() const { return size_; }
  // Bytes read of [offset, offset + bytes), fewer only where the file ends; or the system's error, negative. Many threads may call.
  int64_t read(uint8_t* to, uint64_t offset, size_t bytes) const;
  // Bytes a second that a read was given, past the page cache or through it; 0 where that was not tried, or cannot be.
  double rate(bool through) const { return ways_.rate(through ? kThrough : kPast); }

 private:
  static constexpr int kPast = FasterWay::kFirst, kThrough = FasterWay::kSecond;
  int64_t readThrough(uint8_t* to, uint64_t offset, size_t bytes) const;

#if defined(_WIN32)
  void* past_;
  void* through_;
#else
  int past_ = -1;
  int through_ = -1;
#endif
  uint64_t size_ = 0;
  mutable FasterWay ways_;
};

// What is not in the page cache yet of mapped memory is to be read into large pages, where file systems have them: weights that
// are streamed go 5 to 10 % quicker. A hint, never an error.
void preferLargePages(const uint8_t* data, size_t bytes);

}  // namespace grok1
