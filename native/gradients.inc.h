// The kernels of training for one instruction set: included by each gradients.<isa>.cpp.
#include "panel-product.inc.h"
#include "self-attention.inc.h"
#include "rules.inc.h"

namespace grok1::GROK1_ISA {

extern const GradKernels kGradients;
const GradKernels kGradients = {kCols,         packRows,      packColumns,     multiply,     selfAttention, selfAttentionBackward,
                                scaleBackward, softcapBackward, gatedBackward, expertRow,    rmsNormBackward, ropeBackward,
                                crossEntropy,  squares,       adamw};

}  // namespace grok1::GROK1_ISA
