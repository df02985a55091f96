/* Arithmetic of layout.h. */
#include "fs/client/core/layout.h"

int hd_extent_find(const struct hd_extent *extents, size_t count, uint64_t offset)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct hd_extent *e = &extents[middle];
        if (offset < e->offset_bytes) {
            high = middle;
        } else if (offset - e->offset_bytes >= e->size_bytes) {
            low = middle + 1;
        } else {
            return (int)middle;
        }
    }
    return -1;
}

uint64_t hd_chunk_floor(uint64_t v, uint32_t chunk_bytes)
{
    return v - v % chunk_bytes;
}

uint64_t hd_chunk_ceil(uint64_t v, uint32_t chunk_bytes)
{
    uint64_t over = v % chunk_bytes;
    return over == 0 ? v : v + (chunk_bytes - over);
}

size_t hd_packet_room(uint64_t offset, uint64_t block_bytes, uint32_t chunk_bytes, size_t max_bytes)
{
    if (offset >= block_bytes) {
        return 0;
    }
    uint64_t left = block_bytes - offset;
    uint64_t inside = offset % chunk_bytes;
    if (inside != 0) {
        return (size_t)HD_MIN(left, chunk_bytes - inside);
    }
    uint64_t whole = HD_MAX(hd_chunk_floor(max_bytes, chunk_bytes), (uint64_t)chunk_bytes);
    return (size_t)HD_MIN(left, whole);
}

size_t hd_packet_keep(uint64_t offset, uint64_t end, uint32_t chunk_bytes)
{
    if (end % chunk_bytes == 0) {
        return 0;
    }
    uint64_t start = HD_MAX(hd_chunk_floor(end, chunk_bytes), offset);
    return (size_t)(end - start);
}

bool hd_sequence_note(struct hd_sequence *s, uint64_t offset, uint64_t size, uint64_t slack_bytes)
{
    uint64_t end = offset + size;
    for (size_t i = 0; i < HD_SEQUENCE_ENDS; i++) {
        uint64_t last = s->ends[i];
        if (last == 0) {
            continue;
        }
        if (offset >= last && offset - last <= slack_bytes) {
            s->ends[i] = end;
            return true;
        }
        if (offset < last && last - offset <= slack_bytes) { /* a straggler */
            s->ends[i] = HD_MAX(last, end);
            return true;
        }
    }
    s->ends[s->next] = end;
    s->next = (s->next + 1) % HD_SEQUENCE_ENDS;
    return false;
}
