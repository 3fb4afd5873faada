#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

#include "abreast.h"
#include "gathered.h"
#include "matmul.h"
#include "panels.h"
#include "rows.h"

namespace grok1 {
namespace {

constexpr int64_t kHiddenChunk = 32;  // rows of gate and up, or of down, that go through a thread's stack at a time

// How a call waits for matrices that are on their way.
class Waiting {
 public:
  explicit Waiting(const ThreadPool& pool) : pool_(pool) {}

  // Whether to go on: false where it is not wanted any more, or some rows never came.
  bool goesOn() const { return !pool_.cancelled() && !lost_.load(std::memory_order_relaxed); }

  // Whether rows [row, end) of a matrix are there, once that is known.
  bool has(const WeightRef& weight, int64_t row, int64_t end) {
    if (weight.arrival == nullptr || weight.arrival->isWhole()) return true;
    const auto began = std::chrono::steady_clock::now();
    const bool there = weight.arrival->await(size_t(row) * weight.rowBytes, size_t(end) * weight.rowBytes, [&] { return !goesOn(); });
    const auto waited = std::chrono::steady_clock::now() - began;
    nanoseconds_ += std::chrono::duration_cast<std::chrono::nanoseconds>(waited).count();
    if (!there) lost_ = true;
    return there;
  }

  double milliseconds() const { return lost_ ? -1 : double(nanoseconds_) / 1e6 / pool_.size(); }

