#include "grid.h"

#include "quants.h"

namespace grok1 {

bool hasGrid(int type) { return gridRange(type).high > 0; }

GridRange gridRange(int type) {
  switch (type) {
    case Q4_0: return {-8, 7, false};
    case Q5_0: return {-16, 15, false};
    case Q8_0: return {-127, 127, false};
    case Q2_K: return {0, 3, false};
    case Q3_K: return {-4, 3, false};
    case Q4_1:
    case Q4_K: return {0, 15, false};
    case Q5_1:
    case Q5_K: return {0, 31, false};
    case Q6_K: return {-32, 31, false};
    case IQ4_NL:
    case IQ4_XS: return {-127, 113, true};
    default: return {};
  }
}

namespace {

void fill(float* out, int n, float value) {
  for (int i = 0; i < n; i++) out[i] = value;
}

// Where an element's code stands: its low bits, and those above them.
struct CodePlace {
  int low, shift, bits;
  int high, highShift;  // in byte `high`, where bits are left
};

CodePlace placeOf(int type, int i) {
  const int half = i / 128, l = i % 128;
  switch (type) {
    case IQ4_NL:
    case Q4_0: return {2 + i % 16, i / 16 * 4, 4, 0, 0};
    case Q4_1: return {4 + i % 16, i / 16 * 4, 4, 0, 0};
    case Q5_0: return {6 + i % 16, i / 16 * 4, 4, 2 + i / 8, i % 8};
    case Q5_1: return {8 + i % 16, i / 16 * 4, 4, 4 + i / 8, i % 8};
    case Q2_K: return {16 + 32 * half + l % 32, l / 32 * 2, 2, 0, 0};
    case Q3_K: return {32 + 32 * half + l % 32, l / 32 * 2, 2, i % 32, i / 32};
    case Q4_K: return {16 + i / 64 * 32 + i % 32, i % 64 / 32 * 4, 4, 0, 0};
    case Q5_K: return {48 + i / 64 * 32 + i % 32, i % 64 / 32 * 4, 4, 16 + i % 32, i / 32};
    case Q6_K: return {64 * half + l % 64, l / 64 * 4, 4, 128 + 32 * half + l % 32, l / 32 * 2};
    case IQ4_XS: return {8 + i / 32 * 16 + i % 16, i % 32 / 16 * 4, 4, 0, 0};
    default: return {2 + i, 0, 8, 0, 0};  // Q8_0
  }
}

int highBits(int type) {
  if (type == Q6_K) return 2;
  return type == Q5_0 || type == Q5_1 || type == Q3_K || type == Q5_K ? 1 : 0;
}

void putBits(uint8_t* byte, int shift, int bits, int value) {
  const int mask = (1 << bits) - 1;
  *byte = uint8_t((*byte & ~(mask << shift)) | (value & mask) << shift);
}

}  // namespace

void readGrid(int type, const uint8_t* block, float* steps, float* bases) {
  const int n = blockSize(type).elements;
  fill(bases, n, 0);
  switch (type) {
    case Q4_1:
    case Q5_1: fill(bases, n, halfAt(block + 2)); [[fallthrough]];
    case Q4_0:
    case Q5_0:
    case Q8_0:
    case IQ4_NL: fill(steps, n, halfAt(block)); return;
    case Q2_K:
      for (int j = 0; j < 16; j++) {
        fill(steps + 16 * j, 16, halfAt(block + 80) * float(block[j] & 15));
        fill(bases + 16 * j, 16, -(halfAt(block + 82) * float(block[j] >> 4)));
      }
      return;
    case Q3_K: {
      int8_t scales[16];
      unpackScales3(block + 96, scales);
      for (int j = 0; j < 16; j++) fill(steps + 16 * j, 16, halfAt(block + 108) * float(scales[j]));
      return;
    }
    case Q4_K:
    case Q5_K: {
      uint8_t scales[8], mins[8];
      unpackScales6(block + 4, scales, mins);
      for (int j = 0; j < 8; j++) {
        fill(steps + 32 * j, 32, halfAt(block) * float(scales[j]));
        fill(bases + 32 * j, 32, -(halfAt(block + 2) * float(mins[j])));
      }
      return;
    }
    case Q6_K:
      for (int j = 0; j < 16; j++) fill(steps + 16 * j, 16, halfAt(block + 208) * float(int8_t(block[192 + j])));
      return;
    default:  // IQ4_XS
      for (int j = 0; j < 8; j++) {
        const int low = block[4 + j / 2] >> (j % 2 * 4) & 15, high = load16(block + 2) >> (2 * j) & 3;
        fill(steps + 32 * j, 32, halfAt(block) * float((low | high << 4) - 32));
      }
  }
}

void writeCodes(int type, const float* v, uint8_t* block) {
  const int n = blockSize(type).elements, more = highBits(type);
  const GridRange range = gridRange(type);
  for (int i = 0; i < n; i++) {
    int code = int(v[i]);
    if (range.uneven) {
      code = 0;
      while (code < 15 && float(iq4Values[code]) != v[i]) code++;
    } else if (type != Q8_0) {
      code -= int(range.low);
    }
    const CodePlace place = placeOf(type, i);
    putBits(block + place.low, place.shift, place.bits, code);
    if (more > 0) putBits(block + place.high, place.highShift, more, code >> place.bits);
  }
}

}  // namespace grok1
