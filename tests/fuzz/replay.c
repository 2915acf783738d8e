/* replay.c FOLDER -- gives every file of a corpus to a fuzz target, with any compiler: what was
 * found once stays found. Fails where there is none. */
#define _POSIX_C_SOURCE 200809L
#include "fuzz.h"

#include <dirent.h>

enum { ROOM = 1 << 20 };

static void replay(const char *folder, const char *name)
{
    char path[4096];
    uint8_t *bytes = malloc(ROOM);
    HOLDS(bytes && (size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path);
    FILE *f = fopen(path, "rb");
    HOLDS(f);
    size_t n = fread(bytes, 1, ROOM, f);
    HOLDS(n < ROOM && fclose(f) == 0);
    uint8_t *exact = malloc(n ? n : 1); /* so that a byte too many is seen */
    HOLDS(exact);
    memcpy(exact, bytes, n);
    HOLDS(LLVMFuzzerTestOneInput(exact, n) == 0);
    free(exact);
    free(bytes);
}

int main(int argc, char **argv)
{
    int files = 0;
    HOLDS(argc == 2);
    DIR *folder = opendir(argv[1]);
    HOLDS(folder);
    for (struct dirent *e; (e = readdir(folder)) != NULL;)
        if (e->d_name[0] != '.') {
            replay(argv[1], e->d_name);
            files++;
        }
    closedir(folder);
    printf("%d files\n", files);
    return files == 0;
}
