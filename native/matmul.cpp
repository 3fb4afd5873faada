#include "matmul.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "abreast.h"
#include "panels.h"
#include "rows.h"
#include "shares.h"

namespace grok1 {

bool canMultiply(int type) { return blockSize(type).elements > 0; }

// Up to this many tokens, rows are streamed once for all; beyond, packing them pays.
static constexpr int64_t kFewTokens = 4;
// Multiply-adds of several tokens below which a second thread costs more than it saves.
static constexpr int64_t kWorthSharing = 128 * 1024;

static constexpr int64_t kSumRows = 32;  // whose sums go through a thread's stack at a time

static int digitsOf(const WeightRef& weight) { return traitsOf(weight.type).kind == Kind::f32 ? 1 : weight.digits; }

static void multiplyRows(ThreadPool& pool, const Products& products, const WeightRef& weight, const float* x, int64_t n,
                         int64_t ldx, float* out, int64_t ldo, Arena& arena) {
  const int digits = digitsOf(weight);
  Arena::Scope memory(arena);
  RowActs acts(weight, digits);
  acts.take(memory, n);
  const int64_t tokensAtOnce = kMaxTokensAtOnce / digits;
  const int64_t pieces = acts.pieces();
  Shares shares(memory, pool.size(), weight.rows, rowChunk(weight, weight.rows, pool.size()), kMaxRowsAtOnce);
  std::atomic<int64_t> nextPiece{0};
  const bool shared = n * pieces > 1;  // one piece is packed before another thread could have come to it
  if (!shared) acts.pack(products, 0, x, 0);
  pool.run([&](int thread, int) {
    if (shared) {
      for (int64_t i; (i = nextPiece++) < n * pieces;) acts.pack(products, i / pieces, x + i / pieces * ldx, i % pieces);
      pool.barrier();
    }
    for (int64_t row, end; !pool.cancelled() && shares.take(thread, row, end);) {
      for (int64_t t = 0; t < n; t += tokensAtOnce) {
        const void* tokens[kMaxTokensAtOnce];
        const int count = int(std::min(tokensAtOnce, n - t));
        for (int i = 0; i < count * digits; i++) tokens[i] = acts.token(t + i / digits, i % digits);
        if (digits == 1) {
          streamRows(products, weight, row, end, tokens, count, out + t * ldo + row, ldo);
          continue;
        }
        for (int64_t r = row; r < end; r += kSumRows) {
          const int64_t rows = std::min(kSumRows, end - r);
          float y[kMaxTokensAtOnce][kSumRows];
          streamRows(products, weight, r, r + rows, tokens, 2 * count, y[0], kSumRows);
          for (int i = 0; i < count; i++) {
            for (int64_t j = 0; j < rows; j++) out[(t + i) * ldo + r + j] = y[2 * i][j] + y[2 * i + 1][j];
          }
        }
      }
    }
  });
}

static void multiplyAbreast(ThreadPool& pool, const Products& products, const WeightRef& weight, const float* x, int64_t n,
                            int64_t ldx, float* out, int64_t ldo, Arena& arena) {
  constexpr int64_t kMost = AbreastActs::kMost;
  const AbreastActs acts(*products.abreast, weight, digitsOf(weight));
  const int64_t groups = (n + kMost - 1) / kMost, pieces = acts.pieces();
  const auto tokensOf = [&](int64_t g) { return int(std::min(kMost, n - g * kMost)); };
  Arena::Scope memory(arena);
  const auto data = memory.each<uint8_t>(int64_t(acts.bytes(kMost)), int(groups));
  const auto pack = [&](int64_t i) {
    const int64_t g = i / pieces;
    const float* rows[kMost];
    for (int t = 0; t < tokensOf(g); t++) rows[t] = x + (g * kMost + t) * ldx;
    acts.pack(rows, tokensOf(g), acts.widthOf(tokensOf(g)), i % pieces, data[int(g)]);
  };
  const auto multiply = [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row += kSumRows) {
      const int64_t count = std::min(kSumRows, last - row);
      for (int64_t g = 0, together; g < groups; g += together) {
        together = acts.digits == 1 && g + 1 < groups && tokensOf(g + 1) > 8 ? 2 : 1;
        alignas(64) float y[2][kSumRows * kMost];
        AbreastCall call;
        call.data = weight.data + size_t(row) * weight.rowBytes;
        call.rowBytes = weight.rowBytes;
        call.cols = weight.cols;
        call.rows = count;
        call.width = acts.widthOf(tokensOf(g));
        call.vectors = acts.digits == 2 ? 2 : int(together);
        call.acts[0] = data[int(g)];
        call.acts[1] = acts.digits == 2 ? data[int(g)] + acts.digitBytes(call.width) : data[int(g + together - 1)];
        call.out = y[0];
        call.stride = kSumRows * kMost;
        acts.products.rows(weight.type, call);
        if (acts.digits == 2) {
          for (int64_t i = 0; i < count * call.width; i++) y[0][i] += y[1][i];
        }
        for (int64_t v = 0; v < together; v++) {
          float* rows[kMost];
          for (int t = 0; t < tokensOf(g + v); t++) rows[t] = out + ((g + v) * kMost + t) * ldo;
          acts.products.turnOut(y[v], call.width, count, tokensOf(g + v), rows, row);
        }
      }
    }
  };
  if (weight.rows * weight.cols * n < kWorthSharing) {
    for (int64_t i = 0; i < groups * pieces; i++) pack(i);
    multiply(0, weight.rows);
    return;
  }
  const int64_t chunk = std::max<int64_t>(kRowsAbreast, rowChunk(weight, weight.rows, pool.size()) / kRowsAbreast * kRowsAbreast);
  Shares shares(memory, pool.size(), weight.rows, chunk, kRowsAbreast);
  std::atomic<int64_t> nextPiece{0};
  pool.run([&](int thread, int) {
    for (int64_t i; (i = nextPiece++) < groups * pieces;) pack(i);
    pool.barrier();
    for (int64_t row, end; !pool.cancelled() && shares.take(thread, row, end);) multiply(row, end);
  });
}

