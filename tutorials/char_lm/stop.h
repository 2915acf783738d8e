/* stop.h -- Ctrl-C as a request, not as an end. */
#ifndef STOP_H
#define STOP_H

/* From now on the first SIGINT or SIGTERM is remembered; a second one ends the program. */
void stop_catch(void);

/* The signal that came, or 0. */
int stop_signal(void);

#endif
