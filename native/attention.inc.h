// Attention of a tile of query rows over a range of keys, for one instruction set.
//
// All query heads that share a key/value head are rows of one tile, so each key and value is read, and converted to float,
// once for the whole group; scores and weighted sums are then small matrix products, held in registers.
#include "ops.h"
#include "simd.h"

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

// c[r][v] (+)= sum over k of a[k][r] * b[k][v], for ROWS rows and VECTORS vectors; ak and ar are the strides of a. b lies in tiles
// of 16 columns, tileStride apart.
template <int ROWS, int VECTORS, int AK, int AR, bool ADD>
static void product(int depth, const float* a, const float* b, int64_t tileStride, float* c, int64_t ldc) {
  V sums[ROWS][VECTORS];
  for (int r = 0; r < ROWS; r++) {
    for (int v = 0; v < VECTORS; v++) sums[r][v] = ADD ? load(c + r * ldc + v * W) : all(0.0f);
  }
  for (int k = 0; k < depth; k++) {
    V column[VECTORS];
    for (int v = 0; v < VECTORS; v++) column[v] = load(b + v * W / 16 * tileStride + v * W % 16);
    for (int r = 0; r < ROWS; r++) {
      const V x = all(a[r * AR]);
      for (int v = 0; v < VECTORS; v++) sums[r][v] = fma(x, column[v], sums[r][v]);
    }
    a += AK;
    b += 16;
  }
  for (int r = 0; r < ROWS; r++) {
    for (int v = 0; v < VECTORS; v++) store(c + r * ldc + v * W, sums[r][v]);
  }
}

// The same for `rows` <= ROWS rows.
template <int ROWS, int VECTORS, int AK, int AR, bool ADD>
static void productRows(int rows, int depth, const float* a, const float* b, int64_t tileStride, float* c, int64_t ldc) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) {
      return productRows<ROWS - 1, VECTORS, AK, AR, ADD>(rows, depth, a, b, tileStride, c, ldc);
    }
  }
  product<ROWS, VECTORS, AK, AR, ADD>(depth, a, b, tileStride, c, ldc);
}

// c[rows][tiles * 16] (+)= a * b. Packed: a lies in groups of kTileRows rows, transposed; otherwise row-major, kKeyBlock apart.
template <bool PACKED, bool ADD>
static void multiply(int rows, int tiles, int depth, const float* a, const float* b, int64_t tileStride, float* c, int64_t ldc) {
  constexpr int AK = PACKED ? kTileRows : 1, AR = PACKED ? 1 : kKeyBlock;
  constexpr int kStep = kTileVectors * W / 16;  // tiles at a time
  const int64_t groupStride = PACKED ? int64_t(depth) * kTileRows : int64_t(kTileRows) * kKeyBlock;
  for (int t = 0; t < tiles;) {
    const int step = tiles - t >= kStep ? kStep : 1;
    for (int r = 0; r < rows; r += kTileRows) {
      const int count = rows - r < kTileRows ? rows - r : kTileRows;
      const float* const group = a + r / kTileRows * groupStride;
      if (step == kStep) {
        productRows<kTileRows, kTileVectors, AK, AR, ADD>(count, depth, group, b + t * tileStride, tileStride, c + r * ldc + t * 16,
                                                          ldc);
      } else {
        productRows<kTileRows, 16 / W, AK, AR, ADD>(count, depth, group, b + t * tileStride, tileStride, c + r * ldc + t * 16, ldc);
      }
    }
    t += step;
  }
}

GROK1_INLINE void copy16(float* to, const float* from) {
  for (int v = 0; v < 16; v += W) store(to + v, load(from + v));
}

// A tile of 16 keys as floats: [headSize][16].
static void loadKeys(KvType type, const uint8_t* tile, int headSize, float* out) {
  switch (type) {
    case KvType::f32:
      for (int i = 0; i < headSize * 16; i += 16) copy16(out + i, (const float*)tile + i);
      break;
    case KvType::f16:
      for (int i = 0; i < headSize * 16; i += W) store(out + i, loadHalf((const uint16_t*)tile + i));
      break;
    case KvType::q8_0:
      for (int d = 0; d < headSize; d += 32, tile += 32 + 512, out += 512) {
        for (int v = 0; v < 16; v += W) {
          const V factor = loadHalf((const uint16_t*)tile + v);
          for (int i = 0; i < 512; i += 16) store(out + i + v, loadInt8((const int8_t*)tile + 32 + i + v) * factor);
        }
      }
      break;
    case KvType::q4_0:
      for (int d = 0; d < headSize; d += 32, tile += 32 + 256, out += 512) {
        for (int v = 0; v < 16; v += W) {
          const V factor = loadHalf((const uint16_t*)tile + v);
          for (int i = 0; i < 256; i += 16) {
            store(out + i + v, loadLow4(tile + 32 + i + v) * factor);
            store(out + 256 + i + v, loadHigh4(tile + 32 + i + v) * factor);
          }
        }
      }
      break;
  }
}

