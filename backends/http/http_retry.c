#include "http/http_retry.h"

#include "ground/base.h"

#define MS UINT64_C(1000000)
#define TOKENS 500u
#define FIRST_WAIT_NS (100 * MS)
#define LONGEST_WAIT_NS (20000 * MS)
#define BEGIN 8.0
#define WORTH 1.05
#define CUT 0.7
#define CUT_EVERY_NS (1000 * MS)
#define SMALL_REPLY 4096u /* what the smallest count for: they cost as much */
#define PATIENCE_NS (5000 * MS)
#define PATIENCE_TIMES 4u

void lsi_http_bucket_init(struct lsi_http_bucket *b) {
  b->tokens = TOKENS;
}

void lsi_http_bucket_give(struct lsi_http_bucket *b) {
  b->tokens = LSI_MIN(b->tokens + 1, TOKENS);
}

void lsi_http_tries_begin(struct lsi_http_tries *t, uint64_t now_ns) {
  t->since_ns = now_ns;
  t->n = 0;
}

void lsi_http_tries_sent(struct lsi_http_tries *t) {
  t->n++;
}

uint64_t lsi_http_tries_next(const struct lsi_http_tries *t, struct lsi_http_bucket *b,
                             enum lsi_http_trouble trouble, uint64_t after_ns, uint64_t now_ns,
                             uint64_t random) {
  const uint32_t price = trouble == LSI_HTTP_LATE ? 10 : 5;
  if (t->n >= LSI_HTTP_TRIES || now_ns - t->since_ns >= LSI_HTTP_TRIES_NS || b->tokens < price)
    return LSI_HTTP_GIVE_UP;
  b->tokens -= price;
  const unsigned doubled = LSI_MIN(t->n ? t->n - 1 : 0, 20u);
  uint64_t wait = random % (LSI_MIN(FIRST_WAIT_NS << doubled, LONGEST_WAIT_NS) + 1);
  /* What a server asks for is spread as well: else all come back at once. */
  if (after_ns) wait = LSI_MIN(after_ns, (uint64_t)LSI_HTTP_AFTER_MOST_NS) + random % (FIRST_WAIT_NS + 1);
  return now_ns + wait - t->since_ns < LSI_HTTP_TRIES_NS ? wait : LSI_HTTP_GIVE_UP;
}

void lsi_http_pace_init(struct lsi_http_pace *p, uint32_t most) {
  *p = (struct lsi_http_pace){
      .limit = LSI_MIN(BEGIN, (double)LSI_MAX(most, 1u)), .most = LSI_MAX(most, 1u), .climbs = true};
}

uint32_t lsi_http_pace_limit(const struct lsi_http_pace *p) {
  return (uint32_t)p->limit;
}

/* As many have landed as may be under way: a round trip has passed, or its like. */
static void judge(struct lsi_http_pace *p, uint64_t now_ns) {
  const double rate = (double)p->bytes / (double)LSI_MAX(now_ns - p->round_ns, UINT64_C(1));
  if (p->climbs && p->rate > 0 && rate < p->rate * WORTH) p->climbs = false;
  p->rate = LSI_MAX(p->rate, rate);
  p->limit = p->climbs ? p->limit * 2 : p->limit + 1;
  p->limit = LSI_MIN(p->limit, (double)p->most);
  p->round_ns = now_ns;
  p->bytes = p->landed = 0;
}

void lsi_http_pace_landed(struct lsi_http_pace *p, uint64_t bytes, uint64_t started_ns, uint64_t now_ns) {
  const uint64_t took = now_ns - started_ns;
  if (!p->round_ns) p->round_ns = started_ns;
  p->trip_ns = p->trip_ns ? (p->trip_ns * 7 + took) / 8 : took;
  p->first_ns = LSI_MAX(took, p->first_ns - p->first_ns / 128);
  p->bytes += LSI_MAX(bytes, (uint64_t)SMALL_REPLY);
  if (++p->landed >= (uint64_t)p->limit) judge(p, now_ns);
}

void lsi_http_pace_slower(struct lsi_http_pace *p, uint64_t now_ns) {
  if (p->slower_ns && now_ns - p->slower_ns < CUT_EVERY_NS) return;
  p->slower_ns = now_ns;
  p->climbs = false;
  p->limit = LSI_MAX(p->limit * CUT, 1.0);
  p->bytes = p->landed = 0;
  p->round_ns = now_ns;
}

uint64_t lsi_http_pace_patience(const struct lsi_http_pace *p) {
  return LSI_MAX(PATIENCE_NS, LSI_MIN(p->first_ns, (uint64_t)LSI_HTTP_AFTER_MOST_NS) * PATIENCE_TIMES);
}
