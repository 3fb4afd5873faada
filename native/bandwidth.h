#pragma once

#include <cstddef>

namespace grok1 {

// Bytes a second that `threads` threads together read from a buffer of `bytes`, the best of `rounds` passes. Takes the time of
// those passes and of filling the buffer.
double measureBandwidth(int threads, size_t bytes, int rounds);

}  // namespace grok1
