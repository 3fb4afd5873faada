#include "files.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <string>

#include "memory.h"
#include "system.h"

namespace grok1 {

#if defined(_WIN32)

namespace {

[[noreturn]] void failLast() { throw Failure("EIO", "a file could not be mapped: system error " + std::to_string(GetLastError())); }

// Node's descriptors are its own C runtime's, not this library's: Node tells the handle behind one.
HANDLE handleOf(int file) {
  using Lookup = void* (*)(int);
  const auto lookup = reinterpret_cast<Lookup>(reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(nullptr), "uv_get_osfhandle")));
  return lookup == nullptr ? INVALID_HANDLE_VALUE : static_cast<HANDLE>(lookup(file));
}

}  // namespace

Mapping::Mapping(int file) {
  const HANDLE handle = handleOf(file);
  LARGE_INTEGER size;
  if (handle == INVALID_HANDLE_VALUE || !GetFileSizeEx(handle, &size)) failLast();
  size_ = uint64_t(size.QuadPart);
  if (size_ == 0) return;
  const HANDLE section = CreateFileMappingW(handle, nullptr, PAGE_READONLY, 0, 0, nullptr);
  if (section == nullptr) failLast();
  data_ = static_cast<const uint8_t*>(MapViewOfFile(section, FILE_MAP_READ, 0, 0, 0));
  CloseHandle(section);  // the view holds it
  if (data_ == nullptr) failLast();
}

Mapping::~Mapping() {
  if (data_ != nullptr) UnmapViewOfFile(data_);
}

void preferLargePages(const uint8_t*, size_t) {}

StreamedFile::StreamedFile(int file) {
  const HANDLE handle = handleOf(file);
  LARGE_INTEGER size;
  if (handle == INVALID_HANDLE_VALUE || !GetFileSizeEx(handle, &size)) failLast();
  size_ = uint64_t(size.QuadPart);
  const DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  through_ = ReOpenFile(handle, GENERIC_READ, shared, 0);
  if (through_ == INVALID_HANDLE_VALUE) failLast();
  past_ = ReOpenFile(handle, GENERIC_READ, shared, FILE_FLAG_NO_BUFFERING);
  // Nobody can say there that nothing is to stay in the page cache.
  ways_.exclude(past_ == INVALID_HANDLE_VALUE ? kPast : kThrough);
}

StreamedFile::~StreamedFile() {
  if (past_ != INVALID_HANDLE_VALUE) CloseHandle(past_);
  CloseHandle(through_);
}

namespace {

int64_t readAll(HANDLE file, uint8_t* to, uint64_t offset, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    OVERLAPPED at{};
    at.Offset = DWORD(offset + done);
    at.OffsetHigh = DWORD((offset + done) >> 32);
    DWORD got = 0;
    if (!ReadFile(file, to + done, DWORD(std::min<size_t>(bytes - done, size_t(1) << 30)), &got, &at)) {
      const DWORD error = GetLastError();
      if (error == ERROR_HANDLE_EOF) break;
      return error == ERROR_INVALID_PARAMETER ? -EINVAL : -EIO;
    }
    if (got == 0) break;
    done += got;
    // A read past the page cache ends in the middle of a block only where the file does.
    if (got % StreamedFile::kAlignment != 0) break;
  }
  return int64_t(done);
}

}  // namespace

int64_t StreamedFile::readThrough(uint8_t* to, uint64_t offset, size_t bytes) const { return readAll(through_, to, offset, bytes); }

#else

namespace {

[[noreturn]] void failWith(const char* what, int error) {
  const char* const code = error == EBADF ? "EBADF" : error == ENOMEM ? "ENOMEM" : error == EACCES ? "EACCES" : "EIO";
  throw Failure(code, std::string("a file could not be ") + what + ": " + std::strerror(error));
}

uint64_t sizeOf(const char* what, int file) {
  struct stat status;
  if (fstat(file, &status) != 0) failWith(what, errno);
  if (!S_ISREG(status.st_mode)) failWith(what, EINVAL);
  return uint64_t(status.st_size);
}

#if defined(__linux__)

int reopen(int file, int flags) { return open(("/proc/self/fd/" + std::to_string(file)).c_str(), O_RDONLY | O_CLOEXEC | flags); }

#endif

// The same file, of which nothing is read that is not asked for, where the system can be told so.
int reopenThrough(int file) {
#if defined(__linux__)
  const int found = reopen(file, 0);
  if (found >= 0) {
    posix_fadvise(found, 0, 0, POSIX_FADV_RANDOM);
    return found;
  }
#endif
  return fcntl(file, F_DUPFD_CLOEXEC, 0);
}

// The same file with another way of reading; -1 where the system has none.
int reopenDirect(int file) {
#if defined(__linux__)
  return reopen(file, O_DIRECT);
#elif defined(__APPLE__)
  char path[PATH_MAX];
  struct stat before, after;
  if (fcntl(file, F_GETPATH, path) != 0 || fstat(file, &before) != 0) return -1;
  const int found = open(path, O_RDONLY | O_CLOEXEC);
  if (found < 0) return -1;
  if (fstat(found, &after) == 0 && after.st_dev == before.st_dev && after.st_ino == before.st_ino && fcntl(found, F_NOCACHE, 1) == 0) return found;
  close(found);
  return -1;
#else
  (void)file;
  return -1;
#endif
}

}  // namespace

