/* HDFS's storage policies. See policy.h. */
#include "meta/core/policy.h"
#include "hdfs.pb-c.h"

#include <strings.h>

enum {
    DISK = HDW__STORAGE_TYPE__STORAGE_TYPE_DISK,
    SSD = HDW__STORAGE_TYPE__STORAGE_TYPE_SSD,
    ARCHIVE = HDW__STORAGE_TYPE__STORAGE_TYPE_ARCHIVE,
    RAM_DISK = HDW__STORAGE_TYPE__STORAGE_TYPE_RAM_DISK,
    PROVIDED = HDW__STORAGE_TYPE__STORAGE_TYPE_PROVIDED,
    NVDIMM = HDW__STORAGE_TYPE__STORAGE_TYPE_NVDIMM,
};

const struct hd_policy hd_policies[] = {
    {1, "PROVIDED", {PROVIDED, DISK}, 2, {PROVIDED, DISK}, 2, {PROVIDED, DISK}, 2},
    {2, "COLD", {ARCHIVE}, 1, {0}, 0, {0}, 0},
    {5, "WARM", {DISK, ARCHIVE}, 2, {DISK, ARCHIVE}, 2, {DISK, ARCHIVE}, 2},
    {HD_POLICY_HOT, "HOT", {DISK}, 1, {0}, 0, {ARCHIVE}, 1},
    {10, "ONE_SSD", {SSD, DISK}, 2, {SSD, DISK}, 2, {SSD, DISK}, 2},
    {12, "ALL_SSD", {SSD}, 1, {DISK}, 1, {DISK}, 1},
    {14, "ALL_NVDIMM", {NVDIMM}, 1, {DISK}, 1, {DISK}, 1},
    {15, "LAZY_PERSIST", {RAM_DISK, DISK}, 2, {DISK}, 1, {DISK}, 1},
};
const size_t hd_policy_count = HD_ARRAY_COUNT(hd_policies);

const struct hd_policy *hd_policy_by_name(const char *name)
{
    for (size_t i = 0; i < hd_policy_count; i++) {
        if (strcasecmp(hd_policies[i].name, name) == 0) {
            return &hd_policies[i];
        }
    }
    return NULL;
}

const struct hd_policy *hd_policy_by_id(uint8_t id)
{
    const struct hd_policy *hot = NULL;
    for (size_t i = 0; i < hd_policy_count; i++) {
        if (hd_policies[i].id == id) {
            return &hd_policies[i];
        }
        if (hd_policies[i].id == HD_POLICY_HOT) {
            hot = &hd_policies[i];
        }
    }
    return hot;
}
