// The operations' kernels, which exist once per instruction set, as a table of functions. Matrix products have their own (matmul.h).
#pragma once

#include <cstdint>

#include "cpu.h"

namespace grok1 {

// Element type of a key/value cache, in the order of the TypeScript side.
enum class KvType : int { f32, f16, q8_0, q4_0 };

// Keys and values of one layer: pages of one head's keys and values, each contiguous, so that a head streams.
//
// Keys of a page lie in tiles of 16 tokens, transposed: element d of tokens 16t .. 16t+15 side by side, so that scores of 16
// keys need no horizontal sums. Values lie a token at a time. A quantized key tile holds, for each 32 elements of a head, 16
// scales (f16) and then 32 (q8_0) or 16 (q4_0) rows of 16 bytes; quantized values are blocks of 32 as in a GGUF file.
struct KvLayer {
  uint8_t* base;       // first page of the layer
  int64_t pageBytes;   // from page to page
  int64_t headBytes;   // from head to head inside a page
  int64_t valueBytes;  // from a head's keys to its values
  int64_t tileBytes;   // of one tile of 16 keys
  int64_t tokenBytes;  // of one token's values
  int32_t headSize, kvHeads, pageTokens;
  KvType type;
};

constexpr int kMostHeadSize = 4096;

// One piece of an attention call: some rows of one sequence, one key/value head, a range of keys.
struct AttentionItem {
  const int32_t* pages;
  int32_t head;        // key/value head
  int32_t row, count;  // first row in the batch, and how many
  int32_t position;    // position of the first row
  int32_t keyStart, keyEnd;
  int64_t partial;     // index of the first of count * group partial results; -1: the result is whole
};

struct AttentionCall {
  KvLayer layer;
  const float* q;        // [n, heads * headSize]
  float* out;            // [n, heads * headSize]
  int32_t heads, group;  // query heads, and how many of them share a key/value head
  int32_t keyRange;      // keys whose sums are added up among themselves; an item that ends in a partial result has at most one range
  float scale, softcap;  // softcap 0: none
  const float* temperatures;  // [n] factors of the capped scores; null: 1
  float* partials;       // a partial result: maximum, sum, 14 unused, then headSize values padded to 16
};

// Keys handled at a time: their scores and converted values stay in the first two cache levels.
constexpr int kKeyBlock = 64;
// Query rows (tokens times heads of a group) handled against one block of keys.
constexpr int kQueryRows = 144;

// Floats from one tile of 16 columns of a block's values to the next: not a multiple of 4 KiB, or all would share cache sets.
constexpr int64_t kValueTile = kKeyBlock * 16 + 16;

constexpr int64_t padTo16(int64_t n) { return (n + 15) / 16 * 16; }
// Floats of scratch that attend() needs.
constexpr int64_t attentionScratch(int64_t rows, int64_t headSize) {
  const int64_t width = padTo16(headSize);
  return (rows + 16) * (width * 3 + kKeyBlock + 18) + kKeyBlock * width + width / 16 * kValueTile;
}

// Values whose largest is looked at before they are.
constexpr int64_t kChoiceChunk = 64;

// Flat kernels may read and write up to the next multiple of 16 elements: buffers are padded.
struct OpKernels {
  void (*add)(const float* a, const float* b, float* out, int64_t n);
  void (*scale)(const float* x, float factor, float* out, int64_t n);
  void (*softcap)(const float* x, float cap, float* out, int64_t n);
  // activation: 0 GELU (tanh), 1 SiLU
  void (*gated)(int activation, const float* gate, const float* up, float* out, int64_t n);
  void (*rmsNorm)(const float* x, const float* gain, float eps, float* out, int64_t rows, int64_t cols);
  // One row: heads of headSize, the first 2 * pairs dimensions of each turn. cos and sin include the magnitude.
  void (*rope)(const float* x, float* out, const float* cos, const float* sin, int heads, int headSize, int pairs,
               bool adjacent);
  void (*softmax)(const float* x, float* out, int64_t n);
  void (*chunkMaxima)(const float* x, int64_t n, float* maxima);
  double (*sumExp)(const float* x, int64_t n, float top);
  void (*storeKv)(const KvLayer& layer, int page, int slot, int head, const float* k, const float* v);
  void (*attend)(const AttentionCall& call, const AttentionItem& item, float* scratch);
  // Merges a row's `count` partial results, `stride` floats apart and of consecutive ranges, into out[headSize]; writes over the first.
  void (*merge)(const KvLayer& layer, float* partials, int64_t stride, int count, float* out);
};

const OpKernels& opKernels(Isa isa);

}  // namespace grok1
