// Q2_K to Q6_K, IQ4_NL and IQ4_XS: superblocks of 256 whose sub-blocks' scales, and minimums, are whole numbers of few bits. Layouts: quants.cpp
// and src/tensor/types/.
#pragma once

#include "encode-plain.inc.h"

namespace grok1::GROK1_ISA {

// Codes of one half (128 elements) of a superblock, two bits of each: byte l holds elements l, l + 32, l + 64, l + 96.
GROK1_INLINE void packPairs(const uint8_t* codes, int shift, uint8_t* out) {
  for (int half = 0; half < 2; half++, codes += 128, out += 32) {
    for (int l = 0; l < 32; l++) {
      out[l] = uint8_t((codes[l] >> shift & 3) | (codes[l + 32] >> shift & 3) << 2 | (codes[l + 64] >> shift & 3) << 4 |
                       (codes[l + 96] >> shift & 3) << 6);
    }
  }
}

template <int kLevels, int kCount, int kSize>
GROK1_INLINE void affineCodes(const float* x, const AffineBlock<kCount>& block, uint8_t* codes) {
  float q[256];
  for (int j = 0; j < kCount; j++) {
    nearestCodes<kLevels>(x + kSize * j, kSize, block.d * float(block.scales[j]), block.dmin * float(block.mins[j]), q + kSize * j);
  }
  for (int i = 0; i < 256; i++) codes[i] = uint8_t(q[i]);
}

static void encodeQ2K(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 256, x += 256, out += 84) {
    float w[256];
    uint8_t codes[256];
    if (importance != nullptr) {
      weighByImportance(x, importance + at, meanSquare(x, 256), 256, w);
    } else {
      for (int j = 0; j < 256; j += 16) weighByMagnitude(x + j, 16, w + j);
    }
    const auto block = fitAffineBlock<3, 16, 16, 15>(x, w);
    affineCodes<3, 16, 16>(x, block, codes);
    for (int j = 0; j < 16; j++) out[j] = uint8_t(block.scales[j] | block.mins[j] << 4);
    packPairs(codes, 0, out + 16);
    putHalf(out + 80, block.d);
    putHalf(out + 82, block.dmin);
  }
}

// Eight scales and eight minimums of six bits in 12 bytes.
GROK1_INLINE void packScales6(const int* scales, const int* mins, uint8_t* out) {
  for (int j = 0; j < 4; j++) {
    out[j] = uint8_t(scales[j] | scales[4 + j] >> 4 << 6);
    out[4 + j] = uint8_t(mins[j] | mins[4 + j] >> 4 << 6);
    out[8 + j] = uint8_t((scales[4 + j] & 15) | (mins[4 + j] & 15) << 4);
  }
}

// Q4_K and Q5_K.
template <int kLevels>
static void encodeQ45K(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 256, x += 256, out += kLevels == 15 ? 144 : 176) {
    float w[256];
    uint8_t codes[256];
    if (importance != nullptr) {
      weighByImportance(x, importance + at, 2 * meanSquare(x, 256), 256, w);
    } else {
      for (int j = 0; j < 256; j += 32) weighByMagnitude(x + j, 32, w + j);
    }
    const auto block = fitAffineBlock<kLevels, 8, 32, 63>(x, w);
    affineCodes<kLevels, 8, 32>(x, block, codes);
    putHalf(out, block.d);
    putHalf(out + 2, block.dmin);
    packScales6(block.scales, block.mins, out + 4);
    uint8_t* nibbles = out + 16;
    if (kLevels == 31) {
      for (int i = 0; i < 32; i++) {
        nibbles[i] = 0;
        for (int j = 0; j < 8; j++) nibbles[i] |= uint8_t((codes[32 * j + i] >> 4) << j);
      }
      nibbles += 32;
    }
    for (int c = 0; c < 4; c++) {
      for (int i = 0; i < 32; i++) nibbles[32 * c + i] = uint8_t((codes[64 * c + i] & 15) | codes[64 * c + 32 + i] << 4);
    }
  }
}

// Codes from 0 of a superblock of one scale a sub-block.
template <class Grid, int kCount>
GROK1_INLINE void scaledValues(const float* x, const ScaledBlock<kCount>& block, float* q) {
  constexpr int kSize = 256 / kCount;
  for (int j = 0; j < kCount; j++) nearestValues<Grid>(x + kSize * j, kSize, block.d * float(block.scales[j]), q + kSize * j);
}

