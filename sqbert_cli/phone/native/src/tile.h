/* The one kernel: out[j][i] += sum over k of left[k][i] * right[k][j], eight by eight. */
#pragma once
#include "lanes.h"

void multiply_tile(const lanes *restrict left, const lanes *restrict right, size_t depth, lanes *restrict out,
                   size_t columns);
