#define GROK1_ISA ops_scalar
#include "ops.inc.h"