// The values of one token as floats: 16 elements to each of the tiles, which are `stride` apart.
static void loadValues(KvType type, const uint8_t* token, int headSize, float* out, int64_t stride) {
  switch (type) {
    case KvType::f32:
      for (int d = 0; d < headSize; d += 16, out += stride) copy16(out, (const float*)token + d);
      break;
    case KvType::f16:
      for (int d = 0; d < headSize; d += 16, out += stride) {
        for (int v = 0; v < 16; v += W) store(out + v, loadHalf((const uint16_t*)token + d + v));
      }
      break;
    case KvType::q8_0:
      for (int d = 0; d < headSize; d += 32, token += 34, out += 2 * stride) {
        uint16_t bits;
        memcpy(&bits, token, 2);
        const V factor = all(halfToFloat(bits));
        for (int v = 0; v < 32; v += W) {
          store(out + v / 16 * stride + v % 16, loadInt8((const int8_t*)token + 2 + v) * factor);
        }
      }
      break;
    case KvType::q4_0:
      for (int d = 0; d < headSize; d += 32, token += 18, out += 2 * stride) {
        uint16_t bits;
        memcpy(&bits, token, 2);
        const V factor = all(halfToFloat(bits));
        for (int v = 0; v < 16; v += W) {
          store(out + v, loadLow4(token + 2 + v) * factor);
          store(out + stride + v, loadHigh4(token + 2 + v) * factor);
        }
      }
      break;
  }
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

// Caches of these types hold keys and values turned by a Hadamard matrix, which spreads what is large in one dimension over all,
// so that blocks round finely; queries and results are turned too, which leaves their products as they were.
static bool isTurned(KvType type) { return type == KvType::q8_0 || type == KvType::q4_0; }

// x [size] times the normalized Hadamard matrix, in runs of the largest power of two that divides the size. Its own inverse.
static void turn(float* x, int size) {
  const int run = size & -size;
  for (int step = 1; step < run; step *= 2) {
    for (int from = 0; from < size; from += 2 * step) {
      for (int i = from; i < from + step; i++) {
        const float a = x[i], b = x[i + step];
        x[i] = a + b;
        x[i + step] = a - b;
      }
    }
  }
  const float factor = 1 / sqrtf(float(run));
  for (int i = 0; i < size; i++) x[i] *= factor;
}

static float temperatureOf(const AttentionCall& call, const AttentionItem& item, int r) {
  return call.temperatures == nullptr ? 1.0f : call.temperatures[item.row + r / call.group];
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
    highest[r] = kLowest;
    totals[r] = 0;
  }
  for (int64_t i = 0; i < rows * width; i += W) store(sums + i, all(0.0f));

  const int end = item.keyEnd < item.position + item.count ? item.keyEnd : item.position + item.count;
  Block block;
  for (int position = item.keyStart; position < end;) {
    position = findBlock(layer, item, position, end, &block);
    const int tiles = block.tiles;
    for (int t = 0; t < tiles; t++) {
      loadKeys(layer.type, block.keys[t], size, keys + int64_t(t) * size * 16);
      for (int i = 0; i < 16; i++) {
        float* const to = values + (t * 16 + i) * 16;
        if (i < block.count[t]) {
          loadValues(layer.type, block.values[t] + i * layer.tokenBytes, size, to, kValueTile);
        } else {
          for (int64_t d = 0; d < width; d += 16) {
            for (int v = 0; v < 16; v += W) store(to + d / 16 * kValueTile + v, all(0.0f));
          }
        }
      }
    }

    // Rows before the block's first key see none of it.
    const int blind = block.start[0] > item.position ? (block.start[0] - item.position) * group : 0;
    const int first = blind / kTileRows * kTileRows;
    const int seen = rows - first;

    multiply<true, false>(seen, tiles, size, queries + int64_t(first) * size, keys, int64_t(size) * 16,
                          scores + int64_t(first) * kKeyBlock, kKeyBlock);

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

    multiply<false, true>(seen, int(width / 16), (tiles - 1) * 16 + block.count[tiles - 1], scores + int64_t(first) * kKeyBlock, values,
                          kValueTile, sums + first * width, width);
  }

  for (int r = 0; r < rows; r++) {
    float* const o = sums + r * width;
    if (turned) turn(o, size);
    if (item.partial < 0) {
      float* out = call.out + (int64_t(item.row + r / group) * call.heads + item.head * group + r % group) * size;
      const float inverse = 1 / totals[r];
      for (int d = 0; d < size; d++) out[d] = o[d] * inverse;
    } else {
      float* partial = call.partials + (item.partial + r) * (16 + width);
      partial[0] = highest[r];
      partial[1] = totals[r];
      for (int64_t d = 0; d < width; d += W) store(partial + 16 + d, load(o + d));
    }
  }
}

