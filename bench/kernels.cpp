// Kernel bench: products of every type against the arithmetic peak and the read bandwidth measured in the same run.
//
//   native/test/run.sh bench [threads] [isa] [types] [rows] [cols] [tokens]     e.g. 2 avx512 q4_0,q8_0
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include <immintrin.h>

#include "../native/matmul.h"
#include "../native/test/random.h"

using namespace grok1;

// With one thread, time is the processor's, which other load on the machine disturbs less.
static bool cpuTime = false;

static double now() {
  timespec time;
  clock_gettime(cpuTime ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
  return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
}

// Best of `count`: what the machine can do when nobody else is on it.
template <class F>
static double best(int count, F f) {
  double time = 1e9;
  for (int i = 0; i < count; i++) {
    const double start = now();
    f();
    time = std::min(time, now() - start);
  }
  return time;
}

static volatile float sink;

static double floatPeak(ThreadPool& pool) {  // FLOP/s of fused multiply-adds
  const int64_t rounds = 1000000;
  const double time = best(5, [&] {
    pool.run([&](int, int) {
#if defined(__AVX512F__)
      __m512 s[12];
      for (auto& v : s) v = _mm512_set1_ps(1);
      __m512 a = _mm512_set1_ps(0.999f);
      for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
        for (auto& v : s) v = _mm512_fmadd_ps(v, a, a);
        asm volatile("" : "+v"(a));
      }
      float total = 0;
      for (auto& v : s) total += _mm512_reduce_add_ps(v);
#else
      __m256 s[12];
      for (auto& v : s) v = _mm256_set1_ps(1);
      __m256 a = _mm256_set1_ps(0.999f);
      for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
        for (auto& v : s) v = _mm256_fmadd_ps(v, a, a);
        asm volatile("" : "+x"(a));
      }
      float total = 0;
      for (auto& v : s) total += v[0];
#endif
      sink = total;
    });
  });
#if defined(__AVX512F__)
  return double(rounds) * 12 * 32 * pool.size() / time;
#else
  return double(rounds) * 12 * 16 * pool.size() / time;
#endif
}

static double bytePeak(ThreadPool& pool, bool avx512) {  // operations/s of 8-bit products
  const int64_t rounds = 1000000;
  int64_t macs = 0;
  const double time = best(5, [&] {
    pool.run([&](int, int) {
#if defined(__AVX512VNNI__)
      if (avx512) {
        __m512i s[12], a = _mm512_set1_epi8(1);
        for (auto& v : s) v = a;
        for (int64_t i = 0; i < rounds; i++) {
  #pragma GCC unroll 12
        for (int j = 0; j < 12; j++) s[j] = _mm512_dpbusd_epi32(s[j], a, a);
          asm volatile("" ::: "memory");
          asm volatile("" : "+v"(a));
        }
        int total = 0;
        for (auto& v : s) total += _mm512_reduce_add_epi32(v);
        sink = float(total);
        macs = 12 * 64;
        return;
      }
#endif
      (void)avx512;
      __m256i s[6], a = _mm256_set1_epi8(1);
      for (auto& v : s) v = a;
      for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
        for (int j = 0; j < 6; j++) {
          s[j] = _mm256_add_epi16(s[j], _mm256_maddubs_epi16(a, a));
          asm volatile("" : "+x"(a));  // or the six products are one
        }
      }
      int total = 0;
      for (auto& v : s) total += _mm256_extract_epi32(v, 0);
      sink = float(total);
      macs = 6 * 32;
    });
  });
  return double(rounds) * double(macs) * 2 * pool.size() / time;
}

static double bandwidth(ThreadPool& pool, const Memory& memory, int count) {  // bytes/s read
  const int64_t piece = 1 << 20, pieces = int64_t(memory.size()) / piece;
  const double time = best(count, [&] {
    pool.run([&](int, int) {
      __m256i s[4] = {};
      for (int64_t i; (i = pool.next()) < pieces;) {
        const uint8_t* p = memory.data() + i * piece;
        for (int64_t k = 0; k < piece; k += 128) {
          _mm_prefetch((const char*)(p + k + 2048), _MM_HINT_T0);
          _mm_prefetch((const char*)(p + k + 2112), _MM_HINT_T0);
          for (int j = 0; j < 4; j++) s[j] = _mm256_xor_si256(s[j], _mm256_loadu_si256((const __m256i*)(p + k + 32 * j)));
        }
      }
      sink = float(_mm256_extract_epi32(_mm256_xor_si256(_mm256_xor_si256(s[0], s[1]), _mm256_xor_si256(s[2], s[3])), 0));
    });
  });
  return double(pieces * piece) / time;
}

// Median microseconds of f(i), for i from 0 on.
template <class F>
static double medianOf(int count, F f) {
  std::vector<double> times;
  for (int i = 0; i < count; i++) {
    const double start = now();
    f(i);
    times.push_back(now() - start);
  }
  std::nth_element(times.begin(), times.begin() + count / 2, times.end());
  return times[size_t(count) / 2] * 1e6;
}

