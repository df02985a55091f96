/* Fields of a message, one after the other: what is taken, and what is no message. */
#include "fs/wire/field.h"
#include "fs/base/error.h"

#include <atf-c.h>

#define NEXT(bytes, ret) hd_field_next(&(struct hd_slice){bytes, sizeof(bytes)}, ret)

ATF_TC_WITHOUT_HEAD(fields_of_each_type_are_taken);
ATF_TC_BODY(fields_of_each_type_are_taken, tc)
{
    static const uint8_t varint[] = {0x08, 0x96, 0x01};
    static const uint8_t fixed[] = {0x15, 1, 0, 0, 0};
    static const uint8_t bytes[] = {0x1a, 2, 'a', 'b'};
    struct hd_field f;
    ATF_REQUIRE_EQ(NEXT(varint, &f), 1);
    ATF_CHECK_EQ(f.tag, 0x08);
    ATF_CHECK_EQ(f.number, 150);
    ATF_REQUIRE_EQ(NEXT(fixed, &f), 1);
    ATF_CHECK_EQ(f.number, 1);
    ATF_REQUIRE_EQ(NEXT(bytes, &f), 1);
    ATF_CHECK_EQ(f.bytes.size, 2);
    ATF_CHECK_EQ(hd_field_next(&(struct hd_slice){bytes, 0}, &f), 0);
}

ATF_TC_WITHOUT_HEAD(tags_that_cannot_be_are_refused);
ATF_TC_BODY(tags_that_cannot_be_are_refused, tc)
{
    static const uint8_t zero[] = {0x00, 0x01};
    static const uint8_t group[] = {0x0b, 0x01};
    static const uint8_t large[] = {0x88, 0x80, 0x80, 0x80, 0x20, 0x01}; /* 2^33 + 8 */
    static const uint8_t cut[] = {0x15, 1, 0};
    struct hd_field f;
    ATF_CHECK_EQ(NEXT(zero, &f), -HD_E_BAD_MESSAGE);
    ATF_CHECK_EQ(NEXT(group, &f), -HD_E_BAD_MESSAGE);
    ATF_CHECK_EQ(NEXT(large, &f), -HD_E_BAD_MESSAGE);
    ATF_CHECK(NEXT(cut, &f) < 0);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, fields_of_each_type_are_taken);
    ATF_TP_ADD_TC(tp, tags_that_cannot_be_are_refused);
    return atf_no_error();
}
