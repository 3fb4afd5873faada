// Unpacking and packing in C++ without intrinsics, for the portable kernels and for Arm. The file that includes this defines
// greatest, roundBlock, products by rows, and the register tiles.
#include "gate.inc.h"
#include "grids.h"
#include "products.h"

namespace grok1::GROK1_ISA {

// Tokens of a tile; how many columns of a row, and of a token, lie together before the next row's or token's follow; and whether
// offsets are taken off codes as they are packed.
#if defined(GROK1_I8MM)
constexpr int kTile = 12, kFloatTile = 12, kRowRun = 8, kTokenRun = 8;
constexpr bool kSignedCodes = true;
#elif defined(GROK1_NEON)
constexpr int kTile = 4, kFloatTile = 12, kRowRun = 4, kTokenRun = 32;
constexpr bool kSignedCodes = true;
#else
constexpr int kTile = 4, kFloatTile = 4, kRowRun = 4, kTokenRun = 32;
constexpr bool kSignedCodes = false;
#endif

struct Quantized {
  int8_t codes[32];
  float scale;
  int sum[2];  // of each half
};

// Of x [32], the bits of the greatest magnitude; they order like the magnitudes, with NaN above all.
static uint32_t greatest(const float* x);
// Codes and sums of x [32] times `inverse`.
static void roundBlock(const float* x, float inverse, Quantized& q);

// x [32] in 8 bits; where it is not finite, zeros and a scale that is no number.
GROK1_INLINE void quantizeBlock(const float* x, Quantized& q) {
  const float amax = floatOfBits(greatest(x));
  q = {};
  if (!(amax >= 1e-30f && amax <= 3e38f)) {
    q.scale = amax < 1e-30f ? 0 : floatOfBits(0x7fc00000);
    return;
  }
  q.scale = roundTo11Bits(amax / 127.0f);
  roundBlock(x, 127.0f / amax, q);
}

GROK1_INLINE void putFactors(TernaryGroup&) {}

// 256 columns of a row: unsigned codes, and scales in the form of the type's kind.
struct Group {
  uint8_t codes[256];
  float scale[8], min[8];       // block32, min32
  float d, dmin;                // sub16, subMin16; dmin is negative, since minimums are subtracted
  int sub[16], subMin[16];
};

// 16 codes at a time, in what registers a compiler has for them.
using Bytes = uint8_t __attribute__((vector_size(16)));

GROK1_INLINE Bytes bytesAt(const uint8_t* p) {
  Bytes bytes;
  memcpy(&bytes, p, sizeof bytes);
  return bytes;
}

GROK1_INLINE void putBytes(uint8_t* p, Bytes bytes) { memcpy(p, &bytes, sizeof bytes); }

GROK1_INLINE void unpackNibbles(const uint8_t* q, uint8_t* codes) {
  putBytes(codes, bytesAt(q) & 15);
  putBytes(codes + 16, bytesAt(q) >> 4);
}

GROK1_INLINE void unpackFives(const uint8_t* high, const uint8_t* q, uint8_t* codes) {
  unpackNibbles(q, codes);
  for (int i = 0; i < 4; i++) {
    // Byte j keeps bit j; adding 127 then carries it to the top.
    const uint64_t bits = high[i] * 0x0101010101010101u & 0x8040201008040201u;
    uint64_t eight;
    memcpy(&eight, codes + 8 * i, 8);
    eight |= (bits + 0x7f7f7f7f7f7f7f7fu) >> 3 & 0x1010101010101010u;
    memcpy(codes + 8 * i, &eight, 8);
  }
}

GROK1_INLINE void unpackIq4(uint8_t* codes, int n) {
#if defined(GROK1_NEON)
  const uint8x16_t values = veorq_u8(vld1q_u8((const uint8_t*)iq4Values), vdupq_n_u8(128));
  for (int i = 0; i < n; i += 16) vst1q_u8(codes + i, vqtbl1q_u8(values, vld1q_u8(codes + i)));
#else
  for (int i = 0; i < n; i++) codes[i] = uint8_t(iq4Values[codes[i]] + 128);
#endif
}

// Eight codes of a grid's sizes with signs, for offsets of 128, or of 16 where sizes have four bits.
GROK1_INLINE void putSigned(uint8_t* codes, uint64_t sizes, uint8_t signs) {
  sizes = withSigns(sizes, kGrids.minus[signs]) ^ 0x8080808080808080;
  memcpy(codes, &sizes, 8);
}
GROK1_INLINE void putSigned16(uint8_t* codes, uint64_t sizes, uint8_t signs) {
  sizes = (withSigns(sizes, kGrids.minus[signs]) & 0x1f1f1f1f1f1f1f1f) ^ 0x1010101010101010;
  memcpy(codes, &sizes, 8);
}
// Eight codes of IQ1_S and IQ1_M.
GROK1_INLINE void putShifted(uint8_t* codes, uint64_t entry, bool down) {
  entry += (down ? 0x0707070707070707 : 0x0909090909090909);
  memcpy(codes, &entry, 8);
}

// Digit n in base 3 of bytes that are fractions of 256.
GROK1_INLINE void unpackThrees(const uint8_t* q, int count, int power, uint8_t* codes) {
  for (int i = 0; i < count; i++) codes[i] = uint8_t(uint8_t(q[i] * power) * 3 >> 8);
}

GROK1_INLINE float halfOf(const uint8_t* p) {
#if defined(GROK1_NEON)
  __fp16 value;
  memcpy(&value, p, sizeof value);
  return value;
#else
  return halfAt(p);
#endif
}

// `blocks` of the 8 blocks are there; the others become zeros. K types always have all 8.
GROK1_INLINE void unpackGroup(int type, const uint8_t* p, int blocks, Group& g) {
  if (blocks < 8) memset(&g, 0, sizeof g);
  const int stride = traitsOf(type).unit / 8;
  switch (type) {
    case Q4_0:
    case IQ4_NL:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfOf(p);
        unpackNibbles(p + 2, g.codes + 32 * b);
      }
      if (type == IQ4_NL) unpackIq4(g.codes, 32 * blocks);
      break;
    case Q4_1:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfOf(p);
        g.min[b] = halfOf(p + 2);
        unpackNibbles(p + 4, g.codes + 32 * b);
      }
      break;
    case Q5_0:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfOf(p);
        unpackFives(p + 2, p + 6, g.codes + 32 * b);
      }
      break;
    case Q5_1:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfOf(p);
        g.min[b] = halfOf(p + 2);
        unpackFives(p + 4, p + 8, g.codes + 32 * b);
      }
      break;
    case Q8_0:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfOf(p);
        for (int i = 0; i < 32; i += 16) putBytes(g.codes + 32 * b + i, bytesAt(p + 2 + i) ^ 128);
      }
      break;
    case Q4_K:
    case Q5_K: {
      const float d = halfOf(p), dmin = halfOf(p + 2);
      uint8_t scales[8], mins[8];
      unpackScales6(p + 4, scales, mins);
      const uint8_t *high = p + 16, *q = type == Q5_K ? p + 48 : p + 16;
      for (int b = 0; b < 8; b++) {
        g.scale[b] = d * float(scales[b]);
        g.min[b] = -dmin * float(mins[b]);
        for (int i = 0; i < 32; i += 16) {
          Bytes codes = bytesAt(q + 32 * (b / 2) + i) >> (b % 2 * 4) & 15;
          if (type == Q5_K) codes |= (bytesAt(high + i) >> b & 1) << 4;
          putBytes(g.codes + 32 * b + i, codes);
        }
      }
      break;
    }
    case IQ4_XS: {
      const float d = halfOf(p);
      const uint16_t high = load16(p + 2);
      for (int b = 0; b < 8; b++) {
        const int code = (p[4 + b / 2] >> (b % 2 * 4) & 15) | (high >> (2 * b) & 3) << 4;
        g.scale[b] = d * float(code - 32);
        unpackNibbles(p + 8 + 16 * b, g.codes + 32 * b);
      }
      unpackIq4(g.codes, 256);
      break;
    }
    case MXFP4:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = exponentScale(p[0]);
        unpackNibbles(p + 1, g.codes + 32 * b);
      }
      for (int i = 0; i < 32 * blocks; i++) g.codes[i] = uint8_t(fp4Values[g.codes[i]] + 16);
      break;
    case TQ1_0:
      for (int b = 0; b < 8; b++) g.scale[b] = halfOf(p + 52);
      for (int n = 0, power = 1; n < 5; n++, power *= 3) {
        unpackThrees(p, 32, power, g.codes + 32 * n);
        unpackThrees(p + 32, 16, power, g.codes + 160 + 16 * n);
        if (n < 4) unpackThrees(p + 48, 4, power, g.codes + 240 + 4 * n);
      }
      break;
    case TQ2_0:
      for (int b = 0; b < 8; b++) g.scale[b] = halfOf(p + 64);
      for (int i = 0; i < 256; i += 16) putBytes(g.codes + i, bytesAt(p + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3);
      break;
    case IQ1_S:
      for (int i = 0; i < 32; i++) {
        const int high = load16(p + 34 + i / 4 * 2);
        g.scale[i / 4] = halfOf(p) * 0.125f * float(2 * (high >> 12 & 7) + 1);
        putShifted(g.codes + 8 * i, kGrids.iq1[p[2 + i] | (high >> (i % 4 * 3) & 7) << 8], high >> 15);
      }
      break;
    case IQ1_M:
      g.d = floatOfHalf(halfOfIq1m(p + 48)) * 0.125f;
      for (int i = 0; i < 32; i++) {
        const int high = p[32 + i / 2] >> (i % 2 * 4);
        g.sub[i / 2] = 2 * (load16(p + 48 + i / 8 * 2) >> (i % 8 / 2 * 3) & 7) + 1;
        putShifted(g.codes + 8 * i, kGrids.iq1[p[i] | (high & 7) << 8], high >> 3 & 1);
      }
      break;
    case IQ2_XXS:
      for (int i = 0; i < 32; i++) {
        const uint8_t* const q = p + 2 + i / 4 * 8;
        const uint32_t packed = load32(q + 4);
        g.scale[i / 4] = halfOf(p) * 0.125f * float(2 * (packed >> 28) + 1);
        putSigned(g.codes + 8 * i, kGrids.iq2xxs[q[i % 4]], kGrids.evenSigns[packed >> (i % 4 * 7) & 127]);
      }
      break;
    case IQ2_XS:
    case IQ2_S:
      g.d = halfOf(p) * 0.125f;
      for (int i = 0; i < 32; i++) {
        g.sub[i / 2] = 2 * (p[(type == IQ2_S ? 74 : 66) + i / 4] >> (i % 4 / 2 * 4) & 15) + 1;
        if (type == IQ2_S) {
          putSigned(g.codes + 8 * i, kGrids.iq2s[p[2 + i] | (p[66 + i / 4] >> (i % 4 * 2) & 3) << 8], p[34 + i]);
        } else {
          const uint16_t packed = load16(p + 2 + 2 * i);
          putSigned(g.codes + 8 * i, kGrids.iq2xs[packed & 511], kGrids.evenSigns[packed >> 9]);
        }
      }
      break;
    case IQ3_XXS:
      for (int i = 0; i < 32; i++) {
        const uint32_t packed = load32(p + 66 + i / 4 * 4);
        g.scale[i / 4] = halfOf(p) * 0.25f * float(2 * (packed >> 28) + 1);
        const uint64_t sizes = kGrids.iq3xxs[p[2 + 2 * i]] | uint64_t(kGrids.iq3xxs[p[3 + 2 * i]]) << 32;
        putSigned(g.codes + 8 * i, sizes, kGrids.evenSigns[packed >> (i % 4 * 7) & 127]);
      }
      break;
    case IQ3_S:
      for (int i = 0; i < 32; i++) {
        const int high = p[66 + i / 4] >> (i % 4 * 2);
        g.scale[i / 4] = halfOf(p) * float(2 * (p[106 + i / 8] >> (i % 8 / 4 * 4) & 15) + 1);
        const uint64_t sizes = kGrids.iq3s[p[2 + 2 * i] | (high & 1) << 8] | uint64_t(kGrids.iq3s[p[3 + 2 * i] | (high & 2) << 7]) << 32;
        putSigned16(g.codes + 8 * i, sizes, p[74 + i]);
      }
      break;
    case Q2_K: {
      g.d = halfOf(p + 80);
      g.dmin = -halfOf(p + 82);
      for (int j = 0; j < 16; j++) {
        g.sub[j] = p[j] & 15;
        g.subMin[j] = p[j] >> 4;
      }
      for (int i = 0; i < 256; i += 16) putBytes(g.codes + i, bytesAt(p + 16 + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3);
      break;
    }
    case Q3_K: {
      g.d = halfOf(p + 108);
      int8_t scales[16];
      unpackScales3(p + 96, scales);
      for (int j = 0; j < 16; j++) g.sub[j] = scales[j];
      for (int i = 0; i < 256; i += 16) {
        const Bytes low = bytesAt(p + 32 + i / 128 * 32 + i % 32) >> (i % 128 / 32 * 2) & 3;
        putBytes(g.codes + i, low | (bytesAt(p + i % 32) >> (i / 32) & 1) << 2);
      }
      break;
    }
    case Q6_K:
      g.d = halfOf(p + 208);
      for (int j = 0; j < 16; j++) g.sub[j] = int8_t(p[192 + j]);
      for (int i = 0; i < 256; i += 16) {
        const int half = i / 128, part = i % 128 / 32, at = i % 32;
        const Bytes low = bytesAt(p + 64 * half + 32 * (part % 2) + at) >> (part / 2 * 4) & 15;
        putBytes(g.codes + i, low | (bytesAt(p + 128 + 32 * half + at) >> (2 * part) & 3) << 4);
      }
      break;
  }
}

}  // namespace grok1::GROK1_ISA

