// The backend's gradient rules that are no products, the loss, and the optimizer.
#include <cmath>
#include <cstring>

#include "training.h"
#include "split.h"

namespace grok1 {

namespace {

[[noreturn]] void misuse(const std::string& message) { throw Failure("ERR_ARGUMENT", message); }

// Rows, or elements, whose part of a sum over all is taken by itself: the parts are then added in order, whoever took them.
constexpr int64_t kPartRows = 64;
constexpr int64_t kPartElements = 1 << 16;

}  // namespace

void Training::embedBackward(int32_t table, int32_t dOut, int64_t n, double scale) {
  const Weight& w = weight(table);
  float* const gradient = gradientOf(w, 0);
  if (gradient == nullptr || w.parts.size() != 1) misuse("a table of embeddings is a parameter of two axes");
  const float* const from = slot(dOut, n, w.cols);
  const int32_t* const tokens = batchOf(n).tokens;
  for (int64_t t = 0; t < n; t++) {
    if (tokens[t] < 0 || tokens[t] >= w.rows) misuse("no row " + std::to_string(tokens[t]) + " in the table");
  }
  const float factor = float(scale);
  // A thread has columns of its own, so that every sum is in order of the tokens.
  split(w.cols, 16, n * w.cols, [&](int64_t first, int64_t end) {
    for (int64_t t = 0; t < n; t++) {
      float* const row = gradient + tokens[t] * w.cols;
      for (int64_t i = first; i < end; i++) row[i] += factor * from[t * w.cols + i];
    }
  });
}

void Training::rowsBackward(int32_t out, bool add, int32_t dOut, int64_t n, int64_t rows, int64_t cols) {
  const float* const from = slot(dOut, n, cols);
  float* const to = slot(out, rows, cols);
  if (from == to) misuse("a gradient over what it is computed from");
  const int32_t* const indices = ints(n);
  for (int64_t t = 0; t < n; t++) {
    if (indices[t] < 0 || indices[t] >= rows) misuse("no row " + std::to_string(indices[t]));
  }
  if (!add) std::memset(to, 0, size_t(rows * cols) * sizeof(float));
  split(cols, 16, n * cols, [&](int64_t first, int64_t end) {
    for (int64_t t = 0; t < n; t++) {
      float* const row = to + indices[t] * cols;
      for (int64_t i = first; i < end; i++) row[i] += from[t * cols + i];
    }
  });
}

void Training::rmsNormBackward(int32_t out, bool add, int32_t dOut, int32_t x, int64_t n, int32_t gain, double eps) {
  Weight& w = weight(gain);
  const float* const factors = gainOf(w);
  const int64_t cols = w.cols;
  const float *const outer = slot(dOut, n, cols), *const from = slot(x, n, cols);
  float* const to = out < 0 ? nullptr : slot(out, n, cols);
  if (to == outer || to == from) misuse("a gradient over what it is computed from");
  float* const gradient = gradientOf(w, 0);
  const int64_t parts = (n + kPartRows - 1) / kPartRows;
  Arena::Scope memory(arena_);
  float* const partial = gradient == nullptr ? nullptr : memory.take<float>(parts * cols + 16);
  if (partial != nullptr) std::memset(partial, 0, size_t(parts * cols) * sizeof(float));
  split(n, kPartRows, n * cols, [&](int64_t first, int64_t end) {
    for (int64_t t = first; t < end; t += kPartRows) {
      gradients_.rmsNormBackward(outer + t * cols, from + t * cols, factors, float(eps), to == nullptr ? nullptr : to + t * cols, add,
                                 partial == nullptr ? nullptr : partial + t / kPartRows * cols, std::min(kPartRows, end - t), cols);
    }
  });
  if (gradient == nullptr) return;
  for (int64_t p = 0; p < parts; p++) {
    for (int64_t i = 0; i < cols; i++) gradient[i] += partial[p * cols + i];
  }
}

// body(start, count, head, scratch) for each sequence and key/value head, which depend on nothing of one another.
template <class F>
void Training::eachSequence(SelfAttentionCall& call, int64_t n, int32_t temperatureLength, F&& body) {
  const int64_t sequences = batchOf(n).sequences;
  const int32_t* const entries = batch_.entries;
  int64_t longest = 0;
  for (int64_t s = 0; s < sequences; s++) longest = std::max<int64_t>(longest, entries[3 * s + 1]);
  call.temperatures = temperatures(temperatureLength);
  Arena::Scope memory(arena_);
  const auto scratch = memory.each<float>(selfAttentionScratch(longest, call.size), pool_.size());
  pool_.run([&](int thread, int) {
    for (int64_t item; (item = pool_.next()) < sequences * call.kvHeads;) {
      const int64_t s = item / call.kvHeads;
      if (entries[3 * s + 1] == 0) continue;
      body(entries[3 * s], entries[3 * s + 1], int(item % call.kvHeads), scratch[thread]);
    }
  });
}

SelfAttentionCall Training::attentionCall(int32_t out, int32_t lse, int32_t q, int32_t k, int32_t v, int64_t n, int32_t heads,
                                          int32_t kvHeads, int32_t headSize, double scale, double softcap) {
  if (kvHeads < 1 || heads < 1 || heads % kvHeads != 0 || headSize < 1) misuse("query heads that the key/value heads do not divide");
  if (!(softcap >= 0)) misuse("a soft cap is positive");
  SelfAttentionCall call{};
  const int64_t cols = int64_t(heads) * headSize, kvCols = int64_t(kvHeads) * headSize;
  call.q = slot(q, n, cols);
  call.k = slot(k, n, kvCols);
  call.v = slot(v, n, kvCols);
  call.out = slot(out, n, cols);
  call.lse = slot(lse, n, heads);
  call.heads = heads;
  call.kvHeads = kvHeads;
  call.size = headSize;
  call.scale = float(scale);
  call.softcap = float(softcap);
  return call;
}

void Training::selfAttention(int32_t out, int32_t lse, int32_t q, int32_t k, int32_t v, int64_t n, int32_t heads, int32_t kvHeads,
                            int32_t headSize, double scale, double softcap, int32_t temperatureLength) {
  SelfAttentionCall call = attentionCall(out, lse, q, k, v, n, heads, kvHeads, headSize, scale, softcap);
  if (call.out == call.q || call.out == call.k || call.out == call.v) misuse("attention over its operand");
  eachSequence(call, n, temperatureLength, [&](int64_t start, int64_t count, int head, float* scratch) {
    gradients_.selfAttention(call, start, count, head, scratch);
  });
}

void Training::selfAttentionBackward(int32_t dq, bool addQ, int32_t dk, bool addK, int32_t dv, bool addV, int32_t dOut, int32_t q,
                                    int32_t k, int32_t v, int32_t out, int32_t lse, int64_t n, int32_t heads, int32_t kvHeads,
                                    int32_t headSize, double scale, double softcap, int32_t temperatureLength) {
  SelfAttentionCall call = attentionCall(out, lse, q, k, v, n, heads, kvHeads, headSize, scale, softcap);
  const int64_t cols = int64_t(heads) * headSize, kvCols = int64_t(kvHeads) * headSize;
  call.dOut = slot(dOut, n, cols);
  call.dq = slot(dq, n, cols);
  call.dk = slot(dk, n, kvCols);
  call.dv = slot(dv, n, kvCols);
  call.addQ = addQ;
  call.addK = addK;
  call.addV = addV;
  const float* const written[] = {call.dq, call.dk, call.dv};
  const float* const read[] = {call.q, call.k, call.v, call.out, call.lse, call.dOut};
  for (const float* to : written) {
    for (const float* from : read) {
      if (to == from) misuse("a gradient over what it is computed from");
    }
  }
  if (dq == dk || dq == dv || dk == dv) misuse("gradients over one another");
  eachSequence(call, n, temperatureLength, [&](int64_t start, int64_t count, int head, float* scratch) {
    gradients_.selfAttentionBackward(call, start, count, head, scratch);
  });
}

void Training::scaleBackward(int32_t out, bool add, int32_t dOut, int64_t elements, double factor) {
  const float* const from = slot(dOut, elements, 1);
  float* const to = slot(out, elements, 1);
  split(elements, 16, elements,
        [&](int64_t first, int64_t end) { gradients_.scaleBackward(from + first, float(factor), to + first, add, end - first); });
}

void Training::softcapBackward(int32_t out, bool add, int32_t dOut, int32_t y, int64_t elements, double cap) {
  if (!(cap > 0)) misuse("a soft cap is positive");
  const float *const from = slot(dOut, elements, 1), *const results = slot(y, elements, 1);
  float* const to = slot(out, elements, 1);
  split(elements, 16, elements, [&](int64_t first, int64_t end) {
    gradients_.softcapBackward(from + first, results + first, float(cap), to + first, add, end - first);
  });
}

void Training::gatedBackward(int32_t dGate, bool addGate, int32_t dUp, bool addUp, int32_t dOut, int32_t activation, int32_t gate,
                            int32_t up, int64_t elements) {
  const float *const from = slot(dOut, elements, 1), *const g = slot(gate, elements, 1), *const u = slot(up, elements, 1);
  float *const toGate = slot(dGate, elements, 1), *const toUp = slot(dUp, elements, 1);
  if (toGate == toUp) misuse("gradients over one another");
  split(elements, 16, elements * 4, [&](int64_t first, int64_t end) {
    gradients_.gatedBackward(activation, from + first, g + first, u + first, toGate + first, addGate, toUp + first, addUp, end - first);
  });
}

void Training::routeBackward(int32_t out, bool add, int32_t losses, int32_t dWeights, int32_t logits, int32_t probabilities,
                            int32_t chosen, int32_t weights, int64_t n, int32_t experts, int32_t used, bool renormalize, double balance,
                            double zLoss) {
  if (used < 1 || experts < used) misuse("more experts used than there are");
  float *const to = slot(out, n, experts), *const found = slot(losses, 1, 2);
  const float *const dw = slot(dWeights, n, used), *const x = slot(logits, n, experts), *const p = slot(probabilities, n, experts);
  const float *const picks = slot(chosen, n, used), *const w = slot(weights, n, used);
  for (int64_t i = 0; i < n * used; i++) {
    if (!(picks[i] >= 0 && picks[i] < float(experts))) misuse("no such expert");
  }
  // Share of all choices, then the gradient of a row's probabilities.
  losses_.assign(size_t(2 * experts), 0);
  double *const share = losses_.data(), *const dp = share + experts;
  for (int64_t i = 0; i < n * used; i++) share[size_t(picks[i])] += 1.0 / double(n * used);
  double balanced = 0, squares = 0;
  for (int64_t t = 0; t < n; t++) {
    const float* const row = p + t * experts;
    int highest = 0;
    for (int e = 0; e < experts; e++) {
      balanced += share[e] * double(row[e]);
      dp[e] = balance * experts * share[e] / double(n);
      if (row[e] > row[highest]) highest = e;
    }
    double sum = 1, along = 0;
    if (renormalize) {
      sum = 0;
      for (int64_t i = t * used; i < (t + 1) * used; i++) {
        sum += double(row[size_t(picks[i])]);
        along += double(dw[i]) * double(w[i]);
      }
    }
    for (int64_t i = t * used; i < (t + 1) * used; i++) dp[size_t(picks[i])] += (double(dw[i]) - along) / sum;
    double mean = 0;
    for (int e = 0; e < experts; e++) mean += double(row[e]) * dp[e];
    // log Σ exp(x) = x_e - log p_e for any e.
    const double lse = double(x[t * experts + highest]) - std::log(double(row[highest]));
    squares += lse * lse;
    for (int e = 0; e < experts; e++) {
      const float value = float(double(row[e]) * (dp[e] - mean + zLoss * 2 * lse / double(n)));
      to[t * experts + e] = add ? to[t * experts + e] + value : value;
    }
  }
  found[0] = n == 0 ? 0 : float(experts * balanced / double(n));
  found[1] = n == 0 ? 0 : float(squares / double(n));
}

double Training::crossEntropy(int32_t out, int32_t logits, int64_t n, int64_t vocab) {
  const float* const from = slot(logits, n, vocab);
  float* const to = out < 0 ? nullptr : slot(out, n, vocab);
  const int32_t* const block = ints(3 * n);
  const double* const weights = reinterpret_cast<const double*>(block);
  const int32_t* const targets = block + 2 * n;
  for (int64_t t = 0; t < n; t++) {
    if (weights[t] != 0 && (targets[t] < 0 || targets[t] >= vocab)) misuse("target " + std::to_string(targets[t]) + " is not in the vocabulary");
  }
  losses_.assign(size_t(n), 0);
  split(n, 1, n * vocab, [&](int64_t first, int64_t end) {
    for (int64_t t = first; t < end; t++) {
      float* const row = to == nullptr ? nullptr : to + t * vocab;
      if (weights[t] != 0) {
        losses_[size_t(t)] = gradients_.crossEntropy(from + t * vocab, vocab, targets[t], weights[t], row);
      } else if (row != nullptr) {
        std::memset(row, 0, size_t(vocab) * sizeof(float));
      }
    }
  });
  double loss = 0;
  for (const double each : losses_) loss += each;
  return loss;
}

void Training::zeroGradient(int32_t id) {
  const Parameter& p = parameter(id);
  float* const to = p.values(1);
  split(p.size, 16, p.size, [&](int64_t first, int64_t end) { std::memset(to + first, 0, size_t(end - first) * sizeof(float)); });
}

double Training::gradientSquares(int32_t id) {
  const Parameter& p = parameter(id);
  const float* const from = p.values(1);
  losses_.assign(size_t((p.size + kPartElements - 1) / kPartElements), 0);
  split(p.size, kPartElements, p.size, [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; i += kPartElements) {
      losses_[size_t(i / kPartElements)] = gradients_.squares(from + i, std::min(kPartElements, end - i));
    }
  });
  double sum = 0;
  for (const double each : losses_) sum += each;
  return sum;
}

