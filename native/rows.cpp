#include "rows.h"

#include <algorithm>
#include <cstring>

namespace grok1 {

// The code times the scale is exact, and so are nearly all of the differences.
template <class G>
static void subtract(const float* x, const G* groups, int64_t count, float* __restrict rest) {
  for (int64_t block = 0; block < count / kBlock; block++, x += kBlock, rest += kBlock) {
    const G& group = groups[block / kLanes];
    const int64_t b = block % kLanes;
    const float scale = group.scale[b];
    for (int half = 0; half < 2; half++) {
      const int8_t* const codes = group.codes[b % 4][half] + b / 4 * 16;
      for (int i = 0; i < 16; i++) rest[half * 16 + i] = x[half * 16 + i] - scale * float(codes[i]);
    }
  }
}

void roundingRest(const Products& products, Kind kind, const float* x, int64_t count, float* rest) {
  const auto round = [&](auto* groups, auto quantize) {
    quantize(x, count, groups);
    subtract(x, groups, count, rest);
  };
  if (kind == Kind::ternary) {
    TernaryGroup groups[kRestPiece / kGroup];
    round(groups, products.quantizeTernary);
  } else {
    ActGroup groups[kRestPiece / kGroup];
    round(groups, products.quantize);
  }
}

static RowActs::Form formOf(int type) {
  switch (traitsOf(type).kind) {
    case Kind::f32: return RowActs::Form::floats;
    case Kind::ternary: return RowActs::Form::ternary;
    default: return isTwoBit(type) ? RowActs::Form::twoBit : RowActs::Form::groups;
  }
}

RowActs::RowActs(const WeightRef& weight, int digits) : form(formOf(weight.type)), digits(digits), cols(weight.cols) {
  const int64_t groups = (cols + kGroup - 1) / kGroup, padded = (cols + kFloatLanes - 1) / kFloatLanes * kFloatLanes;
  const size_t floatBytes = (size_t(padded) * sizeof(float) + 63) & ~size_t(63);
  digitBytes = form == Form::floats ? floatBytes : size_t(groups) * (form == Form::ternary ? sizeof(TernaryGroup) : sizeof(ActGroup));
}

void RowActs::pack(const Products& products, int64_t t, const float* x, int64_t piece) const {
  const int64_t from = piece * kPiece, count = std::min(cols - from, kPiece);
  uint8_t* const to = data + digitBytes * size_t(t * digits);
  const auto packDigits = [&](auto* first, auto quantize) {
    quantize(x + from, count, first);
    if (digits == 1) return;
    float rest[kPiece];
    subtract(x + from, first, count, rest);
    quantize(rest, count, first + digitBytes / sizeof *first);
  };
  if (form == Form::ternary) return packDigits(reinterpret_cast<TernaryGroup*>(to) + from / kGroup, products.quantizeTernary);
  if (form != Form::floats) {
    ActGroup* const first = reinterpret_cast<ActGroup*>(to) + from / kGroup;
    packDigits(first, products.quantize);
    if (form == Form::groups || products.pairCodes == nullptr) return;
    for (int d = 0; d < digits; d++) products.pairCodes(first + size_t(d) * (digitBytes / sizeof *first), count / kGroup);
    return;
  }
  float* const values = reinterpret_cast<float*>(to) + from;
  std::memcpy(values, x + from, size_t(count) * sizeof(float));
  for (int64_t i = count; i % kFloatLanes != 0; i++) values[i] = 0;
}

int64_t rowChunk(const WeightRef& weight, int64_t rows, int threads) {
  const int64_t bytes = int64_t(std::max<size_t>(weight.rowBytes, 1));
  int64_t chunk = std::max<int64_t>(1, (128 << 10) / bytes);
  chunk = std::min(chunk, rows / (8 * threads));
  return std::max<int64_t>(kMaxRowsAtOnce, chunk / kMaxRowsAtOnce * kMaxRowsAtOnce);
}

void streamRows(const Products& products, const WeightRef& weight, int64_t row, int64_t end, const void* const* tokens,
                int count, float* out, int64_t ldo) {
  RowsCall call;
  call.rowBytes = weight.rowBytes;
  call.cols = weight.cols;
  call.tokens = count;
  call.ldo = ldo;
  call.inOrder = cpu().readsInOrder;
  for (int i = 0; i < kMaxTokensAtOnce; i++) call.acts[i] = tokens[i < count ? i : 0];
  for (; row < end; row += kMaxRowsAtOnce, out += kMaxRowsAtOnce) {
    call.data = weight.data + size_t(row) * weight.rowBytes;
    call.rows = int(std::min<int64_t>(kMaxRowsAtOnce, end - row));
    call.readable = (weight.rows - row - call.rows) * int64_t(weight.rowBytes);
    call.out = out;
    products.rows(weight.type, call);
  }
}

}  // namespace grok1