#include "ternary.inc.h"

namespace grok1::GROK1_ISA {

static void quantize(const float* x, int64_t cols, ActGroup* out) {
  for (int64_t from = 0; from < cols; from += kGroup, out++) {
    memset(out, 0, sizeof *out);
    for (int b = 0; b < 8 && from + 32 * b < cols; b++) {
      Quantized q;
      quantizeBlock(x + from + 32 * b, q);
      for (int i = 0; i < 32; i++) out->codes[b % 4][i / 16][b / 4 * 16 + i % 16] = q.codes[i];
      out->scale[b] = q.scale;
      out->sums[b] = q.sum[0] + q.sum[1];
      out->scaledSums[b] = q.scale * float(q.sum[0] + q.sum[1]);
      out->sums16[2 * b] = int16_t(q.sum[0]);
      out->sums16[2 * b + 1] = int16_t(q.sum[1]);
    }
  }
}

static float floatWeight(int type, const uint8_t* row, int64_t k) {
  if (type == F32) {
    float value;
    memcpy(&value, row + 4 * k, 4);
    return value;
  }
  return type == F16 ? halfOf(row + 2 * k) : floatOfBfloat(load16(row + 2 * k));
}

static void packToken(const PackTokenCall& call) {
  const Kind kind = call.kind;
  const int offset = call.offset, t = call.t;
  const float* const x = call.x;
  const size_t unitBytes = tileUnitBytes(kind, kind == Kind::f32 ? kFloatTile : kTile);
  const int lanes = lanesOf(kind);
  uint8_t* starts[kFloatLanes];
  for (int l = 0; l < lanes; l++) starts[l] = call.tile + size_t(laneStart(call.segmentUnits, lanes, l)) * unitBytes;
  // Counted, not divided: a division takes longer than all else that a float column needs.
  int lane = int(call.firstUnit % lanes);
  size_t step = size_t(call.firstUnit / lanes) * unitBytes;
  TernaryScales scales;
  for (int64_t u = 0; u < call.units; u++) {
    uint8_t* const to = starts[lane] + step;
    if (++lane == lanes) {
      lane = 0;
      step += unitBytes;
    }
    if (kind == Kind::f32) {
      reinterpret_cast<float*>(to)[t] = u < call.columns ? x[u] : 0;
      continue;
    }
    Quantized q;
    if (kind == Kind::ternary) {
      if (u % 8 == 0) scales = ternaryScales(x + 32 * u);
      q = ternaryBlock(scales, x + u / 8 * kGroup, int(u % 8));
    } else {
      quantizeBlock(x + 32 * u, q);
    }
    for (int i = 0; i < 32; i += kTokenRun) memcpy(to + i * kTile + kTokenRun * t, q.codes + i, kTokenRun);
    int32_t* const sums = reinterpret_cast<int32_t*>(to + 32 * kTile);
    float* const floats = reinterpret_cast<float*>(sums);
    if (kind == Kind::ternary) {
      sums[t] = -offset * (q.sum[0] + q.sum[1]);
      floats[kTile + t] = float(scales.multiples[u % 8]);
      floats[2 * kTile + t] = scales.base;
    } else if (kind == Kind::block32 || kind == Kind::min32) {
      sums[t] = -offset * (q.sum[0] + q.sum[1]);
      floats[kTile + t] = q.scale;
      floats[2 * kTile + t] = q.scale * float(q.sum[0] + q.sum[1]);
    } else {
      sums[t] = -offset * q.sum[0];
      sums[kTile + t] = -offset * q.sum[1];
      floats[2 * kTile + t] = q.scale;
      floats[3 * kTile + t] = float(q.sum[0]);
      floats[4 * kTile + t] = float(q.sum[1]);
    }
  }
}

static void packPanel(int type, const uint8_t* data, size_t rowBytes, int rowCount, int64_t columns, uint8_t* panel) {
  const TypeTraits traits = traitsOf(type);
  const int64_t units = unitsOf(traits.kind, columns);
  const size_t unitBytes = panelUnitBytes(traits.kind);
  const int lanes = lanesOf(traits.kind);
  uint8_t* starts[kFloatLanes];
  for (int l = 0; l < lanes; l++) starts[l] = panel + size_t(laneStart(units, lanes, l)) * unitBytes;
  memset(panel, 0, size_t(units) * unitBytes);
  for (int r = 0; r < rowCount; r++, data += rowBytes) {
    if (traits.kind == Kind::f32) {
      for (int64_t from = 0, step = 0; from < columns; from += kFloatLanes, step += int64_t(unitBytes)) {
        const int count = columns - from < kFloatLanes ? int(columns - from) : kFloatLanes;
        for (int l = 0; l < count; l++) reinterpret_cast<float*>(starts[l] + step)[r] = floatWeight(type, data, from + l);
      }
      continue;
    }
    Group g;
    for (int64_t u = 0; u < units; u++) {
      const int b = int(u % 8);
      if (b == 0) unpackGroup(type, data + size_t(u / 8 * traits.unit), units - u < 8 ? int(units - u) : 8, g);
      uint8_t* const to = starts[u % lanes] + size_t(u / lanes) * unitBytes;
      uint8_t* const codes = g.codes + 32 * b;
      if (kSignedCodes) {
        for (int i = 0; i < 32; i++) codes[i] = uint8_t(codes[i] - traits.offset);
      }
      for (int i = 0; i < 32; i += kRowRun) memcpy(to + i * kPanelRows + kRowRun * r, codes + i, kRowRun);
      float* const floats = reinterpret_cast<float*>(to + 512);
      if (traits.kind == Kind::ternary || traits.kind == Kind::block32 || traits.kind == Kind::min32) {
        floats[r] = g.scale[b];
        if (traits.kind == Kind::min32) floats[16 + r] = g.min[b];
      } else {
        floats[r] = g.d;
        floats[16 + r] = float(g.sub[2 * b]);
        floats[32 + r] = float(g.sub[2 * b + 1]);
        if (traits.kind == Kind::subMin16) {
          floats[48 + r] = g.dmin;
          floats[64 + r] = float(g.subMin[2 * b]);
          floats[80 + r] = float(g.subMin[2 * b + 1]);
        }
      }
    }
  }
}

}  // namespace grok1::GROK1_ISA
