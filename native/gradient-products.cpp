// The backend's products in training: parameters, adapted weights and their gradients, and experts.
#include <cstring>

#include "training.h"
#include "quants.h"
#include "sgemm.h"
#include "split.h"

namespace grok1 {

namespace {

[[noreturn]] void misuse(const char* message) { throw Failure("ERR_ARGUMENT", message); }

const float* floatsOf(const WeightRef& ref) { return reinterpret_cast<const float*>(ref.data); }

}  // namespace

int32_t Training::addParameter(int64_t count, int64_t rows, int64_t cols) {
  if (count < 1 || rows < 1 || cols < 1 || count > (int64_t(1) << 20) || cols > (int64_t(1) << 40) / rows / count) {
    misuse("a parameter of impossible shape");
  }
  Weight w;
  w.type = F32;
  w.rows = rows;
  w.cols = cols;
  w.parameter = std::make_shared<Parameter>();
  w.parameter->size = count * rows * cols;
  for (auto& part : w.parameter->parts) part = std::make_shared<Memory>(size_t(w.parameter->size) * sizeof(float));
  const float* const values = w.parameter->values(0);
  for (int64_t i = 0; i < count; i++) {
    w.parts.push_back({reinterpret_cast<const uint8_t*>(values + i * rows * cols), F32, rows, cols, size_t(cols) * sizeof(float)});
  }
  return weights_.add(std::move(w));
}

const Training::Parameter& Training::parameter(int32_t id) {
  const Weight& w = weight(id);
  if (!w.parameter) misuse("not a parameter");
  return *w.parameter;
}

std::shared_ptr<Memory> Training::part(int32_t id, int32_t part) {
  if (part < 0 || part > 3) misuse("a part that parameters do not have");
  return parameter(id).parts[part];
}

int32_t Training::addAdapted(int32_t base, int32_t a, int32_t b, double scale) {
  const Weight &w = weight(base), &left = weight(b), &right = weight(a);
  if (w.a >= 0 || !left.parameter || !right.parameter || right.cols != w.cols || left.rows != w.rows || left.cols != right.rows ||
      left.parts.size() != w.parts.size() || right.parts.size() != w.parts.size()) {
    misuse("parameters that do not fit the weight they adapt");
  }
  Weight adapted = w;
  adapted.a = a;
  adapted.b = b;
  adapted.scale = float(scale);
  return weights_.add(std::move(adapted));
}

const Training::Weight& Training::multiplier(int32_t id, int64_t expert) {
  Weight& w = weight(id);
  if (expert >= int64_t(w.parts.size()) || !canMultiply(w.type)) misuse("not a weight to multiply by");
  stream(w);
  return w;
}

float* Training::gradientOf(const Weight& w, int64_t expert) {
  return w.parameter ? w.parameter->values(1) + expert * w.rows * w.cols : nullptr;
}

// y += scale (x Aᵀ) Bᵀ
void Training::adapt(const Weight& w, int64_t expert, const float* x, int64_t n, int64_t ldx, float* y, int64_t ldy) {
  if (w.a < 0) return;
  const Weight &a = multiplier(w.a, expert), &b = multiplier(w.b, expert);
  const int64_t rank = a.rows;
  Arena::Scope memory(arena_);
  float* const inner = memory.take<float>(n * rank + 16);
  sgemm(pool_, gradients_, n, rank, w.cols, {x, ldx, false}, {a.parts[size_t(expert)], true}, inner, rank, false, arena_);
  gradients_.scaleBackward(inner, w.scale, inner, false, n * rank);
  sgemm(pool_, gradients_, n, w.rows, rank, {inner, rank, false}, {b.parts[size_t(expert)], true}, y, ldy, true, arena_);
}

void Training::forward(const Weight& w, int64_t expert, const float* x, int64_t n, int64_t ldx, float* y, int64_t ldy) {
  sgemm(pool_, gradients_, n, w.rows, w.cols, {x, ldx, false}, {w.parts[size_t(expert)], true}, y, ldy, false, arena_);
  adapt(w, expert, x, n, ldx, y, ldy);
}

void Training::backward(const Weight& w, int64_t expert, const float* dOut, int64_t ldd, const float* x, int64_t ldx, int64_t n, float* dx,
                       bool add) {
  if (dx != nullptr) {
    sgemm(pool_, gradients_, n, w.cols, w.rows, {dOut, ldd, false}, {w.parts[size_t(expert)], false}, dx, w.cols, add, arena_);
  }
  if (float* const gradient = gradientOf(w, expert)) {
    sgemm(pool_, gradients_, w.rows, w.cols, n, {dOut, ldd, true}, rightFloats(x, n, w.cols, ldx, false), gradient, w.cols, true,
          arena_);
  }
  if (w.a < 0) return;
  const Weight &a = multiplier(w.a, expert), &b = multiplier(w.b, expert);
  const int64_t rank = a.rows;
  Arena::Scope memory(arena_);
  float *const inner = memory.take<float>(n * rank + 16), *const outer = memory.take<float>(n * rank + 16);
  sgemm(pool_, gradients_, n, rank, w.cols, {x, ldx, false}, {a.parts[size_t(expert)], true}, inner, rank, false, arena_);
  sgemm(pool_, gradients_, n, rank, w.rows, {dOut, ldd, false}, {b.parts[size_t(expert)], false}, outer, rank, false, arena_);
  gradients_.scaleBackward(inner, w.scale, inner, false, n * rank);
  gradients_.scaleBackward(outer, w.scale, outer, false, n * rank);
  if (dx != nullptr) {
    sgemm(pool_, gradients_, n, w.cols, rank, {outer, rank, false}, {a.parts[size_t(expert)], false}, dx, w.cols, true, arena_);
  }
  sgemm(pool_, gradients_, rank, w.cols, n, {outer, rank, true}, rightFloats(x, n, w.cols, ldx, false), gradientOf(a, expert), w.cols,
        true, arena_);
  sgemm(pool_, gradients_, w.rows, rank, n, {dOut, ldd, true}, rightFloats(inner, n, rank, rank, false), gradientOf(b, expert), rank,
        true, arena_);
}

void Training::product(int32_t out, int32_t x, int64_t n, int32_t id) {
  const Weight& w = multiplier(id);
  const float* from = slot(x, n, w.cols);
  float* const to = slot(out, n, w.rows);
  if (from == to) misuse("a product over its operand");
  if (n == 0) return;
  if (w.parameter) {
    forward(w, 0, from, n, w.cols, to, w.rows);
  } else {
    grok1::matmul(pool_, isa_, w.parts[0], from, n, w.cols, to, w.rows, arena_);
    adapt(w, 0, from, n, w.cols, to, w.rows);
  }
}

void Training::matmulBackward(int32_t out, bool add, int32_t dOut, int32_t x, int64_t n, int32_t id) {
  const Weight& w = multiplier(id);
  const float *outer = slot(dOut, n, w.rows), *from = slot(x, n, w.cols);
  float* const to = out < 0 ? nullptr : slot(out, n, w.cols);
  if (to == outer || to == from) misuse("a gradient over what it is computed from");
  backward(w, 0, outer, w.rows, from, w.cols, n, to, add);
}

// Places of [n, used], those of each expert together, ascending.
void Training::sortChoices(const float* picks, int64_t n, int32_t used, int64_t experts) {
  starts_.assign(size_t(experts) + 2, 0);
  places_.resize(size_t(n * used));
  for (int64_t i = 0; i < n * used; i++) {
    if (!(picks[i] >= 0 && picks[i] < float(experts))) misuse("no such expert");
    for (int64_t j = i / used * used; j < i; j++) {
      if (picks[j] == picks[i]) misuse("an expert chosen twice for one row");
    }
    starts_[size_t(picks[i]) + 2]++;
  }
  for (int64_t e = 1; e <= experts; e++) starts_[size_t(e) + 1] += starts_[size_t(e)];
  for (int64_t i = 0; i < n * used; i++) places_[size_t(starts_[size_t(picks[i]) + 1]++)] = i;
}

namespace {

int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

}  // namespace

void Training::productExperts(int32_t out, int32_t x, int64_t n, int32_t chosen, int32_t weights, int32_t used, int32_t gate, int32_t up,
                             int32_t down, int32_t activation) {
  const Weight &g = multiplier(gate), &u = multiplier(up), &d = multiplier(down);
  const int64_t count = int64_t(g.parts.size()), width = g.cols, hidden = g.rows, stride = padded(hidden);
  if (u.rows != hidden || u.cols != width || d.cols != hidden || d.rows != width || int64_t(u.parts.size()) != count ||
      int64_t(d.parts.size()) != count || used < 1 || used > count) {
    misuse("expert stacks whose shapes do not fit together");
  }
  const float* const from = slot(x, n, width);
  float* const to = slot(out, n, width);
  if (from == to) misuse("experts over their operand");
  const float *picks = slot(chosen, n, used), *factors = slot(weights, n, used);
  sortChoices(picks, n, used, count);
  int64_t most = 0;
  for (int64_t e = 0; e < count; e++) most = std::max(most, starts_[size_t(e) + 1] - starts_[size_t(e)]);
  Arena::Scope memory(arena_);
  float *const inputs = memory.take<float>(most * width + 16), *const results = memory.take<float>(most * width + 16);
  float *const gates = memory.take<float>(most * stride + 16), *const ups = memory.take<float>(most * stride + 16);
  std::memset(to, 0, size_t(n * width) * sizeof(float));
  for (int64_t e = 0; e < count; e++) {
    const int64_t* const places = places_.data() + starts_[size_t(e)];
    const int64_t rows = starts_[size_t(e) + 1] - starts_[size_t(e)];
    if (rows == 0) continue;
    split(rows, 1, rows * width, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) std::memcpy(inputs + t * width, from + places[t] / used * width, size_t(width) * sizeof(float));
    });
    forward(g, e, inputs, rows, width, gates, stride);
    forward(u, e, inputs, rows, width, ups, stride);
    split(rows, 1, rows * stride * 4, [&](int64_t first, int64_t end) {
      ops_.gated(activation, gates + first * stride, ups + first * stride, gates + first * stride, (end - first) * stride);
    });
    forward(d, e, gates, rows, stride, results, width);
    split(rows, 1, rows * width, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) {
        float* const row = to + places[t] / used * width;
        const float factor = factors[places[t]];
        for (int64_t i = 0; i < width; i++) row[i] += factor * results[t * width + i];
      }
    });
  }
}

