#include "http/curl_code.h"

#include <string.h>
#include <strings.h>

#define TOO_LARGE 100 /* CURLE_TOO_LARGE of 8.6 */

/* libcurl has one code for a server and for a proxy that can't be reached. Before 8.7 only its words, "Failed
 * to connect to NAME port", tell them apart. */
static bool through_proxy(const struct lsi_curl_ended *e) {
  if (e->used_proxy >= 0 || !e->may_proxy) return e->used_proxy > 0;
  static const char before[] = "connect to ";
  const char *named = strstr(e->text, before), *host = strstr(e->url, "://");
  if (!named || !host) return false;
  named += sizeof before - 1;
  host += 3 + (host[3] == '['); /* it shows IPv6 addresses without brackets */
  size_t n = strcspn(host, host[-1] == '[' ? "]" : ":/?");
  if (n && host[n - 1] == '.') n--; /* it may be shown or not */
  return strncasecmp(named, host, n) != 0 || (named[n] != ' ' && named[n] != '.');
}

static enum lsi_wire_code lost(const struct lsi_curl_ended *e) {
  if (e->connect_status >= 300 || (!e->answered && strstr(e->text, "CONNECT"))) return LSI_WIRE_PROXY;
  if (strstr(e->text, "chunked-encoding")) return LSI_WIRE_GARBLED;
  return e->head ? LSI_WIRE_BROKEN : LSI_WIRE_CLOSED;
}

enum lsi_wire_code lsi_curl_code(const struct lsi_curl_ended *e) {
  switch ((int)e->rc) {
    case CURLE_OK: /* it calls a head without its end a success */
      return e->head ? LSI_WIRE_DONE : LSI_WIRE_CLOSED;
    case CURLE_COULDNT_RESOLVE_HOST:
      return LSI_WIRE_NO_NAME;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
      return LSI_WIRE_PROXY;
    case CURLE_COULDNT_CONNECT:
      return e->connect_status >= 300 || through_proxy(e) ? LSI_WIRE_PROXY : LSI_WIRE_NO_HOST;
    case CURLE_OPERATION_TIMEDOUT:
      return LSI_WIRE_LATE;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CACERT_BADFILE:
      return LSI_WIRE_UNTRUSTED;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_SHUTDOWN_FAILED:
    case CURLE_USE_SSL_FAILED:
      return LSI_WIRE_NO_TLS;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
      return lost(e);
    case CURLE_BAD_FUNCTION_ARGUMENT: /* a line of the head or a trailer without a colon */
    case CURLE_UNSUPPORTED_PROTOCOL:  /* HTTP/0.9, if the URL is one of ours */
      return e->answered ? LSI_WIRE_GARBLED : LSI_WIRE_FAILED;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_FILESIZE_EXCEEDED:
    case TOO_LARGE:
      return LSI_WIRE_GARBLED;
    case CURLE_OUT_OF_MEMORY: /* or a line of the head has no end */
      return e->answered && !e->head ? LSI_WIRE_GARBLED : LSI_WIRE_NO_MEMORY;
    default:
      return LSI_WIRE_FAILED;
  }
}

/* Of others it may be that of an address that was tried in vain before. */
bool lsi_curl_has_errno(CURLcode rc) {
  return rc == CURLE_COULDNT_CONNECT || rc == CURLE_RECV_ERROR || rc == CURLE_SEND_ERROR;
}
