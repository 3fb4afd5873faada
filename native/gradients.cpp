#include "gradients.h"

namespace grok1 {

namespace gradients_scalar { extern const GradKernels kGradients; }
namespace gradients_avx2 { extern const GradKernels kGradients; }
namespace gradients_avx512 { extern const GradKernels kGradients; }
namespace gradients_neon { extern const GradKernels kGradients; }

const GradKernels& gradKernels(Isa isa) {
  switch (isa) {
#if defined(GROK1_HAVE_AVX2)
    case Isa::avx2:
    case Isa::avxvnni: return gradients_avx2::kGradients;
#endif
#if defined(GROK1_HAVE_AVX512)
    case Isa::avx512:
    case Isa::avx512vbmi: return gradients_avx512::kGradients;
#endif
#if defined(GROK1_HAVE_NEON)
    case Isa::neon:
    case Isa::i8mm: return gradients_neon::kGradients;
#endif
    default: return gradients_scalar::kGradients;
  }
}

}  // namespace grok1
