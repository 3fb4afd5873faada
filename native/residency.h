// Which bytes of mapped files are in memory, and threads that bring those that are not: kernels then never wait in a page fault,
// which would hold up all threads of a pool at its next barrier.
#pragma once

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

// Brings bytes of a mapping into memory. 0, or the system's error.
int bring(const uint8_t* data, size_t bytes);

// Threads that wait for drives, so that none that computes has to.
class Readers {
 public:
  struct Outcome {
    enum Kind { read, failed, dropped } kind = read;
    int error = 0;   // the system's, of what failed, or kEnded where the file ended
    size_t at = 0;   // from the job's beginning: the piece that failed, or the first that was not begun
    size_t drive = 0;  // that it failed on; of what was read, one where a piece failed that another has, if there is an error
  };
  using Done = std::function<void(const Outcome&)>;
  // Reads [at, at + length) of a job from one of its drives. What is wrong with it as an error of the system's, kEnded where there is no more, or 0.
  using Part = std::function<int(size_t at, size_t length, size_t drive)>;
  static constexpr int kEnded = -1;

  Readers() = default;
  // Drops what was not begun, and waits for the pieces that are being read.
  ~Readers();
  Readers(const Readers&) = delete;
  Readers& operator=(const Readers&) = delete;

  // Calls `part` for all of [0, bytes) piece by piece, several at a time, then `done` once, on any thread, this one where no other can be
  // had. First come, first served; those that are read ahead after all that are waited for. What it throws it throws before anything is begun.
  // Where several drives have the same bytes, each takes the next piece when it is done with one, unless another was measured to be through with
  // all before it would be; a piece that one cannot read is asked of the others.
  void read(size_t bytes, Part part, Done done, int32_t group = -1, bool ahead = false, size_t drives = 1);
  // Those of a group that are read ahead are waited for from now on.
  void hurry(int32_t group);
  // Those of a group that are read ahead, and not to their end yet, are dropped: pieces that are being read are the last.
  void drop(int32_t group);

 private:
  struct Job {
    size_t bytes, next = 0;
    size_t drives;
    int pieces = 0;  // being read
    int32_t group;
    Part part;
    Outcome outcome;
    Done done;
  };
  using Queue = std::deque<std::shared_ptr<Job>>;

  // A drive that a job's bytes are read from: readers that do nothing else, and the seconds that one of them takes for a piece, 0 until it is known.
  struct Drive {
    double seconds = 0;
  };

  void work(size_t drive);
  // Nothing more of what is in a queue is begun: those of which no piece is being read, which nobody else will tell of.
  static Queue abandon(Queue& queue);
  // The next piece for a drive to read; null where it should not.
  std::shared_ptr<Job> next(size_t drive);
  // One piece, from a drive or, where it fails, from the job's others.
  static Outcome readPiece(const Job& job, size_t at, size_t length, size_t drive);

  std::mutex mutex_;
  std::condition_variable wake_;
  Queue waited_, ahead_;
  size_t aheadPieces_ = 0;  // being read
  std::vector<std::thread> threads_;
  std::vector<Drive> drives_;
  bool stopping_ = false;
};

}  // namespace grok1
