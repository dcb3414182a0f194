/* When something is tried again, and how much is asked at once. Pure: times are given, in ns of one clock,
 * and random numbers are. Figures: 8 tries within 120 s, waits of rand(0, min(20 s, 100 ms * 2^n)) ("full
 * jitter"), a bucket of 500 tokens an origin, of which a try takes 5, after a silent server 10, and a success
 * gives back 1. What servers, SDKs and other clients do, and why, is in README.md. */
#ifndef LSI_HTTP_RETRY_H
#define LSI_HTTP_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#define LSI_HTTP_TRIES 8u
#define LSI_HTTP_TRIES_NS 120000000000u
#define LSI_HTTP_AFTER_MOST_NS 60000000000u /* of a Retry-After */
#define LSI_HTTP_PROGRESS_NS 5000000000u    /* within which more must come of a reply that has begun */
#define LSI_HTTP_CONNECT_MS 3100u
#define LSI_HTTP_GIVE_UP UINT64_MAX

/* ---- the tries of one transfer ---- */

enum lsi_http_trouble {
  LSI_HTTP_LOST,     /* the connection was */
  LSI_HTTP_LATE,     /* nothing came for too long */
  LSI_HTTP_REFUSED,  /* by a status that passes */
  LSI_HTTP_THROTTLED /* because too much is asked for */
};

struct lsi_http_tries {
  uint64_t since_ns;
  uint32_t n; /* that were sent; 0: zeroed */
};

/* Of an origin. */
struct lsi_http_bucket {
  uint32_t tokens;
};

void lsi_http_bucket_init(struct lsi_http_bucket *b);
void lsi_http_bucket_give(struct lsi_http_bucket *b); /* something has ended well */

void lsi_http_tries_begin(struct lsi_http_tries *t, uint64_t now_ns);
void lsi_http_tries_sent(struct lsi_http_tries *t);
static inline uint32_t lsi_http_tries_count(const struct lsi_http_tries *t) {
  return t->n;
}
static inline uint64_t lsi_http_tries_since(const struct lsi_http_tries *t) {
  return t->since_ns;
}
/* How long to wait before the next one; LSI_HTTP_GIVE_UP: there is none. `after_ns`: what the server has
 * asked for, or 0. */
uint64_t lsi_http_tries_next(const struct lsi_http_tries *t, struct lsi_http_bucket *b,
                             enum lsi_http_trouble trouble, uint64_t after_ns, uint64_t now_ns,
                             uint64_t random);

/* ---- how many requests an origin gets at once ---- */

/* It starts with 8 and is doubled each round trip as long as that brings 5 % more a second; then one more a
 * round trip. A server that says that it is too much, or falls silent, gets 0.7 of it, once a second at most.
 */
struct lsi_http_pace {
  double limit;
  uint32_t most;
  bool climbs;            /* it is still doubled */
  uint64_t round_ns;      /* when the round at hand began */
  uint64_t bytes, landed; /* in this round */
  double rate;        /* bytes/s of the best round before, small replies counting as if they had some KiB */
  uint64_t slower_ns; /* when it was cut last */
  uint64_t trip_ns;   /* a mean of how long requests take */
  uint64_t first_ns;  /* the longest time to the end of one lately, slowly forgotten */
};

void lsi_http_pace_init(struct lsi_http_pace *p, uint32_t most);
uint32_t lsi_http_pace_limit(const struct lsi_http_pace *p);
void lsi_http_pace_landed(struct lsi_http_pace *p, uint64_t bytes, uint64_t started_ns, uint64_t now_ns);
void lsi_http_pace_slower(struct lsi_http_pace *p, uint64_t now_ns);
/* How long to wait for the first of a reply. */
uint64_t lsi_http_pace_patience(const struct lsi_http_pace *p);

#endif
