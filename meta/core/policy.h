/* Storage policies: HDFS's table. Stored and told; placement does not look at storage types yet. */
#ifndef HD_META_CORE_POLICY_H
#define HD_META_CORE_POLICY_H

struct hd_policy {
    uint8_t id;
    const char *name;
    uint8_t create[2], create_count; /* StorageType */
    uint8_t create_fallback[2], create_fallback_count;
    uint8_t replicate_fallback[2], replicate_fallback_count;
};

enum { HD_POLICY_HOT = 7 };

extern const struct hd_policy hd_policies[];
extern const size_t hd_policy_count;

const struct hd_policy *hd_policy_by_name(const char *name); /* any case; NULL: none */
const struct hd_policy *hd_policy_by_id(uint8_t id);         /* 0: HOT */

#endif
