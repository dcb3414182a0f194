/* The transport over libcurl and TLS: who is trusted, and that sessions are taken up again. The server is that
 * of openssl's command, which tells of each connection. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "asked.h"

static const struct lsi_wire_ops *const ops = &lsi_wire_curl;
extern char **environ;
static char folder[] = "/tmp/lsio-tls-XXXXXX", certificate[64], key[64], log_file[64], port[8];
static pid_t server;

static pid_t run(char *const *arguments, int to) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to, 1);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  pid_t pid;
  const int rc = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  return rc ? -1 : pid;
}

static bool make_certificate(void) {
  char *arguments[] = {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                       "-subj", "/CN=test", "-addext", "subjectAltName=DNS:localhost", "-days", "2",
                       "-keyout", key, "-out", certificate, NULL};
  int status;
  const pid_t pid = run(arguments, 1);
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* It says "ACCEPT 127.0.0.1:PORT" once it listens. */
static bool start_server(void) {
  char *arguments[] = {"openssl", "s_server", "-accept", "127.0.0.1:0", "-www", "-cert", certificate, "-key", key, NULL};
  const int out = open(log_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  server = run(arguments, out);
  close(out);
  for (int i = 0; server > 0 && i < 1000; i++) {
    char text[512] = "";
    FILE *f = fopen(log_file, "r");
    const size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    const char *said = strstr(text, "ACCEPT 127.0.0.1:");
    if (said && strchr(said, '\n') && sscanf(said, "ACCEPT 127.0.0.1:%7[0-9]", port) == 1) return true;
    usleep(10000);
  }
  return false;
}

static void prepare(struct asked *a, const char *host) {
  char url[64];
  snprintf(url, sizeof url, "https://%s:%s/", host, port);
  asked_get(a, url);
  a->request.fresh = true;
}

static void ends(const struct lsi_wire_config *more, const char *host, enum lsi_wire_code code) {
  struct lsi_wire *w;
  struct lsi_wire_config config = *more;
  struct asked a;
  config.requests = 1;
  config.connect_ms = 10000;
  config.proxy = "";
  assert_int_equal(ops->create(&config, &w, NULL), 0);
  prepare(&a, host);
  assert_true(ops->start(w, &a.request));
  assert_true(asked_wait(ops, w, &a, 1));
  if (a.end.code != code) fail_msg("%s: code %d, %s", host, a.end.code, a.text);
  assert_string_equal(a.tls, code == LSI_WIRE_DONE ? "TLSv1.3" : "");
  ops->destroy(w);
}

static void test_nobody_is_trusted_who_is_not_known(void **state) {
  (void)state;
  ends(&(struct lsi_wire_config){0}, "localhost", LSI_WIRE_UNTRUSTED);
  ends(&(struct lsi_wire_config){.ca_file = certificate}, "127.0.0.1", LSI_WIRE_UNTRUSTED); /* another name */
  ends(&(struct lsi_wire_config){.ca_file = "/nowhere/at-all.pem"}, "localhost", LSI_WIRE_UNTRUSTED);
  ends(&(struct lsi_wire_config){.ca_file = certificate}, "localhost", LSI_WIRE_DONE);
  ends(&(struct lsi_wire_config){.untrusted = true}, "127.0.0.1", LSI_WIRE_DONE);
}

static char page[16384]; /* what the server says of a connection */
static size_t page_length;

static bool keep_page(void *user, const void *data, size_t n) {
  struct asked *a = user;
  if (n < sizeof page - page_length) memcpy(page + page_length, data, n);
  page_length += n;
  a->got += n;
  return true;
}

static void test_sessions_are_taken_up_again(void **state) {
  (void)state;
  struct lsi_wire *w;
  const struct lsi_wire_config config = {.requests = 1, .connect_ms = 10000, .proxy = "", .ca_file = certificate};
  assert_int_equal(ops->create(&config, &w, NULL), 0);
  for (int i = 0; i < 5; i++) {
    struct asked a;
    memset(page, 0, sizeof page);
    page_length = 0;
    prepare(&a, "localhost");
    a.request.body = keep_page;
    assert_true(ops->start(w, &a.request));
    assert_true(asked_wait(ops, w, &a, 1));
    assert_int_equal(a.end.code, LSI_WIRE_DONE);
    assert_int_equal(ops->connections(w), i + 1);
    assert_non_null(strstr(page, i ? "Reused, TLS" : "New, TLS"));
    prepare(&a, "localhost"); /* the handle goes: what it knew was the wire's */
    assert_true(ops->start(w, &a.request));
    ops->drop(w, &a.request);
  }
  ops->destroy(w);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nobody_is_trusted_who_is_not_known),
      cmocka_unit_test(test_sessions_are_taken_up_again),
  };
  if (!mkdtemp(folder)) return 1;
  snprintf(certificate, sizeof certificate, "%s/certificate.pem", folder);
  snprintf(key, sizeof key, "%s/key.pem", folder);
  snprintf(log_file, sizeof log_file, "%s/log", folder);
  int rc = 77;
  if (make_certificate() && start_server())
    rc = cmocka_run_group_tests(tests, NULL, NULL);
  else
    printf("openssl is not here to play the server\n");
  if (server > 0) {
    kill(server, SIGTERM);
    waitpid(server, NULL, 0);
  }
  unlink(certificate);
  unlink(key);
  unlink(log_file);
  rmdir(folder);
  return rc;
}
