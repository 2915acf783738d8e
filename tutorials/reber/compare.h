/* compare.h -- `reber train`: both cells, all seeds, one table, one picture. */
#ifndef COMPARE_H
#define COMPARE_H

#include "options.h"

void compare_command(options o);

#endif
