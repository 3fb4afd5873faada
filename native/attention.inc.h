// Attention of a tile of query rows over a range of keys, for one instruction set.
//
// All query heads that share a key/value head are rows of one tile, so each key and value is read, and converted to float,
// once for the whole group; scores and weighted sums are then small matrix products, held in registers.
#include "kv-tiles.inc.h"

namespace grok1::GROK1_ISA {

static const float kLowest = floatOf(0xff800000);  // minus infinity

// Registers of a product tile: kTileRows x kTileVectors accumulators.
#if defined(__AVX512F__)
constexpr int kTileRows = 12, kTileVectors = 2;
#elif defined(__AVX2__)
constexpr int kTileRows = 6, kTileVectors = 2;
#elif defined(__aarch64__) && defined(GROK1_NEON)
constexpr int kTileRows = 6, kTileVectors = 4;
#else
constexpr int kTileRows = 3, kTileVectors = 2;
#endif
static_assert(kQueryRows % kTileRows == 0);

// Memory to ask for while a product runs: `step` bytes with each row of its right operand.
struct Ahead {
  const uint8_t* at;
  int64_t step;

  void ask() {
    prefetch(at);
    at += step;
  }
  Ahead after(int64_t rows) const { return {at + rows * step, step}; }
};
struct Nothing {
  void ask() const {}
  Nothing after(int64_t) const { return {}; }
};

// c[r][v] (+)= sum over k of a[k][r] * b[k][v], for ROWS rows and VECTORS vectors; AK and AR are the strides of a.
template <int ROWS, int VECTORS, int AK, int AR, bool ADD, class B, class A>
static void product(int depth, const float* a, B b, float* c, int64_t ldc, A ahead) {
  V sums[ROWS][VECTORS];
  GROK1_UNROLL
  for (int r = 0; r < ROWS; r++) {
    GROK1_UNROLL
    for (int v = 0; v < VECTORS; v++) sums[r][v] = ADD ? load(c + r * ldc + v * W) : all(0.0f);
  }
  for (int k = 0; k < depth; k++) {
    V column[VECTORS];
    for (int v = 0; v < VECTORS; v++) column[v] = b.vector(v);
    ahead.ask();
    for (int r = 0; r < ROWS; r++) {
      const V x = all(a[r * AR]);
      for (int v = 0; v < VECTORS; v++) sums[r][v] = fma(x, column[v], sums[r][v]);
    }
    a += AK;
    b.advance();
  }
  GROK1_UNROLL
  for (int r = 0; r < ROWS; r++) {
    GROK1_UNROLL
    for (int v = 0; v < VECTORS; v++) store(c + r * ldc + v * W, sums[r][v]);
  }
}

// The same for `rows` <= ROWS rows.
template <int ROWS, int VECTORS, int AK, int AR, bool ADD, class B, class A>
static void productRows(int rows, int depth, const float* a, const B& b, float* c, int64_t ldc, A ahead) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return productRows<ROWS - 1, VECTORS, AK, AR, ADD>(rows, depth, a, b, c, ldc, ahead);
  }
  product<ROWS, VECTORS, AK, AR, ADD>(depth, a, b, c, ldc, ahead);
}

constexpr int kTiles = kTileVectors * W / 16;  // tiles of 16 columns at a time

// scores[rows][kKeyBlock] (+)= queries times `depth` elements of the keys of kTiles tiles. Queries are packed in groups of
// kTileRows rows, [size][kTileRows] each.
template <bool ADD, class B, class A>
static void score(int rows, int depth, const float* queries, int size, const B& keys, float* scores, A ahead) {
  for (int r = 0; r < rows; r += kTileRows) {
    const int count = rows - r < kTileRows ? rows - r : kTileRows;
    productRows<kTileRows, kTileVectors, kTileRows, 1, ADD>(count, depth, queries + int64_t(r) * size, keys, scores + r * kKeyBlock,
                                                            kKeyBlock, ahead);
  }
}

