/* What a plan needs of memory: how many workers fit under the ceiling, and each one's share. Pure and
 * thread-safe. */
#ifndef LSI_PRICE_H
#define LSI_PRICE_H

#include "job/spec.h"
#include "plan/plan.h"

/* Beside two pieces: lz4's largest block and 64 KiB of history, zstd's window up to level 15 (4 MiB),
 * blosc's blocks up to 1.3 MiB (3 of them). What takes more must find it in the rest of the share, or
 * fit whole. */
#define LSI_PIECE_INNER ((4u << 20) + (320u << 10))

struct lsi_price_request {
  uint32_t workers;  /* wanted; 0 counts as 1 */
  uint64_t ceiling;  /* bytes for all of them */
  uint64_t decoded;  /* bytes that the largest step decodes to, beside the stored bytes of its unit */
  uint64_t out;      /* bytes of its result; a worker has one step in its hands at a time */
  uint64_t scratch;  /* bytes of its scratch */
  bool scratch_later; /* which its transform may ask for: without room for it the step may run, too */
  bool pieces;       /* `decoded` is that of pieces already */
};

struct lsi_price {
  uint32_t workers;  /* 1 .. wanted */
  uint64_t share;    /* bytes of the ceiling for each */
  uint64_t need;     /* bytes that a worker must have: largest unit + largest step */
};

/* Fills want->decoded, out and scratch for a step whose chunks have `decoded` bytes once decoded.
 * `result`: the type of the elements that leave a step, for a sink or as a stream. Saturates. */
void lsi_price_step(const struct lsi_spec *spec, uint64_t decoded, struct lsi_dtype result, bool sink,
                    bool stream, struct lsi_price_request *want);
/* Bytes that a step takes for each decoded byte, beside an output of given size (`out_max`). */
uint64_t lsi_price_per_byte(const struct lsi_spec *spec, struct lsi_dtype result, bool sink,
                            bool stream);

/* The least that the step runs with: without the scratch that its transform may ask for. */
static inline void lsi_price_least(struct lsi_price_request *want) {
  if (want->scratch_later) want->scratch = 0;
}

/* Bytes that a worker must have for a step so priced, with `scratch`, beside `stored` bytes of buffers.
 * Saturates. */
uint64_t lsi_price_need(const struct lsi_price_request *want, uint64_t stored);

/* LSIO_ERR_LIMIT when not even one worker fits: names the step, its first chunk, the bytes needed and
 * the options that help. */
int lsi_price(const struct lsi_plan *plan, const struct lsi_request *request,
              const struct lsi_price_request *want, struct lsi_price *out, struct lsi_error *err);

#endif
