#define GROK1_ISA encode_avx2
#include "encode.inc.h"
