/* runs_impl.h -- whether this processor runs an instruction set: runs_NAME for every set that its
 * architecture knows.
 *
 * Each answers for exactly the compiler flags that the set's kernels are built with. The library asks
 * when a tape is made (select.c); a build for one machine only asks once, when it is configured. */
#ifndef SQ_CORE_KERNELS_RUNS_IMPL_H
#define SQ_CORE_KERNELS_RUNS_IMPL_H

#include <stdbool.h>

static inline bool runs_base(void) { return true; }

#ifdef __x86_64__
static inline bool runs_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static inline bool runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw");
}
#endif

#if defined __aarch64__ && defined __ARM_NEON
static inline bool runs_neon(void) { return true; } /* every such processor has it */
#endif

#endif
