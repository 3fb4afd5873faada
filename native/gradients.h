// Kernels of training, which exist once per instruction set, as a table of functions: float32 products in register tiles, and the
// gradient rules of src/kernels/grad-ops.ts.
#pragma once

#include <cstdint>

#include "cpu.h"

namespace grok1 {

// c [rows, cols] = (or, with `add`, +=) a b, one thread's share. a(i, k) lies at a[i * lda + k], or `turned` at a[k * lda + i];
// b is packed in panels of GradKernels::cols columns, [k][columns], `panel` floats apart. Each output is summed in ascending order
// of k, in pieces of pieceDepth(depth): how a product is cut into calls does not show in its bits.
struct PanelProduct {
  const float* a;
  int64_t lda;
  bool turned;
  const float* b;
  int64_t panel;
  float* c;
  int64_t ldc;
  int64_t rows, cols, depth;
  bool add;
  float* scratch;  // kLeftScratch floats
};

// Depth at which sums pass through memory: a panel of a then stays in the first cache level.
constexpr int64_t kPieceDepth = 384;
constexpr int64_t pieceDepth(int64_t depth) {
  const int64_t pieces = (depth + kPieceDepth - 1) / kPieceDepth;
  return pieces <= 1 ? depth : ((depth + pieces - 1) / pieces + 7) / 8 * 8;
}
// Rows of a turned left operand that are packed together.
constexpr int64_t kMostStripRows = 84;
constexpr int64_t kLeftScratch = kMostStripRows * (kPieceDepth + 8);

// Attention of a batch's rows to one another. The backward rule reads out and lse and writes dq, dk, dv.
struct SelfAttentionCall {
  const float *q, *k, *v;
  float* out;  // [n, heads * size]
  float* lse;  // [n, heads]
  const float* dOut;
  float *dq, *dk, *dv;
  bool addQ, addK, addV;  // add to what is there
  int32_t heads, kvHeads, size;
  float scale, softcap;       // softcap 0: none
  const float* temperatures;  // [n]; null: 1
};

// Query rows of one head handled against all keys they see.
constexpr int64_t kSelfRows = 112;
// Floats of scratch for a sequence of `count` rows.
constexpr int64_t selfAttentionScratch(int64_t count, int64_t size) {
  const int64_t keys = (count + 63) / 64 * 64, width = (size + 63) / 64 * 64;
  return 3 * keys * width + 2 * kSelfRows * (keys + width) + kLeftScratch + 64;
}

struct AdamwCall {
  float keep;               // 1 - rate * decay
  float beta1, beta2;       // and 1 - beta1, 1 - beta2, rounded once
  float fresh1, fresh2;
  float rate;               // over the mean's bias
  float varianceBias;       // 1 / (1 - beta2^step)
  float epsilon, factor;
};

// Flat kernels may read and write up to the next multiple of 16 elements: buffers are padded.
struct GradKernels {
  int cols;  // of a panel

  // Panels of b(k, j) = b[k * ldb + j] (packRows) or b[j * ldb + k] (packColumns), k < depth, j < cols, zeros past the last column.
  void (*packRows)(const float* b, int64_t ldb, int64_t depth, int64_t cols, float* out, int64_t panel);
  void (*packColumns)(const float* b, int64_t ldb, int64_t depth, int64_t cols, float* out, int64_t panel);
  void (*multiply)(const PanelProduct& product);

  // One sequence's rows [start, start + count), one key/value head.
  void (*selfAttention)(const SelfAttentionCall& call, int64_t start, int64_t count, int head, float* scratch);
  void (*selfAttentionBackward)(const SelfAttentionCall& call, int64_t start, int64_t count, int head, float* scratch);

  // out = [out +] x * factor
  void (*scaleBackward)(const float* x, float factor, float* out, bool add, int64_t n);
  void (*softcapBackward)(const float* dOut, const float* y, float cap, float* out, bool add, int64_t n);
  void (*gatedBackward)(int activation, const float* dOut, const float* gate, const float* up, float* dGate, bool addGate,
                        float* dUp, bool addUp, int64_t n);
  // inner = f(gate) up; returns dInner·inner; then gate and up become the gradients of weight * inner's own operands.
  float (*expertRow)(int activation, float weight, const float* dInner, float* gate, float* up, float* inner, int64_t n);
  // dx (null: not wanted) and the sum over rows dGain (null) of [rows, cols]; dGain is added to.
  void (*rmsNormBackward)(const float* dOut, const float* x, const float* gain, float eps, float* dx, bool add, float* dGain,
                          int64_t rows, int64_t cols);
  void (*ropeBackward)(const float* dOut, float* out, const float* cos, const float* sin, int heads, int headSize, int pairs,
                       bool adjacent, bool add);
  // weight * (lse - x[target]); out, unless null, gets the gradient, and may be x.
  double (*crossEntropy)(const float* x, int64_t n, int64_t target, double weight, float* out);
  double (*squares)(const float* x, int64_t n);
  void (*adamw)(const AdamwCall& call, float* values, const float* gradient, float* mean, float* variance, int64_t n);
};

const GradKernels& gradKernels(Isa isa);

}  // namespace grok1
