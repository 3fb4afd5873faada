// Matrix product kernels in portable C++: the baseline, and what the other instruction sets have to equal.
#define GROK1_ISA scalar
#include "products.portable.inc.h"

namespace grok1::GROK1_ISA {

static int dot16(const uint8_t* codes, const int8_t* acts) {
  int sum = 0;
  for (int i = 0; i < 16; i++) sum += codes[i] * acts[i];
  return sum;
}

static void multiply(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  const Kind kind = traitsOf(type).kind;
  const size_t panelUnit = panelUnitBytes(kind), tileUnit = tileUnitBytes(kind, kTile);
  for (int t = 0; t < tokens; t++, c += 16) {
    float sums[16] = {};
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
        if (kind == Kind::block32 || kind == Kind::min32) {
          sums[r] = __builtin_fmaf(float(dot[0] + dot[1] + offsets[t]), scales[r] * floats[kTile + t], sums[r]);
          if (kind == Kind::min32) sums[r] = __builtin_fmaf(scales[16 + r], floats[2 * kTile + t], sums[r]);
        } else {
          // A whole number below 2^24: exact.
          const float whole = float(dot[0] + offsets[t]) * scales[16 + r] + float(dot[1] + offsets[kTile + t]) * scales[32 + r];
          sums[r] = __builtin_fmaf(whole, scales[r] * floats[2 * kTile + t], sums[r]);
          if (kind == Kind::subMin16) {
            sums[r] = __builtin_fmaf(scales[48 + r], floats[3 * kTile + t], sums[r]);
            sums[r] = __builtin_fmaf(scales[64 + r], floats[4 * kTile + t], sums[r]);
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
  static const Products table = {scalar::kTile,     scalar::kTile,    scalar::quantize, scalar::rows, scalar::packToken,
                                 scalar::packPanel, scalar::multiply, scalar::gate};
  return table;
}

}  // namespace grok1
