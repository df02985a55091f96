/*
 * Pushes: what a session is told, in its parked poll, until it has answered; and the answers of
 * calls that wait for that.
 */
#include "meta/core/mem.h"
#include "meta/core/session_impl.h"

/* ---- held answers ---- */

struct hd_hold *hd_hold_new(struct hd_sessions *x, const struct hd_meta_reply *reply,
                            const struct hd_meta_event *event)
{
    struct hd_hold *h = HD_MEM_NEW(struct hd_hold);
    h->reply = *reply;
    h->call_id = -1;
    if (event->client_id_size == sizeof(h->client_id)) {
        memcpy(h->client_id, event->client_id, sizeof(h->client_id));
        h->call_id = event->call_id;
    }
    if (reply->err < 0) {
        const char *text = reply->text != NULL ? reply->text : "";
        h->reply.text = hd_mem_str(text, strlen(text));
    } else { /* now: what it points to moves on */
        size_t size = protobuf_c_message_get_packed_size(reply->response);
        uint8_t *body = hd_mem_new(size + 1);
        protobuf_c_message_pack(reply->response, body);
        h->reply.body = body;
        h->reply.body_size = size;
    }
    h->reply.response = NULL;
    hd_list_push_back(&x->holds, &h->link);
    return h;
}

bool hd_hold_join(struct hd_sessions *x, const struct hd_meta_event *event)
{
    HD_LIST_FOR(it, &x->holds)
    {
        struct hd_hold *h = HD_LIST_ENTRY(it, struct hd_hold, link);
        if (h->call_id >= 0 && h->call_id == event->call_id &&
            event->client_id_size == sizeof(h->client_id) &&
            memcmp(h->client_id, event->client_id, sizeof(h->client_id)) == 0) {
            HD_MEM_GROW(h->also, h->also_count, h->also_capacity);
            h->also[h->also_count++] = event->token;
            return true;
        }
    }
    return false;
}

static void hold_free(struct hd_hold *h)
{
    hd_list_remove(&h->link);
    free(h->also);
    if (h->reply.err < 0) {
        free(hd_unconst(h->reply.text));
    }
    free((void *)(uintptr_t)h->reply.body);
    free(h);
}

static void answer(struct hd_meta_effects *e, const struct hd_hold *h, uint64_t token)
{
    HD_MEM_GROW(e->replies, e->reply_count, e->reply_capacity);
    struct hd_meta_reply *r = &e->replies[e->reply_count++];
    *r = h->reply;
    r->token = token;
    if (r->err < 0) {
        r->text = hd_arena_str(&e->arena, r->text);
    } else {
        r->body = hd_arena_copy(&e->arena, r->body, r->body_size + 1);
        hd_assert(r->body != NULL);
    }
}

/* The grant is on its way: now it can be recalled. */
static void end_granting(struct hd_meta *m, const struct hd_hold *h)
{
    struct hd_session *s = h->granted_to != 0 ? hd_session_find(m->sessions, h->granted_to) : NULL;
    struct hd_known *k = s != NULL ? hd_known_find(m->sessions, h->granted_ino, s) : NULL;
    if (k != NULL) {
        k->bits &= (uint8_t)~HD_KNOWN_GRANTING;
        hd_caps_kick(m, k->ino);
    }
}

/* One push less that it waits for. */
static void hold_less(struct hd_meta *m, struct hd_hold *h)
{
    hd_assert(h->pending > 0);
    if (--h->pending > 0) {
        return;
    }
    if (m->fx != NULL) { /* else the core is being freed */
        answer(m->fx, h, h->reply.token);
        for (size_t n = 0; n < h->also_count; n++) {
            answer(m->fx, h, h->also[n]);
        }
        end_granting(m, h);
    }
    hold_free(h);
}

void hd_push_hold(struct hd_push *p, struct hd_hold *hold)
{
    if (p->hold_count > 0 && p->holds[p->hold_count - 1] == hold) {
        return;
    }
    HD_MEM_GROW(p->holds, p->hold_count, p->hold_capacity);
    p->holds[p->hold_count++] = hold;
    hold->pending++;
}

/* ---- a push's life ---- */

struct hd_push *hd_push_new(struct hd_meta *m, struct hd_session *s, Hdw__PushKind kind,
                            uint64_t ino)
{
    struct hd_push *p = HD_MEM_NEW(struct hd_push);
    p->serial = ++s->serial;
    p->kind = kind;
    p->ino = ino;
    p->txid = m->ns.txid;
    p->made = m->now;
    int err = hd_map_put(&s->by_serial, p->serial, p);
    hd_assert(err == 0);
    hd_list_push_back(&s->pushes, &p->link);
    hd_list_remove(&s->tell);
    hd_list_push_back(&m->sessions->to_tell, &s->tell);
    return p;
}

