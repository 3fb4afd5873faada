#include "columns.h"

#include <algorithm>
#include <cstring>

#include "quants.h"

namespace grok1 {

namespace {

// Elements along both axes that are turned at a time, through a square that the first cache holds: in the matrix neighbours of a column lie so
// far apart, by powers of two, that few of them fit into that cache at once.
constexpr int64_t kTile = 64;

// ggml's number of int8.
constexpr int kInt8 = 24;

// square[j][i] = source[i][j] of height x width elements; a row of the square is kTile long. Elements may lie at any byte.
template <class E>
void turnTile(const uint8_t* source, int64_t stride, int64_t height, int64_t width, E* square) {
  for (int64_t i = 0; i < height; i++, source += stride * int64_t(sizeof(E))) {
    E row[kTile];
    memcpy(row, source, size_t(width) * sizeof(E));
    for (int64_t j = 0; j < width; j++) square[j * kTile + i] = row[j];
  }
}

// `E`: as large as an element.
template <class E>
void turnSized(ThreadPool& pool, int type, const uint8_t* bytes, int64_t rows, int64_t count, int64_t from, int64_t to,
               ColumnScales<float> scales, float* out) {
  const int64_t group = rows / scales.groups;
  pool.run([&](int, int) {
    E square[kTile * kTile];
    for (;;) {
      const int64_t first = from + pool.next() * kTile;
      if (first >= to) return;
      const int64_t width = std::min(kTile, to - first);
      for (int64_t k = 0; k < rows; k += kTile) {
        const int64_t height = std::min(kTile, rows - k);
        turnTile(bytes + (k * count + first) * int64_t(sizeof(E)), count, height, width, square);
        for (int64_t j = 0; j < width; j++) {
          float* const target = out + (first + j - from) * rows + k;
          const E* const turned = square + j * kTile;
          if constexpr (sizeof(E) == 1) {
            for (int64_t i = 0; i < height; i++) target[i] = float(int8_t(turned[i]));
          } else {
            dequantizeRow(type, reinterpret_cast<const uint8_t*>(turned), target, height);
          }
          for (int64_t i = 0; i < height && scales.values != nullptr;) {
            const int64_t g = (k + i) / group, end = std::min(height, (g + 1) * group - k);
            const float scale = scales.values[g * scales.stride + first + j];
            for (; i < end; i++) target[i] *= scale;
          }
        }
      }
    }
  });
}

}  // namespace

int64_t turnedBytes(int type) {
  switch (type) {
    case kInt8: return 1;
    case F16:
    case BF16: return 2;
    case F32: return 4;
    default: return 0;
  }
}

void turnColumns(ThreadPool& pool, int type, const uint8_t* bytes, int64_t rows, int64_t count, int64_t from, int64_t to,
                 ColumnScales<float> scales, float* out) {
  switch (turnedBytes(type)) {
    case 1: return turnSized<uint8_t>(pool, type, bytes, rows, count, from, to, scales, out);
    case 2: return turnSized<uint16_t>(pool, type, bytes, rows, count, from, to, scales, out);
    default: return turnSized<uint32_t>(pool, type, bytes, rows, count, from, to, scales, out);
  }
}

void turnColumnsToQ8(ThreadPool& pool, const uint8_t* bytes, int64_t rows, int64_t count, int64_t from, int64_t to,
                     ColumnScales<uint16_t> scales, uint8_t* out) {
  constexpr int64_t kBlock = 32, kBlockBytes = 34;
  const int64_t group = rows / scales.groups, rowBytes = rows / kBlock * kBlockBytes;
  pool.run([&](int, int) {
    uint8_t square[kTile * kTile];
    for (;;) {
      const int64_t first = from + pool.next() * kTile;
      if (first >= to) return;
      const int64_t width = std::min(kTile, to - first);
      for (int64_t k = 0; k < rows; k += kTile) {
        const int64_t height = std::min(kTile, rows - k);
        turnTile(bytes + k * count + first, count, height, width, square);
        for (int64_t j = 0; j < width; j++) {
          uint8_t* block = out + (first + j - from) * rowBytes + k / kBlock * kBlockBytes;
          for (int64_t i = 0; i < height; i += kBlock, block += kBlockBytes) {
            const uint16_t scale = scales.values[(k + i) / group * scales.stride + first + j];
            memcpy(block, &scale, sizeof scale);
            memcpy(block + 2, square + j * kTile + i, size_t(kBlock));
          }
        }
      }
    }
  });
}

}  // namespace grok1
