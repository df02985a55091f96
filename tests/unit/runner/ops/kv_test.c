/* Lines into key and value, and back. */
#include "runner/ops/kv.h"

#include <atf-c.h>
#include <errno.h>
#include <string.h>

static void check(const struct hd_kv_rule *r, const char *line, const char *key, const char *value,
                  const char *back)
{
    HD_AUTO(hd_buf_done) struct hd_buf out = {0};
    struct hd_kv kv;
    hd_kv_split(r, (const uint8_t *)line, strlen(line), &kv);
    ATF_CHECK_EQ(kv.key_size, strlen(key));
    ATF_CHECK_EQ(memcmp(kv.key, key, kv.key_size), 0);
    ATF_CHECK_EQ(kv.value_size, strlen(value));
    ATF_CHECK_EQ(memcmp(kv.value, value, kv.value_size), 0);
    ATF_REQUIRE_EQ(hd_kv_join(r, &kv, &out), 0);
    ATF_CHECK_STREQ(hd_buf_str(&out), back);
}

ATF_TC_WITHOUT_HEAD(the_key_ends_at_the_first_tab);
ATF_TC_BODY(the_key_ends_at_the_first_tab, tc)
{
    struct hd_kv_rule r;
    hd_kv_rule_init(&r);
    check(&r, "a\tb\tc", "a", "b\tc", "a\tb\tc\n");
    check(&r, "\tb", "", "b", "\tb\n");
    check(&r, "a\t", "a", "", "a\t\n");
}

ATF_TC_WITHOUT_HEAD(a_line_without_tab_gets_one_at_its_end);
ATF_TC_BODY(a_line_without_tab_gets_one_at_its_end, tc)
{
    struct hd_kv_rule r;
    hd_kv_rule_init(&r);
    check(&r, "word", "word", "", "word\t\n");
    check(&r, "", "", "", "\t\n");
}

ATF_TC_WITHOUT_HEAD(key_only_has_no_value_at_all);
ATF_TC_BODY(key_only_has_no_value_at_all, tc)
{
    struct hd_kv_rule r;
    hd_kv_rule_init(&r);
    r.key_only = true;
    check(&r, "a\tb", "a\tb", "", "a\tb\n");
}

ATF_TC_WITHOUT_HEAD(several_fields_and_long_separators_make_a_key);
ATF_TC_BODY(several_fields_and_long_separators_make_a_key, tc)
{
    struct hd_kv_rule r;
    hd_kv_rule_init(&r);
    r.key_fields = 2;
    check(&r, "a\tb\tc", "a\tb", "c", "a\tb\tc\n");
    check(&r, "a\tb", "a\tb", "", "a\tb\t\n"); /* one separator is too few */
    ATF_REQUIRE_EQ(hd_kv_rule_set_separator(&r, "::"), 0);
    r.key_fields = 1;
    check(&r, "a:b::c::d", "a:b", "c::d", "a:b::c::d\n");
    ATF_CHECK_EQ(hd_kv_rule_set_separator(&r, ""), -EINVAL);
    ATF_CHECK_EQ(hd_kv_rule_set_separator(&r, "12345678901234567"), -EINVAL);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_key_ends_at_the_first_tab);
    ATF_TP_ADD_TC(tp, a_line_without_tab_gets_one_at_its_end);
    ATF_TP_ADD_TC(tp, key_only_has_no_value_at_all);
    ATF_TP_ADD_TC(tp, several_fields_and_long_separators_make_a_key);
    return atf_no_error();
}
