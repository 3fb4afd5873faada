// Which bytes of mapped files are in memory, and threads that bring those that are not: kernels then never wait in a page fault,
// which would hold up all threads of a pool at its next barrier.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace grok1 {

// Bytes, in whole pages, of [data, data + bytes) that are not in memory. 0 where the system does not tell: on Windows, and on Linux of
// a file that this user neither owns nor may write. What is missing there comes by page faults, in which the computing threads wait.
size_t missingBytes(const uint8_t* data, size_t bytes);

class Readers {
 public:
  enum class Outcome { read, failed, dropped };
  using Done = std::function<void(Outcome)>;

  Readers() = default;
  // Drops what was not begun, and waits for the pieces that are being read.
  ~Readers();
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  // Brings [data, data + bytes) into memory and calls `done` once, on any thread, this one where no other can be had. The memory is held
  // until then. First come, first served. What it throws it throws before anything is begun.
  void read(std::shared_ptr<const uint8_t> data, size_t bytes, Done done);

 private:
  struct Job {
    std::shared_ptr<const uint8_t> data;
    size_t bytes, next = 0;
    int pieces = 0;  // being read
    Outcome outcome = Outcome::read;
    Done done;
  };

  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Job>> jobs_;
  std::vector<std::thread> threads_;
  bool stopping_ = false;
};

}  // namespace grok1
