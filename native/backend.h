// The native backend: activations, weights and caches behind small ids, and the operations of src/kernels/ops.ts on them.
//
// Every method checks its ids and shapes and throws Failure on misuse; a method is called on one JavaScript thread. Lists of whole
// numbers arrive in blocks that both sides see, so a call carries only numbers: a pass's batch in one, other lists in another.
#pragma once

#include <memory>
#include <vector>

#include "gradients.h"
#include "handles.h"
#include "matmul.h"
#include "memory.h"
#include "ops.h"
#include "residency.h"
#include "threads.h"

namespace grok1 {

// A value of a row and its place.
struct Choice {
  float value;
  int32_t index;
};
// Of a piece of a row: its largest value, and the sum of exp(x - top).
struct ChoiceSum {
  float top;
  double total;
};

class Backend {
 public:
  Backend(int threads, Isa isa) : pool_(threads), isa_(isa), ops_(opKernels(isa)), gradients_(gradKernels(isa)), control_(std::make_shared<Memory>(4 * 1024)), batchBlock_(std::make_shared<Memory>(4 * 1024)) {}

  int threads() const { return pool_.size(); }
  Isa isa() const { return isa_; }

  // Products and attention give up, with ERR_CANCELLED, as soon as the first of these two numbers exceeds the second. They must
  // outlive the backend.
  void watch(const std::atomic<int32_t>* numbers) { pool_.watch(numbers); }

  // The control block, of at least `length` int32.
  std::shared_ptr<Memory> control(int64_t length);
  // The batch's block, of at least `length` int32. There is no batch until the next begin().
  std::shared_ptr<Memory> batch(int64_t length);
  // Takes over what stands in the batch's block: tokens[n], positions[n], for each sequence start, count, pages; then the page tables
  // one after another.
  void begin(int64_t n, int64_t sequences);
  // Makes slot `id` (a new one for -1) hold at least `elements` floats; returns its id.
  int32_t resize(int32_t id, int64_t elements);
  std::shared_ptr<Memory> memory(int32_t id) const;

  // Bytes that weights may lie in: an open file, mapped, or a copy of memory. Weights in it keep it; release() lets go of the id.
  int32_t map(int32_t file);
  int32_t copy(const uint8_t* data, size_t bytes);
  void release(int32_t source);
  // One [rows, cols] matrix for each place, or for each expert.
  struct Place {
    int32_t source;
    int64_t offset;
  };
  int32_t addWeight(int32_t type, int64_t rows, int64_t cols, int32_t terms, const std::vector<Place>& places);
  // [dims / 2] radians a position.
  int32_t addRope(int32_t headSize, bool adjacent, std::vector<double> frequencies, double magnitude);
  int32_t addCache(int32_t layers, int32_t kvHeads, int32_t headSize, int32_t pages, int32_t pageTokens, int32_t type);
  void freeCache(int32_t cache);
  void copyPage(int32_t cache, int32_t from, int32_t to);

