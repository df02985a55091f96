/* A drill's plan, ledger and journal of inverses with any content: read or refused. */
#include "fs/base/assert.h"
#include "fs/os/file.h"
#include "tools/drill/journal.h"
#include "tools/drill/ledger.h"
#include "tools/drill/plan.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_plan(const uint8_t *data, size_t size)
{
    static struct hd_plan plan;
    char path[64];
    int fd = memfd_create("plan", MFD_CLOEXEC);
    hd_assert(fd >= 0 && hd_fd_write(fd, data, size) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (hd_plan_load(path, &plan) == 0) {
        hd_assert(plan.count <= HD_PLAN_STEPS_MAX);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hd_ledger_record record;
    static struct hd_inverse inverse;
    if (size == 0) {
        return 0;
    }
    char *text = malloc(size);
    hd_assert(text != NULL);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    switch (data[0] % 3) {
    case 0:
        try_plan(data + 1, size - 1);
        break;
    case 1:
        if (hd_ledger_decode(text, &record) == 0) {
            static char line[1 << 16];
            static struct hd_ledger_record again;
            int n = hd_ledger_encode(&record, line, sizeof(line));
            hd_assert(n < 0 || hd_ledger_decode(line, &again) == 0);
        }
        break;
    default:
        if (hd_inverse_decode(text, &inverse) == 0) {
            for (size_t i = 0; i < HD_ARRAY_COUNT(inverse.args); i++) {
                free(inverse.args[i]);
            }
        }
        break;
    }
    free(text);
    return 0;
}
