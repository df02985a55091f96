/* Local replicas of local_cache.h. */
#include "fs/client/local_cache.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/client/core/layout.h"
#include "fs/client/transfer.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BLOCKS_MAX = 128, /* two descriptors each */
    UNUSED_MS = 60000,
    REFUSED_MS = 30000,
    SOCKET_TIMEOUT_MS = 300,
    SHORT_CIRCUIT_VERSION = 1,
    META_HEADER_BYTES = 7,
    META_VERSION = 1,
    SUMS_RUN_BYTES = 4096, /* sums of 512 KiB at 512 bytes a chunk */
};

void hd_local_cache_init(struct hd_local_cache *c)
{
    *c = (struct hd_local_cache){.count = 0};
    pthread_mutex_init(&c->lock, NULL);
    hd_list_init(&c->blocks);
}

static void block_free(struct hd_local_block *b)
{
    hd_fd_done(&b->data_fd);
    hd_fd_done(&b->sums_fd);
    free(b);
}

void hd_local_cache_done(struct hd_local_cache *c)
{
    struct hd_list *node;
    while ((node = hd_list_pop_front(&c->blocks)) != NULL) {
        block_free(HD_LIST_ENTRY(node, struct hd_local_block, link));
    }
    pthread_mutex_destroy(&c->lock);
}

/* Under the lock: takes b out of the cache; true when that was the last reference. */
static bool unlink_block(struct hd_local_cache *c, struct hd_local_block *b)
{
    if (hd_list_empty(&b->link)) {
        return false;
    }
    hd_list_remove(&b->link);
    c->count--;
    return --b->refs == 0;
}

static struct hd_local_block *lookup(struct hd_local_cache *c, uint64_t id, uint64_t genstamp)
{
    HD_LIST_FOR(it, &c->blocks)
    {
        struct hd_local_block *b = HD_LIST_ENTRY(it, struct hd_local_block, link);
        if (b->id == id && b->genstamp == genstamp) {
            hd_list_remove(it);
            hd_list_push_front(&c->blocks, it);
            b->refs++;
            b->used_ms = hd_clock_mono_ms().v;
            return b;
        }
    }
    return NULL;
}

void hd_local_cache_trim(struct hd_local_cache *c)
{
    struct hd_list gone;
    hd_list_init(&gone);
    int64_t now = hd_clock_mono_ms().v;
    pthread_mutex_lock(&c->lock);
    while (!hd_list_empty(&c->blocks)) { /* the one used longest ago is last */
        struct hd_local_block *b = HD_LIST_ENTRY(c->blocks.prev, struct hd_local_block, link);
        if (now - b->used_ms < UNUSED_MS) {
            break;
        }
        if (unlink_block(c, b)) {
            hd_list_push_back(&gone, &b->link);
        }
    }
    pthread_mutex_unlock(&c->lock);
    struct hd_list *node;
    while ((node = hd_list_pop_front(&gone)) != NULL) {
        block_free(HD_LIST_ENTRY(node, struct hd_local_block, link));
    }
}

static bool is_refused(const struct hd_local_cache *c, int port, int64_t now)
{
    for (size_t i = 0; i < HD_LOCAL_REFUSALS_MAX; i++) {
        if (c->refusals[i].port == port && now < c->refusals[i].until_ms) {
            return true;
        }
    }
    return false;
}

static void refuse(struct hd_local_cache *c, int port, int64_t now)
{
    struct hd_local_refusal *best = &c->refusals[0];
    for (size_t i = 0; i < HD_LOCAL_REFUSALS_MAX; i++) {
        if (c->refusals[i].port == port) {
            best = &c->refusals[i];
            break;
        }
        if (c->refusals[i].until_ms < best->until_ms) {
            best = &c->refusals[i];
        }
    }
    *best = (struct hd_local_refusal){port, now + REFUSED_MS};
}

