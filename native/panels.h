// Products over many tokens: panels of weight rows packed into the cache, times tiles of packed activations.
#pragma once

#include <algorithm>
#include <atomic>

#include "matmul.h"
#include "products.h"

namespace grok1 {

const Products& productsOf(Isa isa);

// At most this many tokens are packed at a time; bounds scratch memory.
inline constexpr int64_t kSlab = 1024;

// Packed activations of up to kSlab tokens: tiles one after the other, a tile in segments, a segment in lanes. Of two digits,
// a tile of the first is followed by that of the second.
struct Tiles {
  Kind kind;
  int offset, tile, digits;
  int64_t cols;
  uint8_t* data = nullptr;

  Tiles(const Products& products, const WeightRef& weight, int digits = 1)
      : kind(traitsOf(weight.type).kind),
        offset(traitsOf(weight.type).offset),
        tile(kind == Kind::f32 ? products.floatTile : products.tile),
        digits(digits),
        cols(weight.cols) {}

  size_t unitBytes() const { return tileUnitBytes(kind, tile); }
  size_t tileBytes() const { return (size_t(unitsOf(kind, cols)) * unitBytes() + 63) & ~size_t(63); }
  int64_t count(int64_t tokens) const { return (tokens + tile - 1) / tile * digits; }
  int held(int64_t i, int64_t tokens) const {
    const int64_t rest = tokens - i / digits * tile;
    return int(rest < tile ? rest : tile);
  }
  void take(Arena::Scope& memory, int64_t tokens) { data = memory.take<uint8_t>(count(tokens) * int64_t(tileBytes())); }
  bool fits(const Tiles& other) const { return kind == other.kind && offset == other.offset && cols == other.cols; }

  // Packs columns [from, from + columns) of a token, given as x [columns]; `from` lies on a unit, and `columns` fills whole
  // units or reaches the end of the row.
  void pack(const Products& products, int64_t token, const float* x, int64_t from, int64_t columns) const;

  // Packs `tokens` rows, of which `rowOf` gives a token's x [cols], in pieces that the `threads` that call this draw from `next`.
  // A piece is all tokens of a tile, which lie in the same cache lines, over all its columns or, where tiles are few, some.
  template <class RowOf>
  void packAll(const Products& products, std::atomic<int64_t>& next, int64_t tokens, int threads, RowOf rowOf) const {
    const int64_t groups = (tokens + tile - 1) / tile, wanted = threads == 1 ? 1 : (4 * threads + groups - 1) / groups;
    const int64_t length = std::max<int64_t>(kPiece, (cols + wanted * kPiece - 1) / (wanted * kPiece) * kPiece);
    const int64_t pieces = (cols + length - 1) / length;
    for (int64_t i; (i = next++) < groups * pieces;) {
      const int64_t first = i / pieces * tile, from = i % pieces * length, columns = std::min(length, cols - from);
      for (int64_t t = first; t < std::min(tokens, first + tile); t++) pack(products, t, rowOf(t) + from, from, columns);
    }
  }

 private:
  static constexpr int64_t kPiece = 512;  // columns: a few units of each lane
  void packDigit(const Products& products, int64_t token, int digit, const float* x, int64_t from, int64_t columns) const;
};

// How a product is cut to the cache: panels packed at a time, and columns of them.
struct Blocking {
  int64_t panels;
  int64_t columns;

  Blocking(const WeightRef& weight, int threads);
  static size_t scratchBytes(const WeightRef& weight, int threads);
};

// c[tile][panel][token in tile][16], for `panels` panels of rows from `row` on and tiles [from, to) of `tokens` tokens. The
// scratch holds the packed panels.
void multiplyPanels(const Products& products, const WeightRef& weight, int64_t row, int64_t panels, int64_t columns,
                    const Tiles& tiles, int64_t from, int64_t to, int64_t tokens, uint8_t* scratch, float* c);

}  // namespace grok1
