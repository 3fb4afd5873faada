// Types IQ1 to IQ3, whose weights are chosen eight at a time as points of a lattice, in three steps: a superblock's scales, the point of eight
// weights, and the bytes.
#pragma once

#include <cstdint>

#include "cpu.h"

namespace grok1 {

inline constexpr int kLatticeBlock = 256, kLatticeGroup = 8;

// What is chosen for a superblock: scales of sub-blocks, entries of the grid for four weights or eight, whether these are shifted down.
struct LatticeBlock {
  float d;  // a half
  int scales[16];
  int entries[64];
  bool down[64];
  uint8_t signs[32];  // a bit for each weight
};

struct LatticeKernels {
  // Scales and points of the least error, weighed by `importance`, of mean 1 and nowhere 0, or null. `scratch`: kEncodeScratch floats.
  void (*fit)(const float* x, const float* importance, float* scratch, LatticeBlock* block);
  // Chooses the point of group `group` again, with the scales that are there: that of the least error weighed by w [8]. `values` [8]: the point.
  void (*choose)(const float* x, const float* w, int group, LatticeBlock* block, float* values);
  void (*put)(const LatticeBlock& block, uint8_t* out);
  // The scale of all times `factor`.
  void (*scale)(LatticeBlock* block, float factor);
};

// Null for all other types.
const LatticeKernels* latticeOf(Isa isa, int type);

}  // namespace grok1
