// Unpacking, packing and products by rows in plain C++, for the portable kernels and where an instruction set has nothing
// better. The file that includes this defines dot16 and the register tiles.
#include "gate.inc.h"
#include "products.h"

namespace grok1::GROK1_ISA {

// The sum of 16 products of unsigned codes and activations.
static int dot16(const uint8_t* codes, const int8_t* acts);

// 256 columns of a row: unsigned codes, and scales in the form of the type's kind.
struct Group {
  uint8_t codes[256];
  float scale[8], min[8];       // block32, min32
  float d;                      // sub16, subMin16
  int sub[16];
  float subMin[16];
};

static void unpackNibbles(const uint8_t* q, uint8_t* codes) {
  for (int i = 0; i < 16; i++) {
    codes[i] = q[i] & 15;
    codes[16 + i] = q[i] >> 4;
  }
}

static void unpackFives(const uint8_t* high, const uint8_t* q, uint8_t* codes) {
  unpackNibbles(q, codes);
  for (int i = 0; i < 32; i++) codes[i] |= (high[i / 8] >> (i % 8) & 1) << 4;
}

static void unpackIq4(uint8_t* codes, int n) {
  for (int i = 0; i < n; i++) codes[i] = uint8_t(iq4Values[codes[i]] + 128);
}

// `blocks` of the 8 blocks are there; the others become zeros. K types always have all 8.
static void unpackGroup(int type, const uint8_t* p, int blocks, Group& g) {
  if (blocks < 8) memset(&g, 0, sizeof g);
  const int stride = traitsOf(type).unit / 8;
  switch (type) {
    case Q4_0:
    case IQ4_NL:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfAt(p);
        unpackNibbles(p + 2, g.codes + 32 * b);
      }
      if (type == IQ4_NL) unpackIq4(g.codes, 32 * blocks);
      break;
    case Q4_1:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfAt(p);
        g.min[b] = halfAt(p + 2);
        unpackNibbles(p + 4, g.codes + 32 * b);
      }
      break;
    case Q5_0:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfAt(p);
        unpackFives(p + 2, p + 6, g.codes + 32 * b);
      }
      break;
    case Q5_1:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfAt(p);
        g.min[b] = halfAt(p + 2);
        unpackFives(p + 4, p + 8, g.codes + 32 * b);
      }
      break;
    case Q8_0:
      for (int b = 0; b < blocks; b++, p += stride) {
        g.scale[b] = halfAt(p);
        for (int i = 0; i < 32; i++) g.codes[32 * b + i] = p[2 + i] ^ 128;
      }
      break;
    case Q4_K:
    case Q5_K: {
      const float d = halfAt(p), dmin = halfAt(p + 2);
      uint8_t scales[8], mins[8];
      unpackScales6(p + 4, scales, mins);
      const uint8_t *high = p + 16, *q = type == Q5_K ? p + 48 : p + 16;
      for (int b = 0; b < 8; b++) {
        g.scale[b] = d * float(scales[b]);
        g.min[b] = -dmin * float(mins[b]);
        for (int i = 0; i < 32; i++) {
          int code = q[32 * (b / 2) + i] >> (b % 2 * 4) & 15;
          if (type == Q5_K) code |= (high[i] >> b & 1) << 4;
          g.codes[32 * b + i] = uint8_t(code);
        }
      }
      break;
    }
    case IQ4_XS: {
      const float d = halfAt(p);
      const uint16_t high = load16(p + 2);
      for (int b = 0; b < 8; b++) {
        const int code = (p[4 + b / 2] >> (b % 2 * 4) & 15) | (high >> (2 * b) & 3) << 4;
        g.scale[b] = d * float(code - 32);
        unpackNibbles(p + 8 + 16 * b, g.codes + 32 * b);
      }
      unpackIq4(g.codes, 256);
      break;
    }
    case Q2_K: {
      g.d = halfAt(p + 80);
      const float dmin = halfAt(p + 82);
      for (int j = 0; j < 16; j++) {
        g.sub[j] = p[j] & 15;
        g.subMin[j] = -dmin * float(p[j] >> 4);
      }
      for (int i = 0; i < 256; i++) g.codes[i] = p[16 + 32 * (i / 128) + i % 32] >> (i % 128 / 32 * 2) & 3;
      break;
    }
    case Q3_K: {
      g.d = halfAt(p + 108);
      int8_t scales[16];
      unpackScales3(p + 96, scales);
      for (int j = 0; j < 16; j++) g.sub[j] = scales[j];
      for (int i = 0; i < 256; i++) {
        const int low = p[32 + 32 * (i / 128) + i % 32] >> (i % 128 / 32 * 2) & 3;
        g.codes[i] = uint8_t(low | (p[i % 32] >> (i / 32) & 1) << 2);
      }
      break;
    }
    case Q6_K:
      g.d = halfAt(p + 208);
      for (int j = 0; j < 16; j++) g.sub[j] = int8_t(p[192 + j]);
      for (int i = 0; i < 256; i++) {
        const int half = i / 128, part = i % 128 / 32, at = i % 32;
        const int low = p[64 * half + 32 * (part % 2) + at] >> (part / 2 * 4) & 15;
        g.codes[i] = uint8_t(low | (p[128 + 32 * half + at] >> (2 * part) & 3) << 4);
      }
      break;
  }
}

