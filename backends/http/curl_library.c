#include "http/curl_library.h"

#include <dlfcn.h>
#include <pthread.h>

#define OLDEST 0x075500u /* 7.85.0: protocols by name */

static struct lsi_curl library;
static struct lsi_error problem;

static int load(void) {
  void *so = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (!so)
    return lsi_fail(&problem, LSIO_ERR_UNSUPPORTED, 0, "http needs libcurl, which is not there: %s",
                    dlerror());
#define TAKE(f)                                \
  if (!(*(void **)&library.f = dlsym(so, #f))) \
    return lsi_fail(&problem, LSIO_ERR_UNSUPPORTED, 0, "http needs a libcurl that has %s", #f);
  LSI_CURL_FUNCTIONS(TAKE)
#undef TAKE
  const curl_version_info_data *v = library.curl_version_info(CURLVERSION_NOW);
  if (v->version_num < OLDEST)
    return lsi_fail(&problem, LSIO_ERR_UNSUPPORTED, 0, "http needs libcurl 7.85 or later, and here is %s",
                    v->version);
  if (library.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
    return lsi_fail(&problem, LSIO_ERR_UNSUPPORTED, 0, "libcurl can't be used");
  return 0;
}

static void load_once(void) {
  lsi_error_clear(&problem);
  if (load() < 0) lsi_error_remedy(&problem, "install libcurl4 (Debian, Ubuntu), or libcurl");
}

const struct lsi_curl *lsi_curl_library(struct lsi_error *err) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, load_once);
  if (!problem.code) return &library;
  if (err && !err->code) *err = problem;
  return NULL;
}