  void embed(int32_t out, int32_t table, int64_t n, double scale);
  void rows(int32_t out, int32_t x, int64_t xRows, int64_t cols, int64_t n);  // control: indices[n]
  void rmsNorm(int32_t out, int32_t x, int64_t n, int32_t gain, double eps);
  void matmul(int32_t out, int32_t x, int64_t n, int32_t weight);
  void rope(int32_t out, int32_t x, int64_t n, int32_t heads, int32_t rope);
  void store(int32_t cache, int32_t layer, int32_t k, int32_t v, int64_t n);
  void attention(int32_t out, int32_t q, int64_t n, int32_t cache, int32_t layer, int32_t heads, double scale, double softcap,
                 int32_t temperatureLength);
  void add(int32_t out, int32_t a, int32_t b, int64_t elements);
  void scale(int32_t out, int32_t x, int64_t elements, double factor);
  void softcap(int32_t out, int32_t x, int64_t elements, double cap);
  void gated(int32_t out, int32_t activation, int32_t gate, int32_t up, int64_t elements);
  void route(int32_t probabilities, int32_t chosen, int32_t weights, int32_t logits, int64_t n, int32_t experts, int32_t used,
             bool renormalize);
  // For each row its k largest values, their indices, and the logarithm of the sum of all exponentials.
  void topK(int32_t values, int32_t indices, int32_t logSumExp, int32_t x, int64_t n, int64_t cols, int64_t k);
  // control: for each of the low-rank terms the matrix beside which it stands (0 gate, 1 up, 2 down), a, b, scales
  void experts(int32_t out, int32_t x, int64_t n, int32_t chosen, int32_t weights, int32_t used, int32_t gate, int32_t up,
               int32_t down, int32_t activation, int32_t terms);
  // The same in two steps: parts [n * used, width] of `count` experts, which follow the terms in the control block; then their sum,
  // in which every bit is as of experts().
  void expertParts(int32_t parts, int32_t x, int64_t n, int32_t chosen, int32_t used, int32_t gate, int32_t up, int32_t down,
                   int32_t activation, int32_t terms, int32_t count);
  void sumExperts(int32_t out, int32_t parts, int64_t n, int32_t chosen, int32_t weights, int32_t used, int64_t width);
  // Bytes of a weight's matrix (of an expert) that are not in memory.
  double missing(int32_t weight, int32_t matrix);
  // Brings a weight's matrix into memory, on threads of its own; `done` is called on any thread.
  void fetch(int32_t weight, int32_t matrix, Readers::Done done);
  // y[t] += b (scales[t] (a x[t]))
  void addLowRank(int32_t y, int32_t x, int64_t n, int32_t a, int32_t b, int32_t scales);

  // Training: src/kernels/grad-ops.ts. A gradient goes to a matrix, set or, with `add`, added to; -1: it is not wanted.
  // A weight of `count` [rows, cols] matrices of zeros that training changes, with its gradient and moments.
  int32_t addParameter(int64_t count, int64_t rows, int64_t cols);
  // Its values, gradient, mean or variance: 0 to 3.
  std::shared_ptr<Memory> part(int32_t parameter, int32_t part);
  // base + scale * b a, of parameters a [rank, in] and b [out, rank].
  int32_t addAdapted(int32_t base, int32_t a, int32_t b, double scale);
  void freeWeight(int32_t weight);
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
  void ropeBackward(int32_t out, bool add, int32_t dOut, int64_t n, int32_t heads, int32_t rope);
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
  struct Slot {
    std::shared_ptr<Memory> memory;
    float* data;
    int64_t capacity;
  };
  struct Source {
    std::shared_ptr<const uint8_t> data;  // of a mapping, or of memory
    uint64_t size;
    bool mapped;
  };
  // Four arrays of the parameter's size: values, gradient, and the optimizer's moments.
  struct Parameter {
    int64_t size;
    std::shared_ptr<Memory> parts[4];
    float* values(int part) const { return reinterpret_cast<float*>(parts[part]->data()); }
  };
  struct Weight {
    int type;
    int64_t rows, cols;
    std::vector<WeightRef> parts;
    std::vector<std::shared_ptr<const uint8_t>> held;  // what the parts point to
    bool mapped = false;                               // and lie in files, which nobody has streamed yet
    std::vector<float> decoded;  // of a norm's gain that is not aligned f32
    std::shared_ptr<Parameter> parameter;  // whose values the parts are
    int32_t a = -1, b = -1;      // an adapted weight's parameters
    float scale = 0;
  };
  struct RopeTable {
    static constexpr int kChunk = 64;  // positions computed at a time
    int32_t headSize;
    bool adjacent;
    double magnitude;
    std::vector<double> frequencies;
    std::vector<std::unique_ptr<float[]>> chunks;  // [kChunk][cos[pairs], sin[pairs]]
    std::vector<float> far;                        // one position past the table
  };
  struct Cache {
    std::unique_ptr<Memory> memory;
    KvLayer first;
    int32_t layers, pages;
    int64_t layerBytes;
  };
  // The batch under way, in its block.
  struct Batch {
    int64_t rows, sequences;
    const int32_t *tokens, *positions;
    const int32_t* entries;  // start, count and pages of each sequence
    const int32_t* pages;
    int32_t fits = -1;       // the cache that its pages were checked against
  };
  // Rows at consecutive positions of one sequence.
  struct Run {
    int32_t row, count, position;
    const int32_t* pages;
  };

