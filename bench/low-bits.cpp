// Products of one token with rows of few bits a weight, beside llama.cpp's own kernels and plain reading of the same bytes, in one run.
// Built and called by bench/low-bits.mjs, which says what is measured; prints a line of JSON for each type and instruction set.
//
//   low-bits PEER isas types threads rounds columns    e.g. /a/folder/of/libggml avx2,avx512 tq2_0,mxfp4 1,2 9 6144
#include <dlfcn.h>
#include <immintrin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <memory>
#include <string>

#include "../native/panels.h"
#include "../native/rows.h"
#include "../native/test/random.h"

using namespace grok1;

// ---- llama.cpp's processor backend, by its public interface (ggml-cpu.h) ----

struct PeerTraits {
  void (*quantize)(const float* x, void* out, int64_t columns);
  void (*dot)(int columns, float* out, size_t, const void* row, size_t, const void* x, size_t, int rows);
  int xType;
  int64_t rows;
};
using TraitsOf = const PeerTraits* (*)(int type);

[[noreturn]] static void giveUp(const char* why) {
  std::fprintf(stderr, "low-bits: %s\n", why);
  std::exit(1);
}

// Each of its builds has the same names: none sees another's. No folder: no peer.
static TraitsOf openPeer(const std::string& folder, const char* build) {
  if (folder.empty()) return nullptr;
  if (dlopen((folder + "/libggml-base.so").c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) giveUp(dlerror());
  void* const library = dlopen((folder + "/libggml-cpu-" + build + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) giveUp(dlerror());
  const auto init = reinterpret_cast<void (*)()>(dlsym(library, "ggml_cpu_init"));
  const auto traits = reinterpret_cast<TraitsOf>(dlsym(library, "ggml_get_type_traits_cpu"));
  if (init == nullptr || traits == nullptr) giveUp("the peer's library has not the functions of ggml-cpu.h");
  init();
  return traits;
}

// The build that uses as much of a processor.
static const char* peerBuild(Isa isa) {
  return isa == Isa::avx512vbmi ? "zen4" : isa == Isa::avx512 ? "cascadelake" : isa == Isa::avxvnni ? "alderlake" : "haswell";
}

// ---- timing ----

// A thread's own processor time: others on the machine disturb it less.
static double threadTime() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
}

// Seconds of the slowest thread, each with its own share of the rows.
static double timeRows(ThreadPool& pool, int64_t rows, int repeat, const std::function<void(int64_t, int64_t)>& f) {
  std::vector<double> times(size_t(pool.size()));
  pool.run([&](int thread, int threads) {
    const int64_t from = rows * thread / threads / 4 * 4, to = thread + 1 == threads ? rows : rows * (thread + 1) / threads / 4 * 4;
    pool.barrier();
    const double start = threadTime();
    for (int i = 0; i < repeat; i++) f(from, to);
    times[size_t(thread)] = threadTime() - start;
  });
  return *std::max_element(times.begin(), times.end()) / repeat;
}

static double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + int64_t(values.size() / 2), values.end());
  return values[values.size() / 2];
}

static volatile int sink;

__attribute__((target("avx2"))) static void readBytes(const uint8_t* p, int64_t bytes) {
  __m256i s[8] = {};
  for (int64_t k = 0; k + 256 <= bytes; k += 256) {
    for (int line = 0; line < 256; line += 64) _mm_prefetch((const char*)(p + k + 8192 + line), _MM_HINT_T1);
    for (int j = 0; j < 8; j++) s[j] = _mm256_xor_si256(s[j], _mm256_loadu_si256((const __m256i*)(p + k + 32 * j)));
  }
  for (int j = 1; j < 8; j++) s[0] = _mm256_xor_si256(s[0], s[j]);
  sink = _mm256_extract_epi32(s[0], 0);
}

// ---- one type ----

struct Times {
  std::vector<double> read, ours, peer, share, ratio;
};

