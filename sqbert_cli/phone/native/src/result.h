/* The result: one JSON object on one line of stdout. */
#pragma once
#include "bench.h"

void result_print(const struct bench *bench);
