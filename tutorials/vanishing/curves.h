/* curves.h -- `vanishing curves`: how fast gradients vanish or explode in nine networks. */
#ifndef CURVES_H
#define CURVES_H

/* Runs the command; argv[first ..] are its options. */
void curves_command(int argc, char **argv, int first);

/* Its part of --help. */
void curves_help(void);

#endif
