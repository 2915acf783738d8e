/* midi.h -- a song as a standard MIDI file, for any player. */
#ifndef MIDI_H
#define MIDI_H

#include "roll.h"

/* Format 0, one track, one frame a quarter note of 96 ticks, so many frames a minute, on an organ. A key
 * that stays down is one long note: a piano roll does not tell a repeated note from a held one. */
void midi_write(const song *s, double frames_a_minute, const char *path);

#endif
