/* stop.c -- the one thing a signal handler may safely do: write down that it was called. */
#define _POSIX_C_SOURCE 200809L /* sigaction */

#include "stop.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t came;

static void remember(int signal) { came = signal; }

void stop_catch(void)
{
    struct sigaction once = { .sa_handler = remember,
                              .sa_flags = (int)SA_RESETHAND | SA_RESTART };
    sigemptyset(&once.sa_mask);
    sigaction(SIGINT, &once, NULL);
    sigaction(SIGTERM, &once, NULL);
}

int stop_signal(void) { return came; }
