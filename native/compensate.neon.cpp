#define GROK1_ISA compensate_neon
#include "compensate.inc.h"