void Training::adamw(int32_t id, double rate, double beta1, double beta2, double epsilon, double decay, double step, double factor) {
  const Parameter& p = parameter(id);
  AdamwCall call;
  call.keep = float(1 - rate * decay);
  call.beta1 = float(beta1);
  call.beta2 = float(beta2);
  call.fresh1 = float(1 - beta1);
  call.fresh2 = float(1 - beta2);
  call.rate = float(rate / (1 - std::pow(beta1, step)));
  call.varianceBias = float(1 / (1 - std::pow(beta2, step)));
  call.epsilon = float(epsilon);
  call.factor = float(factor);
  split(p.size, 16, p.size, [&](int64_t first, int64_t end) {
    gradients_.adamw(call, p.values(0) + first, p.values(1) + first, p.values(2) + first, p.values(3) + first, end - first);
  });
}

void Training::ropeBackward(int32_t out, bool add, int32_t dOut, int64_t n, int32_t heads, int32_t id) {
  RopeTable& table = ropeTable(id);
  const int64_t cols = int64_t(heads) * table.headSize;
  if (heads < 0) misuse("a negative number of heads");
  const float* from = slot(dOut, n, cols);
  float* const to = slot(out, n, cols);
  const int pairs = int(table.frequencies.size());
  eachTurn(table, n, cols, [&](int64_t t, const float* angles) {
    gradients_.ropeBackward(from + t * cols, to + t * cols, angles, angles + pairs, heads, table.headSize, pairs, table.adjacent, add);
  });
}

}  // namespace grok1
