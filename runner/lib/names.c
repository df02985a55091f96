/* See names.h. */
#include "runner/lib/names.h"

#include <ctype.h>

bool hd_job_id_valid(const char *text)
{
    size_t size = strlen(text);
    if (size < 13 || size >= HD_JOB_ID_BYTES || text[8] != '-') {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (i != 8 && !isdigit((unsigned char)text[i])) {
            return false;
        }
    }
    return true;
}

void hd_task_name(Hdw__RunnerTaskKind kind, uint32_t index, char out[HD_NAME_BYTES])
{
    snprintf(out, HD_NAME_BYTES, "%c_%06u", kind == HDW__RUNNER_TASK_KIND__TASK_MAP ? 'm' : 'r',
             index);
}

void hd_attempt_name(const Hdw__RunnerAttemptKey *key, char out[HD_NAME_BYTES])
{
    char task[HD_NAME_BYTES];
    hd_task_name(key->kind, key->index, task);
    snprintf(out, HD_NAME_BYTES, "%.40s_%u", task, key->number);
}

void hd_part_name(uint32_t index, char out[HD_NAME_BYTES])
{
    snprintf(out, HD_NAME_BYTES, "part-%05u", index);
}

void hd_attempt_part_name(const Hdw__RunnerAttemptKey *key, char out[HD_NAME_BYTES])
{
    char attempt[HD_NAME_BYTES];
    hd_attempt_name(key, attempt);
    snprintf(out, HD_NAME_BYTES, "_attempt_%.40s", attempt);
}