struct Quantized {
  int8_t codes[32];
  float scale;
  int sum[2];
};

static void quantizeBlock(const float* x, int64_t count, Quantized& q) {
  uint32_t most = 0;
  for (int64_t i = 0; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    bits &= 0x7fffffff;
    if (bits > most) most = bits;
  }
  q = {};
  const float amax = floatOfBits(most);
  q.scale = roundTo11Bits(amax / 127.0f);
  if (most > 0x7f800000 || most == 0x7f800000) q.scale = floatOfBits(0x7fc00000);
  if (!(amax >= 1e-30f) || !(amax <= 3e38f)) {
    if (amax < 1e-30f) q.scale = 0;
    return;
  }
  const float inverse = 127.0f / amax;
  for (int64_t i = 0; i < count; i++) {
    q.codes[i] = int8_t(__builtin_lrintf(x[i] * inverse));
    q.sum[i / 16] += q.codes[i];
  }
}

static void quantize(const float* x, int64_t cols, ActGroup* out) {
  for (int64_t from = 0; from < cols; from += kGroup, out++) {
    memset(out, 0, sizeof *out);
    for (int b = 0; b < 8 && from + 32 * b < cols; b++) {
      Quantized q;
      quantizeBlock(x + from + 32 * b, 32, q);
      for (int i = 0; i < 32; i++) out->codes[b % 4][i / 16][b / 4 * 16 + i % 16] = q.codes[i];
      out->scale[b] = q.scale;
      out->sums[b] = q.sum[0] + q.sum[1];
      out->scaledSums[b] = q.scale * float(q.sum[0] + q.sum[1]);
      out->sums16[2 * b] = int16_t(q.sum[0]);
      out->sums16[2 * b + 1] = int16_t(q.sum[1]);
      out->scaledEven[b] = q.scale * float(q.sum[0]);
      out->scaledOdd[b] = q.scale * float(q.sum[1]);
    }
  }
}

static float floatWeight(int type, const uint8_t* row, int64_t k) {
  if (type == F32) {
    float value;
    memcpy(&value, row + 4 * k, 4);
    return value;
  }
  return type == F16 ? halfAt(row + 2 * k) : floatOfBfloat(load16(row + 2 * k));
}

static void floatRow(int type, const uint8_t* row, int64_t cols, const float* x, float* out) {
  float total = 0;
  for (int64_t from = 0; from < cols; from += kFloatSegment) {
    float lanes[kFloatLanes] = {};
    const int64_t end = from + kFloatSegment < cols ? from + kFloatSegment : cols;
    for (int64_t k = from; k < end; k++) lanes[k % kFloatLanes] = __builtin_fmaf(floatWeight(type, row, k), x[k], lanes[k % kFloatLanes]);
    for (const float lane : lanes) total += lane;
  }
  *out = total;
}

static void quantRow(int type, const uint8_t* row, int64_t cols, const ActGroup* x, float* out) {
  const TypeTraits traits = traitsOf(type);
  float total = 0;
  for (int64_t segment = 0; segment < cols; segment += kSegment) {
    float lanes[kLanes] = {};
    for (int64_t from = segment; from < cols && from < segment + kSegment; from += kGroup, row += traits.unit, x++) {
      Group g;
      unpackGroup(type, row, cols - from < kGroup ? int(cols - from) / 32 : 8, g);
      for (int b = 0; b < 8; b++) {
        const int dot[2] = {dot16(g.codes + 32 * b, x->codes[b % 4][0] + b / 4 * 16),
                            dot16(g.codes + 32 * b + 16, x->codes[b % 4][1] + b / 4 * 16)};
        if (traits.kind == Kind::block32 || traits.kind == Kind::min32) {
          lanes[b] = __builtin_fmaf(float(dot[0] + dot[1] - traits.offset * x->sums[b]), g.scale[b] * x->scale[b], lanes[b]);
          if (traits.kind == Kind::min32) lanes[b] = __builtin_fmaf(g.min[b], x->scaledSums[b], lanes[b]);
        } else {
          const int whole = g.sub[2 * b] * (dot[0] - traits.offset * x->sums16[2 * b]) +
                            g.sub[2 * b + 1] * (dot[1] - traits.offset * x->sums16[2 * b + 1]);
          lanes[b] = __builtin_fmaf(float(whole), g.d * x->scale[b], lanes[b]);
          if (traits.kind == Kind::subMin16) {
            lanes[b] = __builtin_fmaf(g.subMin[2 * b], x->scaledEven[b], lanes[b]);
            lanes[b] = __builtin_fmaf(g.subMin[2 * b + 1], x->scaledOdd[b], lanes[b]);
          }
        }
      }
    }
    for (const float lane : lanes) total += lane;
  }
  *out = total;
}

