// Hopper's matrix products of 8-bit numbers (PTX ISA: wgmma), the left factor in registers.
#pragma once

#include <cstdint>

namespace latentcast::cuda {

#define LATENTCAST_4(d, i) "+r"(d[i]), "+r"(d[(i) + 1]), "+r"(d[(i) + 2]), "+r"(d[(i) + 3])
#define LATENTCAST_16(d, i) \
  LATENTCAST_4(d, i), LATENTCAST_4(d, (i) + 4), LATENTCAST_4(d, (i) + 8), LATENTCAST_4(d, (i) + 12)
#define LATENTCAST_4F(d, i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define LATENTCAST_16F(d, i) \
  LATENTCAST_4F(d, i), LATENTCAST_4F(d, (i) + 4), LATENTCAST_4F(d, (i) + 8), LATENTCAST_4F(d, (i) + 12)

// In both: d (+)= a · bᵀ, a [64, 32], b [columns, 32], each thread's d as hopper.cuh says. Of a, a thread of
// a warp has four numbers a register, of row 16 · warp + lane / 4 from column 4 · (lane % 4) on, of 8 rows
// further down, and the same two 16 columns further.

// clang-format off

__device__ __forceinline__ void multiply_int8(int32_t (&d)[80], const uint32_t* a, uint64_t b, int add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %85, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n160k32.s32.s8.s8 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "
      "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, "
      "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, "
      "%60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, "
      "%72, %73, %74, %75, %76, %77, %78, %79"
      "}, {%80, %81, %82, %83}, %84, p;\n}\n"
      : LATENTCAST_16(d, 0), LATENTCAST_16(d, 16), LATENTCAST_16(d, 32), LATENTCAST_16(d, 48), LATENTCAST_16(d, 64)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

__device__ __forceinline__ void multiply_fp8(float (&d)[68], const uint32_t* a, uint64_t b, int add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %73, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n136k32.f32.e4m3.e4m3 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "
      "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, "
      "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, "
      "%60, %61, %62, %63, %64, %65, %66, %67"
      "}, {%68, %69, %70, %71}, %72, p, 1, 1;\n}\n"
      : LATENTCAST_16F(d, 0), LATENTCAST_16F(d, 16), LATENTCAST_16F(d, 32), LATENTCAST_16F(d, 48), LATENTCAST_4F(d, 64)
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(add));
}

// clang-format on

#undef LATENTCAST_16F
#undef LATENTCAST_4F
#undef LATENTCAST_16
#undef LATENTCAST_4

}  // namespace latentcast::cuda
