/* Which sockets of libcurl are waited for, and for what, by one epoll descriptor. libcurl wants a
 * connection's socket no more when a request ends, and again when the next one goes out over it, mostly
 * within the same call. So the kernel is told in `settle`, and a socket stays armed until an event comes that
 * nobody wants. Belongs to one thread. */
#ifndef LSI_CURL_WATCH_H
#define LSI_CURL_WATCH_H

#include "ground/base.h"

struct lsi_watched; /* what is known of one descriptor */

struct lsi_curl_watch {
  int fd; /* readable when a socket is ready */
  struct lsi_watched *of; /* by descriptor */
  int *dirty; /* descriptors for which the kernel does not yet know what is wanted */
  uint32_t n, n_dirty; /* of both there is room for n */
};

/* 0 or an errno. */
int lsi_curl_watch_create(struct lsi_curl_watch *w);
void lsi_curl_watch_destroy(struct lsi_curl_watch *w);
/* A socket is made, or closed, by us; libcurl has others, for its lookups. False: no memory. */
bool lsi_curl_watch_opened(struct lsi_curl_watch *w, int fd);
void lsi_curl_watch_closed(struct lsi_curl_watch *w, int fd);
/* libcurl wants these events (EPOLLIN, EPOLLOUT; 0: none). False: no memory. */
bool lsi_curl_watch_want(struct lsi_curl_watch *w, int fd, uint32_t events);
/* Of an event that came: is it wanted? If not, no other one will come after the next `settle`. */
bool lsi_curl_watch_wanted(struct lsi_curl_watch *w, int fd);
/* Tells the kernel what has changed. 0 or an errno: a socket can't be waited for. */
int lsi_curl_watch_settle(struct lsi_curl_watch *w);

#endif
