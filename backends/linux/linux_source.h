/* A source file as the Linux backends open it: direct or buffered is decided once, here, and kept in
 * the handle. Output files: os_linux_output.h. */
#ifndef LSI_LINUX_SOURCE_H
#define LSI_LINUX_SOURCE_H

#include "linux/linux_handle.h"
#include "linux/linux_small.h"
#include "seams/backend.h"

#define LSI_FILE_SMALL (32u * 1024) /* smaller files are read through the page cache */

/* Which files are lent from a mapping (linux_map.h). */
enum lsi_source_maps { LSI_MAPS_NONE, LSI_MAPS_RESIDENT, LSI_MAPS_ALL };

/* Opens and decides. Fills *h. As the hook `open`, `maps` in place of the order's; errors as
 * lsi_linux_source_error, LSIO_ERR_UNSUPPORTED when it is to be direct and the file system can't. */
int lsi_source_open(struct lsi_near *near, const struct lsi_open *order, enum lsi_source_maps maps,
                    struct lsi_handle *h, struct lsi_error *err);
/* Closes both. Of a file that has lost its last name meanwhile no version is known. 0, or LSIO_ERR_SOURCE
 * when what the object is now can't be known. */
int lsi_source_close(struct lsi_handle *h, struct lsi_object_info *now);
/* The same of one that stays open, for the hook `look`. */
int lsi_source_look(struct lsi_backend *b, const struct lsi_handle *h, struct lsi_object_info *now);

#endif
