#include "inference.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "quants.h"
#include "split.h"

namespace grok1 {

namespace {

[[noreturn]] void misuse(const std::string& message) { throw Failure("ERR_ARGUMENT", message); }

}  // namespace

std::shared_ptr<Memory> Inference::control(int64_t length) {
  if (length < 0 || length > (int64_t(1) << 29)) misuse("a control block of impossible size");
  if (size_t(length) * 4 > control_->size()) control_ = std::make_shared<Memory>(size_t(length) * 4 * 2);
  return control_;
}

const int32_t* Inference::ints(int64_t count) const {
  if (count < 0 || size_t(count) * 4 > control_->size()) misuse("more numbers than the control block holds");
  return reinterpret_cast<const int32_t*>(control_->data());
}

void Inference::embed(int32_t out, int32_t table, int64_t n, double scale) {
  const Weight& w = weight(table);
  if (w.parts.size() != 1) misuse("a table of embeddings has two axes");
  float* const to = slot(out, n, w.cols);
  const int32_t* tokens = batchOf(n).tokens;
  for (int64_t t = 0; t < n; t++) {
    if (tokens[t] < 0 || tokens[t] >= w.rows) misuse("no row " + std::to_string(tokens[t]) + " in the table");
  }
  const WeightRef& ref = w.parts[0];
  split(n, 1, n * w.cols, [&](int64_t from, int64_t end) {
    for (int64_t t = from; t < end; t++) {
      float* const row = to + t * w.cols;
      dequantizeRow(w.type, ref.data + size_t(tokens[t]) * ref.rowBytes, row, w.cols);
      for (int64_t i = 0; i < w.cols; i++) row[i] = float(double(row[i]) * scale);
    }
  });
}

void Inference::rows(int32_t out, int32_t x, int64_t xRows, int64_t cols, int64_t n) {
  const float* from = slot(x, xRows, cols);
  float* const to = slot(out, n, cols);
  const int32_t* indices = ints(n);
  for (int64_t t = 0; t < n; t++) {
    if (indices[t] < 0 || indices[t] >= xRows) misuse("no row " + std::to_string(indices[t]));
  }
  for (int64_t t = 0; t < n; t++) std::memcpy(to + t * cols, from + indices[t] * cols, size_t(cols) * 4);
}

void Inference::rmsNorm(int32_t out, int32_t x, int64_t n, int32_t gain, double eps) {
  Weight& w = weight(gain);
  const float* const factors = gainOf(w);
  const float* from = slot(x, n, w.cols);
  float* const to = slot(out, n, w.cols);
  split(n, 1, n * w.cols, [&](int64_t first, int64_t end) {
    ops_.rmsNorm(from + first * w.cols, factors, float(eps), to + first * w.cols, end - first, w.cols);
  });
}

void Inference::matmul(int32_t out, int32_t x, int64_t n, int32_t weightId) {
  Weight& w = weight(weightId);
  if (w.parts.size() != 1 || !canMultiply(w.type)) misuse("not a weight to multiply by");
  stream(w);
  const float* from = slot(x, n, w.cols);
  float* const to = slot(out, n, w.rows);
  if (from == to) misuse("a product over its operand");
  if (n > 0) grok1::matmul(pool_, isa_, w.parts[0], from, n, w.cols, to, w.rows, arena_);
  refuseCancelled();
}

int32_t Inference::addRope(int32_t headSize, bool adjacent, std::vector<double> frequencies, double magnitude) {
  if (headSize < 2 || int64_t(frequencies.size()) * 2 > headSize) misuse("more rotary frequencies than a head has pairs");
  return ropes_.add({headSize, adjacent, magnitude, std::move(frequencies), {}, {}});
}

// cos[pairs], sin[pairs] of a position: angles in double, since position * frequency in float loses the angle's low digits.
const float* Inference::turn(RopeTable& table, int32_t position) {
  const size_t pairs = table.frequencies.size();
  const auto fill = [&](int32_t p, float* to) {
    for (size_t i = 0; i < pairs; i++) {
      const double angle = double(p) * table.frequencies[i];
      to[i] = float(std::cos(angle) * table.magnitude);
      to[pairs + i] = float(std::sin(angle) * table.magnitude);
    }
  };
  if (position >= RopeTable::kPositions) {
    table.far.resize(2 * pairs);
    fill(position, table.far.data());
    return table.far.data();
  }
  const size_t chunk = size_t(position) / RopeTable::kChunk;
  if (chunk >= table.chunks.size()) table.chunks.resize(chunk + 1);
  if (!table.chunks[chunk]) {
    table.chunks[chunk] = std::make_unique<float[]>(RopeTable::kChunk * 2 * pairs);
    for (int i = 0; i < RopeTable::kChunk; i++) {
      fill(int32_t(chunk) * RopeTable::kChunk + i, table.chunks[chunk].get() + size_t(i) * 2 * pairs);
    }
  }
  return table.chunks[chunk].get() + size_t(position) % RopeTable::kChunk * 2 * pairs;
}

void Inference::rope(int32_t out, int32_t x, int64_t n, int32_t heads, int32_t id) {
  RopeTable& table = ropeTable(id);
  const int64_t cols = int64_t(heads) * table.headSize;
  if (heads < 0) misuse("a negative number of heads");
  const float* from = slot(x, n, cols);
  float* const to = slot(out, n, cols);
  const int pairs = int(table.frequencies.size());
  eachTurn(table, n, cols, [&](int64_t t, const float* angles) {
    ops_.rope(from + t * cols, to + t * cols, angles, angles + pairs, heads, table.headSize, pairs, table.adjacent);
  });
}

void Inference::add(int32_t out, int32_t a, int32_t b, int64_t elements) {
  const float *x = slot(a, elements, 1), *y = slot(b, elements, 1);
  float* const to = slot(out, elements, 1);
  split(elements, 16, elements, [&](int64_t from, int64_t end) { ops_.add(x + from, y + from, to + from, end - from); });
}

void Inference::scale(int32_t out, int32_t x, int64_t elements, double factor) {
  const float* source = slot(x, elements, 1);
  float* const to = slot(out, elements, 1);
  split(elements, 16, elements,
        [&](int64_t from, int64_t end) { ops_.scale(source + from, float(factor), to + from, end - from); });
}

void Inference::softcap(int32_t out, int32_t x, int64_t elements, double cap) {
  if (!(cap > 0)) misuse("a soft cap is positive");
  const float* source = slot(x, elements, 1);
  float* const to = slot(out, elements, 1);
  split(elements, 16, elements * 4,
        [&](int64_t from, int64_t end) { ops_.softcap(source + from, float(cap), to + from, end - from); });
}

void Inference::gated(int32_t out, int32_t activation, int32_t gate, int32_t up, int64_t elements) {
  const float *g = slot(gate, elements, 1), *u = slot(up, elements, 1);
  float* const to = slot(out, elements, 1);
  split(elements, 16, elements * 4,
        [&](int64_t from, int64_t end) { ops_.gated(activation, g + from, u + from, to + from, end - from); });
}

void Inference::route(int32_t probabilities, int32_t chosen, int32_t weights, int32_t logits, int64_t n, int32_t experts,
                    int32_t used, bool renormalize) {
  if (used < 1 || experts < used) misuse("more experts used than there are");
  const float* from = slot(logits, n, experts);
  float* const all = slot(probabilities, n, experts);
  float *const picks = slot(chosen, n, used), *const factors = slot(weights, n, used);
  for (int64_t t = 0; t < n; t++) {
    float* const p = all + t * experts;
    ops_.softmax(from + t * experts, p, experts);
    double total = 0;
    for (int j = 0; j < used; j++) {
      int best = -1;
      for (int e = 0; e < experts; e++) {
        const bool taken = std::find(picks + t * used, picks + t * used + j, float(e)) != picks + t * used + j;
        if (!taken && (best < 0 || p[e] > p[best])) best = e;
      }
      picks[t * used + j] = float(best);
      factors[t * used + j] = p[best];
      total += double(p[best]);
    }
    if (renormalize) {
      for (int j = 0; j < used; j++) factors[t * used + j] = float(double(factors[t * used + j]) / total);
    }
  }
}

// Checks the shapes of a mixture and copies its choices to chosen_.
ExpertRefs Inference::mixture(int64_t n, int32_t chosen, int32_t used, int32_t gate, int32_t up, int32_t down, int32_t terms) {
  Weight &g = stack(gate), &u = stack(up), &d = stack(down);
  const int64_t count = int64_t(g.parts.size());
  if (g.rows != u.rows || g.cols != u.cols || g.rows != d.cols || g.cols != d.rows || int64_t(u.parts.size()) != count ||
      int64_t(d.parts.size()) != count || used < 1 || used > count) {
    misuse("expert stacks whose shapes do not fit together");
  }
  if (!canMultiply(g.type) || !canMultiply(u.type) || !canMultiply(d.type)) misuse("not weights to multiply by");
  for (Weight* const w : {&g, &u, &d}) stream(*w);
  const float* const picks = slot(chosen, n, used);
  chosen_.resize(size_t(n) * size_t(used));
  for (int64_t i = 0; i < n * used; i++) {
    if (!(picks[i] >= 0 && picks[i] < float(count))) misuse("no such expert");
    chosen_[i] = int32_t(picks[i]);
    for (int64_t j = i / used * used; j < i; j++) {
      if (chosen_[j] == chosen_[i]) misuse("an expert chosen twice for one row");
    }
  }
  beside_ = ExpertTerms{};
  const int32_t* const list = ints(4 * int64_t(terms));
  for (int32_t i = 0; i < terms; i++) {
    const int32_t place = list[4 * i];
    if (place < 0 || place > 2) misuse("low-rank terms beside a matrix that experts do not have");
    const Weight &base = place == 0 ? g : place == 1 ? u : d, &a = weight(list[4 * i + 1]), &b = weight(list[4 * i + 2]);
    checkLowRank(base, a, b);
    (place == 0 ? beside_.gate : place == 1 ? beside_.up : beside_.down).push_back({a.parts.data(), b.parts.data(), slot(list[4 * i + 3], n, 1)});
  }
  return {count, g.parts.data(), u.parts.data(), d.parts.data(), terms > 0 ? &beside_ : nullptr};
}

void Inference::checkThere(const ExpertRefs& refs, int32_t expert) const {
  for (const WeightRef* const matrices : {refs.gate, refs.up, refs.down}) {
    if (matrices[expert].data == nullptr) misuse("an expert that is not in memory");
  }
}

void Inference::experts(int32_t out, int32_t x, int64_t n, int32_t chosen, int32_t weights, int32_t used, int32_t gate, int32_t up,
                      int32_t down, int32_t activation, int32_t terms) {
  const ExpertRefs refs = mixture(n, chosen, used, gate, up, down, terms);
  const int64_t width = stack(gate).cols;
  const float *const from = slot(x, n, width), *const factors = slot(weights, n, used);
  float* const to = slot(out, n, width);
  if (from == to) misuse("experts over their operand");
  for (int64_t i = 0; i < n * used; i++) checkThere(refs, chosen_[size_t(i)]);
  const Gating gating = activation == 0 ? Gating::gelu : Gating::silu;
  const bool whole = n <= 0 || grok1::experts(pool_, isa_, refs, from, n, chosen_.data(), factors, used, gating, to, arena_) >= 0;
  refuseCancelled();
  if (!whole) misuse("experts that could not be read");
}

double Inference::expertParts(int32_t parts, int32_t x, int64_t n, int32_t chosen, int32_t used, int32_t gate, int32_t up, int32_t down,
                          int32_t activation, int32_t terms, int32_t count) {
  const ExpertRefs refs = mixture(n, chosen, used, gate, up, down, terms);
  const int64_t width = stack(gate).cols;
  const float* const from = slot(x, n, width);
  float* const to = slot(parts, n * used, width);
  if (from == to) misuse("experts over their operand");
  if (count < 0 || count > refs.experts) misuse("more experts than there are");
  wanted_.assign(size_t(refs.experts), 0);
  const int32_t* const list = ints(4 * int64_t(terms) + count) + 4 * int64_t(terms);
  for (int32_t i = 0; i < count; i++) {
    if (list[i] < 0 || list[i] >= refs.experts) misuse("no such expert");
    wanted_[size_t(list[i])] = 1;
    checkThere(refs, list[i]);
  }
  const Gating gating = activation == 0 ? Gating::gelu : Gating::silu;
  const double waited = n > 0 ? grok1::expertParts(pool_, isa_, refs, from, n, chosen_.data(), used, wanted_, gating, to, arena_) : 0;
  refuseCancelled();
  return waited;
}

void Inference::sumExperts(int32_t out, int32_t parts, int64_t n, int32_t chosen, int32_t weights, int32_t used, int64_t width) {
  if (used < 1) misuse("a mixture of no experts");
  const float *const from = slot(parts, n * used, width), *const picks = slot(chosen, n, used), *const factors = slot(weights, n, used);
  float* const to = slot(out, n, width);
  if (from == to) misuse("experts over their operand");
  chosen_.assign(picks, picks + n * used);
  for (int64_t i = 0; i < n * used; i++) {
    if (chosen_[i] < 0) misuse("no such expert");
    for (int64_t j = i / used * used; j < i; j++) {
      if (chosen_[j] == chosen_[i]) misuse("an expert chosen twice for one row");
    }
  }
  split(n, 1, n * used * width, [&](int64_t first, int64_t end) {
    sumExpertParts(isa_, from, chosen_.data(), factors, used, width, first, end, to);
  });
}

void Inference::checkLowRank(const Weight& base, const Weight& a, const Weight& b) const {
  if (a.type != F32 || b.type != F32) misuse("low-rank terms are of 32-bit floats");
  if (a.parts.size() != base.parts.size() || b.parts.size() != base.parts.size() || a.cols != base.cols || b.rows != base.rows ||
      a.rows != b.cols) {
    misuse("low-rank terms that do not fit what they stand beside");
  }
}

void Inference::addLowRank(int32_t y, int32_t x, int64_t n, int32_t a, int32_t b, int32_t scales) {
  const Weight &first = weight(a), &second = weight(b);
  const int64_t rank = first.rows, rows = second.rows;
  if (first.type != F32 || second.type != F32 || first.parts.size() != 1 || second.parts.size() != 1 || second.cols != rank) {
    misuse("low-rank factors that do not fit together");
  }
  const float *const from = slot(x, n, first.cols), *const factors = slot(scales, n, 1);
  float* const to = slot(y, n, rows);
  if (from == to) misuse("a product over its operand");
  if (n <= 0) return;
  Arena::Scope memory(arena_);
  float *const between = memory.take<float>(n * rank), *const sum = memory.take<float>(n * rows);
  grok1::matmul(pool_, isa_, first.parts[0], from, n, first.cols, between, rank, arena_);
  for (int64_t t = 0; t < n; t++) {
    for (int64_t r = 0; r < rank; r++) between[t * rank + r] *= factors[t];
  }
  grok1::matmul(pool_, isa_, second.parts[0], between, n, rank, sum, rows, arena_);
  for (int64_t t = 0; t < n; t++) {
    // A row without the adapter keeps its bits.
    if (factors[t] == 0) continue;
    for (int64_t r = 0; r < rows; r++) to[t * rows + r] += sum[t * rows + r];
  }
  refuseCancelled();
}

}  // namespace grok1
