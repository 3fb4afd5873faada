// Keys and values as a cache holds them, for one instruction set: 16 keys side by side in a tile [headSize][16], values token by
// token; converted to float, and stored.
#include "ops.h"
#include "simd.h"

namespace grok1::GROK1_ISA {

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

// ---- read as they lie: right operands of products, a row of them at a time, as vectors of 16 columns a tile ----

// Floats or halves: a tile of keys [headSize][16], values [token][headSize], or the same converted. `step` elements lie from one
// row to the next, `tiles` from one tile of columns to the next.
template <class T>
struct Columns {
  const T* at;
  int64_t step, tiles;

  V vector(int v) const { return read(at + v * W / 16 * tiles + v * W % 16); }
  void advance() { at += step; }

 private:
  static V read(const float* p) { return load(p); }
  static V read(const uint16_t* p) { return loadHalf(p); }
};

// 32 elements of the keys of tiles that are `tiles` bytes apart, in q8_0.
template <int VECTORS>
struct Keys8 {
  const uint8_t* at;
  int64_t tiles;
  V factors[VECTORS];

  Keys8(const uint8_t* block, int64_t tiles) : at(block + 32), tiles(tiles) {
    for (int v = 0; v < VECTORS; v++) factors[v] = loadHalf((const uint16_t*)(block + v * W / 16 * tiles) + v * W % 16);
  }
  V vector(int v) const { return loadInt8((const int8_t*)at + v * W / 16 * tiles + v * W % 16) * factors[v]; }
  void advance() { at += 16; }
};

// The first or the last 16 of 32 elements, in q4_0.
template <int VECTORS, bool LAST>
struct Keys4 : Keys8<VECTORS> {
  using Keys8<VECTORS>::Keys8;
  V vector(int v) const {
    const uint8_t* const p = this->at + v * W / 16 * this->tiles + v * W % 16;
    return (LAST ? loadHigh4(p) : loadLow4(p)) * this->factors[v];
  }
};

GROK1_INLINE V scaleOf(const uint8_t* block) {
  uint16_t bits;
  memcpy(&bits, block, 2);
  return allHalf(bits);
}

// Elements of a block of values from `from` on, in q8_0; tokens are `step` bytes apart.
struct Values8 {
  const uint8_t* block;
  int64_t step;
  int from;

  V vector(int v) const { return loadInt8((const int8_t*)block + 2 + from + v * W) * scaleOf(block); }
  void advance() { block += step; }
};

// Elements of a block from the first or, where LAST, the 17th on, in q4_0.
template <bool LAST>
struct Values4 {
  const uint8_t* block;
  int64_t step;

  V vector(int v) const {
    const uint8_t* const p = block + 2 + v * W % 16;
    return (LAST || v * W >= 16 ? loadHigh4(p) : loadLow4(p)) * scaleOf(block);
  }
  void advance() { block += step; }
};

// ---- converted ----

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
        const V factor = scaleOf(token);
        for (int v = 0; v < 32; v += W) {
          store(out + v / 16 * stride + v % 16, loadInt8((const int8_t*)token + 2 + v) * factor);
        }
      }
      break;
    case KvType::q4_0:
      for (int d = 0; d < headSize; d += 32, token += 18, out += 2 * stride) {
        const V factor = scaleOf(token);
        for (int v = 0; v < 16; v += W) {
          store(out + v, loadLow4(token + 2 + v) * factor);
          store(out + stride + v, loadHigh4(token + 2 + v) * factor);
        }
      }
      break;
  }
}

// ---- stored ----

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
