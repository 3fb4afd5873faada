// Rounding with compensated errors: what rounding a column does to a matrix's products is taken back, as far as that goes, by the columns
// that are rounded after it (GPTQ: Frantar et al. 2022, "OPTQ"), here onto the grids of ggml's types.
#pragma once

#include <cstdint>

#include "cpu.h"
#include "gradients.h"
#include "threads.h"

namespace grok1 {

// H [cols, cols] += Xᵀ X for the inputs x [rows, cols] of a matrix.
void addGram(ThreadPool& pool, Isa isa, const float* x, int64_t rows, int64_t cols, float* gram);

// The upper triangular U [cols, cols] with UᵀU = (H + damping * mean(diag H))⁻¹, columns and rows of H in the order in which columns are
// to be rounded. False where H is not that of any inputs. Takes 16 bytes for each element beside.
bool factorInverse(ThreadPool& pool, const float* gram, const int32_t* order, int64_t cols, double damping, float* factor);

// How many columns are rounded at a time in this ggml type: one, or a point of a lattice (lattice.h); 0 where rows cannot be rounded so.
int compensatedGroup(int type);

// Rows [rows, cols] of ggml type `from` in type `to`, as encodeRows (encode.h): in the given order of columns, in which each block of `to`
// stays together, and each group in its own order. A block's scales are searched for when its turn comes, by what is left of its columns, each
// of the importance that an error in it alone has once all behind its group have made up for it: 1 / U[j][j]² where columns come one at a
// time. Then groups are rounded one after the other on that grid; where codes are few, on grids a little larger and smaller as well, of which
// the best is kept. `losses` [rows]: E H Eᵀ of a row's error E, with H as it was damped.
int64_t compensateRows(ThreadPool& pool, Isa isa, int from, const uint8_t* bytes, int to, int64_t rows, int64_t cols, const float* factor,
                       const int32_t* order, uint8_t* out, double* losses);

// Rows lie side by side in a tile: w [cols][kTileRows].
inline constexpr int kTileRows = 16;

// A block of n columns for one instruction set; all give the same bits. `factor`: from the block's first row and column on, rows `ld` apart.
struct CompensateKernels {
  // Rounds columns one after the other to steps * v + bases [n][kTileRows], v of the range, and takes each one's error out of those behind it
  // in the block. v and the errors, over U[j][j], are [n][kTileRows].
  void (*round)(float* w, const float* factor, int64_t ld, int n, const float* steps, const float* bases, float low, float high, float* v,
                float* errors);
  // The same onto the values of IQ4_NL.
  void (*roundUneven)(float* w, const float* factor, int64_t ld, int n, const float* steps, const float* bases, float low, float high,
                      float* v, float* errors);
  // Columns that are rounded already, to `values` [n][kTileRows]: their errors, each taken out of those behind it among the `n` columns and of
  // `more` behind these.
  void (*settle)(float* w, const float* factor, int64_t ld, int n, int more, const float* values, float* errors);
  // Takes a block's errors out of `columns` columns behind it (a multiple of 32).
  void (*spread)(float* w, const float* factor, int64_t ld, int n, const float* errors, int64_t columns);
};

}  // namespace grok1
