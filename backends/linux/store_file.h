/* The hooks of the store `file` (core/seams/store.h), for store_file.c: `user` says nothing. */
#ifndef LSI_STORE_FILE_H
#define LSI_STORE_FILE_H

#include "seams/store.h"

/* os_linux_stat.c. Also of disks. */
int lsi_file_stat_many(const void *user, const char *const *paths, size_t n, struct lsi_object_info *infos,
                       struct lsi_watch *watch, bool faults, struct lsi_error *err);
int lsi_file_fault(const struct lsi_object_info *info, const char *path, struct lsi_error *err);
/* Of a regular file, without waiting for anything but its device. */
size_t lsi_file_read_part(const void *user, const char *path, uint64_t offset, void *buf, size_t n);
/* os_linux_now.c */
int64_t lsi_file_read_now(const void *user, const char *path, const int64_t *offset, const int64_t *length,
                          size_t n, void *out, size_t room);
/* os_linux_whole.c. Pipes, too; "-" is standard input. */
int lsi_file_read_all(const void *user, const char *path, const struct lsi_whole *how, char **text,
                      size_t *length, struct lsi_error *err);
/* os_linux_glob.c. Folders are skipped; what has a pattern's signs in its name is meant where it is there.
 * `regular`: its folder's list says so. */
int lsi_file_list(const void *user, const char *pattern, struct lsi_watch *watch, lsi_each_name *add,
                  void *ctx, struct lsi_error *err);
/* os_linux_device.c: kind from sysfs and statfs, caps. */
void lsi_file_model(const void *user, uint32_t device, const char *path, struct lsi_device_model *out);

#endif