void Training::expertsBackward(int32_t out, bool add, int32_t dWeights, int32_t dOut, int32_t x, int64_t n, int32_t chosen,
                              int32_t weights, int32_t used, int32_t gate, int32_t up, int32_t down, int32_t activation) {
  const Weight &g = multiplier(gate), &u = multiplier(up), &d = multiplier(down);
  const int64_t count = int64_t(g.parts.size()), width = g.cols, hidden = g.rows, stride = padded(hidden);
  if (u.rows != hidden || u.cols != width || d.cols != hidden || d.rows != width || int64_t(u.parts.size()) != count ||
      int64_t(d.parts.size()) != count || used < 1 || used > count) {
    misuse("expert stacks whose shapes do not fit together");
  }
  const float *const from = slot(x, n, width), *const outer = slot(dOut, n, width);
  const float *const picks = slot(chosen, n, used), *const factors = slot(weights, n, used);
  float* const dFactors = slot(dWeights, n, used);
  float* const to = out < 0 ? nullptr : slot(out, n, width);
  if (to == from || to == outer) misuse("a gradient over what it is computed from");
  sortChoices(picks, n, used, count);
  int64_t most = 0;
  for (int64_t e = 0; e < count; e++) most = std::max(most, starts_[size_t(e) + 1] - starts_[size_t(e)]);
  Arena::Scope memory(arena_);
  const auto narrow = memory.each<float>(most * width + 16, 3), wide = memory.each<float>(most * stride + 16, 4);
  float *const inputs = narrow[0], *const outers = narrow[1], *const results = narrow[2];
  float *const gates = wide[0], *const ups = wide[1], *const inner = wide[2], *const dInner = wide[3];
  if (to != nullptr && !add) std::memset(to, 0, size_t(n * width) * sizeof(float));
  for (int64_t e = 0; e < count; e++) {
    const int64_t* const places = places_.data() + starts_[size_t(e)];
    const int64_t rows = starts_[size_t(e) + 1] - starts_[size_t(e)];
    if (rows == 0) continue;
    split(rows, 1, rows * width, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) {
        std::memcpy(inputs + t * width, from + places[t] / used * width, size_t(width) * sizeof(float));
        std::memcpy(outers + t * width, outer + places[t] / used * width, size_t(width) * sizeof(float));
      }
    });
    forward(g, e, inputs, rows, width, gates, stride);
    forward(u, e, inputs, rows, width, ups, stride);
    // dOut·(down a), row by row, needs what is there before the weights: so they go into both sides of the products after it.
    sgemm(pool_, gradients_, rows, hidden, width, {outers, width, false}, {d.parts[size_t(e)], false}, dInner, stride, false, arena_);
    if (d.a >= 0) {
      const Weight &a = multiplier(d.a, e), &b = multiplier(d.b, e);
      const int64_t rank = a.rows;
      Arena::Scope inside(arena_);
      float* const low = inside.take<float>(rows * rank + 16);
      sgemm(pool_, gradients_, rows, rank, width, {outers, width, false}, {b.parts[size_t(e)], false}, low, rank, false, arena_);
      gradients_.scaleBackward(low, d.scale, low, false, rows * rank);
      sgemm(pool_, gradients_, rows, hidden, rank, {low, rank, false}, {a.parts[size_t(e)], false}, dInner, stride, true, arena_);
    }
    split(rows, 1, rows * stride * 8, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) {
        const float factor = factors[places[t]];
        dFactors[places[t]] = gradients_.expertRow(activation, factor, dInner + t * stride, gates + t * stride, ups + t * stride,
                                                   inner + t * stride, hidden);
        for (int64_t i = 0; i < width; i++) outers[t * width + i] *= factor;
      }
    });
    backward(d, e, outers, width, inner, stride, rows, nullptr, false);
    backward(g, e, gates, stride, inputs, width, rows, to == nullptr ? nullptr : results, false);
    backward(u, e, ups, stride, inputs, width, rows, to == nullptr ? nullptr : results, true);
    if (to == nullptr) continue;
    split(rows, 1, rows * width, [&](int64_t first, int64_t end) {
      for (int64_t t = first; t < end; t++) {
        float* const row = to + places[t] / used * width;
        for (int64_t i = 0; i < width; i++) row[i] += results[t * width + i];
      }
    });
  }
}

}  // namespace grok1
