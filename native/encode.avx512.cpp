#define GROK1_ISA encode_avx512
#include "encode.inc.h"
