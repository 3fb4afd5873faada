// Products over few tokens: weight rows streamed from memory once.
#pragma once

#include "matmul.h"
#include "products.h"

namespace grok1 {

// What rounding leaves of x [count], whole blocks, by pieces of at most kRestPiece.
inline constexpr int64_t kRestPiece = 2048;
void roundingRest(const Products& products, Kind kind, const float* x, int64_t count, float* rest);

// Activations of a few tokens as Products::rows reads them.
struct RowActs {
  enum class Form { floats, groups, twoBit, ternary } form;
  int digits;
  int64_t cols;
  size_t digitBytes;
  uint8_t* data = nullptr;

  explicit RowActs(const WeightRef& weight, int digits = 1);
  void take(Arena::Scope& memory, int64_t tokens) { data = memory.take<uint8_t>(int64_t(digitBytes) * tokens * digits); }
  const void* token(int64_t t, int digit = 0) const { return data + digitBytes * size_t(t * digits + digit); }

  // A token is packed in pieces, which threads share out.
  int64_t pieces() const { return (cols + kPiece - 1) / kPiece; }
  void pack(const Products& products, int64_t t, const float* x, int64_t piece) const;

 private:
  static constexpr int64_t kPiece = kRestPiece;
};

// Rows a thread takes at a time, of `rows` in all: enough bytes to stream, small enough to share out evenly.
int64_t rowChunk(const WeightRef& weight, int64_t rows, int threads);

// out[t * ldo + r - row] for rows [row, end) and up to kMaxTokensAtOnce tokens.
void streamRows(const Products& products, const WeightRef& weight, int64_t row, int64_t end, const void* const* tokens,
                int count, float* out, int64_t ldo);

}  // namespace grok1
