/* The head of a reply, line by line. Its text is a server's: bounded, and believed in nothing. */
#ifndef LSI_WIRE_HEAD_H
#define LSI_WIRE_HEAD_H

#include "http/http_wire.h"

#define LSI_WIRE_HEAD_TEXT 8192u /* bytes of the values that are kept */

struct lsi_wire_head_text {
  struct lsi_wire_head head;
  char text[LSI_WIRE_HEAD_TEXT];
  size_t n;
  uint64_t seen; /* bytes of lines */
  bool told;     /* the head was whole: what comes are trailers */
};

enum lsi_wire_line { LSI_WIRE_MORE, LSI_WIRE_WHOLE, LSI_WIRE_BAD };

/* Before a request. */
void lsi_wire_head_begin(struct lsi_wire_head_text *h);
/* A line, with its line end. WHOLE: that was the last one, of a reply that is no 1xx. BAD: it can't be. */
enum lsi_wire_line lsi_wire_head_line(struct lsi_wire_head_text *h, const char *line, size_t n);

#endif
