/* files.h -- which files a run writes: those asked for, and what lies beside them. */
#ifndef FILES_H
#define FILES_H

#include "model.h"
#include "options.h"
#include "output.h"

/* Arrays for NumPy: what their names end in, and what they hold. */
enum { N_ARRAYS = 8 };
typedef struct array {
    const char *name;
    sq_report_table table;
} array;
extern const array arrays[N_ARRAYS];

/* Of every kind of cell a page, the page's numbers, and arrays of them. */
enum {
    FILE_CSV,
    FILE_HTML,
    FILE_JACOBIAN,
    FILE_LYAPUNOV,
    FILE_GATES,
    FILE_PAGE,
    FILE_NUMBERS = FILE_PAGE + N_KINDS,
    FILE_ARRAYS = FILE_NUMBERS + N_KINDS,
    N_FILES = FILE_ARRAYS + N_KINDS * N_ARRAYS
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
