/* around.h -- a cell around a cell: dropout and zoneout for any cell, yours included.
 *
 *     sq_dropped d = { .cell = sq_lstm_cell(&w), .output = 0.5 };
 *     sq_cell training = sq_dropout_cell(&d), scoring = d.cell;
 *
 * Whether something is dropped is a matter of which cell is unrolled, or of its rates, which are
 * read as each step is recorded: there is no mode. Names and widths of the states are those of the
 * cell within, with which weights are saved and states carried on. What is random is a function
 * of seed, run, step and place (random.h): backward meets the same masks, and the cell runs as a
 * plan where the one within does.
 *
 * The struct owns nothing. It and what the cell within points to must outlive every use and must
 * not be moved meanwhile. */
#ifndef SQ_CELLS_AROUND_H
#define SQ_CELLS_AROUND_H

#include "../core/cell.h"
#include "../core/op.h"

SQ_BEGIN_DECLS

/* Dropout around a cell f, m being masks of 0 with probability rate, else 1/(1 - rate):
 *     y, h' = f(x * m_in, h * m_rec),     output y * m_out
 * Rates lie in [0,1) (SQ_ERANGE, posted as a step is recorded); 0 is none.
 *     input, output   Zaremba, Sutskever & Vinyals 2014: between layers, never in the recurrence
 *     recurrent       state 0, which is h in every cell of cells.h, as the cell sees it; others,
 *                     an LSTM's c, stay whole. It belongs with SQ_PER_SEQUENCE
 *     mask            SQ_PER_STEP new masks at every step; SQ_PER_SEQUENCE one and the same at all
 *                     steps of a run: variational dropout, Gal & Ghahramani 2016
 * A GRU or MGU carries h itself on, too, so recurrent dropout shortens its memory, and an LSTM's
 * does not; zoneout suits both, and so does dropout of the candidate, which lies within the cells
 * (sq_drop in cells.h). */
typedef struct sq_dropped {
    sq_cell cell;
    double input, output, recurrent;
    sq_drawn mask;
} sq_dropped;
SQ_API sq_cell sq_dropout_cell(const sq_dropped *d);

/* Zoneout, Krueger et al. 2017: every unit keeps its old state by chance, m being 1 with
 * probability rate, else 0, new at every step:
 *     s' = m * s + (1 - m) * f(x, s)              for training
 *     s' = rate * s + (1 - rate) * f(x, s)        expected = true: the mean of that, for scoring
 * with the rate `first` for state 0, h, and `others` for all others, an LSTM's c. Rates lie in
 * [0,1) (SQ_ERANGE); 0 leaves a state alone. Where the cell's output is one of its states, the
 * output is the state as it has become. A cell of more than SQ_ZONEOUT_STATES states is refused
 * (SQ_EVALUE): put it around the layers of a stack instead. */
enum { SQ_ZONEOUT_STATES = 16 };
typedef struct sq_zoned {
    sq_cell cell;
    double first, others;
    bool expected;
} sq_zoned;
SQ_API sq_cell sq_zoneout_cell(const sq_zoned *z);

SQ_END_DECLS

#endif
