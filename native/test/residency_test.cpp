// Checks that bytes can be brought where no thread can be had, also by who is told of others; how drives share pieces; which of two ways is taken.
//
// Build and run: native/test/run.sh residency.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <thread>

#include "../arrival.h"
#include "../faster-way.h"
#include "../files.h"
#include "../residency.h"

using namespace grok1;

static std::atomic<bool> threads{false};

// In place of the system's: no thread can be had for a while.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  static const auto real = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return threads ? real(thread, attributes, run, argument) : EAGAIN;
}

static int failed = 0;
static void expect(bool good, const char* what) {
  if (good) return;
  std::printf("not so: %s\n", what);
  failed = 1;
}

static void withoutThreads() {
  const auto bytes = std::make_shared<std::vector<uint8_t>>(size_t(1) << 16);
  const std::shared_ptr<const uint8_t> data(bytes, bytes->data());
  int outer = 0, inner = 0;
  Readers readers;
  const auto part = [data](size_t at, size_t length, size_t) { return bring(data.get() + at, length); };
  readers.read(bytes->size(), part, [&](const Readers::Outcome& first) {
    outer += first.kind == Readers::Outcome::read;
    readers.read(bytes->size(), part, [&](const Readers::Outcome& second) { inner += second.kind == Readers::Outcome::read; });
  });
  expect(outer == 1 && inner == 1, "without threads all is read by who asks");
}

constexpr size_t kPiece = size_t(4) << 20;

struct Shared {
  Readers::Outcome outcome;
  int pieces[2] = {0, 0};
  bool once = true;
};

// Pieces that two drives take so many milliseconds for each, or cannot read (-1).
static Shared share(size_t pieces, int first, int second) {
  Shared result;
  std::vector<std::atomic<int>> read(pieces);
  std::atomic<int> taken[2] = {0, 0};
  std::promise<Readers::Outcome> done;
  {
    Readers readers;
    const int took[2] = {first, second};
    readers.read(
        pieces * kPiece,
        [&](size_t at, size_t, size_t drive) {
          if (took[drive] < 0) return EIO;
          std::this_thread::sleep_for(std::chrono::milliseconds(took[drive]));
          read[at / kPiece]++;
          taken[drive]++;
          return 0;
        },
        [&](const Readers::Outcome& outcome) { done.set_value(outcome); }, -1, false, 2);
    result.outcome = done.get_future().get();
  }
  for (const auto& times : read) result.once = result.once && times == 1;
  for (int drive = 0; drive < 2; drive++) result.pieces[drive] = taken[drive];
  return result;
}

static void drivesShare() {
  const Shared alike = share(200, 5, 5);
  expect(alike.once && alike.outcome.kind == Readers::Outcome::read && alike.outcome.error == 0, "drives that are alike read every piece once");
  expect(alike.pieces[0] >= 50 && alike.pieces[1] >= 50, "drives that are alike share");
  const Shared unlike = share(200, 2, 60);
  expect(unlike.once && unlike.pieces[1] >= 1 && unlike.pieces[1] <= 50, "a slow drive takes few pieces");
  const Shared broken = share(20, -1, 1);
  expect(broken.once && broken.pieces[1] == 20 && broken.outcome.kind == Readers::Outcome::read, "what one drive cannot read another does");
  expect(broken.outcome.error == EIO && broken.outcome.drive == 0, "whoever asked is told of which drive");
  const Shared none = share(20, -1, -1);
  expect(none.outcome.kind == Readers::Outcome::failed && none.outcome.error == EIO, "what no drive can read fails");
}

static void unwantedIsDropped() {
  std::atomic<int> read[2] = {0, 0};
  std::promise<Readers::Outcome> done[2];
  Readers readers;
  for (const int group : {0, 1}) {
    readers.read(
        100 * kPiece,
        [&read, group](size_t, size_t, size_t) {
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          read[group]++;
          return 0;
        },
        [&done, group](const Readers::Outcome& outcome) { done[group].set_value(outcome); }, group, true);
  }
  readers.drop(0);
  const Readers::Outcome dropped = done[0].get_future().get(), other = done[1].get_future().get();
  expect(dropped.kind == Readers::Outcome::dropped && dropped.at == read[0] * kPiece && read[0] < 100, "of what is dropped no more is begun");
  expect(other.kind == Readers::Outcome::read && read[1] == 100, "what is wanted is read to its end");
}

// How many of so many pieces go the second way, at so many bytes a millisecond.
static int second(FasterWay& ways, int pieces, double first, double other) {
  int taken = 0;
  for (int i = 0; i < pieces; i++) {
    const int way = ways.next();
    taken += way;
    ways.add(way, kPiece, double(kPiece) / 1000 / (way == FasterWay::kFirst ? first : other));
  }
  return taken;
}

