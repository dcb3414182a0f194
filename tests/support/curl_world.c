#include "curl_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>

#include <cmocka.h>

struct tiny_http *world_server;
struct lsi_wire *world_wire;
static unsigned accepted; /* before the wire was made */

const char *world_at(const char *path) {
  static char url[128];
  snprintf(url, sizeof url, "http://127.0.0.1:%d%s", tiny_http_port(world_server), path);
  return url;
}

uint64_t world_accepted(void) { return tiny_http_accepted(world_server) - accepted; }

int world_descriptors(void) {
  int n = 0;
  DIR *d = opendir("/proc/self/fd");
  while (d && readdir(d)) n++;
  if (d) closedir(d);
  return n;
}

struct lsi_wire *world_make(const struct lsi_wire_config *config) {
  struct lsi_wire *w = NULL;
  struct lsi_error err = {0};
  if (OPS->create(config, &w, &err) < 0) fail_msg("%s; %s", err.what, err.remedy);
  accepted = tiny_http_accepted(world_server);
  return w;
}

int world_begin(void **state) {
  (void)state;
  world_wire = world_make(
      &(struct lsi_wire_config){.requests = 4, .connect_ms = 3100, .proxy = "", .user_agent = "test/1"});
  return 0;
}

int world_finish(void **state) {
  (void)state;
  OPS->destroy(world_wire);
  return 0;
}

void world_ask(struct asked *a) {
  assert_true(OPS->start(world_wire, &a->request));
  assert_true(asked_wait(OPS, world_wire, a, 1));
  struct asked next;
  asked_range(&next, world_at("/object"), 5, 10, tiny_http_byte);
  assert_true(OPS->start(world_wire, &next.request));
  assert_true(asked_wait(OPS, world_wire, &next, 1));
  assert_int_equal(next.end.code, LSI_WIRE_DONE);
  assert_int_equal(next.got, 10);
  assert_int_equal(next.wrong, 0);
}

void world_get(struct asked *a, const char *path) {
  asked_get(a, world_at(path));
  world_ask(a);
}

int world_open(void **state) {
  (void)state;
  signal(SIGPIPE, SIG_DFL); /* no write may raise it */
  world_server = tiny_http_start();
  return 0;
}

int world_close(void **state) {
  (void)state;
  tiny_http_stop(world_server);
  return 0;
}
