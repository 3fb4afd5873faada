#include "ops.h"

namespace grok1 {

namespace ops_scalar { extern const OpKernels kOps; }
namespace ops_avx2 { extern const OpKernels kOps; }
namespace ops_avx512 { extern const OpKernels kOps; }
namespace ops_neon { extern const OpKernels kOps; }

const OpKernels& opKernels(Isa isa) {
  switch (isa) {
#if defined(GROK1_HAVE_AVX2)
    case Isa::avx2:
    case Isa::avxvnni: return ops_avx2::kOps;
#endif
#if defined(GROK1_HAVE_AVX512)
    case Isa::avx512:
    case Isa::avx512vbmi: return ops_avx512::kOps;
#endif
#if defined(GROK1_HAVE_NEON)
    case Isa::neon:
    case Isa::i8mm: return ops_neon::kOps;
#endif
    default: return ops_scalar::kOps;
  }
}

}  // namespace grok1
