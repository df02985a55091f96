/* FUSE_INIT as Linux sends it and as libfuse answers it. */
#include "fs/mount/init_reply.h"

#include <atf-c.h>
#include <linux/fuse.h>
#include <string.h>

struct init_request {
    struct fuse_in_header head;
    uint32_t major, minor, max_readahead, flags, flags2, unused[11];
};

struct init_reply {
    struct fuse_out_header head;
    struct fuse_init_out body;
};

static struct init_request make_request(uint32_t flags, uint32_t flags2)
{
    return (struct init_request){
        .head = {.len = sizeof(struct init_request), .opcode = FUSE_INIT, .unique = 2},
        .major = 7,
        .minor = 45,
        .flags = flags,
        .flags2 = flags2,
    };
}

static struct init_reply make_reply(uint64_t unique)
{
    return (struct init_reply){
        .head = {.len = sizeof(struct init_reply), .unique = unique},
        .body = {.major = 7, .minor = 38, .flags = 1, .max_write = 1 << 20},
    };
}

ATF_TC_WITHOUT_HEAD(passthrough_is_answered_when_offered_and_wanted);
ATF_TC_BODY(passthrough_is_answered_when_offered_and_wanted, tc)
{
    struct init_request q = make_request(1u << 30 | 1u << 28, 1u << 5);
    struct hd_init_offer offer = {0};
    ATF_REQUIRE(hd_init_request_decode(&q, sizeof(q), &offer));
    ATF_CHECK(offer.passthrough && offer.killpriv_v2);
    struct init_reply a = make_reply(2);
    ATF_REQUIRE(hd_init_reply_matches(&a, sizeof(a), &offer));
    ATF_CHECK(hd_init_reply_complete(&a, &offer, true, true));
    ATF_CHECK_EQ(a.body.flags, 1u | 1u << 30 | 1u << 28);
    ATF_CHECK_EQ(a.body.flags2, 1u << 5);
    ATF_CHECK_EQ(a.body.unused[0], 1);
    ATF_CHECK_EQ(a.body.max_write, 1u << 20);
    a = make_reply(2);
    ATF_CHECK(!hd_init_reply_complete(&a, &offer, false, false));
    ATF_CHECK_EQ(a.body.flags, 1u | 1u << 28);
    ATF_CHECK_EQ(a.body.flags2, 0);
    ATF_CHECK_EQ(a.body.unused[0], 0);
}

ATF_TC_WITHOUT_HEAD(shared_mappings_past_the_page_cache_are_for_who_can_write_anywhere);
ATF_TC_BODY(shared_mappings_past_the_page_cache_are_for_who_can_write_anywhere, tc)
{
    struct init_request q = make_request(1u << 30, 1u << 5 | 1u << 4);
    struct hd_init_offer offer = {0};
    ATF_REQUIRE(hd_init_request_decode(&q, sizeof(q), &offer));
    struct init_reply a = make_reply(2);
    ATF_CHECK(hd_init_reply_complete(&a, &offer, true, true));
    ATF_CHECK_EQ(a.body.flags2, 1u << 5 | 1u << 4);
    a = make_reply(2);
    ATF_CHECK(!hd_init_reply_complete(&a, &offer, false, true));
    ATF_CHECK_EQ(a.body.flags, 1u | 1u << 30);
    ATF_CHECK_EQ(a.body.flags2, 1u << 4);
    a = make_reply(2);
    ATF_CHECK(hd_init_reply_complete(&a, &offer, true, false));
    ATF_CHECK_EQ(a.body.flags2, 1u << 5);
}

ATF_TC_WITHOUT_HEAD(an_older_kernel_is_answered_as_libfuse_does);
ATF_TC_BODY(an_older_kernel_is_answered_as_libfuse_does, tc)
{
    struct hd_init_offer offer = {0};
    struct init_request q = make_request(1, 1u << 5); /* flags2 without INIT_EXT means nothing */
    ATF_REQUIRE(hd_init_request_decode(&q, sizeof(q.head) + 16, &offer));
    ATF_CHECK(!offer.passthrough && !offer.killpriv_v2);
    ATF_REQUIRE(hd_init_request_decode(&q, sizeof(q), &offer));
    ATF_CHECK(!offer.passthrough);
    struct init_reply a = make_reply(2);
    struct init_reply before = a;
    ATF_CHECK(!hd_init_reply_complete(&a, &offer, true, true));
    ATF_CHECK_EQ(memcmp(&a, &before, sizeof(a)), 0);
}

ATF_TC_WITHOUT_HEAD(other_requests_and_answers_are_left_alone);
ATF_TC_BODY(other_requests_and_answers_are_left_alone, tc)
{
    struct init_request q = make_request(1u << 30, 1u << 5);
    struct hd_init_offer offer = {0};
    q.head.opcode = FUSE_LOOKUP;
    ATF_CHECK(!hd_init_request_decode(&q, sizeof(q), &offer));
    q.head.opcode = FUSE_INIT;
    ATF_CHECK(!hd_init_request_decode(&q, sizeof(q.head) - 1, &offer));
    struct init_reply a = make_reply(2);
    ATF_CHECK(!hd_init_reply_matches(&a, sizeof(a), &offer)); /* nothing asked yet */
    ATF_REQUIRE(hd_init_request_decode(&q, sizeof(q), &offer));
    ATF_CHECK(!hd_init_reply_matches(&a, sizeof(a) - 1, &offer));
    a.head.unique = 4;
    ATF_CHECK(!hd_init_reply_matches(&a, sizeof(a), &offer));
    a = make_reply(2);
    a.head.error = -5;
    ATF_CHECK(!hd_init_reply_matches(&a, sizeof(a), &offer));
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, passthrough_is_answered_when_offered_and_wanted);
    ATF_TP_ADD_TC(tp, shared_mappings_past_the_page_cache_are_for_who_can_write_anywhere);
    ATF_TP_ADD_TC(tp, an_older_kernel_is_answered_as_libfuse_does);
    ATF_TP_ADD_TC(tp, other_requests_and_answers_are_left_alone);
    return atf_no_error();
}