// sums[rows][width] += weights[rows][kKeyBlock] of `depth` tokens times VECTORS vectors of their values.
template <int VECTORS, class B, class A>
static void addValues(int rows, int depth, const float* weights, const B& values, float* sums, int64_t width, A ahead) {
  for (int r = 0; r < rows; r += kTileRows) {
    const int count = rows - r < kTileRows ? rows - r : kTileRows;
    productRows<kTileRows, VECTORS, 1, kKeyBlock, true>(count, depth, weights + r * kKeyBlock, values, sums + r * width, width, ahead);
  }
}

// The same over all of a width of floats or halves.
template <class T, class A>
static void addPlainValues(int rows, int depth, const float* weights, Columns<T> values, float* sums, int64_t width, A ahead) {
  int64_t d = 0;
  for (; d + kTiles * 16 <= width; d += kTiles * 16) {
    addValues<kTileVectors>(rows, depth, weights, values, sums + d, width, ahead);
    values.at += kTiles * values.tiles;
    ahead = ahead.after(depth);
  }
  if (d < width) addValues<16 / W>(rows, depth, weights, values, sums + d, width, ahead);
}

// A block of keys: up to kKeyBlock / 16 tiles. A page whose size is no multiple of 16 ends in a partly filled tile.
struct Block {
  int tiles;
  int start[kKeyBlock / 16];  // position of the tile's first key
  int count[kKeyBlock / 16];  // its filled lanes
  const uint8_t* keys[kKeyBlock / 16];
  const uint8_t* values[kKeyBlock / 16];
};

static int findBlock(const KvLayer& layer, const AttentionItem& item, int position, int end, Block* block) {
  block->tiles = 0;
  while (block->tiles < kKeyBlock / 16 && position < end) {
    const int slot = position % layer.pageTokens;
    int count = layer.pageTokens - slot < 16 ? layer.pageTokens - slot : 16;
    if (end - position < count) count = end - position;
    const uint8_t* head =
        layer.base + item.pages[position / layer.pageTokens] * layer.pageBytes + item.head * layer.headBytes;
    const int t = block->tiles++;
    block->start[t] = position;
    block->count[t] = count;
    block->keys[t] = head + slot / 16 * layer.tileBytes;
    block->values[t] = head + layer.valueBytes + slot * layer.tokenBytes;
    position += count;
  }
  return position;
}

// Blocks are converted to floats once for all rows, but fewer rows than this convert what they read as they go: in the same way, so
// that a token's result does not depend on how many others it is computed with.
constexpr int kManyRows = 2 * kTileRows + 1;

// scores[rows][kKeyBlock] = packed queries times the keys of a block, as the cache holds them.
static void scoreBlock(const KvLayer& layer, const Block& block, const Block& next, int rows, const float* queries, float* scores) {
  const int size = layer.headSize;
  if (isTurned(layer.type)) {  // summed up in pieces
    for (int64_t i = 0; i < int64_t(rows) * kKeyBlock; i += W) store(scores + i, all(0.0f));
  }
  for (int t = 0; t < block.tiles; t += kTiles) {
    const uint8_t* const tile = block.keys[t];
    // Where the last one is alone, its neighbour's columns are not looked at.
    const int64_t stride = kTiles > 1 && t + 1 < block.tiles ? block.keys[t + 1] - tile : 0;
    Ahead ahead{next.keys[t < next.tiles ? t : 0], kTiles * layer.tileBytes / size};
    float* const to = scores + t * 16;
    switch (layer.type) {
      case KvType::f32:
        score<false>(rows, size, queries, size, Columns<float>{(const float*)tile, 16, stride / 4}, to, ahead);
        break;
      case KvType::f16:
        score<false>(rows, size, queries, size, Columns<uint16_t>{(const uint16_t*)tile, 16, stride / 2}, to, ahead);
        break;
      case KvType::q8_0:
        for (int d = 0; d < size; d += 32, ahead = ahead.after(32)) {
          score<true>(rows, 32, queries + d * kTileRows, size, Keys8<kTileVectors>(tile + d * 17, stride), to, ahead);
        }
        break;
      case KvType::q4_0:
        for (int d = 0; d < size; d += 32, ahead = ahead.after(32)) {
          score<true>(rows, 16, queries + d * kTileRows, size, Keys4<kTileVectors, false>(tile + d * 9, stride), to, ahead);
          score<true>(rows, 16, queries + (d + 16) * kTileRows, size, Keys4<kTileVectors, true>(tile + d * 9, stride), to,
                    ahead.after(16));
        }
        break;
    }
  }
}

