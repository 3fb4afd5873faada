// Aligned memory for activations and caches, and the error that the addon's functions throw.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace grok1 {

// Becomes a JavaScript Error with this code.
struct Failure : std::runtime_error {
  Failure(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* code;
};

// Zeroed memory aligned to 64 bytes, with 64 spare bytes behind; from 1 MiB on mapped page by page as it is touched, from 2 MiB on
// aligned for large pages, which it takes where the system gives them. Throws Failure when there is not enough.
class Memory {
 public:
  explicit Memory(size_t bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
  void* mapping_ = nullptr;  // none: from the heap
  size_t mapped_ = 0;
};

// The system has the pages of a large memory again, which reads as zeros from then on.
void giveBack(const Memory& memory);

}  // namespace grok1
