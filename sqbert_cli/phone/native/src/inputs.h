/* The rows of token ids, as the computer prepared them: `REAL id id id ...`, one row a line. */
#pragma once
#include <stddef.h>
#include <stdint.h>

struct inputs {
    const char *path;
    size_t num_rows, length; /* every row has `length` ids, padding on the right */
    size_t *num_real;
    uint32_t *ids; /* (num_rows, length) */
};

struct inputs inputs_read(const char *path);
void inputs_check(const struct inputs *inputs, size_t vocab_size, const char *model);
