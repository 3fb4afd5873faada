// The encoders of all types for one instruction set: included by each encode.<isa>.cpp.
#include "encode-few.inc.h"
#include "encode-k.inc.h"
#include "encode-lattice.inc.h"
#include "encode-plain.inc.h"
#include "encode.h"
#include "lattice.h"
#include "quants.h"

namespace grok1::GROK1_ISA {

static_assert(kGridScratch <= kEncodeScratch);

EncodeRow encodeRowOf(int type);
EncodeRow encodeRowOf(int type) {
  switch (type) {
    case F32: return encodeF32;
    case F16: return encodeF16;
    case BF16: return encodeBf16;
    case Q8_0: return encodeQ8_0;
    case Q4_0: return encodeSymmetric<8>;
    case Q5_0: return encodeSymmetric<16>;
    case Q4_1: return encodeRange<15>;
    case Q5_1: return encodeRange<31>;
    case Q2_K: return encodeQ2K;
    case Q3_K: return encodeQ3K;
    case Q4_K: return encodeQ45K<15>;
    case Q5_K: return encodeQ45K<31>;
    case Q6_K: return encodeQ6K;
    case IQ1_S: return encodeLattice<Iq1S>;
    case IQ1_M: return encodeLattice<Iq1M>;
    case IQ2_XXS: return encodeLattice<Iq2Xxs>;
    case IQ2_XS: return encodeLattice<Iq2Xs>;
    case IQ2_S: return encodeLattice<Iq2S>;
    case IQ3_XXS: return encodeLattice<Iq3Xxs>;
    case IQ3_S: return encodeLattice<Iq3S>;
    case TQ1_0: return encodeTq1;
    case TQ2_0: return encodeTq2;
    case MXFP4: return encodeMxfp4;
    case IQ4_NL: return encodeIq4Nl;
    case IQ4_XS: return encodeIq4Xs;
    default: return nullptr;
  }
}

}  // namespace grok1::GROK1_ISA
