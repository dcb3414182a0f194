/* The transport over libcurl beside a server on loopback, for its tests. */
#ifndef CURL_WORLD_H
#define CURL_WORLD_H

#include "asked.h"
#include "tiny_http.h"

#define OPS (&lsi_wire_curl)

extern struct tiny_http *world_server;
extern struct lsi_wire *world_wire;

/* The URL of a path of the server; valid until the next one. */
const char *world_at(const char *path);
/* Connections that the server has taken since the wire was made. */
uint64_t world_accepted(void);
struct lsi_wire *world_make(const struct lsi_wire_config *config);
/* One request and its end; the transport must still be good for another one. */
void world_ask(struct asked *a);
void world_get(struct asked *a, const char *path);

/* cmocka's: a wire of four requests, and its end; the server, and its end. */
int world_begin(void **state);
int world_finish(void **state);
int world_open(void **state);
int world_close(void **state);

/* Descriptors of the process. */
int world_descriptors(void);

#endif
