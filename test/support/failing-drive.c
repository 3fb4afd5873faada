/* A drive that fails: preloaded into a program, reads of one file from one byte on give EIO for as long as another file exists. Or a file system that knows
   no way past the page cache: FAILING_DIRECT is "open" where it refuses to open a file so, "read" where it refuses to read it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
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

static int refuses(const char *what, int flags) {
  const char *how = getenv("FAILING_DIRECT");
  if (how == NULL || strcmp(how, what) != 0 || (flags & O_DIRECT) == 0) return 0;
  errno = EINVAL;
  return 1;
}

ssize_t pread64(int file, void *to, size_t bytes, off_t offset) {
  static ssize_t (*real)(int, void *, size_t, off_t);
  if (real == NULL) real = (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread64");
  if (refuses("read", fcntl(file, F_GETFL))) return -1;
  if (!fails(file, offset + (off_t)bytes)) return real(file, to, bytes, offset);
  errno = EIO;
  return -1;
}

ssize_t pread(int file, void *to, size_t bytes, off_t offset) { return pread64(file, to, bytes, offset); }

int open64(const char *path, int flags, ...) {
  static int (*real)(const char *, int, mode_t);
  if (real == NULL) real = (int (*)(const char *, int, mode_t))dlsym(RTLD_NEXT, "open64");
  if (refuses("open", flags)) return -1;
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(rest, mode_t) : 0;
  va_end(rest);
  return open64(path, flags, mode);
}
