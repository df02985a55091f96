/*
 * howdah drill report: the history of drills, as a table, as JSON, or as one HTML file that needs
 * nothing else: no script, no picture, no network. Each drill has its time line as SVG.
 */
#include "tools/drill/report.h"
#include "tools/drill/drill.h"
#include "tools/drill/history.h"
#include "tools/drill/verbs.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

enum { WIDTH = 900, HEIGHT = 150, LEFT = 60, BASE = 110, TOP = 20, DRILLS_SHOWN = 100 };

static const char style[] =
    "body{font:15px/1.45 system-ui,sans-serif;max-width:960px;margin:2em auto;padding:0 1em;"
    "color:#222}h1{font-size:1.6em}h2{font-size:1.15em;margin:2.2em 0 .3em;border-top:1px solid "
    "#ddd;padding-top:1em}table{border-collapse:collapse;margin:.6em 0}td,th{padding:.2em "
    ".9em .2em 0;text-align:left;vertical-align:top}th{font-weight:600}td.n{text-align:right;"
    "font-variant-numeric:tabular-nums}.held{color:#0a6b2d;font-weight:600}.bad{color:#b3140f;"
    "font-weight:600}.dim{color:#777}svg{width:100%;height:auto;background:#fafafa;border:1px "
    "solid #eee}li{margin:.1em 0}ol{font-size:.92em;padding-left:1.2em}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#ddd}svg{background:#1e1e1e;"
    "border-color:#333}h2{border-color:#333}.held{color:#5fce87}.bad{color:#ff7a70}}";

static const char *text_of(json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text != NULL ? text : "";
}

static double number_of(json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : -1;
}

int hd_report_escape(struct hd_buf *out, const char *text)
{
    int rc = 0;
    for (; rc == 0 && *text != '\0'; text++) {
        switch (*text) {
        case '<':
            rc = hd_buf_add_str(out, "&lt;");
            break;
        case '>':
            rc = hd_buf_add_str(out, "&gt;");
            break;
        case '&':
            rc = hd_buf_add_str(out, "&amp;");
            break;
        case '"':
            rc = hd_buf_add_str(out, "&quot;");
            break;
        default:
            rc = hd_buf_add_u8(out, (uint8_t)*text);
        }
    }
    return rc;
}

static void when_text(json_t *o, char out[40])
{
    time_t t = (time_t)(json_integer_value(json_object_get(o, "began_ms")) / 1000);
    struct tm tm;
    localtime_r(&t, &tm);
    strftime(out, 40, "%Y-%m-%d %H:%M:%S", &tm);
}

/* "1.2 s", or a dash where there is no number. */
static void seconds_text(double s, char out[24])
{
    if (s < 0) {
        snprintf(out, 24, "-");
    } else {
        snprintf(out, 24, "%.2f s", s);
    }
}

/* ---- time line ---- */

struct scale {
    double seconds; /* of the whole line */
    double most;    /* blocks */
};

static double x_of(const struct scale *k, double t_s)
{
    return LEFT + (WIDTH - LEFT - 10) * t_s / k->seconds;
}

static double y_of(const struct scale *k, double blocks)
{
    return BASE - (BASE - TOP) * blocks / k->most;
}

static struct scale scale_of(json_t *samples, json_t *marks)
{
    struct scale k = {.seconds = 1, .most = 1};
    size_t i;
    json_t *s;
    json_array_foreach(samples, i, s)
    {
        k.seconds = fmax(k.seconds, number_of(s, "t_s"));
        k.most = fmax(k.most, number_of(s, "under") + number_of(s, "missing"));
    }
    json_array_foreach(marks, i, s)
    {
        k.seconds = fmax(k.seconds, number_of(s, "t_s"));
    }
    k.seconds *= 1.02;
    return k;
}

/* Blocks that have too few copies, as an area; the times in which nobody answered in red. */
static int draw_samples(struct hd_buf *out, const struct scale *k, json_t *samples)
{
    size_t count = json_array_size(samples);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        json_t *s = json_array_get(samples, i);
        double from = x_of(k, number_of(s, "t_s"));
        double to = i + 1 < count ? x_of(k, number_of(json_array_get(samples, i + 1), "t_s"))
                                  : x_of(k, k->seconds);
        double blocks = number_of(s, "under") + number_of(s, "missing");
        if (!json_is_true(json_object_get(s, "answers")) ||
            json_is_true(json_object_get(s, "safe_mode"))) {
            rc = hd_buf_addf(out,
                             "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\" "
                             "fill=\"#d33\" opacity=\".35\"><title>no names served</title></rect>",
                             from, TOP, fmax(to - from, 1), BASE - TOP);
        } else if (blocks > 0) {
            rc = hd_buf_addf(out,
                             "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                             "fill=\"#e8912d\"><title>%.0f blocks with too few copies</title>"
                             "</rect>",
                             from, y_of(k, blocks), fmax(to - from, 1), BASE - y_of(k, blocks),
                             blocks);
        }
    }
    return rc;
}

