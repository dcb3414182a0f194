/* The memory of a context, promised before it is used: who is to begin something asks for all that it needs
 * at once, and waits with nothing in hand if that is not there. Grants follow the order of arrival, but one
 * that waits for much is passed by those that need little: by LSI_LEDGER_PASSES of them or for LSI_LEDGER_NS,
 * then by none. Beside them count the blocks of results that the program holds (block.h), up to half of all.
 * Thread-safe. */
#ifndef LSI_LEDGER_H
#define LSI_LEDGER_H

#include "ground/base.h"

#define LSI_LEDGER_PASSES 64u
#define LSI_LEDGER_NS 100000000u
#define LSI_LEDGER_LONG_NS 10000000000u

struct lsi_ledger;

/* Lives where its owner puts it, until it is given back or withdrawn; the owner sets the first part. */
struct lsi_claim {
  uint64_t bytes;
  void (*granted)(void *user);   /* after a wait: by who made room for it, under no lock. NULL: not told */
  void *user;
  bool insists;                  /* who asks has some already, for which others may wait: lsi_ledger_insist */
  bool blocks;                   /* a thread is held up meanwhile: it comes before those that only insist */
  /* the ledger's: */
  enum { LSI_CLAIM_NONE, LSI_CLAIM_WAITS, LSI_CLAIM_HELD } state;
  uint32_t passed;
  bool beyond;                   /* held although there was no room */
  uint64_t since_ns;
  struct lsi_claim *before, *next;
};

struct lsi_ledger *lsi_ledger_create(void); /* NULL: no memory. Of no limit yet */
/* One more owner (a block that may outlive the context), and one less: with the last one it goes, and no
 * claim holds or waits. NULL is fine. */
void lsi_ledger_hold(struct lsi_ledger *l);
void lsi_ledger_drop(struct lsi_ledger *l);
/* Bytes to share out; before anything is asked for. */
void lsi_ledger_limit(struct lsi_ledger *l, uint64_t bytes);
/* True: it is held. False: it waits, and `granted` will be called. What is more than there is to share out
 * waits until nothing else is held. */
bool lsi_ledger_ask(struct lsi_ledger *l, struct lsi_claim *c);
bool lsi_ledger_waits(struct lsi_ledger *l, const struct lsi_claim *c);
/* The same for one that insists: is it held? Those that have some and want more could wait for each other
 * for ever: so the oldest of them gets it after LSI_LEDGER_NS although there is no room, if no other has so,
 * which ends with a step, and after LSI_LEDGER_LONG_NS anyway: a step may last, or nobody poll its result. */
bool lsi_ledger_insist(struct lsi_ledger *l, struct lsi_claim *c);
/* Somebody waits. */
bool lsi_ledger_is_short(struct lsi_ledger *l);
/* It waits no more. False: it did not wait. Both call the `granted` of those that find room then. */
bool lsi_ledger_withdraw(struct lsi_ledger *l, struct lsi_claim *c);
/* What is held, if it is. */
void lsi_ledger_give_back(struct lsi_ledger *l, struct lsi_claim *c);

/* Blocks with results of several steps, wherever they are, take at most half of the limit: false, this one
 * would be too much. */
bool lsi_ledger_share(struct lsi_ledger *l, uint64_t bytes);
void lsi_ledger_unshare(struct lsi_ledger *l, uint64_t bytes);
/* So much of what blocks take is the program's, or is no longer: up to half of the limit is not for claims
 * meanwhile. Nobody waits for a program for ever, for one claim always finds room. The second may call
 * `granted`. */
void lsi_ledger_lend(struct lsi_ledger *l, uint64_t bytes);
void lsi_ledger_regain(struct lsi_ledger *l, uint64_t bytes);

struct lsi_ledger_figures {
  uint64_t limit; /* bytes */
  uint64_t held;
  uint64_t shared, lent; /* of blocks */
  uint32_t waits; /* claims */
};
void lsi_ledger_look(struct lsi_ledger *l, struct lsi_ledger_figures *out);

#endif
