#include "memory.h"

#include <cstring>
#include <new>
#include <string>

#include "system.h"

namespace grok1 {

namespace {

constexpr size_t kLarge = size_t(1) << 20;
#if !defined(_WIN32)
constexpr size_t kLargePage = size_t(2) << 20;
#endif
constexpr size_t kSpare = 64;
constexpr std::align_val_t kAlign{64};

}  // namespace

Memory::Memory(size_t bytes) {
  if (bytes > SIZE_MAX / 2) throw Failure("ERR_MEMORY", "a buffer of impossible size was asked for");
  size_ = bytes;
  const size_t total = bytes + kSpare;
#if !defined(_WIN32)
  if (total >= kLarge) {
    // Not reserved: a cache may be larger than what its sequences will ever fill. A large page has to lie in the mapping whole, so a
    // mapping that could hold one begins at one.
    const size_t mapped = total < kLargePage ? total : total + kLargePage;
    void* p = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw Failure("ERR_MEMORY", "no memory for " + std::to_string(bytes) + " bytes");
    mapping_ = p;
    mapped_ = mapped;
    data_ = static_cast<uint8_t*>(p);
    if (mapped > total) data_ += (kLargePage - reinterpret_cast<uintptr_t>(p) % kLargePage) % kLargePage;
#if defined(MADV_HUGEPAGE)
    madvise(data_, total, MADV_HUGEPAGE);
#endif
    return;
  }
#else
  if (total >= kLarge) {
    void* p = VirtualAlloc(nullptr, total, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (p == nullptr) throw Failure("ERR_MEMORY", "no memory for " + std::to_string(bytes) + " bytes");
    data_ = static_cast<uint8_t*>(p);
    mapping_ = p;
    return;
  }
#endif
  data_ = static_cast<uint8_t*>(::operator new(total, kAlign));
  std::memset(data_, 0, total);
}

Memory::~Memory() {
  if (mapping_ == nullptr) {
    ::operator delete(data_, kAlign);
    return;
  }
#if defined(_WIN32)
  VirtualFree(mapping_, 0, MEM_RELEASE);
#else
  munmap(mapping_, mapped_);
#endif
}

void giveBack(const Memory& memory) {
#if defined(_WIN32)
  (void)memory;  // nobody asks for it there
#else
  // Whole pages that are in it.
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE)), first = reinterpret_cast<uintptr_t>(memory.data());
  const uintptr_t start = (first + page - 1) / page * page, end = (first + memory.size()) / page * page;
  if (memory.size() >= kLarge && start < end) madvise(reinterpret_cast<void*>(start), end - start, MADV_DONTNEED);
#endif
}

}  // namespace grok1
