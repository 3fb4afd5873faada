// Files of weights: mapped, or read at any place.
#pragma once

#include <cstddef>
#include <cstdint>

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

// An open file that is read at any place into memory, past the page cache where `direct` is asked for and the file system has it. It
// stays the same file when its name goes to another, and open when the descriptor is closed.
class DirectFile {
 public:
  // Places, lengths and memory of direct reads are multiples of this.
  static constexpr size_t kAlignment = 4096;

  // Of a file descriptor of this process. Throws Failure with the system's code.
  DirectFile(int file, bool direct);
  ~DirectFile();
  DirectFile(const DirectFile&) = delete;
  DirectFile& operator=(const DirectFile&) = delete;

  uint64_t size() const { return size_; }
  bool direct() const { return direct_; }
  // Bytes read of [offset, offset + bytes), fewer only where the file ends; or the system's error, negative.
  int64_t read(uint8_t* to, uint64_t offset, size_t bytes) const;

 private:
#if defined(_WIN32)
  void* file_ = nullptr;
#else
  int file_ = -1;
#endif
  uint64_t size_ = 0;
  bool direct_ = false;
};

// What is not in the page cache yet of mapped memory is to be read into large pages, where file systems have them: weights that
// are streamed go 5 to 10 % quicker. A hint, never an error.
void preferLargePages(const uint8_t* data, size_t bytes);

}  // namespace grok1