void hd_push_end(struct hd_meta *m, struct hd_session *s, struct hd_push *p)
{
    hd_list_remove(&p->link);
    (void)hd_map_remove(&s->by_serial, p->serial);
    for (size_t n = 0; n < p->hold_count; n++) {
        hold_less(m, p->holds[n]);
    }
    free(p->holds);
    free(p->name);
    free(p);
}

void hd_push_answered(struct hd_meta *m, struct hd_session *s, uint64_t serial, bool held)
{
    struct hd_push *p = hd_map_get(&s->by_serial, serial);
    if (p == NULL) {
        return; /* answered before */
    }
    s->answered = m->now;
    struct hd_known *k = hd_known_find(m->sessions, p->ino, s);
    struct hd_due *due = k != NULL ? hd_due_find(k) : NULL;
    uint64_t ino = p->ino;
    switch (p->kind) {
    case HDW__PUSH_KIND__PUSH_ATTR:
        if (due != NULL && due->attr == serial) {
            due->attr = 0;
        }
        break;
    case HDW__PUSH_KIND__PUSH_ENTRIES:
        if (due != NULL && due->entries == serial) {
            due->entries = 0;
        }
        break;
    case HDW__PUSH_KIND__PUSH_RECALL:
        if (k != NULL) {
            hd_caps_lower(m, k, p->keep, serial); /* ends the push */
            return;
        }
        break;
    case HDW__PUSH_KIND__PUSH_GONE:
        if (k != NULL) {
            k->bits &= (uint8_t)~HD_KNOWN_ASKED;
            k->bits |= held ? HD_KNOWN_HELD : 0;
        }
        hd_push_end(m, s, p);
        hd_caps_check_orphan(m, ino);
        return;
    case HDW__PUSH_KIND__PUSH_ENTRY:
    case HDW__PUSH_KIND__PUSH_LOCK:
    case _HDW__PUSH_KIND_IS_INT_SIZE:
        break;
    }
    if (k != NULL) {
        hd_due_settle(m->sessions, k);
    }
    hd_push_end(m, s, p);
}

/* ---- the poll that carries them ---- */

static Hdw__Push *describe(struct hd_meta *m, const struct hd_push *p)
{
    Hdw__Push *r = HD_MSG(m, Hdw__Push, hdw__push);
    r->serial = p->serial;
    r->kind = p->kind;
    r->ino = p->ino;
    r->txid = p->txid.v;
    switch (p->kind) {
    case HDW__PUSH_KIND__PUSH_ENTRY:
        r->has_name = r->has_child = true;
        r->name.data = (uint8_t *)p->name;
        r->name.len = p->name_size;
        r->child = p->child;
        break;
    case HDW__PUSH_KIND__PUSH_RECALL:
        r->has_keep = true;
        r->keep = (Hdw__CapKind)p->keep;
        break;
    case HDW__PUSH_KIND__PUSH_LOCK:
        r->has_wait_id = r->has_error = true;
        r->wait_id = p->wait_id;
        r->error = p->error;
        break;
    case HDW__PUSH_KIND__PUSH_ATTR:
    case HDW__PUSH_KIND__PUSH_ENTRIES:
    case HDW__PUSH_KIND__PUSH_GONE:
    case _HDW__PUSH_KIND_IS_INT_SIZE:
        break;
    }
    return r;
}

static bool is_to_be_sent(const struct hd_meta *m, const struct hd_session *s,
                          const struct hd_push *p)
{
    return p->sent.v == 0 || p->sent_conn != s->poll_conn ||
           hd_meta_past(m, p->sent, HD_PUSH_REPEAT_MS);
}

void hd_push_deliver(struct hd_meta *m, struct hd_session *s)
{
    if (s->poll_token == 0) {
        return;
    }
    size_t count = 0;
    Hdw__Push *pushes[HD_PUSHES_PER_POLL];
    HD_LIST_FOR(it, &s->pushes)
    {
        struct hd_push *p = HD_LIST_ENTRY(it, struct hd_push, link);
        if (count == HD_PUSHES_PER_POLL) {
            break;
        }
        if (is_to_be_sent(m, s, p)) {
            p->sent = m->now;
            p->sent_conn = s->poll_conn;
            pushes[count++] = describe(m, p);
        }
    }
    if (count == 0 && m->now.v < s->poll_until.v) {
        return;
    }
    Hdw__PollResponse *r = HD_MSG(m, Hdw__PollResponse, hdw__poll_response);
    r->lease_ms = (uint32_t)hd_session_lease_ms(m);
    r->n_pushes = count;
    r->pushes = HD_TURN_ARRAY(m, Hdw__Push *, count);
    memcpy(r->pushes, pushes, sizeof(*pushes) * count);
    uint64_t token = s->poll_token;
    s->poll_token = 0;
    hd_meta_answer_later(m, token, 0, NULL, &r->base);
}
