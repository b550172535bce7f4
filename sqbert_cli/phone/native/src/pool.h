/* Threads that share the items of one step. Which thread takes which item changes no result. */
#pragma once
#include <stddef.h>

struct pool;

typedef void (*work_item)(const void *job, size_t item);

struct pool *pool_start(size_t threads);

/* Call `work` for every item from 0 to `count` and return when all are done. */
void pool_run(struct pool *pool, work_item work, const void *job, size_t count);
