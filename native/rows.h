// Products over few tokens: weight rows streamed from memory once.
#pragma once

#include "matmul.h"
#include "products.h"

namespace grok1 {

// Activations of a few tokens as Products::rows reads them.
struct RowActs {
  bool floats;
  int64_t cols;
  size_t tokenBytes;
  uint8_t* data;

  RowActs(const WeightRef& weight, uint8_t* memory);
  size_t bytes(int64_t tokens) const { return tokenBytes * size_t(tokens); }
  const void* token(int64_t t) const { return data + tokenBytes * size_t(t); }

  // A token is packed in pieces, which threads share out.
  int64_t pieces() const { return (cols + kPiece - 1) / kPiece; }
  void pack(const Products& products, int64_t t, const float* x, int64_t piece) const;

 private:
  static constexpr int64_t kPiece = 2048;
};

// Rows a thread takes at a time, of `rows` in all: enough bytes to stream, small enough to share out evenly.
int64_t rowChunk(const WeightRef& weight, int64_t rows, int threads);

// out[t * ldo + r - row] for rows [row, end) and up to kMaxTokensAtOnce tokens.
void streamRows(const Products& products, const WeightRef& weight, int64_t row, int64_t end, const void* const* tokens,
                int count, float* out, int64_t ldo);

}  // namespace grok1
