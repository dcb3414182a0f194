/* What a worker does of a run, turn by turn (worker.c). Inside of the engine. */
#ifndef LSI_WORKER_H
#define LSI_WORKER_H

#include <stdbool.h>
#include <stdint.h>

struct lsi_worker;

enum lsi_turn {
  LSI_TURN_WENT,    /* something was done, and more may be done at once */
  LSI_TURN_WAITS,   /* all that can be done is in flight */
  LSI_TURN_BLOCKED, /* nothing is in flight, and nothing can be begun for w->blocked_ns */
  LSI_TURN_ENDED    /* it has given back all that it held: lsi_run_worker_ended() is to be called */
};

/* After LSI_TURN_BLOCKED: nothing has come since that it would be roused for. */
bool lsi_worker_waits(const struct lsi_worker *w);
/* One turn: begins at most w->may_begin units, as far as there is room, takes what has come back (also of
 * others of the same home) and runs its steps. Waits for what is in flight, up to most_ns (-1: until some of
 * it comes back), and for nothing else. All turns of a worker are one thread's: that of w->home. */
enum lsi_turn lsi_worker_turn(struct lsi_worker *w, int64_t most_ns);

#endif