static void rows(int type, const RowsCall& call) {
  for (int r = 0; r < call.rows; r++) {
    const uint8_t* row = call.data + size_t(r) * call.rowBytes;
    for (int t = 0; t < call.tokens; t++) {
      float* out = call.out + t * call.ldo + r;
      if (traitsOf(type).kind == Kind::f32) {
        floatRow(type, row, call.cols, static_cast<const float*>(call.acts[t]), out);
      } else {
        quantRow(type, row, call.cols, static_cast<const ActGroup*>(call.acts[t]), out);
      }
    }
  }
}

constexpr int kTile = 4;

static void packToken(const PackTokenCall& call) {
  const Kind kind = call.kind;
  const int offset = call.offset, t = call.t;
  const float* const x = call.x;
  const size_t unitBytes = tileUnitBytes(kind, kTile);
  const int lanes = lanesOf(kind);
  for (int64_t u = 0; u < call.units; u++) {
    const int64_t at = call.firstUnit + u;
    uint8_t* to = call.tile + size_t(laneStart(call.segmentUnits, lanes, int(at % lanes)) + at / lanes) * unitBytes;
    if (kind == Kind::f32) {
      reinterpret_cast<float*>(to)[t] = u < call.columns ? x[u] : 0;
      continue;
    }
    Quantized q;
    quantizeBlock(x + 32 * u, 32, q);
    memcpy(to + 32 * t, q.codes, 32);
    int32_t* const sums = reinterpret_cast<int32_t*>(to + 32 * kTile);
    float* const floats = reinterpret_cast<float*>(sums);
    if (kind == Kind::block32 || kind == Kind::min32) {
      sums[t] = -offset * (q.sum[0] + q.sum[1]);
      floats[kTile + t] = q.scale;
      floats[2 * kTile + t] = q.scale * float(q.sum[0] + q.sum[1]);
    } else {
      sums[t] = -offset * q.sum[0];
      sums[kTile + t] = -offset * q.sum[1];
      floats[2 * kTile + t] = q.scale;
      floats[3 * kTile + t] = q.scale * float(q.sum[0]);
      floats[4 * kTile + t] = q.scale * float(q.sum[1]);
    }
  }
}

static void packPanel(int type, const uint8_t* data, size_t rowBytes, int rowCount, int64_t columns, uint8_t* panel) {
  const TypeTraits traits = traitsOf(type);
  const int64_t units = unitsOf(traits.kind, columns);
  const size_t unitBytes = panelUnitBytes(traits.kind);
  const int lanes = lanesOf(traits.kind);
  memset(panel, 0, size_t(units) * unitBytes);
  for (int r = 0; r < rowCount; r++, data += rowBytes) {
    if (traits.kind == Kind::f32) {
      for (int64_t k = 0; k < columns; k++) {
        reinterpret_cast<float*>(panel + size_t(laneStart(units, lanes, int(k % lanes)) + k / lanes) * unitBytes)[r] =
            floatWeight(type, data, k);
      }
      continue;
    }
    Group g;
    for (int64_t u = 0; u < units; u++) {
      const int b = int(u % 8);
      if (b == 0) unpackGroup(type, data + size_t(u / 8 * traits.unit), units - u < 8 ? int(units - u) : 8, g);
      uint8_t* to = panel + size_t(laneStart(units, lanes, b) + u / lanes) * unitBytes;
      for (int i = 0; i < 32; i++) to[i / 4 * 64 + r * 4 + i % 4] = g.codes[32 * b + i];
      float* const floats = reinterpret_cast<float*>(to + 512);
      if (traits.kind == Kind::block32 || traits.kind == Kind::min32) {
        floats[r] = g.scale[b];
        if (traits.kind == Kind::min32) floats[16 + r] = g.min[b];
      } else {
        floats[r] = g.d;
        floats[16 + r] = float(g.sub[2 * b]);
        floats[32 + r] = float(g.sub[2 * b + 1]);
        if (traits.kind == Kind::subMin16) {
          floats[48 + r] = g.subMin[2 * b];
          floats[64 + r] = g.subMin[2 * b + 1];
        }
      }
    }
  }
}

}  // namespace grok1::GROK1_ISA