static void encodeQ3K(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 256, x += 256, out += 110) {
    float w[256], q[256];
    uint8_t codes[256];
    importance != nullptr ? weighByImportance(x, importance + at, 2 * meanSquare(x, 256), 256, w) : weighBySquare(x, 256, w);
    const auto block = fitScaledBlock<Whole<-4, 3>, 16, 16, -32, 31>(x, w);
    scaledValues<Whole<-4, 3>>(x, block, q);
    for (int i = 0; i < 256; i++) codes[i] = uint8_t(int(q[i]) + 4);
    for (int i = 0; i < 32; i++) {
      out[i] = 0;
      for (int j = 0; j < 8; j++) out[i] |= uint8_t((codes[32 * j + i] >> 2) << j);
    }
    packPairs(codes, 0, out + 32);
    // Six bits a scale: low nibbles of j and j + 8 in byte j, upper two bits of j, j + 4, j + 8, j + 12 in byte 8 + j % 4.
    memset(out + 96, 0, 12);
    for (int j = 0; j < 16; j++) {
      const int scale = block.scales[j] + 32;
      out[96 + j % 8] |= uint8_t((scale & 15) << (j / 8 * 4));
      out[104 + j % 4] |= uint8_t((scale >> 4) << (j / 4 * 2));
    }
    putHalf(out + 108, block.d);
  }
}

static void encodeQ6K(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 256, x += 256, out += 210) {
    float w[256], q[256];
    uint8_t codes[256];
    importance != nullptr ? (void)memcpy(w, importance + at, sizeof w) : weighBySquare(x, 256, w);
    const auto block = fitScaledBlock<Whole<-32, 31>, 16, 16, -128, 127>(x, w);
    scaledValues<Whole<-32, 31>>(x, block, q);
    for (int i = 0; i < 256; i++) codes[i] = uint8_t(int(q[i]) + 32);
    for (int half = 0; half < 2; half++) {
      for (int l = 0; l < 64; l++) {
        out[64 * half + l] = uint8_t((codes[128 * half + l] & 15) | (codes[128 * half + 64 + l] & 15) << 4);
      }
    }
    packPairs(codes, 4, out + 128);
    for (int j = 0; j < 16; j++) out[192 + j] = uint8_t(int8_t(block.scales[j]));
    putHalf(out + 208, block.d);
  }
}

static constexpr float kIq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
using Iq4 = Uneven<kIq4, 16>;

static void encodeIq4Nl(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 32, x += 32, out += 18) {
    float w[32], q[32];
    uint8_t codes[32];
    importance != nullptr ? weighByImportance(x, importance + at, 2 * meanSquare(x, 32), 32, w) : weighBySquare(x, 32, w);
    const uint16_t half = floatToHalf(fitScale<Iq4>(x, w, 32));
    put16(out, half);
    nearestValues<Iq4>(x, 32, halfToFloat(half), q);
    for (int i = 0; i < 32; i++) codes[i] = uint8_t(Iq4::codeOf(q[i]));
    packNibbles(codes, out + 2);
  }
}

static void encodeIq4Xs(const float* x, const float* importance, int64_t cols, float*, uint8_t* out) {
  for (int64_t at = 0; at < cols; at += 256, x += 256, out += 136) {
    float w[256], q[256];
    uint8_t codes[32];
    importance != nullptr ? weighByImportance(x, importance + at, 2 * meanSquare(x, 256), 256, w) : weighBySquare(x, 256, w);
    const auto block = fitScaledBlock<Iq4, 8, 32, -32, 31>(x, w);
    scaledValues<Iq4>(x, block, q);
    uint16_t high = 0;
    memset(out + 4, 0, 4);
    for (int j = 0; j < 8; j++) {
      const int scale = block.scales[j] + 32;
      out[4 + j / 2] |= uint8_t((scale & 15) << (j % 2 * 4));
      high |= uint16_t((scale >> 4) << (2 * j));
      for (int i = 0; i < 32; i++) codes[i] = uint8_t(Iq4::codeOf(q[32 * j + i]));
      packNibbles(codes, out + 8 + 16 * j);
    }
    putHalf(out, block.d);
    put16(out + 2, high);
  }
}

}  // namespace grok1::GROK1_ISA
