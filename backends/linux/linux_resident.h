/* How much of a file is in the page cache. mincore is never asked: it lies about other people's files. */
#ifndef LSI_LINUX_RESIDENT_H
#define LSI_LINUX_RESIDENT_H

#include <stdint.h>

/* Percent of `size` bytes (not 0) of an open file from an offset, by cachestat; where that is refused, by a
 * sample of eight pages. Of many bytes a part is looked at. */
unsigned lsi_resident_percent(int fd, uint64_t from, uint64_t size);

#endif
