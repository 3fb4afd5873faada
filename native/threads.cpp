#include "threads.h"

#include <chrono>
#include <system_error>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif
#if defined(__linux__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace grok1 {

namespace {

// How long a worker spins for the next job before it parks: longer than the gaps between the operations of a forward
// pass, shorter than what another process would notice.
constexpr auto kSpin = std::chrono::microseconds(80);

// Spins at a barrier before giving the processor away: the thread waited for may need this very core.
constexpr int kSpinsBeforeYield = 400;

inline void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  __asm__ __volatile__("isb" ::: "memory");
#endif
}

template <class Done>
void spinUntil(Done done) {
  for (int spins = 0; !done(); spins++) {
    if (spins < kSpinsBeforeYield) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace

void nameThread(const char* name) {
#if defined(__linux__)
  pthread_setname_np(pthread_self(), name);
#elif defined(__APPLE__)
  pthread_setname_np(name);
#else
  (void)name;
#endif
}

ThreadPool::ThreadPool(int threads) {
  size_ = threads < 1 ? 1 : threads;
  workers_.reserve(size_ - 1);
  for (int thread = 1; thread < size_; thread++) {
    try {
      workers_.emplace_back([this, thread] { work(thread); });
    } catch (const std::system_error&) {
      size_ = thread;  // workers read it only after the first start()
    }
  }
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  // Sequentially consistent, here and in start(): whether somebody is parked must not be looked up before this is seen.
  generation_.fetch_add(1, std::memory_order_seq_cst);
  generation_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::start(Job job, void* context) {
  job_ = job;
  context_ = context;
  running_.store(size_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  generation_.notify_all();  // a system call only when somebody is parked
}

void ThreadPool::finish() {
  spinUntil([this] { return running_.load(std::memory_order_acquire) == 0; });
}

void ThreadPool::work(int thread) {
  nameThread("grok1-compute");
  int seen = 0;
  for (;;) {
    const auto parkAt = std::chrono::steady_clock::now() + kSpin;
    for (int spins = 1; generation_.load(std::memory_order_acquire) == seen; spins++) {
      pause();
      if (spins % 32 == 0 && std::chrono::steady_clock::now() > parkAt) {
        generation_.wait(seen, std::memory_order_acquire);
      }
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_) return;
    job_(context_, thread, size_);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::barrier() {
  if (size_ == 1) return;
  const unsigned phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
  } else {
    spinUntil([this, phase] { return phase_.load(std::memory_order_acquire) != phase; });
  }
}

}  // namespace grok1
