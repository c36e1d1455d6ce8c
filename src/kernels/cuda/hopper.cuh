// Hopper's matrix products of a warpgroup, asynchronous copies into shared memory, and the barriers between
// them (PTX ISA: wgmma, cp.async.bulk, mbarrier).
#pragma once

#include <cstdint>

#include <cuda.h>

namespace latentcast::cuda {

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

/// A barrier in shared memory, by its address.
struct Barrier {
  uint32_t address;

  __device__ __forceinline__ void init(int arrivals) const {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address), "r"(arrivals));
  }
  __device__ __forceinline__ void arrive() const {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address) : "memory");
  }
  /// Arrives, and has the phase wait for so many bytes besides.
  __device__ __forceinline__ void expect(uint32_t bytes) const {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address), "r"(bytes)
                 : "memory");
  }
  /// Until the phase of this parity is over. One that isn't within seconds never will be.
  __device__ __forceinline__ void wait(uint32_t parity) const {
    if (is_over(parity)) return;
    for (uint32_t i = 0; !is_over(parity); ++i) {
      if (i > kMostTries) __trap();
    }
  }
  __device__ __forceinline__ bool is_over(uint32_t parity) const {
    uint32_t over;
    asm volatile(
        "{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
        : "=r"(over)
        : "r"(address), "r"(parity)
        : "memory");
    return over != 0;
  }

  static constexpr uint32_t kMostTries = 1u << 24;
};

/// Where one is in a ring of buffers.
struct Ring {
  int index;
  uint32_t parity;
  __device__ __forceinline__ void advance(int size) {
    if (++index == size) index = 0, parity ^= 1;
  }
};

/// A box of a 4-D tensor; what lies outside of it is zeros.
__device__ __forceinline__ void copy_box(uint32_t to, const CUtensorMap* map, Barrier done, int c, int x,
                                         int y, int t) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to),
      "l"(map), "r"(done.address), "r"(c), "r"(x), "r"(y), "r"(t)
      : "memory");
}

__device__ __forceinline__ void copy_bytes(uint32_t to, const void* from, uint32_t bytes, Barrier done) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
      "l"(from), "r"(bytes), "r"(done.address)
      : "memory");
}

/// A matrix of 8 x 8 blocks, each 128 bytes in one piece: bytes from a block to the next along the sum, and
/// along the rows.
__device__ __forceinline__ uint64_t matrix(uint32_t address, uint32_t along_sum, uint32_t along_rows) {
  return static_cast<uint64_t>((address & 0x3ffff) >> 4) | static_cast<uint64_t>(along_sum >> 4) << 16 |
         static_cast<uint64_t>(along_rows >> 4) << 32;
}

__device__ __forceinline__ void products_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void products_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Until at most so many groups of products are under way.
template <int kGroups>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
}

#define LATENTCAST_4(d, i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define LATENTCAST_8(d, i) LATENTCAST_4(d, i), LATENTCAST_4(d, (i) + 4)

/// d (+)= a · bᵀ, a [64, 16], b [columns, 16], bf16. d holds for each thread of the warpgroup, 8 columns
/// after the other, two of row 16 · warp + lane / 4 and the same two of 8 rows further down, from column 2 ·
/// (lane % 4) on.
// clang-format off
__device__ __forceinline__ void multiply(float (&d)[4], uint64_t a, uint64_t b, int add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %6, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3"
      "}, %4, %5, p, 1, 1, 0, 0;\n}\n"
      : LATENTCAST_4(d, 0)
      : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply(float (&d)[48], uint64_t a, uint64_t b, int add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %50, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "
      "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, "
      "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"
      "}, %48, %49, p, 1, 1, 0, 0;\n}\n"
      : LATENTCAST_8(d, 0), LATENTCAST_8(d, 8), LATENTCAST_8(d, 16), LATENTCAST_8(d, 24),
        LATENTCAST_8(d, 32), LATENTCAST_8(d, 40)
      : "l"(a), "l"(b), "r"(add));
}
__device__ __forceinline__ void multiply(float (&d)[96], uint64_t a, uint64_t b, int add) {
  asm volatile(
      "{\n.reg .pred p;\nsetp.ne.b32 p, %98, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n192k16.f32.bf16.bf16 {"
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, "
      "%12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, "
      "%36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, "
      "%60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, "
      "%72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, "
      "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
      "}, %96, %97, p, 1, 1, 0, 0;\n}\n"
      : LATENTCAST_8(d, 0), LATENTCAST_8(d, 8), LATENTCAST_8(d, 16), LATENTCAST_8(d, 24),
        LATENTCAST_8(d, 32), LATENTCAST_8(d, 40), LATENTCAST_8(d, 48), LATENTCAST_8(d, 56),
        LATENTCAST_8(d, 64), LATENTCAST_8(d, 72), LATENTCAST_8(d, 80), LATENTCAST_8(d, 88)
      : "l"(a), "l"(b), "r"(add));
}
// clang-format on

#undef LATENTCAST_8
#undef LATENTCAST_4

}  // namespace latentcast::cuda
