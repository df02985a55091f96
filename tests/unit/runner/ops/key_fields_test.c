/* Keys by fields: partitions as Hadoop's class computes them, order as sort(1) has it. */
#include "runner/ops/key_fields.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>

static uint32_t partition(const char *separator, const char *options, const char *key, uint32_t n)
{
    struct hd_key_fields f;
    ATF_REQUIRE_EQ(hd_key_fields_parse(&f, separator, options), 0);
    return hd_key_fields_partition(&f, (const uint8_t *)key, strlen(key), n);
}

/* < 0, 0, > 0 by the parts alone. */
static int order(const char *separator, const char *options, const char *a, const char *b)
{
    struct hd_key_fields f;
    struct hd_buf x = {0}, y = {0};
    const uint8_t *key;
    size_t size;
    ATF_REQUIRE_EQ(hd_key_fields_parse(&f, separator, options), 0);
    ATF_REQUIRE_EQ(hd_key_fields_encode(&f, (const uint8_t *)a, strlen(a), &x), 0);
    ATF_REQUIRE_EQ(hd_key_fields_encode(&f, (const uint8_t *)b, strlen(b), &y), 0);
    hd_key_fields_decode(x.data, x.size, &key, &size);
    ATF_REQUIRE_EQ(size, strlen(a));
    ATF_REQUIRE_EQ(memcmp(key, a, size), 0);
    size_t xn = (size_t)(key - x.data);
    hd_key_fields_decode(y.data, y.size, &key, &size);
    size_t yn = (size_t)(key - y.data);
    int c = memcmp(x.data, y.data, HD_MIN(xn, yn));
    c = c != 0 ? c : (xn > yn) - (xn < yn);
    hd_buf_done(&x);
    hd_buf_done(&y);
    return c;
}

ATF_TC_WITHOUT_HEAD(partitions_are_those_of_hadoop);
ATF_TC_BODY(partitions_are_those_of_hadoop, tc)
{
    static const char *const key = "this is a test";
    uint32_t h = 0;
    for (const char *c = "a"; *c != '\0'; c++) {
        h = 31 * h + (uint8_t)*c;
    }
    ATF_CHECK_EQ(partition(" ", "-k3,3", key, 1000), h % 1000);
    ATF_CHECK_EQ(partition("\t", "-k2,2", "nofield", 39), 0u);
    ATF_CHECK_EQ(partition("\t", "-k1,1", "", 39), 0u);
    ATF_CHECK_EQ(partition("\t", "", "abc", 1000000), 96354u); /* "abc".hashCode() */
    ATF_CHECK_EQ(partition("\t", "", "\xc3\xa9\xf0\x9f\x98\x80", 0x40000000),
                 ((233u * 31 + 0xd83d) * 31 + 0xde00) % 0x40000000);
    ATF_CHECK_EQ(partition(".", "-k1,2", "11.12.1.2", 97), partition(".", "-k1,2", "11.12.9", 97));
    ATF_CHECK_EQ(partition("\t", "-k 1,1", "a\tb", 97), partition("\t", "-k1,1", "a\tc", 97));
    ATF_CHECK_EQ(partition("\t", "-k1.2,1.3", "xaby\t1", 97), (31u * 'a' + 'b') % 97);
    ATF_CHECK_EQ(partition("::", "-k2,2", "x::a::y", 97), (unsigned)'a' % 97);
    ATF_CHECK_EQ(partition("\t", "-k1,1", "\xff", 97), ((uint32_t)-1 & 0x7fffffffu) % 97);
    ATF_CHECK_EQ(partition("\t", "-k2,2 -k1,1", "a\tb", 997), (31u * 'b' + 'a') % 997);
}

ATF_TC_WITHOUT_HEAD(text_fields_order_as_bytes);
ATF_TC_BODY(text_fields_order_as_bytes, tc)
{
    ATF_CHECK(order("\t", "-k2,2", "z\ta", "a\tb") < 0);
    ATF_CHECK(order("\t", "-k2,2r", "z\ta", "a\tb") > 0);
    ATF_CHECK(order("\t", "-k2,2", "z\ta", "a\ta") == 0);
    ATF_CHECK(order("\t", "-k1,1", "ab", "abc") < 0);
    ATF_CHECK(order("\t", "-k1,1r", "ab", "abc") > 0);
    ATF_CHECK(order("\t", "-k2", "x", "y\ta") < 0); /* a missing field is first */
    ATF_CHECK(order("\t", "-k2r", "x", "y\ta") > 0);
    ATF_CHECK(order("\t", "-k1.2,1.2 -k1.1,1.1r", "ba", "aa") < 0);
    ATF_CHECK(order("\t", "-k1.2,1.2 -k1.1,1.1r", "ba", "ab") < 0);
    ATF_CHECK(order("\t", "-r", "a", "b") > 0);
}

