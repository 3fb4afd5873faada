// What both Arm kernels share: rounding of activations, products by rows, and float tiles. The file that includes this adds the
// tiles of quantized weights.
#if !defined(GROK1_NEON)
#define GROK1_NEON 1
#endif
#include <arm_neon.h>

#include "products.portable.inc.h"

namespace grok1::GROK1_ISA {

static uint32_t greatest(const float* x) {
  uint32x4_t most = vdupq_n_u32(0);
  for (int i = 0; i < 8; i++) most = vmaxq_u32(most, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + 4 * i))));
  return vmaxvq_u32(most);
}

static void roundBlock(const float* x, float inverse, Quantized& q) {
  for (int half = 0; half < 2; half++) {
    int16x4_t part[4];
    for (int i = 0; i < 4; i++) part[i] = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 16 * half + 4 * i), inverse)));
    const int8x16_t codes = vcombine_s8(vmovn_s16(vcombine_s16(part[0], part[1])), vmovn_s16(vcombine_s16(part[2], part[3])));
    vst1q_s8(q.codes + 16 * half, codes);
    q.sum[half] = vaddlvq_s8(codes);
  }
}

// Sums of eight registers' values: those of the first four in the first register.
GROK1_INLINE int32x4x2_t sumEach(const int32x4_t* v) {
  return {{vpaddq_s32(vpaddq_s32(v[0], v[1]), vpaddq_s32(v[2], v[3])), vpaddq_s32(vpaddq_s32(v[4], v[5]), vpaddq_s32(v[6], v[7]))}};
}

// lanes += one group of a row.
template <Kind KIND>
GROK1_INLINE void addGroup(const Group& g, int offset, const ActGroup& a, float32x4_t* lanes) {
  constexpr bool halves = KIND == Kind::sub16 || KIND == Kind::subMin16;
  // Codes that take all 8 bits are read as signed ones, less 128; of the others, the offset times the activations is taken off.
  const uint8x16_t flip = vdupq_n_u8(offset == 128 ? 128 : 0);
  int32x4_t dots[2][8];
  GROK1_UNROLL
  for (int b = 0; b < 8; b++) {
    const int8x16_t w0 = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(g.codes + 32 * b), flip));
    const int8x16_t w1 = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(g.codes + 32 * b + 16), flip));
    const int8x16_t x0 = vld1q_s8(a.codes[b % 4][0] + b / 4 * 16), x1 = vld1q_s8(a.codes[b % 4][1] + b / 4 * 16);
    dots[0][b] = vdotq_s32(vdupq_n_s32(0), w0, x0);
    dots[1][b] = vdotq_s32(halves ? vdupq_n_s32(0) : dots[0][b], w1, x1);
  }
  int32x4x2_t sums = sumEach(dots[1]);
  const int32x4_t off = vdupq_n_s32(offset == 128 ? 0 : offset);
  if constexpr (!halves) {
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const float32x4_t whole = vcvtq_f32_s32(vmlsq_s32(sums.val[h], off, vld1q_s32(a.sums + 4 * h)));
      lanes[h] = vfmaq_f32(lanes[h], whole, vmulq_f32(vld1q_f32(g.scale + 4 * h), vld1q_f32(a.scale + 4 * h)));
      if (KIND == Kind::min32) lanes[h] = vfmaq_f32(lanes[h], vld1q_f32(g.min + 4 * h), vld1q_f32(a.scaledSums + 4 * h));
    }
  } else {
    const int32x4x2_t even = sumEach(dots[0]);
    GROK1_UNROLL
    for (int h = 0; h < 2; h++) {
      const int32x4x2_t subs = vld2q_s32(g.sub + 8 * h);
      const int16x4x2_t codes = vld2_s16(a.sums16 + 8 * h);
      const int32x4_t first = vmlsq_s32(even.val[h], off, vmovl_s16(codes.val[0]));
      const int32x4_t second = vmlsq_s32(sums.val[h], off, vmovl_s16(codes.val[1]));
      const float32x4_t whole = vcvtq_f32_s32(vmlaq_s32(vmulq_s32(first, subs.val[0]), second, subs.val[1]));
      lanes[h] = vfmaq_f32(lanes[h], whole, vmulq_n_f32(vld1q_f32(a.scale + 4 * h), g.d));
      if (KIND == Kind::subMin16) {
        const int32x4x2_t subMins = vld2q_s32(g.subMin + 8 * h);
        const int32x4_t mins = vmlaq_s32(vmulq_s32(subMins.val[0], vmovl_s16(codes.val[0])), subMins.val[1], vmovl_s16(codes.val[1]));
        lanes[h] = vfmaq_f32(lanes[h], vcvtq_f32_s32(mins), vmulq_n_f32(vld1q_f32(a.scale + 4 * h), g.dmin));
      }
    }
  }
}

