// Matrix product kernels in portable C++: the baseline, and what the other instruction sets have to equal.
#define GROK1_ISA scalar
#include "products.portable.inc.h"

namespace grok1::GROK1_ISA {

static uint32_t greatest(const float* x) {
  uint32_t most = 0;
  for (int i = 0; i < 32; i++) {
    uint32_t bits;
    memcpy(&bits, x + i, 4);
    bits &= 0x7fffffff;
    if (bits > most) most = bits;
  }
  return most;
}

static void roundBlock(const float* x, float inverse, Quantized& q) {
  for (int i = 0; i < 32; i++) {
    q.codes[i] = int8_t(__builtin_lrintf(x[i] * inverse));
    q.sum[i / 16] += q.codes[i];
  }
}

// The sum of 16 products of unsigned codes and activations.
static int dot16(const uint8_t* codes, const int8_t* acts) {
  int sum = 0;
  for (int i = 0; i < 16; i++) sum += codes[i] * acts[i];
  return sum;
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
            const int mins = g.subMin[2 * b] * x->sums16[2 * b] + g.subMin[2 * b + 1] * x->sums16[2 * b + 1];
            lanes[b] = __builtin_fmaf(float(mins), g.dmin * x->scale[b], lanes[b]);
          }
        }
      }
    }
    for (const float lane : lanes) total += lane;
  }
  *out = total;
}

static void ternaryRow(int type, const uint8_t* row, int64_t cols, const TernaryGroup* x, float* out) {
  const TypeTraits traits = traitsOf(type);
  float total = 0;
  for (int64_t segment = 0; segment < cols; segment += kSegment) {
    float lane = 0;
    for (int64_t from = segment; from < cols && from < segment + kSegment; from += kGroup, row += traits.unit, x++) {
      Group g;
      unpackGroup(type, row, 8, g);
      int whole = -traits.offset * x->offset;
      for (int b = 0; b < 8; b++) {
        for (int h = 0; h < 2; h++) whole += x->multiples[b] * dot16(g.codes + 32 * b + 16 * h, x->codes[b % 4][h] + b / 4 * 16);
      }
      lane = __builtin_fmaf(float(whole), g.scale[0] * x->base, lane);
    }
    total += lane;
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
      } else if (traitsOf(type).kind == Kind::ternary) {
        ternaryRow(type, row, call.cols, static_cast<const TernaryGroup*>(call.acts[t]), out);
      } else {
        quantRow(type, row, call.cols, static_cast<const ActGroup*>(call.acts[t]), out);
      }
    }
  }
}

static void multiply(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  const Kind kind = traitsOf(type).kind;
  const size_t panelUnit = panelUnitBytes(kind), tileUnit = tileUnitBytes(kind, kTile);
  for (int t = 0; t < tokens; t++, c += 16) {
    float sums[16] = {}, wholes[16] = {};
    for (int64_t u = 0; u < units; u++) {
      const uint8_t *w = panel + size_t(u) * panelUnit, *x = tile + size_t(u) * tileUnit;
      if (kind == Kind::f32) {
        for (int r = 0; r < 16; r++) {
          sums[r] = __builtin_fmaf(reinterpret_cast<const float*>(w)[r], reinterpret_cast<const float*>(x)[t], sums[r]);
        }
        continue;
      }
      const float *scales = reinterpret_cast<const float*>(w + 512), *floats = reinterpret_cast<const float*>(x + 32 * kTile);
      const int32_t* offsets = reinterpret_cast<const int32_t*>(floats);
      for (int r = 0; r < 16; r++) {
        int dot[2] = {0, 0};
        for (int i = 0; i < 32; i++) dot[i / 16] += w[i / 4 * 64 + r * 4 + i % 4] * int8_t(x[32 * t + i]);
        if (kind == Kind::ternary) {
          wholes[r] = __builtin_fmaf(float(dot[0] + dot[1] + offsets[t]), floats[kTile + t], wholes[r]);
          if (u % 8 < 7) continue;
          sums[r] = __builtin_fmaf(wholes[r], scales[r] * floats[2 * kTile + t], sums[r]);
          wholes[r] = 0;
        } else if (kind == Kind::block32 || kind == Kind::min32) {
          sums[r] = __builtin_fmaf(float(dot[0] + dot[1] + offsets[t]), scales[r] * floats[kTile + t], sums[r]);
          if (kind == Kind::min32) sums[r] = __builtin_fmaf(scales[16 + r], floats[2 * kTile + t], sums[r]);
        } else {
          // A whole number below 2^24: exact.
          const float whole = float(dot[0] + offsets[t]) * scales[16 + r] + float(dot[1] + offsets[kTile + t]) * scales[32 + r];
          sums[r] = __builtin_fmaf(whole, scales[r] * floats[2 * kTile + t], sums[r]);
          if (kind == Kind::subMin16) {
            const float mins = scales[64 + r] * floats[3 * kTile + t] + scales[80 + r] * floats[4 * kTile + t];
            sums[r] = __builtin_fmaf(mins, scales[48 + r] * floats[2 * kTile + t], sums[r]);
          }
        }
      }
    }
    for (int r = 0; r < 16; r++) c[r] += sums[r];
  }
}

}  // namespace grok1::GROK1_ISA

namespace grok1 {

const Products& scalarProducts() {
  static const Products table = {scalar::kTile,     scalar::kTile,    scalar::quantize, scalar::quantizeTernary, scalar::rows, scalar::packToken,
                                 scalar::packPanel, scalar::multiply, scalar::gate, scalar::accumulate};
  return table;
}

}  // namespace grok1
