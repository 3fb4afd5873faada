#include "files.h"

#include <algorithm>
#include <cerrno>
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

DirectFile::DirectFile(int file, bool direct) {
  const HANDLE handle = handleOf(file);
  LARGE_INTEGER size;
  if (handle == INVALID_HANDLE_VALUE || !GetFileSizeEx(handle, &size)) failLast();
  size_ = uint64_t(size.QuadPart);
  const DWORD shared = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  if (direct) file_ = ReOpenFile(handle, GENERIC_READ, shared, FILE_FLAG_NO_BUFFERING);
  direct_ = direct && file_ != INVALID_HANDLE_VALUE;
  if (!direct_) file_ = ReOpenFile(handle, GENERIC_READ, shared, 0);
  if (file_ == INVALID_HANDLE_VALUE) failLast();
}

DirectFile::~DirectFile() { CloseHandle(file_); }

int64_t DirectFile::read(uint8_t* to, uint64_t offset, size_t bytes) const {
  size_t done = 0;
  while (done < bytes) {
    OVERLAPPED at{};
    at.Offset = DWORD(offset + done);
    at.OffsetHigh = DWORD((offset + done) >> 32);
    DWORD got = 0;
    if (!ReadFile(file_, to + done, DWORD(std::min<size_t>(bytes - done, size_t(1) << 30)), &got, &at)) {
      if (GetLastError() == ERROR_HANDLE_EOF) break;
      return -EIO;
    }
    if (got == 0) break;
    done += got;
    if (direct_ && got % kAlignment != 0) break;
  }
  return int64_t(done);
}

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

// The same file with another way of reading; -1 where the system has none.
int reopenDirect(int file) {
#if defined(__linux__)
  return open(("/proc/self/fd/" + std::to_string(file)).c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
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

DirectFile::DirectFile(int file, bool direct) {
  size_ = sizeOf("opened again", file);
  if (direct) file_ = reopenDirect(file);
  direct_ = file_ >= 0;
  if (!direct_) file_ = fcntl(file, F_DUPFD_CLOEXEC, 0);
  if (file_ < 0) failWith("opened again", errno);
}

DirectFile::~DirectFile() { close(file_); }

int64_t DirectFile::read(uint8_t* to, uint64_t offset, size_t bytes) const {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(file_, to + done, bytes - done, off_t(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -int64_t(errno);
    if (got == 0) break;
    done += size_t(got);
    // A direct read ends in the middle of a block only where the file does.
    if (direct_ && size_t(got) % kAlignment != 0) break;
  }
#if defined(POSIX_FADV_DONTNEED)
  // What was read is in memory twice otherwise.
  if (!direct_) posix_fadvise(file_, off_t(offset), off_t(bytes), POSIX_FADV_DONTNEED);
#endif
  return int64_t(done);
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

}  // namespace grok1
