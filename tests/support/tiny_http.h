/* An HTTP server on loopback, a thread a connection, for tests of the transport: what it answers follows from
 * the path alone. `/object` has OBJECT bytes and knows ranges; tiny_http.c lists the others. */
#ifndef TINY_HTTP_H
#define TINY_HTTP_H

#include <stdint.h>

#define TINY_HTTP_OBJECT (8u << 20)
#define TINY_HTTP_ETAG "\"0123456789abcdef\""

struct tiny_http;

struct tiny_http *tiny_http_start(void); /* aborts where there is no loopback */
int tiny_http_port(const struct tiny_http *s);
unsigned tiny_http_accepted(const struct tiny_http *s); /* connections so far */
void tiny_http_stop(struct tiny_http *s);
/* The object's byte there. */
static inline uint8_t tiny_http_byte(uint64_t offset) {
  return (uint8_t)((offset * 0x9e3779b97f4a7c15u) >> 56);
}

#endif
