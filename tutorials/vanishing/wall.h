/* wall.h -- `vanishing wall`: the error surface of one unit, its wall, and a descent into it. */
#ifndef WALL_H
#define WALL_H

/* Runs the command; argv[first ..] are its options. */
void wall_command(int argc, char **argv, int first);

/* Its part of --help. */
void wall_help(void);

#endif
