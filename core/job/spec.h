/* What a job is, after its script has spoken: the host (lua/) fills it, the engine runs it. */
#ifndef LSI_SPEC_H
#define LSI_SPEC_H

#include "codec/codec.h"
#include "ground/types.h"
#include "job/settings.h"
#include "plan/request.h"
#include "seams/xform.h"

enum lsi_sink_kind { LSI_SINK_NONE, LSI_SINK_NPY, LSI_SINK_RAW, LSI_SINK_MEMORY };

struct lsi_sink_spec {
  uint8_t kind;            /* enum lsi_sink_kind */
  char *path;              /* lsi_free; may contain {shard}; NULL: in memory */
  bool has_type;
  struct lsi_dtype type;   /* of the elements written; default: the source's, native order */
  uint32_t ndim;           /* 0 = one dimension, as many as there are */
  int64_t shape[32];       /* one may be -1 */
  bool part;               /* of the result, one step's: as many dimensions of `shape` as it fills */
  bool replace;            /* exists = "replace" */
  bool as_completed;       /* order = "completed" */
  uint8_t durability;      /* enum lsi_durability */
};
enum lsi_durability { LSI_DURABLE_NONE, LSI_DURABLE_BATCH, LSI_DURABLE_EACH };

struct lsi_spec {
  struct lsi_request *request; /* owned */
  struct lsi_dtype type;
  uint8_t codec;               /* enum lsi_codec */
  struct lsi_dictionary *dictionary; /* owned, the workers' decoders share it; NULL: none */
  uint64_t piece;              /* bytes; the transform takes pieces of about this; 0 = whole chunks only */
  uint64_t decoded;            /* decoded bytes of a chunk: exact or cap; 0 = not given */
  bool identity;               /* no transform: elements go to the sink as they are */
  bool has_out_max;
  uint64_t out_max;            /* elements a step may write */
  uint8_t on_error;            /* enum lsi_on_error, from the script; settings win if set */
  bool has_fill;
  double fill;                 /* value of a skipped step's elements */
  struct lsi_sink_spec sink;
  uint64_t seed;
  double setup_s;              /* that the script's own preparation took */
  const struct lsi_transform_ops *transform; /* NULL with identity */
  void *transform_job;
};

void lsi_spec_init(struct lsi_spec *s);
void lsi_spec_clear(struct lsi_spec *s); /* frees what it owns */

#endif
