// A thread that gives memory back as soon as others need it: whoever computes looks up too seldom for that.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace grok1 {

// A control group with a limit: what its processes use stands in one file, in the other how much of that are pages of files.
struct MemoryGroup {
  std::string usage, statistics;
  int64_t limit;
};

// Bytes that can be taken without others' giving way, on the machine and in each group; negative where the system does not tell.
int64_t availableBytes(const std::vector<MemoryGroup>& groups, int64_t enough);

class MemoryGuard {
 public:
  // Calls `give`, on a thread of its own, for as long as less than `reserve` bytes are available and it gives something: bytes, or 0.
  MemoryGuard(std::vector<MemoryGroup> groups, int64_t reserve, std::function<int64_t()> give);
  ~MemoryGuard();
  // Drops nothing from now on, and nobody waits for room any more.
  void stop();
  // Returns when there is room for what is about to be filled, or when that takes too long.
  void awaitRoom() const;
  MemoryGuard(const MemoryGuard&) = delete;
  MemoryGuard& operator=(const MemoryGuard&) = delete;

 private:
  void watch();

  const std::vector<MemoryGroup> groups_;
  const int64_t reserve_;
  const std::function<int64_t()> give_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<bool> stopping_{false}, pressed_{false};
  std::thread thread_;
};

}  // namespace grok1
