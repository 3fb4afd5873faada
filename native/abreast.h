// Products over several tokens: weight rows streamed once, tokens side by side.
#pragma once

#include <cstddef>
#include <cstdint>

#include "matmul.h"
#include "products.h"

namespace grok1 {

inline constexpr int kRowsAbreast = 8;  // rows that are multiplied at a time

// Fewer tokens than these are multiplied row by row, and more than those by packed panels, as measured.
inline constexpr int64_t kFewestAbreast = 3, kMostAbreast = 48;

// Ternary weights' activations are rounded 256 columns at a time, which this does not do.
inline bool standsAbreast(const Products& products, const WeightRef& weight) {
  return products.abreast != nullptr && traitsOf(weight.type).kind != Kind::ternary;
}

// Matrices that tokens stand abreast in have a token in each of 8 or 16 lanes ("width"): floats [columns][width], or, quantized, units as
// in tiles of so many tokens, whose codes lie four columns at a time: [8][width][4].
struct AbreastCall {
  const uint8_t* data;  // of the first row
  size_t rowBytes;
  int64_t cols, rows;
  int width, vectors;       // so many times `width` tokens, at most twice
  const uint8_t* acts[2];   // of each: quantized, or floats
  float* out;               // [vectors][rows][width], vectors `stride` floats apart
  int64_t stride;
};

// What an instruction set provides of it.
struct AbreastProducts {
  // to[k][width] = columns [from, from + count) of `tokens` rows, and zeros.
  void (*turnIn)(const float* const* rows, int tokens, int width, int64_t from, int64_t count, float* to);
  // The first `tokens` of from [count][width] to columns from `at` on of as many rows.
  void (*turnOut)(const float* from, int width, int64_t count, int tokens, float* const* rows, int64_t at);
  // x [32 units][width] to units; where `rest`, x becomes what rounding left of it.
  void (*quantize)(Kind kind, int offset, int width, int64_t units, float* x, bool rest, uint8_t* out);
  void (*rows)(int type, const AbreastCall& call);
};

// Activations of up to 16 tokens abreast, for products with one weight.
struct AbreastActs {
  static constexpr int64_t kMost = 16;
  static constexpr int64_t kPiece = 128;  // columns that are packed at a time

  const AbreastProducts& products;
  Kind kind;
  int offset, digits;
  int64_t cols;

  AbreastActs(const AbreastProducts& products, const WeightRef& weight, int digits = 1)
      : products(products), kind(traitsOf(weight.type).kind), offset(traitsOf(weight.type).offset), digits(digits), cols(weight.cols) {}

  static int widthOf(int64_t tokens) { return tokens > 8 ? 16 : 8; }
  // Of a digit, and of all.
  size_t digitBytes(int width) const { return size_t(unitsOf(kind, cols)) * tileUnitBytes(kind, width); }
  size_t bytes(int width) const { return digitBytes(width) * size_t(digits); }
  bool fits(const AbreastActs& other) const { return kind == other.kind && offset == other.offset && cols == other.cols; }

  // Packs a piece of as many tokens as there are rows x [cols].
  int64_t pieces() const { return (cols + kPiece - 1) / kPiece; }
  void pack(const float* const* rows, int tokens, int width, int64_t piece, uint8_t* data) const;
  // The same of columns [from, from + count), which are whole units or the last: x [count][width], of which nothing is left.
  void packTurned(float* x, int width, int64_t from, int64_t count, uint8_t* data) const;
};

}  // namespace grok1
