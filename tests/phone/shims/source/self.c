/* adb starts its server from /proc/self/exe. That is ld.so where ld.so starts adb: say the wrapper's path instead. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

ssize_t readlink(const char *path, char *buffer, size_t size)
{
    ssize_t (*real)(const char *, char *, size_t) = dlsym(RTLD_NEXT, "readlink");
    const char *self = getenv("ADB_SELF");

    if (!self || strcmp(path, "/proc/self/exe"))
        return real(path, buffer, size);
    size = strlen(self) < size ? strlen(self) : size;
    memcpy(buffer, self, size);
    return size;
}
