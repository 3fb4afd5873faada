#include "residency.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>

#include "system.h"
#include "threads.h"

namespace grok1 {

namespace {

// Enough requests under way for a drive to be busy, in pieces that keep its queue full.
constexpr size_t kReaders = 8;
// Of them those that read ahead: what is waited for comes behind what they have begun.
constexpr size_t kReadersAhead = 2;
constexpr size_t kPiece = size_t(4) << 20;
// The weight of the latest piece in what a drive takes for one.
constexpr double kLatest = 0.1;

size_t pageBytes() {
#if defined(_WIN32)
  return 4096;
#else
  static const size_t bytes = size_t(sysconf(_SC_PAGESIZE));
  return bytes;
#endif
}

// Whole pages around a range.
struct Pages {
  uint8_t* start;
  size_t bytes;

  Pages(const uint8_t* data, size_t length) {
    const uintptr_t page = pageBytes(), first = reinterpret_cast<uintptr_t>(data) / page * page;
    start = reinterpret_cast<uint8_t*>(first);
    bytes = (reinterpret_cast<uintptr_t>(data) + length - first + page - 1) / page * page;
  }
};

void touch(const Pages& pages) {
  for (size_t at = 0; at < pages.bytes; at += pageBytes()) (void)*static_cast<volatile const uint8_t*>(pages.start + at);
}

}  // namespace

int bring(const uint8_t* data, size_t bytes) {
  const Pages pages(data, bytes);
#if defined(_WIN32)
  WIN32_MEMORY_RANGE_ENTRY range{pages.start, pages.bytes};
  PrefetchVirtualMemory(GetCurrentProcess(), 1, &range, 0);
#else
  madvise(pages.start, pages.bytes, MADV_WILLNEED);  // all at once: touching alone would ask for a little after the other
#if defined(__linux__)
  constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, since Linux 5.14: touches, and returns an error instead of a signal
  for (;;) {
    if (madvise(pages.start, pages.bytes, kPopulateRead) == 0) return 0;
    if (errno == EINVAL || errno == ENOSYS) break;
    if (errno != EAGAIN && errno != EINTR) return errno == EFAULT ? EIO : errno;
  }
#endif
#endif
  touch(pages);
  return 0;
}

size_t missingBytes(const uint8_t* data, size_t bytes) {
#if defined(_WIN32)
  (void)data, (void)bytes;
  return 0;
#else
  const Pages pages(data, bytes);
  const size_t page = pageBytes();
  unsigned char states[4096];
  size_t missing = 0;
  for (size_t at = 0; at < pages.bytes; at += sizeof(states) * page) {
    const size_t length = std::min(pages.bytes - at, sizeof(states) * page);
#if defined(__APPLE__)
    if (mincore(reinterpret_cast<caddr_t>(pages.start + at), length, reinterpret_cast<char*>(states)) != 0) return 0;
#else
    if (mincore(pages.start + at, length, states) != 0) return 0;
#endif
    for (size_t i = 0; i < length / page; i++) missing += (states[i] & 1) == 0 ? page : 0;
  }
  return missing;
#endif
}

Readers::~Readers() {
  Queue dropped;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (Queue* const queue : {&waited_, &ahead_}) {
      for (auto& job : abandon(*queue)) dropped.push_back(std::move(job));
    }
  }
  wake_.notify_all();
  for (auto& thread : threads_) thread.join();
  for (const auto& job : dropped) job->done(job->outcome);
}

Readers::Queue Readers::abandon(Queue& queue) {
  Queue untouched;
  for (const auto& job : queue) {
    job->outcome = {Outcome::dropped, 0, job->next, 0};
    job->next = job->bytes;
    if (job->pieces == 0) untouched.push_back(job);
  }
  queue.clear();
  return untouched;
}

