// A pool of persistent threads for kernels: fork and join in well under a microsecond while warm, idle while not.
//
// Workers spin for a short time after each job, because the next operation of a forward pass usually follows at once, and
// then park in the kernel, so that a pool that is not in use costs nothing and does not starve another pool or process.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace grok1 {

// What a system's tools call the calling thread, where threads have names: at most 15 characters.
void nameThread(const char* name);

class ThreadPool {
 public:
  // `threads` includes the caller of run(); at least 1. Starts fewer when the system refuses more.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls body(thread, threads) on every thread, the caller being thread 0, and returns when all have returned. Allocates
  // nothing. Not reentrant, one caller at a time; the body must not throw.
  template <class F>
  void run(F&& body) {
    next_.store(0, std::memory_order_relaxed);
    if (size_ == 1) {
      body(0, 1);
      return;
    }
    using Body = std::remove_reference_t<F>;
    start([](void* context, int thread, int threads) { (*static_cast<Body*>(context))(thread, threads); },
          const_cast<void*>(static_cast<const void*>(&body)));
    body(0, size_);
    finish();
  }

  // Two numbers that another thread may write to: once the first exceeds the second, what is under way is no longer wanted.
  // They must outlive the pool, or be replaced by nullptr.
  void watch(const std::atomic<int32_t>* numbers) { watched_ = numbers; }

  // Whether what is under way is no longer wanted. Loops over pieces of work ask before each piece; the threads still meet at
  // every barrier, and who started the work asks again at its end, because what it computed is then no result.
  bool cancelled() const {
    return watched_ != nullptr && watched_[0].load(std::memory_order_relaxed) > watched_[1].load(std::memory_order_relaxed);
  }

  // Inside run: returns when every thread of the pool has called it.
  void barrier();

  // Inside run: claims `count` items from a shared counter that run() sets to 0; returns the first.
  int64_t next(int64_t count = 1) { return next_.fetch_add(count, std::memory_order_relaxed); }

  // Inside run: sets the shared counter to 0 once every thread has arrived; nobody claims before that. Two barriers.
  void restart(int thread) {
    barrier();
    if (thread == 0) next_.store(0, std::memory_order_relaxed);
    barrier();
  }

 private:
  using Job = void (*)(void* context, int thread, int threads);

  void start(Job job, void* context);
  void finish();
  void work(int thread);

  int size_ = 1;
  int startedOn_ = 0;  // the processor that the caller of run() was on
  Job job_ = nullptr;
  void* context_ = nullptr;
  const std::atomic<int32_t>* watched_ = nullptr;
  bool stopping_ = false;
  std::vector<std::thread> workers_;

  // One cache line each: the starter writes the first, finishers the second, and so on.
  alignas(64) std::atomic<int> generation_{0};
  alignas(64) std::atomic<int> running_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};  // wraps
  alignas(64) std::atomic<int64_t> next_{0};
};

}  // namespace grok1
