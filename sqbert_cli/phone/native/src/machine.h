/* What the program asks of the system: the time, its processors, and whether the computer is still there. */
#pragma once
#include <stddef.h>

double milliseconds(void);

/* Stay on those of `list` (`4,5,6,7`) that are allowed; where none is, stay anywhere. */
void machine_pin(const char *list);

/* The processors that the program may run on; returns how many of `room` are filled. */
size_t machine_affinity(int *processors, size_t room);

long machine_peak_kb(void);

/* From now on the program ends as soon as stdin does. */
void machine_hold_lifeline(void);
