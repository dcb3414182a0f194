/* Inside of the Linux side of core/os.h: helpers shared by os_linux*.c and the backends. */
#ifndef LSI_OS_LINUX_H
#define LSI_OS_LINUX_H

#include <sys/stat.h>

#include "backend.h"
#include "os.h"

/* The text of a small file such as those of /proc and /sys, NUL-terminated, without a final newline.
 * Length, or -1 when it can't be read or is longer than cap - 1. */
int lsi_linux_read_text(const char *path, char *buf, size_t cap);
/* The number that such a file starts with. False: none. */
bool lsi_linux_read_number(const char *path, uint64_t *out);

/* What the change check and the planner need of a stat: device is the whole disk behind st_dev where
 * there is one, else st_dev. */
void lsi_linux_info(const struct stat *st, struct lsi_object_info *out);
/* fstat of an open object, size of a block device included; *st (may be NULL) is what it said. 0, or
 * an errno. */
int lsi_linux_fstat(int fd, struct stat *st, struct lsi_object_info *out);
/* The error for an errno of opening or looking at an object, with its name and a remedy:
 * LSIO_ERR_SOURCE for what the user named wrongly, LSIO_ERR_IO for the rest (EMFILE among it). */
int lsi_linux_source_error(const char *name, int code, struct lsi_error *err);

/* The mapping behind lsi_linux_info, cached: partition -> whole disk; anything else stays. */
uint64_t lsi_linux_whole_device(uint64_t st_dev);

/* Somewhere in the middle of the address space, on 2 MiB, far from libraries (at the top), the heap and
 * the program (at the bottom or at 0x55...). For mmap, which takes it as a hint only. NULL: no hint. */
void *lsi_linux_address_hint(void);

/* cgroup: least value of a limit file (v2 name, v1 controller and name) over this process's group
 * and its parents. UINT64_MAX: none. */
uint64_t lsi_linux_cgroup_limit(const char *v2, const char *controller, const char *v1);

#endif