static int draw_marks(struct hd_buf *out, const struct scale *k, json_t *marks)
{
    size_t i;
    json_t *m;
    int rc = 0;
    json_array_foreach(marks, i, m)
    {
        const char *kind = text_of(m, "kind");
        const char *color = strcmp(kind, "fault") == 0    ? "#b3140f"
                            : strcmp(kind, "heal") == 0   ? "#1f5fbf"
                            : strcmp(kind, "whole") == 0  ? "#0a6b2d"
                            : strcmp(kind, "steady") == 0 ? "#999"
                                                          : NULL;
        if (rc < 0 || color == NULL) {
            continue;
        }
        double x = x_of(k, number_of(m, "t_s"));
        rc = hd_buf_addf(out,
                         "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"%s\"><title>",
                         x, x, TOP - 8, BASE, color);
        rc = rc == 0 ? hd_report_escape(out, text_of(m, "text")) : rc;
        rc = rc == 0 ? hd_buf_addf(out,
                                   "</title></line><text x=\"%.1f\" y=\"%d\" font-size=\"11\" "
                                   "fill=\"%s\">",
                                   x + 3, TOP - 2, color)
                     : rc;
        rc = rc == 0 ? hd_report_escape(out, kind) : rc;
        rc = rc == 0 ? hd_buf_add_str(out, "</text>") : rc;
    }
    return rc;
}

static int draw_axis(struct hd_buf *out, const struct scale *k)
{
    double step = k->seconds > 240 ? 60 : k->seconds > 60 ? 15 : k->seconds > 15 ? 5 : 1;
    int rc = hd_buf_addf(out,
                         "<line x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\" stroke=\"#888\"/>"
                         "<text x=\"4\" y=\"%d\" font-size=\"11\" fill=\"#888\">%.0f</text>"
                         "<text x=\"4\" y=\"%d\" font-size=\"11\" fill=\"#888\">blocks</text>",
                         LEFT, WIDTH - 10, BASE, BASE, TOP + 4, k->most, TOP + 18);
    for (double t = 0; rc == 0 && t <= k->seconds; t += step) {
        rc = hd_buf_addf(out,
                         "<text x=\"%.1f\" y=\"%d\" font-size=\"11\" fill=\"#888\" "
                         "text-anchor=\"middle\">%.0f s</text>",
                         x_of(k, t), BASE + 16, t);
    }
    return rc;
}

static int add_time_line(struct hd_buf *out, json_t *o)
{
    json_t *samples = json_object_get(o, "samples");
    json_t *marks = json_object_get(o, "marks");
    struct scale k = scale_of(samples, marks);
    int rc = hd_buf_addf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">", WIDTH, HEIGHT - 20);
    rc = rc == 0 ? draw_axis(out, &k) : rc;
    rc = rc == 0 ? draw_samples(out, &k, samples) : rc;
    rc = rc == 0 ? draw_marks(out, &k, marks) : rc;
    return rc == 0 ? hd_buf_add_str(out, "</svg>\n") : rc;
}

/* ---- one drill ---- */

static int add_row(struct hd_buf *out, const char *label, double s, double goal_s)
{
    char got[24];
    char goal[24];
    seconds_text(s, got);
    seconds_text(goal_s > 0 ? goal_s : -1, goal);
    bool missed = goal_s > 0 && s > goal_s;
    return hd_buf_addf(out,
                       "<tr><td>%s</td><td class=\"n%s\">%s</td><td class=\"n dim\">%s</td></tr>",
                       label, missed ? " bad" : "", got, goal);
}

static int add_latency(struct hd_buf *out, json_t *o)
{
    static const char *const kinds[] = {"read", "write", "metadata"};
    static const char *const phases[] = {"before", "during", "after"};
    json_t *latency = json_object_get(o, "latency");
    int rc = hd_buf_add_str(out, "<table><tr><th>99 of 100 calls took at most</th><th>before</th>"
                                 "<th>during</th><th>after</th></tr>");
    for (size_t k = 0; rc == 0 && k < HD_ARRAY_COUNT(kinds); k++) {
        rc = hd_buf_addf(out, "<tr><td>%s</td>", kinds[k]);
        for (size_t p = 0; rc == 0 && p < HD_ARRAY_COUNT(phases); p++) {
            json_t *s = json_object_get(json_object_get(latency, kinds[k]), phases[p]);
            rc = hd_buf_addf(out, "<td class=\"n\">%.1f ms</td>", number_of(s, "p99_ms"));
        }
        rc = rc == 0 ? hd_buf_add_str(out, "</tr>") : rc;
    }
    return rc == 0 ? hd_buf_add_str(out, "</table>\n") : rc;
}

