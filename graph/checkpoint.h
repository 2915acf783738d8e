/* checkpoint.h -- backpropagation through time within a budget of bytes.
 *
 * A reverse sweep needs what the forward run saved, and that grows with T. Under a budget an
 * unroll keeps only a few states (snapshots) and what one stretch of steps saved; the sweep
 * restores a snapshot, runs on from there without saving, saves the next stretch, reverses it,
 * and so on backwards. What was done again is exactly what was done before -- the same kernels,
 * weights and random numbers -- so every gradient has the bits of the full tape.
 *
 * When to keep what is decided here by a pure automaton: it knows numbers only, calls nothing and
 * is called for one action after the other. Two policies:
 *   MIXED    stretches of several steps are saved and reversed at once (Gruslys, Munos, Danihelka,
 *            Lanctot, Graves 2016, "Memory-efficient backpropagation through time"); the least
 *            number of extra steps by dynamic programming: over steps up to T = 1000, above over
 *            blocks of T / 1000 steps or over equal stretches, whichever takes fewer. That is within
 *            2 % of the time of the best where the budget holds 1 % of all steps or more, within
 *            8 % below (2000 random problems, T = 1001 .. 4900, a step's sweep as 2 steps).
 *   REVOLVE  one step at a time is saved (Griewank, Walther 2000, "Algorithm 799: revolve"), by
 *            its closed form at any T.
 *
 * What counts against the budget: at every moment the snapshots alive and the stretch saved,
 * together. A snapshot is alive from its SNAPSHOT until the stretch that its last RESTORE leads to
 * is reversed (a saved stretch may thus use the states it began from in place). The initial
 * states and the present ones are not of the budget; a stretch saved right after an ADVANCE begins
 * from the present states and needs no snapshot. */
#ifndef SQ_GRAPH_CHECKPOINT_H
#define SQ_GRAPH_CHECKPOINT_H

#include "../core/error.h"
#include "../core/export.h"

SQ_BEGIN_DECLS

/* The two above. */
typedef enum sq_checkpoint_policy { SQ_MIXED, SQ_REVOLVE } sq_checkpoint_policy;

/* What a schedule is made for. All bytes. */
typedef struct sq_checkpoint_problem {
    int64_t steps;          /* T >= 0 */
    int64_t snapshot_bytes; /* the states between two steps */
    int64_t tape_bytes;     /* what one step saves for the sweep */
    int64_t budget;         /* for snapshots and the saved stretch together, both at most */
    int64_t every;          /* > 0: a snapshot every so many steps instead, whatever it takes:
                             * all stretches this long, the first shorter when T is no multiple */
    sq_checkpoint_policy policy;
} sq_checkpoint_problem;

/* One action. Steps are counted 0 .. T; "at t" is between step t - 1 and step t. The initial
 * states are a snapshot that is always there and costs nothing. */
typedef enum sq_checkpoint_kind {
    SQ_ADVANCE,  /* run steps from .. to - 1 without saving */
    SQ_SNAPSHOT, /* keep the present states, those at `from` */
    SQ_RESTORE, /* go back to the snapshot at `from`; with `last`, for the last time: SQ_TAPE from
                  * there is next, and the snapshot may go when that stretch is reversed */
    SQ_TAPE,    /* run steps from .. to - 1 and save what the sweep needs */
    SQ_TURN,    /* once: step T is reached; the loss is taken now */
    SQ_REVERSE, /* sweep steps to - 1 .. from, the stretch saved last */
    SQ_DONE
} sq_checkpoint_kind;

/* What to do next, to which steps. */
typedef struct sq_checkpoint_action {
    sq_checkpoint_kind kind;
    bool last;
    int64_t from, to;
} sq_checkpoint_action;

/* What the schedule will take, known when it is made. */
typedef struct sq_checkpoint_cost {
    int64_t extra_steps; /* steps run beyond the first T */
    int64_t peak_bytes;  /* snapshots and the saved stretch together, at their most */
    int64_t snapshots;   /* alive at once, at most; the initial states not counted */
    int64_t stretch;     /* longest saved stretch, in steps */
} sq_checkpoint_cost;

/* A schedule, and how far along it is. */
typedef struct sq_checkpoint_schedule sq_checkpoint_schedule;

/* The schedule of least extra steps. With a budget for everything MIXED saves all at once and runs
 * nothing again; REVOLVE still goes one by one, T - 1 extra steps.
 * NULL when the budget is below the least possible, which sq_checkpoint_least tells: one step
 * saved beside no snapshot; when a size is negative; when a count of the cost would leave 63
 * bits; when out of memory.
 * Cost: MIXED some .1 ms, up to 8 ms where hundreds of snapshots fit, and a megabyte at most for
 * the while; all else below a millisecond at any T. A schedule holds 16 bytes a snapshot at most,
 * and 4000 for MIXED, which are not of the budget. An action takes some 10 ns. */
SQ_API sq_checkpoint_schedule *sq_checkpoint_new(const sq_checkpoint_problem *p);
SQ_API void sq_checkpoint_free(sq_checkpoint_schedule *s);

/* The least budget a problem can be solved with, its `budget` and `every` left aside: tape_bytes, 0
 * for T = 0, -1 when a size is negative. */
SQ_API int64_t sq_checkpoint_least(const sq_checkpoint_problem *p);

/* The next action; SQ_DONE for ever at the end. sq_checkpoint_again begins anew. */
SQ_API sq_checkpoint_action sq_checkpoint_next(sq_checkpoint_schedule *s);
SQ_API void sq_checkpoint_again(sq_checkpoint_schedule *s);

/* What all of the schedule takes. */
SQ_API sq_checkpoint_cost sq_checkpoint_predicted(const sq_checkpoint_schedule *s);

SQ_END_DECLS

#endif
