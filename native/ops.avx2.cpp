#define GROK1_ISA ops_avx2
#include "ops.inc.h"
