#include "guard.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "threads.h"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace grok1 {

namespace {

// Others can take some megabytes between two looks, of which each takes some ten microseconds.
constexpr auto kInterval = std::chrono::milliseconds(4);

// Looks for which nothing is filled while others need memory and nothing more can be given: some seconds.
constexpr int kPatience = 500;

// The number after `key` in a small file of the system's, or at its beginning for ""; -1 where there is none.
int64_t numberIn(const std::string& path, const char* key) {
  std::FILE* const file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return -1;
  char text[8192];
  const size_t got = std::fread(text, 1, sizeof(text) - 1, file);
  std::fclose(file);
  text[got] = 0;
  const char* at = text;
  for (const size_t length = std::strlen(key); length > 0;) {
    if (std::strncmp(at, key, length) == 0 && (at[length] == ' ' || at[length] == ':')) {
      at += length + 1;
      break;
    }
    at = std::strchr(at, '\n');
    if (at++ == nullptr) return -1;
  }
  char* end;
  const long long value = std::strtoll(at, &end, 10);
  return end == at ? -1 : int64_t(value);
}

// The calling thread has its turn before those that compute, as far as this process may ask for that: it needs little time, and that at once.
void goFirst() {
#if defined(__linux__)
  constexpr int kBefore = -10;
  int policy;
  sched_param parameters;
  if (pthread_getschedparam(pthread_self(), &policy, &parameters) != 0) return;
  if (policy == SCHED_RR || policy == SCHED_FIFO) {
    parameters.sched_priority = std::min(parameters.sched_priority + 1, sched_get_priority_max(policy));
    pthread_setschedparam(pthread_self(), policy, &parameters);
  } else {
    setpriority(PRIO_PROCESS, id_t(syscall(SYS_gettid)), getpriority(PRIO_PROCESS, 0) + kBefore);
  }
#endif
}

}  // namespace

int64_t availableBytes(const std::vector<MemoryGroup>& groups, int64_t enough) {
  const int64_t kilobytes = numberIn("/proc/meminfo", "MemAvailable");
  int64_t least = kilobytes < 0 ? -1 : kilobytes * 1024;
  for (const MemoryGroup& group : groups) {
    const int64_t used = numberIn(group.usage, "");
    if (used < 0) continue;
    int64_t left = group.limit - used;
    // Pages of files give way by themselves; to count them takes longer, so that only where it matters.
    if (left < enough) {
      for (const char* key : {"inactive_file", "active_file"}) left += std::max<int64_t>(0, numberIn(group.statistics, key));
    }
    least = least < 0 ? left : std::min(least, left);
  }
  return least;
}

MemoryGuard::MemoryGuard(std::vector<MemoryGroup> groups, int64_t reserve, std::function<int64_t()> give)
    : groups_(std::move(groups)), reserve_(reserve), give_(std::move(give)), thread_([this] { watch(); }) {}

MemoryGuard::~MemoryGuard() {
  stop();
  thread_.join();
}

void MemoryGuard::stop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  wake_.notify_all();
}

void MemoryGuard::awaitRoom() const {
  for (int looks = 0; looks < kPatience && pressed_ && !stopping_; looks++) std::this_thread::sleep_for(kInterval);
}

void MemoryGuard::watch() {
  nameThread("grok1-guard");
  goFirst();
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    lock.unlock();
    const int64_t available = availableBytes(groups_, reserve_);
    int64_t missing = available < 0 ? 0 : reserve_ - available;
    while (missing > 0) {
      const int64_t given = give_();
      if (given == 0) break;
      missing -= given;
    }
    pressed_ = missing > 0;
    lock.lock();
    wake_.wait_for(lock, kInterval, [this] { return stopping_.load(); });
  }
}

}  // namespace grok1