// A panel's sums of a token to where they belong, those of a second digit added. In between they are in an array of its own, which the
// compiler knows that nothing else is in: whole vectors then.
static void storePanel(float* to, const float* first, const float* second, int64_t rows) {
  float sums[kPanelRows];
  std::memcpy(sums, first, sizeof sums);
  if (second) {
    for (int64_t r = 0; r < kPanelRows; r++) sums[r] += second[r];
  }
  if (rows == kPanelRows) {
    std::memcpy(to, sums, sizeof sums);
  } else {
    std::memcpy(to, sums, size_t(rows) * sizeof(float));
  }
}

static void multiplyTiles(ThreadPool& pool, const Products& products, const WeightRef& weight, const float* x, int64_t n,
                          int64_t ldx, float* out, int64_t ldo, Arena& arena) {
  const int threads = pool.size(), digits = digitsOf(weight);
  const Blocking blocking(weight, threads);
  Tiles tiles(products, weight, digits);
  const int64_t slab = std::min(n, kSlab), count = tiles.count(slab), cSize = int64_t(tiles.tile) * kPanelRows;
  Arena::Scope memory(arena);
  tiles.take(memory, slab);
  const auto scratches = memory.each<uint8_t>(int64_t(Blocking::scratchBytes(weight, threads)), threads);
  const auto sums = memory.each<float>(count * blocking.panels * cSize, threads);

  const int64_t allPanels = (weight.rows + kPanelRows - 1) / kPanelRows;
  const int64_t groups = (allPanels + blocking.panels - 1) / blocking.panels;
  // A product with few rows is split by tokens as well.
  const int64_t parts = groups >= 2 * threads || threads == 1 ? 1 : std::min<int64_t>(count / digits, (4 * threads + groups - 1) / groups);

  for (int64_t t0 = 0; t0 < n; t0 += kSlab) {
    const int64_t tokens = std::min(n - t0, kSlab), tileCount = tiles.count(tokens);
    std::atomic<int64_t> nextPiece{0}, nextItem{0};
    pool.run([&](int thread, int) {
      tiles.packAll(products, nextPiece, tokens, threads, [&](int64_t t) { return x + (t0 + t) * ldx; });
      uint8_t* const scratch = scratches[thread];
      float* const c = sums[thread];
      pool.barrier();
      for (int64_t item; !pool.cancelled() && (item = nextItem++) < groups * parts;) {
        const int64_t panel = item / parts * blocking.panels, part = item % parts;
        const int64_t panels = std::min(blocking.panels, allPanels - panel);
        const int64_t from = tileCount / digits * part / parts * digits, to = tileCount / digits * (part + 1) / parts * digits;
        if (from == to) continue;
        multiplyPanels(products, weight, panel * kPanelRows, panels, blocking.columns, tiles, from, to, tokens, scratch, c);
        for (int64_t t = from / digits * tiles.tile; t < std::min(tokens, to / digits * tiles.tile); t++) {
          const float* from16 = c + (t / tiles.tile * digits - from) * panels * cSize + t % tiles.tile * kPanelRows;
          float* const to16 = out + (t0 + t) * ldo + panel * kPanelRows;
          for (int64_t p = 0; p < panels; p++, from16 += cSize) {
            const int64_t rows = std::min<int64_t>(kPanelRows, weight.rows - (panel + p) * kPanelRows);
            storePanel(to16 + p * kPanelRows, from16, digits == 1 ? nullptr : from16 + panels * cSize, rows);
          }
        }
      }
    });
  }
}

void matmul(ThreadPool& pool, Isa isa, const WeightRef& weight, const float* x, int64_t n, int64_t ldx, float* out,
            int64_t ldo, Arena& arena) {
  if (n <= 0 || weight.rows <= 0) return;
  const Products& products = productsOf(isa);
  if (standsAbreast(products, weight) && n >= kFewestAbreast && n <= kMostAbreast) {
    multiplyAbreast(pool, products, weight, x, n, ldx, out, ldo, arena);
  } else if (n <= kFewTokens) {
    multiplyRows(pool, products, weight, x, n, ldx, out, ldo, arena);
  } else {
    multiplyTiles(pool, products, weight, x, n, ldx, out, ldo, arena);
  }
}

}  // namespace grok1
