// Products with AVX-VNNI: AVX2's, with sums of byte products in 32 bits.
#define GROK1_ISA avxvnni
#include "products.x86.inc.h"
#include "tiles.avx2.inc.h"

namespace grok1 {

const Products& avxvnniProducts() {
  static const Products table = {avxvnni::kTile,     avxvnni::kFloatTile, avxvnni::quantize, avxvnni::rows, avxvnni::packTokenOf<avxvnni::kTile, avxvnni::kFloatTile>,
                                 avxvnni::packPanel, avxvnni::multiply,   avxvnni::gate};
  return table;
}

}  // namespace grok1
