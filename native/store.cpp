#include "store.h"

#include <algorithm>
#include <cstring>

#include "quants.h"

namespace grok1 {

namespace {

[[noreturn]] void misuse(const std::string& message) { throw Failure("ERR_ARGUMENT", message); }

}  // namespace

int32_t Store::resize(int32_t id, int64_t elements) {
  if (elements < 0 || elements > (int64_t(1) << 40)) misuse("a matrix of impossible size");
  if (id != -1 && slots_.get(id).capacity >= elements) return id;
  Slot fresh;
  fresh.capacity = std::max<int64_t>(16, elements + elements / 4);
  fresh.memory = std::make_shared<Memory>(size_t(fresh.capacity) * 4);
  fresh.data = reinterpret_cast<float*>(fresh.memory->data());
  if (id == -1) return slots_.add(std::move(fresh));
  slots_.get(id) = std::move(fresh);
  return id;
}

std::shared_ptr<Memory> Store::memory(int32_t id) const {
  return slots_.get(id).memory;
}

float* Store::slot(int32_t id, int64_t rows, int64_t cols) const {
  const Slot& s = slots_.get(id);
  if (rows < 0 || cols < 0 || (cols > 0 && rows > s.capacity / cols)) {
    misuse("matrix " + std::to_string(id) + " does not hold " + std::to_string(rows) + " x " + std::to_string(cols));
  }
  return s.data;
}

int32_t Store::map(int32_t file) {
  const auto mapping = std::make_shared<Mapping>(file);
  return sources_.add({std::shared_ptr<const uint8_t>(mapping, mapping->data()), mapping->size(), true});
}

int32_t Store::copy(const uint8_t* data, size_t bytes) {
  const auto memory = std::make_shared<Memory>(bytes);
  std::memcpy(memory->data(), data, bytes);
  return sources_.add({std::shared_ptr<const uint8_t>(memory, memory->data()), bytes, false});
}

void Store::release(int32_t source) { sources_.remove(source); }

void Store::freeWeight(int32_t weight) { weights_.remove(weight); }

void Store::stream(Weight& w) {
  if (!w.mapped) return;
  w.mapped = false;
  for (const WeightRef& part : w.parts) preferLargePages(part.data, size_t(part.rows) * part.rowBytes);
}

int32_t Store::addWeight(int32_t type, int64_t rows, int64_t cols, int32_t digits, const std::vector<Place>& places) {
  const BlockSize block = blockSize(type);
  if (block.elements == 0) misuse("no kernels for tensor type " + std::to_string(type));
  if (rows < 1 || cols < 1 || cols % block.elements != 0 || cols > (int64_t(1) << 40) / rows || places.empty()) {
    misuse("a weight of impossible shape");
  }
  if (digits != 1 && digits != 2) misuse("activations are rounded to one digit or two");
  Weight w;
  w.type = type;
  w.rows = rows;
  w.cols = cols;
  const size_t rowBytes = size_t(cols / block.elements) * size_t(block.bytes);
  const uint64_t bytes = uint64_t(rows) * rowBytes;
  for (const auto& [id, offset] : places) {
    const Source& source = sources_.get(id);
    if (offset < 0 || uint64_t(offset) > source.size || bytes > source.size - uint64_t(offset)) misuse("a weight that leaves its file");
    const uint8_t* const data = source.data.get() + offset;
    w.mapped = w.mapped || source.mapped;
    w.parts.push_back({data, type, rows, cols, rowBytes, digits});
    w.held.emplace_back(source.data, data);
  }
  return weights_.add(std::move(w));
}

const float* Store::gainOf(Weight& w) {
  if (w.rows != 1 || w.parts.size() != 1) misuse("a gain has one axis");
  const uint8_t* bytes = w.parts[0].data;
  if (w.type == F32 && reinterpret_cast<uintptr_t>(bytes) % 4 == 0) return reinterpret_cast<const float*>(bytes);
  if (w.decoded.empty()) {
    w.decoded.resize(size_t(w.cols));
    dequantizeRow(w.type, bytes, w.decoded.data(), w.cols);
  }
  return w.decoded.data();
}

const WeightRef& Store::matrixOf(int32_t id, int32_t index) {
  const Weight& w = weight(id);
  if (index < 0 || index >= int64_t(w.parts.size())) misuse("a matrix that a weight does not have");
  return w.parts[size_t(index)];
}

double Store::missing(int32_t id, int32_t index) {
  const WeightRef& matrix = matrixOf(id, index);
  return weight(id).held.empty() ? 0 : double(missingBytes(matrix.data, size_t(matrix.rows) * matrix.rowBytes));
}

void Store::fetch(int32_t id, int32_t index, Readers::Done done) {
  const WeightRef& matrix = matrixOf(id, index);
  const Weight& w = weight(id);
  if (w.held.empty()) return done(Readers::Outcome::read);
  readers_.read(w.held[size_t(index)], size_t(matrix.rows) * matrix.rowBytes, std::move(done));
}

}  // namespace grok1
