#include "pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "fail.h"

/* Between two steps of a run there are microseconds, in which sleep would cost more than it saves. */
enum { SPINS = 4000 };

struct pool {
    size_t threads;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    atomic_uint step; /* counts the calls of `pool_run` */
    atomic_size_t next, busy;
    work_item work;
    const void *job;
    size_t count;
};

static void relax(void) {
#if defined __aarch64__
    __asm__ volatile("yield");
#elif defined __x86_64__
    __asm__ volatile("pause");
#endif
}

static void take_items(struct pool *pool) {
    size_t item;
    while ((item = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed)) < pool->count)
        pool->work(pool->job, item);
}

static void wait_for_step(struct pool *pool, unsigned seen) {
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&pool->step, memory_order_acquire) != seen)
            return;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    while (atomic_load_explicit(&pool->step, memory_order_acquire) == seen)
        pthread_cond_wait(&pool->wake, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

static void *help(void *argument) {
    struct pool *pool = argument;
    for (unsigned seen = 0;; seen++) {
        wait_for_step(pool, seen);
        take_items(pool);
        atomic_fetch_sub_explicit(&pool->busy, 1, memory_order_release);
    }
    return NULL;
}

struct pool *pool_start(size_t threads) {
    struct pool *pool = allocate(1, sizeof *pool);
    pool->threads = threads;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    for (size_t i = 1; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, help, pool))
            fail("threads", "cannot start thread %zu of %zu", i + 1, threads);
        pthread_detach(thread);
    }
    return pool;
}

static void announce(struct pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add_explicit(&pool->step, 1, memory_order_release);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

/* All helpers report before the next step may start: none can still read this one. */
void pool_run(struct pool *pool, work_item work, const void *job, size_t count) {
    pool->work = work;
    pool->job = job;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->busy, pool->threads - 1, memory_order_relaxed);
    announce(pool);
    take_items(pool);
    for (int i = 0; atomic_load_explicit(&pool->busy, memory_order_acquire); i++)
        if (i < SPINS)
            relax();
        else
            sched_yield(); /* a helper may need this very core */
}