static void merge(const float* partials, int64_t stride, int count, int headSize, float* out) {
  float top = partials[0];
  for (int i = 1; i < count; i++) top = partials[i * stride] > top ? partials[i * stride] : top;
  float total = 0;
  for (int d = 0; d < headSize; d++) out[d] = 0;
  for (int i = 0; i < count; i++) {
    const float* p = partials + i * stride;
    if (p[1] == 0) continue;  // a row that saw none of these keys
    float weight[W];
    store(weight, exp(all(p[0] - top)));
    total += p[1] * weight[0];
    for (int d = 0; d < headSize; d++) out[d] += p[16 + d] * weight[0];
  }
  const float inverse = 1 / total;
  for (int d = 0; d < headSize; d++) out[d] *= inverse;
}

GROK1_INLINE int roundAway(float x) { return int(x >= 0 ? x + 0.5f : x - 0.5f); }

// Block quantization as in GGUF files: the scale, and the 32 quantized elements (q4_0: 0..15, meaning -8..7).
static uint16_t quantize8(const float* x, int8_t* q) {
  float most = 0;
  for (int i = 0; i < 32; i++) most = magnitude(x[i]) > most ? magnitude(x[i]) : most;
  const float scale = most / 127, inverse = scale > 0 ? 1 / scale : 0;
  for (int i = 0; i < 32; i++) q[i] = int8_t(roundAway(x[i] * inverse));
  return floatToHalf(scale);
}

static uint16_t quantize4(const float* x, int8_t* q) {
  float extreme = 0;
  for (int i = 0; i < 32; i++) extreme = magnitude(x[i]) > magnitude(extreme) ? x[i] : extreme;
  const float scale = extreme / -8, inverse = scale != 0 ? 1 / scale : 0;
  for (int i = 0; i < 32; i++) {
    const int level = int(x[i] * inverse + 8.5f);
    q[i] = int8_t(level > 15 ? 15 : level);
  }
  return floatToHalf(scale);
}

static void storeKv(const KvLayer& layer, int page, int slot, int head, const float* k, const float* v) {
  uint8_t* const base = layer.base + page * layer.pageBytes + head * layer.headBytes;
  uint8_t* tile = base + slot / 16 * layer.tileBytes;
  uint8_t* token = base + layer.valueBytes + slot * layer.tokenBytes;
  const int size = layer.headSize, lane = slot % 16;
  int8_t q[32];
  float both[2 * kMostHeadSize];
  if (isTurned(layer.type)) {
    memcpy(both, k, size_t(size) * 4);
    memcpy(both + size, v, size_t(size) * 4);
    turn(both, size);
    turn(both + size, size);
    k = both;
    v = both + size;
  }
  switch (layer.type) {
    case KvType::f32:
      for (int d = 0; d < size; d++) ((float*)tile)[d * 16 + lane] = k[d];
      memcpy(token, v, size_t(size) * 4);
      break;
    case KvType::f16:
      // Rows are padded: the last vector may run past the head.
      for (int d = 0; d < size; d += W) {
        uint16_t h[W];
        storeHalf(h, load(k + d));
        for (int i = 0; i < W && d + i < size; i++) ((uint16_t*)tile)[(d + i) * 16 + lane] = h[i];
        storeHalf((uint16_t*)token + d, load(v + d));
      }
      break;
    case KvType::q8_0:
      for (int d = 0; d < size; d += 32, tile += 32 + 512, token += 34) {
        ((uint16_t*)tile)[lane] = quantize8(k + d, q);
        for (int i = 0; i < 32; i++) tile[32 + i * 16 + lane] = uint8_t(q[i]);
        const uint16_t scale = quantize8(v + d, (int8_t*)token + 2);
        memcpy(token, &scale, 2);
      }
      break;
    case KvType::q4_0:
      for (int d = 0; d < size; d += 32, tile += 32 + 256, token += 18) {
        ((uint16_t*)tile)[lane] = quantize4(k + d, q);
        for (int i = 0; i < 16; i++) tile[32 + i * 16 + lane] = uint8_t(q[i] | q[i + 16] << 4);
        const uint16_t scale = quantize4(v + d, q);
        memcpy(token, &scale, 2);
        for (int i = 0; i < 16; i++) token[2 + i] = uint8_t(q[i] | q[i + 16] << 4);
      }
      break;
  }
}

}  // namespace grok1::GROK1_ISA
