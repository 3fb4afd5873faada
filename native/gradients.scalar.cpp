#define GROK1_ISA gradients_scalar
#include "gradients.inc.h"
