/* A drive that fails: preloaded into a program, reads of one file from one byte on give EIO for as long as another file exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(int file, off_t end) {
  const char *flag = getenv("FAILING_WHILE"), *name = getenv("FAILING_FILE"), *from = getenv("FAILING_FROM");
  char link[64], path[4096];
  if (flag == NULL || name == NULL || from == NULL || end <= atoll(from) || access(flag, F_OK) != 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strcmp(path, name) == 0;
}

ssize_t pread64(int file, void *to, size_t bytes, off_t offset) {
  static ssize_t (*real)(int, void *, size_t, off_t);
  if (real == NULL) real = (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread64");
  if (!fails(file, offset + (off_t)bytes)) return real(file, to, bytes, offset);
  errno = EIO;
  return -1;
}

ssize_t pread(int file, void *to, size_t bytes, off_t offset) { return pread64(file, to, bytes, offset); }
