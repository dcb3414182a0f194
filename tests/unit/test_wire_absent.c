/* Where libcurl is not there, lacks a function or is too old, URLs are an error with a remedy, each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "http/curl_library.h"
#include "http/http_wire.h"

static enum { WHOLE, ABSENT, LACKS, OLD } library;

void *__real_dlopen(const char *file, int flags);
void *__wrap_dlopen(const char *file, int flags);
void *__wrap_dlopen(const char *file, int flags) {
  return library == ABSENT && strstr(file, "curl") ? NULL : __real_dlopen(file, flags);
}

static curl_version_info_data *old_version(CURLversion now) {
  static curl_version_info_data data = {.version = "7.87.0", .version_num = 0x075700};
  (void)now;
  return &data;
}

void *__real_dlsym(void *from, const char *name);
void *__wrap_dlsym(void *from, const char *name);
void *__wrap_dlsym(void *from, const char *name) {
  curl_version_info_data *(*function)(CURLversion) = old_version;
  void *found = __real_dlsym(from, name);
  if (library == LACKS && strcmp(name, "curl_multi_socket_action") == 0) return NULL;
  if (library == OLD && strcmp(name, "curl_version_info") == 0) memcpy(&found, &function, sizeof found);
  return found;
}

/* In a process of its own, for it is loaded once. */
static void check(int how, const char *cause) {
  const pid_t child = fork();
  if (child == 0) {
    library = how;
    for (int i = 0; i < 2; i++) {
      struct lsi_wire *w;
      struct lsi_error err = {0};
      const struct lsi_wire_config config = {.requests = 1};
      const int rc = lsi_wire_curl.create(&config, &w, &err);
      if (rc == 0) lsi_wire_curl.destroy(w);
      const bool good = cause ? rc == LSIO_ERR_UNSUPPORTED && strstr(err.what, cause) && strstr(err.remedy, "libcurl4")
                              : rc == 0;
      if (!good) printf("%d: %s; %s\n", rc, err.what, err.remedy);
      if (!good) _exit(1);
    }
    _exit(0);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

static void test_what_is_wrong_is_said(void **state) {
  (void)state;
  check(ABSENT, "libcurl.so.4");
  check(LACKS, "curl_multi_socket_action");
  check(OLD, "libcurl 7.87.0 is older than 7.88");
  check(WHOLE, NULL);
}

int main(void) {
  static const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_wrong_is_said)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
