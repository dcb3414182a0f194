/* One request over one of libcurl's easy handles: options, what it tells of the reply, how it ended. The
 * handle is kept for the next request; its caller puts it into a multi handle and takes it out. */
#ifndef LSI_CURL_REQUEST_H
#define LSI_CURL_REQUEST_H

#include "http/curl_library.h"
#include "http/curl_watch.h"
#include "http/wire_head.h"

/* What all requests of a wire have in common. Stays where it is. */
struct lsi_curl_common {
  const struct lsi_curl *curl;
  struct lsi_wire_config config; /* its texts are borrowed */
  CURLSH *share;
  struct lsi_curl_watch watch;
  int no_socket;                 /* errno, if the last one could not be made */
};

struct lsi_curl_request {
  struct lsi_wire_request *request; /* NULL: none */
  CURL *easy;                       /* NULL: not made yet */
  struct curl_slist *lines;         /* the headers, as libcurl wants them; they point to the request's */
  uint32_t lines_room;
  uint32_t next;                    /* its owner's own */
  struct lsi_head head;
  uint64_t body;
  enum lsi_wire_code stop;          /* why a hook of libcurl gave up; LSI_WIRE_DONE: none did */
  bool head_only, fresh;            /* as the handle's options are */
  bool unsent;                      /* it could not be begun: `stop` says why */
  CURLcode set;                     /* of the last option */
  bool answered, secure;
  const char *tls;
  bool connects;                    /* a socket was made for it */
  const struct lsi_curl *curl;
  struct lsi_curl_common *common;
  char error[CURL_ERROR_SIZE];
  char ip[48], address[64];         /* of the other side; the second follows from the first and the port */
  long port;
};

/* Makes the handle ready for the request. False: it is `unsent`. */
bool lsi_curl_request_begin(struct lsi_curl_request *s, struct lsi_curl_common *common,
                            struct lsi_wire_request *r);
/* It ended with rc and is out of the multi handle. Fills `end`, which points into *s. Returns the connections
 * that were made for it. */
uint32_t lsi_curl_request_ended(struct lsi_curl_request *s, CURLcode rc, struct lsi_wire_end *end);
/* Connections that were made for it so far. */
uint32_t lsi_curl_request_connections(const struct lsi_curl_request *s);
/* Gives back the handle, which is in no multi handle. */
void lsi_curl_request_forget(struct lsi_curl_request *s);
void lsi_curl_request_free(struct lsi_curl_request *s);

#endif
