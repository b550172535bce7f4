#include "machine.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void machine_pin(const char *list) {
    cpu_set_t allowed, wanted;
    CPU_ZERO(&wanted);
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        return;
    for (char *end; *list; list = *end ? end + 1 : end) {
        unsigned long processor = strtoul(list, &end, 10);
        if (end != list && processor < CPU_SETSIZE && CPU_ISSET(processor, &allowed))
            CPU_SET(processor, &wanted);
    }
    if (CPU_COUNT(&wanted))
        (void)!sched_setaffinity(0, sizeof wanted, &wanted); /* the result tells what came of it */
}

size_t machine_affinity(int *processors, size_t room) {
    cpu_set_t allowed;
    size_t count = 0;
    if (sched_getaffinity(0, sizeof allowed, &allowed))
        return 0;
    for (int processor = 0; processor < CPU_SETSIZE && count < room; processor++)
        if (CPU_ISSET(processor, &allowed))
            processors[count++] = processor;
    return count;
}

long machine_peak_kb(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : usage.ru_maxrss;
}

static void *watch_stdin(void *unused) {
    char ignored[256];
    ssize_t size;
    while ((size = read(STDIN_FILENO, ignored, sizeof ignored)) > 0 || (size < 0 && errno == EINTR))
        ;
    _exit(STATUS_LIFELINE);
    return unused;
}

void machine_hold_lifeline(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch_stdin, NULL))
        fail("threads", "cannot watch stdin");
    pthread_detach(thread);
}