static Times measure(ThreadPool& pool, Isa isa, TraitsOf peer, int type, int64_t rows, int64_t cols, const Memory& bytes, int rounds) {
  const int64_t rowBytes = cols / blockSize(type).elements * blockSize(type).bytes;
  const WeightRef weight = {bytes.data(), type, rows, cols, size_t(rowBytes)};
  std::vector<float> x(static_cast<size_t>(cols)), out(static_cast<size_t>(rows)), peerOut(static_cast<size_t>(rows));
  Random random(3);
  for (float& v : x) v = random.normal();
  const Products& products = productsOf(isa);
  RowActs acts(weight);
  Memory actBytes(acts.digitBytes), peerActs(size_t(cols) * 8);
  acts.data = actBytes.data();
  for (int64_t piece = 0; piece < acts.pieces(); piece++) acts.pack(products, 0, x.data(), piece);
  const PeerTraits* const traits = peer == nullptr ? nullptr : peer(type);
  if (traits != nullptr) peer(traits->xType)->quantize(x.data(), peerActs.data(), cols);

  // At least 8 MB a measurement: what starts it is then a thousandth.
  const int repeat = int(std::max<int64_t>(1, (int64_t(8) << 20) / (rows * rowBytes)));
  Times times;
  for (int round = 0; round <= rounds; round++) {
    const double read = timeRows(pool, rows, repeat, [&](int64_t from, int64_t to) { readBytes(bytes.data() + from * rowBytes, (to - from) * rowBytes); });
    const double ours = timeRows(pool, rows, repeat, [&](int64_t from, int64_t to) {
      const void* const tokens[] = {acts.token(0)};
      streamRows(products, weight, from, to, tokens, 1, out.data() + from, rows);
    });
    double other = 0;
    if (traits != nullptr) {
      other = timeRows(pool, rows, repeat, [&](int64_t from, int64_t to) {
        for (int64_t r = from; r < to; r++) traits->dot(int(cols), &peerOut[size_t(r)], 0, bytes.data() + r * rowBytes, 0, peerActs.data(), 0, 1);
      });
    }
    if (round == 0) continue;  // warms up
    times.read.push_back(read);
    times.ours.push_back(ours);
    times.peer.push_back(other);
    times.share.push_back(read / ours);
    times.ratio.push_back(other / ours);
  }
  if (traits != nullptr) {
    double difference = 0, size = 0;
    for (size_t r = 0; r < out.size(); r++) {
      difference += double(out[r] - peerOut[r]) * double(out[r] - peerOut[r]);
      size += double(out[r]) * double(out[r]);
    }
    if (!(difference <= 1e-3 * size)) giveUp("llama.cpp's products are others");
  }
  return times;
}

static std::vector<std::string> listOf(const char* text) {
  std::vector<std::string> items(1);
  for (; *text != 0; text++) {
    if (*text == ',') items.emplace_back();
    else items.back() += *text;
  }
  return items;
}

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const auto isas = listOf(argv[2]), types = listOf(argv[3]), threads = listOf(argv[4]);
  const int rounds = std::atoi(argv[5]);
  const int64_t cols = std::atoll(argv[6]);
  const auto has = [](const std::vector<std::string>& list, const char* name) { return std::find(list.begin(), list.end(), name) != list.end(); };
  std::vector<std::unique_ptr<ThreadPool>> pools;
  for (const auto& count : threads) pools.push_back(std::make_unique<ThreadPool>(std::atoi(count.c_str())));
  Random random(1);
  for (const int type : kTypes) {
    if (!has(types, typeName(type))) continue;
    const auto some = randomWeights(type, 64, cols, random);
    const int64_t rowBytes = int64_t(some.size()) / 64;
    Memory bytes(size_t(128) << 20);
    const int64_t all = int64_t(bytes.size()) / rowBytes / 64 * 64 - 64;  // rows behind the last are asked for ahead
    for (int64_t r = 0; r < all + 64; r += 64) std::memcpy(bytes.data() + size_t(r * rowBytes), some.data(), some.size());
    for (const Isa isa : kIsas) {
      if (!has(isas, isaName(isa)) || !isaUsable(isa)) continue;
      const TraitsOf peer = openPeer(argv[1], peerBuild(isa));
      for (const auto& pool : pools) {
        for (const bool cached : {true, false}) {
          // Half a megabyte for each thread stays in its second cache.
          const int64_t rows = cached ? (int64_t(1) << 19) / rowBytes / 4 * 4 * pool->size() : all;
          const Times t = measure(*pool, isa, peer, type, rows, cols, bytes, rounds);
          const double to256 = 256e9 / double(rows * cols) * pool->size();  // nanoseconds of a thread for 256 columns
          std::printf("{\"type\":\"%s\",\"isa\":\"%s\",\"threads\":%d,\"cached\":%s,\"bytes\":%d,\"read\":%.4g,\"ours\":%.4g,\"share\":%.4g", typeName(type),
                      isaName(isa), pool->size(), cached ? "true" : "false", traitsOf(type).unit, median(t.read) * to256, median(t.ours) * to256,
                      median(t.share));
          if (peer != nullptr) std::printf(",\"peer\":%.4g,\"ratio\":%.4g,\"build\":\"%s\"", median(t.peer) * to256, median(t.ratio), peerBuild(isa));
          std::printf("}\n");
          std::fflush(stdout);
        }
      }
    }
  }
  return 0;
}
