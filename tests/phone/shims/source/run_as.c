/* Android's run-as: for the shell only, for debuggable packages only, in the package's folder, as the package's user.
 * /data/system/packages.list has a line for each package: NAME UID DEBUGGABLE FOLDER ...
 */
#include <errno.h>
#include <error.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words)
{
    char line[512], name[128], folder[256];
    unsigned user = 0, debuggable = 0, found = 0;
    FILE *packages = fopen("/data/system/packages.list", "r");

    if (getuid() != 2000 && getuid() != 0)
        error(1, 0, "only 'shell' or 'root' users can run this program");
    if (count < 2)
        error(1, 0, "usage: run-as <package-name> [--user <uid>] <command> [<args>]\n");
    while (packages && !found && fgets(line, sizeof line, packages))
        found = sscanf(line, "%127s %u %u %255s", name, &user, &debuggable, folder) == 4 && !strcmp(name, words[1]);
    if (!found)
        error(1, 0, "unknown package: %s", words[1]);
    if (!debuggable)
        error(1, 0, "package not debuggable: %s", words[1]);
    if (setgroups(0, NULL) || setresgid(user, user, user) || setresuid(user, user, user))
        error(1, errno, "couldn't change user");
    if (chdir(folder))
        error(1, errno, "couldn't chdir to package's data directory");
    setenv("HOME", "/", 1);
    setenv("PATH", "/product/bin:/system/bin:/system/xbin:/vendor/bin", 1);
    if (count > 2) {
        execvp(words[2], words + 2);
        error(1, errno, "exec failed for %s", words[2]);
    }
    execl("/system/bin/sh", "sh", NULL);
    error(1, errno, "exec failed");
}
