// What an instruction set provides to the matrix products, and the packed layouts that both sides agree on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quants.h"

namespace grok1 {

// The order of summation (see matmul.h).
inline constexpr int kBlock = 32;           // columns a quantized unit spans
inline constexpr int kLanes = 8;            // lanes that blocks are dealt to
inline constexpr int kGroup = 256;          // columns of one block for every lane
inline constexpr int kFloatLanes = 16;      // lanes that single columns are dealt to, for float weights
inline constexpr int kSegment = 4096;       // columns after which lanes of blocks are added up
inline constexpr int kFloatSegment = 1024;  // and lanes of columns
inline constexpr int kPanelRows = 16;       // weight rows packed side by side
inline constexpr int kMaxTile = 12;         // most tokens a register tile spans
inline constexpr int kMaxRowsAtOnce = 4;    // rows and tokens of one call to Products::rows
inline constexpr int kMaxTokensAtOnce = 4;

// How a type's codes and scales are laid out once unpacked; what a register tile needs to know.
enum class Kind {
  f32,      // floats
  ternary,  // codes 0 to 2, one scale per 256; activations in TernaryGroups
  block32,  // unsigned codes, one scale per 32
  min32,    // the same, plus a minimum per 32
  sub16,    // unsigned codes, an integer scale per 16, one float scale per 256
  subMin16  // the same, plus a minimum per 16
};

struct TypeTraits {
  Kind kind;
  int offset;    // value = scale * (code - offset) [+ minimum]
  int maxCode;   // of the unsigned codes; 255 where the signed value takes all 8 bits
  int unit;      // bytes of 256 columns (of one column for float types)
};

static constexpr TypeTraits traitsOf(int type) {
  switch (type) {
    case F32: return {Kind::f32, 0, 0, 4};
    case F16: return {Kind::f32, 0, 0, 2};
    case BF16: return {Kind::f32, 0, 0, 2};
    case Q4_0: return {Kind::block32, 8, 15, 8 * 18};
    case Q4_1: return {Kind::min32, 0, 15, 8 * 20};
    case Q5_0: return {Kind::block32, 16, 31, 8 * 22};
    case Q5_1: return {Kind::min32, 0, 31, 8 * 24};
    case Q8_0: return {Kind::block32, 128, 255, 8 * 34};
    case Q2_K: return {Kind::subMin16, 0, 3, 84};
    case Q3_K: return {Kind::sub16, 4, 7, 110};
    case Q4_K: return {Kind::min32, 0, 15, 144};
    case Q5_K: return {Kind::min32, 0, 31, 176};
    case Q6_K: return {Kind::sub16, 32, 63, 210};
    case IQ1_S: return {Kind::block32, 16, 31, 50};  // eight times the value: an odd number
    case IQ1_M: return {Kind::sub16, 16, 31, 56};    // the same
    case IQ2_XXS: return {Kind::block32, 128, 255, 66};
    case IQ2_XS: return {Kind::sub16, 128, 255, 74};
    case IQ2_S: return {Kind::sub16, 128, 255, 82};
    case IQ3_XXS: return {Kind::block32, 128, 255, 98};
    case IQ3_S: return {Kind::block32, 16, 31, 110};
    case TQ1_0: return {Kind::ternary, 1, 3, 54};
    case TQ2_0: return {Kind::ternary, 1, 3, 66};
    case MXFP4: return {Kind::block32, 16, 31, 8 * 17};
    case IQ4_NL: return {Kind::block32, 128, 255, 8 * 18};
    case IQ4_XS: return {Kind::block32, 128, 255, 136};
    default: return {Kind::f32, 0, 0, 0};
  }
}

// The types below 4 bits, and MXFP4.
static constexpr bool isSmall(int type) {
  return (type >= IQ2_XXS && type <= IQ1_S) || type == IQ3_S || type == IQ2_S || type == IQ1_M || (type >= TQ1_0 && type <= MXFP4);
}

// Those of 2 and 3 bits a column and a scale for each half block, which some instruction sets have activations in another order for.
static constexpr bool isTwoBit(int type) { return type == Q2_K || type == Q3_K; }

// Activations of one token and 256 columns for products by rows. Codes of blocks p and p + 4 lie side by side, 16 at a
// time: codes[p][half] = 16 of block p, 16 of block p + 4. Columns past the end of a row are zeros.
struct alignas(64) ActGroup {
  int8_t codes[4][2][32];
  float scale[8];
  int32_t sums[8];       // of each block's codes
  float scaledSums[8];   // scale * sums
  int16_t sums16[16];    // of each half block's codes
};

// The same for ternary weights. Scales of blocks are whole multiples of one, so that products of all 256 columns add up as whole numbers:
// scale[b] = base * multiples[b], no more than kMaxMultiple, and so that codes' magnitudes are no more than 127. A sum of 256 products with codes
// of 0 to 3, less 1, is below 8 * 63 * 32 * 2 * 127 < 2^22: exact as a float, too, and in any order. A base has 11 bits, a multiple six and a code
// seven: their product is exact.
inline constexpr int kMaxMultiple = 63;
struct alignas(64) TernaryGroup {
  int8_t codes[4][2][32];
  float scale[8];
  int16_t multiples[8];
  float base;
  int32_t offset;  // the sum of all codes times their blocks' multiples
  // What x86's kernels of TQ2_0 multiply sums of blocks with, and those of TQ1_0 the digits so far: rows-ternary.x86.inc.h.
  int16_t ofBlocks[8][4];
  int16_t ofDigits[32][8];
};

// Bytes per unit (a block of 32 columns, or a column) in a packed panel of 16 weight rows:
//   ternary, block32: codes [8][16][4] u8, scales [16] f32;  min32: and minimums [16] f32
//   sub16: codes, scale [16] f32, sub-scales of both halves [2][16] f32;
//   subMin16: and minimums' scale [16] f32 (subtracted: negative), sub-minimums of both halves [2][16] f32
//   f32: values [16] f32
// (this and the next are the portable layouts: an instruction set may keep the codes signed, interleave them otherwise, and keep
// what it likes in place of sub-scales and of sums, since it both packs and reads them)
static constexpr size_t panelUnitBytes(Kind kind) {
  switch (kind) {
    case Kind::f32: return 64;
    case Kind::ternary:
    case Kind::block32: return 512 + 64;
    case Kind::min32: return 512 + 2 * 64;
    case Kind::sub16: return 512 + 3 * 64;
    case Kind::subMin16: return 512 + 6 * 64;
  }
  return 0;
}

// Bytes per unit in a packed tile of `tile` tokens:
//   block32, min32: codes [tile][32] s8, -offset * sum [tile] i32, scale [tile] f32, scale * sum [tile] f32
//   ternary: codes, -offset * sum, multiple [tile] f32, base [tile] f32
//   sub16, subMin16: codes, -offset * sum of both halves [2][tile] i32, scale [tile], sum of both halves [2][tile] f32
//   f32: values [tile]
static constexpr size_t tileUnitBytes(Kind kind, int tile) {
  switch (kind) {
    case Kind::f32: return size_t(tile) * 4;
    case Kind::ternary:
    case Kind::block32:
    case Kind::min32: return size_t(tile) * (32 + 12);
    case Kind::sub16:
    case Kind::subMin16: return size_t(tile) * (32 + 20);
  }
  return 0;
}

static constexpr int unitColumns(Kind kind) { return kind == Kind::f32 ? 1 : kBlock; }
static constexpr int lanesOf(Kind kind) { return kind == Kind::f32 ? kFloatLanes : kind == Kind::ternary ? 1 : kLanes; }

static constexpr int segmentOf(Kind kind) { return kind == Kind::f32 ? kFloatSegment : kSegment; }

// Units of `columns` columns; float columns are padded to whole rounds of lanes.
static constexpr int64_t unitsOf(Kind kind, int64_t columns) {
  return kind == Kind::f32 ? (columns + kFloatLanes - 1) / kFloatLanes * kFloatLanes : columns / kBlock;
}

// Where a lane's units start within a packed segment of `units` units, in units: lanes follow one another.
static constexpr int64_t laneStart(int64_t units, int lanes, int lane) {
  const int64_t full = units / lanes, rest = units % lanes;
  return lane * full + (lane < rest ? lane : rest);
}

// Rows of one matrix times a few tokens: out[t * ldo + r] for r < rows <= 4, t < tokens <= 4. `acts[t]` points to ActGroups,
// TernaryGroups or, for float weights, to floats padded with zeros to a multiple of 16. `readable` bytes follow the last row.
struct RowsCall {
  const uint8_t* data;
  int64_t readable;
  size_t rowBytes;
  int64_t cols;
  int rows, tokens;
  const void* acts[kMaxTokensAtOnce];
  float* out;
  int64_t ldo;
  bool inOrder;  // how later rows are asked for: CpuFeatures::readsInOrder
};

struct PackTokenCall {
  Kind kind;
  int offset;
  const float* x;
  int64_t columns, firstUnit, units, segmentUnits;
  int t;
  uint8_t* tile;  // of the segment
};

struct AbreastProducts;  // abreast.h

struct Products {
  int tile;       // tokens of a register tile of quantized weights
  int floatTile;  // and of float weights

