/* plan_chain_impl.h -- what the builders of tasks share, and how a fused pass is written down. */
#ifndef SQ_GRAPH_PLAN_CHAIN_IMPL_H
#define SQ_GRAPH_PLAN_CHAIN_IMPL_H

#include "graph/plan_impl.h"

bool sqi_task_push(sq_tape *t, sqi_plan *p, sqi_tasks *to, const sqi_task *k);

/* Room for the description of packed right operands; then, when it is filled in, for the panels. */
bool sqi_pack_room(sq_tape *t, sqi_plan *p, sqi_packed *k, int32_t n_sums, int32_t n_parts);
bool sqi_pack_finish(sq_tape *t, sqi_plan *p, sqi_packed *k);

/* A chain with room for so many ops. */
bool sqi_chain_room(sq_tape *t, sqi_plan *p, sqi_chain *c, int32_t n_micros);

/* The stream of a value (or of its gradient) in the chain, found or added. `tile`: it lies in a
 * tile buffer. */
int32_t sqi_chain_stream(sqi_plan *p, sqi_chain *c, int32_t value, bool gradient, bool tile);

/* Appends an op of value v that reads the operands and result told by `reads` (as sqi_map_reads
 * tells it). */
sqi_micro *sqi_chain_op(sqi_plan *p, sqi_chain *c, int32_t v, uint32_t reads);

/* Notes which pointers follow which stream, when all ops are there; false after posting. */
bool sqi_chain_finish(sq_tape *t, sqi_plan *p, sqi_chain *c, sqi_chain_sizes *sizes);

/* The ops of a forward chain, from the task's list of values. */
bool sqi_chain_forward(sq_tape *t, sqi_plan *p, sqi_task *k);

#endif
