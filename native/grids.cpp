#include "grids.h"

namespace grok1 {

namespace {

template <size_t ENTRIES, class Entry>
constexpr void expand(const std::array<uint16_t, ENTRIES>& grid, const uint8_t* sizes, Entry* to) {
  constexpr int columns = sizeof(Entry), bits = 16 / columns;
  for (size_t i = 0; i < ENTRIES; i++) {
    Entry entry = 0;
    for (int c = 0; c < columns; c++) entry |= Entry(sizes[grid[i] >> (bits * c) & ((1 << bits) - 1)]) << (8 * c);
    to[i] = entry;
  }
}

constexpr Grids expandAll() {
  Grids g{};
  constexpr uint8_t iq1[4] = {0, 8, 16};
  expand(kIq2xxsGrid, kIq2Sizes, g.iq2xxs);
  expand(kIq2xsGrid, kIq2Sizes, g.iq2xs);
  expand(kIq2sGrid, kIq2Sizes, g.iq2s);
  expand(kIq1Grid, iq1, g.iq1);
  expand(kIq3xxsGrid, kIq3xxsSizes, g.iq3xxs);
  expand(kIq3sGrid, kIq3sSizes, g.iq3s);
  for (int i = 0; i < 128; i++) {
    int parity = i ^ i >> 4;
    parity ^= parity >> 2;
    g.evenSigns[i] = uint8_t(i | ((parity ^ parity >> 1) & 1) << 7);
  }
  for (int i = 0; i < 256; i++) {
    for (int c = 0; c < 8; c++) g.minus[i] |= i >> c & 1 ? uint64_t(255) << (8 * c) : 0;
  }
  return g;
}

}  // namespace

alignas(64) constexpr Grids kGrids = expandAll();

}  // namespace grok1
