/* Runs a fuzz target over files and folders, so that plain gcc replays a corpus. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 8 * 1024 * 1024 };

static int replay_file(const char *path, size_t *count) {
    FILE *file = fopen(path, "rb");
    unsigned char *data = malloc(INPUT_MAX);
    int rc = -1;
    if (file != NULL && data != NULL) {
        size_t size = fread(data, 1, INPUT_MAX, file);
        /* An exact copy lets valgrind and ASan see a read past the end. */
        unsigned char *exact = malloc(size == 0 ? 1 : size);
        if (exact != NULL && !ferror(file)) {
            memcpy(exact, data, size);
            LLVMFuzzerTestOneInput(exact, size);
            ++*count;
            rc = 0;
        }
        free(exact);
    }
    if (rc < 0)
        fprintf(stderr, "cannot replay %s\n", path);
    free(data);
    if (file != NULL)
        fclose(file);
    return rc;
}

static int replay_folder(const char *path, size_t *count) {
    DIR *dir = opendir(path);
    if (dir == NULL)
        return replay_file(path, count);
    int rc = 0;
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        char inner[4096];
        if (snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name) >= (int)sizeof inner ||
            replay_file(inner, count) < 0)
            rc = -1;
    }
    closedir(dir);
    return rc;
}

int main(int argc, char **argv) {
    size_t count = 0;
    int rc = 0;
    for (int i = 1; i < argc; i++)
        if (replay_folder(argv[i], &count) < 0)
            rc = -1;
    printf("replayed %zu inputs\n", count);
    return rc < 0 || count == 0;
}
