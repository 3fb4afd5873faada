#define GROK1_ISA compensate_scalar
#include "compensate.inc.h"
