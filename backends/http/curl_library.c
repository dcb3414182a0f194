#include "http/curl_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* 7.85 has CURLOPT_PROTOCOLS_STR, 7.87 CURLOPT_QUICK_EXIT, without which a lookup that hangs holds up who
 * drops its request; and 7.87.0 loses events of curl_multi_socket_action (curl#10146). */
#define OLDEST 0x075800u
#define OLDEST_TEXT "7.88"

static const char file[] = "libcurl.so.4";
static struct lsi_curl curl;
static bool loaded;
static char cause[512];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool find(void *library, const char *name, void *function) {
  void *found = dlsym(library, name);
  memcpy(function, &found, sizeof found); /* ISO C knows no cast from an object to a function */
  return found != NULL;
}

static void load(void) {
  void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *why = dlerror();
    snprintf(cause, sizeof cause, "libcurl can't be loaded: %s", why ? why : file);
    return;
  }
#define LSI_CURL_FIND(name)                                                                                  \
  if (!find(library, "curl_" #name, &curl.name)) {                                                           \
    snprintf(cause, sizeof cause, "%s has no curl_" #name, file);                                            \
    return;                                                                                                  \
  }
  LSI_CURL_FUNCTIONS(LSI_CURL_FIND)
#undef LSI_CURL_FIND
  find(library, "SSL_get_version", &curl.tls_version);
  const curl_version_info_data *version = curl.version_info(CURLVERSION_NOW);
  if (version->version_num < OLDEST) {
    snprintf(cause, sizeof cause, "libcurl %s is older than " OLDEST_TEXT, version->version);
    return;
  }
  const CURLcode rc = curl.global_init(CURL_GLOBAL_DEFAULT);
  if (rc != CURLE_OK) {
    snprintf(cause, sizeof cause, "libcurl can't be used: %s", curl.easy_strerror(rc));
    return;
  }
  loaded = true;
}

const struct lsi_curl *lsi_curl_load(struct lsi_error *err) {
  pthread_once(&once, load);
  if (loaded) return &curl;
  lsi_fail(err, LSIO_ERR_UNSUPPORTED, 0, "%s", cause);
  lsi_error_remedy(err, "install libcurl " OLDEST_TEXT " or newer (Debian, Ubuntu: libcurl4)");
  return NULL;
}