 private:
  const ThreadPool& pool_;
  std::atomic<bool> lost_{false};
  std::atomic<int64_t> nanoseconds_{0};
};

void fewTokens(ThreadPool& pool, Waiting& waiting, const Products& products, const ExpertRefs& refs, const Gathered& gathered, const float* x,
               int64_t n, Gating gating, const Results& results, Arena& arena) {
  const int64_t e0 = gathered.ids[0], active = int64_t(gathered.ids.size()), assigned = int64_t(gathered.all.size());
  const WeightRef &gate = refs.gate[e0], &up = refs.up[e0], &down = refs.down[e0];
  const int64_t hidden = gate.rows, width = down.rows;

  // Gate and up may differ in type, and then in what they read.
  RowActs gateActs(gate), upActs(up), downActs(down);
  const bool shared = gateActs.form == upActs.form;
  const Terms gateTerms(refs.terms ? &refs.terms->gate : nullptr), upTerms(refs.terms ? &refs.terms->up : nullptr),
      downTerms(refs.terms ? &refs.terms->down : nullptr);
  const bool adapted = gateTerms.count + upTerms.count > 0;
  RowActs plainActs(adapted ? (gateTerms.count > 0 ? *gateTerms.list->a : *upTerms.list->a) : gate);
  const size_t hiddenStride = (size_t(hidden) + 15) & ~size_t(15);
  Arena::Scope memory(arena);
  gateActs.take(memory, n);
  if (shared) {
    upActs.data = gateActs.data;
  } else {
    upActs.take(memory, n);
  }
  float* const hiddens = memory.take<float>(int64_t(hiddenStride) * assigned);
  downActs.take(memory, assigned);
  plainActs.take(memory, adapted ? n : 0);
  float* const gateInner = memory.take<float>(assigned * gateTerms.stride);
  float* const upInner = memory.take<float>(assigned * upTerms.stride);
  float* const downInner = memory.take<float>(assigned * downTerms.stride);
  std::vector<int64_t> expertOf;
  if (refs.terms != nullptr) {
    for (size_t a = 0; a < size_t(active); a++) expertOf.resize(size_t(gathered.start[a + 1]), gathered.ids[a]);
    for (int64_t i = 0; i < assigned; i++) std::fill(hiddens + i * int64_t(hiddenStride) + hidden, hiddens + (i + 1) * int64_t(hiddenStride), 0.0f);
  }

  const int64_t pieces = gateActs.pieces(), downPieces = downActs.pieces();
  const int64_t hiddenItem = std::max(kHiddenChunk, rowChunk(gate, hidden * active, pool.size()) / kHiddenChunk * kHiddenChunk);
  const int64_t hiddenItems = (hidden + hiddenItem - 1) / hiddenItem;
  const int64_t widthItem = std::min(kHiddenChunk, rowChunk(down, width, pool.size()));
  const int64_t widthItems = (width + widthItem - 1) / widthItem;

  std::atomic<int64_t> nextPiece{0}, nextInner{0}, nextHidden{0}, nextDownPiece{0}, nextDownInner{0}, nextWidth{0};
  pool.run([&](int, int) {
    for (int64_t i; (i = nextPiece++) < n * pieces;) {
      const float* row = x + i / pieces * gate.cols;
      gateActs.pack(products, i / pieces, row, i % pieces);
      if (!shared) upActs.pack(products, i / pieces, row, i % pieces);
      if (adapted) plainActs.pack(products, i / pieces, row, i % pieces);
    }
    pool.barrier();

    if (adapted) {
      for (int64_t item; (item = nextInner++) < 2 * assigned;) {
        const int64_t i = item / 2, token = gathered.all[size_t(i)].token;
        const Terms& terms = item % 2 == 0 ? gateTerms : upTerms;
        terms.inner(products, expertOf[size_t(i)], token, plainActs.token(token), (item % 2 == 0 ? gateInner : upInner) + i * terms.stride);
      }
      pool.barrier();
    }

    for (int64_t item; waiting.goesOn() && (item = nextHidden++) < active * hiddenItems;) {
      const size_t a = size_t(item / hiddenItems);
      const int64_t from = item % hiddenItems * hiddenItem, until = std::min(hidden, from + hiddenItem);
      const WeightRef &gateOf = refs.gate[gathered.ids[a]], &upOf = refs.up[gathered.ids[a]];
      if (!waiting.has(gateOf, from, until) || !waiting.has(upOf, from, until)) break;
      for (int64_t row = from; row < until; row += kHiddenChunk) {
        const int64_t end = std::min(until, row + kHiddenChunk);
        for (int64_t i = gathered.start[a]; i < gathered.start[a + 1]; i += kMaxTokensAtOnce) {
          const int count = int(std::min<int64_t>(kMaxTokensAtOnce, gathered.start[a + 1] - i));
          alignas(64) float g[kMaxTokensAtOnce][kHiddenChunk] = {}, u[kMaxTokensAtOnce][kHiddenChunk] = {};
          const void* tokens[kMaxTokensAtOnce];
          for (int t = 0; t < count; t++) tokens[t] = gateActs.token(gathered.all[size_t(i + t)].token);
          streamRows(products, gateOf, row, end, tokens, count, g[0], kHiddenChunk);
          for (int t = 0; t < count; t++) tokens[t] = upActs.token(gathered.all[size_t(i + t)].token);
          streamRows(products, upOf, row, end, tokens, count, u[0], kHiddenChunk);
          for (int t = 0; t < count; t++) {
            const int64_t token = gathered.all[size_t(i + t)].token;
            gateTerms.outer(products, gathered.ids[a], token, row, end, gateInner + (i + t) * gateTerms.stride, g[t]);
            upTerms.outer(products, gathered.ids[a], token, row, end, upInner + (i + t) * upTerms.stride, u[t]);
            products.gate(int(gating), g[t], u[t], g[t], kHiddenChunk);
            std::memcpy(hiddens + size_t(i + t) * hiddenStride + row, g[t], size_t(end - row) * sizeof(float));
          }
        }
      }
    }
    pool.barrier();

    for (int64_t i; (i = nextDownPiece++) < assigned * downPieces;) {
      downActs.pack(products, i / downPieces, hiddens + size_t(i / downPieces) * hiddenStride, i % downPieces);
    }
    if (downTerms.count > 0) {
      for (int64_t i; (i = nextDownInner++) < assigned;) {
        downTerms.inner(products, expertOf[size_t(i)], gathered.all[size_t(i)].token, hiddens + size_t(i) * hiddenStride,
                        downInner + i * downTerms.stride);
      }
    }
    pool.barrier();

    for (int64_t item; waiting.goesOn() && (item = nextWidth++) < widthItems;) {
      const int64_t row = item * widthItem, end = std::min(width, row + widthItem);
      for (int64_t t = 0; t < n; t++) results.clear(t, row, end);
      for (size_t a = 0; a < size_t(active); a++) {
        const WeightRef& downOf = refs.down[gathered.ids[a]];
        if (!waiting.has(downOf, row, end)) return;
        for (int64_t i = gathered.start[a]; i < gathered.start[a + 1]; i += kMaxTokensAtOnce) {
          const int count = int(std::min<int64_t>(kMaxTokensAtOnce, gathered.start[a + 1] - i));
          float y[kMaxTokensAtOnce][kHiddenChunk];
          const void* tokens[kMaxTokensAtOnce];
          for (int t = 0; t < count; t++) tokens[t] = downActs.token(i + t);
          streamRows(products, downOf, row, end, tokens, count, y[0], kHiddenChunk);
          for (int t = 0; t < count; t++) {
            const Assignment& to = gathered.all[size_t(i + t)];
            downTerms.outer(products, gathered.ids[a], to.token, row, end, downInner + (i + t) * downTerms.stride, y[t]);
            results.put(to, y[t], row, end - row);
          }
        }
      }
    }
  });
}

// Up to 16 tokens of an expert, `ids[expert]`, side by side.
struct Group {
  int64_t expert, start;
  int tokens, width;
};

void severalTokens(ThreadPool& pool, Waiting& waiting, const Products& products, const ExpertRefs& refs, const Gathered& gathered, const float* x,
                   int64_t n, Gating gating, const Results& results, Arena& arena) {
  constexpr int64_t kMost = AbreastActs::kMost;
  const int64_t e0 = gathered.ids[0], active = int64_t(gathered.ids.size());
  const WeightRef &gate = refs.gate[e0], &up = refs.up[e0], &down = refs.down[e0];
  const int64_t hidden = gate.rows, width = down.rows;
  const AbreastProducts& abreast = *products.abreast;
  const AbreastActs gateActs(abreast, gate), upActs(abreast, up), downActs(abreast, down);
  const bool shared = gateActs.fits(upActs);

  std::vector<Group> groups;
  std::vector<int64_t> first;  // group of each expert, and the end
  for (int64_t a = 0; a < active; a++) {
    first.push_back(int64_t(groups.size()));
    for (int64_t i = gathered.start[size_t(a)], end = gathered.start[size_t(a) + 1]; i < end; i += kMost) {
      const int tokens = int(std::min(kMost, end - i));
      groups.push_back({a, i, tokens, AbreastActs::widthOf(tokens)});
    }
  }
  first.push_back(int64_t(groups.size()));
  const int count = int(groups.size());
  Arena::Scope memory(arena);
  const auto gateData = memory.each<uint8_t>(int64_t(gateActs.bytes(kMost)), count);
  const auto upData = shared ? gateData : memory.each<uint8_t>(int64_t(upActs.bytes(kMost)), count);
  const auto downData = memory.each<uint8_t>(int64_t(downActs.bytes(kMost)), count);

  const int64_t pieces = gateActs.pieces();
  const int64_t hiddenItem = std::max(kHiddenChunk, rowChunk(gate, hidden * active, pool.size()) / kHiddenChunk * kHiddenChunk);
  const int64_t hiddenItems = (hidden + hiddenItem - 1) / hiddenItem;
  const int64_t widthItems = (width + kHiddenChunk - 1) / kHiddenChunk;
  const auto multiply = [&](const WeightRef& w, const AbreastActs& acts, const uint8_t* data, const Group& group, int64_t row,
                            int64_t end, float* y) {
    AbreastCall call;
    call.data = w.data + size_t(row) * w.rowBytes;
    call.rowBytes = w.rowBytes;
    call.cols = w.cols;
    call.rows = end - row;
    call.width = group.width;
    call.vectors = 1;
    call.acts[0] = data;
    call.out = y;
    call.stride = 0;
    acts.products.rows(w.type, call);
  };

  std::atomic<int64_t> nextPiece{0}, nextHidden{0}, nextWidth{0};
  pool.run([&](int, int) {
    for (int64_t i; (i = nextPiece++) < count * pieces;) {
      const int g = int(i / pieces);
      const Group& group = groups[size_t(g)];
      const float* rows[kMost];
      for (int t = 0; t < group.tokens; t++) rows[t] = x + gathered.all[size_t(group.start + t)].token * gate.cols;
      gateActs.pack(rows, group.tokens, group.width, i % pieces, gateData[g]);
      if (!shared) upActs.pack(rows, group.tokens, group.width, i % pieces, upData[g]);
    }
    pool.barrier();

    for (int64_t item; waiting.goesOn() && (item = nextHidden++) < active * hiddenItems;) {
      const int64_t a = item / hiddenItems, from = item % hiddenItems * hiddenItem, until = std::min(hidden, from + hiddenItem);
      const WeightRef &gateOf = refs.gate[gathered.ids[size_t(a)]], &upOf = refs.up[gathered.ids[size_t(a)]];
      if (!waiting.has(gateOf, from, until) || !waiting.has(upOf, from, until)) break;
      for (int64_t row = from; row < until; row += kHiddenChunk) {
        const int64_t end = std::min(until, row + kHiddenChunk);
        for (int64_t g = first[size_t(a)]; g < first[size_t(a) + 1]; g++) {
          const Group& group = groups[size_t(g)];
          alignas(64) float y[kHiddenChunk * kMost], u[kHiddenChunk * kMost];
          multiply(gateOf, gateActs, gateData[int(g)], group, row, end, y);
          multiply(upOf, upActs, upData[int(g)], group, row, end, u);
          products.gate(int(gating), y, u, y, (end - row) * group.width);
          downActs.packTurned(y, group.width, row, end - row, downData[int(g)]);
        }
      }
    }
    pool.barrier();

    for (int64_t item; waiting.goesOn() && (item = nextWidth++) < widthItems;) {
      const int64_t row = item * kHiddenChunk, end = std::min(width, row + kHiddenChunk);
      for (int64_t t = 0; t < n; t++) results.clear(t, row, end);
      for (int g = 0; g < count; g++) {
        const Group& group = groups[size_t(g)];
        alignas(64) float y[kHiddenChunk * kMost], turned[kMost][kHiddenChunk];
        const WeightRef& downOf = refs.down[gathered.ids[size_t(group.expert)]];
        if (!waiting.has(downOf, row, end)) return;
        multiply(downOf, downActs, downData[g], group, row, end, y);
        float* rows[kMost];
        for (int t = 0; t < group.tokens; t++) rows[t] = turned[t];
        abreast.turnOut(y, group.width, end - row, group.tokens, rows, 0);
        for (int t = 0; t < group.tokens; t++) results.put(gathered.all[size_t(group.start + t)], turned[t], row, end - row);
      }
    }
  });
}

void manyTokens(ThreadPool& pool, Waiting& waiting, const Products& products, const ExpertRefs& refs, const Gathered& gathered, const float* x,
                int64_t n, Gating gating, const Results& results, Arena& arena) {
  const int threads = pool.size();
  const int64_t e0 = gathered.ids[0];
  const WeightRef &gate = refs.gate[e0], &up = refs.up[e0], &down = refs.down[e0];
  const int64_t hidden = gate.rows, width = down.rows, cols = gate.cols;
  int64_t slab = 0;
  for (size_t a = 0; a < gathered.ids.size(); a++) slab = std::max(slab, gathered.start[a + 1] - gathered.start[a]);
  slab = std::min(slab, kSlab);

  Tiles gateTiles(products, gate), upTiles(products, up), downTiles(products, down);
  const bool shared = gateTiles.fits(upTiles);
  const Terms gateTerms(refs.terms ? &refs.terms->gate : nullptr), upTerms(refs.terms ? &refs.terms->up : nullptr),
      downTerms(refs.terms ? &refs.terms->down : nullptr);
  const bool adapted = gateTerms.count + upTerms.count > 0;
  RowActs plainActs(adapted ? (gateTerms.count > 0 ? *gateTerms.list->a : *upTerms.list->a) : gate);
  const int64_t hiddenStride = paddedRow(hidden);
  const Blocking gateBlocking(gate, threads), upBlocking(up, threads), downBlocking(down, threads);
  // Two panels fill a block of 32 hidden columns.
  const bool whole = downTiles.kind == Kind::ternary;  // needs 256 hidden columns at once
  const int64_t pair = whole ? kGroup / kPanelRows : std::max<int64_t>(2, std::min(gateBlocking.panels, upBlocking.panels));
  const auto scratchOf = [&](const WeightRef& w, const Blocking& b, int64_t panels) {
    const Kind kind = traitsOf(w.type).kind;
    return size_t(panels) * size_t(unitsOf(kind, b.columns)) * panelUnitBytes(kind);
  };
  const size_t panelMemory = std::max({scratchOf(gate, gateBlocking, pair), scratchOf(up, upBlocking, pair),
                                       scratchOf(down, downBlocking, downBlocking.panels)});
  const int64_t padded = slab + kMaxTile;  // whole tiles
  const int64_t sumFloats = padded * std::max(pair, downBlocking.panels) * kPanelRows;
  Arena::Scope memory(arena);
  gateTiles.take(memory, slab);
  if (shared) {
    upTiles.data = gateTiles.data;
  } else {
    upTiles.take(memory, slab);
  }
  downTiles.take(memory, slab);
  const auto scratches = memory.each<uint8_t>(int64_t(panelMemory), threads);
  const auto gateSums = memory.each<float>(sumFloats, threads), upSums = memory.each<float>(sumFloats, threads);
  plainActs.take(memory, adapted ? slab : 0);
  float* const gateInner = memory.take<float>(slab * gateTerms.stride);
  float* const upInner = memory.take<float>(slab * upTerms.stride);
  float* const downInner = memory.take<float>(slab * downTerms.stride);
  float* const hiddens = memory.take<float>(downTerms.count > 0 ? slab * hiddenStride : 0);

  // Slabs of one expert's tokens, expert after expert.
  struct Slab {
    int64_t expert, start, tokens;
  };
  std::vector<Slab> slabs;
  for (size_t a = 0; a < gathered.ids.size(); a++) {
    for (int64_t i = gathered.start[a]; i < gathered.start[a + 1]; i += slab) {
      slabs.push_back({gathered.ids[a], i, std::min(slab, gathered.start[a + 1] - i)});
    }
  }
  struct alignas(64) Counters {
    std::atomic<int64_t> gate{0}, up{0}, plain{0}, inner{0}, hidden{0}, downInner{0}, down{0};
  };
  std::vector<Counters> counters(slabs.size());
  const int64_t hiddenPanels = (hidden + kPanelRows - 1) / kPanelRows, widthPanels = (width + kPanelRows - 1) / kPanelRows;
  const int64_t hiddenItems = (hiddenPanels + pair - 1) / pair, downItems = (widthPanels + downBlocking.panels - 1) / downBlocking.panels;

  std::atomic<int64_t> nextZero{0};
  pool.run([&](int thread, int) {
    uint8_t* const scratch = scratches[thread];
    float *const c = gateSums[thread], *const c2 = upSums[thread];
    for (int64_t t; (t = nextZero++) < n;) results.clear(t, 0, width);

    for (size_t s = 0; s < slabs.size(); s++) {
      const Slab& it = slabs[s];
      const Assignment* const assigned = gathered.all.data() + it.start;
      const auto rowOf = [&](int64_t i) { return x + assigned[i].token * cols; };
      gateTiles.packAll(products, counters[s].gate, it.tokens, threads, rowOf);
      if (!shared) upTiles.packAll(products, counters[s].up, it.tokens, threads, rowOf);
      for (int64_t i; adapted && (i = counters[s].plain++) < it.tokens;) {
        for (int64_t piece = 0; piece < plainActs.pieces(); piece++) plainActs.pack(products, i, rowOf(i), piece);
      }
      pool.barrier();
      if (adapted) {
        for (int64_t i; (i = counters[s].inner++) < it.tokens;) {
          gateTerms.inner(products, it.expert, assigned[i].token, plainActs.token(i), gateInner + i * gateTerms.stride);
          upTerms.inner(products, it.expert, assigned[i].token, plainActs.token(i), upInner + i * upTerms.stride);
        }
        pool.barrier();
      }

      const int64_t tileCount = gateTiles.count(it.tokens), upCount = upTiles.count(it.tokens);
      for (int64_t item; waiting.goesOn() && (item = counters[s].hidden++) < hiddenItems;) {
        const int64_t panel = item * pair, panels = std::min(pair, hiddenPanels - panel), row = panel * kPanelRows;
        const int64_t columns = std::min(hidden - row, panels * kPanelRows);
        if (!waiting.has(refs.gate[it.expert], row, row + columns) || !waiting.has(refs.up[it.expert], row, row + columns)) break;
        multiplyPanels(products, refs.gate[it.expert], row, panels, gateBlocking.columns, gateTiles, 0, tileCount, it.tokens, scratch, c);
        multiplyPanels(products, refs.up[it.expert], row, panels, upBlocking.columns, upTiles, 0, upCount, it.tokens, scratch, c2);
        for (int64_t i = 0; i < it.tokens; i++) {
          alignas(64) float values[kGroup];
          for (int64_t p = 0; p < panels; p++) {
            float* g = c + ((i / gateTiles.tile * panels + p) * gateTiles.tile + i % gateTiles.tile) * kPanelRows;
            float* u = c2 + ((i / upTiles.tile * panels + p) * upTiles.tile + i % upTiles.tile) * kPanelRows;
            const int64_t first = row + p * kPanelRows, end = std::min(hidden, first + kPanelRows);
            gateTerms.outer(products, it.expert, assigned[i].token, first, end, gateInner + i * gateTerms.stride, g);
            upTerms.outer(products, it.expert, assigned[i].token, first, end, upInner + i * upTerms.stride, u);
            products.gate(int(gating), g, u, values + p * kPanelRows, kPanelRows);
          }
          downTiles.pack(products, i, values, row, columns);
          if (downTerms.count > 0) std::memcpy(hiddens + i * hiddenStride + row, values, size_t(columns) * sizeof(float));
        }
      }
      pool.barrier();
      if (downTerms.count > 0) {
        for (int64_t i; (i = counters[s].downInner++) < it.tokens;) {
          std::fill(hiddens + i * hiddenStride + hidden, hiddens + (i + 1) * hiddenStride, 0.0f);
          downTerms.inner(products, it.expert, assigned[i].token, hiddens + i * hiddenStride, downInner + i * downTerms.stride);
        }
        pool.barrier();
      }

      const int64_t downCount = downTiles.count(it.tokens);
      for (int64_t item; waiting.goesOn() && (item = counters[s].down++) < downItems;) {
        const int64_t panel = item * downBlocking.panels, panels = std::min(downBlocking.panels, widthPanels - panel);
        const int64_t first = panel * kPanelRows;
        if (!waiting.has(refs.down[it.expert], first, std::min(width, first + panels * kPanelRows))) break;
        multiplyPanels(products, refs.down[it.expert], first, panels, downBlocking.columns, downTiles, 0, downCount,
                       it.tokens, scratch, c);
        for (int64_t i = 0; i < it.tokens; i++) {
          for (int64_t p = 0; p < panels; p++) {
            const int64_t row = (panel + p) * kPanelRows, end = std::min(width, row + kPanelRows);
            float* y = c + ((i / downTiles.tile * panels + p) * downTiles.tile + i % downTiles.tile) * kPanelRows;
            downTerms.outer(products, it.expert, assigned[i].token, row, end, downInner + i * downTerms.stride, y);
            results.put(assigned[i], y, row, end - row);
          }
        }
      }
    }
  });
}

double mix(ThreadPool& pool, Isa isa, const ExpertRefs& refs, const float* x, int64_t n, const int32_t* chosen, const float* weights,
         int used, const uint8_t* wanted, Gating gating, float* out, float* parts, Arena& arena) {
  if (n <= 0 || used <= 0) return 0;
  thread_local Gathered gathered;
  gathered.gather(refs.experts, chosen, weights, n, used, wanted);
  if (gathered.all.empty()) return 0;
  Waiting waiting(pool);
  const Products& products = productsOf(isa);
  const Results results{products, out, parts, refs.down[gathered.ids[0]].rows};
  const double tokens = double(gathered.all.size()) / double(gathered.ids.size());
  const int64_t e0 = gathered.ids[0];
  const bool abreast = standsAbreast(products, refs.gate[e0]) && standsAbreast(products, refs.up[e0]) && standsAbreast(products, refs.down[e0]);
  if (abreast && refs.terms == nullptr && tokens > 2 && tokens <= double(kMostAbreast)) {
    severalTokens(pool, waiting, products, refs, gathered, x, n, gating, results, arena);
  } else if (tokens <= 4) {  // streaming rows wins while an expert has few tokens
    fewTokens(pool, waiting, products, refs, gathered, x, n, gating, results, arena);
  } else {
    manyTokens(pool, waiting, products, refs, gathered, x, n, gating, results, arena);
  }
  return waiting.milliseconds();
}

}  // namespace

double experts(ThreadPool& pool, Isa isa, const ExpertRefs& refs, const float* x, int64_t n, const int32_t* chosen,
             const float* weights, int used, Gating gating, float* out, Arena& arena) {
  return mix(pool, isa, refs, x, n, chosen, weights, used, nullptr, gating, out, nullptr, arena);
}

double expertParts(ThreadPool& pool, Isa isa, const ExpertRefs& refs, const float* x, int64_t n, const int32_t* chosen, int used,
                 const std::vector<uint8_t>& wanted, Gating gating, float* parts, Arena& arena) {
  return mix(pool, isa, refs, x, n, chosen, nullptr, used, wanted.data(), gating, nullptr, parts, arena);
}

void sumExpertParts(Isa isa, const float* parts, const int32_t* chosen, const float* weights, int used, int64_t width, int64_t from,
                    int64_t end, float* out) {
  const Products& products = productsOf(isa);
  for (int64_t t = from; t < end; t++) {
    float* const row = out + t * width;
    std::fill(row, row + width, 0.0f);
    for (int32_t last = -1, i = 0; i < used; i++) {
      int64_t next = -1;
      for (int64_t place = t * used; place < (t + 1) * used; place++) {
        if (chosen[place] > last && (next < 0 || chosen[place] < chosen[next])) next = place;
      }
      last = chosen[next];
      products.accumulate(weights[next], parts + next * width, row, width);
    }
  }
}

}  // namespace grok1
