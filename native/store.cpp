#include "store.h"

#include <algorithm>
#include <utility>
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

void Store::freeMatrix(int32_t id) {
  giveBack(*slots_.get(id).memory);
  slots_.remove(id);
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
  return sources_.add({std::shared_ptr<const uint8_t>(mapping, mapping->data()), mapping->size(), true, {}});
}

int32_t Store::copy(const uint8_t* data, size_t bytes) {
  const auto memory = std::make_shared<Memory>(bytes);
  std::memcpy(memory->data(), data, bytes);
  return sources_.add({std::shared_ptr<const uint8_t>(memory, memory->data()), bytes, false, {}});
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
    const uint8_t* const data = !source.files.empty() ? nullptr : source.data.get() + offset;
    w.mapped = w.mapped || source.mapped;
    if (!w.parts.empty() && w.opened != !source.files.empty()) misuse("a weight that is placed in part");
    w.opened = !source.files.empty();
    w.absent += w.opened ? 1 : 0;
    w.parts.push_back({data, type, rows, cols, rowBytes, digits});
    w.held.emplace_back(source.data, data);
    w.arrivals.emplace_back();
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

Store::Weight& Store::weight(int32_t id) {
  Weight& w = weights_.get(id);
  if (w.absent > 0) misuse("a weight that is not in memory");
  return w;
}

const WeightRef& Store::matrixOf(int32_t id, int32_t index) {
  const Weight& w = stack(id);
  if (index < 0 || index >= int64_t(w.parts.size())) misuse("a matrix that a weight does not have");
  return w.parts[size_t(index)];
}

double Store::missing(int32_t id, int32_t index) {
  const WeightRef& matrix = matrixOf(id, index);
  const size_t bytes = size_t(matrix.rows) * matrix.rowBytes;
  if (matrix.data == nullptr) return double(bytes);
  return stack(id).held.empty() ? 0 : double(missingBytes(matrix.data, bytes));
}

void Store::fetch(int32_t id, int32_t index, Readers::Done done) {
  const WeightRef& matrix = matrixOf(id, index);
  if (matrix.data == nullptr) misuse("a matrix that is nowhere has to be loaded");
  const Weight& w = stack(id);
  if (w.held.empty()) return done({});
  const auto data = w.held[size_t(index)];
  readers_.read(size_t(matrix.rows) * matrix.rowBytes, [data](size_t at, size_t length, size_t) { return bring(data.get() + at, length); },
                std::move(done));
}

int32_t Store::open(int32_t file) {
  const auto opened = std::make_shared<const StreamedFile>(file);
  return sources_.add({nullptr, opened->size(), false, {opened}});
}

void Store::addCopy(int32_t id, int32_t file) {
  Source& source = sources_.get(id);
  if (source.files.empty()) misuse("only what was opened has copies");
  const auto copy = std::make_shared<const StreamedFile>(file);
  if (copy->size() != source.size) misuse("a copy of another size");
  source.files.push_back(copy);
}

double Store::rate(int32_t id, bool through) {
  const Source& source = sources_.get(id);
  if (source.files.empty()) misuse("only what was opened is read");
  return source.files.front()->rate(through);
}

int32_t Store::addSlot(int64_t bytes) {
  if (bytes < 1 || bytes > (int64_t(1) << 44)) misuse("a slot of impossible size");
  const auto room = std::make_shared<Room>();
  room->memory = std::make_shared<Memory>(size_t(bytes) + StreamedFile::kAlignment);
  const std::lock_guard lock(roomsMutex_);
  return rooms_.add(room);
}

void Store::freeSlot(int32_t slot) {
  const std::lock_guard lock(roomsMutex_);
  Room& room = *rooms_.get(slot);
  room.dropped = true;  // also where it is still offered
  room.memory.reset();
  rooms_.remove(slot);
}

int32_t Store::hold(int32_t slot) {
  const std::lock_guard lock(roomsMutex_);
  Room& room = *rooms_.get(slot);
  if (room.dropped) return 0;
  room.held++;
  return 1;
}

void Store::letGo(int32_t slot) {
  const std::lock_guard lock(roomsMutex_);
  Room& room = *rooms_.get(slot);
  if (room.held < 1) misuse("a slot that nobody holds");
  room.held--;
}

int32_t Store::dropped(int32_t slot) {
  const std::lock_guard lock(roomsMutex_);
  return rooms_.get(slot)->dropped ? 1 : 0;
}

void Store::offer(const int32_t* slots, size_t count) {
  const std::lock_guard lock(roomsMutex_);
  offered_.clear();
  for (size_t i = count; i > 0; i--) offered_.push_back(rooms_.get(slots[i - 1]));
}

void Store::guard(std::vector<MemoryGroup> groups, int64_t reserve) {
  if (guard_) misuse("memory is guarded already");
  guard_ = std::make_shared<MemoryGuard>(std::move(groups), reserve, [this] { return dropOne(); });
}

double Store::drops() {
  const std::lock_guard lock(roomsMutex_);
  return double(drops_);
}

int64_t Store::dropOne() {
  const std::lock_guard lock(roomsMutex_);
  while (!offered_.empty()) {
    const auto room = offered_.back();
    offered_.pop_back();
    if (room->dropped || room->held > 0) continue;  // what is held is offered anew soon
    room->dropped = true;
    drops_++;
    giveBack(*room->memory);
    return int64_t(room->memory->size());
  }
  return 0;
}

namespace {

constexpr int64_t kBlock = int64_t(StreamedFile::kAlignment);

uint8_t* firstBlock(const Memory& memory) {
  return memory.data() + (StreamedFile::kAlignment - reinterpret_cast<uintptr_t>(memory.data()) % StreamedFile::kAlignment) % StreamedFile::kAlignment;
}

}  // namespace

void Store::load(int32_t source, int64_t offset, int64_t bytes, int32_t slot, int64_t at, bool ahead, Readers::Done done) {
  const auto& [data, fileSize, mapped, files] = sources_.get(source);
  const auto room = rooms_.get(slot);
  const auto memory = room->memory;
  if (files.empty()) misuse("only what was opened is loaded");
  if (offset < 0 || bytes < 1 || uint64_t(offset) > fileSize || uint64_t(bytes) > fileSize - uint64_t(offset)) {
    misuse("bytes that are not in their file");
  }
  const int64_t from = offset / kBlock * kBlock, needed = offset + bytes - from, length = (needed + kBlock - 1) / kBlock * kBlock;
  if (at < 0 || at % kBlock != 0 || at > int64_t(memory->size()) - kBlock - length) misuse("bytes that do not fit into their slot");
  uint8_t* const to = firstBlock(*memory) + at;
  // Nobody reads what is being written: whoever computes waits for it.
  const auto arrival = std::make_shared<Arrival>(size_t(length), size_t(offset - from));
  std::erase_if(room->loads, [&](const Load& load) { return load.at < at + length && at < load.end; });
  room->loads.push_back({at, at + length, arrival});
  try {
    readers_.read(
        size_t(length),
        [files, memory, arrival, to, from, needed, guard = guard_](size_t part, size_t size, size_t drive) {
          if (guard) guard->awaitRoom();
          const int64_t got = files[drive]->read(to + part, uint64_t(from) + part, size);
          if (got < 0) return int(-got);
          if (got < std::min<int64_t>(int64_t(size), needed - int64_t(part))) return Readers::kEnded;
          arrival->came(part, size);
          return 0;
        },
        [arrival, done = std::move(done)](const Readers::Outcome& outcome) {
          arrival->end(outcome.kind == Readers::Outcome::read);
          done(outcome);
        },
        slot, ahead, files.size());
  } catch (...) {
    arrival->end(false);
    throw;
  }
}

void Store::hurry(int32_t slot) {
  rooms_.get(slot);
  readers_.hurry(slot);
}

void Store::drop(int32_t slot) {
  rooms_.get(slot);
  readers_.drop(slot);
}

void Store::place(int32_t id, int32_t index, int32_t slot, int64_t at) {
  matrixOf(id, index);
  Weight& w = stack(id);
  WeightRef& matrix = w.parts[size_t(index)];
  auto& held = w.held[size_t(index)];
  auto& arrival = w.arrivals[size_t(index)];
  if (!w.opened) misuse("a weight that lies in memory is placed nowhere else");
  if (slot == -1) {
    if (matrix.data != nullptr) w.absent++;
    matrix.data = nullptr;
    matrix.arrival = nullptr;
    held.reset();
    arrival.reset();
    return;
  }
  const auto room = rooms_.get(slot);
  const auto& memory = room->memory;
  const int64_t bytes = matrix.rows * int64_t(matrix.rowBytes);
  if (at < 0 || at > int64_t(memory->size()) - kBlock - bytes) misuse("a matrix that does not fit into its slot");
  if (matrix.data == nullptr) w.absent--;
  matrix.data = firstBlock(*memory) + at;
  held = std::shared_ptr<const uint8_t>(memory, matrix.data);
  const auto load = std::find_if(room->loads.begin(), room->loads.end(), [&](const Load& each) { return each.at <= at && at < each.end; });
  arrival = load == room->loads.end() ? nullptr : load->arrival;
  matrix.arrival = arrival.get();
}

}  // namespace grok1