// sums[rows][width] += weights[rows][kKeyBlock] times the values of a block, as the cache holds them.
static void addBlock(const KvLayer& layer, const Block& block, const Block& next, int rows, int64_t width, const float* weights,
                     float* sums) {
  constexpr int kColumns = kTiles * 16;
  const int64_t step = layer.tokenBytes;
  for (int t = 0; t < block.tiles;) {
    const uint8_t* const token = block.values[t];
    Ahead ahead{next.values[t < next.tiles ? t : 0], step * kColumns / width};
    const float* const from = weights + t * 16;
    int depth = block.count[t++];
    // One product for tiles that follow one another without a gap.
    for (; t < block.tiles && depth % 16 == 0 && block.values[t] == token + depth * step; t++) depth += block.count[t];
    switch (layer.type) {
      case KvType::f32:
        addPlainValues(rows, depth, from, Columns<float>{(const float*)token, step / 4, 16}, sums, width, ahead);
        break;
      case KvType::f16:
        addPlainValues(rows, depth, from, Columns<uint16_t>{(const uint16_t*)token, step / 2, 16}, sums, width, ahead);
        break;
      case KvType::q8_0:
        for (int d = 0; d < width; d += kColumns, ahead = ahead.after(depth)) {
          addValues<kTileVectors>(rows, depth, from, Values8{token + d / 32 * 34, step, d % 32}, sums + d, width, ahead);
        }
        break;
      case KvType::q4_0:
        for (int d = 0; d < width; d += kColumns, ahead = ahead.after(depth)) {
          const uint8_t* const blocks = token + d / 32 * 18;
          if (d % 32 == 0) {
            addValues<kTileVectors>(rows, depth, from, Values4<false>{blocks, step}, sums + d, width, ahead);
          } else {
            addValues<kTileVectors>(rows, depth, from, Values4<true>{blocks, step}, sums + d, width, ahead);
          }
        }
        break;
    }
  }
}

// keys [tiles][size][16] and values, tiles of [kKeyBlock][16], as floats; zeros for values that are not there.
static void convertBlock(const KvLayer& layer, const Block& block, int64_t width, float* keys, float* values) {
  const int size = layer.headSize;
  for (int t = 0; t < block.tiles; t++) {
    loadKeys(layer.type, block.keys[t], size, keys + int64_t(t) * size * 16);
    for (int i = 0; i < 16; i++) {
      float* const to = values + (t * 16 + i) * 16;
      if (i < block.count[t]) {
        loadValues(layer.type, block.values[t] + i * layer.tokenBytes, size, to, kValueTile);
        continue;
      }
      for (int64_t d = 0; d < width; d += 16) {
        for (int v = 0; v < 16; v += W) store(to + d / 16 * kValueTile + v, all(0.0f));
      }
    }
  }
}

// scores[rows][kKeyBlock] = packed queries times converted keys.
static void scoreConverted(const float* keys, int tiles, int rows, int size, const float* queries, float* scores) {
  for (int t = 0; t < tiles; t += kTiles) {
    const float* const tile = keys + int64_t(t) * size * 16;
    const Columns<float> columns{tile, 16, t + 1 < tiles ? int64_t(size) * 16 : 0};
    score<false>(rows, size, queries, size, columns, scores + t * 16, Nothing());
  }
}

