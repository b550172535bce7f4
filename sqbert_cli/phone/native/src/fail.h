/* Ends the program, or finds memory: whatever goes wrong is one line on stderr. */
#pragma once
#include <stddef.h>

enum { STATUS_ERROR = 2, STATUS_LIFELINE = 3, STATUS_USAGE = 64 };

/* Print `sqbert-phone: <what>, <where>` and exit with STATUS_ERROR. */
_Noreturn void fail(const char *where, const char *what, ...) __attribute__((format(printf, 2, 3)));

/* Zeroed memory, aligned to a cache line; ends the program where there is none. */
void *allocate(size_t count, size_t size);

/* Room for one more than `count` elements: an array that grows is full at every power of two. */
void *grow(void *memory, size_t count, size_t size);
