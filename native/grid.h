// A block's grid: the values that its elements can take once its scales are chosen, for the types whose elements are rounded each for itself.
#pragma once

#include <cstdint>

namespace grok1 {

// Whether a ggml type has such a grid here.
bool hasGrid(int type);

// What codes stand for, in units of the step: whole numbers low..high, or where `uneven` the values of IQ4_NL.
struct GridRange {
  float low, high;
  bool uneven;
};
GridRange gridRange(int type);

// Element i of a block is steps[i] * v + bases[i], v of the range.
void readGrid(int type, const uint8_t* block, float* steps, float* bases);

// Writes each element's v into a block that has its scales.
void writeCodes(int type, const float* v, uint8_t* block);

}  // namespace grok1
