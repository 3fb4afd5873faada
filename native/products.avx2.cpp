// Products with AVX2.
#define GROK1_ISA avx2
#include "products.x86.inc.h"
#include "tiles.avx2.inc.h"

namespace grok1 {

const Products& avx2Products() {
  static const Products table = {avx2::kTile,     avx2::kFloatTile, avx2::quantize, avx2::quantizeTernary, avx2::rows,
                                 avx2::packTokenOf<avx2::kTile, avx2::kFloatTile>, avx2::packPanel, avx2::multiply,   avx2::gate, avx2::accumulate,
                                 avx2::pairCodes};
  return table;
}

}  // namespace grok1
