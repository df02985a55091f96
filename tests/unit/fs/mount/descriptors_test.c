/* Another descriptor of the same file, found or not. */
#include "fs/mount/descriptors.h"

#include <atf-c.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

ATF_TC_WITHOUT_HEAD(a_duplicate_is_found_until_it_is_closed);
ATF_TC_BODY(a_duplicate_is_found_until_it_is_closed, tc)
{
    int fd = open("file", O_CREAT | O_WRONLY, 0600);
    ATF_REQUIRE(fd >= 0);
    char *path = realpath("file", NULL);
    int copy = dup(fd);
    close(fd);
    ATF_CHECK(hd_process_has_open(getpid(), path));
    close(copy);
    ATF_CHECK(!hd_process_has_open(getpid(), path));
    free(path);
}

ATF_TC_WITHOUT_HEAD(a_child_that_left_has_none_and_its_parent_still_does);
ATF_TC_BODY(a_child_that_left_has_none_and_its_parent_still_does, tc)
{
    int fd = open("file", O_CREAT | O_WRONLY, 0600);
    ATF_REQUIRE(fd >= 0);
    char *path = realpath("file", NULL);
    pid_t child = fork();
    if (child == 0) {
        _exit(0);
    }
    siginfo_t info;
    ATF_REQUIRE_EQ(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    ATF_CHECK(!hd_process_has_open(child, path));
    ATF_CHECK(hd_process_has_open(getpid(), path));
    ATF_REQUIRE_EQ(waitpid(child, NULL, 0), child);
    close(fd);
    free(path);
}

ATF_TC_WITHOUT_HEAD(what_cannot_be_known_is_no);
ATF_TC_BODY(what_cannot_be_known_is_no, tc)
{
    ATF_CHECK(!hd_process_has_open(0, "/"));
    ATF_CHECK(!hd_process_has_open(INT_MAX, "/"));
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_duplicate_is_found_until_it_is_closed);
    ATF_TP_ADD_TC(tp, a_child_that_left_has_none_and_its_parent_still_does);
    ATF_TP_ADD_TC(tp, what_cannot_be_known_is_no);
    return atf_no_error();
}
