/* files.h -- which files a run writes: those asked for, and what lies beside them. */
#ifndef FILES_H
#define FILES_H

#include "model.h"
#include "options.h"
#include "output.h"

/* Of every kind of cell a page and the page's numbers. */
enum {
    FILE_CSV,
    FILE_HTML,
    FILE_JACOBIAN,
    FILE_LYAPUNOV,
    FILE_GATES,
    FILE_PAGE,
    FILE_NUMBERS = FILE_PAGE + N_KINDS,
    N_FILES = FILE_NUMBERS + N_KINDS
};

/* path NULL: it is not written. */
typedef struct files {
    output of[N_FILES];
} files;

files files_of(const options *o);
void files_free(files *f);

/* Where they are. */
void files_tell(const files *f);

#endif
