#include "inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

enum { LARGEST_NUMBER = 2000000 };

/* The next number of the line, -1 at its end. */
static long next_number(const struct inputs *inputs, char **at) {
    *at += strspn(*at, " \t\r\n");
    size_t digits = strspn(*at, "0123456789");
    char *end = *at + digits;
    if (!**at)
        return -1;
    long value = digits && digits < 10 ? strtol(*at, NULL, 10) : LARGEST_NUMBER + 1;
    if (value > LARGEST_NUMBER || (*end && !strchr(" \t\r\n", *end)))
        fail(inputs->path, "row %zu holds something else than ids", inputs->num_rows + 1);
    *at = end;
    return value;
}

static void read_row(struct inputs *inputs, char *line, size_t *num_ids) {
    size_t before = *num_ids, row = inputs->num_rows;
    long real = next_number(inputs, &line);
    for (long id; (id = next_number(inputs, &line)) >= 0; ++*num_ids) {
        inputs->ids = grow(inputs->ids, *num_ids, sizeof *inputs->ids);
        inputs->ids[*num_ids] = (uint32_t)id;
    }
    size_t length = *num_ids - before;
    if (row && length != inputs->length)
        fail(inputs->path, "row %zu has %zu ids, the first row %zu", row + 1, length, inputs->length);
    if (real < 1 || (size_t)real > length)
        fail(inputs->path, "row %zu says that %ld of its %zu ids are real", row + 1, real, length);
    inputs->length = length;
    inputs->num_real = grow(inputs->num_real, row, sizeof *inputs->num_real);
    inputs->num_real[row] = (size_t)real;
    inputs->num_rows++;
}

struct inputs inputs_read(const char *path) {
    struct inputs inputs = {.path = path};
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0, num_ids = 0;
    if (!file)
        fail(path, "cannot open the inputs");
    for (ssize_t size; (size = getline(&line, &room, file)) >= 0;) {
        if (strlen(line) != (size_t)size)
            fail(path, "row %zu holds something else than ids", inputs.num_rows + 1);
        read_row(&inputs, line, &num_ids);
    }
    if (ferror(file) || !inputs.num_rows)
        fail(path, "no rows could be read");
    free(line);
    fclose(file);
    return inputs;
}

void inputs_check(const struct inputs *inputs, size_t vocab_size, const char *model) {
    for (size_t i = 0; i < inputs->num_rows * inputs->length; i++)
        if (inputs->ids[i] >= vocab_size)
            fail(inputs->path, "row %zu holds id %u, but %s has %zu words", i / inputs->length + 1,
                 (unsigned)inputs->ids[i], model, vocab_size);
}