// What every operation of a small model pays, and the products of one (SmolLM2-135M), over weights that come from memory in turn.
static void smallOperations(ThreadPool& pool, Isa isa, Random& random) {
  const auto nothing = [](int, int) {};
  std::printf("empty job: start and join %.2f us", medianOf(20000, [&](int) { pool.run(nothing); }));
  std::printf(", with a barrier %.2f us\n", medianOf(20000, [&](int) { pool.run([&](int, int) { pool.barrier(); }); }));
  struct {
    int64_t rows, cols;
    int terms;
  } const shapes[] = {{192, 576, 1}, {192, 576, 2}, {576, 576, 1}, {1536, 576, 1}, {576, 1536, 1}};
  Arena arena;
  std::printf("q4_1 products of one token:");
  for (const auto& shape : shapes) {
    const auto one = randomWeights(Q4_1, shape.rows, shape.cols, random);
    const size_t count = (size_t(128) << 20) / one.size();
    Memory many(count * one.size());
    for (size_t i = 0; i < count; i++) std::memcpy(many.data() + i * one.size(), one.data(), one.size());
    std::vector<float> x(size_t(shape.cols)), out(size_t(shape.rows));
    for (float& v : x) v = random.normal();
    const double time = medianOf(int(count), [&](int i) {
      const WeightRef weight = {many.data() + size_t(i) * one.size(), Q4_1, shape.rows, shape.cols, one.size() / size_t(shape.rows), shape.terms};
      matmul(pool, isa, weight, x.data(), 1, shape.cols, out.data(), shape.rows, arena);
    });
    std::printf(" [%lld, %lld]%s %.1f us", (long long)shape.rows, (long long)shape.cols, shape.terms == 2 ? " in two terms" : "", time);
  }
  std::printf("\n");
}

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
  const std::string wanted = argc > 2 ? argv[2] : "", types = argc > 3 ? argv[3] : "";
  const int64_t rows = argc > 4 ? std::atoll(argv[4]) : 4096, cols = argc > 5 ? std::atoll(argv[5]) : 6144;
  const int64_t tokens = argc > 6 ? std::atoll(argv[6]) : 512;
  cpuTime = threads == 1;
  ThreadPool pool(threads);
  Random random(1);
  Arena arena;

  Memory memory(size_t(256) << 20);
  std::memset(memory.data(), 1, memory.size());
  const double read = bandwidth(pool, memory, 5), fma = floatPeak(pool);
  std::printf("%d threads: read %.1f GB/s, f32 peak %.0f GFLOP/s, 8-bit peak avx2 %.0f", threads, read / 1e9, fma / 1e9, bytePeak(pool, false) / 1e9);
  if (isaUsable(Isa::avx512)) std::printf(", avx512 %.0f", bytePeak(pool, true) / 1e9);
  std::printf(" GOP/s\n");
  smallOperations(pool, bestIsa(), random);
  std::printf("prefill [%lld, %lld] by [%lld]; decode over 160 MB of rows\n", (long long)tokens, (long long)cols, (long long)rows);
  std::printf("%-7s %-7s %14s %10s %14s %8s\n", "isa", "type", "GFLOP/s", "n=4 GB/s", "decode GB/s", "of read");

  for (const Isa isa : {Isa::avx2, Isa::avxvnni, Isa::avx512}) {
    if (!isaUsable(isa) || (!wanted.empty() && wanted != "all" && wanted != isaName(isa))) continue;
    for (const int type : kTypes) {
      if (!types.empty() && types != "all" && ("," + types + ",").find(std::string(",") + typeName(type) + ",") == std::string::npos) continue;
      const auto some = randomWeights(type, 16, cols, random);
      const size_t rowBytes = some.size() / 16;
      const int64_t many = std::max<int64_t>(rows, int64_t((size_t(160) << 20) / rowBytes) / 16 * 16);
      Memory bytes(size_t(many) * rowBytes);
      for (int64_t r = 0; r < many; r += 16) std::memcpy(bytes.data() + size_t(r) * rowBytes, some.data(), some.size());
      std::vector<float> x(size_t(tokens * cols)), out(size_t(std::max(tokens * rows, 4 * many)));
      for (float& v : x) v = random.normal();

      const WeightRef prefill = {bytes.data(), type, rows, cols, rowBytes}, decode = {bytes.data(), type, many, cols, rowBytes};
      const double product = best(4, [&] { matmul(pool, isa, prefill, x.data(), tokens, cols, out.data(), rows, arena); });
      // The bandwidth varies: each product has one beside it, and the medians are what is shown.
      double four = 1e9;
      std::vector<double> ones, shares;
      for (int i = 0; i < 7; i++) {
        const double read = bandwidth(pool, memory, 1);
        const double one = best(1, [&] { matmul(pool, isa, decode, x.data(), 1, cols, out.data(), many, arena); });
        ones.push_back(one);
        shares.push_back(double(bytes.size()) / one / read);
        four = std::min(four, best(1, [&] { matmul(pool, isa, decode, x.data(), 4, cols, out.data(), many, arena); }));
      }
      std::sort(ones.begin(), ones.end());
      std::sort(shares.begin(), shares.end());
      std::printf("%-7s %-7s %14.0f %10.1f %14.1f %8.2f\n", isaName(isa), typeName(type), 2.0 * double(rows * cols * tokens) / product / 1e9,
                  double(bytes.size()) / four / 1e9, double(bytes.size()) / ones[3] / 1e9, shares[3]);
      std::fflush(stdout);
    }
  }
  return 0;
}
