#include "panels.h"

#include <algorithm>

#include "rows.h"

namespace grok1 {

const Products& productsOf(Isa isa) {
  switch (isa) {
#if defined(GROK1_HAVE_AVX2)
    case Isa::avx2: return avx2Products();
#endif
#if defined(GROK1_HAVE_AVXVNNI)
    case Isa::avxvnni: return avxvnniProducts();
#endif
#if defined(GROK1_HAVE_AVX512)
    case Isa::avx512: return avx512Products();
#endif
#if defined(GROK1_HAVE_AVX512VBMI)
    case Isa::avx512vbmi: return avx512vbmiProducts();
#endif
#if defined(GROK1_HAVE_NEON)
    case Isa::neon: return neonProducts();
#endif
#if defined(GROK1_HAVE_I8MM)
    case Isa::i8mm: return i8mmProducts();
#endif
    default: return scalarProducts();
  }
}

void Tiles::pack(const Products& products, int64_t token, const float* x, int64_t from, int64_t columns) const {
  packDigit(products, token, 0, x, from, columns);
  if (digits == 1) return;
  float rest[kRestPiece];
  for (int64_t k = 0; k < columns; k += kRestPiece) {
    const int64_t count = std::min(columns - k, kRestPiece);
    roundingRest(products, kind, x + k, count, rest);
    packDigit(products, token, 1, rest, from + k, count);
  }
}

void Tiles::packDigit(const Products& products, int64_t token, int digit, const float* x, int64_t from, int64_t columns) const {
  const int64_t segment = segmentOf(kind);
  uint8_t* const base = data + size_t(token / tile * digits + digit) * tileBytes();
  for (const int64_t end = from + columns; from < end;) {
    const int64_t start = from / segment * segment, length = std::min(segment, cols - start);
    const int64_t count = std::min(end - from, start + length - from);
    const bool last = from + count == cols;
    PackTokenCall call;
    call.kind = kind;
    call.offset = offset;
    call.x = x;
    call.columns = count;
    call.segmentUnits = unitsOf(kind, length);
    call.firstUnit = (from - start) / unitColumns(kind);
    call.units = last ? call.segmentUnits - call.firstUnit : count / unitColumns(kind);
    call.t = int(token % tile);
    call.tile = base + size_t(unitsOf(kind, start)) * unitBytes();
    products.packToken(call);
    x += count;
    from += count;
  }
}

Blocking::Blocking(const WeightRef& weight, int threads) {
  const Kind kind = traitsOf(weight.type).kind;
  const int64_t segment = segmentOf(kind), budget = int64_t(cpu().l2 / 2);
  const int64_t unitBytes = int64_t(panelUnitBytes(kind));
  const auto bytes = [&](int64_t cols) { return unitsOf(kind, cols) * unitBytes; };
  columns = std::min(weight.cols, segment);
  if (kind != Kind::f32 && weight.cols > segment && 4 * bytes(std::min(weight.cols, 2 * segment)) <= budget) {
    columns = std::min(weight.cols, 2 * segment);
  }
  panels = std::clamp<int64_t>(budget / bytes(columns), 1, 8);
  if (panels > 1) panels &= ~int64_t(1);
  // Enough pieces for the threads to share out evenly.
  const int64_t all = (weight.rows + kPanelRows - 1) / kPanelRows;
  while (panels > 1 && threads > 1 && all / panels < 4 * threads) panels /= 2;
}

size_t Blocking::scratchBytes(const WeightRef& weight, int threads) {
  const Blocking blocking(weight, threads);
  const Kind kind = traitsOf(weight.type).kind;
  return size_t(blocking.panels) * size_t(unitsOf(kind, blocking.columns)) * panelUnitBytes(kind);
}

void multiplyPanels(const Products& products, const WeightRef& weight, int64_t row, int64_t panels, int64_t columns,
                    const Tiles& tiles, int64_t from, int64_t to, int64_t tokens, uint8_t* scratch, float* c) {
  const Kind kind = tiles.kind;
  const TypeTraits traits = traitsOf(weight.type);
  const int lanes = lanesOf(kind), tile = tiles.tile;
  const int64_t segment = segmentOf(kind), cSize = int64_t(tile) * kPanelRows;
  const size_t panelUnit = panelUnitBytes(kind), tileUnit = tiles.unitBytes(), tileBytes = tiles.tileBytes();
  const int64_t group = std::max<int64_t>(1, 24 / tile);  // tiles whose lane stays in L1 together
  const int64_t perByte = kind == Kind::f32 ? 1 : kGroup;

  std::fill(c, c + (to - from) * panels * cSize, 0.0f);
  for (int64_t start = 0; start < weight.cols; start += columns) {
    const int64_t length = std::min(columns, weight.cols - start);
    const size_t panelBytes = size_t(unitsOf(kind, length)) * panelUnit;
    for (int64_t p = 0; p < panels; p++) {
      const int64_t first = row + p * kPanelRows;
      const int rowCount = int(std::min<int64_t>(kPanelRows, weight.rows - first));
      for (int64_t s = 0; s < length; s += segment) {
        const uint8_t* const data = weight.data + size_t(first) * weight.rowBytes + size_t((start + s) / perByte * traits.unit);
        products.packPanel(weight.type, data, weight.rowBytes, rowCount, std::min(segment, length - s),
                           scratch + size_t(p) * panelBytes + size_t(unitsOf(kind, s)) * panelUnit);
      }
    }
    for (int64_t g = from; g < to; g += group) {
      const int64_t last = std::min(to, g + group);
      // A lane of the tiles stays in L1 while the panels' pass by; each sum still meets its segments and lanes in order.
      for (int64_t s = 0; s < length; s += segment) {
        const int64_t units = unitsOf(kind, std::min(segment, length - s)), base = unitsOf(kind, s);
        for (int lane = 0; lane < lanes; lane++) {
          const int64_t at = laneStart(units, lanes, lane), count = laneStart(units, lanes, lane + 1) - at;
          if (count == 0) continue;
          for (int64_t p = 0; p < panels; p++) {
            for (int64_t i = g; i < last; i++) {
              products.multiply(weight.type, scratch + size_t(p) * panelBytes + size_t(base + at) * panelUnit,
                                tiles.data + size_t(i) * tileBytes + size_t(unitsOf(kind, start) + base + at) * tileUnit,
                                count, tiles.held(i, tokens),
                                c + ((i - from) * panels + p) * cSize);
            }
          }
        }
      }
    }
  }
}

}  // namespace grok1
