/* vanishing -- two pictures of the same trouble: gradients that vanish and gradients that explode.
 *
 *     vanishing curves   how |dh_T/dh_t| shrinks or grows with the distance, in nine networks
 *     vanishing wall     the error surface of one unit, where it has a wall, and what clipping does
 *
 * To learn seqgrad, read decay.c (Jacobians of a step) and surface.c (a whole surface in one
 * sweep). */
#include "curves.h"
#include "wall.h"
#include "../common/files.h"
#include "../common/say.h"

#include <stdio.h>
#include <string.h>

static bool help_wanted(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "--help")) return true;
    return false;
}

static void help(void)
{
    puts(
        "vanishing -- gradients that vanish, gradients that explode, and what clipping does.\n");
    curves_help();
    puts("");
    wall_help();
}

int main(int argc, char **argv)
{
    if (help_wanted(argc, argv)) help();
    else if (argc < 2) die_usage("say what to show: curves or wall");
    else if (!strcmp(argv[1], "curves")) curves_command(argc, argv, 2);
    else if (!strcmp(argv[1], "wall")) wall_command(argc, argv, 2);
    else die_usage("\"%s\" is neither curves nor wall", argv[1]);
    file_end_stdout();
    return 0;
}
