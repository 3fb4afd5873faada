// What the addon holds for a backend: activations, and weights as places in mapped files, behind small numbers. Who has the bytes of
// a place in memory is asked and changed here.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "files.h"
#include "guard.h"
#include "handles.h"
#include "matmul.h"
#include "memory.h"
#include "residency.h"

namespace grok1 {

// Every method checks its numbers and shapes and throws Failure on misuse; methods are called on one JavaScript thread.
class Store {
 public:
  // Whoever reads does not wait for room any more.
  ~Store() {
    if (guard_) guard_->stop();
  }

  // Makes slot `id` (a new one for -1) hold at least `elements` floats; returns its id.
  int32_t resize(int32_t id, int64_t elements);
  std::shared_ptr<Memory> memory(int32_t id) const;
  // Gives a matrix's memory back at once, also where it is looked at: zeros are seen there.
  void freeMatrix(int32_t id);

  // Bytes that weights may lie in: an open file, mapped, or a copy of memory. Weights in it keep it; release() lets go of the id.
  int32_t map(int32_t file);
  int32_t copy(const uint8_t* data, size_t bytes);
  void release(int32_t source);
  // One [rows, cols] matrix for each place, or for each expert.
  struct Place {
    int32_t source;
    int64_t offset;
  };
  int32_t addWeight(int32_t type, int64_t rows, int64_t cols, int32_t digits, const std::vector<Place>& places);
  void freeWeight(int32_t weight);
  // Bytes of a weight's matrix (of an expert) that are not in memory.
  double missing(int32_t weight, int32_t matrix);
  // Brings a weight's matrix into memory, on threads of its own; `done` is called on any thread.
  void fetch(int32_t weight, int32_t matrix, Readers::Done done);

  // A file that weights may lie in without being mapped: their matrices are nowhere until each was loaded into a slot and placed there.
  int32_t open(int32_t file);
  // Another file with the same bytes, on another drive: what is loaded is read from all of them.
  void addCopy(int32_t source, int32_t file);
  // Bytes a second that a read of an opened file, not of its copies, was given, through the page cache or past it; 0 where that was not tried or cannot be.
  double rate(int32_t source, bool through);
  // Memory for what is loaded, held, taken as it is filled; given back at once when it is freed, which nothing may be placed in then.
  int32_t addSlot(int64_t bytes);
  void freeSlot(int32_t slot);
  // Reads the whole blocks of StreamedFile::kAlignment bytes around [offset, offset + bytes) of an opened file to `at` in a slot, on threads of
  // its own; `done` is called on any thread. What is read ahead comes after all that is waited for.
  void load(int32_t source, int64_t offset, int64_t bytes, int32_t slot, int64_t at, bool ahead, Readers::Done done);
  // What is read ahead into a slot is waited for from now on.
  void hurry(int32_t slot);
  // What is read ahead into a slot is not wanted any more: what was not begun of it is not read, and `done` is told so.
  void drop(int32_t slot);
  // Holds a slot once more, or lets go of it once: what is not held may be dropped. Whether it still is what it was.
  int32_t hold(int32_t slot);
  void letGo(int32_t slot);
  int32_t dropped(int32_t slot);
  // Slots that may be dropped where others need their memory, in this order, once nobody holds them; in place of those said before.
  void offer(const int32_t* slots, size_t count);
  // Drops what was offered for as long as less than `reserve` bytes are available.
  void guard(std::vector<MemoryGroup> groups, int64_t reserve);
  // How many were dropped so far.
  double drops();
  // A weight's matrix is at `at` in a slot, or will be, once what is being loaded there has come; -1: nowhere. Whatever computes with what is
  // nowhere is refused.
  void place(int32_t weight, int32_t matrix, int32_t slot, int64_t at);

 protected:
  struct Slot {
    std::shared_ptr<Memory> memory;
    float* data;
    int64_t capacity;
  };
  struct Source {
    std::shared_ptr<const uint8_t> data;  // of a mapping, or of memory
    uint64_t size;
    bool mapped;
    std::vector<std::shared_ptr<const StreamedFile>> files{};  // of what is neither: it, and its copies
  };
  // Four arrays of the parameter's size: values, gradient, and the optimizer's moments.
  struct Parameter {
    int64_t size;
    std::shared_ptr<Memory> parts[4];
    float* values(int part) const { return reinterpret_cast<float*>(parts[part]->data()); }
  };
  struct Weight {
    int type;
    int64_t rows, cols;
    std::vector<WeightRef> parts;
    std::vector<std::shared_ptr<const uint8_t>> held;  // what the parts point to
    std::vector<std::shared_ptr<const Arrival>> arrivals{};  // and how far that is which was loaded
    bool mapped = false;                               // and lie in files, which nobody has streamed yet
    bool opened = false;                               // or in files that are not mapped:
    int64_t absent = 0;                                // parts that are nowhere
    std::vector<float> decoded;  // of a norm's gain that is not aligned f32
    std::shared_ptr<Parameter> parameter;  // whose values the parts are
    int32_t a = -1, b = -1;      // an adapted weight's parameters
    float scale = 0;
  };

  float* slot(int32_t id, int64_t rows, int64_t cols) const;
  // All of which is somewhere.
  Weight& weight(int32_t id);
  // Which may be nowhere in part.
  Weight& stack(int32_t id) { return weights_.get(id); }
  const WeightRef& matrixOf(int32_t weight, int32_t matrix);
  // Of a weight that products read from end to end, before its first: of a table of embeddings, rows here and there, large pages
  // would read too much.
  void stream(Weight& w);
  const float* gainOf(Weight& weight);

  Handles<Weight> weights_{"weight"};

 private:
  Handles<Slot> slots_{"matrix"};
  Handles<Source> sources_{"source of weights"};
  struct Load {
    int64_t at, end;  // in its slot
    std::shared_ptr<const Arrival> arrival;
  };
  // A slot. `held` and `dropped` by the mutex: the guard looks at them too.
  struct Room {
    std::shared_ptr<Memory> memory;
    std::vector<Load> loads{};  // the latest of each place
    int held = 1;
    bool dropped = false;
  };
  int64_t dropOne();

  std::mutex roomsMutex_;
  Handles<std::shared_ptr<Room>> rooms_{"slot"};
  std::vector<std::shared_ptr<Room>> offered_;  // the last first
  int64_t drops_ = 0;
  std::shared_ptr<MemoryGuard> guard_;
  Readers readers_;
};

}  // namespace grok1
