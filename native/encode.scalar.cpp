#define GROK1_ISA encode_scalar
#include "encode.inc.h"
