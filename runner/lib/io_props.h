/* The properties that say how records are cut, ordered and written, gathered once for a job. */
#ifndef HD_RUNNER_LIB_IO_PROPS_H
#define HD_RUNNER_LIB_IO_PROPS_H

#include "runner/core/props.h"
#include "runner/ops/key_fields.h"
#include "runner/ops/kv.h"

struct hd_io_props {
    struct hd_kv_rule map_output;    /* mapper's stdout into key and value */
    struct hd_kv_rule reduce_input;  /* key and value onto the reducer's stdin */
    struct hd_kv_rule reduce_output; /* reducer's stdout into key and value */
    struct hd_kv_rule text_output;   /* key and value into the output file; key_only is set by the
                                        stage that writes */
    bool partition_fields;           /* KeyFieldBasedPartitioner */
    bool sort_fields; /* KeyFieldBasedComparator: map output keys are stored encoded */
    struct hd_key_fields partition;
    struct hd_key_fields sort;
    uint32_t sort_factor; /* 0: unsaid */
    int64_t max_unique;   /* of UniqValueCount */
};

/* -EINVAL with a sentence when a property asks for what there is not. */
int hd_io_props_read(const struct hd_props *p, struct hd_io_props *ret);

#endif
