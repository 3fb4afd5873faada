// The batch under way and the backend's key/value caches: storing, copying, and how attention is cut into pieces for the threads.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "inference.h"

namespace grok1 {

namespace {

[[noreturn]] void misuse(const std::string& message) { throw Failure("ERR_ARGUMENT", message); }

// Keys are summed up in ranges of about this many, which are then added in order, so a row's bits are the same with any number of
// threads, alone (decoding), among a few (drafts) or in any piece of a prompt. Threads share out the ranges of few rows.
constexpr int32_t kKeyRange = 512;
constexpr int32_t kFewRows = kQueryRows / 2;
constexpr int32_t kFewTokens = 16;
// Multiply-adds below which a second thread costs more than it saves.
constexpr int64_t kWorthSplitting = 32 * 1024;
// Keys and values of a batch, in floats, below which one thread stores them.
constexpr int64_t kWorthStoringApart = 2 * 1024;

// Asks for the keys and values that an item begins with, to the second cache: each sequence's lie elsewhere.
void askFor(const KvLayer& layer, const AttentionItem& item) {
  constexpr int64_t kMostBytes = 8 * 1024;
  const int32_t slot = item.keyStart % layer.pageTokens;
  const int64_t keys = std::min(item.keyEnd - item.keyStart, std::min(kKeyBlock, layer.pageTokens - slot));
  const uint8_t* const head = layer.base + item.pages[item.keyStart / layer.pageTokens] * layer.pageBytes + item.head * layer.headBytes;
  const auto ask = [&](const uint8_t* from, int64_t bytes) {
    for (int64_t at = 0; at < std::min(bytes, kMostBytes); at += 64) __builtin_prefetch(from + at, 0, 2);
  };
  ask(head + slot / 16 * layer.tileBytes, (keys + 15) / 16 * layer.tileBytes);
  ask(head + layer.valueBytes + slot * layer.tokenBytes, keys * layer.tokenBytes);
}

}  // namespace

int32_t Inference::addCache(int32_t layers, int32_t kvHeads, int32_t headSize, int32_t pages, int32_t pageTokens, int32_t type) {
  // A part of a model may have no layers.
  if (layers < 0 || kvHeads < 1 || headSize < 1 || pages < 1 || pageTokens < 1 || type < 0 || type > 3) {
    misuse("a cache of impossible shape");
  }
  const KvType kind = KvType(type);
  if (kind >= KvType::q8_0 && headSize % 32 != 0) misuse("a quantized cache needs a head size that is a multiple of 32");
  if (headSize > kMostHeadSize || kvHeads > 65536 || pageTokens > (1 << 20)) misuse("a cache of impossible shape");
  KvLayer layer{};
  layer.headSize = headSize;
  layer.kvHeads = kvHeads;
  layer.pageTokens = pageTokens;
  layer.type = kind;
  const int64_t blocks = headSize / 32;
  switch (kind) {
    case KvType::f32:
      layer.tileBytes = headSize * 64;
      layer.tokenBytes = padTo16(headSize) * 4;
      break;
    case KvType::f16:
      layer.tileBytes = headSize * 32;
      layer.tokenBytes = padTo16(headSize) * 2;
      break;
    case KvType::q8_0:
      layer.tileBytes = blocks * (32 + 512);
      layer.tokenBytes = blocks * 34;
      break;
    case KvType::q4_0:
      layer.tileBytes = blocks * (32 + 256);
      layer.tokenBytes = blocks * 18;
      break;
  }
  layer.valueBytes = padTo16(pageTokens) / 16 * layer.tileBytes;
  layer.headBytes = layer.valueBytes + (pageTokens * layer.tokenBytes + 63) / 64 * 64;
  layer.pageBytes = layer.headBytes * kvHeads;
  const double total = double(layer.pageBytes) * double(pages) * double(layers);
  if (total > 1e15) misuse("a cache of impossible size");
  Cache cache;
  cache.layerBytes = layer.pageBytes * pages;
  cache.memory = std::make_unique<Memory>(size_t(cache.layerBytes) * size_t(layers));
  layer.base = cache.memory->data();
  cache.first = layer;
  cache.layers = layers;
  cache.pages = pages;
  return caches_.add(std::move(cache));
}

Inference::Cache& Inference::cache(int32_t id) { return caches_.get(id); }

void Inference::freeCache(int32_t id) { caches_.remove(id); }

void Inference::copyPage(int32_t id, int32_t from, int32_t to) {
  const Cache& c = cache(id);
  if (from < 0 || from >= c.pages || to < 0 || to >= c.pages) misuse("no such page");
  if (from == to) return;
  uint8_t* base = c.first.base;
  for (int32_t layer = 0; layer < c.layers; layer++, base += c.layerBytes) {
    std::memcpy(base + to * c.first.pageBytes, base + from * c.first.pageBytes, size_t(c.first.pageBytes));
  }
}

double Inference::pageBytes(int32_t id) {
  const Cache& c = cache(id);
  return double(c.first.pageBytes) * c.layers;
}

uint8_t* Inference::pageAt(int32_t id, int32_t page, size_t length) {
  const Cache& c = cache(id);
  if (page < 0 || page >= c.pages) misuse("no such page");
  if (double(length) != pageBytes(id)) misuse("bytes that are not a page's");
  return c.first.base + page * c.first.pageBytes;
}

void Inference::readPage(int32_t id, int32_t page, uint8_t* bytes, size_t length) {
  const uint8_t* from = pageAt(id, page, length);
  const Cache& c = cache(id);
  for (int32_t layer = 0; layer < c.layers; layer++, from += c.layerBytes, bytes += c.first.pageBytes) {
    std::memcpy(bytes, from, size_t(c.first.pageBytes));
  }
}

void Inference::writePage(int32_t id, int32_t page, const uint8_t* bytes, size_t length) {
  uint8_t* to = pageAt(id, page, length);
  const Cache& c = cache(id);
  for (int32_t layer = 0; layer < c.layers; layer++, to += c.layerBytes, bytes += c.first.pageBytes) {
    std::memcpy(to, bytes, size_t(c.first.pageBytes));
  }
}

KvLayer Inference::layerOf(int32_t id, int32_t layer) {
  const Cache& c = cache(id);
  if (layer < 0 || layer >= c.layers) misuse("no layer " + std::to_string(layer) + " in the cache");
  KvLayer found = c.first;
  found.base += c.layerBytes * layer;
  return found;
}

std::shared_ptr<Memory> Inference::batch(int64_t length) {
  if (length < 0 || length > (int64_t(1) << 29)) misuse("a batch of impossible size");
  batch_ = {};
  runs_.clear();
  if (size_t(length) * 4 > batchBlock_->size()) batchBlock_ = std::make_shared<Memory>(size_t(length) * 4 * 2);
  return batchBlock_;
}

void Inference::begin(int64_t n, int64_t sequences) {
  batch_ = {};
  runs_.clear();
  if (n < 0 || n > (int64_t(1) << 28) || sequences < 0 || sequences > n) misuse("a batch with more sequences than rows");
  const int64_t room = int64_t(batchBlock_->size() / 4);
  int64_t length = 2 * n + 3 * sequences;
  if (length > room) misuse("a batch that its block does not hold");
  Batch batch{};
  batch.rows = n;
  batch.sequences = sequences;
  batch.tokens = reinterpret_cast<const int32_t*>(batchBlock_->data());
  batch.positions = batch.tokens + n;
  batch.entries = batch.positions + n;
  batch.pages = batch.entries + 3 * sequences;
  const int32_t* pages = batch.pages;
  int64_t covered = 0;
  for (int64_t s = 0; s < sequences; s++) {
    const int32_t start = batch.entries[3 * s], count = batch.entries[3 * s + 1], listed = batch.entries[3 * s + 2];
    if (start != covered || count < 0 || count > n - covered) misuse("sequences that do not follow one another");
    if (listed < 0 || listed > room - length) misuse("a batch that its block does not hold");
    length += listed;
    covered += count;
    for (int32_t i = 0; i < count; i++) {
      const int32_t p = batch.positions[start + i];
      if (p < 0) misuse("a negative position");
      if (i > 0 && p == batch.positions[start + i - 1] + 1) {
        runs_.back().count++;
      } else {
        runs_.push_back({start + i, 1, p, pages});
      }
    }
    pages += listed;
  }
  if (covered != n) misuse("sequences that are not the batch's rows");
  batch_ = batch;
}

const Inference::Batch& Inference::batchOf(int64_t n) const {
  if (n != batch_.rows) misuse(std::to_string(n) + " rows in a batch of " + std::to_string(batch_.rows));
  return batch_;
}

void Inference::fitBatch(int32_t id, int64_t n) {
  batchOf(n);
  if (batch_.fits == id) return;
  const Cache& c = cache(id);
  const int32_t* pages = batch_.pages;
  for (int64_t s = 0; s < batch_.sequences; s++) {
    const int32_t start = batch_.entries[3 * s], count = batch_.entries[3 * s + 1], listed = batch_.entries[3 * s + 2];
    int32_t reach = 0;
    for (int32_t i = 0; i < count; i++) {
      const int32_t p = batch_.positions[start + i];
      if (p / c.first.pageTokens >= listed) misuse("position " + std::to_string(p) + " has no page");
      reach = std::max(reach, p / c.first.pageTokens + 1);
    }
    for (int32_t i = 0; i < reach; i++) {
      if (pages[i] < 0 || pages[i] >= c.pages) misuse("no page " + std::to_string(pages[i]));
    }
    pages += listed;
  }
  batch_.fits = id;
}

const float* Inference::temperatures(int32_t length) {
  if (length <= 1) return nullptr;
  temperatures_.resize(size_t(batch_.rows));
  for (int64_t t = 0; t < batch_.rows; t++) {
    const int32_t position = batch_.positions[t];
    temperatures_[size_t(t)] = position > length ? float(std::log2(position) / std::log2(length)) : 1.0f;
  }
  return temperatures_.data();
}

void Inference::store(int32_t id, int32_t layerIndex, int32_t k, int32_t v, int64_t n) {
  const KvLayer layer = layerOf(id, layerIndex);
  const int64_t cols = int64_t(layer.kvHeads) * layer.headSize;
  const float *keys = slot(k, n, cols), *values = slot(v, n, cols);
  fitBatch(id, n);
  const auto body = [&](int32_t firstHead, int32_t endHead) {
    for (int32_t head = firstHead; head < endHead; head++) {
      for (const Run& run : runs_) {
        for (int32_t i = 0; i < run.count; i++) {
          const int32_t position = run.position + i;
          const int64_t at = (run.row + i) * cols + int64_t(head) * layer.headSize;
          ops_.storeKv(layer, run.pages[position / layer.pageTokens], position % layer.pageTokens, head, keys + at, values + at);
        }
      }
    }
  };
  if (n * cols < kWorthStoringApart || layer.kvHeads == 1) {
    body(0, layer.kvHeads);
  } else {
    pool_.run([&](int thread, int threads) {
      body(int32_t(int64_t(layer.kvHeads) * thread / threads), int32_t(int64_t(layer.kvHeads) * (thread + 1) / threads));
    });
  }
}

void Inference::attention(int32_t out, int32_t q, int64_t n, int32_t id, int32_t layerIndex, int32_t heads, double scale,
                        double softcap, int32_t temperatureLength) {
  AttentionCall call{};
  call.layer = layerOf(id, layerIndex);
  const KvLayer& layer = call.layer;
  if (heads < 1 || heads % layer.kvHeads != 0) misuse("query heads that the key/value heads do not divide");
  if (!(softcap >= 0)) misuse("a soft cap is positive");
  call.q = slot(q, n, int64_t(heads) * layer.headSize);
  call.out = slot(out, n, int64_t(heads) * layer.headSize);
  if (call.q == call.out) misuse("attention over its operand");
  call.heads = heads;
  call.group = heads / layer.kvHeads;
  call.scale = float(scale);
  call.softcap = float(softcap);
  fitBatch(id, n);
  call.temperatures = temperatures(temperatureLength);

  const int32_t tileTokens = std::max(1, kQueryRows / call.group);
  // Whole tiles of 16 keys, or whole pages where these end in a part of one.
  const int32_t range = layer.pageTokens % 16 == 0 ? kKeyRange : (kKeyRange + layer.pageTokens - 1) / layer.pageTokens * layer.pageTokens;
  call.keyRange = range;
  items_.clear();
  merges_.clear();
  int64_t partials = 0, work = 0, highestRows = 0;
  for (const Run& run : runs_) {
    // The deepest tiles cost most: they come first, so that the threads end together.
    for (int32_t tile = (run.count - 1) / tileTokens; tile >= 0; tile--) {
      const int32_t first = tile * tileTokens, count = std::min(tileTokens, run.count - first);
      const int32_t position = run.position + first, end = position + count;
      const int32_t rows = count * call.group;
      const bool cut = (run.count <= kFewTokens || rows <= kFewRows) && end > range;
      highestRows = std::max<int64_t>(highestRows, rows);
      work += int64_t(rows) * end * layer.headSize * layer.kvHeads * 2;
      for (int32_t head = 0; head < layer.kvHeads; head++) {
        AttentionItem item{run.pages, head, run.row + first, count, position, 0, end, -1};
        if (!cut) {
          items_.push_back(item);
          continue;
        }
        item.partial = partials;
        merges_.push_back(item);
        for (int32_t key = 0; key < end; key += range) {
          item.keyStart = key;
          item.keyEnd = std::min(end, key + range);
          item.partial = partials;
          partials += rows;
          items_.push_back(item);
        }
      }
    }
  }
  if (items_.empty()) return;

  const int64_t width = 16 + padTo16(layer.headSize);
  const bool alone = work < kWorthSplitting;
  Arena::Scope memory(arena_);
  const auto scratch = memory.each<float>(attentionScratch(highestRows, layer.headSize), alone ? 1 : pool_.size());
  call.partials = memory.take<float>(partials * width);

  const auto mergeRow = [&](const AttentionItem& item, int32_t r) {
    const int32_t rows = item.count * call.group;
    const int32_t head = item.head * call.group + r % call.group;
    float* const to = call.out + (int64_t(item.row + r / call.group) * heads + head) * layer.headSize;
    const int32_t ranges = (item.keyEnd + range - 1) / range;
    ops_.merge(layer, call.partials + (item.partial + r) * width, width * rows, ranges, to);
  };
  const auto mergeSome = [&](int thread, int threads) {
    int64_t index = 0;
    for (const AttentionItem& item : merges_) {
      for (int32_t r = 0; r < item.count * call.group; r++, index++) {
        if (index % threads == thread) mergeRow(item, r);
      }
    }
  };
  if (alone) {
    for (const AttentionItem& item : items_) ops_.attend(call, item, scratch[0]);
    mergeSome(0, 1);
    return;
  }
  pool_.run([&](int thread, int threads) {
    const int64_t count = int64_t(items_.size());
    for (int64_t i; !pool_.cancelled() && (i = pool_.next()) < count;) {
      // The one that this thread comes to next, as long as all take their turns.
      if (i + threads < count) askFor(layer, items_[size_t(i + threads)]);
      ops_.attend(call, items_[size_t(i)], scratch[thread]);
    }
    if (merges_.empty()) return;
    pool_.barrier();
    mergeSome(thread, threads);
  });
  refuseCancelled();
}

}  // namespace grok1
