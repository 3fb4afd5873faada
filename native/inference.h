// The operations of src/kernels/ops.ts.
//
// Lists of whole numbers arrive in blocks that both sides see, so a call carries only numbers: a pass's batch in one, other lists in
// another.
#pragma once

#include <memory>
#include <vector>

#include "matmul.h"
#include "ops.h"
#include "store.h"
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

class Inference : public Store {
 public:
  Inference(int threads, Isa isa)
      : pool_(threads),
        isa_(isa),
        ops_(opKernels(isa)),
        control_(std::make_shared<Memory>(4 * 1024)),
        batchBlock_(std::make_shared<Memory>(4 * 1024)) {}

  int threads() const { return pool_.size(); }
  Isa isa() const { return isa_; }

  // Products and attention give up, with ERR_CANCELLED, as soon as the first of these two numbers exceeds the second. They must
  // outlive the backend.
  void watch(const std::atomic<int32_t>* numbers) { pool_.watch(numbers); }

  // What operations keep from one to the next to work in, taken anew when one needs it.
  void freeScratch() { arena_.clear(); }
  // The control block, of at least `length` int32.
  std::shared_ptr<Memory> control(int64_t length);
  // The batch's block, of at least `length` int32. There is no batch until the next begin().
  std::shared_ptr<Memory> batch(int64_t length);
  // Takes over what stands in the batch's block: tokens[n], positions[n], for each sequence start, count, pages; then the page tables
  // one after another.
  void begin(int64_t n, int64_t sequences);
  // [dims / 2] radians a position.
  int32_t addRope(int32_t headSize, bool adjacent, std::vector<double> frequencies, double magnitude);
  int32_t addCache(int32_t layers, int32_t kvHeads, int32_t headSize, int32_t pages, int32_t pageTokens, int32_t type);
  void freeCache(int32_t cache);
  void copyPage(int32_t cache, int32_t from, int32_t to);
  double pageBytes(int32_t cache);
  // Contents of a page, of all layers one after another, into `length` bytes or from them.
  void readPage(int32_t cache, int32_t page, uint8_t* bytes, size_t length);
  void writePage(int32_t cache, int32_t page, const uint8_t* bytes, size_t length);

  void embed(int32_t out, int32_t table, int64_t n, double scale);
  void rows(int32_t out, int32_t x, int64_t xRows, int64_t cols, int64_t n);  // control: indices[n]
  void rmsNorm(int32_t out, int32_t x, int64_t n, int32_t gain, double eps);
  void matmul(int32_t out, int32_t x, int64_t n, int32_t weight);
  void rope(int32_t out, int32_t x, int64_t n, int32_t heads, int32_t rotary);
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
  // out [count, 2]: log-probabilities of places of x [n, cols], each the sum of two floats. control: their rows[count], columns[count]
  void logprobs(int32_t out, int32_t x, int64_t n, int64_t cols, int64_t count);
  // control: for each of the low-rank terms the matrix beside which it stands (0 gate, 1 up, 2 down), a, b, scales
  void experts(int32_t out, int32_t x, int64_t n, int32_t chosen, int32_t weights, int32_t used, int32_t gate, int32_t up,
               int32_t down, int32_t activation, int32_t terms);
  // The same in two steps: parts [n * used, width] of `count` experts, which follow the terms in the control block; then their sum,
  // in which every bit is as of experts(). Of experts that are on their way each row is computed when it is there: milliseconds for which there was
  // nothing to compute, or -1 where some never came.
  double expertParts(int32_t parts, int32_t x, int64_t n, int32_t chosen, int32_t used, int32_t gate, int32_t up, int32_t down,
                   int32_t activation, int32_t terms, int32_t count);
  void sumExperts(int32_t out, int32_t parts, int64_t n, int32_t chosen, int32_t weights, int32_t used, int64_t width);
  // y[t] += b (scales[t] (a x[t]))
  void addLowRank(int32_t y, int32_t x, int64_t n, int32_t a, int32_t b, int32_t scales);

 protected:
  struct RopeTable {
    static constexpr int kChunk = 64;              // positions computed at a time
    static constexpr int32_t kPositions = 1 << 20;  // kept below this; beyond, one at a time is computed
    int32_t headSize;
    bool adjacent;
    double magnitude;
    std::vector<double> frequencies;
    std::vector<std::unique_ptr<float[]>> chunks;  // [kChunk][cos[pairs], sin[pairs]]
    std::vector<float> far;                        // one position past the table
  };
  // The batch under way, in its block.
  struct Batch {
    int64_t rows, sequences;
    const int32_t *tokens, *positions;
    const int32_t* entries;  // start, count and pages of each sequence
    const int32_t* pages;
    int32_t fits = -1;       // the cache that its pages were checked against
  };

  RopeTable& ropeTable(int32_t id) { return ropes_.get(id); }
  const int32_t* ints(int64_t count) const;
  const Batch& batchOf(int64_t n) const;
  // Factors of the batch's scores, in temperatures_; null where there are none.
  const float* temperatures(int32_t length);
  // body(row, cos and sin of its position) for n rows of `cols`.
  template <class F>
  void eachTurn(RopeTable& table, int64_t n, int64_t cols, F&& body);

  // After work that a cancellation may have cut short.
  void refuseCancelled() const {
    if (pool_.cancelled()) throw Failure("ERR_CANCELLED", "cancelled");
  }

  // Splits [0, n) over the threads in multiples of `unit` when the work, in floats, is worth it.
  template <class F>
  void split(int64_t n, int64_t unit, int64_t work, F&& body);
  template <class F>
  void sumSegments(const float* from, int64_t n, int64_t cols, F&& also);

  Batch batch_{};
  ThreadPool pool_;
  Isa isa_;
  const OpKernels& ops_;
  Arena arena_;

 private:
  struct Cache {
    std::unique_ptr<Memory> memory;
    KvLayer first;
    int32_t layers, pages;
    int64_t layerBytes;
  };
  // Rows at consecutive positions of one sequence.
  struct Run {
    int32_t row, count, position;
    const int32_t* pages;
  };

  void checkThere(const ExpertRefs& refs, int32_t expert) const;
  ExpertRefs mixture(int64_t n, int32_t chosen, int32_t used, int32_t gate, int32_t up, int32_t down, int32_t terms);
  Cache& cache(int32_t id);
  KvLayer layerOf(int32_t cache, int32_t layer);
  // Of a page in the first layer, whose contents in all layers are `length` bytes.
  uint8_t* pageAt(int32_t cache, int32_t page, size_t length);
  // Checks, once a cache, that it has every page that the batch's rows reach.
  void fitBatch(int32_t cache, int64_t n);
  const float* turn(RopeTable& table, int32_t position);
  void checkLowRank(const Weight& base, const Weight& a, const Weight& b) const;

  std::shared_ptr<Memory> control_, batchBlock_;
  Handles<RopeTable> ropes_{"rotary embedding"};
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
};

}  // namespace grok1
