/* Files whose content the kernel makes when they are read, as those of /proc and /sys: the size that they
 * tell is 0, or a page, or theirs. */
#ifndef LSI_LINUX_PROCFS_H
#define LSI_LINUX_PROCFS_H

#include <stdbool.h>
#include <stdint.h>

/* Is content made in file systems of that magic number (statfs)? */
bool lsi_made_magic(uint64_t magic);
/* Of such a file, open for reading: does it tell no size, or one at which it has ended already? */
bool lsi_made_no_size(int fd, uint64_t size);
/* The same by a file's path, of a plain file of device `st_dev`. False also where it can't be known. */
bool lsi_made_path(const char *path, uint64_t st_dev, uint64_t size);

#endif
