// Checks that bytes can be brought where no thread can be had, also by who is told of others.
//
// Build and run: native/test/run.sh residency.
#include <pthread.h>

#include <cerrno>
#include <cstdio>

#include "../residency.h"

using namespace grok1;

// In place of the system's: no thread can be had.
extern "C" int pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) { return EAGAIN; }

int main() {
  const auto bytes = std::make_shared<std::vector<uint8_t>>(size_t(1) << 16);
  const std::shared_ptr<const uint8_t> data(bytes, bytes->data());
  int outer = 0, inner = 0;
  Readers readers;
  const auto part = [data](size_t at, size_t length, size_t) { return bring(data.get() + at, length); };
  readers.read(bytes->size(), part, [&](const Readers::Outcome& first) {
    outer += first.kind == Readers::Outcome::read;
    readers.read(bytes->size(), part, [&](const Readers::Outcome& second) { inner += second.kind == Readers::Outcome::read; });
  });
  std::printf("%d %d\n", outer, inner);
  return outer == 1 && inner == 1 ? 0 : 1;
}
