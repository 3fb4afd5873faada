// Matrix products with weights in the layout of their file, and the mixture-of-experts product.
//
// Order of summation. Every path (one token or many, any instruction set, any number of threads) computes one output as
// the same expression, so results are equal bit for bit. A row is cut into segments (4096 columns of quantized
// weights, 1024 of float ones), a segment into units: blocks of 32 columns, or single columns. Units are dealt in turn to
// lanes (8 lanes of blocks, 16 of columns); a lane is summed in order with fused multiply-adds, then the lanes are
// added to the output in order, segment after segment.
//
// Quantized weights meet activations rounded to int8 with one scale per 32 columns (amax / 127, nearest, ties to even);
// the products within a block are summed exactly as integers. The scale is kept to 11 bits: ggml stores it as a half, and
// with the same scale two engines' greedy texts part later, while the error of the 8-bit codes is sixteen times larger.
//
// Ternary weights have one scale per 256 columns, so their activations' eight scales are whole multiples of one (1 to 63, rounded up, which costs one
// percent of accuracy). What 256 columns give is then one whole number, times both scales; a segment has one lane of these.
//
// With two digits, what that rounding leaves of the activations is rounded in the same way and multiplied too, as if it were
// another token, and the two products are added: about 15 bits, for twice the arithmetic and the same bytes of weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "arena.h"
#include "arrival.h"
#include "cpu.h"
#include "threads.h"

namespace grok1 {

// W [rows, cols], row-major, rows `rowBytes` apart, of a ggml type that canMultiply() accepts.
struct WeightRef {
  const uint8_t* data;
  int type;
  int64_t rows, cols;
  size_t rowBytes;
  int digits = 1;  // of 8 bits, 1 or 2, that matmul() rounds activations to where the type is quantized; experts() takes one
  const Arrival* arrival = nullptr;  // of what may still be on its way: experts() waits for the rows that it needs
};

// Whether the kernels compute with weights of this ggml type.
bool canMultiply(int type);

// out[t, r] = sum over k of x[t, k] W[r, k]: x [n, cols] with rows `ldx` floats apart, out [n, rows] with rows `ldo` floats
// apart. `cols` must fill whole blocks of the type. Throws Failure for lack of memory only, before any work.
void matmul(ThreadPool& pool, Isa isa, const WeightRef& weight, const float* x, int64_t n, int64_t ldx, float* out,
            int64_t ldo, Arena& arena);

// Low-rank terms beside a matrix of each expert: y[t] += B_e (scales[t] (A_e x[t])), with A [rank, in] and B [out, rank] in float32.
struct LowRankRefs {
  const WeightRef* a;
  const WeightRef* b;
  const float* scales;
};

struct ExpertTerms {
  std::vector<LowRankRefs> gate, up, down;  // in the order in which they are added
};

// Arrays of `experts` matrices: gate and up [hidden, width], down [width, hidden]. Entries of experts that no token chose
// are not read and may be anything.
struct ExpertRefs {
  int64_t experts;
  const WeightRef* gate;
  const WeightRef* up;
  const WeightRef* down;
  const ExpertTerms* terms = nullptr;
};

enum class Gating : int { gelu = 0, silu = 1 };  // GELU by its tanh approximation

// out[t] = sum over j of weights[t, j] * down_e(activation(gate_e x[t]) * (up_e x[t])), e = chosen[t, j], summed in
// ascending order of e: x and out [n, width] contiguous, chosen and weights [n, used]; every chosen[t, j] is in
// [0, experts), and a row's experts differ. Throws Failure for lack of memory only, before any work.
//
// Milliseconds for which threads had nothing to compute since matrices were on their way, in the mean of them; below 0 where some never came, and
// the results are none.
double experts(ThreadPool& pool, Isa isa, const ExpertRefs& refs, const float* x, int64_t n, const int32_t* chosen,
             const float* weights, int used, Gating gating, float* out, Arena& arena);

// The same in two steps, for when not all experts can be had at once. First, for the experts that are `wanted` [experts], what each
// gives to its rows, not weighted: parts [n, used, width], of which the others' are left alone.
double expertParts(ThreadPool& pool, Isa isa, const ExpertRefs& refs, const float* x, int64_t n, const int32_t* chosen, int used,
                 const std::vector<uint8_t>& wanted, Gating gating, float* parts, Arena& arena);
// Then the sum for rows [from, end): the bits are those of experts().
void sumExpertParts(Isa isa, const float* parts, const int32_t* chosen, const float* weights, int used, int64_t width, int64_t from,
                    int64_t end, float* out);

}  // namespace grok1
