// Matrices that lie column by column of what a model file has as rows: turned, and scaled, for who writes models.
#pragma once

#include <cstdint>

#include "threads.h"

namespace grok1 {

// Bytes of an element of the ggml types whose columns can be turned: int8 and the float types; 0 for others.
int64_t turnedBytes(int type);

// Scales of a matrix [rows, count]: of each of `groups` stretches of rows, one for each column, `stride` numbers apart. Null: none.
template <class T>
struct ColumnScales {
  const T* values;
  int64_t groups;
  int64_t stride;
};

// Columns [from, to) of `bytes` [rows, count] of ggml type `type` as rows of floats, each element times its scale, rounded once:
// out [to - from, rows].
void turnColumns(ThreadPool& pool, int type, const uint8_t* bytes, int64_t rows, int64_t count, int64_t from, int64_t to,
                 ColumnScales<float> scales, float* out);

// The same of int8 with scales of halves, as rows of Q8_0: the int8 as they are. A stretch of rows is whole blocks.
void turnColumnsToQ8(ThreadPool& pool, const uint8_t* bytes, int64_t rows, int64_t count, int64_t from, int64_t to,
                     ColumnScales<uint16_t> scales, uint8_t* out);

}  // namespace grok1
