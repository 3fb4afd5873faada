// What the products of a mixture's experts share: which tokens each expert has, where its results go, and low-rank terms beside it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "inference.h"
#include "matmul.h"
#include "rows.h"

namespace grok1 {

// One token at one expert: the choice at `place` of [n, used].
struct Assignment {
  int64_t token, place;
  float weight;
};

// The assignments sorted by expert, in order of tokens: expert `ids[i]` has those in [start[i], start[i + 1]).
struct Gathered {
  std::vector<Assignment> all;
  std::vector<int64_t> ids, start;

  // Of the experts that are wanted; all of them for null. Allocates only where a call is larger than those before.
  void gather(int64_t experts, const int32_t* chosen, const float* weights, int64_t n, int used, const uint8_t* wanted) {
    const auto left = [&](int64_t i) { return wanted != nullptr && wanted[size_t(chosen[i])] == 0; };
    ids.clear();
    start.clear();
    at.assign(size_t(experts), 0);
    for (int64_t i = 0; i < n * used; i++) {
      if (!left(i)) at[size_t(chosen[i])]++;
    }
    int64_t total = 0;
    for (int64_t e = 0; e < experts; e++) {
      const int64_t count = at[size_t(e)];
      at[size_t(e)] = total;
      if (count > 0) {
        ids.push_back(e);
        start.push_back(total);
      }
      total += count;
    }
    start.push_back(total);
    all.resize(size_t(total));
    for (int64_t i = 0; i < n * used; i++) {
      if (!left(i)) all[size_t(at[size_t(chosen[i])]++)] = {i / used, i, weights == nullptr ? 0 : weights[i]};
    }
  }

 private:
  std::vector<int64_t> at;  // of each expert: where its next token goes
};

// Where experts' results go: added to `out` [n, width], or kept apart in `parts` [n, used, width].
struct Results {
  const Products& products;
  float* out;
  float* parts;
  int64_t width;

  void clear(int64_t token, int64_t row, int64_t end) const {
    if (parts == nullptr) std::fill(out + token * width + row, out + token * width + end, 0.0f);
  }
  void put(const Assignment& to, const float* y, int64_t row, int64_t count) const {
    if (parts == nullptr) {
      products.accumulate(to.weight, y, out + to.token * width + row, count);
    } else {
      std::memcpy(parts + to.place * width + row, y, size_t(count) * sizeof(float));
    }
  }
};

constexpr int64_t paddedRow(int64_t n) { return (n + kFloatLanes - 1) / kFloatLanes * kFloatLanes; }

// The low-rank terms of one of the three matrices, between their two factors: for each assignment `stride` floats, term after
// term, padded as float activations are.
struct Terms {
  const LowRankRefs* list = nullptr;
  size_t count = 0;
  int64_t stride = 0;

  explicit Terms(const std::vector<LowRankRefs>* terms) {
    if (terms == nullptr) return;
    list = terms->data();
    count = terms->size();
    for (size_t i = 0; i < count; i++) stride += paddedRow(list[i].a->rows);
  }

  // between = scale (A x)
  void inner(const Products& products, int64_t expert, int64_t token, const void* x, float* between) const {
    for (size_t i = 0; i < count; i++) {
      const WeightRef& a = list[i].a[expert];
      const float scale = list[i].scales[token];
      streamRows(products, a, 0, a.rows, &x, 1, between, a.rows);
      for (int64_t r = 0; r < a.rows; r++) between[r] *= scale;
      std::fill(between + a.rows, between + paddedRow(a.rows), 0.0f);
      between += paddedRow(a.rows);
    }
  }

  // y[r - row] += (B between)[r] for rows [row, end), of which there are at most kMost. A token without the adapter keeps its bits.
  static constexpr int64_t kMost = 32;
  void outer(const Products& products, int64_t expert, int64_t token, int64_t row, int64_t end, const float* between, float* y) const {
    for (size_t i = 0; i < count; i++) {
      if (list[i].scales[token] != 0) {
        alignas(64) float sum[kMost];
        const void* x = between;
        streamRows(products, list[i].b[expert], row, end, &x, 1, sum, kMost);
        for (int64_t r = 0; r < end - row; r++) y[r] += sum[r];
      }
      between += paddedRow(list[i].a->rows);
    }
  }
};

}  // namespace grok1
