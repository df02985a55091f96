/*
 * What leveldb does not notice when it opens a database: that the log its MANIFEST names is gone.
 * An old MANIFEST (its last write got lost) names one that was flushed and removed; the database
 * then opens without what was in it, and what came later over it, a state that never was.
 */
#ifndef HD_META_KV_LEVELDB_CHECK_H
#define HD_META_KV_LEVELDB_CHECK_H

/* 0, also when dir holds no database; -HD_E_CORRUPT. */
int hd_leveldb_check(const char *dir);

#endif
