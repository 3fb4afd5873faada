#define GROK1_ISA gradients_avx2
#include "gradients.inc.h"
