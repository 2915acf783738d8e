/* task.h -- the tasks: sequences that anybody can make, whose answer lies far behind its cause.
 *
 * Sequence number n of a seed is the same whoever asks for it, and however many are asked for at a
 * time. Those for training and those for tests differ in their seeds. */
#ifndef TASK_H
#define TASK_H

#include <seqgrad/seqgrad.h>

/* When a sequence counts as right: at every step that is asked about,
 *     NEAR    |z - value| < 0.16: H&S 1997's 0.04 where the target is 0.5 + (X1 + X2) / 4
 *     BEST    every score of the right set is above every other score
 *     SURE    softmax(z) is within 0.25 of 1 for the one label, and so of 0 for the others
 *     SIDES   sigmoid(z) is above 0.51 for the symbols of the right set, below 0.49 for the others
 * and what it is trained by: squared error, cross-entropy (of the one label), again, and
 * the cross-entropies of independent yes-or-no questions. */
typedef enum judgement { NEAR, BEST, SURE, SIDES } judgement;

typedef struct batch {
    int64_t steps, rows,
        asked;        /* T; B; steps that are asked about: T, or 1, the last of each row */
    int32_t *lengths; /* [B] steps of each row */
    int32_t *symbol;  /* [T,B], or NULL: the input is not a symbol but */
    float *x;         /* [T,B,2] */
    int32_t *label, *there; /* [asked,B]; there: 0 where nothing is asked */
    uint32_t *set;          /* [asked,B], a bit for each right symbol; NULL for SURE */
    float *value;           /* [asked,B], of NEAR */
} batch;

typedef struct task {
    judgement judge;
    bool at_end;   /* asked at the last step only */
    bool shortcut; /* inputs also go to the outputs directly, as in the paper's network */
    const char *in, *out; /* a letter for each symbol; NULL: numbers */
    int64_t least;        /* the smallest size that makes sense */
    int64_t (*inputs)(int64_t size), (*outputs)(int64_t size), (*steps)(int64_t size);
    void (*make)(batch *b, int64_t row, int64_t size, sq_random r, uint64_t n);
} task;

extern const task adding, order, reber, lag, counting, copying;

/* Room for `rows` sequences of a size (T, as papers count it); sequences first, first + 1, ... of
 * a seed. */
batch batch_new(const task *k, int64_t size, int64_t rows);
void batch_fill(const task *k, batch *b, int64_t size, uint64_t seed, uint64_t first);
void batch_free(batch *b);

/* Is row `row` right, given the scores z [asked,B,n]? */
bool batch_right(const task *k, const batch *b, const float *z, int64_t n, int64_t row);

#endif
