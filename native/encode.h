// Rows of numbers in a tensor type's blocks: for who writes models. Types that only round to nearest have the bytes of ggml's reference;
// the others are searched for: scales and codes of the least weighted squared error on the type's own grid.
#pragma once

#include <cstdint>

#include "cpu.h"
#include "threads.h"

namespace grok1 {

// Whether rows can be written in this ggml type.
bool canEncode(int type);

// Rows [rows, cols] of ggml type `from`, one after the other, in type `to`: the same bytes with any instruction set and any number of threads.
// `importance` [cols], or null: how much an error in a column weighs, none negative. Returns the place of the first number that `to` cannot
// hold (none is, no infinity is, nor one past a half's largest where the type has halves), or -1. `cols` fills whole blocks of both types.
int64_t encodeRows(ThreadPool& pool, Isa isa, int from, const uint8_t* bytes, int to, int64_t rows, int64_t cols,
                   const float* importance, uint8_t* out);

// One row for one instruction set: `importance` is of mean 1 and nowhere 0, or null.
using EncodeRow = void (*)(const float* x, const float* importance, int64_t cols, float* scratch, uint8_t* out);
inline constexpr int64_t kEncodeScratch = 196608;  // floats
// Null for a type that is not known.
EncodeRow encodeRowOf(Isa isa, int type);

}  // namespace grok1
