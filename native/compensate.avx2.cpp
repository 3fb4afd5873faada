#define GROK1_ISA compensate_avx2
#include "compensate.inc.h"
