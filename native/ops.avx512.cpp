#define GROK1_ISA ops_avx512
#include "ops.inc.h"
