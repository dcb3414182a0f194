/* What libcurl says of a request's end, in the words of http_wire.h. */
#ifndef LSI_CURL_CODE_H
#define LSI_CURL_CODE_H

#include "http/curl_library.h"
#include "http/http_wire.h"

struct lsi_curl_ended {
  CURLcode rc;
  bool head;          /* it was told */
  bool answered;      /* a byte of a reply came */
  bool may_proxy;     /* a proxy may be in use */
  long connect_status; /* a proxy's answer to CONNECT; 0: none */
  long used_proxy;    /* 1 or 0; -1: this libcurl can't tell */
  const char *url;
  const char *text;   /* of CURLOPT_ERRORBUFFER */
};

enum lsi_wire_code lsi_curl_code(const struct lsi_curl_ended *e);
/* Has CURLINFO_OS_ERRNO to do with it? */
bool lsi_curl_has_errno(CURLcode rc);

#endif
