// The gradient rules of src/kernels/grad-ops.ts, beside the operations that they belong to.
//
// A gradient goes to a matrix, set or, with `add`, added to; -1: it is not wanted.
#pragma once

#include <memory>
#include <vector>

#include "gradients.h"
#include "inference.h"

namespace grok1 {

class Training : public Inference {
 public:
  Training(int threads, Isa isa) : Inference(threads, isa), gradients_(gradKernels(isa)) {}

  // A weight of `count` [rows, cols] matrices of zeros that training changes, with its gradient and moments.
  int32_t addParameter(int64_t count, int64_t rows, int64_t cols);
  // Its values, gradient, mean or variance: 0 to 3.
  std::shared_ptr<Memory> part(int32_t parameter, int32_t part);
  // base + scale * b a, of parameters a [rank, in] and b [out, rank].
  int32_t addAdapted(int32_t base, int32_t a, int32_t b, double scale);
  // Products in float32 with parameters and adapted weights; the base of an adapted one may be of any type.
  void product(int32_t out, int32_t x, int64_t n, int32_t weight);
  void matmulBackward(int32_t out, bool add, int32_t dOut, int32_t x, int64_t n, int32_t weight);
  void productExperts(int32_t out, int32_t x, int64_t n, int32_t chosen, int32_t weights, int32_t used, int32_t gate, int32_t up,
                      int32_t down, int32_t activation);
  void expertsBackward(int32_t out, bool add, int32_t dWeights, int32_t dOut, int32_t x, int64_t n, int32_t chosen, int32_t weights,
                       int32_t used, int32_t gate, int32_t up, int32_t down, int32_t activation);
  void embedBackward(int32_t table, int32_t dOut, int64_t n, double scale);
  void rowsBackward(int32_t out, bool add, int32_t dOut, int64_t n, int64_t rows, int64_t cols);  // control: indices[n]
  void rmsNormBackward(int32_t out, bool add, int32_t dOut, int32_t x, int64_t n, int32_t gain, double eps);
  void ropeBackward(int32_t out, bool add, int32_t dOut, int64_t n, int32_t heads, int32_t rotary);
  void selfAttention(int32_t out, int32_t lse, int32_t q, int32_t k, int32_t v, int64_t n, int32_t heads, int32_t kvHeads,
                     int32_t headSize, double scale, double softcap, int32_t temperatureLength);
  void selfAttentionBackward(int32_t dq, bool addQ, int32_t dk, bool addK, int32_t dv, bool addV, int32_t dOut, int32_t q, int32_t k,
                             int32_t v, int32_t out, int32_t lse, int64_t n, int32_t heads, int32_t kvHeads, int32_t headSize,
                             double scale, double softcap, int32_t temperatureLength);
  void scaleBackward(int32_t out, bool add, int32_t dOut, int64_t elements, double factor);
  void softcapBackward(int32_t out, bool add, int32_t dOut, int32_t y, int64_t elements, double cap);
  void gatedBackward(int32_t dGate, bool addGate, int32_t dUp, bool addUp, int32_t dOut, int32_t activation, int32_t gate, int32_t up,
                     int64_t elements);
  // `losses` gets the balance and the z-loss.
  void routeBackward(int32_t out, bool add, int32_t losses, int32_t dWeights, int32_t logits, int32_t probabilities, int32_t chosen,
                     int32_t weights, int64_t n, int32_t experts, int32_t used, bool renormalize, double balance, double zLoss);
  double crossEntropy(int32_t out, int32_t logits, int64_t n, int64_t vocab);  // control: weights[n] in double, targets[n]
  void zeroGradient(int32_t parameter);
  double gradientSquares(int32_t parameter);
  void adamw(int32_t parameter, double rate, double beta1, double beta2, double epsilon, double decay, double step, double factor);

 private:
  const Parameter& parameter(int32_t id);
  const Weight& multiplier(int32_t id, int64_t expert = 0);
  float* gradientOf(const Weight& weight, int64_t expert);
  // Of one expert's matrix: y = x Wᵀ, and its rule; ldx, ldy and ldd are the distances of rows.
  void forward(const Weight& w, int64_t expert, const float* x, int64_t n, int64_t ldx, float* y, int64_t ldy);
  void backward(const Weight& w, int64_t expert, const float* dOut, int64_t ldd, const float* x, int64_t ldx, int64_t n, float* dx,
                bool add);
  void adapt(const Weight& w, int64_t expert, const float* x, int64_t n, int64_t ldx, float* y, int64_t ldy);
  void sortChoices(const float* picks, int64_t n, int32_t used, int64_t experts);
  SelfAttentionCall attentionCall(int32_t out, int32_t lse, int32_t q, int32_t k, int32_t v, int64_t n, int32_t heads, int32_t kvHeads,
                                  int32_t headSize, double scale, double softcap);
  template <class F>
  void eachSequence(SelfAttentionCall& call, int64_t n, int32_t temperatureLength, F&& body);

  const GradKernels& gradients_;
  std::vector<int64_t> starts_, places_;  // choices in order of experts
  std::vector<double> losses_;
};

}  // namespace grok1
