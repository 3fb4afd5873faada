#define GROK1_ISA ops_neon
#include "ops.inc.h"
