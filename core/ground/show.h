/* Names of objects as they may be shown: in messages, logs, traces and figures. */
#ifndef LSI_GROUND_SHOW_H
#define LSI_GROUND_SHOW_H

#include <stddef.h>

/* What people may see of n bytes that are a URL, or were meant to be one: without userinfo, without the
 * values of query parameters that may be secret and without its fragment; printable ASCII only. In doubt it
 * shows less. Never fails; what does not fit into `cap` bytes with the NUL ends with "...". Returns how long
 * it is. */
size_t lsi_url_show(const char *text, size_t n, char *buf, size_t cap);
/* The same of a name that begins with a scheme and "://"; any other one as it is, as far as it fits. */
size_t lsi_name_show(const char *name, char *out, size_t cap);

#endif
