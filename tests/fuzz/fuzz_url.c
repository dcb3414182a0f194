/* Fuzz target: a URL, and behind a newline where it leads from there: what goes out is a URL that stays as it is,
 * and nothing of user and password is shown. */
#include "fuzz.h"
#include "ground/mem.h"
#include "ground/show.h"
#include "http/url.h"

static void check(const struct lsi_url *u) {
  struct lsi_url again;
  FUZZ_CHECK(lsi_url_parse(u->text, &again, NULL) == 0);
  FUZZ_CHECK(strcmp(again.text, u->text) == 0 && strcmp(again.origin, u->origin) == 0);
  FUZZ_CHECK(u->text[u->path] == '/' && !strchr(u->text, '#') && !strchr(u->text, ' '));
  FUZZ_CHECK(!again.authorization);
  for (const char *c = u->text; *c; c++) FUZZ_CHECK(*c > 32 && *c < 127);
  lsi_url_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = lsi_strndup((const char *)data, size), shown[300], *second = text ? strchr(text, '\n') : NULL;
  struct lsi_url u, to;
  if (!text) return 0;
  if (second) *second++ = 0;
  const size_t n = lsi_name_show(text, shown, sizeof shown);
  FUZZ_CHECK(strlen(shown) == n && n < sizeof shown);
  if (lsi_url_parse(text, &u, NULL) == 0) {
    check(&u);
    if (u.authorization && n + 4 < sizeof shown) {
      const size_t host = strcspn(shown, ":") + 3;
      FUZZ_CHECK(!memchr(shown + host, '@', strcspn(shown + host, "/?#")));
    }
    if (second && lsi_url_resolve(&u, second, &to, NULL) == 0) {
      check(&to);
      lsi_url_clear(&to);
    }
    lsi_url_clear(&u);
  }
  lsi_free(text);
  return 0;
}
