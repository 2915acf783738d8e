/* select.c -- which table of kernels this processor runs.
 *
 * The build knows which tables exist, the processor which of them it can run; the environment
 * variable SEQGRAD_ISA may ask for less, so that every level can be tested on one machine. */
#include "core/kernels/kernels.h"
#include "core/kernels/runs_impl.h"

#include <stdlib.h>
#include <string.h>

/* The table of level isa, or NULL where this processor cannot run it. */
static const sq_kernels *table(enum sqi_isa isa)
{
    switch (isa) {
#define SQI_ROW(name) \
    case SQI_ISA_##name: return runs_##name() ? &sqi_kernels_##name : NULL;
        SQI_ISAS(SQI_ROW)
#undef SQI_ROW
    default: return NULL;
    }
}

const sq_kernels *sqi_kernels_named(const char *name)
{
    for (int isa = 0; isa < SQI_N_ISAS; isa++) {
        const sq_kernels *t = table((enum sqi_isa)isa);
        if (t && strcmp(t->name, name) == 0) return t;
    }
    return NULL;
}

const sq_kernels *sqi_kernels_select(void)
{
    static const char *const names[] = {
#define SQI_ROW(name) #name,
        SQI_ISAS(SQI_ROW)
#undef SQI_ROW
    };
    const char *wish = getenv("SEQGRAD_ISA");
    int cap = SQI_N_ISAS - 1;
    for (int isa = 0; wish && isa < SQI_N_ISAS; isa++)
        if (strcmp(wish, names[isa]) == 0) cap = isa;
    while (cap > 0 && !table((enum sqi_isa)cap)) cap--;
    return table((enum sqi_isa)cap);
}