// One row times `call.tokens` tokens.
template <int TYPE>
static void quantRow(const RowsCall& call, const uint8_t* row, float* out) {
  constexpr TypeTraits traits = traitsOf(TYPE);
  float totals[kMaxTokensAtOnce] = {};
  int64_t group = 0;
  for (int64_t segment = 0; segment < call.cols; segment += kSegment) {
    const int64_t end = call.cols < segment + kSegment ? call.cols : segment + kSegment;
    float32x4_t lanes[kMaxTokensAtOnce][2];
    for (auto& lane : lanes) lane[0] = lane[1] = vdupq_n_f32(0);
    for (int64_t from = segment; from < end; from += kGroup, row += traits.unit, group++) {
      Group g;
      unpackGroup(TYPE, row, end - from < kGroup ? int(end - from) / 32 : 8, g);
      for (int t = 0; t < call.tokens; t++) addGroup<traits.kind>(g, traits.offset, ((const ActGroup*)call.acts[t])[group], lanes[t]);
    }
    for (int t = 0; t < call.tokens; t++) {
      float each[kLanes];
      vst1q_f32(each, lanes[t][0]);
      vst1q_f32(each + 4, lanes[t][1]);
      for (const float lane : each) totals[t] += lane;
    }
  }
  for (int t = 0; t < call.tokens; t++) out[t * call.ldo] = totals[t];
}

// The same with ternary weights.
template <int TYPE>
static void ternaryRow(const RowsCall& call, const uint8_t* row, float* out) {
  constexpr TypeTraits traits = traitsOf(TYPE);
  float totals[kMaxTokensAtOnce] = {};
  int64_t group = 0;
  for (int64_t segment = 0; segment < call.cols; segment += kSegment) {
    float lanes[kMaxTokensAtOnce] = {};
    for (int64_t from = segment; from < call.cols && from < segment + kSegment; from += kGroup, row += traits.unit, group++) {
      Group g;
      unpackGroup(TYPE, row, 8, g);
      for (int t = 0; t < call.tokens; t++) {
        const TernaryGroup& a = ((const TernaryGroup*)call.acts[t])[group];
        int32x4_t sums = vdupq_n_s32(0);
        GROK1_UNROLL
        for (int b = 0; b < 8; b++) {
          int32x4_t dot = vdupq_n_s32(0);
          GROK1_UNROLL
          for (int h = 0; h < 2; h++) dot = vdotq_s32(dot, vld1q_s8((const int8_t*)g.codes + 32 * b + 16 * h), vld1q_s8(a.codes[b % 4][h] + b / 4 * 16));
          sums = vmlaq_n_s32(sums, dot, a.multiples[b]);
        }
        const int32_t whole = vaddvq_s32(sums) - traits.offset * a.offset;
        lanes[t] = __builtin_fmaf(float(whole), g.scale[0] * a.base, lanes[t]);
      }
    }
    for (int t = 0; t < call.tokens; t++) totals[t] += lanes[t];
  }
  for (int t = 0; t < call.tokens; t++) out[t * call.ldo] = totals[t];
}

template <int TYPE>
GROK1_INLINE float32x4_t fourWeights(const uint8_t* p) {
  if (TYPE == F32) return vld1q_f32((const float*)p);
  const uint16x4_t bits = vld1_u16((const uint16_t*)p);
  return TYPE == F16 ? vcvt_f32_f16(vreinterpret_f16_u16(bits)) : vreinterpretq_f32_u32(vshll_n_u16(bits, 16));
}

template <int TYPE>
static void floatRow(const RowsCall& call, const uint8_t* row, float* out) {
  constexpr int unit = traitsOf(TYPE).unit;
  for (int t = 0; t < call.tokens; t++) {
    const float* const x = (const float*)call.acts[t];
    float total = 0;
    for (int64_t from = 0; from < call.cols; from += kFloatSegment) {
      const int64_t end = call.cols < from + kFloatSegment ? call.cols : from + kFloatSegment;
      float lanes[kFloatLanes];
      float32x4_t sums[4];
      GROK1_UNROLL
      for (int i = 0; i < 4; i++) sums[i] = vdupq_n_f32(0);
      int64_t k = from;
      for (; k + kFloatLanes <= end; k += kFloatLanes) {
        GROK1_UNROLL
        for (int i = 0; i < 4; i++) sums[i] = vfmaq_f32(sums[i], fourWeights<TYPE>(row + (k + 4 * i) * unit), vld1q_f32(x + k + 4 * i));
      }
      GROK1_UNROLL
      for (int i = 0; i < 4; i++) vst1q_f32(lanes + 4 * i, sums[i]);
      for (int i = 0; k < end; k++, i++) lanes[i] = __builtin_fmaf(floatWeight(TYPE, row, k), x[k], lanes[i]);
      for (const float lane : lanes) total += lane;
    }
    out[t * call.ldo] = total;
  }
}