/* The text of path with "_PORT" replaced by "_<port>". */
static int socket_name(const char *path, int port, char *out, size_t size)
{
    const char *mark = strstr(path, "_PORT");
    int n = mark == NULL ? snprintf(out, size, "%s", path)
                         : snprintf(out, size, "%.*s_%d%s", (int)(mark - path), path, port,
                                    mark + sizeof("_PORT") - 1);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int ask(struct hd_stream *s, const Hdw__ExtendedBlock *block, Hdw__Token *token,
               bool lets_go, int fds[2])
{
    struct hd_block_header header;
    hd_block_header_init(&header, block, token, "");
    Hdw__OpRequestShortCircuitAccess request = HDW__OP_REQUEST_SHORT_CIRCUIT_ACCESS__INIT;
    request.header = &header.base;
    request.max_version = SHORT_CIRCUIT_VERSION;
    request.has_lets_go = request.lets_go = lets_go;
    int err = hd_transfer_request(s, HD_OP_REQUEST_SHORT_CIRCUIT_FDS, &request.base);
    if (err < 0) {
        return err;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__BlockOpResponse *response;
    err = hd_transfer_response(s, &arena, &response);
    if (err < 0) {
        return err;
    }
    err = hd_transfer_error(response, "local data node", "short circuit");
    if (err < 0) {
        return err;
    }
    uint8_t verify;
    int count;
    err = hd_stream_recv_fds(s, &verify, 1, fds, 2, &count);
    if (err < 0) {
        return err;
    }
    if (count != 2) {
        if (count == 1) {
            hd_fd_done(&fds[0]);
        }
        return hd_fail(-HD_E_BAD_MESSAGE, "local data node passed %d descriptors", count);
    }
    if (verify != 0) {
        uint8_t received = 0;
        (void)hd_stream_write(s, &received, 1);
    }
    return 0;
}

/* Reads the header of the sums file and the size; takes the descriptors. */
static int block_new(const Hdw__ExtendedBlock *block, const int fds[2], struct hd_local_block **ret)
{
    struct hd_local_block *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        close(fds[0]);
        close(fds[1]);
        return -ENOMEM;
    }
    b->data_fd = fds[0];
    b->sums_fd = fds[1];
    b->id = block->block_id;
    b->genstamp = block->generation_stamp;
    b->refs = 2; /* the cache's and the caller's */
    hd_list_init(&b->link);
    uint8_t header[META_HEADER_BYTES];
    struct stat st;
    int err = hd_fd_pread(b->sums_fd, header, sizeof(header), 0);
    if (err == 0 && fstat(b->data_fd, &st) < 0) {
        err = -errno;
    }
    if (err == 0) {
        b->type = (enum hd_checksum_type)header[2];
        b->chunk_bytes = hd_get_be32(header + 3);
        b->size_bytes = (uint64_t)st.st_size;
        bool known = hd_get_be16(header) == META_VERSION && header[2] <= HD_CHECKSUM_CRC32C;
        if (!known || b->chunk_bytes == 0 || b->chunk_bytes > 1u << 20) {
            err =
                hd_fail(-HD_E_CORRUPT, "blk_%llu: unreadable sums file", (unsigned long long)b->id);
        }
    }
    if (err < 0) {
        block_free(b);
        return err;
    }
    *ret = b;
    return 0;
}

static int fetch(const struct hd_local_cache *c, const char *socket_path, int port,
                 const Hdw__ExtendedBlock *block, Hdw__Token *token, struct hd_local_block **ret)
{
    char path[256];
    int err = socket_name(socket_path, port, path, sizeof(path));
    int fd = -1;
    if (err == 0) {
        err = hd_addr_connect_unix(path, &fd);
    }
    if (err < 0) {
        return err;
    }
    struct hd_stream s;
    err = hd_stream_init(&s, fd, SOCKET_TIMEOUT_MS, 512);
    if (err < 0) {
        return err;
    }
    int fds[2];
    err = ask(&s, block, token, atomic_load(&c->lets_go), fds);
    hd_stream_done(&s);
    return err < 0 ? err : block_new(block, fds, ret);
}

/* A refusal of this one block (it is being written, it moved) says nothing about the next. */
static bool is_of_the_node(int err)
{
    return err != -HD_E_IO && err != -EACCES && err != -HD_E_CORRUPT && err != -ENOMEM;
}

int hd_local_cache_get(struct hd_local_cache *c, const char *socket_path, int port,
                       const Hdw__ExtendedBlock *block, Hdw__Token *token,
                       struct hd_local_block **ret)
{
    int64_t now = hd_clock_mono_ms().v;
    pthread_mutex_lock(&c->lock);
    *ret = lookup(c, block->block_id, block->generation_stamp);
    bool refused = *ret == NULL && is_refused(c, port, now);
    pthread_mutex_unlock(&c->lock);
    if (*ret != NULL) {
        return 0;
    }
    if (refused) {
        return -ENOENT;
    }
    hd_local_cache_trim(c);
    struct hd_local_block *b;
    int err = fetch(c, socket_path, port, block, token, &b);
    struct hd_local_block *oldest = NULL;
    pthread_mutex_lock(&c->lock);
    if (err < 0) {
        if (is_of_the_node(err)) {
            refuse(c, port, now);
        }
    } else {
        b->used_ms = now;
        hd_list_push_front(&c->blocks, &b->link);
        if (++c->count > BLOCKS_MAX) {
            oldest = HD_LIST_ENTRY(c->blocks.prev, struct hd_local_block, link);
            oldest = unlink_block(c, oldest) ? oldest : NULL;
        }
        *ret = b;
    }
    pthread_mutex_unlock(&c->lock);
    if (oldest != NULL) {
        block_free(oldest);
    }
    return err;
}

void hd_local_cache_put(struct hd_local_cache *c, struct hd_local_block *b)
{
    pthread_mutex_lock(&c->lock);
    bool last = --b->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (last) {
        block_free(b);
    }
}

void hd_local_cache_drop(struct hd_local_cache *c, struct hd_local_block *b)
{
    pthread_mutex_lock(&c->lock);
    (void)unlink_block(c, b); /* the caller's reference keeps it */
    pthread_mutex_unlock(&c->lock);
}

static int verify(const struct hd_local_block *b, const uint8_t *data, size_t size, uint64_t offset)
{
    if (b->type == HD_CHECKSUM_NULL) {
        return 0;
    }
    uint8_t sums[SUMS_RUN_BYTES];
    size_t run = sizeof(sums) / 4 * b->chunk_bytes;
    for (size_t at = 0; at < size; at += run) {
        size_t n = HD_MIN(run, size - at);
        size_t count = (n + b->chunk_bytes - 1) / b->chunk_bytes;
        uint64_t index = (offset + at) / b->chunk_bytes;
        int err = hd_fd_pread(b->sums_fd, sums, count * 4, META_HEADER_BYTES + index * 4);
        if (err < 0) {
            return err;
        }
        int64_t bad = hd_checksum_verify(b->type, b->chunk_bytes, data + at, n, sums);
        if (bad >= 0) {
            return hd_fail(-HD_E_CHECKSUM, "blk_%llu: local replica differs from its sums at %llu",
                           (unsigned long long)b->id,
                           (unsigned long long)(offset + at + (uint64_t)bad * b->chunk_bytes));
        }
    }
    return 0;
}

/* One chunk that is wanted only in part. */
static int read_part(const struct hd_local_block *b, uint8_t *out, size_t size, uint64_t offset)
{
    uint64_t start = hd_chunk_floor(offset, b->chunk_bytes);
    size_t whole = (size_t)HD_MIN((uint64_t)b->chunk_bytes, b->size_bytes - start);
    uint8_t small[4096];
    uint8_t *chunk = whole <= sizeof(small) ? small : malloc(whole);
    if (chunk == NULL) {
        return -ENOMEM;
    }
    int err = hd_fd_pread(b->data_fd, chunk, whole, start);
    if (err == 0) {
        err = verify(b, chunk, whole, start);
    }
    if (err == 0) {
        memcpy(out, chunk + (offset - start), size);
    }
    if (chunk != small) {
        free(chunk);
    }
    return err;
}

int hd_local_block_read(const struct hd_local_block *b, void *out, size_t size, uint64_t offset)
{
    if (offset > b->size_bytes || size > b->size_bytes - offset) {
        return hd_fail(-HD_E_TRUNCATED, "blk_%llu: local replica has %llu bytes",
                       (unsigned long long)b->id, (unsigned long long)b->size_bytes);
    }
    uint8_t *p = out;
    uint64_t end = offset + size;
    while (offset < end) {
        uint64_t next;
        int err;
        uint64_t whole = end == b->size_bytes ? end : hd_chunk_floor(end, b->chunk_bytes);
        if (offset % b->chunk_bytes == 0 && whole > offset) {
            next = whole;
            err = hd_fd_pread(b->data_fd, p, (size_t)(next - offset), offset);
            if (err == 0) {
                err = verify(b, p, (size_t)(next - offset), offset);
            }
        } else {
            next = HD_MIN(end, hd_chunk_floor(offset, b->chunk_bytes) + b->chunk_bytes);
            err = read_part(b, p, (size_t)(next - offset), offset);
        }
        if (err < 0) {
            return err;
        }
        p += next - offset;
        offset = next;
    }
    return 0;
}
