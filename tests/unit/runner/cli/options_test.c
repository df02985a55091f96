/* Hadoop Streaming's command line. */
#include "runner/cli/options.h"

#include <atf-c.h>
#include <errno.h>

struct parsed {
    struct hd_arena arena;
    struct hd_streaming_options o;
    int err;
};

static struct parsed parse(int argc, const char *const *argv)
{
    struct parsed p;
    char *copy[64];
    hd_arena_init(&p.arena, 0);
    for (int i = 0; i < argc; i++) {
        copy[i] = hd_arena_str(&p.arena, argv[i]);
    }
    p.err = hd_streaming_parse(argc, copy, &p.arena, &p.o);
    return p;
}

static void done(struct parsed *p)
{
    hd_streaming_options_done(&p->o);
    hd_arena_done(&p->arena);
}

#define PARSE(p, ...)                                                                              \
    const char *const p##_argv[] = {__VA_ARGS__};                                                  \
    struct parsed p = parse((int)HD_ARRAY_COUNT(p##_argv), p##_argv)

ATF_TC_WITHOUT_HEAD(a_whole_command_line_is_understood);
ATF_TC_BODY(a_whole_command_line_is_understood, tc)
{
    PARSE(p, "-input", "/a,/b", "-D", "x=1", "-input", "/c", "-output", "/o", "-mapper", "cat -n",
          "-reducer", "wc", "-combiner", "sort", "-numReduceTasks", "3", "-files", "f#g,h",
          "-cmdenv", "A=b c", "-Dy=2=3", "-jobconf", "z=4");
    ATF_REQUIRE_EQ_MSG(p.err, 0, "%s", p.o.error);
    ATF_REQUIRE_EQ(p.o.inputs.count, 3);
    ATF_CHECK_STREQ(p.o.inputs.items[1], "/b");
    ATF_CHECK_STREQ(p.o.output, "/o");
    ATF_CHECK_STREQ(p.o.mapper, "cat -n");
    ATF_CHECK_STREQ(p.o.combiner, "sort");
    ATF_CHECK_EQ(hd_streaming_reduces(&p.o), 3);
    ATF_REQUIRE_EQ(p.o.files.count, 2);
    ATF_CHECK_STREQ(p.o.files.items[0], "f#g");
    ATF_CHECK_STREQ(p.o.env.items[0], "A=b c");
    ATF_CHECK_STREQ(hd_props_get(&p.o.props, "x", ""), "1");
    ATF_CHECK_STREQ(hd_props_get(&p.o.props, "y", ""), "2=3");
    ATF_CHECK_STREQ(hd_props_get(&p.o.props, "z", ""), "4");
    ATF_CHECK_EQ(p.o.warnings.count, 1);
    done(&p);
}

ATF_TC_WITHOUT_HEAD(commas_inside_braces_part_nothing);
ATF_TC_BODY(commas_inside_braces_part_nothing, tc)
{
    PARSE(p, "-input", "/a/{b,c}/d,/e", "-output", "/o");
    ATF_REQUIRE_EQ(p.err, 0);
    ATF_REQUIRE_EQ(p.o.inputs.count, 2);
    ATF_CHECK_STREQ(p.o.inputs.items[0], "/a/{b,c}/d");
    done(&p);
}

ATF_TC_WITHOUT_HEAD(what_is_missing_is_said_in_hadoops_words);
ATF_TC_BODY(what_is_missing_is_said_in_hadoops_words, tc)
{
    PARSE(p, "-output", "/o", "-mapper", "cat");
    ATF_CHECK_EQ(p.err, -EINVAL);
    ATF_CHECK_STREQ(p.o.error, "Required argument: -input <name>");
    done(&p);
    PARSE(q, "-input", "/i", "-mapper", "cat");
    ATF_CHECK_EQ(q.err, -EINVAL);
    done(&q);
    PARSE(r, "-input");
    ATF_CHECK_STREQ(r.o.error, "Missing argument for option: input");
    done(&r);
    PARSE(s, "-input", "/i", "-output", "/o", "-nonsense");
    ATF_CHECK_STREQ(s.o.error, "Unrecognized option: -nonsense");
    done(&s);
    PARSE(t, "-input", "/i", "-output", "/o", "-numReduceTasks", "many");
    ATF_CHECK_EQ(t.err, -EINVAL);
    done(&t);
}

ATF_TC_WITHOUT_HEAD(reduces_come_from_none_the_option_the_property_or_are_one);
ATF_TC_BODY(reduces_come_from_none_the_option_the_property_or_are_one, tc)
{
    PARSE(a, "-input", "/i", "-output", "/o");
    ATF_CHECK_EQ(hd_streaming_reduces(&a.o), 1);
    done(&a);
    PARSE(b, "-input", "/i", "-output", "/o", "-D", "mapred.reduce.tasks=5");
    ATF_CHECK_EQ(hd_streaming_reduces(&b.o), 5);
    done(&b);
    PARSE(c, "-input", "/i", "-output", "/o", "-D", "mapreduce.job.reduces=5", "-reducer", "NONE");
    ATF_CHECK_EQ(hd_streaming_reduces(&c.o), 0);
    done(&c);
    PARSE(d, "-input", "/i", "-output", "/o", "-numReduceTasks", "0");
    ATF_CHECK_EQ(hd_streaming_reduces(&d.o), 0);
    done(&d);
}

ATF_TC_WITHOUT_HEAD(classes_there_are_and_classes_there_are_not);
ATF_TC_BODY(classes_there_are_and_classes_there_are_not, tc)
{
    PARSE(a, "-input", "/i", "-output", "/o", "-inputformat",
          "org.apache.hadoop.mapred.TextInputFormat", "-io", "keyonlytext");
    ATF_CHECK_EQ(a.err, 0);
    ATF_CHECK_STREQ(hd_props_get(&a.o.props, "stream.reduce.output", ""), "keyonlytext");
    done(&a);
    PARSE(b, "-input", "/i", "-output", "/o", "-inputformat", "no.such.Format");
    ATF_CHECK_EQ(b.err, -EINVAL);
    done(&b);
    PARSE(c, "-input", "/i", "-output", "/o", "-partitioner",
          "org.apache.hadoop.mapred.lib.KeyFieldBasedPartitioner");
    ATF_CHECK_EQ(c.err, 0);
    ATF_CHECK_STREQ(hd_props_get(&c.o.props, "mapreduce.job.partitioner.class", ""),
                    "org.apache.hadoop.mapred.lib.KeyFieldBasedPartitioner");
    done(&c);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_whole_command_line_is_understood);
    ATF_TP_ADD_TC(tp, commas_inside_braces_part_nothing);
    ATF_TP_ADD_TC(tp, what_is_missing_is_said_in_hadoops_words);
    ATF_TP_ADD_TC(tp, reduces_come_from_none_the_option_the_property_or_are_one);
    ATF_TP_ADD_TC(tp, classes_there_are_and_classes_there_are_not);
    return atf_no_error();
}