template <int TYPE>
static void rowsOf(const RowsCall& call) {
  for (int r = 0; r < call.rows; r++) {
    const uint8_t* const row = call.data + size_t(r) * call.rowBytes;
    if constexpr (traitsOf(TYPE).kind == Kind::f32) {
      floatRow<TYPE>(call, row, call.out + r);
    } else if constexpr (traitsOf(TYPE).kind == Kind::ternary) {
      ternaryRow<TYPE>(call, row, call.out + r);
    } else {
      quantRow<TYPE>(call, row, call.out + r);
    }
  }
}

static void rows(int type, const RowsCall& call) {
  switch (type) {
    case F32: return rowsOf<F32>(call);
    case F16: return rowsOf<F16>(call);
    case BF16: return rowsOf<BF16>(call);
    case Q4_0: return rowsOf<Q4_0>(call);
    case Q4_1: return rowsOf<Q4_1>(call);
    case Q5_0: return rowsOf<Q5_0>(call);
    case Q5_1: return rowsOf<Q5_1>(call);
    case Q8_0: return rowsOf<Q8_0>(call);
    case Q2_K: return rowsOf<Q2_K>(call);
    case Q3_K: return rowsOf<Q3_K>(call);
    case Q4_K: return rowsOf<Q4_K>(call);
    case Q5_K: return rowsOf<Q5_K>(call);
    case Q6_K: return rowsOf<Q6_K>(call);
    case IQ1_S: return rowsOf<IQ1_S>(call);
    case IQ1_M: return rowsOf<IQ1_M>(call);
    case IQ2_XXS: return rowsOf<IQ2_XXS>(call);
    case IQ2_XS: return rowsOf<IQ2_XS>(call);
    case IQ2_S: return rowsOf<IQ2_S>(call);
    case IQ3_XXS: return rowsOf<IQ3_XXS>(call);
    case IQ3_S: return rowsOf<IQ3_S>(call);
    case TQ1_0: return rowsOf<TQ1_0>(call);
    case TQ2_0: return rowsOf<TQ2_0>(call);
    case MXFP4: return rowsOf<MXFP4>(call);
    case IQ4_NL: return rowsOf<IQ4_NL>(call);
    case IQ4_XS: return rowsOf<IQ4_XS>(call);
  }
}

// 8 rows times QUADS * 4 tokens of float weights; what is computed for tokens past the last one is dropped.
template <int QUADS>
static void multiplyFloats(const float* w, const float* x, int64_t units, int tokens, float* c) {
  float32x4_t lane[QUADS][4][2];
  GROK1_UNROLL
  for (int i = 0; i < QUADS; i++) {
    GROK1_UNROLL
    for (int t = 0; t < 4; t++) lane[i][t][0] = lane[i][t][1] = vdupq_n_f32(0);
  }
  for (int64_t u = 0; u < units; u++, w += kPanelRows, x += kFloatTile) {
    const float32x4_t low = vld1q_f32(w), high = vld1q_f32(w + 4);
    GROK1_UNROLL
    for (int i = 0; i < QUADS; i++) {
      const float32x4_t values = vld1q_f32(x + 4 * i);
      lane[i][0][0] = vfmaq_laneq_f32(lane[i][0][0], low, values, 0);
      lane[i][0][1] = vfmaq_laneq_f32(lane[i][0][1], high, values, 0);
      lane[i][1][0] = vfmaq_laneq_f32(lane[i][1][0], low, values, 1);
      lane[i][1][1] = vfmaq_laneq_f32(lane[i][1][1], high, values, 1);
      lane[i][2][0] = vfmaq_laneq_f32(lane[i][2][0], low, values, 2);
      lane[i][2][1] = vfmaq_laneq_f32(lane[i][2][1], high, values, 2);
      lane[i][3][0] = vfmaq_laneq_f32(lane[i][3][0], low, values, 3);
      lane[i][3][1] = vfmaq_laneq_f32(lane[i][3][1], high, values, 3);
    }
  }
  GROK1_UNROLL
  for (int i = 0; i < QUADS; i++) {
    GROK1_UNROLL
    for (int t = 0; t < 4; t++, c += kPanelRows) {
      if (4 * i + t >= tokens) return;
      vst1q_f32(c, vaddq_f32(vld1q_f32(c), lane[i][t][0]));
      vst1q_f32(c + 4, vaddq_f32(vld1q_f32(c + 4), lane[i][t][1]));
    }
  }
}

static void multiplyFloatTile(const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c) {
  for (int half = 0; half < 2; half++) {
    const float *const w = (const float*)panel + 8 * half, *const x = (const float*)tile;
    if (tokens > 8) multiplyFloats<3>(w, x, units, tokens, c + 8 * half);
    else if (tokens > 4) multiplyFloats<2>(w, x, units, tokens, c + 8 * half);
    else multiplyFloats<1>(w, x, units, tokens, c + 8 * half);
  }
}

}  // namespace grok1::GROK1_ISA
