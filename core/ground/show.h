/* Names of objects as they may be shown: in messages, logs, traces and figures. */
#ifndef LSI_GROUND_SHOW_H
#define LSI_GROUND_SHOW_H

#include <stddef.h>

/* A URL without user and password, without what its query has that may be secret ("..." in its place), and
 * without fragment; any other name as it is. At most `cap` bytes with the NUL are written, and never a part
 * of what is hidden. Returns the length that it has or would have. Takes any text. */
size_t lsi_name_show(const char *name, char *out, size_t cap);

#endif
