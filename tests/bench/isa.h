/* isa.h -- which instruction set a benchmark measures. The library goes on with its best where SEQGRAD_ISA
 * asks for what is not there, a misspelt name say; numbers under a wrong name would mislead. */
#ifndef SQT_BENCH_ISA_H
#define SQT_BENCH_ISA_H

#include "seqgrad.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ISA_USAGE \
    "  SEQGRAD_ISA=base|avx2|avx512|neon: on these kernels (default: the best here)\n"

/* The one in use; NULL, after a sentence, where SEQGRAD_ISA asks for another. */
static inline const char *isa_in_use(const char *program)
{
    const char *wish = getenv("SEQGRAD_ISA");
    sq_tape *t = sq_tape_new(SQ_F32, NULL);
    const char *isa = sq_tape_isa(t);
    sq_tape_free(t);
    if (!wish || !*wish || strcmp(wish, isa) == 0) return isa;
    fprintf(stderr, "%s: SEQGRAD_ISA=%s: no such kernels run here, the best are %s\n", program,
            wish, isa);
    return NULL;
}

#endif
