/* Intrusive doubly linked list. A head is a node that points at itself while empty. */
#ifndef HD_BASE_LIST_H
#define HD_BASE_LIST_H

struct hd_list {
    struct hd_list *next;
    struct hd_list *prev;
};

static inline void hd_list_init(struct hd_list *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool hd_list_empty(const struct hd_list *head)
{
    return head->next == head;
}

static inline void hd_list_insert_between(struct hd_list *node, struct hd_list *prev,
                                          struct hd_list *next)
{
    node->prev = prev;
    node->next = next;
    prev->next = node;
    next->prev = node;
}

static inline void hd_list_push_back(struct hd_list *head, struct hd_list *node)
{
    hd_list_insert_between(node, head->prev, head);
}

static inline void hd_list_push_front(struct hd_list *head, struct hd_list *node)
{
    hd_list_insert_between(node, head, head->next);
}

/* Unlinks; the node is a list of its own again, so a second removal does no harm. */
static inline void hd_list_remove(struct hd_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    hd_list_init(node);
}

static inline struct hd_list *hd_list_pop_front(struct hd_list *head)
{
    struct hd_list *node = head->next;
    if (node == head) {
        return NULL;
    }
    hd_list_remove(node);
    return node;
}

#define HD_LIST_ENTRY(node, type, member) HD_CONTAINER(node, type, member)

#define HD_LIST_FOR(it, head) for (struct hd_list *it = (head)->next; it != (head); it = it->next)

/* The body may remove `it`. */
#define HD_LIST_FOR_SAFE(it, head)                                                                 \
    for (struct hd_list *it = (head)->next, *it##_next = it->next; it != (head);                   \
         it = it##_next, it##_next = it->next)

#endif