  // x [cols] to ceil(cols / 256) groups; to cols / 256 for ternary weights.
  void (*quantize)(const float* x, int64_t cols, ActGroup* out);
  void (*quantizeTernary)(const float* x, int64_t cols, TernaryGroup* out);
  void (*rows)(int type, const RowsCall& call);

  // Packs token `t` of a tile: x [columns] fills `units` units from `firstUnit` on of a segment of `segmentUnits`.
  void (*packToken)(const PackTokenCall& call);
  // Packs a segment (or the last, shorter one) of up to 16 rows from `data` on.
  void (*packPanel)(int type, const uint8_t* data, size_t rowBytes, int rows, int64_t columns, uint8_t* panel);
  // c[t][16] += one lane: `units` units of a panel times a tile's first `tokens` tokens.
  void (*multiply)(int type, const uint8_t* panel, const uint8_t* tile, int64_t units, int tokens, float* c);
  // hidden[i] = activation(gate[i]) * up[i]; gating as in matmul.h.
  void (*gate)(int gating, const float* gate, const float* up, float* hidden, int64_t n);
  // out[i] += weight * y[i], rounded once.
  void (*accumulate)(float weight, const float* y, float* out, int64_t n);
  // Codes of groups to the order in which isTwoBit's rows meet them; null where that is the order that they have.
  void (*pairCodes)(ActGroup* groups, int64_t count) = nullptr;
  const AbreastProducts* abreast = nullptr;  // null: an instruction set has none
};

const Products& scalarProducts();
const Products& avx2Products();
const Products& avxvnniProducts();
const Products& avx512Products();
const Products& avx512vbmiProducts();
const Products& neonProducts();
const Products& i8mmProducts();

}  // namespace grok1
