#include "tile.h"

#include <string.h>

/* The 8 sums are 16 registers of NEON; each product is one `fmla` with a lane of `weights`. */
static inline void multiply_whole_tile(const lanes *restrict left, const lanes *restrict right, size_t depth,
                                       lanes *restrict out) {
    lanes sums[LANES];
    for (size_t j = 0; j < LANES; j++)
        sums[j] = out[j];
#pragma GCC unroll 4
    for (size_t k = 0; k < depth; k++) {
        lanes tokens = left[k], weights = right[k];
        for (size_t j = 0; j < LANES; j++)
            sums[j] += tokens * weights[j];
    }
    for (size_t j = 0; j < LANES; j++)
        out[j] = sums[j];
}

void multiply_tile(const lanes *restrict left, const lanes *restrict right, size_t depth, lanes *restrict out,
                   size_t columns) {
    if (columns == LANES) {
        multiply_whole_tile(left, right, depth, out);
        return;
    }
    lanes room[LANES] = {0}; /* the last panel of a width that is no multiple of eight */
    memcpy(room, out, columns * sizeof *room);
    multiply_whole_tile(left, right, depth, room);
    memcpy(out, room, columns * sizeof *room);
}
