#include "threads.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif
#if defined(__linux__) || defined(__APPLE__)
#include <pthread.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace grok1 {

namespace {

// How long a thread spins before it parks: longer than the gaps between the operations of a forward pass and than most
// waits at a barrier, shorter than what another process would notice. It never only yields: a thread that does is ready to run
// all the time, and where more are than there are cores, the system has it pay for the turns that it gave away.
constexpr auto kSpin = std::chrono::microseconds(80);

inline void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__) && !defined(_MSC_VER)
  __asm__ __volatile__("isb" ::: "memory");
#endif
}

// With fewer processors threads seldom meet on one, and to move a thread costs as much as some ten barriers.
constexpr int kManyProcessors = 8;

// Goes to the processor that is as many further than the starting thread's as `thread` says, and may leave it again at once. Where threads
// take (nearly) all processors, the system often wakes two of them on one, and moves neither for some milliseconds, since nobody is
// idle for long: all others wait for them at every barrier. With fewer threads the system's own choice is better.
void goHome(int thread, int size, int startedOn) {
#if defined(__linux__)
  cpu_set_t allowed;
  if (size < kManyProcessors || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  const int count = CPU_COUNT(&allowed);
  if (size > count || 4 * size <= 3 * count) return;
  int home = std::max(0, startedOn);
  for (int steps = thread; steps > 0;) {
    home = (home + 1) % CPU_SETSIZE;
    if (CPU_ISSET(home, &allowed)) steps--;
  }
  if (sched_getcpu() == home) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(home, &one);
  if (sched_setaffinity(0, sizeof one, &one) == 0) sched_setaffinity(0, sizeof allowed, &allowed);
#else
  (void)thread, (void)size, (void)startedOn;
#endif
}

// Spins, then parks, until `value` is another than `seen`; whoever changes it notifies. Returns what it is, and whether it parked.
template <class T>
T waitWhile(const std::atomic<T>& value, T seen, bool* parked = nullptr) {
  T now = value.load(std::memory_order_acquire);
  if (now != seen) return now;
  const auto parkAt = std::chrono::steady_clock::now() + kSpin;
  for (int spins = 1; (now = value.load(std::memory_order_acquire)) == seen; spins++) {
    pause();
    if (spins % 32 == 0 && std::chrono::steady_clock::now() > parkAt) {
      value.wait(seen, std::memory_order_acquire);
      if (parked != nullptr) *parked = true;
    }
  }
  return now;
}

// Asks the system for short turns on the processor, as soon as may be, in place of long ones after a long wait: its share of the
// time stays the same. Threads that meet at barriers some thousand times a second stand still for whoever's turn it is not; with
// eight more threads for each core, turns of Linux's own length make that ten times as long. Linux 6.12 and later; others take no notice.
void askForShortTurns() {
#if defined(__linux__) && defined(SYS_sched_setattr)
  constexpr uint64_t kShortestTurn = 100'000;  // nanoseconds: the least that can be asked for
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
  } attributes{};
  // Only for threads that are scheduled as usual: a policy that somebody chose stays.
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0 || attributes.policy != SCHED_OTHER) return;
  attributes.runtime = kShortestTurn;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
#endif
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
  if (size_ > 1) askForShortTurns();  // the workers inherit it
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
  // Sequentially consistent, here and wherever else somebody is notified: whether somebody is parked must not be looked up
  // before this is seen.
  generation_.fetch_add(1, std::memory_order_seq_cst);
  generation_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void ThreadPool::start(Job job, void* context) {
  job_ = job;
  context_ = context;
#if defined(__linux__)
  startedOn_ = sched_getcpu();
#endif
  running_.store(size_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  generation_.notify_all();  // a system call only when somebody is parked
}

void ThreadPool::finish() {
  for (int running = size_ - 1; running != 0;) running = waitWhile(running_, running);
}

void ThreadPool::work(int thread) {
  nameThread("grok1-compute");
  int seen = 0;
  for (;;) {
    bool parked = false;
    seen = waitWhile(generation_, seen, &parked);
    if (stopping_) return;
    if (parked) goHome(thread, size_, startedOn_);
    job_(context_, thread, size_);
    running_.fetch_sub(1, std::memory_order_seq_cst);
    running_.notify_one();
  }
}

void ThreadPool::barrier() {
  if (size_ == 1) return;
  const unsigned phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_seq_cst);
    phase_.notify_all();
  } else {
    waitWhile(phase_, phase);
  }
}

}  // namespace grok1