static void waysAreMeasured() {
  FasterWay ways;
  expect(second(ways, 16, 2000, 800) == 8, "both ways are tried in turn");
  expect(second(ways, 4000, 2000, 800) <= 12, "the slower one is tried ever more rarely");
  expect(second(ways, 4000, 2000, 9000) > 2500, "one that has become faster is taken");
  expect(second(ways, 4000, 2000, 2050) < 500, "of two that are alike it is the first");
  ways.exclude(FasterWay::kFirst);
  expect(second(ways, 100, 9000, 1) == 100 && ways.rate(FasterWay::kFirst) == 0, "what cannot be is not tried");
  FasterWay small;
  small.add(FasterWay::kSecond, 4096, 1e-9);
  expect(small.rate(FasterWay::kSecond) == 0, "small pieces say nothing");
}

// Of a file that is streamed, in a folder: what was in the page cache before stays, and nothing else does.
static void cacheIsLeftAlone(const std::string& folder) {
  std::string path = folder + "/streamed-XXXXXX";
  const int file = mkstemp(path.data());
  std::vector<uint8_t> bytes(32 * kPiece / 4, 7), to(kPiece + StreamedFile::kAlignment);
  uint8_t* const aligned = to.data() + (StreamedFile::kAlignment - reinterpret_cast<uintptr_t>(to.data()) % StreamedFile::kAlignment);
  bool written = file >= 0;
  for (size_t i = 0; i < 4; i++) written = written && write(file, bytes.data(), bytes.size()) == ssize_t(bytes.size());
  const size_t size = 4 * bytes.size();
  written = written && fsync(file) == 0 && posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED) == 0;
  expect(written, "a file could be written");
  const Mapping mapping(file);
  // A file system in memory has it for good.
  if (missingBytes(mapping.data(), size) == size) {
    StreamedFile streamed(file);
    bool same = true;
    const auto readAll = [&] {
      for (size_t at = 0; at < size; at += kPiece) {
        same = same && streamed.read(aligned, at, kPiece) == int64_t(kPiece) && aligned[0] == 7 && aligned[kPiece - 1] == 7;
      }
    };
    readAll();
    expect(missingBytes(mapping.data(), size) == size, "nothing stays in the page cache");
    expect(streamed.rate(true) > 0, "some was read through it");
    // The system may read some more ahead. A piece of which only a part was there is not told from one that was not.
    bring(mapping.data(), size / 2);
    readAll();
    expect(missingBytes(mapping.data(), size / 2) == 0, "what was there stays");
    expect(missingBytes(mapping.data() + size / 4 * 3, size / 4) == size / 4, "and nothing else does");
    expect(same, "all ways read the same bytes");
  }
  close(file);
  unlink(path.c_str());
}

// Pieces come in any order, to several who wait.
static void rowsAreAwaited() {
  constexpr size_t kPieces = 9, kLength = 1000, kLead = 300, kBytes = kPieces * kLength - kLead, kRow = 70;
  const auto never = [] { return false; };
  for (size_t order = 0; order < 50; order++) {
    Arrival arrival(kPieces * kLength, kLead);
    std::vector<std::atomic<bool>> came(kPieces);
    std::atomic<size_t> next{0}, early{0};
    std::thread waiting[2];
    for (auto& thread : waiting) {
      thread = std::thread([&] {
        for (size_t row; (row = next++) * kRow < kBytes;) {
          const size_t from = row * kRow, until = std::min(kBytes, from + kRow);
          if (!arrival.await(from, until, never)) early++;
          for (size_t i = (kLead + from) / kLength; i <= (kLead + until - 1) / kLength; i++) early += came[i] ? 0 : 1;
        }
      });
    }
    for (size_t i = 0; i < kPieces; i++) {
      const size_t piece = (i * (1 + order % 8) + order) % kPieces;  // a stride that has no factor of nine, or else some of them late
      came[piece] = true;
      arrival.came(piece * kLength, kLength);
    }
    for (size_t i = 0; i < kPieces; i++) {
      came[i] = true;
      arrival.came(i * kLength, kLength);
    }
    for (auto& thread : waiting) thread.join();
    expect(early == 0, "nobody goes on before his rows are there");
    expect(!arrival.isWhole(), "it is whole when that was said");
    arrival.end(true);
    expect(arrival.isWhole(), "it is whole");
  }
  Arrival lost(2 * kLength, 0);
  lost.came(kLength, kLength);
  int asked = 0;
  expect(lost.await(kLength, 2 * kLength, never), "what came is there");
  expect(!lost.await(0, 1, [&] { return ++asked == 3; }) && asked == 3, "what nobody wants any more is left");
  std::thread end([&] { lost.end(false); });
  expect(!lost.await(0, 1, never), "what never comes is not waited for");
  end.join();
}

int main(int argc, char** arguments) {
  withoutThreads();
  threads = true;
  drivesShare();
  unwantedIsDropped();
  rowsAreAwaited();
  waysAreMeasured();
  cacheIsLeftAlone(argc > 1 ? arguments[1] : ".");
  return failed;
}
