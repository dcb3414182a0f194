/* libcurl, loaded when the first wire needs it: it brings some 25 shared libraries with it, which would slow
 * down the start of every program that never reads a URL. It stays loaded. Thread-safe. */
#ifndef LSI_CURL_LIBRARY_H
#define LSI_CURL_LIBRARY_H

#include <curl/curl.h>

#include "ground/err.h"

/* What is used of it, by the names behind curl_. */
#define LSI_CURL_FUNCTIONS(X)                                                                                \
  X(global_init) X(version_info)                                                                             \
  X(easy_init) X(easy_cleanup) X(easy_setopt) X(easy_getinfo) X(easy_strerror)                               \
  X(multi_init) X(multi_cleanup) X(multi_setopt) X(multi_add_handle) X(multi_remove_handle)                  \
  X(multi_socket_action) X(multi_info_read) X(multi_strerror)                                                \
  X(share_init) X(share_cleanup) X(share_setopt)

struct lsi_curl {
#define LSI_CURL_FIELD(name) __typeof__(curl_##name) *name;
  LSI_CURL_FUNCTIONS(LSI_CURL_FIELD)
#undef LSI_CURL_FIELD
  const char *(*tls_version)(const void *ssl); /* OpenSSL's SSL_get_version; NULL: it is not loaded */
};

/* The same table each time. NULL: it is not here, or too old (LSIO_ERR_UNSUPPORTED, with a remedy). */
const struct lsi_curl *lsi_curl_load(struct lsi_error *err);

#endif
