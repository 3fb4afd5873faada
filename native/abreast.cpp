#include "abreast.h"

#include <algorithm>
#include <cstring>

namespace grok1 {

void AbreastActs::pack(const float* const* rows, int tokens, int width, int64_t piece, uint8_t* data) const {
  const int64_t from = piece * kPiece, count = std::min(kPiece, cols - from);
  alignas(64) float x[kPiece * kMost];
  products.turnIn(rows, tokens, width, from, count, x);
  packTurned(x, width, from, count, data);
}

void AbreastActs::packTurned(float* x, int width, int64_t from, int64_t count, uint8_t* data) const {
  if (kind == Kind::f32) {
    float* const to = reinterpret_cast<float*>(data) + from * width;
    std::memcpy(to, x, size_t(count * width) * sizeof(float));
    if (from + count == cols) std::fill(to + count * width, reinterpret_cast<float*>(data) + unitsOf(kind, cols) * width, 0.0f);
    return;
  }
  uint8_t* const to = data + size_t(from / kBlock) * tileUnitBytes(kind, width);
  products.quantize(kind, offset, width, count / kBlock, x, digits == 2, to);
  if (digits == 2) products.quantize(kind, offset, width, count / kBlock, x, false, to + digitBytes(width));
}

}  // namespace grok1
