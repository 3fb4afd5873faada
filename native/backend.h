// The native backend: activations, weights and caches behind small ids, and the operations of src/kernels/ops.ts on them.
//
// Every method checks its ids and shapes and throws Failure on misuse; a method is called on one JavaScript thread. Lists of whole
// numbers (tokens, positions, page tables) arrive in a control block that both sides see, so a call carries only numbers.
#pragma once

#include <memory>
#include <vector>

#include "matmul.h"
#include "memory.h"
#include "ops.h"
#include "threads.h"

namespace grok1 {

class Backend {
 public:
  Backend(int threads, Isa isa) : pool_(threads), isa_(isa), ops_(opKernels(isa)), control_(std::make_shared<Memory>(4 * 1024)) {}

  int threads() const { return pool_.size(); }
  Isa isa() const { return isa_; }

  // The control block, of at least `length` int32.
  std::shared_ptr<Memory> control(int64_t length);
  // Makes slot `id` (a new one for -1) hold at least `elements` floats; returns its id.
  int32_t resize(int32_t id, int64_t elements);
  std::shared_ptr<Memory> memory(int32_t id) const;

  // `parts` holds one pointer for each expert's [rows, cols] matrix.
  int32_t addWeight(int type, int64_t rows, int64_t cols, std::vector<const uint8_t*> parts);
  // [dims / 2] radians a position.
  int32_t addRope(int32_t headSize, bool adjacent, std::vector<double> frequencies, double magnitude);
  int32_t addCache(int32_t layers, int32_t kvHeads, int32_t headSize, int32_t pages, int32_t pageTokens, int32_t type);
  void freeCache(int32_t cache);
  void copyPage(int32_t cache, int32_t from, int32_t to);

  void embed(int32_t out, int32_t table, int64_t n, double scale);                     // control: tokens[n]
  void rows(int32_t out, int32_t x, int64_t xRows, int64_t cols, int64_t n);            // control: indices[n]
  void rmsNorm(int32_t out, int32_t x, int64_t n, int32_t gain, double eps);
  void matmul(int32_t out, int32_t x, int64_t n, int32_t weight);
  void rope(int32_t out, int32_t x, int64_t n, int32_t heads, int32_t rope);            // control: positions[n]
  // control: sequences, positions[n], for each sequence start, count, pages; then the page tables one after another
  void store(int32_t cache, int32_t layer, int32_t k, int32_t v, int64_t n);
  void attention(int32_t out, int32_t q, int64_t n, int32_t cache, int32_t layer, int32_t heads, double scale, double softcap,
                 int32_t temperatureLength);
  void add(int32_t out, int32_t a, int32_t b, int64_t elements);
  void scale(int32_t out, int32_t x, int64_t elements, double factor);
  void softcap(int32_t out, int32_t x, int64_t elements, double cap);
  void gated(int32_t out, int32_t activation, int32_t gate, int32_t up, int64_t elements);
  void route(int32_t probabilities, int32_t chosen, int32_t weights, int32_t logits, int64_t n, int32_t experts, int32_t used,
             bool renormalize);
  void experts(int32_t out, int32_t x, int64_t n, int32_t chosen, int32_t weights, int32_t used, int32_t gate, int32_t up,
               int32_t down, int32_t activation);

 private:
  struct Slot {
    std::shared_ptr<Memory> memory;
    float* data;
    int64_t capacity;
  };
  struct Weight {
    int type;
    int64_t rows, cols;
    std::vector<WeightRef> parts;
    std::vector<float> decoded;  // of a norm's gain that is not aligned f32
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
  // Rows at consecutive positions of one sequence.
  struct Run {
    int32_t row, count, position;
    const int32_t* pages;
  };

  float* slot(int32_t id, int64_t rows, int64_t cols) const;
  Weight& weight(int32_t id);
  Cache& cache(int32_t id);
  KvLayer layerOf(int32_t cache, int32_t layer);
  const int32_t* ints(int64_t count) const;
  void readBatch(const Cache& cache, int64_t n);
  const float* turn(RopeTable& table, int32_t position);

  // Splits [0, n) over the threads in multiples of `unit` when the work, in floats, is worth it.
  template <class F>
  void split(int64_t n, int64_t unit, int64_t work, F&& body);

  ThreadPool pool_;
  Isa isa_;
  const OpKernels& ops_;
  std::shared_ptr<Memory> control_;
  std::vector<Slot> slots_;
  std::vector<Weight> weights_;
  std::vector<RopeTable> ropes_;
  std::vector<Cache> caches_;
  std::vector<Run> runs_;
  std::vector<AttentionItem> items_;
  std::vector<AttentionItem> merges_;
  std::vector<int32_t> chosen_;
  std::vector<float> temperatures_;
  Workspace workspace_;
};

}  // namespace grok1
