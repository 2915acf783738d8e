/* best.c -- prints the name of the kernels that the library chooses here. */
#include "core/kernels/kernels.h"

#include <stdio.h>

int main(void) { return puts(sqi_kernels_select()->name) < 0; }