static int add_numbers(struct hd_buf *out, json_t *o, const struct hd_drill *d)
{
    static const struct hd_drill_goals none;
    const struct hd_drill_goals *g = d != NULL ? &d->goals : &none;
    json_t *stall = json_object_get(o, "longest_stall_s");
    int rc = hd_buf_addf(
        out,
        "<p>%.0f acknowledged operations, <b>%.0f lost</b>, <b>%.0f wrong</b>; checked %.0f files "
        "and each of their %.0f copies.</p><table><tr><th></th><th></th><th>goal</th></tr>",
        number_of(o, "acked"), number_of(o, "lost"), number_of(o, "wrong"), number_of(o, "files"),
        number_of(o, "copies"));
    rc = rc == 0 ? add_row(out, "longest wait of a reader", number_of(stall, "read"), g->read_s)
                 : rc;
    rc = rc == 0 ? add_row(out, "of a writer", number_of(stall, "write"), g->write_s) : rc;
    rc = rc == 0 ? add_row(out, "for names", number_of(stall, "metadata"), g->metadata_s) : rc;
    rc = rc == 0 ? add_row(out, "noticed after", number_of(o, "noticed_s"), g->noticed_s) : rc;
    rc = rc == 0 ? add_row(out, "all copies again after", number_of(o, "mended_s"), g->mended_s)
                 : rc;
    rc = rc == 0 ? add_row(out, "everything as before after", number_of(o, "healthy_s"), 0) : rc;
    return rc == 0 ? hd_buf_add_str(out, "</table>\n") : rc;
}

static int add_marks(struct hd_buf *out, json_t *o)
{
    size_t i;
    json_t *m;
    int rc = hd_buf_add_str(out, "<ol>");
    json_array_foreach(json_object_get(o, "marks"), i, m)
    {
        rc = rc == 0 ? hd_buf_addf(out, "<li>%.1f s <b>", number_of(m, "t_s")) : rc;
        rc = rc == 0 ? hd_report_escape(out, text_of(m, "kind")) : rc;
        rc = rc == 0 ? hd_buf_add_str(out, "</b> ") : rc;
        rc = rc == 0 ? hd_report_escape(out, text_of(m, "text")) : rc;
        rc = rc == 0 ? hd_buf_add_str(out, "</li>") : rc;
    }
    return rc == 0 ? hd_buf_add_str(out, "</ol>\n") : rc;
}

static int add_sentence(struct hd_buf *out, const char *class, const char *label, const char *text)
{
    if (text[0] == '\0') {
        return 0;
    }
    int rc = hd_buf_addf(out, "<p class=\"%s\">%s ", class, label);
    rc = rc == 0 ? hd_report_escape(out, text) : rc;
    return rc == 0 ? hd_buf_add_str(out, "</p>\n") : rc;
}

static int add_drill(struct hd_buf *out, json_t *o)
{
    char when[40];
    const struct hd_drill *d = hd_drill_find(text_of(o, "drill"));
    size_t i;
    json_t *example;
    when_text(o, when);
    int rc = hd_buf_add_str(out, "<h2>");
    rc = rc == 0 ? hd_report_escape(out, text_of(o, "drill")) : rc;
    rc = rc == 0 ? hd_buf_addf(out, " <span class=\"%s\">",
                               strcmp(text_of(o, "outcome"), "held") == 0 ? "held" : "bad")
                 : rc;
    rc = rc == 0 ? hd_report_escape(out, text_of(o, "outcome")) : rc;
    rc = rc == 0 ? hd_buf_add_str(out, "</span></h2>\n<p class=\"dim\">") : rc;
    rc = rc == 0 ? hd_buf_addf(out, "%s, on ", when) : rc;
    rc = rc == 0 ? hd_report_escape(out, text_of(o, "target")) : rc;
    rc = rc == 0 ? hd_buf_addf(out, ", seed %.0f</p>\n", number_of(o, "seed")) : rc;
    rc = rc == 0 && d != NULL ? add_sentence(out, "", "What was done.", d->how) : rc;
    rc = rc == 0 && d != NULL ? add_sentence(out, "", "What must hold.", d->must) : rc;
    rc = rc == 0 ? add_sentence(out, "bad", "", text_of(o, "reason")) : rc;
    json_array_foreach(json_object_get(o, "examples"), i, example)
    {
        rc = rc == 0 ? add_sentence(out, "bad", "!", json_string_value(example)) : rc;
    }
    rc = rc == 0 ? add_sentence(out, "dim", "Note.", text_of(o, "note")) : rc;
    rc = rc == 0 ? add_time_line(out, o) : rc;
    rc = rc == 0 ? add_numbers(out, o, d) : rc;
    rc = rc == 0 ? add_latency(out, o) : rc;
    return rc == 0 ? add_marks(out, o) : rc;
}