ATF_TC_WITHOUT_HEAD(numbers_order_by_value);
ATF_TC_BODY(numbers_order_by_value, tc)
{
    static const char *const up[] = {
        "-1000", "-99.5", "-99.25", "-9",  "-0.5",  "0",
        "0.001", "0.01",  "0.5",    "1",   "1.05",  "1.5",
        "2",     "10",    "10.01",  "100", "99999", "100000000000000000000"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(up); i++) {
        for (size_t j = 0; j < HD_ARRAY_COUNT(up); j++) {
            int c = order("\t", "-k1,1n", up[i], up[j]);
            ATF_CHECK_EQ_MSG((c > 0) - (c < 0), (i > j) - (i < j), "%s %s", up[i], up[j]);
            c = order("\t", "-nr", up[i], up[j]);
            ATF_CHECK_EQ_MSG((c > 0) - (c < 0), (i < j) - (i > j), "%s %s", up[i], up[j]);
        }
    }
    ATF_CHECK(order("\t", "-n", "-0.0", "0") == 0);
    ATF_CHECK(order("\t", "-n", "007", "7.00") == 0);
    ATF_CHECK(order("\t", "-n", "7x", "7y") == 0);
    ATF_CHECK(order("\t", "-n", "words", "0") == 0);
    ATF_CHECK(order(" ", "-k2,2nr -k1,1", "b 3", "a 3") > 0);
    ATF_CHECK(order(" ", "-k2,2nr -k1,1", "b 3", "a 2") < 0);
}

ATF_TC_WITHOUT_HEAD(bad_options_are_told);
ATF_TC_BODY(bad_options_are_told, tc)
{
    static const char *const bad[] = {"-k",    "-k0",    "-kx",    "-k1,",
                                      "-k1.0", "-k1;2",  "-k1,2x", "-k1.2.3",
                                      "-f 3",  "fields", "-k1,0",  "-k 99999999999"};
    struct hd_key_fields f;
    for (size_t i = 0; i < HD_ARRAY_COUNT(bad); i++) {
        ATF_CHECK_EQ_MSG(hd_key_fields_parse(&f, "\t", bad[i]), -EINVAL, "%s", bad[i]);
    }
    ATF_CHECK_EQ(hd_key_fields_parse(&f, "", "-k1"), -EINVAL);
}

ATF_TC_WITHOUT_HEAD(stored_keys_give_back_any_bytes);
ATF_TC_BODY(stored_keys_give_back_any_bytes, tc)
{
    struct hd_key_fields f;
    struct hd_buf out = {0};
    uint8_t key[40];
    ATF_REQUIRE_EQ(hd_key_fields_parse(&f, "\t", "-k1,1 -k2,2nr -k3r"), 0);
    srandom(1);
    for (int i = 0; i < 2000; i++) {
        size_t n = (size_t)random() % sizeof(key);
        for (size_t b = 0; b < n; b++) {
            key[b] = (uint8_t)(random() % 3 == 0 ? '\t' : random());
        }
        const uint8_t *got;
        size_t size;
        ATF_REQUIRE_EQ(hd_key_fields_encode(&f, key, n, &out), 0);
        hd_key_fields_decode(out.data, out.size, &got, &size);
        ATF_REQUIRE_EQ(size, n);
        ATF_REQUIRE_EQ(memcmp(got, key, n), 0);
    }
    hd_buf_done(&out);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, partitions_are_those_of_hadoop);
    ATF_TP_ADD_TC(tp, text_fields_order_as_bytes);
    ATF_TP_ADD_TC(tp, numbers_order_by_value);
    ATF_TP_ADD_TC(tp, bad_options_are_told);
    ATF_TP_ADD_TC(tp, stored_keys_give_back_any_bytes);
    return atf_no_error();
}
