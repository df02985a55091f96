/* The table of methods: found by name, complete, and about the right messages. */
#include "fs/wire/methods.h"

#include <atf-c.h>
#include <string.h>

ATF_TC_WITHOUT_HEAD(every_method_of_the_table_is_found);
ATF_TC_BODY(every_method_of_the_table_is_found, tc)
{
    size_t count;
    const struct hd_method *table = hd_method_table(&count);
    ATF_CHECK(count >= 180);
    for (size_t i = 0; i < count; i++) { /* which needs the table to be sorted */
        ATF_CHECK_EQ_MSG(hd_method_find(table[i].protocol, table[i].name), &table[i], "%s",
                         table[i].name);
    }
}

ATF_TC_WITHOUT_HEAD(messages_belong_to_their_method);
ATF_TC_BODY(messages_belong_to_their_method, tc)
{
    size_t count;
    const struct hd_method *table = hd_method_table(&count);
    for (size_t i = 0; i < count; i++) {
        const char *request = table[i].request->short_name;
        const char *response = table[i].response->short_name;
        size_t stem = strlen(request) - strlen("Request");
        ATF_CHECK_STREQ(request + stem, "Request");
        ATF_CHECK_STREQ(response + stem, "Response");
        ATF_CHECK_EQ(strncmp(request, response, stem), 0);
        if (strcmp(table[i].name, "errorReport") == 0) {
            continue; /* one name, two protocols, two messages */
        }
        ATF_CHECK_EQ_MSG(strncmp(request + 1, table[i].name + 1, stem - 1), 0, "%s has %s",
                         table[i].name, request);
    }
}

ATF_TC_WITHOUT_HEAD(protocol_counts_as_much_as_name);
ATF_TC_BODY(protocol_counts_as_much_as_name, tc)
{
    const struct hd_method *m = hd_method_find(HD_PROTOCOL_NAMENODE, "errorReport");
    ATF_REQUIRE(m != NULL);
    ATF_CHECK_STREQ(m->request->short_name, "SubordinateErrorReportRequest");
    m = hd_method_find(HD_PROTOCOL_DATANODE, "errorReport");
    ATF_REQUIRE(m != NULL);
    ATF_CHECK_STREQ(m->request->short_name, "ErrorReportRequest");
    ATF_CHECK(hd_method_find(HD_PROTOCOL_CLIENT, "errorReport") == NULL);
    ATF_CHECK(hd_method_find(HD_PROTOCOL_CLIENT, "") == NULL);
    ATF_CHECK(hd_method_find(HD_PROTOCOL_CLIENT, "zzz") == NULL);
    ATF_CHECK(hd_method_find("", "getFileInfo") == NULL);
}

ATF_TC_WITHOUT_HEAD(mutations_are_not_repeated_blindly);
ATF_TC_BODY(mutations_are_not_repeated_blindly, tc)
{
    ATF_CHECK_EQ(hd_method_find(HD_PROTOCOL_CLIENT, "create")->repeat, HD_REPEAT_AT_MOST_ONCE);
    ATF_CHECK_EQ(hd_method_find(HD_PROTOCOL_CLIENT, "rename2")->repeat, HD_REPEAT_AT_MOST_ONCE);
    ATF_CHECK_EQ(hd_method_find(HD_PROTOCOL_CLIENT, "getFileInfo")->repeat, HD_REPEAT_IDEMPOTENT);
    ATF_CHECK(hd_method_find(HD_PROTOCOL_CLIENT, "getFileInfo")->only_reads);
    ATF_CHECK(!hd_method_find(HD_PROTOCOL_CLIENT, "mkdirs")->only_reads);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, every_method_of_the_table_is_found);
    ATF_TP_ADD_TC(tp, messages_belong_to_their_method);
    ATF_TP_ADD_TC(tp, protocol_counts_as_much_as_name);
    ATF_TP_ADD_TC(tp, mutations_are_not_repeated_blindly);
    return atf_no_error();
}
