#!/bin/sh
# Builds and runs the native product test, the test of what brings bytes into memory, or a kernel bench, without Node.
#   native/test/run.sh [test|residency|bench|low-bits] [arguments]
#   EVEX=1 native/test/run.sh test    AVX-VNNI's products as well, on a processor with AVX-512 VNNI: what the compiler makes of them, but
#                                     with their one instruction of their own, vpdpbusd, in AVX-512's encoding
#   CXX=aarch64-linux-gnu-g++ EMULATOR="qemu-aarch64 -cpu max -L /usr/aarch64-linux-gnu" native/test/run.sh test
set -e
root=$(cd "$(dirname "$0")/../.." && pwd)
what=${1:-test}
[ $# -gt 0 ] && shift
CXX=${CXX:-g++}
machine=$($CXX -dumpmachine)
build=${BUILD:-$root/build/native-$what-$machine${EVEX:+-evex}}
mkdir -p "$build"
flags="-O3 -std=c++20 -Wall -Wextra -Wno-maybe-uninitialized -Wno-uninitialized -ffp-contract=off -pthread $FLAGS"
case $machine in
  x86_64*)
    isas="avx2 avx512 avx512vbmi"; have="-DGROK1_HAVE_AVX2 -DGROK1_HAVE_AVX512 -DGROK1_HAVE_AVX512VBMI"
    if [ -n "$EVEX" ]; then
      isas="$isas avxvnni"; have="$have -DGROK1_HAVE_AVXVNNI -DGROK1_AVXVNNI_IN_EVEX"
    fi ;;
  aarch64*) isas="neon i8mm"; have="-DGROK1_HAVE_NEON -DGROK1_HAVE_I8MM" ;;
esac
compile() { # source, more flags
  object=$build/$(basename "$1" .cpp).o
  objects="$objects $object"
  if [ ! -e "$object" ] || [ -n "$(find "$root/native" "$1" \( -name '*.h' -o -path "$1" \) -newer "$object")" ]; then
    case $1 in
      *.avxvnni.cpp) echo "$CXX $flags $have $2 -S $1 -o $object.s && sed -i s/{vex}// $object.s && $CXX -c $object.s -o $object" ;;
      *) echo "$CXX $flags $have $2 -c $1 -o $object" ;;
    esac
  fi
}
if [ "$what" = residency ]; then
  {
    for name in memory files threads residency test/residency_test; do compile "$root/native/$name.cpp"; done
  } >"$build/commands"
else {
  for name in cpu memory threads grids quants panels rows abreast matmul experts products.scalar; do compile "$root/native/$name.cpp"; done
  for isa in $isas; do
    case $isa in
      avx2) more="-mavx2 -mfma -mf16c -mbmi2" ;;
      avxvnni) more="-mavx2 -mfma -mf16c -mbmi2 -mavxvnni" ;;
      avx512) more="-mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni" ;;
      avx512vbmi) more="-mavx2 -mfma -mf16c -mbmi2 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni -mavx512vbmi" ;;
      neon) more="-march=armv8.2-a+dotprod+fp16" ;;
      i8mm) more="-march=armv8.2-a+dotprod+fp16+i8mm -fno-schedule-insns" ;;
    esac
    compile "$root/native/products.$isa.cpp" "$more"
  done
  case $what in
    bench) compile "$root/bench/kernels.cpp" "-march=native" ;;
    low-bits) compile "$root/bench/low-bits.cpp" ;;
    *) compile "$root/native/test/matmul_test.cpp" ;;
  esac
} >"$build/commands"
fi
xargs -P 2 -I{} sh -c '{}' <"$build/commands"
objects=$(ls "$build"/*.o)
$CXX -pthread $objects -o "$build/$what" ${EMULATOR:+-static}
exec $EMULATOR "$build/$what" "$@"
