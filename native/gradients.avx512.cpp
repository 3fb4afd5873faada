#define GROK1_ISA gradients_avx512
#include "gradients.inc.h"
