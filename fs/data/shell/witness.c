/* The witness's state on the disks. See witness.h. */
#include "fs/data/shell/witness.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

enum { FILE_MAX_BYTES = 4096 };

struct hd_witness_file {
    struct hd_store *store;
    pthread_mutex_t lock; /* held across the disks: requests are rare and in order */
    struct hd_witness_state state;
};

/* --- the file --- */

static int encode(const struct hd_witness_state *s, struct hd_buf *out)
{
    int err = hd_buf_addf(out,
                          "# who is primary, as this node was told: do not edit\n"
                          "epoch=%" PRIu64 "\nowner=%" PRIu64 "\nserial=%" PRIu64
                          "\nexposed=%d\ntxid=%" PRIu64 "\naddress=%s\nend=1\n",
                          s->w.epoch, s->w.owner, s->w.serial, s->w.exposed, s->txid, s->address);
    return err < 0 ? err
                   : hd_buf_addf(out, "crc=%08" PRIx32 "\n", hd_crc32c(0, out->data, out->size));
}

/* The last line is the CRC32C of those before it; files of older versions have none. */
static bool is_sound(const char *text)
{
    const char *line = strstr(text, "\ncrc=");
    return line == NULL ||
           strtoul(line + 5, NULL, 16) == hd_crc32c(0, text, (size_t)(line + 1 - text));
}

static int decode(char *text, struct hd_witness_state *ret)
{
    struct hd_witness_state s = {0};
    bool end = false;
    if (!is_sound(text)) {
        return -HD_E_CORRUPT;
    }
    for (char *line = strsep(&text, "\n"); line != NULL; line = strsep(&text, "\n")) {
        char *equals = strchr(line, '=');
        if (line[0] == '#' || equals == NULL) {
            continue;
        }
        *equals = '\0';
        const char *value = equals + 1;
        uint64_t number = strtoull(value, NULL, 10);
        if (strcmp(line, "epoch") == 0) {
            s.w.epoch = number;
        } else if (strcmp(line, "owner") == 0) {
            s.w.owner = number;
        } else if (strcmp(line, "serial") == 0) {
            s.w.serial = number;
        } else if (strcmp(line, "exposed") == 0) {
            s.w.exposed = number != 0;
        } else if (strcmp(line, "txid") == 0) {
            s.txid = number;
        } else if (strcmp(line, "address") == 0) {
            snprintf(s.address, sizeof(s.address), "%s", value);
        } else if (strcmp(line, "end") == 0) {
            end = true;
        }
    }
    if (!end || s.w.epoch == 0) {
        return -HD_E_CORRUPT;
    }
    *ret = s;
    return 0;
}

static void path_in(const char *dir, char out[HD_LAYOUT_PATH_BYTES + 16])
{
    snprintf(out, HD_LAYOUT_PATH_BYTES + 16, "%s/witness", dir);
}

static bool newer(const struct hd_witness *a, const struct hd_witness *b)
{
    return a->epoch != b->epoch ? a->epoch > b->epoch : a->serial > b->serial;
}

static void load_one(struct hd_witness_file *f, const char *dir)
{
    char path[HD_LAYOUT_PATH_BYTES + 16];
    HD_AUTO(hd_buf_done) struct hd_buf content = {0};
    struct hd_witness_state s;
    path_in(dir, path);
    int err = hd_file_read(path, FILE_MAX_BYTES, &content);
    if (err == -ENOENT) {
        return;
    }
    if (err == 0 && hd_buf_str(&content) == NULL) {
        err = -ENOMEM;
    }
    if (err == 0) {
        err = decode((char *)content.data, &s);
    }
    if (err < 0) {
        hd_log_warn("witness file cannot be read", "path=%s reason=\"%s\"", path,
                    hd_error_name(err));
    } else if (newer(&s.w, &f->state.w)) {
        f->state = s;
    }
}

/* Every healthy directory gets it; one that fails is a node that must not promise anything. */
static int store_all(struct hd_witness_file *f, const struct hd_witness_state *s)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {.max = FILE_MAX_BYTES};
    struct hd_volume_info *volumes = calloc(HD_STORE_VOLUMES_MAX, sizeof(*volumes));
    int err = volumes == NULL ? -ENOMEM : encode(s, &text);
    int n = err < 0 ? 0 : hd_store_volumes(f->store, volumes, HD_STORE_VOLUMES_MAX);
    for (int i = 0; i < n && err == 0; i++) {
        char path[HD_LAYOUT_PATH_BYTES + 16];
        path_in(volumes[i].dir, path);
        err = hd_file_replace(path, text.data, text.size, 0644);
    }
    free(volumes);
    return err == 0 && n == 0 ? hd_fail(-HD_E_IO, "no directory is left to be a witness in") : err;
}

/* --- */

int hd_witness_open(struct hd_store *store, struct hd_witness_file **ret)
{
    struct hd_witness_file *f = calloc(1, sizeof(*f));
    struct hd_volume_info *volumes = calloc(HD_STORE_VOLUMES_MAX, sizeof(*volumes));
    if (f == NULL || volumes == NULL) {
        free(f);
        free(volumes);
        return -ENOMEM;
    }
    f->store = store;
    pthread_mutex_init(&f->lock, NULL);
    int n = hd_store_volumes(store, volumes, HD_STORE_VOLUMES_MAX);
    for (int i = 0; i < n; i++) {
        load_one(f, volumes[i].dir);
    }
    free(volumes);
    *ret = f;
    return 0;
}

void hd_witness_close(struct hd_witness_file *f)
{
    if (f != NULL) {
        pthread_mutex_destroy(&f->lock);
        free(f);
    }
}

void hd_witness_get(struct hd_witness_file *f, struct hd_witness_state *ret)
{
    pthread_mutex_lock(&f->lock);
    *ret = f->state;
    pthread_mutex_unlock(&f->lock);
}

int hd_witness_take(struct hd_witness_file *f, const struct hd_witness_request *r,
                    const char *address, uint64_t txid, struct hd_witness_state *ret)
{
    pthread_mutex_lock(&f->lock);
    struct hd_witness_state next = f->state;
    bool accepted = hd_witness_ask(&next.w, r);
    int err = 0;
    if (accepted && !r->ask_only) {
        next.txid = txid;
        snprintf(next.address, sizeof(next.address), "%s", address);
        err = store_all(f, &next);
        if (err == 0) {
            f->state = next;
        }
    }
    *ret = f->state;
    pthread_mutex_unlock(&f->lock);
    return err < 0 ? err : accepted;
}