Mapping::Mapping(int file) {
  size_ = sizeOf("mapped", file);
  if (size_ == 0) return;
  void* const p = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file, 0);
  if (p == MAP_FAILED) failWith("mapped", errno);
  data_ = static_cast<const uint8_t*>(p);
}

StreamedFile::StreamedFile(int file) {
  size_ = sizeOf("opened again", file);
  through_ = reopenThrough(file);
  if (through_ < 0) failWith("opened again", errno);
  past_ = reopenDirect(file);
  if (past_ < 0) ways_.exclude(kPast);
#if !defined(POSIX_FADV_DONTNEED)
  // Nobody can say there that nothing is to stay in the page cache.
  else ways_.exclude(kThrough);
#endif
}

StreamedFile::~StreamedFile() {
  if (past_ >= 0) close(past_);
  close(through_);
}

namespace {

int64_t readAll(int file, uint8_t* to, uint64_t offset, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(file, to + done, bytes - done, off_t(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -int64_t(errno);
    if (got == 0) break;
    done += size_t(got);
    // A read past the page cache ends in the middle of a block only where the file does.
    if (size_t(got) % StreamedFile::kAlignment != 0) break;
  }
  return int64_t(done);
}

#if defined(__linux__)

// Whether all of a range is in the page cache; false where the system does not tell, which it does since Linux 6.5.
bool isCached(int file, uint64_t offset, size_t bytes) {
  constexpr long kCacheStat = 451;
  struct {
    uint64_t offset, bytes;
  } range{offset, bytes};
  struct {
    uint64_t cached, dirty, writeback, evicted, recentlyEvicted;
  } found{};
  static const size_t page = size_t(sysconf(_SC_PAGESIZE));
  return syscall(kCacheStat, file, &range, &found, 0) == 0 && found.cached * page >= bytes;
}

#endif

}  // namespace

int64_t StreamedFile::readThrough(uint8_t* to, uint64_t offset, size_t bytes) const {
#if defined(__linux__)
  const bool stays = isCached(through_, offset, std::min<uint64_t>(bytes, size_ - std::min(size_, offset)));
#else
  const bool stays = false;
#endif
  const int64_t got = readAll(through_, to, offset, bytes);
#if defined(POSIX_FADV_DONTNEED)
  // What was read is in memory twice otherwise.
  if (!stays) posix_fadvise(through_, off_t(offset), off_t(bytes), POSIX_FADV_DONTNEED);
#endif
  return got;
}

Mapping::~Mapping() {
  if (data_ != nullptr) munmap(const_cast<uint8_t*>(data_), size_);
}

void preferLargePages(const uint8_t* data, size_t bytes) {
#if defined(MADV_HUGEPAGE)
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE)), start = reinterpret_cast<uintptr_t>(data) / page * page;
  madvise(reinterpret_cast<void*>(start), reinterpret_cast<uintptr_t>(data) + bytes - start, MADV_HUGEPAGE);
#else
  (void)data, (void)bytes;
#endif
}

#endif

int64_t StreamedFile::read(uint8_t* to, uint64_t offset, size_t bytes) const {
  const int way = ways_.next();
  const auto began = std::chrono::steady_clock::now();
  const int64_t got = way == kPast ? readAll(past_, to, offset, bytes) : readThrough(to, offset, bytes);
  if (way == kPast && got == -EINVAL) {
    // A file system that opens files so and does not read them, or a drive of larger blocks.
    ways_.exclude(kPast);
    return readThrough(to, offset, bytes);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  if (got > 0) ways_.add(way, size_t(got), took.count());
  return got;
}

}  // namespace grok1