  float* slot(int32_t id, int64_t rows, int64_t cols) const;
  ExpertRefs mixture(int64_t n, int32_t chosen, int32_t used, int32_t gate, int32_t up, int32_t down, int32_t terms);
  const WeightRef& matrixOf(int32_t weight, int32_t matrix);
  Weight& weight(int32_t id) { return weights_.get(id); }
  const Parameter& parameter(int32_t id);
  Cache& cache(int32_t id);
  KvLayer layerOf(int32_t cache, int32_t layer);
  const int32_t* ints(int64_t count) const;
  const Batch& batchOf(int64_t n) const;
  // Checks, once a cache, that it has every page that the batch's rows reach.
  void fitBatch(int32_t cache, int64_t n);
  // Factors of the batch's scores, in temperatures_; null where there are none.
  const float* temperatures(int32_t length);
  const float* turn(RopeTable& table, int32_t position);
  // body(row, cos and sin of its position) for n rows of `cols`.
  template <class F>
  void eachTurn(RopeTable& table, int64_t n, int64_t cols, F&& body);
  const float* gainOf(Weight& weight);
  void checkLowRank(const Weight& base, const Weight& a, const Weight& b) const;
  const Weight& multiplier(int32_t id, int64_t expert = 0);
  void stream(Weight& w);
  float* gradientOf(const Weight& weight, int64_t expert);
  // Of one expert's matrix: y = x Wᵀ, and its rule; ldx, ldy and ldd are the distances of rows.
  void forward(const Weight& w, int64_t expert, const float* x, int64_t n, int64_t ldx, float* y, int64_t ldy);
  void backward(const Weight& w, int64_t expert, const float* dOut, int64_t ldd, const float* x, int64_t ldx, int64_t n, float* dx,
                bool add);
  void adapt(const Weight& w, int64_t expert, const float* x, int64_t n, int64_t ldx, float* y, int64_t ldy);
  void sortChoices(const float* picks, int64_t n, int32_t used, int64_t experts);
  template <class F>
  void eachSequence(SelfAttentionCall& call, int64_t n, int32_t temperatureLength, F&& body);

  // After work that a cancellation may have cut short.
  void refuseCancelled() const {
    if (pool_.cancelled()) throw Failure("ERR_CANCELLED", "cancelled");
  }

  // Splits [0, n) over the threads in multiples of `unit` when the work, in floats, is worth it.
  template <class F>
  void split(int64_t n, int64_t unit, int64_t work, F&& body);

  ThreadPool pool_;
  Isa isa_;
  const OpKernels& ops_;
  const GradKernels& gradients_;
  std::shared_ptr<Memory> control_, batchBlock_;
  Batch batch_{};
  Handles<Slot> slots_{"matrix"};
  Handles<Source> sources_{"source of weights"};
  Handles<Weight> weights_{"weight"};
  std::vector<RopeTable> ropes_;
  Handles<Cache> caches_{"cache"};
  std::vector<Run> runs_;
  std::vector<AttentionItem> items_;
  std::vector<AttentionItem> merges_;
  std::vector<int32_t> chosen_;
  std::vector<Choice> choices_;
  std::vector<ChoiceSum> choiceSums_;
  std::vector<uint8_t> wanted_;
  ExpertTerms beside_;
  std::vector<float> temperatures_;
  std::vector<int64_t> starts_, places_;  // choices in order of experts
  std::vector<double> losses_;
  Workspace workspace_, inner_, lowRank_;
  Readers readers_;
};

}  // namespace grok1
