#include "cpu.h"

#include <cstdint>
#include <initializer_list>

#if defined(__x86_64__) || defined(_M_X64)
#define GROK1_X86 1
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
#define GROK1_ARM 1
#if defined(__linux__)
#include <sys/auxv.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#include <windows.h>
#endif
#endif

namespace grok1 {

namespace {

#if GROK1_X86

struct Registers {
  uint32_t a, b, c, d;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
#if defined(_MSC_VER)
  int r[4];
  __cpuidex(r, static_cast<int>(leaf), static_cast<int>(subleaf));
  return {uint32_t(r[0]), uint32_t(r[1]), uint32_t(r[2]), uint32_t(r[3])};
#else
  Registers r{};
  __cpuid_count(leaf, subleaf, r.a, r.b, r.c, r.d);
  return r;
#endif
}

uint64_t savedState() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
#endif
}

bool bit(uint32_t word, int index) { return word >> index & 1; }

CpuFeatures detect() {
  CpuFeatures f;
  const Registers zero = cpuid(0, 0);
  const uint32_t highest = zero.a;
  // "AuthenticAMD", or "HygonGenuine", which is of the same making.
  f.readsInOrder = zero.b == 0x68747541 || zero.b == 0x6f677948;
  const Registers one = cpuid(1, 0);
  const bool osSaves = bit(one.c, 27);
  const uint64_t state = osSaves ? savedState() : 0;
  const bool ymm = (state & 0x06) == 0x06;
  const bool zmm = (state & 0xe6) == 0xe6;
  f.fma = ymm && bit(one.c, 12);
  f.f16c = ymm && bit(one.c, 29);
  if (highest >= 7) {
    const Registers seven = cpuid(7, 0);
    f.avx2 = ymm && bit(seven.b, 5);
    f.avx512f = zmm && bit(seven.b, 16);
    f.avx512dq = zmm && bit(seven.b, 17);
    f.avx512bw = zmm && bit(seven.b, 30);
    f.avx512vl = zmm && bit(seven.b, 31);
    f.avx512vnni = zmm && bit(seven.c, 11);
    f.avx512vbmi = zmm && bit(seven.c, 1);
    f.bmi2 = bit(seven.b, 8);
    f.avxvnni = ymm && seven.a >= 1 && bit(cpuid(7, 1).a, 4);
#if defined(GROK1_AVXVNNI_IN_EVEX)  // native/test/run.sh: the same instruction in AVX-512's encoding
    f.avxvnni = f.avx512vl && f.avx512vnni;
#endif
  }
  // Deterministic cache parameters: leaf 4 on Intel, 0x8000001d on AMD, with the same layout.
  const uint32_t highestExtended = cpuid(0x80000000u, 0).a;
  const bool amd = highestExtended >= 0x8000001eu && bit(cpuid(0x80000001u, 0).c, 22);
  if (amd || highest >= 4) {
    for (uint32_t i = 0; i < 8; i++) {
      const Registers r = cpuid(amd ? 0x8000001du : 4u, i);
      const uint32_t type = r.a & 31, level = r.a >> 5 & 7;
      if (type == 0) break;
      const size_t bytes = size_t((r.b >> 22) + 1) * ((r.b >> 12 & 1023) + 1) * ((r.b & 4095) + 1) * (size_t(r.c) + 1);
      if (level == 1 && type != 2) f.l1d = bytes;
      if (level == 2) f.l2 = bytes;
      if (level == 3) f.l3 = bytes;
    }
  }
  return f;
}

#elif GROK1_ARM

CpuFeatures detect() {
  CpuFeatures f;
  f.neon = true;
  f.l1d = 64u << 10;
  f.l2 = 512u << 10;
#if defined(__linux__)
  const unsigned long caps = getauxval(AT_HWCAP), caps2 = getauxval(AT_HWCAP2);
  f.dotprod = caps >> 20 & 1;  // HWCAP_ASIMDDP
  f.i8mm = caps2 >> 13 & 1;    // HWCAP2_I8MM
#if defined(_SC_LEVEL1_DCACHE_SIZE)
  const long l1d = sysconf(_SC_LEVEL1_DCACHE_SIZE), l2 = sysconf(_SC_LEVEL2_CACHE_SIZE), l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (l1d > 0) f.l1d = size_t(l1d);
  if (l2 > 0) f.l2 = size_t(l2);
  if (l3 > 0) f.l3 = size_t(l3);
#endif
#elif defined(__APPLE__)
  const auto read = [](const char* name, auto fallback) {
    auto value = fallback;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? value : fallback;
  };
  f.dotprod = read("hw.optional.arm.FEAT_DotProd", int(1)) != 0;
  f.i8mm = read("hw.optional.arm.FEAT_I8MM", int(0)) != 0;
  f.l1d = size_t(read("hw.l1dcachesize", int64_t(f.l1d)));
  f.l2 = size_t(read("hw.l2cachesize", int64_t(f.l2)));
#elif defined(_WIN32)
  f.dotprod = IsProcessorFeaturePresent(43) != 0;  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE
#endif
  return f;
}

#else

CpuFeatures detect() { return {}; }

#endif

}  // namespace

const CpuFeatures& cpu() {
  static const CpuFeatures features = detect();
  return features;
}

const char* isaName(Isa isa) {
  switch (isa) {
    case Isa::avx2: return "avx2";
    case Isa::avxvnni: return "avxvnni";
    case Isa::avx512: return "avx512";
    case Isa::avx512vbmi: return "avx512vbmi";
    case Isa::neon: return "neon";
    case Isa::i8mm: return "i8mm";
    default: return "scalar";
  }
}

// The build defines GROK1_HAVE_... for the instruction sets whose files the compiler could compile.
bool isaUsable(Isa isa) {
  [[maybe_unused]] const CpuFeatures& f = cpu();
  switch (isa) {
    case Isa::scalar: return true;
#if defined(GROK1_HAVE_AVX2)
    case Isa::avx2: return f.avx2 && f.fma && f.f16c;
#endif
#if defined(GROK1_HAVE_AVXVNNI)
    case Isa::avxvnni: return f.avx2 && f.fma && f.f16c && f.avxvnni;
#endif
#if defined(GROK1_HAVE_AVX512)
    case Isa::avx512:
      return f.avx2 && f.fma && f.f16c && f.avx512f && f.avx512bw && f.avx512vl && f.avx512dq && f.avx512vnni;
#endif
#if defined(GROK1_HAVE_AVX512VBMI)
    case Isa::avx512vbmi: return isaUsable(Isa::avx512) && f.avx512vbmi && f.bmi2;
#endif
#if defined(GROK1_HAVE_NEON)
    case Isa::neon: return f.neon && f.dotprod;
#endif
#if defined(GROK1_HAVE_I8MM)
    case Isa::i8mm: return isaUsable(Isa::neon) && f.i8mm;
#endif
    default: return false;
  }
}

Isa bestIsa() {
  Isa best = Isa::scalar;
  for (const Isa isa : kIsas) {
    if (isaUsable(isa)) best = isa;
  }
  return best;
}

}  // namespace grok1
