#pragma once

#include <cstddef>

namespace grok1 {

// Bytes a second that `threads` threads together read from a buffer of `bytes`: the best of passes, which go on until they agree.
// Takes 0.3 to 1.5 seconds, and filling the buffer.
double measureBandwidth(int threads, size_t bytes);

}  // namespace grok1
