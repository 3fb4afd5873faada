// What the processor can do, and which of the compiled instruction sets to use on it.
#pragma once

#include <cstddef>

namespace grok1 {

struct CpuFeatures {
  bool avx2 = false, fma = false, f16c = false;
  bool avx512f = false, avx512bw = false, avx512vl = false, avx512dq = false, avx512vnni = false;
  bool avx512vbmi = false, bmi2 = false;
  bool avxvnni = false;
  bool neon = false, dotprod = false, i8mm = false;
  // Whether rows that are needed later are best asked for in order of addresses, to the second cache. AMD's first cache has too few
  // requests under way at a time to reach the memory's speed; Intel's is quicker with each row's next bytes.
  bool readsInOrder = false;
  size_t l1d = 32u << 10, l2 = 256u << 10, l3 = 4u << 20;  // bytes; typical sizes where the processor does not say
};

// Read once; includes whether the operating system saves the wide registers.
const CpuFeatures& cpu();

// scalar: portable C++. avx2: with FMA and F16C. avxvnni: the same with sums of byte products. avx512: F, BW, VL, DQ and VNNI. neon:
// Armv8.2 with dot products. avx512vbmi: with permutations of bytes (and BMI2). i8mm: Arm's with 8-bit matrix products. Only the products
// have kernels of their own for avxvnni, avx512vbmi and i8mm.
enum class Isa { scalar, avx2, avxvnni, avx512, avx512vbmi, neon, i8mm };
inline constexpr Isa kIsas[] = {Isa::scalar,     Isa::avx2, Isa::avxvnni, Isa::avx512,
                                Isa::avx512vbmi, Isa::neon, Isa::i8mm};  // the better the later

const char* isaName(Isa isa);
// Compiled in, and the processor has it.
bool isaUsable(Isa isa);
Isa bestIsa();

}  // namespace grok1
