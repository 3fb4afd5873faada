#define GROK1_ISA encode_neon
#include "encode.inc.h"
