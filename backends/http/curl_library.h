/* libcurl, found when it is first needed. Linked, it would bring two dozen libraries into every program, most
 * of which never name a URL: 3 ms of a start. */
#ifndef LSI_CURL_LIBRARY_H
#define LSI_CURL_LIBRARY_H

/* Its macros check types of functions that are linked. */
#define CURL_DISABLE_TYPECHECK 1
#include <curl/curl.h>

#include "ground/err.h"

#define LSI_CURL_FUNCTIONS(X)                                                                              \
  X(curl_global_init)                                                                                      \
  X(curl_version_info)                                                                                     \
  X(curl_easy_init)                                                                                        \
  X(curl_easy_cleanup) X(curl_easy_setopt) X(curl_easy_getinfo) X(curl_easy_strerror) X(curl_slist_append) \
      X(curl_slist_free_all) X(curl_multi_init) X(curl_multi_cleanup) X(curl_multi_setopt)                 \
          X(curl_multi_add_handle) X(curl_multi_remove_handle) X(curl_multi_socket_action)                 \
              X(curl_multi_info_read) X(curl_multi_assign) X(curl_share_init) X(curl_share_setopt)         \
                  X(curl_share_cleanup)

struct lsi_curl {
#define LSI_CURL_POINTER(f) __typeof__(&(f)) f;
  LSI_CURL_FUNCTIONS(LSI_CURL_POINTER)
#undef LSI_CURL_POINTER
};

/* Any thread; once loaded it stays. NULL with LSIO_ERR_UNSUPPORTED: it is not there, or too old. */
const struct lsi_curl *lsi_curl_library(struct lsi_error *err);

#endif
