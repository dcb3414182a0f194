/* What the head of a reply is worth: taken, tried again, followed, or refused. A server is believed in
 * nothing that can be checked: other bytes than were asked for must never pass for these. Pure. */
#ifndef LSI_HTTP_REPLY_H
#define LSI_HTTP_REPLY_H

#include "http/http_wire.h"
#include "seams/object.h"

#define LSI_HTTP_REST UINT64_MAX    /* a length: to the end, or as long as it comes */
#define LSI_HTTP_VALIDATOR_MAX 256u /* bytes of an ETag that is kept, with its NUL; longer ones are none */
#define LSI_HTTP_LOCATION_MAX 2048u

/* What is known of an object, by its listing or by replies. */
struct lsi_http_known {
  bool has_size, has_version;
  uint64_t size;
  uint64_t version[2];               /* a hash of the validator: see lsi_http_version */
  char etag[LSI_HTTP_VALIDATOR_MAX]; /* strong, as the server wrote it; "": none, or not known yet */
};

struct lsi_http_asked {
  bool head;              /* nothing but the head */
  bool ranged;            /* with a Range header */
  uint64_t first, length; /* bytes; LSI_HTTP_REST */
  const struct lsi_http_known *known;
};

enum lsi_http_what {
  LSI_HTTP_NOTHING,  /* no reply yet */
  LSI_HTTP_ACCEPT,   /* the body is what was asked for: `expected` bytes of it */
  LSI_HTTP_END,      /* there is nothing more: the object ends where the range begins */
  LSI_HTTP_REDIRECT, /* to `location` */
  LSI_HTTP_AGAIN,    /* it may pass */
  LSI_HTTP_FAIL
};

struct lsi_http_verdict {
  enum lsi_http_what what;
  int status;
  uint64_t expected;            /* LSI_HTTP_REST: as long as it comes */
  struct lsi_http_known learnt; /* of the object, by this reply */
  bool throttled;               /* AGAIN: because too much is asked for at once */
  uint64_t after_ns;            /* AGAIN: the server asks to wait so long; 0: it does not say */
  int code, kind;               /* FAIL: LSIO_ERR_*, LSIO_KIND_* */
  char text[200];               /* what is wrong, for people */
  const char *remedy;           /* static; "": none */
  char location[LSI_HTTP_LOCATION_MAX];
  bool too_much; /* who reads the body has found more than `expected` */
};

void lsi_http_judge(const struct lsi_http_asked *asked, const struct lsi_wire_head *head,
                    struct lsi_http_verdict *verdict);
/* Takes over what a reply that was accepted has told. */
void lsi_http_learn(struct lsi_http_known *known, const struct lsi_http_verdict *verdict);
/* A header that has the server refuse if the object is another one by now. False: there is no validator for
 * it. */
bool lsi_http_match(const struct lsi_http_known *known, char *out, size_t size);
/* The version by a validator's text. */
void lsi_http_version(const char *text, uint64_t version[2]);

#endif
