#include "seams/watch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "seams/os.h"

#define BETWEEN_NS 50000000u

int lsi_watch_tell(struct lsi_watch *w, uint64_t listed, uint64_t looked_at, struct lsi_error *err) {
  const uint64_t now = lsi_os_now_ns();
  if (w->until_ns && now >= w->until_ns) {
    lsi_fail(err, LSIO_ERR_LIMIT, 0, "the deadline has passed while sources were listed: %" PRIu64
             " were found, %" PRIu64 " of them looked at", listed + w->listed_before, looked_at);
    lsi_error_is(err, LSIO_KIND_TIMEOUT);
    lsi_error_remedy(err, "allow more time with --deadline");
    return LSIO_ERR_LIMIT;
  }
  if (!w->tell || now < w->next_ns) return 0;
  w->next_ns = now + BETWEEN_NS;
  if (w->tell(w->user, listed + w->listed_before, looked_at) == 0) return 0;
  return lsi_fail(err, LSIO_ERR_CANCELLED, 0, "the job was cancelled while its sources were listed");
}

void lsi_left_out_add(struct lsi_left_out *l, uint64_t n, const char *first) {
  const size_t length = strlen(first), room = sizeof l->first - 1;
  if (n && !l->n)
    snprintf(l->first, sizeof l->first, "%s%s", length > room ? "..." : "",
             first + (length > room ? length - room + 3 : 0));
  l->n += n;
}
