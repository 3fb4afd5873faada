// Activations for products with ternary weights. The file that includes this defines greatest and roundBlock.
namespace grok1::GROK1_ISA {

struct TernaryScales {
  float base;
  int multiples[8];
};

// Of x [256]. Zeros have a base of 0; where some are not finite it is no number, as are the products then.
GROK1_INLINE TernaryScales ternaryScales(const float* x) {
  uint32_t each[8], most = 0;
  for (int b = 0; b < 8; b++) {
    each[b] = greatest(x + 32 * b);
    if (each[b] > most) most = each[b];
  }
  TernaryScales scales = {0, {1, 1, 1, 1, 1, 1, 1, 1}};
  const float amax = floatOfBits(most);
  if (!(amax >= 1e-30f && amax <= 3e38f)) {
    if (!(amax < 1e-30f)) scales.base = floatOfBits(0x7fc00000);
    return scales;
  }
  scales.base = roundTo11Bits(amax / (127.0f * kMaxMultiple));
  for (int b = 0; b < 8; b++) {  // rounded up, so that no code is above 127
    const int multiple = int(floatOfBits(each[b]) / (127.0f * scales.base)) + 1;
    scales.multiples[b] = multiple < kMaxMultiple ? multiple : kMaxMultiple;
  }
  return scales;
}

// Block b of x [256].
GROK1_INLINE Quantized ternaryBlock(const TernaryScales& scales, const float* x, int b) {
  const float scale = scales.base * float(scales.multiples[b]);
  Quantized q = {};
  if (scales.base > 0) roundBlock(x + 32 * b, 1.0f / scale, q);
  q.scale = scale;
  return q;
}

static void quantizeTernary(const float* x, int64_t cols, TernaryGroup* out) {
  for (int64_t from = 0; from < cols; from += kGroup, out++) {
    const TernaryScales scales = ternaryScales(x + from);
    out->base = scales.base;
    out->offset = 0;
    for (int b = 0; b < 8; b++) {
      const Quantized q = ternaryBlock(scales, x + from, b);
      for (int h = 0; h < 2; h++) memcpy(out->codes[b % 4][h] + b / 4 * 16, (const int8_t*)&q.codes + 16 * h, 16);
      out->scale[b] = q.scale;
      out->multiples[b] = int16_t(scales.multiples[b]);
      out->offset += scales.multiples[b] * (q.sum[0] + q.sum[1]);
    }
    putFactors(*out);
  }
}

}  // namespace grok1::GROK1_ISA