/* ---- all ---- */

static size_t count_held(json_t *history)
{
    size_t held = 0;
    size_t i;
    json_t *o;
    json_array_foreach(history, i, o)
    {
        held += strcmp(text_of(o, "outcome"), "held") == 0;
    }
    return held;
}

int hd_report_html(json_t *history, const char *cluster, struct hd_buf *out)
{
    size_t count = json_array_size(history);
    int rc =
        hd_buf_addf(out,
                    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                    "<meta name=\"viewport\" content=\"width=device-width\">"
                    "<title>Drills of %s</title><style>%s</style></head><body>\n<h1>Drills of ",
                    cluster, style);
    rc = rc == 0 ? hd_report_escape(out, cluster) : rc;
    rc = rc == 0 ? hd_buf_addf(out,
                               "</h1>\n<p>%zu drills, %zu held. In the time lines, orange: blocks "
                               "with too few copies; red: no names were served.</p>\n",
                               count, count_held(history))
                 : rc;
    for (size_t i = 0; rc == 0 && i < HD_MIN(count, (size_t)DRILLS_SHOWN); i++) {
        rc = add_drill(out, json_array_get(history, count - 1 - i)); /* newest first */
    }
    return rc == 0 ? hd_buf_add_str(out, "</body></html>\n") : rc;
}

static void print_history(json_t *history)
{
    size_t i;
    json_t *o;
    printf("%-19s %-21s %-10s %9s %6s %6s %10s %10s %9s %9s\n", "WHEN", "DRILL", "VERDICT", "ACKED",
           "LOST", "WRONG", "READ WAIT", "WRITE WAIT", "NOTICED", "MENDED");
    json_array_foreach(history, i, o)
    {
        char when[40];
        char read_s[24];
        char write_s[24];
        char noticed[24];
        char mended[24];
        json_t *stall = json_object_get(o, "longest_stall_s");
        when_text(o, when);
        seconds_text(number_of(stall, "read"), read_s);
        seconds_text(number_of(stall, "write"), write_s);
        seconds_text(number_of(o, "noticed_s"), noticed);
        seconds_text(number_of(o, "mended_s"), mended);
        printf("%-19s %-21s %-10s %9.0f %6.0f %6.0f %10s %10s %9s %9s\n", when, text_of(o, "drill"),
               text_of(o, "outcome"), number_of(o, "acked"), number_of(o, "lost"),
               number_of(o, "wrong"), read_s, write_s, noticed, mended);
    }
}

static int write_html(const struct hd_drill_args *a, json_t *history, const char *cluster)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    int rc = hd_report_html(history, cluster, &text);
    rc = rc == 0 ? hd_file_replace(a->html, text.data, text.size, 0644) : rc;
    if (rc < 0) {
        hd_cmd_fail(a->self, rc);
        return HD_DRILL_FAILED;
    }
    if (!a->json) {
        printf("%s: %zu drills, %zu held\n", a->html, json_array_size(history),
               count_held(history));
    }
    return HD_EXIT_OK;
}

int hd_drill_report(const struct hd_drill_args *a)
{
    HD_AUTO(hd_cluster_done) struct hd_cluster c = {0};
    char base[HD_PATH_BYTES];
    json_t *history = NULL;
    int rc = hd_cluster_find(a->dir, &c);
    rc = rc == 0 ? hd_drill_base(&c, base) : rc;
    rc = rc == 0 ? hd_drill_history_load(base, &history) : rc;
    if (rc < 0) {
        hd_cmd_fail(a->self, rc);
        return HD_DRILL_FAILED;
    }
    int code = HD_EXIT_OK;
    if (a->html != NULL) {
        code = write_html(a, history, c.uri);
    } else if (!a->json) {
        print_history(history);
    }
    if (code == HD_EXIT_OK && a->json) {
        return hd_drill_print_json(history);
    }
    json_decref(history);
    return code;
}
