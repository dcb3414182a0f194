/* What one worker needs to take a step from its bytes to its result. */
#ifndef LSI_STEPPER_H
#define LSI_STEPPER_H

#include "codec/codec.h"
#include "engine/state/held.h"
#include "engine/state/trial.h"
#include "memory/block.h"
#include "memory/buffer.h"
#include "memory/ledger.h"
#include "seams/step.h"

struct lsi_flight;

/* What lsi_step_prepare returns where memory has to be waited for: the step has not begun. */
#define LSI_STEP_LATER INT32_MIN

/* Results stored past the cache: nontemporal.c. */
struct lsi_stores {
  bool possible;          /* transforms write where their result belongs */
  uint64_t done;          /* bytes of results that could be */
  struct lsi_trial trial; /* of plain stores and those, by `done` */
};

/* What a step yields: elements (data, count) or a record. */
struct lsi_yield {
  const void *data;
  uint64_t count;
  bool record, nothing;
  size_t length;
};

/* A step that is taken piece by piece, between two of them: pieces.c. */
struct lsi_by_pieces {
  bool begun;         /* it is under way; no other step of the worker's runs */
  uint32_t step, chunk;
  uint64_t bytes;     /* decoded before the piece in hand */
  uint64_t elements;  /* the same in elements */
  uint64_t gathered;  /* elements of the result in `out` */
  bool ran;           /* the transform has taken at least one piece */
  bool yielded;       /* some piece had something to deliver */
  bool as_stored;     /* it is streamed, and what is stored is its content */
  uint64_t at_ns;     /* the clock, when it was last read */
  struct lsi_yield last;
  struct lsi_flight *flight; /* of a step that is streamed and decoded, and what its decoder is fed from */
  struct lsi_feed feed;
  struct lsi_outbuf hot; /* where pieces are decoded: in `pieces` */
};

struct lsi_stepper {
  const struct lsi_wave *wave; /* of the step that runs */
  struct lsi_step step;
  struct lsi_chunk *chunks;
  uint64_t *chunk_at;         /* offsets in `decoded` */
  uint32_t chunks_cap;
  uint32_t shown;             /* object that chunks[0] shows */
  unsigned item_shift;        /* an element of the sources has 1 << item_shift bytes */
  uint64_t item_mask;         /* the size of an element, less 1 */
  bool as_stored;             /* elements are used as they are stored, one chunk a step */
  bool untransformed;         /* as_stored, and no transform; no longer once a file is mapped */
  bool yields;                /* steps have a transform, or somewhere to go */
  bool defers;                /* steps may have to wait: for the window, for a write to land, for a poll; from
                                 its first failure on, too */
  bool looks;                 /* steps count only after a look behind their reads: held.h */
  bool prefaults;             /* the result lies in memory that nobody has touched yet */
  void *transform;
  bool transform_open;
  bool ran;                   /* it has seen a step */
  struct lsi_decoder *decoder;
  struct lsi_buffer decoded;
  struct lsi_buffer out;
  struct lsi_buffer scratch;
  struct lsi_claim scratch_claim; /* of the ledger's memory, for large ones: scratch.c */
  struct lsi_buffer pieces;   /* with `piece` only: where they are decoded */
  struct lsi_by_pieces by_pieces;
  uint64_t piece_limit;       /* bytes of memory that this and the decoder may take */
  uint64_t gather_limit;      /* bytes of a result that is put together from pieces */
  uint64_t decode_limit;      /* bytes that a step may decode to */
  uint64_t decode_usual;      /* up to which the run has reserved memory */
  uint64_t decode_free;       /* the same, with the surplus that is held */
  uint64_t decode_price;      /* bytes of memory for each, with its result and scratch */
  uint64_t decoded_max;       /* largest chunk decoded so far */
  uint64_t time_from;         /* steps of so many stored bytes or more are timed; 0 with pieces */
  uint32_t sample;            /* of the others one in several is */
  double pos_unknown;         /* of a whole chunk whose place is not known */
  struct lsi_flight *ready;   /* read, waiting as `defers` says; by unit */
  uint32_t n_ready;
  struct lsi_stores nontemporal;
  struct lsi_held held;
  struct lsi_block *block;    /* for results that are streamed; NULL: none yet */
  bool first_streamed;        /* it has had one */
};

#endif
