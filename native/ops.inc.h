// The operations' kernels for one instruction set: included by each ops.<isa>.cpp.
#include "attention.inc.h"
#include "choose.inc.h"
#include "elementwise.inc.h"

namespace grok1::GROK1_ISA {

extern const OpKernels kOps;
const OpKernels kOps = {add, scale, softcap, gated, rmsNorm, rope, softmax, chunkMaxima, sumExp, storeKv, attend, merge};

}  // namespace grok1::GROK1_ISA