static float temperatureOf(const AttentionCall& call, const AttentionItem& item, int r) {
  return call.temperatures == nullptr ? 1.0f : call.temperatures[item.row + r / call.group];
}

// Adds a row's sums over a range of keys to a partial result, that of the ranges before it. Ranges are added in order and by these
// very steps whether one item or several summed them up, so the bits of a row depend on its keys alone.
static void addRange(float highest, float total, const float* sums, float* to, int64_t width) {
  if (total == 0) return;  // a row that saw none of these keys
  if (to[1] == 0) {
    to[0] = highest;
    to[1] = total;
    for (int64_t d = 0; d < width; d += W) store(to + 16 + d, load(sums + d));
    return;
  }
  const float top = highest > to[0] ? highest : to[0];
  const V before = exp(all(to[0] - top)), now = exp(all(highest - top));
  float factors[2 * W];
  store(factors, before);
  store(factors + W, now);
  to[0] = top;
  to[1] = to[1] * factors[0] + total * factors[W];
  for (int64_t d = 0; d < width; d += W) store(to + 16 + d, fma(load(sums + d), now, load(to + 16 + d) * before));
}

// Weighted sums [headSize], which it may turn in place, to a row's result.
static void finishRow(const KvLayer& layer, float* sums, float total, float* out) {
  if (isTurned(layer.type)) turn(sums, layer.headSize);
  const float inverse = 1 / total;
  for (int d = 0; d < layer.headSize; d++) out[d] = sums[d] * inverse;
}

