/* Lines of a reply's head, as a transport brings them, turned into struct lsi_wire_head. Bounded: all heads
 * of a reply together (there may be any number of 1xx) may have LSI_HEAD_MAX bytes. */
#ifndef LSI_WIRE_HEAD_H
#define LSI_WIRE_HEAD_H

#include "http/http_wire.h"

#define LSI_HEAD_MAX (256u << 10)
#define LSI_HEAD_VALUES 12 /* as many as lsi_wire_head has */

struct lsi_head {
  char *text; /* the values of the last head, each NUL-terminated */
  uint32_t used, room;
  uint32_t at[LSI_HEAD_VALUES]; /* 1 + where a value is in `text`; 0: it is not there */
  uint32_t bytes;               /* of all lines since the start */
  int status;                   /* 0: no status line has come */
  bool repeated;
  bool whole;                   /* the last head has ended: what comes now are trailers */
};

enum lsi_head_line {
  LSI_HEAD_MORE,
  LSI_HEAD_WHOLE, /* this was its last line, and no other head follows: see lsi_head_get */
  LSI_HEAD_GARBLED,
  LSI_HEAD_NO_MEMORY
};

/* For the next reply; keeps the memory. All zero is one that never had any. */
void lsi_head_start(struct lsi_head *h);
void lsi_head_free(struct lsi_head *h);
/* One line with its end of line, of n > 0 bytes. */
enum lsi_head_line lsi_head_line(struct lsi_head *h, const char *line, size_t n);
/* Valid until the next start. */
void lsi_head_get(const struct lsi_head *h, struct lsi_wire_head *out);

#endif
