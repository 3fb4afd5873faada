// Float32 products on all threads, for training: either operand as it lies or turned, the right one of any tensor type.
//
// The right operand is packed once, shared by all threads; tiles of the result are then handed out. An output is one sum in
// ascending order of k, in pieces whose length depends on the depth alone, so bits do not depend on threads. (Inference has
// matmul.h: its sums also do not depend on the number of rows, and it reads quantized weights with integer arithmetic.)
#pragma once

#include "gradients.h"
#include "matmul.h"

namespace grok1 {

// a(i, k) = data[i * ld + k], or `turned` data[k * ld + i].
struct LeftMatrix {
  const float* data;
  int64_t ld;
  bool turned;
};

// b(k, j) = element j of row k, or `turned` element k of row j.
struct RightMatrix {
  WeightRef rows;
  bool turned;
};

// Rows of floats, `ld` apart.
RightMatrix rightFloats(const float* data, int64_t rows, int64_t cols, int64_t ld, bool turned);

// c [rows, cols], rows ldc apart, = (or, with `add`, +=) a b over `depth` products. Throws Failure for lack of memory only, before any
// work.
void sgemm(ThreadPool& pool, const GradKernels& kernels, int64_t rows, int64_t cols, int64_t depth, const LeftMatrix& a,
           const RightMatrix& b, float* c, int64_t ldc, bool add, Arena& arena);

}  // namespace grok1