static void attend(const AttentionCall& call, const AttentionItem& item, float* scratch) {
  const KvLayer& layer = call.layer;
  const int size = layer.headSize, group = call.group, rows = item.count * group;
  const int64_t width = padTo16(size), groups = (rows + kTileRows - 1) / kTileRows;
  const bool turned = isTurned(layer.type);

  float* const queries = scratch;                               // packed [groups][size][kTileRows]
  float* const scores = queries + groups * kTileRows * size;    // [rows][kKeyBlock]
  float* const sums = scores + int64_t(rows) * kKeyBlock;       // [rows][width]
  float* const keys = sums + rows * width;                      // [tiles][size][16]
  float* const values = keys + kKeyBlock * width;               // [width / 16] tiles of [kKeyBlock][16]
  float* const highest = values + width / 16 * kValueTile;           // [rows]
  float* const totals = highest + rows;                         // [rows]
  float* const ranges = totals + rows;                          // [rows] partial results of the ranges so far

  for (int r = 0; r < rows; r++) {
    // Under a soft cap the temperature comes after it; otherwise it is one more factor of the query.
    const float factor = call.softcap > 0 ? call.scale / call.softcap : call.scale * temperatureOf(call, item, r);
    const float* q = call.q + (int64_t(item.row + r / group) * call.heads + item.head * group + r % group) * size;
    float* packed = queries + int64_t(r / kTileRows) * kTileRows * size + r % kTileRows;
    if (turned) {
      memcpy(keys, q, size_t(size) * 4);  // which the first block of keys overwrites
      turn(keys, size);
      q = keys;
    }
    for (int d = 0; d < size; d++) packed[d * kTileRows] = q[d] * factor;
    ranges[r * (16 + width) + 1] = 0;
  }
  const auto clear = [&] {
    for (int r = 0; r < rows; r++) {
      highest[r] = kLowest;
      totals[r] = 0;
    }
    for (int64_t i = 0; i < rows * width; i += W) store(sums + i, all(0.0f));
  };
  const auto addRanges = [&] {
    for (int r = 0; r < rows; r++) addRange(highest[r], totals[r], sums + r * width, ranges + r * (16 + width), width);
  };
  clear();

  const int end = item.keyEnd < item.position + item.count ? item.keyEnd : item.position + item.count;
  const bool convert = rows >= kManyRows, several = end - item.keyStart > call.keyRange;
  const auto rangeEnd = [&](int position) {
    const int rest = call.keyRange - (position - item.keyStart) % call.keyRange;
    return end - position > rest ? position + rest : end;
  };
  Block block, next;
  int position = findBlock(layer, item, item.keyStart, rangeEnd(item.keyStart), &next);
  while (next.tiles > 0) {
    block = next;
    if (block.start[0] > item.keyStart && (block.start[0] - item.keyStart) % call.keyRange == 0) {
      addRanges();
      clear();
    }
    const int tiles = block.tiles;
    position = findBlock(layer, item, position, rangeEnd(position), &next);
    const Block& coming = next.tiles > 0 ? next : block;
    // Rows before the block's first key see none of it.
    const int blind = block.start[0] > item.position ? (block.start[0] - item.position) * group : 0;
    const int first = blind / kTileRows * kTileRows;
    const int seen = rows - first;

    const float* const q = queries + int64_t(first) * size;
    float* const weights = scores + int64_t(first) * kKeyBlock;
    if (convert) {
      convertBlock(layer, block, width, keys, values);
      scoreConverted(keys, tiles, seen, size, q, weights);
    } else {
      scoreBlock(layer, block, coming, seen, q, weights);
    }

    for (int r = first; r < rows; r++) {
      float* const s = scores + int64_t(r) * kKeyBlock;
      const int last = item.position + r / group;
      const V cap = all(call.softcap * temperatureOf(call, item, r));
      V most16 = all(kLowest);
      for (int t = 0; t < tiles; t++) {
        int visible = last + 1 - block.start[t];
        if (visible > block.count[t]) visible = block.count[t];
        for (int v = 0; v < 16; v += W) {
          V x = load(s + t * 16 + v);
          if (call.softcap > 0) x = cap * tanh(x);
          if (visible < 16) x = firstLanes(visible - v, x, all(kLowest));
          store(s + t * 16 + v, x);
          most16 = max(most16, x);
        }
      }
      float top = most(most16);
      if (!(top > highest[r])) top = highest[r];
      if (top == kLowest) {  // sees nothing yet
        for (int i = 0; i < tiles * 16; i += W) store(s + i, all(0.0f));
        continue;
      }
      V total = all(0.0f);
      for (int i = 0; i < tiles * 16; i += W) {
        const V p = exp(load(s + i) - all(top));
        store(s + i, p);
        total = total + p;
      }
      if (top > highest[r]) {
        float shrink[W];
        store(shrink, exp(all(highest[r] - top)));
        totals[r] *= shrink[0];
        float* const o = sums + r * width;
        for (int64_t d = 0; d < width; d += W) store(o + d, load(o + d) * all(shrink[0]));
        highest[r] = top;
      }
      totals[r] += sum(total);
    }

    float* const o = sums + first * width;
    if (convert) {
      const Columns<float> columns{values, 16, kValueTile};
      addPlainValues(seen, (tiles - 1) * 16 + block.count[tiles - 1], weights, columns, o, width, Nothing());
    } else {
      addBlock(layer, block, coming, seen, width, weights, o);
    }
  }

  if (several) addRanges();
  for (int r = 0; r < rows; r++) {
    float* const o = several ? ranges + r * (16 + width) + 16 : sums + r * width;
    if (item.partial < 0) {
      float* out = call.out + (int64_t(item.row + r / group) * call.heads + item.head * group + r % group) * size;
      finishRow(layer, o, several ? o[-15] : totals[r], out);
    } else {
      float* partial = call.partials + (item.partial + r) * (16 + width);
      partial[0] = highest[r];
      partial[1] = totals[r];
      for (int64_t d = 0; d < width; d += W) store(partial + 16 + d, load(o + d));
    }
  }
}

static void merge(const KvLayer& layer, float* partials, int64_t stride, int count, float* out) {
  for (int i = 1; i < count; i++) {
    const float* const p = partials + i * stride;
    addRange(p[0], p[1], p + 16, partials, padTo16(layer.headSize));
  }
  finishRow(layer, partials + 16, partials[1], out);
}

}  // namespace grok1::GROK1_ISA
