#include "fail.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64, LONGEST_LINE = 1024 };

/* Names come from files: a control character would break the one line. */
static void print_plainly(const char *text) {
    for (; *text; text++)
        fputc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, stderr);
}

void fail(const char *where, const char *what, ...) {
    char line[LONGEST_LINE];
    va_list values;
    va_start(values, what);
    vsnprintf(line, sizeof line, what, values);
    va_end(values);
    print_plainly("sqbert-phone: ");
    print_plainly(line);
    print_plainly(", ");
    print_plainly(where);
    fputc('\n', stderr);
    fflush(stderr);
    _Exit(STATUS_ERROR); /* at once: other threads may be at work */
}

void *allocate(size_t count, size_t size) {
    void *memory = NULL;
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2 ||
        posix_memalign(&memory, CACHE_LINE, bytes ? bytes : 1))
        fail("memory", "no room for %zu times %zu bytes", count, size);
    return memset(memory, 0, bytes);
}

void *grow(void *memory, size_t count, size_t size) {
    if (count & (count - 1))
        return memory;
    memory = realloc(memory, (count ? 2 * count : 1) * size);
    if (!memory)
        fail("memory", "no room for %zu times %zu bytes", count, size);
    return memory;
}