void Readers::read(size_t bytes, Part part, Done done, int32_t group, bool ahead, size_t drives) {
  auto job = std::make_shared<Job>();
  job->bytes = bytes;
  job->drives = std::max<size_t>(1, drives);
  job->group = group;
  job->part = std::move(part);
  job->done = std::move(done);
  std::unique_lock lock(mutex_);
  try {
    while (drives_.size() < job->drives) drives_.emplace_back();
    while (threads_.size() < kReaders * drives_.size()) threads_.emplace_back([this, drive = threads_.size() / kReaders] { work(drive); });
  } catch (const std::system_error&) {
    if (threads_.empty()) {
      lock.unlock();  // what is called may read further
      return job->done(readPiece(*job, 0, bytes, 0));
    }
  }
  (ahead ? ahead_ : waited_).push_back(std::move(job));
  lock.unlock();
  wake_.notify_all();
}

void Readers::hurry(int32_t group) {
  {
    const std::lock_guard lock(mutex_);
    const auto others = std::stable_partition(ahead_.begin(), ahead_.end(), [group](const auto& job) { return job->group == group; });
    waited_.insert(waited_.end(), ahead_.begin(), others);
    ahead_.erase(ahead_.begin(), others);
  }
  wake_.notify_all();
}

void Readers::drop(int32_t group) {
  Queue dropped;
  {
    const std::lock_guard lock(mutex_);
    const auto others = std::stable_partition(ahead_.begin(), ahead_.end(), [group](const auto& job) { return job->group != group; });
    Queue unwanted(others, ahead_.end());
    ahead_.erase(others, ahead_.end());
    dropped = abandon(unwanted);
  }
  for (const auto& job : dropped) job->done(job->outcome);
}

std::shared_ptr<Readers::Job> Readers::next(size_t drive) {
  Queue& queue = waited_.empty() ? ahead_ : waited_;
  if (queue.empty() || (waited_.empty() && aheadPieces_ >= kReadersAhead * drives_.size())) return nullptr;
  const auto& job = queue.front();
  const double own = drives_[drive].seconds;
  if (job->drives > 1 && own > 0) {
    size_t left = 0;
    for (const auto& each : queue) left += (each->bytes - each->next + kPiece - 1) / kPiece;
    const double rounds = 1 + double(left / kReaders);
    for (size_t other = 0; other < job->drives; other++) {
      const double seconds = drives_[other].seconds;
      if (seconds > 0 && seconds * rounds < own) return nullptr;
    }
  }
  return job;
}

Readers::Outcome Readers::readPiece(const Job& job, size_t at, size_t length, size_t drive) {
  Outcome outcome;
  for (size_t i = 0; i < job.drives; i++) {
    const size_t from = (drive + i) % job.drives;
    const int error = job.part(at, length, from);
    if (error == 0) {
      outcome.kind = Outcome::read;
      return outcome;
    }
    if (i == 0) outcome = {Outcome::failed, error, at, from};
  }
  return outcome;
}

void Readers::work(size_t drive) {
  nameThread("grok1-reader");
  std::unique_lock lock(mutex_);
  for (;;) {
    std::shared_ptr<Job> job;
    wake_.wait(lock, [&] { return stopping_ || (job = next(drive)) != nullptr; });
    if (stopping_) return;
    const size_t at = job->next, length = std::min(kPiece, job->bytes - at);
    job->next += length;
    job->pieces++;
    const bool ahead = waited_.empty();
    if (ahead) aheadPieces_++;
    if (job->next == job->bytes) (ahead ? ahead_ : waited_).pop_front();
    lock.unlock();
    const auto began = std::chrono::steady_clock::now();
    const Outcome outcome = readPiece(*job, at, length, drive % job->drives);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    lock.lock();
    if (ahead) aheadPieces_--;
    if (length == kPiece && job->drives > drive) {
      double& seconds = drives_[drive].seconds;
      seconds += (took.count() - seconds) * (seconds == 0 ? 1 : kLatest);
    }
    const bool worse = job->outcome.kind == Outcome::read && (outcome.kind == Outcome::failed || job->outcome.error == 0);
    if (outcome.error != 0 && worse) job->outcome = outcome;
    if (--job->pieces > 0 || job->next < job->bytes) continue;
    lock.unlock();
    job->done(job->outcome);
    lock.lock();
  }
}

}  // namespace grok1
