// Products with AVX-VNNI: AVX2's, with sums of byte products in 32 bits.
#define GROK1_ISA avxvnni
#include "products.x86.inc.h"
#include "tiles.avx2.inc.h"

namespace grok1 {

const Products& avxvnniProducts() {
  using namespace avxvnni;
  static const Products table = {kTile, kFloatTile, quantize, quantizeTernary, avxvnni::rows, packTokenOf<kTile, kFloatTile>,
                                 packPanel, multiply, avxvnni::gate, avxvnni::accumulate, pairCodes};
  return table;
}

}  // namespace grok1
