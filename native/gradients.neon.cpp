#define GROK1_ISA gradients_neon
#include "gradients.inc.h"
