// Attention of a sequence's rows to one another and its gradients, for one instruction set. A block of query rows meets all keys
// it sees at once: scores of a block are held, never those of a whole sequence, and the backward rule computes them again from the
// stored log-sum-exp (Dao et al., FlashAttention, 2022).
#include "gradients.h"
#include "simd.h"

namespace grok1::GROK1_ISA {

// A vector of the row's first `count` elements from i on, `otherwise` in the lanes past them.
GROK1_INLINE V loadPart(const float* x, int64_t i, int64_t count, V otherwise) {
  return count - i >= W ? load(x + i) : firstLanes(int(count - i), load(x + i), otherwise);
}

struct SelfHead {
  int64_t stride, kvStride;  // from row to row of q and out, and of k and v
  int64_t keys;              // of a row of scores: count, padded
  const float *k, *v;
  int group;
};

static SelfHead headOf(const SelfAttentionCall& call, int64_t start, int64_t count, int head) {
  const int64_t kvStride = int64_t(call.kvHeads) * call.size, at = start * kvStride + int64_t(head) * call.size;
  return {int64_t(call.heads) * call.size, kvStride, (count + 63) / 64 * 64, call.k + at, call.v + at, call.heads / call.kvHeads};
}

static void selfAttention(const SelfAttentionCall& call, int64_t start, int64_t count, int head, float* scratch) {
  const SelfHead it = headOf(call, start, count, head);
  const int64_t size = call.size, width = (size + 63) / 64 * 64;
  float* const keys = scratch;                      // panels [size][columns] of keys as columns
  float* const values = keys + it.keys * width;     // panels [count][columns]
  float* const scores = values + it.keys * width;   // [kSelfRows][it.keys]
  float* const left = scores + kSelfRows * it.keys;
  packColumns(it.k, it.kvStride, size, count, keys, size * kCols);
  packRows(it.v, it.kvStride, count, size, values, count * kCols);
  const V lowest = all(floatOf(0xff800000));

  for (int g = 0; g < it.group; g++) {
    const int queryHead = head * it.group + g;
    for (int64_t first = 0; first < count; first += kSelfRows) {
      const int64_t rows = count - first < kSelfRows ? count - first : kSelfRows, seen = first + rows;
      const int64_t at = (start + first) * it.stride + queryHead * size;
      multiply({call.q + at, it.stride, false, keys, size * kCols, scores, it.keys, rows, seen, size, false, left});
      float totals[kSelfRows];
      for (int64_t r = 0; r < rows; r++) {
        float* const s = scores + r * it.keys;
        const int64_t visible = first + r + 1;
        const float temperature = call.temperatures == nullptr ? 1.0f : call.temperatures[start + first + r];
        V most16 = lowest;
        if (call.softcap > 0) {
          const V inverse = all(call.scale / call.softcap), cap = all(call.softcap * temperature);
          for (int64_t i = 0; i < visible; i += W) {
            const V x = cap * tanh(inverse * loadPart(s, i, visible, all(0.0f)));
            store(s + i, x);
            most16 = max(most16, visible - i >= W ? x : firstLanes(int(visible - i), x, lowest));
          }
        } else {
          const V factor = all(call.scale * temperature);
          for (int64_t i = 0; i < visible; i += W) {
            const V x = factor * loadPart(s, i, visible, all(0.0f));
            store(s + i, x);
            most16 = max(most16, visible - i >= W ? x : firstLanes(int(visible - i), x, lowest));
          }
        }
        const float top = most(most16);
        V total = all(0.0f);
        int64_t i = 0;
        for (; i < visible; i += W) {
          const V p = exp(loadPart(s, i, visible, lowest) - all(top));
          store(s + i, p);
          total = total + p;
        }
        for (; i < seen; i += W) store(s + i, all(0.0f));
        totals[r] = sum(total);
        call.lse[(start + first + r) * call.heads + queryHead] = top + logf(totals[r]);
      }
      multiply({scores, it.keys, false, values, count * kCols, call.out + at, it.stride, rows, size, seen, false, left});
      for (int64_t r = 0; r < rows; r++) {
        float* const out = call.out + at + r * it.stride;
        const float inverse = 1 / totals[r];
        for (int64_t d = 0; d < size; d++) out[d] *= inverse;
      }
    }
  }
}

static void selfAttentionBackward(const SelfAttentionCall& call, int64_t start, int64_t count, int head, float* scratch) {
  const SelfHead it = headOf(call, start, count, head);
  const int64_t size = call.size, width = (size + 63) / 64 * 64;
  float* const keyColumns = scratch;
  float* const valueColumns = keyColumns + it.keys * width;
  float* const keyRows = valueColumns + it.keys * width;
  float* const scores = keyRows + it.keys * width;         // then probabilities
  float* const slopes = scores + kSelfRows * it.keys;      // first dOut·v, then the gradients of raw products
  float* const queries = slopes + kSelfRows * it.keys;     // panels of the block's queries
  float* const outer = queries + kSelfRows * width;        // and of its dOut
  float* const left = outer + kSelfRows * width;
  packColumns(it.k, it.kvStride, size, count, keyColumns, size * kCols);
  packColumns(it.v, it.kvStride, size, count, valueColumns, size * kCols);
  packRows(it.k, it.kvStride, count, size, keyRows, count * kCols);
  float* const dk = call.dk + (it.k - call.k);
  float* const dv = call.dv + (it.v - call.v);
  for (int64_t r = 0; r < count; r++) {
    if (!call.addK) memset(dk + r * it.kvStride, 0, size_t(size) * sizeof(float));
    if (!call.addV) memset(dv + r * it.kvStride, 0, size_t(size) * sizeof(float));
  }

  for (int g = 0; g < it.group; g++) {
    const int queryHead = head * it.group + g;
    for (int64_t first = 0; first < count; first += kSelfRows) {
      const int64_t rows = count - first < kSelfRows ? count - first : kSelfRows, seen = first + rows;
      const int64_t at = (start + first) * it.stride + queryHead * size;
      multiply({call.q + at, it.stride, false, keyColumns, size * kCols, scores, it.keys, rows, seen, size, false, left});
      multiply({call.dOut + at, it.stride, false, valueColumns, size * kCols, slopes, it.keys, rows, seen, size, false, left});
      for (int64_t r = 0; r < rows; r++) {
        float *const s = scores + r * it.keys, *const ds = slopes + r * it.keys;
        const int64_t visible = first + r + 1;
        const float temperature = call.temperatures == nullptr ? 1.0f : call.temperatures[start + first + r];
        const V lse = all(call.lse[(start + first + r) * call.heads + queryHead]);
        const float *out = call.out + at + r * it.stride, *dOut = call.dOut + at + r * it.stride;
        double along = 0;
        for (int64_t d = 0; d < size; d++) along += double(out[d]) * double(dOut[d]);
        const V mean = all(float(along)), slope = all(call.scale * temperature), zero = all(0.0f), one = all(1.0f);
        const bool capped = call.softcap > 0;
        const V inverse = all(capped ? call.scale / call.softcap : 0), cap = all(call.softcap * temperature);
        int64_t i = 0;
        for (; i < visible; i += W) {
          const int lanes = visible - i >= W ? W : int(visible - i);
          const V z = loadPart(s, i, visible, zero);
          const V t = capped ? tanh(inverse * z) : zero;
          V p = exp((capped ? cap * t : slope * z) - lse);
          V gradient = p * (loadPart(ds, i, visible, zero) - mean) * slope;
          if (capped) gradient = gradient * (one - t * t);
          if (lanes < W) {
            p = firstLanes(lanes, p, zero);
            gradient = firstLanes(lanes, gradient, zero);
          }
          store(s + i, p);
          store(ds + i, gradient);
        }
        for (; i < seen; i += W) {
          store(s + i, zero);
          store(ds + i, zero);
        }
      }
      packRows(call.dOut + at, it.stride, rows, size, outer, rows * kCols);
      packRows(call.q + at, it.stride, rows, size, queries, rows * kCols);
      multiply({scores, it.keys, true, outer, rows * kCols, dv, it.kvStride, seen, size, rows, true, left});
      multiply({slopes, it.keys, true, queries, rows * kCols, dk, it.kvStride, seen, size, rows, true, left});
      multiply({slopes, it.keys, false, keyRows, count * kCols, call.dq + at, it.stride, rows, size, seen, call.addQ, left});
    }
  }
}

}  // namespace grok1::GROK1_ISA
