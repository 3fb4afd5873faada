#define GROK1_ISA compensate_avx512
#include "compensate.inc.h"
